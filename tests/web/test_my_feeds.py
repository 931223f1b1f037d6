"""The page of one's feeds: make, read out, rename, renew, replace and close addresses."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import select

from service import subscriptions
from service.feed import channel, tokens
from service.limits import Limit
from storage.models import Audit, FeedToken, Session, now
from tests import factories
from tests.web.listeners import Listener
from tests.web.visitors import visitor


@pytest.fixture
def ana(session):
    return factories.person(session, "Ana Lima")


@pytest.fixture
def show(session):
    made = factories.show(session, factories.person(session, "Bo Chen"), "On site")
    factories.episode(session, made)
    return made


@pytest.fixture
def browser(application, settings, session, ana, show):
    return visitor(application, settings, session, ana)


@pytest.fixture
def listener(application, settings):
    return Listener(application, settings)


def words(answer):
    return answer.get_data(as_text=True)


def made(browser, session, **fields):
    """Make a feed by the form; return its token's row and its address."""
    answer = browser.post("/feeds/", **{"view": "top", "label": "my phone"} | fields)
    assert answer.status_code == 303, words(answer)
    page = browser.get(answer.headers["Location"])
    assert page.status_code == 200
    address = re.search(r'value="(http[^"]+/f/[^"]+\.xml)"', words(page))[1]
    session.rollback()
    number = int(answer.headers["Location"].rpartition("/")[2])
    return session.get_one(FeedToken, number), address


def acts(session):
    session.rollback()
    rows = session.exec(select(Audit).where(Audit.subject_kind == "feed").order_by(Audit.id))
    return [(row.act, row.subject) for row in rows]


def grow_old(session, ana):
    """Let half an hour pass since somebody proved who they are."""
    session.exec(update(Session).values(proved_at=now() - timedelta(minutes=31)))
    session.commit()


def test_a_feed_is_made_and_its_address_shown_where_no_cache_keeps_it(
    browser, session, listener, show
):
    token, address = made(browser, session, view=show.slug, days="90")
    assert token.label == "my phone"
    assert timedelta(days=89) < token.expires_at - now() <= timedelta(days=90)
    assert listener.get(address).status_code == 200
    page = browser.get(f"/feeds/{token.id}")
    assert page.headers["Cache-Control"] == "no-store"
    assert "<svg" in words(page)
    assert acts(session) == [("feed-made", token.ref)]


def test_the_list_shows_addresses_masked_and_whence_they_are_used(browser, session, listener):
    token, address = made(browser, session)
    listener.get(address, at="10.0.0.1", User_Agent="AntennaPod/3.9.0")
    listener.get(address, at="10.0.1.1", User_Agent="AntennaPod/3.9.0")
    page = words(browser.get("/feeds/"))
    assert address not in page
    assert tokens.masked(address) in page
    assert "by AntennaPod, within a day from 2 networks" in page
    assert f'href="/feeds/{token.id}"' in page


def test_an_address_is_read_out_only_after_a_recent_sign_in(browser, session, ana):
    token, _address = made(browser, session)
    grow_old(session, ana)
    asked = browser.get(f"/feeds/{token.id}")
    assert asked.status_code == 303
    assert asked.headers["Location"].startswith("/sign-in/again?next=/feeds/")
    assert browser.get("/feeds/").status_code == 200
    # Making and closing one tells nothing, and closing one must always be quick.
    another = browser.post("/feeds/", view="top", label="tablet")
    assert another.status_code == 303
    assert browser.get(another.headers["Location"]).status_code == 303
    told = browser.send("POST", "/api/v1/feeds", json={"label": "script"}).get_json()
    assert told["address"] is None
    assert "…" in told["masked"]
    assert browser.post("/feeds/revoke", token=token.id).status_code == 303
    session.refresh(token)
    assert token.revoked_at is not None


def test_a_label_is_changed(browser, session):
    token, _ = made(browser, session)
    assert (
        browser.post("/feeds/label", token=token.id, label=" my\u202e tablet ").status_code == 303
    )
    assert "my tablet" in words(browser.get("/feeds/"))


def test_renewing_leads_the_app_to_the_new_address(browser, session, listener):
    token, old = made(browser, session)
    assert browser.post("/feeds/rotate", token=token.id).status_code == 303
    page = words(browser.get("/feeds/"))
    assert "The address before leads here until" in page
    new = listener.get(old).headers["Location"]
    assert listener.get(new).status_code == 200
    assert f'value="{new}"' in words(browser.get(f"/feeds/{token.id}"))
    assert acts(session) == [("feed-made", token.ref), ("feed-rotated", token.ref)]


