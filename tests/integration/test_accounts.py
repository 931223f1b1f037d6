"""Accounts as the house and its command line change them, and the last admin who stays."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError

import pytest
from click.testing import CliRunner
from sqlmodel import Session as Database
from sqlmodel import select

from service import administration, directory
from service.cli import main
from service.identity import passwords, people, sessions, tokens, totp
from service.identity.askers import as_asker
from service.identity.people import LastAdminError, PersonError
from storage.models import SCOPES, AccessToken, Audit, Notice, Person, RecoveryCode, now
from tests import factories


@pytest.fixture
def dare(settings, session):
    """The command line of the house."""

    def asked(*words, typed=""):
        session.commit()
        told = CliRunner().invoke(main, [*words, "--data", str(settings.data)], input=typed)
        session.expire_all()
        return told

    return asked


@pytest.fixture
def boss(session):
    return factories.person(session, "Bo Chen", role="admin", email="bo@example.org")


@pytest.fixture
def ana(session):
    return factories.person(session, "Ana Lima", email="ana@example.org")


def acts(session):
    rows = session.exec(select(Audit).order_by(Audit.id)).all()
    return [(row.act, row.actor, row.subject) for row in rows]


def test_s32_a_new_role_ends_every_session_and_is_written_down(session, boss, ana):
    held = sessions.start(session, ana, "a browser")
    by = as_asker(session, boss)
    people.change_role(session, by, ana, "moderator")
    assert ana.role == "moderator"
    assert sessions.find(session, held) is None
    assert acts(session) == [("role-changed", by.ref, str(ana.ref))]
    (row,) = session.exec(select(Audit)).all()
    assert row.facts == {"before": "contributor", "role": "moderator"}


def test_the_same_role_changes_nothing_and_an_unknown_one_is_refused(session, boss, ana):
    held = sessions.start(session, ana, "a browser")
    people.change_role(session, as_asker(session, boss), ana, "contributor")
    with pytest.raises(PersonError, match="no role"):
        people.change_role(session, as_asker(session, boss), ana, "steward")
    assert sessions.find(session, held) is not None
    assert acts(session) == []


def test_s32_who_is_disabled_is_out_at_once_with_sessions_and_tokens(session, boss, ana):
    held, secret = sessions.start(session, ana, "a browser"), factories.token(session, ana)
    by = as_asker(session, boss)
    people.disable(session, by, ana)
    people.disable(session, by, ana)
    assert (sessions.find(session, held), tokens.find(session, secret)) == (None, None)
    people.enable(session, by, ana)
    people.enable(session, by, ana)
    assert sessions.find(session, held) is None  # what has ended stays ended
    assert tokens.find(session, secret) is not None
    assert [act for act, _, _ in acts(session)] == ["account-disabled", "account-enabled"]


def test_an_erased_account_is_never_opened_again(session, boss, ana):
    ana.disabled_at = ana.erased_at = now()
    with pytest.raises(PersonError, match="erased"):
        people.enable(session, as_asker(session, boss), ana)


def test_the_last_admin_is_neither_demoted_nor_disabled(session, boss):
    factories.person(session, role="admin", disabled_at=now())  # who cannot sign in is none
    by = as_asker(session, boss)
    with pytest.raises(LastAdminError, match="last admin"):
        people.change_role(session, by, boss, "moderator")
    with pytest.raises(LastAdminError):
        people.disable(session, by, boss)
    people.change_role(session, by, boss, "admin")
    assert (boss.role, boss.disabled_at) == ("admin", None)
    factories.person(session, role="admin")
    people.change_role(session, by, boss, "moderator")
    assert boss.role == "moderator"


def test_two_admins_who_demote_each_other_at_once_leave_one(database_engine, session):
    pair = [factories.person(session, role="admin") for _ in range(2)]
    session.commit()
    keys = [person.id for person in pair]

    def demote(key):
        with Database(database_engine) as own, own.begin():
            try:
                people.change_role(own, None, own.get_one(Person, key), "learner")
            except LastAdminError:
                return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(demote, keys)) == [False, True]
    session.expire_all()
    assert len(session.exec(select(Person).where(Person.role == "admin")).all()) == 1


@pytest.mark.parametrize("act", ["demote", "close"])
def test_two_admins_who_turn_on_each_other_do_not_stop_each_other(
    database_engine, session, monkeypatch, act
):
    pair = [factories.person(session, role="admin") for _ in range(3)][:2]
    both = [factories.asker(session, person) for person in pair]
    session.commit()
    met, one = Barrier(2), directory.one

    def found(*args, **values):
        """Return the other's row, locked, when both have come so far or one waits."""
        person = one(*args, **values)
        with suppress(BrokenBarrierError):
            met.wait(0.5)
        return person

    monkeypatch.setattr(directory, "one", found)

    def does(by, to):
        with Database(database_engine) as own, own.begin():
            if act == "demote":
                administration.change_role(own, by, to.ref, "learner", network="10.0.0.0")
            else:
                administration.disable(own, by, to.ref, network="10.0.0.0")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(does, both, both[::-1]))
    session.expire_all()
    assert all(person.role == "learner" or person.disabled_at for person in pair)
    assert {row.network for row in session.exec(select(Audit))} == {"10.0.0.0"}


