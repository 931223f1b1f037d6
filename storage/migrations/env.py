"""Alembic's entry: migrations run on a connection that the caller hands in, or on the settings'."""

from alembic import context
from sqlalchemy import Connection

from storage.database import open_database
from storage.models import Row
from storage.settings import load_settings


def migrate(connection: Connection) -> None:
    """Run the migrations asked for on one connection, in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=Row.metadata,
        compare_type=True,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    database = open_database(load_settings(), name="dare-migrate")
    with database.engine.connect() as own:
        migrate(own)
        own.commit()
