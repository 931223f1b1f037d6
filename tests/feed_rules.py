"""The rules that our feeds keep, one function each: PSP-1, Apple's and Podcasting 2.0's.

`findings` names every rule that a feed breaks. A rule that has never been seen to fire proves
nothing, so test_rss.py breaks a good feed once for each of them.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from lxml import etree, html

SPACES = {
    "itunes": "http://www.itunes.com/dtds/podcast-1.0.dtd",
    "podcast": "https://podcastindex.org/namespace/1.0",
    "atom": "http://www.w3.org/2005/Atom",
    "content": "http://purl.org/rss/1.0/modules/content/",
}
RFC2822 = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000"
)
LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")
TYPES = {".mp3": "audio/mpeg", ".m4a": "audio/x-m4a", ".mp4": "video/mp4"}
TRANSCRIPT_TYPES = {
    ".vtt": "text/vtt",
    ".srt": "application/x-subrip",
    ".json": "application/json",
}
CATEGORIES = {"Education": {"How To", "Courses", "Language Learning", "Self-Improvement"}}
BANNED = (
    "itunes:summary",
    "itunes:keywords",
    "itunes:subtitle",
    "podcast:value",
    "podcast:funding",
    "podcast:liveItem",
    "podcast:podroll",
    "podcast:remoteItem",
)
ADDRESSES = (
    "//link/text() | //url/text() | //@href | //enclosure/@url | //@uri | //podcast:transcript/@url"
)
Rule = Callable[[Any], bool]
RULES: dict[str, Rule] = {}


def rule(check: Rule) -> Rule:
    """Take a check into the list; it returns whether the feed keeps the rule."""
    RULES[check.__name__] = check
    return check


def findings(feed: bytes) -> list[str]:
    """Return the names of the rules that the feed breaks; `well_formed` alone when it is no XML."""
    try:
        tree = etree.fromstring(feed, etree.XMLParser(recover=False, resolve_entities=False))
    except etree.XMLSyntaxError:
        return ["well_formed"]
    return [name for name, check in RULES.items() if not check(tree)]


def at(node: Any, path: str) -> list[Any]:
    """Return what an XPath finds, with the feed's prefixes."""
    found: list[Any] = node.xpath(path, namespaces=SPACES)
    return found


def one(node: Any, path: str) -> str | None:
    """Return the text of the one node of this path; None if there is none, or more than one."""
    found = at(node, path)
    if len(found) != 1:
        return None
    return found[0] if isinstance(found[0], str) else found[0].text or ""


def every(tree: Any, path: str, check: Callable[[str], bool]) -> bool:
    """Tell whether all items have exactly one of this, and it passes."""
    values = [one(item, path) for item in at(tree, "/rss/channel/item")]
    return all(value is not None and check(value) for value in values)


def has(tree: Any, path: str, check: Callable[[str], bool] = bool) -> bool:
    """Tell whether the channel has exactly one of this, and it passes."""
    value = one(tree, f"/rss/channel/{path}")
    return value is not None and check(value)


def plain(value: str) -> bool:
    return 0 < len(value) <= 255 and value == " ".join(value.split())


def absolute(value: str) -> bool:
    parts = urlsplit(value)
    return value.isascii() and parts.scheme in {"http", "https"} and bool(parts.hostname)


def date(value: str) -> bool:
    if not RFC2822.fullmatch(value):
        return False
    when = parsedate_to_datetime(value)
    return when.strftime("%a") == value[:3] and when <= datetime.now(UTC)


def uuid(value: str) -> bool:
    try:
        return str(UUID(value)) == value
    except ValueError:
        return False


def whole(value: str) -> bool:
    return value.isdigit() and int(value) > 0


def fragment(most: int) -> Callable[[str], bool]:
    """Return a check of an HTML fragment: its length, one paragraph or more, few tags."""

    def check(value: str) -> bool:
        parsed = html.fragment_fromstring(value, create_parent="div")
        tags = {element.tag for element in parsed.iter()} - {"div"}
        links = parsed.xpath("//@href")
        schemes = {urlsplit(link).scheme for link in links}
        return (
            len(value.encode()) <= most
            and "p" in tags
            and tags <= {"p", "br", "a", "ul", "li"}
            and schemes <= {"http", "https", "mailto"}
        )

    return check


def suffix(url: str) -> str:
    return f".{urlsplit(url).path.rpartition('.')[2]}"


@rule
def is_rss_2(tree):
    return tree.tag == "rss" and tree.get("version") == "2.0" and len(at(tree, "channel")) == 1


@rule
def only_our_namespaces(tree):
    found = {uri for node in tree.iter() for uri in node.nsmap.values()}
    return found <= set(SPACES.values())


@rule
def channel_title(tree):
    return has(tree, "title", plain)


@rule
def channel_link(tree):
    return has(tree, "link", absolute)


@rule
def channel_language(tree):
    return has(tree, "language", lambda value: bool(LANGUAGE.fullmatch(value)))


@rule
def channel_description(tree):
    return has(tree, "description", fragment(4000))


@rule
def channel_self_link(tree):
    return has(tree, "atom:link[@rel='self']/@href", absolute)


@rule
def channel_dates(tree):
    return has(tree, "lastBuildDate", date)


@rule
def channel_ttl_and_generator(tree):
    return has(tree, "ttl", whole) and has(tree, "generator", plain)


@rule
def channel_image(tree):
    return (
        has(tree, "image/url", lambda value: suffix(value) in {".jpg", ".png"})
        and has(tree, "itunes:image/@href", lambda value: suffix(value) in {".jpg", ".png"})
        and one(tree, "channel/image/title") == one(tree, "channel/title")
        and one(tree, "channel/image/link") == one(tree, "channel/link")
    )


