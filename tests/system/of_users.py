"""A daemon of a user's own, by the user's service manager."""
import json

from case import PYTHON, SystemCase
from machine import wait_until

UID = 4711
RUNTIME = "/run/user/%d" % UID
SOCKET = RUNTIME + "/pycds/pycdsd.sock"


class OfUsers(SystemCase):
    def test_user_units(self):
        """a user's own daemon runs as a unit of the user's and serves the user's files"""
        machine = self.machine
        machine.run("useradd", "--create-home", "--uid", UID, "carol")
        self.addCleanup(machine.run, "userdel", "--remove", "carol", check=False)
        self.addCleanup(machine.systemctl, "stop", "user@%d.service" % UID, check=False)
        machine.systemctl("start", "user@%d.service" % UID)
        env = {"XDG_RUNTIME_DIR": RUNTIME}
        machine.run("systemctl", "--user", "start", "pycdsd.socket", user="carol", env=env)
        machine.run("sh", "-c", "mkdir ~/lib && echo 'VALUE = 42' >~/lib/of_carol.py", user="carol")
        env.update(PYCDS_SOCKET=SOCKET, PYTHONPATH="/home/carol/lib")
        machine.run(PYTHON, "-c", "import of_carol", user="carol", env=env)
        machine.run("pycdsctl", "--socket", SOCKET, "build", "--import", "of_carol", user="carol",
                    env=env)
        program = ("import of_carol, json, _pycds; "
                   "print(json.dumps([of_carol.VALUE, _pycds.stats()]))")
        value, stats = json.loads(machine.run(PYTHON, "-c", program, user="carol", env=env).stdout)
        self.assertEqual(value, 42)
        self.assertTrue(stats["attached"], stats)
        self.assertIn("user", {image["domain"] for image in stats["images"]})
        # Nobody else gets it.
        answer = machine.run(PYTHON, "-c", program.replace("of_carol, ", "").replace(
            "of_carol.VALUE", "0"), user="alice", env={"PYCDS_SOCKET": SOCKET})
        self.assertFalse(json.loads(answer.stdout)[1]["attached"])
        machine.run("systemctl", "--user", "stop", "pycdsd.socket", "pycdsd.service", user="carol",
                    env=env)
        wait_until(lambda: machine.run("pgrep", "-u", "carol", "pycdsd", check=False).stdout == "",
                   "the daemon of the user ends", 30)
