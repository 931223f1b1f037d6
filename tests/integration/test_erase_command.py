"""`dare erase`: one account, and everybody again after a restore."""

from uuid import uuid4

import pytest
from click.testing import CliRunner
from sqlmodel import select

from service.cli import main
from storage.models import Episode, Erasure, Person, Show
from tests import factories


@pytest.fixture
def dare(settings, session):
    """Give `dare erase` of the house; everything added so far is committed."""

    def asked(*words, typed=""):
        session.commit()
        told = CliRunner().invoke(main, ["erase", *words, "--data", str(settings.data)], typed)
        session.rollback()
        session.expire_all()
        return told

    return asked


@pytest.fixture
def ana(session):
    return factories.person(session, "Ana Lima", email="ana@example.org")


@pytest.fixture
def talk(session, ana):
    return factories.episode(session, factories.show(session, ana, "Talks by Ana Lima"))


def test_an_account_is_erased_once_its_address_was_typed(dare, session, ana):
    refused = dare("ana@example.org", typed="no\n")
    assert (refused.exit_code, session.get_one(Person, ana.id).erased_at) == (2, None)
    told = dare("ANA@example.org", typed="ana@example.org\n")
    assert told.exit_code == 0, told.output
    assert f"Its number is {ana.ref}." in told.output
    assert session.get_one(Person, ana.id).erased_at is not None
    assert dare("ana@example.org", "--yes").exit_code == 2


def test_talks_can_be_handed_over_to_a_colleague(dare, session, ana, talk):
    bo = factories.person(session, "Bo Chen", email="bo@example.org")
    refused = dare("ana@example.org", "--yes", "--hand-over")
    assert refused.exit_code == 2  # there is no admin who could take them
    assert "takes the shows over" in refused.output
    told = dare("ana@example.org", "--yes", "--hand-over", "--heir", "bo@example.org")
    assert told.exit_code == 0, told.output
    assert session.exec(select(Show.owner_id)).all() == [bo.id]


def test_s69_a_restored_backup_brings_nobody_back(dare, session, ana, talk, tmp_path):
    """The rows as a backup has them are put back by hand; the list was kept beside it."""
    bo = factories.person(session, "Bo Chen", email="bo@example.org")
    kept = factories.episode(session, factories.show(session, bo), "Kept")
    factories.person(session, "Ada", role="admin", email="ada@example.org")
    dare("ana@example.org", "--yes")
    dare("bo@example.org", "--yes", "--hand-over")
    listed = dare("--list")
    assert listed.stdout.splitlines() == [str(ana.ref), f"{bo.ref} handed-over"]
    stranger = uuid4()
    file = tmp_path / "erased.txt"
    file.write_text(f"{listed.stdout}\n{stranger}\n")
    # A restore of a backup that was made before anybody was erased.
    for row in session.exec(select(Erasure)):
        session.delete(row)
    for person, email in ((ana, "ana@example.org"), (bo, "bo@example.org")):
        person.name, person.email, person.role = "Back Again", email, "contributor"
        person.erased_at = person.disabled_at = None
    for one in session.exec(select(Show)):
        one.owner_id = bo.id if one.id == kept.show_id else ana.id
    again = dare("--again", str(file))
    assert again.exit_code == 0, again.output
    assert "2 of 3 accounts were here" in again.output
    assert session.get_one(Person, ana.id).erased_at is not None
    assert session.get_one(Episode, kept.id).withdrawn_at is None
    assert session.get_one(Episode, talk.id).withdrawn_at is not None
    assert {row.ref for row in session.exec(select(Erasure))} == {ana.ref, bo.ref, stranger}
    assert dare("--again", str(file)).exit_code == 0


def test_s69_after_a_restore_one_refusal_stops_nobody_else(dare, session, ana, tmp_path):
    ada = factories.person(session, "Ada", role="admin", email="ada@example.org")
    stranger = uuid4()
    file = tmp_path / "erased.txt"
    file.write_text(f"{ada.ref}\n{ana.ref}\n{stranger}\n")
    told = dare("--again", str(file))
    assert told.exit_code == 2
    assert f"{ada.ref}: This is the last admin." in told.stderr
    assert "1 of 3" in told.stderr
    assert session.get_one(Person, ada.id).erased_at is None
    assert session.get_one(Person, ana.id).erased_at is not None
    assert session.get(Erasure, stranger) is not None


@pytest.mark.parametrize("line", ["nobody", "1234 handed-over", f"{uuid4()} whatever"])
def test_a_broken_list_changes_nothing(dare, session, ana, tmp_path, line):
    file = tmp_path / "erased.txt"
    file.write_text(f"{ana.ref}\n{line}\n")
    told = dare("--again", str(file))
    assert (told.exit_code, "Line 2" in told.output) == (2, True)
    assert session.get_one(Person, ana.id).erased_at is None


@pytest.mark.parametrize("words", [(), ("--list", "ana@example.org"), ("nobody@example.org",)])
def test_what_cannot_be_is_refused_in_one_line(dare, ana, words):
    told = dare(*words, typed="\n")
    assert told.exit_code == 2
    assert len(told.stderr.splitlines()) == 1


def test_the_last_admin_is_not_erased(dare, session):
    ada = factories.person(session, "Ada", role="admin", email="ada@example.org")
    assert dare("ada@example.org", "--yes").exit_code == 2
    assert session.get_one(Person, ada.id).erased_at is None
