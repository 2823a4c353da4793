"""Regular expressions that come compiled out of an image: the same as those that stock compiles."""
import json
import os
import subprocess
import unittest

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
PATTERNS = os.path.join(HERE, "patterns.py")

# Patterns of archived modules, which an image has.
SEARCH = r"""
import re, sys, xml.etree.ElementPath
if not hasattr(re, '_compiler'):  # before 3.11
    import sre_compile, sre_parse
    re._compiler, re._parser = sre_compile, sre_parse
PARSER = '_parser' if hasattr(re._compiler, '_parser') else 'sre_parse'
def served():
    try: import _pycds
    except ImportError: return 0
    return _pycds.stats()['patterns']
KNOWN = xml.etree.ElementPath.xpath_tokenizer_re.pattern, 0
def fresh(flags=None):
    re.purge()
    return re.compile(KNOWN[0][:1] + KNOWN[0][1:], KNOWN[1] if flags is None else flags)
"""


# Somebody puts a function of his own where the compiler looks for one.
MINE = """
old = getattr(where, name)
setattr(where, name, lambda *a: print('mine') or old(*a))
print(fresh())
"""


class Patterns(harness.PythonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        early = subprocess.run([cls.python, "-c", "import sys; sys.exit('re' in sys.modules)"],
                               env=harness.clean_environment())
        if early.returncode != 0:
            raise unittest.SkipTest("a .pth file of %s imports re before the client is there" % cls.python)
        cls.daemon.ctl("build", "--python", cls.python, "--all")

    def test_all_are_as_stock_compiles_them(self):
        def run(environment):
            answer = self.run_python(
                "-B",
                PATTERNS,
                os.path.join(
                    harness.BUILD,
                    "client"),
                environment=environment)
            self.assertEqual(answer.returncode, 0, answer.stderr.decode())
            self.assertEqual(answer.stderr, b"")
            return json.loads(answer.stdout)
        served, stock = run(self.on()), run(harness.clean_environment())
        self.assertEqual(served["unequal"], stock["unequal"])
        self.assertEqual(list(served["patterns"]), list(stock["patterns"]))
        for name, seen in stock["patterns"].items():
            self.assertEqual(served["patterns"][name], seen, name)
        self.assertGreater(len(stock["patterns"]), 300)
        # Twice each; some cannot be kept, or are no patterns.
        self.assertGreater(served["served"], len(stock["patterns"]))

    def counted(self, code, expected, **extra):
        """Runs after SEARCH; `expected` is whether fresh() in it was answered from the image."""
        answer = self.run_python(
            "-W",
            "ignore",
            "-c",
            SEARCH +
            "before = served()\n" +
            code +
            "\nprint(served() - before)",
            environment=self.on(
                **extra))
        self.assertEqual((answer.returncode, answer.stderr), (0, b""))
        count = int(answer.stdout.split()[-1])
        self.assertEqual(count, expected, code)
        self.assert_like_stock("-W", "ignore", "-c", SEARCH + code, on=self.on(**extra))

    def test_when_the_image_answers(self):
        self.counted("print(fresh())", 1)
        self.counted("print(fresh(), fresh(), re.compile(KNOWN[0], KNOWN[1]))", 2)
        self.counted("print(fresh(re.RegexFlag(KNOWN[1])))", 1)
        self.counted(
            "re._compiler.compile(*KNOWN)\nre._compiler.compile(p=KNOWN[0], flags=KNOWN[1])", 1)
        self.counted(
            "print(fresh(KNOWN[1] | re.IGNORECASE).flags, fresh(KNOWN[1] | re.DOTALL).flags)", 0)

    def test_when_stock_compiles(self):
        for change in (
                # What prints, or depends on the locale.
                "print(fresh(KNOWN[1] | re.DEBUG))",
                "print(re.compile(KNOWN[0].encode(), re.LOCALE))",
                # Other types.
                "class S(str): pass\nprint(type(re.compile(S(KNOWN[0]), KNOWN[1]).pattern))",
                "class I(int): pass\nprint(re._compiler.compile(KNOWN[0], I(KNOWN[1])))",
                "for flags in (-1, 1 << 40, None, 'x'):\n"
                "    try: print(re._compiler.compile(KNOWN[0], flags))\n"
                "    except Exception as error: print(type(error), error)",
                "try: re.compile(3)\nexcept TypeError as error: print(error)",
                "try: re.compile('(')\nexcept re.error as error: print(error, error.pos)",
                # Somebody put something of his own there.
                "where, name = re._parser, 'parse'" + MINE,
                "where, name = re._compiler, '_code'" + MINE,
                "where, name = re._compiler, 'isstring'" + MINE,
                "where, name = re._parser, '_parse_sub'" + MINE,
                "where, name = re._parser.Tokenizer, 'match'" + MINE,
                "where, name = re._compiler, '_compile'" + MINE,
                "import _sre\nwhere, name = _sre, 'compile'" + MINE,
                "class Engine:\n    def __getattr__(self, name):\n        import _sre; print(1)\n"
                "        return getattr(_sre, name)\nre._compiler._sre = Engine()\nprint(fresh())",
                "import types\nold = re._parser\n"
                "setattr(re._compiler, PARSER, types.SimpleNamespace(parse=lambda *a: print('mine')"
                " or old.parse(*a)))\nprint(fresh())",
        ):
            self.counted(change, 0)

    def test_watchers_see_the_compiler_at_work(self):
        self.counted(
            "import sys\nseen = set()\n"
            "sys.setprofile(lambda f, e, a: seen.add(f.f_code.co_name) if e == 'call' else 0)\n"
            "fresh()\nsys.setprofile(None)\nprint(sorted(seen))", 0)
        self.counted(
            "import sys\nseen = []\n"
            "sys.settrace(lambda f, e, a: seen.append((f.f_code.co_name, f.f_lineno)))\n"
            "fresh()\nsys.settrace(None)\nprint(seen)", 0)

    def test_re_that_is_loaded_again(self):
        self.assert_like_stock("-W", "ignore", "-c", SEARCH + r"""
import importlib
for module in (re._parser, re._compiler, re):
    importlib.reload(module)
print(fresh(), re.sub('a+', 'b', 'caat'))
old = re
for name in [n for n in sys.modules if n == 're' or n.startswith(('re.', 'sre_'))]:
    del sys.modules[name]
import re
print(re is old, fresh(), re.search('a+', 'caat'))
print(re.compile(KNOWN[0], KNOWN[1]) == old.compile(KNOWN[0], KNOWN[1]))
""")

    def test_in_threads_and_after_fork(self):
        # Whether a thread that has ended counts as one when the process forks is a race, in stock too.
        self.assert_like_stock("-W", "ignore::DeprecationWarning", "-c", SEARCH + """
import os, threading
sys.setswitchinterval(1e-5)
out = []
def work():
    for _ in range(200):
        re.purge()
        out.append(fresh() == re.compile(KNOWN[0], KNOWN[1]))
threads = [threading.Thread(target=work) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(len(out), set(out))
pid = os.fork()
if pid == 0:
    print(fresh(), flush=True)
    os._exit(fresh() != re.compile(KNOWN[0], KNOWN[1]))
print(os.waitpid(pid, 0)[1])
""")

    def test_where_warnings_point(self):
        """A pattern that warns when it is compiled does so, and names the line that asks for it."""
        self.assert_like_stock(
            "-W",
            "always",
            "-c",
            "import re\n\ndef f():\n    return re.compile('[[a]b]'), re.compile('a[a--b]')\nf()")
        self.assert_like_stock(
            "-W",
            "error",
            "-c",
            "import re\n\ndef f():\n    re.compile('[[a]')\nf()")
        self.assert_like_stock("-c", "import re\n\ndef f():\n    re.compile('(a))')\nf()")
        self.assert_like_stock(
            "-c", "import re\nre.compile('(' * 50 + ')' * 50)\nre.compile('a{3,1}')")


if __name__ == "__main__":
    harness.main()
