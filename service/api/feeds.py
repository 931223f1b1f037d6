"""One's private feed addresses."""

from flask import Blueprint
from sqlmodel import Session

from service import subscriptions
from service.api.contract import answers, spec
from service.api.readers import FeedRead, FeedsRead
from service.api.writers import LARGEST, FeedBody, FeedLabelBody
from service.context import dare
from service.feed import tokens
from service.feed.tokens import Held
from service.identity import browser
from service.identity.browser import me, signed_in
from service.publishing import NotThereError
from service.subscriptions import Desk, Wanted

blueprint = Blueprint("feeds", __name__, url_prefix="/feeds")
ONE = f"/<int(max={LARGEST}):feed_id>"


def _desk() -> Desk:
    return Desk(me(), dare().settings, browser.network(), browser.token_ends())


@blueprint.get("")
@signed_in
@spec.validate(resp=answers(FeedsRead), tags=["feeds"])
def held() -> FeedsRead:
    """List one's addresses, masked: each one opens talks to whoever knows it."""
    with dare().database.begin() as session:
        found = tokens.mine(session, me())
    return FeedsRead(rows=[_feed(entry) for entry in found])


def _feed(entry: Held, *, told: bool = False) -> FeedRead:
    token = entry.token
    address = tokens.address(dare().settings, token)
    return FeedRead(
        id=token.id,
        title=entry.title,
        mode=token.mode,
        label=token.label,
        address=address if told and browser.may_be_told(token.expires_at) else None,
        masked=tokens.masked(address),
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        used_at=token.used_at,
        used_by=token.used_by,
        networks=entry.networks,
    )


def _one(session: Session, token_id: int, *, told: bool = False) -> FeedRead:
    for entry in tokens.mine(session, me()):
        if entry.token.id == token_id:
            return _feed(entry, told=told)
    raise NotThereError


@blueprint.post("")
@signed_in
@spec.validate(
    json=FeedBody,
    resp=answers(FeedRead, 400, 409, 413, 415, 422, 429, status=201),
    tags=["feeds"],
)
def issue(json: FeedBody) -> tuple[FeedRead, int]:
    """Make an address for one podcast app."""
    wanted = Wanted(json.show, json.label, json.mode, json.days)
    with dare().database.begin() as session:
        token = subscriptions.make(session, _desk(), wanted)
        return _one(session, token.id, told=True), 201


@blueprint.patch(ONE)
@signed_in
@spec.validate(json=FeedLabelBody, resp=answers(FeedRead, 400, 404, 413, 415, 422), tags=["feeds"])
def relabel(json: FeedLabelBody, feed_id: int) -> FeedRead:
    """Say anew which app an address is for."""
    with dare().database.begin() as session:
        subscriptions.relabel(session, _desk(), feed_id, json.label)
        return _one(session, feed_id)


@blueprint.post(f"{ONE}/rotation")
@signed_in
@spec.validate(resp=answers(FeedRead, 404, 409, 429), tags=["feeds"])
def rotate(feed_id: int) -> FeedRead:
    """Renew an address: apps are led from the old one to the new one for a while."""
    with dare().database.begin() as session:
        subscriptions.rotate(session, _desk(), feed_id)
        return _one(session, feed_id, told=True)


@blueprint.post(f"{ONE}/replacement")
@signed_in
@spec.validate(resp=answers(FeedRead, 404, 409, 429, status=201), tags=["feeds"])
def replace(feed_id: int) -> tuple[FeedRead, int]:
    """Replace an address that somebody else has: it is closed at once and leads nowhere."""
    with dare().database.begin() as session:
        made = subscriptions.replace(session, _desk(), feed_id)
        return _one(session, made.id, told=True), 201


@blueprint.delete(ONE)
@signed_in
@spec.validate(resp=answers(None, 404, status=204), tags=["feeds"])
def revoke(feed_id: int) -> tuple[str, int]:
    """Close an address for good: it answers 410 from now on."""
    with dare().database.begin() as session:
        subscriptions.revoke(session, _desk(), feed_id)
    return "", 204
