"""Small computations in pure-Python modules of the standard library, for programs under test.

Each is a function of an integer and returns a string that is the same in every process.
"""
import argparse
import ast
import asyncio
import base64
import calendar
import collections
import configparser
import copy
import csv
import dataclasses
import datetime
import difflib
import email.message
import email.parser
import email.policy
import enum
import fractions
import functools
import hashlib
import html.parser
import inspect
import io
import ipaddress
import json
import json.decoder
import json.encoder
import logging
import pickle
import pprint
import random
import re
import shlex
import statistics
import string
import textwrap
import tokenize
import traceback
import urllib.parse

import _pydecimal

TEXT = ("The quick brown fox jumps over the lazy dog, and then it does so again because nobody "
        "looked the first time.  ") * 3


def value(n):
    return {"a": [n, n * 1.5, None, True, "x" * \
                  (n % 7)], "b": {str(k): [k] * 3 for k in range(n % 5 + 2)}}


def use_json(n):
    encoder = json.encoder.JSONEncoder(sort_keys=True, indent=n % 3)
    # The generator in Python, not its C twin.
    text = "".join(encoder.iterencode(value(n)))
    scan = json.decoder.JSONDecoder(object_pairs_hook=collections.OrderedDict)
    return text + repr(scan.decode(text))


def use_re(n):
    re.purge()
    pattern = re.compile(r"(?P<word>[a-z]{%d,})|(?P<space>\s+)" % (n % 4 + 1), re.IGNORECASE)
    return repr([(m.lastgroup, m.span()) for m in pattern.finditer(TEXT)])


def use_textwrap(n):
    return textwrap.fill(TEXT, 30 + n %
                         20) + textwrap.dedent("    a\n      b\n") + textwrap.shorten(TEXT, 40)


def use_argparse(n):
    parser = argparse.ArgumentParser(prog="p%d" % n, description=TEXT)
    parser.add_argument("--flag", action="store_true", help="a flag")
    parser.add_argument("--number", type=int, default=n, metavar="N")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("run", help="runs").add_argument("files", nargs="*")
    parsed = parser.parse_args(["--number", str(n), "run", "x", "y"])
    return repr(sorted(vars(parsed).items())) + parser.format_help()


def use_logging(n):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s:%(name)s:%(message)s"))
    logger = logging.Logger("l%d" % n)
    logger.addHandler(handler)
    for level in (logging.DEBUG, logging.WARNING):
        logger.log(level, "%s and %d", "text", n)
    try:
        raise ValueError(n)
    except ValueError:
        logger.warning("failed", exc_info=True)
    return re.sub(r"line \d+", "line", stream.getvalue())


def use_decimal(n):
    context = _pydecimal.Context(prec=20 + n % 10)
    x = _pydecimal.Decimal(n + 2)
    return str([context.sqrt(x), context.divide(x, _pydecimal.Decimal(7)), context.power(x, 5)])


def use_dataclasses(n):
    made = dataclasses.make_dataclass(
        "D", [
            ("x", int), ("y", list, dataclasses.field(
                default_factory=list))], order=True)
    one = made(n)
    return repr([dataclasses.asdict(one), dataclasses.replace(one, x=1) < made(2), one])


async def produce(queue, n):
    for item in range(n):
        await queue.put(item)
        await asyncio.sleep(0)
    await queue.put(None)


async def consume(queue):
    seen = []
    while (item := await queue.get()) is not None:
        seen.append(item)
    return seen


async def converse(n):
    asyncio.get_running_loop().slow_callback_duration = 60  # under -X dev it would say so
    queue = asyncio.Queue(2)
    async with asyncio.Lock():
        return await asyncio.gather(produce(queue, n % 9 + 1), consume(queue))


def use_asyncio(n):
    return repr(asyncio.run(converse(n)))


def use_email(n):
    message = email.message.EmailMessage(policy=email.policy.default)
    message["Subject"] = "Subject %d \u00e9" % n
    message["To"] = "A <a@example.org>, B <b@example.org>"
    message.set_content(TEXT)
    parsed = email.parser.Parser(policy=email.policy.default).parsestr(message.as_string())
    return repr([parsed["Subject"], str(parsed["To"]), parsed.get_content()])


def use_configparser(n):
    parser = configparser.ConfigParser()
    parser.read_string("[a]\nx = %d\ny = %%(x)s1\n[b]\nz: 2\n" % n)
    out = io.StringIO()
    parser.write(out)
    return out.getvalue() + parser["a"]["y"]


