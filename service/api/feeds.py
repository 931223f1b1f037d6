"""One's private feed addresses."""

from flask import Blueprint
from sqlmodel import Session

from service import access, catalogue
from service.api.contract import answers, spec
from service.api.readers import FeedRead, FeedsRead
from service.api.writers import LARGEST, FeedBody
from service.context import dare
from service.feed import channel, tokens
from service.feed.tokens import TooManyTokensError
from service.identity.browser import me, signed_in
from service.publishing import NotNowError, NotThereError, PublishingError
from storage.models import FeedToken, FeedView

blueprint = Blueprint("feeds", __name__, url_prefix="/feeds")


@blueprint.get("")
@signed_in
@spec.validate(resp=answers(FeedsRead), tags=["feeds"])
def held() -> FeedsRead:
    """List one's addresses. Each one opens talks to whoever knows it: keep them to yourself."""
    with dare().database.begin() as session:
        found = tokens.mine(session, me().id)
    return FeedsRead(rows=[_feed(entry.token, entry.title) for entry in found])


def _feed(token: FeedToken, title: str) -> FeedRead:
    return FeedRead(
        id=token.id,
        title=title,
        mode=token.mode,
        label=token.label,
        address=tokens.address(dare().settings, token) if token.revoked_at is None else None,
        created_at=token.created_at,
        revoked_at=token.revoked_at,
        used_at=token.used_at,
        used_by=token.used_by,
    )


@blueprint.post("")
@signed_in
@spec.validate(
    json=FeedBody, resp=answers(FeedRead, 400, 409, 413, 415, 422, status=201), tags=["feeds"]
)
def issue(json: FeedBody) -> tuple[FeedRead, int]:
    """Make an address for one podcast app."""
    with dare().database.begin() as session:
        view, title = _view(session, json.show)
        try:
            token = tokens.issue(
                session, me().id, view, json.label, json.mode, secret=dare().settings.secret
            )
        except TooManyTokensError as error:
            raise NotNowError(str(error)) from error
    return _feed(token, title), 201


def _view(session: Session, slug: str | None) -> tuple[FeedView, str]:
    if slug is None:
        return channel.view_top(session), channel.TOP_TITLE
    show = catalogue.find_show(session, me(), slug)
    if show is None or not access.sees_show(me(), show):
        raise PublishingError({"show": "There is no such show."})
    return channel.view_of_show(session, show.id), show.title


@blueprint.delete(f"/<int(max={LARGEST}):feed_id>")
@signed_in
@spec.validate(resp=answers(None, 404, status=204), tags=["feeds"])
def revoke(feed_id: int) -> tuple[str, int]:
    """Close an address for good: it answers 410 from now on."""
    with dare().database.begin() as session:
        token = tokens.of_person(session, me().id, feed_id)
        if token is None:
            raise NotThereError
        tokens.revoke(session, token)
    return "", 204
