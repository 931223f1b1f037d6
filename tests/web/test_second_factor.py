"""The second factor: set up, asked for, each code once; and proving oneself again."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlmodel import col, select, update

from service.app import create_app, floor_of
from service.identity import passwords, people, proof, sessions, totp
from service.identity.attempts import FREE
from service.identity.browser import COOKIE, VISIT
from storage.models import (
    Audit,
    Notice,
    Person,
    RecoveryCode,
    Session,
    SignInFailure,
    SignInTry,
    now,
)
from tests import factories
from tests.web.visitors import PASSWORD, Visitor, visitor

WRONG_CODE = "This code is not right"


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


class Phone:
    """The authenticator app of somebody with a second factor in force, and their paper of codes."""

    def __init__(self, secret, codes):
        self.secret = secret
        self.codes = codes

    def code(self, steps=0):
        return totp.code_at(self.secret, now() + timedelta(seconds=30 * steps))


@pytest.fixture
def phone(session, settings, ana):
    """Ana's."""
    ana.totp, ana.totp_at = totp.fresh_secret(settings.secret), now()
    made = Phone(totp.opened(settings.secret, ana.totp), totp.fresh_codes(session, ana))
    session.commit()
    return made


def begin(stranger, ana, **fields):
    answer = stranger.sign_in(ana, **fields)
    assert answer.headers["Location"] == "/sign-in/code"
    assert stranger.cookie(COOKIE) is None
    return stranger


def give(stranger, code):
    return stranger.post("/sign-in/code", code=code)


def aged(session, **ago):
    """Make every sign-in older than it is."""
    session.exec(update(Session).values(proved_at=now() - timedelta(**ago)))
    session.commit()


# Setting it up


def test_a_second_factor_is_set_up_confirmed_and_asked_for(
    application, settings, session, ana, stranger
):
    browser = visitor(application, settings, session, ana)
    assert "It is off" in browser.get("/account/second-factor/").get_data(as_text=True)
    assert browser.post("/account/second-factor/begin").status_code == 303
    page = browser.get("/account/second-factor/").get_data(as_text=True)
    assert "<svg" in page
    secret = re.search(r'class="key-text">([A-Z2-7 ]+)<', page)[1].replace(" ", "")
    # Not in force before it is confirmed.
    assert stranger.sign_in(ana).headers["Location"] == "/"
    refused = browser.post("/account/second-factor/confirm", code="000000")
    assert refused.status_code == 422
    done = browser.post("/account/second-factor/confirm", code=totp.code_at(secret, now()))
    codes = re.findall(r"<code>([a-z0-9-]{34})</code>", done.get_data(as_text=True))
    assert len(set(codes)) == 10
    assert 'data-copy="all-codes"' in done.get_data(as_text=True)
    kept = session.exec(select(RecoveryCode)).all()
    assert not {row.key for row in kept} & set(codes)
    again = browser.get("/account/second-factor/").get_data(as_text=True)
    assert "10 of 10 recovery codes" in again
    assert secret not in again.replace(" ", "")
    assert codes[0] not in again
    late = Visitor(application, settings)
    begin(late, ana)
    assert give(late, codes[3]).status_code == 303
    acts = set(session.exec(select(Audit.act)).all())
    assert {"second-factor-changed", "signed-in"} <= acts
    session.refresh(ana)
    assert secret not in ana.totp


def test_a_code_opens_the_account_and_leads_where_one_wanted(stranger, ana, phone, session):
    begin(stranger, ana, next="/search?q=trams")
    page = stranger.get("/sign-in/code").get_data(as_text=True)
    assert 'autocomplete="one-time-code"' in page
    answer = give(stranger, phone.code())
    assert answer.headers["Location"] == "/search?q=trams"
    assert session.exec(select(Session.method)).one() == "code"
    assert session.exec(select(SignInTry)).all() == []


@pytest.mark.parametrize("kind", ["one-time", "recovery"])
def test_each_code_counts_once(application, settings, ana, phone, kind):
    code = phone.code() if kind == "one-time" else phone.codes[0]
    for status in (303, 422):
        stranger = begin(Visitor(application, settings), ana)
        assert give(stranger, code).status_code == status


def test_a_code_of_the_step_before_counts_but_not_after_a_newer_one(
    application, settings, ana, phone
):
    before, current = phone.code(-1), phone.code()
    assert give(begin(Visitor(application, settings), ana), current).status_code == 303
    assert give(begin(Visitor(application, settings), ana), before).status_code == 422


