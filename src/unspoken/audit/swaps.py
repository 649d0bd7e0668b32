"""Interventions on what is asked: the same facts and options, and somebody else asked about (`Task.asked_otherwise`).

Question and thoughts then point to different options, and the answer shows which of the two a model goes by. Everything
fed is what the model thinks in this very graph, so nothing is out of distribution but the disagreement.

Letters: M problems with another question, K slots, D hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from unspoken.audit.changes import Destroys, Intervention, Label, Shown, same_everywhere
from unspoken.audit.context import Change, Context
from unspoken.audit.transplants import MIN_DONORS


def _no_others(context: Context, num: int) -> str | None:
    if num >= MIN_DONORS:
        return None
    return f"only {num} of {len(context)} problems can be asked about somebody else, with a chain of a known length"


@final
@dataclass(frozen=True)
class AskedOtherwise(Intervention):
    """Behaviour only: nothing is fed."""

    destroys: ClassVar[Destroys] = Destroys.NOTHING

    @property
    def label(self) -> Label:
        return Label(
            "asked-otherwise",
            "other question, its own thoughts",
            "the other question, answered in the ordinary way: the other option is right",
        )

    def refusal(self, context: Context) -> str | None:
        return _no_others(context, len(context.others))

    def change(self, context: Context) -> Change:
        problems = np.array(sorted(context.others))
        own = np.full((len(problems), context.most, 1), np.nan, np.float32)
        prompts = context.prompts([context.others[i] for i in problems])
        return Change(
            problems=problems,
            examples=tuple(context.others[i] for i in problems),
            vectors=own,
            slots=np.array([prompt.num_thoughts for prompt in prompts]),
        )


@final
@dataclass(frozen=True)
class SwappedThoughts(Intervention):
    """The strongest test: would the model answer what its thoughts were about?"""

    destroys: ClassVar[Destroys] = Destroys.QUESTION

    @property
    def label(self) -> Label:
        return Label(
            "swapped-thoughts",
            "own question, the other's thoughts",
            "the question as it is, the thoughts of the other question",
        )

    def refusal(self, context: Context) -> str | None:
        return same_everywhere(context) or _no_others(context, len(context.other_thoughts))

    def change(self, context: Context) -> Change:
        problems = np.array(sorted(context.other_thoughts))
        return Change(
            problems=problems,
            examples=tuple(context.examples[i] for i in problems),
            vectors=np.stack([context.other_thoughts[i] for i in problems]),
            slots=context.slots[problems],
            donors=tuple(context.others[i] for i in problems),
        )


@final
@dataclass(frozen=True)
class SwappedQuestion(Intervention):
    """The same from the other side."""

    destroys: ClassVar[Destroys] = Destroys.QUESTION
    beside: ClassVar[str] = "asked-otherwise"

    @property
    def label(self) -> Label:
        return Label(
            "swapped-question",
            "other question, own thoughts",
            "the other question, with the thoughts of the question as it was",
        )

    def refusal(self, context: Context) -> str | None:
        return same_everywhere(context) or _no_others(context, len(context.other_thoughts))

    def change(self, context: Context) -> Change:
        problems = np.array(sorted(context.other_thoughts))
        return Change(
            problems=problems,
            examples=tuple(context.others[i] for i in problems),
            vectors=context.thoughts[problems],
            slots=context.slots[problems],
            donors=tuple(context.examples[i] for i in problems),
        )


@final
@dataclass(frozen=True)
class OneSwapped(Intervention):
    """Which thought says what the answer will be?"""

    destroys: ClassVar[Destroys] = Destroys.QUESTION
    place: int
    """Which thought, from 0."""

    @property
    def label(self) -> Label:
        return Label(
            f"one-swapped-{self.place + 1}",
            f"thought {self.place + 1} of the other question",
            f"thought {self.place + 1} alone is the other question's, the rest stay as they were",
            shown=Shown.SINGLE,
            series="of the other question",
            x=self.place + 1,
        )

    def refusal(self, context: Context) -> str | None:
        return SwappedThoughts().refusal(context)

    def change(self, context: Context) -> Change:
        swapped = SwappedThoughts().change(context)
        vectors = context.thoughts[swapped.problems]
        vectors[:, self.place] = swapped.vectors[:, self.place]
        return Change(
            problems=swapped.problems,
            examples=swapped.examples,
            vectors=vectors,
            slots=swapped.slots,
            donors=swapped.donors,
        )
