"""How far thoughts search breadth first: where the values of nodes lie after each thought, in numbers.

After k thoughts the model, forced into words, names a node; a breadth-first search would give all it has to the nodes
exactly as many hops away as the chain has come (the frontier), and as much to each. What is counted, for every problem
whose shortest path is long enough:

    mass                all values added up, before they are made to sum to one over the problem's nodes
    frontier            share of the values on the frontier
    reachable           share on other nodes that can be reached
    unreachable         share on nodes that cannot
    solution            share on nodes that a shortest path to the right option passes at that hop
    candidates          exp(entropy) of the values on the frontier: of how many nodes it is undecided
    evenness            that entropy over its largest, log(frontier size); frontiers of one node do not count
    divergence          from an even spread over the frontier, in nats: log(frontier size) - entropy
    top on solution     whether the node with the largest value is on a solution path

All say what the model *would write*, not where it knows it from: a model that works everything out from the question
once it may write looks like a perfect search. Whether the thoughts carry it is the audit's question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, final

import msgspec
import numpy as np
from numpy.typing import NDArray

from unspoken.analysis import drawing, pages
from unspoken.analysis.base import Analysis, DoesNotApply, Subject, Unit, why_no_values
from unspoken.analysis.bootstrap import Bootstrap, Interval
from unspoken.analysis.cache import ThoughtCache
from unspoken.analysis.search import Search, entropy, shares

NODES = "even over nodes"
FRONTIER = "even over the frontier"
TOP = "top on solution"

MEASURES = (
    "mass",
    "frontier",
    "reachable",
    "unreachable",
    "solution",
    "candidates",
    "evenness",
    "divergence",
    TOP,
)
"""In the order of the module's table."""


@final
class BreadthMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """One measure at one stop, over problems."""

    found: Interval
    chances: dict[str, float]
    """What it would be were all values even, over the problem's nodes or over its frontier; the same problems."""
    beside: Interval | None
    """The other model's, on the problems in which both have one."""
    difference: Interval | None
    """Ours less the other's on those, paired."""


@final
class BreadthStop(msgspec.Struct, frozen=True, kw_only=True):
    """After so many slots."""

    stop: int
    hops: int
    num: int
    """Problems whose shortest path is long enough."""
    frontier_size: float
    """Mean number of nodes on the frontier."""
    measures: dict[str, BreadthMeasure]


