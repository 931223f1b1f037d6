"""Who may see and do what: the one place that pages, API, feeds, bytes and search ask.

Two questions, one source: "may this asker do this to that" and "the SQL condition of all that this
asker may see". No other module compares roles or communities.

A viewer is an Asker, somebody who is signed in or whose key was presented; or GUEST, anybody at
all, where the house has public talks; or None, who sees nothing. *Listed* is what lists, feeds,
search and counts show; *open* is what may be opened by its address, which is more: one's own, what
one was asked to review, and, for those who moderate, whatever was published. Neither is cached:
who leaves a community has left it with the next request.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    and_,
    any_,
    exists,
    false,
    func,
    literal,
    or_,
    true,
)
from sqlmodel import col, select

from storage.models import HEARABLE, Community, Episode, Membership, Person, Review, Show

PUBLISHERS = frozenset({"contributor", "moderator", "admin"})
MODERATORS = frozenset({"moderator", "admin"})


@dataclass(frozen=True)
class Asker:
    """Somebody who is signed in, or whose key was presented.

    `communities` are those one belongs to, `looks_after` those of them one is steward of;
    `unread` counts notices nobody has read yet.
    """

    id: int
    ref: str
    name: str
    role: str
    department: str | None = None
    theme: str = "system"
    communities: tuple[int, ...] = ()
    looks_after: tuple[int, ...] = ()
    unread: int = 0

    @property
    def may_publish(self) -> bool:
        """Whether this person may draft, upload and publish talks of their own."""
        return self.role in PUBLISHERS or bool(self.looks_after)

    @property
    def may_moderate(self) -> bool:
        """Whether this person moderates anything: the whole house, or a community's shows."""
        return self.moderates_all or bool(self.looks_after)

    @property
    def moderates_all(self) -> bool:
        """Whether this person moderates the whole house."""
        return self.role in MODERATORS

    @property
    def is_admin(self) -> bool:
        """Whether this person looks after roles, settings, the log and everybody's accounts."""
        return self.role == "admin"


@dataclass(frozen=True)
class Guest:
    """Anybody at all, in a house that has switched public talks on."""


GUEST = Guest()
Viewer = Asker | Guest | None


def asker_of(
    person: Person,
    communities: tuple[int, ...] = (),
    looks_after: tuple[int, ...] = (),
    unread: int = 0,
) -> Asker:
    """Return the asker that a person is; `identity.askers` knows their communities."""
    return Asker(
        id=person.id,
        ref=str(person.ref),
        name=person.name,
        role=person.role,
        department=person.department,
        theme=person.theme,
        communities=communities,
        looks_after=looks_after,
        unread=unread,
    )


def _lets_pass(audience: Any, asker: Asker) -> ColumnElement[bool]:
    """Return whether an audience lets somebody pass: everybody, or a community of theirs."""
    return or_(audience.is_(None), audience.overlap(list(asker.communities)))


def _among(column: Any, ids: tuple[int, ...]) -> ColumnElement[bool]:
    """Return whether a column is one of these: one parameter, however many there are.

    IN would write a statement anew for each number of them.
    """
    found: ColumnElement[bool] = column == any_(literal(list(ids), ARRAY(BigInteger)))
    return found


def _is_out() -> ColumnElement[bool]:
    return and_(
        col(Episode.published_at).is_not(None),
        col(Episode.withdrawn_at).is_(None),
        col(Episode.hidden_at).is_(None),
    )


def listed(viewer: Viewer) -> ColumnElement[bool]:
    """Return the condition of all episodes that lists, feeds, search and counts may show."""
    if viewer is None:
        return false()
    if isinstance(viewer, Guest):
        return and_(_is_out(), col(Episode.public).is_(True))
    return and_(
        _is_out(),
        _lets_pass(col(Episode.show_audience), viewer),
        _lets_pass(col(Episode.audience), viewer),
    )


