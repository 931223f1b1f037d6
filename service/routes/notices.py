"""What the house has to tell one person."""

import re

from flask import Blueprint, redirect, render_template, url_for
from werkzeug import Response

from service import catalogue, notices
from service.context import dare
from service.identity.browser import me, signed_in

blueprint = Blueprint("notices", __name__, url_prefix="/notices")
# Where a notice leads to a talk, which may be shut to its reader by now.
TALK = re.compile(r"/episodes/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![\w/])")


@blueprint.get("/")
@signed_in
def index() -> str:
    """List the latest notices, the newest first; reading them changes nothing."""
    with dare().database.begin() as session:
        found = notices.mine(session, me().id)
        talks = {notice.id: told[1] for notice in found if (told := TALK.match(notice.path))}
        opens = catalogue.openable(session, me(), set(talks.values()))
        shut = {notice for notice, guid in talks.items() if guid not in opens}
        return render_template("notices/index.html", notices=found, shut=shut)


@blueprint.post("/read")
@signed_in
def read() -> Response:
    """Mark all of them as read."""
    with dare().database.begin() as session:
        notices.read_all(session, me().id)
    return redirect(url_for("notices.index"), 303)
