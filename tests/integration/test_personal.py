"""The table of personal data speaks of every column, and drives archive, page and document."""

import re
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select, text

from service import privacy
from storage import belongings, personal
from storage.belongings import Owner
from storage.models import Row
from storage.personal import Fate
from storage.settings import Settings
from tests import factories

ROOT = Path(__file__).parents[2]


def test_s68_every_column_of_every_table_has_a_row_that_says_whose_it_is():
    real = {f"{t.name}.{c.name}" for t in Row.metadata.sorted_tables for c in t.columns}
    spoken_of = Counter(f"{t.name}.{column}" for t in personal.TABLES for column in t.columns)
    assert sorted(real - set(spoken_of)) == []  # add it to storage/personal.py
    assert sorted(set(spoken_of) - real) == []
    assert [column for column, many in spoken_of.items() if many > 1] == []


@pytest.mark.parametrize("table", personal.TABLES, ids=lambda table: table.name)
def test_a_table_of_somebodys_is_told_or_says_why_not(table):
    assert bool(table.of) == (not table.nobodys)
    assert bool(table.file) == bool(table.told or table.shown)
    assert all(len(why) > 3 for why in table.left_out.values())
    for columns in table.fates.values():
        assert set(columns.split()) <= set(table.columns)
    assert table.group in personal.GROUPS


def test_no_two_tables_share_a_file_and_no_secret_is_told():
    files = [table.file for table in personal.TABLES if table.file]
    assert len(files) == len(set(files))
    secrets = {"key", "nonce", "password_hash", "totp", "link_nonce", "sid", "verifier"}
    for table in personal.TABLES:
        assert not secrets & {*table.told.split(), *table.shown}, table.name


def test_every_condition_and_every_told_column_is_sql_that_runs(session):
    owner = belongings.owner_of(factories.person(session))
    for table in personal.TABLES:
        if table.of:
            rows = belongings.rows_of(table)
            session.execute(select(*rows.columns).where(belongings.condition(table, owner))).all()
        if table.file:
            told = list(belongings.told(session, table, owner))
            assert all(list(row) == belongings.described(table) for row in told)


def test_nobody_is_told_of_rows_of_somebody_else(session):
    ana, bo = factories.person(session), factories.person(session, "Bo Chen")
    talk = factories.episode(session, factories.show(session, ana), topics=["Deploys"])
    factories.rating(session, talk, bo, 4)
    factories.comment(session, talk, bo)
    for table in personal.TABLES:
        if table.file and table.name != "person":
            told = list(belongings.told(session, table, Owner(bo.id, str(bo.ref), bo.email)))
            assert bool(told) == (table.name in {"rating", "comment"}), table.name


def test_a_talk_that_not_everybody_may_see_is_told_without_its_title(session):
    ana, bo = factories.person(session), factories.person(session, "Bo Chen")
    show = factories.show(session, ana)
    titles = {
        "open": factories.episode(session, show, "open"),
        "narrow": factories.episode(session, show, "narrow", audience=[7]),
        "hidden": factories.episode(session, show, "hidden"),
    }
    for talk in titles.values():
        factories.rating(session, talk, bo, 3)
    titles["hidden"].hidden_at = titles["hidden"].created_at
    session.flush()
    table = personal.table("rating")
    told = list(belongings.told(session, table, belongings.owner_of(bo)))
    assert {row["title"] for row in told} == {"open", None}
    assert {row["talk"] for row in told} == {talk.guid for talk in titles.values()}


def test_fates_are_of_the_rows_of_people_alone():
    for table in personal.TABLES:
        for column in table.columns:
            if not table.of:
                assert table.fate_of(column) is Fate.STAYS


def test_the_page_and_the_document_name_every_setting_of_retention():
    settings = {name for name in Settings.model_fields if name.startswith("keep_")}
    named = set(re.findall(r"\{(keep_\w+)\}", " ".join(g.kept for g in personal.GROUPS)))
    assert named == settings


def test_the_document_says_what_the_table_says():
    words = (ROOT / "docs" / "privacy.md").read_text()
    for kind in privacy.kept(Settings(data=Path("data"))):
        row = (kind.title, kind.what, kind.why, kind.seen, kind.kept, kind.erased)
        assert f"| {' | '.join(row)} |" in words, kind.title
    for table in personal.TABLES:
        if table.of:
            file = f"`{table.file}.json`" if table.file else "not in the archive"
            assert f"| {table.about} | {file} |" in words, table.name


def test_the_database_holds_no_table_that_nobody_speaks_of(session):
    rows = session.execute(
        text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ).scalars()
    assert set(rows) - {"alembic_version"} == {table.name for table in personal.TABLES}
