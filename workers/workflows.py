"""The order of steps. Two workflows carry one revision of one episode: heard first, then read.

DBOS records the result of each step, so whoever goes on after a crash repeats nothing that is
done. A step answers with plain values: its result, or in words why it did not work and whether
trying again could help. Raise `storage.work.VERSION` only when the order of steps changes.
"""

import logging
from collections.abc import Callable
from typing import Any

from dbos import DBOS, SetWorkflowID, WorkflowHandle

from storage import work
from storage.objects import StoreError
from workers.errors import Cancelled, PipelineError
from workers.inspection import SourceFacts
from workers.steps import assemble, encode, export, inspect, pieces, publish, transcribe
from workers.workplace import Task, Workplace

log = logging.getLogger(__name__)

# Seconds before the second and the third try of a step that failed for a passing reason.
PAUSES = (10.0, 60.0)
# How many workers may die over one talk before it is called failed; see executor.
RECOVERIES = 6
OURS = "Something went wrong on our side. It has been written down; try again later."
AWAY = "The store could not be reached."

_here: list[Workplace] = []


def install(place: Workplace) -> None:
    """Say where the workflows of this process work."""
    _here[:] = [place]


class StoppedError(Exception):
    """A step ended for good; the words say why."""


def _answer(
    step: Callable[[Workplace, Task], Any], guid: str, revision: int, attempt: int
) -> dict[str, Any]:
    """Run a step's body on its talk and return its result or its failure as plain values."""
    return _answer_of(
        lambda place: step(place, place.task(guid, revision, attempt)),
        f"{guid} revision {revision}",
    )


def _answer_of(body: Callable[[Workplace], Any], what: str) -> dict[str, Any]:
    """Run a step's body and return its result or its failure as plain values."""
    place = _here[0]
    try:
        return {"result": body(place)}
    except Exception as error:  # noqa: BLE001  whatever it is must end in words, not in limbo
        # A worker that has to stop leaves the step unanswered: whoever takes over runs it again.
        # Whatever went wrong meanwhile, a closed child or a removed folder, is of its own making.
        if place.stopping.is_set():
            place.park()
        return _failure(error, what)


def _failure(error: Exception, what: str) -> dict[str, Any]:
    if isinstance(error, Cancelled):
        return {"cancelled": error.words}
    if isinstance(error, PipelineError):
        log.warning("%s: %s %s", what, error.words, error.detail)
        return {"failed": error.words, "permanent": error.permanent}
    if isinstance(error, StoreError):
        log.warning("%s: %s", what, error)
        return {"failed": AWAY, "permanent": False}
    log.error("%s", what, exc_info=error)
    return {"failed": OURS, "permanent": False}


def _settled(step: Callable[[], dict[str, Any]]) -> Any:
    """Return a step's result, trying three times where that could help."""
    for pause in (*PAUSES, None):
        answer = step()
        if "result" in answer:
            return answer["result"]
        if "cancelled" in answer:
            raise Cancelled(answer["cancelled"])
        if answer["permanent"] or pause is None:
            raise StoppedError(answer["failed"])
        DBOS.sleep(pause)
    raise AssertionError  # pragma: no cover  the loop ends by returning or raising


@DBOS.step(name="inspect")
def inspect_step(guid: str, revision: int, attempt: int) -> dict[str, Any]:
    """Look at the source."""
    return _answer(inspect.inspect, guid, revision, attempt)


@DBOS.step(name="encode_audio")
def encode_audio_step(
    guid: str, revision: int, attempt: int, facts: dict[str, Any]
) -> dict[str, Any]:
    """Make the sound."""
    known = SourceFacts.from_json(facts)
    return _answer(
        lambda place, task: encode.encode_audio(place, task, known), guid, revision, attempt
    )


@DBOS.step(name="publish")
def publish_step(guid: str, revision: int, attempt: int) -> dict[str, Any]:
    """Make the talk playable."""
    return _answer(publish.publish, guid, revision, attempt)


@DBOS.step(name="cut_pieces")
def cut_pieces_step(
    guid: str, revision: int, attempt: int, facts: dict[str, Any]
) -> dict[str, Any]:
    """Cut speech at pauses."""
    known = SourceFacts.from_json(facts)
    return _answer(lambda place, task: pieces.cut(place, task, known), guid, revision, attempt)


@DBOS.step(name="encode_video")
def encode_video_step(
    guid: str, revision: int, attempt: int, facts: dict[str, Any]
) -> dict[str, Any]:
    """Make the picture."""
    known = SourceFacts.from_json(facts)
    return _answer(
        lambda place, task: encode.encode_video(place, task, known), guid, revision, attempt
    )


@DBOS.step(name="transcribe")
def transcribe_step(guid: str, revision: int, attempt: int, position: int) -> dict[str, Any]:
    """Hear one piece."""
    return _answer(
        lambda place, task: transcribe.transcribe(place, task, position), guid, revision, attempt
    )


@DBOS.step(name="assemble")
def assemble_step(guid: str, revision: int, attempt: int) -> dict[str, Any]:
    """Make the transcript of the pieces."""
    return _answer(assemble.assemble, guid, revision, attempt)


