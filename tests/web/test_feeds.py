"""Private feeds over HTTP: what is in them, when they change, and when they say no."""

import gzip
import io
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime

import feedparser
import podcastparser
import pytest
from click.testing import CliRunner
from lxml import etree
from sqlalchemy import event
from sqlmodel import Session, select

from service import leaks
from service.access_log import blanked
from service.app import create_app, floor_of
from service.commands.feed_token import command
from service.feed import tokens
from storage.models import (
    Audit,
    EpisodePerson,
    EpisodeScore,
    FeedEntry,
    FeedKey,
    FeedNetwork,
    FeedToken,
    Mail,
    Membership,
    Notice,
    Person,
    now,
)
from tests import factories, feed_rules
from tests.web.listeners import (
    LONG_AGO,
    Listener,
    add_person,
    add_rendition,
    add_show,
    add_talk,
    add_token,
    add_transcript,
)
from tests.web.visitors import visitor


@pytest.fixture(scope="module")
def app(house):
    made = create_app(house)
    yield made
    floor_of(made).database.close()


@pytest.fixture
def listener(app, house):
    return Listener(app, house)


@dataclass
class Stage:
    """One show with three talks, and the addresses of its feed and of the top rated one."""

    show: object
    talks: list
    person: object
    token: FeedToken
    top: FeedToken
    address: str
    top_address: str


@pytest.fixture
def stage(session, settings):
    owner, person = add_person(session), add_person(session, "Bo Chen")
    show = add_show(session, owner)
    talks = [add_talk(session, show, number) for number in (1, 2, 3)]
    for talk in talks:
        add_rendition(session, talk)
    token = add_token(session, settings, person, show)
    top = add_token(session, settings, person, None)
    session.commit()
    return Stage(
        show, talks, person, token, top,
        tokens.address(settings, token), tokens.address(settings, top),
    )  # fmt: skip


@contextmanager
def counted(app):
    """Collect the statements that the application sends."""
    said: list[str] = []

    def note(_connection, _cursor, statement, *_rest):
        said.append(statement)

    engine = floor_of(app).database.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(engine, "before_cursor_execute", note)


def tree_of(answer):
    return etree.fromstring(answer.data)


def found(answer, path):
    return tree_of(answer).xpath(path, namespaces=feed_rules.SPACES)


def titles(answer):
    return found(answer, "//item/title/text()")


def change(session: Session, row, **values):
    """Change a row as a writer does: with its time of change."""
    for name, value in values.items():
        setattr(row, name, value)
    session.add(row)
    session.commit()


def test_a_show_is_read_newest_first(listener, stage):
    answer = listener.get(stage.address)
    assert answer.status_code == 200
    assert answer.content_type == "application/rss+xml; charset=utf-8"
    assert titles(answer) == ["Talk 3", "Talk 2", "Talk 1"]
    assert found(answer, "/rss/channel/title/text()") == ["Platform talks"]
    dates = [parsedate_to_datetime(date) for date in found(answer, "//pubDate/text()")]
    assert dates == [talk.published_at for talk in reversed(stage.talks)]


def test_feeds_keep_every_rule_and_are_read_by_two_parsers(session, settings, listener, stage):
    add_transcript(session, stage.talks[0])
    for kind in ("m4a", "mp4"):
        add_rendition(session, stage.talks[0], kind)
    guest = add_person(session, "Cy <b>Ortiz</b>")
    session.add(EpisodePerson(episode_id=stage.talks[0].id, person_id=guest.id, role="guest"))
    film = add_token(session, settings, stage.person, stage.show, mode="video")
    session.commit()
    for address in (stage.address, stage.top_address, tokens.address(settings, film)):
        answer = listener.get(address)
        assert feed_rules.findings(answer.data) == []
        read = podcastparser.parse(address, io.BytesIO(answer.data))
        assert [one["guid"] for one in read["episodes"]] == found(answer, "//item/guid/text()")
        assert not feedparser.parse(answer.data).bozo
    assert found(answer, "//podcast:person/text()").count("Cy <b>Ortiz</b>") == 1
    assert found(answer, "//item[3]/enclosure/@type") == ["video/mp4"]
    assert found(answer, "//item[1]/enclosure/@type") == ["audio/mpeg"]


def test_each_row_of_the_feed_is_the_databases(listener, stage, session):
    add_transcript(session, stage.talks[2])
    session.commit()
    item = found(listener.get(stage.address), "//item[1]")[0]
    talk = stage.talks[2]
    assert item.findtext("guid") == str(talk.guid)
    assert item.findtext("link").endswith(f"/episodes/{talk.guid}")
    assert item.findtext("description") == "<p>Notes of talk 3.</p>"
    assert item.findtext("{*}duration") == "60"
    assert item.findtext("{*}author") == "Ana Lima"
    assert item.find("enclosure").get("length") == str(len(b"no such object"))
    assert [one.get("language") for one in item.findall("{*}transcript")] == ["en"] * 3


