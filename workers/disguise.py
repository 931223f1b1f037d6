"""Tells a talk from something else under a talk's name, by its name and its first bytes."""

import codecs
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from workers.errors import Refused
from workers.streams import unsupported

POINTS_ELSEWHERE = (
    "This file points to other files instead of holding sound or video. "
    "Please upload the recording itself."
)
ENDINGS = {
    *("mp3", "m4a", "wav", "flac", "ogg", "opus", "webm", "mp4", "mov", "mkv", "ts", "avi"),
    # The same containers under their lesser names.
    *("aac", "m4b", "m4v", "oga", "mka", "weba", "mts", "m2ts", "wave", "qt"),
}
HEAD_BYTES = 4096
# Where the tag of an ISO base media file sits, and the tags that one may begin with.
BOX_AT = slice(4, 8)
BOXES = {b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid"}
# Transport streams from cameras put four bytes of time before each packet of 188.
TIMED_PACKETS = (4, 196)
KNOWN = (b"ID3", b"RIFF", b"RF64", b"fLaC", b"OggS", b"\x1aE\xdf\xa3", b"\x47", b"\xff")
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"8BPS")
FOREIGN = (
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"),
    (b"#!AMR", "AMR"),
    (b"MThd", "MIDI"),
    (b"FLV\x01", "Flash Video"),
    (b".RMF", "RealMedia"),
    (b"caff", "CAF"),
    (b"FORM", "AIFF"),
    (b"PK\x03\x04", "A zip archive"),
    (b"%PDF", "PDF"),
)


@dataclass(frozen=True)
class Head:
    """What the first bytes say: one of our containers, or the name of a foreign one."""

    known: bool
    name: str = ""


def check_name(given_name: str) -> None:
    """Refuse a name that ends like something else; a name without an ending may pass."""
    ending = PurePosixPath(given_name.replace("\\", "/")).suffix.lower().removeprefix(".")
    if ending and ending not in ENDINGS:
        raise Refused(unsupported(f"A file that ends in .{ending[:20]}"))


def check_head(path: Path) -> Head:
    """Return what a file's first bytes are, refusing text and pictures before any decoder looks."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(PICTURES) or head[8:12] == b"WEBP" or is_text(head):
        raise Refused(POINTS_ELSEWHERE)
    for magic, name in FOREIGN:
        if head.startswith(magic):
            return Head(known=False, name=name)
    return Head(known=_is_container(head))


def _is_container(head: bytes) -> bool:
    """Return whether the bytes begin one of our containers; MP3 may have zeros before it."""
    return (
        head.startswith(KNOWN)
        or head[BOX_AT] in BOXES
        or head.lstrip(b"\0").startswith((b"ID3", b"\xff"))
        or all(head[at : at + 1] == b"\x47" for at in TIMED_PACKETS)
    )


def is_text(head: bytes) -> bool:
    """Return whether the first bytes of a file are text: playlists, SVG, SDP, scripts, letters.

    No container that we take begins with 64 printable characters.
    """
    start = head.removeprefix(b"\xef\xbb\xbf")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) and not start.startswith(b"\xff\xfe\x00"):
        return _is_wide_text(head)
    sample = start[:64]
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        text = sample.decode("latin-1")
    return bool(text.strip()) and all(_is_plain(letter) for letter in text)


def _is_plain(letter: str) -> bool:
    return letter.isprintable() or letter in "\t\n\r\f"


def _is_wide_text(head: bytes) -> bool:
    """Return whether the bytes after a UTF-16 mark read as plain characters."""
    wide = head[2:130].decode("utf-16-le" if head[0] == 0xFF else "utf-16-be", errors="replace")
    return sum(1 for letter in wide if letter.isascii() and _is_plain(letter)) > 0.9 * len(wide)
