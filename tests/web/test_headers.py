"""What every answer carries, and which hosts are answered at all."""

import re

import pytest

from service.app import create_app, floor_of
from storage.models import Community
from tests import factories
from tests.web.visitors import Visitor, visitor

NONCE = re.compile(r"script-src 'nonce-([\w-]{22})';")


@pytest.fixture
def place(application, settings, session):
    """A signed-in browser, and the address of every kind of page."""
    ana = factories.person(session, "Ana Lima")
    community = Community(slug="pumps", name="Pumps", purpose="Water up")
    session.add(community)
    session.flush()
    show = factories.show(session, ana, community_id=community.id)
    talk = factories.episode(session, show, topics=["Delivery"])
    draft = factories.episode(session, show, state="draft")
    session.commit()
    pages = [
        "/", "/top", "/new", "/search?q=country", f"/episodes/{talk.guid}", "/topics/delivery",
        f"/shows/{show.slug}", "/shows/new", "/communities/pumps", f"/people/{ana.ref}",
        "/studio/", f"/studio/{draft.guid}", f"/studio/{talk.guid}", "/feeds/", "/account/",
        "/help/keys", "/no-such-page",
    ]  # fmt: skip
    return visitor(application, settings, session, ana), pages


def test_every_page_has_a_policy_with_a_fresh_nonce_and_nothing_inline(place):
    browser, pages = place
    nonces = set()
    for page in [*pages, *pages]:
        answer = browser.get(page)
        words = answer.get_data(as_text=True)
        policy = answer.headers["Content-Security-Policy"]
        assert answer.mimetype == "text/html", page
        assert "unsafe" not in policy, page
        assert policy.startswith("default-src 'none'; "), page
        assert "frame-ancestors 'none'" in policy, page
        found = NONCE.search(policy)
        assert found, (page, policy)
        nonces.add(found[1])
        # Every script bears this answer's nonce; nothing else could run, nor should anything try.
        scripts = re.findall(r"<script\b[^>]*>", words)
        assert scripts, page
        assert all(f'nonce="{found[1]}"' in script for script in scripts), page
        assert not re.search(r"<style\b|\sstyle=|\son[a-z]+=|javascript:", words), page
    assert len(nonces) == 2 * len(pages)


def test_no_page_names_another_origin(place, settings):
    browser, pages = place
    for page in pages:
        words = browser.get(page).get_data(as_text=True)
        loaded = re.findall(
            r"<(?:script|link|img|audio|video|source|track|use|form)\b[^>]*>", words
        )
        assert loaded, page
        for tag in loaded:
            for address in re.findall(r'\s(?:src|href|action|poster|srcset)="([^"]*)"', tag):
                assert address.startswith(("/", "#", settings.origin)), (page, tag)
                assert not address.startswith("//"), (page, tag)


def test_every_answer_carries_the_other_headers(place, application, settings):
    browser, pages = place
    stranger = Visitor(application, settings)
    answers = [browser.get(page) for page in pages]
    answers += [browser.get("/api/v1/me"), browser.get("/api/v1/none"), browser.get("/health")]
    answers += [stranger.get("/"), stranger.get("/sign-in"), browser.ask("POST", "/studio/")]
    for answer in answers:
        told = answer.headers
        assert told["X-Content-Type-Options"] == "nosniff"
        assert told["Referrer-Policy"] == "same-origin"
        assert told["Cross-Origin-Opener-Policy"] == "same-origin"
        assert told["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "microphone=(self)" in told["Permissions-Policy"]
        assert "geolocation=()" in told["Permissions-Policy"]
        assert re.fullmatch(r"[0-9a-f]{12}", told["X-Request-Id"])
        assert re.search("no-cache|no-store", told["Cache-Control"])
        assert "ETag" not in told
        assert "Access-Control-Allow-Origin" not in told


def test_plain_http_says_nothing_of_transport_security(place):
    browser, _ = place
    assert "Strict-Transport-Security" not in browser.get("/").headers


def test_an_https_house_asks_for_a_year_of_transport_security(house):
    app = create_app(house.model_copy(update={"base_url": "https://dare.example.org"}))
    try:
        answer = app.test_client().get("/sign-in", base_url="https://dare.example.org")
    finally:
        floor_of(app).database.close()
    assert answer.status_code == 200
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1", "127.0.0.1:1", "evil.example:{port}", "127.0.0.1.evil:{port}"],
)
def test_a_forged_host_is_refused(application, settings, place, host):
    browser, _ = place
    port = settings.origin.rpartition(":")[2]
    for path in ("/", "/sign-in", "/f/none.xml", "/api/v1/me"):
        answer = browser.get(path, headers={"Host": host.format(port=port)})
        assert answer.status_code == 421
        assert "evil" not in answer.get_data(as_text=True)


def test_the_forwarded_host_of_nobody_is_believed(place):
    browser, _ = place
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    answer = browser.get("/feeds/", headers=forged)
    assert answer.status_code == 200
    assert "evil" not in answer.get_data(as_text=True)


def test_localhost_is_the_same_house(application, settings):
    port = settings.origin.rpartition(":")[2]
    stranger = Visitor(application, settings)
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"):
        assert stranger.get("/sign-in", headers={"Host": host}).status_code == 200


def test_files_of_ours_are_kept_for_a_year_under_their_digest_alone(place):
    browser, _ = place
    words = browser.get("/").get_data(as_text=True)
    address = re.findall(r'href="(/static/[0-9a-f]{12}/css/dare.css)"', words)[0]
    kept = browser.get(address)
    assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert kept.mimetype == "text/css"
    old = browser.get(address.replace(address.split("/")[2], "000000000000"))
    assert old.headers["Cache-Control"] == "no-cache"
    for name in ("../app.py", "%2e%2e/app.py", "css/../../app.py", "none.css"):
        assert browser.get(f"/static/000000000000/{name}").status_code == 404
