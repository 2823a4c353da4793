"""Nothing stale: seeded steps of file operations, and after each the modules that stock imports.

PYCDS_STEPS says how many (300), PYCDS_SEED where to begin. Every answer comes from a new process: a child
of one that has imported none of them, and is started anew now and then.
"""
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tree import harness  # noqa: E402

STEPS = int(os.environ.get("PYCDS_STEPS", "300"))
SEED = int(os.environ.get("PYCDS_SEED", "20"))
IMPORTER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "importer.py")

NAMES = ["m0", "m1", "m2", "m3", "p0", "p0.a", "p0.b", "p1", "p1.a"]
# Of the tree's two directories, which hold the same names, either may come first.
PLACES = ["one", "two"]
TEXT = ("VALUE = '%s'\n\n\ndef answer(x='%s'):\n    if x in {'a', 'b', 3}:\n        return None\n"
        "    return [x, VALUE]\n%s")


class Importer:
    """A process of the interpreter under test that forks at each request."""

    def __init__(self, python, environment):
        self.process = subprocess.Popen([python, IMPORTER], env=environment, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, universal_newlines=True)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Files:
    """The tree and what may happen to it. `compile` is the interpreter's."""

    def __init__(self, root, generator, compile_):
        self.root = root
        self.generator = generator
        self.compile_ = compile_
        self.number = 0
        self.tag = None
        for place in PLACES:
            for name in NAMES:
                self.write(self.source(place, name))

    def source(self, place, name):
        path = os.path.join(self.root, place, *name.split("."))
        return path + "/__init__.py" if name in ("p0", "p1") else path + ".py"

    def pyc(self, source):
        directory, name = os.path.split(source)
        return os.path.join(directory, "__pycache__", "%s.%s.pyc" % (name[:-3], self.tag))

    def text(self, longer=""):
        self.number += 1
        token = "%06d" % self.number
        return TEXT % (token, token, longer)

    def write(self, path, longer=""):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(self.text(longer))

    def times(self, path):
        try:
            status = os.stat(path)
        except OSError:
            return None
        return (status.st_atime_ns, status.st_mtime_ns)

    def compile(self, path, mode="TIMESTAMP", source=None):
        return self.compile_(source or path, self.pyc(path), path, mode)

    # ---- what may happen: each is called with a source's path.

    def edit(self, path):
        self.write(path)

    def edit_longer(self, path):
        self.write(path, "# %s\n" % ("x" * self.generator.randrange(20)))

    def edit_and_compile(self, path):
        self.write(path)
        self.compile(path)

    def replace(self, path):
        self.write(path + ".new")
        os.replace(path + ".new", path)

    def touch_back(self, path):
        before = self.times(path)
        self.write(path)
        if before:
            os.utime(path, ns=before)

    def touch(self, path):
        if os.path.exists(path):
            os.utime(path, ns=(time.time_ns(), time.time_ns() + self.generator.randrange(-5, 5) * 10 ** 9))

    def clock_back(self, path):
        back = (1_500_000_000 + self.generator.randrange(3)) * 10 ** 9
        back += self.generator.choice([0, 1, 500_000_000, 999_999_999])
        for file in (path, self.pyc(path), os.path.dirname(path)):
            if os.path.exists(file):
                os.utime(file, ns=(back, back))

    def delete(self, path):
        if os.path.lexists(path):
            os.unlink(path)

    def delete_pyc(self, path):
        if os.path.lexists(self.pyc(path)):
            os.unlink(self.pyc(path))

    def delete_cache(self, path):
        shutil.rmtree(os.path.dirname(self.pyc(path)), ignore_errors=True)

    def swap_directories(self, path):
        one, two = (os.path.join(self.root, place) for place in PLACES)
        os.rename(one, one + ".old")
        os.rename(two, one)
        os.rename(one + ".old", two)

    def swap_packages(self, path):
        one, two = (os.path.join(self.root, self.generator.choice(PLACES), name) for name in ("p0", "p1"))
        if os.path.exists(one) and os.path.exists(two):
            os.rename(one, one + ".old")
            os.rename(two, one)
            os.rename(one + ".old", two)

    def swap_files(self, path):
        other = self.source(self.generator.choice(PLACES), self.generator.choice(NAMES))
        if os.path.exists(path) and os.path.exists(other) and path != other:
            os.rename(path, path + ".old")
            os.rename(other, path)
            os.rename(path + ".old", other)

    def lying_pyc(self, path):
        """Another module's code under the header of this source: stock believes it."""
        if not os.path.exists(path):
            return
        other = os.path.join(self.root, "lie.py")
        self.write(other)
        self.compile(path, source=other)
        if os.path.exists(self.pyc(path)):
            status = os.stat(path)
            with open(self.pyc(path), "r+b") as file:
                file.seek(8)
                file.write(struct.pack("<II", int(status.st_mtime) & 0xffffffff,
                                       status.st_size & 0xffffffff))

    def lying_pyc_with_its_times(self, path):
        """The same, written in its place, with the times that it had."""
        pyc = self.pyc(path)
        before = self.times(pyc)
        if before is None:
            return
        keep = pyc + ".keep"
        os.rename(pyc, keep)
        self.lying_pyc(path)
        if os.path.exists(pyc):
            with open(pyc, "rb") as new, open(keep, "r+b") as old:
                old.truncate(0)
                old.write(new.read())
        os.replace(keep, pyc)
        os.utime(pyc, ns=before)

    def broken_pyc(self, path):
        pyc = self.pyc(path)
        if os.path.exists(pyc):
            with open(pyc, "r+b") as file:
                file.truncate(self.generator.choice([0, 3, 15, 16, 40]))

    def damaged_pyc(self, path):
        pyc = self.pyc(path)
        if os.path.exists(pyc):
            with open(pyc, "r+b") as file:
                file.seek(self.generator.choice([0, 4, 8, 12]))
                file.write(b"\x05\x00")

    def copied_pyc(self, path):
        pyc = self.pyc(path)
        if os.path.exists(pyc):
            shutil.copy2(pyc, pyc + ".new")
            os.replace(pyc + ".new", pyc)

    def pyc_of_a_place(self, path):
        """The other directory's, with its times: as rsync or a restored backup brings it."""
        other = self.source(self.generator.choice(PLACES), self.generator.choice(NAMES))
        if os.path.exists(self.pyc(other)) and path != other:
            os.makedirs(os.path.dirname(self.pyc(path)), exist_ok=True)
            shutil.copy2(self.pyc(other), self.pyc(path))

    def hash_pyc(self, path):
        self.compile(path, self.generator.choice(["CHECKED_HASH", "UNCHECKED_HASH"]))

    def symlink(self, path):
        other = self.source(self.generator.choice(PLACES), self.generator.choice(NAMES))
        if os.path.exists(other) and os.path.realpath(other) != os.path.realpath(path):
            self.delete(path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(os.path.realpath(other), path)

    def real_file(self, path):
        if os.path.islink(path):
            os.unlink(path)
        self.edit_and_compile(path)

    def compile_it(self, path):
        self.compile(path)

    def upgrade(self, path):
        """Of a whole package, as dpkg does it: new files beside the old ones, then renamed."""
        place, package = self.generator.choice(PLACES), self.generator.choice(["p0", "p1"])
        sources = [self.source(place, name) for name in NAMES if name.split(".")[0] == package]
        for source in sources:
            if not os.path.islink(source):
                self.replace(source)
        for source in sources:
            self.compile(source)

    def everything_good(self, path):
        for place in PLACES:
            for name in NAMES:
                source = self.source(place, name)
                if not os.path.exists(source):
                    self.delete(source)
                    self.write(source)
                self.compile(source)


OPERATIONS = ["edit", "edit_longer", "edit_and_compile", "edit_and_compile", "replace", "touch_back",
              "touch", "clock_back", "delete", "delete_pyc", "delete_cache", "swap_directories",
              "swap_packages", "swap_files", "lying_pyc", "lying_pyc_with_its_times", "broken_pyc",
              "damaged_pyc", "copied_pyc", "pyc_of_a_place", "hash_pyc", "symlink", "real_file",
              "compile_it", "compile_it", "upgrade", "everything_good"]


class Steps(harness.PythonCase):
    def importer(self, on):
        return Importer(self.python, self.on() if on else harness.clean_environment())

    def build(self, files):
        plan = os.path.join(self.daemon.directory, "plan")
        with open(plan, "w") as file:
            for place in PLACES:
                for name in NAMES:
                    file.write(files.source(place, name) + "\n")
        self.daemon.ctl("build", "--python", self.python, "--trace", plan, check=False)

    def walk(self, seed, steps):
        generator = random.Random(seed)
        root = os.path.join(self.daemon.directory, "steps-%d" % seed)
        stock = self.importer(False)
        files = Files(root, generator, lambda source, pyc, path, mode: stock.ask(
            do="compile", source=source, pyc=pyc, path=path, mode=mode))
        files.tag = self.run_python("-c", "import sys; print(sys.implementation.cache_tag)"
                                    ).stdout.decode().strip()
        files.everything_good(None)
        self.build(files)
        client = self.importer(True)
        served = 0
        done = []
        try:
            for step in range(steps):
                name = generator.choice(OPERATIONS)
                path = files.source(generator.choice(PLACES), generator.choice(NAMES))
                try:
                    getattr(files, name)(path)
                except OSError as error:  # a directory that a step before took away, and the like
                    name += " (%s)" % error.strerror
                done.append((step, name, path[len(root):]))
                if generator.randrange(8) == 0:
                    if generator.randrange(3) != 0:
                        files.everything_good(None)
                    self.build(files)
                    done.append("build")
                # Until then its image is the older one.
                if done[-1] == "build" and generator.randrange(4) != 0:
                    client.stop()
                    client = self.importer(True)
                order = list(NAMES)
                generator.shuffle(order)
                request = {"do": "import", "names": order, "write": generator.randrange(4) == 0,
                           "path": [os.path.join(root, place) for place in
                                    generator.sample(PLACES, 2)]}
                # Stock second: it finds what the client's process, too, may have compiled.
                with_client = client.ask(**request)
                without = stock.ask(**request)
                self.assertEqual(with_client["found"], without["found"],
                                 "seed %d, the last of %d steps: %s" % (seed, step + 1, done[-12:]))
                self.assertEqual(without["served"], 0)
                served += with_client["served"]
        finally:
            client.stop()
            stock.stop()
        return served

    def test_what_runs_is_what_stock_would_have_run(self):
        served = 0
        rounds = max(1, STEPS // 150)
        for seed in range(SEED, SEED + rounds):
            served += self.walk(seed, STEPS // rounds)
        # A walk in which nothing was served would have shown nothing.
        self.assertGreater(served, STEPS)
        sys.stderr.write("%d steps, %d modules compared, %d of them served\n"
                         % (STEPS, STEPS * len(NAMES), served))

    def test_upgrade_while_processes_start(self):
        root = os.path.join(self.daemon.directory, "upgrade")
        stock = self.importer(False)
        self.addCleanup(stock.stop)
        files = Files(root, random.Random(SEED), lambda source, pyc, path, mode: stock.ask(
            do="compile", source=source, pyc=pyc, path=path, mode=mode))
        files.tag = self.run_python("-c", "import sys; print(sys.implementation.cache_tag)"
                                    ).stdout.decode().strip()
        files.everything_good(None)
        self.build(files)
        program = ("import sys\nsys.dont_write_bytecode = True\nsys.path.insert(0, sys.argv[1])\n"
                   "import p0, p0.a, p0.b\nprint(p0.VALUE, p0.a.VALUE, p0.b.VALUE)")
        sources = [files.source("one", name) for name in ("p0", "p0.a", "p0.b")]

        def version():
            values = []
            for source in sources:
                with open(source) as file:
                    values.append(file.readline().split("'")[1])
            return values

        for _ in range(max(3, STEPS // 60)):
            before = version()
            running = [subprocess.Popen([self.python, "-c", program, root + "/one"], env=self.on(),
                                        stdout=subprocess.PIPE, universal_newlines=True)
                       for _ in range(4)]
            for source in sources:
                files.replace(source)
            for source in sources:
                files.compile(source)
            self.build(files)
            after = version()
            self.assertFalse(set(before) & set(after))
            for process in running:
                values = process.communicate()[0].split()
                self.assertEqual(process.returncode, 0)
                for value, old, new in zip(values, before, after):
                    self.assertIn(value, (old, new))
            late = subprocess.run([self.python, "-c", program, root + "/one"], env=self.on(),
                                  stdout=subprocess.PIPE, universal_newlines=True, check=True)
            self.assertEqual(late.stdout.split(), after)


if __name__ == "__main__":
    harness.main()
