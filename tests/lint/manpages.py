#!/usr/bin/env python3
"""Formats the manual pages in docs/man and fails if that gives a warning.

    manpages.py [ROOT]

Exit status: 0 no warning, 1 a warning, 77 there is no man(1) here.
"""

import glob
import os
import shutil
import subprocess
import sys


def main(arguments):
    here = os.path.dirname(os.path.abspath(__file__))
    root = arguments[0] if arguments else os.path.dirname(os.path.dirname(here))
    if shutil.which('man') is None or shutil.which('groff') is None:
        print('no man or no groff here')
        return 77
    pages = sorted(glob.glob(os.path.join(root, 'docs', 'man', '*.[1-9]')))
    if not pages:
        print('no pages')
        return 1
    bad = 0
    for page in pages:
        environment = dict(os.environ, LC_ALL='C.UTF-8', MANROFFSEQ='', MANWIDTH='80')
        done = subprocess.run(['man', '--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', page],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
        if done.returncode != 0 or done.stderr:
            bad += 1
            print('%s: status %d\n%s' % (page, done.returncode, os.fsdecode(done.stderr)))
    print('%d pages, %d with warnings' % (len(pages), bad))
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
