"""What is kept about oneself: the page, the archive, and leaving, as browsers see it."""

import re
import threading
from datetime import timedelta

import pytest
from sqlmodel import select, text

from service import erasure, limits
from service.identity import people, sessions
from storage.models import Episode, Export, Person, Show, now
from storage.models import Session as SignedIn
from tests import factories
from tests.web.visitors import Visitor, visitor

CONTENT = b"PK" + bytes(5000)


@pytest.fixture
def floor(application):
    return application.extensions["dare"]


@pytest.fixture
def ana(session):
    factories.person(session, "Ada Admin", role="admin")
    return factories.person(session, "Ana Lima")


@pytest.fixture
def browser(application, settings, session, ana):
    return visitor(application, settings, session, ana)


@pytest.fixture(autouse=True)
def quiet_queue(session):
    yield
    session.rollback()
    session.execute(text("DELETE FROM dbos.workflow_status"))
    session.commit()


def archive(session, floor, of, **values):
    """Add an archive that is ready, with its bytes in the store."""
    told = {
        "person_id": of.id,
        "state": "ready",
        "size": len(CONTENT),
        "ready_at": now(),
        "expires_at": now() + timedelta(days=1),
    }
    made = Export(**told | values)
    made.key = made.key or f"exports/{made.ref}/x.zip"
    floor.store.put(made.key, CONTENT, "application/zip")
    session.add(made)
    session.commit()
    return made


def stale(session):
    for row in session.exec(select(SignedIn)):
        row.proved_at = now() - sessions.RECENT - timedelta(seconds=1)
    session.commit()


def test_s69_a_name_that_is_being_saved_does_not_come_back_after_erasing(
    session, floor, ana, browser, monkeypatch
):
    begun = []

    def erased_meanwhile(name):
        begun.append(
            threading.Thread(target=erasure.erase, args=(floor, ana.ref), kwargs={"by": None})
        )
        begun[0].start()
        begun[0].join(1)
        return name

    ref = ana.id
    browser.post("/account/theme", theme="dark")
    monkeypatch.setattr(people, "clean_name", erased_meanwhile)
    saved = browser.post("/account/", name="Ana Lima-Silva", about="Call me.", department="Pumps")
    begun[0].join(30)
    assert saved.status_code == 303
    session.rollback()
    gone = session.get_one(Person, ref, populate_existing=True)
    assert (gone.name, gone.about, gone.department) == (erasure.NAME, "", None)


def living(session, person):
    session.rollback()
    return session.get_one(Person, person.id, populate_existing=True).erased_at is None


def test_the_page_says_what_is_kept_for_how_long_and_who_sees_it(browser, settings):
    page = browser.get("/account/privacy").get_data(as_text=True)
    assert page.count("<h1>") == 1
    for words in ("Listening", "No role can read it", f"{settings.keep_audit_days} days"):
        assert words in page
    assert "Nothing packed yet" in page
    assert "{keep" not in page


def test_the_account_page_leads_to_what_is_kept_and_to_the_way_out(browser):
    page = browser.get("/account/").get_data(as_text=True)
    main = page[page.index("<main") : page.index("</main>")]
    for path in ("/account/privacy", "/account/erase"):
        assert f'href="{path}"' in main
        assert browser.get(path).status_code == 200


def test_asking_packs_once_and_the_page_says_how_it_stands(browser, session):
    for _ in range(2):
        assert browser.post("/account/export").status_code == 303
    session.rollback()
    (made,) = session.exec(select(Export)).all()
    page = browser.get("/account/privacy").get_data(as_text=True)
    assert "Waiting for its turn" in page
    assert "Pack everything" not in page
    for state, words in (("building", "Being packed now"), ("failed", "could not be packed")):
        made.state = state
        session.commit()
        assert words in browser.get("/account/privacy").get_data(as_text=True)


def test_s50_a_third_archive_in_a_day_waits(browser, session):
    for _ in range(limits.EXPORTS.most):
        browser.post("/account/export")
        session.execute(text("UPDATE export SET state = 'failed'"))
        session.commit()
    answer = browser.post("/account/export")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 3600


def test_an_archive_comes_as_a_file_that_nobody_keeps(browser, session, floor, ana):
    made = archive(session, floor, ana)
    page = browser.get("/account/privacy").get_data(as_text=True)
    assert f"/account/export/{made.ref}" in page
    answer = browser.get(f"/account/export/{made.ref}")
    assert (answer.status_code, answer.data) == (200, CONTENT)
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="dare-')
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    part = browser.get(f"/account/export/{made.ref}", headers={"Range": "bytes=0-1"})
    assert (part.status_code, part.data) == (206, b"PK")


def test_s22_an_archive_is_its_owners_alone(application, settings, session, floor, ana, browser):
    made = archive(session, floor, ana)
    absent = browser.get("/account/export/00000000-0000-4000-8000-000000000000")
    for role in ("contributor", "moderator", "admin"):
        other = visitor(
            application, settings, session, factories.person(session, "Bo Chen", role=role)
        )
        refused = other.get(f"/account/export/{made.ref}")
        assert (refused.status_code, absent.status_code) == (404, 404)
        assert CONTENT not in refused.data
        assert _bare(refused) == _bare(absent)


def _bare(answer):
    words = answer.get_data(as_text=True).split("error-page")[1]
    return re.sub(r"[0-9a-f]{12}", "", words.split("</main>")[0])


