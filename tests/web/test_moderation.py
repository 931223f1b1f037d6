"""Reports, moderators' pages, notices and limits, as browsers and programs meet them."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlmodel import func, select

from service import limits
from service.identity.secrets import key_of
from service.rating import ledger
from storage.models import (
    Allowance,
    Comment,
    Decision,
    Episode,
    EpisodeScore,
    Notice,
    Rating,
    Report,
    Review,
    Session,
    now,
)
from tests import factories
from tests.web.test_pages import statements
from tests.web.visitors import Visitor, visitor
from workers import retention

NOWHERE = "00000000-0000-4000-8000-000000000000"
WHY = "It names a customer."
KEY = re.compile(r'name="case" value="([^"]+)"')


class Scene:
    """A talk with a comment, in the show of a community, and everybody's browser."""

    def __init__(self, application, settings, session):
        self.application, self.settings, self.session = application, settings, session
        self.community = factories.community(session, "Water")
        self.author = factories.person(session, "Ana Lima")
        self.show = factories.show(session, self.author, community_id=self.community.id)
        self.talk = factories.episode(session, self.show, "How we deploy", topics=["Pumps"])
        self.writer = factories.person(session, "Bo Chen")
        self.comment = factories.comment(session, self.talk, self.writer, "You fool!")
        self.page = f"/episodes/{self.talk.guid}"
        self.case = f"/moderation/{self.talk.guid}"
        session.commit()

    def browser(self, person=None, **values):
        person = person or factories.person(self.session, values.pop("name", "Cy Young"), **values)
        return visitor(self.application, self.settings, self.session, person)

    def steward(self, of):
        person = factories.person(self.session, "Stew Ard", role="learner")
        factories.member(self.session, of, person, "steward")
        return self.browser(person)

    def words(self, of, browser):
        return browser.get(of).get_data(as_text=True)

    def rows(self, table):
        self.session.expire_all()
        return self.session.exec(select(table)).all()


@pytest.fixture
def scene(application, settings, session):
    return Scene(application, settings, session)


@pytest.fixture
def moderator(scene):
    return scene.browser(name="Mo Derat", role="moderator")


# From report to notice


def test_a_report_goes_its_way_from_the_page_to_the_notice(scene, moderator):
    listener, author = scene.browser(), scene.browser(scene.author)
    sent = {"reason": "confidential", "words": "The <b>price</b> is in it."}
    answer = listener.post(f"{scene.page}/reports", **sent)
    assert (answer.status_code, answer.headers["Location"]) == (303, scene.page)
    assert "Moderators will look at it" in scene.words(scene.page, listener)
    listener.post(f"{scene.page}/reports", **sent)
    assert "reported it already" in scene.words(scene.page, listener)
    queue = scene.words("/moderation/", moderator)
    assert "How we deploy" in queue
    assert "It tells what must stay inside" in queue
    assert "The &lt;b&gt;price&lt;/b&gt; is in it." in queue
    assert "Cy Young" not in queue
    decided = moderator.post(scene.case, act="hidden", words=WHY, turn=0)
    assert (decided.status_code, decided.headers["Location"]) == (303, "/moderation/")
    assert listener.get(scene.page).status_code == 404
    own = scene.words(scene.page, author)
    assert "A moderator has hidden this talk" in own
    assert WHY in own
    assert WHY in scene.words("/notices/", author)
    assert "it is hidden now" in scene.words("/notices/", listener)
    assert author.post(f"{scene.page}/answers", words="It is our own price.").status_code == 303
    assert "Your answer is with the moderators" in scene.words(scene.page, author)
    assert "It is our own price." in scene.words("/moderation/", moderator)
    (made,) = scene.rows(Decision)
    assert "Put back" not in scene.words("/moderation/decided", moderator)
    undone = moderator.post(f"/moderation/decided/{made.id}/undoing", words="Misread.")
    assert undone.status_code == 303
    assert listener.get(scene.page).status_code == 200
    assert "undone" in scene.words("/moderation/decided", moderator)


