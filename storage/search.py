"""Search over what talks are called and what is said in them.

Two indexed questions find episodes: title and notes, and the whole transcript. Only for those on
the page are single cues looked at, to find the seconds to jump to.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, bindparam, func, literal_column, select, text, union_all
from sqlmodel import Session, col

from storage.models import Episode, Transcript

LONGEST = 200
MOMENTS = 3
MARK, UNMARK = "\x02", "\x03"
# One stemmer for all: words of other languages still match themselves.
CONFIGURATION: ColumnElement[str] = literal_column("'english'::regconfig")


@dataclass(frozen=True)
class Moment:
    """A point in an episode where the words were said; `snippet` marks them with MARK, UNMARK."""

    episode_id: int
    start: float
    snippet: str


@dataclass(frozen=True)
class Found:
    """One page of episodes that match, best first, and how many match in all."""

    episode_ids: list[int]
    count: int


def episodes(
    session: Session, words: str, *, listed: ColumnElement[bool], limit: int, offset: int
) -> Found:
    """Return episodes whose title, notes or speech hold the words, best first.

    `words` is what somebody typed: quotes for phrases, a minus for what must not be there, `or`.
    `listed` is the condition of what the asker may see.
    """
    query = func.websearch_to_tsquery(CONFIGURATION, words[:LONGEST])
    titles = select(
        col(Episode.id).label("id"), (4 * func.ts_rank(col(Episode.words), query)).label("rank")
    ).where(col(Episode.words).op("@@")(query), listed)
    speech = (
        select(
            col(Episode.id).label("id"), func.ts_rank(col(Transcript.spoken), query).label("rank")
        )
        .join(Transcript, col(Transcript.episode_id) == col(Episode.id))
        .where(col(Transcript.spoken).op("@@")(query), listed)
    )
    hits = union_all(titles, speech).subquery()
    rows = session.execute(
        select(hits.c.id, func.count().over())
        .group_by(hits.c.id)
        .order_by(func.sum(hits.c.rank).desc(), hits.c.id.desc())
        .limit(limit)
        .offset(offset)
    ).all()
    return Found([row[0] for row in rows], rows[0][1] if rows else 0)


def moments(session: Session, words: str, episode_ids: list[int]) -> list[Moment]:
    """Return up to three moments of each episode where most of the words were said, in order."""
    if not episode_ids:
        return []
    rows = session.execute(
        text(
            """
            WITH asked AS (
                SELECT replace(plainto_tsquery('english', :words)::text, '&', '|')::tsquery AS query
            ),
            hits AS (
                SELECT episode_id, start, text, query, row_number() OVER (
                    PARTITION BY episode_id ORDER BY ts_rank(spoken, query) DESC, start
                ) AS place
                FROM asked, cue WHERE episode_id IN :ids AND spoken @@ query
            )
            SELECT episode_id, start,
                ts_headline('english', text, query, :style)
            FROM hits WHERE place <= :most ORDER BY episode_id, start
            """
        ).bindparams(bindparam("ids", expanding=True)),
        {
            "words": _positive(words[:LONGEST]),
            "ids": episode_ids,
            "most": MOMENTS,
            "style": f"StartSel={MARK}, StopSel={UNMARK}, HighlightAll=true",
        },
    )
    return [Moment(episode, start, snippet) for episode, start, snippet in rows]


def _positive(words: str) -> str:
    """Return the words without those that must not be there."""
    return " ".join(word for word in words.replace('"', " ").split() if not word.startswith("-"))
