"""Ratings in rows: nothing is lost, nobody waits for another for ever, and sums can be proved."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, text
from sqlmodel import select

from service import catalogue, publishing
from service.access import asker_of
from service.rating import ledger, model
from service.rating.ledger import RatingError
from service.rating.model import Evidence
from storage.database import Database
from storage.models import Episode, EpisodePerson, EpisodeScore, Rating, now
from tests import factories


@pytest.fixture
def ana(session):
    return factories.person(session, "Ana Lima")


@pytest.fixture
def show(session, ana):
    return factories.show(session, ana)


@pytest.fixture
def talk(session, show):
    return factories.episode(session, show)


@pytest.fixture
def bo(session):
    return asker_of(factories.person(session, "Bo Chen"))


def evidence_in_rows(session, episode):
    """Count the truth afresh."""
    stars = session.exec(select(Rating.stars).where(Rating.episode_id == episode.id)).all()
    return Evidence(len(stars), sum(stars))


def score_of(session, episode):
    row = session.get(EpisodeScore, episode.id, populate_existing=True)
    assert row is not None
    return row


def test_a_rating_is_one_row_and_changing_it_stays_one(session, talk, bo):
    ledger.rate(session, bo, talk, 2)
    row = ledger.rate(session, bo, talk, "5", source="api")
    session.flush()
    kept = session.exec(select(Rating)).one()
    assert (kept.stars, kept.source) == (5, "api")
    assert (row.count, row.total, row.score) == (1, 5, model.score(Evidence(1, 5)))


def test_taking_a_rating_back_leaves_no_trace_and_twice_does_nothing(session, talk, bo):
    before = score_of(session, talk).score
    ledger.rate(session, bo, talk, 1)
    for _ in range(2):
        row = ledger.withdraw(session, bo, talk)
        session.flush()
    assert session.exec(select(Rating)).all() == []
    assert (row.count, row.total, row.score) == (0, 0, before)


def test_nobody_rates_a_talk_in_which_one_is_heard(session, ana, talk, bo):
    session.add(EpisodePerson(episode_id=talk.id, person_id=bo.id, role="guest"))
    session.flush()
    for who in (asker_of(ana), bo):
        assert ledger.may_rate(session, who, talk) is False
        with pytest.raises(RatingError, match="your own talk") as refused:
            ledger.rate(session, who, talk, 5)
        assert refused.value.status == 403
    assert evidence_in_rows(session, talk) == Evidence()


@pytest.mark.parametrize("state", ["draft", "uploading", "processing", "failed", "withdrawn"])
def test_a_talk_that_is_not_out_is_not_open_for_rating(session, show, bo, state):
    talk = factories.episode(session, show, state="complete" if state == "withdrawn" else state)
    if state == "withdrawn":
        talk.withdrawn_at = now()
    assert ledger.may_rate(session, bo, talk) is False
    for act in (
        lambda: ledger.rate(session, bo, talk, 5),
        lambda: ledger.withdraw(session, bo, talk),
    ):
        with pytest.raises(RatingError, match="not open") as refused:
            act()
        assert refused.value.status == 409


@pytest.mark.parametrize(
    "value", [0, 6, -1, 2.5, float("nan"), float("inf"), "x", True, None, "", 10**400]
)
def test_stars_that_are_none_touch_no_row(session, talk, bo, value):
    with pytest.raises(RatingError, match="1 to 5") as refused:
        ledger.rate(session, bo, talk, value)
    assert refused.value.status == 422
    assert evidence_in_rows(session, talk) == Evidence()
    assert score_of(session, talk).count == 0


def test_the_spread_is_that_of_the_rows(session, talk):
    for number, stars in enumerate((5, 5, 4, 1)):
        factories.rating(session, talk, factories.person(session, f"Rater {number}"), stars)
    told = ledger.spread(session, talk.id)
    assert (told.count, told.mean, told.spread) == (4, 3.75, (1, 0, 0, 1, 2))
    assert ledger.spread(session, talk.id + 1).spread == (0, 0, 0, 0, 0)


def test_rebuilding_finds_exactly_the_differences_that_were_planted(session, show, bo):
    talks = [factories.episode(session, show, f"Talk {n}", state="playable") for n in range(5)]
    for talk in talks:
        ledger.rate(session, bo, talk, 4)
    session.flush()
    assert ledger.rebuild(session) == 0
    score_of(session, talks[1]).count = 7
    score_of(session, talks[2]).score = 9.5
    session.delete(session.exec(select(Rating).where(Rating.episode_id == talks[3].id)).one())
    session.flush()
    assert ledger.rebuild(session) == 3
    session.flush()
    assert ledger.rebuild(session) == 0
    for talk in talks:
        row, truth = score_of(session, talk), evidence_in_rows(session, talk)
        assert (row.count, row.total, row.score) == (truth.count, truth.total, model.score(truth))


# Two hundred people at once


def test_two_hundred_people_rating_one_talk_at_once_lose_nothing(session, settings, talk):
    raters = [asker_of(factories.person(session, f"Rater {n}")) for n in range(200)]
    session.commit()
    database = Database(settings.database_url.get_secret_value(), pool=16, name="tests")
    final = {}

    def rates(rater):
        """Rate, change one's mind, perhaps take it back; each act a transaction of its own."""
        chance = random.Random(rater.id)  # noqa: S311  a seeded run can be repeated
        for _ in range(2):
            stars = chance.randint(1, 5)
            with database.begin() as own:
                ledger.rate(own, rater, own.get_one(Episode, talk.id), stars)
            final[rater.id] = stars
        if chance.random() < 0.2:
            with database.begin() as own:
                ledger.withdraw(own, rater, own.get_one(Episode, talk.id))
            del final[rater.id]

    try:
        with ThreadPoolExecutor(16) as crowd:
            list(crowd.map(rates, raters))  # a deadlock or a lost row would raise here
    finally:
        database.close()
    session.rollback()
    rows = dict(session.exec(select(Rating.person_id, Rating.stars)).all())
    assert rows == final
    row, truth = score_of(session, talk), evidence_in_rows(session, talk)
    assert (row.count, row.total, row.score) == (truth.count, truth.total, model.score(truth))
    assert ledger.rebuild(session) == 0


