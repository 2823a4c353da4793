"""Compiles many regular expressions and prints, as JSON, what the outcome does.

    patterns.py DIRECTORY    all that the finder in DIRECTORY/pycds_patterns.py finds in the
                             standard library and in dist-packages
"""
import copy
import hashlib
import importlib.util
import json
import marshal
import os
import pickle
import re
import sys
import sysconfig
import warnings

TEXTS = [
    "",
    "a",
    "abc",
    " \t\n",
    "A_b1",
    "foo(bar, baz=1)",
    "name = 'value'  # text",
    "-12.5e+10",
    "0x1F",
    "%(key)s %d {x!r:>5}",
    "<a href=\"x\">b</a><!-- c -->",
    "http://user@host:80/p?q=1#f",
    "2001-02-03T04:05:06.789+01:00",
    "==?utf-8?q?=E9?=",
    "Content-Type: text/html; charset=utf-8",
    "é ü ß İ ı ſ K",
    "\r\nline\n\nend",
    "$name ${braced} $$",
    "[section]\nkey: value",
    "a/b/c.py",
    "\\d+(?P<x>y)",
    "&amp;&#62;",
    "user.name@example.org",
    "192.168.0.1/24",
    "::1",
    "def f(x): return x",
    "'''doc'''"]


def sources():
    for directory in (sysconfig.get_path("stdlib"), "/usr/lib/python3/dist-packages"):
        if directory not in sys.path:
            continue
        for where, directories, files in os.walk(directory):
            directories[:] = sorted(
                d for d in directories if d not in (
                    "__pycache__", "test", "tests"))
            for name in sorted(files):
                if name.endswith(".py"):
                    yield os.path.join(where, name)


def candidates(directory):
    sys.path.append(directory)
    import pycds_patterns
    finder = pycds_patterns.Finder()
    for path in sources():
        try:
            with open(importlib.util.cache_from_source(path), "rb") as file:
                finder.look_at(marshal.loads(file.read()[16:]))
        except (OSError, ValueError, EOFError):
            pass
    return list(finder.found)


def spans(match):
    return match and [match.span(k) for k in range(match.re.groups + 1)
                      ] + [match.lastgroup, match.groupdict()]


def matches(pattern):
    texts = TEXTS if isinstance(pattern.pattern, str) else [text.encode() for text in TEXTS]
    for text in texts:
        yield [spans(how(text)) for how in (pattern.search, pattern.match, pattern.fullmatch)]
        yield len(pattern.findall(text))


def describe(pattern):
    return [
        repr(pattern), repr(
            pattern.pattern), type(
            pattern.pattern).__name__, pattern.flags, pattern.groups, list(
                pattern.groupindex.items()), type(
                    pattern.groupindex).__name__, hashlib.sha256(
                        repr(
                            list(
                                matches(pattern))).encode()).hexdigest()]


def main():
    found = candidates(sys.argv[1])
    outcome = {}
    unequal = []
    for kind, text, flags in found:
        if kind is str:
            again = "".join(list(text))
        else:
            again = bytes(bytearray(text))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                pattern = re.compile(again, flags)
            except Exception as error:
                seen = [type(error).__name__, str(error)]
            else:
                seen = describe(pattern)
                re.purge()
                # With a flag that is one, and as others spell it.
                other = re.compile(text, re.RegexFlag(flags))
                if not (other == pattern and hash(other) == hash(pattern)
                        and pattern.pattern is again and copy.copy(pattern) is pattern
                        and copy.deepcopy(pattern) is pattern
                        and pickle.loads(pickle.dumps(pattern)) == pattern):
                    unequal.append(repr(text))
        outcome["%s %r %d" % (kind.__name__, text, flags)] = seen + [str(w.message) for w in warned]
    try:
        import _pycds
        served = _pycds.stats()["patterns"]
    except ImportError:
        served = 0
    print(json.dumps({"patterns": outcome, "unequal": unequal, "served": served}))


main()
