#!/usr/bin/python3
"""Measures what a user's starts are like while another user does his worst with the daemon.

As root: the victim and the attackers have uids of their own. Three kinds of rounds alternate: quiet; busy,
where as many processes as there are attackers want the processor, and nothing of the daemon; attack. Who
gets which share of the processor is the machine's business (CPUWeight=), so the others are nice; what the
daemon adds is the third against the second. For script/bench attack.
"""
import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import processes
from pycds_bench import Daemon, write_values
from storm import percentile, with_priority

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/integration"))
import attackers  # noqa: E402

VICTIM, ATTACKER = 65534, 1
PROGRAM = "import argparse, json, logging, urllib.request"
KINDS = tuple(kind.__name__ for kind in attackers.ATTACKS)


@contextlib.contextmanager
def own_daemon(ctl):
    """One for all users, as the system's."""
    with tempfile.TemporaryDirectory(prefix="pycds-attack.") as directory:
        os.chmod(directory, 0o755)
        socket = os.path.join(directory, "d.sock")
        with open(os.path.join(directory, "log"), "wb") as log:
            process = subprocess.Popen(
                [os.path.join(os.path.dirname(ctl), "pycdsd"), "--config", "/dev/null", "--discover",
                 "false", "--socket", socket], env=processes.CLEAN, stderr=log, stdout=log)
        daemon = Daemon(ctl, socket)
        for _ in range(1000):
            with contextlib.suppress(processes.Failure):
                daemon.ask("status")
                break
            time.sleep(0.01)
        try:
            yield daemon, directory
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def start_others(kind, count, daemon, request, nice):
    if kind == "quiet":
        return []
    if kind == "attack":
        others = [attackers.start(name, ATTACKER, daemon.socket, request, 600)
                  for name in KINDS * count]
    else:
        others = [subprocess.Popen(["/usr/bin/python3", "-c", "while True: pass"], user=ATTACKER,
                                   env=processes.CLEAN) for _ in KINDS * count]
    for other in others:
        os.setpriority(os.PRIO_PROCESS, other.pid, nice)
    return others


def end_others(others):
    for other in others:
        other.kill()
        other.wait()
        if other.stdin:
            other.stdin.close()
            other.stdout.close()


def starts(python, environment, number):
    """([milliseconds], [milliseconds of asking the daemon], processes that were not served)"""
    took, asked, unserved = [], [], 0
    for _ in range(number):
        began = time.perf_counter()
        done = subprocess.run(
            [python, "-c", PROGRAM + "\nimport _pycds\nstats = _pycds.stats()\n"
             "print(int(stats['attached']), stats['attach_us']['ask'])"],
            env=environment, user=VICTIM, group=VICTIM, extra_groups=[], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, check=True)
        took.append((time.perf_counter() - began) * 1e3)
        attached, ask = done.stdout.split()
        asked.append(float(ask) / 1e3)
        unserved += attached != b"1"
    return took, asked, unserved


def main():
    parser = argparse.ArgumentParser(prog="script/bench attack",
                                     description=__doc__.split("\n\n")[0])
    parser.add_argument("--python", default="/usr/bin/python3", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=5, help="of each kind (default: %(default)d)")
    parser.add_argument("--starts", type=int, default=100, help="of a round (default: %(default)d)")
    parser.add_argument("--attackers", type=int, default=1,
                        help="of each of %s (default: %%(default)d)" % ", ".join(KINDS))
    parser.add_argument("--nice", type=int, default=10, help="of the attackers (default: %(default)d)")
    parser.add_argument("--json", metavar="FILE", type=os.path.abspath)
    parser.add_argument("--ctl", default="pycdsctl", help=argparse.SUPPRESS)
    parser.add_argument("--socket", help=argparse.SUPPRESS)  # of no use: the daemon is our own
    options = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("needs root, to be several users")
    values = {kind: [] for kind in ("quiet", "busy", "attack")}
    asking = {kind: [] for kind in values}
    unserved = dict.fromkeys(values, 0)
    with own_daemon(os.path.abspath(shutil.which(options.ctl) or options.ctl)) as (daemon, directory):
        with_priority(daemon.pid(), -10)
        daemon.ask("build", "--python", options.python, "argparse", "json", "logging", "urllib",
                   "email", "http", "re")
        environment = daemon.environments(options.python)["on"]
        request = attackers.ordinary_request(options.python, environment, directory)
        for number in range(options.rounds + 1):
            for kind in values:
                others = start_others(kind, options.attackers, daemon, request, options.nice)
                try:
                    time.sleep(0.5)  # until they are at it
                    took, asked, without = starts(options.python, environment, options.starts)
                finally:
                    end_others(others)
                if number:  # the first is for warming up
                    values[kind] += took
                    asking[kind] += asked
                    unserved[kind] += without
    print("| %d starts, ms | p50 | p99 | slowest | asking: p50 | p99 | slowest | not served |" %
          len(values["quiet"]))
    print("|---|---|---|---|---|---|---|---|")
    for kind, took in values.items():
        print("| %s | %s | %d |" % (kind, " | ".join(
            "%.2f" % percentile(of_kind, percent) for of_kind in (took, asking[kind])
            for percent in (50, 99, 100)), unserved[kind]))
    for other in ("quiet", "busy"):
        print("p99 under attack over %s: %.3f" % (
            other, percentile(values["attack"], 99) / percentile(values[other], 99)))
    if options.json:
        write_values(options.json, values=values, asking=asking, unserved=unserved)


if __name__ == "__main__":
    try:
        main()
    except processes.Failure as failure:
        sys.exit("attack: %s" % failure)
