"""Programs that give pages back while archived code runs, as hard as they can.

    hammer.py SCENARIO    prints what it computed as JSON: {"result": ..., "pages": N, "calls": N}

`result` must be the same in a process without the client, where nothing is given back.
"""
import hashlib
import json
import os
import signal
import sys
import threading

import giving
import hammer_state
import workloads
from giving import TRACED, agree, expected, give_back, given_back


def in_threads():
    first = expected()
    sys.setswitchinterval(1e-5)
    failures = []
    end = threading.Event()

    def work(offset):
        functions = workloads.ALL[offset:] + workloads.ALL[:offset]
        for _ in range(4):
            failures.append(agree(first, *functions))

    def give():
        while not end.is_set():
            give_back()

    givers = [threading.Thread(target=give) for _ in range(2)]
    workers = [threading.Thread(target=work, args=(k * 5,)) for k in range(4)]
    for thread in givers + workers:
        thread.start()
    for thread in workers:
        thread.join()
    end.set()
    for thread in givers:
        thread.join()
    return [first, failures, agree(first)]


class Every:
    """Calls give_back() every so many times that it is called."""

    def __init__(self, count):
        self.count = count
        self.left = count

    def __call__(self):
        self.left -= 1
        if self.left == 0:
            self.left = self.count
            give_back()


def place(code, *more):
    return "%s:%d %s" % (os.path.basename(code.co_filename), code.co_firstlineno, list(more))


class Log:
    """Events of code under test, in their order."""

    def __init__(self):
        self.count = 0
        self.hash = hashlib.sha256()

    def add(self, text):
        self.count += 1
        self.hash.update(text.encode())

    def summary(self):
        return [self.count, self.hash.hexdigest()]


def under_settrace():
    first = expected()
    give_back()
    log = Log()
    some = Every(200)

    def trace(frame, event, argument):
        log.add(place(frame.f_code, frame.f_lineno, frame.f_lasti, event))
        some()
        return trace

    def run(opcodes):
        def start(frame, event, argument):
            frame.f_trace_opcodes = opcodes
            return trace(frame, event, argument)
        sys.settrace(start)
        try:
            return agree(first, *TRACED[:4] if opcodes else TRACED)
        finally:
            sys.settrace(None)

    differing = [run(False), run(False)]
    give_back()
    differing += [agree(first), run(True)]
    give_back()
    return [first, differing, log.summary(), agree(first)]


def under_setprofile():
    first = expected()
    log = Log()
    some = Every(100)

    def profile(frame, event, argument):
        if event in ("call", "return"):
            log.add(place(frame.f_code, frame.f_lineno, event))
        some()

    sys.setprofile(profile)
    try:
        differing = [agree(first, *TRACED)]
        sys.setprofile(None)
        threading.setprofile(profile)
        thread = threading.Thread(target=lambda: differing.append(agree(first, *TRACED)))
        thread.start()
        thread.join()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    give_back()
    return [first, differing, log.summary(), agree(first)]


def under_monitoring():
    first = expected()
    monitoring = sys.monitoring
    events = monitoring.events
    tool = 3
    log = Log()
    some = Every(150)

    def watch(kind, turn_off):
        def callback(code, *arguments):
            some()
            if code.co_filename not in (__file__, giving.__file__):
                numbers = [a for a in arguments if isinstance(a, int)]
                log.add(place(code, kind, numbers))
            return monitoring.DISABLE if turn_off else None
        return callback

    differing = []
    give_back()
    for turn_off in (False, True):
        monitoring.use_tool_id(tool, "hammer")
        for name in ("PY_START", "PY_RETURN", "PY_YIELD", "LINE", "JUMP", "BRANCH", "INSTRUCTION"):
            event = getattr(events, name)
            monitoring.register_callback(tool, event, watch(name, turn_off))
        monitoring.set_events(tool, events.PY_START | events.LINE | events.PY_RETURN | events.JUMP
                              | events.BRANCH | events.PY_YIELD)
        differing.append(agree(first, *TRACED))
        give_back()
        if turn_off:
            monitoring.restart_events()
            differing.append(agree(first, *TRACED))
        code = workloads.textwrap.TextWrapper._split_chunks.__code__
        monitoring.set_local_events(tool, code, events.INSTRUCTION)
        differing.append(agree(first, workloads.use_textwrap))
        give_back()
        differing.append(agree(first, workloads.use_textwrap))
        monitoring.set_local_events(tool, code, 0)
        monitoring.set_events(tool, 0)
        give_back()
        differing.append(agree(first))
        for name in ("PY_START", "PY_RETURN", "PY_YIELD", "LINE", "JUMP", "BRANCH", "INSTRUCTION"):
            monitoring.register_callback(tool, getattr(events, name), None)
        monitoring.free_tool_id(tool)
        give_back()
        differing.append(agree(first))
    # Code that came after monitoring was used.
    import xml.dom.minidom
    give_back()
    text = xml.dom.minidom.parseString("<a b='c'>d</a>").toxml()
    give_back()
    return [first, differing, log.summary(), text, agree(first)]


