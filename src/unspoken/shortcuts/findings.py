"""What a way of answering without solving gets right, problem by problem; `unspoken.shortcuts.audit` judges it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import final

from unspoken.tasks.base import Example


@final
class Group(StrEnum):
    """What a way of answering leaves out."""

    BLIND = "blind to who is asked about"
    """Sees all facts and both options; right answers show no reasoning at all."""
    ASKED = "knows who is asked, follows no facts"
    """Goes by what lies around the entity asked about, or by the order of the text; right answers show no reasoning."""
    SEARCH = "follows facts from who is asked, but not all"
    """Does a part of what the task asks for: fewer hops, one reading. Right as often as the part is enough."""
    PRIOR = "answers alone"
    """Does not see the question."""
    CHOICES = "choices alone"
    """Sees the choices, and at most which words they share with the question."""
    SURFACE = "words of the question"
    """Sees words and numbers, not how they hang together."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One way of answering, on every problem of a set."""

    name: str
    about: str
    """What it looks at and chooses, for tables."""
    group: Group
    points: tuple[float, ...]
    """For each problem in order: 1 right, 0 wrong, a share where it is undecided between several answers."""
    chance: float | None
    """What it gets, on average, where it has nothing to go by; None where any right answer is more than chance."""
    tried: int = 1
    """How many guesses this is the best of, on these very problems: its probability by luck is that much higher."""
    note: str = ""
    """Whatever else is worth a line: a learned one's largest weights, say."""

    @property
    def accuracy(self) -> float:
        """Share of points, 0 to 1."""
        return sum(self.points) / len(self.points)


Probe = Callable[[Sequence[Example]], list[Finding]]
"""Several ways of answering at once, for problems of one form.

It may raise `ValueError` where the problems are not of that form.
"""