def test_one_person_in_eight_windows_is_one_rating(session, settings, talk, bo):
    session.commit()
    database = Database(settings.database_url.get_secret_value(), pool=8, name="tests")

    def rates(stars):
        with database.begin() as own:
            ledger.rate(own, bo, own.get_one(Episode, talk.id), stars)

    try:
        with ThreadPoolExecutor(8) as windows:
            list(windows.map(rates, [1, 2, 3, 4, 5, 4, 3, 2]))
    finally:
        database.close()
    session.rollback()
    truth = evidence_in_rows(session, talk)
    row = score_of(session, talk)
    assert truth.count == row.count == 1
    assert row.total == truth.total


# Home's order


def many_talks(session, ana, show, many):
    """Add thousands of rows at once; what the planner sees, not what people do."""
    born = {"now": now(), "show": show.id, "who": ana.id, "many": many}
    session.execute(
        text(
            "INSERT INTO episode (guid, show_id, author_id, title, notes, state, revision,"
            " attempt, transcript_revision, has_video, created_at, published_at, playable_at,"
            " changed_at, duration)"
            " SELECT gen_random_uuid(), :show, :who, 'Talk ' || n, '', 'complete', 1, 1, 1, false,"
            " :now, :now, :now, :now, 60 FROM generate_series(1, :many) AS n"
        ),
        born,
    )
    session.execute(
        text(
            "INSERT INTO episode_score (episode_id, listed, score, count, total)"
            " SELECT id, id % 10 <> 0, 3.8 + (id % 97) / 100.0, 0, 0 FROM episode"
        )
    )
    session.execute(text("ANALYZE episode"))
    session.execute(text("ANALYZE episode_score"))


@pytest.fixture
def explained(session):
    """Collect the plans of queries that read scores in their order."""
    plans = []

    def explain(connection, _cursor, statement, parameters, *_rest):
        if "ORDER BY episode_score.score" in statement:
            raw = connection.connection.cursor()
            raw.execute(f"EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) {statement}", parameters)
            plans.append("\n".join(line for (line,) in raw.fetchall()))

    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", explain)
    yield plans
    event.remove(engine, "before_cursor_execute", explain)


def test_homes_order_is_an_index_scan_that_sorts_nothing(session, ana, show, bo, explained):
    many_talks(session, ana, show, 5_000)
    first = catalogue.top(session, bo, limit=10)
    second = catalogue.top(session, bo, after=first.after)
    assert len(first.rows) == 10
    assert len(second.rows) == 20
    assert [row.score for row in first.rows + second.rows] == sorted(
        (row.score for row in first.rows + second.rows), reverse=True
    )
    assert len(explained) == 2
    for plan in explained:
        assert "using ix_episode_score_top on episode_score" in plan, plan
        assert "Sort" not in plan, plan
        assert "Seq Scan on episode" not in plan, plan


def test_a_rating_does_not_wait_for_whoever_holds_the_episode(session, settings, ana, talk, bo):
    session.commit()
    held = Database(settings.database_url.get_secret_value(), pool=2)
    guid = str(talk.guid)
    try:
        with held.begin() as rating, held.begin() as withdrawing:
            rating.execute(text("SET LOCAL lock_timeout = '2s'"))
            row = ledger.locked_score(rating, talk)
            publishing.mine(withdrawing, asker_of(ana), guid, lock=True)
            # The new row's foreign key looks at the episode, which the other has locked.
            rating.add(Rating(episode_id=talk.id, person_id=bo.id, stars=4))
            rating.flush()
            assert row.count == 0
    finally:
        held.close()
