"""Who sees what: every surface shows exactly what a plain loop over the rows says it may."""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product

import pytest
from sqlmodel import Session, select

from service import access, catalogue, communities, visibility
from service.access import GUEST, Guest
from service.app import create_app, floor_of
from service.feed import channel, entries, tokens
from storage.models import (
    Community,
    Episode,
    EpisodeTopic,
    Person,
    Position,
    Rendition,
    Review,
    Show,
    Topic,
    now,
)
from tests import factories
from tests.conftest import empty
from tests.web.conftest import Program
from tests.web.listeners import Listener
from tests.web.visitors import Visitor, visitor

MOMENTS = ("out", "narrow", "held", "draft", "hidden", "withdrawn")
# Who asks over HTTP, where each question takes a while: no two of them see the same.
ASKING = ("owner", "steward", "insider", "reviewer", "moderator")


@dataclass
class World:
    """Rows of every kind, and the questions that the loop answers from them alone."""

    session: object
    people: dict = field(default_factory=dict)
    groups: dict = field(default_factory=dict)
    shows: dict = field(default_factory=dict)
    talks: list = field(default_factory=list)
    memberships: list = field(default_factory=list)

    def belongs(self, who):
        """Return the communities that somebody belongs to, and those they look after."""
        rows = [row for row in self.memberships if row.person_id == who.id]
        steward = {row.community_id for row in rows if row.role == "steward"}
        return {row.community_id for row in rows}, steward

    def sees_show(self, who, show):
        """Whether a list may name this show to somebody; None stands for a guest."""
        if who is None:
            return show.visibility == "public"
        if show.owner_id == who.id or show.visibility != "communities":
            return True
        return bool(self.belongs(who)[0] & set(show.audience))

    def opens_show(self, who, show):
        if who is None or self.sees_show(who, show):
            return self.sees_show(who, show)
        return who.role in {"moderator", "admin"} or show.community_id in self.belongs(who)[1]

    def lists(self, who, talk):
        """Whether a list may show this talk to somebody."""
        show = self.session.get(Show, talk.show_id)
        out = talk.published_at and not talk.withdrawn_at and not talk.hidden_at
        if not out:
            return False
        if who is None:
            return show.visibility == "public" and talk.audience is None
        mine = self.belongs(who)[0]
        in_show = show.visibility != "communities" or bool(mine & set(show.audience))
        return in_show and (talk.audience is None or bool(mine & set(talk.audience)))

    def opens(self, who, talk):
        """Whether somebody may open this talk by its address."""
        if who is None or self.lists(who, talk):
            return self.lists(who, talk)
        if talk.author_id == who.id:
            return True
        show = self.session.get(Show, talk.show_id)
        if talk.published_at:
            moderates = who.role in {"moderator", "admin"}
            return moderates or show.community_id in self.belongs(who)[1]
        review = self.session.get(Review, (talk.id, who.id))
        running = review is not None and (review.until is None or review.until > now())
        return running and not talk.withdrawn_at

    def knows(self, who, group):
        """Whether somebody may know of a community."""
        if who is None:
            return False
        return group.joining != "group" or who.role == "admin" or group.id in self.belongs(who)[0]

    def titles(self, question, who):
        return {talk.title for talk in self.talks if question(who, talk)}


def people_of(session, world):
    """Add people of every kind; each belongs to what `homes` says, an asterisk for stewards."""
    homes = {
        "owner": ("contributor", "water fire hidden air"),
        "other": ("contributor", "fire"),
        "steward": ("learner", "*water"),
        "member": ("learner", "water"),
        "both": ("learner", "water fire"),
        "insider": ("learner", "hidden air"),
        "outsider": ("learner", ""),
        "reviewer": ("contributor", ""),
        "moderator": ("moderator", ""),
        "admin": ("admin", "air"),
    }
    for name, (role, belongs) in homes.items():
        world.people[name] = factories.person(session, name.title(), role=role)
        for group in belongs.split():
            as_what = "steward" if group.startswith("*") else "member"
            community = world.groups[group.lstrip("*")]
            made = factories.member(session, community, world.people[name], as_what)
            world.memberships.append(made)


