"""Each rule and each trap of Python's imports once: what a program does there it does with the client on.

Every test compares exit status and output, or files left behind, of two fresh processes. Tests of the
traps in which the client hands out nothing say for which reason.
"""
import os
import shutil
import sys
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tree import BEGIN, TreeCase, harness  # noqa: E402


class Finding(TreeCase):
    """Which file a name is, and by whom it is loaded."""

    def test_shadowing_and_path_order(self):
        program = ("import sys\nsys.path[0:0] = ['%s/' + d for d in sys.argv[1:]]\n"
                   "import which\nprint(which.WHICH, which.__file__)") % self.tree
        self.assertIn("first", self.same(program, "first", "second")[1])
        self.assertIn("second", self.same(program, "second", "first")[1])
        # A directory that is new on the path, and a file that is new in front of another.
        self.same("import sys, os\nsys.path.append('%(t)s/second')\nimport which\n"
                  "print(which.WHICH)\ndel sys.modules['which']\n"
                  "sys.path.insert(0, '%(t)s/first')\nimport which\nprint(which.WHICH)"
                  % {"t": self.tree}, served=2)

    def test_a_file_that_comes_to_lie_before(self):
        place = self.scratch()
        self.same("import sys, os, importlib\nsys.dont_write_bytecode = True\n"
                  "sys.path[0:0] = [sys.argv[1], '%s/second']\n"
                  "import which\nprint(which.WHICH)\ndel sys.modules['which']\n"
                  "open(sys.argv[1] + '/which.py', 'w').write('WHICH = 3')\n"
                  "importlib.invalidate_caches()\nimport which\nprint(which.WHICH)\n"
                  "os.unlink(sys.argv[1] + '/which.py')\ndel sys.modules['which']\n"
                  "importlib.invalidate_caches()\nimport which\nprint(which.WHICH)"
                  % self.tree, place)

    def test_importer_caches(self):
        self.same("import sys\nimport alpha, pack.sub, json\n"
                  "for path, finder in sorted(sys.path_importer_cache.items()):\n"
                  "    print(path, type(finder), finder and finder.path,\n"
                  "          finder and sorted(finder._path_cache),\n"
                  "          finder and sorted(finder._relaxed_path_cache),\n"
                  "          finder and finder._path_mtime,\n"
                  "          finder and [s for s, _ in finder._loaders])\n"
                  "sys.path_importer_cache.clear()\nimport string\nprint(len(sys.path_importer_cache))",
                  served=4)

    def test_namespace_packages(self):
        self.same("import sys\nsys.path += ['%(t)s/ns1']\nimport space.one\n"
                  "print(list(space.__path__), space.__file__ if hasattr(space, '__file__') else None)\n"
                  "sys.path += ['%(t)s/ns2']\nimport space.two\n"
                  "print(list(space.__path__), space.two.X, space.__spec__.loader is None,\n"
                  "      type(space.__loader__).__name__, space.__spec__.origin, type(space.__path__))\n"
                  "sys.path.remove('%(t)s/ns1')\nprint(list(space.__path__))" % {"t": self.tree},
                  served=2)

    def test_so_before_py(self):
        place = self.scratch()
        found = self.run_python("-c", "import _json, _bisect; print(getattr(_json, '__file__', ''))")
        extension = found.stdout.decode().strip()
        if not extension:
            self.skipTest("_json is built in")
        shutil.copy(extension, place)
        self.write_tree(place, {"_json.py": "X = 1\n"})
        self.same("import sys\nsys.path.insert(0, sys.argv[1])\nimport _json, alpha\n"
                  "print(_json, _json.__loader__, hasattr(_json, 'X'))", place)

    def test_package_before_module(self):
        self.assertIn("package", self.same("import both\nprint(both.X, both.__file__)")[1])

    def test_sourceless_pyc(self):
        place = self.scratch()
        self.write_tree(place, {"only.py": "import alpha\nX = 5\n"})
        cache = os.path.join(place, "__pycache__")
        os.rename(os.path.join(cache, os.listdir(cache)[0]), os.path.join(place, "only.pyc"))
        os.unlink(os.path.join(place, "only.py"))
        self.same("import sys\nsys.path.insert(0, sys.argv[1])\nimport only\n"
                  "print(only.X, only.__file__, only.__cached__, type(only.__loader__),\n"
                  "      only.__loader__.get_source('only'))", place, served=3)

    def test_zipimport(self):
        place = os.path.join(self.scratch(), "z.zip")
        with zipfile.ZipFile(place, "w") as archive:
            archive.writestr("zipped/__init__.py", "import alpha\nX = __file__\n")
            archive.writestr("zipped/more.py", "def f():\n    1 / 0\n")
        self.same("import sys\nsys.path.insert(0, sys.argv[1])\nimport zipped.more\n"
                  "print(zipped.X, type(zipped.__loader__), zipped.__spec__)\nzipped.more.f()",
                  place, served=3)

    def test_editable_installs(self):
        # As setuptools does it: a finder of its own that maps names to files, and a .pth-like path.
        self.same("import sys\nfrom importlib.machinery import ModuleSpec, PathFinder\n"
                  "from importlib.util import spec_from_file_location\n"
                  "MAPPING = {'pack': '%(t)s/pack', 'renamed': '%(t)s/alpha'}\n"
                  "class EditableFinder:\n"
                  "    @classmethod\n"
                  "    def find_spec(cls, fullname, path=None, target=None):\n"
                  "        import os\n"
                  "        if fullname in MAPPING:\n"
                  "            place = MAPPING[fullname]\n"
                  "            for file in (place + '/__init__.py', place + '.py'):\n"
                  "                if os.path.exists(file):\n"
                  "                    return spec_from_file_location(fullname, file)\n"
                  "sys.meta_path.append(EditableFinder)\nimport renamed, pack.sub\n"
                  "print(renamed.__spec__, renamed.answer(), pack.sub.__file__, pack.__path__)\n"
                  "print(renamed.answer.__code__.co_filename, renamed.Thing)" % {"t": self.tree},
                  served=4)

    def test_symlinks_and_relative_path_entries(self):
        place = self.scratch()
        os.symlink(self.tree, os.path.join(place, "link"))
        program = ("import sys\nsys.path.insert(0, sys.argv[1])\nimport which, alpha\n"
                   "print(which.__file__, which.__cached__, which.__spec__,\n"
                   "      alpha.answer.__code__.co_filename)")
        for path in ("first", "./first", "first/", "../tree/first", place + "/link/first",
                     self.tree + "//first", self.tree + "/second/../first"):
            self.same(program, path)

    def test_names_that_are_not_ascii(self):
        self.same("import héllo\nprint(héllo.größe, héllo.__spec__)")
        self.same("import importlib\nfor name in ('', '.', 'a/b', 'x' * 300, 'no.such'):\n"
                  "    try: print(importlib.import_module(name))\n"
                  "    except Exception as error: print(type(error), error)\n"
                  "import alpha")

    def test_finders_and_hooks_of_the_program(self):
        self.same("import sys, importlib.machinery as m\ncalls = []\n"
                  "class Finder:\n"
                  "    def find_spec(self, name, path=None, target=None):\n"
                  "        calls.append(('meta', name, path))\n"
                  "    def find_distributions(self, context):\n        return iter(())\n"
                  "def hook(path):\n    calls.append(('hook', path))\n    raise ImportError\n"
                  "sys.meta_path.insert(0, Finder())\nsys.path_hooks.insert(0, hook)\n"
                  "sys.path.insert(0, 'first')\nimport alpha, which, pack.sub, json\n"
                  "print(*calls, sep='\\n')", served=6)


