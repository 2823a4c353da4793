"""A machine of its own for one program: a mount namespace in which /usr is a layer above the real one.

What is unpacked, compiled or switched on in it (an interpreter's hook, the packages of a test suite)
nobody else sees, and it is gone with the last process. Needs root; `enter()` says what is missing.
"""
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

MARK = "PYCDS_TRANSPARENCY_WORLD"
RUN = "/run/pycds"

BUILD = os.environ.get("PYCDS_BUILD", "")
PYCDSD = os.path.join(BUILD, "bin", "pycdsd")
PYCDSCTL = os.path.join(BUILD, "bin", "pycdsctl")


class Unavailable(Exception):
    """It cannot be done on this machine; the text says why."""


def clean_environment(**extra):
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root",
                   "LANG": "C.UTF-8"}
    environment.update(extra)
    return environment


def run(*command, **options):
    """Runs a command that has to succeed and returns what it printed."""
    answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            universal_newlines=True, check=False, **options)
    if answer.returncode != 0:
        raise Unavailable("%s: %s" % (" ".join(command)[:200], answer.stderr.strip()[-500:]))
    return answer.stdout


def has_package(name):
    return subprocess.run(["dpkg", "-s", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


def unpack(packages, directory, python):
    """Debian packages as they are, below `directory` and nowhere else, compiled for `python`."""
    done = os.path.join(directory, ".complete")
    if os.path.exists(done):
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    archives = os.path.join(directory, "archives")
    os.makedirs(archives)
    download = subprocess.run(["apt-get", "download", "-qq"] + list(packages), cwd=archives,
                              env=clean_environment(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True, check=False)
    if download.returncode != 0:
        run("apt-get", "update", "-qq", env=clean_environment())
        run("apt-get", "download", "-qq", *packages, cwd=archives, env=clean_environment())
    for archive in sorted(glob.glob(os.path.join(archives, "*.deb"))):
        run("dpkg-deb", "-x", archive, directory)
    shutil.rmtree(archives)
    # Some files of a test suite are meant not to compile.
    subprocess.run([python, "-I", "-m", "compileall", "-q", "-s", directory, "-p", "/",
                    os.path.join(directory, "usr", "lib")],
                   env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   check=False)
    with open(done, "w"):
        pass
    return directory


def unshare():
    """The command that makes a mount namespace from which nothing leaks."""
    command = ["unshare", "--mount"]
    # In a chroot, whose root is no mount, there is nothing to change; and in one of script/in-root no need.
    with open("/proc/self/mountinfo") as mounts:
        if " shared:" not in mounts.read():
            command += ["--propagation", "unchanged"]
    return command


def enter(packages, python):
    """Runs this program again in a world of its own, with the contents of Debian's `packages`, compiled for
    `python`, in /usr. Returns in there; outside it does not return. Inside, PYCDS_BUILD is a copy:
    what is built meanwhile does not change it."""
    if os.environ.pop(MARK, None) is not None:
        return
    if os.geteuid() != 0:
        raise Unavailable("making a mount namespace needs root")
    which = hashlib.sha256("\n".join([python] + sorted(packages)).encode()).hexdigest()[:16]
    layer = unpack(packages, os.path.join(BUILD, "transparency", "layer-" + which), python)
    scratch = tempfile.mkdtemp(prefix="pycds-world-")
    script = ('mount -t tmpfs scratch "$1" && chmod 755 "$1" && mkdir "$1/upper" "$1/work" "$1/build" && '
              'cp -a "$3/bin" "$3/client" "$1/build" && '
              'mount -t overlay world -o "lowerdir=$2:/usr,upperdir=$1/upper,workdir=$1/work" /usr && '
              'mkdir -p %s && mount -t tmpfs run %s && shift 3 && exec "$@"' % (RUN, RUN))
    inside = unshare() + ["sh", "-c", script, "world", scratch,
              os.path.join(layer, "usr"), BUILD]
    test = subprocess.run(inside + ["true"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    if test.returncode != 0:
        os.rmdir(scratch)
        raise Unavailable("no layer above /usr: " + test.stdout.decode(errors="replace").strip())
    status = subprocess.call(inside + [sys.executable, "-I", "-B", *sys.argv],
                             env=dict(os.environ, **{MARK: "yes",
                                                     "PYCDS_BUILD": scratch + "/build"}))
    os.rmdir(scratch)
    sys.exit(status)


class Service:
    """The daemon at its usual place, and the hook of one interpreter; only inside a world."""

    def __init__(self, python):
        self.python = python
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [PYCDSD, "--user", "--socket", RUN + "/pycdsd.sock", "--config", "/dev/null",
             "--discover", "false"], env=clean_environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(1000):
            if subprocess.run([PYCDSCTL, "status"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, env=clean_environment(),
                              check=False).returncode == 0:
                break
            if self.process.poll() is not None:
                raise Unavailable("the daemon ended with %s" % self.process.returncode)
        run(PYCDSCTL, "enable", self.python, env=clean_environment())

    def build(self, paths):
        """One image of these sources; those that have no valid .pyc are left out of it."""
        with tempfile.NamedTemporaryFile("w", suffix=".plan") as plan:
            plan.write("".join(path + "\n" for path in paths))
            plan.flush()
            return run(PYCDSCTL, "build", "--json", "--python", self.python, "--trace", plan.name,
                       env=clean_environment())

    def stop(self):
        run(PYCDSCTL, "disable", self.python, env=clean_environment())
        self.process.terminate()
        self.process.wait()


def sources(python):
    """Every compiled source of the standard library, its tests too, and of dist-packages."""
    script = ("import os, sys, site, importlib.util as u\n"
              "for root in [os.path.dirname(os.__file__)] + site.getsitepackages():\n"
              "    for where, directories, files in os.walk(root):\n"
              "        for name in sorted(files):\n"
              "            path = os.path.join(where, name)\n"
              "            if name.endswith('.py') and os.path.exists(u.cache_from_source(path)):\n"
              "                print(path)\n")
    return run(python, "-I", "-c", script, env=clean_environment()).splitlines()


def run_main(main_function):
    """Status 77 and the reason where it cannot be done on this machine."""
    try:
        sys.exit(main_function())
    except Unavailable as error:
        print("skipped: %s" % error)
        sys.exit(77)


def main():
    """world.py PACKAGE,... COMMAND...: a command with these Debian packages in /usr, if they are not there."""
    enter([name for name in sys.argv[1].split(",") if not has_package(name)],
          os.environ["PYCDS_PYTHON"])
    os.execvpe(sys.argv[2], sys.argv[2:], dict(os.environ))


if __name__ == "__main__":
    run_main(main)
