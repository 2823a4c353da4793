"""What it says, what it costs, and how it takes another configuration."""
import re
import time

import look
from case import DROP_IN, LIGHT, PYTHON, SystemCase
from machine import wait_until

# src/common/base/event.h
STARTED = "c332c2e1efb04d179941af63248069db"
PUBLISHED = "41bbf47a514f4d84b448c89a2ef722c4"
RESTORED = "25f8464b1f65495d93f39990d64519af"
RELOADED = "81bfab05301445238f41e6f9dd0ce90a"
RELOAD_REFUSED = "967f89c1c50841b9a5cce7844e3ed2fc"

# Connects, says so, and says after the reload whether it is still connected.
CLIENT = """
import select, socket, sys
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.connect("/run/pycds/pycdsd.sock")
print("connected", flush=True)
sys.stdin.readline()
poll = select.poll()
poll.register(connection, select.POLLIN | select.POLLHUP)
print("dropped" if poll.poll(0) else "still connected", flush=True)
"""


class Quiet(SystemCase):
    def setUp(self):
        self.wait_for_images()

    def event(self, message_id, after=None):
        def found():
            for entry in self.machine.journal(after=after):
                if entry.get("MESSAGE_ID") == message_id:
                    return entry
            return None
        return wait_until(found, lambda: "an event %s; there is %s" % (
            message_id, self.machine.messages(after)), 30)

    # -- Configuration ----------------------------------------------------------------------------

    def reload_with_client(self, text):
        """What the events after a reload with a drop-in are; a client is connected all the time."""
        client = self.machine.start(PYTHON, "-I", "-c", CLIENT, user="alice", env={"PYCDS": "off"})
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.wait)
        self.addCleanup(client.stdin.close)
        self.assertEqual(client.stdout.readline(), "connected\n")
        after = self.machine.cursor()
        pid = self.machine.main_pid()
        self.machine.write(DROP_IN, text)
        self.machine.systemctl("reload", "pycdsd.service", check=False)
        return after, pid, client

    def ask(self, client):
        client.stdin.write("\n")
        client.stdin.flush()
        return client.stdout.readline()

    def away(self):
        self.machine.path(DROP_IN).unlink()
        self.machine.systemctl("reload", "pycdsd.service")

    def test_bad_configuration(self):
        """a mistake is named with file and line, nothing else changes, no client is dropped"""
        self.addCleanup(self.away)
        after, pid, client = self.reload_with_client("# of the test\nimage-bugdet = 12\n")
        entry = self.event(RELOAD_REFUSED, after)
        self.assertEqual(self.ask(client), "still connected\n")
        print("    " + entry["MESSAGE"])
        self.assertRegex(entry["MESSAGE"], re.escape(DROP_IN) + r"[:, ]+(line )?2\b")
        self.assertIn("image-bugdet", entry["MESSAGE"])
        self.assertEqual(self.machine.main_pid(), pid)
        self.assert_served()

    def test_good_configuration(self):
        """another configuration is applied by a reload, and no client is dropped"""
        self.addCleanup(self.away)
        after, pid, client = self.reload_with_client("verbose = true\n")
        entry = self.event(RELOADED, after)
        print("    " + entry["MESSAGE"])
        self.assertEqual(self.ask(client), "still connected\n")
        self.assertEqual(self.machine.main_pid(), pid)
        self.assert_served()

    def test_needs_restart(self):
        """what a reload cannot change is said to need a restart"""
        self.addCleanup(self.away)
        after, _, _ = self.reload_with_client("cache = none\n")
        print("    " + self.wait_for_message("restart", after))

    # -- Journal ----------------------------------------------------------------------------------

    def test_events(self):
        """events in the journal have message ids and fields"""
        after = self.machine.cursor()
        self.machine.systemctl("restart", "pycdsd.service")
        self.wait_for_images()
        self.assertIn("PYCDS_VERSION", self.event(STARTED, after))
        entry = self.event(RESTORED, after)
        self.assertRegex(entry["PYCDS_IMAGE"], r"^img-\d+$")
        self.assertRegex(entry["PYCDS_BYTES"], r"^\d+$")
        self.assertEqual(entry["SYSLOG_IDENTIFIER"], "pycdsd")

    def test_not_chatty(self):
        """a hundred attaches write nothing to the journal"""
        after = self.machine.cursor()
        before = self.ctl_json("status")["attaches"]
        self.machine.run("sh", "-c", "for i in $(seq 100); do python3 -c 'import json'; done",
                         user="alice")
        self.assertGreaterEqual(self.ctl_json("status")["attaches"], before + 100)
        self.assertEqual(self.machine.messages(after), [])

    # -- Cost -------------------------------------------------------------------------------------

    def test_idle(self):
        """an idle daemon uses no processor and does not wake up"""
        pid = self.daemon_outside()
        before = look.activity(pid)
        time.sleep(10)
        after = look.activity(pid)
        self.assertEqual(after[0], before[0], "clock ticks")
        # A ping of the watchdog is one or two.
        self.assertLessEqual(after[1] - before[1], 4, "context switches")

    def test_memory(self):
        """an idle daemon has less than 15 MB for itself, images aside"""
        for _ in range(20):
            self.digest(LIGHT)
        private = look.private_kb(self.daemon_outside())
        print("    %d kB" % private)
        self.assertLess(private, 15 * 1024)
