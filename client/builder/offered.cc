#include "client/builder/offered.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "src/common/image/offered_file.h"

namespace pycds::builder {
namespace {

using image::LeftOutReason;

constexpr size_t kBufferSize = 64 * 1024;

Error no_source() {
    return Error{ErrorCode::kInvalidArgument, "what came instead of sources is none"};
}

class Stream {
  public:
    Stream(int socket, const OfferLimits& limits) : socket_(socket), limits_(limits) {}

    // False at the end.
    Result<bool> more() {
        if (begin_ != end_) return true;
        pollfd ready{socket_, POLLIN, 0};
        int count = 0;
        do {
            count = poll(&ready, 1, static_cast<int>(limits_.patience.count()));
        } while (count < 0 && errno == EINTR);
        if (count < 0) return errno_error("cannot wait for sources");
        if (count == 0) {
            return Error{ErrorCode::kBuildFailed,
                         "who offered sources sent nothing for " +
                             std::to_string(limits_.patience.count()) + " ms"};
        }
        ssize_t n = 0;
        do {
            n = read(socket_, buffer_.data(), buffer_.size());
        } while (n < 0 && errno == EINTR);
        if (n < 0) return errno_error("cannot receive sources");
        begin_ = 0;
        end_ = static_cast<size_t>(n);
        received_ += end_;
        if (received_ > limits_.max_bytes) {
            return Error{ErrorCode::kBuildFailed,
                         "sources of more than " + std::to_string(limits_.max_bytes >> 20) +
                             " MiB are too many: build fewer modules"};
        }
        return end_ != 0;
    }

    Status take(void* out, size_t size) {
        auto* to = static_cast<unsigned char*>(out);
        while (size != 0) {
            const Result<bool> is_more = more();
            if (!is_more) return is_more.error();
            if (!*is_more) return no_source();
            const size_t part = std::min(size, end_ - begin_);
            std::memcpy(to, buffer_.data() + begin_, part);
            begin_ += part;
            to += part;
            size -= part;
        }
        return Ok{};
    }

    // Up to the NUL, without it.
    Status take_text(std::string* out, size_t max_size) {
        for (;;) {
            char next = 0;
            const Status taken = take(&next, 1);
            if (!taken || next == '\0') return taken;
            if (out->size() == max_size) return no_source();
            out->push_back(next);
        }
    }

    // Memory only for what has come.
    Status take_contents(std::vector<unsigned char>* out, uint64_t size) {
        while (out->size() < size) {
            const size_t had = out->size();
            const auto part = static_cast<size_t>(std::min<uint64_t>(size - had, kBufferSize));
            out->resize(had + part);
            const Status taken = take(out->data() + had, part);
            if (!taken) return taken;
        }
        return Ok{};
    }

  private:
    const int socket_;
    const OfferLimits& limits_;
    std::array<unsigned char, kBufferSize> buffer_;
    size_t begin_ = 0;
    size_t end_ = 0;
    uint64_t received_ = 0;
};

Status take_source(Stream& stream, const PycRequest& like, OfferedSource* out) {
    unsigned char reason = 0;
    const Status begun = stream.take(&reason, 1);
    if (!begun) return begun;
    if (reason > static_cast<unsigned char>(LeftOutReason::kPath)) return no_source();
    const Status named = stream.take_text(&out->path, kBufferSize);
    if (!named) return named;
    if (out->path.empty()) return no_source();
    if (reason != 0) {
        out->reason = static_cast<LeftOutReason>(reason);
        return Ok{};
    }
    image::OfferedFile about;
    const Status told = stream.take(&about, sizeof about);
    if (!told) return told;
    if (about.size > uint64_t{image::kMaxPycSize}) return no_source();
    const Status received = stream.take_contents(&out->file.data, about.size);
    if (!received) return received;
    PycRequest request = like;
    request.source = out->path;
    out->reason = out->path.size() > image::kMaxPathSize ? LeftOutReason::kPath
                                                         : take_pyc(request, about, &out->file);
    if (out->reason) std::vector<unsigned char>().swap(out->file.data);
    return Ok{};
}

}  // namespace

Result<std::vector<OfferedSource>> receive_offered(int socket, const PycRequest& like,
                                                   const OfferLimits& limits) {
    std::vector<OfferedSource> sources;
    std::unordered_set<std::string> paths;
    Stream stream(socket, limits);
    for (;;) {
        const Result<bool> is_more = stream.more();
        if (!is_more) return is_more.error();
        if (!*is_more) return sources;
        OfferedSource source;
        const Status taken = take_source(stream, like, &source);
        if (!taken) return taken.error();
        if (paths.insert(source.path).second) sources.push_back(std::move(source));
    }
}

}  // namespace pycds::builder
