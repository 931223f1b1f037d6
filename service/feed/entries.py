"""Which episodes a view shows to a reader, in what order, and whether anything has changed.

A page of a feed is described by one statement that builds no text; only when its fingerprint
differs from what the app holds are the rows read.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Subquery,
    Text,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.orm import aliased
from sqlalchemy.sql.selectable import LateralFromClause
from sqlmodel import Session, col

from service.access import Asker, listed
from storage.models import (
    Episode,
    EpisodePerson,
    EpisodeScore,
    FeedEntry,
    FeedView,
    Person,
    Rendition,
    Show,
)

TOP = "top"
SHOW = "show"
PAGE_SIZE = 300
TOP_SIZE = 50


@dataclass(frozen=True)
class Standing:
    """What one page of a view is worth at this moment.

    `total` episodes lie on all pages; `fingerprint` differs when anything that the page shows
    differs; `changed` is the latest change of any of it; `unentered` tells that a ranked view
    holds episodes whose entry nobody has written yet; `narrowed` that a show or some of its
    episodes are for some communities only.
    """

    total: int
    fingerprint: str
    changed: datetime | None
    unentered: bool
    narrowed: bool = False

    @property
    def pages(self) -> int:
        """How many pages there are; one even if nothing is on it."""
        return max(1, -(-self.total // PAGE_SIZE))


def _newest_audio() -> LateralFromClause:
    """The newest revision whose MP3 is there: a replaced source stays audible until then."""
    audio = aliased(Rendition)
    return (
        select(col(audio.revision))
        .where(col(audio.episode_id) == col(Episode.id), col(audio.kind) == "mp3")
        .order_by(col(audio.revision).desc())
        .limit(1)
        .correlate(Episode)
        .lateral("audio")
    )


def ranked(asker: Asker, view: FeedView) -> CTE:
    """Return (id, revision, rank) of all that the view shows to this reader, rank from 1.

    The order is the document's: of `top` that of the home page, of a show the newest first. Both
    follow an index. An episode without an MP3 of known size and duration is in no feed.
    """
    found = _best(asker) if view.kind == TOP else _newest(asker, view)
    rank = func.row_number().over(order_by=(found.c.first.desc(), found.c.second.desc()))
    return select(found.c.id, found.c.revision, rank.label("rank")).cte("ranked")


def _best(asker: Asker) -> Subquery:
    score, episode = col(EpisodeScore.score), col(EpisodeScore.episode_id)
    audio = _newest_audio()
    return (
        select(col(Episode.id), audio.c.revision, score.label("first"), episode.label("second"))
        .select_from(EpisodeScore)
        .join(Episode, col(Episode.id) == episode)
        .join(audio, true())
        .where(listed(asker), col(EpisodeScore.listed))
        .order_by(score.desc(), episode.desc())
        .limit(TOP_SIZE)
        .subquery("best")
    )


def _newest(asker: Asker, view: FeedView) -> Subquery:
    published, episode = col(Episode.published_at), col(Episode.id)
    audio = _newest_audio()
    return (
        select(episode, audio.c.revision, published.label("first"), episode.label("second"))
        .select_from(Episode)
        .join(audio, true())
        .where(listed(asker), col(Episode.show_id) == view.show_id)
        .subquery("newest")
    )


def on_page(ranks: CTE, page: int) -> ColumnElement[bool]:
    """Return the condition of the rows of one page, counted from 1."""
    return ranks.c.rank.between((page - 1) * PAGE_SIZE + 1, page * PAGE_SIZE)


def _voices() -> ColumnElement[str]:
    heard = aliased(Person)
    named = func.concat(col(EpisodePerson.role), " ", heard.ref, " ", heard.name)
    return (
        select(func.string_agg(named, aggregate_order_by(literal("\n"), col(heard.id))))
        .select_from(EpisodePerson)
        .join(heard, col(heard.id) == col(EpisodePerson.person_id))
        .where(col(EpisodePerson.episode_id) == col(Episode.id))
        .correlate(Episode)
        .scalar_subquery()
    )


def _renditions(ranks: CTE) -> ColumnElement[str]:
    made = func.concat(col(Rendition.kind), " ", col(Rendition.etag))
    return (
        select(func.string_agg(made, aggregate_order_by(literal("\n"), col(Rendition.kind))))
        .where(col(Rendition.episode_id) == ranks.c.id, col(Rendition.revision) == ranks.c.revision)
        .correlate(ranks)
        .scalar_subquery()
    )


def _facts(ranks: CTE) -> ColumnElement[Any]:
    """Everything of one row that a feed shows or that what it shows is made of."""
    return func.jsonb_build_array(
        ranks.c.id,
        ranks.c.revision,
        func.extract("epoch", col(Episode.changed_at)),
        func.extract("epoch", col(Episode.published_at)),
        func.extract("epoch", col(FeedEntry.entered_at)),
        col(Episode.title),
        func.md5(col(Episode.notes)),
        col(Episode.state),
        col(Episode.transcript_revision),
        col(Person.name),
        col(Show.title),
        col(Show.artwork_key),
        _voices(),
        _renditions(ranks),
    )


def standing(session: Session, asker: Asker, view: FeedView, page: int) -> Standing:
    """Return what one page is worth, by one statement."""
    ranks, around = ranked(asker, view), _around(view)
    entered = col(FeedEntry.entered_at)
    facts = func.string_agg(
        cast(_facts(ranks), Text), aggregate_order_by(literal("\n"), ranks.c.rank)
    )
    found = session.execute(
        select(
            select(func.count()).select_from(ranks).scalar_subquery(),
            func.md5(facts),
            func.max(func.greatest(col(Episode.changed_at), col(Show.changed_at), entered)),
            func.coalesce(func.bool_or(entered.is_(None)), False),
            select(around.c.latest).scalar_subquery(),
            select(around.c.narrowed).scalar_subquery(),
        )
        .select_from(ranks)
        .join(Episode, col(Episode.id) == ranks.c.id)
        .join(Show, col(Show.id) == col(Episode.show_id))
        .join(Person, col(Person.id) == col(Episode.author_id))
        .join(
            FeedEntry,
            and_(col(FeedEntry.episode_id) == ranks.c.id, col(FeedEntry.view_id) == view.id),
            isouter=True,
        )
        .where(on_page(ranks, page))
    ).one()
    total, fingerprint, changed, unentered, withdrawn, narrowed = found
    latest = max((moment for moment in (changed, withdrawn) if moment), default=None)
    missing = bool(unentered) and view.kind == TOP
    return Standing(total, fingerprint or "", latest, missing, bool(narrowed))


def _around(view: FeedView) -> CTE:
    """What is true of all published episodes of a view's show, withdrawn ones with them.

    The latest change among them, and whether any is for some communities only.
    """
    other = aliased(Episode)
    some = or_(col(other.audience).is_not(None), col(other.show_audience).is_not(None))
    return (
        select(
            func.max(col(other.changed_at)).label("latest"), func.bool_or(some).label("narrowed")
        )
        .where(col(other.show_id) == view.show_id, col(other.published_at).is_not(None))
        .cte("around")
    )


def enter(session: Session, asker: Asker, view: FeedView, at: datetime) -> None:
    """Write down when episodes first entered a ranked view; what is written never changes.

    Entries of one call lie one second apart, the best newest, none after `at`. For now it is the
    first reading after the order changed that calls this; a worker will.
    """
    ranks = ranked(asker, view)
    known = select(col(FeedEntry.episode_id)).where(col(FeedEntry.view_id) == view.id)
    missing = session.execute(
        select(ranks.c.id).where(ranks.c.id.not_in(known)).order_by(ranks.c.rank)
    ).scalars()
    entries = [
        {"view_id": view.id, "episode_id": episode, "entered_at": at - timedelta(seconds=place)}
        for place, episode in enumerate(missing)
    ]
    if entries:
        # Two readers at once write the same rows: the first one's moment stays.
        session.execute(insert(FeedEntry).values(entries).on_conflict_do_nothing())


def shown_at(view: FeedView) -> ColumnElement[datetime]:
    """Return a row's pubDate: its publication, in ranked views its entry."""
    entered = func.coalesce(col(FeedEntry.entered_at), col(Episode.published_at))
    return entered if view.kind == TOP else func.coalesce(col(Episode.published_at))
