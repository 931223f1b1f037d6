"""Looking after the house: people, invitations, groups, communities, the log, the settings."""

import csv
import io
import json
import re
from datetime import timedelta
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event
from sqlmodel import col, func, select

from service import audit_log, directory, personal_links, spreadsheet
from service.app import create_app, floor_of
from service.feed import channel, tokens
from service.identity import passwords, sessions
from storage import audit, links
from storage.models import (
    AccessToken,
    Audit,
    Community,
    FeedToken,
    GroupGrant,
    Identity,
    Membership,
    Person,
    PersonalLink,
    now,
)
from storage.models import Session as SignedIn
from storage.settings import OidcProvider
from tests import factories
from tests.web.visitors import PASSWORD, Visitor, visitor

PAGES = (
    "/admin/",
    "/admin/people/",
    "/admin/invitations/",
    "/admin/communities",
    "/admin/groups",
    "/admin/log/",
    "/admin/settings",
)
PROVIDER = OidcProvider(
    name="firm", label="Our firm", issuer="https://id.example.org", client_id="dare"
)


@pytest.fixture
def ada(session):
    return factories.person(session, "Ada Admin", role="admin", email="ada@example.org")


@pytest.fixture
def bo(session):
    made = factories.person(session, "Bo Chen", email="bo@example.org", department="Ops")
    session.commit()
    return made


@pytest.fixture
def admin(application, settings, session, ada):
    return visitor(application, settings, session, ada)


@pytest.fixture
def with_provider(settings):
    """The application as it is where a sign-in provider is set, and its settings."""
    told = settings.model_copy(update={"oidc": (PROVIDER,)})
    made = create_app(told)
    yield made, told
    floor_of(made).database.close()


def page(answer, status=200):
    assert answer.status_code == status, answer.get_data(as_text=True)[:600]
    return unescape(answer.get_data(as_text=True))


def acts(session, act=None):
    session.expire_all()
    query = select(Audit).order_by(col(Audit.id))
    return list(session.exec(query.where(Audit.act == act) if act else query))


def fresh(session, row):
    session.expire_all()
    return session.get(type(row), row.id)


def place(of, act=""):
    return f"/admin/people/{of.ref}{'/' + act if act else ''}"


# Who may


@pytest.mark.parametrize("address", PAGES)
def test_s21_an_admin_sees_the_page(admin, address):
    said = page(admin.get(address))
    assert 'aria-label="Look after the house"' in said
    assert said.count("<h1") == 1
    assert said.count('aria-current="page"') == 1


@pytest.mark.parametrize("role", ["learner", "contributor", "moderator"])
def test_s21_for_others_there_is_no_such_place(application, settings, session, bo, role):
    who = factories.person(session, "Cy", role=role)
    home = factories.community(session)
    factories.member(session, home, who, "steward")
    browser = visitor(application, settings, session, who)
    marks = len(page(browser.get("/shows/nowhere"), 404))
    for address in (*PAGES, place(bo)):
        assert abs(len(page(browser.get(address), 404)) - marks) < 20, address
    for address in (
        place(bo, "role"),
        place(bo, "disable"),
        "/admin/groups",
        "/admin/log/download",
    ):
        assert browser.post(address, role="admin").status_code == 404
    assert "Look after the house" not in page(browser.get("/help/keys"))
    assert fresh(session, bo).role == "contributor"


def test_no_token_and_no_old_sign_in_opens_it(application, settings, session, ada, bo, program):
    assert program(ada).get("/admin/").status_code == 403
    old = visitor(application, settings, session, ada)
    row = session.exec(select(SignedIn).where(SignedIn.person_id == ada.id)).one()
    row.proved_at = now() - sessions.RECENT * 2
    session.commit()
    answer = old.get("/admin/people/")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/sign-in/again?next=")
    assert old.post(place(bo, "disable")).status_code == 403
    assert fresh(session, bo).disabled_at is None


def test_the_menu_leads_there(admin):
    assert "Look after the house" in page(admin.get("/help/keys"))


# People


