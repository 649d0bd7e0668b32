"""Your own files, under any names; and data sets of a hub."""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.config import from_builtins, to_builtins
from unspoken.tasks.base import Example, Task
from unspoken.tasks.make import write_examples
from unspoken.tasks.own import Columns, HubData, OwnFile
from unspoken.tasks.texts import collapsed, cut_steps

ROW = {"question": "2 + 3?", "steps": ["<<2+3=5>>"], "answer": "5"}
EXAMPLE = Example(question="2 + 3?", steps=("<<2+3=5>>",), answer="5")

TEXT = st.text(st.characters(codec="utf-8"))
JSON_KEY = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


def _read(task: OwnFile, path: Path, *rows: Any) -> Sequence[Example]:
    text = "\n".join(map(json.dumps, rows)) if ".jsonl" in path.name else json.dumps(rows)
    path.write_bytes(gzip.compress(text.encode()) if path.name.endswith(".gz") else text.encode())
    return task.read(path)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.json.gz", "a.jsonl.gz"])
def test_the_default_columns_are_the_published_ones(name: str, tmp_path: Path) -> None:
    """Guards Coconut JSON in any packing, with fields to spare."""
    assert _read(OwnFile(), tmp_path / name, ROW, {**ROW, "id": 3}) == [EXAMPLE, EXAMPLE]


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (Columns(question="input", steps="chain", answer="target"), {"input": "q", "chain": ["a", "b"], "target": "x"}),
        (Columns(), {"question": "q", "steps": "a\n\n b \n", "answer": "x"}),
        (Columns(), {"question": "q", "steps": "a\r\nb", "answer": "x"}),
        (Columns(cut="sentences"), {"question": "q", "steps": "a  b", "answer": "x"}),
    ],
)
def test_chains_under_other_names_and_in_one_text(columns: Columns, row: dict[str, Any], tmp_path: Path) -> None:
    """Guards renamed fields, and chains in one text cut at line ends of either kind."""
    (example,) = _read(OwnFile(columns=columns), tmp_path / "a.json", row)
    expected = ("a  b",) if columns.cut == "sentences" else ("a", "b")
    assert example == Example(question="q", steps=expected, answer="x")


@pytest.mark.parametrize(
    ("cut", "steps"),
    [
        ("lines", ("He has 2.5 kg. Is it much?", "No! It is not.")),
        ("sentences", ("He has 2.5 kg.", "Is it much?", "No!", "It is not.")),
        ("whole", ("He has 2.5 kg. Is it much?\nNo! It is not.",)),
    ],
)
def test_where_a_chain_is_cut(cut: Any, steps: tuple[str, ...]) -> None:
    """Guards the three ways of cutting; a decimal point ends no sentence."""
    assert cut_steps("He has 2.5 kg. Is it much?\nNo! It is not.\n", cut) == steps


@given(chain=TEXT, cut=st.sampled_from(("lines", "sentences", "whole")))
def test_cutting_loses_nothing_but_blanks(chain: str, cut: Any) -> None:
    """Guards every chain: the steps together are its text, in order, none empty, none with blanks around it."""
    steps = cut_steps(chain, cut)
    assert collapsed(" ".join(steps)) == collapsed(chain)
    assert all(step and step == step.strip() for step in steps)


@pytest.mark.parametrize("row", [{"question": "q", "answer": "x"}, {"question": "q", "steps": None, "answer": "x"}])
def test_a_chain_may_be_missing(row: dict[str, Any], tmp_path: Path) -> None:
    """Guards question-answer data, which has no chain at all or null for one."""
    assert _read(OwnFile(), tmp_path / "a.json", row) == [Example(question="q", steps=(), answer="x")]


