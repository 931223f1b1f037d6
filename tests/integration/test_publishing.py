"""Drafts, shows, comments and positions, as people steer them."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlmodel import Session, func, select

from service import discussion, listening, publishing
from service.access import asker_of
from service.limits import TooFastError
from service.moderation import decisions
from service.publishing import Draft, NotNowError, NotThereError, PublishingError
from storage.models import (
    Comment,
    Episode,
    EpisodeScore,
    EpisodeTopic,
    Position,
    Show,
    Topic,
    now,
)
from tests import factories


@pytest.fixture
def person(session):
    return factories.person(session, "Ana Lima")


@pytest.fixture
def ana(person):
    return asker_of(person)


@pytest.fixture
def bo(session):
    return asker_of(factories.person(session, "Bo Chen"))


@pytest.fixture
def learner(session):
    return asker_of(factories.person(session, "Cy Young", role="learner"))


@pytest.fixture
def talk(session, person):
    return factories.episode(session, factories.show(session, person))


def topics_of(session, episode):
    query = (
        select(Topic.name)
        .join(EpisodeTopic, EpisodeTopic.topic_id == Topic.id)
        .where(EpisodeTopic.episode_id == episode.id)
        .order_by(Topic.name)
    )
    return session.exec(query).all()


# Drafts


def test_the_first_draft_makes_its_authors_show_and_the_second_uses_it(session, ana):
    first = publishing.create_draft(session, ana, Draft("One"))
    second = publishing.create_draft(session, ana, Draft("Two"))
    show = session.exec(select(Show)).one()
    assert (show.title, show.owner_id) == ("Talks by Ana Lima", ana.id)
    assert first.show_id == second.show_id == show.id
    assert (first.state, first.revision, first.published_at) == ("draft", 0, None)


def test_two_first_drafts_at_once_make_one_show(session, database_engine, person):
    who, together = factories.asker(session, person), Barrier(2)
    session.commit()

    def draft(_: int) -> int:
        with Session(database_engine) as own, own.begin():
            own.connection()
            together.wait()
            return publishing.create_draft(own, who, Draft(title="A talk")).show_id

    with ThreadPoolExecutor(2) as pool:
        shows = set(pool.map(draft, range(2)))
    assert shows == set(session.exec(select(Show.id).where(Show.owner_id == person.id)))
    assert len(shows) == 1


def test_a_draft_has_its_score_ready_and_is_not_listed(session, ana):
    draft = publishing.create_draft(session, ana, Draft("One"))
    score = session.get_one(EpisodeScore, draft.id)
    assert (score.listed, score.count, score.score) == (False, 0, 3.8)


def test_a_refused_draft_leaves_nothing_behind(session, ana):
    for draft in (Draft(""), Draft("One", show="somebody-elses")):
        with pytest.raises(PublishingError):
            publishing.create_draft(session, ana, draft)
    assert session.exec(select(Episode)).all() == []


def test_who_only_learns_makes_no_draft_and_no_show(session, learner):
    with pytest.raises(NotThereError):
        publishing.create_draft(session, learner, Draft("One"))
    with pytest.raises(NotThereError):
        publishing.create_show(session, learner, title="One")
    assert session.exec(select(Show)).all() == []


def test_topics_are_shared_by_their_address_and_replaced_when_saved(session, ana):
    first = publishing.create_draft(session, ana, Draft("One", topics="Water pumps, Safety"))
    second = publishing.create_draft(session, ana, Draft("Two", topics="water  pumps, WATER-PUMPS"))
    assert topics_of(session, first) == ["Safety", "Water pumps"]
    assert topics_of(session, second) == ["Water pumps"]
    publishing.save(session, ana, str(first.guid), Draft("One", topics="日本語, 한국어"))
    assert topics_of(session, first) == ["日本語", "한국어"]
    assert len(session.exec(select(Topic)).all()) == 4


def test_saving_keeps_the_language_that_was_heard_when_none_is_named(session, ana, talk):
    publishing.save(session, ana, str(talk.guid), Draft("New title"))
    assert (talk.title, talk.language) == ("New title", "en")
    publishing.save(session, ana, str(talk.guid), Draft("New title", language="de"))
    assert talk.language == "de"


def test_saving_moves_the_time_of_change_that_feeds_look_at(session, ana, talk):
    before = talk.changed_at
    publishing.save(session, ana, str(talk.guid), Draft("New title"))
    assert talk.changed_at > before


def test_nobody_saves_retries_or_withdraws_what_is_somebody_elses(session, bo, talk):
    guid = str(talk.guid)
    for act in (
        lambda: publishing.save(session, bo, guid, Draft("Mine")),
        lambda: publishing.retry(session, None, bo, guid),
        lambda: publishing.withdraw(session, bo, guid),
        lambda: publishing.restore(session, None, bo, guid),
        lambda: publishing.mine(session, bo, guid),
    ):
        with pytest.raises(NotThereError):
            act()
    assert (talk.title, talk.withdrawn_at) == ("How we deploy", None)


def test_only_what_failed_is_tried_again(session, ana, talk):
    with pytest.raises(NotNowError, match="Only a talk that failed"):
        publishing.retry(session, None, ana, str(talk.guid))


# Withdrawing


def test_withdrawing_unlists_and_restoring_lists_again(session, ana, talk):
    for _ in range(2):
        publishing.withdraw(session, ana, str(talk.guid))
    score = session.get_one(EpisodeScore, talk.id, populate_existing=True)
    assert (talk.withdrawn_at is not None, score.listed) == (True, False)
    for _ in range(2):
        publishing.restore(session, None, ana, str(talk.guid))
    session.refresh(score)
    assert (talk.withdrawn_at, score.listed) == (None, True)


def test_what_a_moderator_withdrew_its_author_cannot_put_back(session, ana, talk):
    moderator = asker_of(factories.person(session, "Mo Derat", role="moderator"))
    with pytest.raises(NotThereError):  # moderators remove with a reason, by another way
        publishing.withdraw(session, moderator, str(talk.guid))
    decisions.decide(
        session, None, moderator, str(talk.guid), act="removed", words="Names a customer.", turn=0
    )
    with pytest.raises(NotNowError, match="withdrawn by a moderator"):
        publishing.restore(session, None, ana, str(talk.guid))
    assert talk.withdrawn_at is not None


def test_a_draft_that_comes_back_is_still_not_listed(session, ana, person):
    draft = factories.episode(session, factories.show(session, person), state="draft")
    publishing.withdraw(session, ana, str(draft.guid))
    publishing.restore(session, None, ana, str(draft.guid))
    assert session.get_one(EpisodeScore, draft.id, populate_existing=True).listed is False


# Shows


def test_shows_of_one_title_get_addresses_of_their_own(session, ana, bo):
    slugs = {publishing.create_show(session, who, title="Pumps!").slug for who in (ana, bo, ana)}
    assert len(slugs) == 3
    assert all(re.fullmatch("pumps-[0-9a-f]{6}", slug) for slug in slugs)


def test_a_new_shows_address_tells_nothing_of_other_shows(session, ana, bo):
    secret = publishing.create_show(session, ana, title="Merger with Acme")
    secret.visibility, secret.audience = "communities", [factories.community(session).id]
    session.flush()
    for title, spelled in (
        ("Merger with Acme", "merger-with-acme"),
        ("New", "new"),
        ("李明", "show"),
    ):
        slug = publishing.create_show(session, bo, title=title).slug
        assert re.fullmatch(f"{spelled}-[0-9a-f]{{6}}", slug)


def test_a_show_belongs_to_its_community(session, person):
    group = factories.community(session, "Water", slug="water")
    factories.community(session, "Fire", slug="fire")
    factories.member(session, group, person)
    ana = factories.asker(session, person)
    made = publishing.create_show(session, ana, title="A", community="water")
    assert made.community_id == group.id
    for other in ("none", "fire"):
        with pytest.raises(PublishingError) as refused:
            publishing.create_show(session, ana, title="", description="d" * 4001, community=other)
        assert set(refused.value.errors) == {"title", "description", "community"}


# Comments


def test_an_answer_to_an_answer_stands_below_the_first(session, ana, bo, talk):
    first = discussion.say(session, bo, talk, body="Why?")
    second = discussion.say(session, ana, talk, body="Because.", parent=first.id)
    third = discussion.say(session, bo, talk, body="I see.", parent=second.id)
    assert (second.parent_id, third.parent_id) == (first.id, first.id)
    (thread,) = discussion.comments(session, ana, talk.id)
    assert [reply.body for reply in thread.replies] == ["Because.", "I see."]


@pytest.mark.parametrize(
    ("at", "kept"),
    [(None, None), (0.0, 0.0), (59.9, 59.9), (-1.0, None), (61.0, None), (float("nan"), None)],
)
def test_a_moment_outside_the_talk_is_none(session, bo, talk, at, kept):
    assert discussion.say(session, bo, talk, body="Here", at=at).at == kept


def test_a_comment_that_was_removed_without_answers_is_gone(session, bo, talk):
    said = discussion.say(session, bo, talk, body="Oops")
    discussion.remove(session, bo, talk, said.id)
    assert discussion.comments(session, bo, talk.id) == []
    assert session.exec(select(Comment)).one().removed_at is not None


def test_comments_are_removed_by_their_authors_and_by_moderators(session, ana, bo, talk):
    first = discussion.say(session, bo, talk, body="Oops")
    second = discussion.say(session, bo, talk, body="Oops again")
    moderator = asker_of(factories.person(session, "Di Mo", role="moderator"))
    for asker in (ana, moderator):
        with pytest.raises(NotThereError):
            discussion.remove(session, asker, talk, first.id)
    discussion.remove(session, bo, talk, first.id)
    assert (first.removed_at is not None, first.removed_by) == (True, None)
    decisions.decide(
        session, None, moderator, str(talk.guid), act="removed", words="Rude.", turn=0,
        comment_id=second.id,
    )  # fmt: skip
    assert (second.removed_at is not None, second.removed_by) == (True, moderator.id)


def test_the_same_comment_twice_within_a_minute_is_one(session, bo, talk):
    first = discussion.say(session, bo, talk, body="Why?", at=3.0)
    assert discussion.say(session, bo, talk, body="Why? ", at=5.0).id == first.id
    assert discussion.say(session, bo, talk, body="Why?", parent=first.id).id != first.id
    first.created_at -= timedelta(minutes=2)
    assert discussion.say(session, bo, talk, body="Why?").id != first.id
    assert session.exec(select(func.count()).select_from(Comment)).one() == 3


def test_s50_ten_comments_a_minute_are_the_most(session, bo, talk):
    for number in range(10):
        discussion.say(session, bo, talk, body=f"Number {number}")
    with pytest.raises(TooFastError):
        discussion.say(session, bo, talk, body="One more")


# Positions


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        (0, (0.0, False)),
        (44.9, (44.9, False)),
        (45.0, (45.0, True)),
        (60, (60.0, True)),
        (119, (60.0, True)),
    ],
)
def test_a_position_is_kept_and_the_last_seconds_count_as_the_end(session, bo, talk, seconds, kept):
    listening.keep_position(session, bo, talk, seconds=10)
    listening.keep_position(session, bo, talk, seconds=seconds)
    row = session.exec(select(Position)).one()
    assert (row.seconds, row.finished) == kept


@pytest.mark.parametrize("seconds", [-0.1, 120.1, float("nan"), float("inf"), 10**400])
def test_a_position_that_is_no_place_in_the_talk_is_refused(session, bo, talk, seconds):
    with pytest.raises(PublishingError, match="between 0 and the end"):
        listening.keep_position(session, bo, talk, seconds=seconds)
    assert session.exec(select(Position)).all() == []


def test_a_talk_of_half_a_minute_is_finished_only_by_saying_so(session, bo, talk):
    talk.duration = 20.0
    listening.keep_position(session, bo, talk, seconds=19.0)
    assert session.exec(select(Position)).one().finished is False
    listening.keep_position(session, bo, talk, seconds=20.0, finished=True)
    assert session.exec(select(Position)).one().finished is True
    assert talk.changed_at < now()
