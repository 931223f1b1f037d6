"""A 60 s talk from its last byte to playable and to complete, in a house started for it.

`python -m benchmarks.talk [--json]`. Run on two quiet cores; the floor is the same encoding and the
same model on the same sound, called directly in this process, with nothing around them.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.embedded.ports import free_ports
from workers.encoding import encode_audio
from workers.ffmpeg import ffmpeg_path
from workers.inspection import SPEECH_NAME, inspect
from workers.speech import FasterWhisper, read_samples
from workers.streams import Limits
from workers.weights import join_base

DEMO = Path(__file__).parent.parent / "demo" / "medical-man.opus"
SECONDS = 60
PLAYABLE_BAR, COMPLETE_BAR = 5.0, 20.0
EMAIL = "bench@example.org"
ROUNDS = 3


@dataclass(frozen=True)
class Floor:
    """Seconds of the bare work."""

    encoding: float
    speech: float


def make_talk(folder: Path) -> Path:
    """Return a minute of real speech as 48 kHz stereo WAV, as a recorder would write it."""
    path = folder / "talk.wav"
    subprocess.run(
        [
            *(ffmpeg_path(), "-v", "error", "-i", str(DEMO), "-t", str(SECONDS)),
            *("-ar", "48000", "-ac", "2", str(path)),
        ],
        check=True,
    )
    return path


def measure_floor(talk: Path, folder: Path) -> Floor:
    """Time inspection with encoding, and the model's work, each called directly."""
    begun = time.perf_counter()
    facts = inspect(talk, given_name=talk.name, limits=Limits(), scratch=folder)
    encode_audio(talk, facts, folder, target=-16.0)
    encoded = time.perf_counter()
    model = FasterWhisper(join_base(folder / "model"))
    model.transcribe(read_samples(folder / SPEECH_NAME), None, lambda _: None)
    return Floor(encoded - begun, time.perf_counter() - encoded)


def dare(data: Path, *words: str, typed: str = "") -> str:
    """Run a command beside the house and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", *words, "--data", str(data)],
        input=typed,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def measure(talk: Path, data: Path) -> list[dict[str, Any]]:
    """Share the talk several times in a fresh house, the model cold the first time."""
    (port,) = free_ports(1)
    log = data / "up.txt"
    with log.open("wb") as out:
        up = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "up", "--data", str(data), "--port", str(port)],
            stdout=out,
            stderr=out,
        )
    try:
        while "is ready" not in log.read_text():
            if up.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.1)
        dare(data, "add-person", EMAIL, "--name", "Bench", typed="a bench has no secrets\n")
        share = ("share", str(talk), "--title", "Bench", "--as", EMAIL, "--wait", "--json")
        return [json.loads(dare(data, *share)) for _ in range(ROUNDS)]
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)


def main() -> None:
    """Measure, print, and with --json end in one object of goals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory(prefix="dare-bench-") as folder:
        root = Path(folder)
        talk = make_talk(root)
        for name in ("house", "floor"):
            (root / name).mkdir(mode=0o755)
        root.chmod(0o755)
        floor = measure_floor(talk, root / "floor")
        shared = measure(talk, root / "house")
    goals = [
        _goal("60 s talk playable, model cold (s)", shared[0]["seconds_to_playable"], PLAYABLE_BAR),
        _goal("60 s talk complete, model cold (s)", shared[0]["seconds_to_complete"], COMPLETE_BAR),
    ]
    if as_json:
        sys.stdout.write(json.dumps({"goals": goals}) + "\n")
        return
    bare = floor.encoding + floor.speech
    print(f"floor: inspect and encode {floor.encoding:.2f} s, model {floor.speech:.2f} s")
    for n, talk_facts in enumerate(shared):
        complete = talk_facts["seconds_to_complete"]
        playable = talk_facts["seconds_to_playable"]
        print(
            f"round {n + 1}: playable {playable:.2f} s ({playable / floor.encoding:.2f} × bare),"
            f" complete {complete:.2f} s ({complete / bare:.2f} × bare)"
        )
    for goal in goals:
        met = "met" if goal["met"] else "MISSED"
        print(f"{goal['goal']}: {goal['value']:.2f}, bar {goal['bar']} — {met}")


def _goal(name: str, value: float, bar: float) -> dict[str, Any]:
    return {"goal": name, "value": value, "bar": bar, "met": value <= bar}


if __name__ == "__main__":
    main()
