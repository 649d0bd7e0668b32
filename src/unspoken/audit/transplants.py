"""Interventions that exchange thoughts between problems: in distribution each for itself, and another's.

Letters: M problems changed, K slots, D hidden size.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from unspoken.audit.changes import Destroys, Intervention, Label, Vectors, same_everywhere
from unspoken.audit.context import Change, Context

MIN_DONORS = 20
"""A transplant that fewer problems can have is left out."""


class Transplant(Intervention):
    """Thoughts of another problem, each in its place."""

    @abstractmethod
    def deal(self, context: Context) -> Mapping[int, int]:
        """Who gets whose thoughts."""

    def refusal(self, context: Context) -> str | None:
        if (why := same_everywhere(context)) is not None:
            return why
        num = len(self.deal(context))
        return None if num >= MIN_DONORS else f"only {num} of {len(context)} problems have such a donor"

    def change(self, context: Context) -> Change:
        dealt = self.deal(context)
        problems = np.array(sorted(dealt))
        donors = [dealt[i] for i in problems]
        return Change(
            problems=problems,
            examples=tuple(context.examples[i] for i in problems),
            vectors=self.mixed(context.thoughts[problems], context.thoughts[donors]),
            slots=context.slots[problems],
            donors=tuple(context.examples[j] for j in donors),
        )

    def mixed(self, own: Vectors, given: Vectors) -> Vectors:
        """What is fed, of a problem's own thoughts and the donor's; both (M, K, D)."""
        return given


@final
@dataclass(frozen=True)
class FromAnother(Transplant):
    """In distribution, and wrong: the fairest test of whether content matters."""

    destroys: ClassVar[Destroys] = Destroys.OWNER

    @property
    def label(self) -> Label:
        return Label(
            "transplant",
            "another problem's",
            "the thoughts of another problem, drawn at random",
        )

    def deal(self, context: Context) -> Mapping[int, int]:
        return context.deal([0] * len(context), context.rng(self.name))


@final
@dataclass(frozen=True)
class FromSameAnswer(Transplant):
    """Should do no harm to a model that only reads the answer off its thoughts."""

    destroys: ClassVar[Destroys] = Destroys.OWNER

    @property
    def label(self) -> Label:
        return Label(
            "transplant-same-answer", "another's, same answer", "the thoughts of another problem with the same answer"
        )

    def deal(self, context: Context) -> Mapping[int, int]:
        return context.deal(context.answers, context.rng(self.name))


@final
@dataclass(frozen=True)
class FromOtherAnswer(Transplant):
    """The counterpart of `FromSameAnswer`."""

    destroys: ClassVar[Destroys] = Destroys.OWNER

    @property
    def label(self) -> Label:
        return Label(
            "transplant-other-answer", "another's, other answer", "the thoughts of another problem with another answer"
        )

    def deal(self, context: Context) -> Mapping[int, int]:
        return context.deal_unlike(context.rng(self.name))


@final
@dataclass(frozen=True)
class FromSameAsked(Transplant):
    """Harmless where thoughts only repeat who is asked about."""

    destroys: ClassVar[Destroys] = Destroys.OWNER

    @property
    def label(self) -> Label:
        return Label(
            "transplant-same-asked",
            "another's, same name asked",
            "the thoughts of another problem that asks about somebody of the same name",
        )

    def refusal(self, context: Context) -> str | None:
        if None in context.asked:
            return "these problems have no graphs, so nobody is asked about"
        return super().refusal(context)

    def deal(self, context: Context) -> Mapping[int, int]:
        return context.deal(context.asked, context.rng(self.name))