def in_signal_handlers():
    first = expected()
    handled = []

    def handler(number, frame):
        handled.append(number)
        give_back()

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    differing = []
    while len(handled) < 300 or len(differing) < 5:
        differing.append(agree(first))
    signal.setitimer(signal.ITIMER_REAL, 0)
    give_back()
    return [first, [d for d in differing if d is not None], agree(first)]


class Giver:
    """Gives back inside whatever the interpreter calls in the middle of an instruction."""

    def __init__(self, x):
        self.x = x

    def give(self):
        give_back()
        return self.x

    def __del__(self):
        give_back()

    def __eq__(self, other):
        return self.give() == getattr(other, "x", other)

    def __hash__(self):
        return hash(self.give())

    def __lt__(self, other):
        return self.give() < other.x

    def __bool__(self):
        return bool(self.give())

    def __len__(self):
        return self.give() % 5

    def __iter__(self):
        for k in range(self.give() % 4):
            give_back()
            yield Giver(k)

    def __contains__(self, item):
        return self.give() == item

    def __getitem__(self, key):
        if key >= self.give() % 6:
            raise IndexError
        return key

    def __call__(self, *arguments):
        return self.give()

    def __getattr__(self, name):
        give_back()
        if name.startswith("__"):
            raise AttributeError(name)
        return name

    def __repr__(self):
        return "Giver(%r)" % self.give()

    def __str__(self):
        return str(self.give())

    def __format__(self, how):
        return format(self.give(), how)

    def __index__(self):
        return self.give()

    def __add__(self, other):
        return Giver(self.give() + getattr(other, "x", other))

    __radd__ = __add__

    def __enter__(self):
        return self.give()

    def __exit__(self, *error):
        return bool(self.give())

    def __set_name__(self, owner, name):
        give_back()

    def __get__(self, instance, owner):
        return self.give()

    def __copy__(self):
        return Giver(self.give())

    def __deepcopy__(self, memo):
        return Giver(self.give())


def inside_instructions():
    import bisect
    import contextlib
    import copy
    import difflib
    import pprint
    import reprlib
    import string
    import types
    out = []
    for turn in range(12):
        givers = [Giver(k * 7 % 11) for k in range(8)]
        out.append(sorted(givers)[0].x)
        out.append(bisect.bisect(sorted(givers), Giver(5)))
        out.append([g.x for g in copy.deepcopy(givers)] + [copy.copy(Giver(3)).x])
        out.append(difflib.SequenceMatcher(None, givers, [Giver(0), Giver(7)]).get_opcodes())
        out.append(pprint.pformat({"a": givers, "b": (Giver(1),)}, width=20))
        out.append(reprlib.repr(givers))
        out.append(string.Formatter().vformat("{0} {1:>4} {a}", givers, {"a": Giver(2)}))
        counter = workloads.collections.Counter()
        counter.update(givers)
        out.append(sorted(counter.values()))
        chain = workloads.collections.ChainMap({Giver(1): 1}, {Giver(2): 2})
        out.append([Giver(2) in chain, chain.get(Giver(1)), len(chain)])
        out.append(str(workloads.statistics.mode([Giver(1), Giver(1), Giver(2)])))
        with contextlib.ExitStack() as stack:
            out.append(stack.enter_context(Giver(4)))
        with contextlib.suppress(KeyError):
            raise KeyError(Giver(1))
        out.append([str(x) for x in Giver(3)] + list(Giver(4)[k] for k in range(3)))
        out.append(workloads.functools.reduce(lambda a, b: a + b, givers).x)
        made = types.new_class("Made", (), {}, lambda ns: ns.update(g=Giver(turn)))
        out.append(made().g)
        enum = workloads.enum.Enum("E", {"A": 1, "B": 2})
        out.append(repr(list(enum)))
        namespace = workloads.argparse.Namespace(a=Giver(1), b=Giver(2))
        namespace.a = namespace.b = None
        out.append(repr(namespace))
        mapping = workloads.email.message.Message()
        mapping["X-A"] = "1"
        out.append(mapping.get("X-A", Giver(3)))
        out.append(workloads.textwrap.wrap("a b c " * 9, Giver(0) + 9 and 12))
    return out


