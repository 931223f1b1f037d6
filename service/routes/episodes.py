"""One talk: hear it, read it, rate it, discuss it, and say when it should not stand as it is."""

from typing import Any

from flask import Blueprint, Response, abort, jsonify, redirect, render_template, request, url_for
from sqlmodel import Session
from werkzeug import Response as AnyResponse

from service import access, catalogue, discussion, limits, listening, visibility
from service.access import Asker
from service.catalogue import Talk
from service.context import dare, told
from service.discussion import Said
from service.failures import note
from service.identity import browser
from service.identity.browser import me, open_to_guests, signed_in, viewer
from service.moderation import caseload, decisions, openings, reports, things
from service.moderation.things import Thing
from service.publishing import PublishingError
from service.rating import ledger
from service.rating.ledger import RatingError
from storage.models import HEARABLE, Episode, Show

blueprint = Blueprint("episodes", __name__, url_prefix="/episodes")


@blueprint.get("/<uuid:guid>")
@open_to_guests
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
    refused: dict[str, Any] | None = None,
) -> str:
    """Return the page; `errors` are a comment's, `refused` is a report or answer sent in vain."""
    talk = catalogue.talk(session, viewer(), guid)
    if talk is None:
        abort(404)
    return render_template(
        "episodes/show.html",
        episode=shown(talk),
        related=catalogue.related(session, viewer(), talk.row),
        art_url=url_for("media.show_artwork", slug=talk.row.show.slug),
        start=_start(talk.row.duration),
        errors=errors or {},
        typed=typed or {},
        refused=refused or {},
        **_for_colleagues(session, talk),
    )


def _for_colleagues(session: Session, talk: Talk) -> dict[str, Any]:
    """Return what a page has for people who are signed in; guests are shown the talk alone."""
    asker = browser.asker()
    if asker is None:
        return {"comments": [], "comment_count": 0, "panels": {}}
    episode = session.get_one(Episode, talk.row.id)
    threads = discussion.comments(session, asker, episode.id)
    return {
        "heard_by": visibility.audience_in_words(
            session,
            asker,
            session.get_one(Show, episode.show_id),
            episode.audience,
            dare().settings.organisation,
        ),
        "comments": threads,
        "comment_count": discussion.count(threads),
        "standing": things.standing_of(episode),
        "reasons": reports.REASONS,
        "reported": reports.open_of(session, asker, episode.id),
        "may_report": episode.published_at is not None and not talk.mine,
        "taken": _taken(session, asker, episode) if episode.author_id == asker.id else None,
        "opened": None if talk.row.published_at else openings.leave_of(session, asker, episode),
        "panels": _panels(session, talk, episode, threads),
        "proved": browser.has_proved_lately(),
    }


def _taken(session: Session, asker: Asker, episode: Episode) -> dict[str, Any] | None:
    """Return what the author is told of a talk that a moderator took away."""
    standing = things.standing_of(episode)
    if standing not in {"hidden", "removed"}:
        return None
    return {
        "standing": standing,
        "why": decisions.why(session, Thing(episode, None), standing) or episode.hidden_words,
        "answered": reports.is_answered(session, asker, episode.id),
    }


def _panels(
    session: Session, talk: Talk, episode: Episode, threads: list[Said]
) -> dict[int, caseload.Panel]:
    """Return what this person can do as a moderator, to the talk (0) and to each comment."""
    standings = {0: things.standing_of(episode)} if talk.may_moderate else {}
    if not access.was_out(episode):
        return {}
    said = (comment for thread in threads for comment in (thread, *thread.replies))
    standings |= {comment.id: comment.standing for comment in said if comment.may_moderate}
    return caseload.panels(session, episode.id, standings) if standings else {}


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
        limits.spend(session, limits.RATINGS, me().id)
        ledger.rate(session, me(), _open(session, guid), request.form.get("stars"))
    return redirect(url_for("episodes.show", guid=guid, _anchor="rating"), 303)


@blueprint.post("/<uuid:guid>/rating/removal")
@signed_in
def unrate(guid: Any) -> AnyResponse:
    """Take the stars back."""
    with dare().database.begin() as session:
        limits.spend(session, limits.RATINGS, me().id)
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
    """Take one's own comment back."""
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


@blueprint.post("/<uuid:guid>/reports")
@signed_in
def report(guid: Any) -> AnyResponse | tuple[str, int]:
    """Tell moderators that a talk, or a comment on it, should not stand as it is."""
    sent, comment_id = request.form, _comment_id()
    with dare().database.begin() as session:
        try:
            fresh = reports.report(
                session,
                me(),
                str(guid),
                reason=sent.get("reason", ""),
                words=sent.get("words", ""),
                comment_id=comment_id,
                network=browser.network(),
            )
        except PublishingError as error:
            return _page(session, str(guid), refused=_refused("report", error)), 422
    note(
        "good",
        "Thank you. Moderators will look at it." if fresh else "You have reported it already.",
    )
    return redirect(_back(guid, comment_id), 303)


@blueprint.post("/<uuid:guid>/answers")
@signed_in
def answer(guid: Any) -> AnyResponse | tuple[str, int]:
    """Answer for one's own talk or comment that a moderator took away."""
    comment_id = _comment_id()
    with dare().database.begin() as session:
        try:
            fresh = reports.appeal(
                session,
                me(),
                str(guid),
                words=request.form.get("words", ""),
                comment_id=comment_id,
                network=browser.network(),
            )
        except PublishingError as error:
            return _page(session, str(guid), refused=_refused("answer", error)), 422
    note("good", "Your answer is with the moderators." if fresh else "Your answer waits already.")
    return redirect(_back(guid, comment_id), 303)


def _comment_id() -> int | None:
    """Return the comment that a form is about; None for the talk itself."""
    told_id = request.form.get("comment", "")
    if not told_id:
        return None
    if not (told_id.isascii() and told_id.isdecimal() and len(told_id) < 19):
        abort(404)
    return int(told_id)


def _refused(what: str, error: PublishingError) -> dict[str, Any]:
    return {
        "what": what,
        "about": _comment_id() or 0,
        "errors": error.errors,
        "typed": request.form.to_dict(),
    }


def _back(guid: Any, comment_id: int | None) -> str:
    place = f"comment-{comment_id}" if comment_id else None
    return url_for("episodes.show", guid=guid, _anchor=place)
