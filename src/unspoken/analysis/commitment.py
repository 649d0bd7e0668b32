"""When the search is over: since when one node has held most of the values, and whether it is a right one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, final

import msgspec
import numpy as np

from unspoken.analysis import drawing, pages
from unspoken.analysis.base import Analysis, DoesNotApply, Subject, Unit, why_no_values
from unspoken.analysis.bootstrap import Interval
from unspoken.analysis.search import Search, shares

HELD = (0.5, 0.9)
"""Shares of the values at which one node is said to be what the model has committed to."""


@final
class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Since when one node has held so much of the values, at that stop and every later one that counts."""

    held: float
    """The share of the values that makes it a commitment."""
    since: dict[str, Interval]
    """By stop, and "never": the share of problems."""
    since_by_chance: dict[str, float]
    """The same of values that are even over the frontier: with two nodes each always holds a half."""
    leads: Interval | None
    """Share of the problems that commit in which that node leads to the right option; None where none commits."""
    leads_by_chance: float | None
    """The same for any node of the frontier there."""


@final
class CommitmentFound(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    unit: Unit
    held: tuple[Held, ...]
    """One for each of `HELD`."""


@final
class Commitment(Analysis[CommitmentFound]):
    """When one node has most of the values."""

    name: ClassVar[str] = "commitment"
    title: ClassVar[str] = "Commitment"

    def measure(self, subject: Subject) -> CommitmentFound | DoesNotApply:
        if (why := why_no_values(subject)) is not None:
            return why
        assert subject.searches is not None and subject.cache.log_values is not None
        searches = subject.searches
        return CommitmentFound(unit=subject.unit, held=tuple(_held(subject, searches, held) for held in HELD))

    def draw(self, found: CommitmentFound, folder: Path) -> None:
        with drawing.style():
            figure, (axis,) = drawing.panels(1)
            names = list(found.held[0].since)
            places = np.arange(len(names))
            for i, (each, color) in enumerate(zip(found.held, drawing.PALETTE, strict=False)):
                at = places + 0.36 * (i - (len(found.held) - 1) / 2)
                found_by_stop = list(each.since.values())
                axis.bar(
                    at,
                    [100 * s.mean for s in found_by_stop],
                    width=0.34,
                    color=color,
                    label=f"{100 * each.held:.0f} % of the values",
                )
                drawing.with_interval(
                    axis, at.tolist(), found_by_stop, color="black", marker="none", scale=100, linestyle="none"
                )
                chance = [100 * each.since_by_chance[name] for name in names]
                axis.plot(
                    at, chance, color=drawing.GREY, marker="_", markersize=10, markeredgewidth=2, linestyle="none"
                )
            axis.set_xticks(places, names)
            axis.set(xlabel=f"{found.unit}s so far (grey: even values)", ylabel="% of problems", ylim=(0, 104))
            figure.legend(loc="outside upper center", ncols=3, frameon=False)
            rows: list[list[drawing.Cell]] = [
                [each.held, name, *drawing.numbers(share), each.since_by_chance[name]]
                for each in found.held
                for name, share in each.since.items()
            ]
            drawing.save(figure, folder / "commitment", ["held", "since", "share", "low", "high", "even values"], rows)

    def page(self, found: CommitmentFound) -> list[str]:
        when = [
            f"since {pages.count(int(name), found.unit)}" if name.isdigit() else name for name in found.held[0].since
        ]
        rows = []
        for each in found.held:
            cells = [f"{pages.percent(s)} ({100 * each.since_by_chance[name]:.1f})" for name, s in each.since.items()]
            leads = pages.percent(each.leads)
            if each.leads_by_chance is not None:
                leads += f" ({100 * each.leads_by_chance:.1f})"
            rows.append([f"{100 * each.held:.0f} %", *cells, leads])
        return [
            "Since when one node has held at least so much of the values, at every stop that counts, % of problems; "
            "and in how many of those it leads to the right option. In parentheses what values even over the frontier, "
            "or any of its nodes, give (of two nodes each always holds a half).",
            "",
            *pages.figure("commitment", "Since when one node has held most of the values"),
            *pages.table(["held by one node", *when, "leads to the right option"], rows),
        ]


def _held(subject: Subject, searches: Sequence[Search], held: float) -> Held:
    assert subject.cache.log_values is not None
    counted = np.array([subject.on_the_way(k) for k in subject.stops]).T
    since, even_since = np.full(len(subject), -1), np.full(len(subject), -1)
    leads, chance = np.full(len(subject), np.nan), np.full(len(subject), np.nan)
    for i, search in enumerate(searches):
        stops = np.flatnonzero(counted[i]).tolist()
        frontiers = [search.frontier(subject.hops(k)) for k in stops]
        values = [shares(subject.cache.log_values[i][k]) for k in stops]
        since[i] = _since(stops, [float(each.max()) >= held for each in values])
        even_since[i] = _since(stops, [1 / each.sum() >= held for each in frontiers])
        if since[i] >= 0:
            at = stops.index(since[i])
            leads[i] = float(search.leads[values[at].argmax()])
            chance[i] = search.leads[frontiers[at]].mean()
    any_counted = counted.any(1)
    names = [*((str(k), k) for k in subject.stops if counted[:, k].any()), ("never", -1)]
    commits = not np.isnan(leads).all()
    return Held(
        held=held,
        since={name: subject.bootstrap.share(np.where(any_counted, since == k, np.nan)) for name, k in names},
        since_by_chance={name: float((even_since == k)[any_counted].mean()) for name, k in names},
        leads=subject.bootstrap.share(leads) if commits else None,
        leads_by_chance=float(np.nanmean(chance)) if commits else None,
    )


def _since(stops: Sequence[int], holds: Sequence[bool]) -> int:
    """The first stop from which on all hold; -1: the last one does not."""
    found = -1
    for stop, each in zip(reversed(stops), reversed(holds), strict=True):
        if not each:
            break
        found = stop
    return found
