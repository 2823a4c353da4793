"""A FUSE file system with one file, `file`, that opens and then never answers again (fuse(4))."""
import contextlib
import ctypes
import os
import struct
import subprocess
import sys

INIT, LOOKUP, GETATTR, OPEN = 26, 1, 3, 14
ATTRIBUTES = struct.Struct("<6Q10I")
SIZE = 4096


def attributes(node):
    mode = 0o40755 if node == 1 else 0o100644
    return ATTRIBUTES.pack(node, SIZE, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def serve(device):
    with contextlib.suppress(OSError):
        while True:
            request = os.read(device, 1 << 17)
            _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
            answer = None
            if opcode == INIT:
                answer = struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, 0, 0, 0, 4096, 1, 0, 0, 0)
            elif opcode == LOOKUP:
                answer = struct.pack("<QQQQII", 2, 1, 0, 0, 0, 0) + attributes(2)
            elif opcode == GETATTR and node == 1:
                answer = struct.pack("<QII", 0, 0, 0) + attributes(1)
            elif opcode == OPEN:
                answer = struct.pack("<QII", 1, 0, 0)
            if answer is not None:
                os.write(device, struct.pack("<IiQ", 16 + len(answer), 0, unique) + answer)


def main(directory):
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % device
    if libc.mount(b"silent", directory.encode(), b"fuse", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    print("mounted", flush=True)
    serve(device)


@contextlib.contextmanager
def mounted(directory):
    """The path of the file. Needs root and /dev/fuse; OSError otherwise."""
    # In a process of its own: when that is killed nobody has the device any more, and all that wait for
    # an answer get an error.
    with subprocess.Popen([sys.executable, "-I", "-B", __file__, directory], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        try:
            if server.stdout.readline() != b"mounted\n":
                raise OSError(server.stderr.read().decode().strip().rpartition("\n")[2])
            yield os.path.join(directory, "file")
        finally:
            server.kill()
            server.wait()
            ctypes.CDLL(None).umount2(directory.encode(), 2)  # MNT_DETACH


if __name__ == "__main__":
    main(sys.argv[1])
