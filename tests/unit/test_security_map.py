"""docs/security.md says what is true: each requirement has a row, each proof is there.

What the document promises of the source and no other test proves is proved here as well.
"""

import ast
import re
from collections import Counter
from dataclasses import is_dataclass
from datetime import timedelta
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser

from service.app import create_app, floor_of
from service.floods import Flood
from service.identity import guessable
from service.limits import Limit
from storage.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "security.md").read_text()
STATUSES = {"met", "not applicable", "accepted"}
CHECKLIST = [*range(13, 46), *range(68, 75)]
# Of these chapters level 3 is told as well; of all others levels 1 and 2.
WHOLE = {"V3", "V5", "V7"}
NUMBER = re.compile(r"V\d+\.\d+\.\d+")
ROOMS = ("service", "storage", "workers")
MODULES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
SCRIPTS = sorted((ROOT / "service" / "static" / "js").glob("*.js"))
PAGES = sorted((ROOT / "templates").rglob("*.html"))


@cache
def requirements():
    """Return the level of each requirement of the standard."""
    lines = (ROOT / "tests" / "golden" / "asvs-5.0.0.txt").read_text().splitlines()
    told = (line.split() for line in lines if not line.startswith("#"))
    return {number: int(level) for number, level in told}


@cache
def proofs():
    """Return the names of all tests, and the paths of the modules that hold them."""
    modules = sorted((ROOT / "tests").rglob("test_*.py"))
    names = {
        node.name
        for path in modules
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    return names, {str(path.relative_to(ROOT)) for path in modules}


def carried(name):
    """Return the numbers of the checklist that stand at the beginning of a test's name."""
    found = re.match(r"test((?:_s\d+)+)_", name)
    return {int(number) for number in re.findall(r"\d+", found[1])} if found else set()


def rows(text, columns):
    """Return the rows of all tables of so many columns, by cells, without heads and rules."""
    found = []
    for before, line in zip(["", *text.splitlines()], text.splitlines(), strict=False):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| ") and before.startswith("|") and len(cells) == columns:
            found.append(cells)
    return found


def section(text, title):
    """Return what stands below one heading, up to the next."""
    return re.split(r"\n#+ ", text.split(f" {title}\n", 1)[1], maxsplit=1)[0]


def named(cell):
    return re.findall(r"`([^`]+)`", cell)


def faults_of_a_row(cells):
    """Yield what is wrong with one requirement's row by itself."""
    if len(cells) != 4:
        yield f"{cells[0]} has {len(cells)} columns"
        return
    number, status, proof, how = cells
    if status not in STATUSES:
        yield f"{number} has no status {status!r}"
    if not how.endswith(".") or len(how.split()) < 3:
        yield f"{number} says nothing"
    if status == "met" and not named(proof):
        yield f"{number} is met without a proof"
    names, modules = proofs()
    for one in named(proof):
        if one not in names and one not in modules:
            yield f"{number} is proved by {one}, which is not there"


def faults_of_the_map(text):
    """Yield what is wrong with the map of the standard."""
    limits = text.split("\n## Known limits\n")[1].split("\n## ")[0]
    known = requirements()
    lines = [line for line in text.splitlines() if re.match(r"\|\s*V\d", line)]
    told = Counter()
    for line in lines:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        told[cells[0]] += 1
        yield from faults_of_a_row(cells)
        accepted = len(cells) == 4 and cells[1] == "accepted"
        if accepted != (cells[0] in NUMBER.findall(limits)):
            yield f"{cells[0]} stands under the known limits or in the map alone"
    for number, level in known.items():
        wanted = level <= 2 or number.split(".")[0] in WHOLE
        if wanted and told[number] != 1:
            yield f"{number} has {told[number]} rows"
    yield from (f"{number} is no requirement" for number in told if number not in known)


def faults_of_the_checklist(text):
    """Yield what is wrong with the table of our own checklist."""
    told = Counter()
    for line in re.findall(r"^\| S\d.*$", text, re.MULTILINE):
        number, what, tests = (cell.strip() for cell in line.strip().strip("|").split("|"))
        told[int(number[1:])] += 1
        if not what or not named(tests):
            yield f"{number} says nothing"
        for one in named(tests):
            if one not in proofs()[0]:
                yield f"{number} names {one}, which is not there"
            elif int(number[1:]) not in carried(one):
                yield f"{number} names {one}, which proves something else"
    yield from (f"S{n} has {told[n]} rows" for n in CHECKLIST if told[n] != 1)


def meanings(cell):
    """Return what "7 days", "10 in an hour", "8 MiB" and "1,024" may mean in the code."""
    found = re.fullmatch(r"([\d,]+)(?: (MiB|GiB|minutes|days)| in an? (minute|hour|day))?", cell)
    if found is None:
        return set()
    count = int(found[1].replace(",", ""))
    unit, window = found[2], found[3]
    if window:
        return {(count, {"minute": 60, "hour": 3600, "day": 86_400}[window])}
    if unit in {"minutes", "days"}:
        return {timedelta(**{unit: count})}
    return {count * {"MiB": 1024**2, "GiB": 1024**3}.get(unit, 1)}


def valued(name):
    """Return what a dotted name of the document stands for in the code."""
    parts = name.split(".")
    paths = {n: ROOT.joinpath(*parts[:n]).with_suffix(".py") for n in range(1, len(parts))}
    depth = max(n for n, path in paths.items() if path.exists())
    value = import_module(".".join(parts[:depth]))
    for part in parts[depth:]:
        if value is Settings:
            value = Settings.model_fields[part].default
        else:
            # What a class says of its fields are their defaults.
            value = getattr(value() if is_dataclass(value) else value, part)
    if isinstance(value, Limit):
        return value.most, value.seconds
    return (value.most, round(value.most / value._pace)) if isinstance(value, Flood) else value


def faults_of_the_numbers(text):
    """Yield each number of the document that is not the code's."""
    told = [cells for cells in rows(section(text, "Numbers"), 3) if named(cells[2])]
    if len(told) < 40:
        yield f"only {len(told)} numbers are told"
    for what, cell, where in told:
        value = valued(named(where)[0])
        if value not in meanings(cell):
            yield f"{what}: {cell} is {value} in the code"


def faults(text):
    """Return all that is wrong with the document."""
    parts = (faults_of_the_map, faults_of_the_checklist, faults_of_the_numbers)
    return [fault for part in parts for fault in part(text)]


def test_every_requirement_has_one_row_that_holds():
    assert len(requirements()) == 345
    assert sum(level <= 2 for level in requirements().values()) == 253
    assert list(faults_of_the_map(DOCUMENT)) == []


def test_every_number_of_the_checklist_has_a_test():
    proved = {number for name in proofs()[0] for number in carried(name)}
    assert [number for number in CHECKLIST if number not in proved] == []
    assert list(faults_of_the_checklist(DOCUMENT)) == []


def test_numbers_in_the_document_are_those_of_the_code():
    assert list(faults_of_the_numbers(DOCUMENT)) == []


@pytest.mark.parametrize(
    ("pattern", "instead", "fault"),
    [
        (r"\| V1\.1\.1 \|.*\n", "", "V1.1.1 has 0 rows"),
        (r"(\| V6\.2\.1 \|.*\n)", r"\1\1", "V6.2.1 has 2 rows"),
        (r"\| V8\.2\.2 \|", "| V8.2.20 |", "V8.2.20 is no requirement"),
        (r"\| V1\.2\.4 \| met", "| V1.2.4 | partly", "V1.2.4 has no status 'partly'"),
        (r"(\| V2\.3\.3 \| met \|).*?\|", r"\1 |", "V2.3.3 is met without a proof"),
        (r"`test_s43_no_form_of_an", "`test_s43_nothing_of_an", "which is not there"),
        (r"(\| V7\.3\.1 \|.*\|).*\|\n", r"\1  |\n", "V7.3.1 says nothing"),
        (r"(\| V12\.2\.1 \|.*) \|\n", r"\1 | more |\n", "V12.2.1 has 5 columns"),
        (r"\| V5\.4\.3 \| accepted", "| V5.4.3 | not applicable", "V5.4.3 stands under the known"),
        (r"\| V4\.1\.3 \| met", "| V4.1.3 | accepted", "V4.1.3 stands under the known limits"),
        (r"\| S36 \|.*\n", "", "S36 has 0 rows"),
        (r"(\| S44 \|[^|]*\|) `\w+`", r"\1 `test_a_code_counts_once`", "S44 names"),
        (r"(\| S44 \|[^|]*\|) `\w+`", r"\1 `test_codes_are_those_of_the_standard`", "else"),
        (r"\| 7 days \| `service\.identity\.sess", "| 8 days | `service.identity.sess", "8 days"),
        (r"\| 20 in an hour", "| 20 in a minute", "20 in a minute is (20, 3600)"),
    ],
)
def test_a_planted_fault_is_seen(pattern, instead, fault):
    planted, count = re.subn(pattern, instead, DOCUMENT, count=1)
    assert count == 1
    assert any(fault in found for found in faults(planted)), faults(planted)
    assert not any(fault in found for found in faults(DOCUMENT))


# What the document promises of the source


def nodes():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            yield path, node


def imported(node):
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return set()


FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "random", "dill", "cloudpickle"}
# What tells whether a feed has changed; no secret and no proof of anything.
FINGERPRINTS = ROOT / "service" / "feed" / "entries.py"
FORBIDDEN_CALLS = {"eval", "exec", "md5", "sha1", "system", "popen", "getoutput", "import_string"}


