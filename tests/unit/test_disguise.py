"""A talk, or something else under a talk's name."""

import pytest

from workers.disguise import check_head, check_name, is_text
from workers.errors import Refused

HOSTILE = {
    "hls": b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
    "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "sdp": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\n",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1/"/></svg>',
    "dash": b'\xef\xbb\xbf<?xml version="1.0"?><MPD></MPD>',
    "html": b"<!doctype html><script>alert(1)</script>",
    "letter": "Grüße aus Köln, und bis bald!".encode(),
    "utf-16": "\ufeffHello there, this is a letter".encode("utf-16-le"),
    "png": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(64),
    "webp": b"RIFF\x10\0\0\0WEBPVP8 " + bytes(64),
    "short": b"#EXTM3U",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_text_and_pictures_are_refused_before_any_decoder_looks(kind, tmp_path):
    path = tmp_path / "source"
    path.write_bytes(HOSTILE[kind])
    with pytest.raises(Refused, match="points to other files instead of holding sound"):
        check_head(path)


@pytest.mark.parametrize(
    ("head", "known", "name"),
    [
        (b"ID3\x04" + bytes(60), True, ""),
        (b"\xff\xfb\x90\x64" + bytes(60), True, ""),
        (b"\xff\xf1\x50\x80" + bytes(60), True, ""),
        (b"\0\0\0\x20ftypisom" + bytes(60), True, ""),
        (b"OggS" + bytes(60), True, ""),
        (b"PK\x03\x04" + bytes(60), False, "A zip archive"),
        (b"\0\1\2\3\4\5\6\7\x08" + bytes(60), False, ""),
    ],
)
def test_containers_are_known_by_their_first_bytes(head, known, name, tmp_path):
    path = tmp_path / "source"
    path.write_bytes(head)
    found = check_head(path)
    assert (found.known, found.name) == (known, name)


@pytest.mark.parametrize(
    "name",
    ["talk.mp3", "Talk.MP4", "a.b.webm", "recording", "C:\\talks\\one.wav", "-|$(x)\n.mkv", ""],
)
def test_names_of_talks_pass(name):
    check_name(name)


@pytest.mark.parametrize("name", ["talk.exe", "list.m3u8", "slides.pdf", "talk.mp3.zip"])
def test_other_endings_are_refused_in_words(name):
    with pytest.raises(Refused) as refused:
        check_name(name)
    assert f"ends in .{name.rpartition('.')[2]} is not supported here" in refused.value.words


def test_nothing_and_blanks_are_no_text():
    assert not is_text(b"")
    assert not is_text(b"   \n")
