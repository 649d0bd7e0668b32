"""Interventions on what stands in the slots of a problem, the question left as it is.

An intervention is one final class with a name, a title and `change`; most only say what is fed, problem by problem
(`Refill`). `interventions.py` lists them; one that is listed there is run, tested, tabled and drawn.

Letters: N problems, M problems changed, K slots, D hidden size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from unspoken.audit.context import Change, Context

Vectors = NDArray[np.float32]

CLEAN = "clean"
"""The name of the problems left alone, where interventions are named."""


@final
class Destroys(StrEnum):
    """What is no longer there."""

    NOTHING = "nothing: a check"
    CONTENT = "what the thoughts hold"
    OWNER = "whose thoughts they are"
    ORDER = "their order"
    PART = "some of them"
    QUESTION = "that question and thoughts agree"


@final
class Shown(StrEnum):
    """With which others an intervention is tabled and drawn."""

    WHOLE = "all thoughts at once"
    NOISE = "noise on top"
    NUMBER = "fewer thoughts"
    SINGLE = "one thought at a time"


@final
class Label(NamedTuple):
    """What an intervention is called, and where it is shown."""

    name: str
    """For files and keys: lower case, hyphens."""
    title: str
    """For tables, a few words."""
    about: str
    """What is done, a sentence without its full stop."""
    shown: Shown = Shown.WHOLE
    series: str = ""
    """The line it is a point of, where it is drawn as one."""
    x: float = 0.0
    """Where on the line."""


class Intervention(ABC):
    """A change of what is asked or fed. Subclasses are frozen dataclasses and final."""

    destroys: ClassVar[Destroys]
    beside: ClassVar[str] = CLEAN
    """What its answers are compared with: those of the problems left alone, or of another intervention."""

    @property
    @abstractmethod
    def label(self) -> Label:
        """What it is called."""

    @property
    def name(self) -> str:
        """For files and keys."""
        return self.label.name

    def refusal(self, context: Context) -> str | None:
        """Why these problems under this model cannot be changed in this way; None: they can."""
        return None

    @abstractmethod
    def change(self, context: Context) -> Change:
        """What is asked and fed; asked for only where there is no `refusal`."""


class Refill(Intervention):
    """Every problem, its own question, other vectors in its slots."""

    @abstractmethod
    def fed(self, context: Context) -> Vectors:
        """(N, K, D) what is fed; beyond a prompt's slots the values do not matter."""

    def slots(self, context: Context) -> NDArray[np.int64]:
        """(N,) how many slots each prompt has."""
        return context.slots

    def change(self, context: Context) -> Change:
        return Change(
            problems=np.arange(len(context)),
            examples=context.examples,
            vectors=self.fed(context),
            slots=self.slots(context),
        )


class OfThoughts(Refill):
    """A refill with the model's own thoughts, which says nothing where every slot holds the same pause token."""

    def refusal(self, context: Context) -> str | None:
        return same_everywhere(context)


def same_everywhere(context: Context) -> str | None:
    """Why thoughts cannot be exchanged: the same token stands in every slot of every problem."""
    return "every slot holds the same pause token, so there is nothing to exchange" if context.constant else None


@final
@dataclass(frozen=True)
class Identity(Refill):
    """The check on everything else."""

    destroys: ClassVar[Destroys] = Destroys.NOTHING

    @property
    def label(self) -> Label:
        return Label(
            "identity",
            "own, stored and fed back",
            "each problem's own thoughts are stored and fed back, which must change nothing",
        )

    def fed(self, context: Context) -> Vectors:
        return context.thoughts


@final
@dataclass(frozen=True)
class Zero(Refill):
    """Nothing at all."""

    destroys: ClassVar[Destroys] = Destroys.CONTENT

    @property
    def label(self) -> Label:
        return Label(
            "zero",
            "zero",
            "a vector of zeros in every slot",
        )

    def fed(self, context: Context) -> Vectors:
        return np.zeros_like(context.thoughts)


@final
@dataclass(frozen=True)
class Mean(OfThoughts):
    """What all problems have in common."""

    destroys: ClassVar[Destroys] = Destroys.CONTENT

    @property
    def label(self) -> Label:
        return Label(
            "mean",
            "mean over problems",
            "in slot k the mean of thought k over all problems",
        )

    def fed(self, context: Context) -> Vectors:
        return np.broadcast_to(context.means, context.thoughts.shape).copy()


