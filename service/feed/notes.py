"""Show notes for feeds: Markdown becomes the little HTML that every podcast app shows. Pure."""

import html
from collections.abc import Sequence
from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

from service.feed.rss import Html, one_line

MOST_CONTENT = 10_000
MOST_DESCRIPTION = 4_000
TAGS = {"p", "br", "a", "ul", "li"}
# Apps show p, br, a, ul and li alike; anything else becomes one of these or its bare text.
AS_PLAIN = {"h1": "p", "h2": "p", "h3": "p", "h4": "p", "h5": "p", "h6": "p", "ol": "ul"}

_markdown = MarkdownIt("commonmark", {"html": False}).disable(
    ["image", "code", "fence", "hr", "reference"]
)


def _plain(tokens: list[Token]) -> list[Token]:
    for token in tokens:
        token.tag = AS_PLAIN.get(token.tag, token.tag)
    return tokens


def _sanitised(fragment: str) -> str:
    return nh3.clean(
        fragment,
        tags=TAGS,
        attributes={"a": {"href"}},
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",
        link_rel="nofollow noopener noreferrer",
    ).strip()


@lru_cache(maxsize=2048)
def blocks(markdown: str) -> tuple[str, ...]:
    """Return the notes as sanitised HTML blocks: paragraphs and lists, in order.

    Kept for the next reader: notes hold no secret, and parsing them is most of a feed's work.
    """
    found: list[str] = []
    group: list[Token] = []
    for token in _plain(_markdown.parse(markdown)):
        group.append(token)
        if token.level == 0 and token.nesting <= 0:
            found.append(_sanitised(_markdown.renderer.render(group, _markdown.options, {})))
            group = []
    return tuple(block for block in found if block)


def within(parts: Sequence[str], most: int) -> str:
    """Return as many whole blocks, from the first, as fit into `most` bytes of UTF-8."""
    kept: list[str] = []
    room = most
    for part in parts:
        room -= len(part.encode()) + 1
        if room < 0:
            break
        kept.append(part)
    return "\n".join(kept)


def paragraph(text: str) -> Html:
    """Return plain text as one paragraph of HTML, at most 4,000 bytes long."""
    # 600 characters are at most 3,600 bytes even if each becomes a six-byte reference.
    return Html(f"<p>{html.escape(one_line(text, 600))}</p>")


def description(markdown: str, *, otherwise: str) -> Html:
    """Return the first paragraph of the notes; without one, `otherwise` as a paragraph."""
    first = next((block for block in blocks(markdown) if block.startswith("<p>")), "")
    if not first:
        return paragraph(otherwise)
    if len(first.encode()) <= MOST_DESCRIPTION:
        return Html(first)
    return paragraph(html.unescape(nh3.clean(first, tags=set())))


def content(markdown: str, *, link: str) -> Html:
    """Return the notes and a link to the episode's page, at most 10,000 bytes of UTF-8."""
    href = html.escape(link)
    last = f'<p><a href="{href}">Open the episode to rate it and to join the discussion</a></p>'
    return Html("\n".join(filter(None, (within(blocks(markdown), MOST_CONTENT - 400), last))))
