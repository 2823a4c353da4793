"""pycdsctl run: randomised interpreters at one address, and programs started as by env(1)."""
import json
import os
import re
import signal
import subprocess
import unittest

import harness

RUN = ("run", "--quiet")
WHERE = ("[line.split('-')[0] for line in open('/proc/self/maps')"
         " if 'libpython3.' in line and 'libpython3.so' not in line][0]")
SEVERAL = "import argparse, asyncio, email.parser, http.client, json, logging, typing, unittest.mock"
LIVE = SEVERAL + "\nprint('ready', flush=True)\ninput()\nimport _pycds\nprint(json.dumps(_pycds.stats()))"


def has_library(python):
    """Does the interpreter load a libpython that could be loaded elsewhere?"""
    answer = subprocess.run([python, "-I", "-S", "-c", "print(%s)" % WHERE],
                            env=harness.clean_environment(), stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL)
    return answer.returncode == 0


class RunCase(harness.PythonCase):
    def setUp(self):
        if harness.PRELOAD:
            self.skipTest("under a sanitizer the address space is full")

    def run_ctl(self, *arguments, daemon=None, environment=None, **options):
        socket = (daemon or self.daemon).socket
        return subprocess.run([harness.PYCDSCTL, "--socket", socket, *arguments],
                              env=environment or harness.clean_environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=harness.DEADLINE, check=False, universal_newlines=True,
                              **options)

    def outcome(self, *arguments, **options):
        answer = self.run_ctl(*arguments, **options)
        return answer.returncode, answer.stdout, answer.stderr


class LikeEnv(RunCase):
    """What is run must not notice, whatever it is."""

    def test_exit_status_and_output(self):
        self.assertEqual(self.outcome(*RUN, "sh", "-c", "echo out; echo err >&2; exit 7"),
                         (7, "out\n", "err\n"))
        self.assertEqual(self.outcome(*RUN, "--", "true"), (0, "", ""))

    def test_missing_and_not_executable(self):
        status, out, err = self.outcome(*RUN, "/nonexistent/program")
        self.assertEqual((status, out), (127, ""))
        self.assertRegex(err, r"^pycdsctl: run: cannot execute /nonexistent/program: [^\n]*\n$")
        self.assertEqual(self.outcome(*RUN, "no-such-program-in-path")[0], 127)
        self.assertEqual(self.outcome(*RUN, "/etc/passwd")[0], 126)
        self.assertEqual(self.outcome(*RUN, "/etc")[0], 126)

    def test_mistakes_of_its_own(self):
        for arguments in (("run",), ("run", "--"), ("run", "--nonsense", "true")):
            status, out, err = self.outcome(*arguments)
            self.assertEqual((status, out), (125, ""), err)
            self.assertTrue(err.startswith("pycdsctl: "), err)

    def test_arguments_are_the_commands(self):
        words = ["--quiet", "-x", "--", "--help", "", "two words", "run"]
        show = 'for word; do printf "<%s>" "$word"; done'
        status, out, err = self.outcome(*RUN, "sh", "-c", show, "sh", *words)
        self.assertEqual((status, out, err), (0, "".join("<%s>" % word for word in words), ""))
        self.assertEqual(self.outcome(*RUN, "--", "echo", "--", "-n")[1], "-- -n\n")

    def test_standard_input(self):
        self.assertEqual(self.outcome(*RUN, "cat", input="some\ntext")[1], "some\ntext")

    def test_closed_descriptors_stay_closed(self):
        show = "ls /proc/self/fd | tr '\\n' ' '"
        def listed(*prefix):
            return subprocess.run(["sh", "-c", 'exec "$@" <&- 2>&-', "sh", *prefix, "sh", "-c", show],
                                  env=harness.clean_environment(), stdout=subprocess.PIPE).stdout
        self.assertEqual(listed(harness.PYCDSCTL, "--socket", self.daemon.socket, *RUN),
                         listed("env"))

    def test_signals(self):
        with subprocess.Popen([harness.PYCDSCTL, "--socket", self.daemon.socket, *RUN, "sh", "-c",
                               "echo $$; exec sleep 1000"], env=harness.clean_environment(),
                              stdout=subprocess.PIPE) as process:
            # It is the same process, so signals and those who wait find it.
            self.assertEqual(int(process.stdout.readline()), process.pid)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(), -signal.SIGTERM)
        self.assertEqual(self.run_ctl(*RUN, "sh", "-c", "kill -9 $$").returncode, -signal.SIGKILL)
        # Neither blocked nor ignored.
        masks = "grep -E '^Sig(Blk|Ign):' /proc/self/status"
        self.assertEqual(self.outcome(*RUN, "sh", "-c", masks)[1],
                         subprocess.run(["sh", "-c", masks], env=harness.clean_environment(),
                                        stdout=subprocess.PIPE, universal_newlines=True).stdout)

    def test_it_is_never_silent_unless_asked(self):
        status, out, err = self.outcome("run", "echo", "x")
        self.assertEqual((status, out), (0, "x\n"))
        self.assertRegex(err, r"^pycdsctl: run: .*less address randomisation.*\n$")
        self.assertNotRegex(err, r"6[6-9a-f][0-9a-f]{10}")

    def test_without_a_daemon_it_starts_all_the_same(self):
        answer = subprocess.run([harness.PYCDSCTL, "--socket", "/nonexistent", "run", "sh", "-c",
                                 "echo ${LD_AUDIT-none}"], env=harness.clean_environment(),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        self.assertEqual((answer.returncode, answer.stdout), (0, "none\n"))
        self.assertRegex(answer.stderr, "^pycdsctl: run: started as without run: no daemon answers")

    def test_somebody_elses_audit_library_is_left_alone(self):
        status, out, err = self.outcome(
            "run", "sh", "-c", "echo $LD_AUDIT",
            environment=harness.clean_environment(LD_AUDIT="/nonexistent.so"))
        self.assertEqual((status, out), (0, "/nonexistent.so\n"))
        self.assertIn("LD_AUDIT is set already", err)

    def test_limited_address_space(self):
        status, out, err = self.outcome("run", "sh", "-c", "echo ${LD_AUDIT-none}",
                                        preexec_fn=limit_address_space)
        self.assertEqual((status, out), (0, "none\n"), err)
        self.assertIn("ulimit -v", err)


def limit_address_space():
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (1 << 32, resource.RLIM_INFINITY))


