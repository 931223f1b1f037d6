"""Sessions are rows: ending one is real, and time ends them too."""

from datetime import timedelta

import pytest
from sqlmodel import select

from service.identity import sessions, tokens
from service.identity.browser import STALE
from service.identity.secrets import key_of
from storage.models import AccessToken, Audit, Session, now
from tests import factories
from tests.web.visitors import Visitor, visitor


@pytest.fixture
def ana(session):
    return factories.person(session, "Ana Lima")


@pytest.fixture
def browser(application, settings, session, ana):
    return visitor(application, settings, session, ana)


def is_in(browser):
    return browser.get("/account/").status_code == 200


def test_s32_signing_out_ends_the_session_for_everybody_who_holds_the_cookie(
    application, settings, browser, session
):
    held = browser.cookie().value
    answer = browser.post("/sign-out")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    assert answer.headers["Clear-Site-Data"] == '"cache"'
    assert browser.cookie() is None
    assert session.exec(select(Session)).one().ended_at is not None
    assert not is_in(Visitor(application, settings, held))
    acts = session.exec(select(Audit.act)).all()
    assert acts == ["signed-out"]


def test_who_was_signed_out_elsewhere_is_told_so_and_given_their_words_back(browser, session):
    secret, held = browser.csrf, browser.cookie().value
    sessions.end(session, held)
    session.commit()
    sent = {"csrf_token": secret, "title": "To <b>be</b> said", "password": "never shown"}
    ours = browser.ours | {"Referer": f"{browser.origin}/studio/?show=x"}
    told = browser.ask("POST", "/studio/", data=sent, headers=ours)
    words = told.get_data(as_text=True)
    assert told.status_code == 403
    assert "You were signed out" in words
    assert 'href="/sign-in?next=/studio/?show%3Dx"' in words
    assert "To &lt;b&gt;be&lt;/b&gt; said" in words
    assert "never shown" not in words
    asked = ours | {"Accept": "application/json"}
    problem = browser.ask("POST", "/studio/", data=sent, headers=asked)
    assert "You were signed out" in problem.get_json(force=True)["detail"]


@pytest.mark.parametrize("page", ["https://evil.example/studio/", "/sign-out", "http://[bad", ""])
def test_after_signing_out_one_is_led_only_to_pages_of_ours(browser, session, page):
    secret = browser.csrf
    sessions.end(session, browser.cookie().value)
    session.commit()
    where = f"{browser.origin}{page}" if page.startswith("/") else page
    sent = {"csrf_token": secret, "title": "x"}
    answer = browser.ask("POST", "/studio/", data=sent, headers=browser.ours | {"Referer": where})
    assert 'href="/sign-in"' in answer.get_data(as_text=True)


def test_what_another_site_sends_in_a_dead_session_is_not_shown_to_anybody(browser, session):
    secret = browser.csrf
    sessions.end(session, browser.cookie().value)
    session.commit()
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
        sent = {"csrf_token": secret, "title": "Call this number"}
        answer = browser.ask("POST", "/studio/", data=sent, headers=headers)
        words = answer.get_data(as_text=True)
        assert answer.status_code == 403
        assert STALE in words
        assert "Call this number" not in words


@pytest.mark.parametrize(
    ("column", "age", "lives"),
    [
        ("seen_at", sessions.IDLE, False),
        ("created_at", sessions.ABSOLUTE, False),
        ("seen_at", sessions.IDLE * 0.99, True),
        ("created_at", sessions.ABSOLUTE * 0.99, True),
    ],
)
def test_a_session_ends_after_a_week_unseen_and_a_month_in_all(
    browser, session, column, age, lives
):
    row = session.exec(select(Session)).one()
    setattr(row, column, now() - age)
    session.commit()
    assert is_in(browser) is lives


def test_being_seen_is_written_every_five_minutes_at_most(browser, session):
    row = session.exec(select(Session)).one()
    seen = row.seen_at
    session.commit()
    is_in(browser)
    session.refresh(row)
    assert row.seen_at == seen
    row.seen_at = now() - sessions.GRAIN * 2
    session.commit()
    is_in(browser)
    session.refresh(row)
    assert row.seen_at > now() - sessions.GRAIN


def test_s32_somebody_whose_account_is_disabled_is_out_at_once(browser, session, ana):
    assert is_in(browser)
    ana.disabled_at = now()
    session.commit()
    assert not is_in(browser)


def test_one_ends_ones_other_sessions_and_nobody_elses(
    application, settings, session, browser, ana
):
    phone = visitor(application, settings, session, ana)
    laptop = visitor(application, settings, session, ana)
    other = visitor(application, settings, session, factories.person(session, "Bo Chen"))
    browser.post("/account/sessions/end", session=key_of(phone.cookie().value))
    browser.post("/account/sessions/end", session=key_of(other.cookie().value))
    assert [is_in(b) for b in (browser, phone, laptop, other)] == [True, False, True, True]
    browser.post("/account/sessions/end-others")
    assert [is_in(b) for b in (browser, laptop, other)] == [True, False, True]


