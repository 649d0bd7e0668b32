"""What loaders of text data share: where a row stands in its file, one blank between words, a chain cut into steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, TypeVar

from unspoken.tasks.base import Example
from unspoken.tasks.rows import read_lines, read_rows

Row = TypeVar("Row")

Cut = Literal["lines", "sentences", "whole"]
"""How a chain that is one string becomes steps: at its line ends, after its sentences, or not at all."""

_LINE_END = re.compile(r"[\r\n]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def collapsed(text: str) -> str:
    """The text with one blank where it has any white space, and none at its ends."""
    return " ".join(text.split())


def cut_steps(chain: str, cut: Cut) -> tuple[str, ...]:
    """A chain in one string as steps, none of them empty.

    `lines` is one step a line. `sentences` cuts at blanks after a full stop, question or exclamation mark: decimals
    stay whole, abbreviations ("Dr. Smith") do not.
    """
    if cut == "lines":
        parts: Iterable[str] = _LINE_END.split(chain)
    elif cut == "sentences":
        parts = _SENTENCE_END.split(chain)
    else:
        parts = (chain,)
    return tuple(part.strip() for part in parts if part.strip())


def row_name(path: Path, index: int) -> str:
    """What errors call the row at a position of a data file: "row 16" of a JSON list, "line 17" of a file of lines."""
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        return f"line {read_lines(path)[index][0]}"
    return f"row {index}"


def read_examples(path: Path, row: type[Row], example: Callable[[Row], Example]) -> list[Example]:
    """Every row of a JSON list or JSON lines file, made an example.

    Raises:
        ValueError: as `read_rows`; or `example` refused a row. The message names file and row, and `example`'s the
            field.
    """
    examples: list[Example] = []
    for i, item in enumerate(read_rows(path, row)):
        try:
            examples.append(example(item))
        except ValueError as error:
            raise ValueError(f"{path}: {row_name(path, i)}: {error}") from error
    return examples


def read_line_examples(path: Path, example: Callable[[str], Example]) -> list[Example]:
    """Every line of a text file, made an example.

    Raises:
        ValueError: as `read_lines`; or `example` refused a line. The message names file and line.
    """
    examples: list[Example] = []
    for i, line in read_lines(path):
        try:
            examples.append(example(line))
        except ValueError as error:
            raise ValueError(f"{path}: line {i}: {error}") from error
    return examples


def after_mark(text: str) -> str:
    """What follows the last `###`, the mark that `Task.write` puts before the answer; all of it without one."""
    return text.rpartition("###")[2].strip()