def test_the_top_rated_feed_follows_the_ranking(session, listener, stage):
    assert titles(listener.get(stage.top_address)) == ["Talk 3", "Talk 2", "Talk 1"]
    score = session.get(EpisodeScore, stage.talks[0].id)
    change(session, score, score=0.9)
    assert titles(listener.get(stage.top_address)) == ["Talk 1", "Talk 3", "Talk 2"]


def test_entries_are_dated_once_and_in_the_order_of_rank(session, listener, stage):
    before = now()
    first = listener.get(stage.top_address)
    dates = [parsedate_to_datetime(date) for date in found(first, "//pubDate/text()")]
    assert dates == sorted(dates, reverse=True)
    assert [one - dates[-1] for one in dates] == [timedelta(seconds=s) for s in (2, 1, 0)]
    assert before - timedelta(seconds=1) <= dates[0] <= now()

    def by_guid(answer):
        pairs = found(answer, "//item")
        return {one.findtext("guid"): one.findtext("pubDate") for one in pairs}

    change(session, session.get(EpisodeScore, stage.talks[0].id), score=0.9)
    change(session, session.get(EpisodeScore, stage.talks[1].id), listed=False)
    gone = listener.get(stage.top_address)
    assert titles(gone) == ["Talk 1", "Talk 3"]
    change(session, session.get(EpisodeScore, stage.talks[1].id), listed=True)
    assert by_guid(listener.get(stage.top_address)) == by_guid(first)
    assert len(session.exec(select(FeedEntry)).all()) == 3


def test_two_people_have_other_addresses_and_the_same_guids(session, settings, listener, stage):
    other = add_token(session, settings, add_person(session, "Di"), stage.show)
    session.commit()
    mine, theirs = listener.get(stage.address), listener.get(tokens.address(settings, other))
    guids = "//guid/text() | //podcast:guid/text()"
    assert found(mine, guids) == found(theirs, guids)
    addresses = "//enclosure/@url | //@href[contains(., '/f/')] | //url/text()"
    assert not set(found(mine, addresses)) & set(found(theirs, addresses))


def test_what_is_not_to_be_heard_is_in_no_feed(session, listener, stage):
    add_talk(session, stage.show, 4, title="No sound yet", state="processing")
    draft = add_talk(session, stage.show, 5, title="A draft", state="draft", published_at=None)
    add_rendition(session, draft)
    change(session, stage.talks[0], withdrawn_at=now(), changed_at=now())
    assert titles(listener.get(stage.address)) == ["Talk 3", "Talk 2"]
    assert titles(listener.get(stage.top_address)) == ["Talk 3", "Talk 2"]


def test_a_replaced_source_stays_audible_until_the_new_sound_is_there(session, listener, stage):
    change(session, stage.talks[2], revision=2, state="processing", changed_at=now())
    assert "/1/audio.mp3" in found(listener.get(stage.address), "//item[1]/enclosure/@url")[0]
    add_rendition(session, stage.talks[2])
    session.commit()
    answer = listener.get(stage.address)
    assert "/2/audio.mp3" in found(answer, "//item[1]/enclosure/@url")[0]
    assert found(answer, "//item[1]/guid/text()") == [str(stage.talks[2].guid)]


def test_two_readings_are_equal_byte_for_byte(listener, stage):
    assert listener.get(stage.address).data == listener.get(stage.address).data
    listener.get(stage.top_address)
    assert listener.get(stage.top_address).data == listener.get(stage.top_address).data


def test_a_feed_says_that_it_is_private(listener, stage):
    for method in ("GET", "HEAD"):
        headers = listener.get(stage.address, method).headers
        assert headers["Cache-Control"] == "private, no-cache"
        assert headers["X-Robots-Tag"] == "noindex, nofollow"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Vary"] == "Accept-Encoding"
        assert headers["ETag"].startswith('W/"')
        assert "Set-Cookie" not in headers
        assert "Access-Control-Allow-Origin" not in headers


def test_head_says_what_get_would(listener, stage):
    head, whole = listener.get(stage.address, "HEAD"), listener.get(stage.address)
    assert head.status_code == 200
    assert head.data == b""
    assert int(head.headers["Content-Length"]) == len(whole.data)
    for name in ("ETag", "Last-Modified", "Content-Type"):
        assert head.headers[name] == whole.headers[name]


def test_an_app_that_takes_gzip_gets_it(listener, stage):
    packed = listener.get(stage.address, Accept_Encoding="br, gzip;q=0.8")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == listener.get(stage.address).data
    assert "Content-Encoding" not in listener.get(
        stage.address, Accept_Encoding="gzip;q=0"
    ).headers  # fmt: skip


@pytest.mark.parametrize("which", ["address", "top_address"])
def test_nothing_new_costs_two_statements_and_no_text(app, listener, stage, which, monkeypatch):
    address = getattr(stage, which)
    tag = listener.get(address).headers["ETag"]
    with counted(app) as said:
        answer = listener.get(address, If_None_Match=f'"else", {tag}')
    assert answer.status_code == 304
    assert answer.data == b""
    assert answer.headers["ETag"] == tag
    assert len(said) <= 2
    with counted(app) as said:
        assert listener.get(address).status_code == 200
    assert len(said) <= 6


