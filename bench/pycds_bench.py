#!/usr/bin/env python3
"""Measures Python processes without ("off") and with ("on") the client.

A daemon must be running; script/bench starts one. Every process starts from an environment that
holds PATH, HOME and LANG, and with the client on what `pycdsctl env` prints.

Time. A round runs one process off and one on, in turns first; the ratio of a round is that of
its two neighbours in time, so a machine that becomes slower meanwhile does not matter. Reported are
medians of the values and of the ratios, and the quartiles of the ratios. Runs for the whole process
and runs for the import statement alone are apart, so that the clock inside costs the former nothing.

Memory. N processes alive at once, each having run its program and waiting; `Anonymous:` of
/proc/PID/smaps_rollup is what a process has for itself alone. (Private_Dirty would count the pages
of an image that only one process maps, shared memory being always dirty.)
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import report  # noqa: E402  (beside this file)

CLEAN = {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}
WARM_UP_ROUNDS = 2
FIELDS = ("Anonymous", "Pss", "Rss")


class Case:
    """A program to measure: some modules to import, or nothing at all."""

    def __init__(self, name, modules):
        self.name = name
        self.modules = modules
        self.code = "import " + modules if modules else ""


CASES = {case.name: case for case in (
    Case("W", "flask, requests, pymongo"),
    Case("empty", ""),
)}

# Says that the program is done, and answers one question once its memory has been looked at: the
# answer needs memory too.
LIVE_PROGRAM = """
%s
import os
os.write(1, b"ready\\n")
if os.read(0, 100):
    import json
    try:
        import _pycds
        text = json.dumps(_pycds.stats(), default=str)
    except ImportError:
        text = "null"
    os.write(1, text.encode() + b"\\n")
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


class Failure(Exception):
    pass


# ---------------------------------------------------------------------------------------------
# Processes


def run_once(python, code, environment, output="/dev/null"):
    """One process from start to end: wall and cpu milliseconds."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_TRUNC, 0),
        (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
    ]
    begin = time.perf_counter_ns()
    pid = os.posix_spawn(python, [python, "-c", code], environment, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    wall = (time.perf_counter_ns() - begin) / 1e6
    if status != 0:
        raise Failure("%s -c %r ended with status %d" % (python, code, status))
    return wall, (usage.ru_utime + usage.ru_stime) * 1e3


def timed_import(python, code, environment, scratch):
    """Milliseconds that the import statement takes inside a process."""
    run_once(python, TIMED_PROGRAM % code, environment, scratch)
    with open(scratch) as file:
        return int(file.read()) / 1e6


def in_rounds(rounds, measure):
    """Calls measure("off") and measure("on") in turns; {"off": [...], "on": [...]}."""
    values = {"off": [], "on": []}
    for number in range(WARM_UP_ROUNDS + rounds):
        for mode in ("off", "on") if number % 2 == 0 else ("on", "off"):
            value = measure(mode)
            if number >= WARM_UP_ROUNDS:
                values[mode].append(value)
    return values


def memory_of(pid):
    with open("/proc/%d/smaps_rollup" % pid) as file:
        text = file.read()
    return {field: int(re.search(r"^%s:\s+(\d+) kB" % field, text, re.M)[1]) for field in FIELDS}


def live_processes(python, code, environment, count):
    """Memory (kB, mean over `count` processes alive at once) and what their clients say."""
    processes = []
    try:
        for _ in range(count):
            processes.append(subprocess.Popen(
                [python, "-c", LIVE_PROGRAM % code], env=environment, bufsize=0,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
        for process in processes:
            if process.stdout.readline() != b"ready\n":
                raise Failure("%s -c %r ended early" % (python, code))
        memory = [memory_of(process.pid) for process in processes]
        stats = []
        for process in processes:
            process.stdin.write(b"stats\n")
            stats.append(json.loads(process.stdout.readline()))
        return {field: statistics.mean(m[field] for m in memory) for field in FIELDS}, stats
    finally:
        for process in processes:
            process.stdin.close()
        for process in processes:
            process.wait()
            process.stdout.close()


# ---------------------------------------------------------------------------------------------
# One case under one interpreter


def environments(ctl, socket, python):
    done = subprocess.run([ctl, "--socket", socket, "env", "--python", python, "--json"],
                          env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failure(done.stderr.strip())
    return {"off": dict(CLEAN), "on": {**CLEAN, **json.loads(done.stdout)}}


def measure_case(case, python, environment, rounds, live):
    result = {"time": {}, "memory": {}, "served": {}}
    if rounds:
        whole = in_rounds(rounds, lambda mode: run_once(python, case.code, environment[mode]))
        for index, name in enumerate(("wall_ms", "cpu_ms")):
            result["time"][name] = {mode: [v[index] for v in whole[mode]] for mode in whole}
        if case.code:
            with tempfile.NamedTemporaryFile() as scratch:
                result["time"]["import_ms"] = in_rounds(
                    rounds,
                    lambda mode: timed_import(python, case.code, environment[mode], scratch.name))
    for mode in ("off", "on"):
        memory, stats = live_processes(python, case.code, environment[mode], max(live, 1))
        result["memory"][mode] = memory
        served = [s.get("served", 0) if s else 0 for s in stats]
        result["served"][mode] = min(served)
        if mode == "on":
            result["stats"] = stats[0]
    return result


# ---------------------------------------------------------------------------------------------


def can_run(python, code):
    return subprocess.run([python, "-c", code], env=CLEAN, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def interpreters_here(ctl, socket):
    """Debian's interpreters that there is a client for."""
    found = []
    for name in sorted(os.listdir("/usr/bin")):
        if re.fullmatch(r"python3\.\d+", name):
            try:
                environments(ctl, socket, "/usr/bin/" + name)
            except Failure:
                continue
            found.append("/usr/bin/" + name)
    return found


