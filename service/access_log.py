"""The web's access log, from which no secret can be read."""

import re
from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger

# The id at the end is the one that people are shown with an error.
FORMAT = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(B)s %(M)sms %({x-request-id}o)s'
# Addresses that are secrets themselves: feeds, their enclosures, one-time links.
_SECRETS = (
    (re.compile(r"^/f/[^/]*"), "/f/…"),
    (re.compile(r"^/m/[^/]*/[^/]*"), "/m/…/…"),
    (re.compile(r"^/set-up/[^/]*"), "/set-up/…"),
    (re.compile(r"^/invitations/[^/]*"), "/invitations/…"),
    (re.compile(r"^/resets/[^/]*"), "/resets/…"),
)


def blanked(path: str) -> str:
    """Return a path as one line without its secret parts, and without a query if it has one.

    Paths come decoded: a line break or an escape sequence in one would write a line of its own.
    """
    path = re.sub("/+", "/", path.partition("?")[0])
    path = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in path)
    for pattern, instead in _SECRETS:
        path = pattern.sub(instead, path)
    return path


class AccessLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's logger, whose paths are blanked whatever the format asks for."""

    def atoms(
        self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta
    ) -> dict[str, Any]:
        """Return the parts of an access line, secrets blanked; query and referrer are left out."""
        atoms: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        path = blanked(environ.get("PATH_INFO", ""))
        atoms.update({"U": path, "q": "", "f": "-", "r": f"{atoms['m']} {path}"})
        return atoms
