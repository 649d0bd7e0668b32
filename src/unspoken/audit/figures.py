"""The figures of an audit, each with its data: every intervention, the swap test, single thoughts, doses, elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, final

from unspoken.analysis import drawing
from unspoken.analysis.bootstrap import Interval
from unspoken.analysis.drawing import COLUMN, GREY, PALETTE
from unspoken.audit.beyond import Shortcut
from unspoken.audit.changes import Destroys, Shown
from unspoken.audit.effects import Effect
from unspoken.audit.report import Findings
from unspoken.audit.steering import STRENGTHS
from unspoken.figures import MARKERS

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_ROW = 0.19
"""Inches of a row of a figure that has a row for everything."""
_RIGHT = "right, %"


def draw(findings: Findings, folder: Path) -> list[str]:
    """Draws what there is to draw into a folder; the names of the figures drawn."""
    drawn: list[str] = []
    with drawing.style():
        for name, figure in FIGURES.items():
            if figure(findings, folder / name):
                drawn.append(name)
    return drawn


def effects(findings: Findings, path: Path) -> bool:
    """Accuracy under every intervention on all thoughts at once, with its interval."""
    shown = [e for e in findings.effects if e.shown is Shown.WHOLE]
    figure, (axis,) = drawing.panels(1, width=1.5 * COLUMN, height=_ROW * len(shown) + 1.0)
    kinds = [kind for kind in Destroys if any(e.destroys == kind.value for e in shown)]
    for kind, color, marker in zip(kinds, PALETTE, MARKERS, strict=False):
        rows = [(y, e) for y, e in enumerate(shown) if e.destroys == kind.value]
        for i, (y, e) in enumerate(rows):
            _mark(axis, e.accuracy, y, color, marker, filled=e.matters, label=kind.value if i == 0 else "")
    _lines(axis, findings)
    axis.set_yticks(range(len(shown)), [e.title for e in shown])
    axis.set(ylim=(len(shown) - 0.4, -0.6), xlim=(-2, 102), xlabel=f"{_RIGHT} (filled: differs beyond luck)")
    axis.grid(axis="x", alpha=0.25)
    figure.legend(*_unique(axis), loc="outside lower center", ncols=2, frameon=False, title="gone", title_fontsize=7)
    drawing.save(figure, path, _HEAD, [_row(e) for e in shown])
    return True


def swap(findings: Findings, path: Path) -> bool:
    """Question and thoughts at odds: which of the two does the answer follow?"""
    names = ("swapped-thoughts", "swapped-question")
    shown = [e for e in findings.effects if e.name in names]
    shown += [e for e in findings.effects if e.name.startswith("one-swapped")]
    bars = [(e.title, e.followed.mean, e.accuracy.mean, e.followed) for e in shown if e.followed is not None]
    if not bars:
        return False
    figure, (axis,) = drawing.panels(1, width=1.5 * COLUMN, height=0.24 * len(bars) + 0.9)
    for y, (_, follow, question, interval) in enumerate(bars):
        left = 0.0
        for share, color in ((follow, PALETTE[1]), (question, PALETTE[0]), (1 - follow - question, GREY)):
            axis.barh(y, 100 * share, left=100 * left, color=color, height=0.7)
            left += share
        ends = [[100 * (interval.mean - interval.low)], [100 * (interval.high - interval.mean)]]
        axis.errorbar(100 * follow, y, xerr=ends, color="black", capsize=2, linewidth=1, linestyle="none")
    axis.axvline(50, color="black", linewidth=0.8, linestyle="--")
    axis.set_yticks(range(len(bars)), [title for title, *_ in bars])
    axis.set(ylim=(len(bars) - 0.4, -0.6), xlim=(0, 100), xlabel="answers, %")
    _key(axis, [("the thoughts' option", PALETTE[1]), ("the question's option", PALETTE[0]), ("neither", GREY)])
    drawing.save(figure, path, _HEAD, [_row(e) for e in shown])
    return True


def singles(findings: Findings, path: Path) -> bool:
    """One thought at a time."""
    shown = [e for e in findings.effects if e.shown is Shown.SINGLE]
    if not shown:
        return False
    figure, (axis,) = drawing.panels(1)
    names = list(dict.fromkeys(e.series for e in shown))
    for i, name in enumerate(names):
        line = [e for e in shown if e.series == name]
        # Side by side, so that equal values do not hide one another.
        x = [e.x + 0.08 * (i - (len(names) - 1) / 2) for e in line]
        drawing.with_interval(
            axis, x, [e.accuracy for e in line], color=PALETTE[i], marker=MARKERS[i], label=name, scale=100
        )
    _levels(axis, findings)
    axis.set(xlabel="thought replaced, alone", ylabel=_RIGHT, ylim=(-3, 103))
    axis.set_xticks(range(1, findings.slots + 1))
    figure.legend(*_unique(axis), loc="outside lower center", ncols=2, frameon=False)
    drawing.save(figure, path, _HEAD, [_row(e) for e in shown])
    return True


def doses(findings: Findings, path: Path) -> bool:
    """How much noise can thoughts bear, and how many of them are needed?"""
    noise = [e for e in findings.effects if e.shown is Shown.NOISE]
    number = [e for e in findings.effects if e.shown is Shown.NUMBER]
    if not noise and not number:
        return False
    figure, (left, right) = drawing.panels(2, width=0.8 * COLUMN)
    drawing.with_interval(
        left, [0, *(e.x for e in noise)], [findings.clean, *(e.accuracy for e in noise)],
        color=PALETTE[0], marker=MARKERS[0], label="noise", scale=100,
    )  # fmt: skip
    left.set(xlabel="noise, in norms of the thought", ylabel=_RIGHT, ylim=(-3, 103))
    for i, name in enumerate(dict.fromkeys(e.series for e in number)):
        line = sorted((e for e in number if e.series == name), key=lambda e: e.x)
        x = [*(e.x + 0.06 * i for e in line), findings.slots + 0.06 * i]
        drawing.with_interval(
            right, x, [*(e.accuracy for e in line), findings.clean],
            color=PALETTE[1 + i], marker=MARKERS[1 + i], label=f"the {name} ones", scale=100,
        )  # fmt: skip
    right.set(xlabel="slots left", ylim=(-3, 103))
    right.set_xticks(range(findings.slots + 1))
    for axis in (left, right):
        _levels(axis, findings)
    if number:
        right.legend(*_unique(right), loc="lower right", frameon=False)
    drawing.save(figure, path, _HEAD, [_row(e) for e in (*noise, *number)])
    return True


def steering(findings: Findings, path: Path) -> bool:
    """Thoughts pushed towards the other question's frontier: how many answers switch?"""
    found = findings.steering
    if found is None:
        return False
    figure, axes = drawing.panels(2, width=0.8 * COLUMN)
    kinds = list(dict.fromkeys(dose.direction for dose in found.doses))
    for axis, where in zip(axes, ("last", "every"), strict=True):
        for i, kind in enumerate(kinds):
            line = [dose for dose in found.doses if dose.direction == kind and dose.where == where]
            x = [strength + 0.04 * (i - 1.5) for strength in (0.0, *(dose.strength for dose in line))]
            drawing.with_interval(
                axis, x, [found.before, *(dose.switched for dose in line)],
                color=GREY if kind == "random" else PALETTE[i], marker=MARKERS[i], label=kind, scale=100,
                linestyle=":" if kind == "random" else "-",
            )  # fmt: skip
        axis.set(title=f"{where} thought pushed", xlabel="push, in norms of the thought", ylim=(-3, 103))
        axis.set_xticks([0, *STRENGTHS], ["0", *(f"{strength:g}" for strength in STRENGTHS)])
        axis.grid(axis="y", alpha=0.25)
    axes[0].set_ylabel("answers that are the other option, %")
    figure.legend(*_unique(axes[0]), loc="outside lower center", ncols=4, frameon=False)
    rows = [
        [dose.direction, dose.where, dose.strength, dose.num, *drawing.numbers(dose.switched), dose.right.mean]
        for dose in found.doses
    ]
    head = ["direction", "where", "strength", "num", "switched", "low", "high", "right"]
    drawing.save(figure, path, head, rows)
    return True


