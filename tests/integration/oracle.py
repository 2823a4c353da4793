"""Runs in the interpreter under test; prints what a program can see of its modules, as JSON.

    oracle.py describe STATEMENT   modules, specs, functions' code after executing STATEMENT
    oracle.py compare              each module of the image, unmarshalled against archived

Two runs of `describe`, with the client and without, must print the same.
"""
import sys


def constant(value):
    """A constant with its types, deeply; frozensets in iteration order, which is visible too."""
    kind = type(value).__name__
    if isinstance(value, (tuple, frozenset)):
        return [kind] + [constant(item) for item in value]
    if hasattr(value, "co_code"):
        return code(value)
    if isinstance(value, float):
        return [kind, value.hex(), repr(value)]
    return [kind, repr(value)]


def code(co):
    """Everything that the public API tells of a code object."""
    names = {}
    for name in dir(co):
        if name.startswith("co_") and not callable(getattr(co, name)) and name != "co_lnotab":
            value = getattr(co, name)
            names[name] = constant(value) if name == "co_consts" else repr(value)
    names["lines"] = repr(list(co.co_lines())) if hasattr(co, "co_lines") else None
    names["positions"] = repr(list(co.co_positions())) if hasattr(co, "co_positions") else None
    # Identity is visible: CPython interns these, so an equal string elsewhere is the same object.
    names["interned"] = [sys.intern(str(name)) is name for name in
                         co.co_names + co.co_varnames + co.co_freevars + co.co_cellvars]
    names["interned_constants"] = [sys.intern(value) is value for value in co.co_consts
                                   if type(value) is str and value.isidentifier()
                                   and value.isascii()]
    return names


def functions(value, seen, found, depth=0):
    """Functions reachable from a module's or class's namespace."""
    import types
    if id(value) in seen:
        return
    seen[id(value)] = value
    if isinstance(value, types.FunctionType):
        found.append(value)
        functions(getattr(value, "__wrapped__", None), seen, found, depth + 1)
    elif isinstance(value, (staticmethod, classmethod)):
        functions(value.__func__, seen, found, depth + 1)
    elif isinstance(value, property):
        for part in (value.fget, value.fset, value.fdel):
            functions(part, seen, found, depth + 1)
    elif isinstance(value, type):
        for item in list(vars(value).values()):
            functions(item, seen, found, depth + 1)


def describe(statement):
    exec(statement, {"__name__": "workload"})
    loaded = dict(sys.modules)
    order = [name for name in loaded if name != "_pycds"]
    import hashlib
    import json
    modules = {}
    seen = {}
    for name in order:
        module = loaded[name]
        spec = getattr(module, "__spec__", None)
        found = []
        for item in list(getattr(module, "__dict__", {}).values()):
            functions(item, seen, found)
        modules[name] = {
            "file": getattr(module, "__file__", None),
            "cached": getattr(module, "__cached__", None),
            "loader": str(type(getattr(module, "__loader__", None))),
            "path": repr(getattr(module, "__path__", None)).partition(" at 0x")[0],
            "spec": None if spec is None else
            [spec.name, str(type(spec.loader)), spec.origin, spec.cached, spec.has_location,
             spec.parent, repr(spec.submodule_search_locations).partition(" at 0x")[0],
             repr(spec.loader_state)],
            "keys": list(getattr(module, "__dict__", {})),
            "functions": {
                "%s.%s:%d" % (f.__module__, f.__qualname__, f.__code__.co_firstlineno):
                hashlib.sha256(json.dumps(code(f.__code__), sort_keys=True).encode()).hexdigest()
                for f in found},
        }
    json.dump({
        "order": order, "modules": modules,
        "path": sys.path, "meta_path": [str(finder).partition(" at 0x")[0]
                                        for finder in sys.meta_path],
        "path_hooks": [hook.__qualname__ for hook in sys.path_hooks],
        "importer_cache": sorted(sys.path_importer_cache),
        "fds": sorted(__import__("os").listdir("/proc/self/fd")),
        "threads": len(__import__("os").listdir("/proc/self/task")),
    }, sys.stdout)


def sources():
    import os
    import sysconfig
    for directory in {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"),
                      "/usr/lib/python3/dist-packages"} & set(sys.path):
        for where, directories, files in os.walk(directory):
            directories[:] = sorted(d for d in directories if d != "__pycache__")
            for name in sorted(files):
                if name.endswith(".py"):
                    yield os.path.join(where, name)


def compare():
    import importlib.util
    import json
    import marshal
    from importlib.machinery import SourceFileLoader
    import _imp
    import _pycds
    differing = []
    compared = 0
    for path in sources():
        loader = SourceFileLoader("m", path)
        before = _pycds.stats()["served"]
        try:
            archived = loader.get_code("m")
        except Exception:
            continue
        if _pycds.stats()["served"] == before:
            continue
        with open(importlib.util.cache_from_source(path), "rb") as file:
            stock = marshal.loads(file.read()[16:])
        _imp._fix_co_filename(stock, path)
        compared += 1
        if archived != stock or code(archived) != code(stock):
            differing.append(path)
    json.dump({"compared": compared, "differing": differing}, sys.stdout)


if sys.argv[1] == "describe":
    describe(sys.argv[2])
else:
    compare()
