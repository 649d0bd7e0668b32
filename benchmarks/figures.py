"""Figures of a run: PNG, and a CSV of what each shows. Colour-blind safe."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.results import Growth, Results
from benchmarks.targets import PAIRS, decoding_seconds, faster, training_seconds
from benchmarks.ways import GRAPHS, OURS, PLAIN, PUBLISHED, PUBLISHED_WHERE, STOCK, WAYS
from unspoken.figures import MARKERS, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {way.name: way.title for way in WAYS}
ORDER = [way.name for way in (OURS, PUBLISHED, PUBLISHED_WHERE, PLAIN, GRAPHS, STOCK)]
COLOURS = dict(zip(ORDER, PALETTE, strict=False))
SIGNS = dict(zip(ORDER, MARKERS, strict=False))
AXES = {
    "thoughts": "thoughts a row",
    "question": "question tokens a row",
    "rows": "rows of the batch",
    "vocabulary": "vocabulary",
}


def draw_figures(results: Results, folder: Path) -> list[Path]:
    """Every figure there are results for, into a folder; paths of the PNGs."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[Path] = []
    if results.training or results.decoding:
        drawn += _speedups(results, folder)
    for kind in ("training", "decoding"):
        rows = [row for row in results.growth if row.kind == kind]
        if rows:
            drawn.append(_growth(rows, folder / f"growth-{kind}", kind))
    return drawn


def _speedups(results: Results, folder: Path) -> list[Path]:
    """How many times faster than the published way, on a logarithmic scale."""
    shapes = [shape.name for shape in results.shapes]
    drawn: list[Path] = []
    kinds = {
        "training": ("a training step", [PUBLISHED_WHERE, PLAIN, OURS, GRAPHS], training_seconds),
        "decoding": ("decoding 64 problems", [PLAIN, OURS, GRAPHS], _many_at_once),
    }
    there = {row.way for row in (*results.training, *results.decoding)}
    for name, (title, drawable, seconds) in kinds.items():
        ways = [way for way in drawable if way.name in there]
        found = {
            (shape, way.name): faster(seconds(results, shape), than=PUBLISHED.name, way=way.name)
            for shape in shapes
            for way in ways
        }
        panels = [pair for pair in PAIRS if any(pair in values for values in found.values())]
        if not panels:
            continue
        from matplotlib.figure import Figure  # here, because matplotlib takes a second to import

        figure = Figure(figsize=(4.6 * len(panels), 4.2), layout="constrained")
        table: list[list[object]] = []
        for axis, pair in zip(figure.subplots(1, len(panels), squeeze=False, sharey=True)[0], panels, strict=True):
            _bars(axis, shapes, [way.name for way in ways], found, pair, table)
            axis.set_title(f"{pair[0]} over (a) in {pair[1]}")
        figure.suptitle(f"{title}: times faster than the published way of working")
        figure.axes[0].set_ylabel("ratio of median times")
        figure.axes[0].legend(frameon=False, fontsize=8)
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=150)
        _write(path.with_suffix(".csv"), ["shape", "way", "precision", "precision of (a)", "times faster"], table)
        drawn.append(path)
    return drawn


def _many_at_once(results: Results, shape: str):
    return decoding_seconds(results, shape, text="own", alone=[PUBLISHED.name])


def _bars(
    axis: Axes,
    shapes: Sequence[str],
    ways: Sequence[str],
    found: dict[tuple[str, str], dict[tuple[str, str], float]],
    pair: tuple[str, str],
    table: list[list[object]],
) -> None:
    width = 0.8 / len(ways)
    for i, way in enumerate(ways):
        for k, shape in enumerate(shapes):
            value = found[shape, way].get(pair)
            if value is None:
                continue
            x = k + (i - (len(ways) - 1) / 2) * width
            axis.bar(x, value, width * 0.92, color=COLOURS[way], label=TITLES[way] if k == 0 else None)
            axis.annotate(f"{value:.1f}", (x, value), ha="center", va="bottom", fontsize=8)
            table.append([shape, way, *pair, f"{value:.4g}"])
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_xticks(range(len(shapes)), shapes, fontsize=8)
    axis.grid(axis="y", alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _growth(rows: Sequence[Growth], path: Path, kind: str) -> Path:
    """Time against each quantity, with the fitted law; in units of ours at the left end of the first panel's."""
    from matplotlib.figure import Figure  # here, because matplotlib takes a second to import

    quantities = list(dict.fromkeys(row.quantity for row in rows))
    figure = Figure(figsize=(4.0 * len(quantities), 4.2), layout="constrained")
    table: list[list[object]] = []
    for axis, quantity in zip(figure.subplots(1, len(quantities), squeeze=False)[0], quantities, strict=True):
        here = [row for row in rows if row.quantity == quantity]
        ours = next((row for row in here if row.way == OURS.name), here[0])
        unit = ours.medians[0]
        for row in here:
            colour = COLOURS[row.way]
            low = [(median - min(run)) / unit for median, run in zip(row.medians, row.runs, strict=True)]
            high = [(max(run) - median) / unit for median, run in zip(row.medians, row.runs, strict=True)]
            relative = [median / unit for median in row.medians]
            axis.errorbar(
                row.values, relative, yerr=[low, high], fmt=SIGNS[row.way], color=colour, markersize=5, capsize=2,
                label=TITLES[row.way],
            )  # fmt: skip
            span = max(row.values) - min(row.values)
            xs = [min(row.values) + span * k / 100 for k in range(101)]
            axis.plot(xs, [row.law.seconds(x) / unit for x in xs], color=colour, linewidth=1.2)
            for value, median in zip(row.values, row.medians, strict=True):
                table.append([quantity, row.way, value, f"{median / unit:.4g}", f"{row.law.seconds(value) / unit:.4g}"])
        axis.set(xlabel=AXES[quantity], ylim=(0, None))
        axis.set_title(law_in_words(ours), fontsize=9)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("time, in units of ours at the left end")
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(f"{kind}: points are medians (bars: fastest to slowest call), lines the expected law, fitted")
    figure.savefig(path.with_suffix(".png"), dpi=150)
    _write(path.with_suffix(".csv"), ["quantity", "way", "value", "time", "law"], table)
    return path.with_suffix(".png")


def law_in_words(row: Growth) -> str:
    """The form of a law."""
    symbol = {"thoughts": "n", "question": "Q", "rows": "B", "vocabulary": "V"}[row.quantity]
    terms = {0: "a", 1: f"b {symbol}", 2: f"c {symbol}²"}
    return f"law: {' + '.join(terms[power] for power in row.law.powers)}   (ours: R² {row.law.r_squared:.3f})"


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
