"""A small world with one of everything, for tests that walk all routes.

`words` says every text in it, so that a test can make all of them hostile, or find each again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlmodel import Session, select

from service.feed import channel, tokens
from service.identity import passwords
from service.identity.secrets import key_of
from service.rating import ledger
from storage import audit
from storage.models import (
    AccessToken,
    Comment,
    Community,
    Decision,
    Episode,
    Export,
    FeedToken,
    GroupGrant,
    Identity,
    JoinRequest,
    Mail,
    Notice,
    Person,
    PersonalLink,
    Position,
    Report,
    Review,
    Show,
    Topic,
    Upload,
    now,
)
from storage.settings import Settings
from tests import factories
from tests.web.visitors import PASSWORD

WORDS = {
    "about": "Ask me about pumps.",
    "app": "AntennaPod",
    "body": "Thanks, that helped.",
    "community": "Out on site",
    "department": "Field service",
    "description": "One fault, one fix.",
    "file": "talk.wav",
    "join": "I fix the same pumps.",
    "label": "my phone",
    "name": "Lima",
    "notes": "What to look at first.",
    "notice": "Somebody answered.",
    "purpose": "What works when the van is the office.",
    "reason": "This file holds no sound.",
    "report": "This names a customer.",
    "said": "Listen to the pump before you open it.",
    "show": "Five minutes on site",
    "title": "Two noises that mean trouble",
    "topic": "Pumps",
    "trouble": "The provider sent no groups.",
}
# Of PASSWORD; made once, since a hash takes its time.
HASH = passwords.hashed(PASSWORD)
# Of the API, what is for authors alone.
OWN = frozenset(
    {"api.talks.change", "api.talks.finish", "api.talks.narrow", "api.talks.publish",
     "api.talks.retry", "api.talks.withdraw",
     "api.uploads.begin", "api.uploads.end"}
)  # fmt: skip
OF_COMMUNITIES = frozenset({"admin_groups.edit", "api.communities.join", "api.communities.leave"})
ROLES = ("learner", "contributor", "moderator", "admin")


def plainly(what: str) -> str:
    """Say things as people do."""
    return WORDS[what]


@dataclass
class World:
    """One of everything, and who is in it. The steward looks after `community`."""

    people: dict[str, Person]
    show: Show
    community: Community
    closed: Community
    talk: Episode
    film: Episode
    limited: Episode
    topic: Topic
    shows: dict[str, Show] = field(default_factory=dict)
    hidden: dict[str, Episode] = field(default_factory=dict)
    own: dict[str, Episode] = field(default_factory=dict)
    comments: dict[str, Comment] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    feeds: dict[str, FeedToken] = field(default_factory=dict)
    tokens: dict[str, AccessToken] = field(default_factory=dict)
    exports: dict[str, Export] = field(default_factory=dict)
    report: Report | None = None
    decision: Decision | None = None
    grant: GroupGrant | None = None
    link: PersonalLink | None = None
    invitation: str = ""


def made(session: Session, settings: Settings, words: Callable[[str], str] = plainly) -> World:
    """Add one of everything and return it; not committed."""
    people = {
        role: factories.person(
            session,
            f"{role.title()} {words('name')}",
            role=role,
            department=words("department"),
            about=words("about"),
        )
        for role in ROLES
    }
    people["steward"] = factories.person(session, f"Steward {words('name')}", role="learner")
    people["author"] = factories.person(session, f"Author {words('name')}")
    people["reviewer"] = factories.person(session, f"Reviewer {words('name')}")
    people["outsider"] = factories.person(session, f"Outsider {words('name')}")
    community = factories.community(
        session, words("community"), purpose=words("purpose"), joining="request"
    )
    closed = factories.community(session, words("community"), joining="group")
    factories.member(session, community, people["steward"], "steward")
    factories.member(session, closed, people["outsider"])
    for who in ("author", "learner", "contributor", "moderator", "admin"):
        factories.member(session, community, people[who])
    show = factories.show(
        session,
        people["author"],
        words("show"),
        description=words("description"),
        community_id=community.id,
    )
    inner = factories.show(
        session,
        people["author"],
        words("show"),
        visibility="communities",
        audience=[community.id],
        community_id=community.id,
    )
    told = {"notes": words("notes"), "topics": [words("topic")], "said": [words("said")] * 2}
    talk = factories.episode(session, show, words("title"), **told)
    film = factories.episode(session, show, words("title"), video=True, **told)
    limited = factories.episode(session, inner, words("title"), **told)
    world = World(
        people=people,
        show=show,
        community=community,
        closed=closed,
        talk=talk,
        film=film,
        limited=limited,
        topic=session.exec(select(Topic)).one(),
    )
    ledger.rate(session, factories.asker(session, people["moderator"]), talk, 4)
    for who, person in people.items():
        _belongings(session, settings, world, who, person, words)
    _care(session, world, words)
    session.flush()
    return world


def _belongings(
    session: Session,
    settings: Settings,
    world: World,
    who: str,
    person: Person,
    words: Callable[[str], str],
) -> None:
    """Give somebody a show with a failed talk and an upload, feeds, tokens, an export, a notice."""
    theirs = factories.show(session, person, words("show"))
    own = factories.episode(
        session, theirs, words("title"), state="failed", notes=words("notes"),
        topics=[words("topic")], reason=words("reason"),
    )  # fmt: skip
    world.own[who], world.shows[who] = own, theirs
    world.hidden[who] = factories.episode(
        session, theirs, words("title"), hidden_at=now(), hidden_words=words("reason")[:300]
    )
    person.password_hash = HASH
    session.add(Review(episode_id=own.id, person_id=world.people["reviewer"].id))
    world.comments[who] = factories.comment(session, world.talk, person, words("body"), at=3.0)
    upload = Upload(
        id=uuid4(), owner_id=person.id, episode_id=own.id, given_name=words("file"),
        length=1000, key=f"sources/{own.guid}/{uuid4()}", s3_upload_id="none",
    )  # fmt: skip
    session.add(upload)
    world.uploads[who] = upload
    view = channel.view_of_show(session, world.show.id)
    world.feeds[who] = tokens.issue(
        session, person.id, view, words("label"), secret=settings.secret
    )
    world.feeds[who].used_by, world.feeds[who].used_at = words("app"), now()
    token = AccessToken(person_id=person.id, key=key_of(str(uuid4())), label=words("label"))
    export = Export(person_id=person.id, state="ready", key=f"exports/{uuid4()}.zip", size=10)
    export.ready_at, export.expires_at = now(), now() + timedelta(days=7)
    session.add_all(
        [
            token,
            export,
            Notice(person_id=person.id, kind="plain", words=words("notice"), path="/"),
            Position(person_id=person.id, episode_id=world.talk.id, seconds=20.0),
            Identity(
                issuer="https://idp.example", subject=str(uuid4()), person_id=person.id,
                provider="staff", email=f"{who}@idp.example", trouble=words("trouble"),
            ),
        ]
    )  # fmt: skip
    session.flush()
    world.tokens[who], world.exports[who] = token, export


def _care(session: Session, world: World, words: Callable[[str], str]) -> None:
    """Add what stewards, moderators and admins look after."""
    people = world.people
    session.add(
        JoinRequest(
            community_id=world.community.id, person_id=people["outsider"].id, words=words("join")
        )
    )
    world.report = Report(
        episode_id=world.talk.id, reporter_id=people["learner"].id, reason="other",
        words=words("report"),
    )  # fmt: skip
    world.decision = Decision(
        episode_id=world.talk.id, act="dismissed", before="standing", words=words("reason")[:300],
        decided_by=people["moderator"].id,
    )  # fmt: skip
    world.grant = GroupGrant(
        provider="staff", value=words("label")[:255], community_id=world.community.id
    )
    world.invitation = str(uuid4())
    world.link = PersonalLink(
        key=key_of(world.invitation), kind="invitation", email="new@example.org",
        community_id=world.community.id, made_by=people["admin"].id,
        expires_at=now() + timedelta(days=7),
    )  # fmt: skip
    letter = Mail(
        kind="invitation", address="new@example.org", subject=words("title")[:200],
        body=words("body"), trouble=words("trouble"), failed_at=now(),
    )  # fmt: skip
    session.add_all([world.report, world.decision, world.grant, world.link, letter])
    for act in ("signed-in", "hidden"):
        audit.record(
            session, act, actor=str(people["admin"].ref), subject_kind="person",
            subject=str(people["author"].ref), words=words("reason"),
        )  # fmt: skip


def values(world: World, who: str, **others: Any) -> dict[str, Any]:
    """Return what stands for each argument of a route, as somebody would name it."""
    return {
        "guid": world.talk.guid,
        "slug": world.show.slug,
        "ref": world.people["author"].ref,
        "revision": 1,
        "decision_id": world.decision.id,
        "kind": "vtt",
        "comment_id": world.comments[who].id,
        "upload_id": world.uploads[who].id,
        "feed_id": world.feeds[who].id,
        "token": "none",
        "name": "audio.mp3",
        "digest": "none",
        "extension": "vtt",
        "language": "en",
        "key": "none",
    } | others


def choices(world: World, who: str, endpoint: str) -> list[dict[str, Any]]:
    """Return the sets of arguments with which a route shows something to somebody.

    Talks: two that are out, but one's own where only authors may. Communities and shows by slug.
    """
    known = values(world, who)
    place = endpoint.partition(".")[0]
    if endpoint in {"episodes.show", "media.transcript"}:
        return [known | {"guid": guid} for guid in (world.talk.guid, world.film.guid)]
    told: dict[str, Any] = {}
    if place == "communities" or endpoint in OF_COMMUNITIES:
        told = {"slug": world.community.slug}
    elif place == "topics":
        told = {"slug": world.topic.slug}
    elif endpoint in {"shows.edit", "shows.save"}:
        told = {"slug": world.shows[who].slug}
    elif place in {"studio", "uploads"} or endpoint in OWN:
        told = {"guid": world.own[who].guid}
    elif endpoint == "episodes.answer":
        told = {"guid": world.hidden[who].guid}
    elif endpoint == "media.video":
        told = {"guid": world.film.guid}
    elif endpoint == "privacy.fetch":
        told = {"ref": world.exports[who].ref}
    elif place in {"admin_people", "privacy"}:
        told = {"ref": world.people["outsider"].ref}
    return [known | told]
