"""Export: all that is kept about one person, in one archive.

The archive is packed in a scratch file and stored under a fresh key; the row that names the key
counts, and it takes only the first result. A worker that died or slept leaves an object that no row
names; retention removes everything under the archive's prefix.
"""

import json
import logging
import re
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session, col, select, update

from storage import belongings, keys, personal, transcripts
from storage.belongings import Owner
from storage.floor import Floor
from storage.models import Cue, Episode, Export, Notice, Person, Rendition, Show, Source, now
from storage.objects import ObjectStore
from workers.errors import Cancelled, Interrupted
from workers.workplace import Workplace

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
# What an archive takes beside the recordings: rows, transcripts, and air.
ROOM = 64 * 1024**2
SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}$")
NOTHING = "Nobody waits for this archive any more."
READY = "Everything that is kept about you is packed and waits for you."
HEADLINE = """Everything that this house keeps about you, packed on {at} UTC.

Each .json file is a list of rows; schema.json says what each holds, and what was left out and why.
Times are UTC, lengths in seconds, sizes in bytes. A talk is named by its permanent id; its address
is {origin}/episodes/ and that id.

"""


@dataclass(frozen=True)
class Member:
    """An object of the store that goes into the archive under a name of ours."""

    name: str
    key: str
    size: int


def pack(place: Workplace, ref: str) -> None:
    """Pack the archive of this opaque id and call it ready, unless somebody has.

    Raises:
        Cancelled: nobody waits for it any more.
        Interrupted: there is no room for it on this machine.
        StoreError: the store could not give or take the bytes.
    """
    owner = _begun(place.floor, ref)
    folder = place.scratch / f"export-{ref}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        path = folder / "archive.zip"
        write(place.floor, owner, path, _watch(place, ref))
        key = keys.export(UUID(ref))
        found = place.floor.store.put_file(key, path, "application/zip")
        if not _committed(place.floor, ref, key, found.size):
            place.floor.store.delete(key)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fail(place: Workplace, ref: str, words: str) -> None:
    """Write down why the archive could not be packed."""
    with place.floor.database.begin() as session:
        session.exec(
            update(Export)
            .where(col(Export.ref) == UUID(ref), col(Export.state).in_(("waiting", "building")))
            .values(state="failed", reason=words[:300])
        )


def _begun(floor: Floor, ref: str) -> Owner:
    """Call the archive begun and return whose it is."""
    with floor.database.begin() as session:
        row = session.exec(
            select(Export)
            .where(Export.ref == UUID(ref), col(Export.state).in_(("waiting", "building")))
            .with_for_update()
        ).first()
        if row is None:
            raise Cancelled(NOTHING)
        row.state = "building"
        return belongings.owner_of(session.get_one(Person, row.person_id))


def _committed(floor: Floor, ref: str, key: str, size: int) -> bool:
    """Name the object in its row and tell the person; False when it no longer counts."""
    moment = now()
    with floor.database.begin() as session:
        person_id = session.execute(
            update(Export)
            .where(col(Export.ref) == UUID(ref), col(Export.state) == "building")
            .values(
                state="ready",
                key=key,
                size=size,
                reason=None,
                ready_at=moment,
                expires_at=moment + timedelta(days=floor.settings.keep_exports_days),
            )
            .returning(col(Export.person_id))
        ).scalar_one_or_none()
        if person_id is None:
            return False
        session.add(
            Notice(person_id=person_id, kind="export", words=READY, path="/account/privacy")
        )
    return True


def _watch(place: Workplace, ref: str) -> Callable[[], None]:
    """Return a function that raises once the work has become pointless; it asks once a second."""
    asked = [time.monotonic()]

    def check() -> None:
        _stop_if(place.stopping)
        if time.monotonic() - asked[0] < POLL_SECONDS:
            return
        asked[0] = time.monotonic()
        with place.floor.database.begin() as session:
            state = session.exec(select(Export.state).where(Export.ref == UUID(ref))).first()
        if state != "building":
            raise Cancelled(NOTHING)

    return check


def _stop_if(stopping: threading.Event) -> None:
    if stopping.is_set():
        raise Cancelled("This worker ends.")


