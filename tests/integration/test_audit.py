"""The audit log: nothing in it changes, and whoever changes it all the same is found out."""

import ast
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.exc import ProgrammingError
from sqlmodel import Session, col, func, select, text, update

from storage import audit
from storage.models import Audit, AuditLink, now

ROOT = Path(__file__).parents[2]
SECRET = b"s" * 32
ACT = re.compile(r"^[a-z]+(-[a-z]+)*$")
OTHER = b"t" * 32


def write(session, count=5, act="signed-in", **values):
    """Append some acts and return their numbers."""
    for number in range(count):
        audit.record(session, act, actor=f"person-{number}", network="192.0.2.0/24", **values)
    session.commit()
    return session.exec(select(Audit.id).order_by(col(Audit.id).desc()).limit(count)).all()[::-1]


def sealed(session, count=5):
    """Append some acts and link them; return their numbers."""
    written = write(session, count)
    assert audit.seal(session, SECRET) == count
    session.commit()
    return written


def tamper(session, statement, **values):
    """Do to the tables what only their owner could, with the triggers switched off."""
    session.execute(text("SET LOCAL session_replication_role = replica"))
    session.execute(text(statement), values)
    session.commit()


def broken(session, **asked):
    found = audit.verify(session, SECRET, **asked).broken
    session.rollback()
    return found


def test_an_empty_log_holds(session):
    assert audit.verify(session, SECRET) == audit.Verdict(0, audit.START, 0, 0)
    assert audit.end(session, SECRET) == audit.End(0, audit.START, None, 0, None, holds=True)


def test_s70_rows_are_linked_in_batches_and_the_chain_verifies(session):
    assert audit.seal(session, SECRET) == 0
    sealed(session)
    first = audit.verify(session, SECRET)
    assert (first.rows, first.waiting, first.broken) == (5, 0, "")
    write(session, 3)
    assert audit.verify(session, SECRET).waiting == 3
    assert audit.seal(session, SECRET) == 3
    session.commit()
    found = audit.verify(session, SECRET)
    assert (found.rows, found.waiting, found.broken) == (8, 0, "")
    assert found.head != first.head
    positions = session.exec(select(AuditLink.position).order_by(col(AuditLink.position))).all()
    assert positions == list(range(1, 9))


def test_what_is_recorded_goes_with_the_act_that_it_tells_of(session):
    audit.record(session, "signed-in", actor="somebody")
    session.flush()
    session.rollback()
    assert session.exec(select(func.count()).select_from(Audit)).one() == 0


def test_two_sealers_at_once_make_one_chain(database_engine, session):
    write(session, 40)
    together = Barrier(4)

    def work(_):
        with Session(database_engine) as own:
            together.wait()
            count = audit.seal(own, SECRET)
            own.commit()
            return count

    with ThreadPoolExecutor(4) as pool:
        linked = list(pool.map(work, range(4)))
    assert sum(linked) == 40
    found = audit.verify(session, SECRET)
    assert (found.rows, found.waiting, found.broken) == (40, 0, "")


def test_a_row_that_was_committed_late_is_linked_all_the_same(database_engine, session):
    write(session, 2)
    with Session(database_engine) as slow:
        audit.record(slow, "signed-in", actor="slow")
        slow.flush()
        sealed_then = write(session, 2)
        assert audit.seal(session, SECRET) == 4
        session.commit()
        slow.commit()
        late = slow.exec(select(Audit.id).where(Audit.actor == "slow")).one()
    assert late < sealed_then[0]
    assert audit.seal(session, SECRET) == 1
    session.commit()
    assert audit.verify(session, SECRET).broken == ""


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("act", "signed-out"),
        ("actor", "somebody-else"),
        ("subject", "another"),
        ("subject_kind", "episode"),
        ("network", ""),
        ("at", datetime(2020, 1, 1, tzinfo=UTC)),
        ("facts", {"method": "code"}),
    ],
)
def test_s70_a_changed_row_is_named(session, column, value):
    third = sealed(session)[2]
    session.execute(text("SET LOCAL session_replication_role = replica"))
    session.execute(update(Audit).where(col(Audit.id) == third).values({column: value}))
    session.commit()
    assert broken(session).startswith(f"Row {third} of ")
    assert broken(session).endswith("does not fit link 3.")
    assert not audit.end(session, SECRET).holds


def test_s70_a_row_missing_in_the_middle_or_at_the_beginning_is_named(session):
    rows = sealed(session)
    tamper(session, "DELETE FROM audit WHERE id = :row", row=rows[2])
    assert broken(session) == f"Row {rows[2]} is missing (link 3)."
    tamper(session, "DELETE FROM audit WHERE id <= :row", row=rows[2])
    assert broken(session) == f"Row {rows[0]} is missing (link 1)."


