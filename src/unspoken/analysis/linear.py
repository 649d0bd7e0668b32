"""Linear probes: can a linear map read from a thought which nodes are how far away, and what the answer is?

One ridge regression a stop, from the state after k thoughts to every node's name at once; names are shared over the
problems. Within each problem the nodes present in it are then ranked by their scores, so a probe gains nothing from
knowing which names are there, or which are frequent: 0.5 is chance. Entities nobody leads to (and the one asked about)
are no candidates, since their names alone give them away. Beside it:

    another problem's   the same probe trained and tested on the labels of another problem: what luck and names give
    k = 0               the state at <bot>, before any thought: what the question alone gives

That something can be read does not mean that the model reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import msgspec
import numpy as np
from numpy.typing import NDArray

from unspoken.analysis import drawing, pages
from unspoken.analysis.base import Analysis, Beaten, DoesNotApply, Subject, Unit
from unspoken.analysis.bootstrap import Bootstrap, Interval
from unspoken.analysis.ridge import FOLDS, cross_predict, ranked
from unspoken.analysis.search import Search

REACHABLE = "reachable"
ANSWER = "answer"
_MOST_HOPS = 6
_MOST_ANSWERS = 20
"""Different answers that may be told apart where there is no graph."""


@final
class LinearStop(msgspec.Struct, frozen=True, kw_only=True):
    """Probes of the states after so many slots."""

    stop: int
    num: int
    read: dict[str, Beaten]
    """By what is read; the answer's is a share of problems, the others' an AUC. Chance: another problem's labels."""


