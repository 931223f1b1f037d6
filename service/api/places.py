"""Where talks are found: shows, topics, search; and who asks."""

from typing import Any

from flask import Blueprint, url_for
from sqlmodel import col, select

from service import access, catalogue, limits
from service import shows as show_making
from service.api.contract import answers, spec
from service.api.readers import (
    HitRead,
    HitsRead,
    MeRead,
    MomentRead,
    PersonRead,
    ShowRead,
    ShowsRead,
    TopicCountRead,
    TopicsRead,
)
from service.api.talks import row_of
from service.api.writers import SearchAsked, ShowBody, ShowsAsked
from service.context import dare
from service.identity.browser import me, network, publisher, signed_in
from service.shows import About
from service.text import marked
from storage.models import Community, Person, Show
from storage.search import MARK, UNMARK, Moment

blueprint = Blueprint("places", __name__)
PAGE = 100


@blueprint.get("/me")
@signed_in
@spec.validate(resp=answers(MeRead), tags=["people"])
def asker() -> MeRead:
    """Tell who asks, and what that person may do."""
    return MeRead.model_validate(me())


@blueprint.get("/shows")
@signed_in
@spec.validate(query=ShowsAsked, resp=answers(ShowsRead, 422), tags=["shows"])
def shows(query: ShowsAsked) -> ShowsRead:
    """List all shows by slug, a hundred at a time."""
    with dare().database.begin() as session:
        found = session.execute(
            _shows_query()
            .where(col(Show.slug) > (query.after or ""), access.shows_listed(me()))
            .order_by(col(Show.slug))
            .limit(PAGE + 1)
        ).all()
    rows = [_show(*entry) for entry in found[:PAGE]]
    return ShowsRead(rows=rows, next=rows[-1].slug if len(found) > PAGE else None)


def _shows_query() -> Any:
    return (
        select(Show, Person, Community)
        .join(Person, col(Person.id) == col(Show.owner_id))
        .outerjoin(
            Community,
            (col(Community.id) == col(Show.community_id)) & access.communities_listed(me()),
        )
    )


def _show(show: Show, owner: Person, community: Community | None) -> ShowRead:
    return ShowRead(
        guid=show.guid,
        slug=show.slug,
        title=show.title,
        description=show.description,
        language=show.language,
        owner=PersonRead(name=owner.name, ref=str(owner.ref)),
        community=community.name if community else None,
        visibility=show.visibility,
        mine=access.may_edit_show(me(), show) and show.owner_id == me().id,
        created_at=show.created_at,
    )


@blueprint.post("/shows")
@publisher
@spec.validate(
    json=ShowBody, resp=answers(ShowRead, 400, 404, 413, 415, 422, status=201), tags=["shows"]
)
def create_show(json: ShowBody) -> tuple[ShowRead, int]:
    """Make a show of one's own."""
    with dare().database.begin() as session:
        about = About(
            title=json.title,
            description=json.description,
            language=json.language,
            community=json.community or "",
            visibility=json.visibility,
            communities=tuple(json.communities),
        )
        public = dare().settings.public_talks
        made = show_making.create(session, me(), about, public_talks=public, network=network())
        return _show(*session.execute(_shows_query().where(col(Show.id) == made.id)).one()), 201


@blueprint.get("/topics")
@signed_in
@spec.validate(resp=answers(TopicsRead), tags=["episodes"])
def topics() -> TopicsRead:
    """List the topics with most talks."""
    with dare().database.begin() as session:
        found = catalogue.topics(session, me())
    return TopicsRead(rows=[TopicCountRead.model_validate(topic) for topic in found])


@blueprint.get("/search")
@signed_in
@spec.validate(query=SearchAsked, resp=answers(HitsRead, 422, 429), tags=["search"])
def search(query: SearchAsked) -> HitsRead:
    """Find talks by what they are called and what is said in them, with the seconds."""
    with dare().database.begin() as session:
        limits.spend(session, limits.SEARCHES, me().id)
        hits, count = catalogue.searched(session, me(), query.q, page=query.page)
    rows = [
        HitRead(
            episode=row_of(hit.row, me()),
            moments=[_moment(hit.row.guid, moment) for moment in hit.moments],
        )
        for hit in hits
    ]
    more = query.page * catalogue.PAGE < count
    return HitsRead(count=count, page=query.page, next=query.page + 1 if more else None, rows=rows)


def _moment(guid: str, moment: Moment) -> MomentRead:
    return MomentRead(
        start=moment.start,
        snippet=moment.snippet.replace(MARK, "").replace(UNMARK, ""),
        snippet_html=marked(moment.snippet),
        page_url=url_for("episodes.show", guid=guid, t=int(moment.start), _anchor="player"),
    )
