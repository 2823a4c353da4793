"""Peers of the daemon that mean no good, and one that only wants its images.

    attackers.py KIND UID SOCKET ATTACH SECONDS

Becomes UID, does what KIND says (see KINDS) until the time is over or its standard input ends, and prints
as JSON what came of it. ATTACH is the request of an ordinary client, in hexadecimal (ordinary_request()).
"""
import array
import contextlib
import json
import mmap
import os
import resource
import select
import socket
import struct
import subprocess
import sys
import time

LIST = b"\x1a\x00"    # field numbers of proto/pycds.proto
STATUS = b"\x22\x00"


def ordinary_request(python, environment, directory):
    """What the client of an interpreter sends when it wants images."""
    path = os.path.join(directory, "ask.sock")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as listener:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(60)
        process = subprocess.Popen([python, "-c", "import json"], stdin=subprocess.DEVNULL,
                                   env=dict(environment, PYCDS_SOCKET=path))
        connection, _ = listener.accept()
        with contextlib.closing(connection):
            request = connection.recv(65536)
        process.wait()
    os.unlink(path)
    return request


def build_request(python="/usr/bin/python3", more=b""):
    name = python.encode()
    body = b"\x0a" + bytes([len(name)]) + name + more
    return b"\x12" + bytes([len(body)]) + body


def source(path, pyc):
    """What says that the .pyc of a source is that file (client/builder/PROTOCOL.md)."""
    with open(pyc, "rb") as file:
        data = file.read()
    its, own = os.stat(path), os.stat(pyc)
    return b"\0" + path.encode() + b"\0" + struct.pack(
        "=QQQqqqQ", own.st_dev, own.st_ino, own.st_size, own.st_mtime_ns, own.st_ctime_ns, its.st_mtime_ns,
        its.st_size) + data


@contextlib.contextmanager
def offering(path, python):
    """Asks for an image of one's own files; gives the connection and the socket to the builder, or None
    and the daemon's last answer."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as connection:
        connection.settimeout(60)
        connection.connect(path)
        connection.send(build_request(python, b"\x20\x01"))
        answer, fds, _, _ = socket.recv_fds(connection, 65536, 1)
        if not fds:
            yield None, answer
            return
        with contextlib.closing(socket.socket(fileno=fds[0])) as builder:
            yield connection, builder


def last_answer(connection):
    answer = b"?"
    while answer[:1] not in (b"\x0a", b"\x1a", b""):
        answer = connection.recv(65536)
    return answer


def offer(path, python, parts):
    """Offers what `parts` have, bytes and descriptors, and returns the daemon's last answer."""
    with offering(path, python) as (connection, builder):
        if connection is None:
            return builder
        with contextlib.suppress(OSError):
            for data, descriptors in parts:
                # Since Linux 6.16 the kernel takes none.
                with contextlib.suppress(PermissionError):
                    socket.send_fds(builder, [data], descriptors)
            builder.shutdown(socket.SHUT_WR)
        return last_answer(connection)


