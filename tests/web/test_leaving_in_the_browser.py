"""What a real Chromium still shows after signing out."""

import threading

import pytest
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
def page(live, playwright):
    """A page of a Chromium as people use it: it keeps pages whole for "back"."""
    with chromium.opened(playwright, ignore_default_args=[SWITCHED_OFF]) as browser:
        opened = browser.new_context(base_url=live).new_page()
        opened.set_default_timeout(10_000)
        yield opened


def back(page):
    """Press "back"; a page that was kept whole loads nothing, so nothing is waited for."""
    page.evaluate("setTimeout(() => history.back(), 10)")


def sign_in(page, person, wanted):
    """Fill in the form and go on to a page."""
    page.goto(f"/sign-in?next={wanted}")
    page.fill("#email", person.email)
    page.fill("#password", PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"**{wanted}", wait_until="load")


def sign_out(page):
    """Press the button in the menu."""
    page.locator(".top [data-menu] summary").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.wait_for_url("**/sign-in")


def test_s32_the_back_button_shows_no_private_page_after_signing_out(page, session):
    stored = passwords.hashed(PASSWORD)
    ana = factories.person(session, "Ana Lima", password_hash=stored, about=PRIVATE)
    session.commit()
    sign_in(page, ana, "/account/")
    words = page.locator("#about")
    words.wait_for()
    assert words.input_value() == PRIVATE
    # While one is signed in, "back" is as good as ever: the page is shown as it was left.
    page.evaluate("document.title = 'as it was left'")
    page.goto("/help/keys")
    back(page)
    words.wait_for()
    assert page.title() == "as it was left"
    sign_out(page)
    back(page)
    page.wait_for_url("**/sign-in?next=/account/")
    assert PRIVATE not in page.content()


def test_half_written_words_go_with_their_writer_and_are_shown_to_nobody_else(page, session):
    stored = passwords.hashed(PASSWORD)
    ana = factories.person(session, "Ana Lima", password_hash=stored)
    bo = factories.person(session, "Bo Chen", password_hash=stored)
    talk = factories.episode(session, factories.show(session, factories.person(session, "Cy")))
    session.commit()
    page.route("**/media/**", lambda route: route.fulfill(status=200, body=b""))
    drawer = "Object.keys(localStorage).filter(key => key.startsWith('dare.text'))"
    sign_in(page, ana, f"/episodes/{talk.guid}")
    field = page.locator("textarea[data-keep-text]").first
    field.fill(PRIVATE)
    assert page.evaluate(drawer)[0].endswith(f"@{ana.ref}")
    # A session that ends by itself keeps the words, for the same person alone.
    page.context.clear_cookies()
    sign_in(page, bo, f"/episodes/{talk.guid}")
    assert page.locator("textarea[data-keep-text]").first.input_value() == ""
    page.context.clear_cookies()
    sign_in(page, ana, f"/episodes/{talk.guid}")
    assert page.locator("textarea[data-keep-text]").first.input_value() == PRIVATE
    sign_out(page)
    assert page.evaluate(drawer) == []
