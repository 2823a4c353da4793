"""What a process is, and what becomes of it: threads, signals, children, interpreters, ends."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tree import TreeCase, harness  # noqa: E402


EMBEDDING = """
#include <Python.h>
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
    if (argc != 3 || strcmp(argv[1], "thrice") != 0) return Py_BytesMain(argc, argv);
    for (int i = 0; i < 3; ++i) {
        Py_Initialize();
        int status = PyRun_SimpleString(argv[2]);
        printf("%d %d\\n", status, Py_FinalizeEx());
        fflush(stdout);
    }
    return 0;
}
"""


class Embedding(TreeCase):
    """A program with the interpreter in it, which is one of its own: the same that builds the image."""

    @classmethod
    def choose_python(cls):
        library, include = subprocess.run(
            [cls.python, "-c", "import sysconfig as c, os\n"
             "print(os.path.join(c.get_config_var('LIBPL'), c.get_config_var('LIBRARY')))\n"
             "print(c.get_path('include'))"], env=harness.clean_environment(), stdout=subprocess.PIPE,
            universal_newlines=True, check=True).stdout.split()
        program = os.path.join(cls.daemon.directory, "embeds")
        with open(program + ".c", "w") as file:
            file.write(EMBEDDING)
        made = subprocess.run(
            ["gcc", "-no-pie", "-I" + include, "-o", program, program + ".c", library,
             "-Wl,--export-dynamic", "-Wl,--build-id", "-lexpat", "-lz", "-lm", "-ldl", "-lutil", "-lpthread"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if made.returncode != 0:
            raise unittest.SkipTest("no program can be made with %s: %s"
                                    % (library, made.stdout.decode()[-300:]))
        cls.python = program
        if not cls.has(cls, "json"):
            raise unittest.SkipTest("it does not find its library")

    def test_initialised_again_and_again(self):
        self.same(None, "thrice", "import sys; sys.path.insert(0, %r)\n"
                  "import alpha, pack.sub, json, re\nprint(alpha.answer(), pack.sub.name, re.match('a', 'a'),\n"
                  "      alpha.answer.__code__.co_filename, sys.intern('answer') is alpha.answer.__name__)"
                  % self.tree, served=1)

    def test_the_program_as_an_interpreter(self):
        self.same("import alpha, pack.sub, json\nprint(alpha.answer())", served=4)


class Counting(TreeCase):
    """PYCDS_STATS, by which all tests here know that there was something to compare."""

    def test_a_line_for_each_process_that_ends(self):
        self.served_last()
        answer = self.run_python("-c", "import os, alpha\nif os.fork() == 0: raise SystemExit\nos.wait()",
                                 environment=self.on(PYCDS_STATS=self.stats_file), cwd=self.tree)
        self.assertEqual((answer.returncode, answer.stderr), (0, b""))
        with open(self.stats_file) as lines:
            entries = [json.loads(line) for line in lines]
        self.assertEqual(len(entries), 1, entries)
        self.assertEqual(entries[0]["reason"], "")
        self.assertGreaterEqual(entries[0]["served"], 3)

    def test_a_file_that_cannot_be_written(self):
        self.assert_like_stock("-c", "import alpha", cwd=self.tree,
                               on=self.on(PYCDS_STATS="/nonexistent/file"))


class Processes(TreeCase):
    """Threads, signals, children, ends."""

    def test_fork_with_and_without_exec(self):
        self.same("import os, sys, alpha\ncode = alpha.answer.__code__\nfor execute in (0, 1):\n"
                  "    sys.stdout.flush()\n    pid = os.fork()\n    if pid == 0:\n"
                  "        import pack.sub, json.decoder\n        print(alpha.answer(), pack.sub.name, alpha.answer.__code__ is code)\n"
                  "        sys.stdout.flush()\n"
                  "        if execute: os.execv(sys.executable, [sys.executable, '-c', 'import alpha; print(alpha.answer())'])\n"
                  "        os._exit(3)\n"
                  "    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
                  "import pack.sub\nprint(pack.sub.name)", served=6)

    def test_fork_before_the_first_import(self):
        self.same("import os, sys\npids = []\nfor i in range(3):\n    pid = os.fork()\n    if pid == 0:\n"
                  "        import alpha, both\n        os._exit(10 + alpha.answer()[1] + i)\n    pids.append(pid)\n"
                  "print([os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in pids])\nimport alpha\nprint(alpha.answer())")

    def test_threads_importing_at_once(self):
        self.same("import threading, sys\nnames = ['alpha', 'beta', 'gamma', 'pack', 'both', 'asserts',\n"
                  "         'json', 'string', 'csv', 'argparse', 'decimal', 'pdb'] * 4\n"
                  "barrier = threading.Barrier(len(names))\nfound = {}\n"
                  "def go(i, name):\n    barrier.wait()\n    found[i] = __import__(name)\n"
                  "threads = [threading.Thread(target=go, args=x) for x in enumerate(names)]\n"
                  "[t.start() for t in threads]\n[t.join() for t in threads]\n"
                  "print([found[i] is sys.modules[n.partition('.')[0]] for i, n in enumerate(names)])\n"
                  "print(found[0].answer(), threading.active_count(), sorted(set(sys.modules) - {'_pycds'}))",
                  served=10)

    def test_signals_during_import(self):
        self.same("import signal\nhits = []\n"
                  "def handler(number, frame):\n    hits.append(1)\n    import beta\n    beta.outer(1)(2)\n"
                  "signal.signal(signal.SIGALRM, handler)\nsignal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)\n"
                  "import slowly, alpha, pdb, decimal\nsignal.setitimer(signal.ITIMER_REAL, 0)\n"
                  "print(slowly.DONE, len(hits) > 2)", served=5)
        self.same("import signal, sys\nsignal.signal(signal.SIGALRM, signal.default_int_handler)\n"
                  "signal.setitimer(signal.ITIMER_REAL, 0.1)\ntry: import slowly\n"
                  "except KeyboardInterrupt: print('interrupted', 'slowly' in sys.modules)\n"
                  "import slowly\nprint(slowly.DONE)", served=1)

    def test_multiprocessing_in_all_start_methods(self):
        for method in ("fork", "spawn", "forkserver"):
            self.same("import multiprocessing as m, sys\nm.set_start_method('%s')\nimport work\n"
                      "if __name__ == '__main__':\n"
                      "    with m.Pool(2) as pool: print(pool.map(work.job, range(4)))\n"
                      "    q = m.Queue()\n    p = m.Process(target=q.put, args=(5,))\n    p.start()\n"
                      "    print(q.get(), p.join(), p.exitcode)\n" % method, served=5)

    def test_concurrent_futures(self):
        self.same("import concurrent.futures as f, work\nwith f.ThreadPoolExecutor(3) as pool:\n"
                  "    print(list(pool.map(work.job, range(3))))\nwith f.ProcessPoolExecutor(2) as pool:\n"
                  "    print(list(pool.map(work.job, range(3))))", served=5, options=["-W", "ignore"])

    def test_asyncio(self):
        self.same("import asyncio, alpha\nprint(asyncio.run(asyncio.sleep(0, 4)))\n"
                  "async def main():\n    return [x async for x in alpha.Thing().many()], await asyncio.to_thread(alpha.answer)\n"
                  "print(asyncio.run(main()))", served=10)

    def test_subinterpreters(self):
        module = next((m for m in ("_interpreters", "_xxsubinterpreters") if self.has(m)), None)
        if module is None:
            self.skipTest("no module to make subinterpreters with")
        self.same("import %s as i, sys, alpha\n"
                  "for _ in range(3):\n    n = i.create()\n"
                  "    result = i.run_string(n, 'import alpha, pack.sub, json, sys\\nprint(alpha.answer(), pack.sub.name, '\n"
                  "                 'type(alpha.__loader__), sorted(set(sys.modules) - {\"_pycds\"})[:5], flush=True)')\n"
                  "    print(result, flush=True)\n    i.destroy(n)\n"
                  "import pack.sub\nprint(alpha.answer(), pack.sub.name)" % module, served=3)

    def test_gc_and_finalisation_order(self):
        self.same("import finals, alpha, sys\nsys.keep = finals.Last('kept')\n"
                  "class Late:\n    def __del__(self):\n        try: import pack.sub; print(pack.sub.name)\n"
                  "        except BaseException as error: print(type(error))\nlate = Late()", served=3)
        self.same("import finals\nimport gc\nprint(gc.isenabled(), gc.get_threshold(), gc.get_freeze_count())\n"
                  "finals.ring.clear()\ngc.collect()\nraise SystemExit(4)")
        self.same("import alpha, os\nos._exit(5)", served=-1)
        self.same("import alpha, os, signal\nos.kill(os.getpid(), 9)", served=-1)

    def test_gc_callbacks(self):
        self.same("import gc\ncounts = []\ngc.callbacks.append(lambda phase, info: phase == 'start' and counts.append(info['generation']))\n"
                  "import alpha, pack.sub\ngc.collect()\nprint(counts[-1])", served=4)

    def test_weakrefs_to_code(self):
        self.same("import weakref, alpha, gc, sys\nseen = []\nref = weakref.ref(alpha.answer.__code__, lambda r: seen.append(1))\n"
                  "function = weakref.ref(alpha.answer, lambda r: seen.append(2))\nprint(ref() is alpha.answer.__code__)\n"
                  "del alpha.answer\ngc.collect()\nprint(function(), 2 in seen)")

    def test_descriptors_and_threads(self):
        self.same("import os, alpha, threading\nprint(sorted(os.listdir('/proc/self/fd')), len(os.listdir('/proc/self/task')))\n"
                  "print(os.open('/dev/null', os.O_RDONLY), threading.enumerate())\nimport pack.sub\n"
                  "print(os.open('/dev/null', os.O_RDONLY))", served=4)

    def test_closed_standard_streams(self):
        self.same("import os\nfor fd in (0, 1): os.close(fd)\nimport alpha\nprint(os.open('/dev/null', os.O_RDWR),\n"
                  "      file=__import__('sys').stderr)", served=3)

    def test_chroot_like_changes(self):
        self.same("import os, sys\nos.chdir('/')\nos.umask(0o077)\nsys.path.insert(0, '%s')\nimport alpha\n"
                  "print(alpha.answer(), oct(os.umask(0)), os.getcwd())" % self.tree, served=3)

    def test_recursion(self):
        self.same("import sys, gamma\nsys.setrecursionlimit(200)\ntry: gamma.deep(500)\nexcept RecursionError as error: print(error)\n"
                  "import alpha\nprint(alpha.answer())", served=3)

    def test_interactive(self):
        self.same(None, "-i", input=b"import alpha\nalpha.answer()\nalpha.gamma\n1/0\nimport raises\n", served=-1)


if __name__ == "__main__":
    harness.main()