def test_a_report_that_says_nothing_is_shown_again_as_typed(scene):
    listener = scene.browser()
    for about, key in (({}, 0), ({"comment": scene.comment.id}, scene.comment.id)):
        answer = listener.post(f"{scene.page}/reports", reason="", words="Half a thought", **about)
        words = answer.get_data(as_text=True)
        assert answer.status_code == 422
        assert "Choose what is wrong with it." in words
        assert f'id="report-{key}"' in words
        assert words.count("Half a thought") == 1
    assert scene.rows(Report) == []


@pytest.mark.parametrize("comment", ["0", "-1", "9" * 18, "9" * 5000, "x", "1e3", "²", str(2**64)])
def test_a_report_of_a_comment_that_is_not_there_is_404(scene, comment):
    listener = scene.browser()
    for path in ("reports", "answers"):
        sent = {"reason": "rude", "words": "No", "comment": comment}
        assert listener.post(f"{scene.page}/{path}", **sent).status_code == 404
    assert scene.rows(Report) == []


def test_s22_what_one_may_not_see_and_what_is_absent_are_reported_alike(scene):
    inner = factories.show(
        scene.session, scene.author, visibility="communities", audience=[scene.community.id]
    )
    limited = factories.episode(scene.session, inner)
    draft = factories.episode(scene.session, scene.show, state="draft")
    inside = factories.comment(scene.session, limited, scene.writer)
    listener = scene.browser()
    told = set()
    for guid, about in (
        (limited.guid, {}), (limited.guid, {"comment": inside.id}), (draft.guid, {}),
        (scene.talk.guid, {"comment": inside.id}), (NOWHERE, {}), (NOWHERE, {"comment": 1}),
    ):  # fmt: skip
        for path in ("reports", "answers"):
            sent = {"reason": "rude", "words": "No"} | about
            answer = listener.send("POST", f"/episodes/{guid}/{path}", data=sent)
            assert answer.status_code == 404, (guid, about, path)
            told.add(answer.get_json()["detail"])
    assert len(told) == 1
    assert scene.rows(Report) == []


def test_s22_what_others_wrote_is_neither_removed_nor_answered_for(scene):
    listener = scene.browser()
    removal = listener.post(f"{scene.page}/comments/removal", comment=scene.comment.id)
    assert removal.status_code == 404
    sent = {"comment": scene.comment.id, "words": "Mine!"}
    assert listener.post(f"{scene.page}/answers", **sent).status_code == 404
    (comment,) = scene.rows(Comment)
    assert comment.removed_at is None


# Who moderates


def test_s22_a_steward_of_another_community_finds_nothing_anywhere(scene):
    hers = scene.steward(scene.community)
    other = scene.steward(factories.community(scene.session, "Fire"))
    scene.browser().post(f"{scene.page}/reports", reason="rude")
    about = {"comment": scene.comment.id}
    sent = {"act": "hidden", "words": WHY, "turn": 0}
    assert "Nothing is waiting" in scene.words("/moderation/", other)
    assert "How we deploy" in scene.words("/moderation/", hers)
    for query in ("", f"?comment={scene.comment.id}"):
        assert hers.get(f"{scene.case}{query}").status_code == 200
        theirs, none = other.get(f"{scene.case}{query}"), other.get(f"/moderation/{NOWHERE}{query}")
        assert theirs.status_code == none.status_code == 404
    for fields in (sent, sent | about):
        assert other.post(scene.case, **fields).status_code == 404
        assert other.post(f"/moderation/{NOWHERE}", **fields).status_code == 404
    assert hers.post(scene.case, **sent | about).status_code == 303
    (made,) = scene.rows(Decision)
    for number in (made.id, 2**40):
        undoing = other.post(f"/moderation/decided/{number}/undoing", words="No")
        assert undoing.status_code == 404
    assert "Nothing was decided yet" in scene.words("/moderation/decided", other)
    assert hers.post(f"/moderation/decided/{made.id}/undoing", words="Yes").status_code == 303


