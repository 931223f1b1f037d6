"""What pages show: text as text, the right talks to the right people, in few statements."""

import re
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from service.app import floor_of
from storage.models import Community, Position
from tests import factories
from tests.web.visitors import visitor

PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "</title></textarea><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
]
ALL = "".join(PAYLOADS)


@pytest.fixture
def ana(session):
    return factories.person(session, "Ana Lima")


@pytest.fixture
def bo(session):
    return factories.person(session, "Bo Chen", role="learner")


def titles(answer):
    """Return the titles of talks on a page, in order."""
    assert answer.status_code == 200
    words = answer.get_data(as_text=True)
    return re.findall(r'class="talk-title"><a href="[^"]*">([^<]*)</a>', words)


# Text is text


def hostile(session, application, settings):
    """Put every kind of payload into every text that people can write."""
    eve = factories.person(session, f"Eve {ALL}"[:120], department=ALL[:120], about=ALL)
    community = Community(slug="c", name=ALL[:120], purpose=ALL)
    session.add(community)
    session.flush()
    show = factories.show(
        session, eve, ALL[:200], slug="s", description=ALL, community_id=community.id
    )
    talk = factories.episode(
        session, show, ALL[:200], notes=ALL, topics=[ALL[:80]], said=[ALL, f"country {ALL}"]
    )
    talk.notice = ALL
    broken = factories.episode(session, show, ALL[:200], state="failed", reason=ALL)
    factories.comment(session, talk, eve, ALL)
    browser = visitor(application, settings, session, eve)
    slug = re.search(r'/topics/([^"]+)"', browser.get("/").get_data(as_text=True))[1]
    pages = [
        "/", "/top", "/new", "/search?q=country", f"/episodes/{talk.guid}", f"/topics/{slug}",
        "/shows/s", "/communities/c", f"/people/{eve.ref}", "/studio/", f"/studio/{talk.guid}",
        f"/studio/{broken.guid}", f"/episodes/{broken.guid}", "/feeds/", "/account/",
    ]  # fmt: skip
    return browser, pages


def foreign(words):
    """Return the tags and handlers on a page that only a payload could have brought."""
    ours = re.sub(
        r'<script type="module" nonce="[\w-]{22}" src="/static/[^"]*"></script>', "", words
    )
    return re.findall(
        r"<script|<img src=x|<svg onload|</title></textarea|onerror=alert\(1\)>", ours
    )


def test_nothing_that_people_write_becomes_markup(application, settings, session):
    browser, pages = hostile(session, application, settings)
    for page in pages:
        words = browser.get(page).get_data(as_text=True)
        assert "alert(1)" in words, page
        assert foreign(words) == [], page
        assert "49" not in re.findall(r"\b49\b", words), page


def test_nothing_that_was_typed_becomes_markup_in_the_form_shown_again(
    application, settings, session, ana
):
    talk = factories.episode(session, factories.show(session, ana))
    browser = visitor(application, settings, session, ana)
    for path, fields in (
        ("/studio/", {"title": ALL * 9}),
        (f"/studio/{talk.guid}", {"title": ALL * 9, "notes": ALL, "topics": ALL, "show": ALL}),
        (f"/episodes/{talk.guid}/comments", {"body": ALL * 60}),
        ("/shows/", {"title": ALL * 9, "description": ALL}),
        ("/account/", {"name": ALL * 9, "about": ALL, "department": ALL}),
    ):
        answer = browser.post(path, **fields)
        assert answer.status_code == 422, path
        words = answer.get_data(as_text=True)
        assert "alert(1)" in words, path
        assert foreign(words) == [], path
    assert foreign(browser.get("/search", query_string={"q": ALL}).get_data(as_text=True)) == []
    assert (
        foreign(browser.get("/studio/", query_string={"title": ALL}).get_data(as_text=True)) == []
    )


