"""Search in the rows: what is found, in which order, by which index."""

import pytest
from sqlalchemy import text, true

from storage import search
from storage.models import Episode
from tests import factories


@pytest.fixture
def show(session):
    return factories.show(session, factories.person(session))


def found(session, words, *, listed=None, limit=20, offset=0):
    condition = true() if listed is None else listed
    return search.episodes(session, words, listed=condition, limit=limit, offset=offset)


def test_a_title_outranks_a_word_said_once(session, show):
    spoken = factories.episode(session, show, "Pumps", said=["A valve, once."])
    titled = factories.episode(session, show, "The valve", said=["Nothing of note."])
    both = factories.episode(session, show, "Valve and valve", said=["valve " * 20])
    assert found(session, "valve").episode_ids == [both.id, titled.id, spoken.id]


def test_a_talk_that_matches_twice_is_found_once(session, show):
    factories.episode(session, show, "Valve", notes="valve", said=["valve"])
    told = found(session, "valve")
    assert (len(told.episode_ids), told.count) == (1, 1)


def test_the_condition_of_who_asks_holds_for_titles_and_for_speech(session, show):
    factories.episode(session, show, "Valve", said=["Nothing."])
    factories.episode(session, show, "Nothing", said=["valve"])
    assert found(session, "valve").count == 2
    assert found(session, "valve", listed=Episode.title == "Valve").count == 1
    assert found(session, "valve", listed=Episode.title == "None").episode_ids == []


def test_pages_share_one_count(session, show):
    for number in range(5):
        factories.episode(session, show, f"Valve {number}", said=[])
    pages = [found(session, "valve", limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [page.count for page in pages] == [5, 5, 5]
    assert len({each for page in pages for each in page.episode_ids}) == 5


def test_at_most_three_moments_of_a_talk_are_told_in_their_order(session, show):
    talk = factories.episode(
        session, show, said=["valve"] * 3 + ["pump"] + ["valve valve pump"] * 2
    )
    told = search.moments(session, "valve pump", [talk.id])
    assert len(told) == search.MOMENTS
    assert [moment.start for moment in told] == sorted(moment.start for moment in told)
    assert {20.0, 25.0} <= {moment.start for moment in told}
    assert search.moments(session, "valve", []) == []


def test_words_that_must_not_be_there_give_no_moment(session, show):
    talk = factories.episode(session, show, said=["valve", "pump"])
    assert [m.start for m in search.moments(session, "valve -pump", [talk.id])] == [0.0]


@pytest.mark.parametrize(
    "words",
    ["'", "''", "\\", ":*", "a & b", "http://x.io/?a=1&b=2|c", "!!", "()", "<->", "v:*A", "\x02"],
)  # fmt: skip
def test_s20_no_words_are_an_error_of_the_query(session, show, words):
    talk = factories.episode(session, show, said=[words])
    found(session, words)
    search.moments(session, words, [talk.id])


def test_marks_enclose_the_words_that_were_found(session, show):
    talk = factories.episode(session, show, said=["Turn the valves <slowly>."])
    (moment,) = search.moments(session, "valve", [talk.id])
    assert moment.snippet == f"Turn the {search.MARK}valves{search.UNMARK} <slowly>."


def test_both_questions_are_answered_by_an_index(session, show):
    factories.episode(session, show, "Valve", said=["valve"])
    session.execute(text("SET LOCAL enable_seqscan = off"))  # as with more rows than a test has
    for table, column, index in (
        ("episode", "words", "ix_episode_words"),
        ("transcript", "spoken", "ix_transcript_spoken"),
    ):
        plan = session.execute(
            text(
                f"EXPLAIN SELECT 1 FROM {table} WHERE {column} @@"  # noqa: S608
                " websearch_to_tsquery('english'::regconfig, 'valve')"
            )
        )
        assert index in "\n".join(line for (line,) in plan)
