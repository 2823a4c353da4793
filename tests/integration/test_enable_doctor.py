"""pycdsctl enable, disable and doctor, with real interpreters and environments."""
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import harness
from switching import PrivateCase, file_in, listing

NOBODY = 65534


class EnableAndDoctor(PrivateCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.venv = os.path.join(cls.directory.name, "venv")
        cls.venv_python = cls.private.make_venv(cls.venv)

    def setUp(self):
        self.before = listing(self.directory.name)

    def tearDown(self):
        self.daemon.ctl("disable", self.python)
        self.daemon.ctl("disable", self.venv)
        self.assertEqual(listing(self.directory.name), self.before)

    def ctl(self, *arguments, status=0, environment=None, **options):
        answer = subprocess.run([harness.PYCDSCTL, *arguments],
                                env=environment or self.here(), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, universal_newlines=True,
                                timeout=harness.DEADLINE, check=False, **options)
        self.assertEqual(answer.returncode, status, answer.stdout + answer.stderr)
        return answer

    def results(self, *arguments, **options):
        return json.loads(self.ctl(*arguments, "--json", **options).stdout)["results"]

    def client(self, python):
        """The file of the client in a process, or None; nothing may be on stderr."""
        answer = subprocess.run(
            [python, "-c", "import sys, json; m = sys.modules.get('_pycds')\n"
             "print(json.dumps(m and (m.__file__, m.stats()['attached'], m.stats()['served'])))"],
            env=self.here(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual((answer.returncode, answer.stderr), (0, b""))
        return json.loads(answer.stdout)

    def checks(self, *arguments, works, **options):
        """What doctor says: {check: [(level, sentence)]}."""
        answer = self.ctl("doctor", *arguments, "--json", status=0 if works else 1, **options)
        said = json.loads(answer.stdout)
        self.assertEqual(said["works"], works)
        self.assertEqual(answer.stderr.count("\n"), 0 if works else 1, answer.stderr)
        by_name = {}
        for check in said["checks"]:
            by_name.setdefault(check["check"], []).append((check["level"], check["sentence"]))
        return by_name

    def test_an_interpreter(self):
        self.assertIsNone(self.client(self.python))
        self.assertIn("on, by " + self.private.hook, self.ctl("enable", self.python).stdout)
        self.assertEqual(os.readlink(self.private.hook), self.private.library)
        one_more = set(listing(self.directory.name)) - set(self.before)
        self.assertEqual({entry[0] for entry in one_more}, {self.private.hook})
        for python in (self.python, self.venv_python):
            file, attached, served = self.client(python)
            self.assertEqual((file, attached), (self.private.library, True))
            self.assertGreater(served, 0)
        on = listing(self.directory.name)
        self.assertIn("already on", self.ctl("enable", self.python).stdout)
        [result] = self.results("enable", self.python)
        self.assertEqual(result, {"name": self.python, "on": True, "changed": False,
                                  "file": self.private.hook})
        # The environment is on through it, and can neither be switched on nor off alone.
        self.assertIn("through its base, by " + self.private.hook,
                      self.ctl("enable", self.venv).stdout)
        self.assertIn("on through its base", self.ctl("disable", self.venv, status=2).stderr)
        self.assertEqual(listing(self.directory.name), on)
        [result] = self.results("disable", self.python)
        self.assertEqual((result["on"], result["changed"]), (False, True))
        self.assertEqual(listing(self.directory.name), self.before)
        self.assertIn("already off", self.ctl("disable", self.python).stdout)

    def test_an_environment(self):
        for name in (self.venv, self.venv + "/", self.venv_python):
            self.assertIn(": on, by ", self.ctl("enable", name).stdout)
            self.assertIn("already on", self.ctl("enable", name).stdout)
            link = os.path.join(self.private.site_packages(self.venv),
                                "_pycds" + self.private.suffix)
            self.assertEqual(self.client(self.venv_python)[:2], [link, True])
            self.assertIsNone(self.client(self.python))
            # Without pycds the line that is left says nothing.
            os.unlink(link)
            self.assertIsNone(self.client(self.venv_python))
            os.symlink("/nonexistent/cpython-%s/_pycds.so" % self.private.version, link)
            self.assertIsNone(self.client(self.venv_python))
            self.assertIn("refreshed", self.ctl("enable", "--if-enabled", name).stdout)
            self.assertEqual(self.client(self.venv_python)[:2], [link, True])
            self.ctl("disable", name)
            self.assertEqual(listing(self.directory.name), self.before)

    def test_only_if_enabled(self):
        [result] = self.results("enable", "--if-enabled", self.python)
        self.assertEqual((result["on"], result["changed"]), (False, False))
        self.assertEqual(listing(self.directory.name), self.before)
        with self.private.hooked("/nonexistent/cpython-3.11.0/_pycds.so"):
            [result] = self.results("enable", "--if-enabled", self.python)
            self.assertEqual((result["on"], result["changed"]), (True, True))
            self.assertEqual(os.readlink(self.private.hook), self.private.library)

    def test_what_is_somebody_elses(self):
        with file_in(self.private.stdlib, os.path.basename(self.private.hook), "a library"), \
                file_in(self.private.site_packages(self.venv), "pycds.pth", "import this\n"):
            before = listing(self.directory.name)
            for command in ("enable", "disable"):
                for name in (self.python, self.venv):
                    answer = self.ctl(command, name, status=2)
                    self.assertIn("is not from pycdsctl", answer.stderr)
            [result] = self.results("enable", "--if-enabled", self.python)
            self.assertFalse(result["changed"])
            self.assertEqual(listing(self.directory.name), before)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to be another user")
    def test_without_the_right_to_write(self):
        for name in (self.python, self.venv):
            answer = self.ctl("enable", name, status=4, user=NOBODY, group=NOBODY)
            self.assertIn("do this as root", answer.stderr)
            [result] = self.results("enable", name, status=4, user=NOBODY, group=NOBODY)
            self.assertEqual(result["error"]["code"], "permission-denied")

    @unittest.skipUnless(os.geteuid() == 0, "needs root to give files away")
    def test_a_client_that_others_can_change(self):
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            program = os.path.join(directory, "bin", "pycdsctl")
            client = os.path.join(directory, "client", "cpython-" + self.private.version)
            library = os.path.join(client, os.path.basename(self.private.library))
            os.makedirs(os.path.dirname(program))
            os.makedirs(client)
            shutil.copy(harness.PYCDSCTL, program)
            shutil.copy(self.private.library, library)

            def enable(warns):
                answer = subprocess.run([program, "enable", self.python], env=self.here(), check=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        universal_newlines=True)
                self.assertEqual("can be changed by others" in answer.stderr, warns, answer.stderr)
                self.assertEqual(os.readlink(self.private.hook), library)
                self.assertEqual(self.client(self.python)[:2], [library, True])
                self.assertIn("of another pycds",
                              self.checks(self.python, works=True)["hook"][0][1])
                self.ctl("disable", self.python)

            enable(False)
            os.chmod(client, 0o757)
            enable(True)
            os.chmod(client, 0o755)
            os.chown(library, NOBODY, NOBODY)
            enable(True)

    def test_doctor_when_it_works(self):
        self.ctl("enable", self.python)
        for python in (self.python, self.venv, self.venv_python):
            checks = self.checks(python, works=True)
            self.assertEqual(checks["hook"][0][0], "ok")
            self.assertIn(self.private.hook, checks["hook"][0][1])
            self.assertIn("user %d" % os.geteuid(), checks["image"][0][1])
            self.assertIn("user image of", checks["run"][0][1])
        self.assertIn("ok       run", self.ctl("doctor", self.python).stdout)
        self.ctl("disable", self.python)
        on = dict(line.split("=", 1) for line in
                  self.ctl("env", "--python", self.python).stdout.split())
        checks = self.checks(self.python, works=True, environment={**self.here(), **on})
        self.assertIn("on by the environment", checks["hook"][0][1])

    def test_doctor_when_it_does_not(self):
        checks = self.checks(self.python, works=False)
        self.assertEqual(checks["hook"], [("problem", "off: run 'pycdsctl enable %s'" % self.python)])
        self.assertIn("did not load the client", checks["run"][0][1])
        self.ctl("enable", self.python)
        checks = self.checks(self.python, works=False, environment=self.here(PYCDS="off"))
        self.assertEqual(checks["environment"][0][0], "problem")
        self.assertIn("(switched-off)", checks["run"][0][1])
        checks = self.checks(self.python, works=False,
                             environment={**self.here(), "PYCDS_SOCKET": "/nonexistent"})
        self.assertIn("no daemon answers at /nonexistent", checks["daemon"][0][1])
        self.assertIn("(no-daemon)", checks["run"][0][1])
        with tempfile.TemporaryDirectory() as directory, \
                file_in(directory, "sitecustomize.py", "") as shadow:
            checks = self.checks(self.python, works=False,
                                 environment=self.here(PYTHONPATH=directory))
            self.assertIn(shadow, checks["run"][0][1])
        with file_in(self.private.site_packages(self.venv), "sitecustomize.py", "raise SystemExit(3)"):
            self.assertIn("did not end as it should",
                          self.checks(self.venv, works=False)["run"][0][1])
        self.ctl("disable", self.python)
        with self.private.hooked("/nonexistent/cpython-3.11.0/_pycds.so"):
            checks = self.checks(self.python, works=False)
            self.assertIn("pycdsctl enable", checks["hook"][0][1])

    def test_doctor_without_an_image(self):
        empty = harness.Daemon().start()
        self.addCleanup(empty.remove)
        self.addCleanup(empty.stop)
        self.ctl("enable", self.python)
        checks = self.checks("--socket", empty.socket, self.python, works=False)
        self.assertEqual(checks["daemon"][0][0], "ok")
        self.assertIn("pycdsctl build", checks["image"][0][1])
        self.assertIn("(no-image)", checks["run"][0][1])

    @contextlib.contextmanager
    def waiting(self, program=None, **variables):
        process = subprocess.Popen(
            program or [self.python, "-c", "import json\nprint('ready', flush=True)\ninput()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**self.here(), **variables})
        try:
            if program is None:
                self.assertEqual(process.stdout.readline(), b"ready\n")
            yield str(process.pid)
        finally:
            process.kill()
            process.communicate()

    def test_doctor_of_a_process(self):
        with self.waiting() as pid:
            checks = self.checks("--pid", pid, works=False)
            self.assertIn("pycdsctl enable", checks["client"][0][1])
        with self.waiting([shutil.which("sleep"), "100"]) as pid:
            self.assertIn("no Python", self.checks("--pid", pid, works=False)["client"][0][1])
        self.ctl("enable", self.python)
        with self.waiting() as pid:
            checks = self.checks("--pid", pid, works=True)
            self.assertIn(self.private.library, checks["client"][0][1])
            self.assertRegex(checks["image"][0][1], r"maps img-\d+, [\d.]+ [KM]iB")
            if os.geteuid() == 0:
                answer = self.ctl("doctor", "--pid", pid, status=4, user=NOBODY, group=NOBODY)
                self.assertIn("uid 0", answer.stderr)
        with self.waiting(PYCDS="off") as pid:
            checks = self.checks("--pid", pid, works=False)
            self.assertIn("PYCDS=off", checks["image"][0][1])
        with self.waiting([self.python, "-SBc", "print('ready', flush=True)\ninput()"]) as pid:
            harness.wait_until(lambda: "-S" in str(self.client_check(pid)), "Python has begun")
        self.ctl("doctor", "--pid", str(2 ** 22 - 1), status=3)

    def client_check(self, pid):
        answer = subprocess.run([harness.PYCDSCTL, "doctor", "--pid", pid], env=self.here(),
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return answer.stdout


if __name__ == "__main__":
    harness.main()