@pytest.mark.parametrize(
    ("value", "text"),
    [(5, "5"), (-3, "-3"), (5.0, "5"), (0.1, "0.1"), (1e-7, "0.0000001"), (1e21, "1" + "0" * 21), (-0.0, "0"),
     (True, "True"), (False, "False"), (10**30, "1" + "0" * 30), ("07", "07"), (" x ", " x ")],
)  # fmt: skip
def test_answers_become_text(value: Any, text: str, tmp_path: Path) -> None:
    """Guards numbers and booleans in the file: 5.0 is the answer "5", as a model would write it."""
    (example,) = _read(OwnFile(), tmp_path / "a.json", {**ROW, "answer": value})
    assert example.answer == text


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"input": "q", "answer": "x"},
            r"row 1: field `question`: not there, the row has input, answer; name the right",
        ),
        ({}, r"row 1: field `question`: not there, the row has no fields"),
        ({"question": "q"}, r"row 1: field `answer`: not there"),
        ({**ROW, "question": 3}, r"row 1: field `question`: expected a text, got a number"),
        ({**ROW, "question": None}, r"row 1: field `question`: expected a text, got null"),
        ({**ROW, "steps": 3}, r"row 1: field `steps`: expected a list of steps, a text or null, got a number"),
        ({**ROW, "steps": {"a": "b"}}, r"row 1: field `steps`: expected .* got an object"),
        ({**ROW, "steps": ["a", None]}, r"row 1: field `steps\[1\]`: expected a text, a number or a boolean, got null"),
        ({**ROW, "steps": [["a"]]}, r"row 1: field `steps\[0\]`: expected .* got a list"),
        ({**ROW, "answer": None}, r"row 1: field `answer`: expected .* got null"),
        ({**ROW, "answer": ["a"]}, r"row 1: field `answer`: .* got a list; for several right answers take OpenQA"),
        ("a text", r"row 1: Expected `object`, got `str`"),
    ],
)
def test_errors_name_row_and_field(row: Any, message: str, tmp_path: Path) -> None:
    """Guards a stranger's file: what is missing or of another type is named, with what the row does have."""
    with pytest.raises(ValueError, match=message):
        _read(OwnFile(), tmp_path / "a.json", ROW, row)


@pytest.mark.parametrize(
    ("compare", "said", "right"),
    [
        ("exact", "18", True),
        ("exact", "18.0", False),
        ("exact", "18 eggs", False),
        ("numeric", "18", True),
        ("numeric", "18.0", True),
        ("numeric", "$18 a day", True),
        ("numeric", "1.8e1", True),
        ("numeric", "18 or 19", False),
        ("numeric", "eighteen", False),
        ("numeric", "-18", False),
    ],
)
def test_answers_as_text_or_as_numbers(compare: Any, said: str, right: bool) -> None:
    """Guards the two ways of judging, for files and hub data alike."""
    for task in (OwnFile(compare=compare), HubData(name="x", compare=compare)):
        assert task.correct(task.extract(f"### {said}"), Example(question="q", steps=(), answer="18")) is right


