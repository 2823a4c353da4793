"""What the tests of a booted machine share. They run in the order of run.py, on one machine, and
each leaves it as it found it."""
import json
import unittest

import machine as machines
from machine import wait_until

W = "flask, requests, pymongo"
# Light enough for many starts a second on two processors.
LIGHT = "argparse, json, logging, urllib.request"

MATERIAL = "/srv/pycds-test"
DROP_IN = "/etc/pycds/pycdsd.conf.d/50-test.conf"
UNIT_DROP_IN = "/run/systemd/system/pycdsd.service.d/50-test.conf"
CACHE = "/var/cache/pycds"

PYTHON = "/usr/bin/python3"


class Shared:
    """Set by run.py."""
    machine = None
    release = None
    debs = []


class Skip(unittest.SkipTest):
    pass


def essential(test):
    """Without this there is nothing to test: run.py goes no further."""
    test.essential = True
    return test


class SystemCase(unittest.TestCase):
    @property
    def machine(self):
        return Shared.machine

    # -- Packages ---------------------------------------------------------------------------------

    def apt(self, *arguments):
        """apt-get, as an administrator without a terminal; with other lists of packages if those of
        this root are too old."""
        command = ["apt-get", "--yes", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"]
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        answer = self.machine.run(*command, *arguments, env=env, check=False, timeout=300)
        if answer.returncode != 0:
            self.machine.run("apt-get", "update", check=False)
            answer = self.machine.run(*command, *arguments, env=env, timeout=300)
        return answer

    # -- The daemon -------------------------------------------------------------------------------

    def ctl(self, *arguments, **options):
        return self.machine.run("pycdsctl", *arguments, **options)

    def ctl_json(self, *arguments):
        answer = self.ctl(*arguments, "--json", check=False)
        if answer.returncode != 0:
            return {}
        return json.loads(answer.stdout)

    def images(self):
        return self.ctl_json("list").get("images", [])

    def system_images(self):
        return [image for image in self.images() if image["domain"] == "system"]

    def wait_for_images(self, deadline=machines.DEADLINE):
        """Until the daemon has images and builds no more."""
        def there():
            status = self.ctl_json("status")
            if not status or status["builds_running"]:
                return None
            return self.system_images()
        return wait_until(there, lambda: "there is an image; the daemon says: %s" %
                          self.machine.messages()[-8:], deadline, pause=0.1)

    def wait_for_daemon(self):
        wait_until(lambda: self.ctl_json("status"), "the daemon answers", 30)

    def wait_for_message(self, pattern, after):
        """The first message of the daemon after a cursor in which `pattern` stands."""
        def found():
            for message in self.machine.messages(after):
                if pattern.lower() in message.lower():
                    return message
            return None
        return wait_until(found, lambda: "the journal says '%s'; it says %s" % (
            pattern, self.machine.messages(after)), 60)

    def built_since(self, after):
        return [message for message in self.machine.messages(after)
                if message.startswith("build ") and " started" in message]

    def with_configuration(self, text, reload=True):
        """A drop-in until the end of the test."""
        self.machine.write(DROP_IN, text)
        self.addCleanup(self.reload)
        self.addCleanup(self.machine.path(DROP_IN).unlink)
        if reload:
            self.reload()

    def reload(self):
        self.machine.systemctl("reload-or-restart", "pycdsd.service", check=False)

    def with_unit(self, text):
        """Other settings of the unit until the end of the test. Not restarted here."""
        self.machine.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && printf "%s" "$2" >"$1"', "sh",
                         UNIT_DROP_IN, text)
        self.machine.systemctl("daemon-reload")
        self.addCleanup(self.machine.systemctl, "daemon-reload")
        self.addCleanup(self.machine.run, "rm", "-r", "/run/systemd/system/pycdsd.service.d")

    def restart(self):
        self.machine.systemctl("reset-failed", "pycdsd.service", "pycdsd.socket", check=False)
        self.machine.systemctl("restart", "pycdsd.socket", check=False)
        self.machine.systemctl("restart", "pycdsd.service")

    def back_to_normal(self):
        """The way back from a test that has the daemon fail."""
        self.restart()
        self.wait_for_images()

    # -- Python -----------------------------------------------------------------------------------

    def digest(self, modules=W, user="alice", python=PYTHON, env=None, expected=None):
        """Runs program.py: (digest, attached, modules served, reason)."""
        answer = self.machine.run(python, MATERIAL + "/program.py", modules, user=user, env=env)
        self.assertEqual(answer.stderr, "")
        digest, attached, served, reason = answer.stdout.split()
        if expected is not None:
            self.assertEqual(digest, expected, "what was imported differs from stock")
        return digest, attached == "1", int(served), reason

    def stock(self, modules=W, user="alice", python=PYTHON):
        digest, attached, _, _ = self.digest(modules, user, python, env={"PYCDS": "off"})
        self.assertFalse(attached)
        return digest

    def assert_served(self, modules=W, user="alice", python=PYTHON, at_least=300):
        _, attached, served, reason = self.digest(
            modules, user, python, expected=self.stock(modules, user, python))
        self.assertTrue(attached, reason)
        self.assertGreaterEqual(served, at_least)

    def assert_works_without(self, modules=W, user="alice"):
        """Python imports as stock; whether it is served does not matter."""
        return self.digest(modules, user, expected=self.stock(modules, user))

    def assert_stock(self, modules=W, user="alice", python=PYTHON):
        _, attached, served, reason = self.digest(
            modules, user, python, expected=self.stock(modules, user, python))
        self.assertFalse(attached)
        self.assertEqual(served, 0)
        return reason

    def alive(self, modules=W, user="alice", python=PYTHON):
        """A process that has imported modules and stays until the test ends: its pid outside."""
        process = self.machine.start(python, MATERIAL + "/program.py", modules, "stay", user=user)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        attached = process.stdout.readline().split()[1]
        self.assertEqual(attached, "1")
        return self.machine.pid_outside(int(process.stdout.readline().split()[1]))

    def daemon_outside(self):
        inside = wait_until(self.machine.main_pid, "the daemon runs", 30)
        return self.machine.pid_outside(inside)

    # -- Load -------------------------------------------------------------------------------------

    def start_load(self, rate, seconds, modules, expected):
        return self.machine.start(PYTHON, "-I", MATERIAL + "/load.py", rate, seconds, modules,
                                  expected, user="bob", env={"PYCDS": "off"})

    def end_of_load(self, process):
        output, _ = process.communicate(timeout=300)
        return json.loads(output)


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * percent / 100))]