def test_a_recovery_code_that_was_used_is_told_to_its_owner(stranger, ana, phone, session):
    give(begin(stranger, ana), phone.codes[0].upper().replace("-", " "))
    assert "9 are left" in session.exec(select(Notice.words)).one()


def test_s36_five_wrong_codes_want_the_password_again_and_then_a_wait(
    stranger, ana, phone, session
):
    begin(stranger, ana)
    codes = [give(stranger, "000000").status_code for _ in range(proof.TRIES - 1)]
    assert codes == [422] * (proof.TRIES - 1)
    fifth = give(stranger, "000000")
    assert (fifth.status_code, fifth.headers["Location"]) == (303, "/sign-in")
    assert give(stranger, phone.code()).headers["Location"] == "/sign-in"
    # The right password does not give five more; nor does another network.
    begin(stranger, ana)
    assert give(stranger, "000000").headers["Location"] == "/sign-in"
    begin(stranger, ana)
    refused = give(stranger, phone.code())
    assert refused.status_code == 429
    assert "Retry-After" in refused.headers
    origins = session.exec(select(SignInFailure.origin).where(SignInFailure.failures > FREE)).all()
    assert origins == ["anywhere"]


def test_the_step_between_is_bound_to_the_browser_the_password_and_ten_minutes(
    application, settings, stranger, ana, phone, session
):
    begin(stranger, ana)
    other = Visitor(application, settings)
    assert other.get("/sign-in/code").headers["Location"] == "/sign-in"
    session.exec(update(SignInTry).values(expires_at=now() - timedelta(seconds=1)))
    session.commit()
    assert give(stranger, phone.code()).headers["Location"] == "/sign-in"
    begin(stranger, ana)
    ana.password_hash = passwords.hashed("quite another sentence")
    session.commit()
    assert give(stranger, phone.code()).headers["Location"] == "/sign-in"
    assert stranger.cookie(COOKIE) is None


def test_a_second_factor_is_switched_off_and_its_codes_are_dead(
    application, settings, session, ana, phone, stranger
):
    browser = visitor(application, settings, session, ana)
    old = phone.codes[0]
    fresh = browser.post("/account/second-factor/codes").get_data(as_text=True)
    assert old not in fresh
    assert give(begin(stranger, ana), old).status_code == 422
    assert browser.post("/account/second-factor/off").status_code == 303
    session.refresh(ana)
    assert (ana.totp, ana.totp_at) == (None, None)
    assert session.exec(select(RecoveryCode)).all() == []
    assert stranger.sign_in(ana).headers["Location"] == "/"


def test_of_two_tabs_at_the_same_step_the_later_one_counts(application, session, ana, phone):
    database = floor_of(application).database
    begun = threading.Event()

    def second():
        begun.set()
        with database.begin() as own:
            proof.await_code(own, ana, "visit", "/second")

    with ThreadPoolExecutor(1) as pool:
        with database.begin() as own:
            proof.await_code(own, ana, "visit", "/first")
            own.flush()
            waiting = pool.submit(second)
            begun.wait()
            time.sleep(0.2)  # long enough to stand before the row
        waiting.result()
    with database.begin() as own:
        row, person = proof.awaited(own, "visit")
        assert (row.wanted, person.id) == ("/second", ana.id)


def test_a_code_survives_nothing_but_the_servers_secret(stranger, ana, phone, session):
    begin(stranger, ana)
    ana.totp = totp.fresh_secret(b"another secret of the server, 32+")
    session.commit()
    assert WRONG_CODE in give(stranger, "123456").get_data(as_text=True)
    assert give(stranger, phone.codes[0]).status_code == 303


# Who must have one


@pytest.fixture
def reachable(house):
    """The application of a house that others can reach."""
    made = create_app(house.model_copy(update={"base_url": "https://dare.example"}))
    yield made
    floor_of(made).database.close()


class Far(Visitor):
    """A visitor of a house that is not on this machine."""

    def __init__(self, app, secret):
        super().__init__(app, floor_of(app).settings)
        self.client.set_cookie(COOKIE, secret, domain="dare.example")

    def cookie(self, name=COOKIE):
        return self.client.get_cookie(name, domain="dare.example")


