"""Where browsers report what our content policy has kept from running or loading."""

import json
import logging

from flask import Blueprint, Response, request

from service.identity.browser import keyed

blueprint = Blueprint("policy", __name__)
log = logging.getLogger(__name__)
LONGEST = 16 * 1024
TOLD = ("document-uri", "effective-directive", "violated-directive", "blocked-uri", "line-number")


@blueprint.post("/policy-reports")
@keyed
def report() -> Response:
    """Write one report down, a line of it. No cookie is read: browsers send these by themselves."""
    request.max_content_length = LONGEST
    try:
        said = json.loads(request.get_data()).get("csp-report", {})
        facts = {name: str(said[name])[:200] for name in TOLD if name in said}
    except (ValueError, AttributeError, TypeError, RecursionError):
        return Response(status=400)
    # %r: what a browser was made to say must not write lines of its own.
    log.warning("A page was kept from something by our policy: %r", facts)
    return Response(status=204)
