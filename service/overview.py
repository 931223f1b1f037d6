"""How the house stands, in numbers: for those who look after it."""

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlmodel import Session, col

from service import letters
from service.identity import oidc
from service.identity.oidc import ProviderError
from storage import work
from storage.models import Community, Episode, Person, Report, WorkerLease, now
from storage.settings import OidcProvider, Settings


@dataclass(frozen=True)
class Counts:
    """What there is. `queues` has for each queue with work how much waits and runs."""

    people: int
    disabled: int
    communities: int
    talks: int
    failed_talks: int
    open_reports: int
    letters_waiting: int
    letters_failed: int
    workers: int
    queues: dict[str, dict[str, int]]


def counts(session: Session, settings: Settings) -> Counts:
    """Return the numbers, in three statements."""
    people = select(func.count()).where(col(Person.erased_at).is_(None))
    disabled = people.where(col(Person.disabled_at).is_not(None))
    talks = select(func.count()).where(
        col(Episode.published_at).is_not(None), col(Episode.withdrawn_at).is_(None)
    )
    failed = select(func.count()).where(
        col(Episode.state) == "failed", col(Episode.withdrawn_at).is_(None)
    )
    reports = select(func.count()).where(col(Report.state) == "open")
    alive = now() - timedelta(seconds=settings.lease_seconds)
    workers = select(func.count()).where(col(WorkerLease.heartbeat_at) > alive)
    communities = select(func.count()).select_from(Community)
    numbers = session.execute(
        select(
            people.scalar_subquery(),
            disabled.scalar_subquery(),
            communities.scalar_subquery(),
            talks.scalar_subquery(),
            failed.scalar_subquery(),
            reports.scalar_subquery(),
            workers.scalar_subquery(),
        )
    ).one()
    posted = letters.counts(session)
    return Counts(
        people=numbers[0],
        disabled=numbers[1],
        communities=numbers[2],
        talks=numbers[3],
        failed_talks=numbers[4],
        open_reports=numbers[5],
        workers=numbers[6],
        letters_waiting=posted["waiting"],
        letters_failed=posted["failed"],
        queues=work.queue_counts(session),
    )


def asked(settings: Settings, provider: OidcProvider) -> tuple[bool, str]:
    """Ask a provider for its description, now; return whether it fits, and what to tell an admin.

    A client of its own, so that no earlier answer stands in for this one.
    """
    client = oidc.Client(provider, settings.internal_hosts)
    try:
        address = client.address(back=settings.origin, state="-", nonce="-", verifier="-" * 43)
    except ProviderError as error:
        return False, f"{error} ({error.why})"
    return True, f"It answers, and people sign in at {urlsplit(address).netloc}."
