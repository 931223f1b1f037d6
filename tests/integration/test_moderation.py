"""Moderation: reports, the queue, decisions and undoing them, and who is told what."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import event
from sqlmodel import Session, func, select

from service import catalogue, discussion, notices, publishing
from service.limits import TooFastError
from service.moderation import caseload, decisions, openings, reports, things
from service.publishing import NotNowError, NotThereError, PublishingError
from storage.models import (
    REPORT_REASONS,
    Audit,
    Comment,
    Decision,
    Episode,
    EpisodeScore,
    Notice,
    Person,
    Report,
    Review,
    now,
)
from tests import factories

WHY = "It names a customer."


class Stage:
    """A talk in a community's show, a comment on it, and everybody who has a say."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.community = factories.community(session, "Water")
        self.author = factories.person(session, "Ana Lima")
        self.show = factories.show(session, self.author, community_id=self.community.id)
        self.talk = factories.episode(session, self.show, "How we deploy")
        self.writer = factories.person(session, "Bo Chen")
        self.comment = factories.comment(session, self.talk, self.writer, "You fool!")
        self.moderator = self.one("Mo Derat", role="moderator")
        self.second = self.one("Di Second", role="moderator")
        steward = factories.person(session, "Stew Ard", role="learner")
        factories.member(session, self.community, steward, "steward")
        self.steward = factories.asker(session, steward)
        elsewhere = factories.person(session, "Else Where", role="learner")
        factories.member(session, factories.community(session, "Fire"), elsewhere, "steward")
        self.elsewhere = factories.asker(session, elsewhere)
        self.listener = self.one("Cy Young", role="learner")
        session.flush()

    def one(self, name, **values):
        return factories.asker(self.session, factories.person(self.session, name, **values))

    @property
    def guid(self):
        return str(self.talk.guid)

    def asker(self, person):
        return factories.asker(self.session, person)

    def report(self, asker=None, comment=None, **told):
        told = {"reason": "rude"} | told
        return reports.report(
            self.session, asker or self.listener, self.guid, comment_id=comment, **told
        )

    def decide(self, act, asker=None, comment=None, words=WHY, **told):
        asker = asker or self.moderator
        if "turn" not in told:
            told["turn"] = caseload.case(self.session, asker, self.guid, comment).turn
        made = decisions.decide(
            self.session, None, asker, self.guid, act=act, words=words, comment_id=comment, **told
        )
        self.session.flush()
        return made

    def undo(self, decision, asker=None):
        decisions.undo(
            self.session, None, asker or self.moderator, decision.id, words="A mistake of mine."
        )
        self.session.flush()
        self.session.expire_all()

    def told(self, person_id):
        return [notice.words for notice in notices.mine(self.session, person_id)]

    def acts(self):
        return self.session.exec(select(Audit.act).order_by(Audit.id)).all()

    def listed(self):
        return self.session.get_one(EpisodeScore, self.talk.id, populate_existing=True).listed


@pytest.fixture
def stage(session):
    return Stage(session)