class Caches(TreeCase):
    """Compiled files: which one counts, and who writes it."""

    def test_hash_based_pycs(self):
        place = self.scratch()
        self.write_tree(place, {"checked.py": "X = 1\n", "unchecked.py": "X = 1\n"})
        for mode in ("checked", "unchecked"):
            self.run_python("-c", "import py_compile as p, sys\n"
                            "p.compile(sys.argv[1], invalidation_mode="
                            "p.PycInvalidationMode[sys.argv[2].upper() + '_HASH'])",
                            os.path.join(place, mode + ".py"), mode)
        for changed in (False, True):
            if changed:
                for mode in ("checked", "unchecked"):
                    with open(os.path.join(place, mode + ".py"), "w") as file:
                        file.write("X = 2\n")
            for option in ("default", "always", "never"):
                self.same("import sys\nsys.path.insert(0, sys.argv[1])\nimport alpha\n"
                          "import checked, unchecked\nprint(checked.X, unchecked.X)", place,
                          options=["-B", "--check-hash-based-pycs", option])

    def test_O_and_OO(self):
        program = ("import asserts, sys\nprint(asserts.__doc__, asserts.answer.__doc__, "
                   "asserts.__cached__, __debug__, sys.flags.optimize)\n"
                   "try: print(asserts.answer())\nexcept AssertionError as e: print(e)\n")
        for options, served in (([], 1), (["-O"], 0), (["-OO"], 0)):
            with self.subTest(options=options):
                self.same(program, options=["-B"] + options, served=served)
        self.same(program, options=["-B"], served=0, PYTHONOPTIMIZE="1")

    def test_B_and_what_is_written(self):
        place = self.scratch()
        cache = os.path.join(place, "__pycache__")
        os.mkdir(cache)

        def prepare():
            shutil.rmtree(cache)
            os.mkdir(cache)
            with open(os.path.join(place, "fresh.py"), "w") as file:
                file.write("import alpha\nX = 1\n")
            os.utime(os.path.join(place, "fresh.py"), (10 ** 9, 10 ** 9))
        program = "import sys\nsys.path.insert(0, sys.argv[1])\nimport fresh\nprint(fresh.__cached__)"
        for options, variables in (([], {}), (["-B"], {}), ([], {"PYTHONDONTWRITEBYTECODE": "1"})):
            left = self.same(program, place, options=options, prepare=prepare, files=[cache],
                             **variables)[3]
            self.assertEqual(len(left[0]), 0 if options or variables else 1)

    def test_PYTHONPYCACHEPREFIX_changed_at_run_time(self):
        place = self.scratch()
        self.same("import sys, alpha\nprint(alpha.__cached__)\nsys.pycache_prefix = sys.argv[1]\n"
                  "import asserts\nprint(asserts.__cached__, asserts.__spec__.cached)\n"
                  "sys.pycache_prefix = None\nimport both\nprint(both.__cached__)", place, served=4)
        self.same("import alpha, sys\nprint(alpha.__cached__, sys.pycache_prefix)", served=0,
                  PYTHONPYCACHEPREFIX=place)

    def test_unwritable_and_odd_caches(self):
        place = self.scratch()
        self.write_tree(place, {"m.py": "X = 1\n", "n.py": "X = 2\n", "o.py": "X = 3\n"})
        cache = os.path.join(place, "__pycache__")
        for name in os.listdir(cache):
            path = os.path.join(cache, name)
            if name.startswith("m."):
                os.unlink(path)
                os.mkdir(path)
            elif name.startswith("n."):
                os.truncate(path, 20)
            else:
                os.unlink(path)
                os.symlink("/nonexistent", path)
        self.same("import sys\nsys.path.insert(0, sys.argv[1])\nimport alpha\n"
                  "for name in 'mno':\n"
                  "    try: print(__import__(name).X)\n"
                  "    except Exception as error: print(type(error), error)",
                  place, options=["-B"])


