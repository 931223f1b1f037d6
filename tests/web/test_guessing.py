"""Guessing is slowed by account and by network, and nobody is locked out by others."""

import math
import re
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlmodel import Session, select, update

from service import limits
from service.app import floor_of
from service.identity import attempts, passwords, people, proof
from service.identity.attempts import FREE
from service.identity.browser import DEVICE
from storage.models import Allowance, Audit, Notice, Person, SignInFailure, now
from storage.models import Session as Login
from tests import factories
from tests.web.visitors import HOST, PASSWORD, Visitor

WRONG = "not this one, surely"


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


def guess(visitor, email, password=WRONG, **sent):
    """Type a password, from a network of one's own where `REMOTE_ADDR` is given."""
    fields = {"csrf_token": visitor.csrf, "email": email, "password": password}
    environ = {"REMOTE_ADDR": sent["address"]} if "address" in sent else {}
    return visitor.ask(
        "POST", "/sign-in", data=fields, headers=visitor.ours, environ_overrides=environ
    )


def use_up(session, visitor, email, **sent):
    """Type wrong passwords until one has to wait; return that refusal. The wait gets longer."""
    answers = [guess(visitor, email, **sent) for _ in range(FREE + 2)]
    assert [answer.status_code for answer in answers] == [422] * (FREE + 1) + [429]
    session.exec(update(SignInFailure).values(until=now() + timedelta(minutes=1)))
    session.commit()
    return answers[-1]


def test_s36_guessing_is_slowed_by_account_and_network(stranger, ana, session):
    refused = use_up(session, stranger, ana.email)
    words = refused.get_data(as_text=True)
    assert refused.headers["Retry-After"] == "1"
    assert "Too many tries were wrong. Please wait 1 second" in words
    assert f'value="{ana.email}"' in words
    assert WRONG not in words
    # Even the right one waits here; elsewhere it opens.
    assert guess(stranger, ana.email, PASSWORD).status_code == 429
    assert guess(stranger, ana.email, PASSWORD, address="198.51.100.7").status_code == 303
    assert len(session.exec(select(Audit).where(Audit.act == "sign-in-failed")).all()) == FREE + 1


def test_s36_waits_double_up_to_a_quarter_of_an_hour(session):
    waits = []
    for _ in range(FREE + 13):
        attempts.begin(session, "ana@example.org", network="198.51.100.0/24")
        row = session.exec(select(SignInFailure)).one()
        session.refresh(row)
        waits.append(round((row.until - row.last_at).total_seconds()) if row.until else 0)
        session.exec(update(SignInFailure).values(until=None))
        session.commit()
    assert waits == [0] * FREE + [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]


def test_s36_a_wait_ends_and_a_day_forgets(session):
    for _ in range(FREE + 1):
        attempts.begin(session, "ana@example.org", network="n")
    with pytest.raises(limits.TooFastError):
        attempts.begin(session, "ana@example.org", network="n")
    session.exec(update(SignInFailure).values(until=now() - timedelta(seconds=1)))
    assert attempts.begin(session, "ANA@example.org ", network="n").count == FREE + 2
    old = now() - timedelta(days=1, seconds=1)
    session.exec(update(SignInFailure).values(until=None, last_at=old))
    assert attempts.begin(session, "ana@example.org", network="n").count == 1


def test_s36_the_right_password_forgets_the_wrong_ones(stranger, ana, session):
    for _ in range(FREE - 1):
        guess(stranger, ana.email)
    assert stranger.sign_in(ana).status_code == 303
    assert session.exec(select(SignInFailure)).all() == []
    assert session.exec(select(Allowance.used)).one() == FREE - 1  # successes never count


def test_s36_fifty_wrong_passwords_at_once_count_as_fifty(database_engine, session):
    def begin(number):
        with Session(database_engine) as own, own.begin():
            attempts.begin(own, f"person-{number}@example.org", network="198.51.100.0/24")

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(begin, range(50)))
    assert session.exec(select(Allowance.used)).one() == 50


