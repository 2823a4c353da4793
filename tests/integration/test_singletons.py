"""Values of which an interpreter has one object each, and names that it compares by address: archived
modules have the same ones as the rest of the process."""
import os
import unittest

import harness

ARCHIVED = r"""
import pickle, unicodedata
VALUES = (-5, -1, 0, 1, 7, 256, '', 'x', '\x00', '\xe9', b'', b'q', b'\xff', ())
NESTED = ((1, 'y', (b'z', ())), 3)
def constants(a, x='x', _=''):
    if a in {1, 'k', 300, b'v'}:
        return [-5, 0, 256, 257, 'x', '', b'', b'a', (), (1, 'x'), a]
    return frozenset({2, 'w'})
def f(x, i):
    def inner(y):
        return x + y + i
    return inner
class Base:
    __slots__ = ('__dict__', '__weakref__')
    def __new__(cls, *args):
        return super().__new__(cls)
    def name(self):
        return 'base'
    def big(self, little=1):
        return (258).to_bytes(2, 'big'), (258).to_bytes(2, 'little'), int.from_bytes(b'\1\2', 'big')
class Derived(Base):
    def __init__(self, v):
        super().__init__()
        self.v = v
    def name(self):
        return 'derived ' + super().name() + super().__class__.__name__
    def normal(self):
        return [unicodedata.normalize(form, '\u00e9\ufb01') for form in ('NFC', 'NFD', 'NFKC', 'NFKD')]
    def copied(self):
        return [pickle.loads(pickle.dumps(self, protocol)).v for protocol in range(2, 5)]
    def builtins(self):
        return sorted(n for n in ('builtins', '__qualname__', '__class__', '__dict__') if n)
def names_as_values():
    NFC = big = builtins = __qualname__ = 1
    return names_as_values.__code__.co_varnames
"""

PROGRAM = r"""
import sys, gc, unicodedata, one
# Known to the process as it makes them.
def own(v):
    if type(v) is int: return int(str(v))
    if type(v) is str: return ''.join(list(v))
    if type(v) is bytes: return bytes(list(v))
    if type(v) is tuple: return tuple(list(v))
def walk(v):
    yield v
    if type(v) is tuple:
        for item in v: yield from walk(item)
    if hasattr(v, 'co_consts'):
        for item in v.co_consts: yield from walk(item)
        for item in v.co_names + v.co_varnames + v.co_freevars + v.co_cellvars: yield item
values = list(walk(one.VALUES)) + list(walk(one.NESTED)) + one.constants(1)
for function in (one.constants, one.f, one.Base.big): values += walk(function.__code__)
print([(type(v).__name__, repr(v), v is own(v)) for v in values
       if type(v) in (int, bytes) or type(v) is str and len(v) < 2 or v == ()])
print(one.constants.__defaults__[0] is chr(120), one.f(1, 2)(3), one.constants(5), frozenset() is frozenset())
d = one.Derived(7)
print(d.name(), d.big(), d.normal(), d.copied(), d.builtins(), d.__dict__)
import weakref
print(weakref.ref(d)() is d)
for name in one.names_as_values():
    try: print(name, unicodedata.normalize(name, '\u00e9'))
    except ValueError as error: print(name, error)
    try: print(name, (1).to_bytes(2, name))
    except ValueError as error: print(name, error)
for i in range(2000): one.f(i, 1)(2), one.constants(1), d.name()
gc.collect()
print(sys.getrefcount(one.VALUES) > 0)
"""


class Singletons(harness.PythonCase):
    def test_archived_modules_have_those_of_the_process(self):
        path = os.path.join(self.daemon.directory, "modules")
        os.mkdir(path)
        with open(os.path.join(path, "one.py"), "w") as file:
            file.write(ARCHIVED)
        self.assertEqual(self.run_python("-m", "compileall", "-q", path).returncode, 0)
        trace = os.path.join(path, "trace")
        with open(trace, "w") as file:
            file.write("%s/one.py\npickle\nweakref\n" % path)
        self.daemon.ctl("build", "--python", self.python, "--trace", trace)
        seed = {"PYTHONHASHSEED": "4711"}  # the order of sets is visible
        on = self.on(**seed)
        elsewhere = self.on(PYCDS="relocate", **seed)
        off = harness.clean_environment(**seed)
        stats, _ = self.stats(PROGRAM, environment=on, cwd=path)
        self.assertIsNone(stats["reason"], stats)
        self.assertGreater(stats["served"], 0, stats)  # a .pth file may have imported the others before
        self.assert_like_stock("-W", "ignore", "-c", PROGRAM, on=on, off=off, cwd=path)
        self.assert_like_stock("-W", "ignore", "-c", PROGRAM, on=elsewhere, off=off, cwd=path)
        answer = self.run_python("-W", "ignore", "-c", PROGRAM, environment=on, cwd=path)
        self.assertEqual(answer.returncode, 0, answer.stderr)


if __name__ == "__main__":
    harness.main()
