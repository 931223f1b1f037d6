"""S21, S22: every route × every asker, walked off the application's own map of addresses.

ROWS says, independently of the code, who may ask for what; a route without a row fails here.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text
from sqlmodel import Session

from service.identity import sessions, tokens
from service.identity.secrets import key_of
from storage.models import Row, now
from storage.models import Session as Signed
from tests.web import world
from tests.web.matrix_rows import ELSEWHERE, FIELDS, LET_IN, ROWS
from tests.web.visitors import Visitor
from tests.web.world import World

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
SIGNED_IN = ("learner", "contributor", "steward", "moderator", "admin")
# What differs from one answer to the next, whatever is asked: a request's id, nonces, secrets.
FLEETING = re.compile(r'[0-9a-f]{12}|nonce="[^"]+"|[0-9a-f]{64}|[0-9a-f-]{36}')


class Undone:
    """The database as one connection whose outer transaction is never committed."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @contextmanager
    def begin(self) -> Iterator[Session]:
        with (
            Session(
                self.connection,
                expire_on_commit=False,
                join_transaction_mode="create_savepoint",
            ) as session,
            session.begin(),
        ):
            yield session


class Stage:
    """The application on a world in which every request is undone after its answer."""

    def __init__(self, application: Any, settings: Any, connection: Connection) -> None:
        self.application, self.settings, self.connection = application, settings, connection
        with Undone(connection).begin() as session:
            self.world: World = world.made(session, settings)
            secrets = {who: self._signed_in(session, who) for who in (*SIGNED_IN, "outsider")}
            self.stale = {who: self._signed_in(session, who, stale=True) for who in SIGNED_IN}
            _, self.read_only = tokens.issue(
                session, self.world.people["admin"].id, "matrix", scopes=["read"]
            )
            _, self.whole = tokens.issue(session, self.world.people["contributor"].id, "matrix")
            session.flush()
            session.expunge_all()
        self._secrets = secrets | {"nobody": None}
        self._csrf: dict[str, str] = {}

    def _signed_in(self, session: Session, who: str, *, stale: bool = False) -> str:
        secret = sessions.start(session, self.world.people[who], "a browser")
        if stale:
            session.get_one(Signed, key_of(secret)).proved_at = now() - timedelta(hours=1)
        return secret

    def visitor(self, who: str) -> Visitor:
        """Return a fresh browser of somebody: what a request did to the last one is forgotten."""
        made = Visitor(self.application, self.settings, self._secrets[who])
        if who == "nobody":
            return made
        made.know(self._csrf.setdefault(who, made.csrf))
        return made

    def routes(self) -> list[tuple[str, str, Any]]:
        """Return endpoint, method and rule of every route, each method for itself."""
        return sorted(
            (
                (rule.endpoint, method, rule)
                for rule in self.application.url_map.iter_rules()
                for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
            ),
            key=lambda one: one[:2],
        )

    def address(self, rule: Any, known: dict[str, Any]) -> str:
        """Return the address of a route with these values for its arguments."""
        adapter = self.application.url_map.bind("127.0.0.1")
        told = {name: known[name] for name in rule.arguments}
        return str(adapter.build(rule.endpoint, told, next(iter(rule.methods))))

    def ask(self, visitor: Visitor, method: str, path: str, **fields: Any) -> Any:
        """Ask once, from one of our own pages, and undo what it did."""
        undo = self.connection.begin_nested()
        try:
            if method not in UNSAFE:
                return visitor.get(path)
            if path.startswith("/api/"):
                return visitor.send(method, path, json=fields)
            headers = visitor.ours | {"X-CSRF-Token": visitor.csrf}
            return visitor.ask(method, path, data=fields, headers=headers)
        finally:
            undo.rollback()


@pytest.fixture(scope="module")
def stage(application, house, database_engine) -> Iterator[Stage]:
    kept = application.extensions["dare"]
    with database_engine.connect() as connection:
        outer = connection.begin()
        application.extensions["dare"] = replace(kept, database=Undone(connection))
        try:
            yield Stage(application, house, connection)
        finally:
            application.extensions["dare"] = kept
            outer.rollback()