def elsewhere(findings: Findings, path: Path) -> bool:
    """Accuracy on other problems, left alone and with another problem's thoughts, beside the best shortcut there."""
    first = [_Place("these problems", findings.clean, _transplanted(findings.effects), _share(findings.shortcut))]
    places = first + [
        _Place(e.name, e.accuracy, _transplanted(e.effects), _share(e.shortcut))
        for e in findings.elsewhere
        if e.accuracy is not None
    ]
    if len(places) == 1:
        return False
    figure, (axis,) = drawing.panels(1, width=1.5 * COLUMN, height=0.34 * len(places) + 1.0)
    for y, place in enumerate(places):
        _mark(axis, place.accuracy, y - 0.2, PALETTE[0], "o", filled=True, label="left alone" if not y else "")
        if place.transplanted is not None:
            label = "another problem's thoughts" if not y else ""
            _mark(axis, place.transplanted, y, PALETTE[1], "s", filled=True, label=label)
        if place.shortcut is not None:
            label = "best shortcut, blind to the question" if not y else ""
            _mark(axis, place.shortcut, y + 0.2, GREY, "D", filled=False, label=label)
    axis.axvline(100 * findings.chance, color="black", linewidth=0.8, linestyle="--")
    axis.set_yticks(range(len(places)), [place.name for place in places])
    axis.set(ylim=(len(places) - 0.4, -0.6), xlim=(-2, 102), xlabel=f"{_RIGHT} (dashed: chance)")
    axis.grid(axis="x", alpha=0.25)
    figure.legend(*_unique(axis), loc="outside lower center", ncols=3, frameon=False, columnspacing=1.0)
    head = ["problems"] + [
        f"{what}{end}" for what in ("accuracy", "transplant", "shortcut") for end in ("", "_low", "_high")
    ]
    rows = [
        [p.name, *drawing.numbers(p.accuracy), *drawing.numbers(p.transplanted), *drawing.numbers(p.shortcut)]
        for p in places
    ]
    drawing.save(figure, path, head, rows)
    return True


