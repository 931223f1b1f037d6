"""The alarm for feed addresses that more people know than their owner.

An address that is used from many networks within a day is probably known to many. Its owner is
told, once a day; nothing is closed by itself, since people travel and only the owner knows.
"""

from sqlalchemy import select
from sqlmodel import Session, col

from service import letters, notices
from service.limits import Limit, TooFastError, spend
from storage import audit
from storage.models import FeedToken, FeedView, Person, Show
from storage.settings import Settings

# More networks than this within a day ring the alarm.
MOST_NETWORKS = 10
ALARMS = Limit("feed-alarm", 1, 86_400)
KIND = "feed-alarm"


def alarm(session: Session, settings: Settings, token_id: int, networks: int) -> bool:
    """Tell a feed's owner that it is used from too many networks, in the house and by letter.

    Returns whether somebody was told: at most once a day for each address.
    """
    if networks <= MOST_NETWORKS:
        return False
    try:
        spend(session, ALARMS, token_id)
    except TooFastError:
        return False
    token, person, show = session.execute(
        select(FeedToken, Person, col(Show.title))
        .join(Person, col(Person.id) == col(FeedToken.person_id))
        .join(FeedView, col(FeedView.id) == col(FeedToken.view_id))
        .join(Show, col(Show.id) == col(FeedView.show_id), isouter=True)
        .where(col(FeedToken.id) == token_id)
    ).one()
    name = f"“{show or 'Top rated'}”" + (f" ({token.label})" if token.label else "")
    words = (
        f"Your feed {name} was used from {networks} networks within a day. "
        "If that was not you alone, somebody else has its address: replace it."
    )
    path = f"/feeds/#feed-{token.id}"
    notices.tell(session, person.id, KIND, words, path)
    letters.notice(session, settings, person, words, path)
    audit.record(
        session,
        "feed-used-widely",
        subject_kind="feed",
        subject=token.ref,
        networks=networks,
    )
    return True
