"""The access log holds no secret, and every log says when."""

import ast
import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn.config import Config

from service.access_log import FORMAT, AccessLogger, blanked


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/f/abc123.xml", "/f/…"),
        ("/m/ref/key/guid/1/audio.mp3", "/m/…/…/guid/1/audio.mp3"),
        ("/set-up/secret", "/set-up/…"),
        ("/invitations/secret", "/invitations/…"),
        ("/resets/secret", "/resets/…"),
        ("/search?q=private+words", "/search"),
        ("/feeds", "/feeds"),
        ("/my/f/abc", "/my/f/abc"),
        ("//f//abc123.xml", "/f/…"),
        ("/x\nforged\x1b[31m", "/x\\x0aforged\\x1b[31m"),
    ],
)
def test_s19_s41_secret_parts_of_an_address_are_blanked(path: str, shown: str) -> None:
    assert blanked(path) == shown


def test_s19_s41_no_part_of_a_line_can_hold_token_query_or_referrer() -> None:
    environ = {
        "REQUEST_METHOD": "GET",
        "RAW_URI": "/f/sesame.xml?t=query",
        "PATH_INFO": "/f/sesame.xml",
        "QUERY_STRING": "t=query",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_REFERER": "http://127.0.0.1/f/sesame.xml",
        "REMOTE_ADDR": "127.0.0.1",
    }
    response = SimpleNamespace(status="200 OK", sent=7, headers=[])
    request = SimpleNamespace(headers=[])
    atoms = AccessLogger(Config()).atoms(response, request, environ, timedelta(seconds=1))
    own = {name: value for name, value in atoms.items() if not name.startswith("{")}
    assert "sesame" not in str(own)
    assert "query" not in str(own)
    assert "sesame" not in FORMAT % {**own, "M": 1000, "{x-request-id}o": "id"}


def test_every_log_line_has_its_time_with_the_offset() -> None:
    root = Path(__file__).parents[2]
    formats = [
        {one.arg: ast.unparse(one.value) for one in node.keywords}
        for path in (root / "service" / "gunicorn_conf.py", root / "workers" / "__main__.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.basicConfig"
    ]
    assert len(formats) == 2
    assert all("%(asctime)s" in told["format"] for told in formats)
    assert all(told["datefmt"] == "'%Y-%m-%dT%H:%M:%S%z'" for told in formats)
    assert re.match(r"%\(h\)s %\(t\)s ", FORMAT)