def runs_text_or_weakens(node):
    """Whether code evaluates text, unpacks objects, asks a shell, or uses a weak hash or chance."""
    if imported(node) & FORBIDDEN_MODULES:
        return True
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    # A database session has a method called `exec`; the builtin is called by its bare name.
    bare = isinstance(called, ast.Name) and called.id in FORBIDDEN_CALLS
    method = isinstance(called, ast.Attribute) and called.attr in FORBIDDEN_CALLS - {"eval", "exec"}
    shell = any(one.arg == "shell" and ast.unparse(one.value) != "False" for one in node.keywords)
    weak = any(isinstance(one, ast.Constant) and one.value in {"md5", "sha1"} for one in node.args)
    return bare or method or shell or weak


def test_the_source_uses_nothing_that_runs_text_or_weakens_secrets():
    found = [(path, ast.unparse(node)) for path, node in nodes() if runs_text_or_weakens(node)]
    kept = [f"{path}: {code}" for path, code in found if path != FINGERPRINTS]
    assert kept == []
    assert all(code.startswith("func.md5(") for path, code in found if path == FINGERPRINTS)


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("eval(x)", True),
        ("from random import choice", True),
        ("import pickle", True),
        ("hashlib.md5(b)", True),
        ("hmac.new(k, m, 'sha1')", True),
        ("subprocess.run(x, shell=True)", True),
        ("os.system(x)", True),
        ("session.exec(select(X))", False),
        ("subprocess.run(x, shell=False)", False),
        ("hmac.new(k, m, hashlib.sha256)", False),
    ],
)
def test_what_runs_text_or_weakens_secrets_would_be_seen(source, seen):
    assert any(map(runs_text_or_weakens, ast.walk(ast.parse(source)))) is seen


