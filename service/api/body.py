"""A JSON request body, read strictly (pure): what the standard library lets pass is refused."""

import json
from typing import Any, NoReturn

from pydantic import ValidationError


class BodyError(ValueError):
    """A body cannot be read; `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def parsed(content: bytes) -> Any:
    """Return the JSON value that these bytes spell (RFC 8259, UTF-8).

    Raises:
        BodyError: 400 for anything that is no JSON, 422 for the constants NaN and Infinity, which
            Python would read although they are none.
    """
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except BodyError:
        raise
    except (ValueError, RecursionError) as error:
        raise BodyError(400, "The body is not JSON in UTF-8.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise BodyError(422, f"{name} is no number in JSON.")


def complaints(error: ValidationError) -> dict[str, str]:
    """Return one sentence for each field that does not fit, `body` standing for the whole.

    What was sent is not repeated: it may be long, and it may be a secret.
    """
    told: dict[str, str] = {}
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        field = ".".join(str(part) for part in found["loc"]) or "body"
        told.setdefault(field[:80], found["msg"].removeprefix("Value error, "))
    return told
