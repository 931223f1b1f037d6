"""What pages, API and feeds read: talks in lists, one talk whole.

Each function runs a fixed number of queries, however many rows it returns.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from markupsafe import Markup
from sqlalchemy import ColumnElement, Integer, bindparam, exists, text, tuple_
from sqlalchemy import select as sql_select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, func, select

from service import access
from service.access import Asker, Viewer
from service.rating import explain, ledger
from service.rating.model import Evidence
from service.text import rich
from storage import search
from storage.models import (
    Community,
    Cue,
    Episode,
    EpisodeScore,
    EpisodeTopic,
    Person,
    Position,
    Rendition,
    Review,
    Show,
    Topic,
    Transcript,
    WorkProgress,
)

PAGE = 20
ASKED_MOST = 200


@dataclass(frozen=True)
class PersonLink:
    """A name that leads to a person's page."""

    name: str
    ref: str


@dataclass(frozen=True)
class ShowLink:
    """A title that leads to a show."""

    title: str
    slug: str


@dataclass(frozen=True)
class TopicLink:
    """A topic, with how many talks it has where that was asked for."""

    name: str
    slug: str
    count: int = 0


@dataclass(frozen=True)
class Row:
    """A talk in a list."""

    id: int
    guid: str
    title: str
    author: PersonLink
    show: ShowLink
    community: str | None
    topics: tuple[TopicLink, ...]
    duration: float | None
    published_at: datetime | None
    has_video: bool
    state: str
    reason: str | None
    percent: int
    words: str
    position: float | None
    position_at: datetime | None
    finished: bool
    my_stars: int | None
    why: str | None
    score: float
    withdrawn: bool = False
    hidden: bool = False
    held: bool = False


@dataclass(frozen=True)
class Rows:
    """One page of a list; `after` begins the next page, None at the end."""

    rows: list[Row]
    after: str | None = None


@dataclass(frozen=True)
class Paragraph:
    """Cues that belong together."""

    start: float
    language: str
    cues: list[Cue]


@dataclass(frozen=True)
class Talk:
    """One talk whole, for its page."""

    row: Row
    notes: str
    notes_html: Markup
    language: str | None
    notice: str | None
    revision: int
    video_revision: int
    transcript_revision: int
    people: list[PersonLink]
    has_audio: bool
    has_video: bool
    width: int | None
    height: int | None
    transcript: list[Paragraph]
    mine: bool
    may_rate: bool
    may_moderate: bool
    asked_to_review: bool
    rating: ledger.Spread | None
    why: explain.Why
    step: str
    uploaded_at: datetime | None
    playable_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True)
class Hit:
    """A talk that matches a search, with the moments where the words were said."""

    row: Row
    moments: list[search.Moment]


Author = aliased(Person)


def _id(viewer: Viewer) -> int:
    """Return whose listening and stars to show; nobody's for a guest."""
    return viewer.id if isinstance(viewer, Asker) else 0


def _rows_query(viewer: Viewer) -> Any:
    """Return the one query behind every list, without order and limit."""
    return (
        sql_select(Episode, Author, Show, Community, EpisodeScore, Position, WorkProgress)
        .join(Author, col(Author.id) == col(Episode.author_id))
        .join(Show, col(Show.id) == col(Episode.show_id))
        .outerjoin(
            Community,
            (col(Community.id) == col(Show.community_id)) & access.communities_listed(viewer),
        )
        .outerjoin(EpisodeScore, col(EpisodeScore.episode_id) == col(Episode.id))
        .outerjoin(
            Position,
            (col(Position.episode_id) == col(Episode.id))
            & (col(Position.person_id) == _id(viewer)),
        )
        .outerjoin(WorkProgress, col(WorkProgress.episode_id) == col(Episode.id))
    )


def _most(rows: int) -> ColumnElement[int]:
    """Return a LIMIT that is written into the statement and no parameter of it.

    PostgreSQL keeps a plan only if it is good for whatever the parameters are, and with an unknown
    LIMIT it is not: a join of seven tables would be planned anew for each list.
    """
    return bindparam(None, rows, Integer, literal_execute=True)


