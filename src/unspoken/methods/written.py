"""Methods without continuous thoughts and without stages of steps: CoT, No-CoT, Pause, iCoT."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import final

from unspoken.layout import IGNORE_INDEX, Layout, Marks, Tokens, lay_out
from unspoken.methods.base import Method


@final
@dataclass(frozen=True, kw_only=True)
class CoT(Method):
    """Supervised chain of thought: nothing is removed."""

    @property
    def stages(self) -> int:
        return 1

    def layout(self, tokens: Tokens, stage: int, marks: Marks, rng: random.Random | None = None) -> Layout:
        return lay_out(tokens.question, [*tokens.chain, *tokens.answer], thought=marks.thought)


@final
@dataclass(frozen=True, kw_only=True)
class OpenedCoT(Method):
    """The whole chain behind a <bot>, and in training more of them between steps: a start for Coconut.

    In none of the paper's tables. In Coconut's own stage 0 no loss reaches the state at <bot>, which is the first
    thought of stage 1, so that thought starts from nothing. Here <bot> learns to say "one step on from what stands
    before me", and a thought is such a step from the beginning.
    """

    between: float = 0.5
    """Probability of a further <bot> before each later step, in training."""

    @property
    def stages(self) -> int:
        return 1

    def layout(self, tokens: Tokens, stage: int, marks: Marks, rng: random.Random | None = None) -> Layout:
        input_ids = [*tokens.question, marks.bot]
        labels = [IGNORE_INDEX] * len(input_ids)
        for i, part in enumerate([*tokens.steps, tokens.answer]):
            if i and rng is not None and rng.random() < self.between:
                input_ids.append(marks.bot)
                labels.append(IGNORE_INDEX)
            input_ids += part
            labels += part
        return Layout(input_ids=input_ids, labels=labels, is_thought=[False] * len(input_ids))


@final
@dataclass(frozen=True, kw_only=True)
class NoCoT(Method):
    """Question straight to answer: every step is removed."""

    @property
    def stages(self) -> int:
        return 1

    def layout(self, tokens: Tokens, stage: int, marks: Marks, rng: random.Random | None = None) -> Layout:
        return lay_out(tokens.question, tokens.answer, thought=marks.thought)


@final
@dataclass(frozen=True, kw_only=True)
class Pause(Method):
    """Goyal et al. 2023, as the paper's baseline: question-answer pairs with learned pause tokens between them.

    Differs from "pause as thought" in that there is no curriculum: the written chain is never seen.
    """

    pauses: int = 6
    """Pause tokens between question and answer; the paper takes as many as Coconut has thoughts."""

    def __post_init__(self) -> None:
        if self.pauses < 0:
            raise ValueError(f"pauses must be at least 0, got {self.pauses}")

    @property
    def stages(self) -> int:
        return 1

    def layout(self, tokens: Tokens, stage: int, marks: Marks, rng: random.Random | None = None) -> Layout:
        given = [*tokens.question, *[marks.pause] * self.pauses]
        return lay_out(given, tokens.answer, thought=marks.thought)


@final
@dataclass(frozen=True, kw_only=True)
class ICoT(Method):
    """Deng et al. 2024, "from explicit to implicit CoT": the chain's first tokens go, more of them every stage.

    The settings are the reference implementation's for GSM8K.
    """

    tokens_per_stage: int = 8
    """Chain tokens removed from the left at each further stage."""
    remove_all_beyond: int = 39
    """Once a stage removes more tokens than this, it removes the whole chain; it is then the last stage."""
    smoothing: float = 4.0
    """Lambda: in training o more tokens go with probability proportional to exp(-lambda * o); 0 turns it off."""

    def __post_init__(self) -> None:
        if self.tokens_per_stage < 1:
            raise ValueError(f"tokens_per_stage must be at least 1, got {self.tokens_per_stage}")
        if self.remove_all_beyond < 0:
            raise ValueError(f"remove_all_beyond must be at least 0, got {self.remove_all_beyond}")
        if self.smoothing < 0:
            raise ValueError(f"smoothing must be at least 0, got {self.smoothing}")

    @property
    def stages(self) -> int:
        return self.remove_all_beyond // self.tokens_per_stage + 2

    def layout(self, tokens: Tokens, stage: int, marks: Marks, rng: random.Random | None = None) -> Layout:
        chain = tokens.chain
        removed = stage * self.tokens_per_stage
        if removed > self.remove_all_beyond:
            removed = len(chain)
        elif rng is not None and self.smoothing > 0:
            # The inverse of a geometric distribution's cumulative function.
            removed += int(math.log(1.0 - rng.random()) / -self.smoothing)
        return lay_out(tokens.question, [*chain[removed:], *tokens.answer], thought=marks.thought)
