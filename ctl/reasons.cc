#include "ctl/reasons.h"

#include <algorithm>

namespace pycds::ctl {
namespace {

constexpr Reason kRefusals[] = {
    // Of the process.
    {"not-started", "the client was loaded but not started, as in a subinterpreter"},
    {"attaching", "the client is just asking the daemon"},
    {"nothing-imported-yet",
     "nothing was imported since the program began, so the daemon was not asked for anything"},
    {"finalized",
     "the interpreter has ended and begun anew in one process: embedded Python is served "
     "once"},
    {"no-exit-hook", "too many functions are registered for the end of the interpreter"},
    {"switched-off", "PYCDS=off is set: unset it"},
    {"verbose-import", "python -v shows each step of an import, so all are stock's: leave -v out"},
    {"sandboxed",
     "the process forbade itself system calls (seccomp) before it imported anything; "
     "import a module before that"},
    {"no-memory", "there was no memory left for it"},
    // Of the interpreter.
    {"client-for-another-version",
     "the client is for another version of Python: run 'pycdsctl enable' again, or install the "
     "pycds "
     "that belongs to this Python"},
    {"debug-build", "a debug build of Python lays its objects out otherwise: use a release build"},
    {"trace-refs-build",
     "a build of Python with Py_TRACE_REFS lays its objects out otherwise: use a "
     "release build"},
    {"layout-mismatch",
     "this build of Python lays its objects out otherwise than the one that the "
     "client was compiled for: compile pycds for it"},
    {"no-build-id",
     "the interpreter has no build-id by which its images could be told from others: "
     "link it with --build-id"},
    {"optimization-level", "this level of -O is unknown: use none, -O or -OO"},
    {"no-cache-tag", "sys.implementation.cache_tag is missing or too long"},
    {"interpreter-moved",
     "types of the interpreter are not where they are in others of the same build: something has "
     "replaced them, or two builds have one build-id"},
    {"no-frozen-modules",
     "the modules that Python starts with do not come frozen in it (-X frozen_modules=off): images "
     "are made for processes where they do"},
    // Of importlib.
    {"importlib-missing", "importlib has not the classes that are known of this version"},
    {"importlib-patched",
     "something replaced functions of importlib before the client started: look "
     "into .pth files and sitecustomize"},
    {"sys-patched",
     "something replaced sys.flags or sys.implementation before the client started: "
     "look into .pth files and sitecustomize"},
    {"relaxed-case", "PYTHONCASEOK is in force: unset it"},
    // Of the daemon.
    {"socket-path", "the path of the socket is too long: set PYCDS_SOCKET to a shorter one"},
    {"no-socket",
     "the process could not make a socket: it is out of descriptors or not allowed to"},
    {"no-daemon",
     "no daemon listens: start it with 'systemctl start pycdsd' or 'pycdsd --user', and "
     "see whether PYCDS_SOCKET names its socket"},
    {"not-allowed",
     "the process may not connect to the socket: its mode and the directories above it say who may, "
     "and for a moment nobody may who has asked too often (user-requests in pycdsd.conf(5))"},
    {"daemon-busy", "the daemon takes no more connections just now"},
    {"daemon-not-trusted",
     "who listens is neither root nor the user of the process: start the daemon "
     "by its socket unit, or as the user"},
    {"deadline", "the daemon did not answer in time: see its log, and the load of the machine"},
    {"lost-daemon", "the daemon went away before it had answered: see its log"},
    {"bad-reply", "what answers is no pycdsd of this version: restart the daemon after an upgrade"},
    {"no-image",
     "the daemon has no image for this interpreter: wait if it is being built, else make "
     "one with 'pycdsctl build'"},
    // Of an image.
    {"image-not-sealed", "the daemon handed out memory that is not sealed: restart it"},
    {"image-size", "the image is too small or too large: drop it ('pycdsctl drop') and build anew"},
    {"image-unreadable", "the image cannot be read: drop it ('pycdsctl drop') and build anew"},
    {"image-header",
     "the header of the image is not one of this version: drop the image ('pycdsctl "
     "drop') and build anew"},
    {"image-of-another-interpreter",
     "the daemon handed out the image of another interpreter: restart "
     "it"},
    {"image-of-another-user", "the image is of another user than the process runs as"},
    {"image-base",
     "the image wants to be at an address that none may have: drop it ('pycdsctl drop') "
     "and build anew"},
    {"address-space-limit",
     "the process may not have so much address space or data: raise 'ulimit -v' and 'ulimit "
     "-d'"},
    {"no-address-space",
     "the process has no room for the image: raise its limits of memory (ulimit -v, "
     "memory.max)"},
};

constexpr Reason kMisses[] = {
    {"not-in-image", "not in an image: build one that has it ('pycdsctl build')"},
    {"source-changed", "the source has changed since the image was made: build it anew"},
    {"pyc-changed", "the .pyc has changed since the image was made: build it anew"},
    {"already-served", "handed out before in the same process, which happens once"},
    {"watched", "somebody watches imports: a tracer, a profiler, tracemalloc or an audit hook"},
    {"importlib-changed", "something replaced functions of importlib"},
    {"other-loader", "another loader than importlib's own, or loaded before the daemon was asked"},
    {"checked-hash", "--check-hash-based-pycs always is in force"},
    {"no-memory", "there was no memory left for it"},
    {"unknown", "for a reason that has no name"},
};

constexpr Reason kLeftOut[] = {
    {"no-source", "its source file cannot be read"},
    {"no-pyc", "it has no .pyc where Python looks for one: compile it (python3 -m compileall)"},
    {"pyc-unreadable", "its .pyc cannot be read, is no regular file, or is too large"},
    {"pyc-other-version", "its .pyc is of another version of Python: compile it anew"},
    {"pyc-stale", "its .pyc is not of the source as that is: compile it anew"},
    {"pyc-checked-hash",
     "its .pyc is one that is checked against the source by hash, which has to be read at each "
     "import: compile it with '--invalidation-mode timestamp'"},
    {"pyc-corrupt", "its .pyc is cut off or holds no code: compile it anew"},
    {"unexpected-constant", "its .pyc holds a constant that no compiler writes: compile it anew"},
    {"changed-while-read", "it was being written while the image was made"},
    {"not-trusted",
     "everybody maps the system's image, which therefore holds only what is root's, safe from "
     "everybody else and readable by all, with every directory above it"},
    {"duplicate", "it was named twice to whoever made the image"},
    {"bad-path", "its path is not absolute, too long, or holds a NUL"},
};

constexpr Reason kFindings[] = {
    {"no-client",
     "the interpreter does not load the client: run 'pycdsctl enable'; 'pycdsctl "
     "doctor' says more"},
    {"loaded-too-early",
     "an image has it, but it is among what Python loads before the program begins, when no "
     "daemon is asked"},
    {"import-fails", "importing it, or the packages above it, fails"},
    {"other-path",
     "an image has the same file by another path, but an import looks for it by the one that it "
     "spells: build an image with this one"},
    {"not-found", "there is no such module or file"},
};

std::string_view explain(std::span<const Reason> reasons, std::string_view name) {
    const auto found = std::find_if(reasons.begin(), reasons.end(),
                                    [&](const Reason& reason) { return reason.name == name; });
    return found != reasons.end()
               ? found->sentence
               : "this pycdsctl does not know the reason: the client is of another version";
}

}  // namespace

std::span<const Reason> refusals() {
    return kRefusals;
}

std::span<const Reason> misses() {
    return kMisses;
}

std::span<const Reason> left_out_reasons() {
    return kLeftOut;
}

std::span<const Reason> findings() {
    return kFindings;
}

std::string_view explain_refusal(std::string_view name) {
    return explain(kRefusals, name);
}

std::string_view explain_miss(std::string_view name) {
    return explain(kMisses, name);
}

std::string_view explain_left_out(std::string_view name) {
    return explain(kLeftOut, name);
}

std::string_view explain_finding(std::string_view name) {
    return explain(kFindings, name);
}

}  // namespace pycds::ctl
