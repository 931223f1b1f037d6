"""Private feeds over HTTP: what is in them, when they change, and when they say no."""

import gzip
import io
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

from service.app import create_app, floor_of
from service.commands.feed_token import command
from service.feed import tokens
from storage.models import EpisodePerson, EpisodeScore, FeedEntry, FeedKey, FeedToken, now
from tests import feed_rules
from tests.web.listeners import (
    Listener,
    add_person,
    add_rendition,
    add_show,
    add_talk,
    add_token,
    add_transcript,
)


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
    mine = tokens.mine(session, stage.person.id)
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
