"""Letters: what the house writes to people by mail. Composed here, sent by workers.

A letter is a row, committed with whatever it is about; `workers/post.py` sends it. Its words come
from `templates/mail/`: the first line is the subject, the text follows after an empty line. Letters
are plain text, so nothing is escaped; instead every value is made one line without control
characters, which can neither begin a header nor pass for words of ours. A line `{link}` stands for
an address whose secret the worker derives when it sends the letter.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlmodel import Session, col, func, select

from service.personal_links import PATHS, Kind, Made
from service.publishing import one_line
from storage.models import Mail, Person
from storage.settings import Settings

TEMPLATES = Path(__file__).parent.parent / "templates" / "mail"
LINK = "{link}"
LONGEST_VALUE = 300
LONGEST_SUBJECT = 200


def _plain(value: object) -> str:
    """Return a value as part of one line; it cannot stand for a link."""
    return one_line(str(value))[:LONGEST_VALUE].replace(LINK, "{ link }")


_environment = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=False,  # noqa: S701  plain text; see the module's docstring
    finalize=_plain,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def possible(settings: Settings) -> bool:
    """Whether a mail server is set; without one, links are shown to whoever may hand them over."""
    return bool(settings.smtp_host)


def counts(session: Session) -> dict[str, int]:
    """Return how many letters are waiting, and how many could not be sent."""
    unsent = col(Mail.sent_at).is_(None)
    waiting, failed = session.exec(
        select(
            func.count().filter(unsent, col(Mail.failed_at).is_(None)),
            func.count().filter(col(Mail.failed_at).is_not(None)),
        ).select_from(Mail)
    ).one()
    return {"waiting": waiting, "failed": failed}


def invitation(
    session: Session, settings: Settings, link: Made, *, inviter: str, community: str
) -> bool:
    """Write to somebody without an account that they are invited; `community` may be empty."""
    return _linked(
        session, settings, "invitation", link, inviter=inviter, community=community, name=""
    )


def membership(
    session: Session, settings: Settings, person: Person, *, inviter: str, community: str, path: str
) -> bool:
    """Write to somebody with an account that they now belong to a community."""
    return _to(
        session, settings, "membership", person, inviter=inviter, community=community, path=path
    )


def reset(session: Session, settings: Settings, link: Made, *, name: str) -> bool:
    """Write how to choose a new password."""
    return _linked(session, settings, "reset", link, name=name)


def password_changed(session: Session, settings: Settings, person: Person) -> bool:
    """Write to somebody that their password was changed, in case it was not they who did it."""
    return _to(session, settings, "password-changed", person)


def notice(session: Session, settings: Settings, person: Person, words: str, path: str) -> bool:
    """Write to somebody what a notice in the house says; `path` is where it leads."""
    return _to(session, settings, "notice", person, words=words, path=path)


def _to(session: Session, settings: Settings, kind: str, person: Person, **values: Any) -> bool:
    return _put(session, settings, kind, person.email, person.id, name=person.name, **values)


def _linked(session: Session, settings: Settings, kind: Kind, link: Made, **values: Any) -> bool:
    return _put(
        session,
        settings,
        kind,
        link.row.email,
        link.row.person_id,
        path=PATHS[kind],
        nonce=link.nonce,
        **values,
    )


def _put(
    session: Session,
    settings: Settings,
    kind: str,
    address: str,
    person_id: int | None,
    *,
    path: str = "",
    nonce: str = "",
    **values: Any,
) -> bool:
    """Put a letter into the outbox; False, and nothing written, where none can be sent."""
    if not possible(settings):
        return False
    known = {"organisation": settings.organisation, "origin": settings.origin, "path": path}
    text = _environment.get_template(f"{kind}.txt").render(known | values)
    subject, _, body = text.partition("\n")
    session.add(
        Mail(
            kind=kind,
            address=address,
            person_id=person_id,
            subject=subject.strip()[:LONGEST_SUBJECT],
            body=body.strip() + "\n",
            link_path=path if nonce else "",
            link_nonce=nonce,
        )
    )
    session.flush()
    return True