def test_for_those_who_moderate_nothing_there_is_nothing(scene):
    for browser in (scene.browser(), scene.browser(role="learner"), scene.browser(scene.author)):
        for path in ("/moderation/", "/moderation/decided", scene.case, "/moderation/open"):
            assert browser.get(path).status_code == 404
        assert browser.post(scene.case, act="hidden", words=WHY, turn=0).status_code == 404
        assert browser.post("/moderation/dismissals", case="x", words=WHY).status_code == 404
        page = scene.words(scene.page, browser)
        assert "/moderation/" not in page
        assert "For moderators" not in page


def test_who_proved_themselves_long_ago_does_it_again_before_anything(scene, moderator):
    scene.session.get_one(Session, key_of(moderator.cookie().value)).proved_at = now() - timedelta(
        hours=1
    )
    scene.session.commit()
    for path in ("/moderation/", "/moderation/decided", scene.case, "/moderation/open"):
        answer = moderator.get(path)
        assert answer.headers["Location"].startswith("/sign-in/again?next=/moderation/"), path
    answer = moderator.post(scene.case, act="hidden", words=WHY, turn=0)
    assert answer.status_code == 403
    assert "confirm that it is you" in answer.get_data(as_text=True)
    page = scene.words(scene.page, moderator)
    assert "Hide, remove or put back" in page
    assert 'name="act"' not in page
    assert scene.rows(Decision) == []


def test_of_two_moderators_the_second_is_told_and_changes_nothing(scene, moderator):
    second = scene.browser(name="Di Second", role="moderator")
    assert moderator.post(scene.case, act="removed", words=WHY, turn=0).status_code == 303
    late = second.post(scene.case, act="hidden", words="Me too", turn=0)
    assert late.status_code == 409
    assert "Somebody decided this just now: it was removed." in late.get_data(as_text=True)
    assert len(scene.rows(Decision)) == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"act": "hidden", "words": "", "turn": "0"}, 422),
        ({"act": "hidden", "words": "x" * 301, "turn": "0"}, 422),
        ({"act": "erased", "words": WHY, "turn": "0"}, 422),
        ({"act": "restored", "words": WHY, "turn": "0"}, 409),
        ({"act": "hidden", "words": WHY, "turn": "x"}, 409),
        ({"act": "hidden", "words": WHY}, 409),
        ({"act": "hidden", "words": WHY, "turn": "9" * 30}, 409),
        ({"act": "hidden", "words": WHY, "turn": "0", "comment": "x"}, 404),
        ({"act": "hidden", "words": WHY, "turn": "0", "comment": "9" * 30}, 404),
        ({"act": "hidden", "words": WHY, "turn": "0", "comment": str(2**62)}, 404),
    ],
)
def test_a_decision_that_cannot_be_changes_nothing_and_keeps_what_was_typed(
    scene, moderator, fields, status
):
    answer = moderator.post(scene.case, **fields)
    assert answer.status_code == status
    if status == 422:
        assert fields["words"] in answer.get_data(as_text=True)
    assert scene.rows(Decision) == []
    assert scene.session.get_one(Episode, scene.talk.id, populate_existing=True).hidden_at is None


# Several at once


def test_s25_dismissing_several_checks_each_and_does_all_or_none(scene):
    other = factories.show(scene.session, scene.author, title="Elsewhere")
    foreign = factories.episode(scene.session, other, "Not hers")
    hers, everywhere = scene.steward(scene.community), scene.browser(role="moderator")
    listener = scene.browser()
    about = {"comment": scene.comment.id}
    listener.post(f"{scene.page}/reports", reason="rude")
    listener.post(f"{scene.page}/reports", reason="rude", **about)
    listener.post(f"/episodes/{foreign.guid}/reports", reason="rude")
    own = KEY.findall(scene.words("/moderation/", hers))
    all_of_them = KEY.findall(scene.words("/moderation/", everywhere))
    assert (len(own), len(all_of_them)) == (2, 3)
    absent = f"{NOWHERE}.0.0.1"
    stale = own[0].rsplit(".", 2)[0] + ".7.1"
    for chosen, status in (
        (all_of_them, 404), ([*own, absent], 404), ([*own, "nonsense"], 404),
        ([own[1], stale], 409), ([], 422), ([*own] * 51, 422),
    ):  # fmt: skip
        answer = hers.post("/moderation/dismissals", case=chosen, words=WHY)
        assert answer.status_code == status, chosen
        assert {row.state for row in scene.rows(Report)} == {"open"}
    blank = hers.post("/moderation/dismissals", case=own, words="")
    assert blank.status_code == 422
    assert blank.get_data(as_text=True).count(" checked") == 2
    assert hers.post("/moderation/dismissals", case=own, words=WHY).status_code == 303
    assert sorted(row.state for row in scene.rows(Report)) == ["dismissed", "dismissed", "open"]