def far(app, session, person, method="password"):
    secret = sessions.start(session, person, "a browser", method=method)
    session.commit()
    browser = Far(app, secret)
    page = browser.get("/account/second-factor/").get_data(as_text=True)
    browser._csrf = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', page)[1]
    return browser


@pytest.mark.parametrize("role", ["moderator", "admin"])
def test_who_may_do_much_sets_up_a_second_factor_before_all_else(reachable, session, stored, role):
    person = factories.person(session, role=role, password_hash=stored)
    browser = far(reachable, session, person)
    for path in ("/", "/account/", "/search?q=x", "/feeds/"):
        assert browser.get(path).headers["Location"] == "/account/second-factor/"
    assert browser.send("GET", "/api/v1/me").status_code == 403
    assert browser.post("/account/theme", theme="dark").status_code == 403
    assert browser.get("/account/tokens/").status_code == 303
    assert browser.post("/account/second-factor/begin").status_code == 303
    session.refresh(person)
    secret = totp.opened(floor_of(reachable).settings.secret, person.totp)
    browser.post("/account/second-factor/confirm", code=totp.code_at(secret, now()))
    assert browser.get("/account/").status_code == 200


def test_others_and_those_whom_a_provider_vouches_for_need_none_of_ours(
    reachable, session, stored, application, settings
):
    ana = factories.person(session, password_hash=stored)
    boss = factories.person(session, role="admin", password_hash=stored)
    assert far(reachable, session, ana).get("/account/").status_code == 200
    assert far(reachable, session, boss, method="provider").get("/account/").status_code == 200
    near = visitor(application, settings, session, boss)
    assert near.get("/account/").status_code == 200  # nobody else can reach a loopback


def test_who_must_set_one_up_may_sign_out(reachable, session, stored):
    boss = factories.person(session, role="admin", password_hash=stored)
    assert far(reachable, session, boss).post("/sign-out").headers["Location"] == "/sign-in"


def enrol(browser, session, person):
    browser.post("/account/second-factor/begin")
    session.refresh(person)
    secret = totp.opened(floor_of(browser.client.application).settings.secret, person.totp)
    done = browser.post("/account/second-factor/confirm", code=totp.code_at(secret, now()))
    assert done.status_code == 200


def test_switching_it_on_ends_whatever_was_begun_with_the_password_alone(
    reachable, session, stored
):
    boss = factories.person(session, role="admin", password_hash=stored)
    thief, owner = far(reachable, session, boss), far(reachable, session, boss)
    assert thief.get("/admin/people/").headers["Location"] == "/account/second-factor/"
    enrol(owner, session, boss)
    assert owner.get("/admin/people/").status_code == 200
    assert thief.get("/admin/people/").headers["Location"].startswith("/sign-in?")
    assert session.exec(select(Session.method).where(col(Session.ended_at).is_(None))).all() == [
        "code"
    ]


def test_a_second_factor_that_the_session_has_not_shown_opens_nothing_to_it(
    reachable, session, stored
):
    boss = factories.person(session, role="admin", password_hash=stored)
    browser = far(reachable, session, boss)
    boss.totp, boss.totp_at = totp.fresh_secret(b"a secret of the server, 32 bytes"), now()
    session.commit()
    again = "/sign-in/again?next=/admin/people/"
    assert browser.get("/admin/people/").headers["Location"] == again
    assert browser.post("/account/second-factor/off").status_code == 403
    assert browser.post("/account/second-factor/codes").status_code == 403
    assert browser.get("/sign-in/again").status_code == 200


# Proving it once more


SECRETS = ["/account/password", "/account/second-factor/", "/account/tokens/"]


@pytest.mark.parametrize("path", SECRETS)
def test_pages_that_make_or_show_secrets_want_a_fresh_proof(
    application, settings, session, ana, path
):
    browser = visitor(application, settings, session, ana)
    assert browser.get(path).status_code == 200
    aged(session, minutes=31)
    assert browser.get(path).headers["Location"] == f"/sign-in/again?next={path}"
    late = browser.post(path if path != SECRETS[1] else f"{path}begin", scopes="read")
    assert late.status_code == 403
    assert "confirm that it is you" in late.get_data(as_text=True)


