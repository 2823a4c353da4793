"""A user's own images, made by the system's daemon of files that he offers, and what else he offers."""
import contextlib
import glob
import json
import os
import select
import socket
import subprocess
import time
import traceback
import unittest

import attackers
import harness
import silent_fuse
import switching
from harness import PYCDSCTL, clean_environment

ALICE = 1000
BOB = 1001


def start_as_user(uid, function):
    """A process of another user's, and a file with what `function` returns there, bytes, or with why
    it does not."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            os.write(write_end, function())
        except BaseException:
            os.write(write_end, traceback.format_exc().encode())
        finally:
            # Its descriptors may take their time.
            os.close(write_end)
            os._exit(0)
    os.close(write_end)
    return child, open(read_end, "rb")


def as_user(uid, function):
    child, answer = start_as_user(uid, function)
    with answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


@unittest.skipUnless(os.geteuid() == 0, "needs root, to be several users")
class OwnImages(harness.PythonCase):
    """A user has images made of his own files by the system's daemon."""

    daemon_options = ("--user-builds", "1000")

    @classmethod
    def setUpClass(cls):
        if harness.PRELOAD or not harness.others_may_run_it():
            raise unittest.SkipTest("users' images are made with interpreters of the system alone")
        super().setUpClass()
        cls.real_python = os.path.realpath(cls.python)
        cls.daemon.ctl("build", "--python", cls.python, "json")
        cls.home = os.path.join(cls.daemon.directory, "home")
        package = os.path.join(cls.home, "mine")
        os.makedirs(package)
        for name in ("__init__", "a", "b"):
            with open(os.path.join(package, name + ".py"), "w") as source:
                source.write("name = __name__\n")
        subprocess.run(["chown", "-R", "%d:%d" % (ALICE, ALICE), cls.home], check=True)
        subprocess.run([cls.python, "-m", "compileall", "-q", package], env=clean_environment(),
                       user=ALICE, check=True)
        cls.package = package

    def setUp(self):
        self.as_of(ALICE, "drop", "all")

    def as_of(self, uid, *arguments, check=True, **variables):
        return subprocess.run([PYCDSCTL, "--socket", self.daemon.socket] + list(arguments),
                              env=clean_environment(PYTHONPATH=self.home, **variables), user=uid, group=uid,
                              extra_groups=[], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              universal_newlines=True, check=check, timeout=harness.DEADLINE)

    def build(self, uid=ALICE):
        return self.as_of(uid, "build", "--python", self.python, "mine", "json")

    def images_of(self, uid):
        images = json.loads(self.as_of(uid, "list", "--json").stdout)["images"]
        return [image["domain"] for image in images]

    def served_to(self, uid, *options):
        """From how many images, and which of `mine` of the user's."""
        code = ("import mine.a, json, _pycds; s = _pycds.stats(); "
                "print(json.dumps([len(s['images']), s['served'], mine.a.name]))")
        environment = self.on()
        environment["PYTHONPATH"] += ":" + self.home
        answer = subprocess.run([self.python, *options, "-c", code], env=environment, user=uid, group=uid,
                                extra_groups=[], stdout=subprocess.PIPE, check=True)
        images, served, name = json.loads(answer.stdout)
        self.assertEqual(name, "mine.a")
        return images, served

    def test_a_user_has_an_image_of_his_own(self):
        before = self.served_to(ALICE)
        built = self.build().stdout
        self.assertIn("3 modules, domain user %d" % ALICE, built)
        self.assertRegex(built, r"of-the-system +\d+")
        self.assertEqual(self.served_to(ALICE), (before[0] + 1, before[1] + 2))

    def test_another_user_has_nothing_of_it(self):
        before = self.served_to(BOB)
        self.build()
        self.assertEqual(self.images_of(ALICE), ["system", "user"])
        self.assertEqual(self.images_of(BOB), ["system"])
        self.assertEqual(self.served_to(BOB), before)
        alices = json.loads(self.as_of(ALICE, "list", "--json").stdout)["images"][1]["id"]
        for command in ("drop", "show"):
            self.assertNotEqual(self.as_of(BOB, command, alices, check=False).returncode, 0)
        self.assertEqual(self.images_of(ALICE), ["system", "user"])

    def test_who_is_more_than_his_user_or_isolated_does_without(self):
        self.build()
        code = "import json.decoder, _pycds; print(len(_pycds.stats()['images']))"
        def images(*options, **who):
            return subprocess.run([self.python, *options, "-c", code], env=self.on(), stdout=subprocess.PIPE,
                                  check=True, **who).stdout
        self.assertEqual(images(user=ALICE, group=ALICE), b"2\n")
        self.assertEqual(images(user=ALICE, group=BOB), b"1\n")
        ambient = subprocess.run(
            ["setpriv", "--reuid=%d" % ALICE, "--regid=%d" % ALICE, "--clear-groups",
             "--inh-caps=+net_admin", "--ambient-caps=+net_admin", self.python, "-c", code], env=self.on(),
            stdout=subprocess.PIPE, check=True)
        self.assertEqual(ambient.stdout, b"1\n")
        # As one that has been more than that.
        self.assertEqual(images("-c", "import os; os.setresgid(*[%d] * 3); os.setresuid(*[%d] * 3); exec(%r)"
                                % (ALICE, ALICE, code)), b"1\n")
        # As one that has given up root, but may take it again.
        code = "import os; os.setresuid(%d, %d, 0); " % (ALICE, ALICE) + code
        self.assertEqual(images(), b"1\n")

    def test_under_I_and_E_a_users_images_are_not_mapped(self):
        """Where `pycdsctl enable` has switched the client on, which then asks at the system's socket."""
        self.build()
        private = switching.PrivatePython(os.path.join(self.daemon.directory, "private"))
        code = "import json.decoder, _pycds; print(len(_pycds.stats()['images']))"
        mount = ("mount -t tmpfs run /run && mkdir /run/pycds && ln -s \"$0\" /run/pycds/pycdsd.sock && "
                 "exec setpriv --reuid=%d --regid=%d --clear-groups \"$@\"" % (ALICE, ALICE))

        namespace = ["unshare", "--mount"]
        # In a chroot, whose root is no mount, there is nothing to change.
        with open("/proc/self/mountinfo") as mounts:
            if " shared:" not in mounts.read():
                namespace += ["--propagation", "unchanged"]

        def images(*options):
            return subprocess.run(
                [*namespace, "sh", "-c", mount, self.daemon.socket, private.path, *options, "-c", code],
                env=clean_environment(), stdout=subprocess.PIPE, check=True).stdout
        with private.hooked():
            self.assertEqual([images(*options) for options in ((), ("-E",), ("-I",), ("-s",))],
                             [b"2\n", b"1\n", b"1\n", b"2\n"])

    def test_a_changed_file_is_stocks(self):
        self.build()
        with open(os.path.join(self.package, "a.py"), "a") as source:
            source.write("name = 'mine.a'  # again\n")
        images, served = self.served_to(ALICE)
        self.assertEqual((images, served), (2, self.served_to(BOB)[1] + 1))

    def offer(self, *parts):
        return as_user(ALICE, lambda: attackers.offer(self.daemon.socket, self.real_python, parts))

    def source(self):
        (pyc,) = glob.glob(self.package + "/__pycache__/b.*.pyc")
        return attackers.source(self.package + "/b.py", pyc)

    @contextlib.contextmanager
    def a_silent_file_system(self):
        directory = os.path.join(self.daemon.directory, "fuse")
        os.makedirs(directory, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                path = stack.enter_context(silent_fuse.mounted(directory))
            except OSError as error:
                self.skipTest("no FUSE: %s" % error)
            yield path

    def test_what_is_offered_is_taken(self):
        self.assertEqual(self.offer((self.source(), []))[:1], b"\x1a")
        self.assertEqual(self.images_of(ALICE), ["system", "user"])

    def test_descriptors_are_not_taken(self):
        kinds = {"directory": os.open("/", os.O_RDONLY), "pipe": os.pipe()[0],
                 "socket": socket.socket().detach(), "device": os.open("/dev/null", os.O_RDONLY),
                 "file": os.open(self.package + "/b.py", os.O_RDONLY), "memfd": os.memfd_create("x")}
        for kind, fd in kinds.items():
            with self.subTest(kind):
                # With a whole source, with a part of one, with many.
                source = self.source()
                self.offer((source[:10], [fd]), (source[10:], [fd] * 200), (source, [fd]))
                self.assert_no_builder_is_left()
            os.close(fd)
        self.build()

    def test_a_file_of_a_file_system_that_is_silent(self):
        """Whoever has it cannot end: that must not be a builder (client/builder/offered.h)."""
        children = []
        try:
            with self.a_silent_file_system() as path:
                def offer():
                    fd = os.open(path, os.O_RDONLY)
                    return attackers.offer(self.daemon.socket, self.real_python,
                                           [(self.source(), [fd]), (b"nonsense", [fd])])
                child, answer = start_as_user(ALICE, offer)
                children.append(child)
                with answer:
                    self.assertIn(answer.read()[:1], (b"\x0a", b"\x1a"))
                self.assert_no_builder_is_left()
        finally:
            # Not before the file system is gone.
            for child in children:
                os.waitpid(child, 0)
        self.build()

    def test_nonsense_instead_of_sources(self):
        source = self.source()
        for parts in ([b"x"], [b"\0/a.py\0"], [b"\xff/a.py\0"], [b"\1\0"], [b"\0" * 60000], [source[:-1]],
                      [b"\0" + b"x" * 100000], [source, b"\1"], []):
            answer = self.offer(*((part, []) for part in parts))
            self.assertEqual(answer[:1], b"\x0a", answer)
        self.assert_no_builder_is_left()

    def test_who_takes_his_time_is_not_waited_for_and_keeps_nobody_waiting(self):
        others, done = os.pipe()
        has_begun, begun = os.pipe()

        def take_time():
            os.close(done)
            with attackers.offering(self.daemon.socket, self.real_python) as (connection, builder):
                assert connection is not None, builder
                builder.send(b"\1")
                os.write(begun, b"x")
                while not select.select([others], [], [], 0.2)[0]:
                    builder.send(b"x")
                began = time.monotonic()
                answer = attackers.last_answer(connection)
                return b"%d %s" % (time.monotonic() - began, answer)
        child, answer = start_as_user(ALICE, take_time)
        os.close(begun)
        with open(has_begun, "rb") as message:
            self.assertEqual(message.read(1), b"x")
        self.daemon.ctl("build", "--python", self.python, "json")
        self.as_of(BOB, "build", "--python", self.python, "mine")
        self.as_of(BOB, "drop", "all")
        self.assertEqual(self.daemon.ctl_json("status")["builds_running"], 1)
        os.close(done)
        os.close(others)
        with answer:
            seconds, _, said = answer.read().partition(b" ")
        os.waitpid(child, 0)
        self.assertIn(b"sent nothing for 5000 ms", said)
        self.assertLess(int(seconds), 30)
        self.assert_no_builder_is_left()

    def test_who_has_nothing_of_his_own_is_told(self):
        refused = self.as_of(BOB, "build", "--python", self.python, "json", check=False)
        self.assertIn("of yours there are none", refused.stderr)

    def test_who_asks_and_goes_leaves_nothing(self):
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as connection:
            def ask():
                connection.connect(self.daemon.socket)
                connection.send(attackers.build_request(self.real_python, b"\x20\x01"))
                return connection.recv(100)
            as_user(ALICE, ask)
        self.assert_no_builder_is_left()

    def test_only_with_interpreters_of_the_system(self):
        answer = as_user(ALICE, lambda: attackers.offer(self.daemon.socket, self.home + "/python", []))
        self.assertIn(b"pycdsd --user", answer)

    def assert_no_builder_is_left(self):
        harness.wait_until(lambda: self.daemon.ctl_json("status")["builds_running"] == 0, "no build runs")
        children = "/proc/%d/task/%d/children" % ((self.daemon.process.pid,) * 2)
        def none():
            with open(children) as numbers:
                return not numbers.read().split()
        harness.wait_until(none, "no builder is left", deadline=10)


if __name__ == "__main__":
    harness.main()