def open_to_all_here() -> ColumnElement[bool]:
    """Return the condition of all episodes that everybody with an account finds in lists."""
    return and_(_is_out(), col(Episode.show_audience).is_(None), col(Episode.audience).is_(None))


def shows_open_to_all_here() -> ColumnElement[bool]:
    """Return the condition of all shows that everybody with an account finds in lists."""
    return col(Show.audience).is_(None)


def visible(viewer: Viewer) -> ColumnElement[bool]:
    """Return the condition of all episodes whose page and bytes this viewer may open.

    Beside the listed ones: one's own, in whatever state; those one was asked to review; and for
    moderators and for stewards of the show's community all that was ever published.
    """
    if not isinstance(viewer, Asker):
        return listed(viewer)
    return or_(
        listed(viewer),
        col(Episode.author_id) == viewer.id,
        _reviewed_by(viewer),
        moderated(viewer),
    )


def _reviewed_by(asker: Asker) -> ColumnElement[bool]:
    return exists().where(
        col(Review.episode_id) == col(Episode.id),
        col(Review.person_id) == asker.id,
        or_(col(Review.until).is_(None), col(Review.until) > func.now()),
        # Once it is out, its audience decides; and what was withdrawn is nobody's to judge.
        col(Episode.published_at).is_(None),
        col(Episode.withdrawn_at).is_(None),
    )


def moderated(asker: Asker) -> ColumnElement[bool]:
    """Return the condition of all episodes in whose affairs this asker has a say as moderator.

    What was never published is nobody's affair but its people's.
    """
    # Retention makes an old withdrawn talk a draft again; what moderators took away stays theirs.
    was_out = or_(
        col(Episode.published_at).is_not(None),
        col(Episode.hidden_at).is_not(None),
        and_(
            col(Episode.withdrawn_at).is_not(None),
            col(Episode.withdrawn_by) != col(Episode.author_id),
        ),
    )
    return and_(was_out, _moderated_by(asker))


def _moderated_by(asker: Asker) -> ColumnElement[bool]:
    if asker.moderates_all:
        return true()
    if not asker.looks_after:
        return false()
    theirs = select(Show.id).where(_among(col(Show.community_id), asker.looks_after))
    return col(Episode.show_id).in_(theirs)


def shows_listed(viewer: Viewer) -> ColumnElement[bool]:
    """Return the condition of all shows that lists and choices may name to this viewer."""
    if viewer is None:
        return false()
    if isinstance(viewer, Guest):
        return col(Show.visibility) == "public"
    return or_(_lets_pass(col(Show.audience), viewer), col(Show.owner_id) == viewer.id)


def shows_open(viewer: Viewer) -> ColumnElement[bool]:
    """Return the condition of all shows whose page and picture this viewer may open."""
    if not isinstance(viewer, Asker):
        return shows_listed(viewer)
    if viewer.moderates_all:
        return true()
    return or_(shows_listed(viewer), _among(col(Show.community_id), viewer.looks_after))


def communities_listed(viewer: Viewer) -> ColumnElement[bool]:
    """Return the condition of all communities that this viewer may know of."""
    if not isinstance(viewer, Asker):
        return false()
    if viewer.is_admin:
        return true()
    return or_(col(Community.joining) != "group", _among(col(Community.id), viewer.communities))


def admins() -> ColumnElement[bool]:
    """Return the condition of all people who look after the house."""
    return and_(col(Person.role) == "admin", col(Person.disabled_at).is_(None))


def needs_second_factor(asker: Asker) -> bool:
    """Whether a password alone is too little for what this asker may do to others."""
    return asker.moderates_all


def may_edit(asker: Asker, episode: Episode) -> bool:
    """Whether this asker may change an episode and its bytes."""
    return asker.may_publish and episode.author_id == asker.id


def may_moderate(asker: Asker, community_id: int | None) -> bool:
    """Whether this asker may hide, remove and restore what stands in a show of this community.

    None stands for shows at home in no community.
    """
    return asker.moderates_all or (community_id is not None and community_id in asker.looks_after)