def test_the_date_alone_is_enough_for_a_show(listener, stage):
    modified = listener.get(stage.address).headers["Last-Modified"]
    assert listener.get(stage.address, If_Modified_Since=modified).status_code == 304
    earlier = "Sun, 01 Feb 2026 00:00:00 GMT"
    assert listener.get(stage.address, If_Modified_Since=earlier).status_code == 200
    # RFC 9110, section 13.1.3: a tag that differs outweighs a date that does not.
    answer = listener.get(stage.address, If_Modified_Since=modified, If_None_Match='"else"')
    assert answer.status_code == 200


def test_a_talk_that_moved_away_and_a_new_name_are_not_missed_by_date(
    app, settings, session, listener, stage
):
    owner = session.get(Person, stage.show.owner_id)
    other = factories.show(session, owner, "Another show")
    browser = visitor(app, settings, session, owner)
    modified = listener.get(stage.address).headers["Last-Modified"]
    guid = stage.talks[0].guid
    moved = browser.post(f"/studio/{guid}", title="Gone", language="en", show=other.slug)
    assert moved.status_code == 303
    answer = listener.get(stage.address, If_Modified_Since=modified)
    assert (answer.status_code, titles(answer)) == (200, ["Talk 3", "Talk 2"])
    for theirs in ("show", "talk", "voice"):
        ana = factories.person(session, f"Before {theirs}")
        if theirs == "show":
            stage.show.owner_id = ana.id
        elif theirs == "talk":
            stage.talks[1].author_id = ana.id
        else:
            session.add(EpisodePerson(episode_id=stage.talks[1].id, person_id=ana.id))
        change(session, stage.show, changed_at=LONG_AGO)
        for row in (*stage.talks, other):
            change(session, row, changed_at=LONG_AGO)
        modified = listener.get(stage.address).headers["Last-Modified"]
        browser = visitor(app, settings, session, ana)
        assert browser.post("/account/", name=f"After {theirs}").status_code == 303
        answer = listener.get(stage.address, If_Modified_Since=modified)
        assert answer.status_code == 200, theirs
        assert f"After {theirs}" in answer.text


def test_a_change_within_the_same_second_is_not_missed(session, listener, stage):
    change(session, stage.talks[0], title="New title", changed_at=now())
    modified = listener.get(stage.address).headers["Last-Modified"]
    change(session, stage.talks[0], title="Newer title", changed_at=now())
    assert listener.get(stage.address, If_Modified_Since=modified).status_code == 200


def test_a_date_proves_nothing_of_an_order(session, listener, stage):
    modified = listener.get(stage.top_address).headers["Last-Modified"]
    change(session, session.get(EpisodeScore, stage.talks[0].id), score=0.9)
    assert listener.get(stage.top_address, If_Modified_Since=modified).status_code == 200


def rename(session, stage):
    change(session, stage.talks[0], title="Another title")


def rewrite(session, stage):
    change(session, stage.talks[0], notes="Other notes.")


def transcribe(session, stage):
    add_transcript(session, stage.talks[0])
    change(session, stage.talks[0], transcript_revision=2)


def film(session, stage):
    add_rendition(session, stage.talks[0], "mp4")
    session.commit()


def re_encode(session, stage):
    add_rendition(session, stage.talks[0], "m4a")
    session.commit()


def invite(session, stage):
    guest = add_person(session, "A guest")
    session.add(EpisodePerson(episode_id=stage.talks[0].id, person_id=guest.id, role="guest"))
    session.commit()


def marry(session, stage):
    owner = session.get(type(stage.person), stage.show.owner_id)
    change(session, owner, name="Ana Lima-Chen")


def publish(session, stage):
    add_rendition(session, add_talk(session, stage.show, 4))
    session.commit()


def withdraw(session, stage):
    change(session, stage.talks[0], withdrawn_at=now(), changed_at=now())


def move(session, stage):
    owner = session.get(type(stage.person), stage.show.owner_id)
    other = add_show(session, owner, slug="other", title="Other")
    change(session, stage.talks[0], show_id=other.id)


def retitle_show(session, stage):
    change(session, stage.show, title="Platform, renewed")


CHANGES = (
    rename, rewrite, transcribe, film, re_encode, invite, marry, publish, withdraw, move,
    retitle_show,
)  # fmt: skip


@pytest.mark.parametrize("happening", CHANGES, ids=lambda one: one.__name__)
def test_whatever_the_feed_shows_changes_its_tag(session, listener, stage, happening):
    before = listener.get(stage.address)
    happening(session, stage)
    after = listener.get(stage.address, If_None_Match=before.headers["ETag"])
    assert after.status_code == 200
    assert after.data != before.data


