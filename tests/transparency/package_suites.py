"""The test suites of Flask, Werkzeug, requests and Django, from Debian's source packages, against the
installed modules, three times (runs.py).

  package_suites.py --out DIR [PACKAGE...]

Needs root and apt-get; what is not installed is unpacked for the run. The sources are Debian's, from a mirror
that has them, or lie unpacked in PYCDS_SOURCES, each in PACKAGE/*/ with PACKAGE as Debian calls it.
"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import runs  # noqa: E402
import world  # noqa: E402

PYTHON = os.environ["PYCDS_PYTHON"]

# What the suites themselves are run with.
TOOLS = ["python3-pytest", "python3-pluggy", "python3-iniconfig", "python3-packaging", "python3-attr",
         "python3-more-itertools", "python3-py", "python3-ephemeral-port-reserve",
         "python3-pytest-xprocess", "python3-psutil", "python3-pytest-timeout", "python3-pytest-mock"]
WANTED = ["python3-flask", "python3-werkzeug", "python3-requests", "python3-django", "python3-sqlparse",
          "python3-asgiref", "python3-jinja2", "python3-click", "python3-itsdangerous"]

SUITES = {
    "flask": ("flask", "flask", ["tests"], []),
    "werkzeug": ("python-werkzeug", "werkzeug", ["tests"],
                 # These start servers by plugins of pytest's that Debian does not have installed.
                 ["--ignore=tests/test_serving.py", "--ignore=tests/live_apps"]),
    "requests": ("requests", "requests",
                 # The others ask httpbin, by a plugin.
                 ["tests/test_adapters.py", "tests/test_hooks.py", "tests/test_packages.py",
                  "tests/test_structures.py", "tests/test_utils.py", "tests/test_help.py",
                  "tests/test_lowlevel.py"], []),
    "django": ("python-django", "django",
               """apps app_loading basic builtin_server cache check_framework dispatch expressions file_storage
               forms_tests handlers i18n import_error_package logging_tests mail middleware migrations
               model_fields queries requests requests_tests responses servers sessions_tests settings_tests
               shell signals signing template_loader template_tests test_runner test_utils urlpatterns
               urlpatterns_reverse utils_tests validators view_tests wsgi""".split(), []),
}


def release():
    with open("/etc/os-release") as lines:
        return dict(line.rstrip().replace('"', "").split("=", 1) for line in lines
                    if "=" in line)["VERSION_CODENAME"]


def source_version(package):
    """(name, version) of the source of a Debian package, as it is installed or else as apt would take it."""
    command = ["dpkg", "-s"] if world.has_package(package) else ["apt-cache", "show", "--no-all-versions"]
    fields = dict(re.findall(r"^(Package|Source|Version): (.*)", world.run(
        *command, package, env=world.clean_environment()), re.M))
    # "Source: NAME (VERSION)", each only where it is not that of the package.
    name, _, version = fields.get("Source", fields["Package"]).partition(" ")
    return name, version.strip("()") or fields["Version"]


def source(package, directory):
    """Unpacks upstream's source of a Debian package, of the very version that is installed, below `directory`.
    apt's own lists are left alone."""
    name, version = source_version(package)
    place = os.path.join(directory, name)
    done = os.path.join(place, ".complete-" + version)
    if os.path.exists(done):
        return
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(place)
    state = os.path.join(directory, "apt")
    os.makedirs(os.path.join(state, "lists", "partial"), exist_ok=True)
    listed = os.path.join(state, "sources.list")
    options = ["-o", "Dir::Etc::sourcelist=" + listed, "-o", "Dir::Etc::sourceparts=/dev/null",
               "-o", "Dir::State::lists=" + state + "/lists"]
    with open(listed, "w") as file:
        file.write("deb-src http://deb.debian.org/debian %s main\n"
                   "deb-src http://deb.debian.org/debian-security %s-security main\n"
                   % (release(), release()))
    world.run("apt-get", *options, "update", "-qq", env=world.clean_environment())
    # Without a version apt takes the newest, and a security update need not be installed.
    world.run("apt-get", *options, "source", "-qq", "--tar-only", "%s=%s" % (name, version), cwd=place,
              env=world.clean_environment())
    archive = [path for path in glob.glob(place + "/*.orig.tar.*") if not path.endswith(".asc")]
    world.run("tar", "-xf", archive[0], "-C", place)
    with open(done, "w"):
        pass


