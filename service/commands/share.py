"""`dare share FILE`: publish a talk from a file, by the same way as the page."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from service import catalogue, publishing
from service.access import Asker
from service.catalogue import Talk
from service.commands.options import Refusal, data_option
from service.commands.within import asker_by_email, floor_of
from service.publishing import Draft, NotThereError, PublishingError
from service.uploads.receiving import UploadError
from storage.floor import Floor

POLL_SECONDS = 0.2
FAILED = 1


@click.command("share")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--title", required=True)
@click.option("--as", "email", required=True, help="Whose talk it is.")
@click.option("--notes", default="", help="Markdown.")
@click.option("--topics", default="", help="With commas between.")
@click.option("--show", default="", help="A show's short name; else the person's first.")
@click.option("--language", default="", help="Two letters; else it is found out.")
@click.option("--wait", is_flag=True, help="Until the transcript is there.")
@click.option("--json", "as_json", is_flag=True, help="End in one JSON object.")
@data_option
def command(  # noqa: PLR0917  click passes them by name
    file: Path,
    title: str,
    email: str,
    notes: str,
    topics: str,
    show: str,
    language: str,
    wait: bool,  # noqa: FBT001  as above
    as_json: bool,  # noqa: FBT001
    data: Path,
) -> None:
    """Publish FILE as a talk. With --wait, exit status 1 and the reason when it fails."""
    draft = Draft(title=title, notes=notes, language=language, topics=topics, show=show)
    with floor_of(data) as floor:
        with floor.database.begin() as session:
            asker = asker_by_email(session, email)
        guid = share(floor, asker, draft, file)
        talk = _follow(floor, asker, guid, quiet=as_json) if wait else _read(floor, asker, guid)
        with floor.database.begin() as session:
            words = _text(talk)
    failed = talk.row.state == "failed" or talk.row.reason is not None
    if as_json:
        click.echo(json.dumps(facts(talk, words), ensure_ascii=False))
    elif failed:
        click.echo(talk.row.reason, err=True)
    else:
        click.echo(f"{floor.settings.origin}/episodes/{guid} is {talk.row.state}.")
    sys.exit(FAILED if failed else 0)


def share(floor: Floor, asker: Asker, draft: Draft, file: Path) -> str:
    """Make a draft, upload a file into it, and return the episode's guid.

    Raises:
        Refusal: the draft or the file is not taken; one line says why.
    """
    try:
        with floor.database.begin() as session:
            guid = str(publishing.create_draft(session, asker, draft).guid)
        with file.open("rb") as body:
            publishing.receive(
                floor, asker, guid, name=file.name, length=file.stat().st_size, body=body
            )
    except (PublishingError, UploadError) as error:
        raise Refusal(str(error)) from error
    except NotThereError as error:
        raise Refusal(f"{asker.name} may not publish talks.") from error
    return guid


def _read(floor: Floor, asker: Asker, guid: str) -> Talk:
    with floor.database.begin() as session:
        talk = catalogue.talk(session, asker, guid)
    if talk is None:
        raise Refusal("The talk was withdrawn.")
    return talk


def _follow(floor: Floor, asker: Asker, guid: str, *, quiet: bool) -> Talk:
    """Wait until nothing more will happen, showing a bar of the work."""
    with click.progressbar(
        length=100,
        file=sys.stderr,
        item_show_func=lambda words: words,
        hidden=quiet or not sys.stderr.isatty(),
    ) as bar:
        while True:
            talk = _read(floor, asker, guid)
            bar.update(talk.row.percent - bar.pos, talk.row.words)
            if talk.row.state in {"complete", "failed"} or talk.row.reason:
                return talk
            time.sleep(POLL_SECONDS)


def _text(talk: Talk) -> str:
    return "\n\n".join(" ".join(cue.text for cue in group.cues) for group in talk.transcript)


def facts(talk: Talk, words: str) -> dict[str, Any]:
    """Return what scripts want to know: times are seconds from the last byte."""
    begun = talk.uploaded_at

    def seconds(moment: Any) -> float | None:
        return round((moment - begun).total_seconds(), 3) if moment and begun else None

    return {
        "id": talk.row.id,
        "guid": talk.row.guid,
        "state": talk.row.state,
        "reason": talk.row.reason,
        "seconds_to_playable": seconds(talk.playable_at),
        "seconds_to_complete": seconds(talk.completed_at),
        "duration": talk.row.duration,
        "language": talk.language,
        "transcript": words,
    }
