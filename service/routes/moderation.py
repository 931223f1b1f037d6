"""Where moderators work: what is reported, one case, what was decided, and undoing it."""

from typing import Any
from uuid import UUID

from flask import Blueprint, abort, redirect, render_template, request, url_for
from sqlmodel import Session
from werkzeug import Response

from service import catalogue
from service.context import dare
from service.failures import note
from service.identity import browser
from service.identity.browser import me, moderator, recent, steward
from service.moderation import caseload, decisions, openings
from service.moderation.things import STANDS
from service.publishing import NotThereError, PublishingError
from storage.models import Decision

blueprint = Blueprint("moderation", __name__, url_prefix="/moderation")
# No row has a larger number.
LARGEST = 2**63 - 1
NUMBER = f"int(max={LARGEST})"
MOST_AT_ONCE = 100
DONE = {
    "dismissed": "Dismissed. Those who reported it are told that it stays.",
    "hidden": "It is hidden now, and its author is told why.",
    "removed": "It is removed, and its author is told why.",
    "restored": "It stands again, and its author is told.",
}

RETURNED = "It is its author's draft again, without its recording, and they are told."


@blueprint.get("/")
@steward
@recent
def index() -> str:
    """List what is reported and not decided, the oldest first."""
    with dare().database.begin() as session:
        return _queue(session)


def _queue(
    session: Session, errors: dict[str, str] | None = None, chosen: list[str] | None = None
) -> str:
    after = request.args.get("after", 0, _number)
    page = caseload.queue(session, me(), after)
    return render_template(
        "moderation/index.html",
        cases=page.rows,
        next_url=url_for("moderation.index", after=page.after) if page.after else None,
        errors=errors or {},
        chosen=chosen or [],
    )


def _number(told: str) -> int:
    """Return a row's number as it stands in an address or a form.

    Raises:
        ValueError: it is none.
    """
    if not (told.isascii() and told.isdecimal() and len(told) < 20) or int(told) > LARGEST:
        raise ValueError(told)
    return int(told)


def _number_or_404(told: str) -> int | None:
    """Return the comment that something is about, or None for the talk itself."""
    if not told:
        return None
    try:
        return _number(told)
    except ValueError:
        abort(404)


@blueprint.get("/<uuid:guid>")
@steward
@recent
def case(guid: UUID) -> str:
    """Show one talk, or a comment on it, with all that was reported and decided of it."""
    with dare().database.begin() as session:
        return _case(session, guid, _number_or_404(request.args.get("comment", "")))


def _case(
    session: Session,
    guid: UUID,
    comment_id: int | None,
    *,
    errors: dict[str, str] | None = None,
    undoing: dict[str, str] | None = None,
) -> str:
    return render_template(
        "moderation/case.html",
        case=caseload.case(session, me(), str(guid), comment_id),
        errors=errors or {},
        undo_errors=undoing or {},
        typed=request.form.to_dict(),
    )


@blueprint.post("/<uuid:guid>")
@steward
@recent
def decide(guid: UUID) -> Response | tuple[str, int]:
    """Dismiss, hide, remove or restore; or show the case again with what was typed."""
    sent = request.form
    comment_id = _number_or_404(sent.get("comment", ""))
    with dare().database.begin() as session:
        try:
            made = decisions.decide(
                session,
                dare(),
                me(),
                str(guid),
                act=sent.get("act", ""),
                words=sent.get("words", ""),
                turn=sent.get("turn", -1, _number),
                comment_id=comment_id,
                upto=sent.get("upto", None, _number),
                network=browser.network(),
            )
        except PublishingError as error:
            return _case(session, guid, comment_id, errors=error.errors), 422
        act, seen = made.act, _sees(session, guid)
    note("good", DONE[act] if seen else RETURNED)
    return redirect(_back(guid, comment_id, seen=seen), 303)


def _sees(session: Session, guid: UUID) -> bool:
    """Whether this moderator may still open the talk: not when it is its author's draft again."""
    return catalogue.find(session, me(), str(guid)) is not None