def is_offered(package):
    """Does this release have it?"""
    said = world.run("apt-cache", "policy", package, env=world.clean_environment())
    return "Candidate:" in said and "Candidate: (none)" not in said


def installed(module):
    return subprocess.run([PYTHON, "-c", "import " + module], env=world.clean_environment(),
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


def django_results(text):
    """Of its own runner's -v 2: 'test_x (module.Class)' or with the name repeated, '... ok'.

    Between the two 3.13 can complain of connections that other tests left open, when a collection finds them.
    Which test that meets depends on every object made before: in stock, forty more lists move it to another."""
    words = {"ok": "passed", "FAIL": "failed", "ERROR": "failed", "skipped": "skipped",
             "expected failure": "passed", "unexpected success": "failed"}
    found = {}
    for match in re.finditer(r"^(\w+ \([\w.]+\))(?: \[[^\n]*\])?(?:\n[^\n]*)? \.\.\. "
                             r"(?:Exception ignored in[^\n]*\n(?:(?!\w+ \([\w.]+\))[^\n]*\n)*?)?"
                             r"(ok|FAIL|ERROR|skipped|expected failure|unexpected success)", text, re.M):
        found[match[1]] = words[match[2]]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=", ".join(SUITES))
    parser.add_argument("--out", required=True)
    parser.add_argument("--runs", default=",".join(runs.RUNS))
    arguments = parser.parse_args()
    chosen = arguments.packages or list(SUITES)
    cache = os.path.join(world.BUILD, "transparency", "sources-" + release())
    if world.MARK not in os.environ and "PYCDS_SOURCES" not in os.environ:
        for name in chosen:
            try:
                source("python3-" + SUITES[name][1], cache)
            except world.Unavailable as error:
                print("%s: skipped: no source package: %s" % (name, str(error).splitlines()[-2:]))
    os.environ.setdefault("PYCDS_SOURCES", cache)
    world.enter([name for name in TOOLS if is_offered(name)] +
                [name for name in WANTED if not world.has_package(name)], PYTHON)

    status = 0
    for name in chosen:
        package, module, tests, options = SUITES[name]
        out = os.path.join(arguments.out, name)
        os.makedirs(out, exist_ok=True)
        if not installed(module):
            print("%s: skipped: %s is not there for %s" % (name, module, PYTHON))
            continue
        # The tests alone: what they import is what is installed.
        tree = next(iter(glob.glob(os.path.join(os.environ["PYCDS_SOURCES"], package, "*/"))), None)
        if tree is None:
            continue
        place = os.path.join(out, "tree")
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place)
        for entry in ("tests", "examples", "requirements-dev.txt", "setup.cfg", "pytest.ini", "CHANGES.rst"):
            if os.path.exists(os.path.join(tree, entry)):
                world.run("cp", "-a", os.path.join(tree, entry), place)

        def run(run_name, lost, variables, place=place, out=out, tests=tests, options=options, name=name):
            begin = time.monotonic()
            junit = os.path.join(out, run_name + ".xml")
            if name == "django":
                command = ["nice", PYTHON, "runtests.py", "-v", "2", "--parallel", "1", "--noinput"] + [
                    t for t in tests if os.path.isdir(os.path.join(place, "tests", t))]
                where = os.path.join(place, "tests")
            else:
                command = ["nice", PYTHON, "-m", "pytest", "-p", "no:cacheprovider", "-q",
                           "--junitxml", junit, "-o", "addopts=", "-o", "junit_family=xunit1",
                           "-W", "ignore"] + options + [
                               t for t in tests if os.path.exists(os.path.join(place, t))]
                where = place
            answer = subprocess.run(command, cwd=where, env=world.clean_environment(**variables),
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, timeout=3600, check=False)
            text = answer.stdout.decode(errors="replace")
            with open(os.path.join(out, run_name + ".log"), "w") as log:
                log.write(text)
            found = django_results(text) if name == "django" else runs.junit_results(junit)
            return found, time.monotonic() - begin

        status |= bool(runs.compare(name, PYTHON, out, run, arguments.runs.split(",")))
    return status


if __name__ == "__main__":
    world.run_main(main)
