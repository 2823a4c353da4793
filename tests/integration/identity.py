"""Which strings of a process are one object: printed as JSON, for comparison with a stock process.

    identity.py relation MODULE...   of equal strings in code, namespaces and classes, who is whom
    identity.py own MODULE...        what must hold in any process by itself; prints what does not
    identity.py attributes MODULE... likewise, for names of attributes
    identity.py slots MODULE...      what special methods do that are set in a class later
    identity.py copies MODULE...     what pickle and marshal make of the strings
"""
import builtins
import hashlib
import importlib
import json
import marshal
import pickle
import sys
import types

# What the interpreter loads by itself: docs/interning.md says what is different there.
STARTUP = set(sys.modules)
STARTUP_NAMESPACES = {id(vars(module)) for module in sys.modules.values()} - {id(globals())}
# Whose namespaces take names from those.
TAKE_NAMES = {"collections.abc", "_contextvars", "signal"}
STARTUP |= set(sys.builtin_module_names) | {"_pycds"}


def is_left_out(module):
    return (
        not isinstance(
            module,
            types.ModuleType) or module.__name__ in STARTUP or id(
            vars(module)) in STARTUP_NAMESPACES or getattr(
                getattr(
                    module.__spec__,
                    "loader",
                    None),
            "__name__",
            "") == "FrozenImporter")


# Set by importlib, which is loaded first.
BY_IMPORTLIB = {
    "__name__",
    "__doc__",
    "__package__",
    "__loader__",
    "__spec__",
    "__path__",
    "__file__",
    "__cached__",
    "__builtins__"}

CLASSES_OF_C = (
    "datetime",
    "_socket",
    "_ssl",
    "zlib",
    "array",
    "mmap",
    "select",
    "_decimal",
    "_elementtree",
    "pyexpat",
    "_struct",
    "_pickle",
    "_json",
    "_csv",
    "_bisect",
    "_random",
    "unicodedata")


def strings_below(value, path):
    """All strings in a constant, with a name for where each is."""
    if type(value) is str:
        yield path, value
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from strings_below(item, "%s[%d]" % (path, number))
    elif isinstance(value, frozenset):
        for item in sorted(value, key=repr):
            yield from strings_below(item, "%s{%s}" % (path, item))


def strings_of_code(code, path):
    for name in ("co_name", "co_names"):
        yield from strings_below(getattr(code, name), "%s.%s" % (path, name))
    # Of names of variables those of parameters: nothing is looked up by others (docs/interning.md).
    parameters = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
    yield from strings_below(parameters, path + ".co_varnames")
    for number, constant in enumerate(code.co_consts):
        if isinstance(constant, types.CodeType):
            yield from strings_of_code(constant, "%s/%d" % (path, number))
        else:
            yield from strings_below(constant, "%s.consts[%d]" % (path, number))


def functions(module):
    """Python functions that belong to a module, with their names."""
    def below(value, depth=0):
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        if isinstance(value, property):
            for part in (value.fget, value.fset):
                yield from below(part, depth)
        elif isinstance(value, types.FunctionType):
            if value.__module__ == module.__name__ and id(
                    value.__globals__) not in STARTUP_NAMESPACES:
                line = value.__code__.co_firstlineno
                yield "%s:%s:%d" % (value.__module__, value.__qualname__, line), value
        elif isinstance(value, type) and value.__module__ == module.__name__ and depth < 3:
            for item in list(vars(value).values()):
                yield from below(item, depth + 1)
    for item in list(vars(module).values()):
        yield from below(item)


def everything():
    seen = {}
    built_in = {id(value) for name in sys.builtin_module_names if name in sys.modules
                for value in vars(sys.modules[name]).values()}
    for module in list(sys.modules.values()):
        if is_left_out(module):
            continue
        for key in vars(module):
            if type(key) is str and key not in BY_IMPORTLIB and module.__name__ not in TAKE_NAMES:
                seen["%s has %s" % (module.__name__, key)] = key
        for path, function in functions(module):
            for where, string in strings_of_code(function.__code__, path):
                seen[where] = string
        for item in list(vars(module).values()):
            if (isinstance(item, type) and item.__module__ == module.__name__ and id(
                    item) not in built_in and module.__name__ not in TAKE_NAMES):
                for key in vars(item):
                    if type(key) is str:
                        seen["%s.%s has %s" % (module.__name__, item.__qualname__, key)] = key
    return seen


