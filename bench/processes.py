"""Runs the processes that are measured, and looks at their time and memory.

Every one starts from an environment that holds PATH, HOME and LANG, and with the client on what
`pycdsctl env` prints: nothing of the caller's settings is in it.
"""
import argparse
import contextlib
import fnmatch
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import time

CLEAN = {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}
WARM_UP_ROUNDS = 2
# Pss_Shmem is what Pss counts of an image's shared pages; all kB.
FIELDS = ("Anonymous", "Pss", "Pss_Shmem", "Rss")

# Reports over a descriptor of its own, so that the program may print, and answers questions only
# once its memory has been looked at: answers need memory too.
LIVE_PROGRAM = """
import os
_report = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
%s
(lambda: None)()  # goes on after its imports, as programs do
os.write(_report, b"ready\\n")
if os.read(0, 100):
    try:
        import _pycds
        stats = _pycds.stats()
    except ImportError:
        stats = None
    import json, sys
    sources = []
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        origin = getattr(spec, "origin", None)
        if isinstance(origin, str) and origin[:1] == "/" and origin.endswith(".py"):
            sources.append(origin)
    with os.fdopen(_report, "w") as file:
        file.write(json.dumps({"sources": sources, "stats": stats}, default=str) + "\\n")
    os.read(0, 100)
"""

TIMED_PROGRAM = """
import time
begin = time.perf_counter_ns()
%s
end = time.perf_counter_ns()
import os
os.write(1, b"%%d" %% (end - begin))
"""


def add_common_options(parser):
    """What every program that measures takes; the daemon's place is the business of script/bench."""
    parser.add_argument("--no-build", action="store_false", dest="build",
                        help="use the images that there are")
    parser.add_argument("--json", metavar="FILE", type=os.path.abspath,
                        help="also write every value to FILE")
    parser.add_argument("--ctl", default="pycdsctl", help=argparse.SUPPRESS)
    parser.add_argument("--socket", default=os.environ.get("PYCDS_SOCKET"),
                        help=argparse.SUPPRESS)


class Failure(Exception):
    pass


# ---------------------------------------------------------------------------------------------
# Time


def run_once(command, environment, output="/dev/null", directory=None):
    """One process from start to end: wall and cpu milliseconds."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_TRUNC, 0),
        (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
    ]
    # posix_spawn has no working directory; the process that measures has no use for its own.
    if directory is not None:
        os.chdir(directory)
    begin = time.perf_counter_ns()
    pid = os.posix_spawn(command[0], command, environment, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    wall = (time.perf_counter_ns() - begin) / 1e6
    if directory is not None:
        os.chdir("/")
    if status != 0:
        raise Failure("%r ended with status %d" % (command, status))
    return wall, (usage.ru_utime + usage.ru_stime) * 1e3


def timed_statement(python, statement, environment, scratch, prefix=()):
    """Milliseconds that a statement takes inside a process."""
    run_once([*prefix, python, "-c", TIMED_PROGRAM % statement], environment, scratch)
    with open(scratch) as file:
        return int(file.read()) / 1e6


def in_rounds(rounds, measure, modes=("off", "on"), warm_up=WARM_UP_ROUNDS):
    """Calls measure(mode) for each mode in turns, in an order that changes from round to round;
    {mode: [value of each round]}."""
    values = {mode: [] for mode in modes}
    for number in range(warm_up + rounds):
        shift = number % len(modes)
        for mode in modes[shift:] + modes[:shift]:
            value = measure(mode)
            if number >= warm_up:
                values[mode].append(value)
    return values


def private_python(python, directory, without):
    """An interpreter of its own below a directory, the library's entries being links, but for those
    whose name matches `without`: (program, directory of the library, suffix of extension modules,
    X.Y.Z)."""
    facts = subprocess.run(
        [python, "-I", "-S", "-c",
         "import os, sys, _imp\n"
         "print(os.path.dirname(os.__file__), _imp.extension_suffixes()[0], "
         "'%d.%d.%d' % sys.version_info[:3])"],
        env=CLEAN, stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout.split()
    real, suffix, version = facts
    name = "python" + version.rpartition(".")[0]
    program = os.path.join(directory, "bin", name)
    library = os.path.join(directory, "lib", name)
    os.makedirs(os.path.dirname(program))
    os.makedirs(library)
    for entry in os.listdir(real):
        if not fnmatch.fnmatch(entry, without):
            os.symlink(os.path.join(real, entry), os.path.join(library, entry))
    shutil.copy2(os.path.realpath(python), program)
    return program, library, suffix, version


# ---------------------------------------------------------------------------------------------
# Memory


def memory_of(pid):
    try:
        with open("/proc/%d/smaps_rollup" % pid) as file:
            text = file.read()
    except OSError as error:
        raise Failure("cannot see the memory of process %d (%s): measure as the user that it "
                      "belongs to or as root, or use --live 0" % (pid, error.strerror)) from error
    found = {field: re.search(r"^%s:\s+(\d+) kB" % field, text, re.M) for field in FIELDS}
    return {field: int(match[1]) if match else 0 for field, match in found.items()}


def available_kb():
    with open("/proc/meminfo") as file:
        return int(re.search(r"^MemAvailable:\s+(\d+)", file.read(), re.M)[1])


def peer_pid(path):
    """The process that listens at a Unix socket, by the kernel's word."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as connection:
        connection.connect(path)
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", peer)[0]


@contextlib.contextmanager
def live(python, program, environment, count, directory=None, prefix=()):
    """Processes that have run `program` and wait."""
    processes = []
    try:
        for _ in range(count):
            processes.append(subprocess.Popen(
                [*prefix, python, "-c", LIVE_PROGRAM % program], env=environment, bufsize=0, cwd=directory,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
        for process in processes:
            if process.stdout.readline() != b"ready\n":
                raise Failure("%s -c %r ended early" % (python, program))
        yield processes
    finally:
        for process in processes:
            process.stdin.close()
        for process in processes:
            process.wait()
            process.stdout.close()


def asked(process):
    """What a live process says of itself: {"sources": [...], "stats": {...} or None}."""
    process.stdin.write(b"what?\n")
    return json.loads(process.stdout.readline())


def try_to_run(command, directory=None):
    """None if the command succeeds with the client off, else the last thing that it said."""
    done = subprocess.run(command, env=CLEAN, cwd=directory, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          errors="replace")
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or ["status %d" % done.returncode])[-1]
