"""Images that nobody asks for: made by the daemon itself, made anew when files change, and there again
after a restart. This program plays the service manager."""
import os
import shutil
import signal
import socket
import subprocess
import time
import unittest

import harness
from harness import PRELOAD, PYCDSD, PYTHON, clean_environment, wait_until

VERSION = subprocess.run(
    [PYTHON, "-I", "-S", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
    stdout=subprocess.PIPE, check=True, env=clean_environment()).stdout.decode().strip()
SITE = "/usr/local/lib/python%s/dist-packages" % VERSION


class Manager(harness.Daemon):
    """What systemd does for the daemon: READY=1, and a store of descriptors that outlives it."""

    def __init__(self):
        super().__init__()
        self.socket_path = os.path.join(self.directory, "notify")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(self.socket_path)
        self.notify.setblocking(False)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.socket)
        self.listener.listen(64)
        self.stored = {}

    def start(self, *options):
        passed = [("pycdsd.socket", self.listener.fileno())] + list(self.stored.items())

        def in_child():
            # dup2() to the place of one that is still needed must not close it.
            high = [os.dup2(fd, 200 + i, False) for i, (_, fd) in enumerate(passed)]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i, True)

        self.drain()
        environment = clean_environment(
            NOTIFY_SOCKET=self.socket_path, LISTEN_FDS=str(len(passed)),
            LISTEN_FDNAMES=":".join(name for name, _ in passed))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", "export LISTEN_PID=$$; exec \"$@\"", "sh", PYCDSD, "--config",
                 "/dev/null", "--socket", self.socket] + list(options),
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=False,
                preexec_fn=in_child)
        wait_until(self.ready, "the daemon is ready")

    def ready(self):
        if self.process.poll() is not None:
            with open(self.log) as log:
                raise AssertionError("the daemon ended: " + log.read())
        return "READY=1" in self.drain()

    def drain(self):
        """Takes what the daemon said; returns the lines, and keeps what it wanted kept."""
        lines = []
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self.notify, 65536, 8)
            except BlockingIOError:
                return lines
            said = data.decode().split("\n")
            lines += said
            name = next((line[7:] for line in said if line.startswith("FDNAME=")), None)
            if "FDSTORE=1" in said:
                self.stored[name] = fds[0]
            elif "FDSTOREREMOVE=1" in said and name in self.stored:
                os.close(self.stored.pop(name))

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        status = self.process.wait(harness.DEADLINE)
        self.drain()
        return status

    def reboot(self):
        """Everything that was stored is gone."""
        for fd in self.stored.values():
            os.close(fd)
        self.stored.clear()

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)
        self.reboot()
        self.notify.close()
        self.listener.close()
        self.remove()


