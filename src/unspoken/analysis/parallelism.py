"""How many nodes a thought holds at once: the paper's figure of parallelism.

For every problem the values of its frontier's best one, best two and best three nodes, added up; each of the three
curves sorted by itself, from the smallest to the largest. A gap between the curves means alternatives held at once; a
gap that closes means that the search narrows down.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, final

import msgspec
import numpy as np

from unspoken.analysis import drawing, pages
from unspoken.analysis.base import Analysis, DoesNotApply, Subject, Unit, why_no_values
from unspoken.analysis.bootstrap import Interval

TOPS = (1, 2, 3)
_NAMES = tuple(f"top {num}" for num in TOPS)
_SHOWN = (1, 2)
"""After how many thoughts the paper looks."""


@final
class ParallelStop(msgspec.Struct, frozen=True, kw_only=True):
    """After so many slots."""

    stop: int
    hops: int
    num: int
    frontier_size: float
    """Mean; a frontier of one node has no alternatives."""
    means: dict[str, Interval]
    """By "top 1", "top 2", "top 3": mean cumulative value."""
    alone: Interval
    """Share of the best node in the best three: 1 where all is on one node, 1/3 where three are level."""
    alone_by_chance: float
    """The same were the frontier's values even."""
    sorted: dict[str, tuple[float, ...]]
    """The same, each sorted: a value for every problem."""


@final
class ParallelFound(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    unit: Unit
    stops: tuple[ParallelStop, ...]


@final
class Parallelism(Analysis[ParallelFound]):
    """Cumulative values of the best nodes."""

    name: ClassVar[str] = "parallelism"
    title: ClassVar[str] = "Parallelism"

    def measure(self, subject: Subject) -> ParallelFound | DoesNotApply:
        if (why := why_no_values(subject)) is not None:
            return why
        assert subject.searches is not None and subject.cache.log_values is not None
        found = []
        for k in subject.stops:
            counted = subject.on_the_way(k)
            if not counted.any():
                continue
            hops = subject.hops(k)
            cumulative = np.full((len(subject), len(TOPS)), np.nan)
            sizes = np.full(len(subject), np.nan)
            for i in np.flatnonzero(counted).tolist():
                frontier = subject.searches[i].frontier(hops)
                values = np.sort(subject.cache.values(i)[k][frontier])[::-1]
                cumulative[i] = [values[:num].sum() for num in TOPS]
                sizes[i] = frontier.sum()
            best_three = cumulative[:, -1]
            with np.errstate(invalid="ignore"):
                alone = cumulative[:, 0] / best_three
            if np.isnan(alone).all():
                continue
            found.append(
                ParallelStop(
                    stop=k,
                    hops=hops,
                    num=int(counted.sum()),
                    frontier_size=float(np.nanmean(sizes)),
                    means={
                        f"top {num}": each for num, each in zip(TOPS, subject.bootstrap.means(cumulative), strict=True)
                    },
                    alone=subject.bootstrap.mean(alone),
                    alone_by_chance=float(np.nanmean(1 / np.minimum(sizes, TOPS[-1]))),
                    sorted={
                        name: tuple(float(f"{v:.5g}") for v in np.sort(cumulative[counted, place]))
                        for place, name in enumerate(_NAMES)
                    },
                )
            )
        return ParallelFound(unit=subject.unit, stops=tuple(found))

    def draw(self, found: ParallelFound, folder: Path) -> None:
        shown = [stop for stop in found.stops if stop.stop in _SHOWN] or list(found.stops[:1])
        with drawing.style():
            figure, axes = drawing.panels(len(shown), width=2.7, height=2.5)
            rows: list[list[drawing.Cell]] = []
            for axis, stop in zip(axes, shown, strict=True):
                percentiles = 100 * (np.arange(stop.num) + 0.5) / stop.num
                below = np.zeros(stop.num)
                for (name, values), color in zip(stop.sorted.items(), _SHADES, strict=True):
                    axis.fill_between(percentiles, below, values, color=color, alpha=0.35, linewidth=0)
                    axis.plot(percentiles, values, color=color, linewidth=1.2, label=name)
                    below = np.array(values)
                    rows += [[stop.stop, name, p, v] for p, v in zip(percentiles.tolist(), values, strict=True)]
                axis.set(
                    title=f"after {pages.count(stop.stop, found.unit)} (hop {stop.hops})",
                    xlim=(0, 100), ylim=(0, 1.02), xlabel="percentile of problems",
                )  # fmt: skip
            axes[0].set_ylabel("cumulative value, frontier")
            axes[-1].legend(frameon=False, loc="lower right")
            drawing.save(figure, folder / "parallelism", ["stop", "nodes", "percentile", "cumulative value"], rows)

    def page(self, found: ParallelFound) -> list[str]:
        head = [f"{found.unit}s", "hop", "problems", "frontier", *_NAMES, "top 1 of top 3", "if even"]
        return [
            "Values of the best one, two and three nodes of the frontier, added up; each curve sorted by itself over "
            "the problems whose path is long enough. A gap between the curves: alternatives are held at once.",
            "",
            *pages.figure("parallelism", "Cumulative value of the best nodes of the frontier"),
            *pages.table(
                head,
                [
                    [str(stop.stop), str(stop.hops), f"{stop.num:,}", f"{stop.frontier_size:.1f}"]
                    + [pages.plain(each) for each in stop.means.values()]
                    + [pages.plain(stop.alone), f"{stop.alone_by_chance:.2f}"]
                    for stop in found.stops
                ],
            ),
        ]


_SHADES = (drawing.PALETTE[0], drawing.PALETTE[5], drawing.PALETTE[2])