def _rows(session: Session, viewer: Viewer, query: Any, *, why: bool = False) -> list[Row]:
    found = session.execute(query).all()
    ids = [entry[0].id for entry in found]
    topics = _topics(session, ids)
    stars = ledger.mine(session, _id(viewer), ids)
    return [_row(entry, topics, stars, why=why) for entry in found]


def _row(
    entry: Any, topics: dict[int, list[TopicLink]], stars: dict[int, int], *, why: bool
) -> Row:
    episode, author, show, community, score, position, progress = entry
    evidence = Evidence(score.count, score.total) if score else Evidence()
    return Row(
        id=episode.id,
        guid=str(episode.guid),
        title=episode.title,
        author=PersonLink(author.name, str(author.ref)),
        show=ShowLink(show.title, show.slug),
        community=community.name if community else None,
        topics=tuple(topics.get(episode.id, ())),
        duration=episode.duration,
        published_at=episode.published_at,
        has_video=episode.has_video,
        state=episode.state,
        reason=episode.reason,
        percent=_percent(episode, progress),
        words=_progress_words(episode, progress),
        position=position.seconds if position else None,
        position_at=position.changed_at if position else None,
        finished=bool(position and position.finished),
        my_stars=stars.get(episode.id),
        why=explain.why(evidence).sentence if why else None,
        score=score.score if score else 0.0,
        withdrawn=episode.withdrawn_at is not None,
        hidden=episode.hidden_at is not None,
        held=episode.held and episode.published_at is None,
    )


def _progress_words(episode: Episode, progress: WorkProgress | None) -> str:
    """Return what is being done just now; nothing once it is done."""
    if progress is None or episode.state == "complete":
        return ""
    return progress.words if progress.revision == episode.revision else ""


def _percent(episode: Episode, progress: WorkProgress | None) -> int:
    if episode.state == "complete":
        return 100
    if progress is None or progress.revision != episode.revision:
        return 0
    return min(99, int(progress.fraction * 100))


def _topics(session: Session, ids: list[int]) -> dict[int, list[TopicLink]]:
    grouped: dict[int, list[TopicLink]] = {}
    if ids:
        rows = session.exec(
            select(EpisodeTopic.episode_id, Topic.name, Topic.slug)
            .join(Topic, col(Topic.id) == col(EpisodeTopic.topic_id))
            .where(col(EpisodeTopic.episode_id).in_(ids))
            .order_by(col(Topic.name))
        )
        for episode_id, name, slug in rows:
            grouped.setdefault(episode_id, []).append(TopicLink(name, slug))
    return grouped


def top(
    session: Session,
    viewer: Viewer,
    *,
    limit: int = PAGE,
    after: str | None = None,
    within: ColumnElement[bool] | None = None,
) -> Rows:
    """Return the best talks, best first, newest first among equals."""
    query = (
        _rows_query(viewer)
        .where(access.listed(viewer), col(EpisodeScore.listed).is_(True))
        .order_by(col(EpisodeScore.score).desc(), col(EpisodeScore.episode_id).desc())
        .limit(_most(limit + 1))
    )
    if within is not None:
        query = query.where(within)
    last = _last(session, viewer, after)
    if last is not None:
        query = query.where(
            tuple_(col(EpisodeScore.score), col(EpisodeScore.episode_id))
            < tuple_(last.score, last.id)
        )
    return _page(_rows(session, viewer, query, why=True), limit)


def newest(
    session: Session,
    viewer: Viewer,
    *,
    limit: int = PAGE,
    after: str | None = None,
    within: ColumnElement[bool] | None = None,
) -> Rows:
    """Return talks by publication, newest first."""
    query = (
        _rows_query(viewer)
        .where(access.listed(viewer))
        .order_by(col(Episode.published_at).desc(), col(Episode.id).desc())
        .limit(_most(limit + 1))
    )
    if within is not None:
        query = query.where(within)
    last = _last(session, viewer, after)
    if last is not None:
        query = query.where(
            tuple_(col(Episode.published_at), col(Episode.id)) < tuple_(last.published_at, last.id)
        )
    return _page(_rows(session, viewer, query), limit)


def _page(rows: list[Row], limit: int) -> Rows:
    """Return a page; its cursor names the last talk, since its score is nobody's business."""
    if len(rows) <= limit:
        return Rows(rows)
    return Rows(rows[:limit], rows[limit - 1].guid)


