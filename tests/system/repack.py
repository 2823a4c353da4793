"""Makes packages of other packages, for upgrades: with dpkg-deb, on this side."""
import pathlib
import re
import shutil
import subprocess


def with_version(deb, directory, suffix, change=None):
    """A copy of a package with another version, its own and where it names its siblings. `change`
    is called with the directory of its files."""
    tree = pathlib.Path(directory) / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN" / "control"
    text = control.read_text()
    version = re.search(r"^Version: (.*)$", text, re.M)[1]
    control.write_text(text.replace(version, version + suffix))
    if change:
        change(tree)
    return _build(tree, pathlib.Path(directory) / pathlib.Path(deb).name.replace(
        "_" + version, "_" + version + suffix))


def of_installed(root, package, directory, suffix="", change=None):
    """A package made of what is installed of it in a root."""
    tree = pathlib.Path(directory) / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "DEBIAN").mkdir(parents=True)
    database = root / "var/lib/dpkg"
    for paragraph in (database / "status").read_text().split("\n\n"):
        if paragraph.startswith("Package: %s\n" % package):
            break
    else:
        raise AssertionError("%s is not installed" % package)
    version = re.search(r"^Version: (.*)$", paragraph, re.M)[1]
    paragraph = re.sub(r"^(Status|Conffiles|Config-Version): .*\n(?: .*\n)*", "", paragraph + "\n",
                       flags=re.M)
    (tree / "DEBIAN/control").write_text(
        paragraph.replace("Version: " + version, "Version: " + version + suffix).strip() + "\n")
    for script in ("postinst", "prerm", "postrm", "preinst"):
        source = database / "info" / ("%s.%s" % (package, script))
        if source.exists():
            shutil.copy2(source, tree / "DEBIAN" / script)
    for name in (database / "info" / (package + ".list")).read_text().split("\n"):
        source = root / name.lstrip("/")
        target = tree / name.lstrip("/")
        if name in ("", "/."):
            continue
        if source.is_symlink() or source.is_file():
            shutil.copy2(source, target, follow_symlinks=False)
        elif source.is_dir():
            target.mkdir(exist_ok=True)
    if change:
        change(tree)
    return _build(tree, pathlib.Path(directory) / ("%s%s.deb" % (package, suffix.strip("+"))))


def _build(tree, deb):
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, deb], check=True,
                   stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return deb
