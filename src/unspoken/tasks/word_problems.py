"""Word problems of a few operations, for small models trained from scratch: GSM8K's form in a closed vocabulary.

`tom has 5 apples . tom buys 3 apples . tom doubles the apples . ? how many apples has tom`; the steps are `5 + 3 = 8`
and `8 * 2 = 16`, the answer is `16`. Every operation takes the result of the one before, so that a model that writes
no chain has to do them all in one pass. Half of the problems are *stories*, in which what somebody has changes; they
are told in order, or what there was at first is told last, or of the last two changes the later one is told first
(`... but before that ...`). The other half are *comparisons* (`anna has 3 more apples than tom`), told in any order.

What a guess could go by is taken away: operations are drawn uniformly, whatever numbers they allow; the answer is
drawn first, uniformly as far as its operation allows, and the numbers are worked out backwards; and no number told is
ever the answer, so that copying is never right. `docs/data.md` has the figures.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, final

from unspoken.tasks.base import DrawnTask, Example, Measure, SymbolicTask
from unspoken.tasks.equations import check, judge_chain
from unspoken.tasks.graphs import choose, shuffled
from unspoken.tasks.numbers import read_number
from unspoken.tasks.wordings import (
    AT_FIRST,
    BESIDE,
    BUT_BEFORE,
    ITEMS,
    NAMES,
    PARTS,
    QUESTION,
    WORDINGS,
    Templates,
    Wording,
    templates_of,
    words_of,
)

SIGNS = ("+", "-", "*", "/")
SMALLEST = 2
"""The smallest number told or worked out: one of a thing would want a singular."""
FACTORS = range(SMALLEST, 6)
"""What is multiplied with or divided by."""
NUMBERS = 100
"""Number words in every vocabulary, 0 to 99, so that a model can be asked about larger numbers than it has learned."""
MOST_OPERATIONS = 4
MOST_DISTRACTORS = 3


@final
@dataclass(frozen=True, kw_only=True)
class Operation:
    """One step of a chain."""

    left: int
    sign: str
    right: int
    result: int

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right} = {self.result}"


@cache
def operations_to(result: int, sign: str, largest: int) -> tuple[Operation, ...]:
    """Every operation of a sign on numbers up to `largest` that has a result.

    What is added or taken away is below a third of `largest` (2 to 9 for 30; or 2 or 3), what is multiplied with or
    divided by is one of `FACTORS`.
    """
    summands = range(SMALLEST, max(SMALLEST + 2, largest // 3))
    match sign:
        case "+":
            found = [(result - right, right) for right in summands]
        case "-":
            found = [(result + right, right) for right in summands]
        case "*":
            found = [(result // right, right) for right in FACTORS if result % right == 0]
        case _:
            found = [(result * right, right) for right in FACTORS]
    return tuple(
        Operation(left=left, sign=sign, right=right, result=result)
        for left, right in found
        if SMALLEST <= left <= largest
    )


@final
@dataclass(frozen=True, kw_only=True)
class WordProblems(DrawnTask, SymbolicTask):
    """Word problems of `operations` operations that follow one another; every epoch draws new problems.

    The vocabulary is the same under all settings, so a model can be asked all of them.
    """

    version: ClassVar[str] = "1"
    stream: ClassVar[str] = "word-problems"

    operations: int = 2
    """Steps of a chain."""
    largest: int = 30
    """No number, told or worked out, is larger. A model has to learn the tables by heart, since each number is one
    token: up to 30 they are 444 operations, so that a training of 1,500 steps of 64 problems shows each some 400 times;
    up to 60 they are 1,892."""
    distractors: int = 0
    """Further sentences that say nothing about what is asked."""
    wording: Wording = "usual"
    """Which sentences tell the problems: `reworded` and `turned` are held out of training, and made of its words."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.operations <= MOST_OPERATIONS:
            raise ValueError(f"operations must be between 1 and {MOST_OPERATIONS}, got {self.operations}")
        if not 0 <= self.distractors <= MOST_DISTRACTORS:
            raise ValueError(f"distractors must be between 0 and {MOST_DISTRACTORS}, got {self.distractors}")
        # 24 / 2 / 2 / 2 = 3: with less, there is no chain of divisions whose answer is not told already.
        least = 3 * 2**self.operations
        if not least <= self.largest < NUMBERS:
            raise ValueError(
                f"largest must be between {least}, which {self.operations} divisions need, and {NUMBERS - 1}, "
                f"got {self.largest}"
            )
        if self.wording not in WORDINGS:
            raise ValueError(f"wording must be one of {', '.join(WORDINGS)}, got {self.wording!r}")

    @property
    def max_new_tokens(self) -> int:
        """Five words a step, the answer and the end of text."""
        return 5 * self.operations + 2

    def draw(self, rng: random.Random) -> Example:
        chain = self._chain(rng)
        people = shuffled(NAMES, rng)
        items = shuffled(ITEMS, rng)
        story = rng.random() < 0.5
        told = (self._story if story else self._comparison)(chain, people, items[0], rng)
        asked = people[0] if story else people[len(chain)]
        free = [number for number in range(SMALLEST, self.largest + 1) if number != chain[-1].result]
        for person, other in zip(people[len(chain) + 1 :][: self.distractors], items[1:], strict=False):
            beside = choose(BESIDE, rng).format(n=asked, m=person, b=choose(free, rng), i=items[0], other=other)
            told.insert(int(rng.random() * (len(told) + 1)), beside)
        return Example(
            question=" ".join([*(f"{fact} ." for fact in told), QUESTION.format(i=items[0], n=asked)]),
            steps=tuple(map(str, chain)),
            answer=str(chain[-1].result),
            meta={"form": "story" if story else "comparison", "signs": "".join(step.sign for step in chain)},
        )

    def classify(self, text: str, example: Example, *, hidden: int) -> str | None:
        """The chain's `ChainClass`, as GSM8K's; nothing in it depends on how many steps were hidden."""
        *chain, _ = text.split() or [""]
        prediction = self.extract(text)
        bracketed = "".join(f"<<{step}>>" for step in _steps(chain))
        return judge_chain(bracketed, read_number(prediction), right=self.correct(prediction, example)).value

    def measures(self, example: Example) -> Mapping[str, Measure]:
        return {
            **super().measures(example),
            "equations": tuple(check(step).value for step in example.steps),
            "operations": tuple(example.meta["signs"]),
            "form": example.meta["form"],
            "answer": float(example.answer),
            "largest number of the chain": float(max(map(int, _numbers(example.steps)))),
        }

    def words(self) -> Sequence[str]:
        """The whole vocabulary, whatever the settings: marks, signs, words, names, things and numbers."""
        templates = [*templates_of(WORDINGS["usual"]), *PARTS.values(), QUESTION, AT_FIRST, BUT_BEFORE, *BESIDE]
        marks = (".", "?", "=", *SIGNS)
        said = sorted(words_of(templates) - {"?"})
        return (*marks, *said, *NAMES, *ITEMS, *map(str, range(NUMBERS)))

    def _chain(self, rng: random.Random) -> list[Operation]:
        """Random operations, then numbers for them, from the answer backwards; where there are none, another answer."""
        signs = [choose(SIGNS, rng) for _ in range(self.operations)]
        while True:
            chain: list[Operation] = []
            answer = SMALLEST + int(rng.random() * (self.largest - SMALLEST + 1))
            for sign in reversed(signs):
                possible = operations_to(chain[0].left if chain else answer, sign, self.largest)
                if not possible:
                    break
                chain.insert(0, choose(possible, rng))
            told = {chain[0].left, *(step.right for step in chain)} if chain else set()
            if len(chain) == len(signs) and answer not in told:
                return chain

    def _story(self, chain: Sequence[Operation], people: Sequence[str], item: str, rng: random.Random) -> list[str]:
        """Of the first of some people: what there was, and what became of it."""
        said = WORDINGS[self.wording]
        who, *others = people
        first = chain[0]
        start, changes = said.start, list(zip(chain, others, strict=False))
        if first.sign == "*" and rng.random() < 0.5:
            start, changes = said.boxes, changes[1:]
        at_first = choose(start, rng).format(n=who, v=first.left, b=first.right, i=item)
        events: list[str] = []
        for step, other in changes:
            template = _said(said.story, said.story_by_two, step, rng)
            events.append(template.format(n=who, m=other, b=step.right, i=item))
        match choose(("in order", "start last", "swapped")[: 3 if len(events) > 1 else 2], rng):
            case "in order":
                return [at_first, *events]
            case "start last":
                return [*events, f"{AT_FIRST} {at_first}"]
            case _:
                return [at_first, *events[:-2], f"{events[-1]} {BUT_BEFORE} {events[-2]}"]

    def _comparison(
        self, chain: Sequence[Operation], people: Sequence[str], item: str, rng: random.Random
    ) -> list[str]:
        """What the first of some people has, and how each next one compares with the one before."""
        said = WORDINGS[self.wording]
        told = [choose(said.start, rng).format(n=people[0], v=chain[0].left, i=item)]
        for step, before, who in zip(chain, people, people[1:], strict=False):
            template = _said(said.comparison, said.comparison_by_two, step, rng)
            told.append(template.format(n=who, m=before, b=step.right, part=PARTS.get(step.right), i=item))
        return shuffled(told, rng)


def _said(templates: Templates, by_two: Templates, step: Operation, rng: random.Random) -> str:
    """Any of the ways to say an operation."""
    return choose((*templates[step.sign], *(by_two.get(step.sign, ()) if step.right == 2 else ())), rng)


def _steps(words: Sequence[str]) -> list[str]:
    """The steps of a written chain: each ends with the word after an equals sign; what is left over is one more."""
    steps: list[list[str]] = [[]]
    for i, word in enumerate(words):
        steps[-1].append(word)
        if i and words[i - 1] == "=":
            steps.append([])
    return [" ".join(step) for step in steps if step]


def _numbers(steps: Sequence[str]) -> list[str]:
    return [word for step in steps for word in step.split() if word.isdigit()]