def _last(session: Session, viewer: Viewer, after: str | None) -> Any:
    """Return id, score and publication of the talk that a cursor names.

    None for a cursor that is not ours: the page then begins at the start.
    """
    try:
        guid = UUID(after or "")
    except ValueError:
        return None
    return session.execute(
        sql_select(Episode.id, Episode.published_at, EpisodeScore.score)  # type: ignore[call-overload]
        .join(EpisodeScore, col(EpisodeScore.episode_id) == col(Episode.id))
        .where(col(Episode.guid) == guid, access.listed(viewer))
    ).first()


def continuing(session: Session, viewer: Viewer, limit: int = 6) -> list[Row]:
    """Return talks that this person has begun and not finished, latest first."""
    query = (
        _rows_query(viewer)
        .where(
            access.listed(viewer),
            col(Position.finished).is_(False),
            col(Position.seconds) > 5,
        )
        .order_by(col(Position.changed_at).desc())
        .limit(_most(limit))
    )
    return _rows(session, viewer, query)


def asked_to_review(session: Session, asker: Asker, limit: int = 20) -> list[Row]:
    """Return the talks that are not out yet and that somebody has asked this person to review."""
    asked = session.exec(
        select(Review.episode_id)
        .where(col(Review.person_id) == asker.id, col(Review.until).is_(None))
        .order_by(col(Review.episode_id).desc())
        .limit(ASKED_MOST)
    ).all()
    if not asked:
        return []  # as for most people, on every visit of home
    query = (
        _rows_query(asker)
        .where(
            access.visible(asker),
            col(Episode.published_at).is_(None),
            col(Episode.author_id) != asker.id,
            col(Episode.id).in_(asked),
        )
        .order_by(col(Episode.id).desc())
        .limit(_most(limit))
    )
    return _rows(session, asker, query)


def mine(session: Session, asker: Asker, limit: int = 100) -> list[Row]:
    """Return a person's own talks in whatever state, latest first."""
    query = (
        _rows_query(asker)
        .where(col(Episode.author_id) == asker.id)
        .order_by(col(Episode.id).desc())
        .limit(_most(limit))
    )
    return _rows(session, asker, query)


def by_ids(session: Session, viewer: Viewer, ids: Sequence[int]) -> list[Row]:
    """Return the listed talks among these ids, in their order."""
    query = _rows_query(viewer).where(access.listed(viewer), col(Episode.id).in_(ids))
    rows = {row.id: row for row in _rows(session, viewer, query)}
    return [rows[wanted] for wanted in ids if wanted in rows]


def in_show(show_id: int) -> ColumnElement[bool]:
    """Return the condition of a show's episodes."""
    return col(Episode.show_id) == show_id


def by_person(person_id: int) -> ColumnElement[bool]:
    """Return the condition of a person's episodes."""
    return col(Episode.author_id) == person_id


def in_community(community_id: int) -> ColumnElement[bool]:
    """Return the condition of a community's episodes."""
    return col(Show.community_id) == community_id


def on_topic(topic_id: int) -> ColumnElement[bool]:
    """Return the condition of a topic's episodes."""
    return col(Episode.id).in_(
        select(EpisodeTopic.episode_id).where(EpisodeTopic.topic_id == topic_id)
    )


def topics(session: Session, viewer: Viewer, limit: int = 24) -> list[TopicLink]:
    """Return the topics with most talks that this asker may see."""
    many = func.count()
    rows = session.exec(
        select(Topic.name, Topic.slug, many)
        .join(EpisodeTopic, col(EpisodeTopic.topic_id) == col(Topic.id))
        .join(Episode, col(Episode.id) == col(EpisodeTopic.episode_id))
        .where(access.listed(viewer))
        .group_by(col(Topic.id))
        .order_by(many.desc(), col(Topic.name))
        .limit(limit)
    )
    return [TopicLink(name, slug, count) for name, slug, count in rows]


def topics_known(viewer: Viewer) -> ColumnElement[bool]:
    """Return the condition of the topics on which a talk is listed for this viewer.

    What a talk for few is about is theirs to know as well.
    """
    return exists().where(
        col(EpisodeTopic.topic_id) == col(Topic.id),
        col(Episode.id) == col(EpisodeTopic.episode_id),
        access.listed(viewer),
    )


