"""Programs whose traces in an image make the default profile: what many programs have in common, the
standard library's own ways, and packages that many hosts have. script/record-profile --without DISTRIBUTIONS
leaves some out, to see what a profile is worth to programs that it has never seen."""

# Each line is one process: what programs of that kind import, and a little of what they do.
LINES = """
import argparse, textwrap, shutil; p = argparse.ArgumentParser(); p.add_argument('--x', type=int); p.parse_args(['--x', '1']); p.format_help()
import re, string, difflib, textwrap; re.compile(r'(a|b)+c(?P<n>\\d*)', re.I).match('abc1'); re.sub('x', 'y', 'xx'); string.Template('$a').substitute(a=1)
import collections, dataclasses, enum, functools, typing, abc, contextlib
import datetime, calendar, zoneinfo, decimal, fractions, statistics, random, math
import pathlib, os, glob, fnmatch, tempfile, shutil, stat, filecmp; list(pathlib.Path('/').glob('u*')); tempfile.TemporaryDirectory().cleanup()
import json, csv, configparser, io, pprint; json.loads(json.dumps({'a': [1, 2.5, None, 'x']})); configparser.ConfigParser().read_string('[a]\\nb=c'); list(csv.DictReader(io.StringIO('a,b\\n1,2')))
import logging, logging.handlers, logging.config; logging.basicConfig(); logging.getLogger('a.b').warning('x %s', 1)
import asyncio; asyncio.run(asyncio.sleep(0))
import concurrent.futures, threading, queue, multiprocessing, subprocess; concurrent.futures.ThreadPoolExecutor(2).submit(int).result(); subprocess.run(['true'])
import http.client, http.server, urllib.request, urllib.parse, html, html.parser, socketserver; urllib.parse.urlsplit('http://a/b?c=d')
import email, email.message, email.mime.text, email.mime.multipart, email.policy, smtplib; m = email.message.EmailMessage(); m['To'] = 'a@b.c'; m.set_content('x'); m.as_string()
import socket, ssl, select, selectors, ipaddress, uuid, hashlib, hmac, secrets, base64; ssl.create_default_context(); uuid.uuid4(); ipaddress.ip_network('10.0.0.0/8')
import xml.etree.ElementTree, xml.dom.minidom, xml.sax; xml.etree.ElementTree.fromstring('<a><b/></a>'); xml.dom.minidom.parseString('<a/>')
import sqlite3, zipfile, tarfile, gzip, bz2, lzma, zlib, pickle, struct, copy; pickle.loads(pickle.dumps({1: (2, 3)})); copy.deepcopy([{}, ()])
import unittest, unittest.mock, doctest, traceback, inspect, ast, tokenize; unittest.mock.Mock()(1); inspect.signature(inspect.signature)
import importlib.metadata, importlib.resources, pkgutil, sysconfig, platform, locale, gettext; platform.platform(); list(importlib.metadata.distributions())
import types, weakref, operator, itertools, heapq, bisect, array, codecs, numbers, warnings, signal, time, getpass, optparse, shlex, cmd, code, pdb
import ctypes, curses, readline, pty, resource, mmap, fcntl
import encodings.idna, stringprep, unicodedata, mimetypes, cgi; 'b\\xfccher.de'.encode('idna'); mimetypes.guess_type('a.html')
import encodings.idna, stringprep, unicodedata, mimetypes; 'b\\xfccher.de'.encode('idna'); mimetypes.guess_type('a.html')
import setuptools, distutils.core
import setuptools
import pkg_resources
import yaml
import click; click.command()(lambda: None)
import jinja2; jinja2.Template('{% for x in y %}{{ x|upper }}{% endfor %}').render(y='ab')
import markupsafe, packaging.version, packaging.requirements; packaging.version.Version('1.2')
import cryptography.hazmat.primitives.ciphers, cryptography.x509, OpenSSL
import chardet, idna, certifi
import urllib3
import requests; requests.Request('GET', 'http://localhost/').prepare()
import flask; a = flask.Flask('a'); a.route('/')(lambda: 'x'); a.test_client().get('/')
import werkzeug.serving, itsdangerous
import django.core.management, django.http, django.db.models, django.template
import pip._internal.cli.main
import sqlalchemy
import pymongo
import gevent, eventlet
import gunicorn.app.base
import tornado.web, aiohttp
import numpy
import dateutil.parser, six, pytz
import apt_pkg, apt
import attr, toml, docutils.core, pygments.lexers
import gi, dbus
"""


def programs(without=()):
    """(name, code) of each that names none of the words in `without`."""
    for line in LINES.strip().splitlines():
        if not any(word in line for word in without):
            yield line.partition(";")[0], line
