"""Letters on their way: taken from the outbox, sent to the one mail server of the settings.

A letter is claimed by moving its due time forward in a transaction of its own, sent while no lock
is held, then marked. So it is sent at least once: a worker that dies in between leaves a letter
that is due again after `CLAIMED`. Its Message-ID stays the same, by which mailboxes know a second
copy. A server that cannot be reached or says "later" (4xx) is tried again after growing pauses;
what it refuses for good (5xx) has failed at once.
"""

import logging
import smtplib
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from ipaddress import ip_address
from urllib.parse import urlsplit

from sqlalchemy import text
from sqlmodel import Session, col, select

from storage import links
from storage.floor import Floor
from storage.models import Mail, PersonalLink, now
from storage.settings import Settings

log = logging.getLogger(__name__)

LINK = "{link}"
SECONDS = 10.0
# Longer than the slowest conversation with a server, of which each answer may take SECONDS.
CLAIMED = timedelta(minutes=5)
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 240))
BATCH = 50
# No letter is begun later in a round than this: other chores of the same thread wait for it.
ROUND_SECONDS = 30.0
NO_LONGER = "Its link was used, taken back or too old before the letter could be sent."
GIVEN_UP = "The mail server could not be reached for more than five hours."
# What the mail package raises for an address that no header can hold.
UNWRITABLE = (ValueError, IndexError, MessageError)
NO_ADDRESS = "No letter can be written to this address."


class LaterError(Exception):
    """The letter could not be sent now; `server` says that no other letter can either."""

    def __init__(self, words: str, *, server: bool = False) -> None:
        super().__init__(words)
        self.server = server


class NeverError(Exception):
    """The letter can never be sent; the message says why, in words."""


@dataclass(frozen=True)
class Letter:
    """A claimed letter as it will be sent, its link filled in."""

    id: int
    attempts: int
    address: str
    subject: str
    body: str
    created_at: datetime


def send_due(floor: Floor, stop: threading.Event) -> int:
    """Send the letters that are due, fifty at most; return how many were.

    One connection serves them all. The round ends early when `stop` is set, after half a minute,
    or when the server cannot be reached: letters that were not tried have lost nothing.
    """
    if not floor.settings.smtp_host:
        return 0
    first = _claim(floor)
    if first is None:
        return 0
    try:
        server = _connected(floor.settings)
    except LaterError as error:
        log.warning("Letters wait: %s", error)
        _mark_later(floor, first, str(error))
        return 0
    sent = 0
    try:
        for letter in _letters(floor, first, stop):
            sent += _send_one(floor, server, letter)
    except LaterError as error:
        log.warning("Letters wait: %s", error)
    finally:
        _part(server)
    return sent


def _letters(floor: Floor, first: Letter, stop: threading.Event) -> Iterator[Letter]:
    over = time.monotonic() + ROUND_SECONDS
    yield first
    for _ in range(BATCH - 1):
        done = stop.is_set() or time.monotonic() >= over
        following = None if done else _claim(floor)
        if following is None:
            return
        yield following


def _send_one(floor: Floor, server: smtplib.SMTP, letter: Letter) -> bool:
    """Send one letter and write down what became of it.

    Raises:
        LaterError: the server is gone; the letter is due again.
    """
    try:
        _hand_over(server, floor.settings, letter)
    except NeverError as error:
        log.warning("Letter %d failed: %s", letter.id, error)
        _mark(floor, letter, failed=str(error))
        return False
    except LaterError as error:
        _mark_later(floor, letter, str(error))
        if error.server:
            raise
        return False
    _mark(floor, letter)
    return True


# Rows


def _claim(floor: Floor) -> Letter | None:
    """Return the letter that waits longest, or None. Those that cannot be sent fail on the way."""
    while True:
        with floor.database.begin() as session:
            mail = session.exec(
                select(Mail)
                .where(
                    col(Mail.sent_at).is_(None),
                    col(Mail.failed_at).is_(None),
                    col(Mail.due_at) <= text("now()"),
                )
                .order_by(col(Mail.due_at))
                .limit(1)
                .with_for_update(skip_locked=True)
            ).first()
            if mail is None:
                return None
            trouble = _trouble(session, floor.settings, mail)
            if trouble:
                mail.failed_at, mail.trouble = now(), trouble
                continue
            mail.attempts += 1
            mail.due_at = now() + CLAIMED
            return Letter(
                id=mail.id,
                attempts=mail.attempts,
                address=mail.address,
                subject=mail.subject,
                body=_filled(floor.settings, mail),
                created_at=mail.created_at,
            )


def _trouble(session: Session, settings: Settings, mail: Mail) -> str:
    """Return why a letter is not worth sending any more, or nothing."""
    if mail.attempts > len(PAUSES):
        return mail.trouble or GIVEN_UP
    if not mail.link_nonce:
        return ""
    link = session.get(PersonalLink, links.key_of(_secret(settings, mail)))
    if link is None or link.used_at is not None or link.expires_at <= now():
        return NO_LONGER
    return ""


def _secret(settings: Settings, mail: Mail) -> str:
    return links.secret_of(settings.secret, mail.kind, mail.link_nonce)


