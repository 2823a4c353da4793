"""Times the cases of a module inside one process and prints nanoseconds per loop as JSON.

Each case runs once unmeasured, so that the interpreter has specialised its code. Then all of them
run in turns, several times, and the best of each counts: a disturbance must hit one case in every
turn to be seen.
"""
import sys
import time


def served():
    try:
        import _pycds
        return _pycds.stats()["served"]
    except ImportError:
        return None


def main(name, repeats):
    import json  # not timed, and not between the two looks at what was served
    before = served()
    cases = __import__(name).CASES
    after = served()
    best = {}
    for function, count in cases.values():
        function(count)
    for _ in range(repeats):
        for case, (function, count) in cases.items():
            begin = time.perf_counter_ns()
            function(count)
            took = time.perf_counter_ns() - begin
            best[case] = min(best.get(case, took), took)
    json.dump({"served": None if after is None else after - before, "best": best}, sys.stdout)
