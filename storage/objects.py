"""The object store: S3 by boto3, embedded or elsewhere. The one home of boto3.

A missing object reads as None; a store that cannot answer raises StoreError.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from storage.settings import Settings, SettingsError

MIB = 1024**2
BLOCK = 256 * 1024
# The multipart protocol wants at least 5 MiB for every part but the last; ours are all alike.
PART = 8 * MIB
MISSING = {"404", "NoSuchKey", "NotFound", "NoSuchUpload", "NoSuchBucket"}


class StoreError(Exception):
    """The store could not do what was asked; trying again later may help."""


@dataclass(frozen=True)
class Found:
    """What the store says of an object. `etag` comes without quotes."""

    size: int
    etag: str
    type: str


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, HTTPClientError, ClientError) as error:
        raise StoreError(f"The object store could not {what}: {error}") from error


def _is_missing(error: ClientError) -> bool:
    return error.response.get("Error", {}).get("Code") in MISSING


class ObjectStore:
    """One bucket. Safe to share between threads."""

    def __init__(self, settings: Settings, *, connections: int = 40) -> None:
        if not settings.s3_endpoint:
            raise SettingsError(
                "No object store is known: start the house with `dare up`, or set DARE_S3_ENDPOINT."
            )
        self.bucket = settings.s3_bucket
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=settings.s3_endpoint,
            region_name=settings.s3_region,
            aws_access_key_id=settings.s3_access_key.get_secret_value(),
            aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
            config=Config(
                # Without these two, presigned GETs with response overrides fail with 403.
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                connect_timeout=5,
                read_timeout=60,
                max_pool_connections=connections,
                retries={"total_max_attempts": 4, "mode": "standard"},
            ),
        )

    def ensure_bucket(self) -> None:
        """Make the bucket if it is not there."""
        try:
            self._client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            if not _is_missing(error):
                raise StoreError(f"The bucket {self.bucket} cannot be used: {error}") from error
            with _explained("make the bucket"):
                self._client.create_bucket(Bucket=self.bucket)

    def put(self, key: str, content: bytes, content_type: str) -> Found:
        """Store bytes under a key and return what the store made of them."""
        with _explained("store an object"):
            answer = self._client.put_object(
                Bucket=self.bucket, Key=key, Body=content, ContentType=content_type
            )
        return Found(len(content), answer["ETag"].strip('"'), content_type)

    def put_file(self, key: str, path: Path, content_type: str) -> Found:
        """Store a file under a key: at once when small, in parts when large."""
        if path.stat().st_size <= PART:
            return self.put(key, path.read_bytes(), content_type)
        upload = self.begin_multipart(key, content_type)
        etags: list[str] = []
        with path.open("rb") as file:
            while chunk := file.read(PART):
                etags.append(self.put_part(key, upload, len(etags) + 1, chunk))
        return self.complete_multipart(key, upload, etags)

    def head(self, key: str) -> Found | None:
        """Return an object's size, ETag and type, or None when it is not there."""
        try:
            answer = self._client.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if _is_missing(error):
                return None
            raise StoreError(f"The object store could not answer: {error}") from error
        except (BotoCoreError, HTTPClientError) as error:
            raise StoreError(f"The object store could not answer: {error}") from error
        return Found(answer["ContentLength"], answer["ETag"].strip('"'), answer["ContentType"])

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Return blocks of an object from byte `start` up to and with byte `end`.

        The request is made before the first block is asked for, so a missing object raises here.
        """
        wanted = f"bytes={start}-" if end is None else f"bytes={start}-{end}"
        ranged = {} if start == 0 and end is None else {"Range": wanted}
        with _explained("read an object"):
            answer = self._client.get_object(Bucket=self.bucket, Key=key, **ranged)
        return self._blocks(answer["Body"])

    def _blocks(self, body: Any) -> Iterator[bytes]:
        try:
            with _explained("read an object to its end"):
                yield from body.iter_chunks(BLOCK)
        finally:
            body.close()

    def fetch(self, key: str, path: Path) -> None:
        """Copy an object into a file."""
        with path.open("wb") as file:
            for block in self.read(key):
                file.write(block)

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        with _explained("remove an object"):
            self._client.delete_object(Bucket=self.bucket, Key=key)

    def keys(self, prefix: str) -> list[str]:
        """Return all keys that begin with `prefix`, in order."""
        with _explained("list objects"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix
            )
            return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def begin_multipart(self, key: str, content_type: str) -> str:
        """Begin an upload in parts and return its id."""
        with _explained("begin an upload"):
            answer = self._client.create_multipart_upload(
                Bucket=self.bucket, Key=key, ContentType=content_type
            )
        return str(answer["UploadId"])

    def put_part(self, key: str, upload: str, number: int, content: bytes | IO[bytes]) -> str:
        """Store part `number` (from 1) and return its ETag, quotes included."""
        with _explained("store a part"):
            answer = self._client.upload_part(
                Bucket=self.bucket, Key=key, UploadId=upload, PartNumber=number, Body=content
            )
        return str(answer["ETag"])

    def complete_multipart(self, key: str, upload: str, etags: list[str]) -> Found:
        """Join the parts; a second call, after the first succeeded, finds the object."""
        parts = [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, start=1)]
        try:
            self._client.complete_multipart_upload(
                Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except ClientError as error:
            # Some stores forget an upload once it is complete: then the object is there.
            if not _is_missing(error):
                raise StoreError(f"The object store could not join the parts: {error}") from error
        except (BotoCoreError, HTTPClientError) as error:
            raise StoreError(f"The object store could not join the parts: {error}") from error
        found = self.head(key)
        if found is None:
            raise StoreError("The object store lost an upload while joining its parts.")
        return found

    def abort_multipart(self, key: str, upload: str) -> None:
        """Give up an upload in parts; one that is not there is no error."""
        try:
            self._client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
        except ClientError as error:
            if not _is_missing(error):
                raise StoreError(f"The object store could not end an upload: {error}") from error

    def unfinished(self, prefix: str) -> list[tuple[str, str]]:
        """Return (key, upload) of the uploads in parts under `prefix` that were never joined."""
        with _explained("list uploads"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=prefix
            )
            return [
                (one["Key"], one["UploadId"]) for page in pages for one in page.get("Uploads", [])
            ]
