"""What a training tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What a logged step looked like."""

    recipe: str
    """Which run this is, where one trains another first."""
    step: int
    num_steps: int
    epoch: int
    stage: int
    num_stages: int
    loss: float
    """Mean loss a label since the last report."""
    lr: float
    grad_norm: float
    tokens_per_second: float
    """Real tokens (no padding) through the model since the last report; thoughts count."""
    data_wait: float
    """Share of the time since the last report in which the loop stood still for its next batch."""
    padding: float
    """Share of padding in the positions since the last report; this process's, where there are several."""


@dataclass(frozen=True, kw_only=True)
class ValidationReport:
    """What a validation found."""

    recipe: str
    step: int
    epoch: int
    stage: int
    accuracy: float
    num: int


class Observer(Protocol):
    """Watches a training; `unspoken.progress` draws it on a terminal."""

    def on_step(self, report: StepReport) -> None: ...

    def on_validation(self, report: ValidationReport) -> None: ...


class Silent:
    """Watches nothing."""

    def on_step(self, report: StepReport) -> None: ...

    def on_validation(self, report: ValidationReport) -> None: ...