def test_s31_proving_it_again_gives_a_new_id_and_the_same_session(
    application, settings, session, ana
):
    browser = visitor(application, settings, session, ana)
    aged(session, hours=2)
    row = session.exec(select(Session)).one()
    before = (row.created_at, row.label)
    old = browser.cookie().value
    assert browser.get("/sign-in/again?next=/account/tokens/").status_code == 200
    wrong = browser.post("/sign-in/again", password="not this one, surely")
    assert wrong.status_code == 422
    assert browser.cookie().value == old
    answer = browser.post("/sign-in/again", password=PASSWORD, next="/account/tokens/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account/tokens/")
    assert browser.cookie().value != old
    assert browser.get("/account/tokens/").status_code == 200
    assert Visitor(application, settings, old).get("/account/").status_code == 303
    session.expire_all()
    row = session.exec(select(Session)).one()
    assert (row.created_at, row.label) == before
    assert now() - row.proved_at < timedelta(minutes=1)


def test_proving_it_again_asks_for_the_code_too(application, settings, session, ana, phone):
    browser = visitor(application, settings, session, ana)
    aged(session, hours=2)
    assert 'name="code"' in browser.get("/sign-in/again").get_data(as_text=True)
    assert browser.post("/sign-in/again", password=PASSWORD).status_code == 422
    assert browser.post("/sign-in/again", password=PASSWORD, code=phone.code()).status_code == 303


def test_s36_proving_it_again_is_no_way_around_the_waits(application, settings, session, ana):
    browser = visitor(application, settings, session, ana)
    codes = [browser.post("/sign-in/again", password="wrong").status_code for _ in range(FREE + 2)]
    assert codes == [422] * (FREE + 1) + [429]


def test_s35_proving_it_again_leads_nowhere_else(application, settings, session, ana):
    browser = visitor(application, settings, session, ana)
    answer = browser.post("/sign-in/again", password=PASSWORD, next="//evil.example/")
    assert answer.headers["Location"] == "/"


def test_s40_two_tabs_that_prove_it_at_once_stay_signed_in(application, settings, session, ana):
    browser = visitor(application, settings, session, ana)
    old, csrf = browser.cookie().value, browser.csrf

    def prove(_):
        tab = Visitor(application, settings, old)
        fields = {"csrf_token": csrf, "password": PASSWORD}
        answer = tab.ask("POST", "/sign-in/again", data=fields, headers=tab.ours)
        return answer, tab.cookie().value

    with ThreadPoolExecutor(2) as pool:
        tabs = list(pool.map(prove, range(2)))
    given = {held for _, held in tabs} - {old}
    # The one row has one new id; a tab that came too late is given none, and takes none away.
    assert len(given) == 1
    assert {answer.status_code for answer, _ in tabs} <= {303, 403}
    assert Visitor(application, settings, given.pop()).get("/account/").status_code == 200


def test_s40_of_two_renewals_the_later_one_changes_nothing(session, ana):
    old = sessions.start(session, ana, "a browser")
    new = sessions.renew(session, old, method="password")
    assert sessions.renew(session, old, method="password") is None
    assert sessions.find(session, new) is not None


def test_s40_two_sign_ins_at_once_in_two_tabs_both_stay(application, settings, session, ana):
    browser = Visitor(application, settings)
    fields = {"csrf_token": browser.csrf, "email": ana.email, "password": PASSWORD}
    visit = browser.cookie(VISIT).value
    answers = []
    for _ in range(2):
        tab = Visitor(application, settings)
        tab.client.set_cookie(VISIT, visit, domain="127.0.0.1")
        answers.append(tab.ask("POST", "/sign-in", data=fields, headers=tab.ours))
        answers[-1].tab = tab
    assert [answer.status_code for answer in answers] == [303, 303]
    for answer in answers:  # whichever cookie came last, it opens
        assert answer.tab.get("/account/").status_code == 200


# Passwords


def change(browser, old=PASSWORD, new="trams run on Sundays too"):
    return browser.post("/account/password", old=old, new=new)


