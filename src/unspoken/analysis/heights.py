"""Height against value: nodes near a leaf should be easier to judge (paper, section 5).

The height of a node is its shortest distance to any leaf. If the model judges low nodes better, values on the frontier
are decisive there: high where the node leads to the right option, low where it does not; further up both are alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, final

import msgspec
import numpy as np

from unspoken.analysis import drawing, pages
from unspoken.analysis.base import Analysis, DoesNotApply, Subject, Unit, why_no_values
from unspoken.analysis.bootstrap import Bootstrap, Interval
from unspoken.analysis.search import shares

_FEW = 10
"""Means of fewer nodes are not drawn."""


@final
class AtHeight(msgspec.Struct, frozen=True, kw_only=True):
    """Frontier nodes of one height."""

    height: int
    num_leading: int
    """Nodes from which the right option can be reached, over problems and stops."""
    num_others: int
    leading: Interval | None
    """Mean share of the frontier's values on one such node; intervals resample problems."""
    others: Interval | None
    difference: Interval | None
    """Of the two means, in the same resamples; None where either kind has no node."""
    even: float
    """Mean of one over the frontier's size: what any of these nodes would have were values even."""


@final
class HeightsFound(msgspec.Struct, frozen=True, kw_only=True):
    """By the stop they are of, "all" first."""

    unit: Unit
    by_stop: dict[str, tuple[AtHeight, ...]]


@final
class Heights(Analysis[HeightsFound]):
    """Values by height."""

    name: ClassVar[str] = "heights"
    title: ClassVar[str] = "Height against value"

    def measure(self, subject: Subject) -> HeightsFound | DoesNotApply:
        if (why := why_no_values(subject)) is not None:
            return why
        assert subject.searches is not None and subject.cache.log_values is not None
        by_stop: dict[str, list[_Node]] = {"all": []}
        for k in subject.stops:
            counted = np.flatnonzero(subject.on_the_way(k))
            if not len(counted):
                continue
            hops = subject.hops(k)
            nodes: list[_Node] = []
            for i in counted.tolist():
                search = subject.searches[i]
                frontier = np.flatnonzero(search.frontier(hops))
                # A single node has it all, whatever the model thinks of it.
                if len(frontier) < 2:
                    continue
                values = shares(subject.cache.log_values[i][k][frontier])
                nodes += [
                    (i, int(search.height[node]), bool(search.leads[node]), float(value), 1 / len(frontier))
                    for node, value in zip(frontier, values, strict=True)
                    if not np.isnan(value)
                ]
            if nodes:
                by_stop[str(k)] = nodes
                by_stop["all"] += nodes
        if not by_stop["all"]:
            return DoesNotApply(why="No problem has a frontier of two nodes or more, so no node competes with another.")
        return HeightsFound(
            unit=subject.unit,
            by_stop={name: _by_height(nodes, subject.bootstrap, len(subject)) for name, nodes in by_stop.items()},
        )

    def draw(self, found: HeightsFound, folder: Path) -> None:
        shown = _shown(found)
        with drawing.style():
            figure, axes = drawing.panels(len(shown), width=drawing.COLUMN if len(shown) == 1 else 2.5, height=2.5)
            rows: list[list[drawing.Cell]] = []
            for axis, (name, levels) in zip(axes, shown.items(), strict=True):
                leading = [(each.height, each.leading) for each in levels if each.leading and each.num_leading >= _FEW]
                others = [(each.height, each.others) for each in levels if each.others and each.num_others >= _FEW]
                for points, label, color, marker in (
                    (leading, "leads to the right option", drawing.PALETTE[2], "o"),
                    (others, "does not", drawing.PALETTE[1], "s"),
                ):
                    drawing.with_interval(
                        axis, [x for x, _ in points], [y for _, y in points], color=color, marker=marker, label=label
                    )
                heights = [each.height for each in levels]
                axis.plot(
                    heights, [each.even for each in levels], color=drawing.GREY, linestyle="--", label="even values"
                )
                title = "all stops" if name == "all" else f"after {pages.count(int(name), found.unit)}"
                axis.set(title=title, xlabel="height of the node", ylim=(0, 1.02), xticks=heights)
            axes[0].set_ylabel("share of the frontier's values")
            figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
            for name, levels in found.by_stop.items():
                for each in levels:
                    for kind, num, value in (
                        ("leading", each.num_leading, each.leading),
                        ("others", each.num_others, each.others),
                    ):
                        rows.append([name, each.height, kind, num, *drawing.numbers(value), each.even])
            drawing.save(
                figure, folder / "heights", ["stop", "height", "nodes", "num", "mean", "low", "high", "even"], rows
            )

    def page(self, found: HeightsFound) -> list[str]:
        head = [
            f"{found.unit}s",
            "height",
            "nodes that lead",
            "their share",
            "other nodes",
            "their share",
            "difference",
        ]
        return [
            "A node's height is its shortest distance to a leaf. Share of the frontier's values on one node, by "
            "whether the right option can be reached from it; frontiers of a single node are left out. Chance is the "
            "share of even values.",
            "",
            *pages.figure(
                "heights", f"Share of the frontier's values by height, where there are at least {_FEW} nodes"
            ),
            *pages.table(
                [*head, "even"],
                [
                    [name, str(each.height), f"{each.num_leading:,}", pages.plain(each.leading)]
                    + [f"{each.num_others:,}", pages.plain(each.others), pages.plain(each.difference)]
                    + [f"{each.even:.2f}"]
                    for name, levels in _shown(found).items()
                    for each in levels
                ],
            ),
        ]


def _shown(found: HeightsFound) -> dict[str, tuple[AtHeight, ...]]:
    """All stops together, and the two the paper looks at where they have more than one height."""
    return {
        name: levels
        for name, levels in found.by_stop.items()
        if name == "all" or (name in ("1", "2") and len(levels) > 1)
    }


_Node = tuple[int, int, bool, float, float]
"""Problem, height, whether it leads to the right option, its share of the frontier's values, an even share."""


def _by_height(nodes: list[_Node], boot: Bootstrap, problems: int) -> tuple[AtHeight, ...]:
    found = []
    for height in sorted({node[1] for node in nodes}):
        here = [node for node in nodes if node[1] == height]
        sums, nums = np.zeros((2, problems)), np.zeros((2, problems))
        for problem, _, leads, value, _ in here:
            sums[int(leads), problem] += value
            nums[int(leads), problem] += 1
        totals = nums.sum(1)
        found.append(
            AtHeight(
                height=height,
                num_leading=int(totals[1]),
                num_others=int(totals[0]),
                leading=boot.ratio(sums[1], nums[1]) if totals[1] else None,
                others=boot.ratio(sums[0], nums[0]) if totals[0] else None,
                difference=boot.ratio_difference(sums[1], nums[1], sums[0], nums[0]) if totals.all() else None,
                even=float(np.mean([node[4] for node in here])),
            )
        )
    return tuple(found)
