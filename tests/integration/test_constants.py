"""Constants and code of every kind that a compiler makes, out of an image: the same as in stock."""
import os
import subprocess
import unittest

import harness

# Some of it is plain code before 3.14, which made constants of slices.
MODULE = '''
"""A docstring with blanks in it."""
import functools

TABLE = {(1, 'two', 3.0): 'a', (1, (2, (None, 'deep'))): 'b'}

def first(x): return x[1:2]
def second(x): return x[1:2], x[:], x[::2], x[-3:]
def third(x): return x[1:2, ::3, ...], x['from':'to':'by'], x[b'raw':1.5:1000000]
def pick(x): return (10, 20, 'thirty', (40, frozenset(('a', 'b')))), x in {'some', 'words', 5}
def known(): return TABLE[1, 'two', 3.0], TABLE[(1, (2, (None, 'deep')))]
def word(): return 'no identifier: %s', 'an_identifier', 'caf\\xe9', '\\u6f22\\u5b57', '\\U0001f600'

class Echo:
    def __getitem__(self, key): return key

@functools.lru_cache
def cached(*key): return key
'''

SHOW = '''
import sys
import m_constants as m
echo = m.Echo()
def constants(code):
    for value in code.co_consts:
        yield value
        if hasattr(value, 'co_consts'):
            yield from constants(value)
def below(value):
    yield value
    if isinstance(value, tuple):
        for item in value:
            yield from below(item)
every = [v for f in vars(m).values() if hasattr(f, '__code__')
         for c in constants(f.__code__) for v in below(c)]
slices = [v for v in every if isinstance(v, slice)]
tuples = [v for v in every if isinstance(v, tuple)]
'''

ANNOTATED = '''
"""With annotations that name what comes later, or never."""
%s
from typing import ClassVar

class Node:
    left: 'Node'
    right: ClassVar['Node'] = None
    count: int = 0
    def insert(self, value: int, *, where: 'Node' = None) -> 'Node':
        def inner(a: str = 'x') -> list[str]: return [a]
        return inner
    class Below:
        up: list[int]

def outside(a: int, b: 'never_defined' = 1) -> None: pass
top: dict[str, int] = {}
'''

# Not even names, from 3.14 on.
LAZY = '''
class Lazy:
    later: Later
    never: Never.defined[here]
    def method(self, a: Later, b: (yes if a else no) = 1) -> Never: pass
def generic[T: Later, *Ts, **P](x: T, *args: *Ts) -> T: return x
type Alias[T] = list[Later] | T
class Later: pass
'''

SHOW_ANNOTATED = '''
import m_annotated as m
import inspect, typing
for f in (m.Node, m.Node.Below, m.Node.insert, m.Node().insert(1), m.outside):
    print(f.__name__, f.__annotations__, inspect.signature(f))
print(m.__annotations__, typing.get_type_hints(m.Node), typing.get_type_hints(m.Node.insert))
try: typing.get_type_hints(m.outside)
except NameError as error: print(error)
'''

SHOW_LAZY = '''
import annotationlib
for f in (m.Lazy, m.Lazy.method, m.generic, m.Node, m.outside):
    for form in annotationlib.Format.STRING, annotationlib.Format.FORWARDREF:
        print(f.__name__, annotationlib.get_annotations(f, format=form))
    try: print(annotationlib.get_annotations(f))
    except NameError as error: print(error)
    code = getattr(f.__annotate__, '__code__', None)
    print(code and (code.co_name, code.co_names, code.co_freevars, code.co_firstlineno))
m.Never = type('Never', (), {'defined': {'h': 7}})
m.here = 'h'
print(m.Lazy.__annotations__, m.Alias.__value__, m.generic.__type_params__)
'''

TEMPLATES = '''
from string.templatelib import Interpolation, Template

def plain(): return t"nothing to fill in"
def page(name, width=5): return t"<b>{name!r:>{width}}</b>{name.upper()=} {t'<i>{name}</i>'}"
def raw(path): return rt"C:\\new\\{path}"
def joined(a): return t"one {a}" t" and {a + 1}"

def render(template):
    parts = []
    for item in template:
        match item:
            case str(): parts.append(item)
            case Interpolation(Template() as inner, expression, None, spec):
                parts.append(f"[{expression}:{render(inner)}:{spec}]")
            case Interpolation(value, expression, conversion, spec):
                parts.append(f"{expression}|{conversion}|{spec}|{value}")
    return "".join(parts)
'''

SHOW_TEMPLATES = '''
import m_templates as m
for template in (m.plain(), m.page('Ada'), m.page('Bob', width=9), m.raw('x'), m.joined(4)):
    print(template, m.render(template), template.strings, template.values)
    print([(i.value, i.expression, i.conversion, i.format_spec) for i in template.interpolations])
print((m.plain() + m.joined(1)).strings, m.page.__code__.co_consts)
'''


