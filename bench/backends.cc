// What would it cost to keep images in read-only disk files instead of sealed memfds? Maps one of
// each as the client maps an image (privately, at a fixed address, writable) in processes that live
// for one measurement, in turns, and prints a table. docs/performance.md draws the conclusion.
//
// Handing the descriptor over costs the same for both and is left out: children inherit it.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "src/common/os/sealed_memfd.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

namespace pycds {
namespace {

constexpr size_t kPage = 4096;
constexpr uintptr_t kBase = 0x3010'0000'0000;
// Every eighth page is written: what a process dirties of an image is of that order.
constexpr size_t kWrittenStride = 8;
// One page of what the kernel maps at one fault (fault_around_bytes), so each touch is a fault.
constexpr size_t kSparseStride = 16;

[[noreturn]] void fail(const std::string& what) {
    fmt::print(stderr, "pycds-backends: {}: {}\n", what, std::strerror(errno));
    std::exit(1);
}

double now_us() {
    return std::chrono::duration<double, std::micro>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

double minor_faults() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_minflt);
}

struct Backend {
    std::string name;
    int fd = -1;
    size_t size = 0;

    size_t pages() const { return size / kPage; }
};

volatile unsigned char* map(const Backend& backend) {
    // In two steps, as the client does it.
    void* wanted = reinterpret_cast<void*>(kBase);
    void* got =
        mmap(wanted, backend.size, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, backend.fd, 0);
    if (got != wanted) fail("cannot map at the fixed address");
    if (mprotect(got, backend.size, PROT_READ | PROT_WRITE) != 0) fail("mprotect");
    return static_cast<volatile unsigned char*>(got);
}

void unmap(const Backend& backend) {
    munmap(reinterpret_cast<void*>(kBase), backend.size);
}

// Touches every `stride`th page. The sum keeps the reads.
unsigned touch(volatile unsigned char* at, size_t size, size_t stride) {
    unsigned sum = 0;
    for (size_t offset = 0; offset < size; offset += stride * kPage) sum += at[offset];
    return sum;
}

void write_pages(volatile unsigned char* at, size_t size) {
    for (size_t offset = 0; offset < size; offset += kWrittenStride * kPage) at[offset] = 1;
}

// As an import does: what it reads and what it writes lie close together. (Where the kernel maps a
// file by the two megabytes, the first write there takes that back.)
void read_and_write(volatile unsigned char* at, size_t size) {
    for (size_t offset = 0; offset < size; offset += kWrittenStride * kPage) {
        touch(at + offset, std::min(kWrittenStride * kPage, size - offset), 1);
        at[offset] = 1;
    }
}

// ---------------------------------------------------------------------------------------------
// Times, each sample in a process of its own

enum Row {
    kMap,
    kSparse,
    kAll,
    kAllFaults,
    kCopyAtOnce,
    kMixed,
    kMixedFaults,
    kAgain,
    kUnmap,
    kRows
};
constexpr std::array<const char*, kRows> kRowNames = {
    "mmap and mprotect, us",
    "read one page in 16 first, us each",
    "read all pages, ms",
    "  minor faults of it",
    "write to a page at once, us each",
    "read all, write one in 8 on the way, ms",
    "  minor faults of it",
    "read all again after that, ms",
    "munmap of all that, ms",
};
using Sample = std::array<double, kRows>;

Sample sample_in_this_process(const Backend& backend) {
    Sample sample{};
    const auto pages_at = [&](size_t stride) {
        return static_cast<double>((backend.pages() + stride - 1) / stride);
    };
    double begin = now_us();
    auto* at = map(backend);
    sample[kMap] = now_us() - begin;
    begin = now_us();
    touch(at, backend.size, kSparseStride);
    sample[kSparse] = (now_us() - begin) / pages_at(kSparseStride);
    unmap(backend);

    at = map(backend);
    double faults = minor_faults();
    begin = now_us();
    touch(at, backend.size, 1);
    sample[kAll] = (now_us() - begin) / 1000;
    sample[kAllFaults] = minor_faults() - faults;
    unmap(backend);

    at = map(backend);
    begin = now_us();
    write_pages(at, backend.size);
    sample[kCopyAtOnce] = (now_us() - begin) / pages_at(kWrittenStride);
    unmap(backend);

    at = map(backend);
    faults = minor_faults();
    begin = now_us();
    read_and_write(at, backend.size);
    sample[kMixed] = (now_us() - begin) / 1000;
    sample[kMixedFaults] = minor_faults() - faults;
    begin = now_us();
    touch(at, backend.size, 1);
    sample[kAgain] = (now_us() - begin) / 1000;
    begin = now_us();
    unmap(backend);
    sample[kUnmap] = (now_us() - begin) / 1000;
    return sample;
}

Sample sample_in_child(const Backend& backend) {
    int ends[2];
    if (pipe(ends) != 0) fail("pipe");
    const pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        const Sample sample = sample_in_this_process(backend);
        const bool written = write(ends[1], &sample, sizeof sample) == sizeof sample;
        _exit(written ? 0 : 1);
    }
    close(ends[1]);
    Sample sample{};
    const bool complete = read(ends[0], &sample, sizeof sample) == sizeof sample;
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (!complete || status != 0) fail("a measuring process failed");
    return sample;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

// ---------------------------------------------------------------------------------------------
// What smaps says of mappings

using Smaps = std::map<std::string, double>;  // kB

Smaps smaps_of(pid_t pid) {
    std::ifstream file(fmt::format("/proc/{}/smaps", pid));
    Smaps fields;
    std::string line;
    bool ours = false;
    while (std::getline(file, line)) {
        char name[64];
        unsigned long value = 0;
        unsigned long end = 0;
        if (std::sscanf(line.c_str(), "%lx-%lx", &value, &end) == 2) {
            ours = value == kBase;
        } else if (ours && std::sscanf(line.c_str(), "%63[A-Za-z_]: %lu kB", name, &value) == 2) {
            fields[name] += static_cast<double>(value);
        }
    }
    return fields;
}

// Means over `count` processes alive at once, each having read all and written a part.
Smaps live_smaps(const Backend& backend, int count) {
    int ready[2];
    int leave[2];
    if (pipe(ready) != 0 || pipe(leave) != 0) fail("pipe");
    std::vector<pid_t> children;
    for (int i = 0; i < count; ++i) {
        const pid_t child = fork();
        if (child < 0) fail("fork");
        if (child == 0) {
            close(leave[1]);
            auto* at = map(backend);
            read_and_write(at, backend.size);
            touch(at, backend.size, 1);
            char byte = 0;
            if (write(ready[1], &byte, 1) != 1) _exit(1);
            _exit(read(leave[0], &byte, 1) == 0 ? 0 : 1);
        }
        children.push_back(child);
    }
    close(leave[0]);
    char byte = 0;
    for (int i = 0; i < count; ++i) {
        if (read(ready[0], &byte, 1) != 1) fail("a process that should stay alive ended");
    }
    Smaps mean;
    for (const pid_t child : children) {
        for (const auto& [name, value] : smaps_of(child)) mean[name] += value / count;
    }
    close(leave[1]);
    for (const pid_t child : children) waitpid(child, nullptr, 0);
    close(ready[0]);
    close(ready[1]);
    return mean;
}

// ---------------------------------------------------------------------------------------------
// Pressure, and what an owner can do

double resident_part(const Backend& backend) {
    void* at = mmap(nullptr, backend.size, PROT_READ, MAP_SHARED, backend.fd, 0);
    if (at == MAP_FAILED) fail("mmap");
    std::vector<unsigned char> pages(backend.pages());
    if (mincore(at, backend.size, pages.data()) != 0) fail("mincore");
    munmap(at, backend.size);
    const auto resident = std::count_if(pages.begin(), pages.end(),
                                        [](unsigned char page) { return (page & 1) != 0; });
    return static_cast<double>(resident) / static_cast<double>(backend.pages());
}

// How much of the pages stays in memory when the kernel is asked to take back a clean mapping, and
// the time of the read after it.
std::pair<double, double> reclaimed(const Backend& backend) {
    auto* at = map(backend);
    touch(at, backend.size, 1);
    void* address = reinterpret_cast<void*>(kBase);
    if (madvise(address, backend.size, MADV_PAGEOUT) != 0) fail("MADV_PAGEOUT");
    const double left = resident_part(backend);
    const double begin = now_us();
    touch(at, backend.size, 1);
    const double took = (now_us() - begin) / 1000;
    unmap(backend);
    return {left, took};
}

// "seen" if a process that already maps it sees what its owner writes now.
std::string owner_writes(const Backend& backend, int writable) {
    auto* at = map(backend);
    const unsigned char before = at[0];
    const auto other = static_cast<unsigned char>(before + 1);
    std::string answer = "refused";
    if (pwrite(writable, &other, 1, 0) == 1) answer = at[0] == other ? "seen" : "not seen";
    unmap(backend);
    return answer;
}

std::string owner_truncates(const Backend& backend, int writable) {
    if (ftruncate(writable, 0) != 0) return "refused";
    const pid_t child = fork();
    if (child == 0) {
        touch(map(backend), backend.size, 1);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "not seen";
}

// fs-verity would be for a file what seals are for a memfd.
std::string verity(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    fsverity_enable_arg argument{};
    argument.version = 1;
    argument.hash_algorithm = FS_VERITY_HASH_ALG_SHA256;
    argument.block_size = kPage;
    const bool enabled = fd >= 0 && ioctl(fd, FS_IOC_ENABLE_VERITY, &argument) == 0;
    const std::string answer = enabled ? "can be enabled here" : std::strerror(errno);
    if (fd >= 0) close(fd);
    return answer;
}

// ---------------------------------------------------------------------------------------------

std::vector<std::byte> contents(size_t size) {
    std::vector<std::byte> bytes(size);
    uint64_t state = 88172645463325252U;
    for (std::byte& byte : bytes) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        byte = static_cast<std::byte>(state);
    }
    return bytes;
}

// Written through to the disk, so that its pages are as clean as those of a file of yesterday.
void write_file(const std::string& path, const std::vector<std::byte>& bytes) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0) fail("cannot create " + path);
    for (size_t done = 0; done < bytes.size();) {
        const ssize_t count = write(fd, bytes.data() + done, bytes.size() - done);
        if (count <= 0) fail("cannot write " + path);
        done += static_cast<size_t>(count);
    }
    if (fsync(fd) != 0 || close(fd) != 0) fail("cannot write " + path);
}

