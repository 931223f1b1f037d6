"""What feed and delivery tests begin with: people, talks with bytes, and a client."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask
from sqlmodel import Session

from service.feed import channel, tokens
from service.identity import sessions
from storage import keys
from storage.models import (
    Cue,
    Episode,
    EpisodeScore,
    FeedToken,
    Person,
    Rendition,
    Show,
    Transcript,
)
from storage.settings import Settings

LONG_AGO = datetime(2026, 3, 1, 9, 30, 15, tzinfo=UTC)
TYPES = {"mp3": "audio/mpeg", "m4a": "audio/mp4", "mp4": "video/mp4"}


class Listener:
    """A client of the application at its own origin, without cookies unless told."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self.origin = settings.origin
        self._client = app.test_client(use_cookies=False)

    def get(
        self,
        url: str,
        method: str = "GET",
        *,
        buffered: bool = True,
        at: str = "127.0.0.1",
        **headers: str,
    ) -> Any:
        """Ask for an address, absolute or not; header names with underscores for hyphens.

        `at` is the network address that the request comes from.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        path = url.removeprefix(self.origin)
        return self._client.open(
            path,
            method=method,
            base_url=self.origin,
            headers=sent,
            buffered=buffered,
            environ_overrides={"REMOTE_ADDR": at},
        )


def add_person(session: Session, name: str = "Ana Lima", **values: Any) -> Person:
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    person = Person(**{"email": f"{mark}@example.org", "name": name} | values)
    session.add(person)
    session.flush()
    return person


def add_show(session: Session, owner: Person, **values: Any) -> Show:
    told = {"slug": "platform", "title": "Platform talks", "description": "What we run."}
    show = Show(**told | {"owner_id": owner.id, "changed_at": LONG_AGO} | values)
    session.add(show)
    session.flush()
    return show


def add_talk(session: Session, show: Show, number: int = 1, **values: Any) -> Episode:
    """Add a published, complete episode with a score; `number` sets title, time and score."""
    at = LONG_AGO + timedelta(minutes=number)
    told = {
        "show_id": show.id,
        "author_id": show.owner_id,
        "title": f"Talk {number}",
        "notes": f"Notes of *talk {number}*.",
        "state": "complete",
        "revision": 1,
        "transcript_revision": 1,
        "duration": 60.4,
        "published_at": at,
        "changed_at": at,
    }
    episode = Episode(**told | values)
    session.add(episode)
    session.flush()
    session.add(EpisodeScore(episode_id=episode.id, listed=True, score=number / 100))
    return episode


def add_rendition(
    session: Session, episode: Episode, kind: str = "mp3", content: bytes | None = None
) -> Rendition:
    """Add a rendition's row; its object is not there."""
    content = content if content is not None else b"no such object"
    rendition = Rendition(
        episode_id=episode.id,
        revision=episode.revision,
        kind=kind,
        key=keys.rendition(episode.guid, episode.revision, kind),
        size=len(content),
        type=TYPES[kind],
        etag=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        duration=60.4,
        bitrate=64_000,
        width=1280 if kind == "mp4" else None,
        height=720 if kind == "mp4" else None,
        created_at=LONG_AGO,
    )
    session.add(rendition)
    session.flush()
    return rendition


def add_transcript(session: Session, episode: Episode) -> None:
    session.add(Transcript(episode_id=episode.id, language="en", created_at=LONG_AGO))
    for position, text in enumerate(("Widths are time.", "Heights are <calls>.")):
        session.add(
            Cue(
                episode_id=episode.id,
                position=position,
                start=position * 2.0,
                end=position * 2.0 + 1.5,
                text=text,
                paragraph=True,
            )
        )
    session.flush()


def add_token(
    session: Session, settings: Settings, person: Person, show: Show | None, **values: Any
) -> FeedToken:
    """Issue a token for a show, or for the top rated when there is none."""
    view = channel.view_of_show(session, show.id) if show else channel.view_top(session)
    view.changed_at = LONG_AGO
    token = tokens.issue(session, person.id, view, "my phone", secret=settings.secret, **values)
    token.created_at = LONG_AGO
    # Used just now, so that reading writes nothing while a test counts statements.
    token.used_at, token.used_by = datetime.now(UTC), "AntennaPod"
    session.add(token)
    session.flush()
    return token


def cookie(session: Session, person: Person) -> str:
    """Sign a person in and return the Cookie header."""
    return f"__Host-dare={sessions.start(session, person, 'a browser')}"
