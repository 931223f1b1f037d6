"""Rules of the house that no linter knows, on our own files."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path for package in ("service", "storage", "workers") for path in (ROOT / package).rglob("*.py")
)
TEMPLATES = sorted((ROOT / "templates").rglob("*.*ml"))
SCRIPTS = sorted((ROOT / "service" / "static").rglob("*.js"))
STYLES = sorted((ROOT / "service" / "static").rglob("*.css"))
# What asks other machines for something.
ASKING = re.compile(r"(urllib\.request|http\.client|urllib3|requests|httpx|aiohttp|ftplib)(\.|$)")
# Functions that send their first argument to the database as it is.
SENT = {"text", "execute", "exec_driver_sql", "literal_column"}


def name_of(path):
    return str(path.relative_to(ROOT))


def named(path):
    return pytest.param(path, id=name_of(path))


def finds(pattern, files, flags=0):
    """Return each place in the files where the pattern stands."""
    return [
        f"{name_of(path)}: {found[0]}"
        for path in files
        for found in re.finditer(pattern, path.read_text(), flags)
    ]


@cache
def trees():
    return [(path, ast.parse(path.read_text())) for path in MODULES]


def test_the_files_that_these_rules_look_at_are_there():
    assert len(MODULES) > 100
    assert len(TEMPLATES) > 20
    assert SCRIPTS
    assert STYLES


def test_nothing_is_left_to_be_done_later():
    unfinished = r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b"
    assert finds(unfinished, [*MODULES, *TEMPLATES, *SCRIPTS, *STYLES]) == []


def test_every_module_says_what_it_is():
    assert [name_of(path) for path, tree in trees() if not ast.get_docstring(tree)] == []


def test_a_package_holds_nothing_but_its_docstring():
    kept = {"storage/models/__init__.py"}  # the one list of all tables, for the migrations
    full = {name_of(path) for path, tree in trees() if path.name == "__init__.py" and tree.body[1:]}
    assert full == kept


def test_no_module_is_named_by_what_it_lacks():
    vague = re.compile(r"^(utils?|helpers?|common|misc|managers?|base_?classes)$")
    assert [name_of(path) for path in MODULES if vague.match(path.stem)] == []


def literal(node):
    """Whether a piece of SQL stands in the source as it will be sent."""
    return not (
        isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod))
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"format", "join", "replace"}
        )
    )


def pasted(tree):
    """Return the lines where SQL is put together from text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            called = node.func
            name = getattr(called, "attr", None) or getattr(called, "id", None)
            if name in SENT and not literal(node.args[0]):
                yield node.lineno


def test_s16_no_sql_is_put_together_from_text():
    assert [f"{name_of(path)}:{line}" for path, tree in trees() for line in pasted(tree)] == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('session.execute(text(f"SELECT {x}"))', 1),
        ('text("SELECT " + x)', 1),
        ('connection.exec_driver_sql("SELECT %s" % x)', 1),
        ('session.execute("SELECT {}".format(x))', 1),
        ('session.execute(text("SELECT :x"), {"x": x})', 0),
    ],
)
def test_sql_that_is_put_together_would_be_seen(source, lines):
    assert len(list(pasted(ast.parse(source)))) == lines


def asking(tree):
    """Yield the modules that ask other machines, as far as a module imports them."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name for name in names if ASKING.match(name))


def test_s43_the_web_room_asks_other_machines_in_one_module_alone():
    asked = {name_of(path) for path, tree in trees() if any(asking(tree))}
    assert {name for name in asked if name.startswith("service/")} == {"service/outward.py"}


@pytest.mark.parametrize(
    "source",
    [
        "import urllib.request",
        "from urllib import request",
        "from urllib.request import urlopen",
        "import http.client",
        "from http import client",
        "import httpx",
        "import asyncio, ftplib",
    ],
)
def test_a_module_that_asks_other_machines_would_be_seen(source):
    assert list(asking(ast.parse(source)))
    assert not list(asking(ast.parse("from urllib.parse import urlsplit\nimport httpretty")))


def test_s34_no_view_takes_head_for_a_form():
    # HEAD comes to every view that answers GET; `== "GET"` would send it on as a change.
    routes = [path for path in MODULES if "routes" in path.parts]
    assert finds(r'request\.method == "GET"', routes) == []


def test_s17_templates_escape_everything():
    assert finds(r"\|\s*safe\b|autoescape|Markup", TEMPLATES) == []


def test_only_those_who_clean_it_call_text_markup():
    callers = {
        name_of(path)
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and node.module == "markupsafe"
        and any(
            isinstance(call, ast.Call) and getattr(call.func, "id", None) == "Markup"
            for call in ast.walk(tree)
        )
    }
    assert callers == {"service/text.py", "service/routes/my_feeds.py"}


def test_pages_hold_nothing_inline():
    pages = [path for path in TEMPLATES if path.suffix == ".html"]
    inline = r"<style\b|\sstyle\s*=|\son[a-z]+\s*=\s*[\"']|javascript:|<script(?![^>]*\bsrc=)"
    assert finds(inline, pages) == []
    assert finds(r"<script(?![^>]*nonce=)[^>]*>", pages) == []


def test_every_form_that_changes_something_carries_its_secret():
    pages = [path for path in TEMPLATES if path.suffix == ".html"]
    forms = [
        found
        for path in pages
        for found in re.findall(
            r"<form\b[^>]*method=\"post\".*?</form>", path.read_text(), re.DOTALL
        )
    ]
    assert len(forms) > 15
    bare = [form[:120] for form in forms if "secret()" not in form and "csrf_token" not in form]
    assert bare == []


def test_scripts_and_styles_ask_no_other_origin():
    files = [*SCRIPTS, *STYLES, *(path for path in TEMPLATES if path.suffix == ".html")]
    asked = r"(?:src|href|action|url|import|fetch)\s*[=(]?\s*[\"'(]\s*(?:https?:)?//[^\"')\s]+"
    assert finds(asked, files) == []


def environ(node):
    return isinstance(node, ast.Attribute) and node.attr == "environ"


def reads_environment(node):
    """Whether a piece of code asks the environment for one value; handing all of it on is none."""
    if isinstance(node, ast.Subscript):
        return environ(node.value)
    return isinstance(node, ast.Attribute) and (
        node.attr == "getenv" or (node.attr in {"get", "setdefault"} and environ(node.value))
    )


def test_the_environment_is_read_by_the_settings_alone():
    readers = {
        name_of(path)
        for path, tree in trees()
        if any(reads_environment(node) for node in ast.walk(tree))
    }
    assert readers == {"storage/settings.py"}


def test_nothing_names_the_machine_that_it_was_written_on():
    files = [*MODULES, *TEMPLATES, *SCRIPTS, *STYLES, ROOT / "Makefile", ROOT / "Dockerfile"]
    assert finds(r"/(?:work|home|root)/\w+", files) == []


@pytest.mark.parametrize("path", [named(p) for p in MODULES if p.parent.name == "models"])
def test_models_are_read_with_their_real_annotations(path):
    assert "from __future__ import annotations" not in path.read_text()
