"""Rows become a Channel: what one reader's feed says, with that reader's own addresses.

Every address is built from the settings' origin, never from a request.
"""

import zlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any
from uuid import UUID, uuid4, uuid5

from sqlalchemy import and_, func, select, text, tuple_
from sqlmodel import Session, col

from service.access import Asker
from service.feed import entries, notes, tokens
from service.feed.entries import SHOW, TOP
from service.feed.rss import (
    Channel,
    Enclosure,
    Item,
    TranscriptFile,
    Url,
    Voice,
    role_address,
)
from service.feed.tokens import Opened
from service.identity.secrets import key_of
from storage.models import (
    Episode,
    EpisodePerson,
    FeedEntry,
    FeedView,
    Person,
    Rendition,
    Show,
    Transcript,
)
from storage.settings import Settings

# The namespace that Podcasting 2.0 fixes for podcast:guid.
PODCAST_GUIDS = UUID("ead4c236-bf58-58c6-a2c6-a6b28d128cb6")
TOP_TITLE = "Top rated"
# Raise it when the same rows make other XML: it is part of every ETag.
FORMAT = 1
# One view is made at a time, whoever asks first.
MAKING_VIEWS = 0x6461726502
FILES = {
    "mp3": ("audio.mp3", "audio/mpeg", "MP3 audio"),
    "m4a": ("audio.m4a", "audio/x-m4a", "M4A audio"),
    "mp4": ("video.mp4", "video/mp4", "Video"),
}
TRANSCRIPTS = {
    "vtt": ("text/vtt", True),
    "srt": ("application/x-subrip", True),
    "json": ("application/json", False),
}
GENERATOR = f"Dare {version('dare-to-share')}"


def _view(session: Session, kind: str, show_id: int | None, name: str) -> FeedView:
    wanted = select(FeedView).where(
        col(FeedView.kind) == kind, col(FeedView.show_id).is_not_distinct_from(show_id)
    )
    found = session.execute(wanted).scalar_one_or_none()
    if found is None:
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MAKING_VIEWS})
        found = session.execute(wanted).scalar_one_or_none()
    if found is None:
        found = FeedView(kind=kind, show_id=show_id, guid=uuid5(PODCAST_GUIDS, name))
        session.add(found)
        session.flush()
    return found


def view_of_show(session: Session, show_id: int) -> FeedView:
    """Return the view of one show, made at the first call; its podcast:guid stays for ever.

    The name under the UUIDv5 holds the show's guid and no host: the house may move.

    Raises:
        NoResultFound: there is no such show.
    """
    guid = session.execute(select(col(Show.guid)).where(col(Show.id) == show_id)).scalar_one()
    return _view(session, SHOW, show_id, f"shows/{guid}")


def view_top(session: Session) -> FeedView:
    """Return the view of the top rated episodes of the whole house, made at the first call."""
    return _view(session, TOP, None, f"top/{uuid4()}")


@dataclass(frozen=True)
class Addresses:
    """The addresses that one token's feed names. Byte-stable: no time and no host header in it."""

    settings: Settings
    opened: Opened

    def _under(self, key: str, guid: UUID, revision: int, name: str) -> Url:
        ref = self.opened.token.ref
        return Url(f"{self.settings.origin}/m/{ref}/{key}/{guid}/{revision}/{name}")

    def of_episode(self, guid: UUID, revision: int, name: str) -> Url:
        """Return the address of one of an episode's files."""
        key = tokens.episode_key(self.settings.secret, self.opened.token, guid)
        return self._under(key, guid, revision, name)

    def of_artwork(self, guid: UUID, look: str) -> Url:
        """Return the address of a picture; it changes when `look`, what is drawn, does."""
        key = tokens.artwork_key(self.settings.secret, self.opened.token, guid)
        return self._under(key, guid, zlib.crc32(look.encode()), "art.jpg")

    def feed(self, page: int = 1) -> Url:
        """Return the feed's own address, of one of its pages."""
        first = tokens.address(self.settings, self.opened.token)
        return Url(first if page == 1 else f"{first}?page={page}")

    def page(self, path: str) -> Url:
        """Return the address of a page for signed-in people."""
        return Url(f"{self.settings.origin}/{path}")