def find_topic(session: Session, viewer: Viewer, slug: str) -> Topic | None:
    """Return the topic of this slug if the viewer may know of it."""
    return session.exec(select(Topic).where(Topic.slug == slug, topics_known(viewer))).first()


def communities(session: Session, viewer: Viewer) -> list[Community]:
    """Return the communities that this viewer may know of, by name."""
    return list(
        session.exec(
            select(Community).where(access.communities_listed(viewer)).order_by(col(Community.name))
        )
    )


def shows(
    session: Session, viewer: Viewer, *conditions: ColumnElement[bool], limit: int = 200
) -> list[Show]:
    """Return the shows that this viewer may know of, by title."""
    return list(
        session.exec(
            select(Show)
            .where(access.shows_listed(viewer), *conditions)
            .order_by(col(Show.title), col(Show.id))
            .limit(limit)
        )
    )


def latest_shows(session: Session, viewer: Viewer, limit: int = 8) -> list[Show]:
    """Return the shows that changed last."""
    return list(
        session.exec(
            select(Show)
            .where(access.shows_listed(viewer))
            .order_by(col(Show.changed_at).desc())
            .limit(limit)
        )
    )


def find_show(session: Session, viewer: Viewer, slug: str) -> Show | None:
    """Return the show of this slug if the viewer may open its page."""
    return session.exec(select(Show).where(Show.slug == slug, access.shows_open(viewer))).first()


def community_of(session: Session, viewer: Viewer, show: Show) -> Community | None:
    """Return the community that a show is at home in, if the viewer may know of it."""
    return session.exec(
        select(Community).where(
            Community.id == show.community_id, access.communities_listed(viewer)
        )
    ).first()


def find(session: Session, viewer: Viewer, guid: str) -> Episode | None:
    """Return the episode of this guid if the asker may open its page."""
    return session.exec(select(Episode).where(Episode.guid == guid, access.visible(viewer))).first()


def openable(session: Session, viewer: Viewer, guids: Collection[str]) -> set[str]:
    """Return those of these talks whose pages the asker may open, by guid."""
    found = session.exec(
        select(Episode.guid).where(col(Episode.guid).in_(guids), access.visible(viewer))
    )
    return {str(guid) for guid in found}


def talk(session: Session, viewer: Viewer, guid: str) -> Talk | None:
    """Return one talk whole, or None when there is none for this asker."""
    episode = find(session, viewer, guid)
    if episode is None:
        return None
    row = _rows(session, viewer, _rows_query(viewer).where(col(Episode.id) == episode.id))[0]
    score = session.get(EpisodeScore, episode.id)
    progress = session.get(WorkProgress, episode.id)
    renditions = _renditions(session, episode)
    video = renditions.get("mp4")
    rated = row.my_stars is not None
    return Talk(
        row=row,
        notes=episode.notes,
        notes_html=rich(episode.notes),
        language=episode.language or _heard_language(session, episode),
        notice=episode.notice,
        revision=_heard_revision(renditions, episode),
        video_revision=video.revision if video else 0,
        transcript_revision=episode.transcript_revision,
        people=[],
        has_audio="mp3" in renditions,
        has_video=video is not None,
        width=video.width if video else None,
        height=video.height if video else None,
        transcript=_words(session, episode, renditions),
        mine=isinstance(viewer, Asker) and access.may_edit(viewer, episode),
        may_rate=isinstance(viewer, Asker) and ledger.may_rate(session, viewer, episode),
        may_moderate=isinstance(viewer, Asker) and _may_moderate(session, viewer, episode),
        asked_to_review=_is_asked_to_review(session, viewer, episode),
        rating=ledger.spread(session, episode.id) if rated else None,
        why=explain.why(Evidence(score.count, score.total) if score else Evidence()),
        step=progress.step if progress else "",
        uploaded_at=episode.uploaded_at,
        playable_at=episode.playable_at,
        completed_at=episode.completed_at,
    )


def _may_moderate(session: Session, asker: Asker, episode: Episode) -> bool:
    # Their own talk they withdraw; nobody moderates themselves.
    show = session.get_one(Show, episode.show_id)
    return episode.author_id != asker.id and access.may_moderate(asker, show.community_id)