class Constants(harness.PythonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.version = harness.python_version()
        cls.directory = os.path.join(cls.daemon.directory, "modules")
        os.mkdir(cls.directory)
        lazy = cls.version >= (3, 14)
        modules = {"m_constants": MODULE,
                   "m_annotated": ANNOTATED % "" + (LAZY if lazy else ""),
                   "m_future": ANNOTATED % "from __future__ import annotations"}
        if lazy:
            modules["m_templates"] = TEMPLATES
        plan = os.path.join(cls.daemon.directory, "plan")
        with open(plan, "w") as paths:
            for name, text in modules.items():
                path = os.path.join(cls.directory, name + ".py")
                with open(path, "w") as file:
                    file.write(text.lstrip())
                paths.write(path + "\n")
        subprocess.run([cls.python, "-m", "compileall", "-q", cls.directory],
                       env=harness.clean_environment(), check=True)
        cls.daemon.ctl("build", "--python", cls.python, "--trace", plan)

    def both(self, program, modules, **extra):
        """Like stock, and out of the image."""
        answer = self.assert_like_stock("-c", program, on=self.on(**extra), cwd=self.directory,
                                        off=harness.clean_environment(**extra))
        self.assertEqual(answer.returncode, 0, answer.stderr.decode())
        stats, _ = self.stats(program, environment=self.on(**extra), cwd=self.directory)
        self.assertEqual(stats["served"], modules, stats)
        return answer.stdout.decode()

    def need(self, *version):
        if self.version < version:
            self.skipTest("there is no such thing before %d.%d" % version)

    def test_slices(self):
        program = SHOW + (
            "print([m.first(echo), m.second(echo), m.third(echo), m.second('abcdefg')[:2]])\n"
            "print(slices, tuples)\n"
            "print([a is b for a in slices for b in slices if a == b])\n"
            "print([m.first(echo) is m.first(echo), m.second(echo)[0] is m.first(echo)])\n"
            "print([hash(s) == hash(slice(s.start, s.stop, s.step)) for s in slices])\n"
            "print([sys.intern(p) is p for s in slices for p in (s.start, s.stop, s.step)"
            " if type(p) is str])")
        for seed in ("1", "4711"):
            self.both(program, 1, PYTHONHASHSEED=seed)

    def test_slices_are_shared(self):
        self.need(3, 14)
        stats, text = self.stats(
            SHOW + "print([id(s) for s in slices], [id(m.first(echo)), id(m.third(echo)[1])])",
            environment=self.on(), cwd=self.directory)
        addresses = [int(word) for word in text.replace("[", " ").replace("]", " ").replace(
            ",", " ").split()]
        image = stats["images"][0]
        self.assertGreater(len(addresses), 5)
        for address in addresses:
            self.assertTrue(image["base"] <= address < image["base"] + image["size"], address)

    def test_tuples_are_hashed_with_the_seed_of_the_process(self):
        program = SHOW + (
            "print(m.known(), m.cached(1, 'two') is m.cached(1, 'two'))\n"
            "fresh = [tuple(list(t)) for t in tuples if t]\n"
            # Before 3.12 the hash of None is its address.
            "def fixed(t): return not any(v is None or v is ... for v in below(t))\n"
            "for turn in range(2):\n"
            "    print([hash(t) for t in fresh if fixed(t)], [hash(t) for t in tuples if t and fixed(t)])\n"
            "    print([hash(t) for t in fresh] == [hash(t) for t in tuples if t])\n"
            "    print({t: len(t) for t in tuples}.get((10, 20, 'thirty', (40, frozenset('ab')))))\n"
            "    if turn == 0 and '_pycds' in sys.modules: sys.modules['_pycds'].give_back()")
        for seed in ("1", "4711"):
            self.both(program, 1, PYTHONHASHSEED=seed)

    def test_strings_that_the_program_interns(self):
        """The interpreter frees what it has interned when it ends, with whatever allocator."""
        program = SHOW + (
            "class A: pass\n"
            "for text in m.word() + (m.__doc__,):\n"
            "    setattr(A, text, 1)\n"
            "    print(sys.intern(text) is text, sys.intern(''.join(list(text))) == text)\n"
            "import types; space = types.SimpleNamespace(**{text: 2 for text in m.word()})\n"
            "print(sorted(vars(space)), [k is t for k in vars(space) for t in m.word() if k == t])")
        for how in ({}, {"PYTHONMALLOC": "debug"}, {"PYTHONDEVMODE": "1"}):
            self.both(program, 1, **how)

    def test_annotations(self):
        self.both(SHOW_ANNOTATED, 1)
        self.both(SHOW_ANNOTATED.replace("m_annotated", "m_future"), 1)

    def test_lazy_annotations(self):
        self.need(3, 14)
        self.both(SHOW_ANNOTATED + SHOW_LAZY, 1)

    def test_template_strings(self):
        self.need(3, 14)
        text = self.both(SHOW_TEMPLATES, 1)
        self.assertIn("Template(strings=('<b>',", text)


if __name__ == "__main__":
    harness.main()
