"""While a talk for few is made, heard, discussed and withdrawn, others ask for everything of it.

A stranger without an account and a colleague from outside run through every address of the house,
with the talk's real names in them, from the first draft to the end. Neither ever gets a byte.
"""

import itertools
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app, floor_of
from storage.settings import load_settings
from tests.journeys.conftest import PASSWORD, House

MEDIA = Path(__file__).parent.parent / "media"
# Words that stand nowhere else; whoever sees one of them has seen the talk.
TITLE, NOTES, TOPIC = "Quokka ledger", "Wombat figures", "numbat accounting"
COMMENT, SHOW, COMMUNITY = "Bilby objections", "Dunnart hour", "Closed circle of quolls"
CANARIES = re.compile(r"quokka|wombat|numbat|bilby|dunnart|quolls", re.IGNORECASE)
MEDIA_TYPES = ("audio/", "video/", "image/", "text/vtt", "application/x-subrip")
SECRET = re.compile(r'name="csrf_token" value="([0-9a-f]{64})"')


class Browser:
    """A browser without scripts: it keeps cookies and sends forms with the secret of their page."""

    def __init__(self, origin: str) -> None:
        self.client = httpx.Client(base_url=origin, timeout=30)
        self._cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """Ask once, cookies beside it; no redirect is followed."""
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"} | sent.pop("headers", {})
        answer = self.client.request(method, path, headers=headers, **sent)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name] = value
        return answer

    def form(self, page: str, action: str, **fields: Any) -> httpx.Response:
        """Send a form that stands on a page."""
        found = SECRET.search(self.ask("GET", page).text)
        assert found, page
        answer = self.ask("POST", action, data={"csrf_token": found[1]} | fields)
        assert answer.status_code == 303, (action, answer.status_code, answer.text[-2000:])
        return answer

    def signed_in(self, email: str) -> "Browser":
        """Sign in and return the same browser."""
        self.form("/sign-in", "/sign-in", email=email, password=PASSWORD)
        return self


@dataclass
class Prober:
    """Asks for every address with every name it knows, over and over, in a thread of its own."""

    name: str
    browser: Browser
    house: House
    token: str = ""
    known: dict[str, list[Any]] = field(default_factory=dict)
    # What anybody signed in may see all the same, such as the people who work here.
    own: frozenset[str] = frozenset()
    leaks: set[str] = field(default_factory=set)
    asked: int = 0
    rounds: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def addresses(self, rules: list[tuple[str, str, frozenset[str]]]) -> Iterator[str]:
        """Return every address with every choice of names, and the questions that find talks."""
        for _endpoint, rule, arguments in rules:
            names = sorted(arguments)
            for chosen in itertools.product(*(self.known.get(name, ["none"]) for name in names)):
                path = rule
                for name, value in zip(names, chosen, strict=True):
                    path = re.sub(rf"<(?:[^<>:]*:)?{name}>", str(value), path)
                yield path
        for word in ("quokka", "wombat", "numbat", "ask not what your country"):
            yield f"/search?q={word}"
            yield f"/api/v1/search?q={word}"
        for guid in self.known.get("guid", []):
            page = f"{self.house.origin}/episodes/{guid}"
            yield f"/oembed?url={page}"
            yield f"/api/v1/episodes?order=newest&after={guid}"
        for slug in self.known.get("slug", []):
            yield f"/api/v1/episodes?show={slug}"
            yield f"/api/v1/episodes?topic={slug}"
            yield f"/feeds/?view={slug}"

    def run(self, rules: list[tuple[str, str, frozenset[str]]]) -> None:
        """Go round until told that it is over."""
        while not self.over.is_set():
            for path in self.addresses(rules):
                if self.over.is_set():
                    break
                self._look(path)
            self.rounds += 1

    def _look(self, path: str) -> None:
        headers = {"Range": "bytes=0-99"} if "/media/" in path or path.startswith("/m/") else {}
        if self.token and path.startswith("/api/"):
            headers["Authorization"] = f"Bearer {self.token}"
        answer = self.browser.ask("GET", path, headers=headers)
        while answer.status_code == 429 and not self.over.wait(1):
            # Too fast for a stranger; what is not answered proves nothing.
            answer = self.browser.ask("GET", path, headers=headers)
        self.asked += 1
        said = answer.text.replace(path, "")
        found = CANARIES.search(said)
        # What somebody typed into the search field stands in it; that is no finding.
        if found and not path.startswith(("/search", "/api/v1/search")):
            self.leaks.add(f"{self.name}: {path} says {found[0]}")
        if "/search" in path and re.search(r"Quokka ledger|Dunnart|Wombat figures", said):
            self.leaks.add(f"{self.name}: {path} finds it")
        kind = answer.headers.get("content-type", "")
        if answer.status_code in {200, 206} and kind.startswith(MEDIA_TYPES):
            self.leaks.add(f"{self.name}: {path} gives {kind}")


@pytest.fixture
def rules(running: House) -> list[tuple[str, str, frozenset[str]]]:
    """Every address that can be asked for with GET, as the application itself lists them."""
    made = create_app(load_settings(running.data))
    floor_of(made).database.close()
    skipped = {"static", "api.reference.docs"}
    return [
        (rule.endpoint, re.sub(r"\(.*?\)", "", str(rule)), frozenset(rule.arguments))
        for rule in made.url_map.iter_rules()
        if "GET" in (rule.methods or set()) and rule.endpoint not in skipped
    ]