FIGURES: dict[str, Callable[[Findings, Path], bool]] = {
    "effects": effects,
    "swap": swap,
    "steering": steering,
    "singles": singles,
    "doses": doses,
    "elsewhere": elsewhere,
}
"""By the name of their files; each says whether there was anything to draw."""


@final
class _Place(NamedTuple):
    """A row of the figure of other problems."""

    name: str
    accuracy: Interval
    transplanted: Interval | None
    shortcut: Interval | None


def _share(shortcut: Shortcut | None) -> Interval | None:
    return None if shortcut is None else shortcut.share


def _transplanted(found: Sequence[Effect]) -> Interval | None:
    return next((e.accuracy for e in found if e.name == "transplant"), None)


def _mark(axis: Axes, found: Interval, y: float, color: str, marker: str, *, filled: bool, label: str) -> None:
    """A mean with its interval, lying."""
    ends = [[100 * (found.mean - found.low)], [100 * (found.high - found.mean)]]
    axis.errorbar(
        100 * found.mean, y, xerr=ends, color=color, marker=marker, markersize=4.5, capsize=2, linewidth=1.1,
        linestyle="none", markerfacecolor=color if filled else "white", label=label, zorder=3,
    )  # fmt: skip


def _lines(axis: Axes, findings: Findings) -> None:
    """Where the clean accuracy and chance lie, upright."""
    axis.axvspan(100 * findings.clean.low, 100 * findings.clean.high, color=GREY, alpha=0.25, linewidth=0)
    axis.axvline(100 * findings.clean.mean, color="black", linewidth=0.8)
    axis.axvline(100 * findings.chance, color="black", linewidth=0.8, linestyle="--")
    lower, higher = sorted(((findings.clean.mean, "left alone"), (findings.chance, "chance")))
    apart = higher[0] - lower[0] > 0.2
    for (x, name), side in ((lower, "right"), (higher, "left")):
        axis.annotate(
            name if apart else f" {name} ", (100 * x, 1), xycoords=("data", "axes fraction"), xytext=(0, 2),
            textcoords="offset points", ha="center" if apart else side, va="bottom", fontsize=7,
        )  # fmt: skip


def _levels(axis: Axes, findings: Findings) -> None:
    """The same, lying."""
    axis.axhspan(100 * findings.clean.low, 100 * findings.clean.high, color=GREY, alpha=0.25, linewidth=0)
    axis.axhline(100 * findings.chance, color="black", linewidth=0.8, linestyle="--")
    axis.grid(axis="y", alpha=0.25)


def _unique(axis: Axes) -> tuple[list[Artist], list[str]]:
    """Handles and labels of a legend, without what has no name."""
    handles, labels = axis.get_legend_handles_labels()
    return list(handles), list(labels)


def _key(axis: Axes, colors: Sequence[tuple[str, str]]) -> None:
    from matplotlib.patches import Patch

    axis.figure.legend(
        [Patch(color=color) for _, color in colors], [name for name, _ in colors], loc="outside lower center", ncols=3,
        frameon=False,
    )  # fmt: skip


_HEAD = [
    "name", "title", "gone", "series", "x", "num", "accuracy", "low", "high", "before", "difference", "difference_low",
    "difference_high", "p_value", "p_holm", "flips", "followed", "followed_low", "followed_high", "followed_before",
]  # fmt: skip


def _row(e: Effect) -> list[drawing.Cell]:
    return [
        e.name, e.title, e.destroys, e.series, e.x, e.num, *drawing.numbers(e.accuracy), e.before,
        *drawing.numbers(e.difference), e.p_value, e.p_holm, e.flips.mean, *drawing.numbers(e.followed),
        e.followed_before,
    ]  # fmt: skip
