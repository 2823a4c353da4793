"""Boots a root and runs the tests of this directory in it, for script/test-system.

    run.py --root DIR --release NAME --report FILE [--only WORD] DEB...

The root is used up. Prints a line per promise; --report gets the same as JUnit XML, in the form of
ctest. Exit status 0: nothing failed; 1: something did; 77: this machine cannot boot it, with the
reason as the last line on stderr.
"""
import argparse
import pathlib
import shutil
import signal
import sys
import time
import traceback
import unittest
import xml.etree.ElementTree as ElementTree

import case
import install
import machine
import of_users
import quiet
import removal
import sharing
import survival
import switching
import tenants
import trouble
import under_load

# In this order.
CASES = (install.Install, sharing.Sharing, switching.Switching, survival.Survival, quiet.Quiet,
         of_users.OfUsers, tenants.Tenants, under_load.UnderLoad, trouble.Trouble, removal.Removal)
MATERIAL = ("program.py", "load.py", "../integration/attackers.py")


class Result(unittest.TestResult):
    """One line for each test, and a report that tests/summary.py reads."""

    def __init__(self, report, suite):
        super().__init__()
        self.report = report
        self.root = ElementTree.Element("testsuite", name=suite)
        self.began = 0
        self.lost = None
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()
        self.reported = False

    def not_reached(self, test):
        """It would have failed, had it been tried."""
        self.startTest(test)
        self.failures.append((test, self.lost))
        self._say(test, "failed", self.lost)

    def _say(self, test, outcome, text=""):
        if self.reported:  # a subtest or a cleanup failed after the test had
            if text:
                print("    " + text.strip().replace("\n", "\n    "), flush=True)
            return
        self.reported = True
        took = time.monotonic() - self.began
        name = "%s: %s" % (type(test).__name__, test.shortDescription() or test.id())
        self.counts[outcome] += 1
        print("%-7s %s (%.1f s)" % (outcome, name, took), flush=True)
        if text:
            print("    " + text.strip().replace("\n", "\n    "), flush=True)
        element = ElementTree.SubElement(
            self.root, "testcase", name=name, classname=test.id(), time="%.3f" % took,
            status={"passed": "run", "failed": "fail", "skipped": "notrun"}[outcome])
        if outcome == "failed":
            ElementTree.SubElement(element, "failure", message=text.strip().split("\n")[-1])
        if outcome == "skipped":
            ElementTree.SubElement(element, "skipped", message="SKIP_" + text)
            text = "SKIP: " + text
        ElementTree.SubElement(element, "system-out").text = text
        ElementTree.ElementTree(self.root).write(self.report)

    def _fail(self, test, error):
        text = "".join(traceback.format_exception(*error))
        self.failures.append((test, text))
        if getattr(getattr(test, getattr(test, "_testMethodName", ""), None), "essential", False):
            self.lost = "not reached: '%s' failed" % test.shortDescription()
        self._say(test, "failed", text)

    def addSuccess(self, test):
        self._say(test, "passed")

    def addError(self, test, err):
        self._fail(test, err)

    def addFailure(self, test, err):
        self._fail(test, err)

    def addSkip(self, test, reason):
        self._say(test, "skipped", reason)


def tests(only):
    """All of them, those of a class in the order in which they stand there."""
    found = []
    for kind in CASES:
        names = [name for name in vars(kind) if name.startswith("test")]
        for name in names:
            test = kind(name)
            if only and not any(word in test.id() for word in only) and not getattr(
                    getattr(test, name), "essential", False):
                continue
            found.append(test)
    return found


def prepare(root):
    """What is there before the packages are."""
    material = pathlib.Path(root + case.MATERIAL)
    material.mkdir(parents=True, exist_ok=True)
    for name in MATERIAL:
        copy = material / pathlib.Path(name).name
        shutil.copy(pathlib.Path(__file__).parent / name, copy)
        copy.chmod(0o644)
    # A boot does not wait for somebody to set it up.
    (pathlib.Path(root) / "etc/hostname").write_text("pycds-test\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    parser.add_argument("--release", required=True)
    parser.add_argument("--report", required=True, type=pathlib.Path)
    parser.add_argument("--only", action="append")
    parser.add_argument("debs", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        # What unittest takes for no test's failure.
        signal.signal(number, signal.default_int_handler)
    prepare(options.root)
    booted = machine.Machine(options.root, options.root + ".boot.log")
    case.Shared.machine = booted
    case.Shared.release = options.release
    case.Shared.debs = options.debs
    result = Result(options.report, "system-" + options.release)
    try:
        try:
            booted.boot()
        except machine.CannotBoot as error:
            print("cannot boot a container: %s" % error, file=sys.stderr)
            return 77
        for user in ("alice", "bob"):
            booted.run("useradd", "--create-home", "--shell", "/bin/sh", user)
        for test in tests(options.only):
            if result.lost:
                result.not_reached(test)
            else:
                test.run(result)
    finally:
        booted.kill()
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % result.counts)
    return 1 if result.failures or not result.counts["passed"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
