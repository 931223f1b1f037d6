"""What letters say, and what no value in them can do."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import letters
from service.personal_links import Made
from storage.models import Mail, Person, PersonalLink, now
from storage.settings import Settings
from workers import post

NASTY = (
    "Ana\r\nBcc: everybody@example.org",
    "<script>alert(1)</script>",
    "]]>{{7*7}}{% raw %}{link}",
    "\x00\x1b[31mred\x07 \ud800 \u202edesrever",
    '=HYPERLINK("http://evil.example")',
)


class Outbox:
    """Keeps the letters that are put into a session."""

    def __init__(self):
        self.held = []

    def add(self, mail):
        self.held.append(mail)

    def flush(self):
        pass


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return made_settings(tmp_path_factory.mktemp("data"))


def made_settings(data):
    return Settings(
        data=data,
        secret_key="s" * 32,
        base_url="https://talks.example.org",
        smtp_host="127.0.0.1",
        mail_from="Talks <talks@example.org>",
    )


def link(kind="invitation"):
    row = PersonalLink(key="k", kind=kind, email="bo@example.org", expires_at=now())
    return Made(row, "https://talks.example.org/x/secret", "ab" * 32)


def every_letter(settings, text):
    """Write each kind of letter with this text wherever a value may stand; return the rows."""
    box = Outbox()
    person = Person(id=1, email="bo@example.org", name=text)
    letters.invitation(box, settings, link(), inviter=text, community=text)
    letters.invitation(box, settings, link(), inviter=text, community="")
    letters.membership(box, settings, person, inviter=text, community=text, path="/communities/x")
    letters.reset(box, settings, link("reset"), name=text)
    letters.password_changed(box, settings, person)
    letters.notice(box, settings, person, text, "/notices/")
    assert {mail.kind for mail in box.held} == kinds()
    return box.held


def kinds():
    return {path.stem for path in letters.TEMPLATES.glob("[a-z]*.txt")}


def sent(settings, mail: Mail):
    """Return a letter as whoever receives it reads it, and the bytes on the wire."""
    letter = post.Letter(
        id=1,
        attempts=1,
        address=mail.address,
        subject=mail.subject,
        body=post._filled(settings, mail),
        created_at=datetime(2026, 11, 23, tzinfo=UTC),
    )
    raw = bytes(post.message_of(settings, letter))
    return message_from_bytes(raw, policy=default), raw


def words(message):
    return message.get_content().replace("\r\n", "\n")


def shape(settings, text):
    """Return of each letter: the names of its headers, and how many lines its body has."""
    read = (sent(settings, mail)[0] for mail in every_letter(settings, text))
    return [(message.keys(), len(words(message).splitlines())) for message in read]


@pytest.mark.parametrize("text", NASTY)
def test_s15_letters_stay_well_formed_whatever_a_value_holds(settings, text):
    for mail in every_letter(settings, text):
        message, _ = sent(settings, mail)
        assert not message.defects
        assert message["To"] == "bo@example.org"
        assert message["Bcc"] is None
        body = words(message)
        assert message.get_content_type() == "text/plain"
        shown = f"{message['Subject']}{body}"
        assert not any(ord(c) < 32 and c != "\n" for c in shown)
        assert "\u202e" not in shown
        assert "49" not in shown
        assert body.count("/invitations/") + body.count("/resets/") == bool(mail.link_nonce)


@given(st.text(max_size=400))
def test_s15_letters_keep_their_headers_and_lines_for_every_text(text):
    settings = made_settings(Path("nowhere"))
    assert shape(settings, f"A{text}") == shape(settings, "Ana")


def test_s18_no_header_begins_inside_a_value(settings):
    letter = post.Letter(
        id=1,
        attempts=1,
        address="bo@example.org",
        subject="Hello\r\nBcc: all@example.org\r\n\r\nbody",
        body="text\r\nX: y\n",
        created_at=now(),
    )
    named = settings.model_copy(update={"mail_from": "", "organisation": "A\r\nBcc: b@example.org"})
    with_sender = named.model_copy(update={"mail_from": "talks@example.org"})
    message = message_from_bytes(bytes(post.message_of(with_sender, letter)), policy=default)
    assert message["Bcc"] is None
    assert message["Subject"] == "Hello Bcc: all@example.org body"
    assert message["From"].addresses[0].display_name == "A Bcc: b@example.org"


def test_each_letter_says_who_writes_and_holds_nothing_unfilled(settings):
    for mail in every_letter(settings, "Ana Lima"):
        message, raw = sent(settings, mail)
        body = words(message)
        assert "Our house, Dare to Share\nhttps://talks.example.org/\n" in body
        assert not {"{", "}", "None"} & set(body.split())
        assert message["Subject"].strip()
        assert max(len(line) for line in raw.splitlines()) <= 998
        assert "\n\n\n" not in body


def test_a_name_of_any_length_makes_a_subject_that_fits_its_column(settings):
    for mail in every_letter(settings, "x" * 2000):
        assert len(mail.subject) <= 200


def test_letters_are_possible_with_a_mail_server_alone(settings):
    assert letters.possible(settings)
    assert not letters.possible(settings.model_copy(update={"smtp_host": ""}))


@pytest.mark.parametrize(
    ("base", "literal"),
    [
        ("https://talks.example.org", "talks.example.org"),
        ("http://127.0.0.1:8000", "[127.0.0.1]"),
        ("http://[::1]:8000", "[IPv6:::1]"),
    ],
)
def test_the_same_letter_has_the_same_id_named_by_the_host(settings, base, literal):
    letter = SimpleNamespace(id=7, created_at=datetime(2026, 11, 23, tzinfo=UTC))
    known = settings.model_copy(update={"base_url": base})
    assert post._message_id(known, letter) == f"<letter-7-20261123000000000000@{literal}>"
