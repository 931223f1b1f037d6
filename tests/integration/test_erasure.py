"""Erasing somebody: nothing of theirs is left anywhere, and nobody else loses anything."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from lxml import etree
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, func, select, text

from service import (
    access,
    catalogue,
    discussion,
    erasure,
    invitations,
    letters,
    memberships,
    notices,
    personal_links,
    privacy,
    publishing,
    reviewing,
)
from service.access import asker_of
from service.app import create_app, floor_of
from service.erasure import Wish
from service.feed import channel, tokens
from service.identity import attempts, people, sessions
from service.identity.people import LastAdminError
from service.publishing import NotThereError, PublishingError
from service.rating import ledger
from service.rating.ledger import RatingError
from storage import belongings, clearing, personal
from storage.floor import open_floor
from storage.models import (
    Audit,
    Comment,
    Community,
    Episode,
    EpisodeScore,
    Erasure,
    FeedToken,
    Mail,
    Membership,
    Notice,
    Person,
    Rating,
    Removal,
    Report,
    Show,
    Source,
    Upload,
    now,
)
from tests import factories
from tests.integration.belongers import everywhere, plant


@pytest.fixture(scope="module")
def floor(house):
    held = open_floor(house, pool=20, name="tests")
    yield held
    held.database.close()


@pytest.fixture
def ada(session):
    """The admin."""
    made = factories.person(session, "Ada Admin", role="admin")
    session.commit()
    return made


@pytest.fixture
def planted(session, ada):
    made = plant(session)
    session.commit()
    return made


def fresh(session, model, key):
    session.rollback()
    return session.get(model, key, populate_existing=True)


def everything(session):
    session.rollback()
    return everywhere(session)


def test_the_names_of_accounts_are_those_that_failed_sign_ins_are_kept_under(session):
    person = factories.person(session)
    binds = belongings.owner_of(person).binds
    assert binds["their_account"] == attempts.account_of(person.email)
    assert binds["their_code_account"] == attempts.account_of(f"code of {person.ref}")


def test_s69_no_canary_is_left_in_the_whole_database(floor, session, planted):
    before = " ".join(row for _, row in everything(session))
    assert len(planted.all) > 60
    assert [canary for canary in planted.all if canary not in before] == []
    erasure.erase(floor, planted.person.ref, by=None)
    rows = everything(session)
    left = [
        (place, table)
        for canary, place in planted.all.items()
        for table, row in rows
        if canary.lower() in row.lower()
    ]
    assert left == []
    ref = str(planted.person.ref)
    assert {table.split(".")[1] for table, row in rows if ref in row} == {
        "audit", "erasure", "person",
    }  # fmt: skip


def test_s69_every_score_equals_recomputation_and_others_lose_nothing(floor, session, planted):
    erasure.erase(floor, planted.person.ref, by=None)
    session.rollback()
    assert ledger.rebuild(session) == 0
    session.rollback()
    assert session.exec(select(func.count()).select_from(Rating)).one() == 2
    theirs = fresh(session, EpisodeScore, planted.theirs.id)
    assert (theirs.count, theirs.total, theirs.listed) == (1, 3, True)
    bodies = session.exec(select(Comment.body).order_by(col(Comment.id))).all()
    assert bodies == ["", "An answer"]
    said = discussion.comments(session, asker_of(planted.other), planted.theirs.id)
    assert [one.removed for one in said] == [True]
    assert [one.body for one in said[0].replies] == ["An answer"]


def test_s69_the_account_is_a_nameless_place_that_opens_nothing(floor, session, planted):
    secret = sessions.start(session, planted.person, "again")
    token = factories.token(session, planted.person)
    session.commit()
    erasure.erase(floor, planted.person.ref, by=asker_of(planted.other))
    gone = fresh(session, Person, planted.person.id)
    assert (gone.name, gone.role) == (erasure.NAME, "learner")
    assert gone.email == f"erased-{gone.ref}@invalid"
    assert gone.erased_at == gone.disabled_at == gone.created_at
    assert sessions.find(session, secret) is None
    assert factories.tokens.find(session, token) is None
    assert not people.signed_in(gone, "x" * 20)
    act = session.exec(select(Audit).where(Audit.act == "erased")).one()
    assert (act.actor, act.subject) == (str(planted.other.ref), str(gone.ref))
    assert session.get(Erasure, gone.ref) is not None
    tokens = session.exec(select(FeedToken)).all()
    assert all(one.revoked_at is not None for one in tokens)
    report = session.exec(select(Report).where(col(Report.reporter_id).is_(None))).one()
    assert (report.reason, report.words) == ("wrong", "")


def test_talks_that_are_withdrawn_leave_only_a_place_and_their_files_are_due(
    floor, session, planted
):
    draft_id = planted.draft.id
    key = f"renditions/{planted.talk.guid}/1/some.mp3"
    erasure.erase(floor, planted.person.ref, by=None)
    shell = fresh(session, Episode, planted.talk.id)
    assert (shell.title, shell.notes, shell.state) == (erasure.WITHDRAWN, "", "draft")
    assert shell.withdrawn_at is not None
    assert shell.published_at is None
    assert not access.is_out(shell)
    assert session.get(Episode, draft_id) is None
    for model in clearing.MADE:
        own = select(func.count()).select_from(model).where(model.episode_id == shell.id)
        assert session.exec(own).one() == 0
    due = session.exec(select(Removal)).all()
    keys = {one.key for one in due}
    assert {f"{room}/{shell.guid}/" for room in clearing.ROOMS} <= keys
    assert any(key.startswith(prefix) for prefix in keys)
    assert all((one.due_at - now()).total_seconds() < 86_400 for one in due)
    show = session.get_one(Show, shell.show_id)
    assert (show.title, show.audience, show.artwork_key) == (erasure.CLOSED, [], None)
    watcher = asker_of(planted.other)
    assert catalogue.shows(session, watcher, col(Show.id) == show.id) == []


@pytest.fixture
def leaver(session, ada):
    """Somebody with a show in which two talks are out, and one is a draft."""
    ana = factories.person(session, "Ana Lima")
    show = factories.show(session, ana, "Talks by Ana Lima", description="By ANA LIMA, mostly.")
    out = factories.episode(session, show, "Ana Lima on deploys", notes="I am Ana Lima.")
    factories.episode(session, show, "Not yet", state="draft")
    session.commit()
    return ana, show, out


def test_talks_that_are_handed_over_stay_without_the_name(floor, session, leaver, ada):
    ana, show, out = leaver
    erasure.erase(floor, ana.ref, Wish(hand_over=True), by=None)
    kept = fresh(session, Episode, out.id)
    assert (kept.title, kept.notes) == ("A former colleague on deploys", "I am a former colleague.")
    assert (kept.withdrawn_at, kept.author_id, kept.state) == (None, ana.id, "complete")
    show = session.get_one(Show, show.id, populate_existing=True)
    assert show.owner_id == ada.id
    assert show.title == "Talks by a former colleague"
    assert "ana" not in show.slug
    assert session.exec(select(Source.given_name)).all() == [""]
    assert "lima" not in " ".join(row for _, row in everything(session)).lower()
    page = catalogue.newest(session, asker_of(ada))
    assert [(one.title, one.author.name) for one in page.rows] == [(kept.title, erasure.NAME)]
    assert session.exec(select(func.count()).select_from(Episode)).one() == 1
    (told,) = session.exec(select(Notice).where(Notice.person_id == ada.id)).all()
    assert show.title in told.words
    assert fresh(session, EpisodeScore, out.id).listed is True


@pytest.mark.parametrize(
    ("name", "slug", "stays"),
    [
        ("李明", "platform-talks", True),
        ("Al", "platform-talks", True),
        ("Ana Lima", "with-ana-lima-3fa2c1", False),
        ("Ana Lima", "diana-lima-and-friends", True),
    ],
)
def test_a_show_that_is_handed_over_changes_its_address_for_the_whole_name_alone(
    floor, session, ada, name, slug, stays
):
    gone = factories.person(session, name)
    show = factories.show(session, gone, "Platform talks", slug=slug)
    factories.episode(session, show)
    session.commit()
    erasure.erase(floor, gone.ref, Wish(hand_over=True), by=None)
    assert (fresh(session, Show, show.id).slug == slug) is stays


def test_a_named_colleague_takes_the_shows_over(floor, session, leaver):
    ana, show, _ = leaver
    bo = factories.person(session, "Bo Chen")
    learner = factories.person(session, "Lea", role="learner")
    out = factories.person(session, "Out", disabled_at=now())
    session.commit()
    told = set()
    for email in ("nobody@example.org", learner.email, out.email, ana.email):
        with pytest.raises(PublishingError) as refused:
            erasure.erase(floor, ana.ref, Wish(hand_over=True, heir=email), by=None)
        assert set(refused.value.errors) == {"heir"}
        told.add(refused.value.errors["heir"])
    # Nobody learns by it who has an account here, or what somebody is.
    assert len(told) == 1
    assert fresh(session, Person, ana.id).erased_at is None
    erasure.erase(floor, ana.ref, Wish(hand_over=True, heir=bo.email.upper()), by=None)
    assert fresh(session, Show, show.id).owner_id == bo.id


@pytest.mark.parametrize("name", ["Al C+ (x)", "link", "Will", "Ana Lima"])
def test_s69_the_name_goes_out_of_all_that_the_house_has_told_others(floor, session, name):
    """Each sentence is made as the house makes it, and no other word of it changes."""
    ada = factories.person(session, "Ada Admin", role="admin")
    settings = floor.settings.model_copy(
        update={"smtp_host": "127.0.0.1", "mail_from": "a@example.org"}
    )
    gone, bo = factories.person(session, name), factories.person(session, "Bo Chen")
    place = factories.community(session, "Water", joining="request")
    factories.member(session, place, bo, "steward")
    asker = factories.asker(session, gone)
    memberships.join(session, asker, place.slug)
    draft = factories.episode(session, factories.show(session, gone), f"By {name}", state="draft")
    reviewing.ask(session, asker, str(draft.guid), bo.email)
    by = factories.asker(session, ada)
    invitations.invite(session, settings, by, "new@example.org")
    link = personal_links.make(
        session, settings, "invitation", email="x@example.org", life=erasure.SOON
    )
    letters.invitation(session, settings, link, inviter=name, community="")
    letters.membership(
        session, settings, bo, inviter=name, community="Will", path="/communities/water"
    )
    invitation = f"/people/{gone.ref}"
    notices.tell(session, ada.id, "invitation", f"{name} accepted your invitation.", invitation)
    session.commit()
    erasure.erase(floor, gone.ref, by=None)
    session.rollback()
    told = session.exec(select(Notice.kind, Notice.words).order_by(col(Notice.id))).all()
    assert told == [
        ("join-request", f"{erasure.NAME} would like to join Water."),
        ("invitation", f"{erasure.NAME} accepted your invitation."),
    ]
    mails = session.exec(select(Mail).order_by(col(Mail.id))).all()
    assert [mail.subject.partition(" in")[0] for mail in mails] == [
        "Ada Admin", erasure.NAME, "You now belong to Will",
    ]  # fmt: skip
    assert f"\n{erasure.NAME} added you to the community “Will”:" in mails[2].body
    assert f"\n{erasure.NAME} invites you to " in mails[1].body
    assert all("\n{link}\n" in mail.body for mail in mails[:2])
    if name != "link":
        assert not any(name in f"{mail.subject} {mail.body}" for mail in mails[:2])


@pytest.mark.parametrize("name", ["link", "Will", "Mark"])
def test_what_others_were_told_in_other_words_stays_as_it_is(floor, session, ada, name):
    gone = factories.person(session, name)
    words = f"{name} it be said: open the link, Mark, or it Will close. {{link}}"
    session.add(Notice(person_id=ada.id, kind="moderation", words=words))
    session.add(Notice(person_id=ada.id, kind="join-request", words=words))
    session.add(
        Mail(
            kind="invitation", address="x@example.org", subject=words, body=f"{words}\n\n{{link}}\n"
        )
    )
    session.commit()
    erasure.erase(floor, gone.ref, by=None)
    session.rollback()
    assert session.exec(select(Notice.words)).all() == [words, words]
    mail = session.exec(select(Mail)).one()
    assert (mail.subject, mail.body) == (words, f"{words}\n\n{{link}}\n")


def test_the_last_admin_stays(floor, session, ada):
    with pytest.raises(LastAdminError):
        erasure.erase(floor, ada.ref, by=asker_of(ada))
    assert fresh(session, Person, ada.id).erased_at is None
    factories.person(session, "Second", role="admin")
    session.commit()
    erasure.erase(floor, ada.ref, by=asker_of(ada))
    assert fresh(session, Person, ada.id).erased_at is not None


def test_erasing_twice_changes_nothing_and_nobody_is_nobody(floor, session, planted):
    erasure.erase(floor, planted.person.ref, by=None)
    once = everything(session)
    erasure.erase(floor, planted.person.ref, by=None)
    assert sorted(everything(session)) == sorted(once)
    with pytest.raises(NotThereError):
        erasure.erase(floor, uuid4(), by=None)


def test_the_address_has_to_be_typed(session):
    ana = factories.person(session)
    erasure.confirmed(ana, f" {ana.email.upper()} ")
    for typed in ("", "yes", ana.email[:-1]):
        with pytest.raises(PublishingError, match="confirm"):
            erasure.confirmed(ana, typed)


def test_what_somebody_leaves_behind_with_others_stays_theirs(floor, session, planted):
    here = session.exec(select(Community.id)).first()
    session.add(Membership(community_id=here, person_id=planted.other.id))
    session.commit()
    erasure.erase(floor, planted.person.ref, by=None)
    session.rollback()
    assert session.exec(select(Membership.person_id)).all() == [planted.other.id]
    assert session.get_one(Episode, planted.theirs.id).title == "Bo speaks"
    (about,) = session.exec(select(Report).where(Report.reporter_id == planted.other.id)).all()
    assert (about.state, about.words) == ("acted", "About it")


# At the same time


def test_s69_raters_at_the_same_time_lose_nothing_and_wait_in_no_circle(floor, session, ada):
    bo = factories.person(session, "Bo Chen")
    show = factories.show(session, bo)
    talks = [factories.episode(session, show, f"Talk {n}") for n in range(8)]
    leavers = [factories.person(session, f"Leaver {n}") for n in range(3)]
    raters = [factories.person(session, f"Rater {n}") for n in range(6)]
    for leaver in leavers:
        factories.episode(session, factories.show(session, leaver))
        for talk in talks:
            factories.rating(session, talk, leaver, 1)
    session.commit()
    ids, refused = [talk.id for talk in talks], []

    def rate(who, order):
        taken = 0
        for number in order:
            try:
                with floor.database.begin() as own:
                    ledger.rate(own, asker_of(who), own.get_one(Episode, number), 1 + number % 5)
                taken += 1
            except OperationalError as error:
                refused.append((who, str(error)))
        return taken

    def erase(who):
        erasure.erase(floor, who.ref, by=None)

    with ThreadPoolExecutor(20) as pool:
        rated = [
            pool.submit(rate, who, ids if n % 2 else ids[::-1])
            for n, who in enumerate([*raters, *leavers])
        ]
        gone = [pool.submit(erase, who) for who in leavers]
        assert all(one.result(60) is None for one in gone)
        assert [one.result(60) for one in rated][: len(raters)] == [len(ids)] * len(raters)
    assert all(who in leavers and "account was erased" in said for who, said in refused)
    session.rollback()
    assert ledger.rebuild(session) == 0
    session.rollback()
    counts = session.exec(select(Rating.person_id, func.count()).group_by(Rating.person_id)).all()
    assert dict(counts) == {who.id: len(ids) for who in raters}


def test_what_is_said_by_a_request_that_was_on_its_way_is_refused(floor, session, planted):
    begun, erased_now = threading.Event(), threading.Event()
    asker = asker_of(planted.person)
    told = []

    def slow():
        with floor.database.begin() as own:
            episode = own.get_one(Episode, planted.theirs.id)
            begun.set()
            erased_now.wait(30)
            try:
                discussion.say(own, asker, episode, body="One last word")
            except OperationalError as error:
                told.append(str(error))
                own.rollback()

    thread = threading.Thread(target=slow)
    thread.start()
    begun.wait(30)
    erasure.erase(floor, planted.person.ref, by=None)
    erased_now.set()
    thread.join(30)
    assert len(told) == 1
    assert "This account was erased" in told[0]
    assert all("last word" not in row for _, row in everything(session))


def test_the_database_refuses_words_votes_and_listening_of_the_erased(session, planted):
    planted.person.erased_at = now()
    session.commit()
    for row in (
        Rating(episode_id=planted.talk.id, person_id=planted.person.id, stars=3),
        Comment(episode_id=planted.talk.id, author_id=planted.person.id, body="x"),
    ):
        session.add(row)
        with pytest.raises(OperationalError, match="erased"):
            session.flush()
        session.rollback()


def test_s69_what_a_request_writes_into_the_account_meanwhile_is_emptied_again(
    floor, session, ada, monkeypatch
):
    ana = factories.person(session, "Ana Lima")
    session.commit()
    sweep, calls = erasure._sweep, []

    def slips_in(own, person):
        sweep(own, person)
        calls.append(person)
        if len(calls) == 2:
            with floor.database.begin() as other:
                late = other.get_one(Person, ana.id)
                late.name, late.about, late.department = "Ana Lima-Silva", "Call me.", "Pumps"

    monkeypatch.setattr(erasure, "_sweep", slips_in)
    erasure.erase(floor, ana.ref, by=None)
    assert len(calls) == 2
    gone = fresh(session, Person, ana.id)
    assert (gone.name, gone.about, gone.department) == (erasure.NAME, "", None)
    assert gone.erased_at == gone.disabled_at == gone.created_at


def test_s69_erasing_and_whoever_changes_who_hears_a_show_wait_in_no_circle(
    floor, session, ada, database_engine
):
    """The editor holds a show's talks, as `visibility.hold` does first, and then asks for it."""
    ana = factories.person(session, "Ana Lima")
    show = factories.show(session, ana)
    factories.episode(session, show)
    session.commit()
    ref, show_id = ana.ref, show.id
    with ThreadPoolExecutor(1) as pool, Session(database_engine) as editor:
        inside = select(Episode.id).where(Episode.show_id == show_id)
        editor.exec(inside.with_for_update(key_share=True)).all()
        erasing = pool.submit(erasure.erase, floor, ref, by=None)
        try:
            _until_somebody_waits(session)
            editor.exec(text("SET LOCAL lock_timeout = '300ms'"))
            editor.get_one(Show, show_id, with_for_update=True)
        finally:
            editor.rollback()
        erasing.result(30)
    assert fresh(session, Person, ana.id).erased_at is not None


