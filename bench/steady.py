"""Speed of code that has been running for a while: nothing of a start is in these numbers.

A round runs three processes, in turns: one on and two off. Off against off is the noise floor:
what the same measurement says when there is nothing to find. A process times each case by the best
of many loops (steady/pycds_bench_loop.py); rounds give medians of the ratios of neighbours.

Where things happen to lie in a process's heap moves a small loop by some percent either way, and
always by the same in one program. So every round starts from a heap in another state, the same one
for its processes, and takes the next of some copies of the micro cases, each a little different in
size.
"""
import json
import os
import shutil
import statistics
import subprocess

import processes

MODES = ("off", "on", "off again")
COPIES = 5
TARGETS, MICRO, MACRO, LOOP = ("pycds_bench_" + name for name in (
    "targets", "micro", "macro", "loop"))
# Makes a copy bigger by so many of these.
PADDING = "\n\ndef padding_%d(first, second=%d):\n    return [first, second, 'padding %d']\n"

# Name -> (module, directories for sys.path, how many of the modules shall come from the image).
# Of the macro cases and the loop nothing does, but for the libraries.
VARIANTS = {
    "micro, caller in the image": (MICRO, ("archived", "plain"), 2),
    "micro, caller not in the image": (MICRO, ("plain", "archived"), 1),
    "macro": (MACRO, ("plain", "archived"), None),
}
REPEATS = 7

PROGRAM = ("import sys; sys.path[:0] = %r; import pycds_bench_loop; "
           "pycds_bench_loop.main(%r, %d, %d)")


def copy_of(name, number):
    return "%s_%d" % (name, number)


def archived_names():
    """The files for the image, in the directory that prepare() returns."""
    return [copy_of(name, number) + ".py" for name in (TARGETS, MICRO) for number in range(COPIES)]


def prepare(scratch):
    """Writes the modules: those for the image into one directory, which it returns, those that
    stay out of it into another."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "steady")
    archived, plain = (os.path.join(scratch, name) for name in ("archived", "plain"))
    for directory in (archived, plain):
        os.makedirs(directory, exist_ok=True)
    for name in (MACRO, LOOP):
        shutil.copy(os.path.join(here, name + ".py"), plain)
    for name, directories in ((TARGETS, (archived,)), (MICRO, (archived, plain))):
        with open(os.path.join(here, name + ".py")) as file:
            text = file.read()
        for number in range(COPIES):
            copy = text.replace("import " + TARGETS, "import " + copy_of(TARGETS, number))
            # In front of what is measured, which it shall move.
            head, blank, rest = copy.partition("\n\n\n")
            copy = head + "".join(PADDING % (i, i, i) for i in range(number)) + blank + rest
            for directory in directories:
                with open(os.path.join(directory, copy_of(name, number) + ".py"), "w") as file:
                    file.write(copy)
    return archived


def compile_modules(python, scratch):
    """As a package manager would: an image holds only what has a .pyc."""
    subprocess.run([python, "-m", "compileall", "-q", os.path.join(scratch, "archived"),
                    os.path.join(scratch, "plain")], env=processes.CLEAN, check=True,
                   stdout=subprocess.DEVNULL)


def run(python, variant, environment, scratch, number=0):
    module, directories, _ = VARIANTS[variant]
    paths = [os.path.join(scratch, directory) for directory in directories]
    name = copy_of(module, number % COPIES) if module == MICRO else module
    done = subprocess.run(
        [python, "-c", PROGRAM % (paths, name, REPEATS, number)], env=environment,
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
    environments = {mode: environment["on" if mode == "on" else "off"] for mode in MODES}
    results = {mode: [] for mode in MODES}

    def one(mode):
        number = len(results[mode])
        results[mode].append(run(python, variant, environments[mode], scratch, number)["best"])

    # A process warms itself up, and the one above the page cache.
    processes.in_rounds(rounds, one, MODES, warm_up=0)
    return {case: {mode: [best[case] for best in results[mode]] for mode in MODES}
            for case in results["off"][0]}, None


def copies_of(variant):
    return COPIES if VARIANTS[variant][0] == MICRO else 1


def summary(values, copies=1):
    """Speed relative to off, above 1 is faster: medians of the ratios of neighbours, their
    quartiles, and the ratio of the fastest runs (of copies, the mean of the fastest of each)."""
    def speeds(mode):
        return [off / other for off, other in zip(values["off"], values[mode])]

    def fastest(mode):
        return statistics.mean(min(values[mode][copy::copies])
                               for copy in range(min(copies, len(values[mode]))))

    # Either of the two off runs is a neighbour of the one on.
    on = speeds("on") + [off / other for off, other in zip(values["off again"], values["on"])]
    low, _, high = statistics.quantiles(on, n=4)
    return {
        "speed": statistics.median(on),
        "speed_quartiles": [low, high],
        # Of one off only: a minimum of twice as many runs would be smaller for that alone.
        "speed_of_fastest": fastest("off") / fastest("on"),
        "control": statistics.median(speeds("off again")),
        "control_of_fastest": fastest("off") / fastest("off again"),
    }
