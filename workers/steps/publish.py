"""Publish: from now on the talk can be heard. And tidy up behind a finished production."""

from sqlmodel import col, delete, select, update

from storage import audit
from storage.models import EpisodeScore, Notice, Piece, Rendition, now
from workers.workplace import Task, Workplace, is_current, locked


def publish(place: Workplace, task: Task) -> None:
    """Make the talk playable and, unless it is held back, published: in lists, search, feeds."""
    place.tell(task, "publish", "Can be heard; the transcript follows", 0.2)
    with place.floor.database.begin() as session:
        episode = locked(session, task)
        sound = session.get(Rendition, (task.episode_id, task.revision, "mp3"))
        if episode is None or sound is None or episode.state != "processing":
            return
        moment = now()
        episode.state = "playable"
        episode.duration = sound.duration
        episode.playable_at = episode.changed_at = moment
        if not episode.held and episode.published_at is None:
            episode.published_at = moment
            # Who was asked to look first may not be among those who hear it now.
            page = f"/episodes/{task.guid}"
            session.exec(
                delete(Notice).where(col(Notice.kind) == "review", col(Notice.path) == page)
            )
            audit.record(
                session, "published", actor="worker", subject_kind="episode", subject=str(task.guid)
            )
        session.exec(
            update(EpisodeScore)
            .where(col(EpisodeScore.episode_id) == episode.id)
            .values(listed=episode.published_at is not None and episode.hidden_at is None)
        )


def fail(place: Workplace, task: Task, words: str) -> None:
    """Write down why a talk could not be made. What can be heard stays so, with the reason."""
    with place.floor.database.begin() as session:
        episode = locked(session, task)
        if episode is None or episode.state == "complete":
            return
        # Any revision counts: a bad replacement must not silence the good recording before it.
        heard = session.exec(
            select(Rendition.kind).where(
                Rendition.episode_id == task.episode_id, Rendition.kind == "mp3"
            )
        ).first()
        episode.state = "playable" if heard and episode.playable_at else "failed"
        episode.reason = words[:500]
        episode.changed_at = now()
    place.leave(task)


def tidy(place: Workplace, task: Task) -> None:
    """Remove what attempts that lost or died have left in the store, and the workspace.

    This attempt is the only one that counts; whoever still writes for an older one has lost.
    """
    store = place.floor.store
    prefix = f"{task.guid}/{task.revision}/"
    with place.floor.database.begin() as session:
        if not is_current(session, task):
            return
        kept = set(
            session.exec(select(Rendition.key).where(Rendition.episode_id == task.episode_id))
        )
        kept |= set(
            session.exec(
                select(Piece.key).where(
                    Piece.episode_id == task.episode_id, Piece.revision > task.revision
                )
            )
        )
    for room in ("renditions", "speech"):
        for key in store.keys(f"{room}/{prefix}"):
            if key not in kept:
                store.delete(key)
    place.leave(task)
