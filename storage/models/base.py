"""What all tables share: one metadata with a naming convention, aware times, opaque ids."""

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, DateTime, MetaData
from sqlmodel import Field, SQLModel

# Set before the first migration, so that every constraint has a name that a migration can drop.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Row(SQLModel):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMES)


def now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


def identity() -> Any:
    """Return a field for a 64-bit primary key that the database numbers."""
    return Field(default=None, primary_key=True, sa_type=BigInteger)


def reference(
    target: str, *, delete: Literal["CASCADE", "SET NULL", "RESTRICT"] = "CASCADE", **options: Any
) -> Any:
    """Return a field for a foreign key to `target` (`table.column`), indexed unless told not to."""
    options.setdefault("index", True)
    return Field(foreign_key=target, ondelete=delete, sa_type=BigInteger, **options)


def moment(*, index: bool = False) -> Any:
    """Return a field for an aware time that must be given."""
    return Field(sa_type=DateTime(timezone=True), index=index)


def maybe_moment(*, index: bool = False) -> Any:
    """Return a field for an aware time that may be absent."""
    return Field(default=None, sa_type=DateTime(timezone=True), nullable=True, index=index)


def born() -> Any:
    """Return a field for the time at which the row was made."""
    return Field(default_factory=now, sa_type=DateTime(timezone=True))


def opaque() -> Any:
    """Return a field for a permanent random id that may be shown outside."""
    return Field(default_factory=uuid4, unique=True)


__all__ = [
    "UUID",
    "Row",
    "born",
    "identity",
    "maybe_moment",
    "moment",
    "now",
    "opaque",
    "reference",
]