def test_links_in_notes_and_comments_lead_only_where_links_may(application, settings, session, ana):
    said = (
        "[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](data:text/html,x) [d](vbscript:x)"
        "\n\n[e](https://example.org/e) [f](mailto:ana@example.org) <javascript:alert(1)>\n\n"
        "[g](//evil.example/g) ![h](https://evil.example/h.png) <a href=javascript:alert(1)>i</a>"
    )
    talk = factories.episode(session, factories.show(session, ana), notes=said)
    factories.comment(session, talk, ana, said)
    words = visitor(application, settings, session, ana).get(f"/episodes/{talk.guid}")
    text = words.get_data(as_text=True)
    prose = re.findall(r'<(?:div|section) class="prose".*?</(?:div|section)>', text, re.DOTALL)
    assert len(prose) == 2
    for part in prose:
        links = re.findall(r'<a href="([^"]*)" rel="nofollow noopener noreferrer ugc">', part)
        assert {"https://example.org/e", "mailto:ana@example.org"} <= set(links)
        assert all(link.startswith(("https:", "mailto:", "/")) for link in links)
        assert len(links) == part.count("<a "), part
        assert "<img" not in part
        assert 'href="javascript' not in part.lower()


# Who sees what


def test_lists_hold_what_is_out_and_nothing_else(application, settings, session, ana, bo):
    show = factories.show(session, ana)
    for state in ("draft", "uploading", "processing", "failed", "playable", "complete"):
        factories.episode(session, show, state, state=state, topics=["All"], said=["country"])
    gone = factories.episode(session, show, "gone", topics=["All"])
    browser, author = (visitor(application, settings, session, who) for who in (bo, ana))
    author.post(f"/studio/{gone.guid}/withdraw")
    for page in ("/top", "/new", "/topics/all", f"/shows/{show.slug}", f"/people/{ana.ref}"):
        assert set(titles(browser.get(page))) == {"playable", "complete"}, page
        assert set(titles(author.get(page))) == {"playable", "complete"}, page
    assert titles(browser.get("/search?q=gone")) == []
    assert titles(browser.get("/search?q=country")) == ["complete"]


def test_a_talk_that_is_not_out_is_its_authors_alone(application, settings, session, ana, bo):
    show = factories.show(session, ana)
    browser, author = (visitor(application, settings, session, who) for who in (bo, ana))
    for state in ("draft", "uploading", "processing", "failed"):
        talk = factories.episode(session, show, state=state)
        session.commit()
        for page in (f"/episodes/{talk.guid}", f"/episodes/{talk.guid}/progress"):
            assert browser.get(page).status_code == 404
            assert author.get(page).status_code == 200


def test_a_withdrawn_talk_is_gone_for_all_but_its_author(application, settings, session, ana, bo):
    talk = factories.episode(session, factories.show(session, ana), "How")
    browser, author = (visitor(application, settings, session, who) for who in (bo, ana))
    author.post(f"/studio/{talk.guid}/withdraw")
    for rest in ("", "/progress"):
        assert browser.get(f"/episodes/{talk.guid}{rest}").status_code == 404
        assert author.get(f"/episodes/{talk.guid}{rest}").status_code == 200
    for rest, fields in (("rating", {"stars": "1"}), ("comments", {"body": "Hello"})):
        assert browser.post(f"/episodes/{talk.guid}/{rest}", **fields).status_code == 404


def test_who_has_not_rated_is_not_led_by_those_who_have(application, settings, session, ana, bo):
    talk = factories.episode(session, factories.show(session, ana))
    for number in range(3):
        factories.rating(session, talk, factories.person(session, f"Rater {number}"), 5)
    browser = visitor(application, settings, session, bo)
    path = f"/episodes/{talk.guid}"
    before = browser.get(path).get_data(as_text=True)
    assert 'class="spread"' not in before
    assert not re.search("3 colleagues|<strong>5.0", before)
    assert browser.post(f"{path}/rating", stars="1").headers["Location"] == f"{path}#rating"
    after = browser.get(path).get_data(as_text=True)
    assert "<strong>4.0</strong> from 4 colleagues" in after
    browser.post(f"{path}/rating/removal")
    assert 'class="spread"' not in browser.get(path).get_data(as_text=True)