def talk_of(session, world, show, moment):
    """Add a talk in a show at some moment of its life."""
    ids = {name: group.id for name, group in world.groups.items()}
    told = {
        "narrow": {"audience": [ids["fire"], ids["air"]]},
        "held": {"held": True, "published_at": None},
        "hidden": {"hidden_at": now()},
        "withdrawn": {"withdrawn_at": now()},
    }.get(moment, {})
    state = "draft" if moment == "draft" else "complete"
    title = f"Valve {show.slug} {moment}"
    topics = [moment, "All"]
    return factories.episode(session, show, title, state=state, topics=topics, said=["x"], **told)


@pytest.fixture(scope="module")
def session(database_engine):
    """One session for all tests here: they only read, but for the last."""
    with Session(database_engine, expire_on_commit=False) as opened:
        yield opened
    empty(database_engine)


@pytest.fixture(scope="module")
def world(session):
    """Ten people, four communities, six shows of all kinds, thirty-six talks of all kinds."""
    made = World(session)
    for name, joining in (("water", "open"), ("fire", "request"), ("hidden", "group"),
                          ("air", "open")):  # fmt: skip
        made.groups[name] = factories.community(session, name, slug=name, joining=joining)
    people_of(session, made)
    owner, other = made.people["owner"], made.people["other"]
    for slug, who, kind, audience, home in (
        ("all", owner, "organisation", (), None),
        ("home", other, "organisation", (), "water"),
        ("one", owner, "communities", ("water",), "water"),
        ("two", owner, "communities", ("water", "fire"), "fire"),
        ("secret", owner, "communities", ("hidden",), "hidden"),
        ("open", owner, "public", (), "water"),
    ):
        values = {"audience": [made.groups[name].id for name in audience]} if audience else {}
        made.shows[slug] = factories.show(
            session, who, slug, slug=slug, visibility=kind,
            community_id=made.groups[home].id if home else None, **values,
        )  # fmt: skip
    for show, moment in product(made.shows.values(), MOMENTS):
        made.talks.append(talk_of(session, made, show, moment))
    by_title = {talk.title: talk for talk in made.talks}
    hour = timedelta(hours=1)
    for title, who, until in (
        ("Valve all held", "reviewer", None),
        ("Valve one draft", "reviewer", None),
        ("Valve one out", "reviewer", None),
        ("Valve two withdrawn", "reviewer", None),
        ("Valve secret held", "reviewer", now() - hour),
        ("Valve secret draft", "moderator", now() + hour),
        ("Valve home held", "outsider", None),
    ):
        review = Review(episode_id=by_title[title].id, person_id=made.people[who].id, until=until)
        session.add(review)
    for talk, person in product(made.talks, made.people.values()):
        session.add(Position(person_id=person.id, episode_id=talk.id, seconds=20.0))
    session.commit()
    return made


@pytest.fixture(scope="module")
def viewers(session, world):
    """Return everybody as (person of the loop, viewer of the code); a guest is (None, GUEST)."""
    known = [(person, factories.asker(session, person)) for person in world.people.values()]
    return [*known, (None, GUEST)]


def paged(read):
    """Read all pages of a list."""
    rows, after = [], None
    while True:
        page = read(after)
        rows += page.rows
        after = page.after
        if after is None:
            return rows


def test_the_loop_itself_tells_people_apart(world):
    """Were all sets equal, the tests below would prove nothing."""
    shown = {name: len(world.titles(world.lists, who)) for name, who in world.people.items()}
    opened = {name: len(world.titles(world.opens, who)) for name, who in world.people.items()}
    assert shown == {
        "owner": 12, "other": 8, "steward": 5, "member": 5, "both": 10, "insider": 8,
        "outsider": 3, "reviewer": 3, "moderator": 3, "admin": 6,
    }  # fmt: skip
    assert opened["outsider"] == shown["outsider"] + 1
    assert opened["reviewer"] == shown["reviewer"] + 2
    assert opened["owner"] > opened["moderator"] > opened["steward"] > opened["member"]
    assert world.titles(world.lists, None) == {"Valve open out"}