def may_steward(asker: Asker, community_id: int) -> bool:
    """Whether this asker may change a community, its members and what stands in it."""
    return asker.moderates_all or community_id in asker.looks_after


def may_invite(asker: Asker, community_id: int | None, role: str) -> bool:
    """Whether this asker may invite somebody new, into a community or none, to have this role.

    Admins may invite to anything; stewards to their community, and nobody to moderate the house.
    """
    if asker.is_admin:
        return True
    return role not in MODERATORS and community_id is not None and may_steward(asker, community_id)


def may_found_communities(asker: Asker) -> bool:
    """Whether this asker may make communities, and say whether a provider's groups fill them."""
    return asker.is_admin


def may_see_members(asker: Asker, community_id: int) -> bool:
    """Whether this asker may read who belongs to a community: who does, and who looks after it."""
    return community_id in asker.communities or may_steward(asker, community_id)


def sees_show(viewer: Viewer, show: Show) -> bool:
    """Whether `shows_listed` holds for this show: the same rule, of a row at hand."""
    if not isinstance(viewer, Asker):
        return viewer is not None and show.visibility == "public"
    passes = show.audience is None or bool(set(show.audience) & set(viewer.communities))
    return passes or show.owner_id == viewer.id


def house_moderators() -> ColumnElement[bool]:
    """Return the condition of all open accounts that moderate the whole house."""
    return and_(col(Person.role).in_(MODERATORS), col(Person.disabled_at).is_(None))


def stewards_of(community_id: int) -> ColumnElement[bool]:
    """Return the condition of all open accounts that look after a community."""
    keepers = select(Membership.person_id).where(
        Membership.community_id == community_id, Membership.role == "steward"
    )
    return and_(col(Person.id).in_(keepers), col(Person.disabled_at).is_(None))


def may_edit_show(asker: Asker, show: Show) -> bool:
    """Whether this asker may change a show and add episodes to it."""
    return asker.may_publish and show.owner_id == asker.id


def widens(before: Show, after: Show, narrowed: Sequence[int] | None) -> bool:
    """Whether a talk may be heard by somebody new once it goes from one show into another.

    `narrowed` are the communities to which the talk itself is narrowed, None for no narrowing. Who
    belongs where does not matter: it widens when anybody could be let in.
    """
    if after.visibility == "public" and narrowed is None and before.visibility != "public":
        return True
    heard = [set(ids) for ids in (before.audience, narrowed) if ids is not None]
    home = after.community_id
    if home not in {None, before.community_id} and any(home not in ids for ids in heard):
        return True  # its stewards open whatever stands there
    if before.audience is None:
        return False
    few = [set(ids) for ids in (after.audience, narrowed) if ids is not None]
    return not any(ids <= set(before.audience) for ids in few)


def may_remove_comment(asker: Asker, author_id: int) -> bool:
    """Whether this asker may take back a comment that `author_id` wrote: one's own alone.

    Moderators hide and remove with a reason, by `service.moderation`.
    """
    return author_id == asker.id


def was_out(episode: Episode) -> bool:
    """Whether an episode was ever published and so is moderators' affair, as in `moderated`."""
    removed = episode.withdrawn_at is not None and episode.withdrawn_by not in {
        None,
        episode.author_id,
    }
    return episode.published_at is not None or episode.hidden_at is not None or removed


def is_out(episode: Episode) -> bool:
    """Whether an episode stands in lists at all: published, not withdrawn, not hidden."""
    return (
        episode.published_at is not None
        and episode.withdrawn_at is None
        and episode.hidden_at is None
    )


def is_open_for_rating(episode: Episode) -> bool:
    """Whether an episode can be rated by anybody at all: out, and hearable."""
    return is_out(episode) and (episode.state in HEARABLE or episode.playable_at is not None)