def _is_asked_to_review(session: Session, viewer: Viewer, episode: Episode) -> bool:
    """Whether the author has asked this viewer to look at a talk that is not out."""
    if episode.published_at is not None or not isinstance(viewer, Asker):
        return False
    review = session.get(Review, (episode.id, viewer.id))
    return review is not None and review.until is None


def _renditions(session: Session, episode: Episode) -> dict[str, Rendition]:
    """Return the newest rendition of each kind: the old sound stays until the new one is made."""
    rows = session.exec(
        select(Rendition)
        .where(Rendition.episode_id == episode.id)
        .order_by(col(Rendition.revision))
    )
    return {row.kind: row for row in rows}


def _heard_revision(renditions: dict[str, Rendition], episode: Episode) -> int:
    return renditions["mp3"].revision if "mp3" in renditions else episode.revision


def _words(session: Session, episode: Episode, renditions: dict[str, Rendition]) -> list[Paragraph]:
    """Return the words of the sound that is heard; none while those of another are still there."""
    transcript = session.get(Transcript, episode.id)
    if transcript is None or transcript.source_revision != _heard_revision(renditions, episode):
        return []
    return paragraphs(session, episode.id)


def _heard_language(session: Session, episode: Episode) -> str | None:
    transcript = session.get(Transcript, episode.id)
    return transcript.language if transcript else None


def progress(session: Session, viewer: Viewer, guid: str) -> Row | None:
    """Return a talk as in a list, with how far its making is; cheap enough to ask every second."""
    query = _rows_query(viewer).where(col(Episode.guid) == guid, access.visible(viewer))
    return next(iter(_rows(session, viewer, query)), None)


def paragraphs(session: Session, episode_id: int) -> list[Paragraph]:
    """Return a transcript as paragraphs of cues."""
    grouped: list[Paragraph] = []
    cues = session.exec(select(Cue).where(Cue.episode_id == episode_id).order_by(col(Cue.position)))
    for cue in cues:
        if cue.paragraph or not grouped:
            grouped.append(Paragraph(cue.start, cue.language, []))
        grouped[-1].cues.append(cue)
    return grouped


def transcript_language(session: Session, episode_id: int) -> str | None:
    """Return the language that was heard, or None without a transcript."""
    found = session.get(Transcript, episode_id)
    return found.language if found else None


def related(session: Session, viewer: Viewer, row: Row, limit: int = 4) -> list[Row]:
    """Return other listed talks that share most topics with this one, or its show."""
    # Two look-ups by index, joined: never a pass over all talks.
    shared = text(
        "WITH topics AS (SELECT topic_id FROM episode_topic WHERE episode_id = :id),"
        " near AS ("
        " (SELECT episode_id AS id, count(*) AS shared FROM episode_topic"
        " WHERE topic_id IN (SELECT topic_id FROM topics)"
        " GROUP BY episode_id ORDER BY count(*) DESC, episode_id DESC LIMIT 40)"
        " UNION ALL"
        " (SELECT id, 0 FROM episode"
        " WHERE show_id = (SELECT show_id FROM episode WHERE id = :id)"
        " AND published_at IS NOT NULL AND withdrawn_at IS NULL"
        " ORDER BY published_at DESC, id DESC LIMIT 40))"
        " SELECT id FROM near WHERE id <> :id"
        " GROUP BY id ORDER BY sum(shared) DESC, id DESC LIMIT :most"
    )
    found = session.execute(shared, {"id": row.id, "most": 4 * limit})
    return by_ids(session, viewer, [int(near) for (near,) in found])[:limit]


def searched(
    session: Session, viewer: Viewer, words: str, *, page: int = 1
) -> tuple[list[Hit], int]:
    """Return one page of the talks that match, with moments, and how many match in all."""
    if not words.strip():
        return [], 0
    found = search.episodes(
        session,
        words,
        listed=access.listed(viewer),
        limit=PAGE,
        offset=(max(1, page) - 1) * PAGE,
    )
    moments: dict[int, list[search.Moment]] = {}
    for moment in search.moments(session, words, found.episode_ids):
        moments.setdefault(moment.episode_id, []).append(moment)
    rows = by_ids(session, viewer, found.episode_ids)
    return [Hit(row, moments.get(row.id, [])) for row in rows], found.count
