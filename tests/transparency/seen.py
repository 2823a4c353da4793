"""Runs in the interpreter under test; prints as JSON what a program can see.

    seen.py codes                 one digest for each compiled source: all of its code, deeply
    seen.py module NAME           everything that importing NAME leaves behind
    seen.py audited NAME          the audit events of importing NAME

Two runs of each, with the client and without, must print the same.
"""
import sys

STARTED = set(sys.modules)

import hashlib  # noqa: E402
import importlib
import json
import os
import re
import types

labels = {}
keep = []
# Lines and positions one by one, besides the tables that they are read from.
decoded = True


def identity(value):
    """A number for each object, in the order of appearance: who is who, without addresses."""
    keep.append(value)
    return labels.setdefault(id(value), len(labels))


def constant(value, out):
    kind = type(value)
    out.append(kind.__name__)
    if kind is types.CodeType:
        code(value, out)
        return
    # Who is whom, for all that may be the same object in two places.
    out.append(identity(value))
    if kind in (tuple, frozenset):
        out.append(len(value))
        for item in value:  # frozensets in their order, which is visible, too
            constant(item, out)
    elif kind is float:
        out.append(value.hex())
    elif kind is complex:
        out.extend([value.real.hex(), value.imag.hex()])
    elif kind is slice:
        for item in (value.start, value.stop, value.step):
            constant(item, out)
    else:
        out.append(repr(value))


def code(co, out):
    """All that the public API tells of a code object, into a flat list."""
    for name in sorted(dir(co)):
        if not name.startswith("co_") or callable(getattr(co, name)) or name == "co_lnotab":
            continue
        value = getattr(co, name)
        out.append(name)
        if name == "co_consts":
            out.append(len(value))
            for item in value:
                constant(item, out)
        elif name in ("co_names", "co_varnames", "co_freevars", "co_cellvars"):
            out.extend(value)
            # Other names are not looked up by, and may be another object (docs/interning.md).
            if name == "co_names":
                out.extend(identity(item) for item in value)
            else:
                out.extend(sys.intern(item) is item for item in value)
        else:
            out.append(repr(value))
    if decoded:
        out.append(list(co.co_lines()) if hasattr(co, "co_lines") else co.co_lnotab.hex())
        if hasattr(co, "co_positions"):
            out.append(list(co.co_positions()))


def digest(out):
    return hashlib.sha256(repr(out).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def codes(paths):
    from importlib.machinery import SourceFileLoader
    global decoded
    decoded = False  # of some ten thousand code objects
    result = {}
    for path in paths:
        out = []
        try:
            found = SourceFileLoader("m", path).get_code("m")
        except Exception as error:
            result[path] = repr(error)
            continue
        constant(found, out)
        result[path] = digest(out)
    return result


def functions(value, found, seen):
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, types.FunctionType):
        found.append(value)
    elif isinstance(value, (staticmethod, classmethod)):
        functions(value.__func__, found, seen)
    elif isinstance(value, property):
        for part in (value.fget, value.fset, value.fdel):
            functions(part, found, seen)
    elif isinstance(value, type):
        for item in list(vars(value).values()):
            functions(item, found, seen)


def spec_of(module):
    spec = getattr(module, "__spec__", None)
    if spec is None:
        return None
    return [spec.name, type(spec.loader).__qualname__, spec.origin, spec.cached, spec.has_location,
            spec.parent, repr(spec.submodule_search_locations).partition(" at 0x")[0],
            repr(spec.loader_state), getattr(spec, "_initializing", None),
            spec.loader is getattr(module, "__loader__", None)]


def module(name, first):
    """What is there now and was not before."""
    try:
        found = importlib.import_module(name)
        outcome = "imported"
    except BaseException as error:
        frames = []
        traceback = error.__traceback__
        while traceback is not None:
            frame = traceback.tb_frame
            frames.append([frame.f_code.co_filename, frame.f_code.co_name, traceback.tb_lineno])
            traceback = traceback.tb_next
        outcome, found = [type(error).__name__, str(error), frames], None
    bodies = []
    for item in [] if found is None else list(vars(found).values()):
        functions(item, bodies, first["seen"])
    # A string of what the interpreter had imported before the program began may be another object than
    # an equal one elsewhere (docs/interning.md).
    bodies = [body for body in bodies if body.__module__ not in first["modules"]
              and not body.__code__.co_filename.startswith("<frozen")]
    out = []
    for function in bodies:
        constant(function.__code__, out)
        out.append([function.__qualname__, str(function.__module__), function.__doc__,
                    repr(function.__kwdefaults__ and sorted(function.__kwdefaults__)),
                    function.__globals__ is vars(found)])
    modules = [n for n in sys.modules if n != "_pycds"]
    import signal
    import threading
    import warnings
    return {
        "outcome": outcome, "order": modules, "functions": len(bodies), "code": digest(out),
        "keys": {n: list(getattr(sys.modules[n], "__dict__", {})) for n in modules
                 if n not in first["modules"]},
        "types": None if found is None else
        {n: type(v).__qualname__ for n, v in list(vars(found).items())},
        "specs": {n: spec_of(sys.modules[n]) for n in modules},
        "files": {n: [getattr(sys.modules[n], a, None) for a in ("__file__", "__cached__",
                                                                "__package__", "__doc__")]
                  for n in modules if n not in first["modules"]},
        "path": sys.path, "meta_path": [repr(f).partition(" at 0x")[0] for f in sys.meta_path],
        "path_hooks": [h.__qualname__ for h in sys.path_hooks],
        "importers": {p: f and [type(f).__qualname__, sorted(getattr(f, "_path_cache", ()))]
                      for p, f in sorted(sys.path_importer_cache.items())},
        "fds": sorted(os.listdir("/proc/self/fd")), "tasks": len(os.listdir("/proc/self/task")),
        "threads": threading.active_count(), "filters": len(warnings.filters),
        "signals": [repr(signal.getsignal(n)).partition(" at 0x")[0]
                    for n in (signal.SIGINT, signal.SIGPIPE, signal.SIGTERM)],
        "umask": os.umask(0o022), "cwd": os.getcwd(), "recursion": sys.getrecursionlimit(),
        "flags": repr(sys.flags), "argv": sys.orig_argv[2:] if hasattr(sys, "orig_argv") else None,
    }


def audited(name):
    events = []

    def plain(argument):
        # Addresses (builtins.id, reprs), and names of temporary files.
        if isinstance(argument, int):
            return argument if abs(argument) < 1 << 20 else "large"
        return re.sub("0x[0-9a-f]{6,}|/tmp/(tmp)?[a-z0-9_]{8}\\b", "random", argument)

    sys.addaudithook(lambda event, arguments: events.append(
        [event, [plain(a) for a in arguments if isinstance(a, (str, int))]]))
    try:
        importlib.import_module(name)
    except BaseException as error:
        events.append(repr(type(error)))
    events = list(events)
    return {"count": len(events), "events": events}


def main(mode, *arguments):
    if mode == "codes":
        with open(arguments[0]) as file:
            return codes(file.read().splitlines())
    if mode == "audited":
        return audited(arguments[0])
    return module(arguments[0], {"modules": STARTED | set(sys.modules), "seen": set()})


if __name__ == "__main__":
    stdout = os.dup(1)
    answer = main(*sys.argv[1:])
    sys.stdout.flush()
    os.write(stdout, b"\n@@seen")
    view = memoryview(json.dumps(answer).encode("utf-8", "surrogatepass"))
    while view:
        view = view[os.write(stdout, view):]
    # Threads and exit handlers of what was imported are not waited for.
    os._exit(0)
