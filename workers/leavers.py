"""Who signs in by a provider alone is told before their feeds pause, and how to keep them.

Podcast apps never sign in, so their owner would otherwise only hear of it by silence.
"""

from sqlalchemy import exists
from sqlmodel import Session, col, func, or_, select

from storage.floor import Floor
from storage.leavers import KIND, NOTICE, pauses_at, vouched_before
from storage.models import FeedToken, Mail, Notice, Person, now
from storage.settings import Settings

# People told in one transaction.
BATCH = 500
PATH = "/feeds/"


def warn(floor: Floor) -> int:
    """Tell everybody whose feeds pause within a fortnight, once each time; return how many.

    In the house, and by letter where a mail server is set. Signing in puts it off by itself.
    """
    told = 0
    while True:
        with floor.database.begin() as session:
            people = _about_to_pause(session, floor.settings)
            for person in people:
                _tell(session, floor.settings, person)
        told += len(people)
        if len(people) < BATCH:
            return told


def _about_to_pause(session: Session, settings: Settings) -> list[Person]:
    lasts = or_(col(FeedToken.expires_at).is_(None), col(FeedToken.expires_at) > func.now())
    listens = exists().where(
        col(FeedToken.person_id) == col(Person.id), col(FeedToken.revoked_at).is_(None), lasts
    )
    told = exists().where(
        col(Notice.person_id) == col(Person.id),
        col(Notice.kind) == KIND,
        col(Notice.created_at) > col(Person.vouched_at),
    )
    # Who is paused already was told, or had no feed then; it is too late for a notice.
    soon = vouched_before(settings, now() + NOTICE) & ~vouched_before(settings, now())
    return list(
        session.exec(
            select(Person)
            .where(
                soon,
                listens,
                ~told,
                col(Person.disabled_at).is_(None),
                col(Person.erased_at).is_(None),
            )
            .order_by(col(Person.id))
            .limit(BATCH)
            # Two workers at once tell nobody twice: the second one finds the first one's rows.
            .with_for_update(skip_locked=True)
        )
    )


def _tell(session: Session, settings: Settings, person: Person) -> None:
    moment = pauses_at(settings, person)
    if moment is None:
        return
    words = (
        f"Your podcast feeds pause on {moment:%-d %B %Y}, since you have not signed in for long. "
        "Sign in once with your company account before, and they go on."
    )
    session.add(Notice(person_id=person.id, kind=KIND, words=words, path=PATH))
    if settings.smtp_host:
        session.add(
            Mail(
                kind=KIND,
                address=person.email,
                person_id=person.id,
                subject="Sign in once to keep your podcast feeds",
                body=f"{words}\n\n{settings.origin}{PATH}\n\n--\n{settings.organisation}\n",
            )
        )
