"""How long problems are in tokens, and whether they fit a model: the lengths that `validate` reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from unspoken.tasks.base import Example, Task

CountTokens = Callable[[list[str]], list[int]]
"""How many tokens each text takes."""

_AT_ONCE = 4096
"""Problems tokenized together."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """A count over all problems of a file."""

    least: int
    median: int
    p95: int
    """The smallest value that at least 95 % of the problems do not exceed."""
    most: int

    @classmethod
    def of(cls, values: Sequence[int]) -> Spread:
        """The spread of at least one value; the median is the lower one of two."""
        ordered = sorted(values)
        median, p95 = (-(-percent * len(ordered) // 100) - 1 for percent in (50, 95))
        return cls(least=ordered[0], median=ordered[median], p95=ordered[p95], most=ordered[-1])


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Lengths:
    """How long a file's problems are, written out. In tokens, but for `steps`."""

    question: Spread
    chain: Spread
    """All steps, line ends included."""
    answer: Spread
    """The answer as written, with the end-of-text token."""
    whole: Spread
    """Question, chain and answer."""
    steps: Spread
    """Steps of a problem."""
    without_steps: int
    """Problems without any step."""
    positions: int | None
    """Positions of the model; None: unlimited."""
    inserted: int
    """Tokens that a method puts between question and chain, at most: thoughts and markers."""
    max_new_tokens: int
    """The task's limit on what a model writes."""
    too_long: int
    """Problems that training would refuse: question, insertions, chain and answer exceed the positions."""
    no_room: int
    """Problems that decoding would refuse: question, insertions and `max_new_tokens` exceed the positions."""
    cut_short: int
    """Problems whose own chain and answer exceed `max_new_tokens`: no model could write them in full."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """What a problem takes, written out, in tokens."""

    question: int
    chain: int
    answer: int
    """With the end-of-text token."""


@final
@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a model of some size can train on and write."""

    positions: int | None
    inserted: int
    max_new_tokens: int

    def trains_on(self, size: Size) -> int:
        """Positions it takes in training."""
        return size.question + self.inserted + size.chain + size.answer

    def decodes(self, size: Size) -> int:
        """Positions decoding has to have for it, whatever is written."""
        return size.question + self.inserted + self.max_new_tokens

    def over(self, needed: int) -> bool:
        """Whether a model lacks positions."""
        return self.positions is not None and needed > self.positions

    def cuts(self, size: Size) -> bool:
        """Whether no model could write the chain and answer in full."""
        return size.chain + size.answer > self.max_new_tokens

    def lengths(self, sizes: Sequence[Size], steps: Sequence[int]) -> Lengths:
        """Of at least one problem, with its number of steps."""
        return Lengths(
            question=Spread.of([size.question for size in sizes]),
            chain=Spread.of([size.chain for size in sizes]),
            answer=Spread.of([size.answer for size in sizes]),
            whole=Spread.of([size.question + size.chain + size.answer for size in sizes]),
            steps=Spread.of(steps),
            without_steps=sum(num == 0 for num in steps),
            positions=self.positions,
            inserted=self.inserted,
            max_new_tokens=self.max_new_tokens,
            too_long=sum(self.over(self.trains_on(size)) for size in sizes),
            no_room=sum(self.over(self.decodes(size)) for size in sizes),
            cut_short=sum(self.cuts(size) for size in sizes),
        )


def measure(examples: Sequence[Example], task: Task, count_tokens: CountTokens) -> list[Size]:
    """Each problem counted part by part, as training tokenizes."""
    sizes: list[Size] = []
    for start in range(0, len(examples), _AT_ONCE):
        written = [task.write(example) for example in examples[start : start + _AT_ONCE]]
        counts = iter(count_tokens([text for w in written for text in (w.question, *w.steps, w.answer)]))
        for w in written:
            question = next(counts)
            chain = sum(next(counts) for _ in w.steps)
            sizes.append(Size(question=question, chain=chain, answer=next(counts) + 1))
    return sizes


def length_lines(lengths: Lengths, problems: int) -> list[str]:
    """The lengths as a small table in plain text."""
    lines = [f"  {'in tokens':22}{'least':>8}{'median':>8}{'95 %':>8}{'most':>8}"]
    spreads = {
        "question": lengths.question,
        "chain": lengths.chain,
        "answer, end of text": lengths.answer,
        "all of it": lengths.whole,
        "(steps, not tokens)": lengths.steps,
    }
    for name, spread in spreads.items():
        lines.append(f"  {name:22}{spread.least:>8}{spread.median:>8}{spread.p95:>8}{spread.most:>8}")
    if lengths.without_steps:
        lines.append(f"  without steps: {lengths.without_steps:,} of {problems:,}")
    if lengths.positions is not None:
        inserted = f" with {lengths.inserted} inserted" if lengths.inserted else ""
        lines.append(
            f"  over {lengths.positions} positions{inserted}: {lengths.too_long:,} of {problems:,} in training"
        )
        lines.append(
            f"  no room for {lengths.max_new_tokens} new tokens: {lengths.no_room:,} of {problems:,} in decoding"
        )
    lines.append(f"  chain and answer over {lengths.max_new_tokens} tokens: {lengths.cut_short:,} of {problems:,}")
    return lines
