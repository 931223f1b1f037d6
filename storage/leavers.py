"""When somebody's feeds pause because no sign-in provider vouches for them any more.

Podcast apps never sign in again, so a provider's "this account is closed" never reaches them. Who
signs in by a provider alone must therefore do so now and then; somebody with a password that works
here is looked after by this house, and their feeds never pause for this reason.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_
from sqlmodel import col

from storage.models import Person
from storage.settings import Settings

# How long before the pause its owner is told.
NOTICE = timedelta(days=14)
KIND = "feeds-pausing"


def pauses_at(settings: Settings, person: Person) -> datetime | None:
    """Return when this person's feeds pause, or did; None when they never do."""
    if person.vouched_at is None or _has_password(settings, person):
        return None
    return person.vouched_at + timedelta(days=settings.feed_leaver_days)


def _has_password(settings: Settings, person: Person) -> bool:
    works = settings.local_sign_in or person.emergency
    return person.password_hash is not None and works


def vouched_before(settings: Settings, moment: datetime) -> ColumnElement[bool]:
    """Return the condition of all people whose feeds pause at `moment` or earlier."""
    password: ColumnElement[bool] = col(Person.password_hash).is_not(None)
    if not settings.local_sign_in:
        password = and_(password, col(Person.emergency).is_(True))
    latest = moment - timedelta(days=settings.feed_leaver_days)
    return and_(
        col(Person.vouched_at) <= latest,
        ~password,
    )
