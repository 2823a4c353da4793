"""A field that CPython adds, removes or moves must stop the build of the client.

Compiles client/interp against this interpreter's real headers, then against copies in which one
struct is altered, and wants success once and a failed static assertion each other time.
"""
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile

COMPILER, SOURCE = sys.argv[1:3]
INCLUDE = sysconfig.get_path("include")

# (header, text to find, what to put in its place)
ALTERATIONS = [
    ("cpython/code.h", "PyObject *co_names;", "PyObject *co_names; void *co_invented; "),
    ("cpython/code.h", "void *co_extra;", "int co_less; int co_more; void *co_extra;"),
    ("cpython/code.h", "int co_stacksize;", "long co_stacksize;"),
    ("cpython/unicodeobject.h", "Py_hash_t hash;", "Py_hash_t hash; void *invented;"),
    ("cpython/setobject.h", "PyObject *weakreflist;", "PyObject *weakreflist; int invented;"),
    ("setobject.h", "PyObject *weakreflist;", "PyObject *weakreflist; int invented;"),
    ("cpython/tupleobject.h", "PyObject *ob_item[1];", "Py_hash_t invented; PyObject *ob_item[1];"),
    ("sliceobject.h", "PyObject *start, *stop, *step;", "PyObject *start, *stop, *step, *invented;"),
    ("cpython/longintrepr.h", "digit ob_digit[1];", "int flags; digit ob_digit[1];"),
]


def compiles(include):
    return subprocess.run(
        [COMPILER, "-std=c++20", "-fsyntax-only", "-I", SOURCE, "-isystem", include, "-x", "c++",
         os.path.join(SOURCE, "client", "interp", "common_layout.h")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, check=False)


def main():
    real = compiles(INCLUDE)
    if real.returncode != 0:
        sys.exit("the real headers do not compile:\n" + real.stdout)
    tried = 0
    with tempfile.TemporaryDirectory() as directory:
        for number, (header, old, new) in enumerate(ALTERATIONS):
            copy = os.path.join(directory, str(number))
            shutil.copytree(INCLUDE, copy)
            # Debian keeps pyconfig.h in a directory of its own, found relative to the compiler's.
            path = os.path.join(copy, header)
            if not os.path.exists(path):
                continue
            with open(path) as file:
                text = file.read()
            if old not in text:
                continue
            with open(path, "w") as file:
                file.write(text.replace(old, new))
            answer = compiles(copy)
            if answer.returncode == 0 or "static assertion failed" not in answer.stdout:
                sys.exit("%s with %r is not noticed:\n%s" % (header, new, answer.stdout))
            tried += 1
    if tried < 5:
        sys.exit("only %d alterations could be tried" % tried)
    print("%d altered headers were noticed" % tried)


main()
