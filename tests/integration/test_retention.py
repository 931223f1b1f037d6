"""Retention: each class goes on its day, nothing earlier; objects only when they are due."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlmodel import col, func, select

from service import access, publishing
from service.access import asker_of
from service.feed import tokens
from service.moderation import caseload, decisions, reports
from service.publishing import NotThereError
from storage import audit, clearing
from storage.floor import open_floor
from storage.models import (
    AccessToken,
    Allowance,
    Audit,
    Comment,
    Cue,
    Episode,
    Export,
    FeedNetwork,
    FeedView,
    Mail,
    Notice,
    PersonalLink,
    Piece,
    Rating,
    Removal,
    Rendition,
    SetupLink,
    SignInFailure,
    SignInTry,
    Source,
    SpentToken,
    Transcript,
    Upload,
    now,
)
from storage.models import Session as SignedIn
from storage.objects import StoreError
from tests import factories
from workers import retention

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
BEGAN = now().replace(microsecond=0)


@pytest.fixture(scope="module")
def floor(house):
    held = open_floor(house, pool=4, name="tests")
    yield held
    held.database.close()


@pytest.fixture
def ana(session):
    return factories.person(session, "Ana Lima")


def count(session, model):
    session.rollback()
    return session.exec(select(func.count()).select_from(model)).one()


def feed_network(session, ana):
    view = FeedView(kind="top", guid=uuid4())
    session.add(view)
    session.flush()
    token = tokens.issue(session, ana.id, view, "phone", secret=bytes(32))
    return FeedNetwork(token_id=token.id, network="192.0.2.0/24", seen_at=BEGAN)


def session_row(ana, **times):
    told = {"created_at": BEGAN, "seen_at": BEGAN, "proved_at": BEGAN}
    return SignedIn(key=uuid4().hex, person_id=ana.id, **told | times)


def comment(session, ana):
    talk = factories.episode(session, factories.show(session, ana))
    return Comment(episode_id=talk.id, author_id=ana.id, body="x", removed_at=BEGAN)


def upload(session, ana):
    talk = factories.episode(session, factories.show(session, ana), state="uploading")
    return Upload(
        id=uuid4(),
        owner_id=ana.id,
        episode_id=talk.id,
        length=9,
        key=f"sources/{talk.guid}/x",
        s3_upload_id="x",
        changed_at=BEGAN,
    )


# By name: how the row is made, and after how many days from BEGAN it goes.
CLASSES = {
    "sign-in failures": (
        SignInFailure,
        lambda _s, _a: SignInFailure(account="x", origin="x", last_at=BEGAN),
        lambda s: s.keep_sign_in_failures_days,
    ),
    "ended sessions": (
        SignedIn,
        lambda _s, a: session_row(a, ended_at=BEGAN),
        lambda s: s.keep_sessions_days,
    ),
    "sessions unseen": (SignedIn, lambda _s, a: session_row(a), lambda s: s.keep_sessions_days + 7),
    "old sessions": (
        SignedIn,
        lambda _s, a: session_row(a, seen_at=BEGAN + 365 * DAY),
        lambda s: s.keep_sessions_days + 30,
    ),
    "letters sent": (
        Mail,
        lambda _s, _a: Mail(kind="x", address="x", subject="x", body="x", sent_at=BEGAN),
        lambda s: s.keep_mail_days,
    ),
    "letters failed": (
        Mail,
        lambda _s, _a: Mail(kind="x", address="x", subject="x", body="x", failed_at=BEGAN),
        lambda s: s.keep_mail_days,
    ),
    "notices read": (
        Notice,
        lambda _s, a: Notice(person_id=a.id, kind="x", words="x", read_at=BEGAN),
        lambda s: s.keep_notices_days,
    ),
    "feed networks": (FeedNetwork, feed_network, lambda s: s.keep_feed_networks_days),
    "sign-in tries": (
        SignInTry,
        lambda _s, _a: SignInTry(
            key="x", provider="x", visit="x", nonce="x", verifier="x", expires_at=BEGAN
        ),
        lambda _: 0,
    ),
    "spent tokens": (SpentToken, lambda _s, _a: SpentToken(key="x", expires_at=BEGAN), lambda _: 0),
    "set-up links": (SetupLink, lambda _s, _a: SetupLink(key="x", expires_at=BEGAN), lambda _: 30),
    "allowances": (Allowance, lambda _s, _a: Allowance(bucket="x", since=BEGAN), lambda _: 2),
    "personal links": (
        PersonalLink,
        lambda _s, _a: PersonalLink(key="x", kind="reset", email="x", expires_at=BEGAN),
        lambda _: 30,
    ),
    "tokens that lapsed": (
        AccessToken,
        lambda _s, a: AccessToken(person_id=a.id, key="x", expires_at=BEGAN),
        lambda _: 30,
    ),
    "tokens revoked": (
        AccessToken,
        lambda _s, a: AccessToken(person_id=a.id, key="x", revoked_at=BEGAN),
        lambda _: 30,
    ),
    "archives": (
        Export,
        lambda _s, a: Export(
            person_id=a.id, state="ready", key="exports/x", ready_at=BEGAN - DAY, expires_at=BEGAN
        ),
        lambda _: 0,
    ),
    "uploads that nobody goes on with": (Upload, upload, lambda s: s.keep_uploads_days),
    "archives that failed": (
        Export,
        lambda _s, a: Export(person_id=a.id, state="failed", created_at=BEGAN),
        lambda s: s.keep_exports_days,
    ),
}


@pytest.mark.parametrize("name", CLASSES)
def test_s71_each_class_goes_on_its_day_and_nothing_earlier(floor, session, ana, name):
    model, made, days = CLASSES[name]
    session.add(made(session, ana))
    session.commit()
    due = BEGAN + timedelta(days=days(floor.settings))
    for early in (due - DAY, due):
        retention.let_go(floor, early)
        assert count(session, model) == 1, early
    assert sum(retention.let_go(floor, due + SECOND).values()) == 1
    assert count(session, model) == 0


def test_s71_what_has_no_end_yet_stays_for_ever(floor, session, ana):
    session.add(Notice(person_id=ana.id, kind="x", words="unread"))
    session.add(Mail(kind="x", address="x", subject="x", body="waiting"))
    session.add(AccessToken(person_id=ana.id, key="x"))
    factories.comment(session, factories.episode(session, factories.show(session, ana)), ana)
    session.commit()
    assert not any(retention.let_go(floor, BEGAN + 4000 * DAY).values())


def test_s71_the_words_of_a_removed_comment_go_and_its_place_stays(floor, session, ana):
    session.add(comment(session, ana))
    session.commit()
    due = BEGAN + timedelta(days=floor.settings.keep_withdrawn_days)
    retention.let_go(floor, due)
    assert session.exec(select(Comment.body)).all() == ["x"]
    assert retention.let_go(floor, due + SECOND)["comments"] == 1
    session.rollback()
    assert session.exec(select(Comment.body)).all() == [""]
    assert not any(retention.let_go(floor, due + SECOND).values())


def test_s71_an_upload_that_nobody_goes_on_with_ends_in_the_store_too(floor, session, ana):
    talk = factories.episode(session, factories.show(session, ana), state="draft")
    kept, _ = publishing.begin_upload(
        session, floor, asker_of(ana), str(talk.guid), name="a.wav", length=9
    )
    kept.changed_at, kept.locked_at = BEGAN, BEGAN + 20 * DAY
    session.commit()
    # A part of it is on its way just now.
    assert retention.let_go(floor, BEGAN + 20 * DAY)["uploads"] == 0
    session.get_one(Upload, kept.id).locked_at = None
    session.commit()
    assert retention.let_go(floor, BEGAN + 20 * DAY)["uploads"] == 1
    assert count(session, Upload) == 0
    assert session.get_one(Episode, talk.id, populate_existing=True).state == "draft"
    retention.remove_objects(floor, BEGAN + 20 * DAY)
    assert floor.store.unfinished(f"sources/{talk.guid}/") == []
    again, fresh = publishing.begin_upload(
        session, floor, asker_of(ana), str(talk.guid), name="a.wav", length=9
    )
    assert fresh
    floor.store.abort_multipart(again.key, again.s3_upload_id)


def test_s71_an_upload_that_is_finished_stays_with_its_talk(floor, session, ana):
    row = upload(session, ana)
    row.state = "finished"
    session.add(row)
    session.commit()
    assert not any(retention.let_go(floor, BEGAN + 4000 * DAY).values())


def test_s71_the_audit_log_is_let_go_oldest_first_and_says_so(floor, session):
    days = floor.settings.keep_audit_days
    old, young = BEGAN - timedelta(days=days) - SECOND, BEGAN - timedelta(days=days)
    for act, at in (("first", old), ("second", young)):
        session.add(Audit(act=act, at=at))
        session.commit()
    with floor.database.begin() as own:
        audit.seal(own, floor.settings.secret)
    assert retention.let_go(floor, BEGAN - SECOND)["audit"] == 0
    assert retention.let_go(floor, BEGAN)["audit"] == 1
    session.rollback()
    acts = session.exec(select(Audit.act).order_by(col(Audit.id))).all()
    assert acts == ["second", "audit-let-go"]
    with floor.database.begin() as own:
        audit.seal(own, floor.settings.secret)
        assert audit.verify(own, floor.settings.secret).broken == ""


def test_many_rows_go_in_many_small_transactions(floor, session, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 10)
    for number in range(35):
        session.add(SpentToken(key=str(number), expires_at=BEGAN - DAY))
    session.add(SpentToken(key="young", expires_at=BEGAN + DAY))
    session.commit()
    begun = []
    begin = floor.database.begin
    monkeypatch.setattr(floor.database, "begin", lambda: begun.append(1) or begin())
    assert retention.let_go(floor, BEGAN)["spent tokens"] == 35
    assert len(begun) >= 4
    assert session.exec(select(SpentToken.key)).all() == ["young"]


# Withdrawn talks


@pytest.fixture
def withdrawn(floor, session, ana):
    """A talk with bytes in the store, withdrawn by its author."""
    talk = factories.episode(session, factories.show(session, ana), video=True)
    rater = factories.person(session, "Bo Chen")
    factories.rating(session, talk, rater, 5)
    for key in clearing.keys_of(session, talk):
        floor.store.put(key, b"bytes", "audio/mpeg")
    session.add(
        Piece(episode_id=talk.id, revision=1, position=0, start=0, end=1, key=f"speech/{talk.guid}")
    )
    publishing.withdraw(session, asker_of(ana), str(talk.guid))
    talk.withdrawn_at = BEGAN
    session.commit()
    return talk


def test_s71_a_withdrawn_talk_loses_its_recording_on_its_day_and_its_objects_later(
    floor, session, withdrawn
):
    due = BEGAN + timedelta(days=floor.settings.keep_withdrawn_days)
    keys = set(clearing.keys_of(session, withdrawn))
    assert len(keys) == 5
    assert retention.let_go(floor, due)["talks"] == 0
    assert count(session, Rendition) == 3
    assert retention.let_go(floor, due + SECOND)["talks"] == 1
    for model in (Source, Rendition, Piece, Cue, Transcript):
        assert count(session, model) == 0
    assert count(session, Rating) == 1
    assert set(session.exec(select(Removal.key))) == keys
    assert retention.remove_objects(floor, due + DAY) == 0
    assert retention.remove_objects(floor, due + 2 * DAY + SECOND) == 4
    assert floor.store.keys(f"renditions/{withdrawn.guid}/") == []
    assert floor.store.keys(f"sources/{withdrawn.guid}/") == []
    assert count(session, Removal) == 0
    assert not any(retention.let_go(floor, due + 9 * DAY).values())


def test_a_talk_whose_recording_is_gone_comes_back_as_a_draft_that_says_so(
    floor, session, ana, withdrawn
):
    retention.let_go(floor, BEGAN + timedelta(days=floor.settings.keep_withdrawn_days) + SECOND)
    session.rollback()
    talk = publishing.restore(session, floor, asker_of(ana), str(withdrawn.guid))
    session.commit()
    session.refresh(talk)
    assert (talk.state, talk.published_at, talk.withdrawn_at) == ("draft", None, None)
    assert "Upload it again" in talk.notice
    assert not access.is_out(talk)
    upload, fresh = publishing.begin_upload(
        session, floor, asker_of(ana), str(talk.guid), name="a.wav", length=9
    )
    assert fresh
    floor.store.abort_multipart(upload.key, upload.s3_upload_id)


@pytest.fixture
def taken(floor, session, ana):
    """A talk that a moderator removed, whose recording is gone since; and the decision."""
    mo = factories.asker(session, factories.person(session, "Mo Derat", role="moderator"))
    talk = factories.episode(session, factories.show(session, ana))
    session.flush()
    made = decisions.decide(
        session, floor, mo, str(talk.guid), act="removed", words="It names a customer.", turn=0
    )
    session.commit()
    assert retention.let_go(floor, now() + 40 * DAY)["talks"] == 1
    session.rollback()
    session.expire_all()
    return talk, mo, made


def test_a_removed_talk_whose_recording_is_gone_can_still_be_answered_for(session, ana, taken):
    talk, mo, _ = taken
    assert "a moderator had taken" in talk.notice
    assert reports.appeal(session, asker_of(ana), str(talk.guid), words="Please.")
    assert caseload.case(session, mo, str(talk.guid)).acts == ("restored",)
    assert [case.guid for case in caseload.queue(session, mo).rows] == [str(talk.guid)]


@pytest.mark.parametrize("how", ["restored", "undone"])
def test_a_removed_talk_whose_recording_is_gone_can_be_given_back_to_its_author(
    floor, session, ana, taken, how
):
    talk, mo, made = taken
    if how == "restored":
        decisions.decide(session, floor, mo, str(talk.guid), act="restored", words="Yes.", turn=1)
    else:
        decisions.undo(session, floor, mo, made.id, words="A mistake.")
    session.commit()
    session.refresh(talk)
    assert (talk.state, talk.withdrawn_at, access.is_out(talk)) == ("draft", None, False)
    # A draft again, and nobody's affair but its author's.
    with pytest.raises(NotThereError):
        caseload.case(session, mo, str(talk.guid))
    kept, _ = publishing.begin_upload(
        session, floor, asker_of(ana), str(talk.guid), name="a.wav", length=9
    )
    floor.store.abort_multipart(kept.key, kept.s3_upload_id)


def test_drafts_that_their_authors_withdrew_are_no_moderators_affair(session, ana):
    mo = factories.asker(session, factories.person(session, "Mo Derat", role="moderator"))
    talk = factories.episode(session, factories.show(session, ana), state="draft")
    publishing.withdraw(session, asker_of(ana), str(talk.guid))
    assert not access.was_out(talk)
    with pytest.raises(NotThereError):
        caseload.case(session, mo, str(talk.guid))


def test_a_talk_that_was_put_back_in_time_loses_nothing(floor, session, ana, withdrawn):
    publishing.restore(session, floor, asker_of(ana), str(withdrawn.guid))
    session.commit()
    assert not any(retention.let_go(floor, BEGAN + 4000 * DAY).values())
    assert count(session, Rendition) == 3


# Objects


def later(session, *keys, at=BEGAN):
    clearing.remove_later(session, keys, at)
    session.commit()


def test_an_object_goes_when_it_is_due_and_not_a_moment_before(floor, session):
    key = f"speech/{uuid4()}/x"
    floor.store.put(key, b"x", "audio/flac")
    later(session, key)
    assert retention.remove_objects(floor, BEGAN - SECOND) == 0
    assert floor.store.head(key) is not None
    assert retention.remove_objects(floor, BEGAN) == 1
    assert floor.store.head(key) is None
    assert count(session, Removal) == 0


def test_what_a_living_row_names_is_never_removed(floor, session, ana):
    talk = factories.episode(session, factories.show(session, ana))
    keys = clearing.keys_of(session, talk)
    orphan = f"renditions/{talk.guid}/1/orphan.mp3"
    for key in (*keys, orphan):
        floor.store.put(key, b"x", "audio/mpeg")
    later(session, *clearing.prefixes_of(talk), *keys)
    assert retention.remove_objects(floor, BEGAN) == 1
    assert floor.store.head(orphan) is None
    assert all(floor.store.head(key) for key in keys)
    session.rollback()
    assert min(row.due_at for row in session.exec(select(Removal))) == BEGAN + retention.POSTPONED
    clearing.clear(session, session.get_one(Episode, talk.id))
    session.commit()
    assert retention.remove_objects(floor, BEGAN + 2 * DAY) == len(keys)
    assert count(session, Removal) == 0


def test_uploads_that_nobody_goes_on_with_are_ended_and_others_go_on(floor, session, ana):
    talk = factories.episode(session, factories.show(session, ana), state="draft")
    upload, _ = publishing.begin_upload(
        session, floor, asker_of(ana), str(talk.guid), name="a.wav", length=9
    )
    left = f"sources/{talk.guid}/left"
    floor.store.begin_multipart(left, "audio/wav")
    later(session, f"sources/{talk.guid}/")
    retention.remove_objects(floor, BEGAN)
    assert floor.store.unfinished(f"sources/{talk.guid}/") == [(upload.key, upload.s3_upload_id)]
    session.delete(session.get_one(Upload, upload.id))
    session.commit()
    retention.remove_objects(floor, BEGAN + 2 * DAY)
    assert floor.store.unfinished(f"sources/{talk.guid}/") == []


def test_a_key_without_a_slash_stands_for_itself_alone(floor, session):
    key = f"speech/{uuid4()}"
    for one in (key, f"{key}-longer"):
        floor.store.put(one, b"x", "audio/flac")
    later(session, key)
    assert retention.remove_objects(floor, BEGAN) == 1
    assert floor.store.head(f"{key}-longer") is not None


def test_a_store_that_is_away_loses_no_removal(floor, session, monkeypatch):
    later(session, "speech/x")

    def away(_prefix):
        raise StoreError("away")

    monkeypatch.setattr(floor.store, "keys", away)
    with pytest.raises(StoreError):
        retention.remove_objects(floor, BEGAN)
    assert count(session, Removal) == 1


def test_a_removal_noted_twice_is_due_at_the_earlier_time(session):
    later(session, "a", at=BEGAN + DAY)
    later(session, "a", at=BEGAN)
    later(session, "a", at=BEGAN + 2 * DAY)
    assert session.exec(select(Removal.due_at)).all() == [BEGAN]
    clearing.remove_later(session, [], BEGAN)
