"""Images appear by themselves and are shared, by everybody and nobody else than they should be."""
import json

import look
from case import CACHE, MATERIAL, PYTHON, W, SystemCase, essential

VENV = "/home/alice/venv"


class Sharing(SystemCase):
    @essential
    def test_discovery(self):
        """the system image of the distribution's Python appears by itself"""
        images = self.wait_for_images()
        version = self.machine.run(PYTHON, "-c", "import sys; print(sys.version.split()[0])",
                                   user="alice").stdout.strip()
        self.assertTrue(any(image["python"].startswith(version + " ") for image in images), images)
        self.assertGreater(sum(image["modules"] for image in images), 700)

    def test_before_the_image(self):
        """processes that start before there is an image run as stock"""
        # Neither the store, which does not outlive a stop, nor the cache has any.
        self.machine.systemctl("stop", "pycdsd.service")
        self.machine.run("find", CACHE, "-mindepth", "1", "-delete")
        after = self.machine.cursor()
        self.machine.systemctl("start", "pycdsd.service")
        seen = [self.assert_works_without("json, logging")[1] for _ in range(5)]
        self.wait_for_images()
        self.assertTrue(self.built_since(after))
        print("    attached, of five at once:", seen)

    def test_two_users(self):
        """two ordinary users' processes are served from the image"""
        for user in ("alice", "bob"):
            self.assert_served(W, user)

    def test_same_pages(self):
        """they share the same physical pages of the system image and no page of their own"""
        # Pages of an image that a process neither wrote nor gave back.
        frames = {}
        pids = {user: self.alive(W, user) for user in ("alice", "bob")}
        for user, pid in pids.items():
            frames[user] = look.image_frames(pid)
        shared = {user: frames[user][0] for user in frames}
        both = shared["alice"].keys() & shared["bob"].keys()
        self.assertGreater(len(both), 500)
        self.assertEqual([place for place in both
                          if shared["alice"][place] != shared["bob"][place]], [])
        # Whatever is not of the image: only one has it.
        self.assertFalse(frames["alice"][1] & frames["bob"][1])
        own = [look.anonymous_frames(pid) for pid in pids.values()]
        self.assertGreater(min(map(len, own)), 1000)
        self.assertFalse(own[0] & own[1])
        print("    %d pages shared, %d and %d copied" % (
            len(both), len(frames["alice"][1]), len(frames["bob"][1])))

    def test_nothing_of_users(self):
        """no image of the system has a file of a user; a user's own module is stock's"""
        self.machine.run("mkdir", "-p", "/home/alice/lib", user="alice")
        self.machine.run("sh", "-c", "echo 'VALUE = 42' >/home/alice/lib/of_alice.py",
                         user="alice")
        self.addCleanup(self.machine.run, "rm", "-r", "/home/alice/lib")
        program = ("import sys; sys.path.insert(0, '/home/alice/lib'); import json, of_alice; "
                   "import _pycds; print(json.dumps([of_alice.VALUE, _pycds.stats()]))")
        for _ in range(2):
            value, stats = json.loads(self.machine.run(PYTHON, "-c", program, user="alice").stdout)
            self.assertEqual(value, 42)
            self.assertEqual({image["domain"] for image in stats["images"]}, {"system"})
        for image in self.images():
            shown = self.ctl("show", image["id"], "--json").stdout
            self.assertNotIn("/home/", shown)

    def test_venv(self):
        """in a virtual environment made by a user, Python is served from the system image"""
        self.machine.run(PYTHON, "-m", "venv", "--without-pip", "--system-site-packages", VENV,
                         user="alice")
        self.addCleanup(self.machine.run, "rm", "-rf", VENV)
        self.assert_served(W, "alice", VENV + "/bin/python")

    def test_empty(self):
        """a process that imports nothing is as ever"""
        answer = self.machine.run(PYTHON, "-c", "", user="alice")
        self.assertEqual((answer.stdout, answer.stderr), ("", ""))

    def test_isolated(self):
        """python3 -I and -E are served too, -S and PYCDS=off are stock"""
        program = MATERIAL + "/program.py"
        for flag, served in (("-I", "1"), ("-E", "1"), ("-S", "0")):
            answer = self.machine.run(PYTHON, flag, program, "json", user="alice")
            self.assertEqual(answer.stdout.split()[1], served, flag)
        self.assert_stock_by_variable()

    def assert_stock_by_variable(self):
        self.assertEqual(self.digest("json", env={"PYCDS": "off"})[1], False)

    def test_explain(self):
        """pycdsctl explain tells a user what is served to him of the system's image, and why his own file is not"""
        own = "/home/alice/of_alice.py"
        self.machine.run("sh", "-c", "echo 'VALUE = 42' >" + own, user="alice")
        self.addCleanup(self.machine.run, "rm", own)
        answer = self.ctl("explain", "--json", "argparse", "flask", own, user="alice", check=False)
        self.assertEqual(answer.returncode, 1)
        modules = json.loads(answer.stdout)["modules"]
        self.assertEqual([(module["verdict"], module.get("domain")) for module in modules[:2]],
                         [("served", "system")] * 2)
        self.assertEqual(modules[2]["verdict"], "not-served")
        print("    " + modules[2]["sentence"])
        answer = self.ctl("explain", "argparse", user="alice", env={"PYCDS": "off"}, check=False)
        self.assertEqual(answer.returncode, 1)
        self.assertIn("PYCDS=off", answer.stdout)

    def test_doctor(self):
        """pycdsctl doctor says in words that sharing works, for an interpreter and a process"""
        answer = self.ctl("doctor", PYTHON, user="alice")
        print("    " + answer.stdout.strip().replace("\n", "\n    "))
        self.assertRegex(answer.stdout, r"from there \d+ of its modules")
        pid = self.alive()
        inside = look.status(pid, "NSpid").split()[-1]
        answer = self.ctl("doctor", "--pid", inside)
        print("    " + answer.stdout.strip().replace("\n", "\n    "))
        self.assertRegex(answer.stdout, r"img-|image")

    def test_doctor_says_why_not(self):
        """pycdsctl doctor says why it does not work, and fails"""
        self.machine.systemctl("stop", "pycdsd.socket", "pycdsd.service")
        self.addCleanup(self.back_to_normal)
        answer = self.ctl("doctor", PYTHON, user="alice", check=False)
        self.assertNotEqual(answer.returncode, 0)
        self.assertIn("systemctl start pycdsd.socket", answer.stdout + answer.stderr)


