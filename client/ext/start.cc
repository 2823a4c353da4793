#include "client/ext/start.h"

#include <Python.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "client/interp/identity.h"
#include "client/interp/internals.h"
#include "client/interp/interp.h"
#include "client/link/attach.h"
#include "client/loader/find_spec.h"
#include "client/loader/get_code.h"
#include "client/loader/import_scope.h"
#include "client/loader/interning.h"
#include "client/loader/patterns.h"
#include "src/common/image/checksum.h"
#include "src/common/os/unique_fd.h"

namespace pycds::ext {
namespace {

constexpr const char* kSystemSocket = "/run/pycds/pycdsd.sock";

constinit bool started = false;
constinit bool identified = false;  // it is known what interpreter this is, and where
constinit bool verbose = false;
constinit const char* why_not = "not-started";
constinit AttachTimes times;

uint64_t now_ns() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

[[gnu::format(printf, 1, 2)]] void say(const char* format, ...) {
    if (!verbose) return;
    char line[512] = "pycds: ";
    va_list arguments;
    va_start(arguments, format);
    const int size = std::vsnprintf(line + 7, sizeof line - 8, format, arguments);
    va_end(arguments);
    if (size < 0) return;
    std::strcat(line, "\n");
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line, std::strlen(line));
}

// Our variables, unless the process asked not to be led by its environment (-E, -I) or must not be
// (setuid: secure_getenv(3)).
const char* environment(const char* name) {
    if (!pycds_uses_environment()) return nullptr;
    const char* value = secure_getenv(name);
    return value != nullptr && *value != '\0' ? value : nullptr;
}

bool attach();

// Where a line is to go when the process ends, and of which process: what a fork inherited is its
// parent's to tell.
constinit char stats_file[PATH_MAX];
constinit pid_t stats_pid = 0;

void note_stats_file() {
    const char* file = environment("PYCDS_STATS");
    if (file == nullptr || std::strlen(file) >= sizeof stats_file) return;
    std::strcpy(stats_file, file);
    stats_pid = getpid();
}

// What stats() would say, as a line of JSON. Whoever cannot write it says nothing: nobody reads.
void write_stats() {
    if (stats_file[0] == '\0' || stats_pid != getpid()) return;
    char line[1024];
    size_t size = 0;
    const auto add = [&](const char* format, auto... arguments) {
        const int added = std::snprintf(line + size, sizeof line - size, format, arguments...);
        if (added > 0 && static_cast<size_t>(added) < sizeof line - size) {
            size += static_cast<size_t>(added);
        }
    };
    const loader::CodeServer& server = loader::code_server();
    add("{\"pid\": %d, \"reason\": \"%s\", \"served\": %llu, \"found\": %llu, \"patterns\": %llu, "
        "\"misses\": {",
        static_cast<int>(stats_pid), why_not == nullptr ? "" : why_not,
        static_cast<unsigned long long>(server.served()),
        static_cast<unsigned long long>(loader::finder_server().found()),
        static_cast<unsigned long long>(loader::pattern_server().served()));
    const char* separator = "";
    for (unsigned i = 0; i < static_cast<unsigned>(loader::Miss::kCount); ++i) {
        const auto miss = static_cast<loader::Miss>(i);
        if (server.misses(miss) == 0) continue;
        add("%s\"%s\": %llu", separator, loader::miss_name(miss),
            static_cast<unsigned long long>(server.misses(miss)));
        separator = ", ";
    }
    add("%s", "}}\n");
    const UniqueFd file(open(stats_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
    if (file) [[maybe_unused]]
        const ssize_t written = write(file.get(), line, size);
}

void disarm_at_exit() {
    write_stats();
    why_not = "finalized";
    loader::code_server().disarm();
    loader::finder_server().disarm();
    loader::pattern_server().disarm();
}

const char* map_images(const link::Attachment& attachment,
                       const loader::MappedImage::Expectation& expectation) {
    loader::CodeServer& server = loader::code_server();
    const char* failure = "no-image";
    for (size_t i = 0; i < attachment.count; ++i) {
        loader::MappedImage* image = server.next_image();
        if (image == nullptr) break;
        const char* problem = image->map(attachment.images[i].get(), expectation);
        if (problem != nullptr) {
            say("image %zu not mapped: %s", i, problem);
            failure = problem;
            continue;
        }
        say("image of %u modules, %llu bytes at 0x%llx%s", image->root_count(),
            static_cast<unsigned long long>(image->size()),
            static_cast<unsigned long long>(image->base()),
            image->relocation().moved() ? ", to be relocated" : "");
        server.keep_image();
    }
    return server.image_count() != 0 ? nullptr : failure;
}

// What was found out at start and is needed to attach.
struct Prepared {
    loader::MappedImage::Expectation expectation{};
    char socket[sizeof(sockaddr_un::sun_path)] = {};
    int seccomp = 0;
    // The keys of images for this process, what fits best first; the last is that of any process's.
    uint8_t identities[4][16] = {};
    size_t identity_count = 0;
};
constinit Prepared prepared;

// Whatever takes system calls away after the start may do so with a signal.
int seccomp_mode() {
    return prctl(PR_GET_SECCOMP);
}

// `pycdsctl run` leads to images for processes whose interpreter is where the daemon wants it, with hashes if
// the process has the daemon's seed. One that says so and has another costs itself a question.
void note_identities(image::InterpreterIdentity identity) {
    const bool common = image::is_common_base(prepared.expectation.runtime_base);
    const uint64_t probe = environment("PYCDS_HASHES") == nullptr ? 0 : interp::hash_probe();
    for (const uint64_t hash_probe : {probe, uint64_t{0}}) {
        for (const bool at_common_base : {true, false}) {
            if (at_common_base && !common) continue;
            identity.hash_probe = hash_probe;
            identity.at_common_base = at_common_base ? 1 : 0;
            image::identity_digest(identity, prepared.identities[prepared.identity_count++]);
        }
        if (probe == 0) break;
    }
}

const char* prepare() {
    // First of all: what follows reads the interpreter's own structs.
    if (!interp::is_version_compiled_for()) return "client-for-another-version";
    if (const char* mode = environment("PYCDS")) {
        if (std::strcmp(mode, "off") == 0) return "switched-off";
        verbose = std::strcmp(mode, "verbose") == 0;
        if (std::strcmp(mode, "keep-pages") == 0) loader::import_scope().keep_pages();
        prepared.expectation.elsewhere = std::strcmp(mode, "relocate") == 0;
    }
    const char* socket = environment("PYCDS_SOCKET");
    if (socket == nullptr) socket = kSystemSocket;
    if (std::strlen(socket) >= sizeof prepared.socket) return "socket-path";
    // Where no daemon is meant to run nothing is prepared for one.
    if (access(socket, F_OK) != 0) return "no-daemon";
    // The program may change its environment before the first import.
    std::strcpy(prepared.socket, socket);
    // Stock importlib tells under -v what it does with each file; so it shall do it.
    if (pycds_is_verbose()) return "verbose-import";
    image::InterpreterIdentity identity;
    if (const char* failure =
            interp::identify_interpreter(&identity, &prepared.expectation.runtime_base)) {
        return failure;
    }
    note_identities(identity);
    identified = true;
    prepared.seccomp = seccomp_mode();

    note_stats_file();

    if (const char* failure = loader::code_server().install(attach)) return failure;
    // Works on its own; without it finding modules is as fast as stock.
    if (const char* failure = loader::finder_server().install()) {
        say("stock FileFinder.find_spec stays: %s", failure);
    }
    if (const char* failure = loader::import_scope().install()) {
        say("no pages are given back: %s", failure);
    }
    return nullptr;
}

// Of the images that fit the first that there is.
const char* ask_daemon(link::Attachment* attachment) {
    const char* failure = "no-image";
    for (size_t i = 0; i < prepared.identity_count; ++i) {
        const uint8_t* identity = prepared.identities[i];
        failure = link::attach(prepared.socket, identity, attachment);
        if (failure == nullptr) {
            std::memcpy(prepared.expectation.identity, identity, sizeof prepared.identities[i]);
        }
        if (failure == nullptr || std::strcmp(failure, "no-image") != 0) break;
    }
    return failure;
}

// Rights that a process has without being somebody else and without AT_SECURE (capabilities(7)).
bool has_ambient_capabilities() {
    for (unsigned long capability = 0; capability < 64; ++capability) {
        const int is_set = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0);
        if (is_set != 0) return is_set == 1;
    }
    return false;
}

// Whose images beside the system's are mapped: the user's own, but nobody's where a process is more
// than its user, or asked not to be led by him (-E, -I).
uid_t whose_images() {
    constexpr auto kNobodys = static_cast<uid_t>(-1);
    uid_t uids[3];
    gid_t gids[3];
    if (pycds_uses_environment() == 0 || getauxval(AT_SECURE) != 0 || has_ambient_capabilities() ||
        // Set back where somebody gave up being more than he is now (prctl(2)).
        prctl(PR_GET_DUMPABLE) != 1 ||
        getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
        getresgid(&gids[0], &gids[1], &gids[2]) != 0) {
        return kNobodys;
    }
    const bool one_user = uids[0] == uids[1] && uids[1] == uids[2];
    const bool one_group = gids[0] == gids[1] && gids[1] == gids[2];
    return one_user && one_group ? uids[1] : kNobodys;
}

// With the first module that somebody wants: a process that imports nothing needs no image.
const char* try_to_attach() {
    if (seccomp_mode() != prepared.seccomp) return "sandboxed";
    prepared.expectation.uid = whose_images;
    link::Attachment attachment;
    const uint64_t begin = now_ns();
    // Other threads go on meanwhile; one that imports gets its modules from stock.
    PyThreadState* thread = PyEval_SaveThread();
    const char* failure = ask_daemon(&attachment);
    PyEval_RestoreThread(thread);
    const uint64_t asked = now_ns();
    times.ask_ns = asked - begin;
    if (failure == nullptr) failure = map_images(attachment, prepared.expectation);
    if (failure != nullptr) return failure;
    const uint64_t mapped = now_ns();
    times.map_ns = mapped - asked;
    loader::interning().begin(loader::code_server().images(), loader::code_server().image_count());
    times.intern_ns = now_ns() - mapped;
    return nullptr;
}

bool attach() {
    static constinit bool tried = false;
    if (tried) return false;
    tried = true;
    why_not = "attaching";
    why_not = try_to_attach();
    if (why_not == nullptr) return true;
    say("not attached: %s", why_not);
    // As if we had never been there.
    loader::code_server().uninstall();
    loader::finder_server().uninstall();
    loader::import_scope().uninstall();
    return false;
}

}  // namespace

void start_client() {
    if (started) return;
    started = true;
    why_not = prepare();
    if (why_not != nullptr) {
        say("not attached: %s", why_not);
        return;
    }
    why_not = "nothing-imported-yet";
    // A second Py_Initialize finds the images used up and its classes unknown to us: stay out.
    if (Py_AtExit(disarm_at_exit) != 0) {
        disarm_at_exit();
        why_not = "no-exit-hook";
    }
}

void attach_now() {
    loader::code_server().attach();
}

const char* refusal() {
    return why_not;
}

const char* interpreter_layout() {
    const uint64_t base = prepared.expectation.runtime_base;
    if (image::is_common_base(base)) return "common";
    return base == 0 && identified ? "fixed" : "random";
}

const AttachTimes& attach_times() {
    return times;
}

}  // namespace pycds::ext