def _until_somebody_waits(session):
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    deadline = time.monotonic() + 10
    while not session.execute(waiting).scalar_one():
        session.rollback()
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.02)
    session.rollback()


def test_a_draft_that_comes_in_between_makes_erasing_begin_anew(
    floor, session, leaver, monkeypatch
):
    ana, _, _ = leaver
    keep, calls = people.keep_an_admin, []

    def slips_in(own, person):
        if not calls:
            draft = publishing.Draft(title="Slipped in")
            with floor.database.begin() as other:
                publishing.create_draft(other, asker_of(ana), draft)
        calls.append(person)
        keep(own, person)

    monkeypatch.setattr(people, "keep_an_admin", slips_in)
    erasure.erase(floor, ana.ref, by=None)
    assert len(calls) == 2
    assert all("Slipped" not in row for _, row in everything(session))


# Feeds


def test_s69_feeds_stay_well_formed_and_know_the_talk_no_more(floor, session, leaver, ada):
    ana, _, out = leaver
    bo = factories.person(session, "Bo Chen")
    view = channel.view_top(session)
    address = tokens.address(
        floor.settings, tokens.issue(session, bo.id, view, secret=floor.settings.secret)
    )
    session.commit()
    app = create_app(floor.settings)
    try:
        path = address.removeprefix(floor.settings.origin)
        client = app.test_client()
        first = client.get(path, base_url=floor.settings.origin)
        assert first.status_code == 200
        assert str(out.guid) in first.text
        erasure.erase(floor, ana.ref, by=None)
        after = client.get(path, base_url=floor.settings.origin, headers={
            "If-None-Match": first.headers["ETag"],
        })  # fmt: skip
        assert after.status_code == 200
        etree.fromstring(after.data)
        assert str(out.guid) not in after.text
        assert "Lima" not in after.text
    finally:
        floor_of(app).database.close()


