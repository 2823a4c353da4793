"""pycdsctl explain: what it says of a module is what becomes of it, and why."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest
import zipfile

import harness
from switching import listing

NOBODY = 65534

# A program that imports modules each in turn: by name how many were served for it, and by which misses.
IMPORT = """
import importlib, json, sys, _pycds
seen = {}
for name in sys.argv[1:]:
    before = _pycds.stats()
    importlib.import_module(name)
    after = _pycds.stats()
    seen[name] = (after['served'] - before['served'],
                  [miss for miss, count in after['misses'].items() if count > before['misses'].get(miss, 0)])
print(json.dumps(seen))
"""


class ExplainCase(harness.PythonCase):
    """A tree of modules on the path, some of them in an image."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory = tempfile.mkdtemp(prefix="pycds-explain-")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        os.chmod(cls.directory, 0o755)
        cls.tree = os.path.join(cls.directory, "tree")
        # A module that is executed says so.
        for name in ("good", "hashed", "stale", "uncompiled", "absent", "edited", "touched", "gone",
                     "package/__init__", "package/module", "open/module"):
            cls.write(name, "import sys\nprint(__name__, file=sys.stderr)\nVALUE = %r\n" % name)
        cls.write("fails/__init__", "raise RuntimeError('it\\nfails')\n")
        cls.write("fails/module", "")
        cls.write("ends/__init__", "import os, sys\nsys.stderr.write('enough')\nsys.stderr.flush()\n"
                                   "os._exit(7)\n")
        cls.write("ends/module", "")
        cls.write("wants/__init__", "import there_is_no_such\n")
        cls.write("wants/module", "")
        cls.write("broken", "def (\n")
        cls.write("latin", "# coding: latin-1\nVALUE = '\\q'\n")
        # Compiled by the interpreter under test, not by that of the test.
        cls.compile("good", "stale", "absent", "edited", "touched", "gone", "package", "open")
        cls.compile("hashed", mode="checked-hash")
        cls.write("stale", "VALUE = 'another text'\n")
        cls.in_image = ["good", "hashed", "stale", "edited", "touched", "gone", "package/__init__",
                        "package/module"]
        cls.build(*(cls.source(name) for name in cls.in_image))

    @classmethod
    def source(cls, name):
        return os.path.join(cls.tree, name + ".py")

    @classmethod
    def write(cls, name, text):
        os.makedirs(os.path.dirname(cls.source(name)), exist_ok=True)
        with open(cls.source(name), "w") as file:
            file.write(text)

    @classmethod
    def compile(cls, *names, mode="timestamp"):
        paths = [cls.source(name) if os.path.exists(cls.source(name)) else os.path.join(cls.tree, name)
                 for name in names]
        subprocess.run([cls.python, "-I", "-m", "compileall", "-qf", "--invalidation-mode", mode] + paths,
                       env=harness.clean_environment(), check=True)

    @classmethod
    def pyc(cls, name):
        answer = subprocess.run(
            [cls.python, "-I", "-c", "import sys, importlib.util as u; "
             "print(u.cache_from_source(sys.argv[1]))", cls.source(name)],
            env=harness.clean_environment(), stdout=subprocess.PIPE, check=True)
        return answer.stdout.decode().strip()

    @classmethod
    def build(cls, *lines):
        trace = os.path.join(cls.directory, "trace")
        with open(trace, "w") as file:
            file.write("\n".join(lines) + "\n")
        cls.daemon.ctl("build", "--python", cls.python, "--trace", trace)

    def here(self, path=None, **extra):
        """With the client and the tree."""
        environment = self.on(**extra)
        environment["PYTHONPATH"] += ":" + (path or self.tree)
        return environment

    def ctl(self, *names, status, environment=None, **options):
        for _ in range(4):
            answer = subprocess.run(
                [harness.PYCDSCTL, "explain", "--python", self.python] + list(names),
                env=environment or self.here(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                universal_newlines=True, timeout=harness.DEADLINE, check=False,
                **{"cwd": self.directory, **options})
            # A machine that has no time for the daemon makes it late.
            if "(deadline)" not in answer.stderr and "(daemon-busy)" not in answer.stderr:
                break
        self.assertEqual(answer.returncode, status, answer.stdout + answer.stderr)
        # One line says why it failed, if it did.
        self.assertEqual(answer.stderr.count("\n"), 1 if status else 0, answer.stderr)
        return answer

    def explain(self, *names, status, **options):
        """What is said of each, in the order of `names`."""
        said = json.loads(self.ctl(*names, "--json", status=status, **options).stdout)["modules"]
        self.assertEqual([module["module"] for module in said], list(names))
        return said

    def reason(self, name, status=1, **options):
        """Why it is not served: (name, sentence)."""
        [said] = self.explain(name, status=status, **options)
        self.assertEqual(said["verdict"], "not-served")
        return said["reason"], said["sentence"]


class Explain(ExplainCase):
    def images(self):
        return [image["id"] for image in self.daemon.ctl_json("list")["images"]]

    def test_what_is_served(self):
        before = listing(self.tree)
        for names in (["good", "package", "package.module"], ["package.module", "package", "good"],
                      ["package.module", "package.module"]):
            for said in self.explain(*names, status=0):
                self.assertEqual((said["verdict"], said["kind"]), ("served", "source"))
                self.assertIn(said["image"], self.images())
                self.assertEqual(said["domain"], "user %d" % os.geteuid())
                self.assertTrue(said["source"].startswith(self.tree), said)
                self.assertNotIn("reason", said)
        answer = self.ctl("good", status=0)
        self.assertEqual(answer.stdout, "good: served from image %s (user %d)\n  %s\n" %
                         (said["image"], os.geteuid(), self.source("good")))
        self.assertEqual(listing(self.tree), before, "nothing is written")

    def test_only_what_is_above_is_executed(self):
        marks = os.path.join(self.directory, "marks")
        self.write("marked/__init__", "open(%r, 'a').write('package\\n')\n" % marks)
        self.write("marked/module", "open(%r, 'a').write('module\\n')\n" % marks)
        self.explain("marked", self.source("marked/__init__"), self.source("marked/module"), status=1)
        self.assertFalse(os.path.exists(marks))
        self.explain("marked.module", status=1)
        with open(marks) as file:
            self.assertEqual(file.read(), "package\n")

    def test_it_says_what_an_import_does(self):
        """The verdict of each module is that of a program that imports it."""
        names = ["good", "hashed", "stale", "uncompiled", "absent", "package", "package.module",
                 "latin", "open.module"]
        for _ in range(4):
            answer = self.run_python("-Bc", IMPORT, *names, environment=self.here())
            self.assertEqual(answer.returncode, 0, answer.stderr)
            imported = json.loads(answer.stdout)
            if any(served for served, _ in imported.values()):
                break
        for said in self.explain(*names, status=1):
            served, misses = imported[said["module"]]
            self.assertEqual(said["verdict"] == "served", served == 1 and not misses, said)
        self.assertEqual({name for name, (served, _) in imported.items() if served == 1},
                         {"good", "package", "package.module"})

    def test_files(self):
        good = self.source("good")
        self.assertEqual(self.explain(good, status=0)[0]["verdict"], "served")
        for name, cwd in (("good.py", self.tree), ("./good.py", self.tree), ("tree/good.py", self.directory),
                          ("../tree/good.py", self.tree)):
            [said] = self.explain(name, status=0, cwd=cwd)
            self.assertEqual((said["verdict"], said["source"]), ("served", good))
        # Spelled otherwise than an import does it.
        other = os.path.join(self.directory, "other")
        os.symlink("tree", other)
        self.addCleanup(os.unlink, other)
        [said] = self.explain(os.path.join(other, "good.py"), status=0)
        self.assertEqual((said["verdict"], said["source"]), ("served", good))
        # Nothing above it is imported.
        self.compile("fails/module")
        reason, _ = self.reason(self.source("fails/module"))
        self.assertEqual(reason, "not-in-image")
        [said] = self.explain(self.source("nothing"), status=3)
        self.assertEqual((said["verdict"], said["reason"]), ("not-found", "not-found"))

    def test_in_any_directory(self):
        """Modules of the directory are found there, and do not get in the way of the question."""
        directory = os.path.join(self.directory, "any")
        os.makedirs(directory)
        for name in ("warnings", "contextlib", "here"):
            with open(os.path.join(directory, name + ".py"), "w") as file:
                file.write("raise RuntimeError('imported')\n")
        [good, here] = self.explain("good", "here", status=1, cwd=directory)
        self.assertEqual(good["verdict"], "served")
        self.assertEqual((here["source"], here["reason"]), (directory + "/here.py", "no-pyc"))

    def test_by_another_path(self):
        other = os.path.join(self.directory, "current")
        os.symlink("tree", other)
        self.addCleanup(os.unlink, other)
        [said] = self.explain("good", status=1, environment=self.here(other))
        self.assertEqual((said["reason"], said["source"]), ("other-path", other + "/good.py"))
        self.assertIn("(%s)" % self.source("good"), said["sentence"])
        self.assertIn(said["image"], self.images())

    def test_left_out(self):
        [hashed, stale] = self.explain("hashed", "stale", status=1)
        self.assertEqual(hashed["reason"], "pyc-checked-hash")
        self.assertEqual(stale["reason"], "pyc-stale")
        for said in (hashed, stale):
            self.assertIn(said["image"], self.images())
            self.assertNotIn("build it anew", said["sentence"])
        answer = self.ctl("hashed", status=1)
        self.assertIn("not served (pyc-checked-hash): left out of image " + hashed["image"],
                      answer.stdout)
        self.assertIn("not served: hashed (pyc-checked-hash)", answer.stderr)

    def test_left_out_and_mended_since(self):
        with open(self.pyc("hashed"), "rb") as file:
            before = file.read()
        self.compile("hashed")
        reason, sentence = self.reason("hashed")
        self.assertEqual(reason, "pyc-checked-hash")
        self.assertIn("that was so when the image was made, so build it anew", sentence)
        with open(self.pyc("hashed"), "wb") as file:
            file.write(before)

    def test_never_in_an_image(self):
        [absent, uncompiled, module] = self.explain("absent", "uncompiled", "open.module", status=1)
        self.assertEqual(absent["reason"], "not-in-image")
        self.assertIn("pycdsctl build", absent["sentence"])
        self.assertEqual(uncompiled["reason"], "no-pyc")
        self.assertIn("compileall", uncompiled["sentence"])
        self.assertEqual(module["reason"], "not-in-image")
        for said in (absent, uncompiled, module):
            self.assertNotIn("image", said)
        self.compile("open")
        os.truncate(self.pyc("open/module"), 10)
        self.assertEqual(self.reason("open.module")[0], "pyc-corrupt")
        with open(self.pyc("open/module"), "wb") as file:
            file.write(bytes(16))
        self.assertEqual(self.reason("open.module")[0], "pyc-other-version")
        os.unlink(self.pyc("open/module"))
        self.compile("open")

    def test_changed_since(self):
        self.write("edited", "VALUE = 'edited'\n")
        reason, sentence = self.reason("edited")
        self.assertEqual(reason, "source-changed")
        self.assertIn("its .pyc is not of the source", sentence)
        self.compile("edited")
        reason, sentence = self.reason("edited")
        self.assertEqual(reason, "source-changed")
        self.assertNotIn("its .pyc is not of the source", sentence)
        pyc = self.pyc("touched")
        shutil.copy(pyc, pyc + ".new")
        os.rename(pyc + ".new", pyc)
        self.assertEqual(self.reason("touched")[0], "pyc-changed")
        os.unlink(self.pyc("gone"))
        reason, sentence = self.reason("gone")
        self.assertEqual(reason, "pyc-changed")
        self.assertIn("it has no .pyc", sentence)

    def test_what_has_no_code_to_share(self):
        os.makedirs(os.path.join(self.tree, "namespace"), exist_ok=True)
        extension = self.run_python(
            "-c", "import importlib.util as u\nprint(next(n for n in ('_ctypes', '_json', '_csv', 'termios')"
            " if (u.find_spec(n).origin or '').endswith('.so')))").stdout.decode().strip()
        kinds = {"sys": "built-in", extension: "extension", "namespace": "namespace",
                 "_frozen_importlib": "frozen", "zipimport": "frozen"}
        for said in self.explain(*kinds, status=0):
            self.assertEqual((said["verdict"], said["kind"]), ("no-code", kinds[said["module"]]))
            self.assertNotIn("reason", said)
        self.assertIn("sys: no code that could be shared: built into the interpreter\n",
                      self.ctl("sys", status=0).stdout)

    def test_what_is_not_there(self):
        names = ["there_is_no_such", "there_is_no.such", "good.such", "package.such"]
        for said in self.explain("good", *names, status=3)[1:]:
            self.assertEqual((said["verdict"], said["reason"]), ("not-found", "not-found"))
        # What is not served counts more.
        self.explain("there_is_no_such", "absent", status=1)
        self.assertIn("pycdsctl: not found: there_is_no_such and 3 more",
                      self.ctl(*names, status=3).stderr)

    def test_what_cannot_be_imported(self):
        names = ["fails.module", "ends.module", "wants.module", "broken", "good", "ends.module", "package"]
        said = self.explain(*names, status=1)
        self.assertEqual([module["verdict"] for module in said],
                         ["not-served"] * 4 + ["served", "not-served", "served"])
        for i, text in enumerate(["RuntimeError: it", "status 7: enough", "there_is_no_such",
                                  "SyntaxError"]):
            self.assertEqual(said[i]["reason"], "import-fails")
            self.assertIn(text, said[i]["sentence"])

    def test_other_loaders(self):
        archive = os.path.join(self.directory, "archive.zip")
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("zipped.py", "VALUE = 1\n")
        sourceless = os.path.join(self.directory, "sourceless")
        os.makedirs(sourceless, exist_ok=True)
        shutil.copy(self.pyc("good"), os.path.join(sourceless, "bare.pyc"))
        environment = self.here(archive + ":" + sourceless)
        for said in self.explain("zipped", "bare", status=1, environment=environment):
            self.assertEqual((said["verdict"], said["reason"]), ("not-served", "other-loader"))

    def test_what_keeps_all_from_being_served(self):
        self.assertEqual(self.reason("good", environment=self.here(PYTHONTRACEMALLOC="1"))[0], "watched")
        reason, sentence = self.reason("good", environment=self.here(PYTHONPYCACHEPREFIX=self.directory))
        self.assertEqual(reason, "importlib-changed")
        self.assertIn("pycache_prefix", sentence)
        self.assertEqual(self.reason("good", environment=self.here(PYCDS="off"))[0], "switched-off")
        self.assertEqual(self.reason("good", environment=self.here(PYTHONVERBOSE="1"))[0],
                         "verbose-import")
        reason, sentence = self.reason("good", environment=harness.clean_environment(PYTHONPATH=self.tree))
        self.assertEqual(reason, "no-client")
        self.assertIn("pycdsctl enable", sentence)
        reason, sentence = self.reason("good", environment={**self.here(), "PYCDS_SOCKET": "/nonexistent"})
        self.assertEqual(reason, "no-daemon")
        # What cannot be shared anyway is said as ever.
        [said, _] = self.explain("sys", "good", status=1, environment=self.here(PYCDS="off"))
        self.assertEqual(said["verdict"], "no-code")

    def test_without_an_image(self):
        empty = harness.Daemon().start()
        self.addCleanup(empty.remove)
        self.addCleanup(empty.stop)
        environment = {**self.here(), "PYCDS_SOCKET": empty.socket}
        self.assertEqual(self.reason("good", environment=environment)[0], "no-image")

    def test_what_python_loads_before_all(self):
        self.build("encodings.utf_8", *(self.source(name) for name in self.in_image))
        reason, sentence = self.reason("encodings.utf_8")
        self.assertEqual(reason, "loaded-too-early")
        [said] = self.explain("good", status=0)
        self.assertEqual(said["verdict"], "served")
        self.build(*(self.source(name) for name in self.in_image))


@unittest.skipUnless(os.geteuid() == 0 and harness.PYTHON.startswith("/usr/bin/") and not harness.PRELOAD,
                     "needs root, and an interpreter that images for everybody are made with")
class ExplainTrust(ExplainCase):
    """Of images that everybody maps, and those of whom they are not."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon.ctl("build", "--python", cls.python, "json")

    def test_what_everybody_cannot_trust(self):
        options = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        if not harness.others_may_run_it():
            self.skipTest("others may not run the interpreter")
        [served, own] = self.explain("json.decoder", "good", status=1, **options)
        self.assertEqual((served["verdict"], served["domain"]), ("served", "system"))
        self.assertEqual(own["reason"], "not-trusted")
        self.assertIn("and %s can be written by everybody" % os.path.realpath(tempfile.gettempdir()),
                      own["sentence"])
        # The process of who made it maps it.
        [served, own] = self.explain("json.decoder", "good", status=0)
        self.assertEqual((served["domain"], own["domain"]), ("system", "user 0"))
        self.assertNotEqual(served["image"], own["image"])


if __name__ == "__main__":
    harness.main()
