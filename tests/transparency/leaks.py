"""What `regrtest -R 3:3` looks for, in an interpreter that does not count references: a chosen set of
CPython's tests six times in one process, and what stays allocated and open after each of the last three.

  leaks.py --out DIR [TEST...]

Once without the client and once with everything served (runs.py has the rest of CPython's suite).
"""
import argparse
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import runs  # noqa: E402
import world  # noqa: E402

PYTHON = os.environ["PYCDS_PYTHON"]
TESTS = """test_import test_code test_types test_marshal test_weakref test_generators test_functools test_re
test_pkgutil test_runpy test_pkg test_frame test_dict test_set test_copy test_contextlib test_dataclasses
test_linecache test_inspect test_traceback""".split()
# Blocks that caches take or give: a leak takes some at each repetition.
TOLERANCE = 40

HUNT = r"""
import gc, importlib, io, json, linecache, os, re, sys, unittest, warnings
name = sys.argv[1]
module = importlib.import_module("test." + name)
counts = []
def settle():
    re.purge()
    linecache.clearcache()
    sys._clear_type_cache()
    for _ in range(4):
        gc.collect()
for repetition in range(6):
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unittest.TextTestRunner(stream=stream).run(suite)
    del suite, stream
    settle()
    counts.append([sys.getallocatedblocks(), len(os.listdir("/proc/self/fd"))])
os.write(3, json.dumps([[b - a for a, b in zip(*pair)] for pair in zip(counts[2:], counts[3:])]).encode())
"""


def hunt(name, variables):
    """[blocks, descriptors] more after each of the last three repetitions, or None."""
    reader, writer = os.pipe()

    def give():
        os.dup2(writer, 3)
    with subprocess.Popen(["nice", PYTHON, "-c", HUNT, name], env=world.clean_environment(**variables),
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          pass_fds=(3,) if writer == 3 else (), close_fds=False,
                          preexec_fn=give, cwd="/tmp") as process:
        os.close(writer)
        with os.fdopen(reader) as answer:
            text = answer.read()
        process.wait()
    return json.loads(text) if text else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tests", nargs="*")
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    minor = world.run(PYTHON, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])",
                      env=world.clean_environment()).strip()
    world.enter(["libpython%s-testsuite" % minor], PYTHON)
    stock = {}

    def run(name, tests, variables):
        begin = time.monotonic()
        outcomes = {}
        for test in (arguments.tests or TESTS) if tests is None else tests:
            found = hunt(test, variables)
            if name == runs.RUNS[0]:
                stock[test] = found
                outcomes[test] = "passed" if found else "skipped"
            elif found is None or stock[test] is None:
                outcomes[test] = "failed"
            else:
                # In each of the three: what comes once is a cache.
                more = min(found, key=lambda change: change[0])[0] - max(stock[test])[0]
                opened = min(change[1] for change in found)
                outcomes[test] = "failed" if more > TOLERANCE or opened > 0 else "passed"
                if outcomes[test] == "failed":
                    print("%s: %s in stock, %s with the client" % (test, stock[test], found))
        return outcomes, time.monotonic() - begin

    return bool(runs.compare("CPython's tests, six times in one process", PYTHON, arguments.out, run,
                             (runs.RUNS[0], runs.RUNS[2])))


if __name__ == "__main__":
    world.run_main(main)