@final
@dataclass(frozen=True)
class Noise(Refill):
    """A direction by chance."""

    destroys: ClassVar[Destroys] = Destroys.CONTENT

    @property
    def label(self) -> Label:
        return Label(
            "noise",
            "noise of the same norm",
            "Gaussian noise, scaled to the norm of the vector it replaces",
        )

    def fed(self, context: Context) -> Vectors:
        return _noise(context, self.name) * _norms(context.thoughts)


@final
@dataclass(frozen=True)
class AddedNoise(Refill):
    """Thoughts with noise on top: how much can they bear?"""

    destroys: ClassVar[Destroys] = Destroys.CONTENT
    strength: float
    """Norm of the noise as a share of the vector's norm."""

    @property
    def label(self) -> Label:
        return Label(
            f"added-noise-{self.strength:g}",
            f"own + {self.strength:g} x noise",
            f"Gaussian noise of {self.strength:g} times the vector's norm is added",
            shown=Shown.NOISE,
            series="noise",
            x=self.strength,
        )

    def fed(self, context: Context) -> Vectors:
        # The same noise at every strength, so that a dose curve is one problem's own.
        added = self.strength * _noise(context, "added-noise") * _norms(context.thoughts)
        return np.asarray(context.thoughts + added, np.float32)


@final
@dataclass(frozen=True)
class MeanEmbedding(Refill):
    """A token, but none in particular."""

    destroys: ClassVar[Destroys] = Destroys.CONTENT

    @property
    def label(self) -> Label:
        return Label(
            "mean-token",
            "mean token embedding",
            "the mean of all token embeddings in every slot",
        )

    def fed(self, context: Context) -> Vectors:
        return np.broadcast_to(context.mean_embedding, context.thoughts.shape).copy()


@final
@dataclass(frozen=True)
class PauseToken(OfThoughts):
    """A slot to compute in, with nothing fed back."""

    destroys: ClassVar[Destroys] = Destroys.CONTENT

    @property
    def label(self) -> Label:
        return Label(
            "pause",
            "pause token",
            "the pause token's embedding in every slot (a run that never saw it has not trained it)",
        )

    def fed(self, context: Context) -> Vectors:
        return np.broadcast_to(context.pause, context.thoughts.shape).copy()


@final
@dataclass(frozen=True)
class FirstRepeated(OfThoughts):
    """No recurrence: the state at <bot> is all there is."""

    destroys: ClassVar[Destroys] = Destroys.CONTENT

    @property
    def label(self) -> Label:
        return Label(
            "first-repeated", "thought 1 in every slot", "the state at <bot>, which is thought 1, in every slot"
        )

    def refusal(self, context: Context) -> str | None:
        return same_everywhere(context) or needs_two(context)

    def fed(self, context: Context) -> Vectors:
        return np.broadcast_to(context.thoughts[:, :1], context.thoughts.shape).copy()


@final
@dataclass(frozen=True)
class Permuted(Intervention):
    """All there, each in another's place."""

    destroys: ClassVar[Destroys] = Destroys.ORDER

    @property
    def label(self) -> Label:
        return Label(
            "permuted", "own, in another order", "each problem's own thoughts in a random order other than theirs"
        )

    def refusal(self, context: Context) -> str | None:
        return same_everywhere(context) or needs_two(context)

    def change(self, context: Context) -> Change:
        problems = np.flatnonzero(context.slots > 1)
        vectors = context.thoughts[problems]
        rng = context.rng(self.name)
        for row, num in enumerate(context.slots[problems].tolist()):
            order = np.arange(num)
            while (order == np.arange(num)).all():
                order = rng.permutation(num)
            vectors[row, :num] = vectors[row, order]
        return Change(
            problems=problems,
            examples=tuple(context.examples[i] for i in problems),
            vectors=vectors,
            slots=context.slots[problems],
        )


def needs_two(context: Context) -> str | None:
    """Why thoughts cannot change places: there is one only."""
    return None if context.most > 1 else "there is one slot only"


def _noise(context: Context, name: str) -> Vectors:
    """(N, K, D) random directions of length 1."""
    noise = context.rng(name).standard_normal(context.thoughts.shape)
    return (noise / np.linalg.norm(noise, axis=-1, keepdims=True)).astype(np.float32)


def _norms(vectors: Vectors) -> Vectors:
    return np.linalg.norm(vectors, axis=-1, keepdims=True).astype(np.float32)
