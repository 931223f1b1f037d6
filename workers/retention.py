"""Retention: what has been kept long enough goes, each class by its own setting.

Run once a day by one worker, in batches, so that no transaction is long and a worker that stops in
the middle has lost nothing. Rows go at once; objects are noted and go two days later, so that every
object that a backup's rows name is still there while the backup is made.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, exists, or_, tuple_
from sqlalchemy import delete as sql_delete
from sqlalchemy import select as sql_select
from sqlmodel import Session, SQLModel, col, select

from storage import audit, clearing
from storage.floor import Floor
from storage.models import (
    AccessToken,
    Allowance,
    Comment,
    Cue,
    Episode,
    Export,
    FeedNetwork,
    Mail,
    Notice,
    PersonalLink,
    Piece,
    Removal,
    Rendition,
    SetupLink,
    Show,
    SignInFailure,
    SignInTry,
    Source,
    SpentToken,
    Transcript,
    Upload,
    now,
)
from storage.models import Session as SignedIn
from storage.settings import Settings

log = logging.getLogger(__name__)

BATCH = 500
TALKS = 20
OBJECTS = 100
# No limit counts over more than a day; links and tokens are shown for a while after they ended.
COUNTERS = timedelta(days=2)
ENDED = timedelta(days=30)
# As in service/identity/sessions.py: a session ends a week unseen, a month after it began.
IDLE, ABSOLUTE = timedelta(days=7), timedelta(days=30)
# Rows first, objects two days later: whatever a backup's rows name can still be copied.
AFTER_THE_ROWS = timedelta(days=2)
POSTPONED = timedelta(days=1)
RECORDING_GONE = (
    "The recording was removed {days} days after the talk was withdrawn. Upload it again to share"
    " it."
)
RECORDING_TAKEN = (
    "The recording was removed {days} days after a moderator had taken the talk away. If you get it"
    " back, upload it again."
)


def let_go(floor: Floor, at: datetime | None = None) -> dict[str, int]:
    """Let go of all that has been kept long enough at this moment; return how much of each."""
    moment, settings = at or now(), floor.settings
    gone = {
        name: _in_batches(floor, model, which)
        for name, (model, which) in _rows(settings, moment).items()
    }
    gone["exports"] = _until_none(floor, lambda session: _exports(session, settings, moment))
    gone["comments"] = _until_none(floor, lambda session: _comments(session, settings, moment))
    gone["talks"] = _until_none(floor, lambda session: _talks(session, settings, moment))
    gone["uploads"] = _until_none(floor, lambda session: _uploads(session, settings, moment))
    gone["audit"] = _audit(floor, moment - timedelta(days=settings.keep_audit_days))
    if any(gone.values()):
        log.info("Let go: %s.", ", ".join(f"{name} {n}" for name, n in gone.items() if n))
    return gone


def _rows(
    settings: Settings, at: datetime
) -> dict[str, tuple[type[SQLModel], ColumnElement[bool]]]:
    """Return whole rows that go: by name, the table and which of its rows."""

    def before(days: int) -> datetime:
        return at - timedelta(days=days)

    ended = before(settings.keep_sessions_days)
    letters = before(settings.keep_mail_days)
    return {
        "sign-in failures": (
            SignInFailure,
            col(SignInFailure.last_at) < before(settings.keep_sign_in_failures_days),
        ),
        "sessions": (
            SignedIn,
            or_(
                col(SignedIn.ended_at) < ended,
                col(SignedIn.seen_at) < ended - IDLE,
                col(SignedIn.created_at) < ended - ABSOLUTE,
            ),
        ),
        "letters": (
            Mail,
            or_(
                col(Mail.sent_at) < letters,
                col(Mail.failed_at) < letters,
            ),
        ),
        "notices": (Notice, col(Notice.read_at) < before(settings.keep_notices_days)),
        "feed networks": (
            FeedNetwork,
            col(FeedNetwork.seen_at) < before(settings.keep_feed_networks_days),
        ),
        "sign-in tries": (SignInTry, col(SignInTry.expires_at) < at),
        "spent tokens": (SpentToken, col(SpentToken.expires_at) < at),
        "set-up links": (SetupLink, col(SetupLink.expires_at) < at - ENDED),
        "allowances": (Allowance, col(Allowance.since) < at - COUNTERS),
        "links": (PersonalLink, col(PersonalLink.expires_at) < at - ENDED),
        "access tokens": (
            AccessToken,
            or_(
                col(AccessToken.expires_at) < at - ENDED,
                col(AccessToken.revoked_at) < at - ENDED,
            ),
        ),
    }


def _in_batches(floor: Floor, model: type[SQLModel], which: ColumnElement[bool]) -> int:
    """Delete rows of one table, some hundreds in each transaction."""
    table = model.__table__  # type: ignore[attr-defined]
    key = tuple_(*table.primary_key.columns)

    def some(session: Session) -> int:
        rows = sql_select(*table.primary_key.columns).where(which).limit(BATCH)
        gone = session.execute(
            sql_delete(table).where(key.in_(rows), which).returning(*key.clauses)
        )
        return len(gone.all())

    return _until_none(floor, some)


def _until_none(floor: Floor, some: Callable[[Session], int]) -> int:
    total = 0
    while True:
        with floor.database.begin() as session:
            many = some(session)
        if not many:
            return total
        total += many


def _exports(session: Session, settings: Settings, at: datetime) -> int:
    """Let archives go that nobody may fetch any more, whatever came of them."""
    old = at - timedelta(days=settings.keep_exports_days)
    rows = session.exec(
        select(Export)
        .where(or_(col(Export.expires_at) < at, _never_ready(old)))
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    clearing.remove_later(session, [f"exports/{row.ref}/" for row in rows], at)
    for row in rows:
        session.delete(row)
    return len(rows)


def _never_ready(old: datetime) -> ColumnElement[bool]:
    return and_(col(Export.expires_at).is_(None), col(Export.created_at) < old)


def _comments(session: Session, settings: Settings, at: datetime) -> int:
    """Empty the words of comments that were removed."""
    old = at - timedelta(days=settings.keep_withdrawn_days)
    rows = session.exec(
        select(Comment)
        .where(col(Comment.removed_at) < old, Comment.body != "")
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        row.body = ""
    return len(rows)


def _talks(session: Session, settings: Settings, at: datetime) -> int:
    """Let the recordings and transcripts of withdrawn talks go; a draft's shell stays.

    Only what the rows name is noted for removal: the author may upload afresh at any time.
    """
    old = at - timedelta(days=settings.keep_withdrawn_days)
    held = [
        exists().where(col(table.episode_id) == col(Episode.id))
        for table in (Source, Rendition, Piece, Transcript, Cue, Upload)
    ]
    talks = session.exec(
        select(Episode)
        .where(col(Episode.withdrawn_at) < old, or_(*held))
        .order_by(col(Episode.id))
        .limit(TALKS)
        .with_for_update(key_share=True, skip_locked=True)
    ).all()
    for talk in talks:
        clearing.remove_later(session, clearing.keys_of(session, talk), at + AFTER_THE_ROWS)
        clearing.clear(session, talk)
        taken = talk.hidden_at is not None or talk.withdrawn_by != talk.author_id
        words = RECORDING_TAKEN if taken else RECORDING_GONE
        talk.notice = words.format(days=settings.keep_withdrawn_days)
    return len(talks)


def _uploads(session: Session, settings: Settings, at: datetime) -> int:
    """Let uploads go that nobody has gone on with; the draft stays, ready for another.

    Their parts in the store go with the next removal of objects.
    """
    old = at - timedelta(days=settings.keep_uploads_days)
    left = (
        Upload.state == "open",
        col(Upload.changed_at) < old,
        # Nobody sends a part of it just now.
        or_(col(Upload.locked_at).is_(None), col(Upload.locked_at) < old),
    )
    # The talk before its upload, as whoever cancels or finishes one locks them.
    talks = session.exec(
        select(Episode)
        .where(col(Episode.id).in_(select(Upload.episode_id).where(*left)))
        .order_by(col(Episode.id))
        .limit(TALKS)
        .with_for_update(key_share=True, skip_locked=True)
    ).all()
    total = 0
    for talk in talks:
        uploads = session.exec(
            select(Upload).where(Upload.episode_id == talk.id, *left).with_for_update()
        ).all()
        clearing.remove_later(session, [upload.key for upload in uploads], at)
        for upload in uploads:
            session.delete(upload)
        if uploads and talk.state == "uploading":
            talk.state = "draft"
        total += len(uploads)
    return total


def _audit(floor: Floor, before: datetime) -> int:
    gone = 0
    while True:
        with floor.database.begin() as session:
            # Which writes down itself up to where.
            batch = audit.let_go(session, floor.settings.secret, before)
        gone += batch
        if not batch:
            return gone


def remove_objects(floor: Floor, at: datetime | None = None) -> int:
    """Remove objects that are due; return how many. What a living row names stays.

    Raises:
        StoreError: the store does not answer; what is left is tried again next time.
    """
    moment, removed, after = at or now(), 0, ""
    while True:
        with floor.database.begin() as session:
            key = session.exec(
                select(Removal.key)
                .where(col(Removal.due_at) <= moment, col(Removal.key) > after)
                .order_by(col(Removal.key))
                .limit(1)
            ).first()
        if key is None:
            return removed
        after = key
        many, spared = _removed(floor, key)
        removed += many
        with floor.database.begin() as session:
            row = session.get(Removal, key)
            if row is not None and spared:
                row.due_at = moment + POSTPONED
            elif row is not None:
                session.delete(row)


def _removed(floor: Floor, key: str) -> tuple[int, bool]:
    """Remove what lies under a key; return how many objects, and whether any was spared."""
    below = key.endswith("/")
    store = floor.store
    found = [one for one in store.keys(key) if below or one == key]
    open_ones = [(one, upload) for one, upload in store.unfinished(key) if below or one == key]
    many, spared = 0, False
    for start in range(0, len(found), OBJECTS):
        batch = found[start : start + OBJECTS]
        # Asked just before: a row may have come to name an object since it was noted.
        named = _named(floor, batch)
        for one in batch:
            if one in named:
                spared = True
            else:
                store.delete(one)
                many += 1
    named = _named(floor, [one for one, _ in open_ones])
    for one, upload in open_ones:
        if one in named:
            spared = True
        else:
            store.abort_multipart(one, upload)
    return many, spared


def _named(floor: Floor, keys: list[str]) -> set[str]:
    """Return which of these keys a living row names."""
    if not keys:
        return set()
    columns = (
        col(Source.key),
        col(Rendition.key),
        col(Piece.key),
        col(Show.artwork_key),
        col(Export.key),
    )
    named: set[str] = set()
    with floor.database.begin() as session:
        for column in columns:
            named |= {
                one
                for one in session.execute(sql_select(column).where(column.in_(keys))).scalars()
                if one
            }
        # An upload under way: its object does not exist yet, only its parts.
        uploads = select(Upload.key).where(col(Upload.key).in_(keys), Upload.state == "open")
        named |= set(session.exec(uploads))
    return named
