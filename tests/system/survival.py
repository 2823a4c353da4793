"""Images outlive what the daemon does not; and what is stale is not served."""
import os
import signal
import tempfile

import look
import repack
from case import CACHE, MATERIAL, PYTHON, Shared, SystemCase, W
from machine import wait_until

# Of the daemon's events, src/common/base/event.h.
RESTORED = "25f8464b1f65495d93f39990d64519af"
CACHE_IGNORED = "5eaa49d48aba4ebaa5c72ead5e0e482c"

# src/common/image/format.h: what stands at the beginning of an image.
MAGIC = b"PYCDSIMG"


class Survival(SystemCase):
    def published(self):
        return sorted((image["published_unix_ms"], image["size"], image["modules"])
                      for image in self.wait_for_images())

    def assert_kept(self, before, after):
        """The same images as before, none of them built again; they are served."""
        self.wait_for_daemon()
        self.assertEqual(self.published(), before)
        self.assert_served()
        self.assertEqual(self.built_since(after), [])

    def test_restart(self):
        """systemctl restart keeps the images"""
        before, after = self.published(), self.machine.cursor()
        old = self.machine.main_pid()
        self.machine.systemctl("restart", "pycdsd.service")
        self.assertNotEqual(self.machine.main_pid(), old)
        self.assert_kept(before, after)

    def seed(self):
        return self.machine.run("pycdsctl", "run", "--quiet", "--hash-seed", "printenv", "PYTHONHASHSEED",
                                user="alice").stdout

    def mapped_with_seed(self):
        """Generations of the images that a process with the seed maps."""
        return self.machine.run(
            "pycdsctl", "run", "--quiet", "--hash-seed", PYTHON, "-c", "import json, _pycds; "
            "print(*[image['generation'] for image in _pycds.stats()['images']])", user="alice").stdout

    def test_hash_seed(self):
        """the seed of 'run --hash-seed' and its images outlive the daemon, are on no disk, and end with a stop"""
        files = self.machine.run("ls", CACHE).stdout
        ordinary = self.mapped_with_seed()
        self.machine.run("pycdsctl", "build", "--hash-seed", "--python", PYTHON, "--import", "json, argparse")
        before, after, seed = self.published(), self.machine.cursor(), self.seed()
        mapped = self.mapped_with_seed()
        self.assertNotEqual(mapped, ordinary)
        for restart in (lambda: self.machine.systemctl("restart", "pycdsd.service"),
                        lambda: os.kill(self.daemon_outside(), signal.SIGKILL)):
            old = self.machine.main_pid()
            restart()
            wait_until(lambda old=old: self.machine.main_pid() not in (0, old) and self.ctl_json("status"),
                       "the daemon is back", 30)
            self.assert_kept(before, after)
            self.assertEqual((self.seed(), self.mapped_with_seed()), (seed, mapped))
        self.assertEqual(self.machine.run("ls", CACHE).stdout, files)
        self.machine.systemctl("stop", "pycdsd.service")
        self.machine.systemctl("start", "pycdsd.service")
        self.wait_for_images()
        self.assertNotEqual(self.seed(), seed)
        self.assertEqual(self.mapped_with_seed(), ordinary)

    def test_images_outlive_their_daemon(self):
        """a process that maps an image is not disturbed by any of that"""
        pid = self.alive()
        self.machine.systemctl("restart", "pycdsd.service")
        self.wait_for_images()
        with open("/proc/%d/status" % pid) as status:
            self.assertNotIn("zombie", status.read())

    def test_kill(self):
        """SIGKILL of the daemon keeps the images, and it comes back by itself"""
        before, after = self.published(), self.machine.cursor()
        for _ in range(3):
            old = self.daemon_outside()
            os.kill(old, signal.SIGKILL)
            wait_until(lambda old=old: self.machine.main_pid() not in (0, old) and
                       self.ctl_json("status"), "the daemon is back", 30)
        self.assert_kept(before, after)

    def upgrade(self, suffix):
        """Installs the packages with another version."""
        names = []
        with tempfile.TemporaryDirectory() as scratch:
            for deb in Shared.debs:
                deb = repack.with_version(deb, scratch, suffix)
                names.append("%s/debs/%s" % (MATERIAL, deb.name))
                self.machine.path(names[-1]).write_bytes(deb.read_bytes())
        self.apt("install", *names)

    def test_upgrade(self):
        """after an upgrade images are served at once, and Python stays switched on"""
        before, after = self.published(), self.machine.cursor()
        old = self.machine.main_pid()
        self.upgrade("+upgraded")
        self.assertNotEqual(self.machine.main_pid(), old)
        self.assertIn("+upgraded", self.machine.run("dpkg-query", "-W", "pycdsd").stdout)
        self.wait_for_daemon()
        self.assert_served()
        # The ones that there were. Another builder may make others of the same files, so it does
        # then.
        restored = [entry for entry in self.machine.journal(after=after)
                    if entry.get("MESSAGE_ID") == RESTORED]
        self.assertEqual(len(restored), len(before), self.machine.messages(after))
        self.wait_for_images()
        self.assert_served()

    def test_upgrade_leaves_off(self):
        """an upgrade leaves Python switched off where an administrator has switched it off"""
        self.ctl("disable", PYTHON)
        self.addCleanup(self.ctl, "enable", PYTHON)
        self.upgrade("+upgraded.again")
        self.assertEqual(self.assert_stock(), "no-client")

    def test_reboot(self):
        """after a reboot images are there without being built"""
        before = self.published()
        self.machine.poweroff()
        self.machine.boot()
        self.assertEqual([image[1:] for image in self.published()],
                         [image[1:] for image in before])
        self.assert_served()
        self.assertEqual(self.built_since(None), [])

    def test_known_after_reboot(self):
        """pycdsctl knows the images from the cache in processes that map them"""
        self.machine.systemctl("stop", "pycdsd.service")
        self.machine.systemctl("start", "pycdsd.service")
        self.wait_for_images()
        pid = self.alive()
        inside = look.status(pid, "NSpid").split()[-1]
        self.ctl("doctor", "--pid", inside)
        image = max(self.system_images(), key=lambda image: image["attaches"])
        self.ctl("show", image["id"], "--pages", inside)

    # -- The cache --------------------------------------------------------------------------------

    def cached(self):
        found = [path for path in self.machine.path(CACHE).rglob("*")
                 if path.is_file() and path.stat().st_size > 1 << 20]
        self.assertTrue(found, "there is no image in the cache")
        return max(found, key=lambda path: path.stat().st_size)

    def assert_ignored(self, damage):
        self.wait_for_images()
        wait_until(lambda: [path for path in self.machine.path(CACHE).rglob("*")
                            if path.is_file() and path.stat().st_size > 1 << 20],
                   "images are written to the cache", 30)
        self.machine.systemctl("stop", "pycdsd.service")
        self.addCleanup(self.machine.systemctl, "start", "pycdsd.service")
        damage(self.cached())
        after = self.machine.cursor()
        self.machine.systemctl("start", "pycdsd.service")
        self.wait_for_images()
        ignored = [entry for entry in self.machine.journal(after=after)
                   if entry.get("MESSAGE_ID") == CACHE_IGNORED]
        self.assertEqual(len(ignored), 1, self.machine.messages(after))
        print("    " + ignored[0]["MESSAGE"])
        self.assertIn("PYCDS_FILE", ignored[0])
        self.assertTrue(self.built_since(after))
        self.assert_served()
        # And that one is good again.
        after = self.machine.cursor()
        wait_until(lambda: self.machine.path(CACHE).rglob("*"), "it is cached", 30)
        self.machine.systemctl("stop", "pycdsd.service")
        self.machine.systemctl("start", "pycdsd.service")
        self.wait_for_images()
        self.assertEqual(self.built_since(after), [])

    @staticmethod
    def flip(path, offset):
        with open(path, "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 0x10]))

    def test_flipped_byte(self):
        """a file of the cache with one flipped byte is ignored, named in the log, and made anew"""
        self.assert_ignored(lambda path: self.flip(path, path.stat().st_size // 2))

    def test_half_written(self):
        """so is one that was written by half"""
        self.assert_ignored(lambda path: os.truncate(path, path.stat().st_size // 2))

    def test_other_version(self):
        """so is one of another version of the format"""
        def damage(path):
            start = path.read_bytes().find(MAGIC)
            self.assertGreaterEqual(start, 0)
            self.flip(path, start + len(MAGIC))
        self.assert_ignored(damage)

    def test_foreign_file(self):
        """so is one that does not belong to the daemon"""
        self.assert_ignored(lambda path: os.chown(path, 0, 0))

    # -- Packages ---------------------------------------------------------------------------------

    def test_python_package(self):
        """an upgraded Python package is what runs at once, and is in a new image soon"""
        package, module = "python3-idna", "idna"
        program = ("import idna, json, _pycds; print(json.dumps([getattr(idna, 'OF_TEST', None), "
                   "_pycds.stats()['misses'].get('source-changed', 0) + "
                   "_pycds.stats()['misses'].get('pyc-changed', 0)]))")

        def say():
            return self.machine.run(PYTHON, "-c", program, user="alice").stdout.strip()

        def change(tree):
            with open(tree / "usr/lib/python3/dist-packages" / module / "__init__.py", "a") as file:
                file.write("OF_TEST = 4711\n")

        self.assertEqual(say(), "[null, 0]")
        with tempfile.TemporaryDirectory() as scratch:
            original = repack.of_installed(self.machine.root, package, scratch)
            changed = repack.of_installed(self.machine.root, package, scratch, "+test", change)
            for deb in (original, changed):
                self.machine.path("%s/%s" % (MATERIAL, deb.name)).write_bytes(deb.read_bytes())
        after = self.machine.cursor()
        self.machine.run("dpkg", "--install", "%s/%s" % (MATERIAL, changed.name))
        self.addCleanup(self.wait_for_images)
        self.addCleanup(self.machine.run, "dpkg", "--force-downgrade", "--install",
                        "%s/%s" % (MATERIAL, original.name))
        self.assertIn("[4711, ", say())
        wait_until(lambda: say() == "[4711, 0]", "the new one is in an image; %s" % say, 60, 0.3)
        self.assertTrue(self.built_since(after))
        self.assert_served()
