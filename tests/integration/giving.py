"""Giving back pages, counted, and what is computed meanwhile: what hammer.py and its like share."""
import workloads

try:
    import _pycds
except ImportError:
    _pycds = None

given_back = {"pages": 0, "calls": 0}


def give_back():
    given_back["calls"] += 1
    if _pycds is not None:
        given_back["pages"] += _pycds.give_back()


def expected():
    """Results before anything is given back; also runs all that runs only once."""
    return workloads.results()


def agree(first, *functions):
    """The workloads once more: None, or what differs."""
    again = workloads.results(functions=functions or None)
    return {name: value for name, value in again.items() if first[name] != value} or None


TRACED = (workloads.use_json, workloads.use_textwrap, workloads.use_decimal, workloads.use_difflib,
          workloads.use_email, workloads.use_re, workloads.use_argparse, workloads.use_asyncio)
