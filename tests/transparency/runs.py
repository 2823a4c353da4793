"""A test suite of others three times: without the client, with one that has nothing to serve, and with one
that serves everything."""
import collections
import json
import os
import sys
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import world  # noqa: E402

RUNS = ("absent", "nothing-to-serve", "everything")


def junit_results(path):
    """{test: 'passed'|'failed'|'skipped'} of a JUnit file."""
    found = {}
    if not os.path.exists(path):
        return found
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = ("failed" if kinds & {"error", "failure"} else
                   "skipped" if "skipped" in kinds else "passed")
        name = ".".join(filter(None, (case.get("classname"), case.get("name"))))
        # Twice in a run (a mixin's, say): passed if both did.
        if found.get(name) != "failed":
            found[name] = outcome
    return found


def served(path):
    """What the clients of a run said when they ended (PYCDS_STATS)."""
    sums = collections.Counter()
    if os.path.exists(path):
        with open(path) as lines:
            for line in lines:
                entry = json.loads(line)
                sums["processes"] += 1
                sums["attached"] += not entry["reason"]
                sums["served"] += entry["served"]
                sums["patterns"] += entry["patterns"]
    return dict(sums)


def compare(title, python, out, run, names=RUNS, sources=None):
    """`run(name, tests, variables)` runs the suite, or of it what the tests in the list `tests` are in, and
    returns {test: outcome}. Prints a line for each run, writes a report (not of a suite that cannot run
    here, of which it says so), and returns the number of tests that pass without the client and fail with it, again and again."""
    os.makedirs(out, exist_ok=True)
    service = world.Service(python)
    report = {"title": title, "python": python, "runs": {}, "differing": {}, "unsteady": {}}
    outcomes = {}

    def once(name, tests=None):
        stats = os.path.join(out, name + ".stats")
        if os.path.exists(stats):
            os.unlink(stats)
        # The same variables in each run, so that no test sees a difference there.
        found, seconds = run(name, tests, {"PYCDS_STATS": stats, "PYTHONHASHSEED": "0"})
        return found, dict(collections.Counter(found.values()), seconds=round(seconds), **served(stats))

    try:
        for name in names:
            if name != RUNS[0] and service.process is None:
                service.start()
            if name == RUNS[2]:
                service.build(world.sources(python) + list(sources() if sources else []))
            outcomes[name], report["runs"][name] = once(name)
            print("%s: %s: %s" % (title, name, json.dumps(report["runs"][name])), flush=True)
            if name == RUNS[0] and "passed" not in outcomes[name].values():
                print("%s: skipped: no test passes without the client, see %s" %
                      (title, os.path.join(out, name + ".log")))
                return 0
            # A busy machine makes tests fail, too: what fails for a reason fails once more, alone.
            lost = sorted(test for test, outcome in outcomes.get(RUNS[0], {}).items()
                          if outcome == "passed" and outcomes[name].get(test) != "passed")
            if lost:
                again, _ = once(name + "-again", lost)
                for test in lost:
                    kind = "unsteady" if again.get(test) == "passed" else "differing"
                    report[kind].setdefault(name, []).append(test)
                    print("%s: %s: %s: %s" % (title, name, kind, test), flush=True)
    finally:
        if service.process is not None:
            service.stop()
    with open(os.path.join(out, "report.json"), "w") as file:
        json.dump(report, file, indent=1)
    hits = report["runs"].get(RUNS[2], {}).get("served", 1)
    if hits == 0:
        print("%s: nothing was served: the runs prove nothing" % title)
    return sum(len(tests) for tests in report["differing"].values()) + (hits == 0)