def relation():
    """For each text: which of its occurrences are one object."""
    by_text = {}
    for where, string in sorted(everything().items()):
        by_text.setdefault(string, []).append((where, id(string)))
    relation = {}
    for text, occurrences in by_text.items():
        numbers = {}
        relation[text] = [(where, numbers.setdefault(identity, len(numbers)))
                          for where, identity in occurrences]
    return relation


def is_interned(string):
    return string.isascii() and all(c.isalnum() or c == "_" for c in string)


def own():
    wrong = []
    seen = everything()
    for where, string in seen.items():
        # Names and what looks like one are interned, wherever they come from.
        is_name = ".co_name" in where or ".co_varnames" in where
        if is_name or (is_interned(string) and ".co_filename" not in where):
            if sys.intern("".join(list(string))) is not string:
                wrong.append("sys.intern " + where)
            if eval(compile(repr(string), "literal", "eval")) is not string and is_interned(string):
                wrong.append("literal " + where)
            if getattr(sys, "_is_interned", lambda s: True)(string) is not True:
                wrong.append("_is_interned " + where)
    return wrong, len(seen)


def attributes():
    """Classes and instances with attributes of such names; keys of their dicts."""
    wrong = []
    # Those of code are interned; others (cffi makes some) become so here, or find an equal one.
    strings = {s: s for where, s in everything().items() if ".co_" in where}
    names = sorted(s for s in strings if s.isidentifier() and len(s) < 40)[::3]

    class Base:
        pass

    class Derived(Base):
        pass

    for name in names:
        name = strings[name]
        if name.startswith("__"):
            continue
        setattr(Base, name, 1)
        if getattr(Derived(), name) != 1 or Derived.__dict__.get(name) is not None:
            wrong.append(name)
        setattr(Derived, name, 2)
        instance = Derived()
        setattr(instance, name, 3)
        key = next(k for k in vars(instance) if k == name)
        if (getattr(Base(), name), getattr(Derived, name), getattr(
                instance, name)) != (1, 2, 3) or key is not name:
            wrong.append(name)
        # The same by a name that is not interned.
        other = "".join(list(name))
        if getattr(instance, other) != 3 or getattr(Derived, other) != 2:
            wrong.append(name)
        delattr(instance, other)
        delattr(Derived, other)
        if getattr(instance, name) != 1:
            wrong.append(name)
        delattr(Base, name)
        if hasattr(Derived, name) and name not in dir(object):
            wrong.append(name)
    # Names that are slots, out of archived code.
    slots = [
        s for s in strings.values() if s in (
            "__len__",
            "__getitem__",
            "__call__",
            "__eq__",
            "__hash__")]
    for slot in slots:
        made = type("Made", (), {})
        setattr(made, strings[slot], lambda self, *a: 5)
        try:
            wrong += [] if {"__len__": len,
                            "__call__": lambda x: x(),
                            "__hash__": hash,
                            "__getitem__": lambda x: x[1],
                            "__eq__": lambda x: x == 1}[slot](made()) == 5 else [slot]
        except TypeError:
            wrong.append(slot)
    return wrong, len(names), len(slots)


