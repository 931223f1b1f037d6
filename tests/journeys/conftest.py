"""A whole house, started as an operator starts it, and a real browser to visit it with."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright

from storage.embedded.ports import free_ports
from tests import chromium

PASSWORD = "a sentence is easy to remember"


@dataclass(frozen=True)
class House:
    """A running house: where it answers, where its data lie, what it printed."""

    origin: str
    data: Path
    log: Path

    def dare(self, *words: str, typed: str = "", check: bool = True) -> str:
        """Run a `dare` command beside it and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "service.cli", *words, "--data", str(self.data)],
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.strip()

    def add(self, name: str, department: str, role: str = "contributor") -> str:
        """Make an account and return its address."""
        email = f"{name.lower()}@example.org"
        self.dare(
            *("add-person", email, "--name", name, "--department", department, "--role", role),
            typed=PASSWORD + "\n",
        )
        return email


@pytest.fixture(scope="session")
def running() -> Iterator[House]:
    """A house started by `dare up`, ended by SIGTERM."""
    data = Path(tempfile.mkdtemp(prefix="dare-journey-"))
    (port,) = free_ports(1)
    log = data / "up.txt"
    with log.open("wb") as out:
        up = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "up", "--data", data, "--port", str(port)],
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    house = House(f"http://127.0.0.1:{port}", data, log)
    try:
        _wait(lambda: "Dare is ready" in log.read_text() or up.poll() is not None, 90)
        assert "Dare is ready" in log.read_text(), log.read_text()
        yield house
    finally:
        up.send_signal(signal.SIGTERM)
        status = up.wait(60)
        sys.stdout.write(log.read_text())
        shutil.rmtree(data, ignore_errors=True)
    assert status == 0


def _wait(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """A real Chromium, headless."""
    with chromium.opened(playwright) as started:
        yield started


class Visitor:
    """Somebody at a browser. Every error of a page, and every request elsewhere, is kept."""

    def __init__(self, context: BrowserContext, house: House) -> None:
        self.house = house
        self.troubles: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", self._request)

    def _console(self, message: object) -> None:
        if getattr(message, "type", "") == "error":
            self.troubles.append(str(getattr(message, "text", "")))

    def _request(self, request: object) -> None:
        url = str(getattr(request, "url", ""))
        if not url.startswith((self.house.origin, "data:", "blob:")):
            self.troubles.append(f"asked elsewhere: {url}")

    def go(self, path: str) -> None:
        """Open a page of the house."""
        self.page.goto(self.house.origin + path)

    def sign_in(self, email: str) -> None:
        """Sign in by the form."""
        self.go("/sign-in")
        self.page.fill("#email", email)
        self.page.fill("#password", PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.house.origin}/")


@pytest.fixture
def visit(browser: Browser, running: House) -> Iterator[Callable[..., Visitor]]:
    """Open a browser of one's own, signed in if an address is given."""
    contexts: list[BrowserContext] = []
    visitors: list[Visitor] = []

    def open_one(email: str | None = None, **options: object) -> Visitor:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        visitor = Visitor(context, running)
        visitors.append(visitor)
        if email:
            visitor.sign_in(email)
        return visitor

    yield open_one
    for context in contexts:
        context.close()
    assert [trouble for visitor in visitors for trouble in visitor.troubles] == []


def status_of(house: House) -> dict[str, object]:
    """Return what `dare status --json` says."""
    found: dict[str, object] = json.loads(house.dare("status", "--json"))
    return found
