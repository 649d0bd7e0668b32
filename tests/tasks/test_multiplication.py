"""Multiplication: the published form, line by line, and arithmetic that is right."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.tasks.base import Example, Split
from unspoken.tasks.equations import ChainClass
from unspoken.tasks.multiplication import (
    Multiplication,
    MultiplicationGenerator,
    draw_pair,
    example_of,
    factors,
    split_of,
)

# da03/Internalize_CoT_Step_by_Step at e06a32ee5e4c (MIT): first lines of data/4_by_4_mult/valid.txt, one with a zero
# among its digits, and the README's example of data/11_by_11_mult.
PUBLISHED = """\
5 6 3 2 * 7 4 3 4||5 5 5 6 1 + 0 0 6 4 9 0 ( 5 5 1 1 1 1 ) + 0 0 5 9 0 7 0 ( 5 5 6 0 2 8 0 ) + 0 0 0 0 6 4 9 0 #### 5 5 6 0 8 2 0 1
6 9 1 5 * 6 4 4 7||6 7 1 1 3 + 0 4 8 7 0 2 ( 6 1 0 9 3 2 ) + 0 0 4 8 7 0 2 ( 6 1 4 7 1 3 2 ) + 0 0 0 2 7 3 6 3 #### 6 1 4 9 8 6 8 3
2 9 6 1 * 0 5 1 9||0 0 0 0 0 + 0 0 6 4 8 0 ( 0 0 6 4 8 0 ) + 0 0 2 9 6 1 0 ( 0 0 8 3 5 2 0 ) + 0 0 0 8 2 2 5 1 #### 0 0 8 1 8 4 5 1
7 0 1 9 * 4 8 4 1||8 2 4 6 3 + 0 6 5 8 2 7 ( 8 8 9 4 6 7 ) + 0 0 8 2 4 6 3 ( 8 8 7 7 0 4 4 ) + 0 0 0 7 0 1 9 0 #### 8 8 7 4 1 5 3 1
2 5 0 7 * 3 0 0 1||6 5 1 1 2 + 0 0 0 0 0 0 ( 6 5 1 1 2 0 ) + 0 0 0 0 0 0 0 ( 6 5 1 1 2 0 0 ) + 0 0 0 2 5 0 7 0 #### 6 5 1 3 7 0 7 0
4 8 7 7 1 8 4 2 8 1 1 * 1 2 1 5 1 3 4 3 6 6 2||4 8 7 7 1 8 4 2 8 1 1 0 + 0 8 6 5 5 3 6 9 4 6 3 2 0 ( 4 6 4 3 7 1 1 2 3 8 4 2 0 ) + 0 0 4 8 7 7 1 8 4 2 8 1 1 0 ( 4 6 8 1 5 9 2 0 8 0 3 4 1 0 ) + 0 0 0 0 2 9 8 8 0 4 2 1 9 5 0 ( 4 6 8 1 7 8 1 9 8 4 5 5 0 6 0 ) + 0 0 0 0 4 8 7 7 1 8 4 2 8 1 1 0 ( 4 6 8 1 1 7 9 6 0 3 0 8 8 7 1 0 ) + 0 0 0 0 0 2 5 3 3 5 4 4 7 4 5 3 0 ( 4 6 8 1 1 9 4 0 4 8 4 2 6 2 7 3 0 ) + 0 0 0 0 0 0 6 3 1 1 7 2 9 9 2 7 4 0 ( 4 6 8 1 1 9 0 4 5 9 1 5 5 2 0 1 5 0 ) + 0 0 0 0 0 0 0 2 5 3 3 5 4 4 7 4 5 3 0 ( 4 6 8 1 1 9 0 6 0 3 5 0 0 7 7 5 0 4 0 ) + 0 0 0 0 0 0 0 0 4 0 7 6 0 9 8 4 9 0 7 0 ( 4 6 8 1 1 9 0 6 4 3 2 7 0 6 6 0 0 5 7 0 ) + 0 0 0 0 0 0 0 0 0 4 0 7 6 0 9 8 4 9 0 7 0 ( 4 6 8 1 1 9 0 6 4 7 2 4 7 6 5 9 4 4 8 7 0 ) + 0 0 0 0 0 0 0 0 0 0 8 6 5 5 3 6 9 4 6 3 2 0 #### 4 6 8 1 1 9 0 6 4 7 0 1 3 2 9 5 4 9 4 1 3 0
"""  # noqa: E501

SHA256_OF_100_ROWS = "cb867cc8c22bbf0733997c0a9b0709e5d7d25b48643d72571a61f32af0dfe635"

DIGITS = st.tuples(st.integers(1, 12), st.integers(1, 12)).filter(lambda pair: sum(pair) > 2)
SPLITS = st.sampled_from(get_args(Split))


def value(text: str) -> int:
    """The number that reversed digits stand for."""
    return int(text.replace(" ", "")[::-1])


def line(example: Example) -> str:
    return f"{example.question}||{' '.join(example.steps)} #### {example.answer}"


def test_published_lines_are_reproduced() -> None:
    """Guards the format, character by character: padding, brackets, order of digits."""
    for published in PUBLISHED.splitlines():
        assert line(example_of(*factors(published.partition("||")[0]))) == published


def test_published_files_are_read(tmp_path: Path) -> None:
    """Guards the loader of iCoT's text, whose steps have spaces: one step for each digit of the second factor."""
    (tmp_path / "valid.txt").write_text(PUBLISHED)
    examples = Multiplication(valid_file=tmp_path / "valid.txt").examples("valid")
    assert [line(example) for example in examples] == PUBLISHED.splitlines()
    assert [len(example.steps) for example in examples] == [4, 4, 4, 4, 4, 11]
    assert examples[0].steps[:2] == ("5 5 5 6 1", "+ 0 0 6 4 9 0 ( 5 5 1 1 1 1 )")


