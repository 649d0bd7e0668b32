"""Figures of runs, read from their folders alone. Colour-blind safe, as PNG and SVG."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import msgspec

from unspoken.config import RunConfig
from unspoken.paper import METHOD_NAMES, method_name
from unspoken.records import Summary
from unspoken.tables import Row, by_task
from unspoken.tasks.rows import read_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, without its yellow, which is too light on white.
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]


@final
class Validated(msgspec.Struct, frozen=True):
    """A line of `metrics.jsonl`; only the lines of a validation have an accuracy."""

    kind: str
    step: int
    stage: int
    accuracy: float | None = None


@final
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
    write_figure(figure, path, dpi=160)


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
    write_figure(figure, path, dpi=160)


def efficiency(rows: Sequence[Row], path: Path) -> list[Path]:
    """Accuracy against what it costs: tokens (upper panels) and seconds a problem at batch 1 (lower), a column a task.

    A filled mark counts thoughts as tokens, as the paper does for Coconut; a hollow one on the same line leaves them
    out. Marks are means over seeds, bars standard deviations; the accuracy of a single seed has its 95 % Wilson
    interval. Marks that would hide one another are set side by side. Rows that were not timed at batch 1, which
    shuffled thoughts cannot be, are named below their panel. Returns the files written: `.png`, `.svg` and, with a line
    for each row, `.csv`.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    groups = by_task(rows)
    names = {name: i for i, name in enumerate(sorted({_name(row, rows) for row in rows}, key=_place(rows)))}
    with rc_context({"font.size": 8, "legend.fontsize": 8}):
        figure = Figure(figsize=(max(3.5 * len(groups), 4.6), 6.2 + 0.12 * len(names)), layout="constrained")
        axes = figure.subplots(2, len(groups), squeeze=False)
        for column, group in enumerate(groups):
            upper, lower = axes[0][column], axes[1][column]
            upper.set(title=group.title, xlabel="tokens a problem")
            timed = [row for row in group.rows if row.single is not None]
            untimed = [_name(row, rows) for row in group.rows if row.single is None]
            below = f"\nnot timed: {', '.join(untimed)}" if untimed else ""
            machines = {s.hardware for row in timed for s in row.summaries}
            if len(machines) > 1:
                below += f"\nmeasured on {len(machines)} kinds of machines: see the CSV"
            lower.set(xlabel=f"seconds a problem at batch 1{below}", xscale="log")
            for axis in (upper, lower):
                _accuracies(axis, group.rows)
            tokens = [value for row in group.rows for s in row.summaries for value in (s.tokens, s.tokens + s.thoughts)]
            if min(tokens) > 0 and max(tokens) > 4 * min(tokens):
                upper.set_xscale("log")
            upper.set_xlim(*_room(tokens, log=upper.get_xscale() == "log"))
            seconds = [s.seconds_single for row in timed for s in row.summaries if s.seconds_single]
            if seconds:
                lower.set_xlim(*_room(seconds, log=True))
            for axis in (upper, lower):
                _plain_ticks(axis)
        for axis in axes[:, 0]:
            axis.set_ylabel("accuracy, %")
        _legend_below(figure, names)
        # Which marks fall on one another is known once every panel has its size.
        figure.draw_without_rendering()
        for column, group in enumerate(groups):
            marks = [(names[_name(row, rows)], row) for row in group.rows]
            _marks(axes[0][column], [(i, row, _total) for i, row in marks], join=True)
            timed_marks = [(i, row, _single) for i, row in marks if row.single]
            _marks(axes[1][column], timed_marks, join=False)
        written = [*write_figure(figure, path, dpi=200), path.with_suffix(".csv")]
    _write_efficiency(written[-1], rows)
    return written


def _name(row: Row, rows: Sequence[Row]) -> str:
    """What the legend calls a row: its method, and its recipe where its task has another row of that method."""
    name = method_name(row.method)
    for group in by_task(rows):
        if row in group.rows and sum(other.method == row.method for other in group.rows) > 1:
            return f"{name} ({', '.join(part for part in (row.recipe, row.detail) if part)})"
    return name


