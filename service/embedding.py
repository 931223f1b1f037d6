"""A talk as other sites may show it: a card in a frame, described by oEmbed 1.0 (oembed.com)."""

import re
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlmodel import Session, col

from service.access import Viewer, visible
from storage.models import Episode, Person, Rendition, Show

# What a frame is, in pixels, unless its page wants less.
WIDTH, HEIGHT = 600, 200
ARTWORK = 1400
TALK = re.compile(r"/episodes/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/?")


@dataclass(frozen=True)
class Card:
    """What is shown of a talk. `revision` is that of the newest sound."""

    guid: str
    title: str
    author: str
    show: str
    slug: str
    duration: float | None
    revision: int


def card(session: Session, viewer: Viewer, guid: str) -> Card | None:
    """Return the card of a talk that this viewer may open and that can be heard, else None."""
    newest = (
        select(func.max(col(Rendition.revision)))
        .where(col(Rendition.episode_id) == col(Episode.id), col(Rendition.kind) == "mp3")
        .correlate(Episode)
        .scalar_subquery()
    )
    found = session.execute(
        select(Episode, col(Person.name), col(Show.title), col(Show.slug), newest)
        .join(Person, col(Person.id) == col(Episode.author_id))
        .join(Show, col(Show.id) == col(Episode.show_id))
        .where(col(Episode.guid) == guid, visible(viewer))
    ).one_or_none()
    if found is None or found[4] is None:
        return None
    episode, author, show, slug, revision = found
    return Card(str(episode.guid), episode.title, author, show, slug, episode.duration, revision)


def named(origin: str, url: str) -> str | None:
    """Return the guid of the talk whose page this address is; None when it is none of ours."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if f"{parts.scheme}://{parts.netloc}" != origin:
        return None
    found = TALK.fullmatch(parts.path)
    return found[1] if found else None


def code(origin: str, guid: str, title: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    """Return the HTML that shows a talk in a frame on another page; lengths in pixels."""
    source, name = escape(f"{origin}/embed/{guid}"), escape(title)
    return (
        f'<iframe src="{source}" title="{name}" width="{width}" height="{height}" '
        'loading="lazy"></iframe>'
    )


def described(
    known: Card, origin: str, organisation: str, *, most_wide: int | None, most_high: int | None
) -> dict[str, Any]:
    """Return a talk as oEmbed describes it; `most_wide` and `most_high` in pixels."""
    width, height = min(WIDTH, most_wide or WIDTH), min(HEIGHT, most_high or HEIGHT)
    told: dict[str, Any] = {
        "version": "1.0",
        "type": "rich",
        "title": known.title,
        "author_name": known.author,
        "provider_name": organisation,
        "provider_url": f"{origin}/",
        "width": width,
        "height": height,
        "html": code(origin, known.guid, known.title, width, height),
    }
    if min(most_wide or ARTWORK, most_high or ARTWORK) >= ARTWORK:
        told |= {
            "thumbnail_url": f"{origin}/shows/{known.slug}/art.jpg",
            "thumbnail_width": ARTWORK,
            "thumbnail_height": ARTWORK,
        }
    return told