@contextmanager
def counted(session):
    """Collect the statements that a test's own session sends."""
    session.flush()
    sent = []

    def note(_connection, _cursor, statement, *_rest):
        sent.append(statement)

    event.listen(session.get_bind(), "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(session.get_bind(), "before_cursor_execute", note)


def standing(stage, comment):
    row = stage.session.get_one(Comment, stage.comment.id) if comment else None
    return things.Thing(stage.session.get_one(Episode, stage.talk.id), row).standing


# Who is told that something waits


def test_who_moderates_a_thing_is_told_once_until_it_is_decided(stage):
    stage.report()
    stage.report(stage.one("Dee"))
    (told,) = stage.told(stage.steward.id)
    assert told == "Somebody reported a talk. Please look at it."
    assert stage.told(stage.moderator.id) == stage.told(stage.elsewhere.id) == []
    stage.report(comment=stage.comment.id)
    assert stage.told(stage.steward.id)[0] == "Somebody reported a comment. Please look at it."
    stage.decide("dismissed")
    stage.report()
    assert len(stage.told(stage.steward.id)) == 3
    notice = notices.mine(stage.session, stage.steward.id)[1]
    assert notice.path == f"/moderation/{stage.guid}?comment={stage.comment.id}"


def test_where_no_steward_can_act_those_who_moderate_the_house_are_told(stage):
    stage.session.get_one(Person, stage.steward.id).disabled_at = now()
    stage.writer.role = "moderator"
    closed = factories.person(stage.session, "Clo Sed", role="admin", disabled_at=now())
    stage.session.flush()
    stage.report(comment=stage.comment.id)
    assert len(stage.told(stage.moderator.id)) == len(stage.told(stage.second.id)) == 1
    assert stage.told(stage.steward.id) == stage.told(closed.id) == []
    assert stage.told(stage.writer.id) == []


# Reporting


def test_every_reason_that_can_be_given_has_words_and_no_other(stage):
    assert tuple(reports.REASONS) == REPORT_REASONS


def test_a_report_is_open_once_for_each_person_and_thing(stage):
    assert stage.report() is True
    assert stage.report(reason="wrong") is False
    assert stage.report(comment=stage.comment.id) is True
    assert stage.report(stage.one("Dee")) is True
    rows = stage.session.exec(select(Report)).all()
    assert [(row.reason, row.state) for row in rows] == [("rude", "open")] * 3
    assert stage.acts() == ["reported"] * 3


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"reason": ""}, "reason"),
        ({"reason": "appeal"}, "reason"),
        ({"reason": "other"}, "words"),
        ({"reason": "other", "words": " \x00 "}, "words"),
        ({"words": "x" * 1001}, "words"),
    ],
)
def test_a_report_that_says_nothing_is_refused(stage, told, field):
    with pytest.raises(PublishingError) as refused:
        stage.report(**told)
    assert set(refused.value.errors) == {field}
    assert stage.session.exec(select(Report)).all() == []


def test_nobody_reports_what_is_their_own(stage):
    with pytest.raises(NotNowError, match="your own"):
        stage.report(stage.asker(stage.author))
    with pytest.raises(NotNowError, match="your own"):
        stage.report(stage.asker(stage.writer), stage.comment.id)


def test_s22_what_one_cannot_see_cannot_be_reported_nor_answered_for(stage):
    group = factories.community(stage.session, "Inner")
    inner = factories.show(
        stage.session, stage.author, visibility="communities", audience=[group.id]
    )
    limited = factories.episode(stage.session, inner)
    draft = factories.episode(stage.session, stage.show, state="draft")
    reviewed = factories.episode(stage.session, stage.show, published_at=None, held=True)
    stage.session.add(Review(episode_id=reviewed.id, person_id=stage.listener.id))
    stage.session.flush()
    assert catalogue.find(stage.session, stage.listener, str(reviewed.guid)) is not None
    for episode, comment in (
        (limited, None), (draft, None), (reviewed, None), (stage.talk, 2**40),
        (limited, stage.comment.id),
    ):  # fmt: skip
        with pytest.raises(NotThereError):
            reports.report(
                stage.session, stage.listener, str(episode.guid), reason="rude", comment_id=comment
            )
    stage.decide("hidden", comment=stage.comment.id)
    for episode, comment in (
        (stage.talk, stage.comment.id), (limited, None), (stage.talk, 2**40)
    ):  # fmt: skip
        with pytest.raises(NotThereError):
            reports.appeal(
                stage.session, stage.listener, str(episode.guid), words="No", comment_id=comment
            )
    assert stage.session.exec(select(func.count()).select_from(Report)).one() == 0


def test_s50_ten_reports_an_hour_are_the_most(stage):
    for number in range(10):
        comment = factories.comment(stage.session, stage.talk, stage.writer, f"No {number}")
        assert stage.report(comment=comment.id)
    with pytest.raises(TooFastError):
        stage.report()