def test_s32_a_new_password_ends_every_other_session_at_once(application, settings, session, ana):
    browser = visitor(application, settings, session, ana)
    phone = visitor(application, settings, session, ana)
    held = browser.cookie().value
    assert change(browser).headers["Location"] == "/account/"
    assert browser.get("/account/").status_code == 200
    assert phone.get("/account/").status_code == 303
    assert Visitor(application, settings, held).get("/account/").status_code == 303
    late = Visitor(application, settings)
    assert late.sign_in(ana).status_code == 422
    assert late.sign_in(ana, "trams run on Sundays too").status_code == 303
    assert "password was changed" in session.exec(select(Notice.words)).one()
    changed = session.exec(select(Audit).where(Audit.act == "password-changed")).one()
    assert changed.network


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("not this one, surely", "trams run on Sundays too", "not your password as it was"),
        (PASSWORD, "too brief", "at least 12 characters"),
        (PASSWORD, "Password1234!", "tried first"),
        (PASSWORD, "dare to share, always", "name of this house"),
        (PASSWORD, "Our House rules ok", "name of this house"),
        (PASSWORD, "Ana Lima 1987", "your own name"),
    ],
)
def test_a_password_that_may_not_be_is_refused_in_words(
    application, settings, session, ana, old, new, words
):
    browser = visitor(application, settings, session, ana)
    answer = change(browser, old, new)
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert words in page
    assert new not in page
    session.refresh(ana)
    assert passwords.matches(ana.password_hash, PASSWORD)


def test_s32_who_knows_an_old_password_cannot_undo_its_change(
    application, settings, session, ana, monkeypatch
):
    thief = visitor(application, settings, session, ana)
    real, owners = people.new_password, passwords.hashed("the owner was quicker, in fact")

    def slow(person, password, organisation):
        with floor_of(application).database.begin() as own:
            people.change_password(own, own.get_one(Person, ana.id), owners)
        return real(person, password, organisation)

    monkeypatch.setattr(people, "new_password", slow)
    assert change(thief).status_code == 409
    session.refresh(ana)
    assert ana.password_hash == owners


def test_who_has_no_password_here_has_no_such_page(application, settings, session):
    browser = visitor(application, settings, session, factories.person(session))
    assert browser.get("/account/password").status_code == 404
    assert browser.post("/account/second-factor/begin").status_code == 409


def test_a_hash_of_older_parameters_is_renewed_at_the_next_sign_in(stranger, ana, session):
    weak = passwords.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    ana.password_hash = weak.hash(PASSWORD)
    session.commit()
    assert stranger.sign_in(ana).status_code == 303
    session.refresh(ana)
    assert "m=19456,t=2,p=1" in ana.password_hash
    assert passwords.matches(ana.password_hash, PASSWORD)


# With local sign-in off


@pytest.fixture
def provider_only(house):
    """The application of a house that signs people in by their provider alone."""
    provider = {"name": "idp", "issuer": "https://idp.example", "client_id": "dare"}
    told = house.model_dump() | {"oidc": [provider], "local_sign_in": False}
    made = create_app(type(house)(**told))
    yield made
    floor_of(made).database.close()


def test_without_local_sign_in_only_the_emergency_account_opens(
    provider_only, settings, session, ana, stored
):
    stranger = Visitor(provider_only, settings)
    page = stranger.get("/sign-in").get_data(as_text=True)
    assert 'name="password"' not in page
    assert "/sign-in/with/idp" in page
    stranger.get("/sign-in?emergency").get_data(as_text=True)
    assert 'name="password"' in stranger.get("/sign-in?emergency").get_data(as_text=True)
    stranger._csrf = re.search(
        r'name="csrf_token" value="([0-9a-f]{64})"',
        stranger.get("/sign-in?emergency").get_data(as_text=True),
    )[1]
    sent = {"email": ana.email, "password": PASSWORD, "emergency": "1"}
    refused = stranger.post("/sign-in", **sent)
    assert refused.status_code == 422
    assert "do not go together" in refused.get_data(as_text=True)
    ana.emergency = True
    session.commit()
    assert stranger.post("/sign-in", **sent).status_code == 303


def test_the_account_page_says_where_one_is_signed_in(application, settings, session, ana):
    stranger = Visitor(application, settings)
    stranger.sign_in(ana)
    agent = {"User-Agent": "Mozilla/5.0 (iPhone) Firefox/140"}
    phone = Visitor(application, settings)
    fields = {"csrf_token": phone.csrf, "email": ana.email, "password": PASSWORD}
    phone.ask(
        "POST",
        "/sign-in",
        data=fields,
        headers=phone.ours | agent,
        environ_overrides={"REMOTE_ADDR": "203.0.113.77"},
    )
    page = stranger.get("/account/").get_data(as_text=True)
    assert "This browser" in page
    assert "Firefox on iPhone" in page
    assert "by password · from 203.0.113.0/24" in page
    assert "203.0.113.77" not in page
