"""Bytes in order: the tus 1.0 core protocol (https://tus.io/protocols/resumable-upload), on a part.

Creation is ours (the studio and the API open an upload for a draft); HEAD, PATCH and DELETE are
the protocol's.
"""

from typing import Any

from flask import Blueprint, Response, abort, request

from service import publishing
from service.context import dare
from service.identity.browser import me, publisher
from service.uploads import receiving
from service.uploads.receiving import UploadError

blueprint = Blueprint("uploads", __name__, url_prefix="/uploads")
VERSION = "1.0.0"
CONTENT = "application/offset+octet-stream"


def _answer(status: int, **headers: str) -> Response:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        status=status, headers={"Tus-Resumable": VERSION, "Cache-Control": "no-store", **told}
    )


@blueprint.route("/<uuid:upload_id>", methods=["HEAD", "GET"])
@publisher
def offset(upload_id: Any) -> Response:
    """Tell how many bytes count."""
    with dare().database.begin() as session:
        upload = receiving.mine(session, upload_id, me().id)
    return _answer(200, Upload_Offset=str(upload.offset), Upload_Length=str(upload.length))


@blueprint.patch("/<uuid:upload_id>")
@publisher
def append(upload_id: Any) -> Response:
    """Take the next part."""
    if request.mimetype != CONTENT:
        abort(415, f"Parts are sent as {CONTENT}.")
    at = request.headers.get("Upload-Offset", "")
    if not at.isascii() or not at.isdigit():
        raise UploadError(400, "Upload-Offset says from which byte on.")
    moved = receiving.append(
        dare().database,
        dare().store,
        upload_id,
        me().id,
        offset=int(at),
        body=request.stream,
        length=request.content_length,
    )
    return _answer(204, Upload_Offset=str(moved))


@blueprint.delete("/<uuid:upload_id>")
@publisher
def end(upload_id: Any) -> Response:
    """Give an upload up."""
    with dare().database.begin() as session:
        publishing.end_upload(session, dare(), me(), upload_id)
    return _answer(204)
