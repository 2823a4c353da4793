"""A tree of modules with an image of it, and programs that have to do there what they do in stock."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                "integration"))
import harness  # noqa: E402

# What an interpreter says before its program begins tells how the client got in (-v, -X importtime).
MARK = "@@ the program begins"
BEGIN = "import sys\nsys.stderr.write('%s\\n')\n" % MARK

# Of the standard library: what programs here import, and what that imports.
LIBRARY = """argparse ast asyncio bdb cProfile concurrent.futures configparser copy csv ctypes dataclasses
decimal difflib dis doctest email.message fractions html.parser http.client importlib.metadata
importlib.resources inspect json linecache logging multiprocessing.forkserver multiprocessing.managers
multiprocessing.pool multiprocessing.popen_fork multiprocessing.popen_forkserver
multiprocessing.popen_spawn_posix multiprocessing.resource_tracker multiprocessing.spawn pdb pickle
pickletools pkgutil platform pprint pstats queue random re runpy shelve shlex signal socket statistics
string subprocess tarfile tempfile textwrap threading timeit tokenize trace traceback tracemalloc types
typing unittest unittest.mock urllib.parse urllib.request uuid warnings weakref xml.dom.minidom zipfile
zipimport""".split()

FILES = {
    "alpha.py": '''"""Alpha's docstring."""
import beta

KINDS = (1, -1.5, 2j, "text", "Grüße", b"bytes", None, ..., True, (1, (2, "x")), 1 << 70)


def answer(value="default", *, key=7):
    """Says what it was given."""
    if value in {"default", "other", 3, (4, 5)}:
        return [value, key]
    return {"value": value, "key": key}


class Thing:
    """A class with all sorts of methods."""

    def __init__(self):
        self.name = "thing"

    @property
    def upper(self):
        return self.name.upper()

    @staticmethod
    def fixed():
        return lambda x: x + 1

    @classmethod
    def made(cls):
        return cls()

    async def later(self):
        return [x async for x in self.many()]

    async def many(self):
        yield 1


def generator():
    yield from (i * 2 for i in range(3))
