"""Letters on their way: sent once, tried again, given up, and to nobody but the set server."""

import re
import threading
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlmodel import select

from service import letters, personal_links, resets
from service.commands import status
from storage.database import open_database
from storage.embedded.ports import free_ports
from storage.floor import Floor
from storage.models import Mail, PersonalLink, now
from storage.objects import ObjectStore
from storage.work import Work
from tests import factories
from tests.smtp_sink import PASSWORD, SENDER, USER, Sink, certified, lets_in
from workers import post

SECRET = re.compile(r"/resets/([\w-]+)")


class House:
    """The floor with a mail server, and the letters in its outbox."""

    def __init__(self, settings, database, session):
        self.settings, self.database, self.session = settings, database, session

    def floor(self, settings=None):
        known = settings or self.settings
        return Floor(known, self.database, ObjectStore(known), Work(self.database))

    def write(self, words="There is news.", **values):
        """Put a letter to somebody new into the outbox; return its row."""
        person = factories.person(self.session, **values)
        assert letters.notice(self.session, self.settings, person, words, "/notices/")
        self.session.commit()
        return self.session.exec(select(Mail).order_by(Mail.id.desc())).first()

    def deliver(self, settings=None, stop=None):
        sent = post.send_due(self.floor(settings), stop or threading.Event())
        self.session.expire_all()
        return sent

    def wait(self, mail):
        """Let the pause before the next try pass."""
        mail.due_at = now() - timedelta(seconds=1)
        self.session.commit()


@pytest.fixture(scope="module")
def pool(house):
    opened = open_database(house, pool=6, name="tests")
    yield opened
    opened.close()


@pytest.fixture
def sink():
    with Sink() as started:
        yield started


@pytest.fixture
def post_house(house, pool, session, sink):
    return House(sink.known_to(house, organisation="Our house"), pool, session)


def test_a_letter_goes_out_once_with_everything_that_mail_wants(post_house, sink):
    mail = post_house.write()
    assert post_house.deliver() == 1
    assert post_house.deliver() == 0
    ((sender, recipients, message),) = sink.given
    assert (sender, recipients) == (SENDER, [mail.address])
    assert message["From"] == f"Our house <{SENDER}>"
    assert message["To"] == mail.address
    assert message["Subject"] == "There is news."
    assert message["Auto-Submitted"] == "auto-generated"
    assert re.fullmatch(r"<letter-\d+-\d+@\[127\.0\.0\.1\]>", message["Message-ID"])
    assert abs(message["Date"].datetime - now()) < timedelta(minutes=1)
    assert f"{post_house.settings.origin}/notices/" in sink.text()
    assert mail.sent_at is not None
    assert mail.trouble == ""


def test_without_a_mail_server_nothing_is_written_and_nothing_sent(house, pool, session):
    bare = House(house, pool, session)
    person = factories.person(session)
    assert letters.password_changed(session, house, person) is False
    assert session.exec(select(Mail)).all() == []
    assert bare.deliver() == 0


def test_the_secret_of_a_link_is_in_the_letter_and_in_no_row(post_house, sink, session):
    person = factories.person(session, password_hash="x")
    resets.ask(session, post_house.settings, person.email)
    session.commit()
    (mail,) = session.exec(select(Mail)).all()
    (link,) = session.exec(select(PersonalLink)).all()
    assert post_house.deliver() == 1
    secret = SECRET.search(sink.text())[1]
    assert personal_links.alive(session, "reset", secret).key == link.key
    assert secret not in str(mail.model_dump()) + str(link.model_dump())
    assert "{link}" not in sink.text()


def test_s37_links_in_letters_come_from_the_base_url_alone(house, pool, session, sink):
    there = sink.known_to(house, base_url="https://talks.example.org")
    moved = House(there, pool, session)
    person = factories.person(session, password_hash="x")
    resets.ask(session, there, person.email)
    session.commit()
    moved.write()
    assert moved.deliver() == 2
    for number in (0, 1):
        found = re.findall(r"https?://[^/\s]+", sink.text(number))
        assert set(found) == {"https://talks.example.org"}
    assert sink.last()["Message-ID"].endswith("@talks.example.org>")


