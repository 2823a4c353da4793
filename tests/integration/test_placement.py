"""What a process writes lies together: pages of the cold parts of regions stay clean."""
import json
import os
import subprocess

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
        # jinja2.utils.internalcode() hashes five code objects, and these hash their constants,
        # docstrings among them, their line tables and their exception tables.
        bounds = {"str-doc": 5, "bytes": 12, "numbers": 0}
        if HAS_PROFILE:
            bounds.update({"tuple-names": 8, "tuple-consts": 4})
        self.check(harness.WORKLOAD, bounds)


if __name__ == "__main__":
    harness.main()