# The queue


def test_the_queue_groups_reports_by_thing_and_begins_with_the_oldest(stage):
    stage.report(comment=stage.comment.id, reason="rude", words="Not like this.")
    for number in range(3):
        stage.report(stage.one(f"Person {number}"), reason="unsafe")
    stage.report(stage.one("Late"), comment=stage.comment.id, reason="personal")
    first, second = caseload.queue(stage.session, stage.moderator).rows
    assert (first.comment_id, first.says, first.count) == (stage.comment.id, "You fool!", 2)
    assert dict(first.reasons) == {
        reports.REASONS["rude"]: 1,
        reports.REASONS["personal"]: 1,
    }
    assert [told.words for told in first.told] == ["Not like this."]
    assert (second.comment_id, second.title, second.count) == (None, "How we deploy", 3)
    assert second.acts == ("hidden", "removed")
    assert first.author.name == "Bo Chen"


def test_a_steward_sees_the_reports_of_their_communitys_shows_alone(stage):
    other = factories.episode(stage.session, factories.show(stage.session, stage.author), "Other")
    stage.report()
    reports.report(stage.session, stage.listener, str(other.guid), reason="wrong")
    seen = {
        asker.name: [case.title for case in caseload.queue(stage.session, asker).rows]
        for asker in (stage.moderator, stage.steward, stage.elsewhere, stage.listener)
    }
    assert seen == {
        "Mo Derat": ["How we deploy", "Other"],
        "Stew Ard": ["How we deploy"],
        "Else Where": [],
        "Cy Young": [],
    }


def test_s22_who_moderates_elsewhere_finds_nothing_and_does_nothing(stage):
    made = stage.decide("hidden", comment=stage.comment.id)
    for asker in (stage.elsewhere, stage.listener, stage.asker(stage.author)):
        for comment in (None, stage.comment.id):
            with pytest.raises(NotThereError):
                caseload.case(stage.session, asker, stage.guid, comment)
            with pytest.raises(NotThereError):
                stage.decide("removed", asker, comment, turn=0)
        with pytest.raises(NotThereError):
            stage.undo(made, asker)
        assert caseload.history(stage.session, asker).rows == []
    assert [case.past.act for case in caseload.history(stage.session, stage.steward).rows] == [
        "hidden"
    ]
    assert (standing(stage, comment=False), standing(stage, comment=True)) == ("standing", "hidden")


def test_the_queue_has_pages_and_takes_as_many_statements_for_many_as_for_one(stage):
    stage.report()
    with counted(stage.session) as few:
        caseload.queue(stage.session, stage.moderator)
    for number in range(25):
        comment = factories.comment(stage.session, stage.talk, stage.writer, f"No {number}")
        stage.report(stage.one(f"Person {number}"), comment=comment.id)
    with counted(stage.session) as many:
        page = caseload.queue(stage.session, stage.moderator)
    assert len(many) == len(few) <= 7
    rest = caseload.queue(stage.session, stage.moderator, page.after)
    assert (len(page.rows), len(rest.rows), rest.after) == (20, 6, None)
    assert len({case.key for case in page.rows + rest.rows}) == 26


# Deciding


@pytest.mark.parametrize("comment", [False, True])
@pytest.mark.parametrize(
    ("acts", "ends"),
    [
        (["hidden"], "hidden"),
        (["removed"], "removed"),
        (["hidden", "removed"], "removed"),
        (["hidden", "restored"], "standing"),
        (["removed", "restored"], "standing"),
        (["hidden", "removed", "restored"], "standing"),
    ],
)
def test_what_is_decided_holds_and_undone_step_by_step_it_stands_as_it_stood(
    stage, comment, acts, ends
):
    number = stage.comment.id if comment else None
    seen, made = [], []
    for act in acts:
        seen.append(standing(stage, comment))
        made.append(stage.decide(act, comment=number))
    assert standing(stage, comment) == ends
    assert stage.listed() is (comment or ends == "standing")
    for decision, before in zip(reversed(made), reversed(seen), strict=True):
        stage.undo(decision)
        assert standing(stage, comment) == before
    assert stage.listed() is True
    assert stage.acts() == acts + ["undone"] * len(acts)


