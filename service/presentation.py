"""How facts are put into words on a page: pure Jinja filters, registered from `FILTERS`."""

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

LANGUAGES = {
    "ar": "Arabic",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur", "yi", "ps", "sd"})
STATE_WORDS = {
    "draft": "Draft",
    "uploading": "Uploading",
    "processing": "Being prepared",
    "playable": "Ready to hear",
    "transcribing": "Being written down",
    "complete": "Ready",
    "failed": "Needs you",
}
STAR_WORDS = {
    1: "Not useful to me",
    2: "A little useful",
    3: "Useful",
    4: "Very useful",
    5: "I will work differently",
}
TINTS = 6
# From the largest: seconds in one, its name. A month and a year are the round ones people use.
AGES = (
    (365 * 86400, "year"),
    (30 * 86400, "month"),
    (7 * 86400, "week"),
    (86400, "day"),
    (3600, "hour"),
    (60, "minute"),
)
LONGEST_TALLY = 60


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return `count` with its noun: "1 talk", "3 talks", "1,204 talks"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def duration(seconds: float | None) -> str:
    """Return a length or a place in a talk as a clock shows it: "0:07", "6:20", "1:02:03".

    Nothing known gives an empty string; a fraction of a second is dropped, as players do.
    """
    if seconds is None:
        return ""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def spoken_duration(seconds: float | None) -> str:
    """Return a length as one would say it, for screen readers: "6 minutes 20 seconds"."""
    if seconds is None:
        return "length not known yet"
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "hour"), (minutes, "minute"), (rest, "second"))
    said = [counted(count, noun) for count, noun in parts if count]
    return " ".join(said) or "0 seconds"


def iso_duration(seconds: float | None) -> str:
    """Return a length for the `datetime` attribute of `<time>`: "PT380S" (ISO 8601)."""
    return f"PT{max(0, int(seconds or 0))}S"


def whole_seconds(seconds: float | None) -> int:
    """Return the second to link to: never after the moment meant, so that no word is cut off."""
    return max(0, int(seconds or 0))


def tally(seconds: float | None) -> int:
    """Return how many strokes stand for a length: one for each begun minute, from 1 to 60."""
    return min(LONGEST_TALLY, max(1, -(-int(seconds or 0) // 60)))


def tally_heard(seconds: float | None, length: float | None) -> float:
    """Return how many strokes of `tally(length)` have been heard, with one decimal."""
    if not seconds or not length:
        return 0.0
    return round(min(1.0, seconds / length) * tally(length), 1)


def age(moment: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago an aware moment was: "just now", "3 days ago". The future is "soon"."""
    if moment is None:
        return ""
    passed = ((now or datetime.now(UTC)) - moment).total_seconds()
    if passed < -60:
        return "soon"
    for size, noun in AGES:
        if passed >= size:
            return f"{counted(int(passed // size), noun)} ago"
    return "just now"


def day(moment: datetime | None) -> str:
    """Return an aware moment's day in UTC, in words: "3 March 2026"."""
    return "" if moment is None else f"{moment.astimezone(UTC):%-d %B %Y}"


def iso(moment: datetime | None) -> str:
    """Return an aware moment for machines: "2026-03-03T09:05:00+00:00"."""
    return "" if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")


def file_size(count: float | None) -> str:
    """Return a number of bytes for people: "812 bytes", "3.4 MB". A megabyte is 1024² bytes."""
    if count is None:
        return ""
    if count < 1024:
        return counted(int(count), "byte")
    size = float(count)
    for unit in ("KB", "MB", "GB"):
        size /= 1024
        if size < 1024 or unit == "GB":
            break
    told = f"{size:.0f}" if size >= 10 else f"{size:.1f}".removesuffix(".0")
    return f"{told} {unit}"


def language(code: str | None) -> str:
    """Return a language's English name; a code that is not listed stays as it is."""
    if not code:
        return ""
    return LANGUAGES.get(code.lower().split("-")[0], code)


def direction(code: str | None) -> str:
    """Return which way a language is written, for `dir`: "ltr" or "rtl"."""
    return "rtl" if code and code.lower().split("-")[0] in RIGHT_TO_LEFT else "ltr"


def initials(name: str | None) -> str:
    """Return the letters that stand for a person: first and last word's first, at most two."""
    words = [word for word in (name or "").split() if unicodedata.category(word[0])[0] in "LN"]
    return "".join(word[0].upper() for word in words[:1] + words[1:][-1:])


def tint(text: object) -> int:
    """Return which of the six tints a name or title wears: the same one on every machine."""
    return crc32(str(text).encode()) % TINTS


def state_words(state: str) -> str:
    """Return an episode's state as the pages say it."""
    return STATE_WORDS.get(state, state)


def star_words(stars: int) -> str:
    """Return what a number of stars means, from 1 to 5."""
    return STAR_WORDS[stars]


FILTERS: dict[str, Callable[..., Any]] = {
    "age": age,
    "counted": counted,
    "day": day,
    "direction": direction,
    "duration": duration,
    "file_size": file_size,
    "initials": initials,
    "iso": iso,
    "iso_duration": iso_duration,
    "language": language,
    "spoken_duration": spoken_duration,
    "star_words": star_words,
    "state_words": state_words,
    "tally": tally,
    "tally_heard": tally_heard,
    "tint": tint,
    "whole_seconds": whole_seconds,
}
