"""Uploads into drafts. The bytes themselves go to the address that is told here, by tus."""

from uuid import UUID

from flask import Blueprint, url_for

from service import publishing
from service.api.contract import answers, spec
from service.api.readers import UploadRead
from service.api.writers import UploadBody
from service.context import dare
from service.identity.browser import me, publisher
from storage.objects import PART

blueprint = Blueprint("uploads", __name__, url_prefix="/episodes/<uuid:guid>/upload")
BEGUN = answers(UploadRead, 400, 404, 409, 413, 415, 422, 503, status=201)
BEGUN.add_model(200, UploadRead)


@blueprint.post("")
@publisher
@spec.validate(json=UploadBody, resp=BEGUN, tags=["publishing"])
def begin(guid: UUID, json: UploadBody) -> tuple[UploadRead, int]:
    """Open an upload into a draft, or find the one that is open for the same file (200)."""
    with dare().database.begin() as session:
        upload, fresh = publishing.begin_upload(
            session, dare(), me(), str(guid), name=json.name, length=json.size
        )
    url = url_for("uploads.append", upload_id=upload.id)
    return UploadRead(url=url, offset=upload.offset, chunk=PART), 201 if fresh else 200


@blueprint.delete("")
@publisher
@spec.validate(resp=answers(None, 404, 503, status=204), tags=["publishing"])
def end(guid: UUID) -> tuple[str, int]:
    """Give up the upload under way; the draft stays."""
    with dare().database.begin() as session:
        publishing.cancel_upload(session, dare(), me(), str(guid))
    return "", 204
