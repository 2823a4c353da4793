"""Bad surroundings: it says what is wrong, Python works, and it comes back."""
import os
import signal

from case import CACHE, DROP_IN, LIGHT, SystemCase, W
from machine import wait_until

SOCKET = "/run/pycds/pycdsd.sock"


class Trouble(SystemCase):
    def setUp(self):
        self.wait_for_images()

    def stopped(self):
        """From here to the end of the test nothing is as it should be."""
        self.addCleanup(self.back_to_normal)
        self.machine.systemctl("stop", "pycdsd.socket", "pycdsd.service", check=False)

    def start(self):
        self.machine.systemctl("start", "pycdsd.socket", check=False)
        return self.machine.run("systemctl", "start", "pycdsd.service", check=False)

    def say_last(self, after, count=3):
        for message in self.machine.messages(after)[-count:]:
            print("    " + message)

    # -- The cache --------------------------------------------------------------------------------

    def empty_cache(self):
        self.machine.run("find", CACHE, "-mindepth", "1", "-delete")

    def test_full_disk(self):
        """a full disk: images are made and served, the log says why they are not kept"""
        self.stopped()
        self.machine.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", CACHE)
        self.addCleanup(self.machine.run, "umount", CACHE)
        self.machine.run("chown", "pycds:", CACHE)
        after = self.machine.cursor()
        self.start()
        self.wait_for_images()
        self.assert_served()
        self.wait_for_message("No space left", after)
        self.say_last(after)
        # Nothing half-written stays there.
        left = self.machine.run("find", CACHE, "-mindepth", "1", "-type", "f").stdout
        self.assertEqual(left, "")

    def test_read_only(self):
        """a read-only /var: the same"""
        self.stopped()
        self.empty_cache()
        self.machine.run("mount", "--bind", "/var/cache", "/var/cache")
        self.addCleanup(self.machine.run, "umount", "/var/cache")
        self.machine.run("mount", "-o", "remount,bind,ro", "/var/cache")
        after = self.machine.cursor()
        self.start()
        self.wait_for_images()
        self.assert_served()
        self.wait_for_message("Read-only file system", after)
        self.say_last(after)

    def test_foreign_cache(self):
        """a cache directory of another user: it is taken over; images are served"""
        self.stopped()
        self.machine.run("chown", "-R", "nobody:nogroup", CACHE)
        self.addCleanup(self.machine.run, "chown", "-R", "pycds:pycds", CACHE)
        after = self.machine.cursor()
        self.start()
        self.wait_for_images()
        self.assert_served()
        self.say_last(after)

    # -- Surroundings -----------------------------------------------------------------------------

    def test_missing_user(self):
        """without its user it does not start, systemd says why, and Python is stock's"""
        before = {name: self.machine.path("/etc/" + name).read_bytes()
                  for name in ("passwd", "group", "shadow", "gshadow")}

        def back():
            for name, text in before.items():
                self.machine.path("/etc/" + name).write_bytes(text)
        self.stopped()
        self.addCleanup(back)
        after = self.machine.cursor()
        self.machine.run("userdel", "pycds")
        self.assertNotEqual(self.start().returncode, 0)
        # The socket's file belongs to that user too, so it is the socket that fails first.
        said = self.machine.run("journalctl", "--boot", "--after-cursor", after, "--quiet", "-u",
                                "pycdsd.socket", "-u", "pycdsd.service", "--output=cat").stdout
        self.assertRegex(said, "(?i)user")
        print("    " + said.strip().split("\n")[0])
        self.assert_stock(LIGHT)

    def test_plain_file(self):
        """a plain file where the socket should be is named by a daemon by hand, and does no harm"""
        self.stopped()
        self.machine.run("mkdir", "-p", os.path.dirname(SOCKET))
        self.machine.run("sh", "-c", "echo mine >" + SOCKET)
        self.assertEqual(self.assert_stock(LIGHT), "no-client")
        answer = self.machine.run("pycdsd", "--socket", SOCKET, check=False, timeout=20)
        self.assertEqual(answer.returncode, 1)
        self.assertIn("is not a socket", answer.stderr)
        self.assertIn(SOCKET, answer.stderr)
        print("    " + answer.stderr.strip())
        self.machine.run("rm", "-f", SOCKET, SOCKET + ".lock")

    def test_second_daemon(self):
        """a second daemon by hand says that there is one, and the first one goes on"""
        answer = self.machine.run("pycdsd", check=False, timeout=20)
        self.assertEqual(answer.returncode, 1)
        self.assertIn("another daemon answers", answer.stderr)
        print("    " + answer.stderr.strip())
        self.assert_served()

    def test_build_memory(self):
        """a build that hits its memory limit fails, the log says so, and the daemon lives"""
        self.machine.write(DROP_IN, "build-memory = 64\n")
        self.addCleanup(self.back_to_normal)
        self.addCleanup(self.machine.run, "rm", "-f", DROP_IN)
        self.machine.systemctl("stop", "pycdsd.service")
        self.empty_cache()
        after = self.machine.cursor()
        self.machine.systemctl("start", "pycdsd.service")
        message = self.wait_for_message("failed", after)
        print("    " + message)
        self.assertRegex(message, "(?i)memory")
        self.wait_for_daemon()
        self.assertEqual(self.system_images(), [])
        self.assertEqual(self.assert_stock(LIGHT), "no-image")

    def test_watchdog(self):
        """a daemon that hangs is killed by the watchdog and comes back with its images"""
        before = {image["published_unix_ms"] for image in self.system_images()}
        self.with_unit("[Service]\nWatchdogSec=2s\n")
        self.machine.systemctl("restart", "pycdsd.service")
        self.wait_for_images()
        old = self.daemon_outside()
        after = self.machine.cursor()
        # Not before it has said once that it lives.
        os.kill(old, signal.SIGSTOP)
        self.assert_works_without(LIGHT)
        wait_until(lambda: self.machine.main_pid() and self.daemon_outside() != old and
                   self.ctl_json("status"), "the watchdog acts", 60, 0.3)
        self.wait_for_images()
        self.assertEqual({image["published_unix_ms"] for image in self.system_images()}, before)
        self.assertEqual(self.built_since(after), [])
        self.assertGreaterEqual(int(self.machine.property("pycdsd.service", "NRestarts")), 1)
        self.assert_served(W)

    def test_watchdog_lets_live(self):
        """a daemon that is well is not touched by a watchdog of two seconds"""
        self.with_unit("[Service]\nWatchdogSec=2s\n")
        self.machine.systemctl("restart", "pycdsd.service")
        self.wait_for_images()
        pid = self.daemon_outside()
        self.machine.run("sleep", "6")
        self.assertEqual(self.daemon_outside(), pid)
        self.addCleanup(self.machine.systemctl, "restart", "pycdsd.service")
