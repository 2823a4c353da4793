"""pycdsctl run --hash-seed: processes with the daemon's seed, and images whose strings have its hashes."""
import json
import os
import subprocess
import tempfile
import unittest

import harness

SEVERAL = "import argparse, asyncio, email.parser, http.client, json, logging, typing, unittest.mock"
LIVE = SEVERAL + """
import _pycds
_pycds.give_back()
print('ready', flush=True)
input()
print(json.dumps(_pycds.stats()))
"""

# Every string that a served code object refers to has the hash that an equal one gets here.
HASHES = SEVERAL + """
import sys, types, _pycds
seen = 0
def look(value):
    global seen
    if isinstance(value, str):
        seen += 1
        assert hash(value) == hash((value + "x")[:-1]), value
        assert {(value + "x")[:-1]: 1}[value] == 1
    elif isinstance(value, (tuple, frozenset)):
        for item in value:
            assert not isinstance(value, frozenset) or item in value
            look(item)
    elif isinstance(value, types.CodeType):
        for part in (value.co_consts, value.co_names, value.co_varnames, value.co_name, value.co_filename):
            look(part)
for module in list(sys.modules.values()):
    for thing in list(vars(module).values()):
        if isinstance(thing, types.FunctionType):
            look(thing.__code__)
print(json.dumps([seen, _pycds.stats()["served"], sys.flags.hash_randomization, hash("probe"),
                  [image["generation"] for image in _pycds.stats()["images"]]]))
"""

# Frozensets in tables of each size, with elements whose hashes are the process's (None before 3.12,
# Ellipsis) and without.
SETS = """
def strings(x): return x in {'alpha', 'beta', 'g d', '\\xe9', '\\u6f22'}, x in {'alpha'}, x in {''}
def many(x): return x in {%s}
def more(x): return x in {%s}, x in {%s}
def numbers(x): return x in {0, 1, -1, 1180591620717411303424, 1.5, -0.0, 1e400, 2j, True}, x in {7, 8, 9, 10, 11, 12, 13}
def mixed(x): return x in {b'raw', 'raw', (1, 'two', b'three', ('x', 4)), 3.25, b''}
def process(x): return x in {None, 'x'}, x in {(1, None), 7}, x in {..., 'y', 'z'}
""" % tuple(", ".join("'name_%d', %d, b'%d', (%d, 'x')" % (i, i * 977, i, i) for i in range(at, at + 40))
           for at in (0, 40, 80))

SHOW_SETS = """
import copy, pickle, sys
import m_sets
for name in ('strings', 'many', 'more', 'numbers', 'mixed', 'process'):
    function = getattr(m_sets, name)
    for value in function.__code__.co_consts:
        if type(value) is frozenset:
            print(name, len(value), sys.getsizeof(value), sorted(map(repr, value)))
            print(all(item in value for item in value), 'absent' in value, copy.copy(value) is value)
            print(value == set(value), value < value | {'more'}, pickle.loads(pickle.dumps(value)) == value)
            print(frozenset(value) is value, {value: 1}[frozenset(list(value))])
            if name == 'process': continue
            print(list(value), hash(value), list(map(hash, value)))
            print(list(value | {'more', 1}), list(value & {'alpha', 7}), list(value - {'alpha', 7}), list(set(value)))
    print([function(x) for x in ('alpha', 'name_7', (3, 'x'), 977, 1, None, ..., b'raw', 'q')])
"""


