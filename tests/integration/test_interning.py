"""Strings of images among a process's own: identity is that of stock Python, up to the end."""
import json
import os
import unittest

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
IDENTITY = os.path.join(HERE, "identity.py")

MODULES = (
    "argparse",
    "asyncio",
    "decimal",
    "_pydecimal",
    "datetime",
    "_pydatetime",
    "email.message",
    "email.parser",
    "http.server",
    "json",
    "logging.config",
    "multiprocessing.pool",
    "pickle",
    "socket",
    "socketserver",
    "sqlite3",
    "ssl",
    "tarfile",
    "tempfile",
    "tkinter",
    "typing",
    "unittest.mock",
    "urllib.request",
    "uuid",
    "xml.dom.minidom",
    "xml.etree.ElementTree",
    "xmlrpc.client",
    "zipfile",
    "flask",
    "requests",
    "pymongo")

# Functions that the client replaces, and what only it has.
REPLACED = ("_frozen_importlib", "re._compiler:compile", "re._compiler has compile",
            "sre_compile:compile", "sre_compile has compile")

OF_A_USER = """
import argparse
class C:
    def argument_default(self, unheard_of, x='unheard_of'):
        return [unheard_of, 'argument_default', 'unheard_of_%s', x, 'never']
"""


class Interning(harness.PythonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon.ctl("build", "--python", cls.python, "--all")

    def identity(self, what, environment):
        answer = self.run_python("-B", IDENTITY, what, *MODULES, environment=environment)
        self.assertEqual(answer.returncode, 0, answer.stderr.decode())
        self.assertEqual(answer.stderr, b"")
        return json.loads(answer.stdout)

    def both(self, what):
        seed = {"PYTHONHASHSEED": "3"}
        return (self.identity(what, self.on(**seed)),
                self.identity(what, harness.clean_environment(**seed)))

    def test_who_is_whom_is_as_in_stock(self):
        served, stock = self.both("relation")
        self.assertGreater(len(stock), 10000)

        def classes(occurrences):
            """Renumbered without what is not in both processes."""
            numbers = {}
            return {where: numbers.setdefault(number, len(numbers)) for where, number in occurrences
                    if not where.startswith(REPLACED)}
        differing = {}
        for text in set(stock) | set(served):
            one, other = classes(served.get(text, [])), classes(stock.get(text, []))
            if one != other:
                differing[text] = [(where, one.get(where), other.get(where)) for where in sorted(
                    set(one) | set(other)) if one.get(where) != other.get(where)][:3]
        self.assertEqual(differing, {}, len(differing))

    def test_every_name_is_interned(self):
        (wrong, count), (stock, stock_count) = self.both("own")
        self.assertEqual(sorted(set(wrong) - set(stock)), [])
        self.assertGreater(count, 50000)
        self.assertAlmostEqual(count, stock_count, delta=100)

    def test_attributes_of_such_names(self):
        (wrong, count, slots), (stock, _, _) = self.both("attributes")
        # Names that C code puts into namespaces need not be interned.
        self.assertEqual(wrong, stock)
        self.assertGreater(count, 1000)
        self.assertGreater(slots, 3)

    def test_slots_are_set(self):
        """CPython compares names of slots by address (update_slot() of Objects/typeobject.c)."""
        self.assert_like_stock(IDENTITY, "slots", *MODULES)

    def test_pickle_and_marshal(self):
        served, stock = self.both("copies")
        self.assertEqual(served[1], [])
        self.assertEqual(stock[1], [])
        common = set(served[0]) & set(stock[0])
        self.assertGreater(len(common), 5000)
        self.assertEqual([path for path in sorted(common) if served[0][path] != stock[0][path]], [])

    # Up to the end: the dict of interned strings is walked when the interpreter takes itself apart.

    def ends_as_in_stock(self, program, **extra):
        """Under a debugging allocator, in development mode, and as it is."""
        for options, how in ((("-X", "dev"), {}), ((), {"PYTHONMALLOC": "debug"}), ((), {})):
            variables = dict(extra, PYTHONHASHSEED="5", **how)
            self.assert_like_stock(*options, "-W", "ignore", "-c", program, on=self.on(**variables),
                                   off=harness.clean_environment(**variables))

    def test_late_imports_and_interning(self):
        self.ends_as_in_stock("""
import argparse, atexit, sys, threading
class Late:
    def __init__(self, name): self.name = name
    def __del__(self, intern=sys.intern, print=print):
        a = intern('late_' + self.name)
        b = intern('late_%s' % self.name)
        try:
            import wsgiref.util, csv
            found = type(csv.DictReader).__name__
        except ImportError as error:
            found = 'no import'
        setattr(type(self), a, 1)
        print(self.name, a is b, getattr(type(self), b), found, intern('x_y') == 'x_y', flush=True)
argparse.late = Late('module')
sys.late = Late('sys')
cycle = Late('cycle'); cycle.me = cycle
local = threading.local(); local.x = Late('thread_local')
sys.modules['late'] = Late('modules')
@atexit.register
def at_exit():
    import difflib, tarfile
    print(sys.intern('unified_' + 'diff') is difflib.unified_diff.__name__, tarfile.__name__)
    def work():
        import http.client
        print(http.client.HTTPConnection.__name__)
    try:
        t = threading.Thread(target=work); t.start(); t.join()
    except RuntimeError as error:
        print(error)
d = {sys.intern('a_key_of_%s' % n): n for n in range(3000)}
if hasattr(sys, 'getunicodeinternedsize'): print(sys.getunicodeinternedsize() > 1000)
""")

    def test_the_dict_grows_and_shrinks(self):
        """CPython makes it larger, and deletes from it, while it holds strings of images."""
        self.ends_as_in_stock("""
import argparse, sys
def names(n): return [sys.intern('name_%d_%d' % (n, k)) for k in range(40000)]
def own(kind):
    codes = [f.__code__ for f in vars(kind).values() if hasattr(f, '__code__')]
    return sum(sys.intern(''.join(list(s))) is s for c in codes
               for s in c.co_names + c.co_varnames[:c.co_argcount + c.co_kwonlyargcount])
for n in range(6):
    made = names(n)
    if n == 2: import json.tool, logging.config
    if n == 4: import asyncio
    assert all(sys.intern('name_%d_%d' % (n, k)) is made[k] for k in range(0, 40000, 777))
    del made
print(own(argparse.ArgumentParser))
import email.mime.text, xml.dom.minidom, unittest.mock
print(own(unittest.mock.NonCallableMock), own(xml.dom.minidom.Document))
print(own(argparse.ArgumentParser))
""")

    SUBINTERPRETERS = """
import sys
try:
    import _interpreters as interpreters
    kinds = ('legacy', 'isolated')
except ImportError:
    import _xxsubinterpreters as interpreters
    kinds = (False, True)
def make(kind):
    if isinstance(kind, str): return interpreters.create(kind)
    return interpreters.create(isolated=kind)
def run(number, text):
    try: error = interpreters.run_string(number, text)
    except interpreters.RunFailedError as failed: error = failed
    print(error)
import json
work = '''
import argparse, json, textwrap, sys, re
assert re.compile('a(?P<unheard_of>b)').groupindex == {'unheard_of': 1}
class A: pass
setattr(A, 'argument_default', 1)
setattr(A, '__len__', lambda self: 3)
setattr(A, '__bool__', lambda self: False)
assert len(A()) == 3 and not A() and sys.intern('argument_' + 'default') == 'argument_default'
assert textwrap.fill('a b', 2) == 'a' + chr(10) + 'b'
kept = [sys.intern('in_sub_%d' % n) for n in range(3000)]
'''
"""

    def test_subinterpreters(self):
        self.ends_as_in_stock(self.SUBINTERPRETERS + """
for kind in kinds:
    for turn in range(2):
        number = make(kind)
        run(number, work)
        import difflib, calendar
        run(number, 'import logging, configparser; import csv')
        interpreters.destroy(number)
        import unittest, sched
        class A: pass
        setattr(A, '__call__', lambda self: 4)
        print(A()(), sys.intern('argument_' + 'default') is 'argument_default',
              [sys.intern('in_sub_%d' % n) for n in range(3000)][7])
""")

    def test_subinterpreters_that_outlive_the_program(self):
        self.ends_as_in_stock(self.SUBINTERPRETERS + """
number = make(kinds[0])
run(number, work)
import argparse, unittest.mock
""")

    def test_fork_and_exit(self):
        self.ends_as_in_stock("""
import argparse, os, sys
for turn in range(3):
    pid = os.fork()
    if pid == 0:
        import logging.config, json
        kept = sys.intern('child_%d' % turn)
        setattr(argparse.Namespace, kept, kept)
        if turn == 1: os._exit(5)
        sys.exit(turn + 3)
    print(os.waitpid(pid, 0)[1] >> 8, flush=True)
import multiprocessing.pool
""")

    def test_errors_while_ending(self):
        self.ends_as_in_stock(
            "import argparse, atexit\natexit.register(lambda: 1 / 0)\nraise KeyError('help')")
        self.ends_as_in_stock(
            "import argparse, threading, time\n"
            "threading.Thread(target=time.sleep, args=(99,), daemon=True).start()\nprint(1)")

    def test_modules_of_two_images(self):
        """Strings that a system image and a user's own have both are one."""
        daemon = harness.Daemon().start()
        self.addCleanup(daemon.remove)
        self.addCleanup(daemon.stop)
        directory = os.path.join(daemon.directory, "own")
        os.mkdir(directory)
        listed = self.run_python("-c", "import argparse, json, sys\n"
                                 "for m in list(sys.modules.values()):\n"
                                 "    print(getattr(m, '__file__', None))").stdout.decode()
        plan = os.path.join(directory, "plan")
        with open(plan, "w") as paths:
            paths.writelines(path + "\n" for path in listed.split() if path.endswith(".py"))
            for name in ("one", "two"):
                path = os.path.join(directory, name + ".py")
                with open(path, "w") as file:
                    file.write(OF_A_USER % name)
                os.chmod(path, 0o600)  # nothing for everybody's image
                paths.write(path + "\n")
        self.assertEqual(self.run_python("-m", "compileall", "-q", directory).returncode, 0)
        daemon.ctl("build", "--python", self.python, "--trace", plan)
        program = """
import sys, one, two, argparse, json
a = one.C().argument_default(1) + two.C().argument_default(1)
code = argparse.ArgumentParser.__init__.__code__
own = [s for s in code.co_names + code.co_varnames if s == 'argument_default']
print([x is y for x in a + own + ['unheard_of', 'argument_default', 'never'] for y in a + own
       if x == y and type(x) is str])
print([sys.intern(''.join(list(s))) is s for s in a if type(s) is str])
"""
        on = daemon.on(self.python)
        self.assert_like_stock("-W", "ignore", "-c", program, on=on, cwd=directory)
        stats, _ = self.stats(program, environment=on, cwd=directory)
        self.assertGreater(stats["served"], 5)
        self.assertEqual(len(stats["images"]), len(daemon.ctl_json("list")["images"]))


if __name__ == "__main__":
    harness.main()
