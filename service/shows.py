"""A show's own facts: made and changed by its owner, with who may see it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlmodel import Session, col, or_, select

from service import access, publishing, visibility
from service.access import Asker
from service.publishing import NotThereError, PublishingError, gathered
from storage.models import Community, Episode, EpisodePerson, Show, now

# In a form: the community where the show is at home, which one does not belong to (any more).
KEPT = "-"


@dataclass(frozen=True)
class About:
    """What an owner says of a show, as typed. Communities are named by slug.

    An empty visibility stands for the whole organisation in a new show, and leaves an old one as
    it is.
    """

    title: str
    description: str = ""
    language: str = ""
    community: str = ""
    visibility: str = ""
    communities: Sequence[str] = field(default_factory=tuple)


def mine(session: Session, asker: Asker, slug: str) -> Show:
    """Return a show that this person may change.

    Raises:
        NotThereError: there is none, or it is somebody else's.
    """
    show = session.exec(select(Show).where(Show.slug == slug)).first()
    if show is None or not access.may_edit_show(asker, show):
        raise NotThereError
    return show


def preset(session: Session, asker: Asker, community: str) -> About:
    """Return what the form for a new show at home in this community begins with.

    Where people come into it by the groups of a sign-in provider nobody else knows of it, so the
    show begins with its members alone; elsewhere with everyone. A community that this person does
    not belong to, or none, presets nothing.
    """
    found = session.exec(
        select(Community).where(
            Community.slug == community, col(Community.id).in_(asker.communities)
        )
    ).first()
    if found is None:
        return About("")
    if found.joining != "group":
        return About("", community=found.slug)
    return About("", community=found.slug, visibility="communities", communities=(found.slug,))


def create(
    session: Session, asker: Asker, about: About, *, public_talks: bool, network: str = ""
) -> Show:
    """Make a show of one's own, for whom it says.

    Raises:
        PublishingError: a sentence for each field that cannot be; nothing was written.
        NotThereError: this person does not publish.
    """
    errors: dict[str, str] = {}
    choice = visibility.Choice("organisation", None)
    with gathered(errors):
        choice = visibility.choose(
            session,
            asker,
            about.visibility or choice.visibility,
            about.communities,
            public_talks=public_talks,
        )
    with gathered(errors):
        visibility.check_home(_named_home(session, asker, about.community), choice)
    if errors:
        with gathered(errors):
            publishing.clean_show(about.title, about.description)
        raise PublishingError(errors)
    show = publishing.create_show(
        session,
        asker,
        title=about.title,
        description=about.description,
        community=about.community,
        language=about.language,
    )
    visibility.set_show(session, asker, show, choice, network=network)
    return show


def edit(
    session: Session,
    asker: Asker,
    slug: str,
    about: About,
    *,
    public_talks: bool,
    network: str = "",
) -> Show:
    """Change one's own show; its address stays.

    Raises:
        PublishingError: a sentence for each field that cannot be; nothing was written.
        NotThereError: no such show of this person's.
    """
    show = mine(session, asker, slug)
    visibility.hold(session, show)
    errors: dict[str, str] = {}
    title = description = ""
    home, choice = show.community_id, visibility.of_show(show)
    with gathered(errors):
        title, description = publishing.clean_show(about.title, about.description)
    with gathered(errors):
        home = _home(session, asker, show, about.community)
    if about.visibility:
        with gathered(errors):
            choice = visibility.choose(
                session,
                asker,
                about.visibility,
                about.communities,
                public_talks=public_talks,
                before=choice,
            )
    if not errors:
        with gathered(errors):
            visibility.check_home(home, choice)
    if errors:
        raise PublishingError(errors)
    # Before who may see it: the two are checked against each other.
    show.community_id = home
    session.flush()
    visibility.set_show(session, asker, show, choice, network=network)
    show.title, show.description = title, description
    show.language = about.language or show.language
    show.changed_at = now()
    session.flush()
    return show


def _named_home(session: Session, asker: Asker, slug: str) -> int | None:
    return publishing.home_of(session, asker, slug).id if slug else None


def _home(session: Session, asker: Asker, show: Show, slug: str) -> int | None:
    if slug == KEPT:
        return show.community_id
    return _named_home(session, asker, slug)


def renamed(session: Session, person_id: int) -> None:
    """Note that all shows that name somebody have changed, for apps that ask their feeds by date.

    Their own, and those with a talk of theirs or one that they are heard in.
    """
    heard = select(EpisodePerson.episode_id).where(EpisodePerson.person_id == person_id)
    theirs = or_(col(Episode.author_id) == person_id, col(Episode.id).in_(heard))
    named = select(Episode.show_id).where(theirs)
    shows = (
        select(Show)
        .where(or_(col(Show.owner_id) == person_id, col(Show.id).in_(named)))
        .order_by(col(Show.id))
        .with_for_update(key_share=True)
    )
    for show in session.exec(shows):
        show.changed_at = now()
