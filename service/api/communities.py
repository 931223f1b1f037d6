"""Communities: those one may know of, and one's own membership."""

from flask import Blueprint

from service import communities, memberships
from service.api.contract import answers, spec
from service.api.readers import CommunitiesRead, CommunityRead
from service.communities import Place
from service.context import dare
from service.identity.browser import me, network, signed_in

blueprint = Blueprint("communities", __name__, url_prefix="/communities")


def _read(place: Place) -> CommunityRead:
    return CommunityRead(
        slug=place.slug,
        name=place.name,
        purpose=place.purpose,
        joining=place.joining,
        members=place.members,
        membership=place.standing or None,
    )


@blueprint.get("")
@signed_in
@spec.validate(resp=answers(CommunitiesRead), tags=["communities"])
def listed() -> CommunitiesRead:
    """List the communities that one may know of, one's own first."""
    with dare().database.begin() as session:
        found = communities.places(session, me())
    return CommunitiesRead(rows=[_read(place) for place in found])


@blueprint.put("/<slug>/membership")
@signed_in
@spec.validate(resp=answers(CommunityRead, 404, 409, 429), tags=["communities"])
def join(slug: str) -> CommunityRead:
    """Join an open community, or ask to join where its stewards decide."""
    with dare().database.begin() as session:
        return _read(memberships.join(session, me(), slug, network=network()))


@blueprint.delete("/<slug>/membership")
@signed_in
@spec.validate(resp=answers(None, 404, 409, status=204), tags=["communities"])
def leave(slug: str) -> tuple[str, int]:
    """Leave a community, or ask no longer to join it."""
    with dare().database.begin() as session:
        memberships.leave(session, me(), slug, network=network())
    return "", 204
