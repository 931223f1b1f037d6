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


def test_s32_the_back_button_shows_no_private_page_after_signing_out(live, session):
    stored = passwords.hashed(PASSWORD)
    ana = factories.person(session, "Ana Lima", password_hash=stored, about=PRIVATE)
    session.commit()
    # As people use it: Chromium keeps pages whole for "back", which Playwright switches off.
    path = chromium.chromium_path()
    if path is None:
        pytest.skip("no chromium on this machine: install it and run again")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=chromium.FLAGS, ignore_default_args=[SWITCHED_OFF]
        )
        page = browser.new_context(base_url=live).new_page()
        page.set_default_timeout(10_000)
        page.goto("/sign-in?next=/account/")
        page.fill("#email", ana.email)
        page.fill("#password", PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.wait_for_url(f"{live}/account/")
        assert PRIVATE in page.content()
        page.locator("[data-menu] summary").click()
        page.get_by_role("button", name="Sign out", exact=True).click()
        page.wait_for_url("**/sign-in")
        with page.expect_event("framenavigated"):
            page.evaluate("setTimeout(() => history.back(), 10)")
        page.wait_for_load_state()
        assert page.url == f"{live}/sign-in?next=/account/"
        assert PRIVATE not in page.content()
        browser.close()