# Comments


def test_a_hidden_comment_is_a_place_on_the_page_and_in_the_api(scene, moderator, program):
    reader, writer = scene.browser(), scene.browser(scene.writer)
    moderator.post(
        scene.case, act="hidden", words=WHY, turn=0, comment=scene.comment.id, back="talk"
    )
    place = "Hidden while it is looked at."
    page = scene.words(scene.page, reader)
    assert place in page
    assert "You fool!" not in page
    assert "Bo Chen" not in page
    for browser in (writer, moderator):
        assert "You fool!" in scene.words(scene.page, browser)
    assert "Answer the moderators" in scene.words(scene.page, writer)
    path = f"episodes/{scene.talk.guid}/comments"
    (row,) = program(scene.author).get(path).get_json()["rows"]
    assert (row["body"], row["body_html"], row["author"]) == ("", "", None)
    assert (row["hidden"], row["removed"], row["place"]) == (True, False, place)
    (row,) = program(scene.writer).get(path).get_json()["rows"]
    assert (row["body"], row["hidden"], row["may_remove"]) == ("You fool!", True, True)
    sent = {"comment": scene.comment.id, "words": "He said it first."}
    assert writer.post(f"{scene.page}/answers", **sent).status_code == 303
    sent = {"act": "restored", "words": "Fair.", "turn": 1, "comment": scene.comment.id}
    assert moderator.post(scene.case, **sent).status_code == 303
    assert "You fool!" in scene.words(scene.page, reader)


def test_the_panel_on_the_talks_page_does_what_it_offers(scene, moderator):
    page = scene.words(scene.page, moderator)
    assert page.count('value="hidden"') == 2
    turn = re.search(r'name="turn" value="(\d+)"', page)[1]
    sent = {"act": "removed", "words": WHY, "turn": turn, "back": "talk"}
    answer = moderator.post(scene.case, **sent)
    assert answer.headers["Location"] == f"{scene.page}#moderation"
    page = scene.words(scene.page, moderator)
    assert "This talk was removed by a moderator" in page
    undoing = re.search(r'action="(/moderation/decided/\d+/undoing)"', page)[1]
    assert moderator.post(undoing, words="No.", back="talk").status_code == 303
    assert "This talk was removed" not in scene.words(scene.page, moderator)
    assert [row.act for row in scene.rows(Decision)] == ["removed"]


def test_the_comments_of_a_page_cost_as_many_statements_however_many_there_are(scene, moderator):
    with statements(scene.application) as few:
        moderator.get(scene.page)
    for number in range(30):
        factories.comment(scene.session, scene.talk, scene.writer, f"Number {number}")
    scene.session.commit()
    with statements(scene.application) as many:
        moderator.get(scene.page)
    assert len(many) == len(few)


# A draft


