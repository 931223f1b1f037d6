"""People's text made safe to show: the one place that returns Markup."""

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

TAGS = {"p", "br", "a", "ul", "ol", "li", "em", "strong", "code", "pre", "blockquote", "h3", "h4"}
_markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("linkify", True)
MARK, UNMARK = "\x02", "\x03"


def rich(text: str) -> Markup:
    """Return Markdown as HTML of a few tags; links are http, https or mailto and marked as told.

    Raw HTML in the text is shown as typed, never obeyed.
    """
    cleaned = nh3.clean(
        _markdown.render(text),
        tags=TAGS,
        attributes={"a": {"href"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="nofollow noopener noreferrer ugc",
    )
    return Markup(cleaned)  # noqa: S704  cleaned on the line above


def marked(snippet: str) -> Markup:
    """Return a search hit with the words between MARK and UNMARK in <mark>, all else escaped."""
    escaped = str(Markup.escape(snippet))
    shown = escaped.replace(MARK, "<mark>").replace(UNMARK, "</mark>")
    return Markup(shown)  # noqa: S704  escaped two lines above
