"""Housekeeping: done by one worker at a time, never by too many, and it ends nobody."""

import threading
import time
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlmodel import select

from service import letters
from storage import audit
from storage.floor import Floor, open_floor
from storage.models import AuditLink, Chore, Mail, now
from tests import factories
from tests.smtp_sink import Sink
from workers import chores
from workers.chores import DUTIES, Chores, Duty, claim

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def floor(house):
    held = open_floor(house, pool=8, name="tests")
    yield held
    held.database.close()


def counted(name="count", every=HOUR, fails=()):
    """Return a duty and the list that grows with each time it is done."""
    done = []

    def do(_floor):
        done.append(time.monotonic())
        if len(done) in fails:
            raise RuntimeError("Not this time.")

    return Duty(name, every, 0.0, do), done


def begun(session, name, **ago):
    """Say that a chore was begun some time ago."""
    session.expire_all()
    row = session.get(Chore, name)
    row.begun_at = now() - timedelta(**ago)
    session.commit()


def test_a_chore_is_done_once_in_its_time_however_many_ask(floor, session):
    duty, done = counted()
    houses = [Chores(floor, (duty,)) for _ in range(6)]
    threads = [threading.Thread(target=one.turn) for one in houses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 1
    houses[0].turn()
    assert len(done) == 1
    begun(session, "count", minutes=61)
    for one in houses:
        one.turn()
    assert len(done) == 2


def test_asking_in_vain_writes_nothing(floor, session):
    with floor.database.begin() as own:
        assert claim(own, "count", HOUR)
    before = session.execute(select(Chore.begun_at)).all()
    with floor.database.begin() as own:
        assert not claim(own, "count", HOUR)
    session.rollback()
    assert session.execute(select(Chore.begun_at)).all() == before


def test_each_worker_asks_no_more_often_than_told(floor, session):
    duty, done = counted(every=timedelta(0))
    seldom = Duty(duty.name, duty.every, 60.0, duty.do)
    one = Chores(floor, (seldom,))
    one.turn()
    one.turn()
    assert len(done) == 1


def test_a_chore_that_fails_stops_no_other_and_comes_again_before_its_time(floor, session, caplog):
    bad, tried = counted("bad", fails={1})
    good, done = counted("good")
    house = Chores(floor, (bad, good))
    house.turn()
    assert (len(tried), len(done)) == (1, 1)
    assert "The chore 'bad' failed." in caplog.text
    house.turn()
    assert len(tried) == 1
    row = session.get_one(Chore, "bad")
    row.begun_at -= chores.AFTER_FAILURE
    session.commit()
    house.turn()
    assert (len(tried), len(done)) == (2, 1)


def test_a_database_that_is_away_ends_no_worker(house, caplog):
    away = house.model_copy(update={"database_url": SecretStr("postgresql://127.0.0.1:1/dare")})
    nowhere = open_floor(away, pool=1, name="tests")
    one = Chores(nowhere)
    one.turn()
    assert "failed" in caplog.text
    nowhere.database.close()


def test_the_thread_works_by_itself_and_ends_at_once_when_told(floor, session, monkeypatch):
    monkeypatch.setattr(chores, "TURN_SECONDS", 0.02)
    done = threading.Event()
    house = Chores(floor, (Duty("signal", HOUR, 0.0, lambda _: done.set()),))
    house.start()
    assert done.wait(10)
    begin = time.monotonic()
    house.stop()
    assert time.monotonic() - begin < 1.5
    assert not house._thread.is_alive()


def test_stopping_waits_for_no_chore_that_takes_long(floor, session, monkeypatch):
    monkeypatch.setattr(chores, "TURN_SECONDS", 0.02)
    begun, release = threading.Event(), threading.Event()

    def long(_floor):
        begun.set()
        release.wait(30)

    house = Chores(floor, (Duty("long", HOUR, 0.0, long),))
    house.start()
    assert begun.wait(10)
    begin = time.monotonic()
    house.stop()
    assert time.monotonic() - begin < 2
    release.set()
    house._thread.join(10)


def test_houses_that_never_started_stop_too(floor):
    Chores(floor).stop()


def test_new_rows_of_the_audit_log_are_sealed_within_a_minute(floor, session):
    assert next(duty for duty in DUTIES if duty.name == "seal").every <= timedelta(seconds=55)
    audit.record(session, "signed-in", actor="somebody")
    session.commit()
    Chores(floor).turn()
    assert len(session.exec(select(AuditLink)).all()) == 1
    assert audit.verify(session, floor.settings.secret).broken == ""


def test_a_turn_sends_what_is_due(floor, session):
    with Sink() as sink:
        settings = sink.known_to(floor.settings)
        told = Floor(settings, floor.database, floor.store, floor.work)
        letters.password_changed(session, settings, factories.person(session))
        session.commit()
        Chores(told, ()).turn()
        assert len(sink.given) == 1
    assert session.exec(select(Mail.sent_at)).one() is not None


def test_a_slow_mail_server_keeps_no_duty_back(floor, session, monkeypatch):
    duty, done = counted("seal")
    seen = []
    monkeypatch.setattr(chores.post, "send_due", lambda *_: seen.append(len(done)))
    Chores(floor, (duty,)).turn()
    assert seen == [1]
