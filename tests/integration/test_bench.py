"""bench/pycds_bench.py measures what it says: a short run of it, and its arithmetic.

Numbers are not judged here: a test machine is no place to measure.
"""
import json
import os
import subprocess
import sys
import unittest
from xml.etree import ElementTree

import harness

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench")
sys.path.insert(0, BENCH)
import chart  # noqa: E402
import report  # noqa: E402
import steady  # noqa: E402


def process(anonymous, pss, shmem):
    return {"Anonymous": anonymous, "Pss": pss, "Pss_Shmem": shmem, "Rss": pss}


class Arithmetic(unittest.TestCase):
    def test_ratios_are_those_of_neighbours(self):
        # The machine becomes twice as slow in the middle: no ratio notices.
        s = report.summary({"off": [10.0, 10.0, 20.0, 20.0], "on": [8.0, 8.0, 16.0, 16.0]})
        self.assertAlmostEqual(s["ratio"], 0.8)
        self.assertAlmostEqual(s["ratio_of_fastest"], 0.8)
        self.assertEqual(s["ratio_quartiles"], [0.8, 0.8])
        self.assertAlmostEqual(s["difference"], -3.0)

    def test_the_image_counts_once_and_whole(self):
        s = report.memory_summary({
            "off": [process(900, 1000, 0)] * 4,
            # Each process has 600 for itself and a share of what the image has mapped.
            "on": [process(450, 700, 100)] * 4,
            "daemon": process(300, 350, 50), "image_kb": 1000})
        self.assertEqual(s["daemon_and_image_kb"], 1300)
        self.assertEqual(s["total_off_kb"], 4000)
        self.assertEqual(s["total_on_kb"], 4 * 600 + 1300)
        self.assertEqual(s["private_ratio"], 0.5)
        # 400 saved each: 3 processes save 1200, 4 save 1600.
        self.assertEqual(s["break_even"], 4)

    def test_what_saves_nothing_never_breaks_even(self):
        s = report.memory_summary({"off": [process(1, 1000, 0)], "on": [process(1, 1200, 100)],
                                   "daemon": process(1, 1, 0), "image_kb": 1})
        self.assertIsNone(s["break_even"])

    def test_speed_is_the_other_way_round(self):
        s = steady.summary({"off": [100, 110], "on": [50, 55], "off again": [100, 110]})
        self.assertAlmostEqual(s["speed"], 2.0)
        self.assertAlmostEqual(s["control"], 1.0)

    def test_the_table_has_a_line_for_each_layout(self):
        def result(version, randomised, **more):
            case = {"title": "W", "stats": {"served": 4},
                    "time": {"wall_ms": {"off": [10.0] * 3, "on": [7.0] * 3, "run": [6.0] * 3}},
                    "memory": {"2": {mode: [process(anonymous, 1, 0)] * 2 for mode, anonymous in (
                        ("off", 100), ("on", 110), ("run", 60))}}}
            case["memory"]["2"].update(daemon=process(1, 1, 0), image_kb=1)
            return {"version": version, "randomised": randomised, "cases": [{**case, **more}]}

        self.assertEqual(
            report.table([result("3.11.2", False), result("3.13.0", True, run_stats={"served": 5})]),
            "| CPython | address of the interpreter | W: time | memory |\n|---|---|---|---|\n"
            "| 3.11.2 | fixed | 0.700 | 1.100 |\n| 3.13.0 | randomised | 0.700 | 1.100 |\n"
            "| 3.13.0 | randomised, `pycdsctl run` | 0.600 | 0.600 |\n")

    def test_a_bar_that_is_too_long_stays_in_the_picture(self):
        result = {"case": "x", "title": "a < b & c", "memory": {},
                  "time": {"wall_ms": {"off": [1.0] * 3, "on": [9.0] * 3}}}
        root = ElementTree.fromstring(chart.draw([{"version": "3.11.2", "cases": [result]}]))
        for bar in root.iter("{http://www.w3.org/2000/svg}rect"):
            if not bar.get("width").endswith("%"):
                self.assertLess(float(bar.get("x")) + float(bar.get("width")), chart.WIDTH)


@unittest.skipIf(harness.PRELOAD, "there is nothing to measure under sanitizers")
class ShortRun(harness.PythonCase):
    daemon_options = ("--user",)

    def measured(self, program, *arguments):
        file = os.path.join(self.daemon.directory, "result.json")
        answer = subprocess.run(
            [sys.executable, "-I", "-B", "-c", "import sys, runpy; sys.path.insert(0, %r); "
             "del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')" % BENCH,
             os.path.join(BENCH, program), "--ctl", harness.PYCDSCTL, "--socket",
             self.daemon.socket, "--python", self.python, "--json", file, *arguments],
            env=harness.clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, timeout=harness.DEADLINE, check=False)
        self.assertEqual(answer.returncode, 0, answer.stdout + answer.stderr)
        with open(file) as stream:
            (interpreter,) = json.load(stream)["interpreters"]
        return interpreter, answer.stdout

    def bench(self, *arguments):
        file = os.path.join(self.daemon.directory, "result.svg")
        result = self.measured("pycds_bench.py", "--svg", file, *arguments)
        ElementTree.parse(file)
        return result

    @unittest.skipUnless(harness.have_workload(), "flask, requests and pymongo are not installed")
    def test_stopped(self):
        interpreter, text = self.measured("storm.py", "--storms", "0", "--rounds", "2", "--stops", "3",
                                          "--nice", "0")
        self.assertIn("daemon stopped", text)
        self.assertEqual({mode: len(values) for mode, values in interpreter["stopped"].items()},
                         {"off": 3, "stopped": 3, "no socket": 3})

    def test_time_and_memory(self):
        arguments = ("--import", "json, argparse", "--case", "empty", "--rounds", "1", "--live",
                     "1,2")
        interpreter, text = self.bench(*arguments, "--image", "workload")
        self.assertIn("whole process, ms", text)
        self.assertEqual([case["case"] for case in interpreter["cases"]],
                         ["empty", "import json, argparse"])
        empty, imports = interpreter["cases"]
        # Not nothing: Debian has a sitecustomize.py of its own.
        self.assertLess(empty["served"], 5)
        self.assertGreater(imports["served"], 5)
        self.assertEqual(set(imports["time"]), {"wall_ms", "cpu_ms", "import_ms"})
        self.assertEqual(set(imports["memory"]), {"1", "2"})
        memory = imports["memory"]["2"]
        self.assertEqual(len(memory["on"]), 2)
        self.assertGreater(memory["daemon"]["Pss"], 0)
        self.assertGreater(memory["on"][0]["Pss_Shmem"], 0)
        self.assertEqual(memory["off"][0]["Pss_Shmem"], 0)
        # As script/demo calls it: what is there is used.
        again, _ = self.bench(*arguments, "--no-build")
        self.assertEqual(again["images"][0]["id"], interpreter["images"][0]["id"])

    def test_steady_state(self):
        interpreter, text = self.bench("--import", "json", "--steady", "only", "--steady-rounds",
                                       "1", "--image", "workload")
        self.assertEqual(set(interpreter["steady"]), set(steady.VARIANTS))
        self.assertIn("noise floor", text)
        self.assertEqual(interpreter["cases"], [])


if __name__ == "__main__":
    harness.main()
