"""The hook in the standard library's directory: what it brings, and that nothing of it can be seen."""
import contextlib
import os
import re
import subprocess

import harness
from switching import PrivateCase, VISIBLE, file_in, listing

OPTIONS = [(), ("-I",), ("-E",), ("-s",), ("-S",), ("-B", "-O"), ("-X", "importtime")]


class SwitchingOn(PrivateCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.elsewhere = os.path.join(cls.directory.name, "elsewhere")
        os.mkdir(cls.elsewhere)

    def seen(self, options, code, environment, python=None):
        answer = subprocess.run([python or self.python, *options, "-c", code], env=environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                stdin=subprocess.DEVNULL, timeout=harness.DEADLINE, check=False)
        def plain(text):
            # Addresses in reprs, times of -X importtime, what a fatal error lists.
            return re.sub(rb"0x[0-9a-f]{6,}| +\d+ \| +\d+ \||\nExtension modules: _pycds .*\n", b"",
                          text).decode()

        return answer.returncode, plain(answer.stdout), plain(answer.stderr)

    def assert_invisible(self, options=(), code=VISIBLE, python=None, **variables):
        """As without the hook, in all that can be seen."""
        environment = self.here(**variables)
        stock = self.seen(options, code, environment, python)
        with self.private.hooked():
            hooked = self.seen(options, code, environment, python)
        self.assertEqual(hooked, stock)
        return stock

    def client_of(self, options=(), python=None, **variables):
        with self.private.hooked():
            _, output, errors = self.seen(
                options, "import sys; m = sys.modules.get('_pycds'); print(m and m.__file__)",
                self.here(**variables), python)
        return output.strip(), errors

    def test_the_client_is_there_and_serves(self):
        for options in OPTIONS[:4]:
            self.assertEqual(self.client_of(options), (self.private.library, ""), options)
        self.assertEqual(self.client_of(("-S",)), ("None", ""))
        with self.private.hooked():
            stats, _ = self.stats("import " + self.modules, environment=self.here())
            self.assertTrue(stats["attached"], stats)
            self.assertGreater(stats["served"], 3, stats)
            # Of the module itself all is true.
            self.assertEqual(self.seen((), "import _pycds, os, importlib.util as u\n"
                                       "spec = _pycds.__spec__\n"
                                       "print(os.path.isfile(_pycds.__file__), spec.origin == "
                                       "_pycds.__file__, spec.loader is _pycds.__loader__,"
                                       "u.find_spec('_pycds') is spec, spec.loader.path == spec.origin)",
                                       self.here()), (0, "True True True True True\n", ""))

    def test_without_a_sitecustomize(self):
        for options in OPTIONS:
            with self.subTest(options=options):
                self.assert_invisible(options)

    def test_the_one_beside_it_runs(self):
        kinds = {
            "sitecustomize.py": "MARK = __file__",
            "sitecustomize/__init__.py": "MARK = __path__",
            "sitecustomize.abi3.so": "no library",
            "sitecustomize.so/x": "a directory",
        }
        for name, text in kinds.items():
            for options in OPTIONS:
                with self.subTest(name=name, options=options), \
                        file_in(self.private.stdlib, name, text):
                    self.assert_invisible(options)
        with file_in(self.elsewhere, "source.py", "MARK = 'compiled'") as source:
            compiled = os.path.join(self.private.stdlib, "sitecustomize.pyc")
            py_compile_with(self.python, source, compiled)
            self.addCleanup(os.unlink, compiled)
            _, output, _ = self.assert_invisible()
            self.assertIn("compiled", output)

    def test_one_that_fails_fails_as_it_would(self):
        for text in ("raise ValueError('no')", "import missing_module", "import sitecustomize.x",
                     "raise SystemExit(5)", "this is no Python", "raise KeyboardInterrupt",
                     "import sys; sys.modules['sitecustomize'] = sys",
                     "import sys; sys.path_importer_cache.clear()",
                     "import sys; sys.path[:] = []", "import sys; sys.meta_path[:] = []",
                     "import os; os._exit(7)", "raise ModuleNotFoundError('x', name='sitecustomize')"):
            with self.subTest(text=text), file_in(self.private.stdlib, "sitecustomize.py", text):
                self.assert_invisible()
                self.assert_invisible(("-I",), "print(1)")
        with file_in(self.private.stdlib, "sitecustomize.py",
                     "import sys; del sys.modules['sitecustomize']"):
            self.assert_invisible(code="print(1)")

    def test_one_later_or_earlier_on_the_path(self):
        with file_in(self.elsewhere, "sitecustomize.py", "MARK = 'elsewhere'"):
            # Before the standard library: ours is not even looked at.
            self.assert_invisible(PYTHONPATH=self.elsewhere)
            self.assertEqual(self.client_of(PYTHONPATH=self.elsewhere)[0], "None")
            self.assertEqual(self.client_of(("-E",), PYTHONPATH=self.elsewhere)[0],
                             self.private.library)
        venv = os.path.join(self.directory.name, "later")
        python = self.private.make_venv(venv)
        for text in (None, "MARK = 'in the environment'", "raise OSError('from there')"):
            with contextlib.ExitStack() as stack:
                if text is not None:
                    stack.enter_context(
                        file_in(self.private.site_packages(venv), "sitecustomize.py", text))
                for options in OPTIONS:
                    self.assert_invisible(options, python=python)
                self.assertEqual(self.client_of(python=python)[0], self.private.library)

    def test_finders_of_others_are_asked_as_before(self):
        # One in front and one behind importlib's own, which says what it was asked.
        finder = ("import sys; F = type('F', (), {'find_spec': lambda self, *a: "
                  "print('asked', a) if a[0] == 'sitecustomize' else None}); "
                  "sys.meta_path.append(F())\n")
        venv = os.path.join(self.directory.name, "finders")
        python = self.private.make_venv(venv)
        show = "import sys; print(sys.modules.get('sitecustomize'))"
        with file_in(self.private.site_packages(venv), "finder.pth", finder):
            _, output, _ = self.assert_invisible(code=show, python=python)
            self.assertIn("asked", output)
            with file_in(self.private.stdlib, "sitecustomize.py", ""):
                self.assert_invisible(code=show, python=python)

    def test_the_directory_under_another_name(self):
        alias = os.path.join(self.directory.name, "alias")
        os.symlink(self.private.stdlib, alias)
        self.addCleanup(os.unlink, alias)
        for path in (alias, self.private.stdlib, alias + "/", alias + ":" + self.private.stdlib):
            self.assert_invisible(PYTHONPATH=path)
            with file_in(self.private.stdlib, "sitecustomize.py", "MARK = __file__"):
                self.assert_invisible(PYTHONPATH=path)

    def test_together_with_the_environment(self):
        client = os.path.dirname(self.private.library)
        self.assert_invisible(PYTHONPATH=client)
        with file_in(self.private.stdlib, "sitecustomize.py", "MARK = __file__"):
            self.assert_invisible(PYTHONPATH=client)
            self.assert_invisible(PYTHONPATH=client + ":" + self.elsewhere)
        with self.private.hooked():
            stats, _ = self.stats("import json", environment=self.here(PYTHONPATH=client))
            self.assertTrue(stats["attached"], stats)

    def test_a_hook_that_leads_nowhere(self):
        stock = self.seen((), VISIBLE, self.here())
        for target in ("/nonexistent/cpython-3.11.2/_pycds.so", "/dev/null", "/etc/passwd"):
            with self.private.hooked(target):
                status, output, _ = self.seen((), "print(1)", self.here())
                self.assertEqual((status, output), (0, "1\n"), target)
                if target.startswith("/nonexistent"):
                    self.assertEqual(self.seen((), VISIBLE, self.here()), stock)

    def test_whatever_the_daemon_does(self):
        with file_in(self.private.stdlib, "sitecustomize.py", "MARK = __file__"):
            for variables in ({"PYCDS": "off"}, {"PYCDS_SOCKET": "/nonexistent"}):
                environment = {**self.here(), **variables}
                code = VISIBLE + "\nimport " + self.modules
                stock = self.seen((), code, environment)
                with self.private.hooked():
                    self.assertEqual(self.seen((), code, environment), stock)

    def test_subinterpreters(self):
        code = ("try:\n    import _xxsubinterpreters as s\n"
                "except ImportError:\n    import _interpreters as s\n"
                "i = s.create()\n"
                "run = getattr(s, 'run_string', None) or s.exec\n"
                "run(i, 'import json, sys; print(json.dumps(sys.path), "
                "sys.modules.get(\"sitecustomize\"), flush=True)')\n"
                "s.destroy(i)")
        self.assert_invisible(code=code)
        with file_in(self.private.stdlib, "sitecustomize.py", "MARK = __file__"):
            self.assert_invisible(code=code)

    def test_nothing_is_left_behind(self):
        before = listing(self.private.directory)
        with self.private.hooked():
            self.seen((), VISIBLE, self.here())
        self.assertEqual(listing(self.private.directory), before)


def py_compile_with(python, source, compiled):
    subprocess.run([python, "-I", "-c", "import py_compile, sys; py_compile.compile(*sys.argv[1:], "
                    "doraise=True)", source, compiled], check=True,
                   env=harness.clean_environment())


if __name__ == "__main__":
    harness.main()
