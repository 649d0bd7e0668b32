"""Epoch to stage, stage mixing, and when the optimizer starts afresh. Pure Python."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

ResetOptimizer = Literal["epoch", "stage", "never"]


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """How long each stage lasts.

    Raises:
        ValueError: no stage, a negative length, or a probability outside 0..1.
    """

    stage_epochs: tuple[int, ...] = (5, 5, 5, 5, 5, 5, 5, 15)
    """Epochs of stage 0, 1, 2, ... The paper's ProsQA: 5 epochs each, and the last stage until epoch 50."""
    mix: float = 0.0
    """Probability that an example takes a uniformly random stage instead (the paper's analysis model: 0.3)."""
    mix_over: Literal["all", "past"] = "all"
    """Which stages mixing draws from: all of them, or those up to the current one, so that none is forgotten."""
    reset_optimizer: ResetOptimizer = "stage"
    """When the optimizer's moments are dropped. Paper: each stage. Published code: each epoch."""

    def __post_init__(self) -> None:
        if not self.stage_epochs or min(self.stage_epochs) < 0 or sum(self.stage_epochs) == 0:
            raise ValueError(f"stage_epochs must be lengths with a sum above 0, got {self.stage_epochs}")
        if not 0 <= self.mix <= 1:
            raise ValueError(f"mix is a probability, expected 0..1, got {self.mix}")

    @property
    def epochs(self) -> int:
        return sum(self.stage_epochs)

    @property
    def last_stage(self) -> int:
        """The last stage that lasts at all."""
        return max(stage for stage, length in enumerate(self.stage_epochs) if length)

    def check(self, stages: int) -> None:
        """Refuses a curriculum that does not have one length for each of a method's stages.

        Raises:
            ValueError: the numbers differ.
        """
        if len(self.stage_epochs) != stages:
            raise ValueError(
                f"curriculum.stage_epochs has {len(self.stage_epochs)} stages {self.stage_epochs}, but the method has "
                f"{stages}; give one length a stage, as in --curriculum.stage-epochs {' '.join(['5'] * stages)}"
            )

    def stage(self, epoch: int) -> int:
        """The stage of an epoch, counted from 0."""
        left = epoch
        for stage, length in enumerate(self.stage_epochs):
            if left < length:
                return stage
            left -= length
        return len(self.stage_epochs) - 1

    def span(self, epoch: int) -> tuple[int, int]:
        """First epoch of this epoch's stage, and how many epochs the stage lasts."""
        stage = self.stage(epoch)
        return sum(self.stage_epochs[:stage]), self.stage_epochs[stage]

    def starts_afresh(self, epoch: int) -> bool:
        """Whether the optimizer's moments are dropped before this epoch."""
        if self.reset_optimizer == "never" or epoch == 0:
            return False
        return self.reset_optimizer == "epoch" or self.stage(epoch) != self.stage(epoch - 1)

    def draw_stage(self, epoch: int, rng: random.Random) -> int:
        """The stage one example takes in an epoch, mixing included."""
        # The draw comes first in any case, so that what follows from `rng` does not depend on `mix`.
        stage = self.stage(epoch)
        num = len(self.stage_epochs) if self.mix_over == "all" else stage + 1
        mixed, other = rng.random() < self.mix, rng.randrange(num)
        return other if mixed else stage
