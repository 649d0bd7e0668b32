"""One example, laid out for one curriculum stage. Pure Python: no tensors here.

A `Method` turns `Tokens` into a `Layout`. From then on nothing but the layout's `is_thought` mask says
where the model reads its own last hidden state instead of a token; no other part of the project knows
how many thoughts there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

IGNORE_INDEX = -100
"""Label of a position that carries no loss (Hugging Face's and torch's own convention)."""


MARKERS = {
    "bot": "<|start-latent|>",
    "eot": "<|end-latent|>",
    "thought": "<|latent|>",
    "pause": "<|pause|>",
}
"""Names as in the published code; `<|pause|>` is ours."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """A tokenized example: the question, the steps of the written chain, and the answer."""

    question: Sequence[int]
    steps: Sequence[Sequence[int]]
    answer: Sequence[int]
    """Ends with the end-of-text token."""

    @property
    def chain(self) -> list[int]:
        """All steps, one after the other."""
        return [token for step in self.steps for token in step]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Marks:
    """Ids of the tokens a method may insert."""

    bot: int
    """Beginning of thought, `<|start-latent|>`."""
    eot: int
    """End of thought, `<|end-latent|>`."""
    thought: int
    """Placeholder of a continuous thought, `<|latent|>`. Its embedding is never read."""
    pause: int
    """Learned pause token, `<|pause|>`."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Model input and target of one example at one stage; three lists of the same length.

    Raises:
        ValueError: the lists differ in length, or the first position is a target or a thought.
    """

    input_ids: list[int]
    labels: list[int]
    """The token itself where it is a target, `IGNORE_INDEX` elsewhere (not shifted)."""
    is_thought: list[bool]
    """True where the input embedding is the model's own last hidden state."""

    def __post_init__(self) -> None:
        if not len(self.input_ids) == len(self.labels) == len(self.is_thought):
            raise ValueError(
                "input_ids, labels and is_thought must have one entry a position, got "
                f"{len(self.input_ids)}, {len(self.labels)} and {len(self.is_thought)}"
            )
        if not self.input_ids:
            raise ValueError("a layout needs at least one token; is the question empty?")
        if self.labels[0] != IGNORE_INDEX:
            raise ValueError(
                "the first token of a layout cannot be a target: nothing comes before it; is the question empty?"
            )
        if self.is_thought[0]:
            raise ValueError("a continuous thought needs at least one token before it; put the question or <bot> first")

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def num_thoughts(self) -> int:
        return sum(self.is_thought)

    @property
    def prompt(self) -> Layout:
        """What the model is given at evaluation: everything before the first target."""
        n = next((i for i, label in enumerate(self.labels) if label != IGNORE_INDEX), len(self.labels))
        return Layout(input_ids=self.input_ids[:n], labels=self.labels[:n], is_thought=self.is_thought[:n])


def lay_out(given: Sequence[int], target: Sequence[int], *, thought: int) -> Layout:
    """`given` carries no loss, `target` does; every `thought` id in `given` is a continuous thought."""
    return Layout(
        input_ids=[*given, *target],
        labels=[IGNORE_INDEX] * len(given) + list(target),
        is_thought=[token == thought for token in given] + [False] * len(target),
    )
