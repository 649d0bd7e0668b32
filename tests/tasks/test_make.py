"""Files of problems: the same bytes for any number of workers, and nothing half-written."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.tasks.base import Example, Generator
from unspoken.tasks.hops import Hops
from unspoken.tasks.make import write_examples, write_problems
from unspoken.tasks.rows import QuestionRow, read_lines, read_rows


@final
@dataclass(frozen=True, kw_only=True)
class Dice(Generator):
    """Two dice."""

    name: ClassVar[str] = "dice"
    sides: int = 6

    def draw(self, rng: random.Random) -> Example:
        a, b = (1 + int(self.sides * rng.random()) for _ in range(2))
        if (a, b) == (2, 5) and self.sides == 7:
            raise ValueError("two and five")
        return Example(question=f"{a} + {b} = é?", steps=(f"{a}+{b}",), answer=str(a + b))


def write(path: Path, **options: Any) -> bytes:
    settings: dict[str, Any] = {"num": 600, "seed": 3, **options}
    write_problems(settings.pop("generator", Dice()), path, **settings)
    return path.read_bytes()


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    """Guards files that depend on the machine: chunks out of order, or a generator seeded by the process."""
    one = write(tmp_path / "one.json")
    assert write(tmp_path / "two.json", workers=2) == one
    assert [row["question"] for row in json.loads(one)] == [e.question for e in Dice().problems(num=600, seed=3)]


def test_lists_and_lines_hold_the_same_rows(tmp_path: Path) -> None:
    """Guards the two formats against each other, and both against the reader."""
    write(tmp_path / "a.json")
    write(tmp_path / "a.jsonl")
    rows = read_rows(tmp_path / "a.json", QuestionRow)
    assert len(rows) == 600 and read_rows(tmp_path / "a.jsonl", QuestionRow) == rows


def test_a_longer_file_starts_with_the_shorter_one(tmp_path: Path) -> None:
    """Guards problem i against the number of problems."""
    assert write(tmp_path / "b.jsonl").startswith(write(tmp_path / "a.jsonl", num=300))


def test_seed_split_and_settings_change_the_problems(tmp_path: Path) -> None:
    """Guards a test split that repeats the training problems."""
    files: list[dict[str, Any]] = [
        {},
        {"seed": 4},
        {"split": "test"},
        {"split": "valid"},
        {"generator": Dice(sides=20)},
    ]
    assert len({write(tmp_path / f"{i}.json", **options) for i, options in enumerate(files)}) == len(files)


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_left_of_a_file_that_failed(workers: int, tmp_path: Path) -> None:
    """Guards a half-written file taken for a whole one."""
    with pytest.raises(ValueError, match="two and five"):
        write(tmp_path / "a.json", generator=Dice(sides=7), workers=workers)
    assert list(tmp_path.iterdir()) == []


def test_interrupted_writing_leaves_nothing(tmp_path: Path) -> None:
    """Guards Ctrl-C in the middle of an hour of generating."""

    def interrupt(num_rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.json", on_rows=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.json", {"num": 0}, "--num must be at least 1, got 0"),
        ("a.json", {"workers": 0}, "--workers must be at least 1, got 0"),
        ("a.csv", {}, r"a\.csv: expected a name that ends in \.json or \.jsonl"),
        ("no/a.json", {}, "no such folder"),
        ("there.json", {}, r"there\.json exists"),
    ],
)
def test_what_cannot_be_written_is_refused(name: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Guards other people's files, and errors after an hour rather than at once."""
    (tmp_path / "there.json").write_text("mine")
    with pytest.raises(ValueError, match=message):
        write(tmp_path / name, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["there.json"]
    assert (tmp_path / "there.json").read_text() == "mine"


EXAMPLES = [
    Example(question="1 + 1?", steps=("<<1+1=2>>",), answer="2"),
    Example(question="None?", steps=(), answer="0"),
    Example(question="Ünï code?", steps=("a", "b"), answer="c d"),
]


def test_examples_are_written_in_three_formats(tmp_path: Path) -> None:
    """Guards the formats against what other tools read: a JSON list, JSON lines, and iCoT's `||` and `####`."""
    for name in ("a.json", "a.jsonl", "a.txt"):
        write_examples(Hops(), tmp_path / name, EXAMPLES)
    wanted = [QuestionRow(question=e.question, steps=e.steps, answer=e.answer) for e in EXAMPLES]
    assert read_rows(tmp_path / "a.json", QuestionRow) == wanted == read_rows(tmp_path / "a.jsonl", QuestionRow)
    assert [line for _, line in read_lines(tmp_path / "a.txt")] == [
        "1 + 1?||<<1+1=2>> #### 2",
        "None?|| #### 0",
        "Ünï code?||a b #### c d",
    ]


@pytest.mark.parametrize("text", ["two words", "a\nb"])
def test_text_that_icots_lines_cannot_hold_is_refused(text: str, tmp_path: Path) -> None:
    """Guards lines that would be read back as something else."""
    example = Example(question="q", steps=("fine", text), answer="1")
    with pytest.raises(ValueError, match=r"a\.txt: row 1: cannot be written as iCoT text"):
        write_examples(Hops(), tmp_path / "a.txt", [EXAMPLES[0], example])
    assert list(tmp_path.iterdir()) == []


@given(lines=st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\n\r"))))
def test_read_lines_numbers_what_it_returns(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Guards line numbers in errors: blank lines count, other characters that look like line ends do not."""
    path = tmp_path_factory.mktemp("lines") / "a.txt"
    path.write_bytes("\r\n".join(lines).encode())
    assert read_lines(path) == [(i, line) for i, line in enumerate(lines, 1) if line.strip()]


def test_a_line_that_is_no_text_is_named(tmp_path: Path) -> None:
    """Guards a bare UnicodeDecodeError from a file in another encoding."""
    (tmp_path / "a.txt").write_bytes(b"fine\n\xff\n")
    with pytest.raises(ValueError, match=r"a\.txt: line 2: not UTF-8"):
        read_lines(tmp_path / "a.txt")