def test_a_moderator_opens_a_draft_by_the_form_alone(scene, moderator):
    draft = factories.episode(scene.session, scene.show, "Secret plan", state="draft")
    scene.session.commit()
    page = f"/episodes/{draft.guid}"
    for path in (page, scene.case.replace(str(scene.talk.guid), str(draft.guid))):
        assert moderator.get(path).status_code == 404
    absent = moderator.post("/moderation/open", talk=NOWHERE, words=WHY)
    assert absent.status_code == 422
    assert "No unpublished talk has this address." in absent.get_data(as_text=True)
    assert moderator.post("/moderation/open", talk=page, words="").status_code == 422
    assert moderator.get(page).status_code == 404
    opened = moderator.post("/moderation/open", talk=f"http://house{page}?t=1", words=WHY)
    assert opened.headers["Location"] == page
    words = scene.words(page, moderator)
    assert "You opened this unpublished talk as a moderator" in words
    assert "Secret plan" in words
    assert 'name="act"' not in words
    assert WHY in scene.words("/notices/", scene.browser(scene.author))
    assert len(scene.rows(Review)) == 1
    steward = scene.steward(scene.community)
    assert steward.get("/moderation/open").status_code == 404
    assert steward.post("/moderation/open", talk=page, words=WHY).status_code == 404


# Notices


def test_notices_are_read_by_pressing_the_button_and_not_by_looking(scene):
    author, other = scene.browser(scene.author), scene.browser()
    notice = Notice(
        person_id=scene.author.id, kind="plain", words="<script>x</script>", path=scene.page
    )
    scene.session.add(notice)
    scene.session.commit()
    for _ in range(2):
        page = scene.words("/notices/", author)
        assert "&lt;script&gt;x" in page
        assert f'href="{scene.page}"' in page
        assert "not read yet" in page
    assert "&lt;script&gt;" not in scene.words("/notices/", other)
    other.post("/notices/read")
    scene.session.refresh(notice)
    assert notice.read_at is None
    assert author.post("/notices/read").headers["Location"] == "/notices/"
    assert "not read yet" not in scene.words("/", author)
    assert "Mark all as read" not in scene.words("/notices/", author)
    scene.session.refresh(notice)
    assert notice.read_at is not None


def test_who_has_no_notices_is_told_so(scene):
    assert "Nothing to tell you" in scene.words("/notices/", scene.browser())


def test_a_notice_leads_to_no_talk_that_is_shut_to_its_reader(scene, moderator):
    writer = scene.browser(scene.writer)
    about = {"comment": scene.comment.id}
    moderator.post(scene.case, act="hidden", words=WHY, turn=0, **about)
    link = f'href="{scene.page}#comment-{scene.comment.id}"'
    told = scene.words("/notices/", writer)
    assert "your comment “You fool!” of" in told
    assert "there whenever the talk is open to you" in told
    assert link in told
    moderator.post(scene.case, act="hidden", words=WHY, turn=0)
    assert writer.get(scene.page).status_code == 404
    told = scene.words("/notices/", writer)
    assert link not in told
    assert "Its talk is not open to you just now." in told
    assert f'href="{scene.page}"' in scene.words("/notices/", scene.browser(scene.author))


def test_what_is_undone_is_told_as_it_stands_now(scene, moderator):
    about = {"comment": scene.comment.id}
    for turn, act in enumerate(("hidden", "removed")):
        moderator.post(scene.case, act=act, words=WHY, turn=turn, **about)
    for row, stands in zip(
        reversed(scene.rows(Decision)), ("it is hidden", "it stands"), strict=True
    ):
        moderator.post(f"/moderation/decided/{row.id}/undoing", words="Misread.")
        assert f"Undone. Now {stands}." in scene.words("/moderation/", moderator)


def test_the_queue_tells_answers_from_reports_and_says_what_keeping_means(scene, moderator):
    moderator.post(scene.case, act="hidden", words=WHY, turn=0)
    scene.browser(scene.author).post(f"{scene.page}/answers", words="It is our own price.")
    queue = scene.words("/moderation/", moderator)
    assert "<strong>An answer</strong>" in queue
    assert "1 report" not in queue
    assert "Keep it hidden</button>" in queue
    assert "Leave it as it is</button>" not in queue
    assert "What was decided before" in queue


