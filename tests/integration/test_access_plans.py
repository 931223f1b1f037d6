"""With thousands of talks, half of them limited: lists and feeds still follow an index."""

from contextlib import contextmanager

import pytest
from sqlalchemy import event
from sqlmodel import Session, select

from benchmarks.crowd import Size, fill
from service import catalogue
from service.access import GUEST
from service.feed import channel, entries
from storage.models import Person, Show
from tests import factories
from tests.conftest import empty

TOP = "using ix_episode_score_top on episode_score"
NEWEST = "using ix_episode_newest on episode"
OF_SHOW = "using ix_episode_show_newest on episode"


@pytest.fixture(scope="module")
def crowd(database_engine):
    """Ten thousand talks, a hundred communities, five thousand people; made once, only read."""
    with Session(database_engine) as opened:
        fill(opened, Size())
        opened.commit()
        yield opened
    empty(database_engine)


@pytest.fixture(scope="module")
def asker(crowd):
    """Somebody who belongs to five communities."""
    someone = crowd.exec(select(Person).order_by(Person.id).offset(100)).first()
    found = factories.asker(crowd, someone)
    assert len(found.communities) == 5
    return found


@contextmanager
def plans_of(session):
    """Collect the plan of every statement."""
    plans = []

    def explain(connection, _cursor, statement, parameters, *_rest):
        if statement.startswith(("SELECT", "WITH")):
            raw = connection.connection.cursor()
            raw.execute(f"EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) {statement}", parameters)
            plans.append("\n".join(line for (line,) in raw.fetchall()))

    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        event.remove(engine, "before_cursor_execute", explain)


def half_limited(session):
    """Return a show of everybody's and one that is limited."""
    return [
        session.exec(select(Show).where(Show.visibility == kind).order_by(Show.id)).first()
        for kind in ("organisation", "communities")
    ]


def test_the_talks_are_half_limited_and_one_sees_few_of_those(crowd, asker):
    seen = catalogue.top(crowd, asker, limit=400).rows
    assert len(seen) == 400
    limited = {show.slug for show in catalogue.shows(crowd, asker, limit=1000)}
    assert 200 < len(limited) < 300


@pytest.mark.parametrize(
    ("read", "index"), [(catalogue.top, TOP), (catalogue.newest, NEWEST)], ids=["top", "newest"]
)
def test_a_listing_is_an_index_scan_that_sorts_nothing(crowd, asker, read, index):
    for viewer in (asker, GUEST):
        with plans_of(crowd) as plans:
            first = read(crowd, viewer)
            if viewer is asker:
                assert len(first.rows) == 20
                read(crowd, viewer, after=first.after)
        of_lists = [plan for plan in plans if index.rpartition(" ")[0] in plan]
        assert len(of_lists) == (2 if viewer is asker else 1), "\n\n".join(plans)
        for plan in of_lists:
            assert "Sort" not in plan, plan
            assert "Seq Scan on episode" not in plan, plan


def test_a_shows_list_is_an_index_scan_that_sorts_nothing(crowd, asker):
    for show in half_limited(crowd):
        with plans_of(crowd) as plans:
            catalogue.newest(crowd, asker, within=catalogue.in_show(show.id))
        (plan,) = [plan for plan in plans if "FROM" not in plan and OF_SHOW in plan]
        assert "Sort" not in plan, plan
        assert "Seq Scan on episode" not in plan, plan


def test_a_feed_reads_no_more_than_it_shows(crowd, asker):
    views = [channel.view_top(crowd)]
    views += [channel.view_of_show(crowd, show.id) for show in half_limited(crowd)]
    for view, index in zip(views, (TOP, OF_SHOW, OF_SHOW), strict=True):
        with plans_of(crowd) as plans:
            entries.standing(crowd, asker, view, 1)
        (plan,) = plans
        assert index in plan, plan
        assert "Seq Scan on episode" not in plan, plan
        assert "Seq Scan on show" not in plan, plan


def test_statements_are_as_many_for_a_member_of_five_communities_as_for_one_of_none(crowd, asker):
    stranger = crowd.exec(select(Person).order_by(Person.id)).first()
    nobody = factories.asker(crowd, stranger)
    nobody = type(nobody)(**vars(nobody) | {"communities": (), "looks_after": ()})
    counts = []
    for viewer in (asker, nobody):
        with plans_of(crowd) as plans:
            catalogue.top(crowd, viewer)
            catalogue.newest(crowd, viewer)
            catalogue.topics(crowd, viewer)
            catalogue.shows(crowd, viewer)
        counts.append(len(plans))
    assert counts[0] == counts[1]
