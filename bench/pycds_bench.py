#!/usr/bin/env python3
"""Measures Python processes without ("off") and with ("on") the client, with --run also those of
`pycdsctl run` ("run").

A daemon must be running; script/bench starts one. docs/performance.md says what is measured and
what each row means.

Time. A round runs one process off and one on, in turns first; the ratio of a round is that of
its two neighbours in time, so a machine that becomes slower meanwhile does not matter. Reported are
medians of the values and of the ratios, the quartiles of the ratios, and the ratio of the fastest
runs. Runs for the whole process and runs for the import statement alone are apart, so that the
clock inside costs the former nothing.

Memory. N processes alive at once, each having run its program and waiting; `Anonymous:` of
/proc/PID/smaps_rollup is what a process has for itself alone. (Private_Dirty would count the pages
of an image that only one process maps, shared memory being always dirty.)
"""
import argparse
import glob
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import cases as bench_cases  # noqa: E402  (beside this file)
import chart  # noqa: E402
import processes  # noqa: E402
import report  # noqa: E402
import steady  # noqa: E402
from processes import CLEAN, Failure  # noqa: E402

QUICK = {"rounds": 9, "live": "1,20", "steady_rounds": 5}
FULL = {"rounds": 31, "live": "1,20,100", "steady_rounds": 15}


def note(text):
    print("pycds_bench: " + text, file=sys.stderr, flush=True)


# ---------------------------------------------------------------------------------------------
# The daemon


class Daemon:
    def __init__(self, ctl, socket):
        self.ctl = ctl
        self.socket = socket

    def pid(self):
        return processes.peer_pid(self.socket)

    def ask(self, *arguments, environment=CLEAN, text=None):
        """The output of pycdsctl."""
        done = subprocess.run([self.ctl, "--socket", self.socket, *arguments], env=environment,
                              input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True)
        if done.returncode != 0:
            raise Failure(done.stderr.strip())
        return done.stdout

    def environments(self, python):
        on = {**CLEAN, **json.loads(self.ask("env", "--python", python, "--json"))}
        return {"off": dict(CLEAN), "on": on, "run": on}

    def prefix(self, mode):
        """What stands before the interpreter. Its own time counts: somebody waits for it."""
        return [self.ctl, "--socket", self.socket, "run", "--quiet", "--"] if mode == "run" else []

    def images(self, version):
        images = json.loads(self.ask("list", "--json"))["images"]
        return [image for image in images if image["python"].split()[0] == version]

    def build(self, python, modes, *arguments, **options):
        self.ask("build", "--python", python, *arguments, **options)
        if "run" in modes:
            self.ask("build", "--run", "--python", python, *arguments, **options)

    def build_machine(self, python, modes, extra):
        """All that the interpreter can import, and what is in the directory `extra`."""
        self.build(python, modes, "--all", environment={**CLEAN, "PYTHONPATH": extra})

    def build_workload(self, python, modes, cases, extra):
        """Only what the programs import, and what is in the directory `extra`."""
        lines = [os.path.join(extra, name) for name in steady.archived_names()]
        for case in cases:
            with processes.live(python, case.program, CLEAN, 1, case.directory) as (process,):
                lines += processes.asked(process)["sources"]
            if case.arguments[0] == "-m":
                lines.append(case.arguments[1] + ".__main__")
            # What a program has of its own stays out, as in an image of the whole machine.
            lines = [line for line in lines if not line.startswith(case.directory or "\0")]
        self.build(python, modes, "--trace", "-", text="\n".join(lines) + "\n")


def interpreters_here(daemon, everywhere=False):
    """Debian's interpreters that there is a client for; or also those of pyenv."""
    candidates = ["/usr/bin/" + name for name in os.listdir("/usr/bin")
                  if re.fullmatch(r"python3\.\d+", name)]
    if everywhere:
        pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
        candidates += glob.glob(glob.escape(pyenv) + "/versions/3.*/bin/python3.[0-9]*[0-9]")
    found = []
    for python in sorted(candidates, key=lambda path: (len(path), path)):
        try:
            daemon.environments(python)
        except Failure as failure:
            note("%s is left out: %s" % (python, failure))
            continue
        found.append(python)
    return found


# ---------------------------------------------------------------------------------------------
# One case under one interpreter


def measure_time(case, python, environment, rounds, daemon, modes):
    command = [python] + case.arguments
    whole = processes.in_rounds(
        rounds, lambda mode: processes.run_once(daemon.prefix(mode) + command, environment[mode],
                                                directory=case.directory), modes)
    result = {name: {mode: [value[index] for value in whole[mode]] for mode in whole}
              for index, name in enumerate(("wall_ms", "cpu_ms"))}
    if case.statement:
        with tempfile.NamedTemporaryFile() as scratch:
            result["import_ms"] = processes.in_rounds(
                rounds, lambda mode: processes.timed_statement(
                    python, case.statement, environment[mode], scratch.name, daemon.prefix(mode)),
                modes)
    return result