void print_row(std::string_view name, const std::string& memfd, const std::string& file) {
    fmt::print("{:<44}{:>16}{:>28}\n", name, memfd, file);
}

std::string number(double value) {
    return fmt::format("{:.{}f}", value, value < 100 && value != std::floor(value) ? 2 : 0);
}

struct Options {
    size_t mib = 64;
    int rounds = 15;
    int live = 20;
    std::string directory = "/var/tmp";
};

void compare(const Options& options, const std::string& path) {
    const std::vector<std::byte> bytes = contents(options.mib << 20);
    Result<UniqueFd> sealed = make_sealed_copy("pycds-backends", bytes);
    if (!sealed) fail(sealed.error().message);
    write_file(path, bytes);
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd writable(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) fail("cannot open " + path);
    const std::array<Backend, 2> backends = {
        Backend{"sealed memfd", sealed->get(), bytes.size()},
        Backend{"file in " + options.directory, file.get(), bytes.size()}};

    fmt::print("{} MiB, medians of {} alternating processes, page cache warm\n\n", options.mib,
               options.rounds);
    print_row("", backends[0].name, backends[1].name);
    std::array<std::array<std::vector<double>, kRows>, 2> times;
    for (int round = 0; round < options.rounds; ++round) {
        for (size_t turn = 0; turn < 2; ++turn) {
            const size_t which = (static_cast<size_t>(round) + turn) % 2;
            const Sample sample = sample_in_child(backends[which]);
            for (size_t row = 0; row < kRows; ++row) times[which][row].push_back(sample[row]);
        }
    }
    for (size_t row = 0; row < kRows; ++row) {
        print_row(kRowNames[row], number(median(times[0][row])), number(median(times[1][row])));
    }
    for (const int count : {1, options.live}) {
        fmt::print(
            "\nsmaps of the mapping, kB, mean of {} live; all read, one page in {} written\n",
            count, kWrittenStride);
        const Smaps memfd = live_smaps(backends[0], count);
        const Smaps disk = live_smaps(backends[1], count);
        for (const char* field : {"Rss", "Pss", "Shared_Clean", "Shared_Dirty", "Private_Clean",
                                  "Private_Dirty", "Anonymous"}) {
            print_row(fmt::format("  {}", field), number(memfd.at(field)), number(disk.at(field)));
        }
    }
    fmt::print("\nthe kernel is asked to take clean pages back (MADV_PAGEOUT)\n");
    const auto [memfd_left, memfd_took] = reclaimed(backends[0]);
    const auto [file_left, file_took] = reclaimed(backends[1]);
    print_row("  pages still in memory, %", number(100 * memfd_left), number(100 * file_left));
    print_row("  reading all of them again, ms", number(memfd_took), number(file_took));
    fmt::print("\nwhat its owner can do while others map it\n");
    print_row("  write a byte", owner_writes(backends[0], sealed->get()),
              owner_writes(backends[1], writable.get()));
    print_row("  truncate it", owner_truncates(backends[0], sealed->get()),
              owner_truncates(backends[1], writable.get()));
    unlink(path.c_str());
    write_file(path, std::vector<std::byte>(kPage));
    print_row("  fs-verity, which would forbid both", "-", verity(path));
}

int run(int argc, char** argv) {
    Options options;
    CLI::App app{"Compares sealed memfds with read-only disk files as places of images"};
    app.add_option("--size", options.mib, "Size in MiB")->capture_default_str();
    app.add_option("--rounds", options.rounds, "Processes of each kind")
        ->check(CLI::Range(1, 10000))
        ->capture_default_str();
    app.add_option("--live", options.live, "Processes alive at once for smaps")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_option("--directory", options.directory, "Where the file is made: on a disk, no tmpfs")
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    const std::string path = fmt::format("{}/pycds-backends.{}", options.directory, getpid());
    compare(options, path);
    unlink(path.c_str());
    return 0;
}

}  // namespace
}  // namespace pycds

int main(int argc, char** argv) {
    try {
        return pycds::run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "pycds-backends: %s\n", error.what());
        return 1;
    }
}