def test_who_has_reported_something_is_not_asked_again(scene, moderator):
    listener = scene.browser()
    assert "You reported" not in scene.words(scene.page, listener)
    listener.post(f"{scene.page}/reports", reason="rude")
    assert "You reported this talk." in scene.words(scene.page, listener)
    assert "You reported this.<" not in scene.words(scene.page, listener)
    listener.post(f"{scene.page}/reports", reason="rude", comment=scene.comment.id)
    assert "You reported this.<" in scene.words(scene.page, listener)
    assert "What was decided before" not in scene.words("/moderation/", moderator)


# Guests


@pytest.fixture
def open_house(application, settings):
    """The application in a house that has switched public talks on."""
    kept = application.extensions["dare"]
    told = settings.model_copy(update={"public_talks": True})
    application.extensions["dare"] = replace(kept, settings=told)
    yield
    application.extensions["dare"] = kept


def test_a_guest_reads_a_public_talk_and_takes_no_part(scene, open_house):
    show = factories.show(scene.session, scene.author, visibility="public")
    talk = factories.episode(scene.session, show, "For everybody", topics=["Pumps"])
    factories.comment(scene.session, talk, scene.writer, "Only for colleagues")
    factories.episode(scene.session, show, "Another one")
    scene.session.commit()
    guest = Visitor(scene.application, scene.settings)
    page = scene.words(f"/episodes/{talk.guid}", guest)
    for shown in ("For everybody", "Ask not what your country", "Sign in</a> to say", "Another"):
        assert shown in page
    for path in (f"/episodes/{talk.guid}", f"/shows/{show.slug}"):
        header = scene.words(path, guest).split("</header>")[0]
        assert f'href="/sign-in?next={path}">Sign in</a>' in header
    for kept in ("Only for colleagues", "/people/", "/topics/", 'method="post"', "/feeds",
                 "Why is it where it is", "/help/keys", "data-keep=", "Report"):  # fmt: skip
        assert kept not in page, kept
    for guid in (scene.talk.guid, NOWHERE):
        answer = guest.get(f"/episodes/{guid}")
        assert answer.status_code == 404
        assert "Sign in to see more" in answer.get_data(as_text=True)
    for path in ("reports", "answers", "comments", "rating"):
        assert guest.post(f"/episodes/{talk.guid}/{path}", reason="rude").status_code == 401


def test_without_public_talks_a_guest_is_led_to_sign_in(scene):
    guest = Visitor(scene.application, scene.settings)
    for guid in (scene.talk.guid, NOWHERE):
        answer = guest.get(f"/episodes/{guid}")
        assert answer.headers["Location"] == f"/sign-in?next=/episodes/{guid}"


# Limits, and fifty at once


def too_fast(answer):
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    return answer


def all_but_one(session, person, limit):
    """Use a person's limit up to the last time."""
    used = Allowance(bucket=f"{limit.name}:{person.id}", used=limit.most - 1)
    session.add(used)


def test_s50_comments_ratings_and_searches_are_slowed_on_pages_and_in_the_api(scene, program):
    people = [factories.person(scene.session, name) for name in ("Cy Young", "Dee Diaz")]
    for person in people:
        for limit in (limits.COMMENTS, limits.RATINGS, limits.SEARCHES):
            all_but_one(scene.session, person, limit)
    page, api = scene.browser(people[0]), program(people[1])
    path = f"episodes/{scene.talk.guid}"
    assert page.post(f"{scene.page}/comments", body="The last").status_code == 303
    slow = too_fast(page.post(f"{scene.page}/comments", body="One more"))
    assert "Please wait" in slow.get_data(as_text=True)
    assert api.post(f"{path}/comments", json={"body": "The last"}).status_code == 201
    told = too_fast(api.post(f"{path}/comments", json={"body": "One more"}))
    assert told.mimetype == "application/problem+json"
    assert page.post(f"{scene.page}/rating", stars=4).status_code == 303
    too_fast(page.post(f"{scene.page}/rating", stars=1))
    too_fast(page.post(f"{scene.page}/rating/removal"))
    assert api.put(f"{path}/rating", json={"stars": 5}).status_code == 200
    too_fast(api.put(f"{path}/rating", json={"stars": 1}))
    too_fast(api.delete(f"{path}/rating"))
    assert sorted(row.stars for row in scene.rows(Rating)) == [4, 5]
    assert page.get("/search?q=country").status_code == 200
    too_fast(page.get("/search?q=country"))
    assert page.get("/search").status_code == 200
    assert api.get("search?q=country").status_code == 200
    too_fast(api.get("search?q=country"))


