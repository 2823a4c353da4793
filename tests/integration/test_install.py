"""cmake --install: the layout that packages and units rely on, and programs that run from there."""
import os
import re
import shutil
import subprocess
import tempfile

# The programs and clients of the harness are the installed ones: the layout below lib/pycds is that
# of the build tree.
TREE = os.environ["PYCDS_BUILD"]
STAGE = tempfile.mkdtemp(prefix="pycds-install-")
PREFIX = os.path.join(STAGE, "usr")
os.environ["PYCDS_BUILD"] = os.path.join(PREFIX, "lib", "pycds")

import harness  # noqa: E402  pylint: disable=wrong-import-position


def install(*options, **environment):
    subprocess.run(["cmake", "--install", TREE, *options], check=True, stdout=subprocess.DEVNULL,
                   env=dict(harness.clean_environment(), **environment))


def files(top):
    """Everything below a directory that is none itself, relative, with clients' versions as X."""
    found = set()
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.relpath(os.path.join(directory, name), top)
            path = re.sub(r"cpython-[0-9]+\.[0-9.]+", "cpython-X", path)
            found.add(re.sub(r"\.cpython-3.*\.so$", ".EXT.so", path))
    return found


EXPECTED = {
    "usr/bin/pycdsctl",
    "usr/sbin/pycdsd",
    "usr/lib/pycds/bin/pycdsctl",
    "usr/lib/pycds/bin/pycdsd",
    "usr/lib/pycds/client/profile.txt",
    "usr/lib/pycds/client/pycds_place.so",
    "usr/lib/pycds/client/pycds_build.py",
    "usr/lib/pycds/client/pycds_patterns.py",
    "usr/lib/pycds/client/pycds_plan.py",
    "usr/lib/pycds/client/cpython-X/_pycds.EXT.so",
    "usr/lib/pycds/client/cpython-X/_pycds_builder.so",
    "usr/lib/pycds/client/cpython-X/sitecustomize.EXT.so",
    "usr/lib/systemd/catalog/pycds.catalog",
    "usr/lib/systemd/system/pycdsd.service",
    "usr/lib/systemd/system/pycdsd.socket",
    "usr/lib/systemd/system-preset/90-pycds.preset",
    "usr/lib/systemd/user/pycdsd.service",
    "usr/lib/systemd/user/pycdsd.socket",
    "usr/lib/systemd/user-preset/90-pycds.preset",
    "usr/lib/sysusers.d/pycds.conf",
    "usr/lib/tmpfiles.d/pycds.conf",
    "usr/share/bash-completion/completions/pycdsctl",
    "usr/share/man/man1/pycdsctl.1",
    "usr/share/man/man5/pycdsd.conf.5",
    "usr/share/man/man8/pycdsd.8",
    "etc/pycds/pycdsd.conf",
}


class Install(harness.PythonCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(shutil.rmtree, STAGE)
        install("--prefix", "/usr", DESTDIR=STAGE)
        super().setUpClass()

    def test_everything_is_in_its_place(self):
        self.assertEqual(EXPECTED - files(STAGE), set())

    def test_links_stay_inside(self):
        for name in ("bin/pycdsctl", "sbin/pycdsd"):
            link = os.path.join(PREFIX, name)
            self.assertFalse(os.path.isabs(os.readlink(link)), link)
            self.assertTrue(os.access(link, os.X_OK), link)

    def test_units_start_what_is_installed(self):
        for kind in ("system", "user"):
            with open(os.path.join(PREFIX, "lib/systemd", kind, "pycdsd.service")) as unit:
                text = unit.read()
            self.assertRegex(text, r"(?m)^ExecStart=/usr/lib/pycds/bin/pycdsd( --user)?$")
            self.assertNotIn("@PYCDS", text)

    def test_any_prefix(self):
        with tempfile.TemporaryDirectory(prefix="pycds-prefix-") as prefix:
            install("--prefix", prefix)
            self.assertEqual({re.sub("^usr/", "", path) for path in EXPECTED} - files(prefix), set())
            with open(os.path.join(prefix, "lib/systemd/system/pycdsd.service")) as unit:
                self.assertIn("ExecStart=%s/lib/pycds/bin/pycdsd\n" % prefix, unit.read())

    def test_the_default_configuration_only_explains(self):
        """Every line of it is a comment, and every option of the daemon is in one."""
        with open(os.path.join(STAGE, "etc/pycds/pycdsd.conf")) as conf:
            lines = conf.read().splitlines()
        self.assertEqual([line for line in lines if line and not line.startswith("#")], [])
        usage = subprocess.run([harness.PYCDSD, "--help"], check=True, stdout=subprocess.PIPE,
                               universal_newlines=True).stdout
        options = set(re.findall(r"(?m)^ .*--([a-z-]+)", usage)) - {"help", "version", "config"}
        shown = {line[1:].split(" = ")[0] for line in lines if re.match("#[a-z-]+ = ", line)}
        self.assertEqual(options - shown, set())

    def test_it_works_from_there(self):
        self.daemon.ctl("build", "--python", self.python, "--import", "json")
        stats, printed = self.stats("import json, _pycds; print(_pycds.__file__)")
        self.assertGreater(stats["served"], 0)
        self.assertTrue(printed.startswith(PREFIX + "/lib/pycds/client/cpython-"), printed)

    def test_the_links_find_the_clients(self):
        answer = subprocess.run(
            [os.path.join(PREFIX, "bin/pycdsctl"), "env", "--python", self.python], check=True,
            env=harness.clean_environment(), stdout=subprocess.PIPE, universal_newlines=True).stdout
        self.assertIn(PREFIX + "/lib/pycds/client/cpython-", answer)


if __name__ == "__main__":
    harness.main()
