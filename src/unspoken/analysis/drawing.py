"""What the figures of the analyses share: small, colour-blind safe, as PNG and SVG, with their data as CSV."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unspoken.analysis.bootstrap import Interval
from unspoken.figures import PALETTE, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN = 3.5
"""Inches of one column of a paper; panels are about that wide."""

_STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
}
"""Readable at one column's width."""

GREY = "#999999"
"""For chance and whatever else is not the model's."""

Cell = str | int | float | None

__all__ = [
    "COLUMN",
    "GREY",
    "PALETTE",
    "Cell",
    "heat",
    "numbers",
    "panels",
    "save",
    "style",
    "with_interval",
]


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Everything is drawn inside it."""
    from matplotlib import rc_context  # here, because matplotlib takes a second to import

    with rc_context(_STYLE):
        yield


def panels(columns: int, rows: int = 1, *, width: float = COLUMN, height: float = 2.6) -> tuple[Figure, list[Axes]]:
    """A figure of panels, row by row; sizes are a panel's, in inches. Call inside `style()`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = [axis for line in figure.subplots(rows, columns, squeeze=False) for axis in line]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Figure, path: Path, head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Writes `.png`, `.svg` and the data as `.csv`; the same figure gives the same bytes."""
    write_figure(figure, path, dpi=200)
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows([_plain(cell) for cell in row] for row in rows)


def with_interval(
    axis: Axes,
    x: Sequence[float],
    found: Sequence[Interval],
    *,
    color: str,
    marker: str,
    label: str = "",
    scale: float = 1.0,
    linestyle: str = "-",
) -> None:
    """A line through means, with their intervals."""
    middle = [scale * each.mean for each in found]
    ends = [[scale * (each.mean - each.low) for each in found], [scale * (each.high - each.mean) for each in found]]
    axis.errorbar(
        x, middle, yerr=ends, color=color, marker=marker, markersize=4, capsize=2, linewidth=1.2, label=label,
        linestyle=linestyle,
    )  # fmt: skip


def heat(
    axis: Axes,
    cells: Sequence[Sequence[float | None]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    low: float,
    high: float,
    scale: float = 1.0,
    digits: int = 2,
) -> None:
    """A table of shaded numbers from `low` (white) to `high` (dark); None is left empty."""
    nan = float("nan")
    shown = [[nan if cell is None else cell for cell in line] for line in cells]
    axis.imshow(shown, cmap="Blues", vmin=low, vmax=high, aspect="auto")
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    for y, line in enumerate(cells):
        for x, cell in enumerate(line):
            if cell is not None:
                dark = cell > low + 0.6 * (high - low)
                axis.text(
                    x, y, f"{scale * cell:.{digits}f}", ha="center", va="center", fontsize=7,
                    color="white" if dark else "black",
                )  # fmt: skip


def numbers(found: Interval | None) -> list[Cell]:
    """Mean and interval as three cells."""
    return [None, None, None] if found is None else [found.mean, found.low, found.high]


def _plain(cell: Cell) -> Cell:
    return "" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else cell