def together(many, act):
    with ThreadPoolExecutor(10) as pool:
        return [answer.status_code for answer in pool.map(act, range(many))]


def test_s48_fifty_equal_ratings_at_once_are_one_row_and_the_score_is_right(scene):
    browser = scene.browser()
    secret, value = browser.csrf, browser.cookie().value

    def rate(_number):
        one = Visitor(scene.application, scene.settings, value)
        sent = {"csrf_token": secret, "stars": "4"}
        return one.ask("POST", f"{scene.page}/rating", data=sent, headers=one.ours)

    assert together(50, rate) == [303] * 50
    (row,) = scene.rows(Rating)
    score = scene.session.get_one(EpisodeScore, scene.talk.id, populate_existing=True)
    assert (row.stars, score.count, score.total) == (4, 1, 4)
    assert ledger.rebuild(scene.session) == 0


def test_s48_fifty_equal_comments_at_once_are_one_and_the_rest_is_slowed(scene, program):
    writer = program(factories.person(scene.session, "Dee"))
    path = f"episodes/{scene.talk.guid}/comments"
    answers = together(50, lambda _number: writer.post(path, json={"body": "Same words"}))
    assert sorted(set(answers)) == [201, 429]
    assert answers.count(201) == 10
    mine = select(func.count()).select_from(Comment).where(Comment.body == "Same words")
    assert scene.session.exec(mine).one() == 1


def test_s48_fifty_equal_reports_at_once_are_one(scene, program):
    browser = scene.browser()
    secret, value = browser.csrf, browser.cookie().value

    def report(_number):
        one = Visitor(scene.application, scene.settings, value)
        sent = {"csrf_token": secret, "reason": "rude"}
        return one.ask("POST", f"{scene.page}/reports", data=sent, headers=one.ours)

    answers = together(50, report)
    assert (answers.count(303), answers.count(429)) == (10, 40)
    assert len(scene.rows(Report)) == 1


@pytest.mark.parametrize("how", ["restored", "undone"])
def test_a_removed_talk_can_be_given_back_when_retention_took_its_recording(
    scene, application, session, how
):
    moderator = scene.browser(name="Mo Derat", role="moderator")
    author = scene.browser(scene.author)
    moderator.post(scene.case, act="removed", words=WHY, turn=0)
    talk = session.get_one(Episode, scene.talk.id, populate_existing=True)
    talk.withdrawn_at -= timedelta(days=40)
    session.commit()
    retention.let_go(application.extensions["dare"])
    session.rollback()
    for page in (scene.case, scene.page):
        assert moderator.get(page).status_code == 200, page
    assert author.post(f"{scene.page}/answers", words="It was mine to tell.").status_code == 303
    decision = session.exec(select(Decision)).one()
    if how == "restored":
        told = moderator.post(scene.case, act="restored", words="Yes.", turn=1, back="talk")
    else:
        told = moderator.post(
            f"/moderation/decided/{decision.id}/undoing", words="A mistake.", back="talk"
        )
    assert (told.status_code, told.location) == (303, "/moderation/")
    assert "draft again" in moderator.get(told.location).get_data(as_text=True)
    session.rollback()
    talk = session.get_one(Episode, scene.talk.id, populate_existing=True)
    assert (talk.state, talk.withdrawn_at) == ("draft", None)
    assert moderator.get(scene.case).status_code == 404
    told = {"restored": "back to you, as a draft", "undone": "it is your draft again"}
    assert told[how] in author.get("/notices/").get_data(as_text=True)
    assert author.get(f"/studio/{talk.guid}").status_code == 200