def use_csv(n):
    out = io.StringIO()
    writer = csv.DictWriter(out, ["a", "b"])
    writer.writeheader()
    writer.writerow({"a": n, "b": 'say "x"'})
    return repr(list(csv.DictReader(io.StringIO(out.getvalue())))) + \
        repr(csv.Sniffer().sniff("a;b;c\n1;2;3\n").delimiter)


def use_difflib(n):
    a, b = TEXT.split(), TEXT.replace("fox", "cat%d" % n).split()
    return "\n".join(difflib.unified_diff(a, b, lineterm="")) + \
        str(difflib.SequenceMatcher(None, a, b).ratio())


def use_fractions(n):
    x = fractions.Fraction(n + 1, 7)
    return str([x ** 3, x / 5, x.limit_denominator(3), statistics.mean([x, 2 * x]),
                statistics.median([1, n, 3]), statistics.pstdev([1.0, 2.0, n])])


def use_ast(n):
    source = "def f(a, b=%d, *c, d: int = 3, **e):\n    return [x for x in a if x] or {**e}\n" % n
    tokens = [t.string for t in tokenize.generate_tokens(io.StringIO(source).readline)]
    return ast.unparse(ast.parse(source)) + repr(tokens) + ast.dump(ast.parse(source))


class Color(enum.Flag):
    RED = 1
    GREEN = 2
    BOTH = 3


def use_enum(n):
    return repr([Color(n % 4), Color.RED | Color.GREEN, list(Color), Color["BOTH"]])


def use_pickle(n):
    out = io.BytesIO()
    pickle._Pickler(out, 4).dump([value(n), Color.RED, datetime.date(2000, 1, n % 28 + 1)])
    return repr(pickle._Unpickler(io.BytesIO(out.getvalue())).load())


def use_copy(n):
    deep = copy.deepcopy([value(n), collections.Counter("abca"), collections.deque([1, 2])])
    return pprint.pformat(deep, width=40)


class Parser(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, attrs))

    def handle_data(self, data):
        self.seen.append(data)


def use_html(n):
    parser = Parser()
    parser.feed("<p class='c%d'>a &amp; b<br/>c</p><!-- x -->" % n)
    return repr(parser.seen)


def use_dates(n):
    when = datetime.datetime.strptime("2001-02-%02d" % (n % 28 + 1), "%Y-%m-%d")
    return str(when) + calendar.TextCalendar().formatmonth(2000 + n, 2)


def use_net(n):
    network = ipaddress.ip_network("10.%d.0.0/29" % (n % 256))
    url = urllib.parse.urlsplit("http://u@h:80/p%d?q=1&r=a%%20b#f" % n)
    return repr([list(network.hosts()), url.port, urllib.parse.parse_qsl(
        url.query), urllib.parse.quote(TEXT[:20])])


def use_strings(n):
    return repr([string.Template("$a ${b}").substitute(a=n,
                                                       b=2),
                 shlex.split("a 'b c' \"d\" %d" % n),
                 string.capwords(TEXT[:30]),
                 base64.b85encode(str(n).encode()),
                 string.Formatter().format("{0:>{1}}",
                                           n,
                                           5),
                 random.Random(n).sample(range(50),
                                         5)])


def use_inspect(n):
    def function(a, b: int = 2, *, c=None):
        raise KeyError(n)
    try:
        function(1)
    except KeyError as error:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
    return str(inspect.signature(function)) + \
        lines[-1] + str(inspect.signature(argparse.ArgumentParser))


def use_functools(n):
    @functools.total_ordering
    class Ordered:
        def __init__(self, x):
            self.x = x

        def __eq__(self, other):
            return self.x == other.x

        def __lt__(self, other):
            return self.x < other.x

    @functools.singledispatch
    def kind(x):
        return "other"
    kind.register(int, lambda x: "int")
    return repr([Ordered(n) >= Ordered(3), kind(n), kind(
        "x"), collections.ChainMap({1: n}, {2: 3})])


ALL = [function for name, function in sorted(globals().items()) if name.startswith("use_")]


def digest(function, n):
    return hashlib.sha256(function(n).encode()).hexdigest()[:16]


def results(numbers=(1, 2), functions=None):
    return {"%s(%d)" % (function.__name__, n): digest(function, n)
            for function in functions or ALL for n in numbers}
