"""Open-domain questions with several right answers, in the format of NQ-open (Lee et al. 2019, arXiv 1906.00300).

A file is JSON lines, or a JSON list, of `{"question": "who sings ...", "answer": ["...", "..."]}`. No such file is
among the shared data: name your own.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import msgspec

from unspoken.tasks.base import Example, FileTask, Split
from unspoken.tasks.texts import after_mark, read_examples

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@final
class OpenQARow(msgspec.Struct, frozen=True):
    """A row of NQ-open. Other collections call the list `answers`, and may have one of them as `answer`; a chain is
    optional."""

    question: str
    answer: str | tuple[str, ...] | None = None
    answers: str | tuple[str, ...] | None = None
    steps: tuple[str, ...] | None = None


def normalised(text: str) -> str:
    """Lower case, without ASCII punctuation, articles and extra blanks: SQuAD's rule, on decomposed Unicode.

    The order (case, punctuation, articles, blanks) is that of SQuAD's evaluation; decomposing first is what NQ-open's
    adds, so that an accented letter equals itself however it is spelled.
    """
    bare = unicodedata.normalize("NFD", text).lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def same_answer(prediction: str, gold: str) -> bool:
    """Normalised exact match. A gold answer of which nothing would be left ("The The") has to be written as it is.

    Differs there from SQuAD's evaluation, which would count an empty prediction as right.
    """
    if not (wanted := normalised(gold)):
        return prediction.strip().casefold() == gold.strip().casefold()
    return normalised(prediction) == wanted


@final
@dataclass(frozen=True, kw_only=True)
class OpenQA(FileTask):
    """Questions whose answer is any of several texts; right is what equals one of them (normalised exact match)."""

    version: ClassVar[str] = "1"
    published: ClassVar[Mapping[Split, str]] = {}

    longest_output: int = 128
    """Tokens a model may write, end-of-text included. NQ-open's answers have at most five words; the rest is for a
    chain."""

    def __post_init__(self) -> None:
        if self.longest_output < 1:
            raise ValueError(f"longest_output: expected at least 1 token, got {self.longest_output}")

    @property
    def max_new_tokens(self) -> int:
        return self.longest_output

    def read(self, path: Path) -> Sequence[Example]:
        """The rows of a file; `meta["answers"]` are all right answers, `answer` is the first of them.

        Raises:
            ValueError: a row does not fit, or has no answer; the message names file, row and field.
        """
        return read_examples(path, OpenQARow, _example)

    def recognises(self, row: Mapping[str, Any] | str) -> bool:
        """A question with a list of answers."""
        return (
            not isinstance(row, str) and "question" in row and isinstance(row.get("answers", row.get("answer")), list)
        )

    def row(self, example: Example) -> dict[str, Any]:
        """The published three fields of any task, and `answers`."""
        return {**super().row(example), "answers": list(example.meta["answers"])}

    def extract(self, text: str) -> str:
        """What follows the last `###`. Differs from the published evaluation, which cuts at the last `#` and drops
        commas, because answers here may hold either ("#9 Dream", "Washington, D.C.")."""
        return after_mark(text)

    def correct(self, prediction: str, example: Example) -> bool:
        """Whether a prediction equals one of the right answers, both normalised."""
        return any(same_answer(prediction, answer) for answer in example.meta["answers"])


def _example(row: OpenQARow) -> Example:
    name, value = ("answer", row.answer) if row.answers is None else ("answers", row.answers)
    if value is None:
        raise ValueError('field `answer`: expected "answer" or "answers", one text or a list of texts, got neither')
    answers = (value,) if isinstance(value, str) else value
    if not answers:
        raise ValueError(f"field `{name}`: expected at least one right answer, got an empty list")
    for i, answer in enumerate(answers):
        if not answer.strip():
            where = name if isinstance(value, str) else f"{name}[{i}]"
            raise ValueError(f"field `{where}`: expected an answer, got {answer!r}")
    first = row.answer if isinstance(row.answer, str) else answers[0]
    if first not in answers:
        raise ValueError(f"field `answer`: expected one of the right answers in `answers`, got {first!r}")
    return Example(question=row.question, steps=row.steps or (), answer=first, meta={"answers": answers})