def test_s23_the_two_conditions_are_what_the_loop_says(session, world, viewers):
    for who, viewer in viewers:
        for condition, question in (
            (access.listed(viewer), world.lists),
            (access.visible(viewer), world.opens),
        ):
            found = session.exec(select(Episode.title).where(condition)).all()
            assert set(found) == world.titles(question, who), (who, question)
            assert len(found) == len(set(found))
    assert session.exec(select(Episode).where(access.listed(None))).all() == []
    assert session.exec(select(Episode).where(access.visible(None))).all() == []


def test_s23_every_list_search_and_count_shows_what_the_loop_says(session, world, viewers):
    ids = [talk.id for talk in world.talks]
    for who, viewer in viewers:
        wanted = world.titles(world.lists, who)
        by_list = {
            "top": paged(lambda after, v=viewer: catalogue.top(session, v, after=after, limit=7)),
            "newest": paged(
                lambda after, v=viewer: catalogue.newest(session, v, after=after, limit=7)
            ),
            "by ids": catalogue.by_ids(session, viewer, ids),
        }
        if not isinstance(viewer, Guest):
            by_list["continuing"] = catalogue.continuing(session, viewer, limit=100)
        hits, count = catalogue.searched(session, viewer, "valve")
        by_list["searched"] = [hit.row for hit in hits]
        assert count == len(wanted)
        for name, rows in by_list.items():
            assert sorted(row.title for row in rows) == sorted(wanted), (name, who)
        counted = {topic.name: topic.count for topic in catalogue.topics(session, viewer)}
        assert counted == topics_of(session, world, who)


def topics_of(session, world, who):
    """Count the talks of each topic by hand."""
    counted = {}
    for talk in world.talks:
        if world.lists(who, talk):
            for link in session.exec(
                select(EpisodeTopic).where(EpisodeTopic.episode_id == talk.id)
            ):
                name = session.get(Topic, link.topic_id).name
                counted[name] = counted.get(name, 0) + 1
    return counted


def test_s23_what_goes_with_a_talk_is_listed_and_names_no_hidden_community(session, world, viewers):
    for who, viewer in viewers[::2]:
        wanted = world.titles(world.lists, who)
        for talk in world.talks:
            if not world.opens(who, talk):
                assert catalogue.talk(session, viewer, str(talk.guid)) is None
                continue
            whole = catalogue.talk(session, viewer, str(talk.guid))
            assert {row.title for row in catalogue.related(session, viewer, whole.row)} <= wanted
            home = session.get(Show, talk.show_id).community_id
            named = home and world.knows(who, session.get(Community, home))
            assert (whole.row.community is not None) == bool(named)


def test_s23_lists_of_shows_and_communities_are_what_the_loop_says(session, world, viewers):
    for who, viewer in viewers:
        shows = {show.slug for show in catalogue.shows(session, viewer)}
        latest = {show.slug for show in catalogue.latest_shows(session, viewer, limit=100)}
        wanted = {slug for slug, show in world.shows.items() if world.sees_show(who, show)}
        assert shows == latest == wanted
        groups = {one.slug for one in catalogue.communities(session, viewer)}
        known = {slug for slug, group in world.groups.items() if world.knows(who, group)}
        assert groups == known
        for slug, show in world.shows.items():
            assert access.sees_show(viewer, show) == world.sees_show(who, show)
            opened = catalogue.find_show(session, viewer, slug) is not None
            assert opened == world.opens_show(who, show)
        if who is not None:
            assert {place.slug for place in communities.places(session, viewer)} == known


def test_s23_feeds_hold_what_the_loop_says(session, world, viewers):
    top = channel.view_top(session)
    views = {slug: channel.view_of_show(session, show.id) for slug, show in world.shows.items()}
    for who, viewer in viewers[:-1]:
        wanted = world.titles(world.lists, who)
        assert in_feed(session, viewer, top) == wanted
        for slug, view in views.items():
            assert in_feed(session, viewer, view) == {
                title for title in wanted if title.startswith(f"Valve {slug} ")
            }
        assert entries.standing(session, viewer, top, 1).total == len(wanted)


