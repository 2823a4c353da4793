"""What cannot be served exactly is left alone: other builds of an interpreter, other versions, limits,
subinterpreters. Stock behaviour each time, and a reason that one can read."""
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

import harness

SOURCES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = ("import json, argparse, textwrap\nprint(json.dumps([1]), argparse.__name__, "
           "textwrap.fill('a b', 1))\nraise SystemExit(3)")
SAYS = (3, b"[1] argparse a\nb\n", b"")
REASON = "import argparse, _pycds\nprint(_pycds.stats()['reason'])"

IN_SUBINTERPRETERS = """
import sys, argparse
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
CODE = '''import json, argparse, textwrap
assert json.loads(json.dumps([1])) == [1] and textwrap.fill('a b', 1) == 'a\\\\nb'
assert argparse.ArgumentParser(prog='x').parse_args([]) is not None
'''
for make in %s:
    own = make()
    for i in range(2):
        failed = interpreters.run_string(own, CODE)
        assert failed is None, failed
    interpreters.destroy(own)
import tarfile
print(tarfile.__name__)
"""


def version_of(python):
    answer = subprocess.run([python, "-ISc", "import sys; print('%d.%d' % sys.version_info[:2])"],
                            stdout=subprocess.PIPE, check=False, universal_newlines=True)
    return tuple(int(part) for part in answer.stdout.split(".")) if answer.returncode == 0 else None


