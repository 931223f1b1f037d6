"""What a feed asks of the database in a house with thousands of talks."""

import re

import pytest
from sqlalchemy import event, text

from service.feed import channel, entries, tokens
from tests import factories

TALKS, SHOWS = 4_000, 50
FILL = (
    (
        "INSERT INTO show (guid, slug, title, description, language, owner_id, visibility,"
        " created_at, changed_at) SELECT gen_random_uuid(), 'show-' || n, 'Show ' || n, '', 'en',"
        " :owner, 'organisation', now(), now() FROM generate_series(1, :shows) n"
    ),
    (
        "INSERT INTO episode (guid, show_id, author_id, title, notes, state, revision, attempt,"
        " transcript_revision, has_video, held, hidden_words, public, created_at, published_at,"
        " changed_at, audience) SELECT gen_random_uuid(), first + n % :shows, :owner, 'Talk', '',"
        " 'complete', 1, 1, 1, false, false, '', false, now(), now() - n * interval '1 minute',"
        " now() - n * interval '1 minute', CASE WHEN n % 2 = 0 THEN ARRAY[n % 100] END::bigint[]"
        " FROM generate_series(1, :talks) n, (SELECT min(id) AS first FROM show) one"
    ),
    (
        "INSERT INTO rendition (episode_id, revision, kind, key, size, type, etag, duration,"
        " bitrate, created_at) SELECT id, 1, kind, kind || id, 1000, 'audio/mpeg', md5(id::text),"
        " 60, 64000, now() FROM episode, unnest(ARRAY['mp3', 'm4a']) kind"
    ),
    (
        "INSERT INTO episode_score (episode_id, listed, score, count, total)"
        " SELECT id, true, random(), 1, 4 FROM episode"
    ),
)


@pytest.fixture
def large(session, settings):
    """A house of thousands of talks, half of them narrowed; its owner's tokens, of both kinds."""
    owner = factories.person(session)
    for statement in FILL:
        session.execute(text(statement), {"owner": owner.id, "shows": SHOWS, "talks": TALKS})
    first = session.execute(text("SELECT min(id) FROM show")).scalar_one()
    views = [channel.view_of_show(session, first), channel.view_top(session)]
    held = [tokens.issue(session, owner.id, view, secret=settings.secret) for view in views]
    session.commit()
    # Not in the session's transaction: the planner shall know the tables as they are by then.
    with session.get_bind().connect().execution_options(isolation_level="AUTOCOMMIT") as outside:
        outside.execute(text("ANALYZE"))
    return held


def plans(session, act):
    """Return the plans of all statements that an act sends."""
    said = []
    engine = session.get_bind()

    def note(_connection, _cursor, statement, values, *_rest):
        said.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return [
        "\n".join(
            row[0] for row in session.connection().exec_driver_sql(f"EXPLAIN {statement}", values)
        )
        for statement, values in said
    ]


def test_a_poll_passes_over_no_table_of_thousands(session, settings, large):
    for token in large:
        spelled = tokens.spelled(settings.secret, token)

        def poll(spelled=spelled):
            opened = tokens.by_spelling(session, spelled)
            entries.standing(session, opened.asker, opened.view, 1)

        session.expire_all()
        two = plans(session, poll)
        assert len(two) == 2
        for plan in two:
            passes = re.findall(r"Seq Scan on (episode|rendition|episode_score)\b", plan)
            assert passes == [], plan