def test_a_letter_whose_link_is_dead_by_now_is_not_sent(post_house, sink, session):
    person = factories.person(session, password_hash="x")
    resets.ask(session, post_house.settings, person.email)
    resets.ask(session, post_house.settings, person.email)
    session.commit()
    assert post_house.deliver() == 1
    first, second = session.exec(select(Mail).order_by(Mail.id)).all()
    assert (first.failed_at is not None, first.trouble) == (True, post.NO_LONGER)
    assert second.sent_at is not None


# A server that is away, or says no


def test_letters_wait_for_a_server_that_is_down_and_are_sent_when_it_is_back(post_house, sink):
    mail = post_house.write()
    sink.stop()
    for number, pause in enumerate(post.PAUSES, start=1):
        assert post_house.deliver() == 0
        assert mail.attempts == number
        assert abs(mail.due_at - now() - pause) < timedelta(seconds=20)
        assert mail.trouble.startswith("The mail server could not be used")
        assert post_house.deliver() == 0
        assert mail.attempts == number
        post_house.wait(mail)
    sink.start()
    assert post_house.deliver() == 1
    assert len(sink.given) == 1
    assert (mail.failed_at, mail.trouble) == (None, "")


def test_after_the_last_pause_a_letter_has_failed_in_words(post_house, sink):
    mail = post_house.write()
    sink.stop()
    for _ in range(len(post.PAUSES) + 1):
        post_house.wait(mail)
        post_house.deliver()
    assert mail.failed_at is not None
    assert mail.trouble.startswith("The mail server could not be used")
    sink.start()
    assert post_house.deliver() == 0


def test_a_server_that_is_down_costs_other_letters_none_of_their_tries(post_house, sink):
    first, second = post_house.write(), post_house.write()
    sink.stop()
    post_house.deliver()
    assert (first.attempts, second.attempts) == (1, 0)


def test_an_address_that_is_refused_for_good_fails_at_once_and_stops_no_other(post_house, sink):
    refused, taken = post_house.write(), post_house.write()
    sink.answers[refused.address] = "550 5.1.1 No such person"
    assert post_house.deliver() == 1
    assert refused.failed_at is not None
    assert refused.trouble == "The mail server refused it: 550 5.1.1 No such person"
    assert taken.sent_at is not None


def test_an_address_that_is_refused_for_now_is_tried_again(post_house, sink):
    mail = post_house.write()
    sink.answers[mail.address] = "451 4.7.1 Come back later"
    assert post_house.deliver() == 0
    assert (mail.failed_at, mail.attempts) == (None, 1)
    assert "Come back later" in mail.trouble
    sink.answers.clear()
    post_house.wait(mail)
    assert post_house.deliver() == 1


def test_a_server_that_closes_the_door_ends_the_round(post_house, sink):
    first, second = post_house.write(), post_house.write()
    sink.answers[""] = "421 4.3.2 Closing"
    assert post_house.deliver() == 0
    assert (first.attempts, second.attempts) == (1, 0)


@pytest.mark.parametrize("address", ["a,b@example.org", "a;b@example.org", '"@example.org'])
def test_an_address_that_no_header_can_hold_fails_in_words(post_house, sink, session, address):
    mail = post_house.write(email=address)
    assert post_house.deliver() == 0
    assert sink.given == []
    assert (mail.failed_at is not None, mail.trouble) == (True, post.NO_ADDRESS)


def test_a_sender_that_is_no_address_is_said_and_loses_no_letter(post_house, sink):
    mail = post_house.write()
    wrong = post_house.settings.model_copy(update={"mail_from": "nobody at all"})
    assert post_house.deliver(wrong) == 0
    assert (mail.failed_at, mail.trouble) == (None, "DARE_MAIL_FROM is no e-mail address.")


# Many workers, and workers that die


