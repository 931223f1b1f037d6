"""S44, S74: what the product is made of, and what scanners say of it."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
# Findings of medium severity or more that were looked at; each with why it is right as it is.
EXPLAINED = {
    ("service/feed/rss.py", "B701"): "XML: every value passes the writer's own escape",
    ("storage/personal.py", "B608"): "conditions put together from constants of the same file",
    ("service/letters.py", "B701"): "plain text: nothing there is markup",
    ("service/gunicorn_conf.py", "B108"): "heartbeat files lie in memory",
    ("service/text.py", "B704"): "the audited function itself",
    ("service/presentation.py", "B704"): "the audited function itself",
    ("service/routes/my_feeds.py", "B704"): "a QR picture drawn by us; it holds no text",
    ("service/qr.py", "B704"): "a QR picture drawn by us; it holds no text",
}


def test_s74_bandit_finds_nothing_that_is_not_explained():
    done = subprocess.run(
        [sys.executable, "-m", "bandit", "-q", "-ll", "-r", "-f", "json",
         *("service", "storage", "workers"), "-x", "storage/migrations"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = {
        (one["filename"].removeprefix("./"), one["test_id"])
        for one in json.loads(done.stdout)["results"]
    }
    assert found - set(EXPLAINED) == set()


def pinned() -> set[tuple[str, str]]:
    """Return name and version of each package of the lock."""
    return set(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", LOCK.read_text(), re.MULTILINE))


def test_s74_the_bill_of_materials_names_what_the_lock_pins():
    done = subprocess.run(
        [Path(sys.executable).parent / "cyclonedx-py", "requirements", LOCK, "--of", "JSON"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = {(one["name"], one["version"]) for one in json.loads(done.stdout)["components"]}
    assert told == pinned()
    assert len(told) > 50


def test_s74_every_pinned_package_is_checked_by_hash():
    for entry in re.split(r"\n(?=[a-z0-9])", LOCK.read_text()):
        if "==" in entry:
            assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_s44_the_product_parses_no_xml_of_others():
    parsers = {"xml", "lxml", "defusedxml", "html5lib", "bs4", "xmltodict"}
    imported = {
        (str(path.relative_to(ROOT)), name.split(".")[0])
        for package in ("service", "storage", "workers")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert {one for one in imported if one[1] in parsers} == set()