class AtOneAddress(RunCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not has_library(harness.PYTHON):
            raise unittest.SkipTest("%s loads no libpython" % harness.PYTHON)

    def where(self, *prefix, python=None, options=RUN, script=None, environment=None):
        code = script or "print(%s)" % WHERE
        answer = self.run_ctl(*options, *prefix, python or self.python, "-I", "-S", "-c", code,
                              environment=environment)
        self.assertEqual((answer.returncode, answer.stderr), (0, ""), answer)
        return answer.stdout.split()

    def test_one_address_for_all_and_everything_else_random(self):
        both = ("maps = open('/proc/self/maps').readlines()\n"
                "print(%s)\n"
                "for what in 'libc.so', '[stack]', '[heap]', '[vdso]':\n"
                "    print([line.split('-')[0] for line in maps if what in line][0])" % WHERE)
        seen = [self.where(script=both) for _ in range(5)]
        libraries, *others = zip(*seen)
        self.assertEqual(len(set(libraries)), 1, libraries)
        self.assertRegex(libraries[0], "^6[6-9a-e][0-9a-f]{10}$")
        for addresses in others:
            self.assertGreater(len(set(addresses)), 1, addresses)

    def test_another_daemon_has_another_address(self):
        other = harness.Daemon().start()
        self.addCleanup(other.remove)
        self.addCleanup(other.stop)
        mine = self.where()
        theirs = other.ctl(*RUN, self.python, "-I", "-S", "-c", "print(%s)" % WHERE).stdout.split()
        self.assertNotEqual(mine, theirs)

    def test_an_unlimited_stack(self):
        # The kernel then lays memory out the other way round.
        self.assertEqual(self.where("sh", "-c", 'ulimit -s unlimited && exec "$@"', "sh"), self.where())

    def test_where_the_place_is_taken_it_starts_elsewhere(self):
        # A limit that comes between us and the interpreter leaves no room to make room.
        self.assertNotEqual(self.where("sh", "-c", 'ulimit -v 8000000; exec "$@"', "sh"), self.where())

    def test_wrappers_hand_it_on(self):
        self.assertEqual(self.where("env", "nice", "sh", "-c", 'true; "$@"', "sh"), self.where())

    def test_nothing_is_left_in_the_environment(self):
        code = "import os; os.execvp('env', ['env'])"
        answer = self.run_ctl(*RUN, self.python, "-I", "-S", "-c", code)
        names = {line.split("=")[0] for line in answer.stdout.splitlines()}
        self.assertEqual(names & {"LD_AUDIT", "PYCDS_LAYOUT", "LD_PRELOAD"}, set())

    def test_children_only_on_request(self):
        child = ("import subprocess, sys\nprint(%s, flush=True)\n"
                 "subprocess.run([%r, '-I', '-S', '-c', %r])"
                 % (WHERE, self.python, "print(%s)" % WHERE))
        own, childs = self.where(script=child)
        self.assertNotEqual(own, childs)
        own, childs = self.where(script=child, options=RUN + ("--children",))
        self.assertEqual(own, childs)

    def test_setuid_programs_are_not_touched(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        # ld.so(8), "Secure-execution mode": a path in LD_AUDIT is ignored. A copy of an interpreter that
        # belongs to somebody else and says so.
        copy = os.path.join(self.daemon.directory, "setuid-python")
        with open(os.path.realpath(self.python), "rb") as source, open(copy, "wb") as target:
            target.write(source.read())
        os.chown(copy, 65534, 65534)
        os.chmod(copy, 0o4755)
        answer = self.run_ctl(*RUN, copy, "-I", "-S", "-c",
                              "import os; print(os.geteuid(), os.getuid(), %s)" % WHERE)
        if answer.returncode != 0:
            self.skipTest("it cannot run as another user: " + answer.stderr.strip()[-200:])
        effective, real, where = answer.stdout.split()
        if effective == real:
            self.skipTest("the file system does not do setuid")
        self.assertNotEqual([where], self.where())


class Sharing(RunCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not has_library(harness.PYTHON):
            raise unittest.SkipTest("%s loads no libpython" % harness.PYTHON)
        cls.daemon.ctl("build", "--python", cls.python, "--import", SEVERAL[len("import "):])
        cls.daemon.ctl("build", "--run", "--python", cls.python, "--import", SEVERAL[len("import "):])

    def live(self, *prefix, count=2, **extra):
        """Own kB of the image, and what stats() says, of processes that live at the same time."""
        processes = [subprocess.Popen([*prefix, self.python, "-c", LIVE], env=self.on(**extra),
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      universal_newlines=True) for _ in range(count)]
        found = []
        for process in processes:
            self.assertEqual(process.stdout.readline(), "ready\n")
        mappings = [harness.image_mappings(process.pid) for process in processes]
        for process, mapping in zip(processes, mappings):
            out, _ = process.communicate("\n", timeout=harness.DEADLINE)
            found.append((mapping["Anonymous"], json.loads(out)))
        return found

    def stats_of(self, daemon):
        code = "import argparse, json, _pycds; print(json.dumps(_pycds.stats()))"
        answer = self.run_ctl(*RUN, self.python, "-c", code, daemon=daemon,
                              environment=daemon.on(self.python))
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return json.loads(answer.stdout)

    def under_run(self, **options):
        return self.live(harness.PYCDSCTL, "--socket", self.daemon.socket, *RUN, **options)

    def test_two_processes_share_pages(self):
        alone = self.live()
        together = self.under_run()
        for _, stats in alone:
            self.assertEqual(stats["layout"], "random")
            self.assertTrue(stats["images"][0]["relocated"], stats)
        for _, stats in together:
            self.assertEqual(stats["layout"], "common")
            self.assertFalse(stats["images"][0]["relocated"], stats)
            self.assertGreater(stats["served"], 50)
        # Before 3.12 whatever is used is written, its reference count, and so little is imported here that
        # both have about the same pages.
        if harness.python_version() >= (3, 12):
            self.assertLess(max(own for own, _ in together), 0.6 * min(own for own, _ in alone))

    def test_two_images_beside_each_other(self):
        images = self.daemon.ctl_json("list")["images"]
        self.assertEqual(len({image["identity"] for image in images}), len(images))
        shown = [self.daemon.ctl_json("show", image["id"]) for image in images]
        at_common = [show["interpreter"]["at_common_base"] for show in shown]
        self.assertEqual(sorted(at_common), [False, True])

    def test_without_an_image_of_its_own_the_other_serves(self):
        fresh = harness.Daemon().start()
        self.addCleanup(fresh.remove)
        self.addCleanup(fresh.stop)
        fresh.ctl("build", "--python", self.python, "--import", "argparse, json")
        stats = self.stats_of(fresh)
        self.assertEqual((stats["layout"], stats["images"][0]["relocated"]), ("common", True))
        self.assertGreater(stats["served"], 1)

    def test_everything_is_as_in_stock(self):
        program = SEVERAL + "\nprint(sorted(vars(argparse)), json.dumps([1]), __debug__)\nraise SystemExit(3)"
        stock = self.run_python("-c", program)
        answer = self.run_ctl(*RUN, self.python, "-c", program, environment=self.on())
        self.assertEqual((answer.returncode, answer.stdout, answer.stderr),
                         (stock.returncode, stock.stdout.decode(), stock.stderr.decode()))

    def test_isolated_interpreters(self):
        # -E and -I ignore PYTHONPATH, and with it the client; the linker does not know of them.
        for option in ("-E", "-I"):
            answer = self.run_ctl(*RUN, self.python, option, "-c",
                                  "import sys; print('_pycds' in sys.modules, %s)" % WHERE,
                                  environment=self.on())
            self.assertRegex(answer.stdout, "^False 6[6-9a-e][0-9a-f]{10}\n$")

    def test_a_daemon_that_starts_anew_keeps_or_changes_the_address(self):
        cache = os.path.join(self.daemon.directory, "cache")
        os.mkdir(cache, 0o700)
        daemon = harness.Daemon("--cache", cache).start()
        self.addCleanup(daemon.remove)
        daemon.ctl("build", "--run", "--python", self.python, "--import", "argparse, json")
        def complete():
            return [name for name in os.listdir(cache) if not name.endswith(".new")]
        harness.wait_until(complete, "the image is on the disk")
        name = complete()
        daemon.stop()
        daemon.start()
        self.addCleanup(daemon.stop)
        harness.wait_until(lambda: daemon.ctl_json("list")["images"], "the image is back")
        # Without a descriptor store it is as after a boot: another address, and the image fits it.
        stats = self.stats_of(daemon)
        self.assertEqual((stats["layout"], stats["images"][0]["relocated"]), ("common", False), stats)
        daemon.ctl("verify", "--all")
        harness.wait_until(lambda: len(complete()) == 1 and complete() != name,
                           "the file is the rebased image's")


if __name__ == "__main__":
    harness.main()
