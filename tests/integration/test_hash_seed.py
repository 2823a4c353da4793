"""pycdsctl run --hash-seed: processes with the daemon's seed, and images whose strings have its hashes."""
import json
import os
import subprocess
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
