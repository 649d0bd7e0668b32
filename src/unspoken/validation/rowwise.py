"""Reading a file whose rows may be wrong: every row on its own, as an example or with the task's error about it.

A `FileTask` reads whole files and stops at the first error. Here it is given pieces of the file, split until each piece
is right or a single row: a file without errors is read once, one with a few wrong rows little more than twice.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import msgspec

from unspoken.tasks.base import Example, FileTask
from unspoken.tasks.rows import read_bytes

MOST_REFUSED = 2_000
"""After so many refused rows, pieces that hold more of them are left alone: the file is not what the task reads."""

_PARTS = 32
"""Into how many parts a piece with an error is split. Halves would read a large file ten times over."""

_PLACE = re.compile(r"^(?:row 0|line 1)(?:: |$)")
_IN_THE_LIST = re.compile(r"^\[0\](?:\[\.\.\.\])?\.?")
"""How msgspec names a place in a list that could not be decoded at all: the row is a list of its own here."""
_NAMED = re.compile(r"^field `([^`]+)`:? ?")
_AT = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING = re.compile(r"required field `([^`]+)`")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RowError:
    """What a task says of a row it refuses."""

    field: str
    """The field at fault, as `steps[2]`; empty where the whole row is."""
    problem: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row of a file, and what a task made of it."""

    name: str
    """"row 16" of a JSON list, counted from 0; "line 17" of any other file, counted from 1."""
    examples: tuple[Example, ...]
    """Its problem; none where the task refuses the row or leaves it out."""
    error: RowError | None


@final
@dataclass(kw_only=True)
class RowwiseFile:
    """The rows of a file, and what is wrong with it as a whole."""

    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What concerns no single row: no JSON at all, rows at odds with each other."""
    unread: int = 0
    """Rows that were left alone because too many others had been refused."""


def read_rowwise(path: Path, task: FileTask) -> RowwiseFile:
    """Every row of a file as `task` reads it: a JSON list (`.json`), or else lines; gzipped or not.

    Raises:
        ValueError: the file cannot be read or unpacked at all, or is something else than data.
    """
    data = read_bytes(path)
    file = RowwiseFile()
    name = path.name.removesuffix(".gz")
    is_list = name.endswith(".json")
    if not data.strip():
        file.problems.append("holds no rows")
        return file
    if not name.endswith((".json", ".txt")) and not _holds_json(data):
        raise ValueError(f"{path}: not JSON: no line of it begins an object; expected .json, .jsonl or .txt")
    if wrong := _wrong_container(data, name):
        file.problems.append(wrong)
        return file
    if is_list:
        pieces = [bytes(raw) for raw in msgspec.json.decode(data, type=list[msgspec.Raw])]
        names = [f"row {i}" for i in range(len(pieces))]
    else:
        numbered = [(i, line) for i, line in enumerate(data.split(b"\n"), 1) if line.strip()]
        pieces = [line for _, line in numbered]
        names = [f"line {i}" for i, _ in numbered]
    if not pieces:
        file.problems.append("holds no rows")
        return file
    with tempfile.TemporaryDirectory() as folder:
        reader = _Reader(task=task, path=Path(folder) / name, is_list=is_list)
        found = reader.read(pieces)
    file.problems.extend(reader.clashes)
    for row_name, result in zip(names, found, strict=True):
        if result is None:
            file.unread += 1
            continue
        error = result if isinstance(result, RowError) else None
        file.rows.append(
            Row(name=row_name, examples=() if isinstance(result, RowError) else tuple(result), error=error)
        )
    if file.unread:
        file.problems.append(f"{file.unread:,} rows were not looked at, since {MOST_REFUSED:,} others were refused")
    return file


@final
@dataclass(kw_only=True)
class _Reader:
    task: FileTask
    path: Path
    """Where pieces are written for the task to read; it has the name of the file in question."""
    is_list: bool
    clashes: list[str] = field(default_factory=list)
    refused: int = 0

    def read(self, pieces: Sequence[bytes]) -> list[Sequence[Example] | RowError | None]:
        """What becomes of each piece; None: it was left alone."""
        self.path.write_bytes(b"[" + b",".join(pieces) + b"]" if self.is_list else b"\n".join(pieces))
        clash = None
        try:
            examples = self.task.read(self.path)
        except (ValueError, RecursionError) as error:
            clash = self._told(str(error))
            if len(pieces) == 1:
                self.refused += 1
                return [clash]
            if self.refused >= MOST_REFUSED:
                return [None] * len(pieces)
        else:
            if len(examples) == len(pieces):
                return [(example,) for example in examples]
            if len(pieces) == 1:
                return [examples]
        size = -(-len(pieces) // _PARTS)
        parts = [pieces[start : start + size] for start in range(0, len(pieces), size)]
        results = [result for part in parts for result in self.read(part)]
        if clash is not None and not self.clashes and all(isinstance(result, Sequence) for result in results):
            self.clashes.append(f"rows are right one by one, but not together: {clash.problem}")
        return results

    def _told(self, message: str) -> RowError:
        """The task's message without file and row, which are those of a piece, and with the field apart."""
        said = _PLACE.sub("", message.removeprefix(f"{self.path}: "))
        said = said.removeprefix("whole file: ")
        if match := _NAMED.match(said):
            return RowError(field=match[1], problem=said[match.end() :])
        if match := _AT.search(said):
            return RowError(field=_IN_THE_LIST.sub("", match[1]), problem=said[: match.start()])
        if match := _MISSING.search(said):
            return RowError(field=match[1], problem=said)
        return RowError(field="", problem=said)


def _wrong_container(data: bytes, name: str) -> str | None:
    """What is wrong with the file around its rows, with a way out; None where rows can be told apart."""
    if name.endswith(".jsonl"):
        if data.lstrip().startswith(b"[") and _is_list(data):
            return "is one JSON list, not a JSON object a line; name it .json"
        return None
    lines = [line for line in data.split(b"\n") if line.strip()]
    if not name.endswith(".json"):
        kind = (
            ".json" if data.lstrip().startswith(b"[") and _is_list(data) else ".jsonl" if _is_object(lines[0]) else ""
        )
        return f"holds JSON under another name; name it {kind}" if kind else None
    if _is_list(data):
        return None
    if len(lines) > 1 and all(_is_object(line) for line in lines[:2]):
        return "is JSON lines, not one JSON list; name it .jsonl"
    try:
        item = json.loads(data)
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return f"not UTF-8: {error.reason} at byte {error.start}, line {line}"
    except RecursionError:
        return "not JSON that can be read: nested too deeply"
    if isinstance(item, dict):
        keys = ", ".join(repr(key) for key in list(item)[:5])
        return f"expected a JSON list of rows, got an object with {keys or 'no keys'}; write the list of rows itself"
    if not isinstance(item, list):
        return f"expected a JSON list of rows, got {type(item).__name__}"
    return "not JSON as the standard has it: a half character (\\ud800), or NaN or Infinity for a number"


def _holds_json(data: bytes) -> bool:
    """Whether there is any JSON in lines, as a row each or broken off: where none is, a word on every line is noise."""
    if data.lstrip().startswith((b"[", b"{")):
        return True
    return any(line.lstrip().startswith(b"{") or _is_json(line) for line in data.split(b"\n") if line.strip())


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _is_list(data: bytes) -> bool:
    try:
        msgspec.json.decode(data, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
