#!/usr/bin/env python3
"""Runs the programs of recorded.py, each until it has done its work and waits, and writes what they have
written into their images, as a profile. script/record-profile calls it."""
import argparse
import collections
import os
import subprocess
import sys

sys.dont_write_bytecode = True
import recorded  # noqa: E402  (beside this file)

CLEAN = {"PATH": "/usr/bin:/bin", "HOME": "/", "LANG": "C.UTF-8"}
# Says which names its built-in and extension modules have interned, and waits.
WAIT = """
import os, sys
names = set()
for module in list(sys.modules.values()):
    if not hasattr(module, "__file__") or not str(module.__file__).endswith(".py"):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            names.add(name)
            if isinstance(value, type):
                names.update(vars(value))
with open(%d, "w") as report:
    report.write("\\n".join(name for name in names if isinstance(name, str)))
os.read(0, 1)
"""


def image_of(daemon):
    """A descriptor of the one image that the daemon keeps."""
    directory = "/proc/%d/fd" % daemon
    for name in os.listdir(directory):
        if os.readlink(os.path.join(directory, name)).startswith("/memfd:pycds-img-"):
            return os.open(os.path.join(directory, name), os.O_RDONLY)
    sys.exit("record: the daemon keeps no image")


def start(python, code, environment):
    """A process that has run `code` and waits, with the names it has interned; or None and nothing if it
    cannot run it."""
    ready, tell = os.pipe()
    process = subprocess.Popen([python, "-c", code + WAIT % tell], env=environment, pass_fds=[tell],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    os.close(tell)
    with open(ready) as report:
        names = report.read().split("\n")
    if len(names) > 1:
        return process, names
    process.stdin.close()
    process.wait()
    return None, ()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True)
    parser.add_argument("--daemon", type=int, required=True)
    parser.add_argument("--clients", required=True)
    parser.add_argument("--append", action="store_true")
    parser.add_argument("--without", type=lambda words: words.split(","), default=[])
    parser.add_argument("output")
    parser.add_argument("environment", nargs="*")
    arguments = parser.parse_args()
    environment = dict(CLEAN, PYCDS="keep-pages")
    environment.update(line.split("=", 1) for line in arguments.environment)
    image = image_of(arguments.daemon)
    modules = collections.Counter()  # and how many programs import them
    lines = set()
    if arguments.append:
        with open(arguments.output) as file:
            for line in file.read().splitlines():
                if line.startswith("module "):
                    modules[line.split(" ", 2)[2]] = int(line.split(" ", 2)[1])
                elif not line.startswith("#"):
                    lines.add(line)
    here = collections.Counter()
    for name, code in recorded.programs(arguments.without):
        process, names = start(arguments.python, code, environment)
        if process is None:
            print("record: %s does not run here: left out" % name, file=sys.stderr)
            continue
        found = subprocess.run(
            [arguments.python, "-I", "-S", "-B", os.path.join(arguments.clients, "pycds_record.py"),
             str(image), str(process.pid)], pass_fds=[image], stdout=subprocess.PIPE, check=True)
        process.stdin.close()
        process.wait()
        text = found.stdout.decode("utf-8", "replace").split("\n") + ["name " + n for n in names]
        for line in text:
            # A profile is text for people too; what no editor shows is not worth a line.
            if line.startswith("module "):
                here[line.partition(" ")[2]] += 1
            elif line.isprintable() and line == line.strip():
                lines.add(line)
    for module, count in here.items():
        modules[module] = max(modules[module], count)
    lines.update("module %d %s" % (count, module) for module, count in modules.items())
    with open(arguments.output, "w") as file:
        file.write("# What recorded programs wrote into their images: made by script/record-profile,\n"
                   "# read by client/builder/profile.cc. Wrong lines cost clean pages, nothing else.\n")
        file.write("".join(line + "\n" for line in sorted(lines)))


if __name__ == "__main__":
    main()