def test_people_are_found_by_name_and_address_and_narrowed(admin, session, bo):
    factories.person(session, "Dee Left", disabled_at=now(), signed_in_at=now())
    factories.person(session, "A former colleague", disabled_at=now(), erased_at=now())
    session.commit()
    everybody = page(admin.get("/admin/people/"))
    assert [name in everybody for name in ("Ada Admin", "Bo Chen", "Dee Left")] == [True] * 3
    assert "A former colleague" not in everybody
    assert "A former colleague" in page(admin.get("/admin/people/?state=erased"))
    for asked, found in (
        ("q=bo+CH", ["Bo Chen"]),
        ("q=BO@example", ["Bo Chen"]),
        ("q=%25", []),
        ("q=%00", None),
        ("state=disabled", ["Dee Left"]),
        ("role=admin", None),
        ("role=admin&q=Bo", []),
        ("role=nonsense&q=Bo", ["Bo Chen"]),
    ):
        said = page(admin.get(f"/admin/people/?{asked}"))
        if found is not None:
            assert [name for name in ("Bo Chen", "Dee Left") if name in said] == found, asked
        if found == []:
            assert "Nobody like this" in said
    never = page(admin.get("/admin/people/?state=never"))
    assert "Bo Chen" in never
    assert "Dee Left" not in never


def test_a_row_says_what_an_admin_wants_to_know(admin, session, bo):
    bo.totp_at = bo.signed_in_at = now()
    bo.password_hash = "x"
    session.add(
        Identity(issuer="https://id.example.org", subject="1", person_id=bo.id, provider="firm")
    )
    factories.member(session, factories.community(session), bo)
    session.commit()
    (entry,) = directory.find(session, directory.Wanted(words="Bo Chen")).rows
    assert entry.ways == ("firm", "password", "code")
    assert (entry.role, entry.department, entry.communities) == ("contributor", "Ops", 1)
    assert abs(entry.seen_at - now()) < timedelta(minutes=1)
    said = page(admin.get("/admin/people/?q=Bo"))
    for words in ("bo@example.org", "Ops", "firm, password, code", "1 community", "just now"):
        assert words in said


def test_pages_of_people_hold_each_person_once(admin, session):
    names = [f"Person {number % 7}" for number in range(directory.PAGE + 20)]
    for name in names:
        factories.person(session, name)
    session.commit()
    wanted, seen, after = directory.Wanted(words="Person"), [], ""
    while True:
        found = directory.find(session, wanted, after)
        seen += [entry.ref for entry in found.rows]
        if found.after is None:
            break
        after = found.after
    assert len(seen) == len(set(seen)) == len(names)
    said = page(admin.get("/admin/people/?q=Person"))
    assert f"after={seen[directory.PAGE - 1]}" in said
    last = page(admin.get(f"/admin/people/?q=Person&after={seen[directory.PAGE - 1]}"))
    assert "More people" not in last
    assert directory.find(session, wanted, "no-ref").rows[0].ref == seen[0]


def test_lists_take_as_many_statements_for_many_rows_as_for_few(
    application, admin, session, bo, ada
):
    engine = floor_of(application).database.engine
    asked = ("/admin/people/", "/admin/log/", "/admin/groups", place(bo), "/admin/communities")
    fill(session, bo, range(1))
    few = [statements(engine, lambda at=at: page(admin.get(at))) for at in asked]
    fill(session, bo, range(1, 30))
    many = [statements(engine, lambda at=at: page(admin.get(at))) for at in asked]
    assert many == few
    assert max(many) <= 12


def fill(session, bo, numbers):
    """Add rows to every list: people, communities, memberships, grants, identities, acts."""
    for number in numbers:
        other = factories.person(session, f"Person {number}")
        home = factories.community(session, f"Community {number}")
        factories.member(session, home, bo)
        session.add(GroupGrant(provider="firm", value=str(number), community_id=home.id))
        audit.record(
            session, "joined", actor=str(other.ref), subject_kind="person", subject=str(bo.ref)
        )
        session.add(
            Identity(
                issuer="https://x.example",
                subject=str(number),
                person_id=bo.id,
                provider="firm",
                trouble="Too many groups.",
            )
        )
    session.commit()