def test_the_fifty_first_session_ends_the_oldest(session, ana):
    secrets = [sessions.start(session, ana, f"browser {n}") for n in range(sessions.MOST + 1)]
    assert sessions.find(session, secrets[0]) is None
    assert sessions.find(session, secrets[1]) is not None
    assert len(sessions.mine(session, ana.id)) == sessions.MOST


def test_s41_an_access_token_is_shown_once_and_revoked_for_good(browser, session):
    sent = {"label": "My script", "scopes": ["read"], "days": "30"}
    shown = browser.post("/account/tokens/", **sent).get_data(as_text=True)
    secret = shown.split("dare_")[1][:43]
    kept = session.exec(select(AccessToken)).one()
    assert kept.key == key_of(f"dare_{secret}")  # its hash, and 256 bits of it
    life = (kept.expires_at - kept.created_at).total_seconds() / 86_400
    assert (kept.scopes, round(life)) == (["read"], 30)
    listed = browser.get("/account/tokens/").get_data(as_text=True)
    assert "My script" in listed
    assert secret not in listed
    bearer = {"Authorization": f"Bearer dare_{secret}"}
    assert browser.ask("GET", "/api/v1/me", headers=bearer).status_code == 200
    number = listed.split('name="token" value="')[1].split('"')[0]
    browser.post("/account/tokens/revoke", token=number)
    assert browser.ask("GET", "/api/v1/me", headers=bearer).status_code == 401
    session.rollback()
    acts = session.exec(select(Audit.act).order_by(Audit.id)).all()
    assert acts == ["token-made", "token-revoked"]
    assert secret not in str([row.facts for row in session.exec(select(Audit))])


def test_s41_a_token_does_only_what_it_is_for(browser, session):
    made = browser.post("/account/tokens/", label="Reader", scopes=["read"], days="30")
    bearer = {"Authorization": "Bearer dare_" + made.get_data(as_text=True).split("dare_")[1][:43]}
    assert browser.ask("GET", "/api/v1/me", headers=bearer).status_code == 200
    sent = browser.ask("POST", "/api/v1/episodes", json={"title": "x"}, headers=bearer)
    assert sent.status_code == 403
    assert "publish" in sent.get_json()["detail"]
    page = browser.ask("GET", "/account/tokens/", headers=bearer)
    assert page.status_code == 403


@pytest.mark.parametrize(
    "sent", [{"scopes": []}, {"scopes": ["read", "rule"]}, {"scopes": ["read"], "days": "4000"}]
)
def test_a_token_without_a_scope_or_with_a_long_life_is_not_made(browser, session, sent):
    answer = browser.post("/account/tokens/", label="Odd", **sent)
    assert answer.status_code == 422
    assert 'value="Odd"' in answer.get_data(as_text=True)
    assert session.exec(select(AccessToken)).all() == []


def test_s41_a_token_stops_when_its_owners_provider_vouches_for_them_no_more(
    session, settings, program
):
    left = now() - timedelta(days=settings.feed_leaver_days, seconds=1)
    bo = factories.person(session, "Bo Chen", vouched_at=left)
    its = program(bo)
    assert [its.get("me").status_code, its.get("/top").status_code] == [401, 401]
    bo.vouched_at = now()
    session.commit()
    assert its.get("me").status_code == 200
    # Whoever has a password here is looked after by this house.
    bo.vouched_at, bo.password_hash = left, "$argon2id$"
    session.commit()
    assert its.get("me").status_code == 200


def test_tokens_that_ran_out_are_not_listed_and_fifty_living_ones_are_the_most(
    browser, session, ana
):
    for _ in range(2):
        old, _ = tokens.issue(session, ana.id, "Long ago")
        old.expires_at = now() - timedelta(seconds=1)
    for number in range(tokens.MOST_TOKENS - 1):
        tokens.issue(session, ana.id, f"Script {number}")
    session.commit()
    assert len(tokens.mine(session, ana.id)) == tokens.MOST_TOKENS - 1
    assert "Long ago" not in browser.get("/account/tokens/").get_data(as_text=True)
    sent = {"label": "One more", "scopes": ["read"], "days": "30"}
    assert browser.post("/account/tokens/", **sent).status_code == 200
    answer = browser.post("/account/tokens/", **sent)
    assert answer.status_code == 422
    assert "50 tokens are the most" in answer.get_data(as_text=True)


def test_nobody_revokes_somebody_elses_token(application, settings, session, browser, ana):
    secret = factories.token(session, ana)
    thief = visitor(application, settings, session, factories.person(session, "Bo Chen"))
    listed = browser.get("/account/tokens/").get_data(as_text=True)
    number = listed.split('name="token" value="')[1].split('"')[0]
    thief.post("/account/tokens/revoke", token=number)
    bearer = {"Authorization": f"Bearer {secret}"}
    assert browser.ask("GET", "/api/v1/me", headers=bearer).status_code == 200