class Peer:
    def __init__(self, path, attach, seconds):
        self.path = path
        self.attach = attach
        self.end = time.monotonic() + seconds
        self.counts = {}
        self.input = select.poll()
        self.input.register(0, select.POLLIN | select.POLLHUP)
        self.rounds = 0

    def goes_on(self):
        self.rounds += 1
        return time.monotonic() < self.end and not (self.rounds % 64 == 0 and self.input.poll(0))

    def count(self, what, amount=1):
        self.counts[what] = self.counts.get(what, 0) + amount

    def connect(self, patient=False):
        """At once or not at all; a patient one waits as the client does (client/link/attach.cc)."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.setblocking(False)
        try:
            connection.connect(self.path)
        except OSError:
            if not patient or not self.wait_for_place(connection):
                connection.close()
                self.count("not connected")
                return None
        return connection

    def wait_for_place(self, connection):
        self.count("waited for a place")
        connection.setblocking(True)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 10_000))
        try:
            connection.connect(self.path)
        except OSError:
            return False
        return True

    def send(self, connection, data, fds=()):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            connection.sendmsg([data], rights)
            return True
        except OSError:
            return False


def storm(peer):
    """connects and hangs up, as often as it can"""
    while peer.goes_on():
        connection = peer.connect()
        if connection:
            peer.count("connections")
            connection.close()


def silent(peer):
    """as many connections as it gets, and not a word on any"""
    held = []
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 32
    while peer.goes_on():
        connection = peer.connect()
        if connection:
            held.append(connection)
        if len(held) >= limit or not connection:
            if held and not peer.send(held[0], b""):
                peer.count("cut")
            held = held[len(held) // 2:]


def deaf(peer):
    """asks for images, reads none, half-closes, and comes again"""
    held = []
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 32
    while peer.goes_on():
        connection = peer.connect()
        if not connection:
            continue
        peer.send(connection, peer.attach)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        held.append(connection)
        peer.count("attaches")
        if len(held) > limit:
            held = held[-limit // 2:]


def flood(peer):
    """asks as fast as it can on many connections, and reads now and then"""
    held = []
    while peer.goes_on():
        if len(held) < 200:
            connection = peer.connect()
            if connection:
                held.append(connection)
        for connection in list(held):
            if not peer.send(connection, LIST) and peer.rounds % 8 == 0:
                try:
                    if not connection.recv(65536):
                        raise OSError("closed")
                except BlockingIOError:
                    continue
                except OSError:
                    peer.count("cut")
                    held.remove(connection)
            else:
                peer.count("requests")


def huge(peer):
    """messages beyond all measure, with and without descriptors, of bytes that mean nothing"""
    pipe = os.pipe()
    sizes = (65537, 150_000, 10 ** 9)
    gigabyte = None
    while peer.goes_on():
        connection = peer.connect()
        if not connection:
            continue
        size = sizes[peer.rounds % len(sizes)]
        if size == 10 ** 9:
            # Mapped, not filled: the kernel refuses it before it looks.
            if gigabyte is None:
                gigabyte = mmap.mmap(-1, size)
            data = gigabyte
        else:
            data = bytes(size)
        connection.setblocking(True)
        connection.settimeout(1)
        peer.count("sent %d" % size, peer.send(connection, data))
        peer.send(connection, b"\xff" * 100, pipe * 100)
        peer.send(connection, STATUS, pipe * 4)
        connection.close()


def builder(peer):
    """asks for builds, with plans of every kind, as fast as it can"""
    plans = []
    for data in (b"/etc/shadow\0", b"/root/x.py\0" * 1000, b"no end", b""):
        fd = os.memfd_create("plan", 0)
        os.write(fd, data)
        plans.append(fd)
    plans += [os.open("/", os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY), os.pipe()[0],
              socket.socket(socket.AF_UNIX).detach()]
    while peer.goes_on():
        connection = peer.connect()
        if not connection:
            continue
        if not peer.send(connection, build_request(), [plans[peer.rounds % len(plans)]]):
            peer.count("not sent")
            peer.send(connection, build_request())
        readable, _, _ = select.select([connection], [], [], 1)
        if readable:
            with contextlib.suppress(OSError):
                peer.count({b"\x0a": "refused", b"": "hung up"}.get(connection.recv(65536)[:1], "built"))
        connection.close()


def offerer(peer):
    """asks for images of its own files as fast as it can, and offers nonsense or nothing"""
    python = os.path.realpath("/usr/bin/python3")
    held = []
    while peer.goes_on():
        connection = peer.connect()
        if not connection:
            continue
        peer.send(connection, build_request(python, b"\x20\x01"))
        fds = []
        if select.select([connection], [], [], 1)[0]:
            with contextlib.suppress(OSError):
                data, fds, _, _ = socket.recv_fds(connection, 65536, 8)
                peer.count("offers" if fds else "hung up" if not data else "refused")
        for fd in fds:
            builder = socket.socket(fileno=fd)
            builder.setblocking(False)
            if peer.counts["offers"] % 2 == 0:
                peer.send(builder, b"\0/x.py\0" + bytes(60000))
            held.append(builder)
        held.append(connection)
        held = held[-8:]


def lingering(peer):
    """sends a descriptor that takes a minute to close to a daemon that is stopped, and is gone"""
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        slow = socket.create_connection(listener.getsockname())
        slow.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                slow.send(bytes(65536))
        # The last close(2) waits until all is sent (socket(7), SO_LINGER), and that is not ours.
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
        connection = peer.connect()
        peer.count("tried")
        if not peer.send(connection, STATUS, [slow.fileno()]):
            # Since Linux 6.16 the kernel keeps it back (SO_PASSRIGHTS): the last close is ours.
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
        slow.close()
        print(json.dumps(peer.counts), flush=True)
        # Nobody reads what was sent, for as long as the test wants.
        while peer.goes_on():
            peer.input.poll(1000)


def victim(peer):
    """asks for its images once every few milliseconds, as a client does"""
    took = []
    while peer.goes_on():
        began = time.monotonic()
        connection = peer.connect(patient=True)
        if connection:
            peer.send(connection, peer.attach)
            readable, _, _ = select.select([connection], [], [], 5)
            data, rights = b"", []
            if readable:
                with contextlib.suppress(OSError):
                    data, rights, _, _ = connection.recvmsg(65536, 1024)
            took.append((time.monotonic() - began) * 1e6)
            for _, _, fds in rights:
                for fd in array.array("i", fds[:len(fds) // 4 * 4]):
                    os.close(fd)
            peer.count("served" if rights else "silence" if not readable else
                       "hung up" if not data else "refused")
            connection.close()
        time.sleep(0.003)
    took.sort()
    for percent in (50, 99, 100):
        peer.counts["p%d_us" % percent] = took[min(len(took) - 1, len(took) * percent // 100)]


ATTACKS = (storm, silent, deaf, flood, huge, builder, offerer)
KINDS = {kind.__name__: kind for kind in ATTACKS + (lingering, victim)}


def start(kind, uid, path, attach, seconds):
    return subprocess.Popen(
        ["/usr/bin/python3", "-I", "-B", os.path.abspath(__file__), kind, str(uid), path, attach.hex(),
         str(seconds)], env={"PATH": "/usr/bin:/bin"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        universal_newlines=True)


def result(process, at_once=True):
    """Ends it, or waits for its end, and says what came of it."""
    if not at_once:
        process.wait()
    output, _ = process.communicate()
    if process.returncode:
        raise AssertionError("%s ended with %d" % (process.args[4], process.returncode))
    return json.loads(output)


def main(kind, uid, path, attach, seconds):
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    if int(uid) != os.getuid():
        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))
    peer = Peer(path, bytes.fromhex(attach), float(seconds))
    KINDS[kind](peer)
    print(json.dumps(peer.counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
