"""Whatever is at the other end of the socket, Python starts and behaves as without the client."""
import contextlib
import fcntl
import json
import os
import resource
import shutil
import socket
import struct
import subprocess
import threading
import unittest

import harness

PROGRAM = "import json, argparse\nprint(json.dumps([1]), len(argparse.__name__))\nraise SystemExit(3)"
REASON = "import _pycds\nprint(_pycds.stats()['reason'])"

F_ADD_SEALS = 1033
ALL_SEALS = 0xF
CHECKSUM = range(24, 32)
HEADER_SIZE = 1344  # sizeof(Header), src/common/image/format.h


def memfd(data, seals=ALL_SEALS):
    fd = os.memfd_create("pycds-test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


def attach_reply(images):
    """An AttachReply that names `images` images (field numbers of proto/pycds.proto)."""
    body = b"\x0a\x02\x0a\x00" * images
    return b"\x12" + bytes([len(body)]) + body


def fetch_image(daemon, image_id=None):
    """The bytes of an image, of the first by default, as any attached process could read them."""
    if image_id is None:
        image_id = daemon.ctl_json("list")["images"][0]["id"]
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as client:
        client.connect(daemon.socket)
        name = image_id.encode()
        fetch = b"\x0a" + bytes([len(name)]) + name
        client.send(b"\x32" + bytes([len(fetch)]) + fetch)
        _, fds, _, _ = socket.recv_fds(client, 65536, 4)
    image = os.pread(fds[0], os.fstat(fds[0]).st_size, 0)
    os.close(fds[0])
    return image


class FakeDaemon:
    """Accepts on a real socket and lets a function answer each connection."""

    def __init__(self, directory, answer):
        self.path = os.path.join(directory, "fake-%d.sock" % id(self))
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(self.path)
        self.socket.listen(16)
        self.answer = answer
        self.held = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                connection.recv(65536)
                self.answer(connection)
            self.held.append(connection)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()
        for connection in self.held:
            connection.close()
        os.unlink(self.path)


class BadDaemon(harness.PythonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon.ctl("build", "--python", cls.python, "--import", "json, argparse")
        cls.image = fetch_image(cls.daemon)

    def expect(self, reason, on, prefix=()):
        self.assert_like_stock(*prefix, "-c", PROGRAM, on=on)
        self.assertEqual(self.reason(reason, on, prefix), reason)

    def reason(self, expected, on, prefix=()):
        """Why the client is not attached. Where many want a processor a fake daemon may be late: asks again."""
        for _ in range(20):
            answer = self.run_python(*prefix, "-c", REASON, environment=on).stdout.decode().strip()
            if answer != "deadline" or answer == expected:
                break
        return answer

    def expect_of(self, reason, answer):
        fake = FakeDaemon(self.daemon.directory, answer)
        try:
            self.expect(reason, self.on_socket(fake.path))
        finally:
            fake.close()

    def on_socket(self, path):
        environment = self.on()
        environment["PYCDS_SOCKET"] = path
        return environment

    def test_the_image_itself_is_served(self):
        # The counterpart of all that follows: the same bytes, properly sealed, are accepted.
        fd = memfd(self.image)
        self.addCleanup(os.close, fd)
        self.expect_of("None", lambda c: socket.send_fds(c, [attach_reply(1)], [fd]))

    def test_no_daemon(self):
        self.expect("no-daemon", self.on_socket("/nonexistent/socket"))
        self.expect("socket-path", self.on_socket("/" + "x" * 200))
        path = os.path.join(self.daemon.directory, "file")
        with open(path, "w"):
            pass
        self.expect("no-daemon", self.on_socket(path))

    def test_daemon_gone_in_the_middle(self):
        self.expect_of("lost-daemon", lambda c: c.close())

    def test_silent_daemon(self):
        self.expect_of("deadline", lambda c: None)

    def test_full_backlog(self):
        path = os.path.join(self.daemon.directory, "full.sock")
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as server:
            server.bind(path)
            server.listen(0)
            fillers = []
            for _ in range(3):
                filler = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
                fillers.append(filler)
                with contextlib.suppress(BlockingIOError):
                    filler.connect(path)
            self.expect("daemon-busy", self.on_socket(path))
            for filler in fillers:
                filler.close()

    def test_replies_that_are_none(self):
        self.expect_of("bad-reply", lambda c: c.send(b"\xff" * 40))
        self.expect_of("bad-reply", lambda c: c.send(b"x" * 65536))
        self.expect_of("bad-reply", lambda c: c.send(attach_reply(1)))  # names one, sends none
        self.expect_of("no-image", lambda c: c.send(b"\x12\x00"))
        self.expect_of("bad-reply", lambda c: c.send(b"\x0a\x04\x08\x02\x12\x00"))  # an error
        # More descriptors than anybody asked for are closed, not kept.
        fds = [memfd(b"x") for _ in range(20)]
        self.addCleanup(lambda: [os.close(fd) for fd in fds])
        self.expect_of("bad-reply", lambda c: socket.send_fds(c, [attach_reply(1)], fds))

    def test_descriptors_that_are_no_images(self):
        cases = {
            "image-not-sealed": memfd(self.image, 0),
            "image-size": memfd(b""),
            "image-header": memfd(b"\0" * 8192),
        }
        directory = os.open("/", os.O_RDONLY)
        cases_many = list(cases.items()) + [
            ("image-not-sealed", directory),
            ("image-not-sealed", memfd(self.image, 0x7)),
            ("image-header", memfd(self.image[:-4096])),
            ("image-header", memfd(self.image + b"\0" * 4096)),
        ]
        # Any changed byte of the header, here one in every field's neighbourhood.
        for at in range(0, HEADER_SIZE, 37):
            changed = bytearray(self.image)
            changed[at] ^= 0x41
            # The checksum of the whole image is the daemon's business, not the client's.
            if not CHECKSUM.start <= at < CHECKSUM.stop:
                cases_many.append(("image-header", memfd(bytes(changed))))
        for reason, fd in cases_many:
            self.addCleanup(os.close, fd)
            with self.subTest(reason=reason, fd=fd):
                fake = FakeDaemon(self.daemon.directory,
                                  lambda c, fd=fd: socket.send_fds(c, [attach_reply(1)], [fd]))
                try:
                    answer = self.reason(reason, self.on_socket(fake.path))
                finally:
                    fake.close()
                self.assertEqual(answer, reason)

    def test_descriptors_of_every_other_kind(self):
        on_disk = os.path.join(self.daemon.directory, "on-disk")
        with open(on_disk, "wb") as file:
            file.write(self.image)
        pipe = os.pipe()
        pair = socket.socketpair()
        fds = [os.open(on_disk, os.O_RDONLY), os.open(on_disk, os.O_PATH), os.open("/dev/zero", os.O_RDONLY),
               os.open("/dev/null", os.O_RDWR), os.open("/proc/self/mem", os.O_RDWR), *pipe,
               *[os.dup(end.fileno()) for end in pair], os.eventfd(0), os.pidfd_open(os.getpid())]
        for end in pair:
            end.close()
        for fd in fds:
            self.addCleanup(os.close, fd)
            with self.subTest(fd=os.readlink("/proc/self/fd/%d" % fd)):
                self.expect_of("image-not-sealed", lambda c, fd=fd: socket.send_fds(c, [attach_reply(1)], [fd]))

    def test_nothing_stays_open(self):
        good, bad = memfd(self.image), memfd(self.image, 0)
        self.addCleanup(os.close, good)
        self.addCleanup(os.close, bad)
        program = "import json, os\nprint(sorted(os.listdir('/proc/self/fd')))"
        for answer in (lambda c: socket.send_fds(c, [attach_reply(1)], [good]),
                       lambda c: socket.send_fds(c, [attach_reply(8)], [bad] * 8),
                       lambda c: socket.send_fds(c, [attach_reply(1)], [good] * 8),
                       lambda c: socket.send_fds(c, [b"garbage"], [good] * 8),
                       lambda c: socket.send_fds(c, [attach_reply(1)], [good] * 200)):
            fake = FakeDaemon(self.daemon.directory, answer)
            try:
                self.assert_like_stock("-c", program, on=self.on_socket(fake.path))
            finally:
                fake.close()

    def test_no_descriptors_left_for_what_comes(self):
        fd = memfd(self.image)
        self.addCleanup(os.close, fd)

        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))
        fake = FakeDaemon(self.daemon.directory, lambda c: socket.send_fds(c, [attach_reply(8)], [fd] * 8))
        try:
            on = self.on_socket(fake.path)
            served = self.run_python("-c", PROGRAM, environment=on, preexec_fn=few)
        finally:
            fake.close()
        stock = self.run_python("-c", PROGRAM, preexec_fn=few)
        self.assertEqual((served.returncode, served.stdout, served.stderr),
                         (stock.returncode, stock.stdout, stock.stderr))

    def test_more_than_was_asked_for(self):
        # One reply is read, whatever follows.
        fd = memfd(self.image)
        self.addCleanup(os.close, fd)

        def talk(connection):
            socket.send_fds(connection, [attach_reply(1)], [fd])
            while True:
                connection.send(b"\xff" * 1000)  # until the client hangs up
        self.expect_of("None", talk)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to be another user")
    @unittest.skipIf(harness.PRELOAD, "another user may not preload root's libraries")
    def test_image_of_another_user(self):
        if not harness.others_may_run_it():
            self.skipTest("only root may run " + self.python)
        directory = os.path.join(self.daemon.directory, "own")
        os.makedirs(directory, exist_ok=True)
        source = os.path.join(directory, "own_module.py")
        with open(source, "w") as file:
            file.write("x = 1\n")
        self.run_python("-m", "compileall", "-q", directory)
        trace = os.path.join(directory, "trace")
        with open(trace, "w") as file:
            file.write(source + "\n")
        built = json.loads(self.daemon.ctl("build", "--python", self.python, "--trace", trace, "--json").stdout)
        own = [image["id"] for image in built["images"] if image["domain"] != "system"]
        self.addCleanup(self.daemon.ctl, "drop", own[0])
        fd = memfd(fetch_image(self.daemon, own[0]))
        self.addCleanup(os.close, fd)
        fake = FakeDaemon(self.daemon.directory, lambda c: socket.send_fds(c, [attach_reply(1)], [fd]))
        os.chmod(fake.path, 0o777)
        try:
            on = self.on_socket(fake.path)
            for uid, reason in ((0, "None"), (65534, "image-of-another-user")):
                answer = self.run_python("-c", REASON, environment=on, user=uid)
                self.assertEqual(answer.stdout.decode().strip(), reason, answer.stderr)
        finally:
            fake.close()

    @unittest.skipUnless(os.geteuid() == 0, "needs root to give a program capabilities")
    @unittest.skipIf(harness.PRELOAD, "such a program preloads nothing")
    def test_environment_of_a_program_with_capabilities(self):
        if not harness.others_may_run_it():
            self.skipTest("only root may run " + self.python)
        # AT_SECURE (getauxval(3)): who starts such a program must not lead it to a daemon of his own.
        program = os.path.join(self.daemon.directory, "python-with-capabilities")
        shutil.copy(os.path.realpath(self.python), program)
        capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service, effective
        try:
            os.setxattr(program, "security.capability", capability)
        except OSError as error:
            self.skipTest("no file capabilities here: %s" % error)
        asked = []
        fake = FakeDaemon(self.daemon.directory, lambda c: asked.append(1) or c.close())
        os.chmod(fake.path, 0o777)
        prefix = self.run_python("-c", "import sys; print(sys.base_prefix)").stdout.decode().strip()
        try:
            on = self.on_socket(fake.path)
            on.update(PYTHONHOME=prefix, PYCDS="verbose")
            for path, expected in ((os.path.realpath(self.python), 1), (program, 0)):
                del asked[:]
                answer = subprocess.run([path, "-c", PROGRAM], env=on, user=65534, check=False,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.assertEqual((answer.returncode, answer.stdout), (3, b"[1] 8\n"), answer.stderr)
                self.assertEqual((len(asked), b"pycds:" in answer.stderr), (expected, bool(expected)))
        finally:
            fake.close()

    def test_the_same_image_twice(self):
        fd = memfd(self.image)
        self.addCleanup(os.close, fd)
        self.expect_of("None", lambda c: socket.send_fds(c, [attach_reply(2)], [fd, fd]))

    @unittest.skipUnless(os.geteuid() == 0, "needs root to be another user")
    def test_socket_of_another_user(self):
        path = os.path.join(self.daemon.directory, "other.sock")
        os.chmod(self.daemon.directory, 0o777)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setuid(65534)
                server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                server.bind(path)
                server.listen(16)
                os.write(write, b"x")
                while True:
                    connection, _ = server.accept()
                    with contextlib.suppress(OSError):  # the client has seen enough and is gone
                        connection.send(attach_reply(0))
            finally:
                os._exit(1)
        try:
            self.assertEqual(os.read(read, 1), b"x")
            self.expect("daemon-not-trusted", self.on_socket(path))
        finally:
            os.kill(child, 9)
            os.close(read)
            os.close(write)
            os.waitpid(child, 0)
            os.chmod(self.daemon.directory, 0o755)

    @unittest.skipIf(harness.PRELOAD, "sanitizers do not run under a limit of address space")
    def test_too_little_address_space(self):
        limit = 40 << 20
        def small():
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        stock = self.run_python("-c", PROGRAM, preexec_fn=small)
        served = self.run_python("-c", PROGRAM, environment=self.on(), preexec_fn=small)
        self.assertEqual((served.returncode, served.stdout), (stock.returncode, stock.stdout))

    @unittest.skipIf(harness.PRELOAD, "sanitizers do not run under a limit of address space")
    def test_address_space_and_data_are_left_to_the_program(self):
        size = self.daemon.ctl_json("list")["images"][0]["size"]
        for what in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            def limited():
                resource.setrlimit(what, (size * 12, size * 12))
            answer = self.run_python("-c", REASON, environment=self.on(), preexec_fn=limited)
            if answer.returncode == 0:  # the limit may be too low for Python itself
                self.assertEqual(answer.stdout.decode().strip(), "address-space-limit", what)

    def test_a_base_class_of_the_loader_keeps_its_place(self):
        self.assert_like_stock(
            "-c", "import importlib.machinery as m, importlib._bootstrap_external as E\n"
            "class Other(E.SourceLoader):\n"
            "    def get_code(self, name): return compile('x=1', name, 'exec')\n"
            "class X(m.SourceFileLoader, Other): pass\n"
            "import json\n"
            "print(X('json', json.__file__).get_code('json').co_filename)\n"
            "print(m.SourceFileLoader.get_code is E.SourceLoader.get_code)\n"
            "E.SourceLoader.get_code = lambda self, name: print('mine', name) or compile('', '', 'exec')\n"
            "import wave")

    def test_switched_off(self):
        on = self.on(PYCDS="off")
        self.expect("switched-off", on)
        # Under -E and -I there is no way in for the environment.
        for option in ("-E", "-I", "-S"):
            answer = self.run_python(option, "-c", "import sys; print('_pycds' in sys.modules)",
                                     environment=self.on())
            self.assertEqual(answer.stdout, b"False\n", option)
            self.assert_like_stock(option, "-c", PROGRAM)

    def test_nothing_shows(self):
        show = ("import sys, os\nprint(sys.path, sorted(sys.path_importer_cache), sys.meta_path,"
                "sorted(set(sys.modules) - {'_pycds'}), os.listdir('/proc/self/fd'),"
                "len(os.listdir('/proc/self/task')))")
        answer = self.assert_like_stock("-c", show)
        self.assertIn(b"zipimport", answer.stdout)

    def test_subinterpreters_are_left_alone(self):
        self.assert_like_stock(
            "-c", "try:\n    import _xxsubinterpreters as s\n"
            "except ImportError:\n    import _interpreters as s\n"
            "i = s.create()\n"
            "run = getattr(s, 'run_string', None) or s.exec\n"
            "run(i, 'import json, wave; print(json.dumps([1]), flush=True)')\n"
            "s.destroy(i)\nimport textwrap\nprint(textwrap.dedent(' x'))")

    def test_fork_and_threads(self):
        # Whether a thread that has ended counts as one when the process forks is a race, in stock too.
        self.assert_like_stock(
            "-W", "ignore::DeprecationWarning", "-c", "import os, threading\n"
            "def work(n):\n    import json, argparse, textwrap, string\n"
            "threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]\n"
            "[t.start() for t in threads]; [t.join() for t in threads]\n"
            "pid = os.fork()\n"
            "if pid == 0:\n    import configparser, json; os._exit(len(json.dumps([1])))\n"
            "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))")


if __name__ == "__main__":
    harness.main()
