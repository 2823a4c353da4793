"""A Debian root, booted with systemd-nspawn and driven from outside. Standard library only.

What runs inside is started with nsenter, so no machined and no login are needed; files are read and
written where the root lies, and processes are looked at from outside, as root, through /proc.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import time

# Generous: a busy machine with two processors. Nothing waits this long unless it hangs.
DEADLINE = 120

# Nothing of the caller's environment gets in.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
               "HOME": "/root", "LANG": "C.UTF-8"}


class CannotBoot(Exception):
    pass


def wait_until(condition, what, deadline=DEADLINE, pause=0.05):
    """Polls something that has no event to wait for; returns what it said at last. `what` may be a
    function that tells more about the failure."""
    end = time.monotonic() + deadline
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError("not within %s s: %s" % (deadline,
                                                          what() if callable(what) else what))
        time.sleep(pause)


class Machine:
    def __init__(self, root, log):
        self.root = pathlib.Path(root)
        self.log = log
        self.process = None
        self.leader = None

    # -- Life -------------------------------------------------------------------------------------

    def boot(self):
        with open(self.log, "ab") as log:
            # The host's cgroup tree may be the old one; the container's is to be what Debian has.
            self.process = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit",
                 "--machine=pycds-test-%d" % os.getpid(), "--directory", str(self.root)],
                env={**ENVIRONMENT, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            self.leader = wait_until(self._find_leader, "systemd-nspawn starts an init", 30)
            wait_until(self._is_up, "the container is up", 60)
        except AssertionError as error:
            self.kill()
            raise CannotBoot("%s; %s" % (error, self.last_words())) from error
        return self

    def last_words(self):
        try:
            with open(self.log, errors="replace") as log:
                lines = [line.strip() for line in log if line.strip()]
        except OSError:
            return "no output"
        return lines[-1] if lines else "no output"

    def _find_leader(self):
        if self.process.poll() is not None:
            raise CannotBoot("systemd-nspawn: " + self.last_words())
        children = pathlib.Path("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid))
        for child in children.read_text().split():
            # The first process of its namespace, once it has become init.
            try:
                status = pathlib.Path("/proc/%s/status" % child).read_text()
                name = pathlib.Path("/proc/%s/comm" % child).read_text().strip()
            except OSError:
                continue
            inside = re.search(r"^NSpid:.*\t1$", status, re.M)
            if inside and name in ("systemd", "init"):
                return int(child)
        return None

    def _is_up(self):
        if self.process.poll() is not None:
            raise CannotBoot("systemd-nspawn: " + self.last_words())
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def poweroff(self):
        self.run("systemctl", "poweroff", check=False)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the container does not power off") from None
        self.process = self.leader = None

    def kill(self):
        """Whatever state it is in, nothing of it is alive afterwards."""
        if self.process is None:
            return
        for pid in (self.leader, self.process.pid):
            if pid is None:
                continue
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.process = self.leader = None

    # -- Inside -----------------------------------------------------------------------------------

    def command(self, arguments, user=None, env=None):
        environment = dict(ENVIRONMENT)
        who = []
        if user is not None:
            environment["HOME"] = "/home/" + user
            who = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"]
        environment.update(env or {})
        return (["nsenter", "--target", str(self.leader), "--all", "--"] + who +
                ["env", "-i"] + ["%s=%s" % pair for pair in environment.items()] +
                [str(argument) for argument in arguments])

    def run(self, *arguments, user=None, env=None, check=True, timeout=DEADLINE, **options):
        answer = subprocess.run(self.command(arguments, user, env), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, timeout=timeout, check=False, text=True,
                                errors="replace", env=ENVIRONMENT,
                                **{"stdin": subprocess.DEVNULL, **options})
        if check and answer.returncode != 0:
            raise AssertionError("%s: status %d\n%s%s" % (
                " ".join(map(str, arguments)), answer.returncode, answer.stdout[-3000:],
                answer.stderr[-3000:]))
        return answer

    def start(self, *arguments, user=None, env=None, **options):
        return subprocess.Popen(self.command(arguments, user, env), text=True, bufsize=1,
                                env=ENVIRONMENT, **{"stdin": subprocess.PIPE,
                                                    "stdout": subprocess.PIPE, **options})

    def path(self, name):
        return self.root / name.lstrip("/")

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def pid_outside(self, inside):
        """The host's number of a process of the container."""
        namespace = os.readlink("/proc/%d/ns/pid" % self.leader)
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                status = (entry / "status").read_text()
                if (re.search(r"^NSpid:.*\t%d$" % inside, status, re.M) and
                        os.readlink(entry / "ns/pid") == namespace):
                    return int(entry.name)
            except OSError:
                continue
        return None

    # -- systemd ----------------------------------------------------------------------------------

    def systemctl(self, *arguments, check=True):
        return self.run("systemctl", *arguments, check=check).stdout.strip()

    def property(self, unit, name):
        return self.systemctl("show", "--value", "--property", name, unit)

    def main_pid(self, unit="pycdsd.service"):
        """Inside; 0 if there is none."""
        return int(self.property(unit, "MainPID"))

    def cursor(self):
        """Where the journal is now: what comes later is journal(after=...)."""
        self.run("journalctl", "--sync", check=False)
        said = self.run("journalctl", "-n", "0", "--show-cursor", "--quiet").stdout
        return re.search(r"cursor: (.*)", said)[1]

    def journal(self, unit="pycdsd.service", after=None):
        """The entries of a unit itself since the boot, oldest first: dicts of their fields."""
        self.run("journalctl", "--sync", check=False)
        # Not with a match for the unit: with one, systemd 252 leaves out the first entry after a
        # cursor.
        answer = self.run("journalctl", "--boot", "--output=json", "--all", "--quiet",
                          *(["--after-cursor", after] if after else []), check=False)
        entries = [json.loads(line) for line in answer.stdout.splitlines()]
        # What systemd's own child says before it becomes the daemon is not the daemon's.
        return [entry for entry in entries if entry.get("_SYSTEMD_UNIT") == unit and
                not str(entry.get("SYSLOG_IDENTIFIER")).startswith("(")]

    def messages(self, after=None, unit="pycdsd.service"):
        return [str(entry.get("MESSAGE")) for entry in self.journal(unit, after)]
