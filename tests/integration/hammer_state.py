"""More of hammer.py: what processes and code objects are, before pages are given back and after."""
import gc
import hashlib
import json
import os
import sys
import threading
import weakref

import workloads
from giving import TRACED, agree, expected, give_back


def code_objects():
    import dis
    import importlib.util
    import marshal
    import types
    modules = [workloads.json.encoder, workloads.textwrap, workloads.argparse, workloads.logging]
    codes = []

    def collect(code):
        codes.append(code)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                collect(constant)

    for module in modules:
        for item in list(vars(module).values()):
            for f in [item] + (list(vars(item).values()) if isinstance(item, type) else []):
                if isinstance(f, types.FunctionType) and f.__module__ == module.__name__:
                    collect(f.__code__)

    def describe(code):
        instructions = [(i.offset, i.opname, i.argrepr.split(" at 0x")[0])
                        for i in dis.get_instructions(code)]
        return [code.co_code.hex(), code.co_name, code.co_varnames, code.co_flags,
                code.co_stacksize, lines_of(code), instructions]

    def lines_of(code):
        if hasattr(code, "co_positions"):  # from 3.11 on
            return list(code.co_positions()), list(code.co_lines())
        return list(dis.findlinestarts(code))

    def name_of(code):
        return getattr(code, "co_qualname", code.co_name), code.co_firstlineno

    def everything():
        return hashlib.sha256(repr([describe(c) for c in codes]).encode()).hexdigest()

    def fresh():
        """The same as unmarshalled from the file."""
        same = 0
        for module in modules:
            with open(importlib.util.cache_from_source(module.__file__), "rb") as file:
                again = {name_of(c): c
                         for c in all_below(marshal.loads(file.read()[16:]))}
            for code in codes:
                if code.co_filename == module.__file__:
                    same += again[name_of(code)] == code
        return same

    def all_below(code):
        yield code
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from all_below(constant)

    first = expected()
    died = []
    references = [weakref.ref(code, died.append) for code in codes[::2]]
    hashes = [hash(code) for code in codes]
    out = []
    for _ in range(3):
        out.append(agree(first, *TRACED))
        give_back()
        out.append([reference() is code for reference,
                   code in zip(references, codes[::2])].count(False))
        out.append([weakref.getweakrefcount(code)
                   for code in codes[::2]].count(1) == len(references))
        out.append(hashes == [hash(code) for code in codes])
        out.append(fresh())
    before = everything()
    give_back()
    out += [before, everything() == before, len(died)]
    del references
    gc.collect()
    give_back()
    # Executable copies of what was given back.
    replaced = types.FunctionType(
        workloads.textwrap.dedent.__code__.replace(
            co_name="other"), vars(
            workloads.textwrap))
    out += [replaced("  a\n  b"), everything() == before, fresh(), len(codes), agree(first)]
    return out


def code_extra():
    """Data that others attach to code objects (PEP 523)."""
    import ctypes
    api = ctypes.pythonapi
    try:
        request, set_extra, get_extra = (getattr(api, prefix + name) for prefix, name in zip(
            ("PyUnstable_", "PyUnstable_Code_", "PyUnstable_Code_"),
            ("Eval_RequestCodeExtraIndex", "SetExtra", "GetExtra")))
    except AttributeError:
        request = api._PyEval_RequestCodeExtraIndex
        set_extra, get_extra = api._PyCode_SetExtra, api._PyCode_GetExtra
    for function in (request, set_extra, get_extra):
        function.restype = ctypes.c_ssize_t
    index = request(ctypes.c_void_p(None))
    functions = [f for f in vars(workloads.textwrap.TextWrapper).values() if hasattr(f, "__code__")]
    for number, function in enumerate(functions):
        assert set_extra(
            ctypes.py_object(
                function.__code__),
            ctypes.c_ssize_t(index),
            ctypes.c_void_p(
                number + 1)) == 0
    first = expected()
    out = []
    for _ in range(3):
        give_back()
        for function in functions:
            slot = ctypes.c_void_p()
            get_extra(
                ctypes.py_object(
                    function.__code__),
                ctypes.c_ssize_t(index),
                ctypes.byref(slot))
            out.append(slot.value)
        out.append(agree(first))
    return out


def renamed():
    """_imp._fix_co_filename() writes into code objects."""
    import _imp
    import cmd
    import colorsys
    import importlib.util
    import marshal
    import sched
    import tarfile
    import types
    seen = []
    for module in (cmd, colorsys, sched, tarfile):
        functions = [f for item in vars(module).values()
                     for f in [item] + (list(vars(item).values()) if isinstance(item, type) else [])
                     if isinstance(f, types.FunctionType) and f.__module__ == module.__name__]
        for function in functions:
            _imp._fix_co_filename(function.__code__, "/elsewhere/" + module.__name__)
        for _ in range(2):
            give_back()
            seen.append(sorted({function.__code__.co_filename for function in functions}))
        seen.append(len(functions))
    # Its one user: importlib, for a .pyc that has been moved.
    loaded = importlib.util.spec_from_file_location("textwrap", "/elsewhere/textwrap.py")
    with open(importlib.util.cache_from_source(workloads.textwrap.__file__), "rb") as file:
        code = marshal.loads(file.read()[16:])
    _imp._fix_co_filename(code, loaded.origin)
    give_back()
    return [seen, code.co_filename, colorsys.rgb_to_yiq(0.5, 0.25, 0.125)]


def in_child(function):
    """What `function` returns in a forked child, by way of a pipe."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(read)
            with open(write, "w") as out:
                json.dump(function(), out)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with open(read) as answer:
        text = answer.read()
    return [os.waitpid(pid, 0)[1], json.loads(text)]


def forked():
    first = expected()

    def work():
        seen = [agree(first)]
        give_back()
        seen.append(agree(first))
        return seen

    def with_grandchild():
        return [in_child(work), work()]

    out = [in_child(work)]
    give_back()
    out += [in_child(work), in_child(with_grandchild), work()]
    # While others give back and work.
    end = threading.Event()

    def give():
        while not end.is_set():
            give_back()

    def toil():
        while not end.is_set():
            agree(first, *TRACED[:3])

    sys.setswitchinterval(1e-4)
    threads = [threading.Thread(target=give), threading.Thread(target=toil)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(6):
            out.append(in_child(lambda: [agree(first, *TRACED[:3]),
                       give_back(), agree(first, *TRACED[:3])]))
    finally:
        end.set()
        for thread in threads:
            thread.join()
    return [first, out, agree(first)]


def in_worker(n):
    before = workloads.digest(workloads.use_argparse, n)
    give_back()
    return [
        before, workloads.digest(
            workloads.use_argparse, n), workloads.digest(
            workloads.use_json, n)]


def multiprocess():
    import multiprocessing
    out = []
    give_back()
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            out.append(pool.map(in_worker, range(6)))
        give_back()
    return out


def in_finalisers():
    """What is given back when the interpreter is nearly gone prints nothing and harms nothing."""
    import atexit
    import gc
    # A program with images allocates less, so automatic collections come at other times.
    gc.disable()
    first = expected()

    class Late:
        def __init__(self, name):
            self.name = name
            self.functions = TRACED

        def __del__(self, give_back=give_back, digest=workloads.digest):
            give_back()
            print("late", self.name, flush=True)

    workloads.late = Late("in a module")
    sys.late = Late("in sys")
    cycle = Late("in a cycle")
    cycle.cycle = cycle
    threading.Thread(target=lambda: [give_back() for _ in iter(int, 1)], daemon=True).start()
    atexit.register(lambda: print(agree(first), give_back(), flush=True))
    return agree(first)
