"""Starts the real daemon and runs real interpreters against it. Standard library only.

Environment of a test run (set by CTest):
  PYCDS_BUILD     build tree: bin/pycdsd, bin/pycdsctl, client/
  PYCDS_PYTHON    the interpreter under test
  PYCDS_PRELOAD   libraries to preload into that interpreter (sanitizer run-times), or empty
  PYCDS_MODE      what PYCDS is in processes with the client on, if a test does not say; "relocate" runs
                  any test with images that are not where they want to be
"""
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = os.environ["PYCDS_BUILD"]
PYTHON = os.environ.get("PYCDS_PYTHON", sys.executable)
PRELOAD = os.environ.get("PYCDS_PRELOAD", "")
MODE = os.environ.get("PYCDS_MODE", "")

PYCDSD = os.path.join(BUILD, "bin", "pycdsd")
PYCDSCTL = os.path.join(BUILD, "bin", "pycdsctl")

ORACLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "oracle.py")

WORKLOAD = "import flask, requests, pymongo"

# Python functions in stock, built-in ones with the client on.
REPLACED = {
    "_frozen_importlib._ModuleLockManager.__enter__",
    "_frozen_importlib._ModuleLockManager.__exit__",
    "_frozen_importlib_external.FileFinder.find_spec",
    "_frozen_importlib_external.SourceLoader.get_code",
    "re._compiler.compile",
    "sre_compile.compile",  # before 3.11
}

# Generous: sanitizer builds on a busy two-core machine. Nothing waits this long unless it hangs.
DEADLINE = 240


def clean_environment(**extra):
    """The environment of every interpreter under test: nothing of the caller's PYTHON* variables."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8"}
    environment.update(extra)
    return environment


def interpreters():
    """Those that the build looks for: the distribution's, pyenv's."""
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    names = glob.glob("/usr/bin/python3.*") + glob.glob(pyenv + "/versions/*/bin/python3.*")
    return sorted(name for name in names if re.search(r"/python3\.[0-9]+$", name))


def python_version():
    """(major, minor) of the interpreter under test."""
    answer = subprocess.run([PYTHON, "-c", "import sys; print(*sys.version_info[:2])"],
                            env=clean_environment(), stdout=subprocess.PIPE, check=True)
    return tuple(int(number) for number in answer.stdout.split())


def have_workload():
    answer = subprocess.run([PYTHON, "-c", WORKLOAD], env=clean_environment(),
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return answer.returncode == 0


def is_randomised():
    """Is the interpreter at another address in each process?"""
    where = [subprocess.run([PYTHON, "-I", "-S", "-c", "print(id(int))"], env=clean_environment(),
                            stdout=subprocess.PIPE, check=True).stdout for _ in range(3)]
    return len(set(where)) > 1


def others_may_run_it():
    """May users that are not root run the interpreter? Call as root."""
    with contextlib.suppress(PermissionError):
        return subprocess.run([os.path.realpath(PYTHON), "-c", ""], env=clean_environment(), user=65534,
                              stderr=subprocess.DEVNULL).returncode == 0
    return False


def wait_until(condition, what, deadline=DEADLINE):
    """Polls something that has no event to wait for; fails loudly, never by silence."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("not within %s s: %s" % (deadline, what))


def image_mappings(pid):
    """Sums (kB) over the mappings of image memfds of a process, as smaps has them."""
    sums = {"Rss": 0, "Pss": 0, "Anonymous": 0, "Swap": 0}
    inside = False
    with open("/proc/%s/smaps" % pid) as smaps:
        for line in smaps:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                inside = "/memfd:pycds" in line
            elif inside and line.split(":")[0] in sums:
                sums[line.split(":")[0]] += int(line.split()[1])
    return sums


