"""Reading data files: JSON lists and JSON lines, gzipped or not, with errors that name file, row and field."""

from __future__ import annotations

import codecs
import gzip
import os
import zlib
from pathlib import Path
from typing import Any, TypeVar, final

import msgspec

Row = TypeVar("Row")


@final
class QuestionRow(msgspec.Struct, frozen=True):
    """A row in the published format; unknown fields are ignored."""

    question: str
    steps: tuple[str, ...]
    answer: str


def data_root() -> Path:
    """The shared data files' folder: `$UNSPOKEN_DATA`, else `../shared/data` beside the working folder or checkout."""
    if value := os.environ.get("UNSPOKEN_DATA"):
        return Path(value)
    beside = Path("../shared/data")
    checkout = Path(__file__).resolve().parents[3]
    return beside if beside.is_dir() else checkout.parent / "shared" / "data"


def data_file(relative: str) -> Path:
    """A shared data file.

    Raises:
        ValueError: it is not there.
    """
    path = data_root() / relative
    if not path.is_file():
        raise ValueError(f"{path}: no such data file; set UNSPOKEN_DATA to the folder that holds {relative}")
    return path


def read_rows(path: Path, row: type[Row]) -> list[Row]:
    """Every row of a `.json` list or `.jsonl` file, either one gzipped or not, checked against `row`.

    Raises:
        ValueError: the file is missing, is not JSON, or a row does not fit; the message names file, row and field.
    """
    data = read_bytes(path)
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        decoder = msgspec.json.Decoder(row)
        rows: list[Row] = []
        for i, line in enumerate(data.split(b"\n"), 1):
            if line.strip():
                try:
                    rows.append(decoder.decode(line))
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    rows.append(_convert(path, f"line {i}", _parse(path, f"line {i}", line), row))
        return rows
    try:
        return msgspec.json.decode(data, type=list[row])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # once more and slowly, to say where
    items = _parse(path, "whole file", data)
    if not isinstance(items, list):
        raise ValueError(f"{path}: expected a JSON list of rows, got {type(items).__name__}")
    return [_convert(path, f"row {i}", item, row) for i, item in enumerate(items)]


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked where it is gzipped, without a UTF-8 byte order mark.

    Raises:
        ValueError: it cannot be read or unpacked, or is UTF-16; the message names it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    if path.name.endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: not a complete gzip file: {error}") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"{path}: is UTF-16; save it as UTF-8")
    # Some editors put a byte order mark before UTF-8; it is no part of the text.
    return data.removeprefix(codecs.BOM_UTF8)


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a UTF-8 text file, gzipped or not, that hold more than blanks, each with its number from 1.

    Raises:
        ValueError: the file cannot be read or is not UTF-8; the message names file and line.
    """
    lines: list[tuple[int, str]] = []
    for i, line in enumerate(read_bytes(path).split(b"\n"), 1):
        try:
            text = line.decode().removesuffix("\r")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: line {i}: not UTF-8: {error}") from error
        if text.strip():
            lines.append((i, text))
    return lines


def _parse(path: Path, where: str, data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: {where}: not JSON: {error}") from error


def _convert(path: Path, where: str, item: Any, row: type[Row]) -> Row:
    try:
        return msgspec.convert(item, row)
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {where}: {error}") from error