def test_the_order_of_home_is_that_of_the_ratings(application, settings, session, ana, bo):
    show = factories.show(session, ana)
    first, second = (factories.episode(session, show, title) for title in ("First", "Second"))
    browser = visitor(application, settings, session, bo)
    assert titles(browser.get("/top")) == ["Second", "First"]
    browser.post(f"/episodes/{first.guid}/rating", stars="5")
    assert titles(browser.get("/top")) == ["First", "Second"]
    browser.post(f"/episodes/{first.guid}/rating", stars="1")
    browser.post(f"/episodes/{second.guid}/rating", stars="2")
    assert titles(browser.get("/"))[:2] == ["Second", "First"]


def test_a_board_goes_on_where_its_page_ended(application, settings, session, ana, bo):
    show = factories.show(session, ana)
    for number in range(45):
        talk = factories.episode(session, show, f"Talk {number}", state="playable")
        factories.earlier(talk, minutes=number // 3)
    browser = visitor(application, settings, session, bo)
    for board in ("/top", "/new"):
        seen, page, pages = [], board, 0
        while page:
            answer = browser.get(page)
            seen += titles(answer)
            found = re.search(r'class="more"><a[^>]*href="([^"]*)"', answer.get_data(as_text=True))
            page, pages = found[1].replace("&amp;", "&") if found else None, pages + 1
        assert pages == 3
        assert sorted(seen) == sorted(f"Talk {number}" for number in range(45))


def test_a_comment_and_its_answer_are_shown_and_removed_words_leave_their_place(
    application, settings, session, ana, bo
):
    talk = factories.episode(session, factories.show(session, ana))
    author, browser = (visitor(application, settings, session, who) for who in (ana, bo))
    path = f"/episodes/{talk.guid}"
    told = browser.post(f"{path}/comments", body="Why **Tuesday**?", at="7.5")
    number = told.headers["Location"].rpartition("-")[2]
    author.post(f"{path}/comments", body="Fewer calls.", parent=number)
    words = browser.get(path).get_data(as_text=True)
    assert "<strong>Tuesday</strong>" in words
    assert "at 0:07" in words
    assert words.index("Tuesday") < words.index("Fewer calls.")
    assert author.post(f"{path}/comments/removal", comment=number).status_code == 404
    assert browser.post(f"{path}/comments/removal", comment=number).status_code == 303
    words = browser.get(path).get_data(as_text=True)
    assert "Tuesday" not in words
    assert "Removed by its author." in words
    assert "Fewer calls." in words


# Search


SPOKEN = [
    "We never deploy on Fridays.",
    "The pressure valve sits behind the pump.",
    "Behind the valve there is pressure.",
]


@pytest.fixture
def library(application, settings, session, ana, bo):
    show = factories.show(session, ana)
    factories.episode(session, show, "Pump room", said=SPOKEN)
    factories.episode(session, show, "Deploying kubernetes", said=["Nothing of note."])
    factories.episode(session, show, "Größe der Pumpe 🚰", said=["Die Pumpe ist groß."])
    return visitor(application, settings, session, bo)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("kubernetes", {"Deploying kubernetes"}),
        ("deploy", {"Deploying kubernetes", "Pump room"}),
        ("deploy -kubernetes", {"Pump room"}),
        ('"pressure valve"', {"Pump room"}),
        ('"valve pressure sits"', set()),
        ("valve pressure", {"Pump room"}),
        ("kubernetes or valve", {"Deploying kubernetes", "Pump room"}),
        ('"', set()),
        ('"pressure', {"Pump room"}),
        ("*", set()),
        ("kube*", set()),
        ("kubernetes*", {"Deploying kubernetes"}),
        ("pump\x00 room", {"Pump room"}),
        ("größe", {"Größe der Pumpe 🚰"}),
        ("🚰", {"Größe der Pumpe 🚰"}),
        ("' OR 1=1 --", set()),
        ("\\", set()),
        ("& | ! ( ) <-> :*", set()),
        ("the", set()),
        ("%", set()),
        ("room " * 2_000, {"Pump room"}),
        ("http://example.org/?a=1&b=2|c:*", set()),
        ("   ", set()),
    ],
)
def test_search_finds_what_was_meant_and_never_fails(library, asked, found):
    answer = library.get("/search", query_string={"q": asked})
    assert set(titles(answer)) == found
    if not found and asked.strip():
        assert "Nobody has said that yet" in answer.get_data(as_text=True)


