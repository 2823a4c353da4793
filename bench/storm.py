#!/usr/bin/python3
"""Measures what a machine sees when many Python processes start at once, and what a start pays for
being served: attaching, storms, and a daemon that is not there. For script/bench storm.

Runs with the client on and off alternate; a ratio is that of two neighbours in time.
"""
import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import processes
from cases import WORKLOAD
from pycds_bench import Daemon, interpreters_here, write_values

W = "import " + WORKLOAD
PERCENTS = (50, 90, 99, 100)

# Prints how long attaching took, and why it failed.
ATTACH = """
import json
import _pycds
stats = _pycds.stats()
import os
os.write(1, json.dumps([stats["attach_us"], stats["reason"]]).encode())
"""
# The same of a process of a storm, once it has done its work.
ATTACH_IN_STORM = W + "\n" + ATTACH


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


# ---------------------------------------------------------------------------------------------
# One at a time


def attach_times(python, environment, rounds):
    """{part: [microseconds]}, as the client measures them: asking the daemon, mapping its images,
    and making their strings those of the process."""
    values = {}
    for number in range(processes.WARM_UP_ROUNDS + rounds):
        said = subprocess.run([python, "-c", ATTACH], env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, check=True).stdout
        took, reason = json.loads(said)
        if reason is not None:
            raise processes.Failure("not attached: %s" % reason)
        if number >= processes.WARM_UP_ROUNDS:
            for part, microseconds in took.items():
                values.setdefault(part, []).append(microseconds)
    return values


def one_at_a_time(python, statement, environments, rounds):
    """{mode: [milliseconds of whole processes]}"""
    return processes.in_rounds(
        rounds, lambda mode: processes.run_once([python, "-c", statement], environments[mode])[0],
        modes=tuple(environments))


def stopped(python, daemon, rounds):
    """{mode: [milliseconds of `import json`]} of an interpreter that is off, on while the service is
    stopped (its hook leads to what pycdsd.socket has removed), and on while nothing listens at the
    socket (as where pycdsd is started by hand)."""
    with tempfile.TemporaryDirectory(prefix="pycds-storm.") as directory:
        client = daemon.environments(python)["on"]["PYTHONPATH"].split(":")[0]
        clients = {"off": None, "stopped": os.path.join(directory, "nothing"), "no socket": client}
        pythons = {}
        for mode, client in clients.items():
            # Without a hook of this machine's own.
            program, library, suffix, _ = processes.private_python(
                python, os.path.join(directory, mode.replace(" ", "-")), "sitecustomize.*.so")
            if client is not None:
                os.symlink(os.path.join(client, "_pycds" + suffix),
                           os.path.join(library, "sitecustomize" + suffix))
            pythons[mode] = program
        environment = dict(processes.CLEAN, PYCDS_SOCKET=daemon.socket + ".absent")
        return processes.in_rounds(
            rounds,
            lambda mode: processes.run_once([pythons[mode], "-c", "import json"], environment)[0],
            modes=tuple(clients))


# ---------------------------------------------------------------------------------------------
# All at once


