"""Invitations and new passwords: from the form through a real mail server to the account."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from time import sleep

import pytest
from axe_playwright_python.sync_playwright import Axe
from sqlalchemy import event
from sqlmodel import select
from werkzeug.serving import make_server

from service import communities, invitations, personal_links, resets
from service.access import asker_of
from service.app import create_app, floor_of
from service.identity import askers, passwords, sessions, tokens
from service.identity.passwords import hashed, matches
from service.limits import TooFastError
from service.publishing import NotNowError, NotThereError, PublishingError
from storage.models import (
    AccessToken,
    Audit,
    Mail,
    Membership,
    Notice,
    Person,
    PersonalLink,
    Session,
    now,
)
from tests import chromium, factories
from tests.smtp_sink import Sink
from tests.web.visitors import PASSWORD, SECRET, Visitor, visitor
from workers import post

LINK = re.compile(r"http://127\.0\.0\.1:\d+(/(?:invitations|resets)/[\w-]{43})\s")
DEAD = "This link was used, taken back, or is too old."
NEW = "an even longer walk in the rain"


@pytest.fixture(scope="module")
def sink():
    with Sink() as started:
        yield started


@pytest.fixture(scope="module")
def there(house, sink):
    """The settings of a house that can send letters."""
    return sink.known_to(house)


@pytest.fixture(scope="module")
def posting(there):
    """The application of a house that can send letters."""
    made = create_app(there)
    yield made
    floor_of(made).database.close()


class Mailbox:
    """Sends what is due and reads what came."""

    def __init__(self, application, sink):
        self.floor, self.sink = floor_of(application), sink
        sink.given.clear()

    def deliver(self):
        return post.send_due(self.floor, threading.Event())

    def letters(self):
        """Return (address, subject, text) of everything delivered by now."""
        self.deliver()
        return [
            (to, message["Subject"], message.get_content().replace("\r\n", "\n"))
            for _, (to,), message in self.sink.given
        ]

    def link(self, address):
        """Return the path of the link in the newest letter to somebody."""
        texts = [text for to, _, text in self.letters() if to == address]
        return LINK.search(texts[-1])[1]


@pytest.fixture
def mailbox(posting, sink, session):
    return Mailbox(posting, sink)


@pytest.fixture
def guest(posting, there):
    """Somebody's browser, not signed in."""
    return Visitor(posting, there)


@pytest.fixture
def admin(session):
    return factories.person(session, "Ada Boss", role="admin")


def known(session, name="Ana Lima", **values):
    """Add somebody with a password."""
    return factories.person(session, name, **{"password_hash": hashed(PASSWORD)} | values)


def as_asker(session, person):
    return askers.as_asker(session, person)


def invite(session, there, by, *addresses, **values):
    made = invitations.invite(session, there, as_asker(session, by), "\n".join(addresses), **values)
    session.commit()
    return made


def submit(browser, path, **fields):
    """Fill in the form of a page that has one, as its own page does."""
    secret = SECRET.search(browser.get(path).get_data(as_text=True))[1]
    sent = {"csrf_token": secret} | fields
    return browser.ask("POST", path, data=sent, headers=browser.ours)


def acts(session):
    return list(session.exec(select(Audit.act).order_by(Audit.id)))


@contextmanager
def statements(application):
    """Note every statement that the application sends."""
    noted = []

    def note(_connection, _cursor, statement, *_rest):
        noted.append(" ".join(statement.split()[:3]))

    engine = floor_of(application).database.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield noted
    finally:
        event.remove(engine, "before_cursor_execute", note)


# Invited, from the letter to the account


