"""Makes a plan for pycdsctl build: the source files that an image shall hold.

Run as `PYTHON -B [-O|-OO] -c THIS FD NAME MODE [ARGUMENT...]`, in the environment and with the
rights of whoever asked: this is the interpreter whose view of the world counts. The plan, one
absolute path after the other, each ended by a NUL, goes to the descriptor FD. Paths are spelled as
the importer spells them, because that is how an image is searched.

    modules NAME...   these modules and, of a package, everything in its directories
    import NAME...    what sys.modules holds after importing these
    trace             what the lines of standard input name: paths or modules
    all               whatever has a .pyc in the directories of sys.path
    system BYTES      the same as the daemon sees it, which runs this with -I -S, in an order and up to
                      a sum of sizes that leave the largest packages out first; the plan starts with
                      the line `fingerprint HEX`, ended by a NUL too, that changes when an image of it
                      would, and a line `directory PATH` for each that was looked into

Exit status: 0 the plan is complete; 2 a request that makes no sense; 3 something was not found;
the last line on stderr then says what. Python 3.9 to 3.14, standard library only.
"""
import os
import sys

# Nothing else is imported up here: `import` reports what sys.modules holds, so what this program
# needs for itself would be in the image.


class Failure(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def not_found(text):
    return Failure(3, text)


# ---------------------------------------------------------------------------------------------
# Finding without importing


def file_finder(entry):
    """The FileFinder of a path entry, or None: archives and strangers hold no source files."""
    import importlib.machinery
    import pkgutil
    if not isinstance(entry, str):
        return None
    if entry == "":
        try:
            entry = os.getcwd()
        except OSError:
            return None
    finder = pkgutil.get_importer(entry)
    return finder if isinstance(finder, importlib.machinery.FileFinder) else None


def find_in(name, path):
    """The spec of one module on one path; for a namespace package, one with all its portions.

    Path entry by path entry, as PathFinder does it, but without its _NamespacePath, which wants
    the parent package in sys.modules.
    """
    namespace = None
    for entry in path:
        finder = file_finder(entry)
        spec = finder.find_spec(name) if finder is not None else None
        if spec is None:
            continue
        if spec.loader is not None:
            return spec
        if namespace is None:
            namespace = spec
        else:
            namespace.submodule_search_locations.extend(spec.submodule_search_locations)
    return namespace


def find_by_meta_path(name):
    """What finders other than the path's know of a top-level module: editable installs, mostly."""
    import importlib.machinery
    for finder in sys.meta_path:
        if finder is importlib.machinery.PathFinder or not hasattr(finder, "find_spec"):
            continue
        spec = finder.find_spec(name, None)
        if spec is not None:
            return spec
    return None


def find_module(name):
    """The spec of a dotted name, its parents found but not imported; None if there is none."""
    parts = name.split(".")
    if not all(parts):
        raise Failure(2, "'%s' is no name of a module" % name)
    path, spec = sys.path, None
    for i in range(len(parts)):
        partial = ".".join(parts[:i + 1])
        spec = find_in(partial, path)
        if spec is None and i == 0:
            spec = find_by_meta_path(partial)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or ())
    return spec


def source_of(spec):
    """The source file of a spec, or None: built in, frozen, extension, namespace, sourceless."""
    import importlib.machinery
    if isinstance(spec.loader, importlib.machinery.SourceFileLoader):
        return spec.origin
    return None


def walk(directory, wanted, skip=frozenset(), above=frozenset(), seen=None):
    """Yields the .py files below a directory that an import can reach and `wanted` accepts.

    `skip`: directories left alone, by path. `above`: (device, inode) of the directories on the way
    here, so that a symbolic link to one of them does not lead round in circles. `seen`, a list,
    gets the directories that were looked into, less those deep inside which hold other things.
    """
    directory = directory.rstrip("/")
    try:
        here = os.stat(directory or "/")
        entries = list(os.scandir(directory or "/"))
    except OSError:
        return
    key = (here.st_dev, here.st_ino)
    if key in above:
        return
    above = above | {key}
    if seen is not None and (len(above) <= 2 or not entries or
                             any(entry.name.endswith(".py") for entry in entries)):
        seen.append(directory or "/")
    for entry in entries:
        stem, dot, suffix = entry.name.partition(".")
        path = directory + "/" + entry.name
        try:
            if dot and suffix == "py" and stem and entry.is_file():
                if wanted(path):
                    yield path
            elif not dot and stem != "__pycache__" and path not in skip and entry.is_dir():
                yield from walk(path, wanted, skip, above, seen)
        except OSError:
            continue


# ---------------------------------------------------------------------------------------------
# The modes


def plan_modules(names, python):
    for name in names:
        spec = find_module(name)
        if spec is None:
            raise not_found("no module named %s for %s" % (name, python))
        source = source_of(spec)
        if source is None and spec.submodule_search_locations is None:
            raise not_found("module %s of %s has no source file (%s)"
                            % (name, python, spec.origin or "built in"))
        if source is not None:
            yield source
        for directory in spec.submodule_search_locations or ():
            yield from walk(directory, lambda path: True)


