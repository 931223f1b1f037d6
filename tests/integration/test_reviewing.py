"""Held talks, and the people who look at them before they are out."""

import pytest
from sqlmodel import select

from service import access, catalogue, notices, publishing, reviewing, visibility
from service.publishing import Draft, NotNowError, NotThereError, PublishingError
from service.visibility import Choice
from storage.floor import open_floor
from storage.models import Episode, EpisodeScore, Notice, Review
from tests import factories
from workers.speaking import SpeechProcess
from workers.steps.publish import publish
from workers.workplace import Task, Workplace


@pytest.fixture
def person(session):
    return factories.person(session, "Ana Lima")


@pytest.fixture
def water(session, person):
    """A community to which the author belongs."""
    made = factories.community(session, "Water")
    factories.member(session, made, person)
    return made


@pytest.fixture
def ana(session, person, water):
    return factories.asker(session, person)


@pytest.fixture
def bo(session):
    return factories.person(session, "Bo Chen", role="learner")


@pytest.fixture
def place(house):
    """A worker's own place; its speech process is never started here."""
    floor = open_floor(house, pool=2, name="tests")
    yield Workplace(floor, "tests", SpeechProcess(house))
    floor.database.close()


def anybody(session):
    return factories.asker(session, factories.person(session, "Cy Young", role="learner"))


def sees(session, viewer, episode):
    query = select(Episode.id).where(Episode.id == episode.id, access.listed(viewer))
    return session.exec(query).first() is not None


def opens(session, viewer, episode):
    query = select(Episode.id).where(Episode.id == episode.id, access.visible(viewer))
    return session.exec(query).first() is not None


@pytest.mark.parametrize("held", [True, False])
def test_the_worker_publishes_what_is_not_held_and_only_that(session, place, ana, held):
    show = publishing.create_show(session, ana, title="Pumps")
    talk = factories.episode(session, show, state="processing", held=held)
    factories.rendition(session, talk)
    bo = factories.person(session, "Bo Chen")
    reviewing.ask(session, ana, str(talk.guid), bo.email)
    session.commit()
    publish(place, Task(talk.id, talk.guid, talk.revision, talk.attempt))
    session.refresh(talk)
    # Once it is out, whoever looked first may not be among those who hear it.
    assert bool(notices.mine(session, bo.id)) is held
    score = session.get_one(EpisodeScore, talk.id, populate_existing=True)
    assert talk.state == "playable"
    assert talk.playable_at is not None
    assert (talk.published_at is None, score.listed) == (held, not held)
    assert sees(session, anybody(session), talk) is not held
    publishing.publish(session, ana, str(talk.guid))
    session.refresh(score)
    assert (talk.held, talk.published_at is not None, score.listed) == (False, True, True)


def test_once_it_can_be_heard_a_form_left_open_does_not_let_a_held_talk_out(session, ana):
    draft = publishing.create_draft(session, ana, Draft("One", held="yes"))
    guid = str(draft.guid)
    assert draft.held
    publishing.save(session, ana, guid, Draft("One"))
    assert draft.held
    publishing.save(session, ana, guid, Draft("One", held="no"))
    assert not draft.held
    publishing.save(session, ana, guid, Draft("One", held="yes"))
    draft.playable_at = draft.created_at
    publishing.save(session, ana, guid, Draft("One", held="no"))
    assert draft.held


def test_a_reviewer_opens_a_talk_until_it_is_out_withdrawn_or_no_longer_asked(
    session, ana, bo, water
):
    show = publishing.create_show(session, ana, title="Pumps")
    visibility.set_show(session, ana, show, Choice("communities", [water.id]))
    talk = factories.episode(session, show, held=True, published_at=None)
    guid, bo_asks = str(talk.guid), factories.asker(session, bo)
    assert not opens(session, bo_asks, talk)
    asked = reviewing.ask(session, ana, guid, bo.email)
    assert asked.person.name == "Bo Chen"
    assert opens(session, bo_asks, talk)
    assert not sees(session, bo_asks, talk)
    (told,) = session.exec(select(Notice).where(Notice.person_id == bo.id)).all()
    assert told.path == f"/episodes/{guid}"
    assert "Ana Lima asks you to review" in told.words
    publishing.withdraw(session, ana, guid)
    assert not opens(session, bo_asks, talk)
    publishing.restore(session, None, ana, guid)
    assert opens(session, bo_asks, talk)
    reviewing.end(session, ana, guid, str(bo.ref))
    assert not opens(session, bo_asks, talk)
    reviewing.ask(session, ana, guid, str(bo.ref))
    publishing.publish(session, ana, guid)
    assert not opens(session, bo_asks, talk)  # not of Water: its audience decides now
    with pytest.raises(NotNowError, match="This talk is out"):
        reviewing.ask(session, ana, guid, bo.email)