class SystemImages(harness.PythonCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Under sanitizers only a wrapper of the interpreter can load the builder.
        cls.options = ["--user", "--discover", "true"]
        cls.options += ["--interpreter", cls.python] if PRELOAD else []
        cls.options += ["--build-memory", str(1 << 30)] if PRELOAD else []
        cls.seed = None  # what a first run left in its cache, so that not every test builds

    def setUp(self):
        self.manager = Manager()
        self.addCleanup(self.manager.close)
        self.cache = os.path.join(self.manager.directory, "cache")
        self.options = self.options + ["--cache", self.cache]
        if self._testMethodName == "test_made_without_being_asked_and_served":
            os.mkdir(self.cache, 0o700)
            return
        if self.seed is None:
            self.make_seed()
        shutil.copytree(self.seed, self.cache)
        os.chmod(self.cache, 0o700)

    def make_seed(self):
        cls = type(self)
        os.mkdir(self.cache, 0o700)
        self.start()
        self.settled(1)
        self.written()
        self.manager.end()
        self.manager.reboot()
        cls.seed = os.path.join(self.daemon.directory, "seed")
        os.rename(self.cache, cls.seed)
        os.truncate(self.manager.log, 0)

    def written(self):
        """Waits until all images are in the cache."""
        def complete():
            names = [name for name in os.listdir(self.cache) if not name.endswith(".new")]
            return names and len(names) == len(self.images())
        wait_until(complete, "the images are in the cache; log: " + self.log())

    def start(self, *options):
        self.manager.start(*self.options, *options)

    def images(self):
        return self.manager.ctl_json("list")["images"]

    def image(self):
        """The image for the interpreter under test, waited for."""
        wanted = self.full_version()
        found = []

        def there():
            self.manager.drain()
            found[:] = [image for image in self.images() if image["python"].startswith(wanted)]
            return bool(found)
        wait_until(there, "there is an image for " + wanted + "; log: " + self.log())
        return found[0]

    def full_version(self):
        answer = self.run_python("-I", "-S", "-c", "import sys; print(sys.version.split()[0])")
        return answer.stdout.decode().strip()

    def log(self):
        with open(self.manager.log) as log:
            return log.read()

    def served(self, code="import json, email.message"):
        return self.stats(code, environment=self.manager.on(self.python))

    def settled(self, builds):
        """Waits until the log has so many builds begun, and none runs."""
        def quiet():
            self.manager.drain()
            status = self.manager.ctl_json("status")
            return self.log().count(" started:") >= builds and status["builds_running"] == 0
        wait_until(quiet, "%d builds; log: %s" % (builds, self.log()))

    def test_made_without_being_asked_and_served(self):
        self.start()
        if not self.images():
            stats, _ = self.served("pass")
            self.assertEqual(stats["served"], 0, "who comes too early runs as stock")
        image = self.image()
        self.assertGreater(image["modules"], 150)
        stats, _ = self.served()
        self.assertTrue(stats["attached"], stats)
        self.assertGreater(stats["served"], 5)
        self.assertEqual(self.manager.end(), 0)

    def test_the_store_of_descriptors_outlives_the_daemon(self):
        self.start()
        before = self.image()
        builds = self.log().count(" started:")
        for how in (signal.SIGTERM, signal.SIGKILL):
            self.manager.end(how)
            self.assertTrue(self.manager.stored)
            self.start()
            # At once: restored before it is ready.
            after = [image for image in self.images() if image["id"] == before["id"]]
            self.assertEqual(len(after), 1, self.log())
            self.assertEqual(after[0]["published_unix_ms"], before["published_unix_ms"])
            self.assertGreater(self.served()[0]["served"], 5)
        self.assertEqual(self.log().count(" started:"), builds, self.log())

    def test_a_dropped_image_leaves_the_store(self):
        self.start()
        image = self.image()
        self.settled(0)
        self.manager.ctl("drop", "all")
        self.manager.drain()
        self.assertEqual([name for name in self.manager.stored if "img." in name], [])
        self.assertNotIn(image["id"], [one["id"] for one in self.images()])

    def test_descriptors_of_strangers_are_dropped(self):
        self.start()
        self.image()
        self.manager.end()
        name, fd = next(iter(self.manager.stored.items()))
        # The same name over other bytes; a name of somebody else; bytes under a good name.
        forged = os.memfd_create("forged", os.MFD_ALLOW_SEALING)
        size = os.fstat(fd).st_size
        data = bytearray(os.pread(fd, size, 0))
        data[size // 2] ^= 1
        os.write(forged, data)
        self.manager.stored[name] = forged
        other = os.memfd_create("other")
        os.write(other, b"hello")
        self.manager.stored["somebody-elses"] = other
        os.close(fd)
        self.start()
        self.manager.drain()
        self.assertNotIn("somebody-elses", self.manager.stored)
        self.assertNotIn(forged, self.manager.stored.values())
        self.image()  # made anew
        self.assertGreater(self.served()[0]["served"], 5)

    def test_the_cache_outlives_the_store(self):
        self.start()
        before = self.image()
        self.manager.end()
        self.manager.reboot()
        self.start()
        after = self.image()
        self.assertEqual(after["id"], before["id"])
        self.assertEqual(after["published_unix_ms"], before["published_unix_ms"])
        self.assertEqual(self.log().count(" started:"), 0, self.log())
        self.assertGreater(self.served()[0]["served"], 5)

    def test_a_damaged_cache_is_as_good_as_none(self):
        builds = 0
        for damage in (self.flip, self.cut):
            damage()
            self.start()
            self.image()
            self.assertGreater(self.log().count(" started:"), builds, self.log())
            builds = self.log().count(" started:")
            self.assertIn("ignored " + self.cache, self.log())
            self.assertGreater(self.served()[0]["served"], 5)
            self.written()
            self.manager.end()
            self.manager.reboot()

    def files(self):
        return [os.path.join(self.cache, name) for name in os.listdir(self.cache)]

    def flip(self):
        for path in self.files():
            with open(path, "r+b") as file:
                file.seek(os.path.getsize(path) // 3)
                byte = file.read(1)
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte[0] ^ 0x40]))

    def cut(self):
        for path in self.files():
            os.truncate(path, os.path.getsize(path) // 2)

    @unittest.skipUnless(os.access(SITE, os.W_OK), "cannot write to " + SITE)
    def test_changed_files_are_noticed(self):
        name = "pycds_test_%d" % os.getpid()
        package = os.path.join(SITE, name)
        self.addCleanup(shutil.rmtree, package, True)

        def write(value):
            os.makedirs(package, exist_ok=True)
            with open(os.path.join(package, "__init__.py"), "w") as file:
                file.write("VALUE = %r\n" % value)
            self.run_python("-m", "compileall", "-q", package)

        self.start()
        self.image()
        code = "import %s; print(%s.VALUE)" % (name, name)
        for value in ("first", "second, longer"):
            before = self.image()["id"]
            write(value)
            stats, text = self.served(code)
            self.assertEqual(text.strip(), value, "new code runs at once, whatever the image has")

            # Others may change files of this interpreter too: not every new image is that of the change.
            def from_the_image():
                stats, text = self.served(code)
                self.assertEqual(text.strip(), value)
                return stats["attached"] and not {
                    "not-in-image", "source-changed", "pyc-changed"} & set(stats["misses"])
            wait_until(from_the_image, "the module comes from an image; log: " + self.log())
            self.assertNotEqual(self.image()["id"], before)

    @unittest.skipUnless(os.access(SITE, os.W_OK), "cannot write to " + SITE)
    def test_a_slow_installation_is_noticed(self):
        # Sources first, and the .pyc files when the daemon has looked already, as pip does it.
        name = "pycds_slow_%d" % os.getpid()
        package = os.path.join(SITE, name)
        self.addCleanup(shutil.rmtree, package, True)
        self.start()
        before = self.image()["id"]
        self.settled(0)
        os.mkdir(package)
        with open(os.path.join(package, "__init__.py"), "w") as file:
            file.write("VALUE = 1\n")
        time.sleep(20)
        self.settled(0)
        self.run_python("-m", "compileall", "-q", package)
        wait_until(lambda: self.image()["id"] != before, "another image; log: " + self.log())

    def test_reload_looks_again(self):
        self.start()
        self.image()
        # Others may change files of this interpreter at the same time: then a build is right.
        for _ in range(5):
            self.settled(0)
            builds = self.log().count(" started:")
            self.manager.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "READY=1" in self.manager.drain(), "the daemon has reloaded")
            stats, _ = self.served()
            self.assertGreater(stats["served"], 5)
            if self.log().count(" started:") == builds:
                return
        self.fail("each reload made an image anew, though nothing had changed; log: " + self.log())

    def test_switched_off(self):
        self.manager.start("--user", "--discover", "false", "--cache", "none")
        self.assertEqual(self.images(), [])
        self.assertNotIn(" started:", self.log())


if __name__ == "__main__":
    harness.main()