def plan_import(names, python):
    for name in names:
        try:
            __import__(name)
        except BaseException as error:
            text = str(error).strip().splitlines()
            raise not_found("cannot import %s with %s: %s%s"
                            % (name, python, type(error).__name__,
                               ": " + text[0] if text else "")) from error
    loader_type = sys.modules["_frozen_importlib_external"].SourceFileLoader
    for module in list(sys.modules.values()):
        try:
            spec = module.__spec__
            if type(spec.loader) is loader_type and isinstance(spec.origin, str):
                yield spec.origin
        except Exception:
            # Whatever a program puts into sys.modules, and however it answers.
            continue


def plan_trace(lines, python):
    for number, line in enumerate(lines, 1):
        line = line.split(b"#", 1)[0].strip()
        if not line:
            continue
        text = os.fsdecode(line)
        if text.startswith("/"):
            yield text
            continue
        spec = find_module(text)
        if spec is None:
            # os.path and its like: a name in sys.modules below a module that is no package.
            parent = find_module(text.rpartition(".")[0]) if "." in text else None
            if parent is not None and parent.submodule_search_locations is None:
                continue
            raise not_found("no module named %s for %s, says line %d of the trace"
                            % (text, python, number))
        # A trace also sees what has no source file; there is nothing to share of that.
        source = source_of(spec)
        if source is not None:
            yield source


def plan_all(level):
    from importlib.util import cache_from_source
    optimization = level if level else ""

    def has_pyc(path):
        return os.path.isfile(cache_from_source(path, optimization=optimization))

    for root, skip in everything():
        yield from walk(root, has_pyc, skip)


def everything():
    """The directories of sys.path, each with those below it that are not its own."""
    # The directory of a program or the current one is not the interpreter's: hence no "".
    roots = []
    for entry in sys.path:
        finder = file_finder(entry) if entry else None
        if finder is not None:
            roots.append(finder.path.rstrip("/"))
    skip = set(roots)
    skip.add(os.path.dirname(os.__file__) + "/test")
    for root in roots:
        yield root, skip


def plan_system(max_bytes):
    """What plan_all() finds with site's directories on the path, a fingerprint of all of it, and the
    directories: where nothing is compiled yet, or nothing is at all, there may be something soon."""
    import hashlib
    import site
    from importlib.util import cache_from_source
    sys.path += [entry for entry in site.getsitepackages() if entry not in sys.path]
    # A package: what is left out together. Of the standard library there is one.
    packages = {}
    directories = []
    library = os.path.dirname(os.__file__)
    for root, skip in everything():
        for source in walk(root, lambda path: True, skip, seen=directories):
            pyc = cache_from_source(source, optimization="")
            try:
                stats = [os.stat(source), os.stat(pyc)]
            except OSError:
                continue
            first = source[len(root) + 1:].split("/", 1)[0]
            key = "" if root.startswith(library) else root + "/" + first
            packages.setdefault(key, []).append((source, stats))
    sizes = {key: sum(stats[1].st_size for _, stats in entries)
             for key, entries in packages.items()}
    digest = hashlib.blake2b(digest_size=8)
    # An upgrade of the interpreter or of the builder makes other images of the same sources.
    clients = os.path.dirname(os.path.abspath(sys.argv[0] or "."))
    builder = "%s/cpython-%d.%d.%d/_pycds_builder.so" % ((clients,) + sys.version_info[:3])
    files = [sys.executable, builder, clients + "/profile.txt", clients + "/pycds_build.py"]
    for path in files:
        note(digest, path, os.stat(path) if os.path.exists(path) else None)
    sources = []
    for key in sorted(packages, key=lambda key: (key != "", sizes[key], key)):
        max_bytes -= sizes[key]
        if max_bytes < 0 and key:
            break
        for source, stats in packages[key]:
            sources.append(source)
            for stat in stats:
                note(digest, source, stat)
    return digest.hexdigest(), directories, sources


def note(digest, path, stat):
    digest.update(os.fsencode(path) + b"\0")
    if stat is not None:
        digest.update(b"%d %d %d %d %d" % (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns,
                                           stat.st_ctime_ns))


# ---------------------------------------------------------------------------------------------


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def main(arguments):
    fd, python, mode, names = int(arguments[0]), arguments[1], arguments[2], arguments[3:]
    start = b""
    if mode == "modules":
        plan = plan_modules(names, python)
    elif mode == "import":
        plan = plan_import(names, python)
    elif mode == "trace":
        plan = plan_trace(sys.stdin.buffer, python)
    elif mode == "all":
        plan = plan_all(sys.flags.optimize)
    elif mode == "system":
        fingerprint, directories, plan = plan_system(int(names[0]))
        start = os.fsencode("fingerprint %s\0" % fingerprint)
        start += b"".join(os.fsencode("directory %s\0" % directory) for directory in directories)
    else:
        raise Failure(2, "unknown mode '%s'" % mode)
    paths = sorted({os.fsencode(path) for path in plan if "\0" not in path})
    if not paths:
        raise not_found("nothing for %s to put into an image" % python)
    write_all(fd, start + b"".join(path + b"\0" for path in paths))


if __name__ == "__main__":
    status = 0
    try:
        main(sys.argv[1:])
    except Failure as failure:
        status = failure.status
        write_all(2, os.fsencode("\n%s\n" % str(failure).replace("\n", " ")))
    except Exception as error:
        status = 1
        write_all(2, os.fsencode("\n%s: %s\n" % (type(error).__name__, error)))
    # At once: threads and exit handlers of what was imported are not waited for.
    os._exit(status)
