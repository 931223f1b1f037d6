"""Sentences for one person, kept in the house until they are read."""

from sqlmodel import Session, col, delete, select, update

from storage.models import Notice, now

MOST = 100


def tell(session: Session, person_id: int, kind: str, words: str, path: str = "") -> None:
    """Leave a sentence for somebody, committed with the caller's rows; `path` is where it leads."""
    session.add(Notice(person_id=person_id, kind=kind, words=words[:1000], path=path[:300]))


def take_back(session: Session, person_id: int, kind: str, path: str) -> None:
    """Take back what was told somebody of this kind about what stands at `path`, read or not."""
    session.exec(
        delete(Notice).where(
            col(Notice.person_id) == person_id, col(Notice.kind) == kind, col(Notice.path) == path
        )
    )


def take_all_back(session: Session, kind: str, path: str) -> None:
    """Take back what anybody was told of this kind about what stands at `path`, read or not."""
    session.exec(delete(Notice).where(col(Notice.kind) == kind, col(Notice.path) == path))


def mine(session: Session, person_id: int) -> list[Notice]:
    """Return a person's latest hundred notices, newest first."""
    return list(
        session.exec(
            select(Notice)
            .where(Notice.person_id == person_id)
            .order_by(col(Notice.id).desc())
            .limit(MOST)
        )
    )


def read_all(session: Session, person_id: int) -> None:
    """Remember that a person has seen what there is."""
    session.exec(
        update(Notice)
        .where(col(Notice.person_id) == person_id, col(Notice.read_at).is_(None))
        .values(read_at=now())
    )