class HashSeed(harness.PythonCase):
    @classmethod
    def setUpClass(cls):
        if harness.PRELOAD:
            raise unittest.SkipTest("under a sanitizer the address space is full")
        super().setUpClass()
        wanted = ("--python", cls.python, "--import", SEVERAL[len("import "):])
        cls.daemon.ctl("build", *wanted)
        # Of an interpreter that is not position-independent it is one and the same with --run and without.
        cls.daemon.ctl("build", "--run", *wanted)
        cls.daemon.ctl("build", "--run", "--hash-seed", *wanted)
        cls.with_hashes = {image["generation"] for image in cls.daemon.ctl_json("list")["images"]
                           if cls.daemon.ctl_json("show", image["id"])["interpreter"]["has_hashes"]}

    def command(self, *options):
        return [harness.PYCDSCTL, "--socket", self.daemon.socket, "run", "--quiet", *options]

    def run_with(self, code, *options, python=(), environment=None, **extra):
        answer = subprocess.run(self.command(*options) + [self.python, *python, "-c", code],
                                env=environment or self.on(**extra), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, universal_newlines=True,
                                timeout=harness.DEADLINE, check=False)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return answer.stdout

    def seed(self):
        return self.run_with("import os; print(os.environ['PYTHONHASHSEED'])", "--hash-seed").strip()

    def test_hashes_are_those_of_the_process(self):
        answers = [json.loads(self.run_with(HASHES, "--hash-seed")) for _ in range(2)]
        self.assertEqual(answers[0], answers[1])
        seen, served, randomised, probe, generations = answers[0]
        self.assertGreater(seen, 1000)
        self.assertGreater(served, 50)
        self.assertEqual(randomised, 1)
        self.assertEqual(set(generations), self.with_hashes)
        stock = self.run_python("-c", "print(hash('probe'))",
                                environment=harness.clean_environment(PYTHONHASHSEED=self.seed()))
        self.assertEqual(int(stock.stdout), probe)

    def test_without_it_nothing_of_it_is_used(self):
        for options, extra in (((), {}), ((), {"PYTHONHASHSEED": "1"}), (("--hash-seed",), {"PYTHONHASHSEED": "1"}),
                               ((), {"PYTHONHASHSEED": "1", "PYCDS_HASHES": "1"}), ((), {"PYCDS_HASHES": "1"})):
            with self.subTest(options=options, extra=extra):
                answer = json.loads(self.run_with(HASHES, *options, **extra))
                self.assertGreater(answer[1], 50)
                self.assertEqual(len(answer[4]), 1)
                self.assertFalse(set(answer[4]) & self.with_hashes)

    def test_where_there_is_no_such_image_the_other_serves(self):
        fresh = harness.Daemon().start()
        self.addCleanup(fresh.remove)
        self.addCleanup(fresh.stop)
        fresh.ctl("build", "--python", self.python, "json")
        answer = subprocess.run(
            [harness.PYCDSCTL, "--socket", fresh.socket, "run", "--quiet", "--hash-seed", self.python, "-c",
             "import json, _pycds; print(_pycds.stats()['served'] > 1)"], env=fresh.on(self.python),
            stdout=subprocess.PIPE, check=True)
        self.assertEqual(answer.stdout, b"True\n")

    def test_isolated_interpreters_have_seeds_of_their_own(self):
        for option in ("-E", "-I"):
            hashes = {self.run_with("print(hash('probe'))", "--hash-seed", python=(option,)) for _ in range(3)}
            self.assertGreater(len(hashes), 1)

    def test_it_is_said_unless_one_is_quiet(self):
        command = [word for word in self.command("--hash-seed") if word != "--quiet"] + ["true"]
        answer = subprocess.run(command, env=self.on(), stderr=subprocess.PIPE, universal_newlines=True)
        self.assertIn("less protection against hash flooding", answer.stderr)
        self.assertNotIn(self.seed(), answer.stderr)
        answer = subprocess.run(command, env=self.on(PYTHONHASHSEED="0"), stderr=subprocess.PIPE,
                                universal_newlines=True)
        self.assertEqual((answer.returncode, "PYTHONHASHSEED is set already" in answer.stderr), (0, True))

    def test_modules_are_as_in_stock(self):
        environment = self.on()
        environment.update(PYTHONHASHSEED=self.seed(), PYCDS_HASHES="1")
        stock = harness.clean_environment(PYTHONHASHSEED=self.seed())
        self.assert_same_modules(self.describe(SEVERAL, stock), self.describe(SEVERAL, environment))

    def sets_daemon(self, *options):
        """One with an image of m_sets, and the directory of that."""
        directory = tempfile.mkdtemp(dir=self.daemon.directory)
        path = os.path.join(directory, "m_sets.py")
        with open(path, "w") as file:
            file.write(SETS)
        self.run_python("-m", "py_compile", path)
        plan = os.path.join(directory, "plan")
        with open(plan, "w") as file:
            file.write(path + "\n")
        fresh = harness.Daemon().start()
        self.addCleanup(fresh.remove)
        self.addCleanup(fresh.stop)
        fresh.ctl("build", *options, "--hash-seed", "--python", self.python, "--trace", plan)
        return fresh, directory

    def test_frozensets_are_as_in_stock(self):
        fresh, directory = self.sets_daemon()
        seed = fresh.ctl("run", "--quiet", "--hash-seed", "printenv", "PYTHONHASHSEED").stdout.strip()
        stock = self.run_python("-c", SHOW_SETS, cwd=directory,
                                environment=harness.clean_environment(PYTHONHASHSEED=seed))
        self.assertEqual(stock.returncode, 0, stock.stderr)
        self.assertGreater(stock.stdout.count(b"\nTrue False True\n"), 8)
        for extra in ({}, {"PYCDS": "relocate"}):
            with self.subTest(extra=extra):
                environment = fresh.on(self.python, PYTHONHASHSEED=seed, PYCDS_HASHES="1", **extra)
                served = self.run_python("-c", SHOW_SETS, cwd=directory, environment=environment)
                self.assertEqual((served.stderr, served.returncode), (b"", 0))
                for line, expected in zip(served.stdout.split(b"\n"), stock.stdout.split(b"\n")):
                    self.assertTrue(line == expected, (line[:200], expected[:200]))
                self.assertEqual(len(served.stdout), len(stock.stdout))
                stats, _ = self.stats("import m_sets", environment=environment, cwd=directory)
                self.assertEqual(stats["served"], 1)
                self.assertEqual([image["relocated"] for image in stats["images"]],
                                 [bool(extra) or stats["layout"] == "random"])

    def test_frozensets_stay_clean(self):
        if harness.python_version() < (3, 12):
            self.skipTest("before 3.12 what is used is written, and so are frozensets")
        fresh, directory = self.sets_daemon("--run")
        program = "import json, sys, m_sets, _pycds\nm_sets.many('name_7'), m_sets.mixed(b'')\n" + LIVE
        with subprocess.Popen([harness.PYCDSCTL, "--socket", fresh.socket, "run", "--quiet", "--hash-seed",
                               self.python, "-c", program], env=fresh.on(self.python), cwd=directory,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True) as process:
            self.assertEqual(process.stdout.readline(), "ready\n")
            [image] = fresh.ctl_json("list")["images"]
            [shown] = fresh.ctl_json("show", image["id"], "--pages", str(process.pid))["processes"]
            out, _ = process.communicate("\n", timeout=harness.DEADLINE)
        if any(image["relocated"] for image in json.loads(out)["images"]):
            self.skipTest("its image is relocated, and all that is used is written")
        [region] = [region for region in shown["regions"] if region["kind"] == "frozensets"]
        # On the first page are strings of which the process has others already; on the last, sets that
        # depend on more than the seed.
        self.assertGreater(region["pages"], 5)
        self.assertLessEqual(region["dirty"], 2, region)

    def test_strings_stay_clean(self):
        def own(*options):
            with subprocess.Popen(self.command(*options) + [self.python, "-c", LIVE], env=self.on(),
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  universal_newlines=True) as process:
                self.assertEqual(process.stdout.readline(), "ready\n")
                kilobytes = harness.image_mappings(process.pid)["Anonymous"]
                out, _ = process.communicate("\n", timeout=harness.DEADLINE)
            stats = json.loads(out)
            if any(image["relocated"] for image in stats["images"]):
                self.skipTest("its images are relocated, and all that is used is written")
            return kilobytes
        self.assertLess(own("--hash-seed"), own() - 200)

    def test_it_ends_with_the_daemon(self):
        cache = os.path.join(self.daemon.directory, "cache-of-hashes")
        os.mkdir(cache, 0o700)
        daemon = harness.Daemon("--cache", cache).start()
        self.addCleanup(daemon.remove)
        daemon.ctl("build", "--hash-seed", "--python", self.python, "json")
        daemon.ctl("build", "--python", self.python, "json")
        harness.wait_until(lambda: [name for name in os.listdir(cache) if not name.endswith(".new")],
                           "the other is on the disk")
        def seed():
            return daemon.ctl("run", "--quiet", "--hash-seed", "printenv", "PYTHONHASHSEED").stdout
        before = seed()
        daemon.stop()
        daemon.start()
        self.addCleanup(daemon.stop)
        harness.wait_until(lambda: daemon.ctl_json("list")["images"], "the other is back")
        self.assertEqual(len(daemon.ctl_json("list")["images"]), 1)
        self.assertNotEqual(seed(), before)
        self.assertEqual(len(os.listdir(cache)), 1)


if __name__ == "__main__":
    harness.main()
