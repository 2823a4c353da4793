"""Users who do their worst with the daemon, and one whom that must not concern."""
import json
import os
import signal
import subprocess
import time
import unittest

import attackers
import harness
from harness import PYCDSCTL, clean_environment

# A sanitized interpreter starts by a script of root's: what is built for it is for root alone.
VICTIM = 0 if harness.PRELOAD else 65534
ATTACKER = 1
SECONDS = 4


@unittest.skipUnless(os.geteuid() == 0, "needs root, to be several users")
class Tenants(harness.PythonCase):
    # Whoever does not ask is cut within the test.
    daemon_options = ("--patience", "2")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # As its unit does: who wants the processor too must not make everybody wait for the daemon.
        os.setpriority(os.PRIO_PROCESS, cls.daemon.process.pid, -10)
        cls.daemon.ctl("build", "--python", cls.python, "json", "argparse", "logging")
        cls.attach = attackers.ordinary_request(cls.python, cls.daemon.on(cls.python),
                                                cls.daemon.directory)

    def under(self, *kinds, seconds=SECONDS):
        """What another user's attaches are like while these go on, and what came of these."""
        attacks = [attackers.start(kind, ATTACKER, self.daemon.socket, self.attach, 60)
                   for kind in kinds]
        try:
            victim = attackers.result(attackers.start("victim", VICTIM, self.daemon.socket,
                                                      self.attach, seconds), at_once=False)
        finally:
            ends = [attackers.result(attack) for attack in attacks]
        print("    %s: %s; attacks %s" % (" ".join(kinds) or "quiet", victim, ends), flush=True)
        return victim, ends

    def assert_not_concerned(self, victim):
        for what in ("not connected", "silence", "hung up", "refused"):
            self.assertEqual(victim.get(what, 0), 0, what)
        self.assertGreater(victim["served"], 20)
        # Generous: two processors for all of them, and sanitizers.
        self.assertLess(victim["p99_us"], 1_000_000)

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.daemon.process.pid))

    def settles(self):
        """What the attackers had is given back."""
        harness.wait_until(lambda: self.daemon.ctl_json("status")["connections"] <= 1,
                           "no connection is left")
        harness.wait_until(lambda: self.descriptors() <= self.before, "no descriptor is left")

    def setUp(self):
        harness.wait_until(lambda: self.daemon.ctl_json("status")["connections"] <= 1, "it is quiet")
        self.before = self.descriptors()

    def tearDown(self):
        # It is the same process, and serves.
        self.daemon.answers()

    def test_connect_storm(self):
        victim, _ = self.under("storm")
        self.assert_not_concerned(victim)
        self.settles()

    def test_half_open_connections(self):
        victim, _ = self.under("silent")
        self.assert_not_concerned(victim)
        self.settles()

    def test_descriptors_that_are_not_read(self):
        victim, _ = self.under("deaf")
        self.assert_not_concerned(victim)
        self.settles()

    def test_flood_of_requests(self):
        victim, _ = self.under("flood")
        self.assert_not_concerned(victim)
        self.settles()

    def test_messages_beyond_measure(self):
        victim, (huge,) = self.under("huge")
        self.assert_not_concerned(victim)
        self.assertEqual(huge.get("sent 1000000000", 0), 0)
        self.settles()

    def test_a_descriptor_that_takes_long_to_close(self):
        daemon = self.daemon.process.pid
        os.kill(daemon, signal.SIGSTOP)
        try:
            attack = attackers.start("lingering", ATTACKER, self.daemon.socket, self.attach, 60)
            self.addCleanup(attack.communicate)
            self.assertEqual(json.loads(attack.stdout.readline()), {"tried": 1})
        finally:
            os.kill(daemon, signal.SIGCONT)
        began = time.monotonic()
        self.daemon.ctl("status")
        self.assertLess(time.monotonic() - began, 5)

    def test_flood_of_builds(self):
        victim, (builder,) = self.under("builder")
        self.assert_not_concerned(victim)
        self.assertEqual(builder.get("built", 0), 0)
        self.settles()

    def test_flood_of_offers(self):
        victim, _ = self.under("offerer")
        self.assert_not_concerned(victim)
        self.settles()
        harness.wait_until(lambda: self.daemon.ctl_json("status")["builds_running"] == 0, "no build runs")

    def test_all_at_once(self):
        victim, _ = self.under(*(attack.__name__ for attack in attackers.ATTACKS))
        self.assert_not_concerned(victim)
        self.settles()

    @unittest.skipIf(VICTIM == 0, "there is but one user here")
    def test_who_may_not_build_is_told_who_may(self):
        """Whose uid the kernel gives to all whom it does not know has no images (access.h)."""
        def be():
            os.setgid(VICTIM)
            os.setuid(VICTIM)
        own = os.path.join(self.daemon.directory, "own.py")
        with open(own, "w"):
            os.chown(own, VICTIM, VICTIM)
        answer = subprocess.run(
            [PYCDSCTL, "--socket", self.daemon.socket, "build", "--python", harness.PYTHON, "own"],
            env=clean_environment(PYTHONPATH=self.daemon.directory), stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=be,
            universal_newlines=True, check=False)
        self.assertEqual(answer.returncode, 4, answer.stderr)
        self.assertRegex(answer.stderr, "only root .*may build images with this daemon")

    @unittest.skipIf(VICTIM == 0, "there is but one user here")
    def test_who_asks_too_often_is_locked_out_and_let_in_again(self):
        victim, (storm,) = self.under("storm")
        self.assert_not_concerned(victim)
        # What it may in a second, each second and one more; and it could have a hundred times that.
        most = (SECONDS + 3) * 500 * os.cpu_count()
        self.assertLess(storm["connections"], most)
        self.assertGreater(storm["not connected"], most)
        def status():
            return subprocess.run([PYCDSCTL, "--socket", self.daemon.socket, "status"],
                                  env=clean_environment(), stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, user=ATTACKER, check=False).returncode
        harness.wait_until(lambda: status() == 0, "it is let in")

    def test_views(self):
        """A user is told of himself, not of what another does."""
        self.under(seconds=1)
        def status(uid):
            def be():
                os.setgid(uid)
                os.setuid(uid)
            answer = subprocess.run([PYCDSCTL, "--socket", self.daemon.socket, "status", "--json"],
                                    env=clean_environment(), stdout=subprocess.PIPE, check=True,
                                    preexec_fn=be)
            return json.loads(answer.stdout)
        self.assertGreater(status(VICTIM)["attaches"], 50)
        self.assertEqual(status(2)["attaches"], 0)
        self.assertEqual(status(2)["connections"], 1)
        self.assertGreater(self.daemon.ctl_json("status")["attaches"], 50)


@unittest.skipUnless(os.geteuid() == 0, "needs root, to be several users")
class Unlimited(Tenants):
    """The limits of what somebody has, where he may ask as often as he can."""

    daemon_options = ("--user-requests", "1000000")
    test_messages_beyond_measure = test_a_descriptor_that_takes_long_to_close = None
    test_who_may_not_build_is_told_who_may = test_views = None
    test_who_asks_too_often_is_locked_out_and_let_in_again = None


if __name__ == "__main__":
    harness.main()
