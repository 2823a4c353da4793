"""Cyclic garbage is collected as ever, though collections wait while modules are imported."""
import os

import harness

# How many containers are made until a dead cycle is collected.
COLLECTED = """
import gc, weakref
class Cycle: pass
def until_collected():
    cycle = Cycle()
    cycle.me = cycle
    dead = []
    watch = weakref.ref(cycle, dead.append)
    del cycle
    kept = []
    while not dead and len(kept) < 100000:
        kept.append([])
    return len(kept)
THRESHOLD = gc.get_threshold()[0]
def check(what):
    # Old generations are as in stock; what has just been made is in the youngest.
    assert gc.get_count()[0] >= 0, (what, gc.get_count())
    # Twice: what was alive when a collection came takes ten more of them.
    made = min(until_collected(), until_collected())
    assert made <= 3 * THRESHOLD, (what, made)
    print(what, gc.isenabled(), gc.get_threshold(), gc.get_debug(), len(gc.callbacks))
    print(gc.get_freeze_count())
"""


class Collection(harness.PythonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon.ctl("build", "--python", cls.python, "--all")

    def write(self, name, text):
        with open(os.path.join(self.daemon.directory, name + ".py"), "w") as file:
            file.write(text)

    def check(self, code, least=1):
        """The same output as in stock, and something was served."""
        def run(environment):
            answer = self.run_python("-B", "-c", COLLECTED +
                                     code, environment=environment, cwd=self.daemon.directory)
            self.assertEqual((answer.returncode, answer.stderr.decode()), (0, ""), code)
            return answer.stdout
        self.assertEqual(run(self.on()), run(harness.clean_environment()))
        stats, _ = self.stats(COLLECTED + code, cwd=self.daemon.directory)
        self.assertGreaterEqual(stats["served"], least)

    def test_after_imports(self):
        self.check("import argparse, logging.config\ncheck(1)\nimport xml.dom.minidom\ncheck(2)\n"
                   "def f(): import unittest.mock; check(3)\nf()\ncheck(4)", least=20)

    def test_after_imports_that_fail(self):
        self.write("fails", "import argparse, logging\nraise ValueError\n")
        self.write("exits", "import argparse, difflib\nraise SystemExit\n")
        self.write("wrong", "import tarfile\n(\n")
        self.check("""
for name, error in (('fails', ValueError), ('exits', SystemExit), ('wrong', SyntaxError),
                    ('nowhere', ImportError),
                    ('json.nowhere', ImportError)):
    for turn in range(2):
        try: __import__(name)
        except error: check(name)
""")

    def test_in_threads(self):
        self.check("""
import threading
def work(names):
    for name in names: __import__(name)
groups = [('argparse', 'difflib'), ('argparse', 'logging', 'csv'), ('tarfile', 'json'),
          ('asyncio', 'json.tool')]
threads = [threading.Thread(target=work, args=(names,)) for names in groups]
for thread in threads: thread.start()
for thread in threads: thread.join()
check(1)
import unittest
check(2)
""")

    def test_while_another_thread_imports(self):
        """An import that does not end keeps nobody else's garbage for ever."""
        self.write(
            "waits",
            "import argparse, hold\nhold.begun.set()\nhold.go_on.wait()\nimport difflib\n")
        self.write("hold", "from threading import Event\nbegun = Event()\ngo_on = Event()\n")
        self.check("""
import threading, hold
thread = threading.Thread(target=lambda: __import__('waits'))
thread.start()
hold.begun.wait()
made = until_collected()
assert made < 25000, made
import tarfile
made = until_collected()
assert made < 25000, made
hold.go_on.set()
thread.join()
check('ended')
import asyncio
check('after')
""")

    def test_garbage_of_an_import(self):
        self.write(
            "dirty", "import argparse, gc\nclass C: pass\n"
            "before = gc.get_stats()[0]['collections']\n"
            "for n in range(60000):\n    c = C(); c.me = c\n"
            "collections = gc.get_stats()[0]['collections'] - before\n")
        self.check("import dirty\nassert dirty.collections >= 10, dirty.collections\ncheck(1)")

    def test_settings_of_others(self):
        self.write(
            "counts", "import argparse, gc, difflib\nseen = []\n"
            "gc.callbacks.append(lambda phase, info: seen.append(info['generation']))\n"
            "import tarfile\n")
        self.write(
            "debugs",
            "import csv, gc, configparser\ngc.set_debug(gc.DEBUG_SAVEALL)\nimport sched\n")
        self.write(
            "freezes",
            "import shlex, gc\ngc.freeze()\ngc.set_threshold(300, 5, 5)\nimport cmd\n")
        self.write("disables", "import calendar, gc\ngc.disable()\nimport bdb\n")
        self.check("""
import counts
check('callbacks')
assert counts.seen, 'no collection seen'
before = len(counts.seen)
import logging.config, asyncio
made = [[] for _ in range(10 * THRESHOLD)]
assert len(counts.seen) - before >= 9, counts.seen
gc.callbacks.clear()
import debugs
assert gc.get_count()[0] >= 0, gc.get_count()
print(gc.get_debug())
gc.set_debug(0); gc.garbage.clear()
check('debug')
import freezes
gc.unfreeze()
assert gc.get_threshold() == (300, 5, 5) and gc.get_count()[0] >= 0
check('threshold')
import disables
print(gc.isenabled(), gc.get_count()[0] >= 0, until_collected() == 100000)
gc.enable()
import sqlite3
check('enabled')
""")

    def test_callbacks_see_imports(self):
        self.check("""
seen = []
gc.callbacks.append(lambda phase, info: seen.append((phase, info['generation'])))
import argparse, asyncio, logging.config, unittest.mock, xml.dom.minidom, urllib.request
assert len(seen) > 4 and len(seen) % 2 == 0, seen
check(1)
""")


if __name__ == "__main__":
    harness.main()