def test_s70_a_row_missing_with_its_link_is_named(session):
    rows = sealed(session)
    tamper(session, "DELETE FROM audit WHERE id = :row", row=rows[2])
    tamper(session, "DELETE FROM audit_link WHERE position = 3")
    assert broken(session) == "Link 3 is missing."
    assert not audit.end(session, SECRET).holds
    tamper(session, "UPDATE audit_link SET position = position - 1 WHERE position = 4")
    tamper(session, "UPDATE audit_link SET position = position - 1 WHERE position = 5")
    assert broken(session).startswith(f"Row {rows[3]} of ")


def test_s70_a_changed_link_is_named(session):
    rows = sealed(session)
    tamper(session, "UPDATE audit_link SET hash = repeat('0', 64) WHERE position = 4")
    assert broken(session).startswith(f"Row {rows[3]} of ")


def test_s70_rows_in_another_order_are_named(session):
    rows = sealed(session)
    tamper(
        session,
        "UPDATE audit_link SET audit_id = -audit_id WHERE position IN (2, 3)",
    )
    tamper(session, "UPDATE audit_link SET audit_id = :row WHERE position = 2", row=rows[2])
    tamper(session, "UPDATE audit_link SET audit_id = :row WHERE position = 3", row=rows[1])
    assert broken(session).startswith(f"Row {rows[2]} of ")


def test_s70_a_row_slipped_in_is_never_linked_and_named(session):
    rows = sealed(session)
    tamper(session, "DELETE FROM audit WHERE id = :row", row=rows[-1])
    tamper(session, "DELETE FROM audit_link WHERE position = 5")
    later = now() + audit.PATIENCE * 2
    statement = (
        "INSERT INTO audit (id, at, act, actor, subject_kind, subject, network, facts)"
        " VALUES (:id, now(), 'role-changed', 'x', 'person', 'y', '', '{}')"
    )
    session.execute(text(statement), {"id": rows[0] - 1})
    session.commit()
    assert audit.seal(session, SECRET, at=later) == 0
    found = broken(session, at=later)
    assert found.startswith(f"Row {rows[0] - 1} of ")
    assert found.endswith("was slipped in: it has no link.")


def test_rows_that_no_worker_links_are_told(session):
    sealed(session)
    write(session, 2)
    assert broken(session) == ""
    later = now() + audit.PATIENCE * 2
    assert broken(session, at=later) == "2 rows stand outside the chain; is a worker running?"
    newest = audit.end(session, SECRET)
    assert (newest.waiting, newest.is_late(), newest.is_late(later)) == (2, False, True)


def test_whoever_lacks_the_secret_cannot_forge_the_chain(session):
    sealed(session)
    assert audit.verify(session, OTHER).broken.endswith("does not fit link 1.")
    tamper(session, "DELETE FROM audit_link")
    audit.seal(session, OTHER)
    session.commit()
    assert broken(session).endswith("does not fit link 1.")


def test_a_head_that_was_noted_tells_of_an_end_that_was_cut_off(session):
    sealed(session, 3)
    noted = audit.verify(session, SECRET).head
    rows = sealed(session, 2)
    later = audit.verify(session, SECRET, noted=noted)
    assert (later.noted, later.broken) == (3, "")
    head = later.head
    tamper(session, "DELETE FROM audit WHERE id = :row", row=rows[-1])
    tamper(session, "DELETE FROM audit_link WHERE position = 5")
    found = audit.verify(session, SECRET, noted=head)
    assert (found.noted, found.broken) == (0, "")
    assert audit.verify(session, SECRET, noted=noted.upper()).noted == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'x'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "UPDATE audit_link SET hash = 'x'",
        "DELETE FROM audit_link",
        "TRUNCATE audit_link",
    ],
)
def test_s70_change_deletion_and_emptying_are_refused(session, statement):
    sealed(session, 2)
    with pytest.raises(ProgrammingError, match="append-only"):
        session.execute(text(statement))
    session.rollback()
    assert audit.verify(session, SECRET).rows == 2


def test_retention_lets_the_oldest_go_and_the_chain_still_holds(session):
    rows = sealed(session, 6)
    tamper(
        session,
        "UPDATE audit SET at = at - interval '800 days' WHERE id <= :row",
        row=rows[3],
    )
    reseal(session)
    before = now() - timedelta(days=730)
    assert audit.let_go(session, SECRET, before, most=3) == 3
    session.commit()
    assert audit.let_go(session, SECRET, before, most=3) == 1
    session.commit()
    assert audit.let_go(session, SECRET, before, most=3) == 0
    audit.seal(session, SECRET)
    session.commit()
    found = audit.verify(session, SECRET)
    assert (found.let_go, found.rows, found.broken) == (4, 4, "")
    query = select(Audit).where(Audit.act == "audit-let-go").order_by(col(Audit.id))
    told = session.exec(query).all()
    assert [(row.facts["count"], row.facts["position"]) for row in told] == [(3, 3), (1, 4)]
    assert audit.end(session, SECRET).holds
    # What retention did not let go is still missed.
    tamper(session, "DELETE FROM audit WHERE id = :row", row=rows[4])
    assert broken(session) == f"Row {rows[4]} is missing (link 5)."


