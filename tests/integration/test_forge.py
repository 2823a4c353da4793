"""An image with one wrong field is rejected, or harmless in the processes that get it.

tests/forge/image_forge breaks a real image, field by field, thousands of times. What its validator lets pass is
served, properly sealed, to real processes. Where the field says what an image is and where things are, nothing
but stock behaviour or a refusal is allowed. What constants and bytecode mean no validator can know: such an
image runs another program, as a changed .pyc would, and what it may do is up to its domain (docs/security.md).

PYCDS_FORGE=COUNT,SAMPLES: more of it.
"""
import collections
import os
import signal
import socket
import struct
import subprocess
import unittest

import harness
from test_bad_daemon import FakeDaemon, attach_reply, fetch_image, memfd

FORGE = os.path.join(harness.BUILD, "bin", "image_forge")
# src/common/image/format.h
STARTUP_STRINGS_SIZE, REGIONS, STR_INTERNED, EXTERNALS, INTERNED_DICT = 252, 384, 3, 39, 4
COUNT, SAMPLES = (int(n) for n in os.environ.get("PYCDS_FORGE", "3000,2").split(","))
PROGRAM = ("import json, string\nprint(json.dumps([1, {'a': 2.5}]), string.capwords('x y'))\n"
           "try: json.loads('{')\nexcept ValueError as error: print(error)")

# What objects hold, and which of two good ones is meant.
CONTENT = {"code-once", "code-functions", "str-interned", "str-doc", "str-other", "tuple-names", "tuple-consts",
           "bytes", "numbers", "frozensets", "modules", "run-once", "pointer", "any-byte"}
# Which strings become one object, which pattern is meant: decided by the builder, as contents are.
MEANING = {"intern-lists", "frozenset-lists", "patterns"}


# Frozensets with their tables in them and behind them, and looked at in every way.
SETS = """
def few(x): return x in {'alpha', 'beta', 'g d', 5}
def many(x): return x in {%s}
""" % ", ".join("'name_%d', %d, b'%d', (%d, 'x')" % (i, i * 977, i, i) for i in range(8))
PROGRAM_OF_SETS = """import m_sets
for function in (m_sets.few, m_sets.many):
    print([function(x) for x in ('alpha', 'name_3', 5, 977, (3, 'x'), b'3', 'absent', None, 2.5)])
    value, = [c for c in function.__code__.co_consts if type(c) is frozenset]
    print(len(value), sorted(map(repr, value)), hash(value) == hash(frozenset(set(value))), value == set(value))
    print(sorted(map(repr, value | {'more'})), sorted(map(repr, value - {5})), value.isdisjoint(['absent']))
"""


class Forging(harness.PythonCase):
    """What forges the image of a class, `image`, and runs `program` with it."""
    program = PROGRAM
    variables = {}

    def forge(self, seed, count, samples):
        path = os.path.join(self.daemon.directory, "image")
        with open(path, "wb") as file:
            file.write(self.image)
        answer = subprocess.run(
            [FORGE, path, str(seed), str(count),
             str(samples)], stdout=subprocess.PIPE, timeout=3600, check=True, universal_newlines=True)
        return [line.split() for line in answer.stdout.splitlines()]

    def mutant(self, offset, new, prefix):
        image = bytearray(self.image)
        image[offset:offset + len(new)] = new
        image[:len(prefix)] = prefix
        return bytes(image)

    def run_with(self, image):
        fd = memfd(image)
        fake = FakeDaemon(self.daemon.directory, lambda c: socket.send_fds(c, [attach_reply(1)], [fd]))
        environment = self.on(**self.variables)
        environment["PYCDS_SOCKET"] = fake.path
        try:
            return self.run_python("-c", self.program, environment=environment)
        finally:
            fake.close()
            os.close(fd)

    def each_field(self):
        stock = self.run_python("-c", self.program, environment=harness.clean_environment(**self.variables))
        self.assertEqual(stock.returncode, 0, stock.stderr)
        lines = self.forge(int.from_bytes(os.urandom(4), "little"), COUNT, SAMPLES)
        ran = collections.Counter()
        worse = collections.Counter()
        for line in lines:
            if line[0] == "area":
                print(" ".join(line[1:]))
                continue
            _, area, offset, old, new, prefix = line
            answer = self.run_with(self.mutant(int(offset), bytes.fromhex(new), bytes.fromhex(prefix)))
            ran[area] += 1
            same = (answer.returncode, answer.stdout) == (stock.returncode, stock.stdout)
            if area in CONTENT or area in MEANING:
                worse[area] += not same
                continue
            with self.subTest(area=area, offset=offset, old=old, new=new):
                self.assertTrue(same, (answer.returncode, answer.stdout, answer.stderr[-500:]))
        print("processes:", dict(ran), "of which otherwise than stock:", dict(+worse))
        self.assertTrue(self.daemon.answers())


