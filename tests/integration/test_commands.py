"""The short commands beside a running house: what they do, and how they refuse in one line."""

import json

import pytest
from click.testing import CliRunner
from sqlmodel import func, select, text

from service.cli import COMMANDS, main
from service.identity import people, tokens
from storage import audit
from storage.embedded.engines import write_engines
from storage.embedded.ports import free_ports
from storage.models import Audit, Episode, EpisodeScore, Person, Rating, Source
from storage.settings import ensure_secrets
from tests import factories

PASSWORD = "a long walk in the rain"


@pytest.fixture
def dare(settings, session):
    """Give the command line of the house; what it queued is taken off again."""

    def asked(*words, data=None, typed=""):
        place = ["--data", str(data or settings.data)]
        return CliRunner().invoke(main, [*words, *place], input=typed)

    yield asked
    session.rollback()
    session.execute(text("DELETE FROM dbos.workflow_status"))
    session.commit()


def refusal(result):
    """Return the one line on standard error with which a command refused."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def account(dare, email="ana@example.org", *more):
    words = ("add-person", email, "--name", "Ana Lima", *more)
    return dare(*words, typed=f"{PASSWORD}\n")


@pytest.fixture
def ana(session):
    person = factories.person(session, email="ana@example.org")
    session.commit()
    return person


def test_every_word_of_the_command_line_answers_help():
    for word in COMMANDS:
        told = CliRunner().invoke(main, [word, "--help"])
        assert told.exit_code == 0, word
        assert told.stdout.startswith("Usage:")


def test_a_person_is_added_who_can_sign_in(dare, session):
    told = account(dare, "Ana@Example.org", "--role", "moderator", "--department", "Ops")
    assert told.stdout == "Ana Lima <ana@example.org> is moderator.\n"
    person = session.exec(select(Person)).one()
    assert (person.role, person.department) == ("moderator", "Ops")
    assert people.signed_in(person, PASSWORD)
    assert not people.signed_in(person, PASSWORD + "!")
    assert PASSWORD not in person.password_hash


def test_nobody_is_added_twice_or_with_a_short_password(dare, session):
    account(dare)
    assert "ana@example.org" in refusal(account(dare, "ANA@example.org"))
    assert "e-mail" in refusal(account(dare, "nobody"))
    assert refusal(dare("add-person", "bo@example.org", "--name", "Bo", typed="short\n"))
    assert refusal(dare("add-person", "bo@example.org", "--name", " ", typed=f"{PASSWORD}\n"))
    assert session.exec(select(func.count()).select_from(Person)).one() == 1


def test_a_token_opens_the_api_as_its_person(dare, session, ana):
    told = dare("token", "ANA@example.org")
    (secret,) = told.stdout.splitlines()
    assert tokens.find(session, secret).asker.id == ana.id
    assert "add-person" in refusal(dare("token", "bo@example.org"))


def test_a_file_is_shared_and_queued(dare, session, ana, tmp_path):
    file = tmp_path / "talk.wav"
    file.write_bytes(b"RIFF" + bytes(3000))
    words = ("share", str(file), "--as", "ana@example.org", "--title", "On call")
    told = dare(*words, "--topics", "On call, Health", "--json")
    facts = json.loads(told.stdout)
    assert (facts["state"], facts["transcript"]) == ("processing", "")
    episode = session.exec(select(Episode)).one()
    assert (facts["id"], facts["guid"]) == (episode.id, str(episode.guid))
    assert session.exec(select(Source)).one().size == 3004
    queued = text("SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid LIKE :mark")
    mark = {"mark": f"produce-{episode.guid}-%"}
    assert session.execute(queued, mark).scalar_one() == 1


@pytest.mark.parametrize(
    ("title", "email", "size", "said"),
    [
        ("", "ana@example.org", 9, "title is needed"),
        ("x" * 10_000, "ana@example.org", 9, "10000 characters"),
        ("Fine", "ana@example.org", 0, "empty"),
        ("Fine", "nobody@example.org", 9, "no account"),
        ("Fine", "learner@example.org", 9, "may not publish"),
    ],
)
def test_what_cannot_be_shared_is_refused_in_one_line(
    dare, session, ana, tmp_path, *, title, email, size, said
):
    factories.person(session, email="learner@example.org", role="learner")
    session.commit()
    file = tmp_path / "talk.wav"
    file.write_bytes(bytes(size))
    line = refusal(dare("share", str(file), "--as", email, "--title", title))
    assert said in line
    assert session.exec(select(func.count()).select_from(Source)).one() == 0


def test_scores_are_rebuilt_from_the_ratings(dare, session, ana):
    talk = factories.episode(session, factories.show(session, ana))
    factories.rating(session, talk, factories.person(session, "Bo Chen"), 5)
    session.commit()
    assert dare("rating", "rebuild", "--check").exit_code == 0
    right = session.get(EpisodeScore, talk.id).score
    session.exec(text("UPDATE episode_score SET score = 1, count = 9"))
    session.commit()
    found = dare("rating", "rebuild", "--check")
    assert (found.exit_code, found.stdout) == (1, "1 scores differed.\n")
    assert session.get(EpisodeScore, talk.id, populate_existing=True).score == 1
    session.commit()
    assert dare("rating", "rebuild").exit_code == 0
    row = session.get(EpisodeScore, talk.id, populate_existing=True)
    assert (row.score, row.count) == (right, 1)
    assert session.exec(select(func.count()).select_from(Rating)).one() == 1


def test_the_audit_log_is_verified_and_its_first_broken_row_named(dare, session, settings):
    assert dare("audit", "verify").stdout == f"0 rows, head {audit.START}\n"
    account(dare)
    for number in range(3):
        audit.record(session, "joined", actor="somebody", number=number)
    session.commit()
    assert (
        dare("audit", "verify").stdout == f"0 rows, head {audit.START}, 4 waiting for their link\n"
    )
    assert audit.seal(session, settings.secret) == 4
    session.commit()
    told = dare("audit", "verify")
    head = told.stdout.split("head ")[1].strip()
    assert (told.exit_code, told.stdout) == (0, f"4 rows, head {head}\n")
    noted = dare("audit", "verify", "--head", head)
    assert (noted.exit_code, noted.stdout) == (
        0,
        f"4 rows, head {head}, the noted head is link 4\n",
    )
    gone = dare("audit", "verify", "--head", "f" * 64)
    assert (gone.exit_code, "is not in the chain" in gone.stdout) == (1, True)
    session.execute(text("SET LOCAL session_replication_role = replica"))
    session.execute(text("UPDATE audit SET actor = 'other' WHERE facts->>'number' = '1'"))
    session.commit()
    changed = session.exec(select(Audit.id).where(Audit.actor == "other")).one()
    broken = dare("audit", "verify")
    assert broken.exit_code == 1
    (line,) = broken.stdout.splitlines()
    assert line.startswith(f"Row {changed} of ")


def test_the_newest_rows_of_the_audit_log_are_printed_the_newest_last(dare, session):
    account(dare)
    person = session.exec(select(Person)).one()
    audit.record(
        session, "joined", actor=str(person.ref), subject_kind="community", subject="pumps"
    )
    audit.record(session, "left", actor=str(person.ref), network="192.0.2.0/24", why="done")
    session.commit()
    lines = dare("audit", "tail").stdout.splitlines()
    assert [line.split("  ")[1] for line in lines] == ["account-made", "joined", "left"]
    assert lines[1].endswith("Ana Lima  community:pumps  -")
    assert lines[2].endswith('Ana Lima  -  192.0.2.0/24  {"why": "done"}')
    assert dare("audit", "tail", "-n", "1").stdout.splitlines() == lines[2:]


def test_migrating_again_changes_nothing_and_says_how_many_there_are(dare, ana):
    told = dare("migrate")
    assert told.exit_code == 0
    assert json.loads(told.stdout) == {"people": 1}


def test_a_folder_without_a_house_is_told(dare, tmp_path):
    assert "dare up" in refusal(dare("token", "ana@example.org", data=tmp_path))


def test_a_house_whose_engines_are_away_is_told(dare, tmp_path):
    ensure_secrets(tmp_path)
    database, store, web = free_ports(3)
    write_engines(
        tmp_path,
        port=web,
        bind="127.0.0.1",
        database_url=f"postgresql://dare:x@127.0.0.1:{database}/dare",
        s3_endpoint=f"http://127.0.0.1:{store}",
    )
    line = refusal(dare("token", "ana@example.org", data=tmp_path))
    assert line.startswith(f"The database of {tmp_path} does not answer.")