def slots():
    """Classes to which special methods are added one by one, after they have been made."""
    kinds = [object, int, float, list, dict, str, set, type, property, type(iter("")), type(slots),
             type((lambda: (yield))()), importlib.import_module("asyncio").Future]
    names = sorted({key for kind in kinds for key, value in vars(kind).items()
                    if type(value).__name__ == "wrapper_descriptor"})
    names += ["__getattr__", "__del__", "__imatmul__", "__aiter__", "__anext__", "__await__",
              "__set__",
              "__delete__"]
    uses = (
        "a + 1", "1 + a", "a - 1", "1 - a", "a * 2", "2 * a", "a @ 1", "1 @ a",
        "a / 1", "1 / a", "a // 1", "1 // a", "a % 1", "1 % a", "divmod(a, 1)",
        "divmod(1, a)", "a ** 2", "2 ** a", "a << 1", "1 << a", "a >> 1", "1 >> a",
        "a & 1", "1 & a", "a | 1", "1 | a", "a ^ 1", "1 ^ a", "-a", "+a",
        "~a", "abs(a)", "bool(a)", "int(a)", "float(a)", "len(a)", "a[0]",
        "a.zz", "setattr(a, 'x', 1)", "delattr(a, 'x')", "a()", "iter(a)", "next(a)",
        "1 in a", "hash(a)", "str(a)", "repr(a)", "a == 1", "a != 1", "a < 1",
        "a <= 1", "a > 1", "a >= 1", "operator.index(a)", "a.__class__(5)", "aiter(a)",
        "holder.a", "setattr(holder, 'a', 1)", "delattr(holder, 'a')",
        "operator.iadd(a, 1)", "operator.imul(a, 1)", "operator.imod(a, 1)",
        "operator.imatmul(a, 1)",
        "operator.ior(a, 1)", "operator.ilshift(a, 1)", "operator.ipow(a, 1)",
        "operator.isub(a, 1)",
        "operator.setitem(a, 0, 1)", "operator.delitem(a, 0)", "asyncio.ensure_future(a)",
    )
    import asyncio
    import operator
    seen = {}
    for name in names:
        name = "".join(list(name))  # as a program may spell it
        log = []

        class A:
            pass

        class B(A):
            pass

        def method(*arguments, name=name, log=log):
            log.append(name)
            return 1
        a = B()
        Holder = type("Holder", (), {"a": a})
        holder = Holder()
        setattr(A, name, classmethod(lambda cls, *x, log=log: log.append("new")
                or object.__new__(cls)) if name == "__new__" else method)
        for use in uses:
            try:
                eval(use, {"a": a, "holder": holder, "operator": operator, "asyncio": asyncio})
                log.append(use)
            except Exception as error:
                log.append("%s: %s" % (use, type(error).__name__))
        del a, holder, Holder
        seen[name] = log
        # And off again.
        try:
            delattr(A, name)
            seen[name + " off"] = [bool(B()), str(B()).split(" at ")[0]]
        except (TypeError, AttributeError) as error:
            seen[name + " off"] = repr(error)
    return seen


def copies():
    """What pickle and marshal make of it: pickle sees who is whom."""
    hashes = {}
    wrong = []
    for module in list(sys.modules.values()):
        if is_left_out(module) or module.__name__ == "__main__":
            continue
        for path, function in functions(module):
            code = function.__code__
            names = [code.co_names, code.co_varnames, code.co_name,
                     [c for c in code.co_consts if type(c) is str]]
            hashes[path] = hashlib.sha256(
                pickle.dumps(
                    names,
                    4) +
                marshal.dumps(
                    names,
                    2)).hexdigest()[
                :8]
            for version in sorted({2, 4, marshal.version}):
                try:
                    again = marshal.loads(marshal.dumps(code, version))
                except ValueError:  # it has a slice, which version 5 was made for
                    hashes[path] += ", not in version %d" % version
                    continue
                if again != code or again.co_names != code.co_names or any(
                        a is not b for a, b in zip(again.co_names, code.co_names)):
                    wrong.append(path)
            if pickle.loads(pickle.dumps(names)) != names:
                wrong.append(path)
    return hashes, wrong


def main():
    modules = sys.argv[2:]
    # C first, then archived, and the other way round.
    for name in CLASSES_OF_C[::2] + tuple(modules) + CLASSES_OF_C[1::2]:
        try:
            importlib.import_module(name)
        except ImportError:
            pass
    print(json.dumps({"relation": relation, "own": own, "attributes": attributes,
          "slots": slots, "copies": copies}[sys.argv[1]]()))


main()
