"""The packages are installed, and the service runs as it should."""
import os
import re

import look
from case import MATERIAL, Shared, SystemCase, essential
from machine import wait_until

# What may differ after a purge: logs, what package managers and systemd keep for themselves,
# backups of the lists of users, caches of the dynamic linker, and what these tests have put there.
BOOKKEEPING = re.compile(
    r"^/(proc|sys|run|tmp|dev|root|var/(log|tmp|backups|cache/(apt|ldconfig|debconf))|"
    r"var/lib/(dpkg|apt|systemd|dbus|private)|var/cache/private|etc/(\.pwd\.lock|"
    r"ld\.so\.cache|machine-id|resolv\.conf|(passwd|group|shadow|gshadow|subuid|subgid)-)|"
    r"etc/\.updated|var/\.updated|srv/pycds-test)(/|$)")


def files(root):
    """{path: what it is} of everything that the packages might leave behind or break."""
    found = {}
    for directory, directories, names in os.walk(root):
        inside = "/" + os.path.relpath(directory, root)
        for name in directories + names:
            path = os.path.normpath(os.path.join(inside, name))
            if BOOKKEEPING.match(path):
                continue
            full = os.path.join(directory, name)
            status = os.lstat(full)
            what = ["%o" % status.st_mode, status.st_uid, status.st_gid]
            if os.path.islink(full):
                what.append(os.readlink(full))
            elif os.path.isfile(full):
                what.append(status.st_size)
                if path.startswith("/etc/"):
                    with open(full, "rb") as file:
                        what.append(file.read())
            found[path] = what
        directories[:] = [name for name in directories
                          if not BOOKKEEPING.match(os.path.normpath(os.path.join(inside, name)))]
    return found


class Install(SystemCase):
    @essential
    def test_install(self):
        """apt installs the packages from a directory, asks nothing, and needs nothing else"""
        Shared.files_before = files(self.machine.root)
        Shared.stock_before = self.digest()[0]
        self.machine.run("mkdir", "-p", MATERIAL + "/debs")
        for deb in Shared.debs:
            (self.machine.path(MATERIAL + "/debs") / deb.name).write_bytes(deb.read_bytes())
        self.apt("install", *("%s/debs/%s" % (MATERIAL, deb.name) for deb in Shared.debs))

    @essential
    def test_enable_now(self):
        """systemctl enable --now pycdsd brings it up, again and again"""
        for _ in range(2):
            self.machine.systemctl("enable", "--now", "pycdsd")
            self.assertEqual(self.machine.systemctl("is-active", "pycdsd.service"), "active")
            self.assertEqual(self.machine.systemctl("is-enabled", "pycdsd.socket"), "enabled")
        self.wait_for_daemon()

    def test_nothing_failed(self):
        """no unit of the machine has failed"""
        self.assertEqual(self.machine.systemctl("list-units", "--failed", "--plain",
                                                "--no-legend"), "")

    def test_activation(self):
        """a Python process that starts while the service is stopped starts it by the socket"""
        self.wait_for_images()
        self.machine.systemctl("stop", "pycdsd.service")
        self.addCleanup(self.machine.systemctl, "start", "pycdsd.service")
        self.assertEqual(self.machine.systemctl("is-active", "pycdsd.service", check=False),
                         "inactive")
        self.assert_works_without("json")
        wait_until(lambda: self.machine.systemctl("is-active", "pycdsd.service",
                                                  check=False) == "active",
                   "the service is active", 30)
        self.wait_for_daemon()

    def test_unprivileged(self):
        """the daemon runs as the user pycds, without capabilities, and cannot get new ones"""
        uid = self.machine.run("id", "-u", "pycds").stdout.strip()
        pid = self.daemon_outside()
        self.assertEqual(set(look.status(pid, "Uid").split()), {uid})
        for kind in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh"):
            self.assertEqual(int(look.status(pid, kind), 16), 0, kind)
        self.assertEqual(look.status(pid, "NoNewPrivs"), "1")
        self.assertEqual(look.status(pid, "Seccomp"), "2")

    def test_exposure(self):
        """systemd-analyze security pycdsd says at most 2.0"""
        answer = self.machine.run("systemd-analyze", "security", "--no-pager", "pycdsd.service")
        exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", answer.stdout)
        self.assertLessEqual(float(exposure[1]), 2.0)

    def test_verify(self):
        """systemd-analyze verify has nothing to say about the units"""
        for unit in ("pycdsd.service", "pycdsd.socket"):
            answer = self.machine.run("systemd-analyze", "verify", "--man=no", unit, check=False)
            self.assertEqual((answer.returncode, answer.stdout + answer.stderr), (0, ""))
        self.machine.run("mkdir", "-p", "/run/user/0/systemd")
        found = self.machine.run("sh", "-c", "ls /usr/lib/systemd/user/*pycds*")
        for unit in found.stdout.split():
            answer = self.machine.run("systemd-analyze", "--user", "verify", "--man=no", unit,
                                      check=False, env={"XDG_RUNTIME_DIR": "/run/user/0"})
            self.assertEqual((answer.returncode, answer.stdout + answer.stderr), (0, ""))

    def test_manuals(self):
        """every command has a manual page, the configuration too"""
        have = self.machine.run("sh", "-c", "dpkg -L pycdsd python3-pycds").stdout
        for page in ("man8/pycdsd.8", "man1/pycdsctl.1", "man5/pycdsd.conf.5"):
            self.assertIn("/usr/share/man/" + page, have)