def test_s21_every_route_has_a_row_and_the_rule_that_the_row_says(application):
    declared = {
        name: (getattr(view, "rule", None), getattr(view, "recent", False))
        for name, view in application.view_functions.items()
    }
    assert declared == ROWS


def test_s21_every_route_lets_in_whom_its_row_says_and_nobody_else(stage):
    wrong, asked = [], 0
    for endpoint, method, rule in stage.routes():
        letter, _ = ROWS[endpoint]
        if letter in {"open", "keyed"}:
            continue
        for who in ("nobody", *SIGNED_IN):
            asked += 1
            known = world.choices(stage.world, who if who != "nobody" else "author", endpoint)[0]
            fields = FIELDS.get(endpoint, lambda *_: {})(stage.world, who)
            path = stage.address(rule, known)
            answer = stage.ask(stage.visitor(who), method, path, **fields)
            if answer.status_code >= 500 and answer.status_code != 503:
                wrong.append(f"{who} {method} {endpoint}: {answer.status_code}")
            elif who in LET_IN[letter]:
                if is_refused(answer) and endpoint not in {"sign_in.out", *ELSEWHERE}:
                    wrong.append(f"{who} {method} {endpoint} is refused: {answer.status_code}")
            elif not is_refused(answer):
                wrong.append(f"{who} {method} {endpoint} is let in: {answer.status_code}")
    assert wrong == [], "\n".join(wrong)
    assert asked > 400


def test_s21_an_address_for_others_reads_like_one_that_is_not_there(stage):
    learner = stage.visitor("learner")
    absent = learner.get("/nothing-of-this-name")
    for path in ("/admin/", "/moderation/", "/studio/", f"/admin/people/{uuid4()}"):
        answer = learner.get(path)
        told, nothing = (FLEETING.sub("", a.get_data(as_text=True)) for a in (answer, absent))
        assert (answer.status_code, told) == (absent.status_code, nothing), path


def is_refused(answer: Any) -> bool:
    """Whether somebody was turned away: to sign in, or told that there is nothing."""
    to_sign_in = answer.status_code == 303 and answer.headers["Location"].startswith("/sign-in")
    return to_sign_in or answer.status_code in {401, 404}


def test_s21_who_did_not_prove_who_they_are_lately_is_asked_again(stage):
    asked = 0
    for endpoint, method, rule in stage.routes():
        letter, recent = ROWS[endpoint]
        if not recent:
            continue
        asked += 1
        who = "admin" if "admin" in LET_IN[letter] else "contributor"
        visitor = Visitor(stage.application, stage.settings, stage.stale[who])
        known = world.choices(stage.world, who, endpoint)[0]
        answer = stage.ask(visitor, method, stage.address(rule, known))
        if method in UNSAFE:
            assert answer.status_code == 403, endpoint
            assert "confirm that it is you" in answer.get_data(as_text=True)
        else:
            assert answer.status_code == 303, endpoint
            assert answer.headers["Location"].startswith("/sign-in/again?next="), endpoint
    assert asked > 10


def test_s41_a_token_does_no_more_than_its_scope_and_never_what_admins_do(stage):
    program = Visitor(stage.application, stage.settings)
    bearer = {"Authorization": f"Bearer {stage.read_only}"}
    asked = 0
    for endpoint, method, rule in stage.routes():
        letter, recent = ROWS[endpoint]
        if letter in {"open", "keyed"}:
            continue
        asked += 1
        path = stage.address(rule, world.choices(stage.world, "admin", endpoint)[0])
        undo = stage.connection.begin_nested()
        answer = program.ask(method, path, headers=bearer)
        undo.rollback()
        if method in UNSAFE or recent or letter in {"steward", "moderator", "admin"}:
            assert answer.status_code == 403, (method, endpoint)
        elif endpoint not in {"sign_in.again", "providers.again"}:  # a browser's business alone
            assert answer.status_code != 403, (method, endpoint)
    assert asked > 60


