"""Sound, film, pictures and transcripts: for podcast apps by key, for signed-in people by session.

An app's address carries the whole authority and is answered in full, however long the range. The
pages' own addresses need a session, and give a browser's player at most one MiB at a time.
"""

import threading
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, current_app, request
from sqlalchemy import ColumnElement, and_, select
from sqlmodel import Session, col

from service import artwork, transcript_files
from service.access import listed, shows_open, visible
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
from service.feed import tokens
from service.feed.channel import FILES, TOP_TITLE
from service.identity.browser import keyed, open_to_guests, viewer
from service.openings import UNKNOWN, by_key
from storage.models import Episode, FeedView, Rendition, Show, Transcript

blueprint = Blueprint("media", __name__)

GONE = "This episode is no longer available."
NOT_READY = "This episode cannot be played yet."
KINDS = {name: kind for kind, (name, _type, _title) in FILES.items()}
IN_PLAYERS = OPEN_TO_PLAYERS | {"Cross-Origin-Resource-Policy": "cross-origin"}
ON_PAGES = {"Referrer-Policy": "same-origin"}
PLACE = "/m/<ref>/<key>/<uuid:guid>/<int:revision>/"
PLAYABLE = '<any("audio.mp3", "audio.m4a", "video.mp4"):name>'
READABLE = '<any("vtt", "srt", "json"):extension>'