def build_image(ctl, socket, python, cases):
    # The empty program gets the image of the others: an attach costs the same with any.
    modules = [case.modules for case in cases if case.modules] or [CASES["W"].modules]
    modules = [m for m in modules if can_run(python, "import " + m)] or ["json"]
    done = subprocess.run([ctl, "--socket", socket, "build", "--python", python, "--import",
                           ", ".join(modules)], env=CLEAN, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failure(done.stderr.strip())


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        epilog="Example: script/bench --case W --python /usr/bin/python3 --json result.json")
    parser.add_argument("--case", action="append", choices=sorted(CASES), dest="cases",
                        help="what to measure; several times for several (default: all)")
    parser.add_argument("--import", action="append", default=[], dest="imports", metavar="MODULES",
                        help="measure the import of these modules, separated by commas")
    parser.add_argument("--python", action="append", dest="pythons", metavar="PYTHON",
                        help="interpreter; several times for several (default: each of "
                             "/usr/bin/python3.N with a client)")
    parser.add_argument("--rounds", type=int, default=25, help="measured rounds (default: 25)")
    parser.add_argument("--live", type=int, default=20,
                        help="processes alive at once for memory (default: 20)")
    parser.add_argument("--no-build", action="store_true", help="use the images that there are")
    parser.add_argument("--json", metavar="FILE", help="also write every value to FILE")
    parser.add_argument("--ctl", default="pycdsctl", help=argparse.SUPPRESS)
    parser.add_argument("--socket", default=os.environ.get("PYCDS_SOCKET"),
                        help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.socket:
        parser.error("no daemon: run script/bench, or set PYCDS_SOCKET")
    return arguments


def main():
    arguments = parse_arguments()
    ctl = shutil.which(arguments.ctl) or arguments.ctl
    cases = [CASES[name] for name in arguments.cases or ([] if arguments.imports else CASES)]
    cases += [Case("import " + modules, modules) for modules in arguments.imports]
    pythons = arguments.pythons or interpreters_here(ctl, arguments.socket)
    if not pythons:
        raise Failure("there is no interpreter with a client")
    results = []
    nothing_served = False
    for python in pythons:
        environment = environments(ctl, arguments.socket, python)
        version = subprocess.run([python, "-c", "import sys; print(sys.version.split()[0])"],
                                 env=CLEAN, stdout=subprocess.PIPE, text=True).stdout.strip()
        runnable = []
        for case in cases:
            if can_run(python, case.code):
                runnable.append(case)
            else:
                print("%s (Python %s) cannot run '%s': left out" % (python, version, case.code),
                      file=sys.stderr)
        if not arguments.no_build:
            build_image(ctl, arguments.socket, python, runnable)
        for case in runnable:
            result = measure_case(case, python, environment, arguments.rounds, arguments.live)
            report.print_table("%s, Python %s" % (case.name, version), result, arguments.live)
            results.append({"case": case.name, "python": python, "version": version, **result,
                            "summary": {k: report.summary(v) for k, v in result["time"].items()}})
            if case.code and not result["served"]["on"]:
                nothing_served = True
                print("nothing was served with the client on; it says %s" % result["stats"],
                      file=sys.stderr)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"rounds": arguments.rounds, "live": arguments.live, "results": results},
                      file, indent=1)
            file.write("\n")
    return 1 if nothing_served or not results else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit("pycds_bench: %s" % failure)
    except KeyboardInterrupt:
        sys.exit(130)