def statements(engine, act):
    """Return how many statements an act sends."""
    sent = []

    def keep(*_):
        sent.append(1)

    event.listen(engine, "before_cursor_execute", keep)
    try:
        act()
    finally:
        event.remove(engine, "before_cursor_execute", keep)
    return len(sent)


def test_a_role_is_changed_and_its_sessions_end(application, settings, session, admin, ada, bo):
    theirs = visitor(application, settings, session, bo)
    assert "Bo Chen" in page(admin.get(place(bo)))
    assert admin.post(place(bo, "role"), role="moderator").status_code == 303
    assert fresh(session, bo).role == "moderator"
    assert theirs.get("/account/").status_code == 303
    (row,) = acts(session, "role-changed")
    assert (row.actor, row.subject) == (str(ada.ref), str(bo.ref))
    assert row.facts == {"before": "contributor", "role": "moderator"}
    assert admin.post(place(bo, "role"), role="god").status_code == 422
    assert admin.post(place(bo, "role")).status_code == 422
    assert fresh(session, bo).role == "moderator"


def test_s29_fields_that_no_form_has_change_nothing(admin, session, bo):
    admin.post(place(bo, "role"), role="learner", email="x@example.org", emergency="1", id="1")
    found = fresh(session, bo)
    assert (found.role, found.email, found.emergency) == ("learner", "bo@example.org", False)


def test_nobody_does_it_to_their_own_account_and_the_last_admin_stays(
    application, settings, session, admin, ada, bo
):
    said = page(admin.get(place(ada)))
    assert "Another admin can change its role or close it." in said
    assert "Change the role" not in said
    for act in ("role", "disable", "sign-out", "feeds/end", "tokens/end"):
        refused = page(admin.post(place(ada, act), role="learner"), 409)
        assert "Another admin can do this." in refused
    assert (fresh(session, ada).role, fresh(session, ada).disabled_at) == ("admin", None)
    # Two admins who demote each other: one is refused, whoever comes second.
    assert admin.post(place(bo, "role"), role="admin").status_code == 303
    theirs = visitor(application, settings, session, fresh(session, bo))
    assert theirs.post(place(ada, "role"), role="learner").status_code == 303
    assert admin.post(place(bo, "role"), role="learner").status_code in {303, 404, 401, 403}
    count = select(func.count()).where(col(Person.role) == "admin")
    assert session.exec(count).one() == 1


def test_a_closed_account_is_out_at_once_and_may_come_back(
    application, settings, session, admin, bo
):
    theirs = visitor(application, settings, session, bo)
    assert admin.post(place(bo, "disable")).status_code == 303
    assert theirs.get("/account/").status_code == 303
    assert "This account is closed" in page(admin.get(place(bo)))
    assert admin.post(place(bo, "enable")).status_code == 303
    assert fresh(session, bo).disabled_at is None
    closed, opened = acts(session)[-2:]
    assert (closed.act, opened.act) == ("account-disabled", "account-enabled")
    assert closed.network
    assert opened.network


def test_sessions_feeds_and_tokens_of_somebody_are_ended(
    application, settings, session, admin, ada, bo, program
):
    script = program(bo)
    theirs = visitor(application, settings, session, bo)
    feed = tokens.issue(session, bo.id, channel.view_top(session), secret=settings.secret)
    session.commit()
    said = page(admin.get(place(bo)))
    for words in ("1 open session", "1 feed address", "1 access token"):
        assert words in said
    for act in ("sign-out", "feeds/end", "tokens/end"):
        assert admin.post(place(bo, act)).status_code == 303
        assert admin.post(place(bo, act)).status_code == 303  # once more does no harm
    assert theirs.get("/account/").status_code == 303
    assert script.get("me").status_code in {401, 404}
    session.expire_all()
    assert session.get(FeedToken, feed.id).revoked_at is not None
    assert all(token.revoked_at for token in session.exec(select(AccessToken)))
    told = [(row.act, row.actor, row.facts) for row in acts(session)]
    for act in ("session-ended", "feed-revoked", "token-revoked"):
        assert told.count((act, str(ada.ref), {"count": 1})) == 1