def measure_memory(case, python, environment, count, daemon, daemon_pid, image_kb, modes):
    result = {"image_kb": image_kb}
    stats = {}
    for mode in modes:
        with processes.live(python, case.program, environment[mode], count,
                            case.directory, daemon.prefix(mode)) as alive:
            result[mode] = [processes.memory_of(process.pid) for process in alive]
            if mode == "on" and daemon_pid is not None:
                # While they map the image: what they map of it counts for them, not twice.
                result["daemon"] = processes.memory_of(daemon_pid)
            if mode != "off":
                stats[mode] = processes.asked(alive[0])["stats"]
    return result, stats


def measure_case(case, python, environment, options, daemon, image_kb, modes):
    result = {"case": case.name, "title": case.title, "time": {}, "memory": {}}
    if options.rounds:
        result["time"] = measure_time(case, python, environment, options.rounds, daemon, modes)
    largest = 0
    for count in options.live or [1]:
        if largest * count > 0.7 * processes.available_kb():
            note("%s: %d live processes do not fit into memory: left out" % (case.name, count))
            continue
        memory, stats = measure_memory(case, python, environment, count, daemon,
                                       daemon.pid() if options.live else None, image_kb, modes)
        largest = max(process["Rss"] for mode in modes for process in memory[mode])
        if options.live:
            result["memory"][str(count)] = memory
        result["stats"] = stats["on"]
        result["served"] = (stats["on"] or {}).get("served", 0)
        if "run" in modes:
            result["run_stats"] = stats["run"]
    return result


def with_summaries(result):
    return {**result,
            "time_summary": {key: report.summary(v) for key, v in result["time"].items()},
            "memory_summary": {n: report.memory_summary(m) for n, m in result["memory"].items()}}


def measure_steady(python, version, environment, scratch, rounds):
    found = {}
    for variant in steady.VARIANTS:
        values, reason = steady.measure(python, variant, environment, scratch, rounds)
        if values is None:
            note("steady state, %s (Python %s): left out: %s" % (variant, version, reason))
            continue
        report.print_steady(variant, version, values)
        found[variant] = {case: {"ns": ns, "summary": steady.summary(ns, steady.copies_of(variant))}
                          for case, ns in values.items()}
    return found


def is_randomised(python):
    """Has it a library whose place in memory differs from process to process?"""
    code = "print([line for line in open('/proc/self/maps') if '/libpython3.' in line] != [])"
    return subprocess.run([python, "-I", "-S", "-c", code], env=CLEAN, stdout=subprocess.PIPE,
                          text=True).stdout.strip() == "True"


def measure_interpreter(python, all_cases, options, daemon, scratch):
    environment = daemon.environments(python)
    randomised = is_randomised(python)
    modes = ("off", "on", "run") if options.run and randomised else ("off", "on")
    version = subprocess.run([python, "-c", "import sys; print(sys.version.split()[0])"],
                             env=CLEAN, stdout=subprocess.PIPE, text=True).stdout.strip()
    runnable = []
    for case in all_cases:
        reason = processes.try_to_run([python] + case.arguments, case.directory)
        if reason is None:
            runnable.append(case)
        else:
            note("'%s' (Python %s) is left out: %s" % (case.title, version, reason))
    steady.compile_modules(python, scratch)
    if options.build:
        archived = os.path.join(scratch, "archived")
        if options.image == "machine":
            daemon.build_machine(python, modes, archived)
        else:
            daemon.build_workload(python, modes, runnable, archived)
    images = daemon.images(version)
    image_kb = sum(image["size"] for image in images) // 1024
    print("Python %s, %s: image of %d modules, %.1f MiB\n"
          % (version, python, sum(image["modules"] for image in images), image_kb / 1024),
          flush=True)
    result = {"python": python, "version": version, "randomised": randomised, "images": images,
              "cases": [], "steady": {}}
    for case in runnable if options.steady != "only" else []:
        measured = measure_case(case, python, environment, options, daemon, image_kb, modes)
        for mode in modes[1:]:
            report.print_case(report.as_on(measured, mode), version, mode)
        result["cases"].append(with_summaries(measured))
        # The empty process, too, is attached; it only has nothing to ask for.
        attached = (measured["stats"] or {}).get("attached")
        if not attached or (case.program and not measured["served"]):
            result["nothing_served"] = True
            note("nothing was served with the client on; it says %s" % measured["stats"])
    if options.steady:
        result["steady"] = measure_steady(python, version, environment, scratch,
                                          options.steady_rounds)
    return result