def test_s36_guessing_at_once_gives_no_more_tries_than_one_by_one(application, settings, ana):
    visitors = [Visitor(application, settings) for _ in range(10)]
    for visitor in visitors:
        assert visitor.csrf

    def five(visitor):
        return [guess(visitor, ana.email).status_code for _ in range(5)]

    begun = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        codes = [code for answers in pool.map(five, visitors) for code in answers]
    # Waits of 1, 2, 4 … seconds may end meanwhile, each letting one more in.
    ended = math.floor(math.log2(time.monotonic() - begun + 1))
    assert FREE + 1 <= codes.count(422) <= FREE + 1 + ended
    assert codes.count(422) + codes.count(429) == 50


def test_s36_a_network_has_three_hundred_wrong_tries_an_hour(stranger, ana, session):
    row = {"bucket": "sign-in:127.0.0.0/24", "used": attempts.FROM_ONE_NETWORK.most}
    session.add(Allowance(**row))
    session.commit()
    refused = guess(stranger, "somebody-else@example.org")
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 3500
    assert "1 hour" in refused.get_data(as_text=True)
    # What was refused is not counted against the account either.
    assert session.exec(select(SignInFailure)).all() == []
    assert guess(stranger, ana.email, PASSWORD, address="198.51.100.7").status_code == 303


def test_s36_the_owners_known_browser_still_signs_in(application, settings, session, stranger, ana):
    known = Visitor(application, settings)
    known.sign_in(ana)
    known.post("/sign-out")
    known._csrf = ""
    assert known.cookie(DEVICE)
    use_up(session, stranger, ana.email)
    assert guess(stranger, ana.email, PASSWORD).status_code == 429
    assert known.sign_in(ana).status_code == 303
    # And is slowed by itself, should it be stolen.
    known.post("/sign-out")
    known._csrf = ""
    use_up(session, known, ana.email)


@pytest.mark.parametrize("forged", ["", "x", "a.b", "a." + "0" * 64, ".", "é.ü"])
def test_s36_a_forged_device_cookie_is_no_known_browser(session, stranger, ana, forged):
    use_up(session, stranger, ana.email)
    stranger.client.set_cookie(DEVICE, forged, domain=HOST)
    assert guess(stranger, ana.email, PASSWORD).status_code == 429


def test_s36_a_device_cookie_is_worth_something_for_its_own_account_alone(
    application, settings, session, stranger, ana, stored
):
    bo = factories.person(session, "Bo Chen", password_hash=stored)
    session.commit()
    known = Visitor(application, settings)
    known.sign_in(bo)
    use_up(session, stranger, ana.email)
    again = Visitor(application, settings)
    again.client.set_cookie(DEVICE, known.cookie(DEVICE).value, domain=HOST)
    assert guess(again, ana.email, PASSWORD).status_code == 429


def test_s36_an_unknown_account_looks_the_same_all_the_way(application, settings, ana):
    seen = []
    for email in (ana.email, "nobody@example.org"):
        visitor = Visitor(application, settings)
        answers = [guess(visitor, email) for _ in range(FREE + 2)]
        seen.append(
            [
                (answer.status_code, sorted(answer.headers.keys()), _plain(answer, email))
                for answer in answers
            ]
        )
    assert seen[0] == seen[1]


def _plain(answer, email):
    """Return a page without what differs between any two: secrets, nonces, the address itself."""
    page = answer.get_data(as_text=True).replace(email, "EMAIL")
    return re.sub(r'(nonce|value|content)="[A-Za-z0-9_-]{20,}"', "", page)


def test_s36_an_unknown_account_takes_the_same_time(stranger, ana, session):
    spent = {ana.email: [], "nobody@example.org": []}
    assert stranger.csrf
    for _ in range(8):
        for email, times in spent.items():
            session.exec(update(SignInFailure).values(failures=0, until=None))
            session.commit()
            begun = time.perf_counter()
            assert guess(stranger, email).status_code == 422
            times.append(time.perf_counter() - begun)
    known, unknown = (statistics.median(times) for times in spent.values())
    assert 0.5 < known / unknown < 2.0