def test_s70_a_row_that_says_retention_was_here_hides_nothing_without_the_secret(session):
    rows = sealed(session, 6)
    tamper(session, "DELETE FROM audit WHERE id <= :row", row=rows[3])
    forged = {"position": 4, "count": 4}
    for facts in (forged, forged | {"proof": "0" * 64}, {"position": "4", "count": 4, "proof": 7}):
        session.add(Audit(act="audit-let-go", subject_kind="audit", subject="audit", facts=facts))
        session.commit()
        audit.seal(session, SECRET)
        session.commit()
        assert broken(session) == f"Row {rows[0]} is missing (link 1)."
        assert not audit.end(session, SECRET).holds


def test_s70_what_retention_signed_covers_the_beginning_alone(session):
    rows = sealed(session, 6)
    tamper(session, "UPDATE audit SET at = at - interval '800 days' WHERE id <= :row", row=rows[3])
    reseal(session)
    backup = session.exec(select(Audit).where(Audit.id == rows[1])).one().model_dump()
    assert audit.let_go(session, SECRET, now() - timedelta(days=730)) == 4
    session.commit()
    audit.seal(session, SECRET)
    session.commit()
    assert broken(session) == ""
    # A signed row says four; who puts one back and leaves a hole behind it is found out.
    session.add(Audit(**backup))
    session.commit()
    assert broken(session) == f"Row {rows[2]} is missing (link 3)."
    assert not audit.end(session, SECRET).holds


def test_s70_the_proof_of_another_length_or_secret_proves_nothing(session):
    rows = sealed(session, 6)
    tamper(session, "UPDATE audit SET at = at - interval '800 days' WHERE id <= :row", row=rows[1])
    reseal(session)
    assert audit.let_go(session, SECRET, now() - timedelta(days=730)) == 2
    session.commit()
    told = session.exec(select(Audit).where(Audit.act == "audit-let-go")).one()
    tamper(session, "DELETE FROM audit WHERE id = :row", row=rows[2])
    longer = told.facts | {"position": 3}
    session.add(Audit(act="audit-let-go", subject_kind="audit", subject="audit", facts=longer))
    session.commit()
    audit.seal(session, SECRET)
    session.commit()
    assert broken(session) == f"Row {rows[2]} is missing (link 3)."
    assert audit._let_go_up_to(session, audit._key(OTHER)) == 0


def test_s61_a_worker_whose_clock_is_ahead_causes_no_alarm(database_engine, session, monkeypatch):
    """Its links must not look older than they are to those whose clocks are right, nor to it."""
    write(session, 1)
    audit.seal(session, SECRET)
    session.commit()
    with Session(database_engine) as slow:
        audit.record(slow, "signed-in", actor="slow")
        slow.flush()
        write(session, 1)
        audit.seal(session, SECRET)
        session.commit()
        slow.commit()
    ahead = now() + audit.PATIENCE * 2
    with monkeypatch.context() as wrong:
        wrong.setattr(audit, "now", lambda: ahead)
        assert broken(session) == ""
        assert audit.seal(session, SECRET) == 1
        session.commit()
    assert broken(session) == ""
    sealed_at = session.exec(select(func.max(AuditLink.sealed_at))).one()
    assert abs(sealed_at - now()) < timedelta(minutes=1)


def reseal(session):
    """Make the chain anew, as if the rows had always been as they are."""
    tamper(session, "DELETE FROM audit_link")
    audit.seal(session, SECRET)
    session.commit()
    assert audit.verify(session, SECRET).broken == ""


def test_retention_makes_no_hole_where_clocks_disagree(session):
    rows = sealed(session, 4)
    tamper(session, "UPDATE audit SET at = at - interval '800 days' WHERE id = :row", row=rows[0])
    tamper(session, "UPDATE audit SET at = at - interval '800 days' WHERE id = :row", row=rows[2])
    reseal(session)
    assert audit.let_go(session, SECRET, now() - timedelta(days=730)) == 1
    session.commit()
    assert broken(session) == ""


