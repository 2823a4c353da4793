"""Regular expressions of the modules that go into an image, compiled while it is made.

Compiling one means parsing it and making code for the matching engine, in Python: a sixth of the time that
importing a typical program takes. What comes out depends on the pattern, the flags and the interpreter,
and on nothing else, so it can be kept: client/loader/patterns.h says when a process is given it.

Finds patterns by looking at bytecode. What it misses is compiled as ever; what it finds for nothing is never
asked for.
"""
import dis
import re
import struct
import warnings

try:
    from re import _compiler, _parser
except ImportError:  # before 3.11
    import sre_compile as _compiler
    import sre_parse as _parser

# Functions of re (and names that they are imported by) whose first argument is a pattern.
TAKES_FLAGS_NEXT = {"compile", "re_compile", "_compile"}
TAKES_PATTERN = TAKES_FLAGS_NEXT | {"match", "fullmatch", "search", "sub", "subn", "split", "findall",
                                    "finditer"}
# What these flags mean is not settled when compiling, or compiling prints.
NOT_KEPT = re.LOCALE | re.DEBUG
LONGEST = 100_000  # characters of a pattern, words of its code

LOADS = {"LOAD_METHOD", "LOAD_ATTR", "LOAD_NAME", "LOAD_GLOBAL", "LOAD_DEREF"}
PASSED_OVER = {"PUSH_NULL", "CACHE", "PRECALL", "KW_NAMES", "EXTENDED_ARG", "NOP", "BINARY_OP", "BINARY_OR",
               "LOAD_CONST"}


def flag_named(name):
    value = getattr(re, name, None)
    return int(value) if isinstance(value, re.RegexFlag) else None


def flags_in(instructions, at):
    """The flags that the next argument of a call names, or None if it is no combination of flags."""
    flags = 0
    while at < len(instructions):
        instruction = instructions[at]
        if instruction.opname.startswith("CALL"):
            return flags
        if instruction.opname in LOADS:
            value = flag_named(instruction.argval)
            if value is not None:
                flags |= value
            elif instruction.argval not in ("re", "_re", "sre"):
                return None
        elif instruction.opname not in PASSED_OVER:
            return None
        at += 1
    return None


class Finder:
    def __init__(self):
        self.found = {}  # (type, pattern, flags): nothing; in the order of finding
        self.constants = []

    def look_at(self, code):
        """All of a module's code object and what is in it."""
        if not TAKES_PATTERN.isdisjoint(code.co_names):
            self.look_at_calls(code)
        for constant in code.co_consts:
            if isinstance(constant, type(code)):
                self.look_at(constant)

    def look_at_calls(self, code):
        instructions = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "PUSH_NULL")]
        for number in range(1, len(instructions)):
            constant, callee = instructions[number], instructions[number - 1]
            if (constant.opname != "LOAD_CONST" or type(constant.argval) not in (str, bytes)
                    or callee.opname not in LOADS or callee.argval not in TAKES_PATTERN):
                continue
            self.constants.append(constant.argval)
            self.add(constant.argval, 0)
            if callee.argval in TAKES_FLAGS_NEXT:
                flags = flags_in(instructions, number + 1)
                if flags:
                    self.add(constant.argval, flags)

    def add(self, pattern, flags):
        if len(pattern) <= LONGEST:
            self.found[(type(pattern), pattern, flags)] = None


def compiled(pattern, flags):
    """What client/loader/patterns.cc unpacks, or None if the pattern is not kept."""
    try:
        parsed = _parser.parse(pattern, flags)
        code = _compiler._code(parsed, flags)
    except (re.error, ValueError, OverflowError, RecursionError, ImportError, Warning):
        return None
    result_flags = flags | parsed.state.flags
    if result_flags & NOT_KEPT or len(code) > LONGEST:
        return None
    groups = []
    for name, group in parsed.state.groupdict.items():
        groups += [name, group]
    # What is interned would be entered in every process.
    fresh = [(item + "x")[:-1] if isinstance(item, str) else item for item in [pattern] + groups]
    return (fresh[0], flags, result_flags, struct.pack("<%dI" % len(code), *code),
            parsed.state.groups - 1, tuple(fresh[1:]))


def compile_all(finder):
    """Entries, and the constants of the modules that are patterns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a pattern that warns has to do so in each process
        entries = [compiled(pattern, flags) for _, pattern, flags in finder.found]
    return [entry for entry in entries if entry is not None], finder.constants
