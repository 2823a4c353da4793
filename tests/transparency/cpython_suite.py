"""CPython's own test suite, from Debian's package, three times: without the client, with one that has
nothing to serve, and with one that serves the whole standard library and `test` itself.

  cpython_suite.py [--tests LIST] [--out DIR] [--jobs N] [--hash-seed N] TEST...

A test that passes in the first run and fails in a later one, again and again, is a difference. Needs
root, to have /usr for itself, and apt-get, for the suite.
"""
import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import world  # noqa: E402

PYTHON = os.environ["PYCDS_PYTHON"]
RUNS = ("absent", "nothing-to-serve", "everything")

# operations.md of the design, section 5, and cpython.md, section 7. Those of a first look, and those
# that take their time.
QUICK = """test_import test_importlib test_pkg test_pkgutil test_runpy test_zipimport test_py_compile
test_marshal test_code test_dis test_opcache test_type_cache test_inspect test_linecache test_traceback
test_warnings test_sys test_sys_settrace test_sys_setprofile test_monitoring test_trace test_bdb
test_audit test_cmd_line_script test_site test_frozen test_gc test_weakref test_frame test_fork1
test_module test_modulefinder test_pyclbr test_doctest test_coroutines test_generators test_descr
test_set test_hash test_unicode test_dict test_tuple test_bytes test_json test_dataclasses test_enum
test_functools test_call test_keywordonlyarg test_super test_ast test_compile test_symtable test_re
test_importlib.resources test_finalization test_interpreters test__xxsubinterpreters test__interpreters
test_atexit test_contextlib test_copy test_typing test_types test_unittest test_string test_str
test_stringprep test_exceptions test_profile test_cprofile test_timeit test_syntax
test_zipapp test_ensurepip test_support test_regrtest_nothing""".split()
SLOW = """test_compileall test_pdb test_cmd_line test_venv test_subprocess test_tracemalloc
test_faulthandler test_threading test_threading_local test_threadedtempfile test_threadsignals
test_signal test_pickle test_multiprocessing_fork test_multiprocessing_spawn
test_multiprocessing_forkserver test_multiprocessing_main_handling test_concurrent_futures test_capi
test_embed test_asyncio test_email test_logging test_argparse test_xmlrpc test_http_cookies
test_urllib test_urllib2 test_idle test_turtle test_decimal test_datetime test_statistics
test_sqlite3 test_ctypes test_tokenize test_repl test_code_module test_pydoc test_genericpath
test_posixpath test_os test_shutil test_tempfile test_zipfile test_io""".split()


def present(tests):
    """Those of the tests that this version has, by its own name of them."""
    where = world.run(PYTHON, "-I", "-c", "import os; print(os.path.dirname(os.__file__))",
                      env=world.clean_environment()).strip() + "/test/"
    return [name for name in tests
            if os.path.exists(where + name + ".py") or os.path.isdir(where + name)]


def results(path):
    """{test: 'passed'|'failed'|'skipped'} of a JUnit file."""
    found = {}
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = ("failed" if kinds & {"error", "failure"} else
                   "skipped" if "skipped" in kinds else "passed")
        name = case.get("name")
        # Twice in a run (a mixin's, say): passed if both did.
        if found.get(name) != "failed":
            found[name] = outcome
    return found


def run_suite(tests, out, name, options, timeout):
    """One run of regrtest. Returns (results, seconds, modules' verdicts)."""
    junit = os.path.join(out, name + ".xml")
    stats = os.path.join(out, name + ".stats")
    for path in (junit, stats):
        if os.path.exists(path):
            os.unlink(path)
    begin = time.monotonic()
    with open(os.path.join(out, name + ".log"), "wb") as log, \
            tempfile.TemporaryDirectory(prefix="pycds-regrtest-") as scratch:
        # The same variables in each run, so that no test sees a difference there.
        subprocess.run(
            ["nice", PYTHON, "-m", "test", "--timeout", str(timeout), "--junit-xml", junit,
             "--tempdir", scratch] + options + tests,
            env=world.clean_environment(PYCDS_STATS=stats, **EXTRA), cwd=scratch,
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False)
    return results(junit) if os.path.exists(junit) else {}, time.monotonic() - begin


EXTRA = {}


def served(out, name):
    """What the clients of a run said when they ended."""
    sums = collections.Counter()
    path = os.path.join(out, name + ".stats")
    if os.path.exists(path):
        with open(path) as lines:
            for line in lines:
                entry = json.loads(line)
                sums["processes"] += 1
                sums["attached"] += not entry["reason"]
                sums["served"] += entry["served"]
                sums["found"] += entry["found"]
                sums["patterns"] += entry["patterns"]
    return dict(sums)


def module_of(test):
    """test.test_x.test_y.Class.method -> test_x"""
    parts = test.split(".")
    return parts[1] if parts[0] == "test" and len(parts) > 1 else parts[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tests", nargs="*")
    parser.add_argument("--list", choices=("quick", "slow", "all"), default="quick")
    parser.add_argument("--out", required=True)
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--timeout", type=int, default=900)
    parser.add_argument("--hash-seed", default="0")
    parser.add_argument("--leaks", action="store_true", help="-R 3:3")
    parser.add_argument("--runs", default=",".join(RUNS))
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    minor = world.run(PYTHON, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])",
                      env=world.clean_environment()).strip()
    world.enter(["libpython%s-testsuite" % minor], PYTHON)

    if arguments.hash_seed:
        EXTRA["PYTHONHASHSEED"] = arguments.hash_seed
    tests = present(arguments.tests or
                    {"quick": QUICK, "slow": SLOW, "all": QUICK + SLOW}[arguments.list])
    options = ["-R", "3:3"] if arguments.leaks else ["-j" + arguments.jobs]
    service = world.Service(PYTHON)
    report = {"python": PYTHON, "tests": tests, "runs": {}}
    outcomes = {}
    for name in arguments.runs.split(","):
        if name == RUNS[1]:
            service.start()
        if name == RUNS[2]:
            if service.process is None:
                service.start()
            service.build(world.sources(PYTHON))
        outcomes[name], seconds = run_suite(tests, arguments.out, name, options, arguments.timeout)
        counts = collections.Counter(outcomes[name].values())
        report["runs"][name] = dict(counts, seconds=round(seconds), **served(arguments.out, name))
        print(name, json.dumps(report["runs"][name]), flush=True)

    first = outcomes.get(RUNS[0], {})
    report["differing"] = {}
    report["unsteady"] = {}
    for name in list(outcomes)[1:]:
        lost = sorted(test for test, outcome in first.items()
                      if outcome == "passed" and outcomes[name].get(test) != "passed")
        # A busy machine makes tests fail, too: what fails for a reason fails once more, alone.
        again = sorted({module_of(test) for test in lost})
        if again:
            repeated, _ = run_suite(present(again), arguments.out, name + "-again", [],
                                    arguments.timeout)
            for test in lost:
                kind = "unsteady" if repeated.get(test) == "passed" else "differing"
                report[kind].setdefault(name, []).append(test)
    with open(os.path.join(arguments.out, "report.json"), "w") as file:
        json.dump(report, file, indent=1)
    print(json.dumps({key: report[key] for key in ("differing", "unsteady")}, indent=1))
    if service.process is not None:
        service.stop()
    return bool(report["differing"])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except world.Unavailable as error:
        print("skipped: %s" % error)
        sys.exit(77)
