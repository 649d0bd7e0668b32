"""Interventions on some of the thoughts: which of them matter, and how many are needed?

Letters: N problems, K slots, D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from unspoken.audit.changes import Destroys, Label, OfThoughts, Refill, Shown, Vectors
from unspoken.audit.context import Context
from unspoken.audit.transplants import FromAnother, Transplant


@final
@dataclass(frozen=True)
class OneFromAnother(Transplant):
    """Which thought matters? One of another problem's, in distribution."""

    destroys: ClassVar[Destroys] = Destroys.PART
    place: int
    """Which thought, from 0."""

    @property
    def label(self) -> Label:
        return Label(
            f"one-transplanted-{self.place + 1}",
            f"thought {self.place + 1} of another problem",
            f"thought {self.place + 1} alone comes from another problem, the rest stay as they were",
            shown=Shown.SINGLE,
            series="of another problem",
            x=self.place + 1,
        )

    def deal(self, context: Context) -> Mapping[int, int]:
        # The same donors as for all thoughts at once.
        return FromAnother().deal(context)

    def mixed(self, own: Vectors, given: Vectors) -> Vectors:
        out = own.copy()
        out[:, self.place] = given[:, self.place]
        return out


@final
@dataclass(frozen=True)
class OneAveraged(OfThoughts):
    """Which thought matters, the others being as they were?"""

    destroys: ClassVar[Destroys] = Destroys.PART
    place: int
    """Which thought, from 0."""

    @property
    def label(self) -> Label:
        return Label(
            f"one-averaged-{self.place + 1}",
            f"thought {self.place + 1} averaged",
            f"thought {self.place + 1} alone is its mean over problems, the rest stay as they were",
            shown=Shown.SINGLE,
            series="averaged",
            x=self.place + 1,
        )

    def fed(self, context: Context) -> Vectors:
        out = context.thoughts.copy()
        out[:, self.place] = context.means[self.place]
        return out


@final
@dataclass(frozen=True)
class OneAveragedThenOn(OfThoughts):
    """Which thought matters, if the model may think on from there?"""

    destroys: ClassVar[Destroys] = Destroys.PART
    place: int
    """Which thought, from 0."""

    @property
    def label(self) -> Label:
        return Label(
            f"one-averaged-then-on-{self.place + 1}",
            f"thought {self.place + 1} averaged, later ones anew",
            f"thought {self.place + 1} is its mean over problems, and the model thinks on from there",
            shown=Shown.SINGLE,
            series="averaged, later ones anew",
            x=self.place + 1,
        )

    def fed(self, context: Context) -> Vectors:
        out = OneAveraged(self.place).fed(context)
        out[:, self.place + 1 :] = np.nan
        return out


@final
@dataclass(frozen=True)
class FirstOnly(Refill):
    """Fewer slots: the first ones."""

    destroys: ClassVar[Destroys] = Destroys.PART
    num: int
    """How many stay; 0: none."""

    @property
    def label(self) -> Label:
        return Label(
            f"first-{self.num}",
            f"first {self.num} only" if self.num else "none: no slots at all",
            f"the prompt has the first {self.num} slots only" if self.num else "the prompt has no slots",
            shown=Shown.NUMBER,
            series="first",
            x=self.num,
        )

    def fed(self, context: Context) -> Vectors:
        return context.thoughts[:, : self.num]

    def slots(self, context: Context) -> NDArray[np.int64]:
        return np.minimum(context.slots, self.num)


@final
@dataclass(frozen=True)
class LastOnly(OfThoughts):
    """Fewer slots: the last thoughts, moved to the front."""

    destroys: ClassVar[Destroys] = Destroys.PART
    num: int
    """How many stay, at least 1."""

    @property
    def label(self) -> Label:
        return Label(
            f"last-{self.num}",
            f"last {self.num} only",
            f"the prompt has {self.num} slots, with the last {self.num} thoughts in them",
            shown=Shown.NUMBER,
            series="last",
            x=self.num,
        )

    def fed(self, context: Context) -> Vectors:
        out = np.full((len(context), self.num, context.thoughts.shape[2]), np.nan, np.float32)
        for row, slots in enumerate(context.slots.tolist()):
            kept = min(slots, self.num)
            out[row, :kept] = context.thoughts[row, slots - kept : slots]
        return out

    def slots(self, context: Context) -> NDArray[np.int64]:
        return np.minimum(context.slots, self.num)