@given(digits=DIGITS, seed=st.integers(0, 10_000), split=SPLITS)
def test_chains_are_right(digits: tuple[int, int], seed: int, split: Split) -> None:
    """Guards the arithmetic, read back from the text alone: products, shifts, running sums, answer, lengths."""
    left, right = digits
    generator = MultiplicationGenerator(left=left, right=right)
    (example,) = generator.problems(num=1, seed=seed, split=split)
    a, b = (value(text) for text in example.question.split(" * "))
    assert (a, b) == factors(example.question) and (len(str(a)), len(str(b))) == digits
    assert split_of(a, b) == split
    assert value(example.answer) == a * b and len(example.answer.split()) == left + right
    total = 0
    for i, (step, digit) in enumerate(zip(example.steps, reversed(str(b)), strict=True)):
        product, _, rest = step.removeprefix("+ ").partition(" ( ")
        assert step.startswith("+ ") == (i > 0)
        assert value(product) == int(digit) * a * 10**i and len(product.split()) == left + 1 + i
        total += value(product)
        assert bool(rest) == (0 < i < right - 1)
        if rest:
            assert value(rest.removesuffix(" )")) == total and len(rest.removesuffix(" )").split()) == left + 1 + i
    assert total == a * b


@given(digits=DIGITS, seed=st.integers(0, 1_000))
def test_words_and_lengths_are_those_announced(digits: tuple[int, int], seed: int) -> None:
    """Guards training from scratch: no word outside the vocabulary, no output cut off."""
    task = Multiplication(left=digits[0], right=digits[1], data_seed=seed, num_train=1)
    written = task.write(task.examples("train")[0])
    text = " ".join([written.question, *written.steps, written.answer])
    assert set(text.split()) <= set(task.words())
    assert sum(len(part.split()) + 1 for part in (*written.steps, written.answer)) <= task.max_new_tokens


