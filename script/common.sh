# shellcheck shell=bash
# What the scripts here share; sourced, with bash.
#
# Sets: root, the top of the source tree. Leaves the environment such that what runs next does not
# depend on the caller's Python settings.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

for variable in $(compgen -e | grep -E '^(PYTHON|PYCDS_(SOCKET|STATS)$|PYCDS$)'); do
    unset "$variable"
done
export LANG=C.UTF-8 LC_ALL=C.UTF-8
# Debian's own interpreter, whatever version managers put in front of it.
export PATH=/usr/bin:/bin:/usr/sbin:/sbin:$PATH

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }

# configure PRESET [OPTION...]: quiet unless it fails.
configure() {
    local preset=$1 log
    shift
    log=$(mktemp)
    if ! (cd "$root" && cmake --preset "$preset" "$@") >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# build PRESET [TARGET...]
build() {
    local preset=$1
    shift
    (cd "$root" && cmake --build --preset "$preset" ${1:+--target "$@"}) >&2
}

# What is measured is read there, and programs find themselves there.
need_proc() {
    [ -r /proc/self/smaps_rollup ] || die "there is no /proc here: mount -t proc proc /proc"
}

# start_daemon BIN: a private daemon in a temporary directory that goes, with it, when the script
# ends, however it does. Sets: socket, private (the directory).
start_daemon() {
    local bin=$1 i
    private=$(mktemp -d "${TMPDIR:-/tmp}/pycds.XXXXXX")
    socket=$private/pycdsd.sock
    daemon_pid=
    trap stop_daemon EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # A session of its own would outlive a Ctrl-C; a background job of a script ignores it anyway.
    "$bin/pycdsd" --user --socket "$socket" >"$private/log" 2>&1 </dev/null &
    daemon_pid=$!
    for ((i = 0; i < 100; ++i)); do
        if "$bin/pycdsctl" --socket "$socket" status >/dev/null 2>&1; then return 0; fi
        kill -0 "$daemon_pid" 2>/dev/null || break
        sleep 0.1
    done
    cat "$private/log" >&2
    die "the daemon did not come up; its log is above"
}

stop_daemon() {
    local status=$?
    if [ -n "${daemon_pid:-}" ]; then
        kill "$daemon_pid" 2>/dev/null || true
        wait "$daemon_pid" 2>/dev/null || true
    fi
    rm -rf "$private"
    exit $status
}
