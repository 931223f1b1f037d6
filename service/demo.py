"""A house with some life in it: real talks, people, communities, ratings, comments.

Runs through the same use cases as the pages, so a demo talk is a talk like any other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session, select

from service import catalogue, discussion, publishing
from service.access import Asker
from service.identity import people
from service.identity.askers import as_asker
from service.publishing import Draft
from service.rating import ledger
from storage.floor import Floor
from storage.models import Community, Episode, Membership, Person, Show

FOLDER = Path(__file__).parent.parent / "demo"
HOUSE = "demo.example"


@dataclass(frozen=True)
class Actor:
    """A person of the demo."""

    name: str
    department: str
    about: str = ""
    role: str = "contributor"

    @property
    def email(self) -> str:
        """The address of this person, on a host that cannot exist."""
        return f"{self.name.split()[0].lower()}@{HOUSE}"


@dataclass(frozen=True)
class DemoTalk:
    """A talk of the demo, and what its listeners give it."""

    file: str
    author: str
    show: str
    title: str
    topics: str
    notes: str
    stars: tuple[int, ...]
    said: tuple[str, ...] = ()


ACTORS = (
    Actor("Ada Brook", "Field service", "Pumps, valves and everything that drips."),
    Actor("Ben Okafor", "Field service", "Ask me about winter call-outs."),
    Actor("Chidi Lang", "Legal", "Contracts in plain words."),
    Actor("Dora Weiss", "Sales", "First meetings and second thoughts."),
    Actor("Emil Novak", "IT", "Anything with a plug.", "moderator"),
    Actor("Fay Lindqvist", "Legal"),
    Actor("Gus Moreau", "Sales"),
    Actor("Hana Sato", "IT", "I collect good explanations."),
)
COMMUNITIES = (
    ("out-on-site", "Out on site", "What works when the van is the office."),
    ("plain-words", "Plain words", "Saying hard things so that people understand."),
    ("curious", "Curious", "Things worth knowing that nobody needs, yet."),
)
SHOWS = (
    ("Ada Brook", "Five minutes on site", "One fault, one fix, one cup of tea.", "out-on-site"),
    ("Chidi Lang", "The small print", "What the text really says.", "plain-words"),
    ("Dora Weiss", "Spoken well", "Talks to learn talking from.", "plain-words"),
    ("Hana Sato", "Worth knowing", "Short readings from the shelf.", "curious"),
)
TALKS = (
    DemoTalk(
        "medical-man.opus",
        "Chidi Lang",
        "The small print",
        "Two duties when something looks wrong",
        "judgement, safety",
        "The first duty is to the person, the second to the facts. In that order.\n\n"
        "- write down what you see\n- keep what you find\n- say who was there",
        (5, 5, 4, 5, 4),
        ("Used this on Tuesday. *Write down what you see* saved us a week.",),
    ),
    DemoTalk(
        "lobsters.opus",
        "Hana Sato",
        "Worth knowing",
        "When is a lobster not a lobster?",
        "nature, names",
        "A question that ought to be in every primer.",
        (4, 3, 4),
        ("So the answer is: in France.",),
    ),
    DemoTalk(
        "sherburn.opus",
        "Hana Sato",
        "Worth knowing",
        "Facing a crowd without raising your voice",
        "speaking, judgement",
        "How one man on a porch roof did it.",
        (5, 4, 5, 4),
    ),
    DemoTalk(
        "ask-not.opus",
        "Dora Weiss",
        "Spoken well",
        "Eleven seconds that everybody remembers",
        "speaking",
        "Listen for the turn in the middle: the same words, the other way round.",
        (5, 5, 5, 4, 5, 5),
        ("Why does it work? Because of the pause?", "I tried a turn like this in a pitch."),
    ),
    DemoTalk(
        "sonnet.opus",
        "Dora Weiss",
        "Spoken well",
        "Reading verse so that it makes sense",
        "speaking, reading",
        "Shakespeare's first sonnet, read for the meaning and not for the beat.",
        (3, 2, 3),
    ),
    DemoTalk(
        "meeting.opus",
        "Emil Novak",
        "Five minutes on site",
        "What a short hand-over sounds like",
        "meetings",
        "Two people, half a minute, nothing forgotten.",
        (3, 4),
    ),
    DemoTalk(
        "fast-then-slow.opus",
        "Ben Okafor",
        "Five minutes on site",
        "The same message, fast and slow",
        "speaking, safety",
        "On a bad line, slower is quicker.",
        (4, 4, 5),
        ("My customers thank you.",),
    ),
    DemoTalk(
        "filmed-talk.mp4",
        "Emil Novak",
        "Five minutes on site",
        "How we work together across three offices",
        "meetings, tools",
        "A short film about shared documents, made before anyone thought it was normal.",
        (2, 3, 2),
    ),
)


def fill(floor: Floor, password: str, tell: Callable[[str], None]) -> list[str]:
    """Make people, communities, shows and talks; return the guids of talks on their way.

    What is there already stays as it is, so it can run twice.
    """
    with floor.database.begin() as session:
        actors = {actor.name: _person(session, actor, password) for actor in ACTORS}
        _communities(session, list(actors.values()))
    with floor.database.begin() as session:
        for owner, title, about, community in SHOWS:
            _show(session, as_asker(session, actors[owner]), title, about, community)
    guids = []
    for talk in TALKS:
        guid = _share(floor, actors, talk)
        if guid is not None:
            tell(f"{talk.title} is on its way.")
            guids.append(guid)
    return guids


def _person(session: Session, actor: Actor, password: str) -> Person:
    known = people.by_email(session, actor.email)
    if known is not None:
        return known
    person = people.add(
        session,
        email=actor.email,
        name=actor.name,
        password=password,
        role=actor.role,
        department=actor.department,
    )
    person.about = actor.about
    return person


def _communities(session: Session, members: list[Person]) -> None:
    for slug, name, purpose in COMMUNITIES:
        if session.exec(select(Community).where(Community.slug == slug)).first() is not None:
            continue
        community = Community(slug=slug, name=name, purpose=purpose)
        session.add(community)
        session.flush()
        keepers = {owner for owner, _, _, home in SHOWS if home == slug}
        for person in members:
            role = "steward" if person.name in keepers else "member"
            session.add(Membership(community_id=community.id, person_id=person.id, role=role))


def _show(session: Session, owner: Asker, title: str, about: str, community: str) -> None:
    if session.exec(select(Show).where(Show.title == title)).first() is None:
        publishing.create_show(session, owner, title=title, description=about, community=community)


def _share(floor: Floor, actors: dict[str, Person], talk: DemoTalk) -> str | None:
    with floor.database.begin() as session:
        if session.exec(select(Episode).where(Episode.title == talk.title)).first() is not None:
            return None
        show = session.exec(select(Show).where(Show.title == talk.show)).one()
        author = as_asker(session, actors[talk.author])
        owner = next(a for a in actors.values() if a.id == show.owner_id)
        # Somebody else's show: its owner lends the place, the author keeps the name.
        episode = publishing.create_draft(
            session,
            as_asker(session, owner),
            Draft(title=talk.title, notes=talk.notes, topics=talk.topics, show=show.slug),
        )
        episode.author_id = author.id
        guid = str(episode.guid)
    path = FOLDER / talk.file
    with path.open("rb") as body:
        publishing.receive(
            floor, author, guid, name=path.name, length=path.stat().st_size, body=body
        )
    return guid


def respond(floor: Floor) -> int:
    """Let the people rate and discuss every demo talk that can be heard; return how many rated."""
    given = 0
    with floor.database.begin() as session:
        actors = [people.by_email(session, actor.email) for actor in ACTORS]
        askers = [as_asker(session, actor) for actor in actors if actor is not None]
        for talk in TALKS:
            given += _respond(session, askers, talk)
    return given


def _respond(session: Session, askers: list[Asker], talk: DemoTalk) -> int:
    found = session.exec(select(Episode).where(Episode.title == talk.title)).first()
    if found is None or found.published_at is None:
        return 0
    others = [asker for asker in askers if ledger.may_rate(session, asker, found)]
    for asker, stars in zip(others, talk.stars, strict=False):
        ledger.rate(session, asker, found, stars)
    if not discussion.comments(session, others[0], found.id):
        for asker, words in zip(others, talk.said, strict=False):
            discussion.say(session, asker, found, body=words)
    return min(len(others), len(talk.stars))


def unfinished(floor: Floor, guids: list[str]) -> list[str]:
    """Return those talks for which something is still being made."""
    with floor.database.begin() as session:
        anyone = people.by_email(session, ACTORS[0].email)
        if anyone is None:
            return []
        found = (catalogue.find(session, as_asker(session, anyone), guid) for guid in guids)
        states = {str(e.guid): (e.state, e.reason) for e in found if e is not None}
    done = {"complete", "failed"}
    return [
        g
        for g in guids
        if states.get(g, ("", None))[0] not in done and not states.get(g, ("", None))[1]
    ]
