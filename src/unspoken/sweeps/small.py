"""The small world: the paper's Table 1 on two CPU cores, every row on three tasks with three seeds, and what readers of
the paper ask of its curriculum. A night's work (`recipes/small.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from unspoken.recipes import RECIPES
from unspoken.sweeps.base import Cell, Sweep

ROWS = ("coconut", "cot", "pause-as-thought", "no-cot", "shuffled-thoughts", "without-thought", "icot")
REST = ("detached-thoughts", "without-curriculum", "pause")
ASKED = {
    "small/prosqa": ("prosqa-debiased-4-hops", "prosqa-5-hops"),
    "small/prosqa-released": ("prosqa-debiased", "prosqa-dag", "prosqa-7-hops"),
    "small/prontoqa": ("prontoqa-paired-3-hops",),
    "small/words": ("word-problems-three", "word-problems-distracted", "word-problems-reworded"),
}
"""What each task's models are asked besides: without shortcuts, longer, told otherwise."""
SEEDS = (0, 1, 2)
NUM_LOOKED_AT = 500


def small() -> Sweep:
    """One seed of everything first, then the others; the curriculum's ablations last."""
    cells = [
        *_table(0),
        *_cells("small/prosqa-4-layers", ("coconut", "cot", "pause-as-thought"), 0, like="small/prosqa"),
        *(cell for seed in SEEDS[1:] for cell in _table(seed)),
        *(
            cell
            for seed in SEEDS
            for where in ("small/words", "small/prontoqa")
            for cell in _cells(where, _ablations(where), seed)
        ),
    ]
    return Sweep(name="small", about="Table 1 and the curriculum's ablations with small models, on a CPU.", cells=cells)


def _table(seed: int) -> Iterator[Cell]:
    for rows in (ROWS, REST):
        for where in ASKED:
            yield from _cells(where, rows, seed)


def _cells(where: str, rows: Sequence[str], seed: int, *, like: str | None = None) -> Iterator[Cell]:
    """Rows of one family, which are asked what that of `like` is; None: what it is asked itself."""
    asked = ASKED[like or where]
    for row in rows:
        yield Cell(
            config=RECIPES[f"{where}/{row}"]().with_seed(seed),
            asked=asked,
            looked=0 if row.startswith("ablation/") else NUM_LOOKED_AT,
            beside=f"{where.replace('/', '-')}-cot-seed{seed}",
            figures=row == "coconut" and seed == 0,
            # A megabyte of answers for every four runs is enough to look into.
            records=seed == 0 and not row.startswith("ablation/"),
        )


def _ablations(where: str) -> list[str]:
    return [name.removeprefix(f"{where}/") for name in RECIPES if name.startswith(f"{where}/ablation/")]
