"""Coconut and everything that shares its curriculum: the first steps of the chain go, and something stands in for them.

method                          stands in the place of the first s steps
----------------------------------------------------------------------------------------------
Coconut                         <bot>, c thoughts each, <eot>
CoconutWithoutCurriculum        the same, but every step is gone from the start
WithoutThought                  nothing, no markers
PauseAsThought                  <bot>, c learned pause tokens each, <eot>
ShuffledThoughts (control)      as Coconut, but each row is fed the thoughts of another row
DetachedThoughts (control)      as Coconut, but no gradient flows through what is fed back
"""

from __future__ import annotations

import random
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

from unspoken.layout import Layout, Marks, Tokens, lay_out
from unspoken.methods.base import Method

if TYPE_CHECKING:
    from torch import Tensor

Padding = Literal["maximum", "steps"]
Added = Literal["together", "singly"]


@dataclass(frozen=True, kw_only=True)
class StagedRemoval(Method):
    """Stage s removes the first s steps; one more stage after `max_stage` removes all text (paper, section 3)."""

    max_stage: int = 6
    """The last stage that removes as many steps as its number; the stage after it removes every step."""
    steps_kept: int | None = None
    """How many of the steps that remain are kept as target; None: all of them and the answer, as in the paper.
    1: the next step alone, as in "Reasoning by superposition" (arXiv 2505.12514)."""

    def __post_init__(self) -> None:
        if self.max_stage < 0:
            raise ValueError(f"max_stage must be at least 0, got {self.max_stage}")
        if self.steps_kept is not None and self.steps_kept < 1:
            raise ValueError(f"steps_kept must be at least 1 or None, got {self.steps_kept}")

    @property
    def stages(self) -> int:
        return self._removing + 2

    @property
    def _removing(self) -> int:
        """The last stage that leaves text in a long enough chain; the one after it leaves none."""
        return self.max_stage

    def hidden_steps(self, *, stage: int | None = None, thoughts: int | None = None) -> int:
        return self.max_stage if stage is None else min(stage, self.max_stage)

    @abstractmethod
    def stand_in(self, tokens: Tokens, stage: int, marks: Marks) -> list[int]:
        """The tokens that stand in the place of what a stage removes."""

    def layout(self, tokens: Tokens, stage: int, marks: Marks, rng: random.Random | None = None) -> Layout:
        assert stage >= 0, f"stages count from 0, got {stage}"
        removed = self.hidden_steps(stage=stage) if stage <= self._removing else len(tokens.steps)
        return self._layout(tokens, removed, self.stand_in(tokens, stage, marks), marks)

    def _layout(self, tokens: Tokens, removed: int, stand_in: list[int], marks: Marks) -> Layout:
        remaining = tokens.steps[removed:]
        kept = remaining if self.steps_kept is None else remaining[: self.steps_kept]
        target = [token for step in kept for token in step]
        if len(kept) == len(remaining):
            target += tokens.answer
        return lay_out([*tokens.question, *stand_in], target, thought=marks.thought)