def test_memberships_are_made_changed_and_ended_by_hand(admin, session, ada, bo):
    home = factories.community(session, "Pumps")
    factories.member(session, home, ada, "steward")
    session.commit()
    assert admin.post(place(bo, "communities"), community=home.slug).status_code == 303
    kept = session.get(Membership, (home.id, bo.id))
    assert (kept.role, kept.by_group) == ("member", False)
    assert "Pumps" in page(admin.get(place(bo)))
    answer = admin.post(place(bo, "communities/role"), community=home.slug, role="steward")
    assert answer.status_code == 303
    session.expire_all()
    assert session.get(Membership, (home.id, bo.id)).role == "steward"
    assert admin.post(place(bo, "communities/remove"), community=home.slug).status_code == 303
    session.expire_all()
    assert session.get(Membership, (home.id, bo.id)) is None
    assert admin.post(place(bo, "communities"), community="nowhere").status_code == 404


def test_a_reset_shows_its_link_once_where_no_letter_can_go(admin, session, bo, ada):
    bo.password_hash = "x"
    session.commit()
    said = page(admin.post(place(bo, "reset")))
    (link,) = session.exec(select(PersonalLink)).all()
    secret = said.split("/resets/")[1].split('"')[0]
    assert link.key == links.key_of(secret)
    assert secret not in page(admin.get(place(bo)))
    told = json.dumps([[row.act, row.facts, row.subject] for row in acts(session)])
    assert secret not in told
    assert acts(session, "reset-started")[0].actor == str(ada.ref)


@pytest.mark.parametrize("ref", ["nobody", "00000000-0000-4000-8000-000000000000", "%00", "1"])
def test_somebody_who_is_not_there_is_not_there(admin, session, ref):
    assert admin.get(f"/admin/people/{ref}").status_code == 404
    for act in ("role", "disable", "enable", "sign-out", "reset", "feeds/end", "communities"):
        assert admin.post(f"/admin/people/{ref}/{act}", role="learner").status_code == 404


def test_the_account_of_somebody_erased_cannot_be_changed(admin, session, bo):
    bo.erased_at = bo.disabled_at = now()
    session.commit()
    said = page(admin.get(place(bo)))
    assert "This account was erased." in said
    assert "Change the role" not in said
    assert admin.post(place(bo, "enable")).status_code == 409
    assert admin.post(place(bo, "role"), role="admin").status_code == 409


# Invitations


def test_people_are_invited_and_invitations_taken_back(admin, session):
    home = factories.community(session, "Pumps")
    session.commit()
    said = page(
        admin.post(
            "/admin/invitations/",
            addresses="cy@example.org\ndee@example.org",
            community=home.slug,
            role="learner",
        )
    )
    assert said.count("/invitations/") >= 2
    assert "cy@example.org" in said
    found = session.exec(select(PersonalLink).order_by(col(PersonalLink.email))).all()
    assert [(link.email, link.role, link.community_id) for link in found] == [
        ("cy@example.org", "learner", home.id),
        ("dee@example.org", "learner", home.id),
    ]
    assert len(acts(session, "invited")) == 2
    assert admin.post("/admin/invitations/take-back", invitation=found[0].key).status_code == 303
    listed = page(admin.get("/admin/invitations/"))
    assert "cy@example.org" not in listed
    assert "dee@example.org" in listed
    assert admin.post("/admin/invitations/take-back", invitation="x").status_code == 404