def test_words_for_people_name_the_days_of_this_house(floor):
    told = " ".join(kind.kept for kind in privacy.kept(floor.settings))
    assert str(floor.settings.keep_audit_days) in told
    assert "{" not in told


def test_every_table_of_people_that_goes_is_empty_of_them_afterwards(floor, session, planted):
    owner = belongings.owner_of(planted.person)
    erasure.erase(floor, planted.person.ref, by=None)
    session.rollback()
    for table in personal.TABLES:
        if table.of and table.fate is personal.Fate.GONE:
            rows = belongings.rows_of(table)
            which = belongings.condition(table, owner)
            assert session.execute(select(rows).where(which)).first() is None, table.name


def test_an_upload_under_way_is_given_up_and_its_bytes_are_due(floor, session, planted):
    (key,) = session.exec(select(Upload.key)).all()
    erasure.erase(floor, planted.person.ref, Wish(hand_over=True), by=None)
    session.rollback()
    assert session.get(Removal, key) is not None
    assert session.exec(select(Upload)).all() == []
    assert session.execute(text("SELECT count(*) FROM source")).scalar_one() == 2


def test_nobody_rates_or_reads_a_shell(floor, session, planted):
    erasure.erase(floor, planted.person.ref, by=None)
    shell = fresh(session, Episode, planted.talk.id)
    asker = asker_of(planted.other)
    with pytest.raises(RatingError):
        ledger.rate(session, asker, shell, 5)
    seen = session.exec(select(Episode.id).where(access.visible(asker))).all()
    assert shell.id not in seen