@dataclass(frozen=True, kw_only=True)
class Enclosed(StagedRemoval):
    """`c` slots for each removed step, enclosed in <bot> and <eot>; subclasses say what a slot holds."""

    thoughts_per_step: int = 1
    """The paper's c: slots that stand in for one removed step."""
    pad_thoughts: Padding = "maximum"
    """In the stage that removes all text: `maximum` slots whatever the chain's length, or as many as the example has
    `steps`. The latter tells the model the length of the chain, at evaluation too."""
    added: Added = "together"
    """How a step's c slots come: `together`, in the stage that removes it, as in the paper's runs; or `singly`, as it
    suggests for c = 3: every stage adds one slot, and the first of a step's c slots takes the step's place."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.thoughts_per_step < 0:
            raise ValueError(f"thoughts_per_step must be at least 0, got {self.thoughts_per_step}")
        if self.added == "singly" and not self.thoughts_per_step:
            raise ValueError('added="singly" needs thoughts_per_step of at least 1, got 0; there is nothing to add')

    @property
    def _removing(self) -> int:
        return self.max_stage * (self.thoughts_per_step if self.added == "singly" else 1)

    @abstractmethod
    def slot(self, marks: Marks) -> int:
        """The token id of one slot."""

    def stand_in(self, tokens: Tokens, stage: int, marks: Marks) -> list[int]:
        return self._enclosed(self._slots(tokens, stage), marks)

    def _enclosed(self, slots: int, marks: Marks) -> list[int]:
        return [marks.bot, *[self.slot(marks)] * slots, marks.eot]

    def _slots(self, tokens: Tokens, stage: int) -> int:
        # A chain shorter than the stage is replaced by as many thoughts as the stage has, as in the published code.
        if stage <= self._removing:
            return stage if self.added == "singly" else self.thoughts_per_step * stage
        steps = self.max_stage if self.pad_thoughts == "maximum" else min(len(tokens.steps), self.max_stage)
        return self.thoughts_per_step * steps

    def prompt(self, tokens: Tokens, marks: Marks, *, stage: int | None = None, thoughts: int | None = None) -> Layout:
        if thoughts is None:
            return super().prompt(tokens, marks, stage=stage)
        if thoughts < 0:
            raise ValueError(f"the number of thoughts must be at least 0, got {thoughts}")
        if self.trained_thoughts is None:
            raise ValueError(
                f"{type(self).__name__} with thoughts_per_step {self.thoughts_per_step} and max_stage {self.max_stage} "
                f"has no thoughts, got thoughts={thoughts}; leave the number of thoughts out"
            )
        return lay_out([*tokens.question, *self._enclosed(thoughts, marks)], [], thought=marks.thought)

    def hidden_steps(self, *, stage: int | None = None, thoughts: int | None = None) -> int:
        if thoughts is not None:
            # A step is gone with the first of its slots where they are added singly, with the last where together.
            begun = self.thoughts_per_step - 1 if self.added == "singly" else 0
            return (thoughts + begun) // max(1, self.thoughts_per_step)
        if stage is not None and self.added == "singly":
            return super().hidden_steps(stage=-(-stage // self.thoughts_per_step))
        return super().hidden_steps(stage=stage)

    @property
    def trained_thoughts(self) -> int | None:
        return self.thoughts_per_step * self.max_stage or None


@final
@dataclass(frozen=True, kw_only=True)
class Coconut(Enclosed):
    """Chain of continuous thought (Hao et al. 2024): each removed step becomes c thoughts."""

    def slot(self, marks: Marks) -> int:
        return marks.thought


@final
@dataclass(frozen=True, kw_only=True)
class CoconutWithoutCurriculum(Enclosed):
    """Last-stage data from the start: every step is gone, all thoughts are there (paper, "w/o curriculum")."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.added != "together":
            raise ValueError(
                f'CoconutWithoutCurriculum has all thoughts from the start: expected added="together", '
                f'got "{self.added}"'
            )

    @property
    def stages(self) -> int:
        return 1

    def slot(self, marks: Marks) -> int:
        return marks.thought

    def layout(self, tokens: Tokens, stage: int, marks: Marks, rng: random.Random | None = None) -> Layout:
        return super().layout(tokens, self._removing + 1, marks, rng)


@final
@dataclass(frozen=True, kw_only=True)
class WithoutThought(StagedRemoval):
    """Coconut's curriculum with nothing in the place of the removed steps (paper, "w/o thought").

    The markers go too, as in the published code.
    """

    def stand_in(self, tokens: Tokens, stage: int, marks: Marks) -> list[int]:
        return []


@final
@dataclass(frozen=True, kw_only=True)
class PauseAsThought(Enclosed):
    """Coconut's curriculum with a learned pause token in each thought's place (paper, "pause as thought").

    Pauses in one forward pass and in several are the same function: a pause's input does not depend on the pass
    before it, and attention is causal. So there is one such method, not two (docs/faithfulness.md).
    """

    def slot(self, marks: Marks) -> int:
        return marks.pause


@final
@dataclass(frozen=True, kw_only=True)
class ShuffledThoughts(Enclosed):
    """Control: each row is fed the thoughts of another row of its batch, in training and in evaluation.

    The same passes and the same distribution of what is fed, but a thought tells nothing about its row's question:
    thought k of row i comes from row i-1, whose own thoughts came from row i-2, and so on. That chain returns to row i
    after as many thoughts as the batch has rows, so smaller batches are refused.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pad_thoughts != "maximum":
            raise ValueError(
                'ShuffledThoughts needs pad_thoughts="maximum", so that every row thinks in the same columns; '
                f'got "{self.pad_thoughts}"'
            )

    def slot(self, marks: Marks) -> int:
        return marks.thought

    def min_rows(self, thoughts: int | None = None) -> int:
        return 1 + (self.thoughts_per_step * self.max_stage if thoughts is None else thoughts)

    def feed_back(self, hidden: Tensor, is_thought: Tensor) -> Tensor:
        # A GPU is not asked: the answer would hold up every thought, and configs refuse what leads here.
        if is_thought.device.type == "cpu" and not bool(is_thought.all()):
            raise ValueError(
                "ShuffledThoughts needs every row to think in the same columns, got a batch with other rows; "
                "set curriculum.mix to 0"
            )
        return hidden.roll(1, 0)


@final
@dataclass(frozen=True, kw_only=True)
class DetachedThoughts(Enclosed):
    """Control: thoughts are fed back without gradient, so no thought is ever trained to be useful to the next pass."""

    def slot(self, marks: Marks) -> int:
        return marks.thought

    def feed_back(self, hidden: Tensor, is_thought: Tensor) -> Tensor:
        return hidden.detach()
