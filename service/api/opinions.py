"""What listeners leave with a talk: stars, comments, the place where they are."""

from uuid import UUID

from flask import Blueprint
from sqlmodel import Session

from service import discussion, limits, listening
from service.api.contract import answers, spec
from service.api.readers import CommentRead, CommentsRead, MyRatingRead, SpreadRead
from service.api.talks import opened
from service.api.writers import LARGEST, CommentBody, PositionBody, RatingBody
from service.context import dare
from service.discussion import Said
from service.identity.browser import me, signed_in
from service.publishing import NotNowError
from service.rating import ledger
from storage.models import HEARABLE, Episode

blueprint = Blueprint("opinions", __name__, url_prefix="/episodes/<uuid:guid>")


@blueprint.put("/rating")
@signed_in
@spec.validate(
    json=RatingBody,
    resp=answers(MyRatingRead, 400, 403, 404, 409, 413, 415, 422, 429),
    tags=["ratings"],
)
def rate(guid: UUID, json: RatingBody) -> MyRatingRead:
    """Give a talk stars for usefulness, or change them."""
    with dare().database.begin() as session:
        limits.spend(session, limits.RATINGS, me().id)
        episode = opened(session, guid)
        ledger.rate(session, me(), episode, json.stars, source="api")
        session.flush()
        spread = SpreadRead.model_validate(ledger.spread(session, episode.id))
    return MyRatingRead(stars=json.stars, rating=spread)


@blueprint.delete("/rating")
@signed_in
@spec.validate(resp=answers(None, 404, 409, 429, status=204), tags=["ratings"])
def unrate(guid: UUID) -> tuple[str, int]:
    """Take one's stars back."""
    with dare().database.begin() as session:
        limits.spend(session, limits.RATINGS, me().id)
        ledger.withdraw(session, me(), opened(session, guid))
    return "", 204


@blueprint.get("/comments")
@signed_in
@spec.validate(resp=answers(CommentsRead, 404), tags=["comments"])
def comments(guid: UUID) -> CommentsRead:
    """List what was said about a talk."""
    with dare().database.begin() as session:
        threads = discussion.comments(session, me(), opened(session, guid).id)
    return CommentsRead(rows=[CommentRead.model_validate(said) for said in threads])


@blueprint.post("/comments")
@signed_in
@spec.validate(
    json=CommentBody,
    resp=answers(CommentRead, 400, 404, 409, 413, 415, 422, 429, status=201),
    tags=["comments"],
)
def say(guid: UUID, json: CommentBody) -> tuple[CommentRead, int]:
    """Write a comment; sent twice within a minute, it is one."""
    with dare().database.begin() as session:
        episode = opened(session, guid)
        if episode.published_at is None:
            raise NotNowError("Comments open when the talk is out.")
        made = discussion.say(
            session, me(), episode, body=json.body, at=json.at, parent=json.parent
        )
        return CommentRead.model_validate(_said(session, episode, made.id)), 201


def _said(session: Session, episode: Episode, comment_id: int) -> Said:
    threads = discussion.comments(session, me(), episode.id)
    everything = [said for thread in threads for said in (thread, *thread.replies)]
    return next(said for said in everything if said.id == comment_id)


@blueprint.delete(f"/comments/<int(max={LARGEST}):comment_id>")
@signed_in
@spec.validate(resp=answers(None, 404, status=204), tags=["comments"])
def unsay(guid: UUID, comment_id: int) -> tuple[str, int]:
    """Take one's own comment back."""
    with dare().database.begin() as session:
        discussion.remove(session, me(), opened(session, guid), comment_id)
    return "", 204


@blueprint.put("/position")
@signed_in
@spec.validate(
    json=PositionBody,
    resp=answers(None, 400, 404, 409, 413, 415, 422, status=204),
    tags=["episodes"],
)
def position(guid: UUID, json: PositionBody) -> tuple[str, int]:
    """Remember where one is in a talk."""
    with dare().database.begin() as session:
        episode = opened(session, guid)
        if episode.state not in HEARABLE and episode.playable_at is None:
            raise NotNowError("This talk cannot be heard yet.")
        listening.keep_position(
            session, me(), episode, seconds=json.seconds, finished=json.finished
        )
    return "", 204
