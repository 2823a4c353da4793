"""What a process writes lies together: pages of the cold parts of regions stay clean."""
import json
import os
import shutil
import subprocess
import tempfile

import harness

# Names of the program itself are interned before archived modules come and cost a page wherever one
# of these uses them: it has none but these two.
LIVE = "\nprint()\ninput()\n"

STANDARD = ("import argparse, asyncio, csv, email.message, json, logging.config, tarfile, "
            "unittest.mock, urllib.request")

# Tuples are written where a slot names a string of the process's own. Which these are, only a
# profile tells.
HAS_PROFILE = os.path.exists(os.path.join(harness.BUILD, "client", "profile.txt"))


class Placement(harness.PythonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon.ctl("build", "--python", cls.python, "--all")
        recent = "import sys; print(sys.version_info >= (3, 12))"
        answer = subprocess.run([cls.python, "-c", recent], env=harness.clean_environment(),
                                stdout=subprocess.PIPE, check=True)
        cls.immortal = answer.stdout == b"True\n"

    def regions(self, code, **extra):
        """By region: pages of a process that has run `code`, summed over its images."""
        process = subprocess.Popen([self.python, "-u", "-c", code + LIVE], env=self.on(**extra),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.communicate, b"\n")
        self.assertEqual(process.stdout.readline(), b"\n")
        sums = {}
        for image in self.daemon.ctl_json("list")["images"]:
            shown = self.daemon.ctl("show", image["id"], "--pages", str(process.pid), "--json",
                                    check=False)
            if shown.returncode != 0:
                continue  # an image that it does not map
            for region in json.loads(shown.stdout)["processes"][0]["regions"]:
                into = sums.setdefault(region["kind"], {"dirty": 0, "cold": 0, "objects": 0})
                into["dirty"] += region["dirty"]
                into["cold"] += region["dirty"] - region["hot_dirty"]
                into["objects"] += region["objects"]
        return sums

    def check(self, code, bounds, **extra):
        regions = self.regions(code, **extra)
        for kind, region in regions.items():
            if not region["objects"]:
                self.assertEqual(region["dirty"], 0, kind)
        self.assertGreater(regions["str-interned"]["dirty"], 0)
        if self.immortal:
            cold = {kind: regions[kind]["cold"] for kind in bounds}
            for kind, bound in bounds.items():
                self.assertLessEqual(cold[kind], bound, cold)
        # Where reference counts are written they have been given back.
        self.assertLessEqual(regions["numbers"]["dirty"], 0 if self.immortal else 16, regions)
        self.assertLessEqual(regions["code-once"]["cold"], 4, regions)

    def test_the_standard_library(self):
        bounds = {"str-doc": 0, "bytes": 0, "numbers": 0}
        if HAS_PROFILE:
            # ctypes.py_object is a class of C code when an archived module first names it.
            bounds.update({"tuple-names": 0, "tuple-consts": 2})
        self.check(STANDARD, bounds)

    def test_the_workload(self):
        if not harness.have_workload():
            self.skipTest("%s cannot %s" % (harness.PYTHON, harness.WORKLOAD))
        bounds = {"numbers": 0}
        if HAS_PROFILE:
            # jinja2.utils.internalcode() hashes five code objects, and these hash their constants,
            # docstrings among them, and their tables: the profile says which.
            bounds.update({"str-doc": 0, "bytes": 0, "tuple-names": 8, "tuple-consts": 4})
        self.check(harness.WORKLOAD, bounds)


class OtherProfiles(harness.PythonCase):
    """A profile that is missing, stale or wrong costs pages, not results."""

    def clients_with(self, profile):
        """A directory of clients that has this profile, or none."""
        directory = tempfile.mkdtemp(prefix="pycds-clients-")
        self.addCleanup(shutil.rmtree, directory)
        os.chmod(directory, 0o755)
        built = os.path.join(harness.BUILD, "client")
        for name in os.listdir(built):
            if name.startswith("cpython-"):
                # Where a link leads the builder is not let read.
                shutil.copytree(os.path.join(built, name), os.path.join(directory, name), symlinks=True)
            elif name.endswith(".py"):
                shutil.copy(os.path.join(built, name), directory)
        if profile is not None:
            with open(os.path.join(directory, "profile.txt"), "wb") as file:
                file.write(profile)
        return directory

    def test_wrong_ones(self):
        swapped = (b"module 4294967295 json/decoder.py\nmodule x y\nmodule\nfunction\nkey \nname\n"
                   b"function json/decoder.py no_such\nname self\nname json\nkey name\n")
        noise = bytes(range(256)) * 300 + b"\nname " + b"x" * 100000
        stock = subprocess.run([self.python, "-c", STANDARD + "\nprint(json.dumps([1, 'a']))"],
                               env=harness.clean_environment(), stdout=subprocess.PIPE, check=True)
        for profile in (None, b"", swapped, noise):
            with self.subTest(profile=None if profile is None else profile[:40]):
                daemon = harness.Daemon(clients=self.clients_with(profile)).start()
                self.addCleanup(daemon.remove)
                self.addCleanup(daemon.stop)
                daemon.ctl("build", "--python", self.python, "--import", STANDARD[7:])
                answer = subprocess.run(
                    [self.python, "-c", STANDARD + "\nprint(json.dumps([1, 'a']))\n"
                     "import _pycds, sys\nsys.exit(_pycds.stats()['served'] < 50)"],
                    env=daemon.on(self.python), stdout=subprocess.PIPE)
                self.assertEqual((answer.returncode, answer.stdout), (0, stock.stdout))


if __name__ == "__main__":
    harness.main()