@given(
    question=TEXT,
    steps=st.lists(TEXT),
    answer=TEXT,
    names=st.lists(JSON_KEY, min_size=3, max_size=3, unique=True),
    lines=st.booleans(),
)
def test_any_text_survives_under_any_name(
    question: str,
    steps: list[str],
    answer: str,
    names: list[str],
    lines: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Guards `data convert` and reading: whatever text, whatever the columns are called, nothing is changed."""
    task = OwnFile(columns=Columns(question=names[0], steps=names[1], answer=names[2]))
    example = Example(question=question, steps=tuple(steps), answer=answer)
    path = tmp_path_factory.mktemp("own") / ("a.jsonl" if lines else "a.json")
    write_examples(task, path, [example, example])
    assert task.read(path) == [example, example]
    assert task.recognises(task.row(example))


def test_settings_are_checked_and_saved() -> None:
    """Guards configs: columns and all come back from `config.json`; impossible ones are refused with the way out."""
    for task in (
        OwnFile(columns=Columns(question="q", cut="sentences"), compare="numeric", test_file=Path("a.json")),
        HubData(name="openai/gsm8k", config="main", columns=Columns(answer="final")),
    ):
        assert from_builtins(Task, to_builtins(task), "$") == task
    with pytest.raises(ValueError, match="expected three different fields for question, steps and answer"):
        Columns(question="answer")
    with pytest.raises(ValueError, match="longest_output: expected at least 1 token, got 0"):
        OwnFile(longest_output=0)
    with pytest.raises(ValueError, match="longest_output: expected at least 1 token, got 0"):
        HubData(name="x", longest_output=0)
    with pytest.raises(ValueError, match="name: expected a name on the hub"):
        HubData(name=" ")
    with pytest.raises(ValueError, match=r"OwnFile has no train split .*--task\.train-file"):
        OwnFile().examples("train")


def _hub(monkeypatch: pytest.MonkeyPatch, load: Any) -> None:
    """Puts a stand-in in the place of the `datasets` package."""
    module = types.ModuleType("datasets")
    monkeypatch.setattr(module, "load_dataset", load, raising=False)
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_hub_rows_become_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards what the package is asked for, and that its rows are read like those of a file."""
    asked: list[Any] = []

    def load(name: str, config: str | None, *, split: str, revision: str | None) -> list[dict[str, Any]]:
        asked.append((name, config, split, revision))
        return [{"q": "2 + 3?", "cot": "<<2+3=5>>\n", "a": 5.0}]

    _hub(monkeypatch, load)
    columns = Columns(question="q", steps="cot", answer="a")
    task = HubData(name="me/sums", config="main", revision="abc", valid_split="train[:9]", columns=columns)
    assert task.examples("valid") == [EXAMPLE] == task.examples("test")
    assert asked == [("me/sums", "main", "train[:9]", "abc"), ("me/sums", "main", "test", "abc")]
    file = task.on_file(Path("a.json"))
    assert file.columns == columns and file.test_file == Path("a.json")


def test_hub_errors_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards one line with a way out in place of the package's tracebacks: not installed, not there, a wrong row."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r'me/sums: the datasets package is not installed; pip install "unspoken\[dat'):
        HubData(name="me/sums").examples("train")

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("could not\nbe generated.") from TypeError("3.5 is no integer")

    _hub(monkeypatch, fail)
    message = r"me/sums: split 'train' cannot be loaded: could not be generated. \(3.5 is no integer\); check name, .* "
    with pytest.raises(ValueError, match=message):
        HubData(name="me/sums").examples("train")

    def load(*_: Any, **__: Any) -> list[dict[str, Any]]:
        return [ROW, {"question": "q", "answer": float("nan")}]

    _hub(monkeypatch, load)
    with pytest.raises(
        ValueError, match=r"me/sums \(train\): row 1: field `answer`: expected a finite number, got NaN"
    ):
        HubData(name="me/sums").examples("train")


@pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="the datasets extra is not installed")
def test_a_local_folder_through_the_real_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the package's own interface, which a stand-in cannot: names of arguments, rows as dicts, split names."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    folder = tmp_path / "sums"
    folder.mkdir()
    (folder / "train.jsonl").write_text(json.dumps(ROW) + "\n")
    (folder / "test.jsonl").write_text(json.dumps(ROW) + "\n")
    assert HubData(name=str(folder)).examples("train") == [EXAMPLE]
    with pytest.raises(ValueError, match="split 'validation' cannot be loaded: Unknown split"):
        HubData(name=str(folder)).examples("valid")


@pytest.mark.parametrize(
    ("written", "gold", "right"),
    [("### C#", "C#", True), ("### 1,2", "12", False), ("so ### (12,3)", "(1,23)", False), ("###  a ", "a", True)],
)
def test_exact_answers_are_compared_as_they_are(written: str, gold: str, right: bool) -> None:
    """Guards the published rule, which cuts at the last `#` and drops commas, against answers of other kinds."""
    task = OwnFile()
    assert task.correct(task.extract(written), Example(question="q", steps=(), answer=gold)) is right
