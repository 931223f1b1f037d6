"""From where and by which app a feed token is used: networks, never addresses."""

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from storage.models import FeedNetwork, FeedToken

DAY = timedelta(days=1)
# Noting each poll would make every read a write.
GRAIN = timedelta(minutes=5)


def note(session: Session, token_id: int, *, network: str, by: str, moment: datetime) -> int:
    """Remember a use; return from how many networks the token was used within the last day."""
    token = session.get(FeedToken, token_id)
    if token is None:
        return 0
    if token.used_at is None or moment - token.used_at >= GRAIN:
        token.used_at, token.used_by = moment, by[:120]
        session.add(token)
        session.flush()
    if network:
        seen = {"token_id": token_id, "network": network[:64], "seen_at": moment}
        session.execute(
            insert(FeedNetwork)
            .values(**seen)
            .on_conflict_do_update(index_elements=["token_id", "network"], set_={"seen_at": moment})
        )
    counted = select(func.count()).where(
        col(FeedNetwork.token_id) == token_id, col(FeedNetwork.seen_at) > moment - DAY
    )
    return int(session.execute(counted).scalar_one())
