"""Every module of the standard library and of dist-packages, with the client and without.

PYCDS_EVERY=N imports every Nth of them (120), each in new processes; the code of all is compared in any case.
"""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tree import harness, plain  # noqa: E402

EVERY = int(os.environ.get("PYCDS_EVERY", "120"))
SEEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "seen.py")
TIMEOUT = 60

# Modules that do more than define things.
LEFT_ALONE = {
    "antigravity": "opens a browser",
    "idlelib.idle": "opens a window and waits for it",
    "turtledemo.__main__": "opens a window",
    "pip.__pip-runner__": "no name that can be imported",
}
# What docs/transparency.md says of them.
OTHER_TYPES = {name: {"compile": "builtin_function_or_method"} for name in ("re._compiler", "sre_compile")}
ENDINGS = {
    "__main__": "runs a program",
    "setup": "runs a program",
}

LIST = r"""
import os, site, sys, importlib.util as u
for root in [os.path.dirname(os.__file__)] + site.getsitepackages() + ["/usr/lib/python3/dist-packages"]:
    for where, directories, files in os.walk(root):
        parts = os.path.relpath(where, root).split(os.sep)
        directories[:] = sorted(d for d in directories if d.isidentifier() and d != "__pycache__"
                                and not (parts == ["."] and d in ("test", "site-packages", "dist-packages")))
        for name in sorted(files):
            path = os.path.join(where, name)
            if not name.endswith(".py") or not name[:-3].isidentifier() or not os.path.exists(
                    u.cache_from_source(path)):
                continue
            dotted = [p for p in parts if p != "."] + ([] if name == "__init__.py" else [name[:-3]])
            if dotted:
                print(path, ".".join(dotted))
"""


def first_difference(client, stock):
    """Not the whole of two long lists."""
    if isinstance(client, list) and isinstance(stock, list):
        for index, (one, other) in enumerate(zip(client, stock)):
            if one != other:
                return [index, one, other]
    if isinstance(client, dict) and isinstance(stock, dict):
        return {key: first_difference(client.get(key), value) for key, value in stock.items()
                if client.get(key) != value}
    return [client, stock]


class Oracle(harness.PythonCase):
    functions = 0

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        lines = subprocess.run([cls.python, "-c", LIST], env=harness.clean_environment(), check=True,
                               stdout=subprocess.PIPE, universal_newlines=True).stdout.splitlines()
        found = dict(line.split(" ", 1) for line in lines)
        cls.paths = sorted(found)
        cls.modules = sorted({name for name in found.values() if name not in LEFT_ALONE
                              and name.rpartition(".")[2] not in ENDINGS})
        os.mkdir(os.path.join(cls.daemon.directory, "bin"))
        cls.plan = os.path.join(cls.daemon.directory, "plan")
        with open(cls.plan, "w") as file:
            file.write("".join(path + "\n" for path in cls.paths))
        cls.daemon.ctl("build", "--python", cls.python, "--trace", cls.plan)
        # In a directory that nobody writes to: finders look again where something has changed.
        cls.seen = shutil.copy(SEEN, os.path.join(cls.daemon.directory, "bin", "seen.py"))

    def look(self, on, *arguments, options=()):
        variables = {"PYTHONHASHSEED": "0", "HOME": "/root"}
        environment = self.on(**variables) if on else harness.clean_environment(**variables)
        try:
            answer = subprocess.run([self.python, "-B", *options, self.seen, *arguments], env=environment,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, timeout=TIMEOUT, check=False, cwd="/tmp")
        except subprocess.TimeoutExpired:
            return {"outcome": "does not end"}
        text, _, seen = answer.stdout.rpartition(b"\n@@seen")
        result = json.loads(seen) if seen else {"ended": answer.returncode}
        result["output"] = plain(text).decode(errors="replace")
        result["errors"] = plain(answer.stderr).decode(errors="replace")
        return result

    def compare(self, name, *arguments, options=()):
        client = self.look(True, *arguments, options=options)
        stock = self.look(False, *arguments, options=options)
        self.functions += stock.get("functions", 0)
        for item, kind in OTHER_TYPES.get(name, {}).items():
            if (client.get("types") or {}).get(item) == kind:
                client["types"][item] = stock["types"][item]
        if client == stock:
            return None
        return "%s: %s" % (name, {key: first_difference(client.get(key), stock[key])
                                  for key in stock if client.get(key) != stock[key]})

    def differing(self, names, mode):
        """Says at once what differs: there may be many."""
        differing = []
        for name in names:
            difference = self.compare(name, mode, name)
            if difference is not None:
                sys.stderr.write(difference[:3000] + "\n")
                differing.append(name)
        return differing

    def test_all_code_is_as_in_stock(self):
        with open(self.plan, "w") as file:
            file.write("".join(path + "\n" for path in self.paths))
        served = []
        for on in (True, False):
            answer = self.run_python(
                "-c", "import sys, json\nsys.path.insert(0, %r)\nimport seen\n"
                "client = sys.modules.get('_pycds')\nbefore = client and client.stats()['served']\n"
                "result = seen.codes(open(%r).read().splitlines())\n"
                "print(json.dumps([result, client and client.stats()['served'] - before]))"
                % (os.path.dirname(SEEN), self.plan),
                environment=self.on(PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1") if on else
                harness.clean_environment(PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1"))
            self.assertEqual(answer.returncode, 0, answer.stderr.decode())
            served.append(json.loads(answer.stdout))
        (client, count), (stock, _) = served
        self.assertEqual([path for path in stock if stock[path] != client[path]], [])
        # What the interpreter has imported to get so far is compiled once more, and some cannot be.
        self.assertGreater(count, 0.9 * len(stock))
        sys.stderr.write("%d of %d served, all equal\n" % (count, len(stock)))

    def test_modules_leave_behind_what_they_leave_in_stock(self):
        chosen = self.modules[::EVERY]
        self.assertEqual(self.differing(chosen, "module"), [])
        sys.stderr.write("%d modules, %d of their functions\n" % (len(chosen), self.functions))
        self.assertGreater(self.functions, len(chosen))

    def test_audit_events(self):
        self.assertEqual(self.differing(self.modules[3::EVERY * 3], "audited"), [])


if __name__ == "__main__":
    harness.main()
