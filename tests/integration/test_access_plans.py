"""With thousands of talks, half of them limited: lists and feeds still follow an index."""

from contextlib import contextmanager

import pytest
from sqlalchemy import event
from sqlmodel import Session, select

from benchmarks.crowd import Size, fill
from service import catalogue
from service.access import GUEST
from service.feed import channel, entries
from storage.models import Membership, Person, Show
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
    """Somebody who belongs to five communities, among them one that may hear the limited show."""
    limited = large_shows(crowd)[1]
    someone = crowd.exec(
        select(Person)
        .join(Membership, Membership.person_id == Person.id)
        .where(Membership.community_id == limited.audience[0], Membership.role == "member")
        .order_by(Person.id)
    ).first()
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


def large_shows(session):
    """Return the large show of everybody's and the large one that is limited."""
    return [
        session.exec(select(Show).where(Show.slug == slug)).one() for slug in ("crowd-3", "crowd-2")
    ]


def test_half_of_the_shows_are_limited_and_one_sees_few_of_those(crowd, asker):
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
    for show in large_shows(crowd):
        with plans_of(crowd) as plans:
            catalogue.newest(crowd, asker, within=catalogue.in_show(show.id))
        plan = plans[0]
        # Of a show as large as these, the whole house's newest lead as fast to the first twenty.
        assert OF_SHOW in plan or NEWEST in plan, plan
        assert "Sort" not in plan, plan
        assert "Seq Scan on episode" not in plan, plan


def test_a_feed_reads_no_more_than_it_shows(crowd, asker):
    views = [channel.view_top(crowd)]
    views += [channel.view_of_show(crowd, show.id) for show in large_shows(crowd)]
    for view, index in zip(views, (TOP, "ix_episode_show", "ix_episode_show"), strict=True):
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