def test_the_command_line_closes_and_opens_an_account(dare, session, boss, ana):
    held = sessions.start(session, ana, "a browser")
    told = dare("person", "disable", "ANA@example.org")
    assert told.stdout.startswith("ana@example.org is disabled")
    assert ana.disabled_at is not None
    assert sessions.find(session, held) is None
    assert dare("person", "enable", "ana@example.org").exit_code == 0
    assert ana.disabled_at is None
    assert [(act, actor) for act, actor, _ in acts(session)] == [
        ("account-disabled", "command"),
        ("account-enabled", "command"),
    ]


def test_the_command_line_refuses_in_one_line(dare, boss):
    for words in (("disable", "bo@example.org"), ("enable", "nobody@example.org")):
        told = dare("person", *words)
        assert (told.exit_code, told.stdout) == (2, "")
        assert len(told.stderr.splitlines()) == 1


def test_the_command_line_signs_somebody_out_everywhere(dare, session, ana):
    held = [sessions.start(session, ana, f"browser {n}") for n in range(2)]
    told = dare("person", "sign-out", "ana@example.org")
    assert told.stdout == "ana@example.org is signed out of 2 browsers.\n"
    assert [sessions.find(session, secret) for secret in held] == [None, None]
    assert [act for act, _, _ in acts(session)] == ["session-ended"]


def test_the_command_line_forgets_a_lost_second_factor(dare, settings, session, ana):
    assert "no second factor" in dare("person", "forget-code", "ana@example.org").stderr
    ana.totp, ana.totp_at = totp.fresh_secret(settings.secret), now()
    totp.fresh_codes(session, ana)
    assert dare("person", "forget-code", "ana@example.org").exit_code == 0
    assert (ana.totp, ana.totp_at) == (None, None)
    assert session.exec(select(RecoveryCode)).all() == []
    assert acts(session) == [("second-factor-changed", "command", str(ana.ref))]


def test_the_command_line_names_the_account_for_emergencies(dare, session, ana):
    assert "no password yet" in dare("person", "emergency", "ana@example.org").stderr
    assert not ana.emergency
    told = dare("person", "emergency", "ana@example.org", typed="a long walk in the rain\n")
    assert "/sign-in?emergency" in told.stdout
    assert ana.emergency
    assert passwords.matches(ana.password_hash, "a long walk in the rain")
    assert people.signed_in(ana, "a long walk in the rain", local=False)
    assert len(session.exec(select(Notice)).all()) == 1
    assert dare("person", "emergency", "ana@example.org", typed="\n").exit_code == 0
    weak = dare("person", "emergency", "ana@example.org", typed="Password1234!\n")
    assert (weak.exit_code, "tried first" in weak.stderr) == (2, True)
    assert dare("person", "emergency", "ana@example.org", "--off").exit_code == 0
    assert not ana.emergency
    assert not people.signed_in(ana, "a long walk in the rain", local=False)


def test_a_token_from_the_command_line_does_what_was_asked_and_no_more(dare, session, ana):
    told = dare("token", "ana@example.org", "--scope", "read", "--scope", "publish", "--days", "7")
    found = tokens.find(session, told.stdout.strip())
    assert (found.asker.id, found.scopes) == (ana.id, {"read", "publish"})
    kept = session.exec(select(AccessToken)).one()
    assert round((kept.expires_at - kept.created_at).total_seconds() / 86_400) == 7
    assert tokens.find(session, dare("token", "ana@example.org").stdout.strip()).scopes == set(
        SCOPES
    )
    for days in ("0", "366", "99999999999999"):
        assert dare("token", "ana@example.org", "--days", days).exit_code == 2
    assert [act for act, _, _ in acts(session)] == ["token-made", "token-made"]
    told = str([row.model_dump() for row in session.exec(select(Audit))])
    assert tokens.PREFIX not in told
