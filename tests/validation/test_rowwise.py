"""Reading files whose rows may be wrong: every row on its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.tasks.base import Example, FileTask, Split
from unspoken.tasks.rows import QuestionRow, read_rows
from unspoken.validation import rowwise
from unspoken.validation.validate import validate

NO_STEPS: list[str] = []


def _write(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text(json.dumps(rows))
    return path


@final
@dataclass(frozen=True, kw_only=True)
class _Odd(FileTask):
    """Refuses "bad" questions, leaves out "skip" ones, and takes no two "alone"."""

    version: ClassVar[str] = "1"
    published: ClassVar[Mapping[Split, str]] = {}

    @property
    def max_new_tokens(self) -> int:
        return 8

    def read(self, path: Path) -> Sequence[Example]:
        examples: list[Example] = []
        for i, row in enumerate(read_rows(path, QuestionRow)):
            word = row.question.split()[0]
            if word == "bad":
                raise ValueError(f"{path}: row {i}: field `question`: expected better")
            if word != "skip":
                examples.append(Example(question=row.question, steps=row.steps, answer=row.answer))
        if sum(example.question.startswith("alone") for example in examples) > 1:
            raise ValueError(f"{path}: expected one alone")
        return examples


@given(words=st.lists(st.sampled_from(("good", "bad", "skip")), min_size=1, max_size=80))
def test_rows_are_told_apart(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Guards splitting: whatever a task does with a row, it is put down to that row and no other."""
    rows = [{"question": f"{word} {i}", "steps": NO_STEPS, "answer": "x"} for i, word in enumerate(words)]
    file = rowwise.read_rowwise(_write(tmp_path_factory.mktemp("odd") / "a.json", rows), _Odd())
    assert file.problems == []
    assert [row.name for row in file.rows] == [f"row {i}" for i in range(len(words))]
    for word, given_row, row in zip(words, rows, file.rows, strict=True):
        assert [e.question for e in row.examples] == ([given_row["question"]] if word == "good" else [])
        assert row.error == (rowwise.RowError(field="question", problem="expected better") if word == "bad" else None)


def test_rows_left_out_and_rows_at_odds(tmp_path: Path) -> None:
    """Guards two silences: a row the task drops, and an error no single row has."""
    rows = [{"question": q, "steps": NO_STEPS, "answer": "x"} for q in ("skip", "alone 1", "good", "alone 2")]
    report = validate(_write(tmp_path / "a.json", rows), _Odd())
    assert [(f.where, f.kind, f.severity) for f in report.findings] == [
        ("whole file", "file", "error"),
        ("row 0", "left out", "warning"),
    ]
    assert report.findings[0].problem == "rows are right one by one, but not together: expected one alone"


def test_a_file_of_another_kind_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards minutes of waiting for 385,620 equal errors: after many, the rest is counted and not looked at."""
    monkeypatch.setattr(rowwise, "MOST_REFUSED", 3)
    report = validate(_write(tmp_path / "a.json", [{"input": "q"}] * 640))
    assert report.rows == 640
    assert len([f for f in report.findings if f.kind == "refused by the task"]) <= 20 + 3
    assert "rows were not looked at, since 3 others were refused" in report.findings[0].problem