def test_only_the_latest_decision_is_undone_and_once(stage):
    first, second = stage.decide("hidden"), stage.decide("removed")
    with pytest.raises(NotNowError, match="Undo that first"):
        stage.undo(first)
    stage.undo(second)
    with pytest.raises(NotNowError, match="already"):
        stage.undo(second)
    stage.undo(first)
    assert standing(stage, comment=False) == "standing"


def test_the_reason_of_hiding_comes_back_when_a_removal_is_undone(stage):
    stage.decide("hidden", words="First reason.")
    removal = stage.decide("removed", words="Second reason.")
    assert stage.talk.hidden_words == ""
    stage.undo(removal)
    assert stage.talk.hidden_words == "First reason."


@pytest.mark.parametrize("words", ["", " \n ", "x" * 301])
def test_every_act_needs_a_reason(stage, words):
    stage.report()
    for act in ("dismissed", "hidden", "removed"):
        with pytest.raises(PublishingError):
            stage.decide(act, words=words)
    made = stage.decide("hidden")
    with pytest.raises(PublishingError):
        decisions.undo(stage.session, None, stage.moderator, made.id, words=words)
    assert stage.session.exec(select(func.count()).select_from(Decision)).one() == 1


def test_nobody_decides_about_what_is_their_own(stage):
    mine = stage.asker(stage.author)
    stage.author.role = "moderator"
    stage.session.flush()
    mine = stage.asker(stage.author)
    with pytest.raises(NotNowError, match="your own"):
        stage.decide("hidden", mine)
    assert caseload.case(stage.session, mine, stage.guid).own
    stage.decide("hidden", mine, stage.comment.id)
    assert standing(stage, comment=True) == "hidden"


def test_an_act_that_does_not_fit_is_refused(stage):
    for act in ("restored", "dismissed"):
        with pytest.raises(NotNowError):
            stage.decide(act)
    with pytest.raises(PublishingError):
        stage.decide("erased")
    discussion.remove(stage.session, stage.asker(stage.writer), stage.talk, stage.comment.id)
    stage.session.flush()
    for act in ("hidden", "removed", "restored"):
        with pytest.raises(NotNowError, match="taken it back"):
            stage.decide(act, comment=stage.comment.id)


def test_what_its_author_took_back_stays_so_when_an_older_decision_is_undone(stage):
    made = stage.decide("hidden", comment=stage.comment.id)
    discussion.remove(stage.session, stage.asker(stage.writer), stage.talk, stage.comment.id)
    stage.session.flush()
    stage.undo(made)
    assert standing(stage, comment=True) == "taken-back"


def test_a_talk_that_its_author_withdrew_can_be_hidden_and_does_not_come_back(stage):
    author = stage.asker(stage.author)
    publishing.withdraw(stage.session, author, stage.guid)
    assert caseload.case(stage.session, stage.moderator, stage.guid).acts == ("hidden",)
    made = stage.decide("hidden")
    with pytest.raises(NotNowError, match="hidden by a moderator"):
        publishing.restore(stage.session, None, author, stage.guid)
    stage.undo(made)
    publishing.restore(stage.session, None, author, stage.guid)
    assert standing(stage, comment=False) == "standing"
    assert stage.listed() is True


@pytest.mark.parametrize("act", ["hidden", "removed"])
def test_what_a_moderator_took_its_author_cannot_put_back_but_a_moderator_can(stage, act):
    author = stage.asker(stage.author)
    stage.decide(act)
    with pytest.raises(NotNowError, match="by a moderator"):
        publishing.restore(stage.session, None, author, stage.guid)
    assert catalogue.find(stage.session, author, stage.guid) is not None
    assert catalogue.find(stage.session, stage.listener, stage.guid) is None
    assert catalogue.newest(stage.session, author).rows == []
    stage.decide("restored")
    assert catalogue.find(stage.session, stage.listener, stage.guid) is not None
    assert [row.guid for row in catalogue.top(stage.session, author).rows] == [stage.guid]