class Daemon:
    """A private pycdsd in a temporary directory."""

    def __init__(self, *options, clients=None):
        self.directory = tempfile.mkdtemp(prefix="pycds-test-")
        os.chmod(self.directory, 0o755)
        self.socket = os.path.join(self.directory, "d.sock")
        # Nothing of the machine's: neither its configuration nor images that nobody asked for.
        self.options = ["--config", "/dev/null", "--discover", "false"] + list(options)
        if clients is not None:
            self.options += ["--clients", clients]
        self.process = None
        self.log = os.path.join(self.directory, "log")

    def start(self):
        # Sanitizers reserve terabytes of address space.
        options = self.options + (["--build-memory", str(1 << 30)] if PRELOAD else [])
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [PYCDSD, "--socket", self.socket] + options,
                env=clean_environment(ASAN_OPTIONS="detect_leaks=1"), stderr=log, stdout=log,
                stdin=subprocess.DEVNULL)
        wait_until(self.answers, "the daemon answers; its log: " + self.log)
        return self

    def answers(self):
        if self.process.poll() is not None:
            with open(self.log) as log:
                raise AssertionError("the daemon ended: " + log.read())
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as probe:
            try:
                probe.connect(self.socket)
            except OSError:
                return False
        return True

    def stop(self):
        """Clean shutdown; anything but exit status 0 is a failure (sanitizers exit otherwise)."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(DEADLINE)
        self.process = None
        with open(self.log) as log:
            text = log.read()
        assert status == 0, "the daemon exited with %s: %s" % (status, text)

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE)
        self.process = None

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def ctl(self, *arguments, check=True, **options):
        answer = subprocess.run([PYCDSCTL, "--socket", self.socket] + list(arguments),
                                env=clean_environment(), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, universal_newlines=True,
                                timeout=DEADLINE, check=False, **options)
        if check and answer.returncode != 0:
            raise AssertionError("pycdsctl %s: %s %s" % (" ".join(arguments), answer.returncode,
                                                         answer.stderr))
        return answer

    def ctl_json(self, *arguments):
        return json.loads(self.ctl(*arguments, "--json").stdout)

    def on(self, python, **extra):
        """The environment that switches the client on, as a user would: pycdsctl env."""
        lines = self.ctl("env", "--python", python).stdout.split()
        if MODE:
            extra.setdefault("PYCDS", MODE)
        return clean_environment(**dict(line.split("=", 1) for line in lines), **extra)


class PythonCase(unittest.TestCase):
    """A daemon of its own and an interpreter under test; `python` preloads what the build needs."""

    daemon_options = ()

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(*cls.daemon_options).start()
        cls.addClassCleanup(cls.daemon.remove)
        cls.addClassCleanup(cls.daemon.stop)
        cls.python = PYTHON
        if PRELOAD:
            cls.python = os.path.join(cls.daemon.directory, "python")
            with open(cls.python, "w") as script:
                # -a: sys.executable is the script, so that whoever asks for it gets the same.
                script.write("#!/bin/bash\nexport LD_PRELOAD='%s' ASAN_OPTIONS=detect_leaks=0\n"
                             "exec -a \"$0\" '%s' \"$@\"\n" % (PRELOAD, PYTHON))
            os.chmod(cls.python, 0o755)

    def run_python(self, *arguments, environment=None, **options):
        return subprocess.run([self.python] + list(arguments),
                              env=environment if environment is not None else clean_environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, timeout=DEADLINE, check=False, **options)

    def on(self, **extra):
        return self.daemon.on(self.python, **extra)

    def stats(self, code="pass", environment=None, **options):
        """Runs `code` with the client on and returns (stats, everything it printed)."""
        for _ in range(4):
            answer = self.run_python(
                "-c", code + "\nimport _pycds, json, sys\n"
                "sys.stdout.flush(); sys.stdout.write('\\n@@' + json.dumps(_pycds.stats()))",
                environment=environment if environment is not None else self.on(), **options)
            self.assertEqual(answer.returncode, 0, answer.stderr.decode())
            text, _, stats = answer.stdout.decode().rpartition("\n@@")
            # A machine that has no time for the daemon makes it late; what is asked for is another thing.
            if json.loads(stats)["reason"] not in ("deadline", "daemon-busy"):
                break
        return json.loads(stats), text

    @classmethod
    def skip_where_images_are_relocated(cls, why):
        """After an image was built. `why`: what is not so there, by design."""
        answer = subprocess.run(
            [cls.python, "-c", "import _pycds\nprint([i['relocated'] for i in _pycds.stats()['images']])"],
            env=cls.daemon.on(cls.python), stdout=subprocess.PIPE, check=True)
        if b"True" in answer.stdout:
            raise unittest.SkipTest("%s relocates its images: %s" % (PYTHON, why))

    def describe(self, statement, environment):
        """What a program can see of its modules after a statement (oracle.py)."""
        answer = self.run_python(ORACLE, "describe", statement, environment=environment)
        self.assertEqual(answer.returncode, 0, answer.stderr.decode())
        seen = json.loads(answer.stdout)
        # What the client puts in their place is no Python function any more.
        for module in seen["modules"].values():
            for name in list(module["functions"]):
                if name.partition(":")[0] in REPLACED:
                    del module["functions"][name]
        return seen

    def assert_same_modules(self, stock, served):
        for name, module in stock["modules"].items():
            self.assertTrue(module == served["modules"].get(name), name)
        for part, value in stock.items():
            self.assertTrue(value == served[part], "%s differs" % part)

    def assert_like_stock(self, *arguments, on=None, off=None, **options):
        """Same exit status and output with the client on as without it. Returns the former."""
        with_client = self.run_python(*arguments, environment=on if on is not None else self.on(),
                                      **options)
        stock = self.run_python(*arguments, environment=off if off is not None else
                                clean_environment(), **options)
        def seen(answer):
            # Addresses in reprs differ from process to process.
            return (answer.returncode, re.sub(b"0x[0-9a-f]{6,}", b"0x", answer.stdout),
                    re.sub(b"0x[0-9a-f]{6,}", b"0x", answer.stderr))
        self.assertEqual(seen(with_client), seen(stock))
        return with_client


def main():
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if result.wasSuccessful() and result.testsRun == len(result.skipped) and result.testsRun:
        sys.exit(77)  # CTest's SKIP_RETURN_CODE: nothing could run here
    sys.exit(not result.wasSuccessful())