def test_retention_covers_up_no_row_that_is_missing_already(session):
    rows = sealed(session, 4)
    tamper(session, "UPDATE audit SET at = at - interval '800 days'")
    reseal(session)
    tamper(session, "DELETE FROM audit WHERE id = :row", row=rows[1])
    assert audit.let_go(session, SECRET, now() - timedelta(days=730)) == 1
    session.commit()
    assert broken(session) == f"Row {rows[1]} is missing (link 2)."


def test_rows_without_a_link_are_not_let_go(session):
    write(session, 2)
    assert audit.let_go(session, SECRET, now() + timedelta(days=1)) == 0


FACTS = st.dictionaries(
    st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=10),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False, width=32)
        | st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=20),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=4,
    ),
    max_size=4,
)


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(facts=FACTS)
def test_whatever_the_facts_their_row_fits_its_link_for_good(session, facts):
    session.add(Audit(act="signed-in", facts=facts))
    session.commit()
    audit.seal(session, SECRET)
    session.commit()
    session.expire_all()
    assert audit.verify(session, SECRET).broken == ""


def test_sealing_does_not_grow_with_the_log(database_engine, session):
    session.execute(
        text(
            "INSERT INTO audit (id, at, act, actor, subject_kind, subject, network, facts)"
            " SELECT n, now() - interval '1 day', 'signed-in', '', '', '', '', '{}'"
            " FROM generate_series(1, 20000) n"
        )
    )
    session.execute(
        text(
            "INSERT INTO audit_link (position, audit_id, hash, sealed_at)"
            " SELECT n, n, repeat('0', 64), now() - interval '1 day'"
            " FROM generate_series(1, 20000) n"
        )
    )
    session.execute(text("SELECT setval('audit_id_seq', 20001)"))
    session.execute(text("ANALYZE audit; ANALYZE audit_link"))
    session.commit()
    write(session, 3)
    seen = plans(database_engine, session, lambda: audit.seal(session, SECRET))
    assert seen
    assert [plan for plan in seen if "Seq Scan" in plan] == []
    seen = plans(database_engine, session, lambda: audit.end(session, SECRET))
    assert seen
    assert [plan for plan in seen if "Seq Scan" in plan] == []


def plans(engine, session, act):
    """Return the plans of the statements that read the log while `act` runs."""
    read = []

    def keep(_connection, _cursor, statement, parameters, *_):
        if "FROM audit" in statement and not statement.startswith("EXPLAIN"):
            read.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", keep)
    try:
        act()
    finally:
        event.remove(engine, "before_cursor_execute", keep)
    session.commit()
    told = []
    with engine.connect() as connection:
        for statement, parameters in read:
            rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            told.append("\n".join(row[0] for row in rows))
    return told


def test_a_long_log_is_checked_as_a_stream(session):
    count = audit.BATCH * 2 + 5
    session.execute(
        text(
            "INSERT INTO audit (id, at, act, actor, subject_kind, subject, network, facts)"
            " SELECT n + 1000000, now(), 'signed-in', '', '', '', '', '{}'"
            " FROM generate_series(1, :count) n"
        ),
        {"count": count},
    )
    session.commit()
    assert audit.seal(session, SECRET) == count
    session.commit()
    assert audit.verify(session, SECRET).rows == count


WRITERS = {"record", "_record", "_note", "_tell", "noted"}
SECRETS = {"password", "secret", "token", "code", "codes", "cookie", "link", "key", "address"}
TYPED = {"email", "name", "words", "body", "title", "text", "label"}


def trees():
    for package in ("service", "storage", "workers"):
        for path in (ROOT / package).rglob("*.py"):
            text_of = path.read_text()
            if "audit" in text_of or "noted(" in text_of:
                yield path, ast.parse(text_of)


def called(node):
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def recorded():
    """Return each call that writes an act down: the act where it stands there, names, place."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node) in WRITERS:
                texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
                act = next((t for t in texts if isinstance(t, str) and ACT.match(t)), "")
                yield act, {given.arg for given in node.keywords}, f"{path.name}:{node.lineno}"


def test_s70_every_act_of_the_list_is_written_down_somewhere_and_no_other():
    written = {act for act, _, _ in recorded() if act}
    # What moderators decide is written by its name; states of a second factor are no acts.
    constants = {
        node.value
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if path.name != "audit.py" or path.parent.name != "storage"
    }
    constants |= {audit.LET_GO}
    assert [act for act in audit.ACTS if act not in constants] == []
    assert written - set(audit.ACTS) == {"on", "off", "renewed"}
    assert list(audit.ACTS) == sorted(set(audit.ACTS))
    assert [act for act in audit.ACTS if len(act) > 40] == []


def test_s70_facts_bear_no_secrets_and_nothing_that_people_typed():
    found = list(recorded())
    assert len(found) > 40
    bad = [(act, names, place) for act, names, place in found if names & (SECRETS | TYPED)]
    assert bad == []
