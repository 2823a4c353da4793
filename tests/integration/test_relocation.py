"""Images in processes where not everything is where the builder had it: mapped elsewhere than requested
(by PYCDS=relocate, or because something else is there), in an interpreter that is loaded elsewhere."""
import json
import os
import subprocess
import unittest

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
WORKLOADS = "import sys\nsys.path.insert(0, %r)\nimport workloads\n" % HERE
IMPORTS = ("argparse, ast, asyncio, calendar, configparser, csv, difflib, email.parser, fractions, "
           "html.parser, http.client, inspect, ipaddress, logging.config, pprint, statistics, tarfile, "
           "textwrap, typing, unittest.mock, urllib.request, xml.dom.minidom, zipfile")
BIG = "import asyncio, unittest.mock, email.parser, urllib.request, xml.dom.minidom, tarfile"

# Maps a page at each address that images ask for, then switches the client on.
TAKE_BASES = """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
for slot in range(4):
    base = 0x200000000000 + slot * 0x1000000000
    got = libc.mmap(ctypes.c_void_p(base), ctypes.c_size_t(4096), 0, 0x22 | 0x100000, -1,
                    ctypes.c_long(0))
    assert got == base, got
sys.path.insert(0, %r)
import _pycds
del sys.path[0]
"""


class Relocation(harness.PythonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon.ctl("build", "--python", cls.python, "--all")

    def elsewhere(self, **extra):
        return self.on(PYCDS="relocate", **extra)

    def test_an_image_elsewhere_serves(self):
        stats, text = self.stats("import sys\nprint('re' in sys.modules)\nimport " + IMPORTS,
                                 environment=self.elsewhere())
        self.assertEqual(stats["reason"], None)
        self.assertTrue(stats["images"][0]["relocated"], stats)
        self.assertGreater(stats["served"], 120, stats)
        if "True" not in text:  # as after some .pth files
            self.assertGreater(stats["patterns"], 10, stats)
        self.assertFalse(0x200000000000 <= stats["images"][0]["base"] < 0x204000000000, stats)

    def test_programs_behave_as_in_stock(self):
        program = WORKLOADS + "print(workloads.results(range(3)))"
        for seed in ("0", "4711"):
            self.assert_like_stock("-c", program, on=self.elsewhere(PYTHONHASHSEED=seed),
                                   off=harness.clean_environment(PYTHONHASHSEED=seed))

    def test_everything_visible_is_as_in_stock(self):
        statement = "import " + IMPORTS
        stock = self.describe(statement, harness.clean_environment(PYTHONHASHSEED="4711"))
        served = self.describe(statement, self.elsewhere(PYTHONHASHSEED="4711"))
        self.assert_same_modules(stock, served)

    def test_every_archived_module_equals_its_pyc(self):
        answer = self.run_python(harness.ORACLE, "compare", environment=self.elsewhere())
        self.assertEqual(answer.returncode, 0, answer.stderr.decode())
        result = json.loads(answer.stdout)
        self.assertEqual(result["differing"], [])
        self.assertGreaterEqual(result["compared"], 500)

    def test_two_images(self):
        # The second image of a process has strings of which the first has the canonical ones.
        path = os.path.join(self.daemon.directory, "two")
        os.mkdir(path)
        with open(os.path.join(path, "own_module.py"), "w") as file:
            file.write("import argparse\nclass C:\n    def argument_default(self, conflict_handler=1):\n"
                       "        return {'add_help': frozenset(('add_help', 'prog')), 'x': conflict_handler}\n")
        self.run_python("-m", "compileall", "-q", path)
        environment = self.elsewhere(PYTHONHASHSEED="7")
        environment["PYTHONPATH"] += ":" + path
        off = harness.clean_environment(PYTHONPATH=path, PYTHONHASHSEED="7")
        self.assert_like_stock(
            "-c", "import own_module, sys, argparse\n"
            "print(own_module.C().argument_default(conflict_handler=3))\n"
            "print([n is sys.intern(n) for n in own_module.C.argument_default.__code__.co_consts[1:2]])",
            on=environment, off=off)

    def test_pages_are_not_given_back_unrelocated(self):
        program = (WORKLOADS + "expected = workloads.results(range(2))\n"
                   "import gc\nfor i in range(3):\n    GIVE\n    gc.collect()\n"
                   "    assert workloads.results(range(2)) == expected\nprint('same')")
        answer = self.run_python("-c", program.replace("GIVE", "import _pycds; _pycds.give_back()"),
                                 environment=self.elsewhere())
        self.assertEqual((answer.returncode, answer.stdout), (0, b"same\n"), answer.stderr)

    def test_a_taken_base(self):
        client = self.on()["PYTHONPATH"].split(":")[0]
        on = {key: value for key, value in self.on().items() if key != "PYTHONPATH"}
        stats, _ = self.stats(TAKE_BASES % client + "import " + IMPORTS, environment=on)
        self.assertEqual(stats["reason"], None)
        self.assertTrue(stats["images"][0]["relocated"], stats)
        self.assertGreater(stats["served"], 100, stats)
        program = "\nimport json, argparse\nprint(json.dumps([1]), len(argparse.__name__))\nraise SystemExit(3)"
        answer = self.run_python("-c", TAKE_BASES % client + program, environment=on)
        self.assertEqual((answer.returncode, answer.stdout, answer.stderr), (3, b"[1] 8\n", b""))

    def test_a_process_pays_for_what_it_imports(self):
        def own_memory(statement):
            with subprocess.Popen([self.python, "-c", statement + "\nprint(flush=True)\ninput()"],
                                  env=self.elsewhere(), stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE) as process:
                process.stdout.readline()
                mappings = harness.image_mappings(process.pid)
                process.communicate(b"\n")
            return mappings["Anonymous"]
        self.assertLess(own_memory("import colorsys"), 1000)
        self.assertGreater(own_memory(BIG), 1500)

    def test_pages_of_a_process_are_found(self):
        with subprocess.Popen([self.python, "-c", BIG + "\nprint(flush=True)\ninput()"],
                              env=self.elsewhere(), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            name = self.daemon.ctl_json("list")["images"][0]["id"]
            shown = self.daemon.ctl("show", str(name), "--pages", str(process.pid)).stdout
            process.communicate(b"\n")
        self.assertIn("str-interned", shown)

    def test_the_image_is_shown(self):
        name = self.daemon.ctl_json("list")["images"][0]["id"]
        self.assertIn("externals", self.daemon.ctl("show", str(name)).stdout)
        self.assertIn("static-string", self.daemon.ctl_json("show", str(name))["external_references"])

    def test_fixed_and_randomised_interpreters(self):
        # Relocated is what has moved, and nothing else.
        where = "import ctypes\nprint(ctypes.addressof(ctypes.c_long.in_dll(ctypes.pythonapi, '_PyRuntime')))"
        runs = [self.stats(where) for _ in range(4)]
        moves = len({text for _, text in runs}) > 1
        self.assertEqual({stats["images"][0]["relocated"] for stats, _ in runs},
                         {moves} if moves else {False})


class Names(harness.PythonCase):
    def test_the_name_of_a_module_as_a_local_variable_of_another(self):
        # The program has interned that name before, so that no module's string becomes canonical.
        path = os.path.join(self.daemon.directory, "names")
        os.mkdir(path)
        sources = []
        for name, text in (("zq_named", ""), ("zq_naming", "def f():\n zq_named = 1\n return f.__code__.co_varnames\n")):
            sources.append(os.path.join(path, name + ".py"))
            with open(sources[-1], "w") as file:
                file.write(text)
        plan = os.path.join(self.daemon.directory, "plan")
        with open(plan, "w") as file:
            file.write("\n".join(sources) + "\n")
        self.run_python("-m", "compileall", "-q", path)
        self.daemon.ctl("build", "--python", self.python, "--trace", plan)
        environment = self.on(PYCDS="relocate")
        environment["PYTHONPATH"] += ":" + path
        stats, text = self.stats("import zq_named, zq_naming\n"
                                 "[name] = zq_naming.f()\nprint(name, name == zq_named.__name__)",
                                 environment=environment)
        self.assertEqual((stats["served"], text), (2, "zq_named True\n"), stats)


if __name__ == "__main__":
    harness.main()
