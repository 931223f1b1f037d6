"""S72: in a whole running house, no secret is in any command line, log, page or status."""

import json
import re
import urllib.error
import urllib.request

import psutil

from storage.settings import Settings, load_settings
from tests.journeys.conftest import House


def secrets_of(house: House) -> dict[str, str]:
    """Return all secrets that this house holds, by name; the database's address by its password."""
    told: dict[str, str] = json.loads((house.data / "secrets.json").read_text())
    settings: Settings = load_settings(house.data)
    found = re.search(r"://[^:]+:([^@]+)@", settings.database_url.get_secret_value())
    assert found
    return told | {"database": found[1]}


def asked(house: House, path: str, **headers: str) -> str:
    """Return what is answered, whatever the status."""
    request = urllib.request.Request(f"{house.origin}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return f"{answer.headers}{answer.read().decode(errors='replace')}"
    except urllib.error.HTTPError as error:
        return f"{error.headers}{error.read().decode(errors='replace')}"


def test_s72_no_secret_is_in_command_lines_logs_pages_or_status(running: House) -> None:
    secrets = secrets_of(running)
    assert len(secrets) >= 5
    shown = {
        path: asked(running, path, Accept=accept)
        for path, accept in {
            "/": "text/html",
            "/sign-in": "text/html",
            "/nowhere": "text/html",
            "/sign-in?next=%00": "text/html",
            "/f/" + "A" * 24 + ".xml": "*/*",
            "/api/v1/me": "application/json",
            "/health": "*/*",
        }.items()
    }
    shown["status"] = running.dare("status", "--json")
    shown["erase"] = running.dare("erase", "--list")
    supervisor = json.loads(shown["status"])["children"]["supervisor"]["pid"]
    family = [psutil.Process(supervisor), *psutil.Process(supervisor).children(recursive=True)]
    assert len(family) > 4
    for process in family:
        try:
            shown[f"argv of {process.pid}"] = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
    logs = [path for path in (running.data / "log").rglob("*") if path.is_file()]
    assert logs
    for path in [*logs, running.log]:
        shown[str(path)] = path.read_text(errors="replace")
    found = [
        (where, name) for where, text in shown.items() for name, value in secrets.items()
        if value in text
    ]  # fmt: skip
    assert found == []
