"""Giving back pages while archived code runs: results are those of a process that never does."""
import json
import os
import subprocess
import unittest

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
HAMMER = os.path.join(HERE, "hammer.py")

# Enough archived modules (64) for pages to be given back without being asked.
MUCH = ("import argparse, asyncio, email.message, logging.config, urllib.request, unittest, "
        "xml.dom.minidom, concurrent.futures, http.server, sqlite3, ctypes, zipfile, decimal, "
        "encodings, pkgutil, importlib\n"
        "for m in pkgutil.iter_modules(encodings.__path__):\n"
        "    if m.name not in ('mbcs', 'oem', 'cp65001'): importlib.import_module('encodings.' + m.name)")

# It happens after the first call.
STATS = "\nimport _pycds\n_pycds.stats()\ns = _pycds.stats()\n"


class GiveBack(harness.PythonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon.ctl("build", "--python", cls.python, "--all")
        cls.skip_where_images_are_relocated("no page is given back")
        # Two hash seeds are two orders of sets; results depend on the seed alone.
        cls.seed = {"PYTHONHASHSEED": "1"}

    def hammer(self, scenario, *options, least=1):
        """The same with the client and without; returns what the former printed last."""
        def run(environment):
            answer = self.run_python(*options, "-B", HAMMER, scenario, environment=environment)
            self.assertEqual(answer.returncode, 0, answer.stderr.decode())
            lines = answer.stdout.decode().splitlines()
            printed = json.loads(lines[0])
            return printed, lines[1:], answer.stderr
        stock, stock_lines, stock_errors = run(harness.clean_environment(**self.seed))
        # What is given back here is given back by the scenario.
        served, served_lines, served_errors = run(self.on(PYCDS="keep-pages", **self.seed))
        self.assertEqual(stock["pages"], 0)
        self.assertGreaterEqual(served["pages"], least, "nothing was given back")
        self.assertGreater(served["calls"], 0)
        self.assertEqual(served["result"], stock["result"])
        self.assertEqual((served_lines, served_errors), (stock_lines, stock_errors))
        return served

    def test_from_threads(self):
        served = self.hammer("in_threads", least=100)
        self.assertGreater(served["calls"], 100)

    def test_in_trace_functions(self):
        self.hammer("under_settrace", least=100)

    def test_in_profile_functions(self):
        self.hammer("under_setprofile", least=100)

    def test_in_monitoring_callbacks(self):
        if b"True" not in self.run_python(
                "-c", "import sys; print(hasattr(sys, 'monitoring'))").stdout:
            self.skipTest("no sys.monitoring")
        self.hammer("under_monitoring")

    def test_in_signal_handlers(self):
        self.hammer("in_signal_handlers", least=100)

    def test_in_the_middle_of_instructions(self):
        self.hammer("inside_instructions", least=100)

    def test_suspended_frames(self):
        self.hammer("suspended", least=100)

    def test_deep_recursion(self):
        self.hammer("deep", least=100)

    def test_specialised_code_starts_again(self):
        self.hammer("hot")

    def test_code_objects(self):
        self.hammer("code_objects")

    def test_data_attached_to_code(self):
        self.hammer("code_extra")

    def test_renamed_code(self):
        self.hammer("renamed")

    def test_fork(self):
        # 3.12 and later warn, and name the process.
        self.hammer("forked", "-W", "ignore::DeprecationWarning")

    def test_multiprocessing(self):
        self.hammer("multiprocess")

    def test_at_the_end(self):
        for options in ((), ("-X", "dev"), ("-X", "faulthandler")):
            self.hammer("in_finalisers", *options)

    # What it brings.

    def test_private_memory_falls(self):
        code = MUCH + """
import sys, os, _pycds
for turn in range(2):
    print(os.getpid(), flush=True)
    sys.stdin.readline()
    print(_pycds.give_back(), _pycds.stats()["pages_given_back"], flush=True)
    sys.stdin.readline()
"""
        process = subprocess.Popen([self.python, "-c", code], env=self.on(PYCDS="keep-pages"),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)

        def go_on():
            process.stdin.write(b"\n")
            process.stdin.flush()
            return [int(word) for word in process.stdout.readline().split()]
        pid = int(process.stdout.readline())
        before = harness.image_mappings(pid)["Anonymous"]
        pages, counted = go_on()
        after = harness.image_mappings(pid)["Anonymous"]
        self.assertEqual(pages, counted)
        self.assertGreater(pages, 50)
        # Nearly all of it: going on wrote a few pages again.
        self.assertLess(after, before - pages * 4 * 0.8)
        self.assertGreaterEqual(after, before - pages * 4)
        go_on()
        self.assertLess(go_on()[0], pages / 2)

    def test_by_itself_after_large_imports(self):
        given = "print(s['served'], s['pages_given_back'])"
        for code, extra, expected in (
                (MUCH, {}, True),
                (MUCH, {"PYCDS": "keep-pages"}, False),
                ("import textwrap", {}, False)):
            answer = self.run_python("-c", code + STATS + given, environment=self.on(**extra))
            self.assertEqual(answer.stderr, b"")
            served, pages = map(int, answer.stdout.split())
            self.assertEqual(served >= 64, code == MUCH)
            self.assertEqual(pages > 0, expected, (code, extra, pages))

    def test_an_import_that_fails_ends_too(self):
        """However the outermost import ends, later ones give back."""
        # The last one: an exception out of importlib's own __exit__, as a signal handler may raise.
        for failing in (
                "sys.modules['m'] = None\ntry: import m\nexcept ImportError: pass\n",
                "try: import json.nothing\nexcept ImportError: pass\n",
                "try: import test.bad_coding\nexcept (ImportError, SyntaxError): pass\n",
                """
def trace(frame, event, argument):
    code = frame.f_code
    if code.co_name == '__exit__' and code.co_filename == '<frozen importlib._bootstrap>':
        sys.settrace(None)
        raise InterruptedError
sys.settrace(trace)
try: import this_does_not_exist
except (ImportError, InterruptedError) as error: pass
sys.settrace(None)
"""):
            answer = self.run_python(
                "-c",
                "import sys\n" +
                failing +
                MUCH +
                STATS +
                "import gc\n"
                "print(s['served'], s['pages_given_back'], gc.get_count()[0])",
                environment=self.on())
            self.assertEqual(answer.stderr, b"", failing)
            served, pages, count = map(int, answer.stdout.split())
            self.assertGreater(served, 64)
            if "settrace" not in failing:
                # On 3.13 what runs after a tracer was there has data of its monitoring attached.
                self.assertGreater(pages, 0, failing)
            self.assertGreaterEqual(count, 0, failing)

    def test_when_no_more_calls_can_be_pending(self):
        """Another thread imports while the queue of the main thread's pending calls is full."""
        self.assert_like_stock("-c", """
import ctypes, threading
add = ctypes.pythonapi.Py_AddPendingCall
nothing = ctypes.CDLL(None).abs  # abs(NULL) is 0: success
def work():
    while add(nothing, None) == 0:
        pass
    %s
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(sum(range(1000)))
""" % MUCH)

    def test_where_nothing_can_be_given_back(self):
        # Sanitizers make mlockall(2) do nothing.
        locked = b"False" if harness.PRELOAD else b"True"
        answer = self.run_python("-c", MUCH + """
import _pycds, ctypes, resource
libc = ctypes.CDLL(None, use_errno=True)
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
print(_pycds.give_back())
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
# Locked pages cannot go; what cannot be locked says nothing.
locked = libc.mlockall(1) == 0
print(not locked or _pycds.give_back() == 0)
libc.munlockall()
print(_pycds.give_back() > 0, _pycds.give_back.__doc__ is not None)
""", environment=self.on(PYCDS="keep-pages"))
        self.assertEqual(answer.stderr, b"")
        self.assertEqual(answer.stdout.split(), [b"0", locked, b"True", b"True"])

    def test_without_an_image(self):
        answer = self.run_python("-c", "import _pycds; print(_pycds.give_back())",
                                 environment=self.on(PYCDS="off"))
        self.assertEqual((answer.stdout, answer.stderr), (b"0\n", b""))


if __name__ == "__main__":
    harness.main()
