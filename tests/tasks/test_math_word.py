"""Out-of-domain word problems: their files, their answers, and that they are asked as GSM8K is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.tasks.equations import Arithmetic, check, result
from unspoken.tasks.gsm8k import GSM8K, NumberProblems, read_problems
from unspoken.tasks.math_word import SVAMP, GSMHard, MultiArith
from unspoken.tasks.numbers import read_number
from unspoken.tasks.rows import data_root

SETS = [(SVAMP(), "math/svamp.jsonl", 1_000), (GSMHard(), "math/gsmhardv2.jsonl.gz", 1_319)]
every_set = pytest.mark.parametrize(
    ("task", "file", "num"),
    [
        pytest.param(*row, marks=pytest.mark.skipif(not (data_root() / row[1]).is_file(), reason=f"no {row[1]}"))
        for row in SETS
    ],
)

# The form of MultiArith's own file (Roy and Roth 2015), made up here.
MULTIARITH = [
    {
        "iIndex": 0,
        "lAlignments": [17, 37, 75],
        "lEquations": ["X=((13.0+5.0)-10.0)"],
        "lSolutions": [8.0],
        "sQuestion": " Ann had 13 pens and 5 caps. She lost 10. How many are left? ",
    },
    {"iIndex": 1, "lEquations": ["X=(2.5*(4.0+10.0))"], "lSolutions": [35], "sQuestion": "Ben?"},
]


@every_set
def test_published_rows(task: NumberProblems, file: str, num: int) -> None:
    """Guards the published sets: all rows, an answer each that is a plain number and right by its own measure."""
    examples = task.examples("test")
    assert len(examples) == num
    for example in examples:
        assert example.question == example.question.strip() != ""
        assert not example.answer.endswith(".0") and "e" not in example.answer
        assert example.steps == ()
        assert task.correct(task.extract(task.write(example).answer), example)


@every_set
def test_prompts_are_gsm8ks(task: NumberProblems, file: str, num: int) -> None:
    """Guards evaluating a GSM8K model as it is: the same problems as GSM8K's own test file give the same prompts."""
    on_gsm8k = GSM8K().on_file(data_root() / file)
    assert type(on_gsm8k) is GSM8K
    pairs = list(zip(task.examples("test"), on_gsm8k.examples("test"), strict=True))
    assert [task.write(a).question for a, _ in pairs] == [on_gsm8k.write(b).question for _, b in pairs]
    assert [a.answer for a, _ in pairs] == [b.answer for _, b in pairs]
    assert task.max_new_tokens == on_gsm8k.max_new_tokens
    assert task.write(pairs[0][0]).question.endswith("?\n")


@pytest.mark.skipif(not (data_root() / SETS[1][1]).is_file(), reason="no GSM-Hard")
def test_gsm_hard_answers() -> None:
    """Guards the figures in the docstring, and large, negative and noisy answers."""
    task = GSMHard()
    examples = task.examples("test")
    values = [read_number(example.answer) for example in examples]
    assert None not in values
    numbers = [value for value in values if value is not None]
    assert max(numbers) == read_number("9284017268534.4")
    assert sum(value < 0 for value in numbers) == 146
    assert sum(value.denominator != 1 for value in numbers) == 303
    for example, value in zip(examples, numbers, strict=True):
        next_but_one = value.numerator // value.denominator + (1 if value.denominator == 1 else 2)
        assert not task.correct(str(next_but_one), example)
        assert task.correct("0", example) == (value == 0)
    (noisy,) = (e for e in examples if e.answer == "3244047.0999999996")
    assert task.correct("3244047.1", noisy) and not task.correct("3244047", noisy)


@given(
    rows=st.lists(
        st.tuples(st.text(min_size=1).map(str.strip).filter(bool), st.integers(-(10**9), 10**9), st.integers(0, 99)),
        max_size=5,
    )
)
def test_pals_rows_read_back(rows: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Guards `{input, target}`: any text, floats and integers, one format for three sets."""
    path = tmp_path_factory.mktemp("pal") / "rows.jsonl"
    path.write_text("".join(json.dumps({"input": q, "target": n + c / 100}) + "\n" for q, n, c in rows))
    examples = read_problems(path)
    assert [example.question for example in examples] == [question for question, _, _ in rows]
    assert [float(example.answer) for example in examples] == [number + cents / 100 for _, number, cents in rows]
    assert MultiArith(test_file=path).examples("test") == examples


def test_multiariths_own_file(tmp_path: Path) -> None:
    """Guards its JSON list: questions stripped, floats plain, the equation a step that is true."""
    (tmp_path / "MultiArith.json").write_text(json.dumps(MULTIARITH))
    first, second = MultiArith(test_file=tmp_path / "MultiArith.json").examples("test")
    assert first.question == "Ann had 13 pens and 5 caps. She lost 10. How many are left?"
    assert (first.steps, first.answer) == (("<<(13+5)-10=8>>",), "8")
    assert (second.steps, second.answer) == (("<<2.5*(4+10)=35>>",), "35")


@given(a=st.integers(0, 99), b=st.integers(0, 99), c=st.integers(1, 99), sign=st.sampled_from("+-*/"))
def test_multiariths_equations_are_true(
    a: int, b: int, c: int, sign: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Guards the conversion of equations: stripping brackets or .0 must not change a value (10.0, 100.05)."""
    path = tmp_path_factory.mktemp("multiarith") / "rows.json"
    equation = f"X=(({a}.0+{b}.05){sign}{c}.0)"
    value = {"+": a + b + 0.05 + c, "-": a + b + 0.05 - c, "*": (a + b + 0.05) * c, "/": (a + b + 0.05) / c}[sign]
    path.write_text(json.dumps([{"sQuestion": "q", "lEquations": [equation], "lSolutions": [round(value, 9)]}]))
    (example,) = read_problems(path)
    assert check(example.steps[0]) in (Arithmetic.RIGHT, Arithmetic.ROUNDED)
    assert result(example.steps[0]) == read_number(example.answer)


@pytest.mark.parametrize(
    ("make", "split", "message"),
    [
        (SVAMP, "train", r"SVAMP has no train split among the shared data; name a file with --task\.train-file"),
        (GSMHard, "valid", r"GSMHard has no valid split"),
        (MultiArith, "test", r"MultiArith has no test split"),
    ],
)
def test_splits_that_are_not_there(make: Callable[[], NumberProblems], split: Any, message: str) -> None:
    """Guards against an empty split, or training on a test set."""
    with pytest.raises(ValueError, match=message):
        make().examples(split)


def test_files_are_recognised() -> None:
    """Guards commands that are given a file and no task: each set's rows are known by exactly one of the three."""
    rows: list[dict[str, Any]] = [
        {"input": "q", "target": 1.0},
        {"input": "q", "code": "", "target": 1.0},
        MULTIARITH[0],
    ]
    for i, row in enumerate(rows):
        assert [task.recognises(row) for task in (SVAMP(), GSMHard(), MultiArith())] == [i == j for j in range(3)]
        assert not any(task.recognises("q||#### 1") for task in (SVAMP(), GSMHard(), MultiArith()))
