"""The database: one engine for each process, one transaction for each use case."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine
from sqlmodel import Session

from storage.settings import Settings, SettingsError


class Database:
    """An engine with a bounded pool. Nobody waits for a connection for more than five seconds."""

    def __init__(self, url: str, *, pool: int = 10, name: str = "dare") -> None:
        if not url:
            raise SettingsError(
                "No database is known: start the house with `dare up`, or set DARE_DATABASE_URL."
            )
        self.engine: Engine = create_engine(
            normal_url(url),
            pool_size=pool,
            max_overflow=0,
            pool_timeout=5,
            pool_pre_ping=True,
            # Errors are logged; what people typed must not be in them.
            hide_parameters=True,
            # The last one used goes out first, so that few connections serve a quiet house.
            pool_use_lifo=True,
            connect_args={
                "application_name": name,
                "connect_timeout": 5,
                "options": "-c timezone=UTC -c statement_timeout=30000 -c jit=off",
            },
        )

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Give a session whose changes are committed at the end, or none of them."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all idle connections."""
        self.engine.dispose()


def normal_url(url: str) -> str:
    """Return the address with the driver named: psycopg 3, whichever way it was written."""
    scheme, _, rest = url.partition("://")
    if scheme in {"postgres", "postgresql", "postgresql+psycopg"}:
        return f"postgresql+psycopg://{rest}"
    raise SettingsError(f"DARE_DATABASE_URL must begin with postgresql://, not {scheme}://.")


def open_database(settings: Settings, *, pool: int = 10, name: str = "dare") -> Database:
    """Return the database that the settings name."""
    return Database(settings.database_url.get_secret_value(), pool=pool, name=name)
