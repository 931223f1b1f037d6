"""The forms that say who may see a show, who hears a talk, and who looks at it first."""

import re

import pytest
from sqlmodel import select

from service import limits
from storage.models import Allowance, Audit, Episode, Notice, Review, Show
from tests import factories
from tests.web.visitors import visitor


@pytest.fixture
def ana(session):
    return factories.person(session, "Ana Lima")


@pytest.fixture
def bo(session):
    return factories.person(session, "Bo Chen", role="learner")


@pytest.fixture
def water(session, ana):
    made = factories.community(session, "Water", slug="water")
    factories.member(session, made, ana)
    return made


@pytest.fixture
def author(application, settings, session, ana, water):
    return visitor(application, settings, session, ana)


@pytest.fixture
def reader(application, settings, session, bo):
    return visitor(application, settings, session, bo)


@pytest.fixture
def talk(session, ana):
    made = factories.episode(session, factories.show(session, ana, "Pumps", slug="pumps"))
    session.commit()
    return made


@pytest.fixture
def held(session, talk):
    """A talk that is ready and kept back."""
    show = session.get(Show, talk.show_id)
    made = factories.episode(session, show, "Kept back", held=True, published_at=None)
    session.commit()
    return made


def words_of(answer, status=200):
    words = answer.get_data(as_text=True)
    assert answer.status_code == status, words
    return words


def ticked(words):
    return re.findall(r'name="communities" value="([^"]*)" checked', words)


def test_a_show_is_made_for_a_community(session, author, reader, water):
    assert "Only members of the communities ticked below" in words_of(author.get("/shows/new"))
    typed = {"title": "Wells", "visibility": "communities", "communities": "water"}
    made = author.post("/shows/", **typed | {"community": "water"})
    show = session.exec(select(Show)).one()
    assert made.headers["Location"] == f"/shows/{show.slug}"
    assert show.slug.startswith("wells-")
    assert (show.visibility, show.audience, show.community_id) == (
        "communities",
        [water.id],
        water.id,
    )
    assert "for the members of Water" in words_of(author.get(f"/shows/{show.slug}"))
    assert reader.get(f"/shows/{show.slug}").status_code == 404


def test_a_refused_show_is_shown_again_as_ticked_and_leaves_nothing(session, author, water):
    for typed, sentence in (
        ({"title": "", "visibility": "communities", "communities": "water"}, "needs a title"),
        ({"title": "Wells", "visibility": "communities"}, "Choose at least one community."),
        ({"title": "Wells", "visibility": "public"}, "This house has no public talks."),
        ({"title": "Wells", "visibility": "communities", "communities": "x"}, "you belong to"),
    ):
        words = words_of(author.post("/shows/", **typed), 422)
        assert sentence in words
        assert ticked(words) == [one for one in [typed.get("communities")] if one == "water"]
    assert session.exec(select(Show)).all() == []


def test_a_show_is_edited_by_its_owner_alone(session, author, reader, talk, water):
    assert "/shows/pumps/edit" in words_of(author.get("/shows/pumps"))
    words = words_of(author.get("/shows/pumps/edit"))
    assert 'value="Pumps"' in words
    assert ticked(words) == []
    typed = {
        "title": "Valves", "description": "All.", "language": "de", "community": "water",
        "visibility": "communities", "communities": "water",
    }  # fmt: skip
    assert author.post("/shows/pumps/edit", **typed).headers["Location"] == "/shows/pumps"
    assert ticked(words_of(author.get("/shows/pumps/edit"))) == ["water"]
    session.refresh(talk)
    assert talk.show_audience == [water.id]
    assert reader.get(f"/episodes/{talk.guid}").status_code == 404
    wrong = words_of(author.post("/shows/pumps/edit", title="", visibility="x"), 422)
    assert "A show needs a title." in wrong
    assert "Choose who may see this show." in wrong
    for browser in (reader, author):
        assert browser.get("/shows/none/edit").status_code == 404
    assert reader.get("/shows/pumps/edit").status_code == 404
    assert reader.post("/shows/pumps/edit", title="Mine").status_code == 404


def test_the_owner_keeps_the_home_that_he_has_left(session, author, ana, talk):
    show = session.get(Show, talk.show_id)
    left = factories.community(session, "Merger", joining="group")
    show.community_id = left.id
    session.commit()
    words = words_of(author.get("/shows/pumps/edit"))
    assert "Merger" not in words
    assert re.search(r'<option value="-" selected>', words)
    author.post("/shows/pumps/edit", title="Pumps", community="-")
    session.refresh(show)
    assert show.community_id == left.id
    author.post("/shows/pumps/edit", title="Pumps", community="")
    session.refresh(show)
    assert show.community_id is None