def test_who_has_an_account_is_not_invited_again_and_an_admin_is_told(admin, session, bo):
    home = factories.community(session, "Pumps")
    session.commit()
    said = page(admin.post("/admin/invitations/", addresses=f"{bo.email}\ncy@example.org"))
    assert "bo@example.org has an account here already." in said
    assert said.count('class="address"') == 1
    assert [link.email for link in session.exec(select(PersonalLink))] == ["cy@example.org"]
    answer = admin.post("/admin/invitations/", addresses=bo.email)
    assert answer.status_code == 303
    assert "has an account here already" in page(admin.get(answer.headers["Location"]))
    page(admin.post("/admin/invitations/", addresses=bo.email, community=home.slug))
    listed = page(admin.get("/admin/invitations/"))
    assert "bo@example.org" not in listed
    assert "cy@example.org" in listed


def test_what_cannot_be_invited_is_said_beside_its_field(admin, session):
    said = page(admin.post("/admin/invitations/", addresses="not an address"), 422)
    assert "No e-mail address" in said
    assert "not an address" in said
    assert session.exec(select(func.count()).select_from(PersonalLink)).one() == 0


# Groups


def test_groups_grant_only_what_was_said(with_provider, session, ada):
    application, settings = with_provider
    admin = visitor(application, settings, session, ada)
    home = factories.community(session, "Pumps")
    session.commit()
    told = {"provider": "firm", "value": " Field Service ", "community": home.slug}
    assert admin.post("/admin/groups", **told, member_as="steward").status_code == 303
    grant = session.exec(select(GroupGrant)).one()
    assert (grant.value, grant.community_id, grant.member_as, grant.role) == (
        "Field Service",
        home.id,
        "steward",
        None,
    )
    assert "Field Service" in page(admin.get("/admin/groups"))
    again = page(admin.post("/admin/groups", **told, member_as="steward"), 422)
    assert "This group grants that already." in again
    assert admin.post("/admin/groups", provider="firm", value="x", role="admin").status_code == 303
    assert len(acts(session, "grant-made")) == 2
    assert admin.post("/admin/groups/remove", grant=grant.id).status_code == 303
    assert admin.post("/admin/groups/remove", grant=grant.id).status_code == 404
    (row,) = acts(session, "grant-removed")
    assert row.facts["value"] == "Field Service"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"provider": "other"}, "Choose a provider"),
        ({"value": " "}, "Give the group's value"),
        ({"value": "x" * 256}, "Give the group's value"),
        ({"value": "a\nb"}, "Give the group's value"),
        ({"community": "nowhere"}, "Choose a community from the list."),
        ({"role": ""}, "else nothing is granted"),
        ({"role": "learner"}, "Choose a role from the list."),
        ({"member_as": "owner"}, "Choose member or steward."),
    ],
)
def test_a_grant_that_cannot_be_is_said_beside_its_field(
    with_provider, session, ada, changed, words
):
    application, settings = with_provider
    admin = visitor(application, settings, session, ada)
    told = {"provider": "firm", "value": "x", "role": "contributor"} | changed
    assert words in page(admin.post("/admin/groups", **told), 422)
    assert session.exec(select(func.count()).select_from(GroupGrant)).one() == 0


def test_groups_that_could_not_be_read_are_shown(admin, session, bo):
    words = "The provider sent 1,200 groups."
    session.add(
        Identity(
            issuer="https://id.example.org",
            subject="1",
            person_id=bo.id,
            provider="firm",
            trouble=words,
        )
    )
    session.commit()
    for address in ("/admin/groups", place(bo)):
        assert words in page(admin.get(address))


# Communities


def test_a_community_is_made_and_renamed(admin, session, ada):
    answer = admin.post("/admin/communities", name="Pumps", purpose="Wet", joining="request")
    assert answer.status_code == 303
    made = session.exec(select(Community)).one()
    assert (made.name, made.purpose, made.joining) == ("Pumps", "Wet", "request")
    assert session.get(Membership, (made.id, ada.id)).role == "steward"
    address = f"/admin/communities/{made.slug}"
    assert "Pumps" in page(admin.get(address))
    assert admin.post(address, name="Valves", purpose="", joining="group").status_code == 303
    changed = fresh(session, made)
    assert (changed.name, changed.slug, changed.joining) == ("Valves", made.slug, "group")
    assert "A community needs a name." in page(admin.post(address, name=" "), 422)
    assert "A community needs a name." in page(admin.post("/admin/communities", name=""), 422)
    assert admin.get("/admin/communities/nowhere").status_code == 404


