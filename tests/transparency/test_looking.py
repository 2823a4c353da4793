"""What looks at modules and code, or watches imports, sees what it sees in stock."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tree import TreeCase, harness  # noqa: E402


class Looking(TreeCase):
    """What tells about modules, code and sources."""

    def test_module_attributes_and_specs(self):
        self.same("import sys, alpha, pack.sub, json.decoder\n"
                  "for module in (alpha, pack, pack.sub, json.decoder):\n"
                  "    print(list(vars(module)), module.__spec__, module.__loader__, module.__package__,\n"
                  "          getattr(module, '__path__', None), module.__cached__, module.__doc__,\n"
                  "          module.__loader__ is module.__spec__.loader, repr(module),\n"
                  "          module.__spec__.submodule_search_locations, module.__spec__._initializing)\n"
                  "print([n for n in sys.modules if n != '_pycds'])\nprint(sys.meta_path, sys.path_hooks)",
                  served=5)

    def test_importlib_resources(self):
        self.same("import importlib.resources as r, pack\n"
                  "print(r.files(pack), sorted(p.name for p in r.files('pack').iterdir()))\n"
                  "print((r.files('pack') / 'data.txt').read_text(), r.files('pack').joinpath('sub.py').is_file())\n"
                  "with r.as_file(r.files('pack') / 'data.txt') as path: print(path)", served=5)

    def test_importlib_metadata(self):
        self.same("import importlib.metadata as m\nprint(sorted(d.metadata['Name'] or '' for d in m.distributions()))",
                  served=5)

    def test_pkgutil(self):
        self.same("import pkgutil, pack\nprint(list(pkgutil.iter_modules(pack.__path__)))\n"
                  "print([m.name for m in pkgutil.walk_packages(['%s'])])\n"
                  "print(pkgutil.get_data('pack', 'data.txt'), pkgutil.resolve_name('alpha:answer')())\n"
                  "print(pkgutil.get_importer('%s'), pkgutil.extend_path(pack.__path__, 'pack'))"
                  % (self.tree, self.tree), served=2)

    def test_inspect(self):
        self.same("import inspect, alpha, pack.sub\n"
                  "for thing in (alpha.answer, alpha.Thing, alpha.Thing.upper.fget, alpha.generator, alpha):\n"
                  "    print(inspect.getsource(thing)[:200], inspect.getsourcefile(thing), inspect.getmodule(thing),\n"
                  "          inspect.getfile(thing), inspect.getdoc(thing), inspect.getcomments(thing))\n"
                  "print(inspect.signature(alpha.answer), inspect.getfullargspec(alpha.answer))\n"
                  "print(inspect.getmembers(alpha.Thing, inspect.isfunction), inspect.classify_class_attrs(alpha.Thing))\n"
                  "g = alpha.generator(); next(g)\nprint(inspect.getgeneratorlocals(g), g.gi_code, g)\n"
                  "print(inspect.getclosurevars(alpha.answer), inspect.getinnerframes)", served=4)

    def test_linecache(self):
        self.same("import linecache, alpha\nprint(repr(linecache.getline(alpha.__file__, 7)))\n"
                  "print(linecache.lazycache(alpha.__file__, vars(alpha)), linecache.getlines(alpha.__file__)[:3])\n"
                  "linecache.checkcache()\nprint(len(linecache.cache))", served=3)

    def test_code_objects(self):
        self.same("import alpha, dis, types\n"
                  "def walk(code):\n"
                  "    yield code\n"
                  "    for constant in code.co_consts:\n"
                  "        if isinstance(constant, types.CodeType): yield from walk(constant)\n"
                  "code = alpha.__loader__.get_code('alpha')\n"
                  "for co in (alpha.answer.__code__, alpha.Thing.__init__.__code__, alpha.Thing.later.__code__,\n"
                  "           alpha.generator.__code__, alpha.Thing.fixed().__code__):\n"
                  "    print({n: getattr(co, n) for n in dir(co) if n.startswith('co_') and n != 'co_lnotab'\n"
                  "           and not callable(getattr(co, n))})\n"
                  "    print(list(co.co_lines()), list(co.co_positions()) if hasattr(co, 'co_positions') else '')\n"
                  "    dis.dis(co)\n"
                  "    print(co == co.replace(), hash(co) == hash(co.replace()), repr(co))\n"
                  "print(alpha.KINDS, [type(k) for k in alpha.KINDS])", served=4)

    def test_tracebacks(self):
        self.same("import raises", served=2)
        self.same("import traceback, gamma\ntry: import raises\n"
                  "except ZeroDivisionError as e:\n"
                  "    for frame in traceback.extract_tb(e.__traceback__): print(frame.filename, frame.lineno, frame.name, frame.line)\n"
                  "    tb = e.__traceback__\n"
                  "    while tb: print(tb.tb_frame.f_code.co_filename, tb.tb_lineno, tb.tb_lasti); tb = tb.tb_next")
        place = self.scratch()
        self.write_tree(place, {"calls_bad.py": "import alpha\nimport bad\n"})
        with open(os.path.join(place, "bad.py"), "w") as file:
            file.write("x = 1\ndef f(:\n")
        self.same("import sys\nsys.path.insert(0, sys.argv[1])\nimport calls_bad", place)
        self.same("import sys\nsys.path.insert(0, sys.argv[1])\ntry: import bad\n"
                  "except SyntaxError as error:\n"
                  "    tb = error.__traceback__\n"
                  "    while tb: print(tb.tb_frame.f_code.co_filename, tb.tb_frame.f_code.co_name); tb = tb.tb_next",
                  place, served=0)

    def test_the_stack_during_an_import(self):
        place = self.scratch()
        self.write_tree(place, {"looks.py": "import alpha, sys, traceback\nf = sys._getframe()\n"
                                            "while f: print(f.f_code.co_filename, f.f_code.co_name); f = f.f_back\n"
                                            "traceback.print_stack()\n"})
        self.same("import sys\nsys.path.insert(0, sys.argv[1])\nimport looks", place)

    def test_warnings(self):
        self.same("import warns\nwarns.old()", options=["-W", "always"])
        self.same("import warnings\nwarnings.filterwarnings('error', module='warns')\n"
                  "try: import warns\nexcept Warning as w: print(repr(w))\n"
                  "warnings.filterwarnings('default', module='__main__')\nimport warns\nwarns.old()")

    def test_identity_of_strings(self):
        self.same("import sys\nK = 'fail'\nV = 'default'\nimport alpha, gamma\n"
                  "print(gamma.fail.__name__ is K, alpha.answer.__defaults__[0] is V,\n"
                  "      sys.intern('fa' + 'il'[:2]) is K, alpha.answer.__code__.co_varnames[0] is sys.intern('value'),\n"
                  "      list(vars(gamma))[-2] is K)")

    def test_pickling_and_copying(self):
        self.same("import pickle, copy, alpha, marshal\nthing = alpha.Thing()\n"
                  "print(pickle.dumps(thing), pickle.dumps(alpha.answer), pickle.loads(pickle.dumps(alpha.Thing)) is alpha.Thing)\n"
                  "print(copy.deepcopy(alpha.KINDS) == alpha.KINDS, copy.copy(alpha.answer) is alpha.answer)\n"
                  "try: pickle.dumps(alpha.answer.__code__)\nexcept TypeError as error: print(error)\n"
                  "back = marshal.loads(marshal.dumps(alpha.answer.__code__))\n"
                  "print(back == alpha.answer.__code__, back.co_positions and list(back.co_lines()))", served=4)

    def test_marshalling_of_code(self):
        # Not the bytes, which tell of reference counts, but what they say.
        self.same("import marshal, alpha, gamma, types\nfor module in (alpha, gamma):\n"
                  "    for f in vars(module).values():\n"
                  "        if isinstance(f, types.FunctionType):\n"
                  "            for version in range(3, 5):\n"
                  "                print(f.__name__, marshal.loads(marshal.dumps(f.__code__, version)) == f.__code__)",
                  served=3)

    def test_help_and_doctest(self):
        self.same("import pydoc, alpha\nprint(pydoc.plain(pydoc.render_doc(alpha)))", served=4)
        self.same("import doctest, alpha\nprint(doctest.testmod(alpha))", served=4)


class Watching(TreeCase):
    """Who watches sees what there is to see in stock."""

    def test_audit_hooks(self):
        self.same("import sys\nevents = []\n"
                  "sys.addaudithook(lambda e, a: events.append((e, str(a)[:120])))\n"
                  "import alpha, pack.sub\nfor e in list(events): print(e)", served=0, reason="watched")
        # One that refuses.
        self.same("import sys\ndef hook(event, arguments):\n"
                  "    if event == 'open' and 'gamma' in str(arguments[0]): raise RuntimeError(event)\n"
                  "sys.addaudithook(hook)\nimport alpha", served=0, reason="watched")

    def test_audit_hooks_in_the_middle(self):
        self.same("import sys, alpha\nevents = []\n"
                  "sys.addaudithook(lambda e, a: events.append((e, str(a)[:120])))\n"
                  "import pack.sub\nfor e in list(events): print(e)")

    def test_open_code_hooks(self):
        self.need("ctypes")
        self.same("import ctypes, io\nseen = []\n"
                  "@ctypes.CFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.c_void_p)\n"
                  "def hook(path, data):\n"
                  "    seen.append(path)\n    return io.open(path, 'rb')\n"
                  "print(ctypes.pythonapi.PyFile_SetOpenCodeHook(hook, None))\n"
                  "import alpha, pack.sub\nprint(*seen, sep='\\n')\nimport os, sys\nsys.stdout.flush(); os._exit(0)",
                  served=-1)

    def test_settrace(self):
        for kind in ("settrace", "setprofile"):
            # A profiler is told of importlib's functions that are built-in ones with the client.
            self.same("import sys\nevents = []\n"
                      "def watch(frame, event, arg):\n"
                      "    if '%s' == 'setprofile' and 'importlib' in frame.f_code.co_filename: return\n"
                      "    events.append((frame.f_code.co_filename, frame.f_code.co_name, frame.f_lineno, event))\n"
                      "    return watch\n"
                      "import gamma\nsys.%s(watch)\nimport alpha, pack.sub\nalpha.answer()\n"
                      "try: gamma.deep(2)\nexcept ZeroDivisionError: pass\nsys.%s(None)\n"
                      "for e in events: print(*e)" % (kind, kind, kind))

    def test_settrace_of_a_function_that_is_served(self):
        self.same("import sys, alpha, gamma\nevents = []\n"
                  "def watch(frame, event, arg):\n"
                  "    frame.f_trace_opcodes = True\n"
                  "    events.append((frame.f_code.co_name, frame.f_lineno, frame.f_lasti, event))\n"
                  "    return watch\n"
                  "for _ in range(100): alpha.answer(), list(alpha.generator())\n"
                  "sys.settrace(watch)\nalpha.answer(); list(alpha.generator()); alpha.Thing().upper\n"
                  "sys.settrace(None)\nprint(events)", served=3)

    def test_monitoring(self):
        if not self.run_python("-c", "import sys; sys.monitoring").returncode == 0:
            self.skipTest("no sys.monitoring before 3.12")
        self.same("import sys\nm = sys.monitoring\nevents = []\nm.use_tool_id(3, 'test')\n"
                  "m.register_callback(3, m.events.PY_START, lambda c, o: events.append((c.co_qualname, o)))\n"
                  "m.register_callback(3, m.events.LINE, lambda c, l: events.append((c.co_qualname, l)))\n"
                  "m.set_events(3, m.events.PY_START)\nimport alpha, pack.sub\n"
                  "m.set_local_events(3, alpha.answer.__code__, m.events.LINE)\nalpha.answer()\n"
                  "m.set_events(3, 0)\nm.free_tool_id(3)\nfor e in events: print(*e)", served=0,
                  reason="watched")
        self.same("import sys, alpha\nm = sys.monitoring\nevents = []\nfor _ in range(50): alpha.answer()\n"
                  "m.use_tool_id(2, 'test')\n"
                  "m.register_callback(2, m.events.INSTRUCTION, lambda c, o: events.append((c.co_qualname, o)))\n"
                  "m.set_local_events(2, alpha.answer.__code__, m.events.INSTRUCTION)\nalpha.answer()\n"
                  "m.set_local_events(2, alpha.answer.__code__, 0)\nm.free_tool_id(2)\nalpha.answer()\n"
                  "for e in events: print(*e)", served=3)

    def test_code_watchers(self):
        if not self.run_python("-c", "import ctypes; ctypes.pythonapi.PyCode_AddWatcher").returncode == 0:
            self.skipTest("no code watchers before 3.12, or no ctypes")
        self.same("import ctypes\ncounts = [0, 0]\n"
                  "@ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)\n"
                  "def watch(event, code):\n    counts[event] += 1\n    return 0\n"
                  "ctypes.pythonapi.PyCode_AddWatcher(watch)\nbefore = counts[0]\n"
                  "import alpha, pack.sub\nprint(counts[0] - before)\n"
                  "ctypes.pythonapi.PyCode_ClearWatcher(0)", served=-1)

    def test_tracemalloc(self):
        self.same("import tracemalloc\ntracemalloc.start()\nimport alpha\n"
                  "names = {t.traceback[0].filename for t in tracemalloc.take_snapshot().traces}\n"
                  "print(any('alpha' in n for n in names), any('gamma' in n for n in names))\n"
                  "print(tracemalloc.get_object_traceback(alpha.answer) is not None,\n"
                  "      tracemalloc.get_object_traceback(alpha.answer.__code__) is not None)",
                  served=-1)

    def test_pdb(self):
        self.same(None, "-m", "pdb", os.path.join(self.tree, "alpha.py"), served=-1,
                  input=b"import gamma\nb gamma.fail\nb alpha.answer\nw\nn\nn\ns\nw\nc\nq\n")
        self.same("import alpha, gamma, pdb\npdb.run('gamma.deep(2)')", served=-1,
                  input=b"b gamma.fail\nc\nw\np x\nu\nl\nc\n")

    def test_trace_and_profile_modules(self):
        self.same("import trace, alpha\nt = trace.Trace(count=1, trace=0, countfuncs=0)\n"
                  "t.runfunc(alpha.answer)\nt.runfunc(lambda: __import__('pack.sub'))\n"
                  "print(sorted(k for k in t.results().counts if 'tree' in k[0]))", served=-1)
        self.same("import cProfile, pstats, io, alpha\np = cProfile.Profile()\np.enable()\nimport pack.sub\n"
                  "alpha.answer()\np.disable()\n"
                  "print(sorted((k[0][-12:], k[1], k[2], v[0]) for k, v in pstats.Stats(p).stats.items()\n"
                  "             if 'tree' in k[0]))",
                  served=-1)

    def test_coverage(self):
        self.need("coverage")
        place = self.scratch()
        for extra in ({}, {"COVERAGE_CORE": "sysmon"}):
            self.same("import coverage, sys\nc = coverage.Coverage(data_file=None, branch=True, source=['%s'])\n"
                      "c.start()\nimport alpha, pack.sub, gamma\nalpha.answer(3)\n"
                      "try: gamma.deep(1)\nexcept ZeroDivisionError: pass\nc.stop()\nc.report(file=sys.stdout)\n"
                      "print(sorted((f[-8:], sorted(c.get_data().arcs(f))) for f in c.get_data().measured_files()))"
                      % self.tree, place, served=-1, **extra)

    def test_pytest_and_its_rewriting(self):
        self.need("pytest")
        self.same(None, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--color=no",
                  "--no-header", "-rN", "--tb=short", "tests_it/test_alpha.py::test_bad", options=["-B"],
                  served=-1, PYTEST_ADDOPTS="--show-capture=no")

    def test_unittest_and_mock(self):
        self.same(
            "import unittest.mock as mock, alpha, sys\n"
            "with mock.patch('alpha.answer', autospec=True) as m:\n"
            "    m.return_value = 3\n    print(alpha.answer('x', key=1))\n"
            "    m.assert_called_once_with('x', key=1)\n"
            "    try: alpha.answer(1, 2, 3)\n    except TypeError as error: print(error)\n"
            "with mock.patch.dict(sys.modules, {'beta': None}):\n"
            "    try: import beta\n    except ImportError as error: print(error)\n"
            "with mock.patch('builtins.open', mock.mock_open(read_data='x')):\n"
            "    import pack.sub\nprint(pack.sub.name)", served=4)


if __name__ == "__main__":
    harness.main()
