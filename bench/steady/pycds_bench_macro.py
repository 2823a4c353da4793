"""Macro cases of steady state: what programs do with libraries that come from the image. The
program itself, this module, is in no image. A library that is not there leaves its case out."""
import email
import email.message
import json
import logging
import textwrap

CASES = {}


def case(count):
    def add(function):
        CASES[function.__name__] = (function, count)
        return function
    return add


PAGE = """<ul>{% for item in items %}<li class="{{ loop.cycle('odd', 'even') }}">
{{ item.name|upper }}: {{ "%.2f"|format(item.price) }}</li>{% else %}none{% endfor %}</ul>"""

try:
    import flask
    import jinja2  # noqa: F401

    app = flask.Flask("pycds_bench")

    @app.route("/items/<int:count>")
    def items(count):
        goods = [{"name": "thing %d" % i, "price": i * 1.5} for i in range(count)]
        return flask.render_template_string(PAGE, items=goods)

    @app.route("/data", methods=["POST"])
    def data():
        return flask.jsonify(got=flask.request.get_json(), query=flask.request.args)

    client = app.test_client()

    @case(8)
    def flask_and_jinja2(count):
        for _ in range(count):
            client.get("/items/8?page=1", headers={"Accept": "text/html"})
            client.post("/data?a=1", json={"name": "value", "numbers": [1, 2, 3]})
except ImportError:
    pass

try:
    import bson
    from bson.son import SON

    DOCUMENT = SON([("name", "value"), ("numbers", list(range(20))),
                    ("nested", SON([("a", 1.5), ("b", None), ("c", "text")]))])

    @case(180)
    def bson_and_son(count):
        for _ in range(count):
            encoded = bson.BSON.encode(DOCUMENT)
            document = bson.BSON(encoded).decode(bson.CodecOptions(document_class=SON))
            document.to_dict()
            SON(document) == DOCUMENT
except ImportError:
    pass

try:
    import requests

    @case(100)
    def requests_prepared(count):
        session = requests.Session()
        for _ in range(count):
            request = requests.Request("POST", "http://example.org/path", params={"a": "1"},
                                       headers={"X-Header": "value"}, data={"field": "value"})
            session.prepare_request(request)
except ImportError:
    pass


@case(400)
def json_both_ways(count):
    document = {"name": "value", "numbers": list(range(30)), "nested": {"a": [None, True, 1.5]}}
    # indent keeps the encoder in Python, object_hook the decoder's objects.
    for _ in range(count):
        json.loads(json.dumps(document, indent=1, sort_keys=True), object_hook=dict)


@case(80)
def textwrap_filled(count):
    text = "Whoever measures what others made should say how, with what, and how often. " * 8
    for _ in range(count):
        textwrap.fill(text, width=60, initial_indent="* ", subsequent_indent="  ")


class Nowhere(logging.Handler):
    def emit(self, record):
        self.format(record)


@case(900)
def logging_formatted(count):
    logger = logging.Logger("pycds_bench")
    handler = Nowhere()
    handler.setFormatter(logging.Formatter(fmt="%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    for number in range(count):
        logger.info("number %d of %s", number, "many")


@case(20)
def email_both_ways(count):
    for _ in range(count):
        message = email.message.EmailMessage()
        message["Subject"] = "What was measured"
        message["To"] = "Somebody <somebody@example.org>"
        message.set_content("One line.\nAnother one.\n")
        email.message_from_string(message.as_string()).get_payload()


@case(600)
def argparse_keywords(count):
    import argparse
    for _ in range(count // 10):
        parser = argparse.ArgumentParser(prog="x", description="y", add_help=False)
        parser.add_argument("--number", type=int, default=1, help="a number", metavar="N")
        parser.add_argument("words", nargs="*", help="words")
        parser.parse_args(args=["--number", "3", "a", "b"])