@given(pair=st.tuples(st.integers(1, 10**12), st.integers(1, 10**12)))
def test_a_pair_is_in_one_split_in_either_order(pair: tuple[int, int]) -> None:
    """Guards the test set: 12 * 34 must not be trained on where 34 * 12 is asked."""
    assert split_of(*pair) == split_of(*reversed(pair))


@pytest.mark.parametrize(("left", "right"), [(1, 2), (2, 1), (2, 2)])
def test_the_smallest_sizes_have_every_split(left: int, right: int) -> None:
    """Guards against a loop without end: sizes with few pairs need some in every split; shares are about 1/16."""
    pairs = [(a, b) for a in range(10 ** (left - 1), 10**left) for b in range(10 ** (right - 1), 10**right)]
    shares = Counter(split_of(a, b) for a, b in pairs)
    for split in ("valid", "test"):
        assert 0.03 < shares[split] / len(pairs) < 0.12


def test_splits_are_disjoint() -> None:
    """Guards evaluation on trained problems, on a size small enough that chance would make them meet."""
    task = Multiplication(left=2, right=2, num_train=5_000)
    asked = {split: {e.question for e in task.examples(split)} for split in get_args(Split)}
    assert (
        not asked["train"] & asked["test"]
        and not asked["train"] & asked["valid"]
        and not asked["valid"] & asked["test"]
    )
    assert len(asked["train"]) > 3_000


def test_digits_are_uniform() -> None:
    """Guards the distribution: first digits 1 to 9, others 0 to 9, all about equally often."""
    counts = [Counter[str]() for _ in range(3)]
    for i in range(9_000):
        a, b = draw_pair(random.Random(i), left=3, right=3, split="train")
        for number in (a, b):
            for place, digit in enumerate(str(number)):
                counts[place][digit] += 1
    assert set(counts[0]) == set("123456789") and set(counts[1]) == set(counts[2]) == set("0123456789")
    for count in counts:
        expected = 18_000 / len(count)
        assert all(abs(found - expected) < 5 * expected**0.5 for found in count.values())


def test_problems_are_their_seeds() -> None:
    """Guards reproducibility: the same bytes on every platform and in every version."""
    generator = MultiplicationGenerator(left=5, right=4)
    rows = [generator.row(e) for e in generator.problems(num=100, seed=7)]
    assert hashlib.sha256(json.dumps(rows).encode()).hexdigest() == SHA256_OF_100_ROWS
    assert rows[60] == generator.row(generator.problems(num=61, seed=7)[60])
    assert rows[0] != generator.row(generator.problems(num=1, seed=8)[0])
    assert Multiplication(left=5, right=4, data_seed=7).examples("train")[3].question == rows[3]["question"]


def test_a_drawn_problem_is_for_training() -> None:
    """Guards `draw`, which names no split: it must not leak test problems."""
    for i in range(50):
        assert split_of(*factors(MultiplicationGenerator().draw(random.Random(i)).question)) == "train"