def test_what_somebody_else_has_is_closed_and_leads_nowhere(browser, session, listener):
    token, old = made(browser, session, mode="video")
    answer = browser.post("/feeds/replace", token=token.id)
    fresh = session.get_one(FeedToken, int(answer.headers["Location"].rpartition("/")[2]))
    assert (fresh.label, fresh.mode, fresh.view_id) == ("my phone", "video", token.view_id)
    gone = listener.get(old)
    assert (gone.status_code, gone.headers.get("Location")) == (410, None)
    page = words(browser.get("/feeds/"))
    assert "1 closed address" in page
    assert [act for act, _ in acts(session)] == ["feed-made", "feed-replaced"]
    assert browser.post("/feeds/replace", token=token.id).status_code == 409
    assert browser.post("/feeds/rotate", token=token.id).status_code == 409
    assert browser.get(f"/feeds/{token.id}").status_code == 404


def test_s22_nobody_touches_somebody_elses_address(
    application, settings, session, browser, listener
):
    token, address = made(browser, session)
    other = visitor(application, settings, session, factories.person(session, "Di Okafor"))
    for act in ("label", "rotate", "replace", "revoke"):
        theirs = other.post(f"/feeds/{act}", token=token.id, label="mine now")
        absent = other.post(f"/feeds/{act}", token=token.id + 1000, label="mine now")
        assert (theirs.status_code, absent.status_code) == (404, 404)
    assert other.get(f"/feeds/{token.id}").status_code == 404
    assert listener.get(address).status_code == 200
    session.refresh(token)
    assert token.label == "my phone"


def test_a_form_that_cannot_be_is_shown_again_with_what_was_typed(browser, session):
    answer = browser.post("/feeds/", view="no-such-show", label="my <b>phone", days="30")
    assert answer.status_code == 422
    page = words(answer)
    assert "There is no such show." in page
    assert "Choose how long from the list." in page
    assert 'value="my &lt;b&gt;phone"' in page
    assert session.exec(select(FeedToken)).all() == []


def test_a_show_for_others_only_is_no_choice(browser, session, settings):
    elsewhere = factories.community(session, "Elsewhere")
    owner = factories.person(session, "Cy Ortiz")
    hidden = factories.show(
        session, owner, "Ours alone", visibility="communities", audience=[elsewhere.id]
    )
    session.commit()
    assert "Ours alone" not in words(browser.get("/feeds/"))
    assert browser.post("/feeds/", view=hidden.slug).status_code == 422


def test_s50_addresses_are_not_made_without_end(browser, session, ana, settings, monkeypatch):
    monkeypatch.setattr(subscriptions, "ADDRESSES", Limit("feed-address", 5, 3600))
    view = channel.view_top(session)
    token = tokens.issue(session, ana.id, view, secret=settings.secret)
    session.commit()
    codes = [browser.post("/feeds/rotate", token=token.id).status_code for _ in range(4)]
    assert codes == [303] * 4
    assert browser.post("/feeds/", view="top").status_code == 303
    for path in ("/feeds/", "/feeds/rotate", "/feeds/replace"):
        refused = browser.post(path, view="top", token=token.id)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 3000
    assert browser.post("/feeds/revoke", token=token.id).status_code == 303


def test_a_show_that_one_has_lost_is_named_no_more(browser, program, session, ana, show):
    token, _ = made(browser, session, view=show.slug)
    its = program(ana)
    assert {row["title"] for row in its.get("feeds").get_json()["rows"]} == {"On site"}
    elsewhere = factories.community(session, "Elsewhere")
    show = session.get_one(type(show), show.id)
    show.visibility, show.audience, show.title = "communities", [elsewhere.id], "Secret merger"
    session.commit()
    page = words(browser.get("/feeds/"))
    assert "Secret merger" not in page
    assert tokens.LOST in page
    assert "Secret merger" not in words(browser.get(f"/feeds/{token.id}"))
    (row,) = its.get("feeds").get_json()["rows"]
    assert row["title"] == tokens.LOST
    answer = its.patch(f"feeds/{token.id}", json={"label": "old phone"})
    assert answer.get_json()["title"] == tokens.LOST