def test_a_talk_is_narrowed_and_its_author_reads_who_will_hear_it(
    session, author, reader, talk, water
):
    page, act = f"/studio/{talk.guid}", f"/studio/{talk.guid}/audience"
    assert "<strong>everyone in Our house</strong>." in words_of(author.get(page))
    assert reader.get(f"/episodes/{talk.guid}").status_code == 200
    refused = words_of(author.post(act, narrow="yes"), 422)
    assert "Choose at least one community." in refused
    assert author.post(act, narrow="yes", communities="water").status_code == 303
    words = words_of(author.get(page))
    assert "<strong>the members of Water</strong>." in words
    assert ticked(words) == ["water"]
    assert reader.get(f"/episodes/{talk.guid}").status_code == 404
    author.post(page, title="New title", show="pumps")
    session.refresh(talk)
    assert (talk.title, talk.audience) == ("New title", [water.id])
    author.post(act, narrow="no", communities="water")
    assert reader.get(f"/episodes/{talk.guid}").status_code == 200


def test_a_draft_may_be_kept_back_and_is_let_out_by_a_button(session, author, reader, ana, held):
    made = author.post("/studio/", title="One", held="yes").headers["Location"]
    words = words_of(author.get(made))
    assert "once you publish it" in words
    assert re.search(r'<option value="yes" selected>', words)
    assert "/publish" not in words
    page = f"/studio/{held.guid}"
    assert f'action="{page}/publish"' in words_of(author.get(page))
    assert "Ready, and kept back until you publish it" in words_of(author.get("/studio/"))
    assert "You keep this back" in words_of(author.get(f"/episodes/{held.guid}"))
    for path in ("/", "/top", "/new", "/shows/pumps", f"/people/{ana.ref}", "/search?q=kept"):
        for browser in (reader, author):
            assert "Kept back" not in words_of(browser.get(path)).replace("kept back", ""), path
    assert reader.get(f"/episodes/{held.guid}").status_code == 404
    assert author.post(f"{page}/publish").headers["Location"] == page
    for path in ("/top", "/new", "/shows/pumps", f"/people/{ana.ref}", "/search?q=kept"):
        assert "Kept back" in words_of(reader.get(path)), path
    first = session.get(Episode, held.id, populate_existing=True).published_at
    author.post(f"{page}/publish")
    assert session.get(Episode, held.id, populate_existing=True).published_at == first


def test_a_named_reviewer_opens_what_nobody_else_does(
    application, settings, session, author, reader, bo, held
):
    page, talk = f"/studio/{held.guid}", f"/episodes/{held.guid}"
    other = visitor(application, settings, session, factories.person(session, "Cy Young"))
    words = words_of(author.post(f"{page}/reviewers", reviewer="nobody"), 422)
    assert "There is nobody here by this name or address." in words
    assert 'value="nobody"' in words
    assert author.post(f"{page}/reviewers", reviewer="bo").status_code == 303
    words = words_of(reader.get(talk))
    assert "Ana Lima asked you to review this before it is out." in words
    assert "Kept back" in words_of(reader.get("/"))
    assert "Asked of you" in words_of(reader.get("/"))
    assert "Kept back" in words_of(reader.get("/notices/"))
    assert reader.get(f"{talk}/transcript.vtt").status_code == 200
    assert reader.post(f"{talk}/comments", body="Too fast.").status_code == 409
    assert reader.post(f"{talk}/rating", stars="5").status_code == 409
    assert other.get(talk).status_code == 404
    assert "Asked of you" not in words_of(other.get("/"))
    assert "Bo Chen" in words_of(author.get(page))
    assert author.post(f"{page}/reviewers/removal", person=bo.ref).status_code == 303
    assert author.post(f"{page}/reviewers/removal", person=bo.ref).status_code == 404
    assert reader.get(talk).status_code == 404
    assert "Kept back" not in words_of(reader.get("/notices/"))
    session.rollback()
    assert session.exec(select(Review)).all() == []
    assert session.exec(select(Notice).where(Notice.kind == "review")).all() == []


def test_guesses_at_who_is_here_count_whether_or_not_they_are_right(session, author, ana, held):
    act = f"/studio/{held.guid}/reviewers"
    for guess in ("nobody@example.org", "Nobody", "Ana Lima"):
        words_of(author.post(act, reviewer=guess), 422)
    session.rollback()
    mine = select(Allowance).where(Allowance.bucket == f"review:{ana.id}")
    spent = session.exec(mine).one()
    assert spent.used == 3
    spent.used = limits.REVIEWS.most
    session.commit()
    assert author.post(act, reviewer="nobody@example.org").status_code == 429