def test_what_the_feed_does_not_show_leaves_its_tag(session, listener, stage):
    tag = listener.get(stage.address).headers["ETag"]
    other = add_show(session, stage.person, slug="other", title="Other")
    add_rendition(session, add_talk(session, other, 9))
    add_talk(session, stage.show, 8, state="draft", published_at=None)
    change(session, session.get(EpisodeScore, stage.talks[0].id), score=0.9, count=5)
    change(session, stage.token, used_at=now(), used_by="Castro")
    assert listener.get(stage.address, If_None_Match=tag).status_code == 304


def test_a_revoked_feed_is_gone_at_once(session, listener, stage):
    tag = listener.get(stage.address).headers["ETag"]
    tokens.revoke(session, stage.token)
    session.commit()
    for method in ("GET", "HEAD"):
        answer = listener.get(stage.address, method, If_None_Match=tag)
        assert answer.status_code == 410
        assert answer.headers["Cache-Control"] == "no-store"
    assert listener.get(stage.address).text == "This feed was closed by its owner.\n"
    assert listener.get(stage.top_address).status_code == 200


def test_an_unknown_token_is_404_and_never_401(listener, stage, settings):
    wrong = tokens.spelled(settings.secret + b"!", stage.token)
    for path in (f"/f/{wrong}.xml", "/f/x.xml", f"/f/{stage.token.ref}.xml"):
        answer = listener.get(path)
        assert answer.status_code == 404
        assert answer.mimetype == "text/plain"
        assert "WWW-Authenticate" not in answer.headers
        assert wrong not in answer.text


def test_a_disabled_account_pauses_its_feeds(session, listener, stage):
    change(session, stage.person, disabled_at=now())
    answer = listener.get(stage.address)
    assert answer.status_code == 403
    assert answer.headers["Retry-After"] == "86400"
    change(session, stage.person, disabled_at=None)
    assert listener.get(stage.address).status_code == 200


def rotate(session, settings, token, days=30):
    """Rotate a token as its owner does; return its new address."""
    tokens.rotate(session, token, secret=settings.secret, grace=timedelta(days=days))
    session.commit()
    return tokens.address(settings, token)


def end_grace(session, token):
    """Let the time pass until a token's older addresses lead nowhere."""
    for key in session.exec(select(FeedKey).where(FeedKey.token_id == token.id)):
        if key.until is not None:
            key.until = now() - timedelta(minutes=1)
            session.add(key)
    session.commit()


def key_address(settings, token, talk, generation):
    key = tokens.episode_key(settings.secret, token, talk.guid, generation)
    return f"/m/{token.ref}/{key}/{talk.guid}/1/audio.mp3"


def test_a_rotated_address_leads_to_the_new_one_for_a_while(session, settings, listener, stage):
    before = listener.get(stage.address)
    new = rotate(session, settings, stage.token)
    for method in ("GET", "HEAD"):
        moved = listener.get(stage.address, method, If_None_Match=before.headers["ETag"])
        assert (moved.status_code, moved.headers["Location"]) == (301, new)
        assert moved.headers["Cache-Control"] == "no-store"
        assert moved.headers["Referrer-Policy"] == "no-referrer"
    assert stage.address not in moved.text
    answer = listener.get(new)
    assert titles(answer) == titles(before)
    assert found(answer, "//item/guid/text()") == found(before, "//item/guid/text()")
    assert found(answer, "//itunes:new-feed-url/text()") == [new]
    assert feed_rules.findings(answer.data) == []
    assert not set(found(answer, "//enclosure/@url")) & set(found(before, "//enclosure/@url"))


def test_media_keys_of_every_generation_in_grace_work(session, settings, listener, stage):
    rotate(session, settings, stage.token)
    newest = rotate(session, settings, stage.token)
    assert listener.get(stage.address).headers["Location"] == newest
    addresses = [key_address(settings, stage.token, stage.talks[0], n) for n in (1, 2, 3)]
    assert [listener.get(one, "HEAD").status_code for one in addresses] == [200] * 3
    assert listener.get(key_address(settings, stage.token, stage.talks[0], 4)).status_code == 404
    end_grace(session, stage.token)
    assert [listener.get(one, "HEAD").status_code for one in addresses] == [410, 410, 200]
    tokens.revoke(session, stage.token)
    session.commit()
    assert [listener.get(one, "HEAD").status_code for one in addresses] == [410] * 3


def test_after_its_grace_an_old_address_is_gone_and_the_new_one_says_no_more(
    session, settings, listener, stage
):
    new = rotate(session, settings, stage.token)
    tag = listener.get(new).headers["ETag"]
    assert listener.get(new, If_None_Match=tag).status_code == 304
    end_grace(session, stage.token)
    assert listener.get(stage.address).status_code == 410
    after = listener.get(new, If_None_Match=tag)
    assert after.status_code == 200
    assert found(after, "//itunes:new-feed-url") == []
    (until,) = [one for one in session.exec(select(FeedKey.until)) if one is not None]
    assert parsedate_to_datetime(after.headers["Last-Modified"]) >= until.replace(microsecond=0)