def in_feed(session, viewer, view):
    ranks = entries.ranked(viewer, view)
    return set(session.exec(select(Episode.title).join(ranks, ranks.c.id == Episode.id)))


# Over HTTP


@pytest.fixture(scope="module")
def app(house):
    """The application, in a house with public talks."""
    made = create_app(house.model_copy(update={"public_talks": True}))
    yield made
    floor_of(made).database.close()


@pytest.fixture(scope="module")
def closed_app(house):
    """The same, where nothing is public."""
    made = create_app(house)
    yield made
    floor_of(made).database.close()


def asking(world):
    return [world.people[name] for name in ASKING]


def opened(client, address):
    """Whether an address opens: anything but absent, or a way to the sign-in."""
    status = client.ask("HEAD", address).status_code
    assert status in {200, 303, 401, 404}, (address, status)
    return status == 200


def addresses(session, talk):
    """Return what of a talk has an address, where there is something at it."""
    found = [f"/episodes/{talk.guid}/progress"]
    if session.get(Rendition, (talk.id, talk.revision, "mp3")):
        found.append(f"/episodes/{talk.guid}/media/{talk.revision}/audio.mp3")
        found.append(f"/episodes/{talk.guid}/transcript.vtt")
    return found


def test_s23_pages_bytes_and_transcripts_open_for_whom_the_loop_says(session, settings, app, world):
    for who in asking(world):
        browser = visitor(app, settings, session, who)
        for talk in world.talks:
            may = world.opens(who, talk)
            for address in addresses(session, talk):
                assert opened(browser, address) == may, (who.name, talk.title, address)
        # The pages themselves are slow to write: a talk of each show, of each moment, is enough.
        for talk in world.talks[:: len(MOMENTS) + 1]:
            page = browser.get(f"/episodes/{talk.guid}")
            assert (page.status_code == 200) == world.opens(who, talk), (who.name, talk.title)


def test_s23_shows_their_pictures_and_the_api_are_what_the_loop_says(session, settings, app, world):
    for who in asking(world):
        browser = visitor(app, settings, session, who)
        its = Program(app, settings.origin, factories.token(session, who))
        session.commit()
        for slug, show in world.shows.items():
            may = world.opens_show(who, show)
            assert opened(browser, f"/shows/{slug}") == may
            assert opened(browser, f"/shows/{slug}/art.jpg") == may
        wanted = world.titles(world.lists, who)
        for order in ("top", "newest"):
            assert {row["title"] for row in listed_by(its, f"order={order}")} == wanted
        for slug, show in world.shows.items():
            answer = its.get(f"episodes?show={slug}")
            assert (answer.status_code == 200) == world.sees_show(who, show)
            if answer.status_code == 200:
                titles = {row["title"] for row in answer.get_json()["rows"]}
                assert titles == {one for one in wanted if one.startswith(f"Valve {slug} ")}
        shows = {row["slug"] for row in its.get("shows").get_json()["rows"]}
        assert shows == {slug for slug, show in world.shows.items() if world.sees_show(who, show)}
        groups = {row["slug"] for row in its.get("communities").get_json()["rows"]}
        assert groups == {one for one, group in world.groups.items() if world.knows(who, group)}
        found = its.get("search?q=valve").get_json()
        assert (found["count"], {row["episode"]["title"] for row in found["rows"]}) == (
            len(wanted),
            wanted,
        )


def listed_by(its, query):
    rows, after = [], ""
    while after is not None:
        told = its.get(f"episodes?{query}{after}").get_json()
        rows += told["rows"]
        after = f"&after={told['next']}" if told["next"] else None
    return rows


