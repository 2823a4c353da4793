"""Adds up what several runs of ctest say: `summary.py DIRECTORY`, for script/test.

Reads DIRECTORY/SUITE.xml (ctest --output-junit) and DIRECTORY/broken (lines of SUITE, tab, what
failed before a test could run) and DIRECTORY/not-here (the same for suites that cannot run on this
machine; each counts as one skipped test). Prints what was skipped with the reason, what failed, and last the
line 'N passed, N failed, N skipped'. Exit status 1 if anything failed or nothing ran.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree


def reason_of(case):
    """Why a test was skipped: what GoogleTest or Python's unittest said, else what ctest says."""
    output = case.findtext("system-out") or ""
    # GTEST_SKIP() << "reason" prints "file:line: Skipped", the reason, and an empty line.
    said = re.search(r": Skipped\n(.+?)\n(?:\n|\[)", output, re.S)
    if said:
        return " ".join(said[1].split())
    said = re.search(r"(?im)^(?:.*\bskipped\b[:= ]+|SKIP: )['\"]?(.+?)['\"]?$", output)
    if said:
        return said[1]
    skipped = case.find("skipped")
    return (skipped.get("message") if skipped is not None else None) or "no reason given"


def skipped_by_itself(case):
    """A test that said so, not one whose program is missing or whose fixture failed."""
    element = case.find("skipped")
    return element is not None and (element.get("message") or "").startswith("SKIP_")


def main(directory):
    passed, failed, skipped = 0, [], []
    broken = directory / "broken"
    if broken.exists():
        failed += ["%s: %s" % tuple(line.split("\t", 1)) for line in broken.read_text().splitlines()]
    not_here = directory / "not-here"
    if not_here.exists():
        skipped += ["%s (%s)" % tuple(line.split("\t", 1))
                    for line in not_here.read_text().splitlines()]
    for report in sorted(directory.glob("*.xml")):
        suite = report.stem
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            name = "%s: %s" % (suite, case.get("name"))
            status = case.get("status")
            if status == "run":
                passed += 1
            elif status == "disabled" or status == "notrun" and skipped_by_itself(case):
                skipped.append("%s (%s)" % (name, reason_of(case)))
            else:
                failed.append(name)
    for title, names in (("skipped", skipped), ("failed", failed)):
        if names:
            print("\n%s:" % title)
            for name in names:
                print("  " + name)
    print("\n%d passed, %d failed, %d skipped" % (passed, len(failed), len(skipped)))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