def test_a_comment_whose_words_are_gone_cannot_come_back(stage):
    stage.decide("removed", comment=stage.comment.id)
    stage.comment.body = ""
    with pytest.raises(NotNowError, match="deleted since"):
        stage.decide("restored", comment=stage.comment.id)


# Reports and what becomes of them


def test_dismissing_answers_the_reports_that_were_seen_and_no_later_one(stage):
    stage.report()
    seen = caseload.case(stage.session, stage.moderator, stage.guid)
    stage.report(stage.one("Late"), reason="unsafe")
    made = stage.decide("dismissed", upto=seen.upto)
    rows = stage.session.exec(select(Report).order_by(Report.id)).all()
    assert [(row.state, row.decision_id) for row in rows] == [
        ("dismissed", made.id),
        ("open", None),
    ]
    assert standing(stage, comment=False) == "standing"


def test_undoing_opens_the_reports_again_but_for_whoever_reported_once_more(stage):
    other = stage.one("Dee")
    stage.report()
    stage.report(other)
    made = stage.decide("dismissed")
    stage.report(other, reason="wrong")
    stage.undo(made)
    rows = stage.session.exec(select(Report).order_by(Report.id)).all()
    assert [row.state for row in rows] == ["open", "dismissed", "open"]
    assert caseload.case(stage.session, stage.moderator, stage.guid).count == 2


def test_the_author_is_told_what_and_why_and_reporters_how_it_ended(stage):
    stage.report()
    stage.report(stage.moderator)
    stage.decide("hidden")
    (told,) = stage.told(stage.author.id)
    assert "hid your talk “How we deploy”" in told
    assert WHY in told
    (ended,) = stage.told(stage.listener.id)
    assert "it is hidden now" in ended
    assert "How we deploy" not in ended
    assert WHY not in ended
    assert stage.told(stage.moderator.id) == []
    notice = stage.session.exec(select(Notice).where(Notice.person_id == stage.author.id)).one()
    assert notice.path == f"/episodes/{stage.guid}"


def test_the_audit_log_names_the_act_and_not_what_people_wrote(stage):
    stage.report(comment=stage.comment.id, words="He wrote fool.")
    stage.undo(stage.decide("removed", comment=stage.comment.id))
    rows = stage.session.exec(select(Audit).order_by(Audit.id)).all()
    assert [row.act for row in rows] == ["reported", "removed", "undone"]
    assert {(row.subject_kind, row.subject) for row in rows} == {("comment", str(stage.comment.id))}
    assert rows[1].actor == stage.moderator.ref
    assert rows[1].facts == {"talk": stage.guid, "before": "standing", "reports": 1}
    assert "fool" not in str([row.facts for row in rows])
    assert WHY not in str([row.facts for row in rows])


@pytest.mark.parametrize("comment", [False, True])
def test_an_author_answers_once_and_is_told_how_it_ended(stage, comment):
    number = stage.comment.id if comment else None
    author = stage.asker(stage.writer if comment else stage.author)

    def say(words="It is true."):
        return reports.appeal(stage.session, author, stage.guid, words=words, comment_id=number)

    with pytest.raises(NotNowError, match="No moderator"):
        say()
    stage.decide("removed", comment=number)
    with pytest.raises(PublishingError):
        say(" ")
    assert (say(), say()) == (True, False)
    case = caseload.case(stage.session, stage.moderator, stage.guid, number)
    assert [(told.words, told.is_answer) for told in case.told] == [("It is true.", True)]
    assert (case.count, case.answers) == (1, 1)
    assert "has answered" in stage.told(stage.steward.id)[0]
    stage.decide("dismissed", comment=number, words="It is not.")
    assert "It is not." in stage.told(author.id)[0]
    assert standing(stage, comment) == "removed"
    assert say("Look again.") is True
    stage.decide("restored", comment=number)
    assert "stands again" in stage.told(author.id)[0]
    assert len(stage.told(author.id)) == 3


