"""Somebody's private feed addresses: make, rename, rotate, replace, revoke.

Pages and API go through here. Each act stands in the audit log by the address's public reference;
the address itself stands nowhere.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from service import access, catalogue
from service.access import Asker
from service.feed import channel, tokens
from service.feed.tokens import MODES, ClosedError, TooManyTokensError
from service.limits import Limit, spend
from service.publishing import NotNowError, NotThereError, PublishingError, one_line
from storage import audit
from storage.models import FeedToken, FeedView, now
from storage.settings import Settings

# New and renewed addresses of one person; each leaves a row that stays for ever.
ADDRESSES = Limit("feed-address", 100, 3600)
# How many days an address may last, beside for ever.
LIVES = (90, 365)


@dataclass(frozen=True)
class Wanted:
    """What somebody wants to subscribe to: a show's slug, or the top rated talks without one.

    `days` is how long the address lasts, one of LIVES; None is for ever.
    """

    show: str | None = None
    label: str = ""
    mode: str = "audio"
    days: int | None = None


@dataclass(frozen=True)
class Desk:
    """Who acts, from which network, in which house: what each act below needs to know.

    `until` is when the token runs out by which they act, if any: a new address ends then, if not
    sooner, or it would be worth more than what made it.
    """

    asker: Asker
    settings: Settings
    network: str = ""
    until: datetime | None = None


def make(session: Session, desk: Desk, wanted: Wanted) -> FeedToken:
    """Make an address for one app.

    Raises:
        PublishingError: no such show for this person, or no such mode or life.
        NotNowError: the person holds as many as one may.
        TooFastError: too many were made within the hour.
    """
    errors = {}
    if wanted.mode not in MODES:
        errors["mode"] = "Choose sound or video."
    if wanted.days is not None and wanted.days not in LIVES:
        errors["days"] = "Choose how long from the list."
    view = _view(session, desk.asker, wanted.show)
    if view is None:
        errors["show"] = "There is no such show."
    if errors or view is None:
        raise PublishingError(errors)
    spend(session, ADDRESSES, desk.asker.ref)
    ends = now() + timedelta(days=wanted.days) if wanted.days else None
    try:
        token = tokens.issue(
            session,
            desk.asker.id,
            view,
            one_line(wanted.label),
            wanted.mode,
            secret=desk.settings.secret,
            expires_at=min(filter(None, (ends, desk.until)), default=None),
        )
    except TooManyTokensError as error:
        raise NotNowError(str(error)) from error
    _record(session, desk, "feed-made", token, view=view.kind)
    return token


def _view(session: Session, asker: Asker, slug: str | None) -> FeedView | None:
    if slug is None:
        return channel.view_top(session)
    show = catalogue.find_show(session, asker, slug)
    if show is None or not access.sees_show(asker, show):
        return None
    return channel.view_of_show(session, show.id)


def relabel(session: Session, desk: Desk, token_id: int, label: str) -> FeedToken:
    """Say anew which app an address is for.

    Raises:
        NotThereError: this person has no such address.
    """
    token = _own(session, desk, token_id)
    token.label = one_line(label)[:120]
    session.add(token)
    session.flush()
    return token


def rotate(session: Session, desk: Desk, token_id: int) -> FeedToken:
    """Give an address's token a new address; apps are led there from the old one for a while.

    Raises:
        NotThereError: this person has no such address.
        NotNowError: it is closed already.
        TooFastError: as `make`.
    """
    token = _own(session, desk, token_id)
    spend(session, ADDRESSES, desk.asker.ref)
    grace = timedelta(days=desk.settings.feed_grace_days)
    try:
        tokens.rotate(session, token, secret=desk.settings.secret, grace=grace)
    except ClosedError as error:
        raise NotNowError(str(error)) from error
    _record(session, desk, "feed-rotated", token)
    return token


def replace(session: Session, desk: Desk, token_id: int) -> FeedToken:
    """Close an address that somebody else has, at once; return the token of a new one.

    Raises:
        NotThereError: this person has no such address.
        NotNowError: it is closed already.
        TooFastError: as `make`.
    """
    token = _own(session, desk, token_id)
    spend(session, ADDRESSES, desk.asker.ref)
    try:
        made = tokens.replace(session, token, secret=desk.settings.secret, until=desk.until)
    except ClosedError as error:
        raise NotNowError(str(error)) from error
    _record(session, desk, "feed-replaced", token, by=made.ref)
    return made


def revoke(session: Session, desk: Desk, token_id: int) -> None:
    """Close an address for good; a second time changes nothing.

    Raises:
        NotThereError: this person has no such address.
    """
    token = _own(session, desk, token_id)
    if token.revoked_at is None:
        tokens.revoke(session, token)
        _record(session, desk, "feed-revoked", token)


def _own(session: Session, desk: Desk, token_id: int) -> FeedToken:
    token = tokens.of_person(session, desk.asker.id, token_id)
    if token is None:
        raise NotThereError
    return token


def _record(session: Session, desk: Desk, act: str, token: FeedToken, **facts: str) -> None:
    audit.record(
        session,
        act,
        actor=desk.asker.ref,
        subject_kind="feed",
        subject=token.ref,
        network=desk.network,
        **facts,
    )
