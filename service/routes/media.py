"""Sound, film, pictures and transcripts: for podcast apps by key, for signed-in people by session.

An app's address carries the whole authority and is answered in full, however long the range. The
pages' own addresses need a session, and give a browser's player at most one MiB at a time.
"""

import threading
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, current_app, request
from sqlalchemy import and_, select
from sqlmodel import Session, col

from service import artwork
from service.access import Asker, asker_of, listed, visible
from service.context import dare
from service.delivery import (
    BROWSER_CAP,
    OPEN_TO_PLAYERS,
    PREFLIGHT,
    PRIVATE,
    Offer,
    Terms,
    answer,
    made,
    refusal,
    stored,
)
from service.feed import tokens, transcripts
from service.feed.channel import FILES, TOP_TITLE
from service.feed.tokens import Opened
from service.identity.browser import keyed, me, signed_in
from service.routes.refusals import refused
from storage.models import Episode, FeedView, Rendition, Show

blueprint = Blueprint("media", __name__)

GONE = "This episode is no longer available."
NOT_READY = "This episode cannot be played yet."
NOTHING = "There is nothing at this address."
SAME_FOR_PLAYERS = OPEN_TO_PLAYERS | {"Cross-Origin-Resource-Policy": "cross-origin"}
KINDS = {name: kind for kind, (name, _type, _title) in FILES.items()}
MEDIA_NAMES = ", ".join(repr(name) for name in KINDS)
TEXT_NAMES = ", ".join(repr(extension) for extension in ("vtt", "srt", "json"))


def _lanes() -> threading.Semaphore:
    """Return what caps long answers: half of this process's threads stay free for pages."""
    lanes: threading.Semaphore = current_app.extensions.setdefault(
        "dare-lanes", threading.BoundedSemaphore(max(1, dare().settings.web_threads // 2))
    )
    return lanes


def _rendition(
    session: Session, asker: Asker, guid: UUID, revision: int, kind: str
) -> tuple[Episode | None, bool, Rendition | None]:
    row = session.execute(
        select(Episode, listed(asker), Rendition)
        .join(
            Rendition,
            and_(
                col(Rendition.episode_id) == col(Episode.id),
                col(Rendition.revision) == revision,
                col(Rendition.kind) == kind,
            ),
            isouter=True,
        )
        .where(col(Episode.guid) == guid)
    ).one_or_none()
    return tuple(row) if row else (None, False, None)  # type: ignore[return-value]


def _offer(rendition: Rendition) -> Offer:
    return stored(
        dare().store,
        rendition.key,
        size=rendition.size,
        content_type=FILES[rendition.kind][1],
        etag=rendition.etag.strip('"'),
        modified=rendition.created_at,
    )