def test_a_show_is_for_the_community_too_where_it_is_at_home(
    session, author, ana, talk, water, program
):
    board = factories.community(session, "Board", slug="board", joining="group")
    factories.member(session, board, ana)
    session.commit()
    typed = {"title": "Wells", "community": "water", "visibility": "communities"}
    sentence = "Tick the community too where the show is at home"
    for address in ("/shows/", "/shows/pumps/edit"):
        words = words_of(author.post(address, **typed, communities="board"), 422)
        assert sentence in words
        assert ticked(words) == ["board"]
    session.rollback()
    assert [show.title for show in session.exec(select(Show))] == ["Pumps"]
    answer = program(ana).post("shows", json=typed | {"communities": ["board"]})
    assert answer.status_code == 422
    both = {"communities": ["board", "water"]}
    assert author.post("/shows/pumps/edit", **typed, **both).status_code == 303
    author.post(f"/studio/{talk.guid}/audience", narrow="yes", communities="board")
    heard_by = "<strong>the members of Board, and the stewards of Water</strong>"
    assert heard_by in words_of(author.get(f"/studio/{talk.guid}"))


def test_of_several_with_one_name_the_author_picks_one(session, author, bo, held):
    twin = factories.person(session, "Bo Chen")
    session.commit()
    page = f"/studio/{held.guid}"
    words = words_of(author.post(f"{page}/reviewers", reviewer="Bo Chen"))
    assert "Whom do you mean?" in words
    assert f'name="reviewer" value="{twin.ref}"' in words
    author.post(f"{page}/reviewers", reviewer=str(twin.ref))
    session.rollback()
    assert session.exec(select(Review.person_id)).all() == [twin.id]


def test_s22_nobody_narrows_lets_out_or_shares_what_is_somebody_elses(
    application, settings, session, held, water
):
    eve = factories.person(session, "Eve Stone")
    factories.member(session, water, eve, "steward")
    stranger = visitor(application, settings, session, eve)
    page = f"/studio/{held.guid}"
    for path, fields in (
        ("publish", {}),
        ("audience", {"narrow": "yes", "communities": "water"}),
        ("reviewers", {"reviewer": str(eve.ref)}),
        ("reviewers/removal", {"person": str(eve.ref)}),
    ):
        assert stranger.post(f"{page}/{path}", **fields).status_code == 404, path
    assert stranger.post("/shows/pumps/edit", title="Mine").status_code == 404
    session.refresh(held)
    assert (held.published_at, held.audience) == (None, None)
    assert session.exec(select(Review)).all() == []


def test_the_api_holds_back_narrows_and_publishes(session, program, ana, bo, water):
    its, others = program(ana), program(bo)
    body = {"title": "Wells", "visibility": "communities", "communities": ["water"]}
    made = its.post("shows", json=body)
    assert (made.status_code, made.get_json()["visibility"]) == (201, "communities")
    assert its.post("shows", json=body | {"communities": ["none"]}).status_code == 422
    assert its.post("shows", json={"title": "P", "visibility": "public"}).status_code == 422
    draft = its.post("episodes", json={"title": "One", "held": True}).get_json()
    path = f"episodes/{draft['guid']}"
    assert draft["held"] is True
    assert its.patch(path, json={"title": "Two"}).get_json()["held"] is True
    assert its.patch(path, json={"held": False}).get_json()["held"] is False
    talk = factories.episode(
        session, factories.show(session, ana, "Open"), "Kept", held=True, published_at=None
    )
    session.commit()
    path = f"episodes/{talk.guid}"
    assert others.get(path).status_code == 404
    assert its.post(f"{path}/publish").status_code == 204
    assert others.get(path).get_json()["held"] is False
    assert its.put(f"{path}/audience", json={"communities": ["water"]}).status_code == 204
    assert others.get(path).status_code == 404
    assert its.put(f"{path}/audience", json={"communities": []}).status_code == 422
    assert its.put(f"{path}/audience", json={}).status_code == 422
    assert its.put(f"{path}/audience", json={"communities": None}).status_code == 204
    assert others.get(path).status_code == 200


def moves(session):
    return session.exec(select(Audit).where(Audit.act == "moved")).all()