def _place(rows: Sequence[Row]) -> Callable[[str], tuple[int, str]]:
    """The key that puts the legend's names into the paper's order."""
    order = list(METHOD_NAMES)
    places = {_name(row, rows): order.index(row.method) if row.method in order else len(order) for row in rows}
    return lambda name: (places[name], name)


def _look(i: int) -> tuple[str, str]:
    """Colour and marker; the first 64 differ."""
    return PALETTE[i % len(PALETTE)], MARKERS[(i + i // len(PALETTE)) % len(MARKERS)]


def _total(summary: Summary) -> float | None:
    return summary.tokens + summary.thoughts


def _single(summary: Summary) -> float | None:
    return summary.seconds_single


def _ends(row: Row) -> tuple[float, float]:
    """Lower and upper end of a row's accuracy, in percent."""
    if row.spread is None:
        low, high = row.summaries[0].interval
        return 100 * low, 100 * high
    return 100 * (row.accuracy - row.spread), 100 * (row.accuracy + row.spread)


def _accuracies(axis: Axes, rows: Sequence[Row]) -> None:
    """Limits that hold every bar, at least 20 points apart."""
    low, high = min(_ends(row)[0] for row in rows), max(_ends(row)[1] for row in rows)
    room = max(0.08 * (high - low), (20 - (high - low)) / 2, 1.0)
    axis.set_ylim(max(low - room, -4), min(high + room, 104))
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _room(values: Sequence[float], *, log: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if log:
        factor = max(1.25, (high / low) ** 0.1)
        return low / factor, high * factor
    room = max(0.1 * (high - low), 0.5)
    return low - room, high + room


def _plain_ticks(axis: Axes) -> None:
    """Numbers in full at 1, 2 and 5 instead of powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    if axis.get_xscale() == "log":
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())


def _legend_below(figure: Figure, names: dict[str, int]) -> None:
    from matplotlib.lines import Line2D

    handles: list[Line2D] = []
    for name, i in names.items():
        color, marker = _look(i)
        handles.append(Line2D([], [], color=color, marker=marker, markersize=6, linestyle="none", label=name))
    columns = max(1, min(5, round(figure.get_figwidth() / 2.1), len(handles)))
    if any(len(name) > 30 for name in names):
        columns = max(1, columns // 3)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False,
        title="filled: tokens + thoughts; hollow: tokens alone\nbars: sd over seeds, or one seed's 95 % interval\n"
        "marks at one place are set side by side",
        title_fontsize=8,
    )  # fmt: skip


def _marks(axis: Axes, marks: Sequence[tuple[int, Row, Callable[[Summary], float | None]]], *, join: bool) -> None:
    """Draws rows; `join` draws the tokens without thoughts as well, on the same line. Limits hold all marks."""
    from matplotlib.transforms import ScaledTranslation

    figure = axis.figure
    means = [statistics.fmean(_measured(row, value)) for _, row, value in marks]
    hollow = [(i, row) for i, row, _ in marks if join and row.thoughts]
    places = [(x, 100 * row.accuracy) for x, (_, row, _) in zip(means, marks, strict=True)]
    places += [(row.tokens, 100 * row.accuracy) for _, row in hollow]
    shifts = _shifts(axis, places)
    # Wider limits bring marks closer to each other, which may move more of them.
    while _widen(axis, places, shifts):
        shifts = _shifts(axis, places)
    moved = [axis.transData + ScaledTranslation(shift / 72, 0, figure.dpi_scale_trans) for shift in shifts]
    for x, (i, row, value), at in zip(means, marks, moved[: len(marks)], strict=True):
        color, marker = _look(i)
        low, high = _ends(row)
        middle = 100 * row.accuracy
        axis.errorbar(
            x, middle, yerr=[[middle - low], [high - middle]], xerr=_deviation(_measured(row, value)), color=color,
            marker=marker, markersize=6, markeredgecolor="white", markeredgewidth=0.5, capsize=2, linewidth=1,
            transform=at, zorder=3,
        )  # fmt: skip
    for (i, row), at in zip(hollow, moved[len(marks) :], strict=True):
        color, marker = _look(i)
        total, middle = row.tokens + row.thoughts, 100 * row.accuracy
        axis.plot([row.tokens, total], [middle, middle], color=color, linewidth=1, linestyle=":", zorder=1)
        axis.plot(
            row.tokens, middle, color=color, marker=marker, markersize=6, markerfacecolor="white", linestyle="none",
            transform=at, zorder=4,
        )  # fmt: skip


def _pixels(axis: Axes, places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in axis.transData.transform(places)] if places else []


def _shifts(axis: Axes, places: Sequence[tuple[float, float]]) -> list[float]:
    return _side_by_side(_pixels(axis, places), axis.figure.dpi)


def _widen(axis: Axes, places: Sequence[tuple[float, float]], shifts: Sequence[float]) -> bool:
    """Widens the limits where marks, moved so many points, are not wholly inside; whether they had to be."""
    points = axis.figure.dpi / 72
    at = [x + shift * points for (x, _), shift in zip(_pixels(axis, places), shifts, strict=True)]
    box, half = axis.bbox, 4 * points
    if not at or (min(at) - half >= box.x0 and max(at) + half <= box.x1):
        return False
    # A point more than is needed, so that this ends.
    ends = [(min(box.x0, min(at) - half - points), box.y0), (max(box.x1, max(at) + half + points), box.y0)]
    low, high = axis.transData.inverted().transform(ends)[:, 0]
    axis.set_xlim(float(low), float(high))
    return True


def _measured(row: Row, value: Callable[[Summary], float | None]) -> list[float]:
    return [found for s in row.summaries if (found := value(s)) is not None]


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _side_by_side(pixels: Sequence[tuple[float, float]], dpi: float) -> list[float]:
    """For each mark, by how many points it moves to the right, so that none hides another."""
    wide, high = 6 * dpi / 72, 5 * dpi / 72
    clusters: list[list[int]] = []
    for i, (x, y) in enumerate(pixels):
        near = (c for c in clusters if any(abs(x - pixels[j][0]) < wide and abs(y - pixels[j][1]) < high for j in c))
        if (cluster := next(near, None)) is None:
            clusters.append([i])
        else:
            cluster.append(i)
    shifts = [0.0] * len(pixels)
    for cluster in clusters:
        for k, i in enumerate(cluster):
            shifts[i] = 7.0 * (k - (len(cluster) - 1) / 2)
    return shifts


def _write_efficiency(path: Path, rows: Sequence[Row]) -> None:
    """What `efficiency` draws: means over seeds, standard deviations, and the ends of the bars of accuracy."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["task", "method", "recipe", "detail", "seeds", "accuracy", "low", "high", "tokens", "tokens_and_thoughts"]
            + ["tokens_and_thoughts_sd", "seconds_single", "seconds_single_sd", "hardware"]
        )
        for row in rows:
            low, high = _ends(row)
            cells = [row.accuracy, low / 100, high / 100, row.tokens, row.tokens + row.thoughts]
            totals, seconds = _measured(row, _total), _measured(row, _single)
            cells += [
                _deviation(totals),
                row.single,
                _deviation(seconds),
            ]
            writer.writerow(
                [row.task, row.method, row.recipe, row.detail, len(row.runs)]
                + ["" if cell is None else f"{cell:.6g}" for cell in cells]
                + ["; ".join(sorted({s.hardware for s in row.summaries}))]
            )


def _figure(panels: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure  # here, because matplotlib takes a second to import

    figure = Figure(figsize=(6.4 * panels, 4.6), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for axis in axes:
        axis.grid(axis="y", alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def write_figure(figure: Figure, path: Path, *, dpi: int) -> list[Path]:
    """Writes `.png` and `.svg`, and makes their folder; the same figure gives the same bytes."""
    from matplotlib import rc_context

    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_suffix(suffix) for suffix in (".png", ".svg")]
    # No date, and no random ids in the SVG.
    with rc_context({"svg.hashsalt": "unspoken"}):
        figure.savefig(written[0], dpi=dpi)
        figure.savefig(written[1], metadata={"Date": None})
    return written
