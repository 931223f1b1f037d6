"""A worker's lease, whose work is taken over, and talks that wear workers out."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import select

from storage.floor import open_floor
from storage.models import Episode, WorkerLease, now
from tests import factories
from workers.executor import WORN_OUT, Executor, make_name


@pytest.fixture(scope="module")
def floor(house):
    held = open_floor(house, pool=4, name="tests")
    yield held
    held.database.close()


@pytest.fixture
def executor(floor, session):
    """A worker process that holds its lease and has not begun to work."""
    made = Executor(floor)
    lease(session, made.name, 0)
    return made


def lease(session, name, seconds):
    """Add a lease that was last touched some seconds ago."""
    session.add(
        WorkerLease(
            executor=name, host="here", pid=1, heartbeat_at=now() - timedelta(seconds=seconds)
        )
    )
    session.commit()


def dead(executor):
    with executor.floor.database.begin() as own:
        return executor._dead(own)


def test_a_heartbeat_touches_the_workers_own_lease_alone(executor, session):
    lease(session, "another", 20)
    session.get_one(WorkerLease, executor.name).heartbeat_at = now() - timedelta(seconds=20)
    session.commit()
    assert executor.beat() is True
    ages = {
        row.executor: (now() - row.heartbeat_at).total_seconds()
        for row in session.exec(select(WorkerLease).execution_options(populate_existing=True))
    }
    assert ages[executor.name] < 5
    assert ages["another"] >= 20


def test_s28_a_worker_whose_lease_was_reaped_learns_it_at_its_next_heartbeat(executor, session):
    session.delete(session.get_one(WorkerLease, executor.name))
    session.commit()
    assert executor.beat() is False
    assert session.exec(select(WorkerLease)).all() == []


def test_only_leases_that_nobody_touched_in_time_are_dead(executor, session):
    limit = executor.floor.settings.lease_seconds
    for name, seconds in (("fresh", 0), ("late", limit - 5), ("stale", limit + 1), ("old", 86_400)):
        lease(session, name, seconds)
    assert sorted(dead(executor)) == ["old", "stale"]


def test_nobody_takes_oneself_for_dead(executor, session):
    session.get_one(WorkerLease, executor.name).heartbeat_at = now() - timedelta(days=1)
    session.commit()
    assert dead(executor) == []


def test_two_reapers_never_take_the_same_lease(executor, floor, session):
    lease(session, "stale", 86_400)
    other = Executor(floor)
    with floor.database.begin() as one:
        assert executor._dead(one) == ["stale"]
        assert dead(other) == []
    assert dead(other) == ["stale"]


def test_names_of_workers_fit_their_column_and_never_repeat():
    names = {make_name() for _ in range(100)}
    assert len(names) == 100
    assert max(map(len, names)) <= 64


# Talks that wear workers out


class Worn:
    """Plants works that DBOS no longer starts, and asks what becomes of their talks."""

    def __init__(self, session):
        self.session = session

    def talk(self, state, **values):
        show = factories.show(self.session, factories.person(self.session))
        made = factories.episode(self.session, show, state=state, **values)
        self.session.commit()
        return made

    def plant(self, name, status="MAX_RECOVERY_ATTEMPTS_EXCEEDED"):
        self.session.execute(
            text(
                "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, created_at,"
                " updated_at) VALUES (:id, :status, 'produce', 0, 0)"
            ),
            {"id": name, "status": status},
        )
        self.session.commit()

    def after(self, executor, talk):
        executor._give_up()
        self.session.rollback()
        row = self.session.get_one(Episode, talk.id, populate_existing=True)
        return row.state, row.reason


@pytest.fixture
def worn(session):
    yield Worn(session)
    session.rollback()
    session.execute(text("DELETE FROM dbos.workflow_status"))
    session.commit()


@pytest.mark.parametrize("rest", ["", "-piece-3"])
@pytest.mark.parametrize(
    ("state", "becomes"),
    [("processing", "failed"), ("playable", "playable"), ("transcribing", "playable")],
)
def test_a_talk_that_ended_several_workers_has_failed_in_words(
    executor, worn, state, becomes, rest
):
    talk = worn.talk(state)
    worn.plant(f"produce-{talk.guid}-1-1{rest}")
    assert worn.after(executor, talk) == (becomes, WORN_OUT)


@pytest.mark.parametrize(
    ("state", "name", "status"),
    [
        ("complete", "1-1", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"),
        ("processing", "1-1", "PENDING"),
        ("processing", "1-2", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"),
        ("processing", "2-1", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"),
    ],
)
def test_other_works_and_other_attempts_fail_nothing(executor, worn, state, name, status):
    talk = worn.talk(state)
    worn.plant(f"produce-{talk.guid}-{name}", status)
    assert worn.after(executor, talk) == (state, None)


def test_a_new_attempt_is_not_failed_by_the_one_before(executor, worn):
    talk = worn.talk("processing", attempt=2)
    worn.plant(f"produce-{talk.guid}-1-1")
    assert worn.after(executor, talk) == ("processing", None)


def test_running_work_of_a_worker_without_a_lease_is_found(executor, worn):
    lease(worn.session, "alive", 0)
    for number, (holder, status) in enumerate(
        [("ghost", "PENDING"), ("alive", "PENDING"), ("done", "SUCCESS"), (None, "ENQUEUED")]
    ):
        worn.session.execute(
            text(
                "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, executor_id,"
                " created_at, updated_at) VALUES (:id, :status, 'produce', :holder, 0, 0)"
            ),
            {"id": f"produce-x-{number}", "status": status, "holder": holder},
        )
    worn.session.commit()
    assert executor._without_lease(worn.session) == ["ghost"]