def _lanes() -> threading.Semaphore:
    """Return what caps long answers: half of this process's threads stay free for pages."""
    lanes: threading.Semaphore = current_app.extensions.setdefault(
        "dare-lanes", threading.BoundedSemaphore(max(1, dare().settings.web_threads // 2))
    )
    return lanes


def _rendition(session: Session, episode: Episode, revision: int, kind: str) -> Rendition | None:
    return session.get(Rendition, (episode.id, revision, kind))


def _sent(rendition: Rendition, terms: Terms) -> Response:
    """Answer with a rendition; no database connection may be held here."""
    offer = stored(
        dare().store,
        rendition.key,
        size=rendition.size,
        content_type=FILES[rendition.kind][1],
        etag=rendition.etag.strip('"'),
        modified=rendition.created_at,
    )
    return answer(request, offer, terms)


def _heard(session: Session, ref: str, key: str, guid: UUID) -> Episode | Response:
    """Return the episode that an app's key opens now, or the refusal."""
    opened = by_key(session, ref, key, guid, tokens.episode_key)
    if isinstance(opened, Response):
        return opened
    row = session.execute(
        select(Episode, listed(opened.asker)).where(col(Episode.guid) == guid)
    ).one_or_none()
    episode, may = row or (None, False)
    # Retention makes a withdrawn talk a draft again; to an app it has gone all the same.
    was_out = episode is not None and bool(episode.published_at or episode.withdrawn_at)
    if episode is None or (was_out and not may):
        return refusal(410, GONE)
    return episode if may else refusal(404, NOT_READY)


@blueprint.get(f"{PLACE}{PLAYABLE}")
@keyed
def play(ref: str, key: str, guid: UUID, revision: int, name: str) -> Response:
    """Give a podcast app one rendition: all of it, or all of the range that it asks for."""
    with dare().database.begin() as session:
        episode = _heard(session, ref, key, guid)
        if isinstance(episode, Response):
            return episode
        rendition = _rendition(session, episode, revision, KINDS[name])
    if rendition is None:
        return refusal(404, NOT_READY)
    return _sent(rendition, Terms(lanes=_lanes()))


@blueprint.get(f"{PLACE}<language>.{READABLE}", provide_automatic_options=False)
@keyed
def read(ref: str, key: str, guid: UUID, extension: str, **_revised: Any) -> Response:
    """Give a podcast app a transcript's file.

    The revision and the language in the address only make it change when the words do: whoever
    still holds an older address gets the words of today.
    """
    with dare().database.begin() as session:
        episode = _heard(session, ref, key, guid)
        if isinstance(episode, Response):
            return episode
        offer = _transcript(session, episode, extension)
    if offer is None:
        return refusal(404, UNKNOWN)
    return answer(request, offer, Terms(IN_PLAYERS))


@blueprint.route(f"{PLACE}<language>.{READABLE}", methods=["OPTIONS"], endpoint="preflight")
@keyed
def preflight(**_address: Any) -> Response:
    """Tell a player in a browser that it may read transcripts; says nothing of the address."""
    return Response(status=204, headers=PRIVATE | PREFLIGHT)


def _transcript(session: Session, episode: Episode, extension: str) -> Offer | None:
    transcript = session.get(Transcript, episode.id)
    content = transcript_files.written(session, episode.id, extension)
    if transcript is None or content is None:
        return None
    return made(content, transcript_files.TYPES[extension], transcript.created_at)


@blueprint.get(f"{PLACE}art.jpg")
@keyed
def art(ref: str, key: str, guid: UUID, **_revised: Any) -> Response:
    """Give a podcast app the picture of a show, or of a view that is no show."""
    with dare().database.begin() as session:
        opened = by_key(session, ref, key, guid, tokens.artwork_key)
        if isinstance(opened, Response):
            return opened
        show = session.execute(
            select(Show).where(col(Show.guid) == guid, shows_open(opened.asker))
        ).scalar_one_or_none()
        view = session.execute(select(col(FeedView.id)).where(col(FeedView.guid) == guid)).first()
    if show is None and view is None:
        return refusal(410, GONE)
    return answer(request, _picture(show, guid), Terms(IN_PLAYERS))


def _picture(show: Show | None, guid: UUID) -> Offer:
    """Return a show's own picture, or the one drawn from its title."""
    if show is not None and show.artwork_key is not None:
        found = dare().store.head(show.artwork_key)
        if found is not None:
            return stored(
                dare().store,
                show.artwork_key,
                size=found.size,
                content_type=found.type,
                etag=found.etag,
                modified=show.changed_at,
            )
    title = show.title if show is not None else TOP_TITLE
    return made(artwork.drawn(title, artwork.colour_for(str(guid))), "image/jpeg")


def _episode(session: Session, condition: ColumnElement[bool], guid: UUID) -> Episode:
    found = session.execute(select(Episode).where(and_(condition, col(Episode.guid) == guid)))
    episode: Episode | None = found.scalar_one_or_none()
    if episode is None:
        abort(404)
    return episode


@blueprint.get("/episodes/<uuid:guid>/media/<int:revision>/audio.mp3")
@open_to_guests
def audio(guid: UUID, revision: int) -> Response:
    """Give the page's player the sound, at most one MiB for each range that it asks for."""
    return _for_the_page(guid, revision, "mp3")


@blueprint.get("/episodes/<uuid:guid>/media/<int:revision>/video.mp4")
@open_to_guests
def video(guid: UUID, revision: int) -> Response:
    """Give the page's player the film, as `audio` does."""
    return _for_the_page(guid, revision, "mp4")


def _for_the_page(guid: UUID, revision: int, kind: str) -> Response:
    with dare().database.begin() as session:
        episode = _episode(session, visible(viewer()), guid)
        rendition = _rendition(session, episode, revision, kind)
    if rendition is None:
        abort(404)
    return _sent(rendition, Terms(ON_PAGES, cap=BROWSER_CAP, lanes=_lanes()))


@blueprint.get('/episodes/<uuid:guid>/transcript.<any("vtt", "srt", "json", "txt"):kind>')
@open_to_guests
def transcript(guid: UUID, kind: str) -> Response:
    """Give the page, or its reader, the transcript as a file."""
    with dare().database.begin() as session:
        offer = _transcript(session, _episode(session, visible(viewer()), guid), kind)
    if offer is None:
        abort(404)
    return answer(request, offer, Terms(ON_PAGES))


@blueprint.get("/shows/<slug>/art.jpg")
@open_to_guests
def show_artwork(slug: str) -> Response:
    """Give a page the picture of a show."""
    with dare().database.begin() as session:
        show = session.execute(
            select(Show).where(col(Show.slug) == slug, shows_open(viewer()))
        ).scalar_one_or_none()
    if show is None:
        abort(404)
    return answer(request, _picture(show, show.guid), Terms(ON_PAGES))
