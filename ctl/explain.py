"""Finds out what becomes of modules in a process of PYTHON's, for pycdsctl explain.

Run as `PYTHON -B -c THIS NAME...`, in the environment and with the rights of whoever asked. A NAME
with a slash in it, or that ends with .py, is a source file, any other a module. Each module is found
as an import finds it, which imports the packages above it, and its code is asked for of its
loader, which executes nothing. Of a file the code is asked for alone.

Answers go to descriptor 3, as soon as each is known, since importing a package may end the process.
They are pairs of key and value, each ended by a NUL; an answer ends with the key `done`. First that
of the process: client (its file), attached, reason, image (domain, generation; once per image). Then
one per NAME: asked, kind, source, pyc, state (why a .pyc as it is now can be in no image, as
image::left_out_reason_name() has it), early (it was imported when this program began), result
(`served`, or a miss of the client's), prefix (sys.pycache_prefix), error, missing.

Python 3.9 to 3.14, standard library only.
"""
import os
import sys


def origins():
    for module in list(sys.modules.values()):
        try:
            yield str(module.__spec__.origin)
        except Exception:
            # Whatever a .pth file puts there, and however it answers.
            continue


EARLY = frozenset(origins())

# Not what this program needs itself out of whatever directory the caller is in.
PATH = list(sys.path)
sys.path[:] = [entry for entry in PATH if entry]
import importlib.machinery  # noqa: E402
import importlib.util  # noqa: E402
import warnings  # noqa: E402
sys.path[:] = PATH

ANSWERS = 3


def encoded(value):
    try:
        data = os.fsencode(value)
    except UnicodeError:
        data = value.encode("utf-8", "backslashreplace")
    return data.replace(b"\0", b"?") + b"\0"


def answer(pairs):
    data = b"".join(encoded(text) for pair in pairs + [("done", "")] for text in pair)
    view = memoryview(data)
    while view:
        view = view[os.write(ANSWERS, view):]


def described(error):
    lines = str(error).strip().splitlines()
    return type(error).__name__ + (": " + lines[0] if lines else "")


def is_file(name):
    return "/" in name or name.endswith(".py")


def spelled(name):
    """The path of a file as an import would spell it: below an entry of sys.path."""
    path = os.path.abspath(name)
    entries = [entry for entry in sys.path if isinstance(entry, str) and os.path.isabs(entry)]
    if any(path.startswith(entry.rstrip("/") + "/") for entry in entries):
        return path
    real = os.path.realpath(path)
    for entry in entries:
        inside = os.path.realpath(entry).rstrip("/") + "/"
        if real.startswith(inside):
            return os.path.join(entry, real[len(inside):])
    return path


def kind_of(spec):
    """What a module is if it has no code that an image could have, else `source`."""
    if spec.origin is None and spec.submodule_search_locations is not None:
        return "namespace"
    kinds = {importlib.machinery.BuiltinImporter: "built-in",
             importlib.machinery.FrozenImporter: "frozen",
             importlib.machinery.ExtensionFileLoader: "extension"}
    return kinds.get(spec.loader, kinds.get(type(spec.loader), "source"))


def state_of(source, pyc):
    try:
        about = os.stat(source)
    except OSError:
        return "no-source"
    try:
        with open(pyc, "rb") as file:
            header = file.read(16)
    except (FileNotFoundError, NotADirectoryError):
        return "no-pyc"
    except OSError:
        return "pyc-unreadable"
    flags, mtime, size = (int.from_bytes(header[i:i + 4], "little") for i in (4, 8, 12))
    if len(header) < 16 or flags > 3:
        return "pyc-corrupt"
    if header[:4] != importlib.util.MAGIC_NUMBER:
        return "pyc-other-version"
    if flags & 1:
        return "pyc-checked-hash" if flags & 2 else ""
    current = (int(about.st_mtime) & 0xFFFFFFFF, about.st_size & 0xFFFFFFFF)
    return "" if (mtime, size) == current else "pyc-stale"


def ask(client, loader, name):
    """Asks for the code of a module: "served", or why it comes from no image."""
    def counts():
        stats = client.stats()
        return {**stats["misses"], "served": stats["served"]}

    reasons = []
    with warnings.catch_warnings():
        # To show one of the compiler's would import more.
        warnings.simplefilter("ignore")
        for _ in range(2):
            before = counts()
            loader.get_code(name)
            reasons = [reason for reason, count in counts().items()
                       for _ in range(count - before.get(reason, 0))]
            # More only if compiling it imported its encoding, which is there the next time.
            if len(reasons) <= 1:
                break
    # None if it never came to the client.
    return reasons[0] if reasons else "other-loader"


def find(name):
    """The spec of what the user named, or None."""
    if not is_file(name):
        return importlib.util.find_spec(name)
    path = spelled(name)
    if not os.path.isfile(path):
        return None
    stem = os.path.basename(path)[:-len(".py")]
    return importlib.util.spec_from_file_location(
        stem, path, loader=importlib.machinery.SourceFileLoader(stem, path))


def look_at(name, client):
    said = [("asked", name)]
    try:
        spec = find(name)
    except ModuleNotFoundError as error:
        # A package above it is not there; or it is, and looks in vain for another module.
        if error.name is None or not (name + ".").startswith(error.name + "."):
            return said + [("error", described(error))]
        spec = None
    except BaseException as error:
        return said + [("error", described(error))]
    if spec is None:
        return said + [("missing", "yes")]
    kind = kind_of(spec)
    said.append(("kind", kind))
    if spec.origin is not None and os.path.isabs(spec.origin):
        said.append(("source", spec.origin))
    if kind != "source":
        return said
    if isinstance(spec.loader, importlib.machinery.SourceFileLoader) and sys.implementation.cache_tag:
        pyc = importlib.util.cache_from_source(spec.origin)
        said += [("pyc", pyc), ("state", state_of(spec.origin, pyc))]
    if spec.origin in EARLY:
        said.append(("early", "yes"))
    if client is None or not client.stats()["attached"]:
        return said
    if sys.pycache_prefix is not None:
        said.append(("prefix", sys.pycache_prefix))
    if not hasattr(spec.loader, "get_code"):
        return said + [("result", "other-loader")]
    try:
        said.append(("result", ask(client, spec.loader, spec.name)))
    except BaseException as error:
        said.append(("error", described(error)))
    return said


def main():
    names = sys.argv[1:]
    del sys.argv[1:]
    os.set_inheritable(ANSWERS, False)
    client = sys.modules.get("_pycds")
    said = []
    if client is not None:
        stats = client.stats()
        said = [("client", client.__file__), ("reason", stats["reason"] or "")]
        if stats["attached"]:
            said.append(("attached", "yes"))
        for image in stats["images"]:
            said.append(("image", "%s %d" % (image["domain"], image["generation"])))
    answer(said)
    for name in names:
        answer(look_at(name, client))
    # At once: threads and exit handlers of what was imported are not waited for.
    os._exit(0)


main()