CRYPTOGRAPHY = {
    *("hashlib", "hmac", "secrets", "ssl"),
    *("argon2", "authlib", "cryptography", "joserfc", "pyotp"),
}


def test_every_use_of_cryptography_is_in_the_inventory():
    using = {
        str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
        for path, node in nodes()
        if {name.split(".")[0] for name in imported(node)} & CRYPTOGRAPHY
    }
    told = [one for cells in rows(section(DOCUMENT, "Cryptography"), 3) for one in named(cells[0])]
    assert sorted(told) == sorted(using)


def test_every_way_in_is_written_down():
    begun = {
        value.value
        for path, node in nodes()
        if path.parent.name == "routes"
        and isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"browser.begin", "browser.renew"}
        for keyword in node.keywords
        if keyword.arg == "method"
        for value in ast.walk(keyword.value)
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    }
    told = {name for cells in rows(section(DOCUMENT, "Ways in"), 3) for name in named(cells[0])}
    assert told == begun | {"password"}  # what `begin` says unless it is told otherwise


def test_the_words_that_no_password_may_hold_are_written_down():
    said = section(DOCUMENT, "Ways in")
    assert all(f"`{word}`" in said for word in guessable.PRODUCT)
    assert "`DARE_ORGANISATION`" in said


def test_password_fields_hide_what_is_typed_and_let_managers_fill_them():
    seen = 0
    for page in PAGES:
        for name, call in re.findall(r"\{\{ field\('(\w+)'(.*?)\) \}\}", page.read_text()):
            if name in {"password", "old", "new"} or "type='password'" in call:
                seen += 1
                assert "type='password'" in call, page
                assert re.search(r"complete='(current|new)-password'", call), page
    assert seen >= 7
    # A pasted file is taken as a recording; words go where they were pasted.
    held_up = re.compile(r"['\"]paste['\"].*preventDefault|onpaste")
    assert not any(held_up.search(script.read_text()) for script in SCRIPTS)