def write(floor: Floor, owner: Owner, path: Path, check: Callable[[], None]) -> None:
    """Write somebody's archive into a file; `check` raises when it is not wanted any more.

    All rows are read in one snapshot; the recordings follow when the connection is free again.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        with floor.database.begin() as session:
            session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            counts = _write_rows(session, archive, owner)
            _write_transcripts(session, archive, owner)
            members = _members(session, floor.store, owner)
        _check_room(path, sum(member.size for member in members))
        missing = [one.name for one in members if not _copied(archive, floor.store, one, check)]
        _write(archive, "schema.json", _json(_schema()))
        _write(archive, "README.txt", [_readme(floor, counts, members, missing)])


def _check_room(path: Path, wanted: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < wanted + ROOM:
        raise Interrupted(
            "There is no room to pack this just now. Whoever runs this house has to make some.",
            f"{free} bytes free, {wanted + ROOM} needed",
        )


def _write_rows(session: Session, archive: zipfile.ZipFile, owner: Owner) -> dict[str, int]:
    """Write a file for each table that has one; return how many rows each holds."""
    counts = {}
    for table in personal.TABLES:
        if table.file:
            name = f"{table.file}.json"
            rows = _counted(belongings.told(session, table, owner))
            _write(archive, name, _listed(rows))
            counts[name] = rows.count
    return counts


class _counted:  # noqa: N801  reads as what it makes of rows
    """Rows on their way, and how many have passed."""

    def __init__(self, rows: Iterator[dict[str, Any]]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self._rows:
            self.count += 1
            yield row


def _listed(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield "["
    between = "\n"
    for row in rows:
        yield between + _told(row)
        between = ",\n"
    yield "\n]\n"


def _told(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, default=_plain)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _json(value: object) -> list[str]:
    return [json.dumps(value, ensure_ascii=False, indent=1) + "\n"]


def _write(archive: zipfile.ZipFile, name: str, parts: Iterable[str]) -> None:
    with archive.open(_entry(name, zipfile.ZIP_DEFLATED), "w", force_zip64=True) as file:
        for part in parts:
            file.write(part.encode())


def _entry(name: str, how: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, now().timetuple()[:6])
    entry.compress_type = how
    entry.external_attr = 0o600 << 16
    return entry


def _write_transcripts(session: Session, archive: zipfile.ZipFile, owner: Owner) -> None:
    """Write each of their talks' transcript as JSON and as WebVTT."""
    for episode_id, guid in _talks(session, owner):
        rows = session.exec(
            select(Cue).where(Cue.episode_id == episode_id).order_by(col(Cue.position))
        )
        cues = [transcripts.Cue(c.start, c.end, c.text, language=c.language) for c in rows]
        if cues:
            _write(archive, f"transcripts/{guid}.json", [transcripts.to_json(cues)])
            _write(archive, f"transcripts/{guid}.vtt", [transcripts.to_vtt(cues)])


def _talks(session: Session, owner: Owner) -> list[tuple[int, UUID]]:
    rows = session.exec(
        select(Episode.id, Episode.guid)
        .where(Episode.author_id == owner.id)
        .order_by(col(Episode.id))
    )
    return [(number, guid) for number, guid in rows]


def _members(session: Session, store: ObjectStore, owner: Owner) -> list[Member]:
    """Return the recordings as uploaded, the newest MP3 of a talk without one, and pictures."""
    found = []
    for episode_id, guid in _talks(session, owner):
        sources = session.exec(
            select(Source).where(Source.episode_id == episode_id).order_by(col(Source.revision))
        ).all()
        found += [
            Member(
                f"recordings/{guid}/{source.revision}{_suffix(source.given_name)}",
                source.key,
                source.size,
            )
            for source in sources
        ]
        sound = session.exec(
            select(Rendition)
            .where(Rendition.episode_id == episode_id, Rendition.kind == "mp3")
            .order_by(col(Rendition.revision).desc())
        ).first()
        if sound is not None and not sources:
            found.append(Member(f"recordings/{guid}.mp3", sound.key, sound.size))
    shows = session.exec(select(Show).where(Show.owner_id == owner.id, col(Show.artwork_key) != ""))
    for show in shows:
        picture = store.head(show.artwork_key or "")
        if picture is not None and show.artwork_key:
            found.append(Member(f"pictures/{show.guid}.jpg", show.artwork_key, picture.size))
    return found


def _suffix(given_name: str) -> str:
    """Return the ending of a file's name, if it is a harmless one; never the name itself."""
    found = SUFFIX.search(given_name)
    return found[0].lower() if found else ""


def _copied(
    archive: zipfile.ZipFile, store: ObjectStore, member: Member, check: Callable[[], None]
) -> bool:
    """Copy an object into the archive, block by block; False when the store has none."""
    if store.head(member.key) is None:
        log.warning("An archive lacks %s: the store has no %s.", member.name, member.key)
        return False
    entry = _entry(member.name, zipfile.ZIP_STORED)  # sound and film are compressed already
    with archive.open(entry, "w", force_zip64=True) as file:
        for block in store.read(member.key):
            check()
            file.write(block)
    return True


def _schema() -> dict[str, Any]:
    """Return what each file holds, and what is kept but left out, with the reason."""
    files = {
        f"{table.file}.json": {
            "about": table.about,
            "columns": belongings.described(table),
            "left_out": table.left_out,
        }
        for table in personal.TABLES
        if table.file
    }
    unlisted = {
        table.about: sorted(set(table.left_out.values()))
        for table in personal.TABLES
        if table.of and not table.file
    }
    return {"version": 1, "files": files, "kept_but_left_out": unlisted}


def _readme(floor: Floor, counts: dict[str, int], members: list[Member], missing: list[str]) -> str:
    lines = [HEADLINE.format(at=f"{now():%Y-%m-%d %H:%M}", origin=floor.settings.origin)]
    for table in personal.TABLES:
        if table.file:
            name = f"{table.file}.json"
            lines.append(f"{name}: {table.about} ({counts[name]})\n")
    lines.append("transcripts/: what was said in each of your talks, as JSON and as WebVTT\n")
    lines.append(f"recordings/, pictures/: your files as you uploaded them ({len(members)})\n")
    lines += [f"Missing: {name}, which the store did not have.\n" for name in missing]
    lines.append("\nNo secret is in here, and of what others wrote only decisions about you.\n")
    return "".join(lines)