# ---------------------------------------------------------------------------------------------


def machine():
    with open("/proc/cpuinfo") as file:
        models = re.findall(r"^model name\s*: (.*)", file.read(), re.M)
    return {"kernel": platform.release(), "cpus": os.cpu_count(), "cpu": (models or ["?"])[0]}


def write_values(path, **values):
    """Every value that was measured, and where."""
    with open(path, "w") as file:
        json.dump({"machine": machine(), **values}, file, indent=1)
        file.write("\n")


def numbers(text):
    values = sorted({int(part) for part in text.split(",") if part})
    return [value for value in values if value > 0]


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="script/bench", description=__doc__.split("\n\n")[0],
        epilog="Examples: script/bench --case W --python /usr/bin/python3 --json result.json; "
               "script/bench --full --svg docs/bench.svg. `script/bench backends` compares memfds "
               "with files.")
    parser.add_argument("--case", action="append", choices=bench_cases.NAMES, dest="cases",
                        help="what to measure; several times for several (default: all)")
    parser.add_argument("--import", action="append", default=[], dest="imports", metavar="MODULES",
                        help="measure the import of these modules, separated by commas")
    parser.add_argument("--python", action="append", dest="pythons", metavar="PYTHON",
                        help="interpreter; several times for several (default: each of "
                             "/usr/bin/python3.N with a client)")
    parser.add_argument("--full", action="store_true",
                        help="as for docs/performance.md: --rounds %(rounds)d --live %(live)s "
                             "--steady --steady-rounds %(steady_rounds)d; takes long" % FULL)
    parser.add_argument("--rounds", type=int,
                        help="measured rounds, 0: no times (default: %(rounds)d)" % QUICK)
    parser.add_argument("--live", type=numbers, metavar="N,...",
                        help="processes alive at once for memory, 0: no memory (default: %(live)s)"
                             % QUICK)
    parser.add_argument("--steady", nargs="?", const="also", choices=("also", "only"),
                        help="measure the speed of steady state, too (or only that)")
    parser.add_argument("--steady-rounds", type=int,
                        help="rounds of it (default: %(steady_rounds)d)" % QUICK)
    parser.add_argument("--run", action="store_true",
                        help="measure processes of `pycdsctl run`, too, where the interpreter is "
                             "randomised")
    parser.add_argument("--table", action="store_true",
                        help="W for every interpreter that has a client, with --run, and in the end "
                             "the table of README.md")
    parser.add_argument("--image", choices=("machine", "workload"), default="machine",
                        help="build an image of all that the interpreter can import, or of what "
                             "the programs import (default: machine)")
    processes.add_common_options(parser)
    parser.add_argument("--svg", metavar="FILE", type=os.path.abspath,
                        help="also draw a chart into FILE")
    options = parser.parse_args()
    if not options.socket:
        parser.error("no daemon: run script/bench, or set PYCDS_SOCKET")
    if options.table:
        options.run = True
        options.cases = options.cases or ["W"]
    preset = FULL if options.full else QUICK
    options.steady = options.steady or ("also" if options.full else None)
    options.rounds = preset["rounds"] if options.rounds is None else options.rounds
    options.live = numbers(preset["live"]) if options.live is None else options.live
    options.steady_rounds = options.steady_rounds or preset["steady_rounds"]
    return options


def main():
    options = parse_arguments()
    options.socket = os.path.abspath(options.socket)
    daemon = Daemon(os.path.abspath(shutil.which(options.ctl) or options.ctl), options.socket)
    pythons = options.pythons or interpreters_here(daemon, everywhere=options.table)
    if not pythons:
        raise Failure("there is no interpreter with a client")
    with tempfile.TemporaryDirectory(prefix="pycds-bench.") as scratch:
        steady.prepare(scratch)
        known = bench_cases.all_cases(scratch)
        wanted = options.cases or ([] if options.imports else bench_cases.NAMES)
        cases = [known[name] for name in bench_cases.NAMES if name in wanted]
        cases += [bench_cases.import_case("import " + modules, "import " + modules, modules)
                  for modules in options.imports]
        results = [measure_interpreter(shutil.which(python) or python, cases, options, daemon,
                                       scratch) for python in pythons]
    if options.table:
        print(report.table(results))
    if options.json:
        write_values(options.json, rounds=options.rounds, live=options.live,
                     image=options.image if options.build else "as found", interpreters=results)
    if options.svg:
        with open(options.svg, "w") as file:
            file.write(chart.draw(results))
    nothing_measured = not any(result["cases"] or result["steady"] for result in results)
    return 1 if nothing_measured or any(r.get("nothing_served") for r in results) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit("pycds_bench: %s" % failure)
    except KeyboardInterrupt:
        sys.exit(130)
