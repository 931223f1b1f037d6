"""The audit log: read page by page, or taken away as a table."""

from collections.abc import Iterator
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, render_template, request, url_for

from service import audit_log, spreadsheet
from service.audit_log import Condition, Entries, Wanted, WantedError
from service.context import dare
from service.identity import browser
from service.identity.browser import admin, me, recent
from storage import audit
from storage.database import Database

blueprint = Blueprint("admin_log", __name__, url_prefix="/admin/log")


@blueprint.get("/")
@admin
@recent
def index() -> str | tuple[str, int]:
    """Show what was written down, newest first."""
    wanted = Wanted.read(request.args)
    found, errors = Entries([]), {}
    with dare().database.begin() as session:
        end = audit.end(session, dare().settings.secret)
        try:
            condition = Condition(session, wanted)
            found = audit_log.entries(session, condition, request.args.get("before", 0, int))
        except WantedError as error:
            errors = error.errors
    kept = urlencode(wanted.given() | {"before": found.before or 0})
    page = render_template(
        "admin/log.html",
        entries=found.rows,
        wanted=wanted,
        acts=audit.ACTS,
        end=end,
        late=end.is_late(),
        errors=errors,
        next_url=f"{url_for('admin_log.index')}?{kept}" if found.before else None,
    )
    return (page, 422) if errors else page


@blueprint.post("/download")
@admin
@recent
def download() -> Response:
    """Give what was asked for as CSV; that somebody took it is written down first."""
    floor = dare()
    try:
        with floor.database.begin() as session:
            condition = Condition(session, Wanted.read(request.form))
            audit.record(
                session,
                "audit-downloaded",
                actor=me().ref,
                subject_kind=audit.LOG,
                subject=audit.LOG,
                network=browser.network(),
                **{f"of_{name}": told for name, told in condition.facts.items()},
            )
    except WantedError as error:
        abort(422, str(error))
    return Response(
        _rows(floor.database, condition),
        mimetype="text/csv",
        headers={
            "Content-Disposition": 'attachment; filename="audit-log.csv"',
            "Cache-Control": "no-store",
        },
    )


def _rows(database: Database, condition: Condition) -> Iterator[str]:
    """Return the table piece by piece, each read in a transaction of its own."""
    yield spreadsheet.lines([audit_log.COLUMNS])
    before: int | None = 0
    while before is not None:
        with database.begin() as session:
            found = audit_log.entries(session, condition, before, most=audit_log.BATCH)
        yield spreadsheet.lines(entry.row() for entry in found.rows)
        before = found.before
