"""The object store as the house uses it, on the real one."""

import hashlib
import random
from uuid import uuid4

import pytest

from storage.objects import PART, Found, ObjectStore, StoreError
from storage.settings import SettingsError

CONTENT = random.Random(5).randbytes(700_001)  # noqa: S311  a seeded run can be repeated


@pytest.fixture(scope="module")
def store(house):
    return ObjectStore(house)


@pytest.fixture
def key(store):
    made = f"tests/{uuid4().hex}"
    yield made
    for left in store.keys(made):
        store.delete(left)


def test_what_was_put_is_found_with_size_type_and_etag(store, key):
    put = store.put(key, CONTENT, "audio/mpeg")
    etag = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert put == store.head(key) == Found(len(CONTENT), etag, "audio/mpeg")
    assert b"".join(store.read(key)) == CONTENT


@pytest.mark.parametrize(
    ("start", "end"), [(0, None), (0, 0), (1, 99), (262_143, 262_144), (700_000, None)]
)
def test_a_range_is_read_with_both_its_ends(store, key, start, end):
    store.put(key, CONTENT, "audio/mpeg")
    last = len(CONTENT) if end is None else end + 1
    assert b"".join(store.read(key, start, end)) == CONTENT[start:last]


def test_a_missing_object_reads_as_none_and_cannot_be_read_or_missed(store, key, tmp_path):
    assert store.head(key) is None
    store.delete(key)
    with pytest.raises(StoreError, match="could not read"):
        store.read(key)
    with pytest.raises(StoreError):
        store.fetch(key, tmp_path / "copy")


def test_a_file_goes_in_and_comes_out_whole_in_parts_when_large(store, key, tmp_path):
    for size in (0, 5, PART, PART + 3):
        path = tmp_path / "file"
        path.write_bytes(bytes(size))
        put = store.put_file(key, path, "audio/mp4")
        assert (put.size, put.type) == (size, "audio/mp4")
        store.fetch(key, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == bytes(size)


def test_parts_can_be_joined_twice_and_given_up_twice(store, key):
    upload = store.begin_multipart(key, "audio/wav")
    etags = [store.put_part(key, upload, 1, bytes(PART)), store.put_part(key, upload, 2, b"end")]
    first = store.complete_multipart(key, upload, etags)
    again = store.complete_multipart(key, upload, etags)
    assert first == again
    assert first.size == PART + 3
    for _ in range(2):
        store.abort_multipart(key, upload)
    assert store.head(key) == first


def test_parts_that_were_given_up_leave_no_object(store, key):
    upload = store.begin_multipart(key, "audio/wav")
    etag = store.put_part(key, upload, 1, b"x")
    store.abort_multipart(key, upload)
    assert store.head(key) is None
    with pytest.raises(StoreError):
        store.complete_multipart(key, upload, [etag])


def test_keys_are_listed_by_prefix_in_order(store, key):
    for name in ("b", "a", "c"):
        store.put(f"{key}/{name}", b"x", "text/plain")
    assert store.keys(f"{key}/") == [f"{key}/{name}" for name in "abc"]
    assert store.keys(f"{key}/none") == []


def test_a_store_that_is_away_or_refuses_is_said_so(house, key):
    away = ObjectStore(house.model_copy(update={"s3_endpoint": "http://127.0.0.1:9"}))
    with pytest.raises(StoreError, match="could not"):
        away.head(key)
    stranger = ObjectStore(
        house.model_copy(update={"s3_access_key": type(house.s3_access_key)("none")})
    )
    for act in (lambda: stranger.head(key), lambda: stranger.put(key, b"x", "text/plain")):
        with pytest.raises(StoreError):
            act()
    with pytest.raises(SettingsError, match="DARE_S3_ENDPOINT"):
        ObjectStore(house.model_copy(update={"s3_endpoint": ""}))