''',
    "beta.py": "import gamma\nX = 'beta'\n\ndef outer(x):\n    def inner(y):\n        return x + y\n"
               "    return inner\n",
    "gamma.py": "X = 'gamma'\n\ndef fail(x):\n    return 1 / x\n\ndef deep(n):\n"
                "    return fail(0) if n == 0 else deep(n - 1)\n",
    "raises.py": "import gamma\nVALUE = 1\ngamma.deep(3)\n",
    "warns.py": "import warnings\n\ndef old():\n    warnings.warn('old', DeprecationWarning, 2)\n\n"
                "warnings.warn('at import', DeprecationWarning, stacklevel=2)\n"
                "warnings.warn('here')\n",
    "cycle_a.py": "import cycle_b\nA = 'a'\n",
    "cycle_b.py": "import cycle_a\nB = hasattr(cycle_a, 'A')\n",
    "pack/__init__.py": "'''A package.'''\nfrom . import sub\nfrom .sub import name\n",
    "pack/__main__.py": "import sys\nprint(__name__, __spec__.name, sys.argv[1:], __package__)\n",
    "pack/sub.py": "name = __name__\n\nif __name__ == '__main__':\n    print('sub is main')\n",
    "pack/lazy.py": "def __getattr__(name):\n    return 'lazy ' + name\n",
    "pack/data.txt": "data\n",
    "héllo.py": "größe = 3\n",
    "finals.py": "import atexit, weakref\n\nclass Last:\n    def __init__(self, name):\n"
                 "        self.name = name\n    def __del__(self):\n"
                 "        print('del', self.name, flush=True)\n\n"
                 "one = Last('one')\n_two = Last('two')\nring = [Last('ring')]\nring.append(ring)\n"
                 "atexit.register(print, 'atexit')\nweakref.finalize(one, print, 'finalize')\n",
    "asserts.py": "'''Doc.'''\n\ndef answer():\n    '''Doc, too.'''\n    assert False, 'asserted'\n",
    "first/which.py": "WHICH = 'first'\n",
    "second/which.py": "WHICH = 'second'\n",
    "ns1/space/one.py": "X = 'one'\n",
    "ns2/space/two.py": "X = 'two'\n",
    "both/__init__.py": "X = 'package'\n",
    "both.py": "X = 'module'\n",
    "work.py": "import os, time\n\ndef job(x):\n    import alpha\n    return x * x, alpha.answer(x)\n",
    "slowly.py": "import time\nEND = time.monotonic() + 0.3\nwhile time.monotonic() < END:\n    pass\n"
                 "DONE = True\n",
    "tests_it/test_alpha.py": "import alpha\n\n\ndef test_good():\n"
                              "    assert alpha.answer() == ['default', 7]\n\n\ndef test_bad():\n"
                              "    assert alpha.answer(3) == [4, 7], 'no'\n",
}


def plain(text):
    """Without what differs between two processes of stock Python: addresses, identifiers, times; and
    without what comes before MARK, where a program writes that."""
    text = text.rpartition(MARK.encode() + b"\n")[2]
    text = re.sub(rb"0x[0-9a-f]{6,}", b"0x", text)
    text = re.sub(rb"import time: +\d+ \| +\d+ \|", b"import time:", text)
    text = re.sub(rb"in \d+\.\d+s", b"in some time", text)
    return re.sub(rb"(pid|started) \d+", rb"\1", text)


class TreeCase(harness.PythonCase):
    """`cls.tree` holds FILES, compiled; one image holds all of them and LIBRARY."""

    @classmethod
    def choose_python(cls):
        """Sets cls.python, where that is not the interpreter under test; may skip."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.choose_python()
        cls.tree = os.path.join(cls.daemon.directory, "tree")
        cls.write_tree(cls.tree)
        cls.stats_file = os.path.join(cls.daemon.directory, "stats")
        plan = os.path.join(cls.daemon.directory, "plan")
        with open(plan, "w") as file:
            for line in cls.wanted():
                file.write(line + "\n")
        cls.daemon.ctl("build", "--python", cls.python, "--trace", plan)

    @classmethod
    def write_tree(cls, tree, files=None):
        for name, text in (FILES if files is None else files).items():
            path = os.path.join(tree, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
        compiled = subprocess.run([cls.python, "-m", "compileall", "-q", tree],
                                  env=harness.clean_environment(), check=True)
        assert compiled.returncode == 0

    @classmethod
    def wanted(cls):
        """Paths of all modules that any of LIBRARY imports, and of the tree."""
        script = ("import importlib, sys\n"
                  "for name in sys.argv[1:]:\n"
                  "    try: importlib.import_module(name)\n"
                  "    except ImportError: pass\n"
                  "for module in list(sys.modules.values()):\n"
                  "    path = getattr(getattr(module, '__spec__', None), 'origin', None)\n"
                  "    if path and path.endswith('.py'): print(path)\n")
        found = subprocess.run([cls.python, "-c", script] + LIBRARY, stdout=subprocess.PIPE,
                               env=harness.clean_environment(), check=True,
                               universal_newlines=True).stdout.splitlines()
        return found + [os.path.join(cls.tree, name) for name in FILES if name.endswith(".py")]

    def served_last(self):
        """What the processes of the last program said together: (served, misses, why some had no image)."""
        served, misses, reasons = 0, {}, set()
        try:
            with open(self.stats_file) as lines:
                for line in lines:
                    entry = json.loads(line)
                    served += entry["served"]
                    reasons.add(entry["reason"])
                    for reason, count in entry["misses"].items():
                        misses[reason] = misses.get(reason, 0) + count
            os.unlink(self.stats_file)
        except FileNotFoundError:
            pass
        return served, misses, reasons

    def same(self, program, *arguments, options=(), served=1, reason=None, input=None, prepare=None,
             files=(), **variables):
        """The program prints and returns in stock what it does with the client, which hands out at
        least `served` modules (0: none at all; -1: some or none) and leaves one to stock for `reason`.
        `program`: text for -c, or None.
        `prepare` is called before either run; `files`: directories to look at after it."""
        variables.setdefault("PYTHONHASHSEED", "0")
        variables["PYCDS_STATS"] = self.stats_file
        command = [self.python, *options] + ([] if program is None else ["-c", program])
        self.maxDiff = 4000

        def run(environment):
            if prepare is not None:
                prepare()
            answer = subprocess.run(command + list(arguments), env=environment, cwd=self.tree,
                                    input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    timeout=harness.DEADLINE, check=False,
                                    **({} if input is not None else {"stdin": subprocess.DEVNULL}))
            return (answer.returncode, plain(answer.stdout).decode(), plain(answer.stderr).decode(),
                    [sorted(os.listdir(directory)) for directory in files])

        on = self.on(**variables)
        if "PYTHONPATH" in variables:
            on["PYTHONPATH"] = self.on()["PYTHONPATH"] + ":" + variables["PYTHONPATH"]
        self.served_last()
        # On a busy machine a client may give up waiting for the daemon, and shows nothing then.
        for _ in range(10):
            seen = run(on)
            count, misses, reasons = self.served_last()
            if not reasons & {"deadline", "daemon-busy"}:
                break
        stock = run(harness.clean_environment(**variables))
        self.assertEqual(seen, stock)
        if served:
            self.assertGreaterEqual(count, served, (misses, reasons))
        else:
            self.assertEqual(count, 0, misses)
        if reason is not None:
            self.assertGreaterEqual(misses.get(reason, 0), 1, (misses, reasons))
        return stock

    def scratch(self):
        directory = tempfile.mkdtemp(dir=self.daemon.directory)
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        return directory

    def has(self, module):
        return subprocess.run([self.python, "-c", "import " + module],
                              env=harness.clean_environment(), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False).returncode == 0

    def need(self, module):
        if not self.has(module):
            self.skipTest("%s has no module %s" % (self.python, module))
