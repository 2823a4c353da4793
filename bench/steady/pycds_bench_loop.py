"""Times the cases of a module inside one process and prints nanoseconds per loop as JSON.

Each case runs once unmeasured, so that the interpreter has specialised its code. Then all of them
run in turns, in short pieces, many times, and the shortest piece counts: a disturbance must hit one
case in every turn to be seen.
"""
import sys
import time

# A case's loop is timed in so many pieces: the shorter, the surer is one that nothing disturbs.
PIECES = 16
POOL = 16384  # bytes of one size that obmalloc hands out before it needs the next such pool


def served():
    try:
        import _pycds
        return _pycds.stats()["served"]
    except ImportError:
        return None


def shaken(seed):
    """Objects that leave the heap in a state drawn at random: of each size that obmalloc has, some
    are there, and as many holes. Whether the last free place of a pool is what a loop takes and
    gives back each time, and what lies at equal distances from pages, moves a loop by some percent;
    in one program it is always the same, and with the client another."""
    import random
    draw = random.Random(seed)
    kept = []
    for size in range(32, 513, 16):
        count = draw.randrange(2 * POOL // size)
        new = [bytes(size - 40) if size >= 48 else 1000 + i for i in range(count)]
        draw.shuffle(new)
        kept.append(new[count // 2:])
    return kept


def main(name, repeats, seed):
    import json  # not timed, and not between the two looks at what was served
    heap = shaken(seed)
    before = served()
    cases = __import__(name).CASES
    after = served()
    best = {}
    for function, count in cases.values():
        function(count)
    for _ in range(repeats * PIECES):
        for case, (function, count) in cases.items():
            loops = count // PIECES or 1
            begin = time.perf_counter_ns()
            function(loops)
            took = (time.perf_counter_ns() - begin) / loops
            best[case] = min(best.get(case, took), took)
    del heap
    json.dump({"served": None if after is None else after - before, "best": best}, sys.stdout)
