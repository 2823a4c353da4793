"""Runs in the interpreter under test: imports what it is told to, each time in a child, and says what came.

Reads a line of JSON for each request; the answer is one, too. The parent itself imports nothing of the
tree, so each child finds it as a new process would, and with images as old as the parent.
"""
import importlib
import json
import os
import py_compile
import sys


def found(name):
    try:
        module = importlib.import_module(name)
    except Exception as error:
        return [type(error).__name__, str(error)]
    function = getattr(module, "answer", None)
    return [getattr(module, "VALUE", None), getattr(module, "__file__", None), getattr(module, "__cached__", None),
            type(module.__loader__).__name__, function and function(),
            function and function.__code__.co_filename]


def served():
    client = sys.modules.get("_pycds")
    return client.stats()["served"] if client is not None else 0


def do(request):
    if request["do"] == "compile":
        try:
            py_compile.compile(request["source"], cfile=request["pyc"], doraise=True, dfile=request["path"],
                               invalidation_mode=py_compile.PycInvalidationMode[request["mode"]])
        except Exception as error:
            return [str(error)]
        return []
    sys.dont_write_bytecode = not request["write"]
    sys.path[0:0] = request["path"]
    before = served()
    return {"found": [[name] + found(name) for name in request["names"]], "served": served() - before}


for line in sys.stdin:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(writer, "w") as out:
            json.dump(do(json.loads(line)), out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    status = os.waitpid(child, 0)[1]
    sys.stdout.write((text or json.dumps({"found": "died, status %d" % status, "served": 0})) + "\n")
    sys.stdout.flush()
