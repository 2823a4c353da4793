"""Files that no compiler wrote: they harm nobody but the builder that reads them, and it says which it was."""
import glob
import json
import marshal
import os
import struct
import tempfile
import threading
import unittest

import harness

# All ints that are multiples of it have the same hash.
HASH_MODULUS = (1 << 61) - 1


def u32(number):
    return struct.pack("<I", number)


class HostilePyc(harness.PythonCase):
    daemon_options = ("--build-deadline", "10")

    def setUp(self):
        self.directory = tempfile.mkdtemp(dir=self.daemon.directory)
        # What the interpreter under test compiles, and its number of its format.
        make = ("import marshal, sys, importlib.util\n"
                "code = compile(\"x = 'MARKER CONST'\", 'm', 'exec')\n"
                "sys.stdout.buffer.write(importlib.util.MAGIC_NUMBER + marshal.dumps(code))")
        answer = self.run_python("-c", make)
        self.magic, self.good = answer.stdout[:4], answer.stdout[4:]
        self.tag = self.run_python(
            "-c", "import sys; print(sys.implementation.cache_tag)").stdout.decode().strip()

    def with_constant(self, marshalled):
        """The module with something else in the place of its string."""
        at = self.good.index(b"MARKER CONST")
        return self.good[:at - 2] + marshalled + self.good[at + 12:]

    def write(self, name, body):
        source = os.path.join(self.directory, name + ".py")
        with open(source, "w") as file:
            file.write("x = 1\n")
        cache = os.path.join(self.directory, "__pycache__")
        os.makedirs(cache, exist_ok=True)
        st = os.stat(source)
        with open(os.path.join(cache, "%s.%s.pyc" % (name, self.tag)), "wb") as file:
            file.write(self.magic + struct.pack("<III", 0, int(st.st_mtime), st.st_size) + body)
        return source

    def build(self, body):
        """Builds an image of two modules, the other of them a good one."""
        sources = [self.write("fine", self.good), self.write("hostile", body)]
        trace = os.path.join(self.directory, "trace")
        with open(trace, "w") as file:
            file.write("\n".join(sources) + "\n")
        return self.daemon.ctl("build", "--python", self.python, "--trace", trace, "--json",
                               check=False)

    def left_out(self, body):
        answer = self.build(body)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return {entry["reason"]: entry["count"] for entry in json.loads(answer.stdout)["left_out"]}

    def test_what_cannot_be_read_is_left_out(self):
        cases = {
            "pyc-corrupt": [
                b")\x01" * 2500 + b"N",               # nested deeper than marshal reads
                b"(" + u32(0x7fffffff), b"[" + u32(0x7fffffff), b"l" + u32(0x7fffffff),
                b"u" + u32(0x7fffffff), b"<" + u32(0x7fffffff), b"l" + u32(0x80000000),
                b"u" + u32(4) + b"\xff" * 4,          # no UTF-8
                b"0", b"r" + u32(1000), b"\xa9\x01r" + u32(1), b"Q", b"",
            ],
            "unexpected-constant": [
                b")\x01" * 1900 + b"N",               # deeper than Python compares
                b">" + u32(1) + b">" + u32(1) + b"N",  # a frozenset in a frozenset
                b"[" + u32(0), b"{0",
            ],
        }
        for reason, constants in cases.items():
            for constant in constants:
                with self.subTest(reason=reason, constant=constant[:10]):
                    self.assertEqual(self.left_out(self.with_constant(constant)), {reason: 1})
        for body in (b"", b"N", self.good[:len(self.good) // 2], marshal.dumps("text", 2)):
            with self.subTest(body=body[:10]):
                self.assertEqual(self.left_out(body), {"pyc-corrupt": 1})

    def test_functions_in_functions(self):
        # Comparing them takes CPython twice as long with each level.
        for depth, expected in ((13, {}), (14, {"unexpected-constant": 1}), (90, {"unexpected-constant": 1})):
            make = ("import marshal, sys\n"
                    "code = compile('f = ' + 'lambda: ' * %d + '1', 'm', 'exec')\n"
                    "sys.stdout.buffer.write(marshal.dumps(code))" % depth)
            with self.subTest(depth=depth):
                self.assertEqual(self.left_out(self.run_python("-c", make).stdout), expected)

    def test_one_that_keeps_the_builder_busy_is_named_and_confined(self):
        collide = [marshal.dumps(HASH_MODULUS * (i + 1), 2) for i in range(100_000)]
        result = []
        thread = threading.Thread(target=lambda: result.append(self.build(
            self.with_constant(b">" + u32(len(collide)) + b"".join(collide)))))
        thread.start()

        def statuses():
            for children in glob.glob("/proc/%d/task/*/children" % self.daemon.process.pid):
                with open(children) as file:
                    for pid in file.read().split():
                        with open("/proc/%s/status" % pid) as status:
                            yield dict(line.strip("\n").split(":\t", 1) for line in status)
        # The second filter is the builder's own, installed when it has read all its input.
        harness.wait_until(
            lambda: any(status.get("Seccomp_filters") == "2" and status["NoNewPrivs"] == "1"
                        for status in statuses()), "a builder confines itself")
        thread.join()
        answer = result[0]
        self.assertEqual(answer.returncode, 7, answer.stderr)
        self.assertIn("exceeded its deadline of 10 s", answer.stderr)
        self.assertIn("while it read the .pyc of %s/hostile.py" % self.directory, answer.stderr)
        self.assertTrue(self.daemon.answers())


if __name__ == "__main__":
    harness.main()
