"""Queued work: committed with its rows or not at all, told without ever going back."""

import pytest
from sqlalchemy import text

from storage import work
from storage.floor import open_floor
from storage.models import WorkProgress
from tests import factories


@pytest.fixture(scope="module")
def floor(house):
    held = open_floor(house, pool=3, name="tests")
    yield held
    held.database.close()


@pytest.fixture
def talk(session):
    made = factories.episode(
        session, factories.show(session, factories.person(session)), state="processing"
    )
    session.commit()
    return made


@pytest.fixture
def queue(session):
    """A queue without work, before and after."""

    def clear():
        session.rollback()
        session.execute(text("DELETE FROM dbos.workflow_status"))
        session.commit()

    clear()
    yield work
    clear()


def counts(floor):
    with floor.database.begin() as own:
        return work.queue_counts(own)


def test_work_appears_when_its_transaction_is_committed_and_not_before(floor, queue, talk):
    with floor.database.begin() as own:
        floor.work.produce(own, guid=str(talk.guid), revision=1, attempt=1)
        assert counts(floor) == {}
    assert counts(floor) == {"produce": {"waiting": 1, "running": 0}}


def test_work_goes_with_the_rows_that_are_rolled_back(floor, queue, talk):
    def fail():
        with floor.database.begin() as own:
            own.get_one(type(talk), talk.id).title = "Never"
            floor.work.produce(own, guid=str(talk.guid), revision=1, attempt=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert counts(floor) == {}
    with floor.database.begin() as own:
        assert own.get_one(type(talk), talk.id).title == talk.title


def test_the_same_attempt_is_one_work_and_another_attempt_is_another(floor, queue, talk):
    for attempt in (1, 1, 2):
        with floor.database.begin() as own:
            floor.work.produce(own, guid=str(talk.guid), revision=1, attempt=attempt)
    assert counts(floor) == {"produce": {"waiting": 2, "running": 0}}


def test_what_waits_and_what_runs_is_counted_by_queue_and_what_is_done_is_not(
    floor, queue, talk, session
):
    for attempt in range(1, 6):
        with floor.database.begin() as own:
            floor.work.produce(own, guid=str(talk.guid), revision=1, attempt=attempt)
    for attempt, status, name in (
        (2, "PENDING", "produce"),
        (3, "PENDING", "speech"),
        (4, "SUCCESS", "produce"),
        (5, "ERROR", "produce"),
    ):
        session.execute(
            text(
                "UPDATE dbos.workflow_status SET status = :status, queue_name = :name"
                " WHERE workflow_uuid = :id"
            ),
            {"status": status, "name": name, "id": f"produce-{talk.guid}-1-{attempt}"},
        )
    session.commit()
    assert counts(floor) == {
        "produce": {"waiting": 1, "running": 1},
        "speech": {"waiting": 0, "running": 1},
    }


# Progress


@pytest.fixture
def tell(session, talk):
    def told(fraction, revision=1, step="encode", **more):
        work.tell(
            session, episode_id=talk.id, revision=revision, step=step, fraction=fraction,
            words=f"At {fraction}", executor="w", **more,
        )  # fmt: skip
        return session.get_one(WorkProgress, talk.id, populate_existing=True)

    return told


def test_progress_never_goes_back_within_a_revision(tell):
    assert [tell(f).fraction for f in (0.2, 0.1, 0.5, 0.0, 0.49)] == [0.2, 0.2, 0.5, 0.5, 0.5]


def test_the_words_are_always_the_newest(tell):
    tell(0.5, step="encode")
    row = tell(0.2, step="transcribe")
    assert (row.step, row.words, row.executor, row.fraction) == ("transcribe", "At 0.2", "w", 0.5)


def test_a_new_revision_and_a_fresh_beginning_start_from_nothing(tell):
    tell(0.9)
    assert tell(0.1, revision=2).fraction == 0.1
    tell(0.9, revision=2)
    assert tell(0.0, revision=2, afresh=True).fraction == 0.0


@pytest.mark.parametrize(("said", "kept"), [(-1.0, 0.0), (1.5, 1.0), (float("inf"), 1.0)])
def test_progress_stays_between_nothing_and_all(tell, said, kept):
    assert tell(said).fraction == kept
