"""The main job: one daemon, one image, many processes that share it and behave as stock Python."""
import json
import os
import subprocess
import unittest

import harness

ORACLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "oracle.py")
PROCESSES = 20

# Imports the workload, says so, and waits until it has been looked at.
LIVE = harness.WORKLOAD + """
import sys
print("ready", flush=True)
sys.stdin.readline()
import _pycds, json
print(json.dumps(_pycds.stats()), flush=True)
"""


# Python functions in stock, built-in ones with the client on.
REPLACED = {
    "_frozen_importlib._ModuleLockManager.__enter__",
    "_frozen_importlib._ModuleLockManager.__exit__",
    "_frozen_importlib_external.FileFinder.find_spec",
    "_frozen_importlib_external.SourceLoader.get_code",
    "re._compiler.compile",
}


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
            self.assertGreaterEqual(stats["served"], 400, stats)
            # What is resident and not copied is somebody else's page too: Pss counts a page that
            # N processes map as a Nth.
            clean = mapping["Rss"] - mapping["Anonymous"]
            self.assertGreater(clean, 1000, mapping)
            shared_part = mapping["Pss"] - mapping["Anonymous"]
            self.assertLess(shared_part, clean * 2 / PROCESSES, mapping)

    def test_everything_visible_is_as_in_stock(self):
        # Same hash seed on both sides: the order of sets is visible and differs between seeds.
        def run(environment):
            answer = self.run_python(ORACLE, "describe", harness.WORKLOAD, environment=environment)
            self.assertEqual(answer.returncode, 0, answer.stderr.decode())
            seen = json.loads(answer.stdout)
            # What the client puts in their place is no Python function any more.
            for module in seen["modules"].values():
                for name in list(module["functions"]):
                    if name.partition(":")[0] in REPLACED:
                        del module["functions"][name]
            return seen
        for seed in ("0", "4711"):
            stock = run(harness.clean_environment(PYTHONHASHSEED=seed))
            served = run(self.on(PYTHONHASHSEED=seed))
            self.assertGreater(len(stock["modules"]), 400)
            self.assertGreater(sum(len(m["functions"]) for m in stock["modules"].values()), 5000)
            for name, module in stock["modules"].items():
                self.assertTrue(module == served["modules"].get(name), name)
            for part, value in stock.items():
                self.assertTrue(value == served[part], "%s differs" % part)

    def test_every_archived_module_equals_its_pyc(self):
        answer = self.run_python(ORACLE, "compare", environment=self.on())
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
