"""All pages in a real Chromium, with rows of everything: typed text stays text, no barriers.

The application answers from a thread of this process at the origin that its settings name.
"""

import itertools
import json
import threading
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright
from werkzeug.serving import make_server

from tests import chromium, factories
from tests.web import world
from tests.web.visitors import PASSWORD
from tests.web.world import World

pytestmark = pytest.mark.browser
# Each would run something, or break out of where it stands, if it were not shown as text.
PAYLOADS = (
    "\"'><script>window.ran=1</script><img src=x onerror=window.ran=1>{{7*7}}",
    "</textarea></title><svg/onload=window.ran=1>[x](javascript:window.ran=1) ]]>",
)
# Pages that show a secret or a file are other tests' business; these have no rows of ours.
WITHOUT_WORDS = {"api.reference.docs", "api.reference.openapi", "privacy.fetch", "static"}


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with chromium.opened(playwright) as started:
        yield started


@pytest.fixture(scope="module")
def live(application, house) -> Iterator[str]:
    """Answer at the settings' own origin, in a thread."""
    server = make_server("127.0.0.1", house.port, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield house.origin
    server.shutdown()
    thread.join()
    server.server_close()


def page_of(browser: Browser, session, person, origin: str, **options) -> tuple[Page, list[str]]:
    """Return a page of somebody who is signed in, and the list of what went wrong on it."""
    session.commit()
    context = browser.new_context(base_url=origin, **options)
    page = context.new_page()
    troubles: list[str] = []
    page.on(
        "console",
        # That an address itself is answered by a refusal is no fault of the page that says so.
        lambda said: (
            troubles.append(f"{said.location['url']}: {said.text}")
            if said.type == "error" and said.location["url"] != page.url
            else None
        ),
    )
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
    page.on(
        "request",
        lambda asked: (
            None
            if asked.url.startswith((origin, "data:", "blob:"))
            else troubles.append(f"asked elsewhere: {asked.url}")
        ),
    )
    # Sound has no bytes behind it here; whether it plays is the journeys' business.
    page.route("**/media/**", lambda route: route.fulfill(status=200, body=b""))
    page.route("**/art.jpg", lambda route: route.fulfill(status=200, body=b""))
    page.goto("/sign-in")
    page.fill("#email", person.email)
    page.fill("#password", PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"{origin}/")
    return page, troubles


def paths(application, of: World, who: str) -> list[str]:
    """Return the address of every page that this asker may open."""
    adapter = application.url_map.bind("127.0.0.1")
    found = set()
    for rule in application.url_map.iter_rules():
        here = rule.endpoint not in WITHOUT_WORDS and not rule.endpoint.startswith("uploads.")
        if "GET" not in rule.methods or not here:
            continue
        for known in world.choices(of, who, rule.endpoint):
            if set(rule.arguments) <= set(known):
                told = {name: known[name] for name in rule.arguments}
                found.add(adapter.build(rule.endpoint, told, "GET"))
    return sorted(found)


def is_page(answer) -> bool:
    return answer is not None and "text/html" in answer.headers.get("content-type", "")


def test_s13_s17_what_people_typed_stays_text_on_every_page(
    application, settings, session, browser, live
):
    # Both are on every page: fields take them in turn.
    said = itertools.cycle(PAYLOADS)
    of = world.made(session, settings, words=lambda _: next(said))
    page, troubles = page_of(browser, session, of.people["admin"], live)
    shown = 0
    for path in [*paths(application, of, "admin"), f"/search?q={quote(PAYLOADS[0])}"]:
        answer = page.goto(path, wait_until="load") if not path.endswith(FILES) else None
        if not is_page(answer):
            continue
        assert answer.status < 500, path
        assert page.evaluate("window.ran") is None, path
        assert page.evaluate("document.querySelector('[onerror],[onload],[onclick]')") is None, path
        hrefs = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.protocol)")
        assert set(hrefs) <= {"http:", "https:", "mailto:"}, path
        assert "49" not in page.inner_text("body").split(), path
        shown += any(one.split()[0] in page.inner_text("body") for one in PAYLOADS)
    page.context.close()
    assert troubles == []
    assert shown > 10


FILES = (".vtt", ".srt", ".txt", ".json", ".mp3", ".mp4", ".jpg", ".csv", ".xml", ".zip")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 320)])
def test_no_page_of_the_house_has_a_barrier_or_scrolls_sideways(
    application, settings, session, browser, live, scheme, width
):
    of = world.made(session, settings)
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 720}}
    page, troubles = page_of(browser, session, of.people["admin"], live, **options)
    axe, barriers, seen = Axe(), [], 0
    for path in paths(application, of, "admin"):
        answer = page.goto(path) if not path.endswith(FILES) else None
        if not is_page(answer) or answer.status >= 400:
            continue
        seen += 1
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            barriers.append(f"{path} is {wide} px wide")
        found = axe.run(page, options=chromium.AXE).response["violations"]
        barriers += [
            f"{path}: {one['id']} {json.dumps([node['html'][:120] for node in one['nodes']][:2])}"
            for one in found
        ]
        if page.locator("h1").count() != 1:
            barriers.append(f"{path} has {page.locator('h1').count()} main headings")
    page.context.close()
    assert barriers == []
    assert troubles == []
    assert seen > 15


def test_what_is_typed_of_a_talk_is_kept_whichever_button_is_pressed(
    settings, session, browser, live
):
    of = world.made(session, settings)
    who = of.people["author"]
    show = factories.show(session, who, "Kept")
    talk = factories.episode(session, show, "Kept", held=True, published_at=None)
    phone = {"viewport": {"width": 360, "height": 720}}
    page, troubles = page_of(browser, session, who, live, **phone)
    page.goto(f"/studio/{talk.guid}")
    about, audience = page.locator("#about"), page.locator("section:has(> #audience)")
    gap = audience.bounding_box()["y"] - sum(about.bounding_box()[side] for side in ("y", "height"))
    assert gap >= 16
    page.fill("#notes", "Typed and not saved")
    page.fill("#reviewer", "Nobody of this name")
    page.get_by_role("button", name="Ask for a review").click()
    page.get_by_text("There is nobody here by this name").first.wait_for()
    assert page.input_value("#notes") == "Typed and not saved"
    page.context.close()
    # The page is answered by a refusal, and says so.
    assert [one for one in troubles if "422" not in one] == []


def test_what_one_does_stands_at_the_same_side_for_each_community(settings, session, browser, live):
    of = world.made(session, settings)
    purpose = "What everybody who works there wants to find out from the others, in many words."
    factories.community(session, "Open to all", purpose=purpose)
    factories.community(session, "Asked first", purpose=purpose, joining="request")
    wide = {"viewport": {"width": 1280, "height": 720}}
    page, troubles = page_of(browser, session, of.people["author"], live, **wide)
    page.goto("/communities/")
    for name, act in (("Open to all", "Join"), ("Asked first", "Ask to join")):
        row = page.locator("li", has_text=name)
        place, button = row.locator(".place"), row.locator(".button", has_text=act)
        assert button.bounding_box()["x"] > place.bounding_box()["x"] + 300
        assert abs(button.bounding_box()["y"] - place.bounding_box()["y"]) < 60
    page.context.close()
    assert troubles == []
