"""A large house in rows: what the planner sees of thousands of people, shows and talks.

Nothing can be played in it: rows of sound have no bytes in the store.
"""

from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel import Session

PEOPLE = text(
    "INSERT INTO person (ref, email, name, role, about, theme, totp_last, emergency, created_at)"
    " SELECT gen_random_uuid(), 'crowd-' || n || '@example.org', 'Person ' || n, 'contributor',"
    " '', 'system', 0, false, now() FROM generate_series(1, :people) AS n"
)
COMMUNITIES = text(
    "INSERT INTO community (slug, name, purpose, joining, created_at)"
    " SELECT 'crowd-' || n, 'Community ' || n, 'What they do.',"
    " (ARRAY['open', 'request', 'group'])[1 + n % 3], now()"
    " FROM generate_series(1, :communities) AS n"
)
# Everybody belongs to five communities.
MEMBERSHIPS = text(
    "WITH who AS (SELECT array_agg(id ORDER BY id) AS ids FROM person WHERE email LIKE 'crowd-%'),"
    " places AS (SELECT array_agg(id ORDER BY id) AS ids FROM community WHERE slug LIKE 'crowd-%')"
    " INSERT INTO membership (community_id, person_id, role, by_group, since)"
    " SELECT DISTINCT places.ids[1 + (n * 7 + k * 13) % :communities], who.ids[n],"
    " CASE WHEN n % 50 = 0 THEN 'steward' ELSE 'member' END, false, now()"
    " FROM who, places, generate_series(1, :people) AS n, generate_series(1, 5) AS k"
)
# Every second show is for members of three communities alone, every twentieth is public.
SHOWS = text(
    "WITH who AS (SELECT array_agg(id ORDER BY id) AS ids FROM person WHERE email LIKE 'crowd-%'),"
    " places AS (SELECT array_agg(id ORDER BY id) AS ids FROM community WHERE slug LIKE 'crowd-%')"
    " INSERT INTO show (guid, slug, title, description, language, owner_id, community_id,"
    " visibility, audience, created_at, changed_at)"
    " SELECT gen_random_uuid(), 'crowd-' || n, 'Show ' || n, 'About it.', 'en', who.ids[n],"
    " places.ids[1 + n % :communities],"
    " CASE WHEN n % 2 = 0 THEN 'communities' WHEN n % 20 = 7 THEN 'public'"
    " ELSE 'organisation' END,"
    " CASE WHEN n % 2 = 0 THEN ARRAY[places.ids[1 + n % :communities],"
    " places.ids[1 + (n + 33) % :communities], places.ids[1 + (n + 66) % :communities]] END,"
    " now(), now() FROM who, places, generate_series(1, :shows) AS n"
)
# A fifth of the talks stand in two large shows, one of everybody's and one that is limited.
TALKS = text(
    "WITH places AS (SELECT array_agg(id ORDER BY id) AS ids FROM show WHERE slug LIKE 'crowd-%')"
    " INSERT INTO episode (guid, show_id, author_id, title, notes, state, revision, attempt,"
    " transcript_revision, has_video, held, hidden_words, show_audience, public, created_at,"
    " published_at, playable_at, changed_at, duration)"
    " SELECT gen_random_uuid(), show.id, show.owner_id, 'Talk ' || n, 'Notes of a talk.',"
    " 'complete', 1, 1, 1, false, false, '', show.audience, show.visibility = 'public', now(),"
    " now() - n * interval '1 minute', now(), now(), 60"
    " FROM places, generate_series(1, :talks) AS n JOIN LATERAL"
    " (SELECT * FROM show WHERE id = (SELECT ids[CASE WHEN n % 5 = 0 THEN 2 + n / 5 % 2"
    " ELSE 1 + n % :shows END] FROM places)) AS show ON true"
)
SCORES = text(
    "INSERT INTO episode_score (episode_id, listed, score, count, total)"
    " SELECT id, true, 3.8 + (id % 97) / 100.0, 0, 0 FROM episode WHERE title LIKE 'Talk %'"
)
SOUND = text(
    "INSERT INTO rendition (episode_id, revision, kind, key, size, type, etag, duration, bitrate,"
    " created_at) SELECT id, 1, 'mp3', 'renditions/' || guid, 960000, 'audio/mpeg',"
    " md5(guid::text), 60, 128000, now() FROM episode WHERE title LIKE 'Talk %'"
)
TOPICS = text(
    "INSERT INTO topic (slug, name) SELECT 'crowd-' || n, 'Topic ' || n"
    " FROM generate_series(1, 50) AS n"
)
TOPICS_OF_TALKS = text(
    "WITH subjects AS (SELECT array_agg(id ORDER BY id) AS ids FROM topic"
    " WHERE slug LIKE 'crowd-%')"
    " INSERT INTO episode_topic (episode_id, topic_id)"
    " SELECT DISTINCT episode.id, ids[1 + (episode.id * k) % 50] FROM subjects, episode,"
    " generate_series(1, 2) AS k WHERE episode.title LIKE 'Talk %'"
)


ANALYZE = text(
    "ANALYZE person, community, membership, show, episode, episode_score, rendition, topic,"
    " episode_topic"
)


@dataclass(frozen=True)
class Size:
    """How much of everything there is."""

    talks: int = 10_000
    communities: int = 100
    people: int = 5_000
    shows: int = 400


def fill(session: Session, size: Size) -> None:
    """Add that much: half of the talks are for members of three communities alone."""
    many = {
        "talks": size.talks,
        "communities": size.communities,
        "people": size.people,
        "shows": size.shows,
    }
    for statement in (
        PEOPLE, COMMUNITIES, MEMBERSHIPS, SHOWS, TALKS, SCORES, SOUND, TOPICS, TOPICS_OF_TALKS,
    ):  # fmt: skip
        named = {name: many[name] for name in many if f":{name}" in statement.text}
        session.execute(statement, named)
    session.execute(ANALYZE)
