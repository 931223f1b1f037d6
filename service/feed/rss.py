"""A Channel with its Items becomes RSS 2.0 with iTunes and Podcasting 2.0 tags. Pure.

Types decide how a value is written: text is escaped, `Html` goes into CDATA, `Url` becomes
percent-encoded ASCII, aware times become RFC 2822 dates. Each expression of the template passes
`written`, and there is no other way into the document.
"""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import quote, urlsplit
from uuid import UUID

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "feed"
MOST_PLAIN = 255
PAGES = ("first", "last", "previous", "next")
# Outside XML 1.0's Char, or allowed there and still unwanted: C1, DEL, non-characters.
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
    )
    + "]"
)
# Embeddings, overrides and isolates would reorder what follows the value on the reader's screen.
BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
BARE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
REFERENCES = {ord(mark): f"&#x{ord(mark):X};" for mark in "&<>\"'\t\n\r"}


class Url(str):
    """An absolute address, as yet unescaped."""

    __slots__ = ()


class Html(str):
    """A fragment of HTML, already sanitised, that goes into CDATA."""

    __slots__ = ()


class Markup(str):
    """XML that this module's own template made of escaped parts."""

    __slots__ = ()


@dataclass(frozen=True)
class Enclosure:
    """One rendition as it is offered. `length` in bytes, `bitrate` in bits a second."""

    url: Url
    type: str
    length: int
    bitrate: int = 0
    height: int | None = None
    title: str = ""


@dataclass(frozen=True)
class TranscriptFile:
    """One file of an episode's transcript; `captions` when its lines are timed for the screen."""

    url: Url
    type: str
    language: str
    captions: bool = False


@dataclass(frozen=True)
class Voice:
    """A podcast:person: somebody who is heard, as `host` or `guest`."""

    name: str
    role: str
    href: Url


@dataclass(frozen=True)
class Item:
    """One episode as a feed shows it. `duration` in whole seconds, `published` aware."""

    guid: UUID
    title: str
    link: Url
    published: datetime
    description: Html
    content: Html
    enclosure: Enclosure
    duration: int
    author: str
    image: Url
    alternates: tuple[Enclosure, ...] = ()
    people: tuple[Voice, ...] = ()
    transcripts: tuple[TranscriptFile, ...] = ()


@dataclass(frozen=True)
class Channel:
    """One page of one reader's feed, its items in document order.

    `pages` are (rel, address) pairs by RFC 5005, section 3; none when all fits on one page.
    `moved_to` is the first page's address for as long as an older one leads to it.
    """

    guid: UUID
    title: str
    link: Url
    description: Html
    language: str
    generator: str
    changed: datetime
    address: Url
    image: Url
    author: str
    owner_email: str
    category: tuple[str, ...] = ("Education", "How To")
    pages: tuple[tuple[str, Url], ...] = ()
    moved_to: Url | None = None
    people: tuple[Voice, ...] = ()
    items: tuple[Item, ...] = ()


def clean(text: str) -> str:
    """Return the text without what XML 1.0 forbids or no reader can show, in Unicode's NFC."""
    return unicodedata.normalize("NFC", FORBIDDEN.sub("", text))


def one_line(text: str, most: int = MOST_PLAIN) -> str:
    """Return the text cleaned, on one line, without marks that reorder, at most `most` long.

    What is longer ends at a word and in an ellipsis.
    """
    line = " ".join(BIDI.sub("", clean(text)).split())
    if len(line) <= most:
        return line
    head = line[: most - 1]
    return f"{head.rpartition(' ')[0] or head}…"


def address(url: str) -> str:
    """Return the address as percent-encoded ASCII, its host in punycode (RFC 3986, RFC 3492)."""
    parts = urlsplit(clean(url))
    host = parts.netloc
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    path, query, fragment = (
        # What is encoded already must not be encoded twice; a bare percent sign must be.
        quote(BARE_PERCENT.sub("%25", part), safe="/%:@!$&'()*+,;=~-._?")
        for part in (parts.path, parts.query, parts.fragment)
    )
    return parts._replace(netloc=host, path=path, query=query, fragment=fragment).geturl()


def cdata(fragment: str) -> str:
    """Return the fragment as character data that holds it unchanged, `]]>` split over two."""
    return f"<![CDATA[{clean(fragment).replace(']]>', ']]]]><![CDATA[>')}]]>"


def rfc2822(when: datetime) -> str:
    """Return an aware time as RSS wants it: RFC 2822, UTC, whole seconds."""
    if when.tzinfo is None:
        raise TypeError("A feed's times must be aware.")
    return format_datetime(when.astimezone(UTC))


def written(value: object) -> str:  # noqa: PLR0911  one line for each kind of value
    """Return any value of the template as it stands in the document.

    Hex references instead of named ones: readers that decode twice show them right as well.

    Raises:
        TypeError: a kind of value that no rule covers, None among them.
    """
    match value:
        case Markup():
            return str(value)
        case Html():
            return cdata(value)
        case Url():
            return address(value).translate(REFERENCES)
        case str():
            return one_line(value).translate(REFERENCES)
        case bool():
            return "true" if value else "false"
        case int() | UUID():
            return str(value)
        case datetime():
            return rfc2822(value)
    raise TypeError(f"A feed cannot hold a {type(value).__name__}.")


_environment = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=False,  # noqa: S701  `written` escapes every expression
    undefined=StrictUndefined,
    finalize=written,
    trim_blocks=False,
    keep_trailing_newline=True,
)
_environment.globals["markup"] = Markup


def render(channel: Channel) -> str:
    """Return the feed as XML; equal channels give equal text."""
    return _environment.get_template("rss.xml").render(channel=channel)


def role_address(origin: str) -> str:
    """Return an address for itunes:owner that is no person's, at the origin's host."""
    host = urlsplit(origin).hostname or "localhost"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return f"noreply@{host}"
    return "noreply@localhost"