class Refusals(harness.PythonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon.ctl("build", "--python", cls.python, "--import", "argparse, json, textwrap, tarfile")
        cls.version = version_of(harness.PYTHON)
        cls.client = cls.daemon.on(cls.python)["PYTHONPATH"].split(":")[0]

    def run_one(self, python, code, environment, **options):
        answer = subprocess.run([python, "-c", code], env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                timeout=harness.DEADLINE, check=False, **options)
        return answer.returncode, answer.stdout, answer.stderr

    def assert_refused(self, python, environment, reason):
        self.assertEqual(self.run_one(python, PROGRAM, environment), SAYS)
        status, text, _ = self.run_one(python, REASON, environment)
        self.assertEqual((status, text.decode().strip()), (0, reason))

    @unittest.skipIf(harness.PRELOAD, "it starts interpreters without the run-times of sanitizers")
    def test_a_debug_build(self):
        python = "/usr/bin/python%d.%dd" % self.version
        if not os.path.exists(python) or version_of(python) != self.version:
            self.skipTest("there is no %s" % python)
        same = "import sys; print(sys.version.split()[0])"
        versions = {subprocess.run([one, "-ISc", same], stdout=subprocess.PIPE, check=True).stdout
                    for one in (python, harness.PYTHON)}
        if len(versions) != 1:
            self.skipTest("%s is of another version than %s" % (python, harness.PYTHON))
        self.assert_refused(python, self.on(), "debug-build")
        answer = self.daemon.ctl("build", "--python", python, "--import", "json", check=False)
        self.assertNotEqual(answer.returncode, 0)
        self.assertIn("debug-build", answer.stderr)

    def test_an_interpreter_of_another_minor(self):
        others = [path for path in harness.interpreters() if version_of(path) not in (self.version, None)]
        if not others:
            self.skipTest("there is no other interpreter")
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        for name in os.listdir(self.client):
            if name.startswith(("_pycds.", "sitecustomize.")):
                os.symlink(os.path.join(self.client, name),
                           os.path.join(directory, name.split(".")[0] + ".so"))
        environment = dict(self.on(), PYTHONPATH=directory)
        for other in others:
            with self.subTest(python=other):
                status, text, errors = self.run_one(other, PROGRAM, environment)
                stock = self.run_one(other, PROGRAM, harness.clean_environment())
                self.assertEqual((status, text, errors), stock)

    @unittest.skipIf(harness.PRELOAD, "it starts interpreters without the run-times of sanitizers")
    def test_an_interpreter_that_was_upgraded(self):
        # As if under the daemon: the same path, other contents.
        python = os.path.join(self.daemon.directory, "upgraded")
        shutil.copy(os.path.realpath(harness.PYTHON), python)
        with open(python, "rb") as file:
            program = bytearray(file.read())
        note = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0"
        at = program.find(note)
        if at < 0 or b"PyUnicode_Type" not in program or self.shared_library():
            self.skipTest("%s is not in one file with its build-id" % harness.PYTHON)
        self.assertEqual(self.run_one(python, REASON, self.on())[1], b"None\n")
        program[at + len(note)] ^= 0xff
        os.unlink(python)
        with open(python, "wb") as file:
            file.write(program)
        os.chmod(python, 0o755)
        self.assert_refused(python, self.on(), "no-image")
        # And what is built for it is of no use to those that run the old one.
        self.daemon.ctl("build", "--python", python, "--import", "json")
        self.assertEqual(self.run_one(python, REASON, self.on())[1], b"None\n")
        self.assertEqual(self.run_one(harness.PYTHON, REASON, self.on())[1], b"None\n")

    def shared_library(self):
        shared = "import sysconfig; print(sysconfig.get_config_var('Py_ENABLE_SHARED'))"
        answer = subprocess.run([harness.PYTHON, "-ISc", shared], stdout=subprocess.PIPE, check=True)
        return answer.stdout == b"1\n" and self.uses_libpython()

    @staticmethod
    def uses_libpython():
        answer = subprocess.run(["ldd", os.path.realpath(harness.PYTHON)], stdout=subprocess.PIPE,
                                check=False)
        return b"libpython" in answer.stdout

    def test_an_unlimited_stack(self):
        # The kernel lays address space out another way then.
        def unlimited():
            resource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if resource.getrlimit(resource.RLIMIT_STACK)[1] != resource.RLIM_INFINITY:
            self.skipTest("the stack may not be unlimited here")
        self.assertEqual(self.run_one(self.python, PROGRAM, self.on(), preexec_fn=unlimited), SAYS)
        _, text, _ = self.run_one(self.python, REASON, self.on(), preexec_fn=unlimited)
        self.assertEqual(text, b"None\n")

    @unittest.skipIf(harness.PRELOAD, "sanitizers do not run under a limit of address space")
    def test_little_address_space(self):
        size = self.daemon.ctl_json("list")["images"][0]["size"]
        def limited():
            limit = max(size * 12, 100 << 20)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        self.assertEqual(self.run_one(self.python, PROGRAM, self.on(), preexec_fn=limited), SAYS)

    def test_subinterpreters(self):
        if self.version < (3, 12):
            makers = "(interpreters.create, lambda: interpreters.create(isolated=False))"
        elif self.version < (3, 13):
            makers = "(interpreters.create, lambda: interpreters.create(isolated=False))"
        else:
            makers = "(lambda: interpreters.create('isolated'), lambda: interpreters.create('legacy'))"
        answer = self.assert_like_stock("-c", IN_SUBINTERPRETERS % makers)
        self.assertEqual((answer.returncode, answer.stdout), (0, b"tarfile\n"), answer.stderr)

    def test_headers_that_nobody_has_described(self):
        # A field more in a struct that images hold: the client for such an interpreter does not compile.
        compiler = shutil.which("c++")
        include = subprocess.run(
            [harness.PYTHON, "-ISc", "import sysconfig; print(sysconfig.get_path('include'))"],
            stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout.strip()
        if compiler is None or not os.path.exists(include + "/Python.h"):
            self.skipTest("no compiler, or no headers of %s" % harness.PYTHON)
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        altered = os.path.join(directory, "include")
        shutil.copytree(include, altered)

        def compiles():
            return subprocess.run(
                [compiler, "-std=c++20", "-fsyntax-only", "-DPYCDS_FREESTANDING", "-I" + SOURCES,
                 "-isystem", altered, os.path.join(SOURCES, "client/interp/identity.cc")],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, universal_newlines=True)

        self.assertEqual(compiles().returncode, 0, compiles().stdout)
        for header, field, more in (
                ("cpython/code.h", r"(int co_firstlineno;)", r"long co_invented; \1"),
                ("cpython/code.h", r"(void \*co_extra;)", r"\1 void *co_invented;"),
                ("cpython/unicodeobject.h", r"(Py_ssize_t utf8_length;)", r"\1 void *invented;")):
            with self.subTest(header=header, field=field):
                path = os.path.join(altered, header)
                if not os.path.exists(path):
                    continue
                with open(path) as file:
                    text = file.read()
                changed, count = re.subn(field, more, text, count=1)
                self.assertEqual(count, 1)
                with open(path, "w") as file:
                    file.write(changed)
                answer = compiles()
                with open(path, "w") as file:
                    file.write(text)
                self.assertNotEqual(answer.returncode, 0)
                self.assertIn("static assertion failed", answer.stdout)


if __name__ == "__main__":
    harness.main()