def etag(settings: Settings, opened: Opened, standing: entries.Standing, page: int) -> str:
    """Return the weak ETag's value: it differs whenever the XML would."""
    show, owner, token = opened.show, opened.owner, opened.token
    about = ((show.title, show.description, show.language, show.artwork_key) if show else ()) + (
        (owner.name, str(owner.ref)) if owner else ()
    )
    parts = (
        FORMAT, GENERATOR, settings.origin, settings.organisation, settings.contact,
        settings.language,
        str(opened.view.guid), token.ref, token.generation, token.mode,
        page, standing.total, standing.fingerprint, about, opened.graced is not None,
    )  # fmt: skip
    return key_of(repr(parts))[:32]


def changed(opened: Opened, standing: entries.Standing) -> datetime:
    """Return the feed's last change as far as rows know: never the time of asking."""
    moments = [opened.token.created_at, opened.view.changed_at]
    moments += [opened.show.changed_at] if opened.show else []
    moments += [opened.settled] if opened.settled else []
    return max(moments + ([standing.changed] if standing.changed else []))


def channel(
    session: Session,
    settings: Settings,
    opened: Opened,
    asker: Asker,
    standing: entries.Standing,
    *,
    page: int,
    modified: datetime,
) -> Channel:
    """Return one page of a token's feed; `modified` fills lastBuildDate."""
    where = Addresses(settings, opened)
    show = opened.show
    title = show.title if show else f"{TOP_TITLE} · {settings.organisation}"
    about = show.description if show else "What colleagues found most useful, the best first."
    return Channel(
        guid=opened.view.guid,
        title=title,
        link=where.page(f"shows/{show.slug}" if show else "top"),
        description=notes.description(about, otherwise=title),
        language=(show.language if show else settings.language).lower(),
        generator=GENERATOR,
        changed=modified,
        address=where.feed(page),
        moved_to=where.feed() if opened.graced else None,
        image=_artwork(where, show) if show else where.of_artwork(opened.view.guid, TOP_TITLE),
        author=settings.organisation,
        owner_email=settings.contact if "@" in settings.contact else role_address(settings.origin),
        pages=_pages(where, page, standing.pages),
        people=(_voice(where, opened.owner.name, opened.owner.ref),) if opened.owner else (),
        items=_items(session, where, asker, page),
    )


def _artwork(where: Addresses, show: Show) -> Url:
    return where.of_artwork(show.guid, f"{show.title}\n{show.artwork_key or ''}")


def _voice(where: Addresses, name: str, ref: UUID, role: str = "host") -> Voice:
    return Voice(name, role, where.page(f"people/{ref}"))


def _pages(where: Addresses, page: int, last: int) -> tuple[tuple[str, Url], ...]:
    """Return the links of RFC 5005, section 3, as they apply to this page."""
    if last == 1:
        return ()
    numbers = [("first", 1), ("last", last), ("previous", page - 1), ("next", page + 1)]
    return tuple((rel, where.feed(number)) for rel, number in numbers if 1 <= number <= last)


