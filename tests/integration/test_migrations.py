"""Migrations: they make what the models say, once, and can be taken back."""

from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, make_url, text

from storage.database import Database
from storage.models import Row
from storage.prepare import ROOT, migrate


@pytest.fixture
def scratch(database_engine, settings):
    """An empty database beside the house's own."""
    name = f"scratch_{uuid4().hex[:8]}"
    admin = database_engine.execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    url = make_url(settings.database_url.get_secret_value()).set(database=name)
    database = Database(url.render_as_string(hide_password=False), pool=2, name="tests")
    yield database
    database.close()
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


def run(database, act, *given):
    """Run one of Alembic's commands on a database."""
    config = Config(ROOT / "alembic.ini")
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        act(config, *given)
        connection.commit()


def tables(database):
    return set(inspect(database.engine).get_table_names()) - {"alembic_version"}


def test_models_and_migrations_agree(scratch):
    migrate(scratch)
    run(scratch, command.check)
    with scratch.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Row.metadata) == []
    assert tables(scratch) == set(Row.metadata.tables)


def test_migrating_twice_is_harmless(scratch):
    migrate(scratch)
    with scratch.begin() as session:
        session.execute(text("INSERT INTO topic (slug, name) VALUES ('kept', 'Kept')"))
    migrate(scratch)
    with scratch.begin() as session:
        assert session.execute(text("SELECT name FROM topic")).scalar_one() == "Kept"


def test_migrations_can_be_taken_back_to_nothing_and_made_again(scratch):
    migrate(scratch)
    run(scratch, command.downgrade, "base")
    assert tables(scratch) == set()
    migrate(scratch)
    assert tables(scratch) == set(Row.metadata.tables)


def test_every_constraint_has_a_name_by_the_convention(scratch):
    migrate(scratch)
    with scratch.begin() as session:
        names = session.execute(
            text(
                "SELECT conname FROM pg_constraint JOIN pg_namespace n ON n.oid = connamespace"
                " WHERE n.nspname = 'public' AND contype IN ('p', 'f', 'u', 'c')"
                " AND conrelid <> 'alembic_version'::regclass"
            )
        )
        bare = [n for (n,) in names if not n.startswith(("pk_", "fk_", "uq_", "ck_"))]
    assert bare == []
