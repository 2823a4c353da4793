"""The programs that are measured. Each exists three times: as a whole process, as an import
statement to time inside one, and as a program that stays alive to have its memory looked at."""
import os

WORKLOAD = "flask, requests, pymongo"
STANDARD_LIBRARY = "argparse, json, logging, asyncio, urllib.request"

REQUESTS_30 = """
import %s
app = flask.Flask("bench")

@app.route("/page/<name>")
def page(name):
    return flask.render_template_string(
        "<h1>{{ name|title }}</h1>{%% for i in range(9) %%}<p>{{ i }}</p>{%% endfor %%}", name=name)

@app.route("/data", methods=["POST"])
def data():
    return flask.jsonify(got=flask.request.get_json(), query=flask.request.args)

client = app.test_client()
for number in range(15):
    assert client.get("/page/n%%d" %% number).status_code == 200
    assert client.post("/data?a=1", json={"n": number}).status_code == 200
""" % WORKLOAD

DJANGO_SETTINGS = """
SECRET_KEY = "not a secret"
INSTALLED_APPS = ["django.contrib." + name for name in (
    "admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware",
              "django.contrib.auth.middleware.AuthenticationMiddleware",
              "django.contrib.messages.middleware.MessageMiddleware"]
ROOT_URLCONF = "bench_urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
              "OPTIONS": {"context_processors": [
                  "django.template.context_processors.request",
                  "django.contrib.auth.context_processors.auth",
                  "django.contrib.messages.context_processors.messages"]}}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
STATIC_URL = "/static/"
USE_TZ = True
"""

DJANGO_URLS = """
from django.contrib import admin
from django.urls import path
urlpatterns = [path("admin/", admin.site.urls)]
"""

PIP_ARGUMENTS = ["list", "--disable-pip-version-check"]


class Case:
    """arguments: what follows the interpreter in a whole process. statement: what is timed inside
    a process, or "". program: what a live process runs. directory: where they run, or None."""

    def __init__(self, name, title, arguments, program, statement="", directory=None):
        self.name = name
        self.title = title
        self.arguments = arguments
        self.program = program
        self.statement = statement
        self.directory = directory


def import_case(name, title, modules):
    statement = "import " + modules
    return Case(name, title, ["-c", statement], statement, statement)


def django_case(scratch):
    directory = os.path.join(scratch, "django")
    os.makedirs(directory, exist_ok=True)
    for name, text in (("bench_settings.py", DJANGO_SETTINGS), ("bench_urls.py", DJANGO_URLS)):
        with open(os.path.join(directory, name), "w") as file:
            file.write(text.lstrip())
    # -m puts the directory on sys.path; a live program must do so itself.
    return Case("django", "django-admin check",
                ["-m", "django", "check", "--settings", "bench_settings"],
                "import sys\nsys.path.insert(0, '')\n"
                "from django.core.management import execute_from_command_line\n"
                "execute_from_command_line("
                "['django-admin', 'check', '--settings', 'bench_settings'])",
                directory=directory)


def all_cases(scratch):
    """By name, in the order in which they are shown. What they need lies in `scratch`."""
    cases = (
        import_case("W", "W (%s)" % WORKLOAD, WORKLOAD),
        Case("requests", "W and 30 Flask requests", ["-c", REQUESTS_30], REQUESTS_30),
        import_case("stdlib", "standard-library program", STANDARD_LIBRARY),
        django_case(scratch),
        Case("pip", "pip list", ["-m", "pip"] + PIP_ARGUMENTS,
             "from pip._internal.cli.main import main\nmain(%r)" % PIP_ARGUMENTS),
        Case("empty", "empty process", ["-c", ""], ""),
    )
    return {case.name: case for case in cases}


NAMES = ("W", "requests", "stdlib", "django", "pip", "empty")
