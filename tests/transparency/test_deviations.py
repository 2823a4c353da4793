"""What docs/transparency.md says can be told: that it is so, and not more. Where a line here changes, it does."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tree import TreeCase, harness  # noqa: E402


class Deviations(TreeCase):
    def both(self, program, *options):
        """What it prints in stock and with the client, as two lists of lines."""
        seen = []
        for environment in (harness.clean_environment(), self.on(PYCDS_STATS=self.stats_file)):
            for _ in range(10):
                answer = self.run_python(*options, "-c", program, environment=environment,
                                         cwd=self.tree)
                # As in same(): on a busy machine it may not get an image in time.
                if not self.served_last()[2] & {"deadline", "daemon-busy"}:
                    break
            self.assertEqual(answer.returncode, 0, answer.stderr.decode())
            seen.append(answer.stdout.decode().splitlines())
        return seen

    def test_the_client_is_a_module(self):
        stock, client = self.both("import sys, alpha\nprint('_pycds' in sys.modules)\nprint(len(sys.modules))")
        self.assertEqual((stock[0], client[0]), ("False", "True"))

    def test_replaced_functions_are_built_in(self):
        stock, client = self.both(
            "import inspect, importlib._bootstrap as B, importlib._bootstrap_external as E, alpha\n"
            "for c, n in ((E.SourceLoader, 'get_code'), (E.FileFinder, 'find_spec'),\n"
            "             (B._ModuleLockManager, '__enter__'), (B._ModuleLockManager, '__exit__')):\n"
            "    f = vars(c)[n]\n"
            "    print(inspect.isfunction(f), n, f.__name__, f.__qualname__, inspect.signature(f), inspect.getdoc(f))\n"
            "try: print(bool(inspect.getsource(E.SourceFileLoader.get_code)))\n"
            "except (TypeError, OSError) as error: print(type(error).__name__)")
        self.assertEqual(len(stock), len(client))
        self.assertEqual(client[-1], "TypeError")
        self.assertEqual("\n".join(stock[:-1]).replace("True ", "False "),
                         "\n".join(client[:-1]).replace("(self, /", "(self"))

    def test_a_profiler_is_told_of_them(self):
        stock, client = self.both(
            "import sys, gamma\ncalls = set()\n"
            "def profile(frame, event, argument):\n"
            "    if event == 'c_call': calls.add(argument.__name__)\n"
            "sys.setprofile(profile)\nimport alpha\nsys.setprofile(None)\n"
            "print(sorted(calls & {'get_code', 'find_spec', '__enter__', '__exit__'}))")
        self.assertNotIn("get_code", stock[0])
        self.assertIn("get_code", client[0])

    def test_code_of_an_image_lives_as_long_as_the_process(self):
        stock, client = self.both(
            "import sys, weakref, gc, alpha\nr = weakref.ref(alpha.answer.__code__)\n"
            "f = weakref.ref(alpha.answer)\ndel alpha.answer\ngc.collect()\n"
            "print(r() is None)\nprint(f() is None)")
        self.assertEqual((stock, client), (["True", "True"], ["False", "True"]))

    def test_reference_counts_and_the_collector(self):
        stock, client = self.both(
            "import sys, gc, alpha\nprint(sys.getrefcount(alpha.answer.__code__) < 1000)\n"
            "print(sys.getrefcount(alpha.answer) < 1000)\n"
            "print(any(o is alpha.answer.__code__.co_consts for o in gc.get_objects()))")
        self.assertEqual(stock[:2], ["True", "True"])
        self.assertEqual(client[:2], ["False", "True"])
        self.assertEqual(client[2], "False")

    def test_marshalled_bytes(self):
        stock, client = self.both(
            "import marshal, alpha\ncode = alpha.answer.__code__\ndata = marshal.dumps(code)\n"
            "print(marshal.loads(data) == code)\nprint(data.hex())")
        self.assertEqual((stock[0], client[0]), ("True", "True"))

    def test_a_process_without_descriptors_imports_what_is_served(self):
        stock, client = self.both(
            "import os, resource, gamma\nresource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0), 4096))\n"
            "try:\n    import alpha\n    print('imported')\n"
            "except OSError as error: print(error.strerror)\nexcept ImportError as error: print('ImportError')")
        self.assertNotEqual(stock, ["imported"])
        self.assertEqual(client, ["imported"])

    def test_collections_wait_for_the_end_of_an_import(self):
        place = self.scratch()
        self.write_tree(place, {"counts.py": "import alpha, gc\nBELOW = gc.get_count()[0] < 0\n"})
        stock, client = self.both(
            "import sys, gc\nsys.path.insert(0, %r)\nimport counts\nprint(counts.BELOW, gc.get_count()[0] < 0)"
            % place)
        self.assertEqual(stock, ["False False"])
        self.assertIn(client[0], ("True False", "False False"))

    def test_off_is_off(self):
        program = ("import sys, alpha, pack.sub, os\nprint('_pycds' in sys.modules and "
                   "sys.modules['_pycds'].stats()['served'])\nprint(alpha.__spec__.origin, sorted(os.listdir('/proc/self/fd')))\n"
                   "import importlib._bootstrap_external as E\nprint(type(E.SourceLoader.get_code).__name__)")
        answer = self.run_python("-c", program, environment=self.on(PYCDS="off"), cwd=self.tree)
        stock = self.run_python("-c", program, environment=harness.clean_environment(), cwd=self.tree)
        self.assertEqual(answer.stdout.splitlines()[1:], stock.stdout.splitlines()[1:])
        self.assertEqual(answer.stdout.splitlines()[0], b"0")


if __name__ == "__main__":
    harness.main()
