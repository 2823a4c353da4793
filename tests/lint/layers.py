#!/usr/bin/env python3
"""Fails when a source file breaks the layering or the form that ARCHITECTURE.md promises.

    layers.py [ROOT]     check a tree (default: the one this file is in); prints FILE:LINE: TEXT
    layers.py --self-test

Exit status: 0 nothing found, 1 something found, 2 wrong usage.
"""

import os
import re
import subprocess
import sys
import tempfile

# Component -> components that it may include besides itself. The longest matching path wins.
COMMON = ['src/common/base', 'src/common/os', 'src/common/image', 'src/common/wire']
CLIENT_L3 = ['client/interp', 'client/link']
DAEMON_L3 = ['daemon/core', 'daemon/policy', 'daemon/config']
MAY_INCLUDE = {
    'src/common/base': [],
    'src/common/os': COMMON[:1],
    'src/common/image': COMMON[:2],
    'src/common/wire': COMMON[:2],
    'client/interp': COMMON,
    'client/link': COMMON,
    'client/builder': COMMON + CLIENT_L3,
    'client/place': COMMON,
    'client/loader': COMMON + CLIENT_L3,
    'client/ext': COMMON + CLIENT_L3 + ['client/builder', 'client/loader'],
    'daemon/core': COMMON,
    'daemon/policy': COMMON,
    'daemon/config': COMMON,
    'daemon/ipc': COMMON + DAEMON_L3,
    'daemon/build': COMMON + DAEMON_L3,
    'daemon/discover': COMMON + DAEMON_L3,
    'daemon/keep': COMMON + DAEMON_L3,
    'daemon/sys': COMMON + DAEMON_L3,
    'daemon': COMMON + DAEMON_L3 + ['daemon/ipc', 'daemon/build', 'daemon/discover',
                                       'daemon/keep', 'daemon/sys'],  # main.cc: wiring
    'ctl': COMMON,
    'tests': None,  # anything of ours
    'bench': None,
}

# Headers of others -> paths whose files may include them.
RESTRICTED = [
    (re.compile(r'boost/asio(/|\.hpp$)'), 'Asio',
     ['daemon/ipc/', 'daemon/build/', 'daemon/main.cc', 'tests/unit/daemon/', 'bench/']),
    (re.compile(r'(.*/)?Python\.h$'), 'Python.h', ['client/', 'tests/unit/client/']),
    (re.compile(r'.*\.pb\.h$'), 'generated protobuf code', ['src/common/wire/', 'tests/unit/wire/']),
    (re.compile(r'systemd/'), 'libsystemd', ['daemon/sys/', 'tests/unit/daemon/']),
]

SOURCE_DIRS = ('src/', 'client/', 'daemon/', 'ctl/', 'tests/', 'bench/')
CODE_SUFFIXES = ('.h', '.cc', '.c')
SCRIPT_SUFFIXES = ('.py', '.sh', '.cmake')
MAX_LINES = 500
SKIPPED_DIRS = {'.git', 'build', '.cache', '__pycache__'}
INCLUDE = re.compile(r'\s*#\s*include\s*[<"]([^>"]+)[>"]')