def test_s23_who_may_not_hear_a_talk_never_gets_a_byte_of_it_whatever_happens(
    running: House, rules: list[tuple[str, str, frozenset[str]]]
) -> None:
    zelda = running.add("Zelda", "IT", role="admin")
    zara, zoe, zeno = (running.add(name, "Legal") for name in ("Zara", "Zoe", "Zeno"))
    slug = a_closed_community(running, zelda, (zara, zoe))
    author, member = (Browser(running.origin).signed_in(who) for who in (zara, zoe))
    outsider = Browser(running.origin).signed_in(zeno)
    show = a_show_for_few(author, slug)
    guid = a_draft(author, show)
    names = {
        "guid": [guid], "slug": [show, slug, "numbat-accounting"], "revision": [1],
        "kind": ["vtt", "txt"], "name": ["audio.mp3"], "extension": ["vtt"], "language": ["en"],
        "key": ["A" * 24], "ref": [person_of(author), "0" * 16],
    }  # fmt: skip
    probers = [
        Prober("a stranger", Browser(running.origin), running, known=names),
        Prober("a colleague", outsider, running, running.dare("token", zeno), known=names),
    ]
    threads = [threading.Thread(target=one.run, args=(rules,)) for one in probers]
    for thread in threads:
        thread.start()
    try:
        the_talk_lives(running, author, member, guid, show)
    finally:
        for one in probers:
            one.over.set()
        for thread in threads:
            thread.join()
        for browser in (author, member, *(one.browser for one in probers)):
            browser.client.close()
    assert [leak for one in probers for leak in sorted(one.leaks)] == []
    assert all(one.rounds >= 2 and one.asked > 150 for one in probers)


def a_closed_community(running: House, zelda: str, members: tuple[str, ...]) -> str:
    """Let an admin make a community that others know nothing of; return its slug."""
    admin = Browser(running.origin).signed_in(zelda)
    admin.form(
        "/admin/communities", "/admin/communities",
        name=COMMUNITY, purpose=NOTES, joining="group",
    )  # fmt: skip
    slug = "closed-circle-of-quolls"
    for email in members:
        found = re.search(
            r'href="(/admin/people/[0-9a-f-]{36})"',
            admin.ask("GET", f"/admin/people/?q={email}").text,
        )
        assert found, email
        admin.form(found[1], f"{found[1]}/communities", community=slug)
    admin.client.close()
    return slug


def a_show_for_few(author: Browser, community: str) -> str:
    """Start a show that only the community may see; return its slug."""
    made = author.form(
        "/shows/new", "/shows/",
        title=SHOW, description=NOTES, community=community,
        visibility="communities", communities=community,
    )  # fmt: skip
    return made.headers["location"].rpartition("/")[2]


def a_draft(author: Browser, show: str) -> str:
    """Begin a talk in the show; return its guid."""
    made = author.form("/studio/", "/studio/", title=TITLE, notes=NOTES, topics=TOPIC, show=show)
    return made.headers["location"].rpartition("/")[2]


def person_of(browser: Browser) -> str:
    """Return the id by which others name whoever is signed in here."""
    found = re.search(r'href="/people/([0-9a-f-]{36})"', browser.ask("GET", "/").text)
    assert found
    return found[1]


def the_talk_lives(running: House, author: Browser, member: Browser, guid: str, show: str) -> None:
    """Upload, hear, rate, discuss, subscribe, embed, withdraw and bring back."""
    secret = SECRET.search(author.ask("GET", f"/studio/{guid}").text)
    assert secret
    sent = author.ask(
        "POST", f"/studio/{guid}/file",
        data={"csrf_token": secret[1]},
        files={"file": ("talk.flac", (MEDIA / "jfk.flac").read_bytes(), "audio/flac")},
    )  # fmt: skip
    assert sent.status_code == 303
    until_complete(author, guid)
    page = member.ask("GET", f"/episodes/{guid}")
    assert TITLE in page.text
    assert CANARIES.search(member.ask("GET", "/").text)
    sound = re.search(r'src="(/episodes/[^"#]+audio\.mp3)', page.text)
    assert sound
    assert member.ask("GET", sound[1], headers={"Range": "bytes=0-99"}).status_code == 206
    member.form(f"/episodes/{guid}", f"/episodes/{guid}/rating", stars="5")
    member.form(f"/episodes/{guid}", f"/episodes/{guid}/comments", body=COMMENT)
    feed = running.dare("feed-token", "zoe@example.org", "--show", show)
    heard = httpx.get(feed)
    assert TITLE in heard.text
    author.form(f"/studio/{guid}", f"/studio/{guid}/withdraw")
    assert member.ask("GET", f"/episodes/{guid}").status_code == 404
    author.form("/studio/", f"/studio/{guid}/restore")
    assert member.ask("GET", f"/episodes/{guid}").status_code == 200


def until_complete(author: Browser, guid: str) -> None:
    """Wait until the talk's page says that all is made of it."""
    for _ in range(600):
        told = author.ask("GET", f"/episodes/{guid}/progress").json()
        if told["state"] == "complete":
            return
        assert told["state"] != "failed", told
        threading.Event().wait(0.2)
    raise AssertionError(told)
