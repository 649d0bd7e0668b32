"""A method is what is removed from the written chain at a stage, and what stands in its place.

A new method is one file with one final subclass of `Method`: a few lines of pure Python in `layout`. It never imports
torch; the two places where a method may touch tensors (`loss`, `feed_back`) only call methods of what they are given.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from unspoken.layout import Layout, Marks, Tokens

if TYPE_CHECKING:
    from torch import Tensor

    from unspoken.batch import Batch
    from unspoken.model import LatentLM


class Method(ABC):
    """How one tokenized example is laid out at each stage of the curriculum.

    Subclasses are frozen dataclasses and final: their fields are the method's settings, saved in `config.json`.
    """

    @property
    @abstractmethod
    def stages(self) -> int:
        """How many stages the curriculum has; stages count from 0."""

    @abstractmethod
    def layout(self, tokens: Tokens, stage: int, marks: Marks, rng: random.Random | None = None) -> Layout:
        """Lays out one example at one stage.

        `rng` is a generator seeded by (seed, epoch, index) in training and None in evaluation, where a layout must not
        be random.
        """

    def prompt(self, tokens: Tokens, marks: Marks, *, stage: int | None = None, thoughts: int | None = None) -> Layout:
        """What the model is given at evaluation: a stage's layout (None: the last one's), cut at its first target.

        `thoughts` forces language mode after that many continuous thoughts instead, whatever the stage.

        Raises:
            ValueError: this method has no thoughts to count.
        """
        if thoughts is not None:
            raise ValueError(
                f"{type(self).__name__} has no continuous thoughts, got thoughts={thoughts}; leave the number of "
                "thoughts out"
            )
        return self.layout(tokens, self.stages - 1 if stage is None else stage, marks).prompt

    def asks_as_evaluation(self, stage: int) -> bool:
        """Whether a stage's prompts are those of evaluation, whatever the length of the chain."""
        marks = Marks(bot=1, eot=2, thought=3, pause=4)
        chains = [Tokens(question=[0, 0], steps=[[0]] * steps, answer=[0]) for steps in range(self.stages + 1)]
        return all(self.prompt(each, marks, stage=stage) == self.prompt(each, marks) for each in chains)

    def hidden_steps(self, *, stage: int | None = None, thoughts: int | None = None) -> int:
        """How many first steps of the chain a prompt stands for instead of writing them."""
        return 0

    @property
    def trained_thoughts(self) -> int | None:
        """The largest number of thoughts (or their stand-ins) seen in training; None where there are none to count."""
        return None

    def min_rows(self, thoughts: int | None = None) -> int:
        """The smallest batch this method is defined on, at an explicit number of thoughts or (None) the trained one."""
        return 1

    def loss(self, model: LatentLM, batch: Batch) -> Tensor:
        """The *sum* of the losses of a batch; the loop divides by the label count of the global batch."""
        return model(**batch.tensors(), plan=batch.plan, feed_back=self.feed_back).loss_sum

    def feed_back(self, hidden: Tensor, is_thought: Tensor) -> Tensor:
        """What stands at a thought's position, given every row's last hidden state (B, D) and which rows think (B,)."""
        return hidden
