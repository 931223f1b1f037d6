"""What a real Chromium still shows after signing out."""

import threading

import pytest
from playwright.sync_api import sync_playwright
from werkzeug.serving import make_server

from service.identity import passwords
from tests import chromium, factories
from tests.web.visitors import PASSWORD

pytestmark = pytest.mark.browser
SWITCHED_OFF = "--disable-back-forward-cache"
PRIVATE = "What only Ana may read here"


@pytest.fixture
def live(application, house):
    """Answer at the settings' own origin, in a thread."""
    server = make_server("127.0.0.1", house.port, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield house.origin
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(live):
    """A page of a Chromium as people use it: it keeps pages whole for "back"."""
    path = chromium.chromium_path()
    if path is None:
        pytest.skip("no chromium on this machine: install it and run again")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=chromium.FLAGS, ignore_default_args=[SWITCHED_OFF]
        )
        opened = browser.new_context(base_url=live).new_page()
        opened.set_default_timeout(10_000)
        yield opened
        browser.close()


def back(page):
    """Press "back"; a page that was kept whole loads nothing, so nothing is waited for."""
    page.evaluate("setTimeout(() => history.back(), 10)")


def test_s32_the_back_button_shows_no_private_page_after_signing_out(page, session):
    stored = passwords.hashed(PASSWORD)
    ana = factories.person(session, "Ana Lima", password_hash=stored, about=PRIVATE)
    session.commit()
    page.goto("/sign-in?next=/account/")
    page.fill("#email", ana.email)
    page.fill("#password", PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    words = page.locator("#about")
    words.wait_for()
    assert words.input_value() == PRIVATE
    # While one is signed in, "back" is as good as ever: the page is shown as it was left.
    page.evaluate("document.title = 'as it was left'")
    page.goto("/help/keys")
    back(page)
    words.wait_for()
    assert page.title() == "as it was left"
    page.locator("[data-menu] summary").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.wait_for_url("**/sign-in")
    back(page)
    page.wait_for_url("**/sign-in?next=/account/")
    assert PRIVATE not in page.content()
