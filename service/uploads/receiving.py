"""Uploads: bytes in order, in parts of 8 MiB, each counted only once the store has it.

One row holds the truth (offset, ETags), so any web process continues any upload. A request claims
the row by a conditional update, streams without holding a connection, and commits its part where
claim and offset still match. A request that breaks off has moved nothing.
"""

import tempfile
from dataclasses import dataclass
from datetime import timedelta
from typing import IO
from uuid import UUID, uuid4

from sqlmodel import Session, col, or_, select, update

from service.presentation import file_size
from storage import keys
from storage.database import Database
from storage.models import Episode, Upload, now
from storage.objects import PART, ObjectStore

LOCK_LIFE = timedelta(seconds=90)
BLOCK = 256 * 1024
SPOOL = 1024 * 1024


class UploadError(Exception):
    """An upload cannot go on like this; `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.offset = offset


@dataclass(frozen=True)
class Claim:
    """A request's exclusive right to append to an upload, for a minute and a half."""

    upload: Upload
    lock: UUID


def begin(
    session: Session, store: ObjectStore, episode: Episode, *, name: str, length: int, limit: int
) -> tuple[Upload, bool]:
    """Open an upload for a draft, or find the one that is open for the same file.

    Returns the upload and whether it is new.

    Raises:
        UploadError: 413 over the limit, 422 empty, 409 when another file is on its way.
    """
    if length <= 0:
        raise UploadError(422, "The file is empty.")
    if length > limit:
        raise UploadError(
            413, f"The file has {file_size(length)}; the limit here is {file_size(limit)}."
        )
    given = shown_name(name)
    found = open_upload(session, episode.id)
    if found is not None and (found.given_name, found.length) == (given, length):
        return found, False
    if found is not None:
        raise UploadError(
            409,
            f"Another file is on its way into this draft: {found.given_name}, "
            f"{file_size(found.offset)} of {file_size(found.length)}. Cancel it first.",
        )
    key = keys.source(episode.guid)
    upload = Upload(
        id=uuid4(),
        owner_id=episode.author_id,
        episode_id=episode.id,
        given_name=given,
        length=length,
        key=key,
        s3_upload_id=store.begin_multipart(key, "application/octet-stream"),
    )
    session.add(upload)
    session.flush()
    return upload, True


def open_upload(session: Session, episode_id: int) -> Upload | None:
    """Return the upload that is under way for an episode."""
    return session.exec(
        select(Upload).where(Upload.episode_id == episode_id, Upload.state == "open")
    ).first()


def mine(session: Session, upload_id: UUID, owner_id: int) -> Upload:
    """Return one of a person's own uploads.

    Raises:
        UploadError: 404 when there is none, or it is somebody else's; 410 when it was given up.
    """
    upload = session.get(Upload, upload_id)
    if upload is None or upload.owner_id != owner_id:
        raise UploadError(404, "There is no such upload.")
    if upload.state == "aborted":
        raise UploadError(410, "This upload has ended. Your draft is kept.")
    return upload


def append(
    database: Database,
    store: ObjectStore,
    upload_id: UUID,
    owner_id: int,
    *,
    offset: int,
    body: IO[bytes],
    length: int | None,
) -> int:
    """Store the next part and return the new offset.

    A part is exactly 8 MiB, or the rest of the file. Nothing counts before the store has all of
    it, so after any fault the client goes on from the offset that the row tells.

    Raises:
        UploadError: 404, 409 for a wrong offset, 410, 413 for a part of another length, 423 while
            another request appends, 400 when the body breaks off.
        StoreError: the store did not take it; nothing has moved.
    """
    claim = _claim(database, upload_id, owner_id, offset)
    wanted = min(PART, claim.upload.length - offset)
    if wanted == 0:
        return offset
    try:
        _check_length(length, wanted, offset)
        etag = _store_part(store, claim.upload, wanted, body)
    except BaseException:
        _release(database, claim)
        raise
    return _commit(database, claim, offset + wanted, etag)


