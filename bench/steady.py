"""Speed of code that has been running for a while: nothing of a start is in these numbers.

A round runs three processes, in turns: one on and two off. Off against off is the noise floor:
what the same measurement says when there is nothing to find. A process times each case by the best
of several loops (steady/pycds_bench_loop.py); rounds give medians of the ratios of neighbours.
"""
import json
import os
import shutil
import statistics
import subprocess

import processes

MODES = ("off", "on", "off again")
ARCHIVED = ("pycds_bench_targets.py", "pycds_bench_micro.py")
PLAIN = ("pycds_bench_micro.py", "pycds_bench_macro.py", "pycds_bench_loop.py")

# Name -> (module, directories for sys.path, how many of the modules shall come from the image).
# Of the macro cases and the loop nothing does, but for the libraries.
VARIANTS = {
    "micro, caller in the image": ("pycds_bench_micro", ("archived", "plain"), 2),
    "micro, caller not in the image": ("pycds_bench_micro", ("plain", "archived"), 1),
    "macro": ("pycds_bench_macro", ("plain", "archived"), None),
}
REPEATS = {"pycds_bench_micro": 7, "pycds_bench_macro": 7}

PROGRAM = ("import sys; sys.path[:0] = %r; import pycds_bench_loop; "
           "pycds_bench_loop.main(%r, %d)")


def prepare(scratch):
    """Copies the modules: those for the image into one directory, which it returns, those that
    stay out of it into another."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "steady")
    for directory, names in (("archived", ARCHIVED), ("plain", PLAIN)):
        os.makedirs(os.path.join(scratch, directory), exist_ok=True)
        for name in names:
            shutil.copy(os.path.join(here, name), os.path.join(scratch, directory, name))
    return os.path.join(scratch, "archived")


def compile_modules(python, scratch):
    """As a package manager would: an image holds only what has a .pyc."""
    subprocess.run([python, "-m", "compileall", "-q", os.path.join(scratch, "archived"),
                    os.path.join(scratch, "plain")], env=processes.CLEAN, check=True,
                   stdout=subprocess.DEVNULL)


def run(python, variant, environment, scratch):
    module, directories, _ = VARIANTS[variant]
    paths = [os.path.join(scratch, directory) for directory in directories]
    done = subprocess.run(
        [python, "-c", PROGRAM % (paths, module, REPEATS[module])], env=environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise processes.Failure("%s with %s: %s" % (variant, python, done.stderr.strip()))
    return json.loads(done.stdout)


def measure(python, variant, environment, scratch, rounds):
    """({case: {mode: [ns]}}, None), or (None, why it was left out)."""
    wanted = VARIANTS[variant][2]
    served = run(python, variant, environment["on"], scratch)["served"]
    if wanted is not None and served != wanted:
        return None, ("%s of its %d modules came from the image: build it with this program"
                      % (served, wanted))
    modes = {"off": environment["off"], "on": environment["on"], "off again": environment["off"]}
    results = processes.in_rounds(
        rounds, lambda mode: run(python, variant, modes[mode], scratch)["best"], MODES,
        warm_up=0)  # a process warms itself up, and the one above the page cache
    cases = results["off"][0]
    return {case: {mode: [best[case] for best in results[mode]] for mode in MODES}
            for case in cases}, None


def summary(values):
    """Speed relative to off, above 1 is faster: medians of the ratios of neighbours, their
    quartiles, and the ratio of the fastest runs."""
    def speeds(mode):
        return [off / other for off, other in zip(values["off"], values[mode])]

    # Either of the two off runs is a neighbour of the one on.
    on = speeds("on") + [off / other for off, other in zip(values["off again"], values["on"])]
    low, _, high = statistics.quantiles(on, n=4)
    return {
        "speed": statistics.median(on),
        "speed_quartiles": [low, high],
        "speed_of_fastest": min(values["off"] + values["off again"]) / min(values["on"]),
        "control": statistics.median(speeds("off again")),
        "control_of_fastest": min(values["off"]) / min(values["off again"]),
    }
