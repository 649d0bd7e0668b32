"""`manifest.json`: what a folder's files must be, by size and SHA-256.

It is written last, so that a folder with a manifest has been whole.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import final

import msgspec

FILE_NAME = "manifest.json"


@final
class DamagedError(ValueError):
    """A folder is not what its manifest says; the message names the file."""


@final
class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file must be."""

    bytes: int
    sha256: str


@final
class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files of a folder by name."""

    format: int
    files: dict[str, File]


def write_manifest(folder: Path) -> None:
    """Measures every file in a folder and writes the manifest beside them."""
    files = {path.name: File(bytes=path.stat().st_size, sha256=sha256(path)) for path in sorted(folder.iterdir())}
    text = msgspec.json.format(msgspec.json.encode(Manifest(format=1, files=files)), indent=1)
    (folder / FILE_NAME).write_bytes(text + b"\n")


def check_manifest(folder: Path) -> None:
    """Reads every file in a folder once.

    Raises:
        DamagedError: the manifest cannot be read, or a file is missing or is not what it says.
    """
    path = folder / FILE_NAME
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        if manifest.format != 1:
            raise DamagedError(f"{FILE_NAME} has format {manifest.format}, expected 1; update unspoken")
        for name, wanted in manifest.files.items():
            file = folder / name
            if not file.is_file():
                raise DamagedError(f"{name} is missing")
            if (size := file.stat().st_size) != wanted.bytes:
                raise DamagedError(f"{name} has {size:,} bytes, expected {wanted.bytes:,}")
            if sha256(file) != wanted.sha256:
                raise DamagedError(f"{name} has another SHA-256 than {FILE_NAME} says")
    except OSError as error:
        raise DamagedError(f"{Path(error.filename or path).name} cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedError(f"{FILE_NAME} is malformed: {error}") from error


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