@rule
def channel_author_and_owner(tree):
    return (
        has(tree, "itunes:author", plain)
        and has(tree, "itunes:owner/itunes:name", plain)
        and has(tree, "itunes:owner/itunes:email", lambda value: "@" in value)
    )


@rule
def channel_category(tree):
    outer = one(tree, "channel/itunes:category/@text")
    inner = at(tree, "channel/itunes:category/itunes:category/@text")
    return outer in CATEGORIES and set(inner) <= CATEGORIES[outer]


@rule
def channel_explicit(tree):
    return has(tree, "itunes:explicit", {"true", "false"}.__contains__)


@rule
def channel_type(tree):
    return has(tree, "itunes:type", {"episodic", "serial"}.__contains__)


@rule
def channel_is_blocked_and_locked(tree):
    return (
        has(tree, "itunes:block", "Yes".__eq__)
        and has(tree, "podcast:block", "yes".__eq__)
        and has(tree, "podcast:locked", "yes".__eq__)
        and has(tree, "podcast:locked/@owner", lambda value: "@" in value)
    )


@rule
def channel_guid_is_a_uuid_5(tree):
    return has(tree, "podcast:guid", lambda value: uuid(value) and UUID(value).version == 5)


@rule
def channel_medium_holds_items(tree):
    return has(tree, "podcast:medium", {"podcast", "course", "video"}.__contains__)


@rule
def channel_discussion_is_elsewhere(tree):
    return has(tree, "podcast:socialInteract/@protocol", "disabled".__eq__)


@rule
def pages_are_linked(tree):
    """RFC 5005, section 3: a page that has a next one has a first and a last one."""
    rels = at(tree, "channel/atom:link/@rel")
    known = {"self", "first", "last", "next", "previous"}
    paged = set(rels) & {"next", "previous"}
    ends = {"first", "last"} <= set(rels)
    return set(rels) <= known and len(rels) == len(set(rels)) and (ends if paged else not ends)


@rule
def item_title(tree):
    return every(tree, "title", plain)


@rule
def item_link(tree):
    return every(tree, "link", absolute)


@rule
def item_date(tree):
    return every(tree, "pubDate", date)


@rule
def item_guid_is_a_uuid_and_no_address(tree):
    guids = at(tree, "channel/item/guid/text()")
    permanent = every(tree, "guid/@isPermaLink", "false".__eq__)
    return permanent and every(tree, "guid", uuid) and len(guids) == len(set(guids))


@rule
def item_has_one_enclosure(tree):
    urls = at(tree, "channel/item/enclosure/@url")
    return (
        every(tree, "enclosure/@url", absolute)
        and every(tree, "enclosure/@length", whole)
        and len(urls) == len(set(urls))
    )


@rule
def enclosure_type_fits_its_name(tree):
    return all(
        TYPES.get(suffix(node.get("url", ""))) == node.get("type")
        for node in at(tree, "channel/item/enclosure")
    )


@rule
def item_description(tree):
    return every(tree, "description", fragment(4000))


@rule
def item_content(tree):
    return every(tree, "content:encoded", fragment(10_000))


@rule
def item_duration_in_whole_seconds(tree):
    return every(tree, "itunes:duration", whole)


@rule
def item_type_author_and_explicit(tree):
    return (
        every(tree, "itunes:episodeType", {"full", "trailer", "bonus"}.__contains__)
        and every(tree, "itunes:author", plain)
        and every(tree, "itunes:explicit", {"true", "false"}.__contains__)
    )


@rule
def item_image(tree):
    return every(tree, "itunes:image/@href", lambda value: suffix(value) in {".jpg", ".png"})


@rule
def people_have_roles_and_pages(tree):
    return all(
        node.get("role") in {"host", "guest"}
        and node.get("group") == "cast"
        and absolute(node.get("href", ""))
        and 0 < len(node.text or "") <= 128
        for node in at(tree, "//podcast:person")
    )


@rule
def item_repeats_its_hosts(tree):
    return all(at(item, "podcast:person[@role='host']") for item in at(tree, "channel/item"))


@rule
def transcripts_come_in_three_formats(tree):
    for item in at(tree, "channel/item[podcast:transcript]"):
        files = at(item, "podcast:transcript")
        found = {suffix(node.get("url", "")): node.get("type") for node in files}
        if found != TRANSCRIPT_TYPES:
            return False
    return True


@rule
def transcripts_name_language_and_captions(tree):
    return all(
        LANGUAGE.fullmatch(node.get("language", ""))
        and (node.get("rel") == "captions") == (suffix(node.get("url")) in {".vtt", ".srt"})
        for node in at(tree, "//podcast:transcript")
    )


@rule
def alternates_are_whole(tree):
    return all(
        TYPES.get(suffix(one(node, "podcast:source/@uri") or "")) == node.get("type")
        and whole(node.get("length", ""))
        and whole(node.get("bitrate", ""))
        and 0 < len(node.get("title", "")) <= 32
        and (node.get("type") != "video/mp4" or whole(node.get("height", "")))
        for node in at(tree, "//podcast:alternateEnclosure")
    )


@rule
def one_alternate_is_the_enclosure(tree):
    return all(
        at(item, "podcast:alternateEnclosure[@default='true']/podcast:source/@uri")
        == at(item, "enclosure/@url")
        and at(item, "podcast:alternateEnclosure[@default='true']/@length")
        == at(item, "enclosure/@length")
        for item in at(tree, "channel/item[podcast:alternateEnclosure]")
    )


@rule
def addresses_are_absolute_ascii(tree):
    return all(absolute(value) for value in at(tree, ADDRESSES))


@rule
def nothing_unwanted(tree):
    return not any(at(tree, f"//{name}") for name in BANNED)
