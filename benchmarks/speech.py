"""Speech to text as workers do it, against bare inference on the same sound in the same run.

    python -m benchmarks.speech [--talk FILE] [--truth FILE] [--processes N] [--json]

The house's way: pieces cut at pauses, N speech processes, joined to cues; start and load of the
processes included. The floor: one engine in this process, loaded beforehand, over the whole sound
at once. Printed: seconds of wall and CPU for both, their ratio, how many times faster than speech,
word error rates.

The talk defaults to the two English test clips joined (30 s). The truth is a text, or a JSON list
of {"text": …} in order.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg
import jiwer
from whisper_normalizer.english import EnglishTextNormalizer

from storage.settings import Settings, load_settings
from storage.transcripts import Cue, Piece, join
from workers.ffmpeg import compose, run, source
from workers.inspection import SPEECH_NAME, inspect
from workers.loudness import mixed
from workers.pauses import cut
from workers.speaking import SpeechProcess, spoken_from
from workers.speech import FasterWhisper, read_samples
from workers.streams import Limits
from workers.weights import find_model

CLIPS = Path(__file__).parents[1] / "tests" / "media"
JFK = (
    "And so, my fellow Americans: ask not what your country can do for you, "
    "ask what you can do for your country."
)


@dataclass(frozen=True)
class Taken:
    """What one way cost and what it heard."""

    wall: float
    cpu: float
    cues: list[Cue]

    @property
    def text(self) -> str:
        """All words."""
        return " ".join(cue.text for cue in self.cues)


def main() -> None:
    """Run both ways and print what they took."""
    parser = argparse.ArgumentParser(description="Speech to text against its floor.")
    parser.add_argument("--talk", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        settings = load_settings(scratch / "data")
        find_model(settings.whisper_model, settings.data)
        talk = given.talk or joined_clips(scratch)
        facts = inspect(talk, given_name=talk.name, limits=Limits(), scratch=scratch)
        copy = scratch / SPEECH_NAME
        house = as_workers_do(settings, copy, facts.duration, given.processes)
        floor = bare(settings, copy)
    report(house, floor, facts.duration, reference(given.talk, given.truth), as_json=given.json)


def joined_clips(scratch: Path) -> Path:
    """Return both English test clips in one file."""
    path = scratch / "talk.flac"
    parts = [source(CLIPS / name).audio for name in ("librispeech_1688.flac", "jfk.flac")]
    alike = [mixed(part, "both") for part in parts]
    whole = ffmpeg.concat(*alike, v=0, a=1)
    run(compose(whole.output(f"file:{path}", f="flac")), scratch=scratch, duration=30)
    return path


def reference(talk: Path | None, truth: Path | None) -> str:
    """Return the true words; empty when nobody knows them."""
    if talk is None:
        return (CLIPS / "librispeech_1688.txt").read_text() + JFK
    if truth is None:
        return ""
    if truth.suffix == ".json":
        return " ".join(one["text"] for one in json.loads(truth.read_text()))
    return truth.read_text()


def cpu_seconds() -> float:
    """Return user and system seconds of this process and its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def as_workers_do(settings: Settings, copy: Path, duration: float, processes: int) -> Taken:
    """Cut, transcribe on several processes, join."""
    wall, cpu = time.monotonic(), cpu_seconds()
    rooms = [SpeechProcess(settings) for _ in range(processes)]
    spans = rooms[0].speech_spans(copy)
    pieces = cut(spans, duration, idle_processes=processes)
    free = list(rooms)

    def transcribe(number: int) -> Piece:
        room, piece = free.pop(), pieces[number]
        try:
            said = room.transcribe(copy, piece.start, piece.end, "en")
        finally:
            free.append(room)
        return Piece(piece.start, piece.end, spoken_from(said))

    with ThreadPoolExecutor(processes) as threads:
        cues = join(list(threads.map(transcribe, range(len(pieces)))))
    for room in rooms:
        room.close()
    return Taken(time.monotonic() - wall, cpu_seconds() - cpu, cues)


def bare(settings: Settings, copy: Path) -> Taken:
    """Transcribe the whole sound with one loaded engine."""
    engine = FasterWhisper(find_model(settings.whisper_model, settings.data))
    pcm = read_samples(copy)
    wall, cpu = time.monotonic(), cpu_seconds()
    spoken = engine.transcribe(pcm, "en", lambda _done: None)
    took = time.monotonic() - wall, cpu_seconds() - cpu
    cues = join([Piece(0.0, len(pcm) / 16000, spoken)])
    return Taken(*took, cues)


def report(house: Taken, floor: Taken, duration: float, truth: str, *, as_json: bool) -> None:
    """Print the figures."""
    figures: dict[str, Any] = {
        "seconds": round(duration, 1),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "house_wall": round(house.wall, 2),
        "house_cpu": round(house.cpu, 2),
        "floor_wall": round(floor.wall, 2),
        "floor_cpu": round(floor.cpu, 2),
        "cpu_over_floor": round(house.cpu / floor.cpu, 3),
        "times_real_time": round(duration / house.wall, 1),
        "cpu_per_second_of_speech": round(house.cpu / duration, 3),
    }
    for name, taken in (("house", house), ("floor", floor)) if truth else ():
        figures |= {f"{name}_{key}": value for key, value in errors(truth, taken.text).items()}
    if as_json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:28} {value}")


def errors(truth: str, heard: str) -> dict[str, float]:
    """Return word error rate and deletions in per cent, after Whisper's normaliser."""
    plain = EnglishTextNormalizer()
    measured = jiwer.process_words(plain(truth), plain(heard))
    words = measured.hits + measured.substitutions + measured.deletions
    return {
        "wer": round(100 * measured.wer, 2),
        "deletions": round(100 * measured.deletions / words, 2),
    }


if __name__ == "__main__":
    main()
