"""Speech to text in its own process, with the real model."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jiwer
import psutil
import pytest
from whisper_normalizer.english import EnglishTextNormalizer

from storage.settings import load_settings
from storage.transcripts import Piece, join, to_text
from tests.pipeline.conftest import SPEECH, bare_ffmpeg
from workers import weights
from workers.errors import Cancelled, Interrupted
from workers.speaking import SpeechProcess, spoken_from
from workers.waves import cut, seconds

ROOT = Path(__file__).parents[2]
LONGER = (SPEECH / "librispeech_1688.flac", SPEECH / "jfk.flac")
GERMAN = "Der hinter diesem Portal liegenden Raum wurde als Leichenhalle genutzt."
FRENCH = "Sous le consulat il devient conservateur des eaux et forêts et conseiller général."


def speech_copy(folder, *inputs):
    """Return a 16 kHz copy of some clips, one behind the other."""
    path = folder / "speech.wav"
    named = [word for one in inputs for word in ("-i", one)]
    graph = f"concat=n={len(inputs)}:v=0:a=1" if len(inputs) > 1 else "anull"
    how = ["-filter_complex", graph, "-ar", "16000", "-ac", "1", "-c:a", "pcm_s16le"]
    bare_ffmpeg(*named, *how, path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("speech-data")


@pytest.fixture(scope="module")
def speech(data):
    with SpeechProcess(load_settings(data)) as process:
        yield process


def words(text):
    return EnglishTextNormalizer()(text)


def test_nothing_is_started_before_it_is_needed(data):
    with SpeechProcess(load_settings(data)) as process:
        assert process.pid is None


def test_a_speech_is_read_with_the_time_of_each_word(speech, tmp_path):
    told: list[float] = []
    copy = speech_copy(tmp_path, SPEECH / "jfk.flac")
    spoken = spoken_from(speech.transcribe(copy, progress=told.append))
    said = "".join(word.text for segment in spoken.segments for word in segment.words)
    assert spoken.language == "en"
    assert spoken.probability > 0.8
    assert words(said) == words(
        "And so, my fellow Americans: ask not what your country can do for you, "
        "ask what you can do for your country."
    )
    times = {
        word.text.strip(" ,."): word.start for segment in spoken.segments for word in segment.words
    }
    # "Americans" begins 1.3 s into the recording, the last "country" at 10.0.
    assert times["Americans"] == pytest.approx(1.3, abs=0.5)
    assert times["country"] == pytest.approx(10.0, abs=0.5)
    assert told == sorted(told)
    assert told
    assert 0 < told[-1] <= 1


def test_read_english_is_close_to_its_reference(speech, tmp_path):
    copy = speech_copy(tmp_path, SPEECH / "librispeech_1688.flac")
    spoken = spoken_from(speech.transcribe(copy, language="en"))
    text = to_text(join([Piece(0, seconds(copy), spoken)]))
    reference = (SPEECH / "librispeech_1688.txt").read_text()
    assert jiwer.wer(words(reference), words(text)) < 0.12


@pytest.mark.parametrize(("language", "reference"), [("de", GERMAN), ("fr", FRENCH)])
def test_each_language_is_detected_and_never_translated(speech, tmp_path, language, reference):
    copy = speech_copy(tmp_path, SPEECH / f"picovoice_test_{language}.wav")
    spoken = spoken_from(speech.transcribe(copy))
    assert spoken.language == language
    heard = " ".join(segment.text for segment in spoken.segments)
    assert jiwer.cer(reference.casefold(), heard.casefold()) < 0.2


@pytest.mark.parametrize("source", ["anullsrc=d=5", "anoisesrc=d=5:a=0.1:seed=3"])
def test_silence_and_noise_say_nothing(speech, tmp_path, source):
    copy = tmp_path / "speech.wav"
    bare_ffmpeg("-f", "lavfi", "-i", source, "-t", "5", "-ar", "16000", "-ac", "1", copy)
    assert spoken_from(speech.transcribe(copy)).segments == ()
    assert speech.speech_spans(copy) == []


def test_pauses_are_found_and_a_piece_is_read_alone(speech, tmp_path):
    copy = speech_copy(tmp_path, SPEECH / "librispeech_1688.flac")
    spans = speech.speech_spans(copy)
    # The utterances end at 3.06, 8.62 and 13.60; half a second of silence follows each.
    for end in (3.06, 8.62, 13.60):
        pause = end + 0.25
        assert not any(start < pause < stop for start, stop in spans), end
    part = speech.transcribe(copy, 3.31, 8.87, "en")
    heard = words(" ".join(one["text"] for one in part["segments"]))
    said = "i really liked that account of himself better than anything else he said"
    assert jiwer.wer(words(said), heard) < 0.1
    assert part["segments"][0]["start"] < 1.0
    alone = speech.transcribe(cut(copy, 3.31, 8.87, tmp_path / "piece.wav"), language="en")
    assert alone["segments"] == part["segments"]


def wait_for(condition, within=20.0):
    until = time.monotonic() + within
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it never came")


def test_a_crash_ends_one_request_and_the_next_starts_afresh(speech, tmp_path):
    copy = speech_copy(tmp_path, *LONGER)
    first = speech.pid

    def crash(_fraction):
        os.kill(first, signal.SIGSEGV)

    with pytest.raises(Interrupted) as interrupted:
        speech.transcribe(copy, language="en", progress=crash)
    assert not interrupted.value.permanent
    assert speech.speech_spans(copy)
    assert speech.pid != first


def test_a_withdrawn_talk_stops_within_two_seconds(speech, tmp_path):
    copy = speech_copy(tmp_path, *LONGER)
    withdrawn = threading.Event()
    moment: list[float] = []

    def withdraw(_fraction):
        moment.append(time.monotonic())
        withdrawn.set()

    with pytest.raises(Cancelled):
        speech.transcribe(copy, language="en", progress=withdraw, should_stop=withdrawn.is_set)
    assert time.monotonic() - moment[0] < 2
    assert speech.pid is None


def test_an_idle_process_gives_its_memory_back(data, tmp_path):
    copy = speech_copy(tmp_path, SPEECH / "picovoice_test_de.wav")
    with SpeechProcess(load_settings(data, whisper_idle_seconds=0.3)) as process:
        assert process.speech_spans(copy)
        wait_for(lambda: process.pid is None)
        assert process.speech_spans(copy)


def test_the_process_dies_with_its_worker(data, tmp_path):
    copy = speech_copy(tmp_path, SPEECH / "picovoice_test_de.wav")
    program = (
        "import sys, time; from pathlib import Path;"
        "from storage.settings import load_settings; from workers.speaking import SpeechProcess;"
        "process = SpeechProcess(load_settings(Path(sys.argv[1])));"
        "process.speech_spans(Path(sys.argv[2])); print(process.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, data, copy]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        child = psutil.Process(int(worker.stdout.readline()))
        worker.kill()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, within=5)


def test_an_engine_that_is_not_installed_says_how(data, tmp_path):
    copy = speech_copy(tmp_path, SPEECH / "picovoice_test_de.wav")
    settings = load_settings(data, speech_engine="openai-whisper", whisper_model=str(tmp_path))
    with SpeechProcess(settings) as process, pytest.raises(Interrupted) as interrupted:
        process.transcribe(copy)
    assert "openai-whisper" in interrupted.value.detail


def test_many_processes_join_the_weights_at_once(tmp_path):
    folder = tmp_path / "faster-whisper-base"
    threads = [threading.Thread(target=weights.join_base, args=[folder]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["config.json", "model.bin", "tokenizer.json", "vocabulary.txt"]
    assert weights.join_base(folder) == folder


def test_spoilt_weights_are_joined_anew(data):
    folder = data / "models" / "faster-whisper-base"
    weights.join_base(folder)
    with (folder / "model.bin").open("r+b") as file:
        file.seek(1000)
        file.write(b"\0" * 64)
    weights.join_base(folder)
    assert weights.join_base(folder) == folder


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(weights.WeightsError, match="name `base` or a folder with a model"):
        weights.find_model(str(tmp_path), tmp_path)