def test_every_page_has_the_way_out():
    base = (ROOT / "templates" / "base.html").read_text()
    assert re.search(r'<form method="post" action="\{\{ url_for\(\'sign_in\.out\'\) \}\}"', base)
    alone = {
        str(page.relative_to(ROOT / "templates"))
        for page in PAGES
        if not page.name.startswith("_")
        and page.parent.name != "macros"
        and '{% extends "base.html" %}' not in page.read_text()
    }
    # The frame on other sites knows nobody; so nobody can leave there.
    assert alone == {"base.html", "embed/show.html"}


def test_scripts_take_no_messages_and_build_no_patterns_or_code():
    refused = (
        r"postMessage|onmessage|['\"]message['\"]|\beval\(|new Function|new RegExp|innerHTML|"
        r"outerHTML|insertAdjacentHTML|document\.write|__proto__|Object\.assign|jsonp|"
        r"\b(?:window|document)\.\w+ =(?!=)"
    )
    assert len(SCRIPTS) > 4
    assert [found for path in SCRIPTS for found in re.findall(refused, path.read_text())] == []


def test_query_and_form_are_read_apart_but_for_where_a_sign_in_leads():
    mixing = {path.name for path in MODULES if "request.values" in path.read_text()}
    assert mixing == {"sign_in.py"}


@pytest.mark.parametrize(
    "lengths",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity, chunked, chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content_Length: 5\r\nContent-Length : 5\r\n",
    ],
)
def test_a_request_whose_length_is_ambiguous_is_refused_by_the_server(lengths):
    sent = f"POST /sign-in HTTP/1.1\r\nHost: dare.example\r\n{lengths}\r\n0\r\n\r\n"
    with pytest.raises(ParseException):
        next(RequestParser(Config(), iter([sent.encode()]), ("127.0.0.1", 1)))


def test_no_address_answers_trace():
    """The engines are away: what is refused this early asks none of them."""
    nowhere = Settings(
        secret_key="x" * 32,
        database_url="postgresql://nobody@127.0.0.1:1/none",
        s3_endpoint="http://127.0.0.1:1",
        s3_access_key="none",
        s3_secret_key="none",
    )
    app = create_app(nowhere)
    try:
        paths = {re.sub(r"<[^>]*>", "1", str(rule)) for rule in app.url_map.iter_rules()}
        client = app.test_client()
        told = {client.open(p, method="TRACE", base_url=nowhere.origin).status_code for p in paths}
    finally:
        floor_of(app).database.close()
    assert len(paths) > 100
    assert told <= {404, 405}


def test_what_a_browser_keeps_is_written_down():
    said = section(DOCUMENT, "What a browser must bring")
    kept = {
        found.split("$", maxsplit=1)[0]
        for path in SCRIPTS
        for found in re.findall(r"drawer\.set\(['`]([^'`]+)", path.read_text())
    }
    assert kept
    assert {f"`dare.{name}`" for name in kept} == set(re.findall(r"`dare\.[\w.]+`", said))
    written = r'"(__Host-[\w-]+)"'
    cookies = {value for path in MODULES for value in re.findall(written, path.read_text())}
    assert {f"`{name}`" for name in cookies} == set(re.findall(r"`__Host-dare[\w-]*`", said))


def test_what_a_browser_must_bring_is_written_down():
    said = section(DOCUMENT, "What a browser must bring")
    for needed in ("TLS", "`__Host-`", "SameSite", "Content Security Policy", "HSTS"):
        assert needed in said


def test_what_the_house_talks_to_is_written_down():
    said = section(DOCUMENT, "Whom the house talks to")
    wanted = r"_(url|endpoint|host|hosts|issuer)$|^(oidc|bind|port)$"
    spoken_to = {name for name in Settings.model_fields if re.search(wanted, name)} - {"base_url"}
    assert {f"DARE_{name.upper()}" for name in spoken_to} == set(re.findall(r"DARE_\w+", said))


def test_where_things_are_logged_is_written_down():
    said = section(DOCUMENT, "Logs")
    logs = {
        found
        for path in MODULES
        for found in re.findall(r'"log" / "(\w+\.log)"', path.read_text())
        if found != "prepare.log"
    }
    assert logs >= {"postgres.log", "seaweed.log"}
    assert {f"`DIR/log/{name}`" for name in logs | {"web.log", "workers.log"}} == set(
        re.findall(r"`DIR/log/\w+\.log`", said)
    )


def test_how_fast_holes_are_closed_is_written_down():
    said = section(DOCUMENT, "Updates")
    assert re.findall(r"(\d+) days", said) == ["7", "30", "90"]
    assert "SECURITY.md" in DOCUMENT
    assert "DARE_CONTACT" in (ROOT / "SECURITY.md").read_text()
