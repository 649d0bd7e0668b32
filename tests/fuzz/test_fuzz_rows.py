"""Data that is wrong: every file is read, or refused with file, row and field."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.mutations import damaged, mutated
from fuzz.outcomes import cases, check, dumped, kept
from unspoken.tasks.base import FileTask
from unspoken.tasks.known import KINDS, TASKS

CHOICES = ["race track", "populated areas", "the desert", "apartment", "roadblock"]


def _made(kind: str, num: int) -> list[dict[str, Any]]:
    generator = KINDS[kind].generator
    return [json.loads(json.dumps(generator.row(problem))) for problem in generator.problems(num=num, seed=0)]


ROWS: dict[str, list[Any]] = {
    "svamp": [{"input": "Tom has 3 pens and buys 5. How many has he?", "target": 8.0}] * 2,
    "gsm-hard": [{"input": "Janet has 16 ducks.", "code": "def solution():\n    return 16", "target": 16.0}] * 2,
    "multiarith": [
        {"iIndex": 1, "sQuestion": "What is 3 plus 5?", "lEquations": ["X=(3+5)"], "lSolutions": [8.0]},
    ]
    * 2,
    "commonsenseqa": [
        {
            "answerKey": "B",
            "id": "61fe",
            "question": {
                "question_concept": "people",
                "choices": [{"label": label, "text": text} for label, text in zip("ABCDE", CHOICES, strict=True)],
                "stem": "Where might he go?",
            },
        }
    ]
    * 2,
    "strategyqa": [
        {
            "qid": "2bc9",
            "term": "Genghis Khan",
            "question": "Are more people related to him?",
            "answer": True,
            "facts": ["One had three children.", "The other sixteen."],
            "decomposition": ["How many?", "Is #2 greater than #1?"],
        }
    ]
    * 2,
    "open-qa": [{"question": "who wrote it", "answer": ["Somebody", "someone"]}] * 2,
    "gsm8k": [{"question": "Tom has 3 pens and buys 5.", "steps": ["<<3+5=8>>"], "answer": "8"}] * 2,
    "own": [{"question": "What is it?", "steps": ["first", "second"], "answer": "this"}] * 2,
}
TEXTS = {
    "gsm8k": b"Tom has 3 pens and buys 5.||<<3+5=8>> #### 8\nWho?||<<1+1=2>> <<2*3=6>> #### 6\n",
    "multiplication": b"1 2 * 3 4||4 8 0 + 0 6 3 0 #### 8 0 4 0\n",
}
GENERATED = ("prosqa", "prontoqa", "multiplication")


def _commands(name: str, task: str) -> list[list[str]]:
    return [
        ["data", "validate", name, "--task", task, "--tokenizer", "None"],
        ["data", "show", name, "--task", task, "--row", "1", "--recipe", "demo/coconut"],
        ["data", "stats", name, "--task", task],
        ["data", "convert", name, "--task", task, "--out", "other.json"],
        ["data", "show", name],
        ["data", "validate", name, "--tokenizer", "None", "--against", name],
    ]


def _written(rows: Any, name: str) -> bytes:
    if name.endswith("l") and isinstance(rows, list):
        return b"\n".join(map(dumped, rows))
    return gzip.compress(dumped(rows)) if name.endswith(".gz") else dumped(rows)


@pytest.mark.parametrize("task", [*ROWS, *GENERATED])
def test_mutated_rows_are_read_or_refused(task: str, tmp_path: Path) -> None:
    """Guards every reader: missing fields, other types, empty texts, numbers that are none, labels out of range."""
    rows = ROWS[task] if task in ROWS else _made(task, 2)
    names = ("file.json", "file.jsonl", "file.json.gz")
    codes: list[int] = []

    @cases(16)
    @given(data=st.data())
    def holds(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(names))
        wrong = data.draw(mutated(rows, most=1))
        with kept(tmp_path):
            (tmp_path / name).write_bytes(_written(wrong, name))
            command = data.draw(st.sampled_from(_commands(name, task)))
            codes.append(check(command, tmp_path, reads_only="convert" not in command).code)

    holds()
    assert 2 in codes, "nothing was ever refused"


@pytest.mark.parametrize("task", TEXTS)
def test_damaged_texts_are_read_or_refused(task: str, tmp_path: Path) -> None:
    """Guards iCoT's lines: cut in the middle, without separators, in no encoding."""

    @cases(20)
    @given(data=st.data())
    def holds(data: st.DataObject) -> None:
        with kept(tmp_path):
            (tmp_path / "file.txt").write_bytes(data.draw(damaged(TEXTS[task]) | st.binary(max_size=60)))
            command = data.draw(st.sampled_from(_commands("file.txt", task)))
            check(command, tmp_path, reads_only="convert" not in command)

    holds()


@pytest.mark.parametrize("name", ["file.json", "file.jsonl", "file.json.gz"])
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    """Guards what is below rows: gzip, encodings, JSON without end."""
    original = _written(ROWS["own"] + ROWS["gsm8k"], name)

    @cases(15)
    @given(data=st.data())
    def holds(data: st.DataObject) -> None:
        with kept(tmp_path):
            (tmp_path / name).write_bytes(data.draw(damaged(original)))
            command = data.draw(st.sampled_from(_commands(name, "own")))
            check(command, tmp_path, reads_only="convert" not in command)

    holds()


def test_every_file_task_is_here() -> None:
    """Guards the suite itself: a new reader has rows to be broken."""
    files = {name for name, task in TASKS.items() if isinstance(task, FileTask)}
    kinds = {type(TASKS[name]) for name in (*ROWS, *GENERATED)}
    assert {type(TASKS[name]) for name in files} <= kinds


@pytest.mark.parametrize("task", [*ROWS, *GENERATED])
def test_unmutated_rows_are_read(task: str, tmp_path: Path) -> None:
    """Guards the suite itself: what is broken was whole before."""
    rows = ROWS[task] if task in ROWS else _made(task, 2)
    (tmp_path / "file.json").write_bytes(dumped(rows))
    assert check(["data", "show", "file.json", "--task", task], tmp_path).code == 0