def test_an_invited_colleague_gets_a_letter_and_has_an_account_after_its_link(
    session, there, admin, guest, mailbox
):
    place = factories.community(session, "Out on site")
    assert invite(
        session, there, admin, "New@Example.org", community=place.slug, role="learner"
    ) == [invitations.Invited("new@example.org", "")]
    ((to, subject, text),) = mailbox.letters()
    assert (to, subject) == ("new@example.org", "Ada Boss invites you to Our house")
    assert "“Out on site”" in text
    path = mailbox.link(to)

    page = guest.get(path)
    assert page.status_code == 200
    assert "Ada Boss invites you" in page.get_data(as_text=True)
    answer = submit(guest, path, name="New Person", password=NEW)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert guest.get("/account/").status_code == 200

    person = session.exec(select(Person).where(Person.email == "new@example.org")).one()
    assert (person.name, person.role) == ("New Person", "learner")
    assert matches(person.password_hash, NEW)
    assert session.exec(select(Session.method)).one() == "invitation"
    belongs = session.exec(select(Membership)).one()
    assert (belongs.person_id, belongs.community_id, belongs.role) == (
        person.id,
        place.id,
        "member",
    )
    told = session.exec(select(Notice).where(Notice.person_id == admin.id)).one()
    assert told.words == "New Person accepted your invitation."
    assert told.path == f"/people/{person.ref}"
    assert acts(session) == ["invited", "account-made", "joined", "signed-in"]
    assert "example.org" not in str(session.exec(select(Audit.facts)).all())


def test_an_invitation_works_once(session, there, admin, guest, posting, mailbox):
    invite(session, there, admin, "new@example.org")
    path = mailbox.link("new@example.org")
    assert submit(guest, path, name="New Person", password=NEW).status_code == 303
    other = Visitor(posting, there)
    late = other.get(path)
    assert late.status_code == 404
    assert DEAD in late.get_data(as_text=True)
    sent = other.post(path, name="Second", password=NEW)
    assert sent.status_code == 404
    assert len(session.exec(select(Person)).all()) == 2


def test_two_who_open_the_same_invitation_at_once_make_one_account(
    session, there, admin, posting, mailbox
):
    invite(session, there, admin, "new@example.org")
    secret = mailbox.link("new@example.org").rsplit("/", 1)[1]
    said, gate = [], threading.Barrier(4)

    def accept(number):
        gate.wait()
        try:
            with floor_of(posting).database.begin() as own:
                invitations.accept_anew(own, secret, name=f"N {number}", stored="a hash")
            said.append("in")
        except (NotThereError, NotNowError) as error:
            said.append(type(error).__name__)

    threads = [threading.Thread(target=accept, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["NotThereError"] * 3 + ["in"]
    assert len(session.exec(select(Person).where(Person.role != "admin")).all()) == 1


def test_no_connection_is_held_while_somebodys_password_is_hashed(
    session, there, admin, posting, guest, mailbox, monkeypatch
):
    invite(session, there, admin, "new@example.org")
    path = mailbox.link("new@example.org")
    held, pool, real = [], floor_of(posting).database.engine.pool, passwords._hash

    def seen(password):
        held.append(pool.checkedout())
        return real(password)

    monkeypatch.setattr(passwords, "_hash", seen)
    assert submit(guest, path, name="New", password=NEW).status_code == 303
    assert held == [0]


def test_a_link_scanner_changes_nothing(session, there, admin, guest, mailbox):
    invite(session, there, admin, "new@example.org")
    path = mailbox.link("new@example.org")
    for method in ("GET", "HEAD", "GET"):
        assert guest.ask(method, path).status_code == 200
    assert session.exec(select(PersonalLink.used_at)).one() is None
    assert submit(guest, path, name="New Person", password=NEW).status_code == 303


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "New Person", "password": "short"}, "at least 12"),
        ({"name": "", "password": NEW}, "A name is needed"),
    ],
)
def test_what_cannot_be_is_said_and_the_link_still_works(
    session, there, admin, guest, mailbox, fields, words
):
    invite(session, there, admin, "new@example.org")
    path = mailbox.link("new@example.org")
    answer = submit(guest, path, **fields)
    assert answer.status_code == 422
    page = answer.get_data(as_text=True)
    assert words in page
    assert f'value="{fields["password"]}"' not in page
    assert submit(guest, path, name="New Person", password=NEW).status_code == 303