# The log


def test_the_log_is_read_by_act_actor_subject_and_day(admin, session, ada, bo):
    for days, act, actor, subject in (
        (0, "role-changed", ada, bo),
        (3, "joined", bo, bo),
        (9, "left", bo, bo),
    ):
        audit.record(
            session, act, actor=str(actor.ref), subject_kind="person", subject=str(subject.ref)
        )
        session.flush()
        row = session.exec(select(Audit).order_by(col(Audit.id).desc())).first()
        if days:
            session.connection().exec_driver_sql("SET LOCAL session_replication_role = replica")
            row.at = now() - timedelta(days=days)
            session.flush()
    session.commit()

    def found(**wanted):
        session.rollback()
        asked = audit_log.Condition(session, audit_log.Wanted(**wanted))
        return [entry.act for entry in audit_log.entries(session, asked).rows]

    day = f"{now() - timedelta(days=3):%Y-%m-%d}"
    assert found() == ["left", "joined", "role-changed"]
    assert found(act="joined") == ["joined"]
    assert found(actor="ada@example.org") == ["role-changed"]
    assert found(actor=str(bo.ref), subject="BO@example.org") == ["left", "joined"]
    assert found(since=day) == ["joined", "role-changed"]
    assert found(until=day) == ["left", "joined"]
    assert found(since=day, until=day) == ["joined"]
    assert found(actor="x\x00y") == []
    said = page(admin.get("/admin/log/?actor=ada@example.org"))
    assert "role changed" in said
    assert "Bo Chen" in said
    assert "Nobody here has this address." in page(admin.get("/admin/log/?actor=no@where"), 422)
    for wrong in ("yesterday", "2026-13-01", "9999-12-31"):
        status = admin.get(f"/admin/log/?until={wrong}").status_code
        assert status == 422
    assert admin.get("/admin/log/?before=99999999999999999999999").status_code == 200
    assert admin.get("/admin/log/?before=-5&act=nothing").status_code == 200


def test_pages_of_the_log_hold_each_row_once(admin, session, ada):
    for number in range(audit_log.PAGE * 2 + 3):
        audit.record(session, "joined", actor=str(ada.ref), number=number)
    session.commit()
    address, seen = "/admin/log/?act=joined", []
    while address:
        said = page(admin.get(address))
        seen += [int(part.split('"')[0]) for part in said.split('id="row-')[1:]]
        older = said.split('class="more"')[1:]
        address = older[0].split('href="')[1].split('"')[0] if older else ""
    assert len(seen) == audit_log.PAGE * 2 + 3
    assert seen == sorted(set(seen), reverse=True)


def test_the_state_of_the_chain_is_shown(admin, session, settings):
    assert "Nothing is sealed yet" in page(admin.get("/admin/log/"))
    audit.record(session, "joined", actor="x")
    session.commit()
    audit.seal(session, settings.secret)
    session.commit()
    said = page(admin.get("/admin/log/"))
    assert "The newest rows fit the chain." in said
    assert audit.end(session, settings.secret).head in said
    session.connection().exec_driver_sql("SET LOCAL session_replication_role = replica")
    session.connection().exec_driver_sql("UPDATE audit SET actor = 'y' WHERE act = 'joined'")
    session.commit()
    assert "do not fit the chain" in page(admin.get("/admin/log/"))


def test_names_of_erased_people_stand_nowhere_in_the_log(admin, session, bo):
    audit.record(session, "erased", actor=str(bo.ref), subject_kind="person", subject=str(bo.ref))
    bo.erased_at = bo.disabled_at = now()
    session.commit()
    said = page(admin.get("/admin/log/?act=erased"))
    assert str(bo.ref) in said
    assert "Bo Chen" not in said


