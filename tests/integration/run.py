"""Runs one test file with its directory on the path, whatever PYTHON* variables are set."""
import os
import runpy
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[1])))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
