"""Gone without a trace."""
from case import MATERIAL, PYTHON, Shared, SystemCase
from install import files


class Removal(SystemCase):
    def test_remove(self):
        """remove switches Python back to stock and leaves nothing that runs"""
        self.apt("remove", "pycdsd", "python3-pycds")
        self.assertEqual(self.digest()[0], Shared.stock_before)
        self.assertEqual(self.digest()[3], "no-client")
        self.assertEqual(self.machine.run("pgrep", "pycdsd", check=False).stdout, "")
        self.assertNotEqual(self.machine.systemctl("is-active", "pycdsd.socket", check=False),
                            "active")

    def test_again(self):
        """installed again, it serves again"""
        self.apt("install", *("%s/debs/%s" % (MATERIAL, deb.name) for deb in Shared.debs))
        self.wait_for_images()
        self.assert_served()

    def test_purge(self):
        """purge leaves no file, no user and no unit behind"""
        self.apt("purge", "--autoremove", "pycdsd", "python3-pycds")
        after = files(self.machine.root)
        before = Shared.files_before
        self.assertEqual(sorted(after.keys() - before.keys()), [], "left behind")
        self.assertEqual(sorted(before.keys() - after.keys()), [], "taken away")
        changed = {path: (before[path], what) for path, what in after.items()
                   if before[path] != what}
        self.assertEqual({path for path in changed}, set(), changed)
        for database in ("passwd", "group"):
            answer = self.machine.run("getent", database, "pycds", check=False)
            self.assertNotEqual(answer.returncode, 0, database)
        self.machine.systemctl("daemon-reload")
        self.assertEqual(self.machine.systemctl("list-unit-files", "--no-legend", "*pycds*",
                                                check=False), "")
        self.assertEqual(self.machine.run("find", "/run", "/var", "/etc", "/usr", "-xdev", "-name",
                                          "*pycds*", "-not", "-path", "/run/host/*").stdout, "")
        self.machine.run(PYTHON, "-c", "import json", user="alice")

    def test_after_all(self):
        """no unit of the machine has failed"""
        self.assertEqual(self.machine.systemctl("list-units", "--failed", "--plain",
                                                "--no-legend"), "")