def test_an_address_with_an_account_belongs_at_once_and_the_inviter_learns_nothing(
    session, there, admin, mailbox
):
    place = factories.community(session, "Out on site")
    bo = known(session, "Bo Chen", role="learner")
    made = invite(
        session, there, admin, bo.email, "new@example.org", community=place.slug, role="moderator"
    )
    assert [entry.link for entry in made] == ["", ""]
    assert session.exec(select(Membership.person_id)).one() == bo.id
    session.refresh(bo)
    assert bo.role == "learner"
    assert session.exec(select(Notice.person_id)).one() == bo.id
    sent = {to: subject for to, subject, _ in mailbox.letters()}
    assert sent == {
        bo.email: "You now belong to Out on site",
        "new@example.org": "Ada Boss invites you to Our house",
    }


def test_a_closed_account_is_not_let_in_by_an_invitation(session, there, admin, mailbox):
    place = factories.community(session)
    gone = known(session, "Bo Chen", disabled_at=now())
    invite(session, there, admin, gone.email, community=place.slug)
    assert session.exec(select(Membership)).all() == []
    assert mailbox.letters() == []


def test_without_a_mail_server_the_link_is_handed_over_for_every_address_alike(
    session, settings, application, admin
):
    place = factories.community(session, "Out on site")
    bo = known(session, "Bo Chen")
    made = invite(session, settings, admin, bo.email, "new@example.org", community=place.slug)
    assert all(entry.link.startswith(f"{settings.origin}/invitations/") for entry in made)
    assert session.exec(select(Mail)).all() == []
    page = Visitor(application, settings).get(made[0].link.removeprefix(settings.origin))
    assert "has an account here already" in page.get_data(as_text=True)
    fresh = Visitor(application, settings)
    path = made[1].link.removeprefix(settings.origin)
    assert submit(fresh, path, name="New Person", password=NEW).status_code == 303


def test_who_is_signed_in_joins_as_themself(session, there, admin, posting, mailbox):
    place = factories.community(session, "Out on site")
    invite(session, there, admin, "bo@example.org", community=place.slug, role="moderator")
    path = mailbox.link("bo@example.org")
    bo = factories.person(session, "Bo Chen", email="bo@example.org")
    browser = visitor(posting, there, session, bo)
    assert "You are signed in as Bo Chen." in browser.get(path).get_data(as_text=True)
    answer = submit(browser, path)
    assert answer.headers["Location"].endswith(f"/communities/{place.slug}")
    assert session.exec(select(Membership.person_id)).one() == bo.id
    session.refresh(bo)
    assert bo.role == "contributor"
    assert browser.get(path).status_code == 404
    (joined,) = session.exec(select(Audit).where(Audit.act == "joined")).all()
    link = session.exec(select(PersonalLink)).one()
    assert (joined.actor, joined.subject) == (str(bo.ref), str(bo.ref))
    assert joined.facts["invitation"] == link.key


def test_s25_an_invitation_opens_nothing_to_others_who_come_to_know_its_link(
    session, there, admin, posting, guest, mailbox
):
    place = factories.community(session, "Board", joining="group")
    invite(session, there, admin, "new@example.org", community=place.slug)
    path = mailbox.link("new@example.org")
    mallory = factories.person(session, "Mallory")
    browser = visitor(posting, there, session, mallory)
    page = browser.get(path).get_data(as_text=True)
    assert "was sent to another address" in page
    assert "Join Board" not in page
    refused = submit(browser, path)
    assert refused.status_code == 409
    assert "was sent to another address" in refused.get_data(as_text=True)
    session.rollback()
    assert session.exec(select(Membership)).all() == []
    assert "joined" not in acts(session)
    # It still works for whom it was meant, and the log names who came.
    assert submit(guest, path, name="New Person", password=NEW).status_code == 303
    session.rollback()
    new = session.exec(select(Person).where(Person.email == "new@example.org")).one()
    (joined,) = session.exec(select(Audit).where(Audit.act == "joined")).all()
    assert (joined.actor, joined.subject) == (str(new.ref), str(new.ref))
    assert session.exec(select(Membership.person_id)).all() == [new.id]


