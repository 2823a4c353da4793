"""pycdsctl enable and disable."""
import os

from case import PYTHON, SystemCase
from install import files

VENV = "/home/alice/venv"


class Switching(SystemCase):
    def hooks(self):
        return {path: what for path, what in files(self.machine.root).items()
                if "sitecustomize" in path or "_pycds" in path or path.endswith("pycds.pth")}

    def test_distribution(self):
        """disable makes the distribution's Python stock, enable brings sharing back, exactly"""
        on = self.hooks()
        self.ctl("disable", PYTHON)
        self.addCleanup(self.ctl, "enable", PYTHON)
        off = self.hooks()
        self.assertEqual(self.assert_stock(), "no-client")
        self.assertEqual(off.keys() & on.keys(), off.keys())
        self.assertEqual(len(on) - len(off), 1)
        self.ctl("disable", PYTHON)
        self.assertEqual(self.hooks(), off)
        for _ in range(2):
            self.ctl("enable", PYTHON)
            self.assertEqual(self.hooks(), on)
        self.assert_served()

    def test_venv(self):
        """a virtual environment whose base is off can be switched on and off, exactly"""
        self.ctl("disable", PYTHON)
        self.addCleanup(self.ctl, "enable", PYTHON)
        self.machine.run(PYTHON, "-m", "venv", "--without-pip", "--system-site-packages", VENV,
                         user="alice")
        self.addCleanup(self.machine.run, "rm", "-rf", VENV)
        before = files(self.machine.path(VENV))
        python = VENV + "/bin/python"
        self.assertEqual(self.assert_stock(python=python), "no-client")
        for _ in range(2):
            self.ctl("enable", VENV, user="alice")
        self.assert_served(python=python)
        self.assertEqual(self.assert_stock(), "no-client")
        for _ in range(2):
            self.ctl("disable", VENV, user="alice")
        self.assertEqual(files(self.machine.path(VENV)), before)
        self.assertEqual(self.assert_stock(python=python), "no-client")

    def test_foreign(self):
        """what pycdsctl did not write it does not touch"""
        hook = self.machine.run(
            "sh", "-c", "ls /usr/lib/python3.*/sitecustomize.*.so").stdout.strip()
        self.ctl("disable", PYTHON)
        self.addCleanup(self.ctl, "enable", PYTHON)
        os.symlink("/usr/lib/somebody/else.so", self.machine.path(hook))
        self.addCleanup(os.unlink, self.machine.path(hook))
        for command in ("enable", "disable"):
            answer = self.ctl(command, PYTHON, check=False)
            self.assertNotEqual(answer.returncode, 0, command)
            self.assertIn(hook, answer.stderr)
            self.assertEqual(os.readlink(self.machine.path(hook)), "/usr/lib/somebody/else.so")