def test_s41_no_token_does_what_forms_do_whatever_its_scopes(stage):
    program = Visitor(stage.application, stage.settings)
    bearer = {"Authorization": f"Bearer {stage.whole}"}
    forms = by_api = 0
    for endpoint, method, rule in stage.routes():
        letter, recent = ROWS[endpoint]
        if letter == "keyed" or method not in UNSAFE:
            continue
        path = stage.address(rule, world.choices(stage.world, "contributor", endpoint)[0])
        undo = stage.connection.begin_nested()
        answer = program.ask(method, path, headers=bearer)
        undo.rollback()
        if not path.startswith(("/api/", "/uploads/")):
            forms += 1
            assert answer.status_code == 403, (method, endpoint)
            assert "sign in with a browser" in answer.get_data(as_text=True), (method, endpoint)
        elif letter in {"signed-in", "guest", "publisher"} and not recent:
            by_api += 1
            assert answer.status_code != 403, (method, endpoint)
    assert forms > 60
    assert by_api > 15


# What reading leaves behind by design: when somebody was last seen, how often they searched, that
# a talk entered a ranked view, a sign-in that has begun.
LEFT_BY_READING = {"session", "allowance", "feed_entry", "feed_view", "sign_in_try", "access_token"}


def test_s34_no_get_changes_anything_also_as_a_prefetch(stage):
    asked = 0
    tables = sorted({table.name for table in Row.metadata.sorted_tables} - LEFT_BY_READING)
    for who in ("admin", "contributor"):
        for endpoint, method, rule in stage.routes():
            if method != "GET" or endpoint == "static":
                continue
            asked += 1
            path = stage.address(rule, world.choices(stage.world, who, endpoint)[0])
            undo = stage.connection.begin_nested()
            before = printed(stage.connection, tables)
            for headers in ({}, {"Sec-Purpose": "prefetch"}):
                visitor = stage.visitor(who)
                visitor.get(path, headers=headers)
                visitor.ask("HEAD", path, headers=headers)
            assert printed(stage.connection, tables) == before, path
            undo.rollback()
    assert asked > 120


OF_PEOPLE = (
    "episode", "upload", "show", "comment", "rating", "position", "feed_token", "access_token",
    "export", "person", "membership", "review", "report", "community", "identity",
)  # fmt: skip


def printed(connection: Connection, tables: Iterable[str] = OF_PEOPLE) -> Any:
    """Return a fingerprint of all rows of these tables."""
    return [
        connection.execute(
            text(f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {name} AS t")  # noqa: S608
        ).one()
        for name in tables
    ]


def test_s22_what_is_somebody_elses_reads_exactly_like_nothing_and_stays_as_it_is(stage):
    of, asked = stage.world, 0
    theirs = {
        "guid": of.own["author"].guid,
        "upload_id": of.uploads["author"].id,
        "feed_id": of.feeds["author"].id,
        "comment_id": of.comments["author"].id,
    }
    nothing = {
        "guid": uuid4(),
        "upload_id": uuid4(),
        "feed_id": 2**40,
        "comment_id": 2**40,
        "ref": uuid4(),
    }
    before = printed(stage.connection)
    for endpoint, method, rule in stage.routes():
        letter, _ = ROWS[endpoint]
        if letter in {"open", "keyed"} or not set(rule.arguments) & set(nothing):
            continue
        if endpoint == "people.show":
            continue  # everybody signed in may see who everybody is
        known = world.choices(of, "outsider", endpoint)[0]
        own = known | theirs | {"ref": of.exports["author"].ref}
        one, other = (
            stage.ask(stage.visitor("outsider"), method, stage.address(rule, values))
            for values in (own, known | nothing)
        )
        asked += 1
        assert one.status_code == other.status_code, (method, endpoint)
        assert one.status_code in {401, 404, 413, 415, 422}, (method, endpoint, one.status_code)
        told, absent = (FLEETING.sub("", a.get_data(as_text=True)) for a in (one, other))
        assert told == absent, (method, endpoint)
        assert printed(stage.connection) == before, (method, endpoint)
    assert asked > 30
