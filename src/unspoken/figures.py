"""Figures of runs, read from their folders alone. Colour-blind safe, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from unspoken.config import RunConfig
from unspoken.paper import method_name
from unspoken.tables import Row
from unspoken.tasks.rows import read_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, without its yellow, which is too light on white.
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]


class Validated(msgspec.Struct, frozen=True):
    """A line of `metrics.jsonl`; only the lines of a validation have an accuracy."""

    kind: str
    step: int
    stage: int
    accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel of a figure: runs of one task."""

    title: str
    runs: Sequence[Path]


def accuracy_by_stage(panels: Sequence[Panel], path: Path) -> None:
    """Validation accuracy over training, each run laid out as its current stage; a ring where a stage begins."""
    figure, axes = _figure(len(panels))
    for axis, panel in zip(axes, panels, strict=True):
        for i, run in enumerate(panel.runs):
            config = RunConfig.load(run / "config.json")
            lines = [v for v in read_rows(run / "metrics.jsonl", Validated) if v.accuracy is not None]
            name = method_name(type(config.method).__name__)
            steps, values = [v.step for v in lines], [100 * (v.accuracy or 0.0) for v in lines]
            axis.plot(steps, values, color=PALETTE[i], marker=MARKERS[i], markersize=4, linewidth=1.5, label=name)
            starts = [k for k in range(1, len(lines)) if lines[k].stage != lines[k - 1].stage]
            axis.plot(
                [steps[k] for k in starts], [values[k] for k in starts],
                linestyle="none", marker="o", markersize=10, fillstyle="none", color=PALETTE[i],
            )  # fmt: skip
        axis.set(title=panel.title, xlabel="training step (ring: a new stage)", ylim=(-3, 103))
        axis.legend(loc="best", frameon=False)
    axes[0].set_ylabel("validation accuracy at the current stage, %")
    _save(figure, path)


def accuracy_bars(panels: Sequence[tuple[str, Sequence[Row]]], path: Path) -> None:
    """Test accuracy of each method with its 95 % Wilson interval (one seed a row)."""
    figure, axes = _figure(len(panels))
    for axis, (title, rows) in zip(axes, panels, strict=True):
        names = [method_name(row.method) for row in rows]
        for i, row in enumerate(rows):
            low, high = row.summaries[0].interval
            middle = 100 * row.accuracy
            axis.bar(i, middle, color=PALETTE[i], width=0.7)
            axis.errorbar(i, middle, yerr=[[middle - 100 * low], [100 * high - middle]], color="black", capsize=4)
            axis.annotate(
                f"{middle:.1f}", (i, 100 * high), ha="center", va="bottom", xytext=(0, 3), textcoords="offset points"
            )
        ticks = [f"{n}\ntokens {r.tokens:.0f}, thoughts {r.thoughts:.0f}" for n, r in zip(names, rows, strict=True)]
        axis.set_xticks(range(len(ticks)), ticks, fontsize=8)
        axis.set(title=title, ylim=(0, 112))
        axis.set_yticks(range(0, 101, 20))
    axes[0].set_ylabel("test accuracy, %")
    _save(figure, path)


def _figure(panels: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure  # here, because matplotlib takes a second to import

    figure = Figure(figsize=(6.4 * panels, 4.6), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for axis in axes:
        axis.grid(axis="y", alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path.with_suffix(".png"), dpi=160)
    figure.savefig(path.with_suffix(".svg"))
