"""Pages of an image in live processes, as pycdsctl show --pages counts and draws them."""
import os
import subprocess
import xml.etree.ElementTree

import harness

IMPORTS = "argparse, asyncio, json, logging.config, urllib.request"

LIVE = """
import sys, _pycds
print(_pycds.stats()["served"], flush=True)
sys.stdin.readline()
"""

CODE = ("code-once", "modules")


class Pages(harness.PythonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon.ctl("build", "--python", cls.python, "--import", IMPORTS)
        cls.images = {}
        for image in cls.daemon.ctl_json("list")["images"]:
            cls.images[image["id"]] = cls.daemon.ctl_json("show", image["id"])
        # There may be two: what only the daemon's user can change has one of its own.
        cls.image = max(cls.images, key=lambda name: cls.images[name]["root_count"])

    def live(self, code, environment):
        process = subprocess.Popen([self.python, "-c", code + LIVE], env=environment,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        self.assertGreater(int(process.stdout.readline()), 0)
        return process

    def pages(self, *pids, image=None):
        shown = self.daemon.ctl_json("show", image or self.image, "--pages", *map(str, pids))
        self.assertEqual(shown["page_size"], 4096)
        self.assertEqual([process["pid"] for process in shown["processes"]], list(pids))
        return shown["processes"]

    def check_sums(self, process):
        sums = dict.fromkeys(("pages", "dirty", "shared", "absent", "hot_pages", "hot_dirty"), 0)
        for region in process["regions"]:
            for key in sums:
                sums[key] += region[key]
            self.assertEqual(region["pages"],
                             region["dirty"] + region["shared"] + region["absent"], region)
            self.assertLessEqual(region["hot_pages"], region["pages"], region)
            self.assertLessEqual(region["hot_dirty"],
                                 min(region["hot_pages"], region["dirty"]), region)
        self.assertEqual({key: process[key] for key in sums}, sums)

    def test_counts(self):
        process = self.live("import " + IMPORTS, self.on(PYCDS="keep-pages"))
        pages, = self.pages(process.pid)
        self.check_sums(pages)
        header = self.images[self.image]
        self.assertEqual(pages["pages"] * 4096, header["image_size"])
        kinds = [region["kind"] for region in pages["regions"]]
        self.assertEqual(kinds, ["header"] + [region["kind"] for region in header["regions"]])
        regions = {region["kind"]: region for region in pages["regions"]}
        for kind, region in regions.items():
            if not region["objects"]:
                self.assertEqual(region["dirty"], 0, kind)
        self.assertFalse(regions["roots"]["objects"])
        self.assertGreater(regions["roots"]["shared"], 0)
        # Code counts its runs in itself; where the interpreter moves it lies with its module.
        [code] = [regions[kind] for kind in CODE
                  if regions.get(kind, {"pages": 0})["pages"] != 0]
        self.assertTrue(code["objects"])
        self.assertGreater(code["dirty"], 0)
        # Somebody else counts the same.
        every = sum(self.pages(process.pid, image=image)[0]["dirty"] for image in self.images)
        mappings = harness.image_mappings(process.pid)
        self.assertEqual(every * 4, mappings["Anonymous"] + mappings["Swap"])

    def test_who_imports_less_has_less_of_it(self):
        # What is given back is absent too.
        on = self.on(PYCDS="keep-pages")
        little, much = (self.live("import " + names, on) for names in ("json", IMPORTS))
        little_pages, much_pages = self.pages(little.pid, much.pid)
        self.check_sums(little_pages)
        self.check_sums(much_pages)
        self.assertLess(little_pages["dirty"], much_pages["dirty"])
        self.assertGreater(little_pages["absent"], much_pages["absent"])

    def test_pictures(self):
        pids = [str(self.live("import json", self.on()).pid) for _ in range(2)]
        path = os.path.join(self.daemon.directory, "pages.svg")
        for chosen in (pids[:1], pids):
            text = self.daemon.ctl("show", self.image, "--pages", *chosen, "--svg", path).stdout
            self.assertNotIn("\033", text)
            self.assertRegex(text, r"\n(%s) .*\n(  .*\n)*  .*[#*+]" % "|".join(CODE))
            self.assertRegex(text, r"\nroots .*\n  [-.]+\n")
            root = xml.etree.ElementTree.parse(path).getroot()
            self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
            drawn = "".join(root.itertext())
            for pid in chosen:
                self.assertIn(pid, drawn)

    def refused(self, pid, message, *more):
        answer = self.daemon.ctl("show", self.image, "--pages", *more, str(pid), check=False)
        self.assertEqual(answer.returncode, 3, answer)
        self.assertEqual(answer.stdout, "")
        self.assertRegex(answer.stderr, "^pycdsctl: .*%s.*\n$" % message)

    def test_a_process_without_images(self):
        stock = subprocess.Popen([self.python, "-c", "input()"], stdin=subprocess.PIPE,
                                 env=harness.clean_environment())
        self.addCleanup(stock.wait)
        self.addCleanup(stock.stdin.close)
        message = "process %d does not map image %s" % (stock.pid, self.image)
        self.refused(stock.pid, message)
        self.refused(stock.pid, message, str(self.live("import json", self.on()).pid))

    def test_a_process_that_has_ended(self):
        process = subprocess.Popen([self.python, "-c", ""], env=self.on())
        # Ended, not yet waited for.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self.refused(process.pid, "process %d" % process.pid)
        process.wait()
        self.refused(process.pid, "there is no process %d" % process.pid)


if __name__ == "__main__":
    harness.main()