def test_asking_twice_tells_once(session, ana, bo):
    talk = publishing.create_draft(session, ana, Draft("One"))
    for _ in range(2):
        reviewing.ask(session, ana, str(talk.guid), "bo chen")
    assert len(session.exec(select(Review)).all()) == 1
    assert len(session.exec(select(Notice)).all()) == 1


def test_a_name_that_several_bear_asks_nobody_until_one_is_chosen(session, ana, bo):
    talk = publishing.create_draft(session, ana, Draft("One"))
    other = factories.person(session, "Bo Chen")
    factories.person(session, "Bo Chen", disabled_at=talk.created_at)
    asked = reviewing.ask(session, ana, str(talk.guid), "Bo Chen")
    assert asked.person is None
    assert {one.ref for one in asked.meant} == {str(bo.ref), str(other.ref)}
    assert session.exec(select(Review)).all() == []
    assert reviewing.ask(session, ana, str(talk.guid), str(other.ref)).person is not None


@pytest.mark.parametrize("who", ["", "x", "nobody@example.org", "Nobody", "%", "_o Chen", "\x00"])
def test_who_is_not_here_is_not_asked(session, ana, bo, who):
    talk = publishing.create_draft(session, ana, Draft("One"))
    with pytest.raises(PublishingError, match="There is nobody here"):
        reviewing.ask(session, ana, str(talk.guid), who)


def test_one_does_not_ask_oneself_nor_for_somebody_elses_talk(session, ana, bo):
    talk = publishing.create_draft(session, ana, Draft("One"))
    with pytest.raises(PublishingError, match="your own talk"):
        reviewing.ask(session, ana, str(talk.guid), "Ana Lima")
    with pytest.raises(NotThereError):
        reviewing.ask(session, factories.asker(session, bo), str(talk.guid), "Ana Lima")
    with pytest.raises(NotThereError):
        reviewing.end(session, ana, str(talk.guid), str(bo.ref))


def test_what_is_asked_of_one_is_listed_until_it_is_out(session, ana, bo):
    show = publishing.create_show(session, ana, title="Pumps")
    talks = [
        factories.episode(session, show, f"Talk {n}", held=True, published_at=None)
        for n in range(3)
    ]
    asked = factories.asker(session, bo)
    for talk in talks:
        reviewing.ask(session, ana, str(talk.guid), bo.email)
    publishing.publish(session, ana, str(talks[0].guid))
    publishing.withdraw(session, ana, str(talks[1].guid))
    assert [row.title for row in catalogue.asked_to_review(session, asked)] == ["Talk 2"]
    assert catalogue.asked_to_review(session, ana) == []
    assert catalogue.talk(session, asked, str(talks[2].guid)).asked_to_review
    assert not catalogue.talk(session, asked, str(talks[0].guid)).asked_to_review
    assert [one.name for one in reviewing.of_talk(session, talks[2])] == ["Bo Chen"]


def test_when_enough_are_asked_the_answer_depends_on_no_name(session, ana, bo, monkeypatch):
    monkeypatch.setattr(reviewing, "MOST", 1)
    talk = publishing.create_draft(session, ana, Draft("One"))
    reviewing.ask(session, ana, str(talk.guid), bo.email)
    for who in (bo.email, "nobody@example.org", "Ana Lima"):
        with pytest.raises(NotNowError, match="asked already"):
            reviewing.ask(session, ana, str(talk.guid), who)


def test_who_is_no_longer_asked_loses_the_notice_that_named_the_talk(session, ana, bo):
    kept, ended = (publishing.create_draft(session, ana, Draft(t)) for t in ("Pumps", "Layoffs"))
    for talk in (kept, ended):
        reviewing.ask(session, ana, str(talk.guid), bo.email)
    reviewing.end(session, ana, str(ended.guid), str(bo.ref))
    (told,) = session.exec(select(Notice.words)).all()
    assert "Pumps" in told