@pytest.mark.parametrize("lists", [(("x", "y"), ("y", "x")), (("x", "y"), ("y",))])
def test_two_who_invite_the_same_people_at_once_do_not_stop_each_other(
    session, settings, application, admin, monkeypatch, lists
):
    """Each has made one invitation when the other begins, in whatever order they typed them."""
    place = factories.community(session, "Out on site")
    known(session, "Xi", email="x@example.org")
    known(session, "Yo", email="y@example.org")
    into = {"community": place.slug if len(lists[1]) == 1 else ""}
    invite(session, settings, admin, "x@example.org", "y@example.org", **into)
    both = [as_asker(session, admin), as_asker(session, factories.person(session, role="admin"))]
    session.commit()
    begun, waited = threading.Barrier(2), threading.local()
    make = personal_links.make

    def made_together(*args, **values):
        link = make(*args, **values)
        if not hasattr(waited, "once"):
            waited.once = True
            with suppress(threading.BrokenBarrierError):
                begun.wait(0.5)
            if values["made_by"] == both[1].id:
                sleep(0.2)
        return link

    monkeypatch.setattr(personal_links, "make", made_together)

    def invites(asker, names):
        addresses = "\n".join(f"{name}@example.org" for name in names)
        with floor_of(application).database.begin() as own:
            return len(invitations.invite(own, settings, asker, addresses, **into))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(invites, both, lists)) == [len(names) for names in lists]


def test_who_has_an_account_by_now_joins_and_is_sent_to_the_door(
    session, there, admin, guest, mailbox
):
    place = factories.community(session, "Out on site")
    invite(session, there, admin, "bo@example.org", community=place.slug)
    path = mailbox.link("bo@example.org")
    bo = known(session, "Bo Chen", email="bo@example.org")
    session.commit()
    answer = submit(guest, path, name="Somebody else", password=NEW)
    assert answer.headers["Location"] == "/sign-in"
    assert session.exec(select(Membership.person_id)).one() == bo.id
    session.refresh(bo)
    assert (bo.name, matches(bo.password_hash, PASSWORD)) == ("Bo Chen", True)


def test_where_passwords_are_switched_off_an_invitation_makes_none(
    session, there, admin, sink, mailbox
):
    invite(session, there, admin, "new@example.org")
    secret = mailbox.link("new@example.org").rsplit("/", 1)[1]
    closed = there.model_copy(update={"local_sign_in": False})
    opened = invitations.find(session, secret)
    with pytest.raises(NotNowError, match="sign-in provider"):
        invitations.first_password(closed, opened, name="New", password=NEW)


# Who may invite


def test_s25_stewards_invite_into_their_own_community_and_to_no_power(session, there, admin):
    mine, other = factories.community(session, "Mine"), factories.community(session, "Other")
    steward, member = factories.person(session, "Stew"), factories.person(session, "Mem")
    factories.member(session, mine, steward, "steward")
    factories.member(session, mine, member)
    moderator = factories.person(session, "Mod", role="moderator")
    assert invite(session, there, steward, "a@example.org", community=mine.slug)
    assert invite(session, there, moderator, "b@example.org", community=other.slug)
    assert invite(session, there, admin, "c@example.org", role="admin")
    for by, told in (
        (steward, {"community": other.slug}),
        (steward, {}),
        (steward, {"community": mine.slug, "role": "moderator"}),
        (member, {"community": mine.slug}),
        (moderator, {}),
        (moderator, {"community": other.slug, "role": "admin"}),
        (admin, {"community": "nowhere"}),
    ):
        with pytest.raises(NotThereError):
            invite(session, there, by, "d@example.org", **told)
    with pytest.raises(PublishingError):
        invite(session, there, admin, "d@example.org", role="emperor")
    assert len(session.exec(select(PersonalLink)).all()) == 3