def test_a_house_without_grace_closes_the_old_address_at_once(session, settings, listener, stage):
    new = rotate(session, settings, stage.token, days=0)
    assert listener.get(stage.address).status_code == 410
    assert found(listener.get(new), "//itunes:new-feed-url") == []


def test_a_moved_address_keeps_its_page(session, settings, listener, stage, monkeypatch):
    monkeypatch.setattr("service.feed.entries.PAGE_SIZE", 2)
    new = rotate(session, settings, stage.token)
    moved = listener.get(f"{stage.address}?page=2")
    assert moved.headers["Location"] == f"{new}?page=2"
    assert titles(listener.get(moved.headers["Location"])) == ["Talk 1"]
    second = listener.get(f"{new}?page=2")
    assert found(second, "//itunes:new-feed-url/text()") == [new]
    assert listener.get(f"{stage.address}?page=x").status_code == 404


def test_a_date_from_before_the_move_proves_nothing(session, settings, listener, stage):
    modified = listener.get(stage.address).headers["Last-Modified"]
    new = rotate(session, settings, stage.token)
    assert listener.get(new, If_Modified_Since=modified).status_code == 200


def test_a_replaced_address_leads_nowhere(session, settings, listener, stage):
    old = stage.address
    made = tokens.replace(session, stage.token, secret=settings.secret)
    session.commit()
    for method in ("GET", "HEAD"):
        gone = listener.get(old, method)
        assert gone.status_code == 410
        assert "Location" not in gone.headers
    assert listener.get(key_address(settings, stage.token, stage.talks[0], 1)).status_code == 410
    assert titles(listener.get(tokens.address(settings, made))) == ["Talk 3", "Talk 2", "Talk 1"]
    with pytest.raises(tokens.ClosedError):
        tokens.replace(session, stage.token, secret=settings.secret)
    with pytest.raises(tokens.ClosedError):
        rotate(session, settings, stage.token)


def test_an_address_runs_out_when_it_was_made_to(session, settings, listener, stage):
    change(session, stage.token, expires_at=now() + timedelta(minutes=1))
    assert listener.get(stage.address).status_code == 200
    change(session, stage.token, expires_at=now() - timedelta(seconds=1))
    assert listener.get(stage.address).status_code == 410
    media = listener.get(key_address(settings, stage.token, stage.talks[0], 1), "HEAD")
    assert media.status_code == 410
    # What has run out makes room for another, and cannot be brought back by renewing it.
    assert (
        tokens.mine(session, factories.asker(session, stage.person))[-1].token.id == stage.token.id
    )
    with pytest.raises(tokens.ClosedError):
        rotate(session, settings, stage.token)


# Suspended and erased people


def test_who_no_provider_vouches_for_any_more_is_paused_and_comes_back(
    session, settings, listener, stage
):
    media = key_address(settings, stage.token, stage.talks[0], 1)
    change(session, stage.person, vouched_at=now() - timedelta(days=89))
    assert listener.get(stage.address).status_code == 200
    change(session, stage.person, vouched_at=now() - timedelta(days=91))
    for path in (stage.address, stage.top_address, media):
        paused = listener.get(path)
        assert paused.status_code == 403
        assert paused.headers["Retry-After"] == "86400"
        assert paused.text == "Sign in once to open this feed again.\n"
    change(session, stage.person, password_hash="$argon2id$")
    assert listener.get(stage.address).status_code == 200
    change(session, stage.person, password_hash=None)
    assert listener.get(stage.address).status_code == 403
    change(session, stage.person, vouched_at=now())
    assert listener.get(stage.address).status_code == 200


def test_a_pause_that_lasts_becomes_an_end_until_somebody_comes_back(session, listener, stage):
    change(session, stage.person, disabled_at=now() - timedelta(days=29))
    paused = listener.get(stage.address)
    assert (paused.status_code, paused.text) == (403, "This account is closed.\n")
    change(session, stage.person, disabled_at=now() - timedelta(days=31))
    assert listener.get(stage.address).status_code == 410
    change(session, stage.person, disabled_at=None)
    assert listener.get(stage.address).status_code == 200


def test_an_erased_persons_addresses_are_gone(session, settings, listener, stage):
    change(session, stage.person, erased_at=now(), disabled_at=now())
    media = key_address(settings, stage.token, stage.talks[0], 1)
    assert {listener.get(path).status_code for path in (stage.address, media)} == {410}


# Rights that change


@pytest.fixture
def community(session, stage):
    """A community that the reader belongs to."""
    made = factories.community(session, "Out on site")
    factories.member(session, made, stage.person)
    session.commit()
    return made


def leave(session, community, person):
    session.delete(session.get(Membership, (community.id, person.id)))
    session.commit()


def narrow(session, talk, community):
    """Narrow a talk to a community as its author does."""
    change(session, talk, audience=[community.id], changed_at=now())


