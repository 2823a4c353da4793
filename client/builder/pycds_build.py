"""Runs inside a throw-away target interpreter (-I -S -B) and loads the builder made for it.

See client/builder/PROTOCOL.md for the arguments. Executes no code of any module that it archives.
"""
import os
import sys


def fail(report_fd, status, text):
    os.write(report_fd, ("error %s\n" % text).encode("utf-8", "backslashreplace"))
    os._exit(status)


def foreign_names(plan_fd):
    """What may be a name in the extension modules beside the planned sources, as lines of a profile."""
    plan = b""
    while chunk := os.pread(plan_fd, 1 << 20, len(plan)):
        plan += chunk
    import re
    lines = set()
    for directory in {os.path.dirname(path) for path in plan.split(b"\0")[:-1]}:
        try:
            entries = [e.path for e in os.scandir(directory) if e.name.endswith(b".so") and e.is_file()]
        except OSError:
            continue
        for path in entries:
            # As Profile::package() has it.
            key = re.split(rb"/(?:dist-packages|site-packages|python3\.\d+)/", path)[-1]
            package = re.match(rb"[^/.]*", key)[0]
            try:
                with open(path, "rb") as file:
                    # Names end with a NUL in the tables that extension modules give to CPython.
                    names = set(re.findall(rb"[A-Za-z_][A-Za-z0-9_]{1,60}(?=\0)", file.read(1 << 26)))
            except OSError:
                continue
            lines.update(b"foreign %s %s\n" % (package, name) for name in names)
    return b"".join(sorted(lines))


def main():
    options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    report_fd = int(options["--report-fd"])
    root = os.path.dirname(os.path.abspath(__file__))
    version = "%d.%d.%d" % sys.version_info[:3]
    directory = os.path.join(root, "cpython-" + version)
    path = os.path.join(directory, "_pycds_builder.so")
    if not os.path.exists(path):
        made_for = sorted(name[8:] for name in os.listdir(root) if name.startswith("cpython-"))
        fail(report_fd, 3, "there is no client for CPython %s (%s); there are clients for: %s"
             % (version, sys.executable, ", ".join(made_for) or "none"))
    # The strings of these are those of every process that starts and compiles its program.
    import site  # noqa: F401  (not run)
    compile("", "", "exec")
    if sys.version_info >= (3, 13):
        import linecache  # noqa: F401  (what -c imports before it begins)
    import _imp
    from _frozen_importlib import ModuleSpec
    spec = ModuleSpec("_pycds_builder", None, origin=path)
    try:
        builder = _imp.create_dynamic(spec)
        _imp.exec_dynamic(builder)
    except ImportError as error:
        fail(report_fd, 3, "the client for CPython %s does not load into %s: %s"
             % (version, sys.executable, error))
    # What lies where in the image; without it everything works the same.
    try:
        with open(os.path.join(root, "profile.txt"), "rb") as file:
            profile = file.read()
    except OSError:
        profile = b""
    sources_fd = int(options.get("--sources-fd", -1))
    # What somebody else offers, nobody looks for.
    if sources_fd < 0:
        profile += foreign_names(int(options["--plan-fd"]))
    look_for_patterns = compile_patterns = None
    try:
        sys.path.append(root)
        import pycds_patterns
        finder = pycds_patterns.Finder()
        look_for_patterns = finder.look_at
        compile_patterns = lambda: pycds_patterns.compile_all(finder)  # noqa: E731
    except Exception:  # whatever it is, an image without patterns is an image
        pass
    kind, _, uid = options["--domain"].partition(":")
    message = builder.build(
        int(options["--plan-fd"]), int(options["--out-fd"]), report_fd, int(options["--filter-fd"]),
        int(options["--slot"]), int(options["--generation"]), kind == "system", int(uid or 0),
        profile, look_for_patterns, compile_patterns, int(options.get("--common-base", 0)), sources_fd,
        int(options.get("--hashes", 0)))
    if message is not None:
        fail(report_fd, 1, message)
    # Tearing the heap down would cost as much as building it.
    os._exit(0)


main()