@final
class LinearFound(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    unit: Unit
    answer_by_chance: float
    """How often the answer is right by guessing: the commonest one of those there are."""
    stops: tuple[LinearStop, ...]


@final
@dataclass(frozen=True, kw_only=True)
class _Labels:
    """What to read, of every problem (N), by name (V)."""

    hops: dict[str, NDArray[np.bool_]]
    among: NDArray[np.bool_]
    """Which names are candidates in which problem."""
    answer: NDArray[np.bool_]
    options: NDArray[np.bool_]
    """Among which names the answer is."""

    def of(self, order: NDArray[np.int64]) -> _Labels:
        """Those of other problems, in this order."""
        return _Labels(
            hops={name: each[order] for name, each in self.hops.items()},
            among=self.among[order],
            answer=self.answer[order],
            options=self.options[order],
        )


@final
class Linear(Analysis[LinearFound]):
    """What a linear map reads from thoughts."""

    name: ClassVar[str] = "linear"
    title: ClassVar[str] = "Linear probes"

    def measure(self, subject: Subject) -> LinearFound | DoesNotApply:
        if len(subject) < 4 * FOLDS:
            return DoesNotApply(why=f"A probe needs at least {4 * FOLDS} problems, got {len(subject)}.")
        labels = _labels(subject)
        if labels is None:
            return DoesNotApply(
                why="The problems have no graphs, and not between 2 and 20 different answers to tell apart."
            )
        rng = np.random.default_rng(subject.seed)
        stops = []
        for k in subject.stops:
            there = np.flatnonzero(subject.there(k))
            if len(there) < 4 * FOLDS:
                continue
            states = subject.cache.states[there, k].astype(np.float64)
            # A cycle through all problems, so that none keeps its own labels.
            order = rng.permutation(there)
            others = np.zeros(len(subject), np.int64)
            others[order] = np.roll(order, 1)
            ours, theirs = _read(states, (labels.of(there), labels.of(others[there])), subject.seed)
            boot = subject.bootstrap
            stops.append(
                LinearStop(
                    stop=k,
                    num=len(there),
                    read={
                        name: Beaten(
                            found=_mean(boot, name, values, there),
                            chance=_mean(boot, name, theirs[name], there),
                            num=int((~np.isnan(values)).sum()),
                        )
                        for name, values in ours.items()
                        if not np.isnan(values).all() and not np.isnan(theirs[name]).all()
                    },
                )
            )
        return LinearFound(unit=subject.unit, answer_by_chance=_by_chance(labels), stops=tuple(stops))

    def draw(self, found: LinearFound, folder: Path) -> None:
        names = list(dict.fromkeys(name for stop in found.stops for name in stop.read))
        with drawing.style():
            width = max(drawing.COLUMN, 0.5 * len(names) + 0.8)
            figure, axes = drawing.panels(1, 2, width=width, height=0.3 * len(found.stops) + 0.9)
            titles = ("the problem's own labels", "control: another problem's labels")
            for axis, title, ours in zip(axes, titles, (True, False), strict=True):
                read = [[stop.read.get(name) for name in names] for stop in found.stops]
                cells = [
                    [None if e is None else e.found.mean if ours else e.chance.mean if e.chance else None for e in line]
                    for line in read
                ]
                drawing.heat(
                    axis, cells, rows=[str(stop.stop) for stop in found.stops],
                    columns=[name.replace(" ", "\n") for name in names], low=0.5 if len(names) > 1 else 0.0, high=1,
                )  # fmt: skip
                axis.set(title=title, ylabel=f"{found.unit}s so far")
            rows: list[list[drawing.Cell]] = [
                [stop.stop, each.num, name, *drawing.numbers(each.found), *drawing.numbers(each.chance)]
                for stop in found.stops
                for name, each in stop.read.items()
            ]
            head = ["stop", "problems", "read", "mean", "low", "high", "control", "control low", "control high"]
            drawing.save(figure, folder / "linear", head, rows)

    def page(self, found: LinearFound) -> list[str]:
        names = list(dict.fromkeys(name for stop in found.stops for name in stop.read))
        graph = names != [ANSWER]
        about = (
            "Can a linear map read from state k which nodes are exactly j hops from the node asked about, which can "
            "be reached, and which option is right? AUC within each problem's own nodes, 0.5 by chance; for the "
            f"answer the share of problems, {found.answer_by_chance:.2f} by chance. "
            if graph
            else f"Can a linear map read the answer from state k? Share of problems; the commonest answer is right in "
            f"{found.answer_by_chance:.2f} of them. "
        )
        return [
            f"{about}Ridge regression, {FOLDS}-fold over problems; in parentheses the same with another problem's "
            f"labels. State 0 stands before any {found.unit}: what is read there comes from the question alone. That "
            "something can be read does not mean that the model reads it.",
            "",
            *pages.figure("linear", "What a linear probe reads from each state"),
            *pages.table(
                [f"{found.unit}s", "problems", *names],
                [
                    [str(stop.stop), f"{stop.num:,}", *(_cell(stop.read.get(name)) for name in names)]
                    for stop in found.stops
                ],
            ),
        ]


def _cell(each: Beaten | None) -> str:
    if each is None:
        return "-"
    return pages.plain(each.found) + ("" if each.chance is None else f" ({each.chance.mean:.2f})")


def _mean(boot: Bootstrap, name: str, values: NDArray[np.float64], there: NDArray[np.int64]) -> Interval:
    """Of values of some problems; the answer's are hits and misses, the others' are AUCs."""
    out = np.full(boot.problems, np.nan)
    out[there] = values
    return boot.share(out) if name == ANSWER else boot.mean(out)


def _read(
    states: NDArray[np.float64], all_labels: Sequence[_Labels], seed: int
) -> list[dict[str, NDArray[np.float64]]]:
    """Scores of each problem by what is read, for each set of labels; one decomposition of the states serves all."""
    groups = [group.astype(np.float64) for labels in all_labels for group in (*labels.hops.values(), labels.answer)]
    predicted = iter(cross_predict(states, groups, seed=seed))
    out = []
    for labels in all_labels:
        found = {name: ranked(next(predicted), wanted, labels.among) for name, wanted in labels.hops.items()}
        scores = np.where(labels.options, next(predicted), -np.inf)
        top = scores == scores.max(1, keepdims=True)
        # Level options share the point.
        found[ANSWER] = (top & labels.answer).sum(1) / top.sum(1)
        out.append(found)
    return out


def _labels(subject: Subject) -> _Labels | None:
    if subject.searches is not None:
        return _graph_labels(subject.searches)
    answers = [example.answer for example in subject.cache.examples]
    known = sorted(set(answers))
    if not 2 <= len(known) <= _MOST_ANSWERS:
        return None
    place = {answer: i for i, answer in enumerate(known)}
    answer = np.zeros((len(answers), len(known)), np.bool_)
    answer[np.arange(len(answers)), [place[each] for each in answers]] = True
    return _Labels(hops={}, among=np.ones_like(answer), answer=answer, options=np.ones_like(answer))


def _graph_labels(searches: Sequence[Search]) -> _Labels:
    names = sorted({name for search in searches for name in search.names})
    place = {name: i for i, name in enumerate(names)}
    columns = [np.array([place[name] for name in search.names]) for search in searches]

    def by_name(nodes: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
        out = np.zeros((len(searches), len(names)), np.bool_)
        for i, (column, each) in enumerate(zip(columns, nodes, strict=True)):
            out[i, column[each]] = True
        return out

    def only(search: Search, *nodes: int) -> NDArray[np.bool_]:
        out = np.zeros(search.graph.num_nodes, np.bool_)
        out[list(nodes)] = True
        return out

    deepest = min(_MOST_HOPS, max(int(search.depth.max()) for search in searches))
    hops = {f"hop {j}": by_name([search.frontier(j) for search in searches]) for j in range(1, deepest + 1)}
    hops[REACHABLE] = by_name([search.depth > 0 for search in searches])
    targets = by_name([only(search, search.graph.target) for search in searches])
    options = by_name([only(search, search.graph.target, search.graph.neg_target) for search in searches])
    with_parents = by_name([only(search, *{child for _, child in search.graph.edges}) for search in searches])
    return _Labels(hops=hops, among=with_parents, answer=targets, options=options)


def _by_chance(labels: _Labels) -> float:
    if (labels.options.sum(1) == 2).all():
        return 0.5
    return float(labels.answer.mean(0).max())