@final
class BreadthFound(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    unit: Unit
    beside: str | None
    stops: tuple[BreadthStop, ...]


def measure_values(log_values: NDArray[np.float32], search: Search, hops: int) -> NDArray[np.float64]:
    """The `MEASURES` of one problem at one stop, from its nodes' log-values (V,)."""
    values = shares(log_values)
    frontier, solution = search.frontier(hops), search.on_solution(hops)
    on_frontier = values[frontier].sum()
    size = int(frontier.sum())
    undecided = float(entropy(shares(log_values[frontier])))
    largest = np.log(size)
    top = values == values.max()
    return np.array(
        [
            np.exp(np.asarray(log_values, np.float64)).sum(),
            on_frontier,
            values[search.reachable].sum() - on_frontier,
            values[~search.reachable].sum(),
            values[solution].sum(),
            np.exp(undecided),
            undecided / largest if size > 1 else np.nan,
            largest - undecided,
            # Of nodes with the very same value any could be called the top one.
            (top & solution).sum() / top.sum(),
        ]
    )


def _by_chance(search: Search, hops: int) -> dict[str, NDArray[np.float64]]:
    """The same of even values; how much there is of them is no matter of chance."""
    even = np.zeros(search.graph.num_nodes, np.float32)
    found = {
        NODES: measure_values(even, search, hops),
        FRONTIER: measure_values(np.where(search.frontier(hops), even, -np.inf).astype(np.float32), search, hops),
    }
    for values in found.values():
        values[0] = np.nan
    return found


@final
class Breadth(Analysis[BreadthFound]):
    """Where values lie after each thought."""

    name: ClassVar[str] = "breadth"
    title: ClassVar[str] = "Breadth-first search, measured"

    def measure(self, subject: Subject) -> BreadthFound | DoesNotApply:
        searches, cache = subject.searches, subject.cache
        if (why := why_no_values(subject)) is not None:
            return why
        assert searches is not None and cache.log_values is not None
        stops = [stop for k in subject.stops if (stop := _stop(subject, searches, cache, k)) is not None]
        return BreadthFound(
            unit=subject.unit,
            beside=subject.beside.name if subject.beside else None,
            stops=tuple(stops),
        )

    def draw(self, found: BreadthFound, folder: Path) -> None:
        with drawing.style():
            _draw_shares(found, folder / "breadth-shares")
            _draw_candidates(found, folder / "breadth-candidates")

    def page(self, found: BreadthFound) -> list[str]:
        lines = [
            f"A node's value is the probability that the model, forced into words after so many {found.unit}s, names "
            "it next. A breadth-first search has all its values on the frontier (nodes exactly that many hops "
            "away), evenly. This is what the model *would write*: a model that works it out from the question when it "
            "may write looks the same, so this alone does not show that thoughts matter. Problems whose shortest path "
            "is shorter than the hop are left out. Chance: values even over all nodes, or over the frontier.",
            "",
            *pages.figure("breadth-shares", "Where the values lie, and what even values over all nodes would give"),
            *pages.figure("breadth-candidates", "How many nodes of the frontier it is undecided between"),
        ]
        head = [f"{found.unit}s", "hop", "problems", *(name for name in MEASURES)]
        lines += pages.table(
            head,
            [
                [str(stop.stop), str(stop.hops), f"{stop.num:,}"]
                + [pages.plain(m.found) if (m := stop.measures.get(name)) else "-" for name in MEASURES]
                for stop in found.stops
            ],
        )
        lines += ["By chance, of the same problems:", ""]
        lines += pages.table(
            [f"{found.unit}s", "values", *MEASURES[1:]],
            [
                [str(stop.stop), chance, *(_chance_cell(stop, name, chance) for name in MEASURES[1:])]
                for stop in found.stops
                for chance in (NODES, FRONTIER)
            ],
            left=2,
        )
        if found.beside is not None:
            lines += [
                f"Less {found.beside}, given the right steps so far, at the same hops (paired over problems).",
                "",
                *pages.table(
                    [f"{found.unit}s", "hop", *MEASURES],
                    [
                        [str(stop.stop), str(stop.hops)]
                        + [pages.plain(m.difference) if (m := stop.measures.get(name)) else "-" for name in MEASURES]
                        for stop in found.stops
                    ],
                ),
            ]
        return lines


def _chance_cell(stop: BreadthStop, name: str, chance: str) -> str:
    measure = stop.measures.get(name)
    return f"{measure.chances[chance]:.2f}" if measure and chance in measure.chances else "-"


def _stop(subject: Subject, searches: Sequence[Search], cache: ThoughtCache, k: int) -> BreadthStop | None:
    """None where no problem's path is long enough."""
    counted = subject.on_the_way(k)
    if not counted.any():
        return None
    hops = subject.hops(k)
    nothing = np.full((len(subject), len(MEASURES)), np.nan)
    ours, theirs = nothing.copy(), nothing.copy()
    chances = {NODES: nothing.copy(), FRONTIER: nothing.copy()}
    for i in np.flatnonzero(counted).tolist():
        assert cache.log_values is not None
        ours[i] = measure_values(cache.log_values[i][k], searches[i], hops)
        for name, values in _by_chance(searches[i], hops).items():
            chances[name][i] = values
        if subject.beside is not None and (stop := subject.beside.stop(i, hops)) is not None:
            assert subject.beside.cache.log_values is not None
            theirs[i] = measure_values(subject.beside.cache.log_values[i][stop], searches[i], hops)
    sizes = [searches[i].frontier(hops).sum() for i in np.flatnonzero(counted).tolist()]
    return BreadthStop(
        stop=k,
        hops=hops,
        num=int(counted.sum()),
        frontier_size=float(np.mean(sizes)),
        measures={
            name: _compared(
                subject.bootstrap.share if name == TOP else subject.bootstrap.mean,
                ours[:, m],
                theirs[:, m],
                {chance: values[:, m] for chance, values in chances.items()},
                subject.bootstrap,
            )
            for m, name in enumerate(MEASURES)
            if not np.isnan(ours[:, m]).all()
        },
    )


def _compared(
    mean: Callable[[NDArray[np.float64]], Interval],
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    chances: dict[str, NDArray[np.float64]],
    boot: Bootstrap,
) -> BreadthMeasure:
    both = ~(np.isnan(ours) | np.isnan(theirs))
    return BreadthMeasure(
        found=mean(ours),
        chances={name: float(np.nanmean(values)) for name, values in chances.items() if not np.isnan(values).all()},
        beside=mean(np.where(both, theirs, np.nan)) if both.any() else None,
        difference=boot.difference(ours, theirs) if both.any() else None,
    )


_SHARES = (("frontier", "frontier"), ("reachable", "reachable, elsewhere"), ("unreachable", "unreachable"))


def _draw_shares(found: BreadthFound, path: Path) -> None:
    figure, (axis,) = drawing.panels(1, height=2.9)
    ks = [stop.stop for stop in found.stops]
    low, low_chance = np.zeros(len(ks)), np.zeros(len(ks))
    for (name, label), color in zip(_SHARES, (drawing.PALETTE[0], drawing.PALETTE[5], drawing.GREY), strict=True):
        height = 100 * np.array([stop.measures[name].found.mean for stop in found.stops])
        chance = 100 * np.array([stop.measures[name].chances[NODES] for stop in found.stops])
        axis.bar(np.array(ks) - 0.16, height, bottom=low, width=0.46, color=color, label=label)
        axis.bar(np.array(ks) + 0.25, chance, bottom=low_chance, width=0.2, color=color, alpha=0.45)
        low, low_chance = low + height, low_chance + chance
    tops = [stop.measures[TOP] for stop in found.stops]
    drawing.with_interval(
        axis, [k - 0.16 for k in ks], [top.found for top in tops], color="black", marker="o",
        label="top node on a solution path", scale=100, linestyle="none",
    )  # fmt: skip
    axis.plot(
        [k - 0.16 for k in ks], [100 * top.chances[FRONTIER] for top in tops], color="black", marker="_",
        linestyle="none", markersize=9, label="the same, any of the frontier",
    )  # fmt: skip
    axis.set_xticks(ks, [f"{stop.stop}\nhop {stop.hops}" for stop in found.stops])
    axis.set(xlabel=f"{found.unit}s so far (narrow, pale: even over nodes)", ylabel="share of the values, %")
    axis.set_ylim(0, 104)
    handles, labels = axis.get_legend_handles_labels()
    # By columns: what the bars are, then what the marks are.
    order = [*range(1, len(labels)), 0]
    figure.legend(
        [handles[i] for i in order], [labels[i] for i in order], loc="outside upper center", ncols=2, frameon=False
    )
    rows: list[list[drawing.Cell]] = []
    for stop in found.stops:
        for name, each in stop.measures.items():
            rows.append([stop.stop, stop.hops, stop.num, name, *drawing.numbers(each.found)])
            rows[-1] += [each.chances.get(NODES), each.chances.get(FRONTIER), *drawing.numbers(each.beside)]
    head = ["stop", "hops", "problems", "measure", "mean", "low", "high", NODES, FRONTIER]
    drawing.save(figure, path, [*head, "beside", "beside low", "beside high"], rows)


def _draw_candidates(found: BreadthFound, path: Path) -> None:
    figure, (axis,) = drawing.panels(1)
    ks = [stop.stop for stop in found.stops]
    ours = [stop.measures["candidates"] for stop in found.stops]
    sizes = [stop.frontier_size for stop in found.stops]
    axis.plot(ks, sizes, color=drawing.GREY, marker="_", linestyle="--", label="nodes on the frontier")
    drawing.with_interval(
        axis, ks, [each.found for each in ours], color=drawing.PALETTE[0], marker="o", label="undecided between"
    )
    compared = [(k, each.beside) for k, each in zip(ks, ours, strict=True)]
    shown = [(k, each) for k, each in compared if each is not None]
    if shown:
        drawing.with_interval(
            axis, [k for k, _ in shown], [each for _, each in shown], color=drawing.PALETTE[1], marker="s",
            label=f"the same, {found.beside}",
        )  # fmt: skip
    axis.set_xticks(ks, [f"{stop.stop}\nhop {stop.hops}" for stop in found.stops])
    axis.set(xlabel=f"{found.unit}s so far", ylabel="nodes", ylim=(0, None))
    axis.legend(frameon=False)
    rows: list[list[drawing.Cell]] = [
        [stop.stop, stop.hops, stop.num, stop.frontier_size, each.found.mean, each.found.low, each.found.high]
        + [None if each.beside is None else each.beside.mean]
        for stop, each in zip(found.stops, ours, strict=True)
    ]
    head = ["stop", "hops", "problems", "frontier size", "candidates", "low", "high", "beside"]
    drawing.save(figure, path, head, rows)