def files_of(root):
    """Paths of the project's files, relative to root: what git tracks or would track."""
    try:
        listed = subprocess.run(
            ['git', '-C', root, 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        names = {os.fsdecode(name) for name in listed.split(b'\0') if name}
        if names:
            return sorted(n for n in names if os.path.isfile(os.path.join(root, n)))
    except (OSError, subprocess.CalledProcessError):
        pass  # a release archive: everything but what a build leaves
    names = []
    for directory, subdirs, files in os.walk(root):
        subdirs[:] = [d for d in subdirs if d not in SKIPPED_DIRS]
        names += [os.path.relpath(os.path.join(directory, f), root) for f in files]
    return sorted(names)


def component_of(path):
    """The longest key of MAY_INCLUDE that holds path, or None."""
    found = [c for c in MAY_INCLUDE if path.startswith(c + '/')]
    return max(found, key=len) if found else None


def project_path(root, path, name):
    """What an #include names, if it is a file of the project, else None."""
    if name.startswith(SOURCE_DIRS):
        return name
    beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
    return beside if os.path.isfile(os.path.join(root, beside)) else None


def check_include(root, path, name):
    for pattern, what, allowed in RESTRICTED:
        if pattern.match(name) and not path.startswith(tuple(allowed)):
            yield '%s (%s) may be included only below %s' % (what, name, ', '.join(allowed))
    target = project_path(root, path, name)
    here = component_of(path)
    if target is None or here is None:
        return
    there = component_of(target)
    allowed = MAY_INCLUDE[here]
    if there is None:
        yield '%s belongs to no layer' % target
    elif allowed is None:
        return
    elif there != here and there not in allowed:
        yield '%s must not include %s (%s)' % (here, there, target)


def includes_own_header_first(path, lines):
    """A .cc may leave its role to the head of its own header, or of the one that it tests."""
    stem = os.path.splitext(path)[0]
    match = INCLUDE.match(next((line for line in lines if line.strip()), ''))
    if match is None:
        return False
    tests_it = stem.endswith('_test') and match.group(1).startswith(SOURCE_DIRS)
    return tests_it or match.group(1) == stem + '.h'


def has_role(path, lines):
    body = lines[1:] if lines and lines[0].startswith('#!') else lines
    first = next((line.strip() for line in body if line.strip()), '')
    if path.endswith(CODE_SUFFIXES):
        return first.startswith(('//', '/*')) or includes_own_header_first(path, lines)
    return first.startswith(('#', '"""', "'''", 'r"""'))


def check_code(root, path, lines):
    if path.endswith('.h') and '#pragma once' not in (line.strip() for line in lines):
        yield 1, 'a header without #pragma once'
    in_comment = False
    for number, line in enumerate(lines, 1):
        # Enough for what is written here: no code after a closing */.
        if in_comment:
            in_comment = '*/' not in line
            continue
        in_comment = line.lstrip().startswith('/*') and '*/' not in line
        match = INCLUDE.match(line)
        if match:
            for text in check_include(root, path, match.group(1)):
                yield number, text


def is_script(path, lines):
    if path.endswith(SCRIPT_SUFFIXES):
        return True
    return bool(lines) and lines[0].startswith('#!')


def check_file(root, path):
    """Yields (line, text)."""
    with open(os.path.join(root, path), 'rb') as stream:
        data = stream.read()
    if b'\0' in data or path.startswith('tests/fuzz/corpus/'):
        return
    try:
        lines = data.decode('utf-8').split('\n')
    except UnicodeDecodeError:
        yield 1, 'not UTF-8'
        return
    if lines[-1] == '':
        lines.pop()
    code = path.endswith(CODE_SUFFIXES)
    script = not code and is_script(path, lines)
    # debian/rules and Makefiles need their tabs.
    no_tabs = (code or path.endswith(SCRIPT_SUFFIXES + ('.proto', 'CMakeLists.txt')) or
               (script and not path.startswith('debian/')))
    for number, line in enumerate(lines, 1):
        if line.rstrip() != line:
            yield number, 'trailing whitespace'
        if no_tabs and '\t' in line:
            yield number, 'a tab'
    if not code and not script:
        return
    # Empty files are placeholders until something is in them.
    if lines and not has_role(path, lines):
        yield 1, 'no comment at the head says what the file is for'
    if len(lines) > MAX_LINES:
        yield MAX_LINES + 1, '%d lines; at most %d' % (len(lines), MAX_LINES)
    if code:
        yield from check_code(root, path, lines)


def check_tree(root):
    return ['%s:%d: %s' % (path, line, text)
            for path in files_of(root) for line, text in check_file(root, path)]


# (path, text, part of the complaint or None). Each is the only file of a tree, or goes with those
# of GROUND that an #include by relative name needs.
GROUND = {'src/common/base/beside.h': '// Role.\n#pragma once\n'}
SELF_TESTS = [
    ('src/common/base/a.h', '// Role.\n#pragma once\n#include "src/common/os/b.h"\n',
     'src/common/base/a.h:3: src/common/base must not include src/common/os'),
    ('src/common/image/a.h', '// Role.\n#pragma once\n#include "src/common/wire/b.h"\n',
     ':3: src/common/image must not include src/common/wire'),
    ('src/common/os/a.cc', '// Role.\n#include "../wire/x.h"\n#include "../base/beside.h"\n', None),
    ('client/loader/a.cc', '// Role.\n#include "client/builder/b.h"\n',
     ':2: client/loader must not include client/builder'),
    ('client/loader/a.cc', '// Role.\n#  include "daemon/core/b.h"\n', 'must not include daemon/core'),
    ('client/ext/a.cc', '// Role.\n#include "client/loader/b.h"\n', None),
    ('client/link/a.cc', '// Role.\n#include "ctl/b.h"\n', 'must not include ctl'),
    ('ctl/a.cc', '// Role.\n#include "daemon/core/b.h"\n', 'ctl must not include daemon/core'),
    ('daemon/core/a.cc', '// Role.\n#include "daemon/ipc/b.h"\n',
     'daemon/core must not include daemon/ipc'),
    ('daemon/core/a.cc', '// Role.\n#include "client/interp/b.h"\n', 'must not include client/interp'),
    ('daemon/core/a.cc', '// Role.\n#include "daemon/policy/b.h"\n',
     'daemon/core must not include daemon/policy'),
    ('daemon/ipc/a.cc', '// Role.\n#include <boost/asio.hpp>\n#include "daemon/core/b.h"\n', None),
    ('daemon/main.cc', '// Role.\n#include <boost/asio/io_context.hpp>\n#include "daemon/ipc/b.h"\n',
     None),
    ('daemon/core/a.cc', '// Role.\n\n#include <boost/asio/io_context.hpp>\n',
     'daemon/core/a.cc:3: Asio'),
    ('daemon/core/a.cc', '// Role.\n#include <Python.h>\n', ':2: Python.h'),
    ('ctl/a.cc', '// Role.\n#include "pycds.pb.h"\n', ':2: generated protobuf'),
    ('src/common/wire/a.cc', '// Role.\n#include "pycds.pb.h"\n', None),
    ('daemon/core/a.cc', '// Role.\n#include <systemd/sd-daemon.h>\n', ':2: libsystemd'),
    ('daemon/core/a.cc', '// Role.\n#include "src/other/b.h"\n', 'belongs to no layer'),
    ('daemon/core/a.cc', '/* Says\n#include "client/interp/b.h"\n*/\n', None),
    ('tests/unit/x/a.cc', '// Role.\n#include "client/interp/b.h"\n#include "daemon/core/c.h"\n',
     None),
    ('ctl/a.h', '// Role.\n', 'ctl/a.h:1: a header without #pragma once'),
    ('ctl/a.h', '#pragma once\n', 'ctl/a.h:1: no comment'),
    ('ctl/a.cc', '#include "ctl/a.h"\n', None),
    ('ctl/a.cc', '#include "ctl/b.h"\n', 'ctl/a.cc:1: no comment'),
    ('ctl/a.cc', '#include <vector>\n', 'ctl/a.cc:1: no comment'),
    ('tests/unit/ctl/a_test.cc', '#include "ctl/a.h"\n', None),
    ('tests/unit/ctl/a_test.cc', '#include <vector>\n', 'a_test.cc:1: no comment'),
    ('script/x', '#!/bin/sh\nset -e\n', 'script/x:1: no comment'),
    ('script/x', '#!/bin/sh\n# Role.\nset -e\n', None),
    ('x.py', '"""Role."""\n', None),
    ('ctl/a.cc', '// Role.\n' + '\n' * 499, None),
    ('ctl/a.cc', '// Role.\n' + '\n' * 500, 'ctl/a.cc:501: 501 lines'),
    ('README.md', 'a\nb \n', 'README.md:2: trailing whitespace'),
    ('README.md', 'a\n\tb\n', None),
    ('ctl/a.cc', '// Role.\n\tint x;\n', 'ctl/a.cc:2: a tab'),
    ('debian/rules', '#!/usr/bin/make -f\n# Role.\n%:\n\tdh $@\n', None),
    ('tests/fuzz/corpus/x/y', 'a \n', None),
]


def self_test():
    failed = 0
    for path, text, expected in SELF_TESTS:
        with tempfile.TemporaryDirectory() as root:
            for name, content in {**GROUND, path: text}.items():
                os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
                with open(os.path.join(root, name), 'w', encoding='utf-8') as stream:
                    stream.write(content)
            found = check_tree(root)
        good = not found if expected is None else len(found) == 1 and expected in found[0]
        if not good:
            failed += 1
            print('self-test: %s\n%sexpected %r, found %r' % (path, text[:200], expected, found))
    print('%d self-tests, %d failed' % (len(SELF_TESTS), failed))
    return 1 if failed else 0


def main(arguments):
    if arguments == ['--self-test']:
        return self_test()
    if len(arguments) > 1 or any(a.startswith('-') for a in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    here = os.path.dirname(os.path.abspath(__file__))
    found = check_tree(arguments[0] if arguments else os.path.dirname(os.path.dirname(here)))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
