"""Our own scripts, styles and pictures, under addresses that change with their content."""

import hashlib
from pathlib import Path

from flask import Flask, Response, abort, send_file

from service.identity.browser import open_to_all

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain",
}


def digests(folder: Path) -> dict[str, str]:
    """Return the first twelve hex digits of the SHA-256 of every file below a folder, by name.

    Scripts import each other by relative address, so all of them share one digest: the folder
    part of the address changes when any of them does.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in TYPES)
    whole = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    return {str(path.relative_to(folder)): whole for path in files}


def register(app: Flask) -> None:
    """Serve the files and give templates `static_url(name)`."""
    known = digests(FOLDER)

    @open_to_all
    def static(digest: str, name: str) -> Response:
        path = FOLDER / name
        if name not in known:
            abort(404)
        response = send_file(path, mimetype=TYPES[path.suffix], conditional=True)
        fresh = digest == known[name]
        response.headers["Cache-Control"] = (
            "public, max-age=31536000, immutable" if fresh else "no-cache"
        )
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return response

    def static_url(name: str) -> str:
        return f"/static/{known[name]}/{name}"

    app.add_url_rule("/static/<digest>/<path:name>", "static", static)
    app.jinja_env.globals["static_url"] = static_url
