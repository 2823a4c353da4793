"""The main job: one daemon, one image, many processes that share it and behave as stock Python."""
import json
import subprocess
import unittest

import harness

PROCESSES = 20

# Imports the workload, says so, and waits until it has been looked at.
LIVE = harness.WORKLOAD + """
import sys
print("ready", flush=True)
sys.stdin.readline()
import _pycds, json
print(json.dumps(_pycds.stats()), flush=True)
"""


class MainJob(harness.PythonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not harness.have_workload():
            raise unittest.SkipTest("%s cannot %s" % (harness.PYTHON, harness.WORKLOAD))
        cls.built = cls.daemon.ctl_json("build", "--python", cls.python, "--all")

    def live(self, count, environment):
        processes = [subprocess.Popen([self.python, "-c", LIVE], env=environment,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                     for _ in range(count)]
        for process in processes:
            self.addCleanup(process.stdout.close)
            self.addCleanup(process.wait)
            self.addCleanup(process.stdin.close)
        for process in processes:
            self.assertEqual(process.stdout.readline(), b"ready\n")
        return processes

    def test_twenty_at_once_share_the_image(self):
        processes = self.live(PROCESSES, self.on())
        mappings = [harness.image_mappings(process.pid) for process in processes]
        for process in processes:
            process.stdin.write(b"\n")
            process.stdin.flush()
        for process, mapping in zip(processes, mappings):
            stats = json.loads(process.stdout.readline())
            self.assertTrue(stats["attached"], stats)
            self.assertGreaterEqual(stats["served"], 350, stats)
            # What is resident and not copied is somebody else's page too: Pss counts a page that
            # N processes map as a Nth.
            clean = mapping["Rss"] - mapping["Anonymous"]
            self.assertGreater(clean, 1000, mapping)
            shared_part = mapping["Pss"] - mapping["Anonymous"]
            self.assertLess(shared_part, clean * 2 / PROCESSES, mapping)

    def test_everything_visible_is_as_in_stock(self):
        # Same hash seed on both sides: the order of sets is visible and differs between seeds.
        for seed in ("0", "4711"):
            stock = self.describe(harness.WORKLOAD, harness.clean_environment(PYTHONHASHSEED=seed))
            served = self.describe(harness.WORKLOAD, self.on(PYTHONHASHSEED=seed))
            self.assertGreater(len(stock["modules"]), 400)
            self.assertGreater(sum(len(m["functions"]) for m in stock["modules"].values()), 5000)
            self.assert_same_modules(stock, served)

    def test_every_archived_module_equals_its_pyc(self):
        answer = self.run_python(harness.ORACLE, "compare", environment=self.on())
        self.assertEqual(answer.returncode, 0, answer.stderr.decode())
        result = json.loads(answer.stdout)
        self.assertEqual(result["differing"], [])
        self.assertGreaterEqual(result["compared"], 500)

    def test_equal_interned_strings_are_one(self):
        # A literal of a program, before and after an archived module brings the same text.
        self.assert_like_stock(
            "-c", "import sys\nK = 'unknown_open'\nP = 'path'\nN = 'get'\nQ = 'default_open'\n"
            "import urllib.request, json.decoder\n"
            "codes = [f.__code__ for f in vars(urllib.request.OpenerDirector).values()"
            " if hasattr(f, '__code__')]\n"
            "seen = [s for c in codes for s in c.co_consts + c.co_names if type(s) is str]\n"
            "for mine in (K, P, N, Q):\n"
            "    print([s is mine for s in seen if s == mine],"
            " sys.intern(''.join(list(mine))) is mine)\n"
            "print(sum(sys.intern(''.join(list(s))) is s for s in seen if s.isidentifier()))")

    def test_images_verify_and_show(self):
        self.daemon.ctl("verify", "--all")
        for image in self.daemon.ctl_json("list")["images"]:
            self.daemon.ctl_json("show", image["id"])

    def test_a_workload_ends_as_in_stock(self):
        self.assert_like_stock("-c", harness.WORKLOAD + "\nprint(flask.Flask('x').name)")
        self.assert_like_stock("-c", harness.WORKLOAD + "\nraise SystemExit(7)")
        self.assert_like_stock("-c", "import json\njson.loads('{')")


if __name__ == "__main__":
    harness.main()