def test_a_hit_in_speech_leads_to_its_second_with_the_words_marked(library):
    words = library.get("/search", query_string={"q": '"pressure valve" -fridge'}).get_data(
        as_text=True
    )
    moments = re.findall(
        r'<a href="/episodes/[^"?]*\?t=(\d+)#player">.*?class="said">(.*?)</span>', words
    )
    assert moments == [
        ("5", "The <mark>pressure</mark> <mark>valve</mark> sits behind the pump."),
        ("10", "Behind the <mark>valve</mark> there is <mark>pressure</mark>."),
    ]


def test_the_player_begins_at_the_second_of_a_hit(library):
    words = library.get("/search?q=valve").get_data(as_text=True)
    address = re.search(r'href="(/episodes/[^"]*\?t=5)#player"', words)[1]
    assert re.search(r'data-start="5(\.0)?"', library.get(address).get_data(as_text=True))


def test_search_results_go_on_over_pages_and_end(application, settings, session, ana, bo):
    show = factories.show(session, ana)
    for number in range(23):
        factories.episode(session, show, f"Valve {number}", said=[])
    browser = visitor(application, settings, session, bo)
    first, second, third = (titles(browser.get(f"/search?q=valve&page={n}")) for n in (1, 2, 3))
    assert (len(first), len(second), len(third)) == (20, 3, 0)
    assert len(set(first + second)) == 23
    assert "23 talks" in browser.get("/search?q=valve").get_data(as_text=True)


# Few statements


@contextmanager
def statements(application):
    """Collect the statements that the application sends to the database."""
    sent = []
    engine = floor_of(application).database.engine

    def note(_connection, _cursor, statement, *_rest):
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def crowd(session, show, bo, many):
    """Add talks with everything that a row can have."""
    raters = [factories.person(session, f"Rater {number}") for number in range(2)]
    made = []
    for number in range(many):
        talk = factories.episode(session, show, f"Valve {number}", topics=["Pumps", "Water"])
        factories.rating(session, talk, bo, 4)
        factories.rating(session, talk, raters[number % 2], 5)
        factories.comment(session, talk, raters[0])
        session.add(Position(person_id=bo.id, episode_id=talk.id, seconds=20.0))
        made.append(talk)
    session.commit()
    return made


@pytest.mark.parametrize(
    "page",
    ["/", "/top", "/new", "/search?q=country", "/topics/pumps", "/shows/{show}", "/people/{ana}",
     "/episodes/{talk}", "/studio/"],
)  # fmt: skip
def test_a_page_with_fifty_rows_takes_as_many_statements_as_with_two(
    application, settings, session, ana, page
):
    fan = factories.person(session, "Cy Young")
    show = factories.show(session, ana)
    talk, _ = crowd(session, show, fan, 2)  # the second is what goes with the first
    who = ana if page == "/studio/" else fan
    browser = visitor(application, settings, session, who)
    address = page.format(show=show.slug, ana=ana.ref, talk=talk.guid)
    with statements(application) as few:
        assert "Valve 0" in browser.get(address).get_data(as_text=True)
    crowd(session, show, fan, 48)
    for number in range(49):
        factories.comment(session, talk, fan, f"Comment {number}")
    session.commit()
    with statements(application) as many:
        browser.get(address)
    assert len(many) == len(few)
    assert len(few) < 22