# Comments as they are shown


def said(stage, asker):
    (found,) = discussion.comments(stage.session, asker, stage.talk.id)
    return found.place, found.body, found.author.name if found.author else None


def test_a_hidden_comment_keeps_its_place_and_its_words_for_its_author_and_moderators(stage):
    reply = factories.comment(
        stage.session, stage.talk, stage.author, "Please.", parent_id=stage.comment.id
    )
    stage.decide("hidden", comment=stage.comment.id)
    place = "Hidden while it is looked at."
    assert said(stage, stage.listener) == (place, "", None)
    assert said(stage, stage.asker(stage.author)) == (place, "", None)
    assert said(stage, stage.elsewhere) == (place, "", None)
    for asker in (stage.asker(stage.writer), stage.moderator, stage.steward):
        assert said(stage, asker) == (place, "You fool!", "Bo Chen")
    (thread,) = discussion.comments(stage.session, stage.listener, stage.talk.id)
    assert [r.id for r in thread.replies] == [reply.id]
    assert discussion.count([thread]) == 1


def test_a_removed_comment_keeps_its_place_and_its_words_for_moderators_alone(stage):
    stage.decide("removed", comment=stage.comment.id)
    place = "Removed by a moderator."
    for asker in (stage.listener, stage.asker(stage.writer)):
        assert said(stage, asker) == (place, "", None)
    assert said(stage, stage.moderator) == (place, "You fool!", "Bo Chen")
    discussion.remove(stage.session, stage.asker(stage.writer), stage.talk, stage.comment.id)
    assert standing(stage, comment=True) == "removed"


def test_what_an_author_took_back_is_read_by_nobody_not_even_moderators(stage):
    factories.comment(stage.session, stage.talk, stage.author, "?", parent_id=stage.comment.id)
    discussion.remove(stage.session, stage.asker(stage.writer), stage.talk, stage.comment.id)
    stage.session.flush()
    for asker in (stage.listener, stage.moderator, stage.asker(stage.writer)):
        assert said(stage, asker) == ("Removed by its author.", "", None)


# What was never published


def test_a_moderator_opens_a_draft_with_a_reason_for_an_hour_and_its_author_knows(stage):
    draft = factories.episode(stage.session, stage.show, "Secret", state="draft")
    address = f"https://dare.example/episodes/{draft.guid}"
    assert catalogue.find(stage.session, stage.moderator, str(draft.guid)) is None
    with pytest.raises(PublishingError):
        openings.open_draft(stage.session, stage.moderator, address, words="")
    found = openings.open_draft(stage.session, stage.moderator, address, words=WHY)
    assert found.id == draft.id
    assert catalogue.find(stage.session, stage.moderator, str(draft.guid)) is not None
    assert catalogue.find(stage.session, stage.second, str(draft.guid)) is None
    assert WHY in stage.told(stage.author.id)[0]
    assert stage.acts() == ["opened-as-moderator"]
    review = stage.session.exec(select(Review)).one()
    assert timedelta(minutes=59) < review.until - now() <= timedelta(hours=1)
    review.until = now() - timedelta(seconds=1)
    stage.session.flush()
    assert catalogue.find(stage.session, stage.moderator, str(draft.guid)) is None
    openings.open_draft(stage.session, stage.moderator, str(draft.guid), words=WHY)
    stage.session.expire_all()
    assert catalogue.find(stage.session, stage.moderator, str(draft.guid)) is not None
    assert stage.acts() == ["opened-as-moderator"] * 2


