"""The daemon restarts, is killed and goes away while processes start all the time."""
import collections
import os
import random
import signal
import statistics
import time

from case import CACHE, LIGHT, SystemCase, percentile
from machine import wait_until

RATE = 500 / 60
SEED = 4711


def together(results):
    """Several runs of load.py as one."""
    reasons = collections.Counter()
    for result in results:
        reasons.update(result["reasons"])
    return {"ms": [took for result in results for took in result["ms"]], "reasons": reasons,
            "attached": sum(result["attached"] for result in results)}


class UnderLoad(SystemCase):
    def setUp(self):
        self.wait_for_images()
        self.expected = self.stock(LIGHT)

    def load(self, seconds, meanwhile=None):
        process = self.start_load(RATE, seconds, LIGHT, self.expected)
        if meanwhile:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                meanwhile()
        result = self.end_of_load(process)
        self.assertEqual(result["failed"], [])
        self.assertGreaterEqual(len(result["ms"]), int(RATE * seconds))
        return result

    def summary(self, title, result):
        values = [percentile(result["ms"], percent) for percent in (50, 90, 99, 100)]
        print("    %-18s %4d starts, p50 %.0f p90 %.0f p99 %.0f max %.0f ms; served %d; not: %s" % (
            (title, len(result["ms"])) + tuple(values) + (
                result["attached"], {reason: count for reason, count in result["reasons"].items()
                                     if reason != "-"})))
        return values

    def test_restarts(self):
        """500 starts a minute, the daemon restarted all the time: none fails or is slowed"""
        def restart():
            self.machine.systemctl("restart", "pycdsd.service")
            time.sleep(3)
        # In turns: what else the machine does is then in both.
        parts = [(self.load(6), self.load(12, restart)) for _ in range(5)]
        without, result = (together(results) for results in zip(*parts))
        self.summary("no restarts", without)
        self.summary("restarts", result)
        # The machine has other work too, and may stand still for a second: that is in one of the turns,
        # what restarts do in each. Of one start in a hundred nothing can be said but that it did not
        # wait for more than the client's deadline.
        for percent in (50, 90, 99, 100):
            before, now = (statistics.median(percentile(run["ms"], percent) for run in runs)
                           for runs in zip(*parts))
            self.assertLess(now, before * 1.5 + (60 if percent < 100 else 250), "p%d" % percent)
        self.assertGreater(result["attached"], 0.9 * len(result["ms"]))

    def test_kills(self):
        """SIGKILL at random moments: processes import what stock would, the daemon returns"""
        after = self.machine.cursor()
        chance = random.Random(SEED)
        kills = 0

        def kill():
            nonlocal kills
            time.sleep(chance.uniform(0.02, 1.5))
            pid = self.machine.main_pid()
            outside = self.machine.pid_outside(pid) if pid else None
            if outside:
                os.kill(outside, signal.SIGKILL)
                kills += 1
        self.summary("SIGKILL", self.load(40, kill))
        print("    %d times" % kills)
        self.assertGreater(kills, 15)
        wait_until(lambda: self.ctl_json("status"), "the daemon is back", 30)
        self.wait_for_images()
        self.ctl("verify", "--all")
        self.assert_served()
        self.assertEqual([message for message in self.machine.messages(after)
                          if "corrupt" in message], [])

    def test_kills_while_building(self):
        """SIGKILL while it builds: it builds again, and what is in the cache is whole"""
        chance = random.Random(SEED + 1)
        for _ in range(5):
            self.machine.systemctl("stop", "pycdsd.service")
            self.machine.run("find", CACHE, "-mindepth", "1", "-delete")
            self.machine.systemctl("start", "pycdsd.service")
            time.sleep(chance.uniform(0.1, 4))
            pid = self.machine.pid_outside(self.machine.main_pid() or -1)
            if pid:
                os.kill(pid, signal.SIGKILL)
            self.assert_works_without(LIGHT)
        self.wait_for_daemon()
        self.wait_for_images()
        self.assert_served()
        # Nothing is left of builders whose daemon is gone.
        self.assertEqual(self.machine.run("pgrep", "-f", "pycds_build", check=False).stdout, "")

    def test_stop(self):
        """stopped and its socket disabled, Python is stock's; started again, it serves"""
        self.machine.systemctl("disable", "--now", "pycdsd.service", "pycdsd.socket")
        self.addCleanup(self.wait_for_images)
        self.addCleanup(self.machine.systemctl, "enable", "--now", "pycdsd.service")
        self.assertEqual(self.assert_stock(), "no-client", "not even a library is loaded")
        self.summary("stopped", self.load(5))