@contextlib.contextmanager
def prompt():
    """Who starts processes is not to wait for them: with posix_spawn, or with a processor's share
    like theirs, the last would be started when the first have ended. What it starts is as ever."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        print("storm: not root: starting takes its turn among the started", file=sys.stderr)
    yield
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def start(command, environment, output):
    pid = os.fork()
    if pid:
        return pid
    try:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 2)
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT, 0o600) if output else null, 1)
        os.execve(command[0], command, environment)
    finally:
        os._exit(127)


def storm(command, environment, count, outputs=None):
    """(milliseconds until the last one has ended, [milliseconds of each], milliseconds of
    processor time of each on average)"""
    began, took, cpu = {}, [], 0
    with prompt():
        begin = time.perf_counter()
        for number in range(count):
            moment = time.perf_counter()
            output = outputs and os.path.join(outputs, str(number))
            began[start(command, environment, output)] = moment
        for _ in range(count):
            pid, status, usage = os.wait4(-1, 0)
            end = time.perf_counter()
            if status != 0:
                raise processes.Failure("a process of the storm ended with status %d" % status)
            took.append((end - began[pid]) * 1e3)
            cpu += usage.ru_utime + usage.ru_stime
    return (end - begin) * 1e3, took, cpu * 1e3 / count


def storms(python, environments, count, rounds):
    """{mode: {"total": [ms of each storm], "single": [[ms of each start] of each storm],
    "cpu": [ms a start of each storm]}}"""
    measured = processes.in_rounds(
        rounds, lambda mode: storm([python, "-c", W], environments[mode], count), warm_up=1)
    return {mode: dict(zip(("total", "single", "cpu"), map(list, zip(*values))))
            for mode, values in measured.items()}


def attaching_in_storm(python, environment, count):
    """([microseconds for asking, of all], {reason of those that did not: how many})"""
    with tempfile.TemporaryDirectory(prefix="pycds-storm.") as outputs:
        storm([python, "-c", ATTACH_IN_STORM], environment, count, outputs)
        took, reasons = [], {}
        for name in os.listdir(outputs):
            with open(os.path.join(outputs, name)) as file:
                microseconds, reason = json.load(file)
            took.append(microseconds["ask"])
            if reason is not None:
                reasons[reason] = reasons.get(reason, 0) + 1
    return took, reasons


# ---------------------------------------------------------------------------------------------
# What is printed


def ratio(on, off):
    """Median of the ratios of neighbours."""
    return statistics.median(mine / other for mine, other in zip(on, off))


def summary_of_storms(measured):
    summary = {"total_ms": {mode: statistics.median(values["total"])
                            for mode, values in measured.items()},
               "total_ratio": ratio(measured["on"]["total"], measured["off"]["total"]),
               "cpu_ms": {mode: statistics.median(values["cpu"])
                          for mode, values in measured.items()},
               "cpu_ratio": ratio(measured["on"]["cpu"], measured["off"]["cpu"]),
               "single_ms": {}, "single_ratio": {}}
    for percent in PERCENTS:
        each = {mode: [percentile(one, percent) for one in values["single"]]
                for mode, values in measured.items()}
        summary["single_ms"][percent] = {mode: statistics.median(values)
                                         for mode, values in each.items()}
        summary["single_ratio"][percent] = ratio(each["on"], each["off"])
    return summary


def measure(python, daemon, options):
    version = subprocess.run([python, "-c", "import sys; print(sys.version.split()[0])"],
                             env=processes.CLEAN, stdout=subprocess.PIPE, text=True).stdout.strip()
    environment = daemon.environments(python)
    if options.build:
        daemon.build_machine(python, ("off", "on"), "/nonexistent")
    print("Python %s, %s, %d processors\n" % (version, python, os.cpu_count()))
    result = {"python": python, "version": version}

    took = attach_times(python, environment["on"], options.rounds)
    result["attach_us"] = took
    took["attach (ask and map)"] = [sum(both) for both in zip(took["ask"], took["map"])]
    for part, values in took.items():
        quartiles = statistics.quantiles(values, n=4)
        print("%s, us: median %.0f, quartiles %.0f to %.0f, fastest %.0f (%d processes)" % (
            part, statistics.median(values), quartiles[0], quartiles[2], min(values), len(values)))

    absent = dict(environment["on"], PYCDS_SOCKET=daemon.socket + ".absent")
    modes = {"off": environment["off"], "on": environment["on"], "no daemon": absent}
    for name, statement in (("import json", "import json"), ("W", W)):
        values = one_at_a_time(python, statement, modes, options.rounds)
        result["alone_" + name.replace(" ", "_")] = values
        medians = {mode: statistics.median(of_mode) for mode, of_mode in values.items()}
        late = statistics.median(a - b for a, b in zip(values["no daemon"], values["off"]))
        print("%s alone, ms: off %.2f, on %.2f (ratio %.3f), client without daemon %.2f (%+.2f)" % (
            name, medians["off"], medians["on"], ratio(values["on"], values["off"]),
            medians["no daemon"], late))

    values = stopped(python, daemon, options.stops)
    result["stopped"] = values
    for mode in ("stopped", "no socket"):
        late = [mine - other for mine, other in zip(values[mode], values["off"])]
        quartiles = statistics.quantiles(late, n=4)
        print("import json by the hook, %s: %+.3f ms (median of %d pairs, quartiles %+.3f to "
              "%+.3f)" % ("daemon stopped" if mode == "stopped" else mode, statistics.median(late),
                          len(late), quartiles[0], quartiles[2]))
    if options.storms == 0:
        return result
    measured = storms(python, environment, options.processes, options.storms)
    summary = summary_of_storms(measured)
    result["storm"] = {"processes": options.processes, "measured": measured, "summary": summary}
    print("\n%d starts of W at once, %d storms of each kind\n" % (
        options.processes, options.storms))
    print("| ms | off | on | on / off |")
    print("|---|---|---|---|")
    print("| until the last has ended | %.0f | %.0f | %.3f |" % (
        summary["total_ms"]["off"], summary["total_ms"]["on"], summary["total_ratio"]))
    print("| processor time of a start | %.1f | %.1f | %.3f |" % (
        summary["cpu_ms"]["off"], summary["cpu_ms"]["on"], summary["cpu_ratio"]))
    for percent in PERCENTS:
        of_percent = summary["single_ms"][percent]
        print("| a single start, %s | %.0f | %.0f | %.3f |" % (
            "slowest" if percent == 100 else "p%d" % percent, of_percent["off"], of_percent["on"],
            summary["single_ratio"][percent]))
    took, reasons = attaching_in_storm(python, environment["on"], options.processes)
    result["storm"]["attach_us"], result["storm"]["not_attached"] = took, reasons
    print("\nasking the daemon in a storm, ms: " + ", ".join(
        "%s %.2f" % ("slowest" if percent == 100 else "p%d" % percent,
                     percentile(took, percent) / 1e3) for percent in PERCENTS) +
        "; not attached: %s\n" % (reasons or "none"))
    return result


def with_priority(pid, nice):
    """As the service has it (Nice= in systemd/pycdsd.service), each of its threads."""
    try:
        for task in os.listdir("/proc/%d/task" % pid):
            os.setpriority(os.PRIO_PROCESS, int(task), nice)
    except PermissionError:
        print("storm: not root: the daemon keeps the priority of all others", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(prog="script/bench storm",
                                     description=__doc__.split("\n\n")[0])
    parser.add_argument("--python", action="append", dest="pythons", metavar="PYTHON",
                        help="interpreter; several times for several (default: each of "
                             "/usr/bin/python3.N with a client)")
    parser.add_argument("--processes", type=int, default=200,
                        help="of a storm (default: %(default)d)")
    parser.add_argument("--storms", type=int, default=5,
                        help="measured storms of each kind; 0: none (default: %(default)d)")
    parser.add_argument("--stops", type=int, default=201,
                        help="measured processes without a daemon (default: %(default)d)")
    parser.add_argument("--rounds", type=int, default=41,
                        help="measured processes of each kind, one at a time "
                             "(default: %(default)d)")
    parser.add_argument("--nice", type=int, default=-10,
                        help="priority of the daemon, as root (default: %(default)d, as its unit)")
    processes.add_common_options(parser)
    options = parser.parse_args()
    if not options.socket:
        parser.error("no daemon: run script/bench storm, or set PYCDS_SOCKET")
    daemon = Daemon(os.path.abspath(shutil.which(options.ctl) or options.ctl),
                    os.path.abspath(options.socket))
    with_priority(daemon.pid(), options.nice)
    pythons = options.pythons or interpreters_here(daemon)
    if not pythons:
        raise processes.Failure("there is no interpreter with a client")
    results = [measure(shutil.which(python) or python, daemon, options) for python in pythons]
    if options.json:
        write_values(options.json, nice=options.nice, interpreters=results)


if __name__ == "__main__":
    try:
        main()
    except processes.Failure as failure:
        sys.exit("storm: %s" % failure)
    except KeyboardInterrupt:
        sys.exit(130)