def test_s36_a_flood_is_answered_503_and_counts_against_nobody(stranger, ana, session, monkeypatch):
    monkeypatch.setattr(passwords, "PATIENCE", 0.01)
    taken = [passwords._turn.acquire(timeout=1) for _ in range(passwords.AT_ONCE)]
    try:
        answer = guess(stranger, ana.email)
    finally:
        for _ in taken:
            passwords._turn.release()
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert session.exec(select(SignInFailure.failures)).all() == [0]
    assert session.exec(select(Allowance.used)).all() == [0]


def test_the_owner_is_told_of_guesses_from_elsewhere(stranger, ana, session):
    ana.signed_in_at = now()
    session.commit()
    for _ in range(FREE):
        guess(stranger, ana.email, address="203.0.113.9")
    assert stranger.sign_in(ana).status_code == 303
    (notice,) = session.exec(select(Notice)).all()
    assert "5 wrong passwords" in notice.words
    stranger.post("/sign-out")
    stranger.sign_in(ana)
    session.rollback()
    assert len(session.exec(select(Notice)).all()) == 1


@pytest.fixture
def changing(application, ana, monkeypatch):
    """Let Ana change her password while somebody's is being looked at."""
    new = passwords.hashed("another long enough sentence 77")
    real = people.signed_in

    def slow(person, password, *, local=True):
        right = real(person, password, local=local)
        with floor_of(application).database.begin() as own:
            people.change_password(own, own.get_one(Person, ana.id), new)
        return right

    monkeypatch.setattr(people, "signed_in", slow)


def test_s32_an_old_password_opens_nothing_when_it_was_changed_while_it_was_looked_at(
    stranger, ana, session, changing
):
    assert stranger.sign_in(ana).status_code == 422
    assert stranger.cookie() is None
    assert "sign-in-failed" in session.exec(select(Audit.act)).all()


def test_s32_an_old_password_is_not_written_back_by_its_renewal(stranger, ana, session, changing):
    weak = passwords.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    ana.password_hash = weak.hash(PASSWORD)
    session.commit()
    assert stranger.sign_in(ana).status_code == 422
    session.refresh(ana)
    assert not passwords.matches(ana.password_hash, PASSWORD)


@pytest.mark.parametrize(
    "changed", [{"password_hash": "another"}, {"totp_at": now()}, {"disabled_at": now()}]
)
def test_s32_what_was_changed_between_the_proof_and_the_session_is_asked_for_anew(
    application, stranger, ana, session, monkeypatch, changed
):
    real = proof.by_password

    def then(*asked):
        person = real(*asked)
        with floor_of(application).database.begin() as own:
            own.exec(update(Person).where(Person.id == ana.id).values(**changed))
        return person

    monkeypatch.setattr(proof, "by_password", then)
    answer = stranger.sign_in(ana)
    assert answer.status_code == 409
    assert "sign in once more" in answer.get_data(as_text=True)
    assert stranger.cookie() is None
    assert session.exec(select(Login)).all() == []


def test_s36_failures_are_written_down_without_what_was_typed(stranger, ana, session):
    guess(stranger, ana.email)
    guess(stranger, "nobody@example.org")
    rows = session.exec(select(Audit).order_by(Audit.id)).all()
    assert [(row.act, row.subject, row.network) for row in rows] == [
        ("sign-in-failed", str(ana.ref), "127.0.0.0/24"),
        ("sign-in-failed", "", "127.0.0.0/24"),
    ]
    told = str([row.model_dump() for row in rows])
    assert WRONG not in told
    assert "nobody" not in told
    kept = session.exec(select(SignInFailure)).all()
    assert "example.org" not in str([row.model_dump() for row in kept])