@DBOS.step(name="tidy")
def tidy_step(guid: str, revision: int, attempt: int) -> dict[str, Any]:
    """Clear up."""
    return _answer(publish.tidy, guid, revision, attempt)


@DBOS.step(name="leave")
def leave_step(guid: str, revision: int, attempt: int) -> dict[str, Any]:
    """Remove the workspace of work that is no longer wanted."""
    return _answer(lambda place, task: place.leave(task), guid, revision, attempt)


@DBOS.step(name="fail")
def fail_step(guid: str, revision: int, attempt: int, words: str) -> dict[str, Any]:
    """Write down why the talk could not be made."""
    return _answer(lambda place, task: publish.fail(place, task, words), guid, revision, attempt)


def _carried(work_on: Callable[[], None], guid: str, revision: int, attempt: int) -> str:
    """Do a part of the work; return how it ended, with the reason written down if it failed."""
    try:
        work_on()
    except Cancelled:
        leave_step(guid, revision, attempt)
        return "cancelled"
    except StoppedError as error:
        words = str(error)
        # Until it is written: an episode that failed without a word would wait for ever.
        while "failed" in fail_step(guid, revision, attempt, words):
            DBOS.sleep(PAUSES[0])
        return "failed"
    return "done"


@DBOS.workflow(name=work.PRODUCE, max_recovery_attempts=RECOVERIES)
def produce(guid: str, revision: int, attempt: int) -> str:
    """Make a talk of a source so that it can be heard and seen; `complete` makes it readable.

    Returns how it ended.
    """
    return _carried(lambda: _make(guid, revision, attempt), guid, revision, attempt)


def _make(guid: str, revision: int, attempt: int) -> None:
    facts = _settled(lambda: inspect_step(guid, revision, attempt))
    _settled(lambda: encode_audio_step(guid, revision, attempt, facts))
    _settled(lambda: publish_step(guid, revision, attempt))
    positions = _settled(lambda: cut_pieces_step(guid, revision, attempt, facts))
    spoken = [_enqueue_piece(guid, revision, attempt, position) for position in positions]
    if facts["video"]:
        _settled(lambda: encode_video_step(guid, revision, attempt, facts))
    with SetWorkflowID(f"{DBOS.workflow_id}-complete"):
        DBOS.enqueue_workflow(work.COMPLETE_QUEUE, complete, guid, revision, attempt, spoken)


def _enqueue_piece(guid: str, revision: int, attempt: int, position: int) -> str:
    # Named after the attempt that asks, so that a retry by the author hears the piece again.
    name = f"{DBOS.workflow_id}-piece-{position}"
    with SetWorkflowID(name):
        DBOS.enqueue_workflow(
            work.SPEECH_QUEUE, transcribe_piece, guid, revision, attempt, position
        )
    return name


@DBOS.workflow(name=work.COMPLETE, max_recovery_attempts=RECOVERIES)
def complete(guid: str, revision: int, attempt: int, spoken: list[str]) -> str:
    """Wait for the pieces of a talk and make its transcript. Returns how it ended.

    A workflow of its own: waiting for long talks must not hold up the making of short ones.
    """
    how = _carried(lambda: _finish(guid, revision, attempt, spoken), guid, revision, attempt)
    if how == "done":
        tidy_step(guid, revision, attempt)
    return how


def _finish(guid: str, revision: int, attempt: int, spoken: list[str]) -> None:
    for name in spoken:
        # Known to exist, since `produce` made it; asking would record what is not plain JSON.
        handle: WorkflowHandle[str] = DBOS.retrieve_workflow(name, existing_workflow=False)
        words = handle.get_result()
        if words:
            raise StoppedError(words)
    _settled(lambda: assemble_step(guid, revision, attempt))


@DBOS.workflow(name=work.TRANSCRIBE_PIECE, max_recovery_attempts=RECOVERIES)
def transcribe_piece(guid: str, revision: int, attempt: int, position: int) -> str:
    """Hear one piece of a talk. Returns nothing, or in words why it did not work."""
    try:
        _settled(lambda: transcribe_step(guid, revision, attempt, position))
    except Cancelled:
        return ""
    except StoppedError as error:
        return str(error)
    return ""


@DBOS.step(name="pack_export")
def pack_export_step(ref: str) -> dict[str, Any]:
    """Pack all that is kept about somebody."""
    return _answer_of(lambda place: export.pack(place, ref), f"export {ref}")


@DBOS.step(name="fail_export")
def fail_export_step(ref: str, words: str) -> dict[str, Any]:
    """Write down why an archive could not be packed."""
    return _answer_of(lambda place: export.fail(place, ref, words), f"export {ref}")


@DBOS.workflow(name=work.EXPORT, max_recovery_attempts=RECOVERIES)
def export_workflow(ref: str) -> str:
    """Pack one person's archive. Returns how it ended."""
    try:
        _settled(lambda: pack_export_step(ref))
    except Cancelled:
        return "cancelled"
    except StoppedError as error:
        words = str(error)
        while "failed" in fail_export_step(ref, words):
            DBOS.sleep(PAUSES[0])
        return "failed"
    return "done"
