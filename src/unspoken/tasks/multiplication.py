"""Multiplying n digits by m digits with iCoT's chain of partial products (Deng et al. 2024, arXiv 2405.14838).

Digits stand apart and in reverse, least significant first, so that carries run with the text. 2365 * 4347 is, in the
published files (da03/Internalize_CoT_Step_by_Step, `data/4_by_4_mult/valid.txt`, first line):

    5 6 3 2 * 7 4 3 4||5 5 5 6 1 + 0 0 6 4 9 0 ( 5 5 1 1 1 1 ) + 0 0 5 9 0 7 0 ( 5 5 6 0 2 8 0 ) + 0 0 0 0 6 4 9 0
    #### 5 5 6 0 8 2 0 1

Every digit of the second factor gives one step: its product with the first factor, shifted (its zeros come first), and
in brackets the sum so far, which the first and the last step do not need. A product has one digit more than the first
factor besides the shift, a sum as many as the product before it, the answer as many as both factors: all are padded
with zeros, so that every problem of a size has the same length. First digits are never 0.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, final

from unspoken.tasks import texts
from unspoken.tasks.base import Example, FileTask, Generated, Generator, Split
from unspoken.tasks.equations import ChainClass
from unspoken.tasks.gsm8k import from_icot
from unspoken.tasks.rows import QuestionRow

_QUESTION = re.compile(r"[0-9]( [0-9])* \* [0-9]( [0-9])*", re.ASCII)


def example_of(a: int, b: int) -> Example:
    """The problem a * b as in the published files, with the chain in steps."""
    digits = [int(digit) for digit in reversed(str(b))]
    width = len(str(a)) + 1
    total = 0
    steps: list[str] = []
    for i, digit in enumerate(digits):
        product = digit * a * 10**i
        total += product
        step = ("+ " if i else "") + _reversed(product, width + i)
        if 0 < i < len(digits) - 1:
            step += f" ( {_reversed(total, width + i)} )"
        steps.append(step)
    return Example(
        question=f"{_reversed(a)} * {_reversed(b)}",
        steps=tuple(steps),
        answer=_reversed(total, len(str(a)) + len(str(b))),
    )


def factors(question: str) -> tuple[int, int]:
    """The two factors that a question names.

    Raises:
        ValueError: it is not of the form `5 6 3 2 * 7 4 3 4`.
    """
    if not _QUESTION.fullmatch(question):
        raise ValueError(f"field `question`: expected reversed digits as in '5 6 3 2 * 7 4 3 4', got {question[:60]!r}")
    a, b = (int(text.replace(" ", "")[::-1]) for text in question.split(" * "))
    return a, b


def split_of(a: int, b: int) -> Split:
    """The one split a pair of factors belongs to, in either order and under every seed: 1 in 16 to validate, 1 to test.

    So no problem is trained on and tested, however many are drawn. (The published files draw each ordered pair once.)
    """
    share = hashlib.sha256(f"{min(a, b)}*{max(a, b)}".encode()).digest()[0] % 16
    return "valid" if share == 0 else "test" if share == 1 else "train"


def draw_pair(rng: random.Random, *, left: int, right: int, split: Split) -> tuple[int, int]:
    """A random pair of factors of a split; all digits are equally likely, but the first is not 0."""
    while True:
        a, b = _draw_number(rng, left), _draw_number(rng, right)
        if split_of(a, b) == split:
            return a, b


@final
@dataclass(frozen=True, kw_only=True)
class MultiplicationGenerator(Generator):
    """Products of numbers of given lengths. Splits are disjoint whatever the seeds; within one, problems may recur."""

    name: ClassVar[str] = "multiplication"

    left: int = 4
    """Digits of the first factor."""
    right: int = 4
    """Digits of the second factor: as many steps has a chain."""

    def __post_init__(self) -> None:
        _check_digits(self.left, self.right)

    def draw(self, rng: random.Random) -> Example:
        return self._draw(rng, split="train")

    def problems(self, *, num: int, seed: int, split: Split = "train") -> Generated:
        """As `Generator.problems`, but a split has only pairs of its own."""
        stream = f"{self.name}/{self.left}x{self.right}/{seed}/{split}"
        return Generated(partial(self._draw, split=split), num=num, seed=stream)

    def _draw(self, rng: random.Random, *, split: Split) -> Example:
        return example_of(*draw_pair(rng, left=self.left, right=self.right, split=split))


@final
@dataclass(frozen=True, kw_only=True)
class Multiplication(FileTask):
    """Multiplication, generated, or read from the published iCoT text or the same as JSON.

    Written as the other tasks are: the question, each step and `### ` with the answer, a line each. The published code
    has spaces for line breaks and `####`.
    """

    version: ClassVar[str] = "1"
    published: ClassVar[Mapping[Split, str]] = {}

    left: int = 4
    """Digits of the first factor. Not read where files are named for every split."""
    right: int = 4
    """Digits of the second factor."""
    num_train: int = 100_000
    """Training problems to generate; the published 4 by 4 file has 808,000. Not read with `train_file`."""
    num_valid: int = 1_000
    """Validation problems, as published. Not read with `valid_file`."""
    num_test: int = 1_000
    """Test problems, as published. Not read with `test_file`."""
    data_seed: int = 0
    """Seed of generated problems."""

    def __post_init__(self) -> None:
        _check_digits(self.left, self.right)
        for name, num in (("train", self.num_train), ("valid", self.num_valid), ("test", self.num_test)):
            if num < 0:
                raise ValueError(f"num_{name}: expected at least 0, got {num}")

    @property
    def max_new_tokens(self) -> int:
        """A whole chain and answer, a token each digit and sign, line break and end, and some room."""
        longest = self.write(example_of(10 ** (self.left - 1), 10 ** (self.right - 1)))
        return sum(len(text.split()) + 1 for text in (*longest.steps, longest.answer)) + 8

    def examples(self, split: Split) -> Sequence[Example]:
        path = self.file(split)
        if path is not None:
            return self.read(path)
        num = {"train": self.num_train, "valid": self.num_valid, "test": self.num_test}[split]
        generator = MultiplicationGenerator(left=self.left, right=self.right)
        return generator.problems(num=num, seed=self.data_seed, split=split)

    def read(self, path: Path) -> Sequence[Example]:
        """The problems of a file: iCoT text (`.txt`) or JSON, each checked to be the one right chain of its question.

        Raises:
            ValueError: as `FileTask.read`.
        """

        def example(told: QuestionRow | Example) -> Example:
            return _checked(told.question, " ".join(told.steps), told.answer)

        if path.name.removesuffix(".gz").endswith(".txt"):
            return texts.read_line_examples(path, lambda line: example(from_icot(line)))
        return texts.read_examples(path, QuestionRow, example)

    def recognises(self, row: Mapping[str, Any] | str) -> bool:
        question = row.partition("||")[0] if isinstance(row, str) else row.get("question")
        return isinstance(question, str) and _QUESTION.fullmatch(question) is not None

    def extract(self, text: str) -> str:
        """What follows the last `#`, with one space between digits."""
        return " ".join(super().extract(text).split())

    def classify(self, text: str, example: Example, *, hidden: int) -> str | None:
        """The chain's `ChainClass`. Only one is right; where steps were hidden, it may start after any of them."""
        right = self.correct(self.extract(text), example)
        chain = " ".join(text.partition("###")[0].split())
        if not chain:
            return (ChainClass.RIGHT_NO_CHAIN if right else ChainClass.WRONG_NO_CHAIN).value
        if any(chain == " ".join(example.steps[first:]) for first in range(hidden + 1)):
            return (ChainClass.RIGHT_BY_CHAIN if right else ChainClass.WRONG_PAST_CHAIN).value
        return (ChainClass.RIGHT_FALSE_STEP if right else ChainClass.WRONG_FALSE_STEP).value

    def words(self) -> Sequence[str]:
        """The whole vocabulary: ten digits and five signs."""
        return ("###", "*", "+", "(", ")", *"0123456789")


def _checked(question: str, chain: str, answer: str) -> Example:
    """The example, once chain and answer are those of the question."""
    example = example_of(*factors(question))
    for name, found, right in (("steps", chain, " ".join(example.steps)), ("answer", answer, example.answer)):
        if found != right:
            raise ValueError(f"field `{name}`: expected {right!r} for {question!r}, got {found!r}")
    return example


def _check_digits(left: int, right: int) -> None:
    if min(left, right) < 1 or left + right < 3:
        raise ValueError(
            f"left and right: expected numbers of digits, at least 1 each and 3 together, got {left} and {right}"
        )
    if max(left, right) > 1_000:
        raise ValueError(f"left and right: expected at most 1000 digits each, got {left} and {right}")


def _draw_number(rng: random.Random, digits: int) -> int:
    number = 1 + int(rng.random() * 9)
    for _ in range(digits - 1):
        number = 10 * number + int(rng.random() * 10)
    return number


def _reversed(number: int, width: int = 0) -> str:
    return " ".join(reversed(str(number).zfill(width)))