def test_only_who_moderates_the_house_opens_drafts_and_absent_ones_read_alike(stage):
    draft = factories.episode(stage.session, stage.show, "Secret", state="draft")
    gone = factories.episode(stage.session, stage.show, state="draft", withdrawn_at=now())
    for asker in (stage.steward, stage.listener, stage.elsewhere):
        with pytest.raises(NotThereError):
            openings.open_draft(stage.session, asker, str(draft.guid), words=WHY)
    for address in (str(gone.guid), "00000000-0000-4000-8000-000000000000", "nonsense", ""):
        with pytest.raises(PublishingError, match="No unpublished talk"):
            openings.open_draft(stage.session, stage.moderator, address, words=WHY)
    assert stage.session.exec(select(Review)).all() == []


def test_what_a_moderator_may_open_anyway_needs_no_leave(stage):
    openings.open_draft(stage.session, stage.moderator, stage.guid, words=WHY)
    assert stage.session.exec(select(Review)).all() == []
    assert stage.acts() == []
    assert stage.told(stage.author.id) == []


# At once


def at_once(engine, *acts: Callable[[Session], object]) -> list[object]:
    """Run each act in a transaction of its own, all beginning together."""
    ready = Barrier(len(acts))

    def run(act):
        with Session(engine) as own:
            ready.wait()
            try:
                result = act(own)
                own.commit()
            except (NotNowError, TooFastError) as error:
                own.rollback()
                return error
            else:
                return result

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


@pytest.mark.parametrize(
    "acts",
    [
        ("hidden", "hidden"),
        ("hidden", "removed"),
        ("dismissed", "removed"),
        ("dismissed", "dismissed"),
    ],
)
@pytest.mark.parametrize("comment", [False, True])
def test_of_two_moderators_who_decide_at_once_one_acts_and_the_other_is_told(
    stage, clean_database, acts, comment
):
    number = stage.comment.id if comment else None
    stage.report(comment=number)
    stage.session.commit()

    def act(asker, what):
        return lambda own: decisions.decide(
            own, None, asker, stage.guid, act=what, words=WHY, turn=0, comment_id=number
        )

    found = at_once(clean_database, act(stage.moderator, acts[0]), act(stage.second, acts[1]))
    refused = [one for one in found if isinstance(one, NotNowError)]
    assert len(refused) == 1
    assert "just now" in str(refused[0])
    (made,) = stage.session.exec(select(Decision)).all()
    stage.session.expire_all()
    expected = {"dismissed": "standing"}.get(made.act, made.act)
    assert standing(stage, comment) == expected
    assert len(stage.acts()) == 2  # reported, and one decision


def test_of_two_who_undo_at_once_one_does(stage, clean_database):
    made = stage.decide("hidden")
    stage.session.commit()

    def act(asker):
        return lambda own: decisions.undo(own, None, asker, made.id, words="No.")

    found = at_once(clean_database, act(stage.moderator), act(stage.second))
    assert sum(isinstance(one, NotNowError) for one in found) == 1
    assert stage.acts() == ["hidden", "undone"]


def test_a_report_sent_four_times_at_once_is_one(stage, clean_database):
    stage.session.commit()

    def send(own):
        return reports.report(own, stage.listener, stage.guid, reason="rude")

    found = at_once(clean_database, *[send] * 4)
    assert sorted(found) == [False, False, False, True]
    assert stage.session.exec(select(func.count()).select_from(Report)).one() == 1


def test_moderators_read_nothing_of_the_reports_about_their_own(stage):
    mine = stage.one("Mo Author", role="moderator")
    stage.talk.author_id = mine.id
    stage.session.flush()
    stage.report(words="He shouted at me.")
    for found in (
        caseload.case(stage.session, mine, stage.guid),
        *caseload.queue(stage.session, mine).rows,
    ):
        assert (found.own, found.count, found.reasons, found.told) == (True, 1, (), ())
    others = caseload.case(stage.session, stage.second, stage.guid)
    assert [told.words for told in others.told] == ["He shouted at me."]
    assert len(others.reasons) == 1
