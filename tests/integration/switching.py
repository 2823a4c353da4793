"""A private copy of the interpreter under test, whose directories a test may change."""
import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile

import harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench"))
import processes  # noqa: E402

# Everything that a program can see of what happened before it began, but the client itself.
VISIBLE = """
import os, sys
site = sys.modules.get('sitecustomize')
if site is not None:
    spec = site.__spec__
    print(site.__file__, site.__name__, site.__package__, getattr(site, '__path__', None),
          getattr(site, 'MARK', None), spec.origin, spec.cached, spec.has_location,
          spec.submodule_search_locations, type(spec.loader).__name__,
          site.__loader__ is spec.loader, spec._initializing)
print(sys.path, sys.meta_path, sys.path_hooks)
for path, finder in sorted(sys.path_importer_cache.items()):
    print(path, type(finder).__name__, sorted(getattr(finder, '_loaders', ()), key=str))
print(sorted(set(sys.modules) - {'_pycds'}))
print(os.listdir('/proc/self/fd'), len(os.listdir('/proc/self/task')))
try:
    import sitecustomize
    print('again', sitecustomize is site)
except ImportError as error:
    print(type(error), error, error.name, error.path)
"""


def listing(directory):
    """Every entry below a directory with all that stays the same when nobody writes."""
    entries = []
    for parent, directories, files in os.walk(directory):
        for name in directories + files:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            target = os.readlink(path) if stat.S_ISLNK(status.st_mode) else ""
            size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
            entries.append((path, status.st_mode, status.st_uid, size, target))
    return sorted(entries)


class PrivatePython:
    """bin/pythonX.Y and lib/pythonX.Y below a directory: getpath finds the one from the other. The
    library's entries are links to the real one's; its sitecustomize is left out."""

    def __init__(self, directory):
        self.directory = directory
        self.path, self.stdlib, self.suffix, self.version = processes.private_python(
            harness.PYTHON, directory, "sitecustomize*")
        self.hook = os.path.join(self.stdlib, "sitecustomize" + self.suffix)
        self.library = os.path.join(harness.BUILD, "client", "cpython-" + self.version,
                                    "_pycds" + self.suffix)
        if harness.PRELOAD:
            binary = os.path.join(directory, "python-itself")
            os.rename(self.path, binary)
            with open(self.path, "w") as script:
                script.write("#!/bin/bash\nexport LD_PRELOAD='%s' ASAN_OPTIONS=detect_leaks=0\n"
                             "exec -a \"$0\" '%s' \"$@\"\n" % (harness.PRELOAD, binary))
            os.chmod(self.path, 0o755)

    def make_venv(self, directory):
        subprocess.run([self.path, "-m", "venv", "--without-pip", directory], check=True,
                       env=harness.clean_environment(PYTHONDONTWRITEBYTECODE="1"))
        return os.path.join(directory, "bin", "python")

    def site_packages(self, venv):
        return os.path.join(venv, "lib", os.path.basename(self.stdlib), "site-packages")

    @contextlib.contextmanager
    def hooked(self, target=None):
        """With the hook in place, made by hand."""
        os.symlink(target or self.library, self.hook)
        try:
            yield
        finally:
            os.unlink(self.hook)


@contextlib.contextmanager
def file_in(directory, name, text):
    """With a file that is there for a while; `name` may be in a directory that does not exist."""
    path = os.path.join(directory, name)
    parent = os.path.dirname(path)
    made = not os.path.isdir(parent)
    if made:
        os.makedirs(parent)
    with open(path, "w") as file:
        file.write(text)
    try:
        yield path
    finally:
        os.unlink(path)
        if made:
            shutil.rmtree(parent)


class PrivateCase(harness.PythonCase):
    """A private interpreter, with an image of `modules`, in a directory that a test may change."""

    modules = "json, argparse, configparser"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory = tempfile.TemporaryDirectory(prefix="pycds-switching-")
        cls.addClassCleanup(cls.directory.cleanup)
        os.chmod(cls.directory.name, 0o755)
        cls.private = PrivatePython(os.path.join(cls.directory.name, "base"))
        cls.python = cls.private.path
        cls.daemon.ctl("build", "--python", cls.python, "--import", cls.modules)

    def here(self, **extra):
        # Names of what it imports come out of .pyc files or not; the program must not care.
        return harness.clean_environment(PYCDS_SOCKET=self.daemon.socket,
                                         PYTHONDONTWRITEBYTECODE="1", **extra)
