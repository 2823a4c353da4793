"""What is archived, what is left out and why, and that nothing stale is ever served."""
import os
import shutil
import struct
import tempfile

import harness

# Imports and prints what the module says; then how it came.
SHOW = "import m_good\nprint(m_good.answer())"


class Modules(harness.PythonCase):
    """A directory of modules, rebuilt for each test, and images made of it."""

    def setUp(self):
        self.directory = os.path.join(self.daemon.directory, "modules-" + self.id().split(".")[-1])
        os.mkdir(self.directory)
        self.addCleanup(shutil.rmtree, self.directory)

    def write(self, name, text, compile_=True):
        path = os.path.join(self.directory, name + ".py")
        with open(path, "w") as file:
            file.write(text)
        if compile_:
            self.compile(path)
        return path

    def compile(self, path, mode="timestamp", *options):
        answer = self.run_python(
            *options, "-c", "import py_compile, sys; py_compile.compile(sys.argv[1], doraise=True, "
            "invalidation_mode=py_compile.PycInvalidationMode[sys.argv[2]])", path, mode.upper())
        self.assertEqual(answer.returncode, 0, answer.stderr.decode())
        return self.pyc(path)

    def pyc(self, path):
        tag = self.run_python("-c", "import sys; print(sys.implementation.cache_tag)")
        directory, name = os.path.split(path)
        return os.path.join(directory, "__pycache__",
                            "%s.%s.pyc" % (name[:-3], tag.stdout.decode().strip()))

    def build(self, paths):
        plan = os.path.join(self.directory, "plan")
        with open(plan, "w") as file:
            file.write("".join(path + "\n" for path in paths))
        return self.daemon.ctl_json("build", "--python", self.python, "--trace", plan)

    def here(self, **extra):
        return {"environment": self.on(**extra), "cwd": self.directory}

    def served(self, code):
        return self.stats(code, **self.here())

    def reasons(self):
        images = self.daemon.ctl_json("list")["images"]
        reasons = {}
        for image in images:
            shown = self.daemon.ctl_json("show", image["id"], "--left-out")
            for entry in shown["left_out"]:
                reasons[os.path.basename(entry["path"])] = entry["reason"]
        return reasons

    GOOD = "def answer():\n    return 'first'\n"

    def test_served_then_never_stale(self):
        path = self.write("m_good", self.GOOD)
        self.build([path])
        stats, text = self.served(SHOW)
        self.assertEqual((stats["served"], text.strip()), (1, "first"))

        def like_stock(reason):
            # -B: what the miss compiles must not hide the next case.
            self.assert_like_stock("-B", "-c", SHOW, on=self.on(), cwd=self.directory)
            stats, _ = self.served("import sys; sys.dont_write_bytecode = True\n" + SHOW)
            self.assertEqual(stats["served"], 0, reason)
            self.assertEqual(stats["misses"].get(reason), 1, stats)

        before = os.stat(path)
        with self.subTest("same size, other time"):
            with open(path, "w") as file:
                file.write(self.GOOD.replace("first", "other"))
            os.utime(path, (before.st_atime, before.st_mtime + 5))
            like_stock("source-changed")
            self.assertEqual(self.served(SHOW)[1].strip(), "other")
        shutil.rmtree(os.path.join(self.directory, "__pycache__"))

        with self.subTest("no .pyc"):
            with open(path, "w") as file:
                file.write(self.GOOD)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            like_stock("pyc-changed")
        with self.subTest("another .pyc of the same source"):
            self.compile(path)
            like_stock("pyc-changed")
        with self.subTest("rebuilt"):
            self.build([path])
            self.assertEqual(self.served(SHOW)[0]["served"], 1)
        with self.subTest("other size, same time"):
            with open(path, "w") as file:
                file.write(self.GOOD.replace("first", "longer"))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            like_stock("source-changed")
        with self.subTest("source deleted"):
            os.unlink(path)
            self.assert_like_stock("-c", SHOW, on=self.on(), cwd=self.directory)

    def test_left_out_with_reasons_and_still_importable(self):
        good = self.write("m_good", self.GOOD)
        bad = {
            "m_nosource.py": "no-source", "m_nopyc.py": "no-pyc", "m_magic.py": "pyc-other-version",
            "m_stale.py": "pyc-stale", "m_checked.py": "pyc-checked-hash",
            "m_truncated.py": "pyc-corrupt", "m_garbage.py": "pyc-corrupt", "m_int.py": "pyc-corrupt",
            "m_short.py": "pyc-corrupt", "m_directory.py": "pyc-unreadable",
            "m_constant.py": "unexpected-constant", "m_nested.py": "unexpected-constant",
        }
        paths = [os.path.join(self.directory, "m_nosource.py")]
        self.write("m_nopyc", self.GOOD, compile_=False)
        for name in ("m_magic", "m_stale", "m_checked", "m_truncated", "m_garbage", "m_int",
                     "m_short", "m_constant", "m_nested"):
            self.write(name, self.GOOD)
        in_directory = self.write("m_directory", self.GOOD, compile_=False)
        os.makedirs(self.pyc(in_directory))
        paths = [os.path.join(self.directory, name) for name in bad]

        def edit(name, change):
            pyc = self.pyc(os.path.join(self.directory, name + ".py"))
            with open(pyc, "rb") as file:
                data = file.read()
            with open(pyc, "wb") as file:
                file.write(change(data))

        edit("m_magic", lambda data: b"\x00\x01" + data[2:])
        edit("m_truncated", lambda data: data[:-20])
        edit("m_garbage", lambda data: data[:16] + b"\xff" * 100)
        edit("m_short", lambda data: data[:10])
        edit("m_int", lambda data: data[:16] + b"i\x01\x00\x00\x00")
        # A code object whose constants hold a list, and one with a frozenset in a frozenset.
        for name, constant in (("m_constant", "[1, 2]"), ("m_nested", "frozenset({frozenset({1})})")):
            answer = self.run_python("-c", (
                "import marshal, sys; d = open(sys.argv[1], 'rb').read()\n"
                "c = marshal.loads(d[16:])\n"
                "f = next(k for k in c.co_consts if hasattr(k, 'co_code'))\n"
                "import types\n"
                "m = marshal.dumps((7, %s), 2)\n"
                "b = marshal.dumps(c.replace(co_consts=(f, 12345678901, None)))\n"
                "n = marshal.dumps(12345678901, 2)\n"
                "i = b.find(n[1:])\n"
                "assert i > 0\n"
                "m = bytes([m[0] | b[i - 1] & 0x80]) + m[1:]\n"  # as many references as before
                "open(sys.argv[1], 'wb').write(d[:16] + b[:i - 1] + m + b[i - 1 + len(n):])")
                % constant, self.pyc(os.path.join(self.directory, name + ".py")))
            self.assertEqual(answer.returncode, 0, answer.stderr.decode())
        os.utime(os.path.join(self.directory, "m_stale.py"), (1, 1))
        self.compile(os.path.join(self.directory, "m_checked.py"), "checked_hash")

        built = self.build([good, good] + paths)
        self.assertEqual(sum(image["modules"] for image in built["images"]), 1)
        reasons = self.reasons()
        for name, reason in bad.items():
            self.assertEqual(reasons.get(name), reason, name)
        for name in ["m_good.py"] + list(bad):
            self.assert_like_stock("-B", "-c", "import " + name[:-3], on=self.on(),
                                   cwd=self.directory)

    def test_unchecked_hash_pyc_is_served_unless_always_checked(self):
        path = self.write("m_good", self.GOOD)
        self.compile(path, "unchecked_hash")
        self.build([path])
        with open(path, "a") as file:
            file.write("# changed, and nobody is to look\n")
        self.assertEqual(self.served(SHOW)[0]["served"], 1)
        self.assert_like_stock("-B", "-c", SHOW, on=self.on(), cwd=self.directory)
        self.assert_like_stock("-B", "--check-hash-based-pycs", "always", "-c", SHOW, on=self.on(),
                               cwd=self.directory)

    def test_a_constant_that_equals_nothing(self):
        path = self.write("m_good", "def answer():\n    return repr(1e400 * 0), -(1e400 * 0j)\n")
        self.build([path])
        self.assertEqual(self.served(SHOW)[0]["served"], 1)
        self.assert_like_stock("-c", SHOW, on=self.on(), cwd=self.directory)

    def test_second_request_gets_its_own_code(self):
        path = self.write("m_good", self.GOOD)
        self.build([path])
        stats, text = self.served(
            "import m_good, importlib, sys\n"
            "first = m_good.answer.__code__\n"
            "importlib.reload(m_good)\n"
            "print(m_good.answer.__code__ == first, m_good.answer.__code__ is first)\n"
            "del sys.modules['m_good']\nimport m_good\nprint(m_good.answer())")
        self.assertEqual(text.split(), ["True", "False", "first"])
        self.assertEqual((stats["served"], stats["misses"]["already-served"]), (1, 2))
        self.assert_like_stock("-m", "m_good", on=self.on(), cwd=self.directory)

    def test_watchers_see_what_they_would_have_seen(self):
        path = self.write("m_good", self.GOOD)
        self.build([path])
        for name, watch in {
                "audit hook": "events = []\nsys.addaudithook(lambda e, a: events.append(e))",
                "trace": "sys.settrace(lambda *a: None)",
                "profile": "sys.setprofile(lambda *a: None)",
                "tracemalloc": "import tracemalloc\ntracemalloc.start()",
        }.items():
            with self.subTest(name):
                stats, _ = self.served("import sys\n%s\nimport m_good\nsys.settrace(None)\n"
                                       "sys.setprofile(None)" % watch)
                self.assertEqual(stats["served"], 0)
                self.assertGreaterEqual(stats["misses"]["watched"], 1)
        self.assert_like_stock(
            "-c", "import sys\nevents = []\n"
            "sys.addaudithook(lambda e, a: events.append((e, str(a)[:60])))\n"
            "import m_good\nprint(*[e for e in events if e[0] in ('open', 'marshal.loads', 'exec')],"
            " sep='\\n')", on=self.on(), cwd=self.directory)

    def test_a_changed_importlib_is_left_alone(self):
        path = self.write("m_good", self.GOOD)
        self.build([path])
        for name, change in {
                "class": "L.get_data = lambda self, path: io.open_code(str(path)).read()",
                "module": "E._compile_bytecode = lambda *a, o=E._compile_bytecode, **k: o(*a, **k)",
                "builtin": "import marshal\nmarshal.loads = lambda d, o=marshal.loads: o(d)",
                "base class": "def get_code(self, name, o=E.SourceLoader.get_code):\n"
                              "    return o(self, name).replace()\n"
                              "E.SourceLoader.get_code = get_code\n"
                              "E.cache_from_source = lambda *a, o=E.cache_from_source: o(*a)",
                "prefix": "sys.pycache_prefix = '/nonexistent'",
                "tag": "sys.implementation.cache_tag = None",
                "subclass": "sys.path_hooks.insert(0, importlib.machinery.FileFinder.path_hook("
                            "(type('S', (L,), {}), ['.py'])))\nsys.path_importer_cache.clear()",
        }.items():
            with self.subTest(name):
                stats, text = self.served(
                    "import sys, io, importlib.machinery\nimport importlib._bootstrap_external as E\n"
                    "sys.dont_write_bytecode = True\n"
                    "L = importlib.machinery.SourceFileLoader\n%s\n%s" % (change, SHOW))
                self.assertEqual((stats["served"], text.strip()), (0, "first"))

    def test_optimised_processes_get_their_own_image(self):
        path = self.write("m_good", "def answer():\n    assert False\n    return 'first'\n")
        self.build([path])
        self.compile(path, "timestamp", "-O")
        answer = self.run_python("-O", "-c", SHOW, **self.here())
        self.assertEqual(answer.stdout.decode().strip(), "first")
        plan = os.path.join(self.directory, "plan")
        self.daemon.ctl("build", "--python", self.python, "-O", "1", "--trace", plan)
        answer = self.run_python(
            "-O", "-c", SHOW + "\nimport _pycds\nprint(_pycds.stats()['served'])", **self.here())
        self.assertEqual(answer.stdout.decode().split(), ["first", "1"])
        answer = self.run_python("-c", SHOW, **self.here())
        self.assertNotEqual(answer.returncode, 0)  # the assertion is there without -O

    def test_the_same_input_gives_the_same_image(self):
        if harness.is_randomised():
            self.skipTest("an image says where its builder had the interpreter, which is random")
        paths = [self.write("m_%d" % i, "NAMES = 'a%d' in {'x', 'y', ('z', 1.5)}\n%s" %
                            (i, self.GOOD)) for i in range(20)]
        images = []
        for order in (paths, paths[::-1]):
            with tempfile.TemporaryFile() as plan, tempfile.TemporaryFile() as out, \
                    tempfile.TemporaryFile() as report, \
                    tempfile.TemporaryFile() as allow_all:
                allow_all.write(struct.pack("=HBBI", 6, 0, 0, 0x7fff0000))  # BPF_RET, SECCOMP_RET_ALLOW
                allow_all.flush()
                plan.write(b"".join(b"%s\0" % path.encode() for path in order))
                plan.flush()
                fds = [file.fileno() for file in (plan, out, report, allow_all)]
                answer = self.run_python(
                    "-I", "-S", "-B", os.path.join(harness.BUILD, "client", "pycds_build.py"),
                    "--slot", "1", "--generation", "7", "--domain", "user:%d" % os.geteuid(),
                    "--plan-fd", str(fds[0]), "--out-fd", str(fds[1]), "--report-fd", str(fds[2]),
                    "--filter-fd", str(fds[3]), pass_fds=fds)
                report.seek(0)
                self.assertEqual(answer.returncode, 0, report.read())
                out.seek(0)
                images.append(out.read())
        self.assertGreater(len(images[0]), 4096)
        self.assertTrue(images[0] == images[1])

    def test_frozensets_iterate_as_in_stock(self):
        path = self.write("m_good", "def answer(x='q'):\n    return x in {%s}\n" %
                          ", ".join("'name_%d', %d, b'%d', (%d, 'x')" % (i, i * 977, i, i)
                                    for i in range(40)))
        self.build([path])
        show = ("import m_good\n"
                "print([list(c) for c in m_good.answer.__code__.co_consts if type(c) is frozenset])\n"
                "print([hash(c) for c in m_good.answer.__code__.co_consts if type(c) is frozenset])\n"
                "print(m_good.answer('name_7'), m_good.answer((3, 'x')), m_good.answer())")
        for seed in ("0", "1", "99"):
            served = self.assert_like_stock(
                "-c", show, on=self.on(PYTHONHASHSEED=seed), cwd=self.directory,
                off=harness.clean_environment(PYTHONHASHSEED=seed))
            self.assertIn(b"True True False", served.stdout)


if __name__ == "__main__":
    harness.main()
