"""Epoch to stage, their order, stage mixing, and when the optimizer starts afresh. Pure Python."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, final

ResetOptimizer = Literal["epoch", "stage", "never"]


@final
@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """How long each stage lasts, and which comes first.

    Raises:
        ValueError: no stage, a negative length, an order that is none of all stages, or a probability outside 0..1.
    """

    stage_epochs: tuple[int, ...] = (5, 5, 5, 5, 5, 5, 5, 15)
    """Epochs of stage 0, 1, 2, ... The paper's ProsQA: 5 epochs each, and the last stage until epoch 50."""
    order: tuple[int, ...] = ()
    """Which stage comes first, second, ..., each named once; none: 0, 1, 2, ... as in the paper. A stage keeps its own
    length wherever it comes."""
    mix: float = 0.0
    """Probability that an example takes a uniformly random stage instead (the paper's analysis model: 0.3)."""
    mix_over: Literal["all", "past"] = "all"
    """Which stages mixing draws from: all of them, or the current one and those whose turn came before, so that none is
    forgotten."""
    reset_optimizer: ResetOptimizer = "stage"
    """When the optimizer's moments are dropped. Paper: each stage. Published code: each epoch."""

    def __post_init__(self) -> None:
        if not self.stage_epochs or min(self.stage_epochs) < 0 or sum(self.stage_epochs) == 0:
            raise ValueError(f"stage_epochs must be lengths with a sum above 0, got {self.stage_epochs}")
        if self.order and sorted(self.order) != list(range(len(self.stage_epochs))):
            last = len(self.stage_epochs) - 1
            raise ValueError(f"curriculum.order must name each of the stages 0 to {last} once, got {self.order}")
        if not 0 <= self.mix <= 1:
            raise ValueError(f"mix is a probability, expected 0..1, got {self.mix}")

    @property
    def epochs(self) -> int:
        return sum(self.stage_epochs)

    @property
    def sequence(self) -> tuple[int, ...]:
        """All stages in the order in which their turn comes, those of no epochs too."""
        return self.order or tuple(range(len(self.stage_epochs)))

    @property
    def last_stage(self) -> int:
        """The stage a run ends with: the last in time that lasts at all."""
        return [stage for stage in self.sequence if self.stage_epochs[stage]][-1]

    @property
    def seen(self) -> frozenset[int]:
        """The stages that training lays examples out as, by their turn or by mixing."""
        lasting = frozenset(stage for stage, length in enumerate(self.stage_epochs) if length)
        if not self.mix:
            return lasting
        return lasting.union(self.sequence if self.mix_over == "all" else self._past(self.last_stage))

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
        """The stage of an epoch, counted from 0; beyond the end the last stage goes on."""
        left = epoch
        for stage in self.sequence:
            if left < self.stage_epochs[stage]:
                return stage
            left -= self.stage_epochs[stage]
        return self.last_stage

    def span(self, epoch: int) -> tuple[int, int]:
        """First epoch of this epoch's stage, and how many epochs the stage lasts."""
        stage = self.stage(epoch)
        return sum(self.stage_epochs[before] for before in self._past(stage)[:-1]), self.stage_epochs[stage]

    def starts_afresh(self, epoch: int) -> bool:
        """Whether the optimizer's moments are dropped before this epoch."""
        if self.reset_optimizer == "never" or epoch == 0:
            return False
        return self.reset_optimizer == "epoch" or self.stage(epoch) != self.stage(epoch - 1)

    def draw_stage(self, epoch: int, rng: random.Random) -> int:
        """The stage one example takes in an epoch, mixing included."""
        # The draw comes first in any case, so that what follows from `rng` does not depend on `mix`.
        stage = self.stage(epoch)
        choice = range(len(self.stage_epochs)) if self.mix_over == "all" else self._past(stage)
        mixed, other = rng.random() < self.mix, choice[rng.randrange(len(choice))]
        return other if mixed else stage

    def _past(self, stage: int) -> tuple[int, ...]:
        """A stage and all whose turn came before it."""
        sequence = self.sequence
        return sequence[: sequence.index(stage) + 1]
