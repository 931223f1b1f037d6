"""Communities: found, joined, asked for, looked after and left; and what leaving means."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import select

from service import communities, memberships
from service.feed import channel, tokens
from service.limits import JOINING
from service.publishing import NotNowError, NotThereError, PublishingError
from storage.database import Database
from storage.models import Audit, Community, JoinRequest, Membership, Notice, Rendition
from tests import factories
from tests.web.listeners import Listener
from tests.web.visitors import visitor

NOWHERE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def ana(session):
    """The steward."""
    return factories.person(session, "Ana Lima", role="learner")


@pytest.fixture
def bo(session):
    made = factories.person(session, "Bo Chen", role="learner")
    session.commit()
    return made


@pytest.fixture
def group(session, ana):
    made = factories.community(session, "Water", slug="water", joining="request")
    factories.member(session, made, ana, "steward")
    session.commit()
    return made


@pytest.fixture
def steward(application, settings, session, ana, group):
    return visitor(application, settings, session, ana)


@pytest.fixture
def browser(application, settings, session, bo):
    return visitor(application, settings, session, bo)


def words_of(answer, status=200):
    words = answer.get_data(as_text=True)
    assert answer.status_code == status, words
    return words


def told(session, person):
    """Return what a person was told, latest last."""
    session.rollback()
    query = select(Notice.words).where(Notice.person_id == person.id).order_by(Notice.id)
    return session.exec(query).all()


def acts(session):
    session.rollback()
    return [row.act for row in session.exec(select(Audit).order_by(Audit.id)).all()]


def belonging(session, person):
    session.rollback()
    rows = session.exec(select(Membership).where(Membership.person_id == person.id)).all()
    return {row.community_id: row.role for row in rows}


# Joining


def test_an_open_community_is_joined_at_once_and_left_again(session, browser, bo):
    group = factories.community(session, "Fire", slug="fire", purpose="Where it burns.")
    factories.member(session, group, factories.person(session, "Cy Young"), "steward")
    session.commit()
    page = words_of(browser.get("/communities/"))
    assert "Open to you" in page
    assert "Where it burns." in page
    assert browser.post("/communities/fire/join").headers["Location"] == "/communities/fire"
    assert belonging(session, bo) == {group.id: "member"}
    assert "You belong to Fire now." in words_of(browser.get("/communities/fire"))
    assert browser.post("/communities/fire/join").status_code == 303
    assert browser.post("/communities/fire/leave").headers["Location"] == "/communities/"
    assert browser.post("/communities/fire/leave").status_code == 303
    assert belonging(session, bo) == {}
    assert acts(session) == ["joined", "left"]


def test_where_stewards_decide_one_asks_with_words_and_is_let_in(
    session, steward, browser, ana, bo, group
):
    browser.post("/communities/water/join", words="I fix the same pumps.")
    browser.post("/communities/water/join", words="Hello?")
    assert told(session, ana) == ["Bo Chen would like to join Water."]
    assert "You have asked to join." in words_of(browser.get("/communities/water"))
    page = words_of(steward.get("/communities/water/members"))
    assert "I fix the same pumps." in page
    assert "1 wish to join" in words_of(steward.get("/communities/"))
    assert steward.post("/communities/water/answer", person=bo.ref, answer="accept").status_code
    assert belonging(session, bo) == {group.id: "member"}
    assert told(session, bo) == ["You belong to Water now."]
    again = steward.post("/communities/water/answer", person=bo.ref, answer="accept")
    assert "This was answered already" in words_of(again, 409)
    assert acts(session) == ["joined"]


def test_a_wish_is_declined_or_taken_back(session, steward, browser, bo, group):
    browser.post("/communities/water/join")
    steward.post("/communities/water/answer", person=bo.ref, answer="decline")
    assert "was declined" in told(session, bo)[0]
    assert belonging(session, bo) == {}
    browser.post("/communities/water/join")
    browser.post("/communities/water/leave")
    assert session.exec(select(JoinRequest)).all() == []
    page = words_of(steward.get("/communities/water/members"))
    assert "Nobody is waiting for an answer." in page


def test_words_that_are_too_long_are_shown_again(session, browser, group):
    words = words_of(browser.post("/communities/water/join", words="w" * 301), 422)
    assert "This has 301 characters; 300 is the most." in words
    assert "w" * 301 in words
    assert session.exec(select(JoinRequest)).all() == []


def test_a_community_by_group_does_not_exist_for_others(session, application, settings, browser):
    hidden = factories.community(session, "Merger", slug="merger", joining="group")
    member = factories.person(session, "Cy Young")
    factories.member(session, hidden, member)
    inside = visitor(application, settings, session, member)
    nothing = words_of(browser.get("/communities/none"), 404)
    for path in ("", "/members", "/edit"):
        words = words_of(browser.get(f"/communities/merger{path}"), 404)
        if not path:
            assert re.sub(r'"[\w-]{12,}"|[0-9a-f]{12}', "", words) == re.sub(
                r'"[\w-]{12,}"|[0-9a-f]{12}', "", nothing
            )
    for act in ("join", "leave", "answer", "edit", "members/role", "members/removal"):
        assert browser.post(f"/communities/merger/{act}").status_code == 404
    assert "Merger" not in words_of(browser.get("/communities/"))
    assert "Merger" in words_of(inside.get("/communities/"))
    assert "Merger" in words_of(inside.get("/communities/merger"))


def test_nobody_joins_and_leaves_all_day(session, bo, group):
    group.joining = "open"
    asker = factories.asker(session, bo)
    for _ in range(JOINING.most):
        memberships.join(session, asker, "water")
        memberships.leave(session, asker, "water")
    with pytest.raises(Exception, match="too fast"):
        memberships.join(session, asker, "water")


# Looking after one


def test_a_steward_names_another_and_takes_people_out(session, steward, browser, ana, bo, group):
    factories.member(session, group, bo)
    session.commit()
    refused = words_of(steward.post("/communities/water/leave"), 409)
    assert "You are the last steward of Water. Name another steward first." in refused
    for act, fields in (("removal", {}), ("role", {"role": "member"})):
        answer = steward.post(f"/communities/water/members/{act}", person=ana.ref, **fields)
        assert "is the last steward of Water" in words_of(answer, 409)
    steward.post("/communities/water/members/role", person=bo.ref, role="steward")
    assert belonging(session, bo) == {group.id: "steward"}
    assert "You look after Water now" in told(session, bo)[0]
    assert steward.post("/communities/water/leave").status_code == 303
    assert belonging(session, ana) == {}
    assert acts(session) == ["membership-changed", "left"]
    page = words_of(browser.get("/communities/water/members"))
    assert "Bo Chen" in page
    assert "Ana Lima" not in page


def test_who_was_taken_out_is_told_and_outside_with_the_next_request(
    session, steward, browser, bo, group
):
    factories.member(session, group, bo)
    session.commit()
    assert browser.get("/communities/water/members").status_code == 200
    steward.post("/communities/water/members/removal", person=bo.ref)
    assert browser.get("/communities/water/members").status_code == 404
    assert told(session, bo) == ["You no longer belong to Water. Its stewards can tell you why."]
    assert acts(session) == ["membership-ended"]


def test_what_a_group_has_granted_no_hand_takes_away(session, steward, browser, bo, group):
    session.add(Membership(community_id=group.id, person_id=bo.id, by_group=True))
    session.commit()
    assert "sign-in provider" in words_of(browser.post("/communities/water/leave"), 409)
    for act, fields in (("removal", {}), ("role", {"role": "steward"})):
        answer = steward.post(f"/communities/water/members/{act}", person=bo.ref, **fields)
        assert "by their sign-in provider" in words_of(answer, 409)
    assert belonging(session, bo) == {group.id: "member"}


def test_s22_another_communitys_steward_changes_nothing_here(
    application, settings, session, bo, group
):
    other = factories.community(session, "Fire", slug="fire")
    eve = factories.person(session, "Eve Stone", role="learner")
    factories.member(session, other, eve, "steward")
    factories.member(session, group, bo)
    session.add(JoinRequest(community_id=group.id, person_id=eve.id))
    stranger = visitor(application, settings, session, eve)
    for path, fields in (
        ("answer", {"person": eve.ref, "answer": "accept"}),
        ("members/role", {"person": bo.ref, "role": "steward"}),
        ("members/removal", {"person": bo.ref}),
        ("members/invitations", {"addresses": "x@example.org"}),
        ("members/invitations/removal", {"invitation": "x"}),
        ("edit", {"name": "Ours", "joining": "open"}),
    ):
        assert stranger.post(f"/communities/water/{path}", **fields).status_code == 404, path
    for path in ("edit", "members"):
        assert stranger.get(f"/communities/water/{path}").status_code == 404
    assert stranger.get("/communities/water").status_code == 200
    assert belonging(session, eve) == {other.id: "steward"}
    assert belonging(session, bo) == {group.id: "member"}
    session.refresh(group)
    assert (group.name, group.joining) == ("Water", "request")


def test_a_community_is_edited_by_its_stewards(session, steward, group, bo):
    session.add(JoinRequest(community_id=group.id, person_id=bo.id))
    session.commit()
    assert 'value="Water"' in words_of(steward.get("/communities/water/edit"))
    wrong = steward.post("/communities/water/edit", name="", purpose="p" * 501, joining="x")
    words = words_of(wrong, 422)
    for sentence in ("A community needs a name.", "501 characters", "Choose how people join."):
        assert sentence in words
    refused = steward.post("/communities/water/edit", name="Water", joining="group")
    assert "Only an admin can change this" in words_of(refused, 422)
    steward.post("/communities/water/edit", name="Waters", purpose="Pumps.", joining="open")
    session.refresh(group)
    assert (group.name, group.purpose, group.joining, group.slug) == (
        "Waters",
        "Pumps.",
        "open",
        "water",
    )
    assert session.exec(select(JoinRequest)).all() == []  # nobody has to ask any more
    assert acts(session) == ["community-changed"]


def test_only_an_admin_founds_and_the_first_steward_is_there(session, ana, bo):
    admin = factories.asker(session, factories.person(session, "Ad Min", role="admin"))
    with pytest.raises(NotThereError):
        communities.found(session, factories.asker(session, ana), name="Mine")
    with pytest.raises(PublishingError):
        communities.found(session, admin, name=" ", joining="by lot")
    first = communities.found(session, admin, name="Out on site", steward=bo)
    second = communities.found(session, admin, name="Out on site!")
    assert (first.slug, second.slug != first.slug) == ("out-on-site", True)
    assert [one.name for one in memberships.stewards(session, first.id)] == ["Bo Chen"]
    assert [one.name for one in memberships.stewards(session, second.id)] == ["Ad Min"]


def test_two_communities_do_not_bear_one_name(session, steward, group):
    admin = factories.asker(session, factories.person(session, "Ad Min", role="admin"))
    factories.community(session, "Fire")
    factories.community(session, "Board", joining="group")
    session.commit()
    with pytest.raises(PublishingError) as refused:
        communities.found(session, admin, name="  wATER ")
    assert refused.value.errors == {"name": "There is a community of this name already."}
    with pytest.raises(PublishingError):
        communities.found(session, admin, name="board")
    session.rollback()
    page = "/communities/water/edit"
    words = words_of(steward.post(page, name="FIRE", purpose="Ours", joining="request"), 422)
    assert "There is a community of this name already." in words
    assert "Ours" in words
    # Her own name in other letters is free, and nothing tells her of a community by group.
    assert steward.post(page, name="WATER", joining="request").status_code == 303
    assert steward.post(page, name="Board", joining="request").status_code == 303


def test_the_last_steward_is_not_offered_what_cannot_be(session, steward, ana, bo, group):
    factories.member(session, group, bo)
    session.commit()
    place, list_ = "/communities/water", "/communities/water/members"
    words = words_of(steward.get(place))
    assert f'action="{place}/leave"' not in words
    assert "You are its last steward." in words
    words = words_of(steward.get(list_))
    assert "The last steward: name another before you go." in words
    assert "Make a member" not in words
    assert words.count('<summary class="button quiet small">Take out') == 1
    steward.post(f"{list_}/role", person=bo.ref, role="steward")
    assert f'action="{place}/leave"' in words_of(steward.get(place))
    assert words_of(steward.get(list_)).count("Make a member") == 2


def test_members_go_on_over_pages_by_name(session, steward, group, monkeypatch):
    monkeypatch.setattr(memberships, "PAGE", 4)
    names = sorted(f"{letter} Doe" for letter in "abCdEfGhIj")
    for name in names:
        factories.member(session, group, factories.person(session, name))
    session.commit()
    seen, path = [], "/communities/water/members"
    while path:
        page = words_of(steward.get(path))
        part = page[page.index('id="members"') :]
        seen += re.findall(r'<a href="/people/[^"]*">([^<]*)</a>', part)
        more = re.search(r'class="more"><a[^>]*href="([^"]*)"', page)
        path = more[1] if more else None
    assert seen == sorted(names, key=str.lower)


def test_a_steward_invites_by_address(session, steward, ana, bo, group):
    words = words_of(
        steward.post("/communities/water/members/invitations", addresses=f"{bo.email}\nnew@x.org")
    )
    assert belonging(session, bo) == {group.id: "member"}
    links = re.findall(r'value="(http://[^"]*)"', words)
    assert len(links) == 2
    page = words_of(steward.get("/communities/water/members"))
    assert "new@x.org" in page
    assert bo.name in page
    assert bo.email not in page
    key = re.search(r'name="invitation" value="([^"]*)"', page)[1]
    steward.post("/communities/water/members/invitations/removal", invitation=key)
    again = steward.post("/communities/water/members/invitations/removal", invitation=key)
    assert again.status_code == 404
    wrong = steward.post("/communities/water/members/invitations", addresses="nobody")
    assert "nobody" in words_of(wrong, 422)


def test_two_stewards_who_leave_at_once_do_not_both_leave(session, settings, ana, bo, group):
    factories.member(session, group, bo, "steward")
    both = [factories.asker(session, who) for who in (ana, bo)]
    session.commit()
    database = Database(settings.database_url.get_secret_value(), pool=2, name="tests")

    def leaves(asker):
        try:
            with database.begin() as own:
                memberships.leave(own, asker, "water")
        except NotNowError:
            return False
        return True

    try:
        with ThreadPoolExecutor(2) as pair:
            assert sorted(pair.map(leaves, both)) == [False, True]
    finally:
        database.close()
    session.rollback()
    assert len(session.exec(select(Membership)).all()) == 1


# The API


def test_the_api_lists_joins_and_leaves(session, program, bo, group):
    fire = factories.community(session, "Fire", slug="fire")
    factories.community(session, "Merger", slug="merger", joining="group")
    factories.member(session, fire, factories.person(session, "Cy Young"), "steward")
    its = program(bo)
    rows = its.get("communities").get_json()["rows"]
    assert [(row["slug"], row["membership"], row["members"]) for row in rows] == [
        ("fire", None, 1),
        ("water", None, 1),
    ]
    assert its.put("communities/fire/membership").get_json()["membership"] == "member"
    assert its.put("communities/water/membership").get_json()["membership"] == "asked"
    assert its.put("communities/merger/membership").status_code == 404
    assert its.get("communities").get_json()["rows"][0]["slug"] == "fire"
    assert belonging(session, bo) == {fire.id: "member"}
    for _ in range(2):
        assert its.delete("communities/fire/membership").status_code == 204
        assert its.delete("communities/water/membership").status_code == 204
    assert its.delete("communities/merger/membership").status_code == 404
    assert belonging(session, bo) == {}
    assert session.exec(select(JoinRequest)).all() == []


def test_an_admin_cannot_slip_into_a_community_by_group(session, program):
    factories.community(session, "Merger", slug="merger", joining="group")
    admin = factories.person(session, "Ad Min", role="admin")
    answer = program(admin).put("communities/merger/membership")
    assert answer.status_code == 409
    assert "by their sign-in provider" in answer.get_json()["detail"]


# Leaving


@pytest.fixture
def inside(application, settings, session, bo):
    """A talk that only members of Water may hear, one that all may, and Bo, who belongs."""
    group = factories.community(session, "Water", slug="water", joining="request")
    owner = factories.person(session, "Cy Young")
    factories.member(session, group, owner, "steward")
    factories.member(session, group, bo)
    closed = factories.show(
        session, owner, "Closed", visibility="communities", audience=[group.id],
        community_id=group.id,
    )  # fmt: skip
    talk = factories.episode(session, closed, "Secret valve", topics=["Hidden"], said=["valve"])
    open_talk = factories.episode(
        session, factories.show(session, owner, "Open"), "Open valve", topics=["Shown"],
        said=["valve"],
    )  # fmt: skip
    store = application.extensions["dare"].store
    for one in (talk, open_talk):
        mp3 = session.get_one(Rendition, (one.id, one.revision, "mp3"))
        store.put(mp3.key, b"sound", mp3.type)
        mp3.size = 5
    views = [channel.view_of_show(session, closed.id), channel.view_top(session)]
    held = [tokens.issue(session, bo.id, view, secret=settings.secret) for view in views]
    session.commit()
    return closed, talk, open_talk, [tokens.address(settings, token) for token in held]


def surfaces(answered, talk, closed):
    """Return what each surface says of the talk: a status, or whether it is named there."""
    browser, its, listener, feeds, enclosure = answered
    revision = talk.revision
    media = f"/episodes/{talk.guid}/media/{revision}/audio.mp3"
    statuses = {
        "page": browser.get(f"/episodes/{talk.guid}").status_code,
        "progress": browser.get(f"/episodes/{talk.guid}/progress").status_code,
        "media range": browser.get(media, headers={"Range": "bytes=0-1"}).status_code,
        "transcript": browser.get(f"/episodes/{talk.guid}/transcript.vtt").status_code,
        "show": browser.get(f"/shows/{closed.slug}").status_code,
        "artwork": browser.get(f"/shows/{closed.slug}/art.jpg").status_code,
        "api talk": its.get(f"episodes/{talk.guid}").status_code,
        "api transcript": its.get(f"episodes/{talk.guid}/transcript").status_code,
        "api comments": its.get(f"episodes/{talk.guid}/comments").status_code,
        "api rating": its.put(f"episodes/{talk.guid}/rating", json={"stars": 4}).status_code,
        "feed of the show": listener.get(feeds[0]).status_code,
        "enclosure": listener.get(enclosure, method="HEAD").status_code,
    }
    named = {
        path: talk.title in browser.get(path).get_data(as_text=True)
        for path in ("/", "/top", "/new", "/search?q=secret", "/communities/water")
    }
    named["top feed"] = talk.title in listener.get(feeds[1]).get_data(as_text=True)
    named["api list"] = talk.title in its.get("episodes").get_data(as_text=True)
    counts = {
        "found": its.get("search?q=valve").get_json()["count"],
        "topics": {row["name"] for row in its.get("topics").get_json()["rows"]},
        "shows": {row["title"] for row in its.get("shows").get_json()["rows"]},
    }
    return statuses, named, counts


def test_leaving_a_community_takes_effect_everywhere_with_the_next_request(
    application, settings, session, program, browser, bo, inside
):
    closed, talk, _, feeds = inside
    listener, its = Listener(application, settings), program(bo)
    item = listener.get(feeds[0]).get_data(as_text=True)
    enclosure = re.search(r'<enclosure url="([^"]*)"', item)[1]
    answered = (browser, its, listener, feeds, enclosure)
    statuses, named, counts = surfaces(answered, talk, closed)
    assert statuses == {key: 206 if key == "media range" else 200 for key in statuses}
    assert all(named.values()), named
    assert counts == {"found": 2, "topics": {"Hidden", "Shown"}, "shows": {"Closed", "Open"}}
    assert browser.post("/communities/water/leave").status_code == 303
    statuses, named, counts = surfaces(answered, talk, closed)
    gone = {"feed of the show", "enclosure"}
    assert statuses == {key: 410 if key in gone else 404 for key in statuses}
    assert not any(named.values()), named
    assert counts == {"found": 1, "topics": {"Shown"}, "shows": {"Open"}}


def test_nobody_outside_is_told_what_only_members_hear(application, settings, session, inside):
    stranger = visitor(application, settings, session, factories.person(session, "Eve Stone"))
    words = words_of(stranger.get("/communities/water"))
    assert "Ask to join" in words
    for name in ("Secret valve", "Closed", "Hidden"):
        assert name not in words
    assert session.exec(select(Community)).one().slug == "water"
