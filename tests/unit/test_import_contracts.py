"""The import contracts: kept as the house stands, and broken by every violation planted here."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS, WAY = "storage is the floor", "service: app, then routes"
FLASK, BOTO = "Flask lives in", "boto3 is imported by storage.objects"
OUTWARD, VOUCHING = "the web room asks other machines", "Authlib and joserfc are imported"
DBOS, ENGINES, PURE = "DBOS is imported by", "ffmpeg-python lives in", "the rating model"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The three packages and their contracts, to plant violations in."""
    folder = tmp_path_factory.mktemp("contracts")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in ("service", "storage", "workers"):
        shutil.copytree(
            ROOT / package,
            folder / package,
            ignore=lambda where, names: [
                name for name in names if not (Path(where, name).is_dir() or name.endswith(".py"))
            ],
        )
    return folder


def linted(folder):
    """Run the contracts; return the exit status, the contracts broken, and all that was said."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "300", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    return done.returncode, re.findall(r"^(.*) BROKEN", said, re.MULTILINE), said


def test_the_house_as_it_stands_keeps_every_contract(copy):
    status, broken, said = linted(copy)
    assert (status, broken) == (0, []), said
    assert "Contracts: 9 kept, 0 broken." in said


@pytest.mark.parametrize(
    ("where", "imported", "contract"),
    [
        ("storage.floor", "service.text", ROOMS),
        ("storage.keys", "workers.waves", ROOMS),
        ("service.text", "workers.waves", ROOMS),
        ("workers.waves", "service.text", ROOMS),
        ("service.catalogue", "service.routes.home", WAY),
        ("service.publishing", "service.discussion", WAY),
        ("service.access", "service.publishing", WAY),
        ("service.rating.model", "service.catalogue", WAY),
        ("service.identity.people", "service.catalogue", WAY),
        ("service.routes.home", "service.app", WAY),
        ("service.publishing", "flask", FLASK),
        ("service.uploads.receiving", "flask", FLASK),
        ("workers.waves", "flask", FLASK),
        ("storage.keys", "flask", FLASK),
        ("service.artwork", "boto3", BOTO),
        ("workers.waves", "botocore", BOTO),
        ("storage.keys", "boto3", BOTO),
        ("service.publishing", "dbos", DBOS),
        ("workers.steps.encode", "dbos", DBOS),
        ("storage.floor", "dbos", DBOS),
        ("service.artwork", "ffmpeg", ENGINES),
        ("workers.encoding", "ffmpeg", ENGINES),
        ("workers.pauses", "faster_whisper", ENGINES),
        ("service.outward", "flask", FLASK),
        ("service.identity.oidc", "flask", FLASK),
        ("service.identity.oidc", "urllib3", OUTWARD),
        ("service.artwork", "requests", OUTWARD),
        ("service.routes.home", "httpx", OUTWARD),
        ("service.feed.channel", "http", OUTWARD),
        ("service.identity.tokens", "joserfc", VOUCHING),
        ("storage.keys", "authlib", VOUCHING),
        ("service.rating.model", "sqlmodel", PURE),
        ("service.rating.explain", "flask", PURE),
        ("service.feed.rss", "sqlalchemy", PURE),
        ("storage.transcripts", "sqlmodel", PURE),
    ],
)
def test_a_planted_import_breaks_its_contract_by_name(copy, where, imported, contract):
    module = copy / f"{where.replace('.', '/')}.py"
    whole = module.read_text()
    try:
        module.write_text(f"{whole}\nimport {imported}\n")
        status, broken, said = linted(copy)
    finally:
        module.write_text(whole)
    assert status == 1, said
    assert any(name.startswith(contract) for name in broken), said
    assert re.search(rf"{re.escape(where)} -> {re.escape(imported)}\b", said), said
