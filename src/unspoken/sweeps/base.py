"""What a sweep is: cells in order of value, each a complete run and what is asked of it once it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from unspoken.config import RunConfig


def run_name(config: RunConfig) -> str:
    """The name of a run's folder in a sweep."""
    return f"{config.recipe.replace('/', '-')}-seed{config.seed}"


@final
@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a sweep, and what it is measured with."""

    config: RunConfig
    """The run, its seed included."""
    asked: tuple[str, ...] = ()
    """Further problems to evaluate it on, by task name (`tasks/known.py`)."""
    looked: int = 0
    """How many problems it is probed and audited on, where its method has slots; 0: neither."""
    beside: str | None = None
    """Name of the cell of a written chain to probe it beside, where that one is trained by then."""
    figures: bool = False
    """Whether the figures of its probe and audit are kept."""
    records: bool = True
    """Whether every answer is kept, beside what they amount to."""

    @property
    def name(self) -> str:
        """Of its run folder."""
        return run_name(self.config)

    @property
    def has_slots(self) -> bool:
        """Whether there is something to probe: thoughts, or what stands in their place."""
        return bool(self.config.method.trained_thoughts)


@final
@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Cells, the most valuable first.

    Raises:
        ValueError: two cells have the same name.
    """

    name: str
    about: str
    cells: Sequence[Cell]

    def __post_init__(self) -> None:
        names = [cell.name for cell in self.cells]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"sweep {self.name}: expected cells of different recipes or seeds, got twice: {twice[0]}")