class Options(TreeCase):
    """Of the command line."""

    SHOW = ("import sys, alpha\nprint(sys.flags, sys._xoptions, sys.warnoptions, sys.argv)\n"
            "print(sorted(set(sys.modules) - {'_pycds'}), alpha.__file__)")

    def test_X_options(self):
        for option in ("dev", "utf8", "frozen_modules=off", "frozen_modules=on", "no_debug_ranges",
                       "faulthandler", "int_max_str_digits=1000", "warn_default_encoding",
                       "unknown=3", "safe_path", "perf", "gil=1", "cpu_count=2"):
            with self.subTest(option=option):
                # Line tables without columns, warnings of its own, ...: served or not, it is as stock.
                self.same("import sys, alpha\nprint(sys._xoptions, alpha.answer())\n"
                          "print(list(alpha.answer.__code__.co_positions())[:5])",
                          options=["-X", option], served=-1)

    def test_X_importtime(self):
        self.same(BEGIN + "import alpha, pack.sub, json.tool", options=["-X", "importtime"])

    def test_X_tracemalloc(self):
        self.same("import tracemalloc, alpha\nprint(tracemalloc.is_tracing(), "
                  "tracemalloc.get_traced_memory()[0] > 10000)", options=["-X", "tracemalloc=3"],
                  served=0, reason="watched")

    def test_v(self):
        # How it ends names the client, too.
        for options in (["-v"], ["-vv"]):
            self.same(BEGIN + "import alpha, pack.sub, json.tool\nsys.stderr.flush()\n"
                      "import os\nos._exit(0)", options=["-B"] + options, served=0)

    def test_I_E_S_s_P(self):
        # -I and -E: the client that the environment names is out; the hook is tested by
        # tests/integration/test_switching_on.py.
        for options in (["-I"], ["-E"], ["-S"], ["-s"], ["-E", "-s"]):
            with self.subTest(options=options):
                self.same("import sys\nsys.path.append('%s')\n" % self.tree + self.SHOW +
                          "\nprint([p for p in sys.path if 'client' not in p])",
                          options=options, served=1 if options == ["-s"] else 0)
        self.same("import sys\nprint(sys.path[0][-4:])\nsys.path.append('%s')\n" % self.tree +
                  "import alpha", options=["-s"], PYTHONSAFEPATH="1")

    def test_W(self):
        for options in (["-W", "error"], ["-W", "ignore"], ["-W", "always"],
                        ["-W", "error::DeprecationWarning"]):
            self.same("import warns\nwarns.old()\nprint('done')", options=options)

    def test_b_d_i_q_u_x(self):
        for options in (["-bb"], ["-q"], ["-u"], ["-i"], ["-d"]):
            self.same("import alpha\nprint(alpha.answer())", options=options)


