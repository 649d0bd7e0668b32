"""Sweeps: many runs that make one table. A sweep is a function that returns a `Sweep`, and a line in `SWEEPS`.

base.py      a cell (a complete run, and what is asked of it) and a sweep (cells in order of value)
small.py     the small world; paper_scale.py: what a GPU is wanted for
work.py      a cell as commands; runner.py runs what is missing; times.py: what is left; keeping.py: what is kept
"""

from __future__ import annotations

from collections.abc import Callable

from unspoken.suggest import nearest
from unspoken.sweeps.base import Sweep
from unspoken.sweeps.paper_scale import paper_scale
from unspoken.sweeps.small import small

SWEEPS: dict[str, Callable[[], Sweep]] = {"small": small, "paper-scale": paper_scale}
"""All sweeps by name."""


def find_sweep(name: str) -> Sweep:
    """A named sweep.

    Raises:
        ValueError: there is none; the message suggests the nearest.
    """
    if name not in SWEEPS:
        raise ValueError(f"no sweep named {name!r}{nearest(name, SWEEPS)}; there are {', '.join(SWEEPS)}")
    return SWEEPS[name]()
