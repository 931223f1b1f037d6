"""The API's frame: one SpecTree, bodies read strictly, refusals as problem details (RFC 9457)."""

import sys
from typing import Any

from flask import Request, abort
from pydantic import BaseModel, ValidationError

from service import failures
from service.api.body import BodyError, complaints, parsed

# spectree reads three reference pages when it is imported and keeps them: 38 MiB for nothing, as
# `reference` makes our one page when somebody asks for it. Told that they are not there, it goes on
# without; the entry goes away again, so that nothing else is misled.
sys.modules["offapi"] = None  # type: ignore[assignment]

from spectree import Response, SecurityScheme, SpecTree  # noqa: E402
from spectree.models import SecureType, SecuritySchemeData  # noqa: E402
from spectree.plugins.base import Context  # noqa: E402
from spectree.plugins.flask_plugin import FlaskPlugin  # noqa: E402
from spectree.utils import get_multidict_items  # noqa: E402

del sys.modules["offapi"]

MIB = 1024**2
MOST_BYTES = MIB
TOO_LARGE = "A request to the API may have at most 1 MiB."
ABOUT = (
    "Everything that the pages do with episodes, uploads, ratings and search. Send a personal "
    "access token as `Authorization: Bearer …`; make one on your account page or with "
    "`dare token EMAIL`. Addresses in answers are relative to this origin, unless they are feeds. "
    "Times are RFC 3339 in UTC, lengths and positions are seconds."
)


class Problem(BaseModel):
    """Why something did not work: application/problem+json."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: dict[str, str] | None = None


class StrictFlask(FlaskPlugin):
    """Requests are read by our own rules: one JSON object, typed as such, without NaN."""

    def request_validation(  # noqa: PLR0917  the signature is spectree's
        self,
        request: Request,
        query: Any,
        json: Any,
        form: Any,  # noqa: ARG002  as above
        headers: Any,  # noqa: ARG002  as above
        cookies: Any,  # noqa: ARG002  as above
    ) -> None:
        """Keep what was asked for where spectree looks for it.

        Raises:
            ValidationError: a field is missing, wrong or unknown.
            HTTPException: 400, 413, 415 or 422 for a body that cannot be read at all.
        """
        asked = get_multidict_items(request.args, query) if query else None
        request.context = Context(  # type: ignore[attr-defined]
            query.model_validate(asked) if query else None,
            json.model_validate(_body(request)) if json else None,
            None,
            None,
            None,
        )


def _body(request: Request) -> Any:
    if not request.is_json:
        abort(415, "Send the body as application/json.")
    content = request.get_data()
    if len(content) > MOST_BYTES:
        abort(413, TOO_LARGE)
    try:
        return parsed(content)
    except BodyError as error:
        abort(error.status, str(error))


def _refuse(_request: Any, _response: Any, error: Exception | None, *_rest: Any) -> None:
    if isinstance(error, ValidationError):
        told = complaints(error)
        words = " ".join(f"{field}: {message}." for field, message in told.items())
        abort(failures.answer(422, words.replace("..", "."), errors=told))


def _own_up(_request: Any, _response: Any, error: Exception | None, *_rest: Any) -> None:
    # spectree would answer with the values that did not fit; they may not be for the asker.
    if error is not None:
        raise error


spec = SpecTree(
    backend=StrictFlask,
    before=_refuse,
    after=_own_up,
    naming_strategy=lambda model: model.__name__,
    nested_naming_strategy=lambda _parent, name: name,
    validation_error_model=Problem,
    mode="strict",
    title="Dare to share",
    version="1",
    description=ABOUT,
    page_templates={},
    security_schemes=[
        SecurityScheme(name="token", data=SecuritySchemeData(type=SecureType.HTTP, scheme="bearer"))
    ],
    security=[{"token": []}],
)


def answers(model: type[BaseModel] | None, *refused: int, status: int = 200) -> Response:
    """Return what a view answers: a model (or nothing) with `status`, else these refusals.

    401 is understood. A view returns an instance of the model, so that no column is sent that the
    model does not name.
    """
    problems = {f"HTTP_{code}": Problem for code in (401, *refused)}
    return Response(**{f"HTTP_{status}": model}, **problems)
