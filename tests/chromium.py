"""A real Chromium for tests: where it is on this machine, and how it is started."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright

FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    # Chromium refuses its own sandbox to root, as in containers.
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
]
# What an accessibility check asks for, in axe's words.
AXE = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
}


def chromium_path() -> str | None:
    """Return a browser of this machine, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def opened(playwright: Playwright, **options: Any) -> Iterator[Browser]:
    """Give a headless Chromium; without one on this machine the test is skipped, and says so."""
    path = chromium_path()
    if path is None:
        pytest.skip("no chromium on this machine: install it and run again")
    browser = playwright.chromium.launch(executable_path=path, args=FLAGS, **options)
    try:
        yield browser
    finally:
        browser.close()
