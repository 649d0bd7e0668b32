"""Small trained run folders that come with the package, for the demo: each made by a recipe of this repository.

`shipped_runs/MANIFEST.json` says for each which recipe, seed and commit made it, and the SHA-256 of its weights.
Whoever doubts them trains them again: `unspoken train demo/planning/coconut`.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import final

import msgspec

FOLDER = Path(__file__).parent / "shipped_runs"


@final
class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    """Where a shipped run came from."""

    recipe: str
    seed: int
    commit: str
    weights: str
    """Folder of the run that holds the weights."""
    sha256: str
    """Of that folder's `model.safetensors`."""


def manifest() -> dict[str, Shipped]:
    """All shipped runs by folder name."""
    return msgspec.json.decode((FOLDER / "MANIFEST.json").read_bytes(), type=dict[str, Shipped])


def copy_shipped(name: str, out: Path) -> Shipped:
    """Copies a shipped run folder to `out`, checked against its hash.

    Raises:
        ValueError: there is none of that name, its weights are damaged, or `out` exists.
    """
    found = manifest().get(name)
    if found is None:
        raise ValueError(f"no run named {name!r} is shipped; there are {', '.join(manifest())}")
    weights = FOLDER / name / found.weights / "model.safetensors"
    if (actual := sha256(weights)) != found.sha256:
        raise ValueError(f"{weights}: SHA-256 is {actual}, expected {found.sha256}; reinstall unspoken")
    if out.exists():
        raise ValueError(f"{out} exists; choose another folder")
    shutil.copytree(FOLDER / name, out)
    return found


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