def _check_length(length: int | None, wanted: int, offset: int) -> None:
    if length is not None and length != wanted:
        raise UploadError(
            413,
            f"Send {wanted} bytes from offset {offset}: parts have 8 MiB, the last one the rest.",
            offset,
        )


def _store_part(store: ObjectStore, upload: Upload, wanted: int, body: IO[bytes]) -> str:
    offset = upload.offset
    with tempfile.SpooledTemporaryFile(max_size=SPOOL) as part:
        if _copy(body, part, wanted) != wanted:
            raise UploadError(400, "The connection broke off; nothing was lost.", offset)
        part.seek(0)
        return store.put_part(upload.key, upload.s3_upload_id, offset // PART + 1, part)


def _claim(database: Database, upload_id: UUID, owner_id: int, offset: int) -> Claim:
    lock, moment = uuid4(), now()
    with database.begin() as session:
        upload = mine(session, upload_id, owner_id)
        if upload.offset != offset:
            raise UploadError(
                409, f"The upload stands at {upload.offset}, not at {offset}.", upload.offset
            )
        if offset == upload.length:
            return Claim(upload, lock)  # nothing is left to append, so nobody is kept out
        claimed = session.exec(
            update(Upload)
            .where(
                col(Upload.id) == upload_id,
                # Somebody may have come and gone since the row was read.
                col(Upload.offset) == offset,
                col(Upload.state) == "open",
                or_(col(Upload.lock).is_(None), col(Upload.locked_at) < moment - LOCK_LIFE),
            )
            .values(lock=lock, locked_at=moment)
        )
        if claimed.rowcount != 1:
            raise UploadError(423, "Another window is sending this file just now.", offset)
        session.expunge(upload)
        return Claim(upload, lock)


def _release(database: Database, claim: Claim) -> None:
    with database.begin() as session:
        session.exec(
            update(Upload)
            .where(col(Upload.id) == claim.upload.id, col(Upload.lock) == claim.lock)
            .values(lock=None, locked_at=None)
        )


def _commit(database: Database, claim: Claim, offset: int, etag: str) -> int:
    upload = claim.upload
    with database.begin() as session:
        moved = session.exec(
            update(Upload)
            .where(
                col(Upload.id) == upload.id,
                col(Upload.lock) == claim.lock,
                col(Upload.offset) == upload.offset,
            )
            .values(
                offset=offset,
                parts=[*upload.parts, etag],
                lock=None,
                locked_at=None,
                changed_at=now(),
            )
        )
        if moved.rowcount != 1:
            raise UploadError(423, "Another window went on with this file.", upload.offset)
    return offset


def _copy(body: IO[bytes], part: IO[bytes], wanted: int) -> int:
    copied = 0
    while copied < wanted:
        block = body.read(min(BLOCK, wanted - copied))
        if not block:
            break
        part.write(block)
        copied += len(block)
    return copied


def complete(store: ObjectStore, upload: Upload) -> None:
    """Join the parts in the store; harmless when done before.

    Raises:
        UploadError: 409 while bytes are missing.
        StoreError: the store cannot do it now.
    """
    if upload.offset != upload.length:
        raise UploadError(
            409,
            f"{file_size(upload.length - upload.offset)} are still missing.",
            upload.offset,
        )
    found = store.complete_multipart(upload.key, upload.s3_upload_id, upload.parts)
    if found.size != upload.length:
        raise UploadError(409, "The store holds another number of bytes. Please upload again.")


def abort(session: Session, store: ObjectStore, upload: Upload) -> None:
    """Give an upload up; the draft stays."""
    if upload.state != "open":
        return
    upload.state = "aborted"
    upload.changed_at = now()
    session.add(upload)
    session.flush()
    store.abort_multipart(upload.key, upload.s3_upload_id)


def shown_name(name: str) -> str:
    """Return a given file name as text to show: printable, without folders, at most 255."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable())[:255] or "recording"