@pytest.mark.parametrize("lost", ["disabled", "demoted"])
def test_an_invitation_dies_with_the_right_to_invite(session, there, admin, guest, mailbox, lost):
    invite(session, there, admin, "new@example.org", role="admin")
    path = mailbox.link("new@example.org")
    if lost == "disabled":
        admin.disabled_at = now()
    else:
        admin.role = "contributor"
    session.commit()
    assert guest.get(path).status_code == 404
    assert guest.post(path, name="New", password=NEW).status_code == 404


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (" \n,; ", "at least one"),
        ("\n".join(f"a{n}@example.org" for n in range(51)), "51 addresses; 50"),
        ("a@example.org\nnobody\nb@@example.org", "“nobody”, “b@@example.org”"),
    ],
)
def test_addresses_that_cannot_be_are_named_and_nobody_is_invited(
    session, there, admin, text, words
):
    with pytest.raises(PublishingError, match=words):
        invite(session, there, admin, text)
    session.rollback()
    assert session.exec(select(PersonalLink)).all() == []


def test_addresses_are_read_one_a_line_or_between_commas_each_once():
    text = "A@example.org, b@example.org;\r\n a@EXAMPLE.org \n\nc@example.org"
    assert invitations.addresses_of(text) == ["a@example.org", "b@example.org", "c@example.org"]


def test_a_newer_invitation_and_taking_back_end_the_older(session, there, admin, guest, mailbox):
    invite(session, there, admin, "new@example.org")
    first = mailbox.link("new@example.org")
    invite(session, there, admin, "new@example.org")
    second = mailbox.link("new@example.org")
    assert guest.get(first).status_code == 404
    assert guest.get(second).status_code == 200
    (open_one,) = invitations.waiting(session)
    assert (open_one.address, open_one.inviter) == ("new@example.org", "Ada Boss")
    stranger = factories.person(session)
    with pytest.raises(NotThereError):
        invitations.take_back(session, as_asker(session, stranger), open_one.key)
    invitations.take_back(session, as_asker(session, admin), open_one.key)
    session.commit()
    assert guest.get(second).status_code == 404
    assert invitations.waiting(session) == []
    assert guest.get(f"/invitations/{open_one.key}").status_code == 404


def test_an_invitation_lives_for_a_week(session, there, admin, guest, mailbox):
    invite(session, there, admin, "new@example.org")
    path = mailbox.link("new@example.org")
    link = session.exec(select(PersonalLink)).one()
    assert abs(link.expires_at - now() - timedelta(days=7)) < timedelta(minutes=1)
    link.expires_at = now() - timedelta(seconds=1)
    session.commit()
    assert guest.get(path).status_code == 404


# A new password


def forgotten(browser, email):
    return submit(browser, "/forgotten", email=email)