class Forged(Forging):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon.ctl("build", "--python", cls.python, "--import", "json, string")
        cls.image = fetch_image(cls.daemon)

    def test_each_field(self):
        self.each_field()

    def region(self, wanted):
        """Offset and size of a region."""
        for number in range(24):
            kind, _, offset, size = struct.unpack_from("<IIQQ", self.image, REGIONS + 40 * number)
            if kind == wanted:
                return offset, size
        self.fail("the image has no region %d" % wanted)

    def test_strings_of_the_start_with_something_between_them(self):
        # A client goes from one to the next by their lengths, without asking anybody.
        at, _ = self.region(STR_INTERNED)
        end = at + struct.unpack_from("<I", self.image, STARTUP_STRINGS_SIZE)[0]
        header = 40 if harness.python_version() >= (3, 12) else 48
        while at < end:
            length, = struct.unpack_from("<Q", self.image, at + 16)
            self.assertTrue(self.image[at + 32] & 1 << 6, "an ASCII string")
            if length >= 8:
                break
            at += (header + length + 8) // 8 * 8
        else:
            self.skipTest("the images of this interpreter have no such strings")
        path = os.path.join(self.daemon.directory, "image")
        with open(path, "wb") as file:
            file.write(self.image[:at + 16] + struct.pack("<Q", 1) + self.image[at + 24:at + header + 1] +
                       bytes(length - 1) + self.image[at + header + length:])
        forged = subprocess.run([FORGE, "--edit", path, "0", self.image[:1].hex()], stdout=subprocess.PIPE,
                                check=True).stdout
        with open(path, "wb") as file:
            file.write(forged)
        answer = self.daemon.ctl("verify", path, check=False)
        self.assertIn("an object is not what its type has to be", answer.stdout + answer.stderr)

    def test_where_the_dict_of_interned_strings_is_said_to_be(self):
        # Nobody but the client can tell whether the interpreter has it there.
        at = None
        for region in range(24):
            kind, _, offset, size = struct.unpack_from("<IIQQ", self.image, REGIONS + 40 * region)
            if kind == EXTERNALS:
                kinds = {entry: struct.unpack_from("<I", self.image, entry + 8)[0]
                         for entry in range(offset, offset + size, 24)}
                at = next((entry for entry, kind in kinds.items() if kind == INTERNED_DICT), None)
        if at is None:
            self.skipTest("the images of this interpreter do not say it")
        path = os.path.join(self.daemon.directory, "image")
        with open(path, "wb") as file:
            file.write(self.image)
        stock = self.run_python("-c", PROGRAM)
        address, = struct.unpack_from("<Q", self.image, at)
        for other in [address + 8 * n for n in range(-16, 17)] + [8, 1 << 46, (1 << 64) - 8]:
            forged = subprocess.run([FORGE, "--edit", path, str(at), struct.pack("<Q", other).hex()],
                                    stdout=subprocess.PIPE, check=True).stdout
            with self.subTest(address=hex(other)):
                answer = self.run_with(forged)
                self.assertEqual((answer.returncode, answer.stdout), (stock.returncode, stock.stdout))

    def test_the_same_mutants_are_refused_by_the_daemon_itself(self):
        # Bytes of a fetched image go nowhere but through a builder's output; pycdsctl verify asks the same
        # validator.
        path = os.path.join(self.daemon.directory, "broken")
        image = bytearray(self.image)
        image[100_000] ^= 1
        with open(path, "wb") as file:
            file.write(image)
        answer = self.daemon.ctl("verify", path, check=False)
        self.assertNotEqual(answer.returncode, 0)


class ForgedWithHashes(Forging):
    """One for processes with the daemon's hash seed, where frozensets are filled."""
    program = PROGRAM_OF_SETS

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        directory = cls.daemon.directory
        path, plan = (os.path.join(directory, name) for name in ("m_sets.py", "plan"))
        for name, text in ((path, SETS), (plan, path + "\n")):
            with open(name, "w") as file:
                file.write(text)
        subprocess.run([cls.python, "-m", "py_compile", path], env=harness.clean_environment(), check=True)
        cls.daemon.ctl("build", "--hash-seed", "--python", cls.python, "--trace", plan)
        cls.image = fetch_image(cls.daemon)
        seed = cls.daemon.ctl("run", "--quiet", "--hash-seed", "printenv", "PYTHONHASHSEED").stdout.strip()
        cls.variables = {"PYTHONHASHSEED": seed, "PYCDS_HASHES": "1"}

    def run_python(self, *arguments, **options):
        return super().run_python(*arguments, cwd=self.daemon.directory, **options)

    def test_it_is_served(self):
        stats, text = self.stats(self.program, environment=self.on(**self.variables))
        self.assertEqual((stats["served"], text.count("\n")), (1, 6))

    def test_each_field(self):
        self.each_field()


if __name__ == "__main__":
    signal.alarm(3600 if COUNT > 3000 else 800)
    harness.main()