@given(digits=DIGITS, seed=st.integers(0, 1_000), as_json=st.booleans())
def test_files_read_back(
    digits: tuple[int, int], seed: int, as_json: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Guards both file formats: what is generated reads back, step by step."""
    generator = MultiplicationGenerator(left=digits[0], right=digits[1])
    examples = list(generator.problems(num=3, seed=seed))
    path = tmp_path_factory.mktemp("multiplication") / ("a.json" if as_json else "a.txt")
    path.write_text(json.dumps([generator.row(e) for e in examples]) if as_json else "\n".join(map(line, examples)))
    assert Multiplication().on_file(path).examples("test") == examples


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5 6 * 7 4||1 #### 2", r"a\.txt: line 2: field `steps`: expected '5 5 4 \+ 0 0 6 2' for '5 6 \* 7 4'"),
        ("5 6 * 7 4||5 5 4 + 0 0 6 2 #### 5", r"a\.txt: line 2: field `answer`: expected '5 5 0 3' for '5 6 \* 7 4'"),
        ("65 * 47||5 #### 5", r"a\.txt: line 2: field `question`: expected reversed digits as in '5 6 3 2 \* 7 4 3 4'"),
        ("5 6 * 7 4", r"a\.txt: line 2: expected question\|\|steps #### answer"),
    ],
)  # fmt: skip
def test_wrong_lines_are_named(text: str, message: str, tmp_path: Path) -> None:
    """Guards files with a wrong product in them, and of other tasks."""
    (tmp_path / "a.txt").write_text(PUBLISHED.splitlines()[0] + "\n" + text + "\n")
    with pytest.raises(ValueError, match=message):
        Multiplication().read(tmp_path / "a.txt")


def test_wrong_rows_are_named(tmp_path: Path) -> None:
    """Guards the same errors in JSON."""
    row = MultiplicationGenerator().row(example_of(65, 47))
    (tmp_path / "a.json").write_text(json.dumps([row, {**row, "answer": "1"}]))
    with pytest.raises(ValueError, match=r"a\.json: row 1: field `answer`: expected '5 5 0 3'"):
        Multiplication().read(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "hidden", "kind"),
    [
        ("5 5 4\n+ 0 0 6 2\n### 5 5 0 3", 0, ChainClass.RIGHT_BY_CHAIN),
        ("5 5 4 + 0 0 6 2 ### 5 5 0 3", 2, ChainClass.RIGHT_BY_CHAIN),
        ("+ 0 0 6 2 ### 5 5 0 3", 1, ChainClass.RIGHT_BY_CHAIN),
        ("+ 0 0 6 2 ### 5 5 0 3", 0, ChainClass.RIGHT_FALSE_STEP),
        ("5 5 5 + 0 0 6 2 ### 5 5 0 4", 0, ChainClass.WRONG_FALSE_STEP),
        ("5 5 4 + 0 0 6 2 ### 5 5 0 4", 0, ChainClass.WRONG_PAST_CHAIN),
        ("5 5 4 + 0 0 6 2", 0, ChainClass.WRONG_PAST_CHAIN),
        ("### 5 5 0 3", 2, ChainClass.RIGHT_NO_CHAIN),
        ("### 5 5 0", 2, ChainClass.WRONG_NO_CHAIN),
        ("", 2, ChainClass.WRONG_NO_CHAIN),
    ],
)
def test_chain_classes(text: str, hidden: int, kind: ChainClass) -> None:
    """Guards whole and partial chains: a chain may start after hidden steps, but skip none that were to be written."""
    assert Multiplication().classify(text, example_of(65, 47), hidden=hidden) == kind


def test_answers_are_compared_digit_by_digit() -> None:
    """Guards spacing of decoded text, and a missing last zero."""
    task, example = Multiplication(), example_of(65, 10)
    assert example.answer == "0 5 6 0"
    assert task.correct(task.extract("### 0  5 6 0\n"), example)
    assert not task.correct(task.extract("### 0 5 6"), example)


def test_files_are_recognised() -> None:
    """Guards commands that are given a file and no task."""
    task = Multiplication()
    assert task.recognises(PUBLISHED.splitlines()[0])
    assert task.recognises({"question": "5 6 * 7 4", "steps": [], "answer": ""})
    assert not task.recognises("How much is 5 * 7?||<<5*7=35>> #### 35")
    assert not task.recognises({"question": ["5 6 * 7 4"]})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"left": 0}, "left and right: expected numbers of digits, at least 1 each and 3 together, got 0 and 4"),
        ({"left": 1, "right": 1}, "got 1 and 1"),
        ({"num_test": -1}, "num_test: expected at least 0, got -1"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, int], message: str) -> None:
    """Guards against a size with too few pairs for three splits."""
    with pytest.raises(ValueError, match=message):
        Multiplication(**settings)  # pyrefly: ignore[bad-argument-type]