def test_the_log_speaks_of_things_by_the_names_that_an_admin_may_know(
    admin, settings, session, ada, bo
):
    home = factories.community(session, "Board room")
    inner = factories.show(session, bo, "Secret show", visibility="communities", audience=[home.id])
    shown = factories.episode(session, factories.show(session, bo, "Field notes"), "Two noises")
    kept = factories.episode(session, inner, "Secret papers")
    link = personal_links.make(
        session, settings, "invitation", email="cy@example.org", life=timedelta(1)
    )
    gone = "f0" * 32
    for act, kind, subject, facts in (
        ("visibility-changed", "episode", shown.guid, {"before": None, "after": [home.id]}),
        ("review-asked", "episode", kept.guid, {"person": str(bo.ref)}),
        ("visibility-changed", "show", inner.guid, {"communities": [home.id]}),
        ("invited", "invitation", link.row.key, {"community": home.slug, "role": "learner"}),
        ("account-made", "person", bo.ref, {"invitation": gone}),
        ("invitation-taken-back", "invitation", gone, {}),
        ("token-made", "token", 1, {}),
        ("community-changed", "community", home.slug, {}),
    ):
        audit.record(
            session, act, actor=str(ada.ref), subject_kind=kind, subject=str(subject), **facts
        )
    session.commit()
    said = page(admin.get(f"/admin/log/?actor={ada.email}"))
    texts = re.sub(r"<[^>]*>", " ", said)
    for words in (
        "talk “Two noises”",
        "a talk",
        "a show",
        "invitation of cy@example.org",
        "an invitation",
        "an access token",
        "community Board room",
        "f0f0f0f0f0f0…",
    ):
        assert words in texts, words
    facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", said))
    assert facts["before"] == "whoever may see its show"
    assert facts["after"] == facts["communities"] == facts["community"] == "Board room"
    assert facts["person"] == "Bo Chen"
    assert "Secret" not in said
    assert str(shown.guid) not in texts
    assert gone not in texts
    assert said.index("<dt>before</dt>") < said.index("<dt>after</dt>")


def rows_of(answer):
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["Content-Disposition"]
    text = answer.get_data().decode()
    assert text.endswith("\r\n")
    return list(csv.reader(io.StringIO(text, newline="")))


def test_s15_csv_of_the_log_is_whole_and_holds_no_formula(admin, session, ada):
    evil = ["=1+1", "+1", "-1", "@x", "\tx", '"=x', "a,b", 'c"d', "Ω"]
    names = [
        factories.person(session, name, email=f"n{n}@example.org") for n, name in enumerate(evil)
    ]
    for person in names:
        audit.record(
            session,
            "joined",
            actor=str(person.ref),
            subject_kind="community",
            subject=person.name,
            community=person.name,
        )
    session.commit()
    head, *rows = rows_of(admin.post("/admin/log/download", act="joined"))
    assert tuple(head) == audit_log.COLUMNS
    assert len(rows) == len(evil)
    for row, name in zip(rows, reversed(evil), strict=True):
        told = dict(zip(head, row, strict=True))
        assert [cell for cell in row if cell.startswith(spreadsheet.FORMULA)] == []
        assert told["actor name"].removeprefix("'") == name
        assert told["subject"].removeprefix("'") == name
        assert json.loads(told["facts"]) == {"community": name}
    (written,) = acts(session, "audit-downloaded")
    assert (written.actor, written.facts) == (str(ada.ref), {"of_act": "joined"})


def test_a_long_log_is_downloaded_in_pieces(admin, session, monkeypatch):
    monkeypatch.setattr(audit_log, "BATCH", 7)
    for _ in range(30):
        audit.record(session, "joined", actor="x")
    session.commit()
    rows = rows_of(admin.post("/admin/log/download", act="joined"))[1:]
    assert len({row[0] for row in rows}) == len(rows) == 30
    assert admin.post("/admin/log/download", actor="no@where").status_code == 422


@given(st.text(max_size=30) | st.integers() | st.none() | st.floats(allow_nan=False))
def test_s15_csv_cells_are_never_formulas_and_always_read_back(value):
    text = spreadsheet.lines([["head", value, "tail"]])
    ((first, cell, last),) = csv.reader(io.StringIO(text, newline=""))
    assert (first, last) == ("head", "tail")
    if isinstance(value, str):
        assert not cell.startswith(spreadsheet.FORMULA)
        assert all(c.isprintable() or c in "\t\r\n" for c in cell)


