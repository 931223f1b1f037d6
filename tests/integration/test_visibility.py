"""Who may hear what: the copies on episodes always say what their show says."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from service import access, publishing, shows, visibility
from service.publishing import Draft, NotThereError, PublishingError
from service.shows import About
from service.visibility import KEPT, Choice
from storage.database import Database
from storage.models import Audit, Episode, Show
from tests import factories

HOUSE = "Acme"


@pytest.fixture
def person(session):
    return factories.person(session, "Ana Lima")


@pytest.fixture
def groups(session, person):
    """Three communities to which the owner belongs."""
    made = [factories.community(session, name) for name in ("Water", "Fire", "Air")]
    for group in made:
        factories.member(session, group, person)
    return made


@pytest.fixture
def ana(session, person, groups):
    return factories.asker(session, person)


@pytest.fixture
def bo(session):
    return factories.person(session, "Bo Chen", role="learner")


def members(session, *groups):
    """Return somebody who belongs to these communities, as an asker."""
    who = factories.person(session, "Cy Young", role="learner")
    for group in groups:
        factories.member(session, group, who)
    return factories.asker(session, who)


def sees(session, viewer, episode):
    query = select(Episode.id).where(Episode.id == episode.id, access.listed(viewer))
    return session.exec(query).first() is not None


def chosen(groups):
    return Choice("communities", sorted(group.id for group in groups))


def set_to(session, ana, show, kind, groups=(), *, public_talks=True):
    slugs = [group.slug for group in groups]
    choice = visibility.choose(session, ana, kind, slugs, public_talks=public_talks)
    return visibility.set_show(session, ana, show, choice)


def agree(session):
    """Whether every episode says what its show says."""
    rows = session.exec(
        select(Episode, Show)
        .join(Show, Show.id == Episode.show_id)
        .execution_options(populate_existing=True)
    ).all()
    return all(
        episode.show_audience == show.audience
        and episode.public == (show.visibility == "public" and episode.audience is None)
        for episode, show in rows
    )


# A show


def test_a_show_limited_to_communities_is_seen_by_their_members_alone(session, ana, groups):
    water, fire, _ = groups
    show = publishing.create_show(session, ana, title="Pumps")
    talk = factories.episode(session, show)
    inside, outside = members(session, fire), members(session)
    assert sees(session, outside, talk)
    before = talk.changed_at
    assert set_to(session, ana, show, "communities", (water, fire))
    session.refresh(talk)
    assert (talk.show_audience, talk.public) == (sorted((water.id, fire.id)), False)
    assert talk.changed_at > before
    assert (sees(session, inside, talk), sees(session, outside, talk)) == (True, False)
    assert not access.sees_show(outside, show)


def test_the_same_choice_again_changes_nothing_and_is_not_recorded(session, ana, groups):
    show = publishing.create_show(session, ana, title="Pumps")
    assert set_to(session, ana, show, "communities", groups[:1])
    changed = show.changed_at
    assert not set_to(session, ana, show, "communities", groups[:1])
    assert show.changed_at == changed
    (row,) = session.exec(select(Audit).where(Audit.act == "visibility-changed")).all()
    assert (row.actor, row.subject) == (ana.ref, str(show.guid))
    assert row.facts == {
        "before": "organisation",
        "after": "communities",
        "communities": [groups[0].id],
    }


def test_only_communities_one_belongs_to_are_chosen_and_public_only_where_it_is(
    session, ana, groups
):
    other = factories.community(session, "Earth")
    for kind, slugs, field in (
        ("communities", [other.slug], "communities"),
        ("communities", [groups[0].slug, "none"], "communities"),
        ("communities", [], "communities"),
        ("communities", [KEPT], "communities"),
        ("public", [], "visibility"),
        ("everybody", [], "visibility"),
    ):
        with pytest.raises(PublishingError) as refused:
            visibility.choose(session, ana, kind, slugs, public_talks=False)
        assert set(refused.value.errors) == {field}
    assert visibility.choose(session, ana, "public", public_talks=True) == Choice("public", None)
    kept = visibility.choose(
        session, ana, "public", public_talks=False, before=Choice("public", None)
    )
    assert kept == Choice("public", None)


def test_a_community_one_has_left_stays_named_only_if_one_says_so(session, ana, groups):
    left = factories.community(session, "Left", joining="group")
    before = Choice("communities", [groups[0].id, left.id])
    offered = visibility.options(session, ana, before.audience)
    assert [(one.name, one.chosen) for one in offered] == [
        ("Air", False),
        ("Fire", False),
        ("Water", True),
        ("A community that you do not belong to", True),
    ]
    kept = visibility.choose(session, ana, "communities", [KEPT], public_talks=False, before=before)
    assert kept.audience == [left.id]
    gone = visibility.choose(
        session, ana, "communities", [groups[1].slug], public_talks=False, before=before
    )
    assert gone.audience == [groups[1].id]


def test_nobody_changes_who_sees_what_is_somebody_elses(session, ana, groups, bo):
    factories.member(session, groups[0], bo, "steward")
    steward = factories.asker(session, bo)
    show = publishing.create_show(session, ana, title="Pumps", community=groups[0].slug)
    talk = factories.episode(session, show)
    with pytest.raises(NotThereError):
        visibility.set_show(session, steward, show, chosen(groups[:1]))
    with pytest.raises(NotThereError):
        visibility.narrow(session, steward, talk, [groups[0].slug])
    with pytest.raises(NotThereError):
        shows.edit(session, steward, show.slug, About("Mine"), public_talks=False)
    assert (show.audience, talk.audience, show.title) == (None, None, "Pumps")


def test_a_show_is_edited_whole_or_not_at_all(session, ana, groups):
    show = shows.create(session, ana, About("Pumps"), public_talks=False)
    wrong = About("", "d" * 4001, "en", "none", "communities", ())
    with pytest.raises(PublishingError) as refused:
        shows.edit(session, ana, show.slug, wrong, public_talks=False)
    assert set(refused.value.errors) == {"title", "description", "community", "communities"}
    assert (show.title, show.visibility) == ("Pumps", "organisation")
    slug = groups[0].slug
    right = About("Valves", "All of them.", "de", slug, "communities", (slug,))
    shows.edit(session, ana, show.slug, right, public_talks=False)
    assert (show.title, show.language, show.community_id) == ("Valves", "de", groups[0].id)
    assert show.audience == [groups[0].id]
    shows.edit(session, ana, show.slug, About("Valves"), public_talks=False)
    assert (show.audience, show.community_id) == ([groups[0].id], None)


# One talk


def test_narrowing_never_widens(session, ana, groups):
    water, fire, air = groups
    show = publishing.create_show(session, ana, title="Pumps")
    set_to(session, ana, show, "communities", (water, fire))
    talk = factories.episode(session, show)
    visibility.narrow(session, ana, talk, [air.slug])
    for inside, heard in (
        ((air,), False),
        ((water,), False),
        ((water, fire), False),
        ((water, air), True),
        ((fire, air), True),
        ((), False),
    ):
        assert sees(session, members(session, *inside), talk) is heard, inside
    visibility.narrow(session, ana, talk, None)
    assert sees(session, members(session, water), talk)
    assert not sees(session, members(session, air), talk)


def test_a_narrowed_talk_of_a_public_show_is_not_public(session, ana, groups):
    show = publishing.create_show(session, ana, title="Pumps")
    set_to(session, ana, show, "public")
    talk = factories.episode(session, show)
    assert sees(session, access.GUEST, talk)
    visibility.narrow(session, ana, talk, [groups[0].slug])
    assert not talk.public
    assert not sees(session, access.GUEST, talk)
    assert not sees(session, members(session), talk)
    visibility.narrow(session, ana, talk, None)
    assert sees(session, access.GUEST, talk)


def test_moving_a_talk_keeps_its_narrowing_and_takes_the_other_shows_audience(session, ana, groups):
    water, fire, _ = groups
    first = publishing.create_show(session, ana, title="Open")
    second = publishing.create_show(session, ana, title="Closed")
    set_to(session, ana, second, "communities", (fire,))
    talk = publishing.create_draft(session, ana, Draft("One", show=first.slug))
    visibility.narrow(session, ana, talk, [water.slug])
    publishing.save(session, ana, str(talk.guid), Draft("One", show=second.slug))
    assert (talk.audience, talk.show_audience) == ([water.id], [fire.id])
    set_to(session, ana, first, "public")
    publishing.save(session, ana, str(talk.guid), Draft("One", show=first.slug))
    assert (talk.audience, talk.show_audience, talk.public) == ([water.id], None, False)


def test_a_talk_in_a_lent_show_is_saved_where_it_stands(session, ana, bo):
    lender = factories.show(session, bo, "Lent")
    talk = factories.episode(session, lender, author_id=ana.id)
    publishing.save(session, ana, str(talk.guid), Draft("New", show=lender.slug))
    assert (talk.title, talk.show_id) == ("New", lender.id)


@pytest.mark.parametrize(
    ("kind", "audience", "narrowed", "words"),
    [
        ("organisation", (), None, "everyone in Acme"),
        ("public", (), None, "anybody, without signing in"),
        ("public", (), ("Water",), "the members of Water"),
        ("communities", ("Water",), None, "the members of Water"),
        ("communities", ("Water", "Fire", "Air"), None, "the members of Air, Fire or Water"),
        ("communities", ("Water", "Fire"), ("Fire",), "the members of Fire"),
        (
            "communities",
            ("Water", "Fire"),
            ("Air",),
            "those who belong to Air and also to Fire or Water",
        ),
    ],
)
def test_who_will_hear_it_is_said_in_words(session, ana, groups, kind, audience, narrowed, words):
    ids = {group.name: group.id for group in groups}
    show = publishing.create_show(session, ana, title="Pumps")
    show.visibility = kind
    show.audience = [ids[name] for name in audience] or None
    few = [ids[name] for name in narrowed] if narrowed else None
    assert visibility.audience_in_words(session, ana, show, few, HOUSE) == words


def test_a_show_is_for_its_home_too_whatever_else_it_is_for(session, ana, groups):
    home, other, _ = groups
    show = publishing.create_show(session, ana, title="Pumps", community=home.slug)
    with pytest.raises(PublishingError, match="where the show is at home"):
        set_to(session, ana, show, "communities", (other,))
    assert show.visibility == "organisation"
    assert set_to(session, ana, show, "communities", (home, other))
    # Nor does the home move to where those who look after it may not hear it.
    shows.edit(session, ana, show.slug, About("Pumps"), public_talks=False)
    assert set_to(session, ana, show, "communities", (other,))
    with pytest.raises(PublishingError) as refused:
        shows.edit(session, ana, show.slug, About("Pumps", community=home.slug), public_talks=False)
    assert set(refused.value.errors) == {"communities"}
    moved = About("Pumps", "", "", other.slug, "communities", (other.slug,))
    shows.edit(session, ana, show.slug, moved, public_talks=False)
    assert (show.community_id, show.audience) == (other.id, [other.id])


def test_the_stewards_of_the_home_are_named_where_it_is_narrowed_to_others(session, ana, groups):
    home, other, _ = groups
    home.joining = "group"
    show = publishing.create_show(session, ana, title="Pumps", community=home.slug)
    for to, narrowed, words in (
        (ana, None, "everyone in Acme"),
        (ana, [home.id], "the members of Water"),
        (ana, [other.id], "the members of Fire, and the stewards of Water"),
        (
            replace(ana, communities=(other.id,)),
            [other.id],
            "the members of Fire, and the stewards of the community it is at home in",
        ),
    ):
        assert visibility.audience_in_words(session, to, show, narrowed, HOUSE) == words


def test_the_name_of_a_community_one_may_not_know_of_is_not_told(session, ana, groups):
    secret = factories.community(session, "Merger", joining="group")
    show = publishing.create_show(session, ana, title="Pumps")
    show.visibility, show.audience = "communities", [groups[0].id, secret.id]
    words = visibility.audience_in_words(session, ana, show, None, HOUSE)
    assert words == "the members of Water or a community that you do not belong to"


# Whatever people do, in whatever order

ACTS = st.lists(
    st.one_of(
        st.tuples(
            st.just("show"),
            st.integers(0, 1),
            st.sampled_from(["organisation", "communities", "public"]),
            st.sets(st.integers(0, 2), min_size=1),
        ),
        st.tuples(
            st.just("narrow"), st.integers(0, 3), st.none() | st.sets(st.integers(0, 2), min_size=1)
        ),
        st.tuples(st.just("move"), st.integers(0, 3), st.integers(0, 1)),
        st.tuples(st.just("draft"), st.integers(0, 1)),
        st.tuples(st.just("withdraw"), st.integers(0, 3)),
        st.tuples(st.just("edit"), st.integers(0, 1)),
    ),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(acts=ACTS)
def test_after_any_acts_the_copies_say_what_the_shows_say(session, ana, groups, acts):
    with session.begin_nested() as kept:
        both = [publishing.create_show(session, ana, title=f"Show {n}") for n in range(2)]
        talks = [factories.episode(session, both[n % 2], f"Talk {n}") for n in range(4)]
        for act, *how in acts:
            if act == "show":
                which, kind, named = how
                slugs = [groups[n].slug for n in named]
                choice = visibility.choose(session, ana, kind, slugs, public_talks=True)
                visibility.set_show(session, ana, both[which], choice)
            elif act == "narrow":
                which, named = how
                slugs = None if named is None else [groups[n].slug for n in named]
                visibility.narrow(session, ana, talks[which], slugs)
            elif act == "move":
                guid, to = str(talks[how[0]].guid), both[how[1]].slug
                publishing.save(session, ana, guid, Draft("Moved", show=to))
            elif act == "draft":
                publishing.create_draft(session, ana, Draft("New", show=both[how[0]].slug))
            elif act == "withdraw":
                publishing.withdraw(session, ana, str(talks[how[0]].guid))
            else:
                shows.edit(session, ana, both[how[0]].slug, About("Edited"), public_talks=True)
            session.flush()
            assert agree(session), act
        kept.rollback()


def test_many_hands_at_once_leave_copies_that_agree(session, settings, person, groups):
    ana = factories.asker(session, person)
    both = [publishing.create_show(session, ana, title=f"Show {n}") for n in range(2)]
    talks = [factories.episode(session, both[n % 2], f"Talk {n}") for n in range(6)]
    session.commit()
    slugs, ids, guids = (
        [show.slug for show in both],
        [show.id for show in both],
        [str(talk.guid) for talk in talks],
    )
    names = [group.slug for group in groups]
    database = Database(settings.database_url.get_secret_value(), pool=8, name="tests")

    def does(turn):
        with database.begin() as own:
            if turn % 4 == 0:
                kind = ("organisation", "communities", "public")[turn % 3]
                choice = visibility.choose(own, ana, kind, names[:1], public_talks=True)
                visibility.set_show(own, ana, own.get_one(Show, ids[turn % 2]), choice)
            elif turn % 4 == 1:
                publishing.create_draft(own, ana, Draft("New", show=slugs[turn % 2]))
            elif turn % 4 == 2:
                publishing.save(own, ana, guids[turn % 6], Draft("M", show=slugs[turn // 4 % 2]))
            else:
                talk = publishing.mine(own, ana, guids[turn % 6])
                visibility.narrow(own, ana, talk, names[1:] if turn % 8 == 3 else None)

    try:
        with ThreadPoolExecutor(8) as crowd:
            list(crowd.map(does, range(96)))
    finally:
        database.close()
    session.rollback()
    assert len(session.exec(select(Episode)).all()) == 30
    assert agree(session)
