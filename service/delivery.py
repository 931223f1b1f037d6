"""Bytes on their way out: conditions, ranges and the relay from the object store.

RFC 9110, sections 13 and 14. The store is read in blocks while the answer is sent, and no database
connection is held meanwhile.
"""

import hashlib
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain

from flask import Request, Response
from werkzeug.http import http_date

from service.byte_ranges import Span, UnsatisfiableError, requested
from storage.objects import ObjectStore, StoreError

MIB = 1024**2
# A browser's player asks again for what follows; a cap keeps one seek from reading a whole film.
BROWSER_CAP = MIB
PRIVATE = {
    "Cache-Control": "private, no-cache",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
OPEN_TO_PLAYERS = {"Access-Control-Allow-Origin": "*"}
PREFLIGHT = OPEN_TO_PLAYERS | {
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range, If-None-Match",
}
Reader = Callable[[int, int], Iterable[bytes]]


@dataclass(frozen=True)
class Offer:
    """Something that can be sent whole or in part. `etag` comes without quotes.

    `read(start, end)` gives the bytes from `start` up to and with `end`.
    """

    size: int
    type: str
    etag: str
    modified: datetime | None
    read: Reader


@dataclass(frozen=True)
class Terms:
    """How an offer is sent: more headers, the most bytes of one 206, and who may take long."""

    headers: dict[str, str] = field(default_factory=dict)
    cap: int | None = None
    lanes: threading.Semaphore | None = None


class Stream:
    """Blocks that give back what they hold when they end, or when the listener goes away.

    A class and no generator: closing a generator that was never begun runs none of its code.
    """

    def __init__(self, blocks: Iterator[bytes], held: ExitStack) -> None:
        self._blocks = blocks
        self._held = held

    def __iter__(self) -> Iterator[bytes]:
        """Return itself: blocks are given once."""
        return self

    def __next__(self) -> bytes:
        """Return the next block; what is held is given back with the last one."""
        try:
            return next(self._blocks)
        except (StopIteration, StoreError):
            self.close()
            raise

    def close(self) -> None:
        """Release the lane and the store's connection; a second call does nothing."""
        self._held.close()


def refusal(status: int, sentence: str, *, retry_after: int | None = None) -> Response:
    """Return an error as podcast apps can show it: one sentence of plain text, never kept."""
    answer = Response(f"{sentence}\n", status, mimetype="text/plain")
    answer.headers.update(PRIVATE | {"Cache-Control": "no-store"})
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    return answer


def stored(
    store: ObjectStore, key: str, *, size: int, content_type: str, etag: str, modified: datetime
) -> Offer:
    """Return the offer of an object whose size and ETag its row knows."""
    return Offer(size, content_type, etag, modified, lambda start, end: store.read(key, start, end))


def made(content: bytes, content_type: str, modified: datetime | None = None) -> Offer:
    """Return the offer of bytes made here; their hash is the ETag."""
    return Offer(
        len(content),
        content_type,
        hashlib.sha256(content).hexdigest()[:32],
        modified,
        lambda start, end: (content[start : end + 1],),
    )


def unchanged(request: Request, etag: str, modified: datetime | None) -> bool:
    """Tell whether the client holds this already: If-None-Match, else If-Modified-Since.

    RFC 9110, section 13.2.2: a request with If-None-Match never looks at the date.
    """
    if "If-None-Match" in request.headers:
        return request.if_none_match.contains_weak(etag)
    since = request.if_modified_since
    return since is not None and modified is not None and _whole(modified) <= since


def _whole(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _range_holds(request: Request, offer: Offer) -> bool:
    """If-Range by RFC 9110, section 13.1.5: a strong ETag, or exactly the date that was sent."""
    given = request.headers.get("If-Range")
    if given is None:
        return True
    if given.startswith('"'):
        return given == f'"{offer.etag}"'
    return offer.modified is not None and given == http_date(_whole(offer.modified))


def _wanted(request: Request, offer: Offer) -> Span | None:
    """Return the part asked for; None for the whole. HEAD ignores Range (section 14.2)."""
    if request.method != "GET" or not _range_holds(request, offer):
        return None
    return requested(request.headers.get("Range"), offer.size)


def _described(offer: Offer, terms: Terms) -> dict[str, str]:
    headers = PRIVATE | {"Accept-Ranges": "bytes", "ETag": f'"{offer.etag}"'} | terms.headers
    if offer.modified is not None:
        headers["Last-Modified"] = http_date(_whole(offer.modified))
    return headers


def answer(request: Request, offer: Offer, terms: Terms | None = None) -> Response:
    """Return 200, 206, 304, 416 or 503 for a GET or HEAD of an offer.

    Without a cap a 206 holds all that was asked for: a shorter one makes downloaders keep a
    truncated file and call it complete.
    """
    terms = terms or Terms()
    headers = _described(offer, terms)
    if unchanged(request, offer.etag, offer.modified):
        return Response(status=304, headers=headers)
    try:
        part = _wanted(request, offer)
    except UnsatisfiableError:
        return _past_the_end(offer, headers)
    if part is not None and terms.cap is not None:
        part = part.capped(terms.cap)
    return _sent(request, offer, part, terms, headers)


def _past_the_end(offer: Offer, headers: dict[str, str]) -> Response:
    refused = refusal(416, "This range begins past the end of the file.")
    refused.headers.update(headers | {"Content-Range": f"bytes */{offer.size}"})
    return refused


def _sent(
    request: Request, offer: Offer, part: Span | None, terms: Terms, headers: dict[str, str]
) -> Response:
    span = part or Span(0, offer.size - 1)
    headers |= {"Content-Length": str(span.length), "Content-Type": offer.type}
    if part is not None:
        headers["Content-Range"] = part.content_range(offer.size)
    if request.method == "HEAD" or not span.length:
        return Response(status=200, headers=headers)
    try:
        stream = _begun(offer, span, terms)
    except StoreError:
        stream = None
    if stream is None:
        return refusal(503, "The house is busy. Please try again in a moment.", retry_after=5)
    return Response(stream, 206 if part else 200, headers, direct_passthrough=True)


def _begun(offer: Offer, span: Span, terms: Terms) -> Stream | None:
    """Begin to read; None when all lanes for long answers are taken.

    The first block is read before the status line is chosen, so that a store that cannot answer
    becomes a 503 and not a broken 200.
    """
    with ExitStack() as held:
        if terms.lanes is not None and span.length > MIB:
            if not terms.lanes.acquire(blocking=False):
                return None
            held.callback(terms.lanes.release)
        blocks = iter(offer.read(span.start, span.end))
        if isinstance(blocks, Generator):
            held.callback(blocks.close)
        first = next(blocks, b"")
        return Stream(chain((first,), blocks), held.pop_all())