def test_many_workers_at_once_send_each_letter_once(post_house, sink):
    addresses = {post_house.write().address for _ in range(12)}
    floor, stop = post_house.floor(), threading.Event()
    workers = [threading.Thread(target=post.send_due, args=(floor, stop)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(to for _, (to,), _ in sink.given) == sorted(addresses)


def test_a_letter_of_a_worker_that_died_is_sent_by_another_under_the_same_id(post_house, sink):
    mail = post_house.write()
    claimed = post._claim(post_house.floor())
    assert claimed is not None
    assert post_house.deliver() == 0
    with_server = post._connected(post_house.settings)
    post._hand_over(with_server, post_house.settings, claimed)
    post._part(with_server)
    post_house.wait(mail)
    assert post_house.deliver() == 1
    first, second = (message["Message-ID"] for _, _, message in sink.given)
    assert first == second


def test_a_letter_that_keeps_killing_workers_is_given_up(post_house, sink):
    mail = post_house.write()
    mail.attempts = len(post.PAUSES) + 1
    post_house.session.commit()
    assert post_house.deliver() == 0
    assert (mail.failed_at is not None, mail.trouble) == (True, post.GIVEN_UP)


def test_a_round_ends_after_the_letter_at_hand_when_the_worker_is_told_to_stop(post_house, sink):
    for _ in range(3):
        post_house.write()
    stopped = threading.Event()
    stopped.set()
    assert post_house.deliver(stop=stopped) == 1


# Secrets on the wire


def test_a_round_ends_after_half_a_minute_and_loses_nothing(post_house, sink, monkeypatch):
    for _ in range(3):
        post_house.write()
    monkeypatch.setattr(post, "ROUND_SECONDS", 0.0)
    assert post_house.deliver() == 1
    monkeypatch.undo()
    assert post_house.deliver() == 2
    assert len(sink.given) == 3


def test_starttls_goes_on_only_with_the_host_that_its_certificate_names(
    house, pool, session, tmp_path, monkeypatch
):
    context, trusted = certified(tmp_path)
    with Sink(
        tls_context=context,
        require_starttls=True,
        authenticator=lets_in,
        auth_required=True,
    ) as sink:
        settings = sink.known_to(
            house, smtp_security="starttls", smtp_user=USER, smtp_password=SecretStr(PASSWORD)
        )
        guarded = House(settings, pool, session)
        mail = guarded.write()
        assert guarded.deliver() == 0
        assert "certificate" in mail.trouble.lower()
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        guarded.wait(mail)
        assert guarded.deliver() == 1

        wrong = settings.model_copy(update={"smtp_password": SecretStr("not it")})
        guarded.write()
        assert guarded.deliver(wrong) == 0
        trouble = session.exec(select(Mail.trouble).where(Mail.id != mail.id)).one()
        assert trouble.startswith("The mail server could not be used")
        assert "not it" not in trouble


def test_a_server_without_tls_gets_no_letter_where_tls_is_wanted(post_house, sink):
    mail = post_house.write()
    for security in ("starttls", "tls"):
        wanted = post_house.settings.model_copy(update={"smtp_security": security})
        assert post_house.deliver(wanted) == 0
        assert mail.trouble.startswith("The mail server could not be used")
        post_house.wait(mail)
    assert sink.given == []


def test_a_certificate_of_another_host_is_not_enough(house, pool, session, tmp_path, monkeypatch):
    context, trusted = certified(tmp_path, name="127.0.0.2")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with Sink(tls_context=context, require_starttls=True) as sink:
        guarded = House(sink.known_to(house, smtp_security="starttls"), pool, session)
        mail = guarded.write()
        assert guarded.deliver() == 0
        assert "certificate" in mail.trouble.lower()
        assert sink.given == []


def test_a_port_where_nobody_listens_is_trouble_in_words(post_house):
    mail = post_house.write()
    nowhere = post_house.settings.model_copy(update={"smtp_port": free_ports(1)[0]})
    assert post_house.deliver(nowhere) == 0
    assert "refused" in mail.trouble.lower()


def test_dare_status_says_how_many_letters_wait_and_how_many_failed(post_house, sink):
    refused, _ = post_house.write(), post_house.write()
    sink.answers[refused.address] = "550 No"
    sink.answers[""] = "451 Later"
    post_house.deliver()
    found = status.waiting(post_house.settings.data)
    assert found["letters"] == {"waiting": 1, "failed": 1}
    told = status.lines(status.status(post_house.settings.data) | found)
    assert "  letters     1 waiting, 1 could not be sent" in list(told)