def suspended():
    """Generators, coroutines and context managers that wait while pages are given back."""
    import contextlib
    import difflib
    import io
    import tokenize
    source = "def f(x):\n    return [x, 'a%s' % x]\n"

    def managed():
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
                yield "in"
        yield "out"

    def feed():
        parser = workloads.email.parser.FeedParser()
        for line in "A: b\nC: d\n e\n\nbody\nmore\n".splitlines(True):
            parser.feed(line)
            yield line
        yield parser.close().as_string()

    def all_of():
        for turn in range(6):
            yield workloads.json.encoder.JSONEncoder(indent=1).iterencode(workloads.value(turn))
            yield (t.string for t in tokenize.generate_tokens(io.StringIO(source).readline))
            yield difflib.Differ().compare(["a\n", "b\n", "cc\n"], ["a\n", "c\n", "cd\n"])
            tree = workloads.ast.parse("x")
            yield (repr(node) for node in workloads.ast.walk(tree) if not node._fields)
            yield workloads.calendar.Calendar().itermonthdays(2001, turn + 1)
            yield managed()
            yield feed()

    seen = []
    waiting = list(all_of())
    while waiting:
        for generator in list(waiting):
            try:
                seen.append(str(next(generator)).split(" object at")[0])
            except StopIteration:
                waiting.remove(generator)
            give_back()

    async def giving():
        for _ in range(30):
            give_back()
            await workloads.asyncio.sleep(0)

    async def everything():
        talks = [workloads.converse(n) for n in range(9)]
        return await workloads.asyncio.gather(*talks, giving(), giving())

    for _ in range(4):
        seen.append(repr(workloads.asyncio.run(everything())))
    return seen


def deep():
    """Recursion in archived code, in one thread, while another gives back."""
    import copy
    end = threading.Event()

    def give():
        while not end.is_set():
            give_back()

    nested = []
    for k in range(60):
        nested = [nested, {"k": k}]
    tree = "+".join("(1" for _ in range(60)) + ")" * 60
    end_message = []
    sys.setswitchinterval(1e-5)
    giver = threading.Thread(target=give)
    giver.start()
    out = []
    try:
        encoder = workloads.json.encoder.JSONEncoder(indent=1)
        for _ in range(15):
            out.append(hashlib.sha256("".join(encoder.iterencode(nested)).encode()).hexdigest())
            out.append(copy.deepcopy(nested) == nested)
            out.append(workloads.ast.unparse(workloads.ast.parse(tree)))
            out.append(len(workloads.pprint.pformat(nested)))
        loop = []
        loop.append(loop)
        for _ in range(5):
            try:
                copy.deepcopy(type("D", (), {"__deepcopy__": lambda s, m: copy.deepcopy([s])})())
            except RecursionError as error:
                end_message.append(type(error).__name__)
    finally:
        end.set()
        giver.join()
    return [out, end_message, agree(expected())]


def hot():
    """Code that has been specialised, one way and another, and must start again."""
    import bisect
    import colorsys
    import heapq
    import string
    out = []

    def run():
        for k in range(400):
            out.append(colorsys.rgb_to_hls(k / 400, 0.5, 0.25))
            out.append(string.capwords("ab cd %d" % k))
        for kind in (int, float, str, lambda x: (x, str(x))):
            out.append(list(heapq.merge(map(kind, range(5)), map(kind, range(3)))))
            out.append(bisect.bisect([kind(1), kind(3)], kind(2)))
            out.append(workloads.statistics._ss(
                [workloads.fractions.Fraction(k) for k in range(9)])[1])
        tokens = workloads.re.Scanner(
            [(r"\d+", lambda s, t: int(t)), (r"\s+", None), (r"\w+", lambda s, t: t)])
        out.append(tokens.scan("ab 12 cd 34" * 40)[0])

    for _ in range(4):
        run()
        give_back()
    give_back()
    half = len(out) // 2
    out_digest = hashlib.sha256(repr(out).encode()).hexdigest()
    return [out_digest, out[:half] == out[half:]]


SCENARIOS = (
    in_threads,
    under_settrace,
    under_setprofile,
    under_monitoring,
    in_signal_handlers,
    inside_instructions,
    suspended,
    deep,
    hot,
    hammer_state.code_objects,
    hammer_state.code_extra,
    hammer_state.renamed,
    hammer_state.forked,
    hammer_state.multiprocess,
    hammer_state.in_finalisers)

if __name__ == "__main__":
    outcome = {scenario.__name__: scenario for scenario in SCENARIOS}[sys.argv[1]]()
    print(json.dumps(dict(given_back, result=outcome)), flush=True)