def test_moving_a_talk_to_more_people_is_asked_first_and_written_down(
    session, author, reader, talk, ana, water
):
    few = factories.show(
        session, ana, "Few", slug="few", visibility="communities", audience=[water.id]
    )
    session.commit()
    page = f"/studio/{talk.guid}"
    said = {"title": "Moved", "notes": "Not lost"}
    assert author.post(page, **said, show="few").status_code == 303
    assert reader.get(f"/episodes/{talk.guid}").status_code == 404
    words = words_of(author.post(page, title="Once more", notes="Typed", show="pumps"), 422)
    assert "This opens it to everyone in Our house." in words
    assert 'name="widen" value="pumps"' in words
    assert "Typed</textarea>" in words
    assert author.post(page, **said, show="pumps", widen="few").status_code == 422
    session.refresh(talk)
    assert talk.show_id == few.id
    assert author.post(page, **said, show="pumps", widen="pumps").status_code == 303
    assert reader.get(f"/episodes/{talk.guid}").status_code == 200
    session.rollback()
    assert len(moves(session)) == 2
    assert moves(session)[1].facts["before"] == str(few.guid)


def test_one_form_saves_what_a_talk_is_and_for_whom(session, author, talk, water):
    page = f"/studio/{talk.guid}"
    words = words_of(author.get(page))
    before = re.search(r'name="narrowed_to" value="([^"]*)" form="about"', words)[1]
    typed = {"notes": "Typed before the button", "show": "pumps", "narrowed_to": before}
    author.post(page, title="One", narrow="yes", communities="water", **typed)
    session.refresh(talk)
    assert (talk.notes, talk.audience) == ("Typed before the button", [water.id])
    stale = typed | {"narrowed_to": "all", "notes": "Later"}
    author.post(page, title="One", narrow="no", **stale)
    session.refresh(talk)
    assert (talk.notes, talk.audience) == ("Later", [water.id])
    refused = author.post(page, title="One", narrow="yes", **typed)
    assert "Choose at least one community." in words_of(refused, 422)
    assert "Typed before the button" in refused.get_data(as_text=True)


def test_sharing_from_a_show_or_community_leads_into_it_and_names_who_hears_it(
    session, author, reader, talk, ana, water
):
    factories.show(
        session, ana, "Board papers", slug="papers", community_id=water.id,
        visibility="communities", audience=[water.id],
    )  # fmt: skip
    session.commit()
    for path in ("/shows/papers", "/communities/water"):
        assert 'href="/studio/?show=papers"' in words_of(author.get(path)), path
    words = words_of(author.get("/studio/?show=papers"))
    assert '<option value="papers" selected>Board papers (the members of Water)' in words
    assert "Pumps (everyone in Our house)" in words
    assert "Board papers (the members of Water)" in words_of(author.get(f"/studio/{talk.guid}"))
    assert "/studio/" not in words_of(reader.get("/shows/pumps"))


def test_a_show_of_a_hidden_community_begins_with_its_members_alone(session, author, ana):
    board = factories.community(session, "Board", slug="board", joining="group")
    factories.member(session, board, ana)
    session.commit()
    words = words_of(author.get("/shows/new?community=board"))
    assert re.search(r'value="communities" checked', words)
    assert ticked(words) == ["board"]
    words = words_of(author.get("/shows/new?community=water"))
    assert re.search(r'value="organisation" checked', words)
    assert ticked(words) == []


def test_the_pages_of_talk_and_show_always_say_for_whom_they_are(session, author, reader, talk):
    for path in (f"/episodes/{talk.guid}", "/shows/pumps"):
        assert "<span>for everyone in Our house</span>" in words_of(reader.get(path)), path
    words = words_of(reader.get(f"/episodes/{talk.guid}"))
    assert "Read by whoever hears the talk: everyone in Our house." in words
    author.post(f"/studio/{talk.guid}/audience", narrow="yes", communities="water")
    assert "<span>for the members of Water</span>" in words_of(author.get(f"/episodes/{talk.guid}"))


def test_who_looked_first_is_told_how_to_answer_and_loses_the_notice_with_the_talk(
    session, author, reader, held, bo
):
    page, talk = f"/studio/{held.guid}", f"/episodes/{held.guid}"
    author.post(f"{page}/reviewers", reviewer=bo.email)
    assert "tell Ana Lima directly what you think." in words_of(reader.get(talk))
    author.post(f"{page}/audience", narrow="yes", communities="water")
    assert "Kept back" in words_of(reader.get("/notices/"))
    author.post(f"{page}/publish")
    assert reader.get(talk).status_code == 404
    assert "Kept back" not in words_of(reader.get("/notices/"))
