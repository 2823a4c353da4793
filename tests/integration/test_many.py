"""One daemon and every interpreter that there is a client for, importing at the same time."""
import json
import subprocess
import sys
import unittest

import harness

MODULES = "argparse, asyncio, decimal, email.message, json, logging.config, unittest, urllib.request, xml.dom.minidom"
PROGRAM = """
import sys
print('ready', flush=True)
sys.stdin.readline()
import %s
parser = argparse.ArgumentParser(prog='many')
parser.add_argument('--name', default='somebody')
print(parser.parse_args([]), json.loads('[1, {"a": 2.5}]'), decimal.Decimal('1.10') + 1,
      xml.dom.minidom.parseString('<a b="c"/>').documentElement.toxml(),
      sorted(name for name in sys.modules if name not in ('_pycds', 'sitecustomize')))
client = sys.modules.get('_pycds')
if client: print('@@' + json.dumps(client.stats()))
""" % MODULES
WANTED = ((3, 9), (3, 10), (3, 11), (3, 12), (3, 13), (3, 14))
EACH = 3


class Many(harness.PythonCase):
    @classmethod
    def setUpClass(cls):
        if harness.PRELOAD:
            raise unittest.SkipTest("it starts interpreters without the run-times of sanitizers")
        super().setUpClass()
        cls.pythons = {}
        for python in harness.interpreters():
            if cls.daemon.ctl("env", "--python", python, check=False).returncode == 0:
                answer = subprocess.run([python, "-ISc", "import sys; print(*sys.version_info[:3])"],
                                        stdout=subprocess.PIPE, check=True, universal_newlines=True)
                cls.pythons[python] = tuple(int(number) for number in answer.stdout.split())
        minors = {version[:2] for version in cls.pythons.values()}
        absent = ["%d.%d" % minor for minor in WANTED if minor not in minors]
        sys.stderr.write("%d interpreters; none of CPython %s\n" % (len(cls.pythons),
                                                                   ", ".join(absent) or "is missing"))
        for python in cls.pythons:
            cls.daemon.ctl("build", "--python", python, "--import", MODULES)

    def start(self, python, environment):
        return subprocess.Popen([python, "-c", PROGRAM], env=environment, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)

    def all_at_once(self, environments):
        """What each of several processes of every interpreter prints; all import at the same time."""
        processes = [(python, self.start(python, environments[python]))
                     for python in self.pythons for _ in range(EACH)]
        for _, process in processes:
            self.assertEqual(process.stdout.readline(), "ready\n")
        for _, process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        said = {python: [] for python in self.pythons}
        for python, process in processes:
            out, errors = process.communicate(timeout=harness.DEADLINE)
            self.assertEqual((process.returncode, errors), (0, ""), python)
            said[python].append(out)
        return said

    def test_all_versions_at_once(self):
        if len(self.pythons) < 2:
            self.skipTest("there is but one interpreter with a client here")
        stock = self.all_at_once({python: harness.clean_environment() for python in self.pythons})
        served = self.all_at_once({python: self.daemon.on(python) for python in self.pythons})
        for python in self.pythons:
            for out in served[python]:
                text, _, stats = out.partition("@@")
                self.assertIn(text, stock[python], python)
                stats = json.loads(stats)
                self.assertEqual(stats["reason"], None, python)
                self.assertGreater(stats["served"], 60, python)
        images = self.daemon.ctl_json("list")["images"]
        self.assertEqual(len({image["identity"] for image in images}), len(self.pythons))


if __name__ == "__main__":
    harness.main()