class Running(TreeCase):
    """runpy, reload, and modules that come twice."""

    def test_runpy_and_m(self):
        for arguments in (["pack"], ["pack.sub"], ["alpha"], ["pack.nothing"], ["raises"], ["warns"],
                          ["json.tool", "--help"], ["space"], ["this.is.nothing"]):
            with self.subTest(arguments=arguments):
                self.same(None, "-m", *arguments, served=-1)
        self.same("import runpy, sys, pack.sub, alpha\n"
                  "print(sorted(runpy.run_module('pack.sub', run_name='__main__')))\n"
                  "print(runpy.run_module('alpha')['answer'](), runpy.run_module('alpha', alter_sys=True)['KINDS'])\n"
                  "print(sorted(runpy.run_path('%s/beta.py')))" % self.tree)

    def test_m_of_what_is_imported_already(self):
        self.same(None, "-W", "always", "-m", "pack.sub")

    def test_scripts_directories_and_archives(self):
        self.same(None, os.path.join(self.tree, "alpha.py"))
        self.same(None, os.path.join(self.tree, "pack"), served=-1)
        self.same(None, os.path.join(self.tree, "raises.py"))
        self.same(None, "-", input=b"import alpha\nprint(alpha.answer(), __file__ if '__file__' in dir() else 0)\n")

    def test_reload(self):
        self.same("import importlib, alpha, pack\nold = alpha.answer.__code__\n"
                  "alpha.extra = 1\nagain = importlib.reload(alpha)\n"
                  "print(again is alpha, alpha.extra, alpha.answer.__code__ is old,\n"
                  "      alpha.answer.__code__ == old)\n"
                  "importlib.reload(pack)\nimportlib.reload(pack.sub)\nprint(pack.name)")

    def test_del_sys_modules_and_import_again(self):
        self.same("import sys, alpha\nfirst = alpha\ncode = alpha.answer.__code__\n"
                  "for _ in range(3):\n"
                  "    del sys.modules['alpha']\n    import alpha\n"
                  "    print(alpha is first, alpha.answer.__code__ is code,\n"
                  "          alpha.answer.__code__ == code, alpha.Thing is first.Thing)\n"
                  "    code = alpha.answer.__code__")

    def test_import_that_fails_and_is_tried_again(self):
        self.same("import sys, gamma\nfor _ in range(3):\n"
                  "    try: import raises\n"
                  "    except ZeroDivisionError as error:\n"
                  "        print(error, 'raises' in sys.modules)\n"
                  "gamma.deep = lambda n: None\nimport raises\nprint(raises.VALUE)", served=2)

    def test_circular_imports(self):
        self.same("import cycle_a\nprint(cycle_a.A, cycle_a.cycle_b.B)", served=2)
        self.same("import cycle_b\nprint(cycle_b.B, cycle_b.cycle_a.A)", served=2)

    def test_imports_of_all_shapes(self):
        self.same("import pack.sub as p, alpha as a\nfrom pack import sub, name as n\n"
                  "from alpha import *\nfrom pack.lazy import anything\n"
                  "print(p.name, a.answer(), n, anything, sorted(n for n in dir() if n[0] != '_'))\n"
                  "try: from alpha import nothing\n"
                  "except ImportError as error: print(error, error.name, error.path)\n"
                  "try: import pack.nothing\n"
                  "except ImportError as error: print(type(error), error, error.name, error.path)\n"
                  "print(__import__('pack.sub').__name__, __import__('pack.sub', fromlist=['x']).__name__)",
                  served=5)

    def test_lazy_loader(self):
        self.same("import importlib.util as u, sys\nspec = u.find_spec('alpha')\n"
                  "spec.loader = u.LazyLoader(spec.loader)\nmodule = u.module_from_spec(spec)\n"
                  "sys.modules['alpha'] = module\nspec.loader.exec_module(module)\n"
                  "print(type(module), 'beta' in sys.modules)\nprint(module.answer(), type(module))")

    def test_loaders_called_directly(self):
        self.same("import importlib.util as u\nfrom importlib.machinery import SourceFileLoader\n"
                  "for name in ('alpha', 'pack'):\n"
                  "    loader = u.find_spec(name).loader\n"
                  "    code = loader.get_code(name)\n"
                  "    print(code, loader.get_source(name)[:20], loader.is_package(name),\n"
                  "          loader.get_filename(name), loader.path_stats(loader.path)['size'],\n"
                  "          len(loader.get_data(loader.path)), loader == u.find_spec(name).loader,\n"
                  "          hash(loader) == hash(u.find_spec(name).loader), loader.get_code(name) is code)\n"
                  "    for wrong in (('other',), (), (None,), (3,), (name, name)):\n"
                  "        try: print(loader.get_code(*wrong))\n"
                  "        except Exception as error: print(type(error), error)\n"
                  "print(loader.get_code(fullname='pack') is None)\n"
                  "print(SourceFileLoader('x', '%(t)s/gamma.py').load_module().X)\n"
                  "print(SourceFileLoader('y', '%(t)s/gamma.py').get_code('y').co_filename)\n"
                  "for path in ('/nonexistent', None, 3, b'%(t)s/gamma.py', '%(t)s'):\n"
                  "    try: print(SourceFileLoader('y', path).get_code('y'))\n"
                  "    except Exception as error: print(type(error), error)" % {"t": self.tree},
                  served=3, options=["-W", "ignore", "-B"])


if __name__ == "__main__":
    harness.main()