def test_s36_reset_from_the_form_to_the_new_password(session, there, guest, posting, mailbox):
    ana = known(session)
    secret = sessions.start(session, ana, "an old browser")
    _, token = tokens.issue(session, ana.id, "a script")
    session.commit()
    assert forgotten(guest, ana.email.upper()).status_code == 200
    path = mailbox.link(ana.email)
    old = Visitor(posting, there, secret)
    assert old.get("/account/").status_code == 200

    page = guest.get(path).get_data(as_text=True)
    assert ana.email in page
    answer = submit(guest, path, password=NEW)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    session.refresh(ana)
    assert matches(ana.password_hash, NEW)
    assert not matches(ana.password_hash, PASSWORD)
    # S32: sessions are dead at once; tokens are secrets of their own.
    assert old.get("/account/").status_code == 303
    assert guest.get("/account/").status_code == 303  # a reset is no sign-in: the code still counts
    assert tokens.find(session, token) is not None
    assert session.exec(select(AccessToken.revoked_at)).one() is None
    assert guest.sign_in(ana, NEW).status_code == 303
    assert guest.get("/account/").status_code == 200

    told = session.exec(select(Notice).where(Notice.person_id == ana.id)).one()
    assert told.words.startswith("Your password was changed")
    assert [subject for _, subject, _ in mailbox.letters()] == [
        "A new password for Our house",
        "Your password was changed",
    ]
    assert {"reset-asked", "password-changed"} <= set(acts(session))
    changed = session.exec(select(Audit).where(Audit.act == "password-changed")).one()
    assert changed.network


def test_s36_reset_looks_and_works_the_same_for_unknown_addresses(
    session, there, posting, guest, mailbox
):
    ana = known(session)
    shut = known(session, "Shut", disabled_at=now())
    provider = factories.person(session, "Pro")
    session.commit()
    seen = []
    for email in (ana.email, "nobody@example.org", shut.email, provider.email):
        assert guest.csrf
        with statements(posting) as noted:
            answer = guest.post("/forgotten", email=email)
        text = SECRET.sub("", answer.get_data(as_text=True))
        nonceless = re.sub(r'nonce="[^"]+"', "", text)
        # The same statements, but for the word that ends the attempt.
        kinds = [kind.split()[0] for kind in noted if not kind.startswith("ROLLBACK")]
        seen.append((answer.status_code, nonceless, [k for k in kinds if k != "RELEASE"]))
    assert seen[0] == seen[1] == seen[2] == seen[3]
    assert [kind for kind in seen[0][2] if kind == "INSERT"]
    assert [to for to, _, _ in mailbox.letters()] == [ana.email]
    assert len(session.exec(select(PersonalLink)).all()) == 1
    assert "nobody" not in str(session.exec(select(Audit)).all())


def test_s36_reset_letters_are_three_an_hour_for_each_account(session, there, guest, mailbox):
    ana = known(session)
    session.commit()
    for email in (ana.email, "nobody@example.org"):
        codes = [guest.post("/forgotten", email=email).status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]
    late = guest.post("/forgotten", email=f" {ana.email.upper()} ")
    assert late.status_code == 429
    assert int(late.headers["Retry-After"]) > 3000
    assert mailbox.deliver() == 1  # the older two were overtaken


def test_s36_reset_links_work_once_for_half_an_hour_and_the_newest_alone(
    session, there, guest, mailbox
):
    ana = known(session)
    session.commit()
    guest.post("/forgotten", email=ana.email)
    first = mailbox.link(ana.email)
    guest.post("/forgotten", email=ana.email)
    second = mailbox.link(ana.email)
    assert guest.get(first).status_code == 404
    link = session.exec(select(PersonalLink).order_by(PersonalLink.created_at.desc())).first()
    assert abs(link.expires_at - now() - timedelta(minutes=30)) < timedelta(minutes=1)
    assert submit(guest, second, password=NEW).status_code == 303
    assert guest.get(second).status_code == 404
    assert guest.post(second, password=PASSWORD).status_code == 404
    session.refresh(ana)
    assert matches(ana.password_hash, NEW)