@pytest.mark.parametrize(
    "values",
    [{"state": "building"}, {"state": "gone"}, {"expires_at": now() - timedelta(seconds=1)}],
)
def test_an_archive_that_is_not_ready_or_too_old_is_not_there(browser, session, floor, ana, values):
    made = archive(session, floor, ana, **values)
    assert browser.get(f"/account/export/{made.ref}").status_code == 404


def test_a_stranger_is_sent_to_sign_in(application, settings, session, floor, ana):
    made = archive(session, floor, ana)
    nobody = Visitor(application, settings)
    for path in ("/account/privacy", f"/account/export/{made.ref}", "/account/erase"):
        assert nobody.get(path).headers["Location"].startswith("/sign-in")


def test_all_that_hurts_wants_a_sign_in_of_the_last_half_hour(browser, session, floor, ana):
    made = archive(session, floor, ana)
    assert browser.csrf
    stale(session)
    assert browser.get("/account/privacy").status_code == 200
    for path in (f"/account/export/{made.ref}", "/account/erase"):
        assert browser.get(path).headers["Location"].startswith("/sign-in/again?next=")
    for path in ("/account/export", "/account/erase"):
        assert browser.post(path, talks="withdraw", typed=ana.email).status_code == 403
    assert living(session, ana)


def test_no_token_asks_for_an_archive_or_erases(application, settings, session, ana):
    bearer = {"Authorization": f"Bearer {factories.token(session, ana)}"}
    session.commit()
    client = application.test_client()
    for path in ("/account/export", "/account/erase"):
        answer = client.post(path, base_url=settings.origin, headers=bearer)
        assert answer.status_code == 403
    assert living(session, ana)


# Leaving


@pytest.fixture
def talk(session, ana):
    return factories.episode(session, factories.show(session, ana, "Talks by Ana Lima"))


def test_erasing_asks_for_a_choice_and_the_address(browser, session, ana, talk):
    session.commit()
    page = browser.get("/account/erase").get_data(as_text=True)
    assert ana.email in page
    assert "Listening" in page
    for fields in (
        {"typed": ana.email},
        {"typed": ana.email, "talks": "sell"},
        {"talks": "withdraw", "typed": "yes"},
        {"talks": "hand-over", "typed": ana.email, "heir": "nobody@example.org"},
    ):
        answer = browser.post("/account/erase", **fields)
        assert answer.status_code == 422, fields
        assert "Not saved yet" in answer.get_data(as_text=True)
        assert living(session, ana)
    assert 'value="hand-over" checked' in answer.get_data(as_text=True)


def test_somebody_leaves_and_takes_all_along(browser, session, ana, talk):
    guid = talk.guid
    session.commit()
    answer = browser.post("/account/erase", talks="withdraw", typed=ana.email.upper())
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    assert answer.headers["Clear-Site-Data"] == '"cache"'
    assert browser.cookie() is None
    assert not living(session, ana)
    assert "erased" in browser.get("/sign-in").get_data(as_text=True)
    assert session.exec(select(Episode).where(Episode.guid == guid)).one().published_at is None


def test_an_admin_erases_somebody_and_nobody_else_can(
    application, settings, session, ana, talk, browser
):
    session.commit()
    path = f"/admin/people/{ana.ref}/erase"
    for role in ("learner", "contributor", "moderator"):
        other = visitor(
            application, settings, session, factories.person(session, "Bo Chen", role=role)
        )
        assert other.get(path).status_code == 404
        assert other.post(path, talks="withdraw", typed=ana.email).status_code == 404
        assert living(session, ana)
    ada = visitor(application, settings, session, factories.person(session, "Eva", role="admin"))
    assert "Ana Lima" in ada.get(path).get_data(as_text=True)
    stale(session)
    assert ada.post(path, talks="hand-over", typed=ana.email).status_code == 403
    for row in session.exec(select(SignedIn)):
        row.proved_at = now()
    session.commit()
    assert ada.post(path, talks="hand-over", typed=ana.email).status_code == 303
    assert not living(session, ana)
    assert session.exec(select(Show.title)).all() == ["Talks by a former colleague"]
    assert ada.get(path).status_code == 404
    assert browser.get("/account/privacy").status_code != 200


def test_who_has_no_talks_is_not_asked_what_becomes_of_them(browser, session, ana):
    session.commit()
    page = browser.get("/account/erase").get_data(as_text=True)
    assert "What becomes of the talks?" not in page
    assert "Who takes over the shows" not in page
    assert browser.post("/account/erase", typed=ana.email).status_code == 303
    assert not living(session, ana)


def test_who_has_a_show_alone_is_asked_about_it_alone(browser, session, ana):
    factories.episode(session, factories.show(session, ana), state="draft")
    session.commit()
    page = browser.get("/account/erase").get_data(as_text=True)
    assert "What becomes of the talks?" not in page
    assert "Who takes over the shows" in page
    wrong = browser.post("/account/erase", typed=ana.email, heir="nobody@example.org")
    assert wrong.status_code == 422
    assert living(session, ana)
    assert browser.post("/account/erase", typed=ana.email).status_code == 303


def test_the_last_admin_is_told_why_not(application, settings, session):
    ada = factories.person(session, "Ada Admin", role="admin")
    browser = visitor(application, settings, session, ada)
    page = browser.get("/account/erase").get_data(as_text=True)
    assert "This is the last admin." in page
    assert 'name="typed"' not in page
    answer = browser.post("/account/erase", talks="withdraw", typed=ada.email)
    assert answer.status_code == 409
    assert living(session, ada)
