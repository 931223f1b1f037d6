"""What every template, script and style must keep to, read from the files themselves."""

import gzip
import re
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader, meta, nodes

from service import presentation

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "templates"
STATIC = ROOT / "service" / "static"
PAGES = sorted(str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.html"))
SCRIPTS = sorted(path.name for path in (STATIC / "js").glob("*.js"))

BANNED = {
    "a style attribute": re.compile(r"\sstyle\s*=", re.IGNORECASE),
    "a style element": re.compile(r"<style\b", re.IGNORECASE),
    "an event attribute": re.compile(r"\son[a-z]+\s*=\s*[\"'{]", re.IGNORECASE),
    "a script address": re.compile(r"javascript:", re.IGNORECASE),
    "the filter safe": re.compile(r"\|\s*safe\b"),
    "autoescape switched off": re.compile(r"autoescape\s+false"),
    "a script that is inline or lacks the nonce": re.compile(
        r"<script\b(?![^>]*\bnonce=\"\{\{ nonce \}\}\""
        r"[^>]*\bsrc=\"\{\{ static_url\([^>]*></script>)",
        re.IGNORECASE,
    ),
    "another origin": re.compile(r"(?:src|href|action)\s*=\s*[\"'](?:https?:)?//", re.IGNORECASE),
}
BANNED_IN_SCRIPTS = re.compile(
    r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|new Function)\b"
    r"|https?://|setAttribute\('(?:style|on)"
)


def faults(text: str) -> list[str]:
    """Return the names of the banned things that a template holds."""
    return [name for name, pattern in BANNED.items() if pattern.search(text)]


def environment() -> Environment:
    made = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    made.filters.update(presentation.FILTERS)
    return made


def read(page: str) -> str:
    return (TEMPLATES / page).read_text()


@pytest.mark.parametrize(
    ("planted", "fault"),
    [
        ('<p style="color:red">', "a style attribute"),
        ("<style>p{}</style>", "a style element"),
        ('<a onclick="x()">', "an event attribute"),
        ('<a href="javascript:x()">', "a script address"),
        ("{{ episode.notes | safe }}", "the filter safe"),
        ("<script>x()</script>", "a script that is inline or lacks the nonce"),
        (
            "<script src=\"{{ static_url('js/page.js') }}\"></script>",
            "a script that is inline or lacks the nonce",
        ),
        ('<img src="//elsewhere.example/x.png">', "another origin"),
    ],
)
def test_a_planted_fault_is_found(planted, fault):
    assert faults(planted) == [fault]


def test_a_script_with_nonce_and_address_is_no_fault():
    good = '<script type="module" nonce="{{ nonce }}" src="{{ static_url(\'js/a.js\') }}"></script>'
    assert faults(good) == []


@pytest.mark.parametrize("page", PAGES)
def test_a_template_holds_nothing_that_the_policy_forbids(page):
    assert faults(read(page)) == []


@pytest.mark.parametrize("page", PAGES)
def test_a_template_compiles_and_what_it_includes_is_there(page):
    made = environment()
    made.get_template(page)
    parents = meta.find_referenced_templates(made.parse(read(page)))
    assert [name for name in parents if name not in PAGES] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_form_that_changes_something_carries_the_secret(page):
    for form in re.findall(r"<form\b[^>]*method=\"post\".*?</form>", read(page), re.DOTALL):
        assert "secret()" in form or 'name="csrf_token"' in form, form[:120]


def test_every_icon_in_use_is_drawn_and_every_drawn_one_is_in_use():
    drawn = set(re.findall(r'<symbol id="([a-z-]+)"', (STATIC / "icons.svg").read_text()))
    assert icons_in_use() == drawn


def icons_in_use() -> set[str]:
    """Return the names given to `icon` and to `empty`'s sign, also from conditions."""
    found: set[str] = {"voice"}  # the sign of an empty list where none is given
    made = environment()
    for page in PAGES:
        for call in made.parse(read(page)).find_all(nodes.Call):
            name = call.node.name if isinstance(call.node, nodes.Name) else ""
            first = call.args[:1] if name == "icon" else []
            signs = [given.value for given in call.kwargs if given.key == "sign"]
            found |= {str(c.value) for part in [*first, *signs] for c in constants(part)}
    return found - {"bad"}  # a kind of note, compared with in a condition


def constants(part: nodes.Node) -> list[nodes.Const]:
    return [part] if isinstance(part, nodes.Const) else list(part.find_all(nodes.Const))


def test_every_link_and_form_leads_to_a_route_of_ours(application):
    made = environment()
    wanted = {
        call.args[0].value
        for page in PAGES
        for call in made.parse(read(page)).find_all(nodes.Call)
        if isinstance(call.node, nodes.Name)
        and call.node.name == "url_for"
        and isinstance(call.args[0], nodes.Const)
    }
    assert len(wanted) > 30
    assert wanted - set(application.view_functions) == set()


def test_every_file_that_a_page_names_is_there():
    made = environment()
    named = {
        call.args[0].value
        for page in PAGES
        for call in made.parse(read(page)).find_all(nodes.Call)
        if isinstance(call.node, nodes.Name) and call.node.name == "static_url"
    }
    assert [name for name in named if not (STATIC / str(name)).is_file()] == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_builds_no_markup_from_text_and_calls_no_other_host(script):
    assert BANNED_IN_SCRIPTS.findall((STATIC / "js" / script).read_text()) == []


def test_the_style_sheet_asks_no_other_host_and_moves_for_nobody_who_minds():
    css = (STATIC / "css" / "dare.css").read_text()
    assert "url(" not in css
    assert "@import" not in css
    assert "prefers-reduced-motion: reduce" in css
    assert "forced-colors: active" in css


def weight(*names: str) -> int:
    """Return what these files weigh on the wire, each in gzip at its best, in bytes."""
    return sum(len(gzip.compress((STATIC / name).read_bytes(), 9)) for name in names)


def test_pages_stay_within_their_bytes():
    every_page = ("js/ask.js", "js/page.js")
    episode = (*every_page, "js/player.js", "js/transcript.js", "js/progress.js")
    assert weight("css/dare.css") <= 20_000
    assert weight(*every_page) <= 22_000
    assert weight(*episode) <= 28_000
    assert weight(*every_page, "js/upload.js", "js/progress.js") <= 150_000
