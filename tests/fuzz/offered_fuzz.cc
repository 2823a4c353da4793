// What users offer of their own files, through a real socket: bytes in pieces of any size, with
// descriptors of all kinds. What a builder takes is what a second parser finds in the bytes, which
// shares nothing with it; and no descriptor is ever the builder's.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "client/builder/offered.h"
#include "src/common/os/fd_passing.h"
#include "src/common/os/sealed_memfd.h"

namespace {

using namespace pycds;
using builder::OfferedSource;

void require(bool condition) {
    if (!condition) std::abort();
}

UniqueFd descriptor(unsigned kind) {
    switch (kind) {
        case 0: return UniqueFd(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        case 1: return UniqueFd(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
        case 2: return UniqueFd(open("/etc/passwd", O_PATH | O_CLOEXEC));
        case 3: return UniqueFd(open("/dev/zero", O_RDONLY | O_CLOEXEC));
        case 4: return UniqueFd(eventfd(0, EFD_CLOEXEC));
        case 5: return UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        case 6: {
            int ends[2];
            require(pipe2(ends, O_CLOEXEC) == 0);
            close(ends[1]);
            return UniqueFd(ends[0]);
        }
        default: {
            Result<UniqueFd> fd = create_memfd("fuzz");
            require(fd.ok());
            return std::move(*fd);
        }
    }
}

int lowest_free_descriptor() {
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
}

// The paths, and which of them have contents; false if the bytes are no sources.
struct Found {
    std::string path;
    std::string contents;
    bool has_contents;
};
bool find(std::string_view bytes, std::vector<Found>* out) {
    std::set<std::string_view> seen;
    while (!bytes.empty()) {
        const size_t nul = bytes.find('\0', 1);
        if (static_cast<unsigned char>(bytes[0]) > 12 || nul == std::string_view::npos || nul == 1 ||
            nul > 65537) {
            return false;
        }
        Found found{std::string(bytes.substr(1, nul - 1)), {}, bytes[0] == '\0'};
        const std::string_view path = bytes.substr(1, nul - 1);
        bytes.remove_prefix(nul + 1);
        if (found.has_contents) {
            uint64_t size = 0;
            if (bytes.size() < 56) return false;
            std::memcpy(&size, bytes.data() + 16, sizeof size);
            if (size > bytes.size() - 56) return false;
            found.contents = bytes.substr(56, size);
            bytes.remove_prefix(56 + size);
        }
        if (seen.insert(path).second) out->push_back(std::move(found));
    }
    return true;
}

}  // namespace

// The first byte: which descriptor goes with each piece, or none. The second: the size of a piece.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 2 || size > 60'000) return 0;
    const int before = lowest_free_descriptor();
    {
        int ends[2];
        require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        UniqueFd peer(ends[0]);
        const UniqueFd own(ends[1]);
        const unsigned kind = data[0] % 16;
        std::string sent;
        {
            const UniqueFd attached = kind < 8 ? descriptor(kind) : UniqueFd();
            const size_t piece = std::max<size_t>(data[1] == 0 ? size : data[1] * size_t{16}, 1);
            // What the socket does not hold is not sent: nobody reads yet.
            for (size_t at = 2; at < size; at += piece) {
                const size_t part = std::min(piece, size - at);
                const int fd = attached.get();
                if (send_message(peer.get(), data + at, part, &fd, attached ? 1 : 0, MSG_DONTWAIT) !=
                    IoStatus::kOk) {
                    break;
                }
                sent.append(reinterpret_cast<const char*>(data) + at, part);
            }
        }
        peer.reset();
        const int meanwhile = lowest_free_descriptor();
        builder::PycRequest like;
        like.cache_tag = "t";
        like.magic_number = 0x0a0d0da7;
        const Result<std::vector<OfferedSource>> got = builder::receive_offered(own.get(), like);
        require(lowest_free_descriptor() == meanwhile);
        std::vector<Found> expected;
        require(got.ok() == find(sent, &expected));
        if (got.ok()) {
            require(got->size() == expected.size());
            for (size_t i = 0; i < expected.size(); ++i) {
                const OfferedSource& source = got->at(i);
                require(source.path == expected[i].path);
                require(expected[i].has_contents || source.reason);
                if (source.reason) {
                    require(source.file.data.empty());
                    continue;
                }
                require(source.path[0] == '/');
                require(std::string(source.file.data.begin(), source.file.data.end()) ==
                        expected[i].contents);
                require(expected[i].contents.size() >= builder::PycFile::kHeaderSize);
            }
        }
    }
    require(lowest_free_descriptor() == before);
    return 0;
}
