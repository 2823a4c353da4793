"""FileFinder.find_spec in C++ finds what the original finds, whatever the tree looks like."""
import os
import shutil

import harness

# Prints what finders say of many names while a seeded sequence of file operations goes on around
# them. Run with and without the client: the output must be the same to the byte.
STEPS = r"""
import importlib, importlib.machinery, os, random, shutil, sys
sys.dont_write_bytecode = True
root, seed = sys.argv[1], int(sys.argv[2])
shutil.rmtree(root, ignore_errors=True)
os.makedirs(root)
generator = random.Random(seed)
names = ['a', 'b', 'c', 'pkg', 'pkg2', 'ns', 'deep']
directories = [root] + [os.path.join(root, n) for n in names] + [os.path.join(root, 'pkg', 'sub')]
suffixes = ['.py', '.pyc', '.so', importlib.machinery.EXTENSION_SUFFIXES[0], '.abi3.so', '.txt', '']
sys.path.insert(0, root)

def finder(path):
    for hook in sys.path_hooks:
        try:
            return hook(path)
        except ImportError:
            pass

finders = {d: importlib.machinery.FileFinder(
    d, *[(l, s) for l, s in importlib._bootstrap_external._get_supported_file_loaders()])
    for d in directories}

def show(spec):
    if spec is None:
        return None
    return (spec.name, type(spec.loader).__name__, getattr(spec.loader, 'path', None), spec.origin,
            spec.cached, spec.has_location, spec.parent,
            spec.submodule_search_locations and list(spec.submodule_search_locations))

clock = 1_600_000_000
for step in range(400):
    directory = generator.choice(directories)
    kind = generator.randrange(6)
    target = os.path.join(directory, generator.choice(names + ['__init__']))
    try:
        if kind == 0:
            os.makedirs(target, exist_ok=True)
        elif kind in (1, 2):
            with open(target + generator.choice(suffixes), 'w') as file:
                file.write('x = 1\n')
        elif kind == 3:
            shutil.rmtree(target) if os.path.isdir(target) else os.unlink(
                target + generator.choice(suffixes))
        elif kind == 4:
            os.rename(target, os.path.join(directory, generator.choice(names)))
        else:
            os.symlink(generator.choice(['nowhere', root, target]), target + '.py')
    except OSError as error:
        pass
    # Sometimes the directory's time says so, sometimes it does not (importlib's known blind spot).
    clock += generator.choice([0, 0, 1])
    if os.path.isdir(directory):
        os.utime(directory, (clock, clock + generator.choice([0, 0.999999999])))
    if generator.randrange(10) == 0:
        importlib.invalidate_caches()
        for f in finders.values():
            f.invalidate_caches()
    for name in ('a', 'pkg', 'x.y.' + generator.choice(names), generator.choice(names)):
        f = finders[generator.choice(directories)]
        print(step, name, f.path[len(root):], show(f.find_spec(name)))
    full = generator.choice(names)
    print(step, full, show(importlib.machinery.PathFinder.find_spec(full)))
"""

ODD = r"""
import importlib.machinery, inspect, os, sys
F = importlib.machinery.FileFinder
loaders = [(importlib.machinery.SourceFileLoader, ['.py'])]
f = F(sys.argv[1], *loaders)
def attempt(what, *a, **k):
    try:
        spec = what(*a, **k)
        print(spec and (spec.name, spec.origin))
    except BaseException as error:
        print(type(error), error)
for name in ['good', 'missing', '', '.', 'good.', 'x.good', 'a/b', '/good', 'good\0', 'h\xe9', '\ud800',
             'x' * 5000, 'good/', '..good', 'd.e.good', 7, None, b'good', ['good']]:
    attempt(f.find_spec, name)
attempt(f.find_spec, 'good', None)
attempt(f.find_spec, 'good', target=None)
attempt(f.find_spec, fullname='good')
attempt(f.find_spec)
attempt(f.find_spec, 'good', None, None)
attempt(f.find_spec, *range(20))
attempt(f.find_spec, nonsense=1)
attempt(F.find_spec, f, 'good')
attempt(F(sys.argv[1] + '//', *loaders).find_spec, 'good')
attempt(F('', *loaders).find_spec, 'good')
attempt(F('.', *loaders).find_spec, 'good')
attempt(F('/nonexistent', *loaders).find_spec, 'good')
attempt(F(sys.argv[1] + '/good.py', *loaders).find_spec, 'good')
class Sub(F):
    def _get_spec(self, *a):
        print('mine')
        return super()._get_spec(*a)
attempt(Sub(sys.argv[1], *loaders).find_spec, 'good')
attempt(f.find_spec, 'good')
f._path_cache = ['good.py']
attempt(f.find_spec, 'good')
f._path_cache = {'missing.py', 'good.py'}
attempt(f.find_spec, 'missing')
attempt(f.find_spec, 'good')
f._loaders = ()
attempt(f.find_spec, 'good')
f._loaders = [('.py', None)]
attempt(f.find_spec, 'good')
del f._path_cache
attempt(f.find_spec, 'good')
print(inspect.signature(F('/').find_spec), inspect.getdoc(F.find_spec), F.find_spec.__name__)
seen = []
sys.settrace(lambda frame, event, arg: seen.append(frame.f_code.co_name))
F(sys.argv[1], *loaders).find_spec('good')
sys.settrace(None)
print(seen)
import importlib._bootstrap_external as E
real = E._path_isfile
E._path_isfile = lambda path: print('asked', path) or real(path)
attempt(F(sys.argv[1], *loaders).find_spec, 'good')
"""


class Finder(harness.PythonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon.ctl("build", "--python", cls.python, "--import", "json")

    def setUp(self):
        self.tree = os.path.join(self.daemon.directory, "tree")
        self.addCleanup(shutil.rmtree, self.tree, ignore_errors=True)

    def test_random_trees(self):
        for seed in range(12):
            answer = self.assert_like_stock("-c", STEPS, self.tree, str(seed))
            self.assertEqual(answer.returncode, 0, answer.stderr)
            self.assertGreater(answer.stdout.count(b"FileLoader"), 50)

    def test_odd_names_arguments_and_finders(self):
        os.makedirs(self.tree)
        with open(os.path.join(self.tree, "good.py"), "w"):
            pass
        answer = self.assert_like_stock("-c", ODD, self.tree, cwd=self.tree)
        self.assertEqual(answer.returncode, 0, answer.stderr)

    def test_it_is_the_one_at_work(self):
        stats, _ = self.stats("import json, wave, email.message")
        self.assertGreater(stats["found"], 10, stats)


if __name__ == "__main__":
    harness.main()