def test_a_reset_used_twice_at_once_counts_once(session, there, posting, guest, mailbox):
    ana = known(session)
    session.commit()
    guest.post("/forgotten", email=ana.email)
    secret = mailbox.link(ana.email).rsplit("/", 1)[1]
    done, gate = [], threading.Barrier(4)

    def finish(number):
        gate.wait()
        with floor_of(posting).database.begin() as own:
            done.append(resets.finish(own, there, secret, f"hash {number}"))

    threads = [threading.Thread(target=finish, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([person for person in done if person is not None]) == 1
    assert acts(session).count("password-changed") == 1


def test_a_weak_new_password_is_refused_in_words_and_the_link_still_works(
    session, there, guest, mailbox
):
    ana = known(session)
    session.commit()
    guest.post("/forgotten", email=ana.email)
    path = mailbox.link(ana.email)
    answer = submit(guest, path, password="short")
    assert answer.status_code == 422
    assert "at least 12 characters" in answer.get_data(as_text=True)
    assert submit(guest, path, password=NEW).status_code == 303


def test_a_reset_dies_when_the_password_is_changed_by_hand(session, there, posting, guest, mailbox):
    ana = known(session)
    session.commit()
    guest.post("/forgotten", email=ana.email)
    path = mailbox.link(ana.email)
    browser = visitor(posting, there, session, ana)
    assert submit(browser, "/account/password", old=PASSWORD, new=NEW).status_code == 303
    assert guest.get(path).status_code == 404
    assert mailbox.letters()[-1][1] == "Your password was changed"


def test_a_reset_dies_when_the_account_is_closed(session, there, guest, mailbox):
    ana = known(session)
    session.commit()
    guest.post("/forgotten", email=ana.email)
    path = mailbox.link(ana.email)
    ana.disabled_at = now()
    session.commit()
    assert guest.get(path).status_code == 404
    assert guest.post(path, password=NEW).status_code == 404


def test_no_address_is_said_in_words(guest):
    answer = guest.post("/forgotten", email="not an address")
    assert answer.status_code == 422
    assert "is no e-mail address" in answer.get_data(as_text=True)


def test_without_letters_the_form_says_whom_to_ask(application, settings, session):
    ana = known(session)
    session.commit()
    guest = Visitor(application, settings)
    page = guest.get("/forgotten")
    assert "sends no letters" in page.get_data(as_text=True)
    assert "sends no letters" in guest.post("/forgotten", email=ana.email).get_data(as_text=True)
    assert session.exec(select(PersonalLink)).all() == []


# Started by an admin


def test_an_admin_starts_a_reset_and_never_sees_its_link(session, there, admin, guest, mailbox):
    ana = known(session)
    by = as_asker(session, admin)
    assert resets.start(session, there, ana, by) == ""
    session.commit()
    assert submit(guest, mailbox.link(ana.email), password=NEW).status_code == 303
    started = session.exec(select(Audit).where(Audit.act == "reset-started")).one()
    assert (started.actor, started.subject) == (str(admin.ref), str(ana.ref))


def test_without_a_mail_server_an_admin_is_shown_the_link_to_hand_over(
    session, settings, application, admin
):
    ana = known(session)
    shown = resets.start(session, settings, ana, as_asker(session, admin))
    session.commit()
    assert shown.startswith(f"{settings.origin}/resets/")
    browser = Visitor(application, settings)
    path = shown.removeprefix(settings.origin)
    assert submit(browser, path, password=NEW).status_code == 303


def test_accounts_without_a_password_of_this_house_get_no_reset(session, there, admin):
    by = as_asker(session, admin)
    provider = factories.person(session, "Pro")
    shut = known(session, "Shut", disabled_at=now())
    ana = known(session)
    closed = there.model_copy(update={"local_sign_in": False})
    for settings, person in ((there, provider), (there, shut), (closed, ana)):
        with pytest.raises(NotNowError):
            resets.start(session, settings, person, by)
    for _ in range(3):
        resets.start(session, there, ana, by)
    with pytest.raises(TooFastError):
        resets.start(session, there, ana, by)


# What the pages themselves give away


def test_pages_of_links_tell_no_other_page_their_address(session, there, admin, guest, mailbox):
    ana = known(session)
    invite(session, there, admin, "new@example.org")
    guest.post("/forgotten", email=ana.email)
    for path in (mailbox.link("new@example.org"), mailbox.link(ana.email), "/resets/none"):
        page = guest.get(path)
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert "no-cache" in page.headers["Cache-Control"] or page.status_code == 404
        if page.status_code == 200:
            html = page.get_data(as_text=True)
            assert '<meta name="referrer" content="no-referrer">' in html
            # It stands in the form's own action and nowhere else.
            assert html.count(path.rsplit("/", 1)[1]) == 1
    assert guest.get("/forgotten").headers["Referrer-Policy"] == "same-origin"


def test_s34_forms_of_no_referrer_pages_pass_by_what_the_browser_says_of_its_site(
    session, there, admin, guest, mailbox
):
    """Such a page's own forms say `Origin: null`; so does a page that hides where it is from."""
    invite(session, there, admin, "new@example.org")
    path = mailbox.link("new@example.org")
    sent = {"csrf_token": guest.csrf, "name": "New Person", "password": NEW}
    for headers in (
        {"Origin": "null"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null", "Sec-Fetch-Site": "same-site"},
    ):
        assert guest.ask("POST", path, data=sent, headers=headers).status_code == 403
    headers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    assert guest.ask("POST", path, data=sent, headers=headers).status_code == 303


def test_a_link_of_one_kind_opens_nothing_of_the_other(session, there, admin, guest, mailbox):
    ana = known(session)
    invite(session, there, admin, "new@example.org")
    guest.post("/forgotten", email=ana.email)
    invitation, reset = mailbox.link("new@example.org"), mailbox.link(ana.email)
    assert guest.get(invitation.replace("invitations", "resets")).status_code == 404
    assert guest.get(reset.replace("resets", "invitations")).status_code == 404


def test_invitations_go_through_communities_so_that_a_member_stays_what_they_are(
    session, there, admin
):
    place = factories.community(session)
    bo = known(session, "Bo Chen")
    factories.member(session, place, bo, "steward")
    invite(session, there, admin, bo.email, community=place.slug)
    assert communities.MEMBER_ROLES[1] == session.exec(select(Membership.role)).one()
    assert asker_of(bo).role == "contributor"


# In a real browser, which decides by itself what it says of such a page's forms


@pytest.fixture
def page(posting, there, playwright):
    """A page of a real Chromium, and the application answering at its own origin."""
    server = make_server("127.0.0.1", there.port, posting, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with chromium.opened(playwright) as browser:
            yield browser.new_page(viewport={"width": 320, "height": 700})
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def look(page):
    """Return the barriers on a page, and whether it is wider than a small screen."""
    found = Axe().run(page, options=chromium.AXE).response["violations"]
    wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return [one["id"] for one in found], wide


@pytest.mark.browser
def test_links_are_followed_in_a_browser_from_letter_to_door_and_back_in(
    session, there, admin, mailbox, page
):
    place = factories.community(session, "Out on site")
    invite(session, there, admin, "new@example.org", community=place.slug)
    page.goto(there.origin + mailbox.link("new@example.org"))
    assert look(page) == ([], False)
    page.get_by_label("Your name").fill("New Person")
    page.get_by_label("Password").fill(NEW)
    page.get_by_role("button", name="Come in").click()
    page.get_by_text("Welcome, New Person.").wait_for()
    page.context.clear_cookies()

    page.goto(f"{there.origin}/sign-in")
    page.get_by_role("link", name="Forgotten your password?").click()
    assert look(page) == ([], False)
    page.get_by_label("E-mail address").fill("new@example.org")
    page.get_by_role("button", name="Send me a link").click()
    page.get_by_text("a letter is on its way").wait_for()
    assert look(page) == ([], False)
    page.goto(there.origin + mailbox.link("new@example.org"))
    assert look(page) == ([], False)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_role("button", name="Change it").click()
    page.get_by_text("Your password is changed").wait_for()
    page.get_by_label("E-mail address").fill("new@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{there.origin}/")
