"""DIR/run/engines.json: where this machine's engines answer, for every process of the house."""

import json
import os
from pathlib import Path


def write_private(path: Path, words: str) -> None:
    """Replace a file whole, readable by its owner alone."""
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(words)
    draft.replace(path)


def write_engines(
    data: Path, *, port: int, bind: str, database_url: str | None, s3_endpoint: str | None
) -> Path:
    """Say where the engines answer; None for one that the operator runs elsewhere.

    Read by storage.settings, after the environment, dare.toml and secrets.json.
    """
    found = {
        "port": port,
        "bind": bind,
        "database_url": database_url,
        "s3_endpoint": s3_endpoint,
    }
    path = data / "run" / "engines.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {name: value for name, value in found.items() if value is not None}
    write_private(path, json.dumps(known, indent=1))
    return path
