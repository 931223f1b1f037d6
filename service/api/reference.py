"""The API's own description: OpenAPI as JSON, and one page that shows it.

The page is made of the Swagger UI that the `offapi` distribution carries, everything inlined, and
runs in a sandbox: an origin of its own, no network, no cookies. So it holds the document itself.
"""

import base64
import hashlib
import json
from copy import deepcopy
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from flask import Blueprint, Response

from service.api.contract import spec
from service.identity.browser import open_to_all

blueprint = Blueprint("reference", __name__)
START = (
    b'window.onload=()=>SwaggerUIBundle({spec:%s,dom_id:"#reference",'
    b"presets:[SwaggerUIBundle.presets.apis],supportedSubmitMethods:[]});"
)
PAGE = (
    b'<!doctype html><html lang="en"><head><meta charset="utf-8">'
    b'<meta name="viewport" content="width=device-width, initial-scale=1">'
    b'<title>Dare API</title><link rel="icon" href="data:,"><style>%s</style></head><body>'
    b'<main id="reference"></main><script>%s</script><script>%s</script></body></html>'
)
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src {style}; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts"
)


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document of this application, read off its views.

    Only inside an application's context.
    """
    told: dict[str, Any] = deepcopy(spec.spec)
    for path in told["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                content = answer.get("content", {})
                if status >= "400" and "application/json" in content:
                    content["application/problem+json"] = content.pop("application/json")
    return told


def _bytes_of(name: str) -> bytes:
    return Path(str(distribution("offapi").locate_file(f"offapi/{name}"))).read_bytes()


def _hash(content: bytes) -> str:
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return f"'sha256-{digest}'"


def page() -> tuple[bytes, str]:
    """Return the reference page, about 1.8 MB, and the policy that lets just it run."""
    style, program = _bytes_of("swagger_style.css"), _bytes_of("swagger_bundle.js")
    # No text in the document can end the script that holds it.
    facts = json.dumps(document()).replace("<", "\\u003c").encode()
    start = START % facts
    scripts = f"{_hash(program)} {_hash(start)}"
    policy = POLICY.format(scripts=scripts, style=_hash(style))
    return PAGE % (style, program, start), policy


@blueprint.get("/openapi.json")
@open_to_all
def openapi() -> Response:
    """Give the OpenAPI document."""
    return Response(json.dumps(document()), mimetype="application/json")


@blueprint.get("/docs")
@open_to_all
def docs() -> Response:
    """Show the OpenAPI document."""
    content, policy = page()
    return Response(content, mimetype="text/html", headers={"Content-Security-Policy": policy})