def _filled(settings: Settings, mail: Mail) -> str:
    """Return the text with its link, which begins with the configured origin."""
    if not mail.link_nonce:
        return mail.body
    address = f"{settings.origin}{mail.link_path}{_secret(settings, mail)}"
    return mail.body.replace(LINK, address)


def _mark_later(floor: Floor, letter: Letter, words: str) -> None:
    """Write down when to try again; after the last pause the letter has failed."""
    if letter.attempts > len(PAUSES):
        _mark(floor, letter, failed=words)
    else:
        _mark(floor, letter, later=PAUSES[letter.attempts - 1], words=words)


def _mark(
    floor: Floor,
    letter: Letter,
    *,
    failed: str = "",
    later: timedelta | None = None,
    words: str = "",
) -> None:
    with floor.database.begin() as session:
        mail = session.get(Mail, letter.id, with_for_update=True)
        # Erased meanwhile, or sent by a worker that claimed it after this one had taken too long.
        if mail is None or mail.sent_at is not None:
            return
        if later is not None:
            mail.due_at, mail.trouble = now() + later, words[:300]
        elif failed:
            mail.failed_at, mail.trouble = now(), failed[:300]
        else:
            mail.sent_at, mail.trouble = now(), ""


# The message


def message_of(settings: Settings, letter: Letter) -> EmailMessage:
    """Return the letter as RFC 5322 wants it; no value can begin a header of its own.

    Raises:
        NeverError: the recipient's address cannot stand in a header.
    """
    message = EmailMessage(policy=SMTP)
    try:
        message["From"] = _sender(settings)
        message["To"] = Address(addr_spec=letter.address)
        message["Subject"] = _one_line(letter.subject)
    except UNWRITABLE as error:
        raise NeverError(NO_ADDRESS) from error
    message["Date"] = format_datetime(letter.created_at)
    message["Message-ID"] = _message_id(settings, letter)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(letter.body)
    return message


def _sender(settings: Settings) -> Address:
    name, address = parseaddr(settings.mail_from)
    return Address(_one_line(name or settings.organisation), addr_spec=address)


def _one_line(words: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())


def _message_id(settings: Settings, letter: Letter) -> str:
    """Return the same id for each copy of a letter (RFC 5322, 3.6.4)."""
    host = urlsplit(settings.origin).hostname or "localhost"
    return f"<letter-{letter.id}-{letter.created_at:%Y%m%d%H%M%S%f}@{_literal(host)}>"


def _literal(host: str) -> str:
    """Return a host as mail writes it: addresses in brackets (RFC 5321, 4.1.3)."""
    try:
        version = ip_address(host).version
    except ValueError:
        return host
    return f"[IPv6:{host}]" if version == 6 else f"[{host}]"


# The server


def _connected(settings: Settings) -> smtplib.SMTP:
    """Return a connection on which letters may be sent.

    Raises:
        LaterError: the server cannot be reached, is not who the settings name, or does not let
            us in; or the settings name no sender.
    """
    try:
        _sender(settings)
        server = _reached(settings)
    except (OSError, smtplib.SMTPException) as error:
        raise LaterError(_words("The mail server could not be used", error), server=True) from error
    except UNWRITABLE as error:
        raise LaterError("DARE_MAIL_FROM is no e-mail address.", server=True) from error
    return server


def _reached(settings: Settings) -> smtplib.SMTP:
    host, port = settings.smtp_host, settings.smtp_port
    # Named, so that no name is looked up for a greeting.
    greeting = _literal(urlsplit(settings.origin).hostname or "localhost")
    server: smtplib.SMTP
    if settings.smtp_security == "tls":
        server = smtplib.SMTP_SSL(
            host, port, greeting, timeout=SECONDS, context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(host, port, greeting, timeout=SECONDS)
    try:
        if settings.smtp_security == "starttls":
            server.starttls(context=ssl.create_default_context())
        if settings.smtp_user:
            server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
    except BaseException:
        server.close()
        raise
    return server


def _part(server: smtplib.SMTP) -> None:
    """Say good-bye; nothing depends on the answer."""
    with suppress(OSError):
        server.quit()
    server.close()


def _hand_over(server: smtplib.SMTP, settings: Settings, letter: Letter) -> None:
    """Give one letter to the server.

    Raises:
        NeverError: it was refused for good.
        LaterError: it was not taken this time.
    """
    message = message_of(settings, letter)
    try:
        server.send_message(message, _sender(settings).addr_spec, [letter.address])
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        _refuse(code, said, error)
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        _refuse(error.smtp_code, error.smtp_error, error)
    except smtplib.SMTPNotSupportedError as error:
        raise NeverError("The mail server takes no letters to addresses like this.") from error
    except (OSError, smtplib.SMTPException) as error:
        raise LaterError(_words("The mail server went away", error), server=True) from error


def _refuse(code: int, said: bytes | str, error: Exception) -> None:
    told = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    words = f"The mail server refused it: {code} {_one_line(told)}"[:300]
    if code >= 500:
        raise NeverError(words) from error
    # 421 says that the server is closing the connection (RFC 5321, 4.2.2).
    raise LaterError(words, server=code == 421) from error


def _words(what: str, error: Exception) -> str:
    told = _one_line(str(error)) or type(error).__name__
    return f"{what}: {told}"[:300]
