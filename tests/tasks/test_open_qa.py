"""Open-domain questions: several right answers, normalised exact match."""

from __future__ import annotations

import json
import string
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.tasks.base import Example
from unspoken.tasks.make import write_examples
from unspoken.tasks.open_qa import OpenQA, normalised, same_answer

ROW = {
    "question": "who wrote the hound of the baskervilles",
    "answer": ["Arthur Conan Doyle", "Sir Arthur Conan Doyle"],
}


def _read(tmp_path: Path, *rows: Any, name: str = "a.jsonl") -> list[Example]:
    text = "".join(json.dumps(row) + "\n" for row in rows) if name.endswith("jsonl") else json.dumps(rows)
    (tmp_path / name).write_text(text)
    return list(OpenQA().read(tmp_path / name))


@pytest.mark.parametrize(
    ("row", "answers"),
    [
        (ROW, ("Arthur Conan Doyle", "Sir Arthur Conan Doyle")),
        ({"question": "q", "answers": ["x", "y"]}, ("x", "y")),
        ({"question": "q", "answer": "x"}, ("x",)),
        ({"question": "q", "answers": ["y", "x"], "answer": "y"}, ("y", "x")),
    ],
)
def test_right_answers_under_either_key(row: dict[str, Any], answers: tuple[str, ...], tmp_path: Path) -> None:
    """Guards the keys of NQ-open, of its retrieval descendants, and of files with one answer."""
    for name in ("a.jsonl", "a.json"):
        (example,) = _read(tmp_path, row, name=name)
        assert example.answer == answers[0]
        assert example.meta == {"answers": answers}
        assert example.steps == ()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "q"}, r'line 2: field `answer`: expected "answer" or "answers".* got neither'),
        ({"question": "q", "answer": []}, r"line 2: field `answer`: expected at least one right answer"),
        ({"question": "q", "answers": ["a", " "]}, r"line 2: field `answers\[1\]`: expected an answer, got ' '"),
        ({"question": "q", "answer": ""}, r"line 2: field `answer`: expected an answer, got ''"),
        ({"question": "q", "answers": ["a"], "answer": "b"}, r"line 2: field `answer`: expected one of the right"),
        ({"question": "q", "answer": [3]}, r"line 2: .*answer"),
        ({"answer": ["a"]}, r"line 2: .*question"),
    ],
)
def test_errors_name_row_and_field(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Guards rows without an answer, on which every model would be wrong."""
    with pytest.raises(ValueError, match=message):
        _read(tmp_path, ROW, row)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The Beatles", "beatles"),
        ("  A  man, a plan: a canal!", "man plan canal"),
        ("rock 'n' roll", "rock n roll"),
        ("Theatre", "theatre"),
        ("1,000", "1000"),
        ("U.S.A.", "usa"),
        ("...", ""),
    ],
)
def test_normalised_as_in_squad(text: str, plain: str) -> None:
    """Guards the order of SQuAD's rule: case, punctuation, whole-word articles, blanks."""
    assert normalised(text) == plain


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("### Arthur Conan Doyle", True),
        ("He did.\n### sir arthur conan doyle.", True),
        ("### the Arthur Conan  Doyle", True),
        ("### Conan Doyle", False),
        ("### Arthur Conan Doyle and others", False),
        ("### ", False),
        ("", False),
    ],
)
def test_any_of_the_answers_is_right(text: str, right: bool, tmp_path: Path) -> None:
    """Guards scoring against the first answer only, and credit for a part of one."""
    (example,) = _read(tmp_path, ROW)
    assert OpenQA().correct(OpenQA().extract(text), example) is right


@pytest.mark.parametrize("answer", ["The The", "#9 Dream", "Washington, D.C.", "A", "!!!", "#1"])
def test_awkward_answers_are_answers(answer: str, tmp_path: Path) -> None:
    """Guards answers made of articles, marks or commas: written out they must be right, and silence wrong."""
    task = OpenQA()
    (example,) = _read(tmp_path, {"question": "q", "answer": [answer]})
    assert task.correct(task.extract(task.write(example).answer), example)
    assert not task.correct("", example)


ANSWER = st.text(st.characters(codec="utf-8")).filter(lambda text: text.strip() and "###" not in text)


@given(question=st.text(min_size=1), answers=st.lists(ANSWER, min_size=1), steps=st.lists(st.text()))
def test_any_text_survives_and_is_right(
    question: str, answers: list[str], steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Guards JSON round-trips, and judging for every script: each right answer, written out, is right."""
    folder = tmp_path_factory.mktemp("open")
    task = OpenQA()
    (example,) = _read(folder, {"question": question, "answers": answers, "steps": steps})
    write_examples(task, folder / "b.json", [example])
    assert task.read(folder / "b.json") == [example]
    assert task.recognises(task.row(example)) and task.recognises({"question": question, "answer": answers})
    for answer in answers:
        assert task.correct(task.extract("### " + answer), example)


@given(text=st.text(), other=st.text())
def test_matching_is_an_equivalence(text: str, other: str) -> None:
    """Guards normalisation: doing it twice changes nothing, spelling of accents and case of ASCII play no part."""
    assert normalised(normalised(text)) == normalised(text)
    assert normalised(unicodedata.normalize("NFC", text)) == normalised(text)
    assert not set(normalised(text)) & set(string.punctuation)
    if normalised(text) and normalised(other):
        assert same_answer(text, other) == same_answer(other, text)


def test_splits_have_to_be_named(tmp_path: Path) -> None:
    """Guards an error that says what to do: no file of this task is among the shared data."""
    with pytest.raises(ValueError, match=r"OpenQA has no test split .* name a file with --task\.test-file"):
        OpenQA().examples("test")
    _read(tmp_path, ROW)
    assert len(OpenQA(test_file=tmp_path / "a.jsonl").examples("test")) == 1
    with pytest.raises(ValueError, match="longest_output: expected at least 1 token, got 0"):
        OpenQA(longest_output=0)
