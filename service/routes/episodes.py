"""One talk: hear it, read it, rate it, discuss it."""

from typing import Any

from flask import Blueprint, Response, abort, jsonify, redirect, render_template, request, url_for
from sqlmodel import Session
from werkzeug import Response as AnyResponse

from service import catalogue, discussion, listening
from service.catalogue import Talk
from service.context import dare, told
from service.failures import note
from service.identity.browser import me, signed_in
from service.publishing import PublishingError
from service.rating import ledger
from service.rating.ledger import RatingError
from storage.models import HEARABLE, Episode

blueprint = Blueprint("episodes", __name__, url_prefix="/episodes")


@blueprint.get("/<uuid:guid>")
@signed_in
def show(guid: Any) -> str:
    """Show one talk whole."""
    with dare().database.begin() as session:
        return _page(session, str(guid))


def _page(
    session: Session,
    guid: str,
    *,
    errors: dict[str, str] | None = None,
    typed: dict[str, str] | None = None,
) -> str:
    talk = catalogue.talk(session, me(), guid)
    if talk is None:
        abort(404)
    return render_template(
        "episodes/show.html",
        episode=shown(talk),
        comments=discussion.comments(session, me(), talk.row.id),
        related=catalogue.related(session, me(), talk.row),
        art_url=url_for("media.show_artwork", slug=talk.row.show.slug),
        start=_start(talk.row.duration),
        errors=errors or {},
        typed=typed or {},
    )


def _start(duration: float | None) -> float | None:
    """Return where `?t=` wants to begin, or None when it is no place in the talk."""
    wanted = request.args.get("t", type=float)
    inside = wanted is not None and 0 <= wanted <= (duration or 0)
    return wanted if inside else None


def shown(talk: Talk) -> dict[str, Any]:
    """Return a talk as its templates read it: facts of the row, and addresses."""
    row = talk.row
    guid, revision, film = row.guid, talk.revision, talk.video_revision
    return {
        **{name: getattr(row, name) for name in row.__dataclass_fields__},
        **{name: getattr(talk, name) for name in talk.__dataclass_fields__ if name != "row"},
        "audio_url": url_for("media.audio", guid=guid, revision=revision)
        if talk.has_audio
        else None,
        "video_url": url_for("media.video", guid=guid, revision=film) if talk.has_video else None,
        "captions_url": _transcript_url(talk, "vtt") if talk.transcript else None,
        "transcript_files": [
            (label, _transcript_url(talk, kind))
            for label, kind in (("captions", "vtt"), ("subtitles", "srt"), ("plain text", "txt"))
        ]
        if talk.transcript
        else [],
        "why": {
            "sentence": talk.why.sentence,
            "terms": [(name, f"{value:.2f}") for name, value in talk.why.terms]
            if talk.rating
            else [],
        },
    }


def _transcript_url(talk: Talk, kind: str) -> str:
    return url_for("media.transcript", guid=talk.row.guid, kind=kind)


@blueprint.get("/<uuid:guid>/progress")
@signed_in
def progress(guid: Any) -> Response:
    """Say how far the making of a talk is."""
    with dare().database.begin() as session:
        row = catalogue.progress(session, me(), str(guid))
    if row is None:
        abort(404)
    return jsonify(
        {"state": row.state, "percent": row.percent, "words": row.words, "reason": row.reason}
    )


def _open(session: Session, guid: Any) -> Episode:
    episode = catalogue.find(session, me(), str(guid))
    if episode is None:
        abort(404)
    return episode


@blueprint.post("/<uuid:guid>/rating")
@signed_in
def rate(guid: Any) -> AnyResponse:
    """Take one person's stars."""
    with dare().database.begin() as session:
        ledger.rate(session, me(), _open(session, guid), request.form.get("stars"))
    return redirect(url_for("episodes.show", guid=guid, _anchor="rating"), 303)


@blueprint.post("/<uuid:guid>/rating/removal")
@signed_in
def unrate(guid: Any) -> AnyResponse:
    """Take the stars back."""
    with dare().database.begin() as session:
        ledger.withdraw(session, me(), _open(session, guid))
    return redirect(url_for("episodes.show", guid=guid, _anchor="rating"), 303)


@blueprint.post("/<uuid:guid>/comments")
@signed_in
def comment(guid: Any) -> AnyResponse | tuple[str, int]:
    """Write a comment, or show the page again with what was typed."""
    with dare().database.begin() as session:
        episode = _open(session, guid)
        if episode.published_at is None:
            abort(409, "Comments open when the talk is out.")
        try:
            said = discussion.say(
                session,
                me(),
                episode,
                body=request.form.get("body", ""),
                at=request.form.get("at", type=float),
                parent=request.form.get("parent", type=int),
            )
        except PublishingError as error:
            return _page(session, str(guid), errors=error.errors, typed=request.form.to_dict()), 422
    return redirect(url_for("episodes.show", guid=guid, _anchor=f"comment-{said.id}"), 303)


@blueprint.post("/<uuid:guid>/comments/removal")
@signed_in
def remove_comment(guid: Any) -> AnyResponse:
    """Remove a comment."""
    chosen = request.form.get("comment", type=int)
    with dare().database.begin() as session:
        episode = _open(session, guid)
        if chosen is None:
            abort(404)
        discussion.remove(session, me(), episode, chosen)
    note("good", "The comment is gone.")
    return redirect(url_for("episodes.show", guid=guid, _anchor="comments"), 303)


@blueprint.post("/<uuid:guid>/position")
@signed_in
def position(guid: Any) -> tuple[str, int]:
    """Remember where somebody is in a talk."""
    place = told()
    seconds = place.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise PublishingError({"seconds": "Seconds are a number."})
    with dare().database.begin() as session:
        episode = _open(session, guid)
        if episode.state not in HEARABLE and episode.playable_at is None:
            raise RatingError(409, "This talk cannot be heard yet.")
        listening.keep_position(
            session, me(), episode, seconds=seconds, finished=place.get("finished") is True
        )
    return "", 204
