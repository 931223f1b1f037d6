"""Rows for tests, made the way that the house makes them; plain functions that flush, not commit.

Names and addresses are numbered, so that two calls never collide.
"""

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from typing import Any

from sqlmodel import Session, select

from service.access import Asker, asker_of
from service.identity import tokens
from service.identity.askers import as_asker
from service.publishing import slug_of
from service.rating import ledger
from storage.models import (
    HEARABLE,
    Comment,
    Community,
    Cue,
    Episode,
    EpisodeTopic,
    Membership,
    Person,
    Rendition,
    Show,
    Source,
    Topic,
    Transcript,
    now,
)

_numbers = count(1)
SAID = ("Ask not what your country can do for you.", "Ask what you can do for your country.")
SECONDS = 60.0
TYPES = {"mp3": "audio/mpeg", "m4a": "audio/mp4", "mp4": "video/mp4"}


def person(session: Session, name: str = "Ana Lima", **values: Any) -> Person:
    """Add somebody with an account; a contributor unless `role` says otherwise."""
    number = next(_numbers)
    told = {"email": f"{slug_of(name, 'person')}-{number}@example.org", "name": name}
    return _added(session, Person(**told | values))


def asker(session: Session, of: Person) -> Asker:
    """Return somebody as an asker, with the communities they belong to now."""
    return as_asker(session, of)


def community(session: Session, name: str = "Out on site", **values: Any) -> Community:
    """Add a community; open to everybody unless `joining` says otherwise."""
    told = {"slug": f"{slug_of(name, 'community')}-{next(_numbers)}", "name": name}
    return _added(session, Community(**told | values))


def member(session: Session, of: Community, who: Person, role: str = "member") -> Membership:
    """Let somebody belong to a community."""
    return _added(session, Membership(community_id=of.id, person_id=who.id, role=role))


def token(session: Session, owner: Person) -> str:
    """Make a personal access token and return its secret."""
    _, secret = tokens.issue(session, owner.id, "tests")
    return secret


def show(session: Session, owner: Person, title: str = "Platform talks", **values: Any) -> Show:
    """Add a show of somebody's."""
    told = {"slug": f"{slug_of(title, 'show')}-{next(_numbers)}", "title": title}
    return _added(session, Show(**told | {"owner_id": owner.id} | values))


def episode(
    session: Session,
    of: Show,
    title: str = "How we deploy",
    *,
    state: str = "complete",
    topics: Sequence[str] = (),
    said: Sequence[str] = SAID,
    video: bool = False,
    **values: Any,
) -> Episode:
    """Add a talk of the show's owner, with all that belongs to its state.

    Its score is listed when it is out; when it can be heard it has renditions (rows, no bytes) and
    a minute's length; when it is complete it has a transcript of `said`.
    """
    told = {
        "show_id": of.id,
        "author_id": of.owner_id,
        "title": title,
        "state": state,
        "show_audience": of.audience,
        "public": of.visibility == "public" and values.get("audience") is None,
    }
    made = _added(session, Episode(**told | _times(state) | {"has_video": video} | values))
    ledger.locked_score(session, made)
    for name in topics:
        _on(session, made, name)
    if made.revision:
        _source(session, made)
    if state in HEARABLE:
        for kind in ("mp3", "m4a", "mp4") if video else ("mp3", "m4a"):
            rendition(session, made, kind)
    if state == "complete":
        transcript(session, made, said)
    return made


def _times(state: str) -> dict[str, Any]:
    if state in {"draft", "uploading"}:
        return {}
    moment = now()
    told: dict[str, Any] = {"revision": 1, "attempt": 1, "uploaded_at": moment}
    if state == "failed":
        told["reason"] = "This file holds no sound."
    if state in HEARABLE:
        told |= {"published_at": moment, "playable_at": moment, "duration": SECONDS}
    if state == "complete":
        told |= {"completed_at": moment, "transcript_revision": 1, "language": "en"}
    return told


def _on(session: Session, made: Episode, name: str) -> None:
    slug = slug_of(name, "topic")
    topic = session.exec(select(Topic).where(Topic.slug == slug)).first()
    topic = topic or _added(session, Topic(slug=slug, name=name))
    _added(session, EpisodeTopic(episode_id=made.id, topic_id=topic.id))


def _source(session: Session, of: Episode) -> Source:
    key = f"sources/{of.guid}/{next(_numbers)}"
    return _added(
        session,
        Source(
            episode_id=of.id, revision=of.revision, key=key, given_name="talk.wav", size=1_920_044
        ),
    )


def rendition(session: Session, of: Episode, kind: str = "mp3", **values: Any) -> Rendition:
    """Add the row of an encoded version; the store holds no bytes for it."""
    told = {
        "key": f"renditions/{of.guid}/{of.revision}/{next(_numbers)}.{kind}",
        "size": 960_000,
        "type": TYPES[kind],
        "etag": f"{next(_numbers):032x}",
        "duration": of.duration or SECONDS,
        "bitrate": 128_000,
    }
    identity = {"episode_id": of.id, "revision": of.revision, "kind": kind}
    return _added(session, Rendition(**identity | told | values))


def transcript(
    session: Session, of: Episode, said: Sequence[str] = SAID, language: str = "en"
) -> Transcript:
    """Add a transcript with one cue of five seconds for each sentence."""
    for position, text in enumerate(said):
        start = 5.0 * position
        cue = Cue(
            episode_id=of.id,
            position=position,
            start=start,
            end=start + 5.0,
            text=text,
            language=language,
            paragraph=position == 0,
        )
        session.add(cue)
    return _added(
        session,
        Transcript(episode_id=of.id, language=language, engine="tests", body=" ".join(said)),
    )


def rating(session: Session, of: Episode, by: Person, stars: int) -> None:
    """Rate a talk through the ledger, so that its score is right."""
    ledger.rate(session, asker_of(by), of, stars)
    session.flush()


def comment(session: Session, on: Episode, by: Person, body: str = "Thanks!", **values: Any) -> Any:
    """Add a comment."""
    return _added(
        session, Comment(**{"episode_id": on.id, "author_id": by.id, "body": body} | values)
    )


def earlier(of: Episode, **ago: float) -> Episode:
    """Move a talk's publication back, for instance by `days=3`."""
    assert of.published_at is not None
    of.published_at -= timedelta(**ago)
    return of


def _added(session: Session, row: Any) -> Any:
    session.add(row)
    session.flush()
    return row