def test_s23_a_guest_opens_what_is_public_and_only_where_the_house_says_so(
    session, settings, app, closed_app, world
):
    guest, stranger = (Visitor(one, settings) for one in (app, closed_app))
    for talk in world.talks:
        for address in [f"/episodes/{talk.guid}", *addresses(session, talk)[1:]]:
            assert opened(guest, address) == world.opens(None, talk), address
            assert not opened(stranger, address), address
    for slug, show in world.shows.items():
        for address in (f"/shows/{slug}", f"/shows/{slug}/art.jpg"):
            assert opened(guest, address) == world.sees_show(None, show), address
            assert not opened(stranger, address), address
    words = guest.get("/shows/open").get_data(as_text=True)
    assert "Valve open out" in words
    for talk in world.talks:
        if talk.title != "Valve open out":
            assert talk.title not in words


def test_s23_a_key_of_a_feed_opens_what_its_owner_may_hear(session, settings, app, world):
    listener = Listener(app, settings)
    view = channel.view_top(session)
    for who in (world.people["member"], world.people["owner"]):
        token = tokens.issue(session, who.id, view, secret=settings.secret)
        session.commit()
        for talk in world.talks:
            key = tokens.episode_key(settings.secret, token, talk.guid)
            address = f"/m/{token.ref}/{key}/{talk.guid}/{talk.revision}"
            for name in ("audio.mp3", "en.vtt"):
                status = listener.get(f"{address}/{name}", method="HEAD").status_code
                assert (status == 200) == world.lists(who, talk), (who.name, talk.title, name)


def test_s23_the_copies_of_this_world_are_those_that_the_code_would_write(session, world):
    """The oracle reads shows and the code reads copies: here both are known to agree."""
    owner = factories.asker(session, world.people["owner"])
    for show in world.shows.values():
        before = {
            talk.title: (talk.show_audience, talk.public)
            for talk in world.talks
            if talk.show_id == show.id
        }
        if show.owner_id == owner.id:
            aside = sorted({world.groups["air"].id, show.community_id or world.groups["fire"].id})
            visibility.set_show(session, owner, show, visibility.Choice("communities", aside))
            kind = {"all": "organisation", "open": "public"}.get(show.slug, "communities")
            audience = {
                "one": ["water"], "two": ["water", "fire"], "secret": ["hidden"],
            }.get(show.slug)  # fmt: skip
            ids = sorted(world.groups[name].id for name in audience) if audience else None
            visibility.set_show(session, owner, show, visibility.Choice(kind, ids))
        session.expire_all()
        after = {
            talk.title: (talk.show_audience, talk.public)
            for talk in world.talks
            if talk.show_id == show.id
        }
        assert after == before


def test_everybody_of_the_world_is_there(session, world):
    assert len(session.exec(select(Person)).all()) >= 8
    assert len(world.talks) >= 30


def test_s24_a_talk_narrowed_while_a_player_runs_is_closed_to_its_next_range(
    session, settings, app, world
):
    member, owner = world.people["both"], world.people["owner"]
    talk = next(talk for talk in world.talks if talk.title == "Valve all out")
    sound = session.get_one(Rendition, (talk.id, talk.revision, "mp3"))
    floor_of(app).store.put(sound.key, bytes(64), sound.type)
    sound.size = 64
    player, author = (visitor(app, settings, session, who) for who in (member, owner))
    listener = Listener(app, settings)
    token = tokens.issue(session, member.id, channel.view_top(session), secret=settings.secret)
    session.commit()
    key = tokens.episode_key(settings.secret, token, talk.guid)
    by_page = f"/episodes/{talk.guid}/media/{talk.revision}/audio.mp3"
    by_key = f"/m/{token.ref}/{key}/{talk.guid}/{talk.revision}/audio.mp3"

    def statuses(span):
        asked = {"Range": f"bytes={span}"}
        return (
            player.get(by_page, headers=asked).status_code,
            listener.get(by_key, Range=asked["Range"]).status_code,
        )

    assert statuses("0-15") == (206, 206)
    answer = author.post(f"/studio/{talk.guid}/audience", narrow="yes", communities="hidden")
    assert answer.status_code == 303
    assert statuses("16-31") == (404, 410)
    author.post(f"/studio/{talk.guid}/audience", narrow="yes", communities="fire")
    assert statuses("16-31") == (206, 206)
    author.post("/shows/all/edit", title="all", visibility="communities", communities="air")
    assert statuses("32-47") == (404, 410)