def test_s70_what_people_do_stands_in_the_log_without_their_secrets(
    application, settings, session, admin, bo
):
    bo.password_hash = passwords.hashed(PASSWORD)
    talk = factories.episode(session, factories.show(session, bo))
    home = factories.community(session)
    session.commit()
    browser, canaries = Visitor(application, settings), [PASSWORD, "not this one, surely"]
    assert browser.post("/sign-in", email=bo.email, password=canaries[1]).status_code == 422
    assert browser.sign_in(bo).status_code == 303
    canaries += [browser.cookie().value, browser.csrf]
    made = page(browser.post("/account/tokens/", label="mine", scopes="read", days="30"))
    canaries.append(re.search(r'value="(dare_[^"]+)"', made)[1])
    assert browser.post("/account/tokens/revoke", token=1).status_code == 303
    assert browser.post("/feeds/", view="top", label="my phone").status_code == 303
    feed = session.exec(select(FeedToken)).one()
    canaries += [tokens.spelled(settings.secret, feed), "my phone", bo.email, "Bo Chen"]
    assert browser.post("/feeds/revoke", token=feed.id).status_code == 303
    assert browser.post(f"/studio/{talk.guid}/withdraw").status_code == 303
    assert browser.post(f"/studio/{talk.guid}/restore").status_code == 303
    assert browser.post(f"/communities/{home.slug}/join").status_code == 303
    assert browser.post(f"/communities/{home.slug}/leave").status_code == 303
    assert admin.post(place(bo, "role"), role="learner").status_code == 303
    again = Visitor(application, settings)
    assert again.sign_in(bo).status_code == 303
    assert again.post("/sign-out").status_code == 303
    rows = acts(session)
    wanted = (
        "sign-in-failed signed-in token-made feed-made feed-revoked withdrawn restored joined left"
        " role-changed signed-in signed-out"
    )
    told = iter([row.act for row in rows])
    assert [act for act in wanted.split() if act not in told] == []
    whole = " ".join(row.model_dump_json() for row in rows)
    assert [canary for canary in canaries if canary in whole] == []
    assert {row.act for row in rows} <= set(audit.ACTS)
    assert all(row.network for row in rows)


# Overview and settings


def test_the_overview_counts_what_there_is(admin, session, bo):
    factories.episode(session, factories.show(session, bo))
    factories.community(session)
    session.commit()
    said = " ".join(page(admin.get("/admin/")).split())
    for words in ("<strong>2</strong> people", "<strong>1</strong> community"):
        assert words in said
    assert "<strong>1</strong> talk" in said
    assert "No mail server is set" in said
    assert "Nothing is prepared, sent or sealed until one runs" in said


def test_s72_settings_are_shown_with_their_source_and_without_secrets(admin, settings):
    said = page(admin.get("/admin/settings"))
    assert "DARE_ORGANISATION" in said
    assert "engines.json" in said
    assert "secrets.json" in said
    secrets = json.loads((settings.data / "secrets.json").read_text())
    password = settings.database_url.get_secret_value().split("@")[0].rsplit(":", 1)[-1]
    assert [name for name, secret in secrets.items() if secret in said] == []
    assert password not in said
    assert "••••" in said
    assert f"<dt><code>DARE_BASE_URL</code></dt><dd><code>{settings.origin}</code>" in said


def test_a_provider_is_asked_only_by_the_button_and_its_silence_is_told(
    with_provider, session, ada
):
    application, settings = with_provider
    admin = visitor(application, settings, session, ada)
    said = page(admin.get("/admin/settings"))
    assert "https://id.example.org" in said
    assert "Ask it now" in said
    asked = page(admin.post("/admin/settings/providers", provider="firm"))
    assert "Our firm does not answer just now." in asked
    assert admin.post("/admin/settings/providers", provider="other").status_code == 422
