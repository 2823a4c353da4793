#include "daemon/core/plan.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include "src/common/os/sealed_memfd.h"

namespace pycds::core {
namespace {

constexpr uint32_t kSystemSlot = 0;
constexpr uint32_t kUserSlot = 1;

Error invalid(std::string message) {
    return Error{ErrorCode::kInvalidArgument, std::move(message)};
}

void append(PlanPart* part, const std::string& path) {
    part->entries.append(path);
    part->entries.push_back('\0');
    ++part->count;
}

// Reads at most `capacity` bytes from the start of the file.
Result<std::string> read_whole(int fd, size_t capacity) {
    std::string bytes(capacity, '\0');
    size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t n =
            pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno_error("cannot read the plan");
        if (n == 0) break;
        done += static_cast<size_t>(n);
    }
    bytes.resize(done);
    return bytes;
}

}  // namespace

Status check_plan_fd(int fd) {
    const int64_t size = regular_file_size(fd);
    if (size < 0) return invalid("the plan is not a regular file or memfd");
    if (size == 0) return invalid("the plan names no source file");
    if (static_cast<uint64_t>(size) > kMaxPlanBytes) {
        return invalid("the plan has " + std::to_string(size) + " bytes, the limit is " +
                       std::to_string(kMaxPlanBytes));
    }
    return Ok{};
}

Result<std::vector<std::string>> read_plan(int fd) {
    const Status status = check_plan_fd(fd);
    if (!status) return status.error();
    const Result<std::string> bytes = read_whole(fd, static_cast<size_t>(regular_file_size(fd)));
    if (!bytes) return bytes.error();
    if (bytes->empty()) return invalid("the plan names no source file");
    if (bytes->back() != '\0') return invalid("the last path of the plan does not end with a NUL");
    const auto count = static_cast<size_t>(std::count(bytes->begin(), bytes->end(), '\0'));
    if (count > kMaxPlanEntries) {
        return invalid("the plan names " + std::to_string(count) + " source files, the limit is " +
                       std::to_string(kMaxPlanEntries));
    }
    std::vector<std::string> paths;
    paths.reserve(count);
    std::string_view rest = *bytes;
    while (!rest.empty()) {
        const size_t end = rest.find('\0');
        if (end == 0) return invalid("the plan holds an empty path");
        paths.emplace_back(rest.substr(0, end));
        rest.remove_prefix(end + 1);
    }
    return paths;
}

Result<SystemPlan> read_system_plan(int fd) {
    const auto failed = [](const std::string& what) {
        return Error{ErrorCode::kBuildFailed, "the planner's output is wrong: " + what};
    };
    Result<std::vector<std::string>> entries = read_plan(fd);
    if (!entries) return failed(entries.error().message);
    constexpr std::string_view kFingerprint = "fingerprint ";
    constexpr std::string_view kDirectory = "directory ";
    const std::string_view first = entries->front();
    SystemPlan out;
    const char* end = first.data() + first.size();
    size_t begin = 1;
    while (begin < entries->size() && (*entries)[begin].starts_with(kDirectory)) ++begin;
    if (!first.starts_with(kFingerprint) || begin == entries->size()) {
        return failed("it starts with no fingerprint, or names no source");
    }
    const auto parsed =
        std::from_chars(first.data() + kFingerprint.size(), end, out.fingerprint, 16);
    if (parsed.ec != std::errc() || parsed.ptr != end)
        return failed("its fingerprint is no number");

    std::string paths;
    std::set<std::string> directories;
    const auto add_directory = [&](const std::string& directory) {
        directories.insert(directory + "/__pycache__");
        directories.insert(directory);
    };
    for (size_t i = 1; i < begin; ++i) add_directory((*entries)[i].substr(kDirectory.size()));
    for (size_t i = begin; i < entries->size(); ++i) {
        const std::string& path = (*entries)[i];
        paths.append(path).push_back('\0');
        add_directory(path.substr(0, path.rfind('/')));
    }
    Result<UniqueFd> plan =
        make_sealed_copy("pycds-plan", std::as_bytes(std::span(paths.data(), paths.size())));
    if (!plan) return plan.error();
    out.plan = std::move(*plan);
    out.directories.assign(directories.begin(), directories.end());
    return out;
}

PlanPart user_part(uid_t uid) {
    return PlanPart{kUserSlot, wire::Domain::kUser, uid, {}, 0};
}

SplitPlan split_plan(const std::vector<std::string>& paths,
                     const std::vector<wire::Domain>& domains, uid_t uid) {
    PlanPart system{kSystemSlot, wire::Domain::kSystem, 0, {}, 0};
    PlanPart user = user_part(uid);
    SplitPlan out;
    for (size_t i = 0; i < paths.size(); ++i) {
        switch (domains[i]) {
            case wire::Domain::kSystem: append(&system, paths[i]); break;
            case wire::Domain::kUser: append(&user, paths[i]); break;
            case wire::Domain::kUnspecified: ++out.refused; break;
        }
    }
    if (system.count != 0) out.parts.push_back(std::move(system));
    if (user.count != 0) out.parts.push_back(std::move(user));
    return out;
}

}  // namespace pycds::core
