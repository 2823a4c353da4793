"""CPython's own test suite, from Debian's package, three times: without the client, with one that has
nothing to serve, and with one that serves the whole standard library and `test` itself.

  cpython_suite.py --out DIR [--list quick|slow|all] [--jobs N] TEST...

A test that passes in the first run and fails in a later one, again and again, is a difference. Needs
root, to have /usr for itself, and apt-get, for the suite.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import runs  # noqa: E402
import world  # noqa: E402

PYTHON = os.environ["PYCDS_PYTHON"]

# What exercises imports, code objects and those who watch either. First those that are quick.
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
test_zipapp test_ensurepip test_support""".split()
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
    parser.add_argument("--runs", default=",".join(runs.RUNS))
    arguments = parser.parse_args()
    minor = world.run(PYTHON, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])",
                      env=world.clean_environment()).strip()
    world.enter(["libpython%s-testsuite" % minor], PYTHON)
    chosen = present(arguments.tests or
                     {"quick": QUICK, "slow": SLOW, "all": QUICK + SLOW}[arguments.list])

    def run(name, tests, variables):
        junit = os.path.join(arguments.out, name + ".xml")
        if os.path.exists(junit):
            os.unlink(junit)
        options = ["-j" + arguments.jobs] if tests is None else []
        begin = time.monotonic()
        with open(os.path.join(arguments.out, name + ".log"), "wb") as log, \
                tempfile.TemporaryDirectory(prefix="pycds-regrtest-") as scratch:
            subprocess.run(
                ["nice", PYTHON, "-m", "test", "--timeout", str(arguments.timeout), "--junit-xml", junit,
                 "--tempdir", scratch] + options +
                (chosen if tests is None else present(sorted({module_of(test) for test in tests}))),
                env=world.clean_environment(**variables), cwd=scratch, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, check=False)
        return runs.junit_results(junit), time.monotonic() - begin

    title = "CPython's tests" + ("" if arguments.tests else ", " + arguments.list)
    return bool(runs.compare(title, PYTHON, arguments.out, run, arguments.runs.split(",")))


if __name__ == "__main__":
    world.run_main(main)
