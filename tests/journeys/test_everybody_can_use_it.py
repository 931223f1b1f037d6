"""The same product for a phone, a keyboard, a screen reader, in the dark."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.chromium import AXE
from tests.journeys.conftest import PASSWORD, House, Visitor

MEDIA = Path(__file__).parent.parent / "media"


@pytest.fixture(scope="module")
def talk(running: House) -> dict[str, str]:
    """A finished talk by somebody else."""
    author = running.add("Axel", "Legal")
    told = json.loads(
        running.dare(
            *("share", str(MEDIA / "jfk.flac"), "--title", "A talk for everybody"),
            *("--as", author, "--topics", "speaking", "--wait", "--json"),
        )
    )
    assert told["state"] == "complete"
    return {"path": f"/episodes/{told['guid']}", "author": author}


def _pages(talk: dict[str, str]) -> list[str]:
    return [
        "/",
        "/top",
        talk["path"],
        "/search?q=country",
        "/search?q=nobodysaidthis",
        "/studio/",
        "/feeds/",
        "/account/",
        "/shows/new",
        "/help/keys",
        "/nothing-here",
    ]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_no_page_has_a_barrier_or_scrolls_sideways(
    running: House, visit: Callable[..., Visitor], talk: dict[str, str], scheme: str, width: int
) -> None:
    person = visit(talk["author"], color_scheme=scheme, viewport={"width": width, "height": 700})
    found: list[str] = []
    for path in _pages(talk):
        person.go(path)
        page = person.page
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            found.append(f"{path} is {wide} wide")
        found += [
            f"{path}: {one['id']} {one['nodes'][0]['html'][:120]}"
            for one in Axe().run(page, options=AXE).response["violations"]
        ]
    person.troubles[:] = [trouble for trouble in person.troubles if "404" not in trouble]
    assert found == []


@pytest.mark.browser
def test_a_talk_is_found_heard_and_rated_by_keyboard_alone(
    running: House, visit: Callable[..., Visitor], talk: dict[str, str]
) -> None:
    keyed = visit()
    email = running.add("Kim", "IT")
    page = keyed.page
    keyed.go("/sign-in")
    _tab_to(keyed, "#email")
    page.keyboard.type(email)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{running.origin}/")
    page.keyboard.press("/")
    page.keyboard.type("fellow americans")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?*")
    _tab_to(keyed, ".moments a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/episodes/*")
    page.keyboard.press("k")
    page.wait_for_function("!document.querySelector('audio').paused")
    page.keyboard.press(">")
    page.wait_for_function("document.querySelector('audio').playbackRate > 1")
    _tab_to(keyed, "input[name=stars]")
    # Arrows choose without sending: whoever passes over two stars has not given them.
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#rating .spread")).to_be_visible()


def _tab_to(person: Visitor, selector: str) -> None:
    """Press Tab until the focus is on what the selector names."""
    for _ in range(80):
        person.page.keyboard.press("Tab")
        if person.page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    pytest.fail(f"Tab never reached {selector}")
