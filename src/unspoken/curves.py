"""Training curves of several runs, one above the other, read from their folders alone: loss, and accuracy."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import msgspec

from unspoken.figures import MARKERS, PALETTE, write_figure
from unspoken.tasks.rows import read_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 5.0, 5.6
"""Inches; text stays readable when that is one column of a page."""
STYLES = ("-", "--")
"""Of lines: each is drawn in every colour before the next."""
MOST_RUNS = len(STYLES) * len(PALETTE)
"""Runs that can be told apart; Table 1 has ten rows."""
LEGEND_HEIGHT = 0.8
"""Inches of HEIGHT that a legend may take; a higher one makes the figure higher."""
LONGEST_NAME = 45
"""Characters of a run's name in a line of the legend, which has no room for more."""


@final
class Line(msgspec.Struct, frozen=True):
    """A line of `metrics.jsonl`: a step has a loss (null where it was no number), a validation an accuracy."""

    kind: str
    step: int
    epoch: int
    stage: int
    loss: float | None = None
    accuracy: float | None = None
    final_accuracy: float | None = None

    @property
    def asked(self) -> float | None:
        """Accuracy as evaluation lays out where that was measured, else as the stage does."""
        return self.accuracy if self.final_accuracy is None else self.final_accuracy


@final
@dataclass(frozen=True, kw_only=True)
class Curve:
    """One run."""

    name: str
    lines: Sequence[Line]

    @property
    def steps(self) -> list[Line]:
        """The lines with a loss."""
        return [line for line in self.lines if line.kind == "step" and line.loss is not None]

    @property
    def validations(self) -> list[Line]:
        """The lines with an accuracy."""
        return [line for line in self.lines if line.kind == "validation" and line.accuracy is not None]


def read_curves(runs: Sequence[Path]) -> list[Curve]:
    """Each run's metrics, by its folder's name, or its whole path where two folders share one.

    Raises:
        ValueError: there are no runs, more than can be told apart, or one without a logged step.
    """
    if not 1 <= len(runs) <= MOST_RUNS:
        raise ValueError(f"a figure of curves takes 1 to {MOST_RUNS} runs, got {len(runs)}; name fewer")
    names = [run.resolve().name for run in runs]
    found = [
        Curve(
            name=name if names.count(name) == 1 else str(run),
            lines=list(read_rows(run / "metrics.jsonl", Line)),
        )
        for name, run in zip(names, runs, strict=True)
    ]
    for run, curve in zip(runs, found, strict=True):
        if not curve.steps:
            raise ValueError(f"{run / 'metrics.jsonl'} has no step with a loss; train the run for log_every steps")
    return found


def draw_curves(curves: Sequence[Curve], path: Path) -> None:
    """Loss a label over training steps above validation accuracy; a ring where a stage begins.

    Writes PNG, SVG and, with everything that is drawn, CSV. A loss is a mean over the labels of its stage: later stages
    have fewer and harder ones, so it is the jump at a ring, and how fast it is made good, that can be compared.
    """
    from matplotlib.figure import Figure  # here, because matplotlib takes a second to import
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for i, curve in enumerate(curves):
        # Its own axis shows how often it was measured; a line of many steps needs no markers.
        _plot(above, i, curve.steps, [line.loss or 0.0 for line in curve.steps], marked=False, label=curve.name)
        accuracies = [100 * (line.asked or 0.0) for line in curve.validations]
        _plot(below, i, curve.validations, accuracies, marked=True, label=curve.name)
    losses = [line.loss or 0.0 for curve in curves for line in curve.steps]
    if min(losses) > 0:
        above.set_yscale("log")
        _plain_ticks(above, narrow=max(losses) < 10 * min(losses))
    above.set_ylabel("training loss a label")
    below.set(ylabel="validation accuracy, %", xlabel="training step (ring: a new stage)", ylim=(-4, 104))
    below.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    for axis in (above, below):
        axis.grid(axis="y", alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    _legend(figure, above, columns=1 + (len(curves) > 3))
    write_figure(figure, path, dpi=200)
    _write_csv(curves, path.with_suffix(".csv"))


def _legend(figure: Figure, axis: Axes, *, columns: int) -> None:
    """Above both panels, since no corner is free of every run; in one column where names are too long for more."""
    handles, names = axis.get_legend_handles_labels()
    names = ["\n".join(textwrap.wrap(name, LONGEST_NAME)) for name in names]
    while True:
        legend = figure.legend(handles, names, loc="outside upper center", ncols=columns, frameon=False)
        figure.draw_without_rendering()
        box = legend.get_window_extent()
        if columns == 1 or box.width <= figure.bbox.width:
            # Below a legend of many lines the panels keep their height.
            figure.set_figheight(HEIGHT + max(0.0, box.height / figure.dpi - LEGEND_HEIGHT))
            return
        legend.remove()
        columns = 1


def _plot(axis: Axes, i: int, lines: Sequence[Line], values: Sequence[float], *, marked: bool, label: str) -> None:
    steps = [line.step for line in lines]
    style, color = divmod(i, len(PALETTE))
    # The second of two lines in a colour has another marker too.
    marker = MARKERS[(i + style) % len(MARKERS)] if marked else None
    axis.plot(
        steps, values, color=PALETTE[color], linestyle=STYLES[style], linewidth=1.2, label=label, marker=marker,
        markersize=3.5,
    )  # fmt: skip
    starts = [k for k in range(1, len(lines)) if lines[k].stage != lines[k - 1].stage]
    axis.plot(
        [steps[k] for k in starts], [values[k] for k in starts],
        linestyle="none", marker="o", markersize=8, fillstyle="none", color=PALETTE[color],
    )  # fmt: skip


def _plain_ticks(axis: Axes, *, narrow: bool) -> None:
    """Numbers in full on a logarithmic axis: at 1, 2 and 5, or wherever they are round on one of less than a decade."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

    axis.yaxis.set_major_locator(MaxNLocator(5) if narrow else LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _write_csv(curves: Sequence[Curve], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", *Line.__struct_fields__])
        for curve in curves:
            for line in curve.lines:
                writer.writerow([curve.name, *msgspec.structs.astuple(line)])