def _items(session: Session, where: Addresses, asker: Asker, page: int) -> tuple[Item, ...]:
    view = where.opened.view
    ranks = entries.ranked(asker, view)
    rows = session.execute(
        select(Episode, Show, Person, Transcript, ranks.c.revision, entries.shown_at(view))
        .select_from(ranks)
        .join(Episode, col(Episode.id) == ranks.c.id)
        .join(Show, col(Show.id) == col(Episode.show_id))
        .join(Person, col(Person.id) == col(Episode.author_id))
        .join(
            Transcript,
            and_(
                col(Transcript.episode_id) == ranks.c.id,
                col(Transcript.source_revision) == ranks.c.revision,
                col(Episode.state) == "complete",
            ),
            isouter=True,
        )
        .join(
            FeedEntry,
            and_(col(FeedEntry.episode_id) == ranks.c.id, col(FeedEntry.view_id) == view.id),
            isouter=True,
        )
        .where(entries.on_page(ranks, page))
        .order_by(ranks.c.rank)
    ).all()
    made = _renditions(session, [(row[0].id, row[4]) for row in rows])
    heard = _voices(session, where, [row[0].id for row in rows])
    return tuple(_item(where, row, made[row[0].id], heard[row[0].id]) for row in rows)


def _renditions(
    session: Session, revisions: list[tuple[int, int]]
) -> dict[int, dict[str, Rendition]]:
    found: dict[int, dict[str, Rendition]] = defaultdict(dict)
    which = tuple_(col(Rendition.episode_id), col(Rendition.revision)).in_(revisions)
    for rendition in session.execute(select(Rendition).where(which)).scalars():
        found[rendition.episode_id][rendition.kind] = rendition
    return found


def _voices(session: Session, where: Addresses, ids: list[int]) -> dict[int, list[Voice]]:
    found: dict[int, list[Voice]] = defaultdict(list)
    rows = session.execute(
        select(EpisodePerson, Person)
        .join(Person, col(Person.id) == col(EpisodePerson.person_id))
        .where(col(EpisodePerson.episode_id).in_(ids))
        .order_by(func.lower(col(EpisodePerson.role)).desc(), col(Person.id))
    )
    for heard, person in rows:
        voice = _voice(where, person.name, person.ref, heard.role)
        found[heard.episode_id].append(voice)
    return found


def _item(where: Addresses, row: Any, made: dict[str, Rendition], guests: list[Voice]) -> Item:
    episode, show, author, transcript, _revision, published = row
    renditions = {kind: made[kind] for kind in FILES if kind in made}
    offered = {
        kind: _enclosure(where, episode.guid, rendition) for kind, rendition in renditions.items()
    }
    wanted = "mp4" if where.opened.token.mode == "video" and "mp4" in offered else "mp3"
    page = where.page(f"episodes/{episode.guid}")
    author_voice = _voice(where, author.name, author.ref)
    others = [voice for voice in guests if voice.href != author_voice.href]
    return Item(
        guid=episode.guid,
        title=episode.title,
        link=page,
        published=published,
        description=notes.description(episode.notes, otherwise=episode.title),
        content=notes.content(episode.notes, link=page),
        enclosure=offered[wanted],
        duration=max(1, round(renditions[wanted].duration)),
        author=author.name,
        image=_artwork(where, show),
        alternates=tuple(offered.values()) if len(offered) > 1 else (),
        people=(author_voice, *others),
        transcripts=_transcripts(where, episode, transcript),
    )


def _enclosure(where: Addresses, guid: UUID, rendition: Rendition) -> Enclosure:
    name, content_type, title = FILES[rendition.kind]
    # What is not known is worked out from what is: 8 bits a byte over the duration.
    bitrate = rendition.bitrate or round(8 * rendition.size / max(rendition.duration, 0.1))
    return Enclosure(
        url=where.of_episode(guid, rendition.revision, name),
        type=content_type,
        length=rendition.size,
        bitrate=bitrate,
        height=rendition.height if rendition.kind == "mp4" else None,
        title=title,
    )


def _transcripts(
    where: Addresses, episode: Episode, transcript: Transcript | None
) -> tuple[TranscriptFile, ...]:
    if transcript is None:
        return ()
    language = transcript.language.lower()
    return tuple(
        TranscriptFile(
            where.of_episode(episode.guid, transcript.revision, f"{language}.{extension}"),
            content_type,
            language,
            captions,
        )
        for extension, (content_type, captions) in TRANSCRIPTS.items()
    )
