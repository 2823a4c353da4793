"""Runs inside a throw-away target interpreter (-I -S -B): what have live processes written into an image?

    PYTHON -I -S -B CLIENTS/pycds_record.py IMAGE_FD PID...

Prints the lines of a profile (profile.h), sorted and unique. Exit status 1 and a line on stderr if
nothing could be read.
"""
import os
import sys


def main():
    root = os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(root, "cpython-%d.%d.%d" % sys.version_info[:3], "_pycds_builder.so")
    import _imp
    from _frozen_importlib import ModuleSpec
    builder = _imp.create_dynamic(ModuleSpec("_pycds_builder", None, origin=path))
    _imp.exec_dynamic(builder)
    lines = set()
    for pid in sys.argv[2:]:
        lines.update(builder.record(int(sys.argv[1]), int(pid)).splitlines(keepends=True))
    sys.stdout.buffer.write(b"".join(sorted(lines)))


try:
    main()
except (ImportError, ValueError) as error:
    sys.exit("pycds_record: %s" % error)