def _back(guid: Any, comment_id: int | None, *, seen: bool) -> str:
    """Return where the form stood: on the talk's page, if it is `seen`, or among the cases."""
    if request.form.get("back") == "talk" and seen:
        place = f"comment-{comment_id}" if comment_id else "moderation"
        return url_for("episodes.show", guid=guid, _anchor=place)
    if request.form.get("back") == "decided":
        return url_for("moderation.decided")
    return url_for("moderation.index")


@blueprint.get("/decided")
@steward
@recent
def decided() -> str:
    """List what was decided, the latest first."""
    with dare().database.begin() as session:
        page = caseload.history(session, me(), request.args.get("before", None, _number))
    more = url_for("moderation.decided", before=page.before) if page.before else None
    return render_template("moderation/decided.html", rows=page.rows, next_url=more)


@blueprint.post(f"/decided/<{NUMBER}:decision_id>/undoing")
@steward
@recent
def undo(decision_id: int) -> Response | tuple[str, int]:
    """Take a decision back, with a reason."""
    with dare().database.begin() as session:
        guid, comment_id = caseload.of_decision(session, me(), decision_id)
        try:
            decisions.undo(
                session,
                dare(),
                me(),
                decision_id,
                words=request.form.get("words", ""),
                network=browser.network(),
            )
        except PublishingError as error:
            return _case(session, guid, comment_id, undoing=error.errors), 422
        seen = _sees(session, guid)
        now_it = caseload.case(session, me(), str(guid), comment_id) if seen else None
    if now_it is None:
        note("good", f"Undone. {RETURNED}")
    else:
        again = " What was reported is open again." if now_it.count else ""
        note("good", f"Undone. Now {STANDS[now_it.standing]}.{again}")
    return redirect(_back(guid, comment_id, seen=seen), 303)


@blueprint.post("/dismissals")
@steward
@recent
def dismiss() -> Response | tuple[str, int]:
    """Dismiss several at once: all of them, or none when one cannot be."""
    chosen = request.form.getlist("case")[: MOST_AT_ONCE + 1]
    if not 0 < len(chosen) <= MOST_AT_ONCE:
        return _refused({"case": f"Choose what is to be dismissed, at most {MOST_AT_ONCE}."}, [])
    try:
        with dare().database.begin() as session:
            _dismiss_all(session, chosen)
    except PublishingError as error:
        return _refused(error.errors, chosen)
    note("good", f"{len(chosen)} dismissed.")
    return redirect(url_for("moderation.index"), 303)


def _refused(errors: dict[str, str], chosen: list[str]) -> tuple[str, int]:
    with dare().database.begin() as session:
        return _queue(session, errors, chosen), 422


def _dismiss_all(session: Session, chosen: list[str]) -> list[Decision]:
    # In one order, whoever sends them: two moderators who dismiss the same wait, never in a ring.
    return [
        decisions.decide(
            session,
            dare(),
            me(),
            guid,
            act="dismissed",
            words=request.form.get("words", ""),
            turn=turn,
            comment_id=comment_id,
            upto=upto,
            network=browser.network(),
        )
        for guid, comment_id, turn, upto in sorted(
            {_named(told) for told in chosen}, key=lambda named: (named[0], named[1] or 0)
        )
    ]


def _named(told: str) -> tuple[str, int | None, int, int]:
    """Return what names a case in a form; see `Case.key`."""
    try:
        guid, comment_id, turn, upto = told.split(".")
        return str(UUID(guid)), _number(comment_id) or None, _number(turn), _number(upto)
    except ValueError as error:
        raise NotThereError from error


@blueprint.route("/open", methods=["GET", "POST"])
@moderator
@recent
def open_draft() -> Response | str | tuple[str, int]:
    """Open a talk that was never published, with a reason; its author is told."""
    if request.method != "POST":
        return render_template("moderation/open.html", talk=request.args.get("talk", "")[:200])
    talk = request.form.get("talk", "")[:2000]
    try:
        with dare().database.begin() as session:
            found = openings.open_draft(
                session, me(), talk, words=request.form.get("words", ""), network=browser.network()
            )
            guid = found.guid
    except PublishingError as error:
        page = render_template(
            "moderation/open.html", talk=talk, errors=error.errors, typed=request.form.to_dict()
        )
        return page, 422
    return redirect(url_for("episodes.show", guid=guid), 303)