def limit_show(session, stage, community):
    """Make the whole show a community's, as its owner does."""
    change(session, stage.show, visibility="communities", audience=[community.id])
    for talk in stage.talks:
        change(session, talk, show_audience=[community.id])


def test_s23_a_feed_of_a_show_that_its_reader_may_see_no_more_is_gone(
    session, settings, listener, stage, community
):
    limit_show(session, stage, community)
    tag = listener.get(stage.address).headers["ETag"]
    assert titles(listener.get(stage.top_address)) == ["Talk 3", "Talk 2", "Talk 1"]
    leave(session, community, stage.person)
    for method in ("GET", "HEAD"):
        gone = listener.get(stage.address, method, If_None_Match=tag)
        assert gone.status_code == 410
    assert gone.headers["Cache-Control"] == "no-store"
    assert titles(listener.get(stage.top_address)) == []
    for token in (stage.token, stage.top):
        media = listener.get(key_address(settings, token, stage.talks[0], 1), "HEAD")
        assert media.status_code == 410


@pytest.mark.parametrize("which", ["address", "top_address"])
def test_s23_what_was_narrowed_leaves_the_feed_with_the_next_request(
    session, listener, stage, community, which
):
    address = getattr(stage, which)
    narrow(session, stage.talks[1], community)
    inside = listener.get(address)
    assert titles(inside) == ["Talk 3", "Talk 2", "Talk 1"]
    told = {
        "If_None_Match": inside.headers["ETag"],
        "If_Modified_Since": inside.headers["Last-Modified"],
    }
    assert listener.get(address, **told).status_code == 304
    leave(session, community, stage.person)
    outside = listener.get(address, **told)
    assert titles(outside) == ["Talk 3", "Talk 1"]
    # Memberships leave no date behind, so where they matter a date proves nothing.
    late = listener.get(address, If_Modified_Since=outside.headers["Last-Modified"])
    assert late.status_code == 200
    factories.member(session, community, stage.person)
    session.commit()
    assert titles(listener.get(address, If_None_Match=outside.headers["ETag"])) == titles(inside)


def test_the_tag_of_one_reader_is_nothing_to_another(session, settings, listener, stage, community):
    narrow(session, stage.talks[1], community)
    other = add_token(session, settings, add_person(session, "Di"), stage.show)
    session.commit()
    tag = listener.get(stage.address).headers["ETag"]
    theirs = listener.get(tokens.address(settings, other), If_None_Match=tag)
    assert titles(theirs) == ["Talk 3", "Talk 1"]


def test_what_a_moderator_hid_is_in_no_feed(session, settings, listener, stage):
    tag = listener.get(stage.address).headers["ETag"]
    change(session, stage.talks[2], hidden_at=now(), changed_at=now())
    assert titles(listener.get(stage.address, If_None_Match=tag)) == ["Talk 2", "Talk 1"]
    assert titles(listener.get(stage.top_address)) == ["Talk 2", "Talk 1"]
    media = key_address(settings, stage.token, stage.talks[2], 1)
    assert listener.get(media, "HEAD").status_code == 410
    change(session, stage.talks[2], hidden_at=None)
    assert listener.get(media, "HEAD").status_code == 200


# Networks and the alarm


def told(session, kind="feed-alarm"):
    session.rollback()
    return session.exec(select(Notice).where(Notice.kind == kind)).all()


def test_use_from_eleven_networks_within_a_day_tells_the_owner_once(session, listener, stage):
    for number in range(10):
        listener.get(stage.address, at=f"10.0.{number}.7")
        listener.get(stage.address, at=f"10.0.{number}.8")
    assert told(session) == []
    listener.get(stage.address, at="2001:db8:1:2:3::4")
    notice = told(session)
    assert [one.person_id for one in notice] == [stage.person.id]
    assert "11 networks" in notice[0].words
    assert notice[0].path == f"/feeds/#feed-{stage.token.id}"
    listener.get(stage.address, at="10.0.99.1")
    assert len(told(session)) == 1
    networks = session.exec(select(FeedNetwork.network)).all()
    assert len(networks) == 12
    assert "2001:db8:1:2::/64" in networks
    assert all(network.endswith((".0/24", "/64")) for network in networks)
    acts = session.exec(select(Audit).where(Audit.act == "feed-used-widely")).all()
    assert [act.subject for act in acts] == [stage.token.ref]


def test_yesterdays_networks_do_not_count(session, listener, stage):
    for number in range(10):
        listener.get(stage.address, at=f"10.0.{number}.7")
    for seen in session.exec(select(FeedNetwork)):
        seen.seen_at = now() - timedelta(hours=25)
        session.add(seen)
    session.commit()
    listener.get(stage.address, at="10.0.50.1")
    assert told(session) == []
    assert tokens.mine(session, factories.asker(session, stage.person))[-1].networks == 1


