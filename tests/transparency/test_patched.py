"""Programs that change importlib itself, or what it stands on, while the client is at work.

Each change is made after the client has served a module, and lets itself be seen. It has to be seen as
often as in stock, and the client has to leave what it then cannot know to the stock path.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tree import TreeCase, harness  # noqa: E402

START = """
import sys, gamma
import importlib, importlib.machinery, importlib.util, importlib._bootstrap as B
import importlib._bootstrap_external as E
L = importlib.machinery.SourceFileLoader
F = importlib.machinery.FileFinder
seen = []
def note(name, original):
    def patched(*a, **k):
        seen.append((name, [str(x)[-40:] for x in a if isinstance(x, (str, int))]))
        return original(*a, **k)
    return patched
"""
END = """
import alpha, pack.sub
print(alpha.answer(), pack.name, len(seen))
for entry in seen: print(*entry)
"""

# What a change is, by the name of what it changes.
METHODS = {
    "L": ["get_code", "get_data", "get_filename", "path_stats", "source_to_code", "set_data",
          "_cache_bytecode", "exec_module", "create_module", "get_source", "is_package", "__init__"],
    "E.SourceLoader": ["get_code", "exec_module", "path_mtime", "source_to_code"],
    "E.FileLoader": ["get_filename", "get_data", "__init__"],
    "F": ["find_spec", "_get_spec", "_fill_cache", "path_hook", "invalidate_caches"],
    "B._ModuleLockManager": ["__enter__", "__exit__"],
    "B.BuiltinImporter": ["find_spec"],
    "E.PathFinder": ["find_spec", "_get_spec", "_path_importer_cache"],
}
FUNCTIONS = {
    "E": ["cache_from_source", "_classify_pyc", "_validate_timestamp_pyc", "_validate_hash_pyc",
          "_compile_bytecode", "_code_to_timestamp_pyc", "_path_stat", "_path_join", "_path_split",
          "_path_isfile", "_path_isdir", "_path_is_mode_type", "_path_isabs", "_path_abspath",
          "_relax_case", "_calc_mode", "_check_name", "decode_source", "spec_from_file_location",
          "_unpack_uint32", "_pack_uint32", "_get_supported_file_loaders", "_write_atomic",
          "_fix_up_module"],
    "B": ["_verbose_message", "_call_with_frames_removed", "_find_and_load", "_find_spec",
          "_load_unlocked", "module_from_spec", "_init_module_attrs", "_requires_builtin",
          "_find_and_load_unlocked", "spec_from_loader"],
}
# Modules that importlib calls, and what it calls of them.
BUILTINS = {"posix": ["stat", "getcwd", "listdir", "replace", "open"],
            "marshal": ["loads", "dumps"], "_io": ["open_code", "FileIO"],
            "_imp": ["_fix_co_filename", "source_hash", "acquire_lock"]}


class Patched(TreeCase):
    def patched(self, change, reason=None, **options):
        return self.same(START + change + END, options=["-B"], served=-1, reason=reason, **options)

    def test_methods(self):
        for owner, names in METHODS.items():
            for name in names:
                with self.subTest(owner=owner, name=name):
                    self.patched("if hasattr(%(o)s, '%(n)s'):\n"
                                 "    old = %(o)s.__dict__.get('%(n)s', getattr(%(o)s, '%(n)s'))\n"
                                 "    if isinstance(old, (classmethod, staticmethod)):\n"
                                 "        new = type(old)(note('%(n)s', old.__func__))\n"
                                 "    else:\n        new = note('%(n)s', old)\n"
                                 "    %(o)s.%(n)s = new\n" % {"o": owner, "n": name})

    def test_functions(self):
        for module, names in FUNCTIONS.items():
            for name in names:
                with self.subTest(module=module, name=name):
                    self.patched("if hasattr(%(m)s, '%(n)s'):\n"
                                 "    %(m)s.%(n)s = note('%(n)s', %(m)s.%(n)s)\n"
                                 % {"m": module, "n": name})

    def test_functions_made_others(self):
        # Not replaced: changed in place.
        for name in ("cache_from_source", "_path_stat", "_classify_pyc", "_compile_bytecode",
                     "spec_from_file_location", "_path_isfile"):
            with self.subTest(name=name):
                self.patched("import types\nf = E.%(n)s\n"
                             "copy = types.FunctionType(f.__code__, f.__globals__, f.__name__,\n"
                             "                          f.__defaults__, f.__closure__)\n"
                             "copy.__kwdefaults__ = f.__kwdefaults__\n"
                             "E._noted = note('%(n)s', copy)\n"
                             "def other(*a, **k):\n    return _noted(*a, **k)\n"
                             "f.__code__ = other.__code__\n" % {"n": name})

    def test_built_in_functions(self):
        for module, names in BUILTINS.items():
            for name in names:
                with self.subTest(module=module, name=name):
                    self.patched("import %(m)s\n%(m)s.%(n)s = note('%(n)s', %(m)s.%(n)s)\n"
                                 % {"m": module, "n": name})

    def test_modules_that_importlib_holds(self):
        for name in ("_os", "_io", "marshal", "_imp", "_bootstrap", "_thread", "_warnings"):
            for where in ("E", "B"):
                with self.subTest(name=name, where=where):
                    self.patched("old = getattr(%(w)s, '%(n)s', None)\n"
                                 "class Shim:\n"
                                 "    def __getattr__(self, n):\n"
                                 "        value = getattr(old, n)\n"
                                 "        seen.append(('%(n)s', [n]))\n        return value\n"
                                 "if old is not None: %(w)s.%(n)s = Shim()\n"
                                 % {"w": where, "n": name})

    def test_constants_that_importlib_holds(self):
        for name, value in (("MAGIC_NUMBER", "b'xxxx'"), ("_RAW_MAGIC_NUMBER", "7"),
                            ("_PYCACHE", "'__other__'"), ("_OPT", "'optional-'"),
                            ("BYTECODE_SUFFIXES", "['.other']"), ("SOURCE_SUFFIXES", "['.other']"),
                            ("path_separators", "'/|'"), ("path_sep", "'/'")):
            with self.subTest(name=name):
                self.patched("E.%s = %s\n" % (name, value))

    def test_builtins_of_the_program(self):
        for name in ("__import__", "compile", "open", "exec", "isinstance", "memoryview", "int",
                     "getattr", "setattr"):
            with self.subTest(name=name):
                self.patched("import builtins\nbuiltins.%(n)s = note('%(n)s', builtins.%(n)s)\n"
                             % {"n": name} if name not in ("isinstance", "memoryview", "int") else
                             "import builtins\nclass Mine(builtins.%s if '%s' != 'isinstance' and "
                             "'%s' != 'memoryview' else object): pass\n" % (name, name, name))
        self.patched("importlib.import_module = note('import_module', importlib.import_module)\n"
                     "importlib.import_module('both')\n")

    def test_SourceFileLoader_replaced(self):
        subclass = ("class Mine(L):\n    def get_data(self, path):\n"
                    "        seen.append(('get_data', [path[-20:]]))\n"
                    "        return super().get_data(path)\n")
        for change in (
                "E.SourceFileLoader = importlib.machinery.SourceFileLoader = Mine\n",
                "sys.path_hooks[:] = [F.path_hook((Mine, ['.py']))]\nsys.path_importer_cache.clear()\n",
                "sys.path_hooks.insert(0, F.path_hook((Mine, ['.py'])))\nsys.path_importer_cache.clear()\n",
                "for f in sys.path_importer_cache.values():\n"
                "    if f: f._loaders = [(s, Mine if l is L else l) for s, l in f._loaders]\n"):
            with self.subTest(change=change):
                self.patched(subclass + change)

    def test_bases_replaced(self):
        self.patched("class Base:\n    def get_code(self, name):\n"
                     "        seen.append(('get_code', [name]))\n        return super().get_code(name)\n"
                     "try:\n    L.__bases__ = (Base,) + L.__bases__\n"
                     "except TypeError as error: print(error)\n")

    def test_a_function_in_the_middle_of_an_import(self):
        place = self.scratch()
        self.write_tree(place, {"patches.py": "import gamma\nimport importlib._bootstrap_external as E\n"
                                              "old = E._path_stat\nSEEN = []\n"
                                              "def new(path):\n    SEEN.append(path[-9:])\n    return old(path)\n"
                                              "E._path_stat = new\nimport alpha, pack.sub\n"})
        self.same("import sys\nsys.path.append(sys.argv[1])\nimport patches\nprint(patches.SEEN)", place,
                  options=["-B"], reason="importlib-changed")

    def test_hooks_set_after_the_client_started(self):
        self.patched("sys.addaudithook(lambda e, a: seen.append((e, [str(x)[-30:] for x in a if type(x) is str])))\n",
                     "watched")
        for change in ("sys.settrace(lambda f, e, a: seen.append((e, [f.f_code.co_name])))\n",
                       "sys.setprofile(lambda f, e, a: seen.append((e, [f.f_code.co_name])) "
                       "if 'importlib' not in f.f_code.co_filename else None)\n",
                       "import threading\nthreading.settrace(lambda f, e, a: seen.append((e, [f.f_code.co_name])))\n"
                       "t = threading.Thread(target=__import__, args=('both',))\nt.start()\nt.join()\nthreading.settrace(None)\n"):
            with self.subTest(change=change):
                self.same(START + change + "import alpha, pack.sub\nsys.settrace(None)\nsys.setprofile(None)\n"
                          "print(len(seen))\nfor e in seen: print(*e)", served=-1, reason="watched")

    def test_restored_it_is_used_again(self):
        self.same("import gamma\nimport importlib._bootstrap_external as E\nold = E._path_stat\n"
                  "E._path_stat = lambda p: old(p)\nimport both\nE._path_stat = old\nimport alpha, asserts\n",
                  served=4, reason="importlib-changed")

    def test_sys_attributes(self):
        for change in ("sys.implementation = type('I', (), {'cache_tag': 'other'})()\n",
                       "sys.implementation.cache_tag = 'other'\n", "sys.implementation.cache_tag = None\n",
                       "del sys.implementation\n", "sys.flags = None\n",
                       "sys.pycache_prefix = '/nonexistent'\n", "del sys.pycache_prefix\n",
                       "sys.dont_write_bytecode = True\n", "del sys.dont_write_bytecode\n",
                       "sys.path_importer_cache = {}\n", "sys.path_hooks = []\nsys.path_importer_cache.clear()\n",
                       "sys.meta_path = []\n", "sys.modules = dict(sys.modules)\n",
                       "sys.path = tuple(sys.path)\n", "sys.path = None\n", "del sys.path\n",
                       "sys.meta_path = None\n"):
            with self.subTest(change=change):
                self.same(START + "try:\n    " + change.replace("\n", "\n    ") + "pass\n"
                          "except Exception as e: print(e)\n"
                          "try:\n    import alpha, pack.sub\n    print(alpha.answer(), alpha.__cached__)\n"
                          "except BaseException as error: print(type(error), error)",
                          options=["-W", "ignore", "-B"], served=-1)


if __name__ == "__main__":
    harness.main()
