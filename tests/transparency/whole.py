"""All of the transparency suites for one interpreter, one after the other, and a table of what came out.

  whole.py --out DIR [--short]

Environment: PYCDS_BUILD, PYCDS_PYTHON. script/transparency calls it.
"""
import argparse
import glob
import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = os.environ["PYCDS_PYTHON"]
UNITS = ("rules", "looking", "processes", "patched", "steps", "oracle",
         "deviations")
# What tests of ours look at if it is there.
LAYER = ("python3-coverage,python3-pytest,python3-pluggy,python3-iniconfig,python3-packaging,"
         "python3-attr,python3-more-itertools,python3-py")


def unit(name, out, short):
    """One of our own test files: (row, failed)."""
    environment = dict(os.environ, **({} if short else {"PYCDS_STEPS": "5000", "PYCDS_EVERY": "1"}))
    command = [sys.executable, "-I", "-B", os.path.join(os.path.dirname(HERE), "integration", "run.py"),
               os.path.join(HERE, "test_%s.py" % name)]
    begin = time.monotonic()
    world = [] if short else [sys.executable, "-I", "-B", os.path.join(HERE, "world.py"), LAYER]
    answer = subprocess.run(world + command, env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, universal_newlines=True, check=False)
    if world and answer.returncode == 77 and "skipped: " in answer.stdout:
        answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, universal_newlines=True, check=False)
    with open(os.path.join(out, name + ".log"), "w") as log:
        log.write(answer.stdout)
    count = re.search(r"^Ran (\d+) test", answer.stdout, re.M)
    skipped = re.search(r"skipped=(\d+)", answer.stdout)
    differing = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", answer.stdout))
    notes = re.findall(r"(\d+ (?:steps|modules|of \d+ served).*)$", answer.stdout, re.M)
    if skipped:
        notes.append("%s skipped" % skipped[1])
    failed = answer.returncode not in (0, 77)
    return ["tests/transparency/test_%s.py" % name, count[1] if count else "0", "", str(differing or int(failed)),
            "; ".join(notes), "%d" % (time.monotonic() - begin)], failed


def others(script, out, *arguments):
    """Suites of others, three times: rows of their reports, and whether anything differed."""
    begin = time.monotonic()
    answer = subprocess.run([sys.executable, "-I", "-B", os.path.join(HERE, script), "--out", out,
                             *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            universal_newlines=True, check=False)
    rows = []
    for path in sorted(glob.glob(out + "/report.json") + glob.glob(out + "/*/report.json")):
        with open(path) as file:
            report = json.load(file)
        first = report["runs"]["absent"]
        last = report["runs"].get("everything", {})
        differing = sum(len(tests) for tests in report["differing"].values())
        unsteady = sum(len(tests) for tests in report["unsteady"].values())
        total = sum(first.get(kind, 0) for kind in ("passed", "failed", "skipped"))
        rows.append([report["title"], str(total), str(first.get("passed", 0)), str(differing),
                     "%s modules served in %s processes" % (last.get("served"), last.get("attached")) +
                     ("; %d passed when repeated" % unsteady if unsteady else ""),
                     str(sum(run["seconds"] for run in report["runs"].values()))])
    for line in answer.stdout.splitlines():
        if "skipped: " in line:
            name, _, reason = line.partition("skipped: ")
            rows.append([(name.rstrip(": ") or script), "", "", "", "skipped: " + reason.strip(),
                         "%d" % (time.monotonic() - begin)])
    if not rows:
        rows.append([script, "", "", "?", answer.stdout.strip()[-200:], ""])
    return rows, answer.returncode not in (0, 77)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--short", action="store_true")
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    version = subprocess.run([PYTHON, "-I", "-c", "import sys; print(sys.version.split()[0])"],
                             stdout=subprocess.PIPE, universal_newlines=True, check=True).stdout.strip()
    table = [["", "tests", "pass in stock", "differ", "", "seconds"]]
    failed = False
    todo = [lambda n=n: (lambda row, bad: ([row], bad))(*unit(n, arguments.out, arguments.short))
            for n in UNITS]
    if not arguments.short:
        todo += [lambda: others("cpython_suite.py", arguments.out + "/cpython-quick", "--list", "quick"),
                 lambda: others("cpython_suite.py", arguments.out + "/cpython-slow", "--list", "slow"),
                 lambda: others("leaks.py", arguments.out + "/leaks"),
                 lambda: others("package_suites.py", arguments.out + "/packages")]
    for part in todo:
        rows, bad = part()
        failed |= bad
        for row in rows:
            table.append(row)
            sys.stderr.write("%s %s: %s\n" % (version, "FAILED" if bad else "ok", " | ".join(row)))
    lines = ["Python %s (%s)" % (version, PYTHON), ""]
    lines += ["| " + " | ".join(row) + " |" for row in table[:1]] + ["|" + "---|" * len(table[0])]
    lines += ["| " + " | ".join(row) + " |" for row in table[1:]]
    with open(os.path.join(arguments.out, "table.md"), "w") as file:
        file.write("\n".join(lines) + "\n")
    print("\n".join(lines))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
