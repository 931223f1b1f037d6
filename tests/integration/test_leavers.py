"""Feeds pause when no provider vouches for somebody; they are told a fortnight before."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlmodel import Session, select

from service.feed import channel, tokens
from storage.database import open_database
from storage.leavers import pauses_at, vouched_before
from storage.models import Mail, Notice, Person, now
from tests import factories
from workers import leavers


@pytest.fixture
def floor(settings):
    database = open_database(settings, pool=1)
    yield SimpleNamespace(settings=settings, database=database)
    database.close()


def listener(session, settings, days, **values):
    """Add somebody with a feed, for whom a provider vouched so many days ago."""
    vouched = None if days is None else now() - timedelta(days=days)
    person = factories.person(session, f"Person {days}", vouched_at=vouched, **values)
    tokens.issue(session, person.id, channel.view_top(session), secret=settings.secret)
    session.commit()
    return person


def told(session):
    session.rollback()
    return {notice.person_id for notice in session.exec(select(Notice))}


def test_who_is_about_to_be_paused_is_told_once_each_time(session, settings, floor):
    soon = listener(session, settings, 77)
    listener(session, settings, 75)
    listener(session, settings, 91)
    listener(session, settings, None)
    assert leavers.warn(floor) == 1
    assert leavers.warn(floor) == 0
    assert told(session) == {soon.id}
    words = session.exec(select(Notice.words)).one()
    assert f"{pauses_at(settings, soon):%-d %B %Y}" in words
    # Whoever signs in and stays away again is told again.
    soon.vouched_at = now()
    session.add(soon)
    session.commit()
    assert leavers.warn(floor) == 0
    for notice in session.exec(select(Notice)):
        notice.created_at -= timedelta(days=100)
        session.add(notice)
    soon.vouched_at = now() - timedelta(days=80)
    session.add(soon)
    session.commit()
    assert leavers.warn(floor) == 1


def test_nobody_is_told_for_whom_nothing_pauses(session, settings, floor):
    listener(session, settings, 80, password_hash="$argon2id$")
    listener(session, settings, 80, disabled_at=now())
    listener(session, settings, 80, erased_at=now())
    factories.person(session, "No feed", vouched_at=now() - timedelta(days=80))
    gone = listener(session, settings, 80)
    for held in tokens.mine(session, factories.asker(session, gone)):
        tokens.revoke(session, held.token)
    session.commit()
    assert leavers.warn(floor) == 0
    assert told(session) == set()


def test_more_people_than_one_batch_are_all_told(session, settings, floor, monkeypatch):
    monkeypatch.setattr(leavers, "BATCH", 2)
    people = {listener(session, settings, 80).id for _ in range(5)}
    assert leavers.warn(floor) == 5
    assert told(session) == people


def test_the_notice_is_a_letter_too_where_letters_can_be_sent(session, settings, floor):
    person = listener(session, settings, 80)
    floor.settings = settings.model_copy(update={"smtp_host": "127.0.0.1", "mail_from": "a@b.c"})
    assert leavers.warn(floor) == 1
    letter = session.exec(select(Mail)).one()
    assert (letter.address, letter.person_id) == (person.email, person.id)
    assert f"{settings.origin}/feeds/" in letter.body


@pytest.mark.parametrize(
    ("local", "values", "pauses"),
    [
        (True, {}, True),
        (True, {"password_hash": "$argon2id$"}, False),
        (False, {"password_hash": "$argon2id$"}, True),
        (False, {"password_hash": "$argon2id$", "emergency": True}, False),
        (True, {"vouched_at": None}, False),
    ],
)
def test_a_row_and_the_condition_in_the_database_agree(session, settings, local, values, pauses):
    house = settings.model_copy(update={"local_sign_in": local})
    told = {"vouched_at": now() - timedelta(days=100)} | values
    person = factories.person(session, "Ana Lima", **told)
    moment = pauses_at(house, person)
    assert (moment is not None and moment < now()) is pauses
    found = _found(session, vouched_before(house, now()))
    assert (person.id in found) is pauses


def _found(session: Session, condition) -> list[int]:
    return list(session.exec(select(Person.id).where(condition)))