def test_the_servers_of_a_podcast_app_are_one_place(session, listener, stage):
    for number in range(12):
        listener.get(stage.address, at=f"10.0.{number}.7", User_Agent="Overcast/1.0 Podcast Sync")
    assert told(session) == []
    assert session.exec(select(FeedNetwork.network)).all() == ["Overcast"]


def test_enclosures_that_went_round_ring_the_alarm_too(session, settings, listener, stage):
    media = key_address(settings, stage.token, stage.talks[0], 1)
    for number in range(11):
        listener.get(media, "HEAD", at=f"10.0.{number}.7")
    assert len(told(session)) == 1


def test_the_alarm_is_a_letter_where_letters_can_be_sent(session, settings, stage):
    mailing = settings.model_copy(update={"smtp_host": "127.0.0.1", "mail_from": "a@b.example"})
    assert leaks.alarm(session, mailing, stage.token.id, 11)
    assert not leaks.alarm(session, mailing, stage.token.id, 30)
    assert not leaks.alarm(session, mailing, stage.top.id, 10)
    letter = session.exec(select(Mail)).one()
    assert letter.address == stage.person.email
    assert "11 networks" in letter.body
    assert f"{settings.origin}/feeds/#feed-{stage.token.id}" in letter.body
    assert tokens.spelled(settings.secret, stage.token) not in letter.body


# Floods


def drained(app, name, who):
    """Use up a flood's allowance but for one."""
    flood = getattr(app.extensions["dare-floods"], name)
    for _ in range(flood.most - 1):
        assert flood.wait(who) == 0


def told_to_wait(answer):
    assert answer.status_code == 429
    assert answer.mimetype == "text/plain"
    assert answer.headers["Cache-Control"] == "no-store"
    assert int(answer.headers["Retry-After"]) >= 1


def test_s50_a_feed_may_be_asked_for_six_hundred_times_an_hour(app, listener, stage):
    tag = listener.get(stage.address).headers["ETag"]
    app.extensions["dare-floods"].clear()
    drained(app, "feeds", stage.token.id)
    assert listener.get(stage.address, If_None_Match=tag).status_code == 304
    told_to_wait(listener.get(stage.address, If_None_Match=tag))
    assert listener.get(stage.top_address).status_code == 200


def test_s50_bytes_may_be_asked_for_three_thousand_times_an_hour(app, settings, listener, stage):
    media = key_address(settings, stage.token, stage.talks[0], 1)
    drained(app, "media", stage.token.id)
    assert listener.get(media, "HEAD").status_code == 200
    told_to_wait(listener.get(media, "HEAD"))
    assert listener.get(stage.address).status_code == 200


def test_s50_guessing_addresses_is_slowed_and_troubles_nobody_else(settings, listener, stage):
    wrong = ["/f/x.xml", f"/m/{stage.token.ref}/x/{stage.talks[0].guid}/1/audio.mp3", "/f/y.xml"]
    asked = [listener.get(wrong[number % 3]).status_code for number in range(20)]
    assert asked == [404] * 20
    for path in wrong:
        told_to_wait(listener.get(path))
    assert listener.get(stage.address).status_code == 200
    assert listener.get("/f/x.xml", at="10.9.9.9").status_code == 404


# Secrets


def test_s41_no_token_and_no_key_is_in_logs_errors_or_referers(
    session, settings, listener, stage, caplog
):
    media = key_address(settings, stage.token, stage.talks[0], 1)
    spelled = tokens.spelled(settings.secret, stage.token)
    secrets = (spelled, media.split("/")[3])
    caplog.set_level("DEBUG")
    asked = [
        (stage.address, "GET"), (stage.address, "POST"), (f"{stage.address}x", "GET"),
        (f"{stage.address}?page=9", "GET"), (f"{stage.address}/more", "GET"), (media, "GET"),
        (media, "PUT"), (f"{media}.bak", "GET"), (media.replace("/1/", "/x/"), "GET"),
    ]  # fmt: skip
    for path, method in asked:
        answer = listener.get(path, method, Accept="text/html")
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert re.search("private|no-store", answer.headers["Cache-Control"])
        assert "WWW-Authenticate" not in answer.headers
        if answer.status_code >= 400:
            assert answer.mimetype == "text/plain", path
            assert answer.text.count("\n") == 1
            assert not any(secret in answer.text for secret in secrets)
        if answer.status_code == 405:
            assert "GET" in answer.headers["Allow"]
        assert not any(secret in blanked(path.removeprefix(settings.origin)) for secret in secrets)
    assert not any(secret in caplog.text for secret in secrets)


def test_s42_a_feed_keeps_out_of_directories_and_shared_caches(listener, stage):
    answer = listener.get(stage.address)
    assert found(answer, "/rss/channel/itunes:block/text()") == ["Yes"]
    assert found(answer, "/rss/channel/podcast:block/text()") == ["yes"]
    assert "private" in answer.headers["Cache-Control"]
    assert "public" not in answer.headers["Cache-Control"]
    assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"


