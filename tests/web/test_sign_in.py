"""Signing in: the form, the cookie, and where one lands."""

import pytest
from sqlmodel import select

from service.app import floor_of
from service.identity import passwords, people
from service.identity.secrets import key_of
from storage.models import Person, Session, now
from storage.prepare import set_up_token
from tests import factories
from tests.web.visitors import PASSWORD, Visitor

WRONG = "This address and password do not go together."


@pytest.fixture(scope="module")
def stored():
    return passwords.hashed(PASSWORD)


@pytest.fixture
def ana(session, stored):
    made = factories.person(session, "Ana Lima", password_hash=stored)
    session.commit()
    return made


@pytest.fixture
def stranger(application, settings):
    return Visitor(application, settings)


def test_the_right_password_opens_home_with_a_fresh_session(stranger, ana, session):
    answer = stranger.sign_in(ana)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "Ana Lima" in stranger.get("/").get_data(as_text=True)
    kept = session.exec(select(Session)).one()
    assert kept.key == key_of(stranger.cookie().value) != stranger.cookie().value


def test_the_address_may_be_written_in_any_case(stranger, ana):
    answer = stranger.post("/sign-in", email=f"  {ana.email.upper()} ", password=PASSWORD)
    assert answer.status_code == 303


@pytest.mark.parametrize("who", ["known", "unknown", "disabled", "without a password"])
def test_a_wrong_password_and_a_missing_account_read_the_same(stranger, ana, session, who):
    email, password = ana.email, "not this one, surely"
    if who == "unknown":
        email = "nobody@example.org"
    if who == "disabled":
        ana.disabled_at = now()
    if who == "without a password":
        ana.password_hash, password = None, "nobody has this password"
    session.commit()
    answer = stranger.post("/sign-in", email=email, password=password)
    words = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert WRONG in words
    assert f'value="{email}"' in words
    assert password not in words
    assert stranger.cookie() is None


def test_s33_the_cookies_carry_every_flag_that_their_prefix_asks_for(stranger, ana):
    visit = stranger.get("/sign-in").headers.getlist("Set-Cookie")
    begun = stranger.sign_in(ana).headers.getlist("Set-Cookie")
    set_now = [c for c in visit + begun if "Max-Age=0" not in c]
    assert [c.partition("=")[0] for c in set_now] == [
        "__Host-dare-visit",
        "__Host-dare",
        "__Host-dare-device",
    ]
    for cookie in set_now:
        assert len(cookie) < 4096
        flags = set(cookie.split("; ")[1:])
        assert flags >= {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}
        assert not any(flag.startswith("Domain") for flag in flags)


def test_s31_the_sessions_id_changes_at_every_sign_in_and_the_old_one_is_dead(
    application, settings, stranger, ana, session
):
    stranger.sign_in(ana)
    old = stranger.cookie().value
    # The form is only for strangers; a browser that is signed in may still send it.
    again = stranger.post("/sign-in", email=ana.email, password=PASSWORD)
    assert again.status_code == 303
    assert stranger.cookie().value != old
    assert Visitor(application, settings, old).get("/").status_code == 303
    kept = session.exec(select(Session).order_by(Session.created_at)).all()
    assert [row.ended_at is None for row in kept] == [False, True]


def test_s31_a_session_that_somebody_else_has_fixed_is_never_taken_on(
    application, settings, ana, session
):
    fixed = Visitor(application, settings, "a-value-that-somebody-planted")
    assert fixed.get("/").headers["Location"] == "/sign-in"
    # With a planted cookie one is nobody, so the form's secret is that of the visit.
    form = fixed.get("/sign-in").get_data(as_text=True)
    secret = form.split('name="csrf_token" value="')[1][:64]
    sent = {"csrf_token": secret, "email": ana.email, "password": PASSWORD}
    assert fixed.ask("POST", "/sign-in", data=sent, headers=fixed.ours).status_code == 303
    assert fixed.cookie().value != "a-value-that-somebody-planted"


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/\t/evil.example/",
        "/\n/evil.example",
        " //evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "evil.example",
        "//[",
        "//evil℀.example",
        "https:evil.example",
        "%09//evil.example",
        "https://127.0.0.1@evil.example/",
        "//127.0.0.1.evil.example/",
        "http://127.0.0.1.evil.example/",
        "/\u3000/evil.example\x00",
        "http:/evil.example",
        "",
    ],
)
def test_s35_next_never_leads_to_another_host(stranger, ana, wanted):
    assert stranger.sign_in(ana, next=wanted).headers["Location"] == "/"
    answer = stranger.get("/sign-in", query_string={"next": wanted})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_next_leads_back_to_the_page_that_was_asked_for(stranger, ana):
    asked = stranger.get("/search?q=a%20b&page=2").headers["Location"]
    assert asked == "/sign-in?next=/search?q%3Da%2520b%26page%3D2"
    assert 'value="/search?q=a%20b&amp;page=2"' in stranger.get(asked).get_data(as_text=True)
    answer = stranger.sign_in(ana, next="/search?q=a%20b&page=2")
    assert answer.headers["Location"] == "/search?q=a%20b&page=2"


def test_who_knows_the_password_of_a_closed_account_is_told_that_it_is_closed(
    stranger, ana, session
):
    ana.disabled_at = now()
    session.commit()
    answer = stranger.sign_in(ana)
    assert answer.status_code == 422
    assert "This account is closed. Ask whoever" in answer.get_data(as_text=True)
    assert session.exec(select(Session)).all() == []
    ana.erased_at = now()
    session.commit()
    assert WRONG in stranger.sign_in(ana).get_data(as_text=True)


# The first account


def test_the_set_up_link_makes_one_administrator_and_is_dead_afterwards(
    application, settings, stranger, session
):
    token = set_up_token(session)
    session.commit()
    path = f"/set-up/{token}"
    assert stranger.get(path).status_code == 200
    short = stranger.post(path, email="ana@example.org", name="Ana", password="short")
    assert short.status_code == 422
    assert "at least 12 characters" in short.get_data(as_text=True)
    answer = stranger.post(path, email="Ana@Example.org", name="Ana", password=PASSWORD)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    made = session.exec(select(Person)).one()
    assert (made.email, made.role) == ("ana@example.org", "admin")
    late = Visitor(application, settings)
    assert late.get(path).status_code == 404
    assert late.post(path, email="b@example.org", name="B", password=PASSWORD).status_code == 404
    assert set_up_token(session) is None


def test_no_connection_is_held_while_the_first_password_is_hashed(
    application, stranger, session, monkeypatch
):
    token, pool, real = set_up_token(session), floor_of(application).database.engine.pool, []
    session.commit()
    hashed = passwords._hash

    def seen(password):
        real.append(pool.checkedout())
        return hashed(password)

    monkeypatch.setattr(passwords, "_hash", seen)
    told = {"email": "ana@example.org", "name": "Ana", "password": PASSWORD}
    assert stranger.post(f"/set-up/{token}", **told).status_code == 303
    assert real == [0]


def test_a_set_up_link_is_worth_nothing_once_somebody_is_there(stranger, session):
    token = set_up_token(session)
    people.add(session, email="ana@example.org", name="Ana", password=None)
    session.commit()
    over = stranger.get(f"/set-up/{token}")
    assert over.status_code == 404
    assert "This link has been used" in over.text
    assert 'href="/sign-in"' in over.text


def test_a_set_up_link_that_is_none_says_how_to_get_one(stranger):
    over = stranger.get("/set-up/none")
    assert over.status_code == 404
    assert "<code>dare up</code>" in over.text