def test_addresses_never_come_from_the_host_header(listener, stage, settings):
    answer = listener.get(stage.address, Host=settings.origin.replace("127.0.0.1", "localhost")[7:])
    assert answer.status_code == 200
    assert b"localhost" not in answer.data.replace(b"noreply@localhost", b"")
    refused = listener.get(stage.address, Host="evil.example")
    assert b"evil.example" not in refused.data


@pytest.mark.parametrize("accept", ["application/json", "image/png", "text/html", "x/y;q=0"])
def test_no_accept_header_is_refused(listener, stage, accept):
    assert listener.get(stage.address, Accept=accept).status_code == 200


@pytest.mark.parametrize("page", ["0", "2", "-1", "x", "", "99999999999999", "1.0", "²"])
def test_there_is_no_other_page_than_there_is(listener, stage, page):
    assert listener.get(f"{stage.address}?page={page}").status_code == 404


def test_all_pages_together_hold_every_episode(session, listener, stage, monkeypatch):
    monkeypatch.setattr("service.feed.entries.PAGE_SIZE", 2)
    first = listener.get(stage.address)
    rels = {link.get("rel"): link.get("href") for link in found(first, "//atom:link")}
    assert set(rels) == {"self", "first", "last", "next"}
    second = listener.get(rels["next"])
    assert titles(first) + titles(second) == ["Talk 3", "Talk 2", "Talk 1"]
    assert first.headers["ETag"] != second.headers["ETag"]
    assert feed_rules.findings(first.data) == feed_rules.findings(second.data) == []
    assert listener.get(f"{stage.address}?page=3").status_code == 404


def test_an_empty_show_has_a_feed(session, settings, listener, stage):
    empty = add_show(session, stage.person, slug="empty", title="Empty", description="")
    token = add_token(session, settings, stage.person, empty)
    session.commit()
    answer = listener.get(tokens.address(settings, token))
    assert feed_rules.findings(answer.data) == []
    assert titles(answer) == []


def test_use_is_noted_at_most_every_five_minutes(session, listener, stage):
    change(session, stage.token, used_at=None, used_by="")
    listener.get(stage.address, User_Agent="AntennaPod/3.9.0")
    session.refresh(stage.token)
    noted = stage.token.used_at
    assert noted is not None
    assert stage.token.used_by == "AntennaPod"
    listener.get(stage.address, User_Agent="Castro/1")
    session.refresh(stage.token)
    assert stage.token.used_at == noted
    change(session, stage.token, used_at=now() - timedelta(minutes=6))
    listener.get(stage.address, User_Agent="Castro/1")
    session.refresh(stage.token)
    assert stage.token.used_by == "Castro"


def test_the_database_holds_no_token_and_no_key(session, settings, listener, stage):
    body = listener.get(stage.address).text
    secret = tokens.spelled(settings.secret, stage.token)
    keys = {tokens.episode_key(settings.secret, stage.token, talk.guid) for talk in stage.talks}
    assert all(key in body for key in keys)
    rows = [*session.exec(select(FeedToken)), *session.exec(select(FeedKey))]
    dump = " ".join(row.model_dump_json() for row in rows)
    assert not any(word in dump for word in {secret, *keys})


def test_a_person_holds_at_most_fifty_open_addresses(session, settings, stage):
    for _ in range(tokens.MOST_TOKENS - 2):
        held = add_token(session, settings, stage.person, stage.show)
    with pytest.raises(tokens.TooManyTokensError):
        add_token(session, settings, stage.person, stage.show)
    tokens.revoke(session, held)
    add_token(session, settings, stage.person, stage.show)
    mine = tokens.mine(session, factories.asker(session, stage.person))
    assert len(mine) == 51
    assert mine[-1].token.id == held.id
    assert {one.title for one in mine} == {"Platform talks", "Top rated"}


def test_the_command_prints_an_address_that_works(session, settings, listener, stage):
    ran = subprocess.run(
        [sys.executable, "-m", "service.cli", "feed-token", stage.person.email,
         "--data", str(settings.data)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    answer = listener.get(ran.stdout.strip())
    assert titles(answer) == ["Talk 3", "Talk 2", "Talk 1"]
    assert found(answer, "/rss/channel/title/text()")[0].startswith("Top rated")


def test_the_command_says_who_or_what_is_missing(settings, stage, runner):
    nobody = runner.invoke(command, ["nobody@example.org", "--data", str(settings.data)])
    assert nobody.exit_code == 2
    assert "nobody@example.org" in nobody.output
    nothing = runner.invoke(
        command, [stage.person.email, "--show", "none", "--data", str(settings.data)]
    )
    assert nothing.exit_code == 2
    assert "none" in nothing.output
    shown = runner.invoke(
        command, [stage.person.email, "--show", "platform", "--data", str(settings.data)]
    )
    assert shown.exit_code == 0
    assert shown.output.startswith(f"{settings.origin}/f/")


@pytest.fixture
def runner():
    return CliRunner()
