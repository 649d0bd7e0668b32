"""Rows as a grid of text: a line for each of them, or, as in the paper's Table 1, a line for each method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from unspoken.tables.columns import ABSENT, Column, accuracy_cell, columns, method_cell, paper_cell, tokens_cell
from unspoken.tables.rows import Row, place


@final
@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table as text, not yet in any format."""

    groups: tuple[tuple[str, int], ...]
    """Headings above the headings, each with how many columns it stands over; empty: there are none."""
    head: tuple[str, ...]
    text: tuple[bool, ...]
    """Of each column, whether its cells are words, not figures."""
    body: tuple[tuple[str, ...], ...]


@final
@dataclass(frozen=True, kw_only=True)
class TaskGroup:
    """The rows of one task: a group of columns, or a column of a figure."""

    title: str
    rows: tuple[Row, ...]


def by_task(rows: Sequence[Row]) -> list[TaskGroup]:
    """Rows by task, in their order; by task and the recipe's family where a method stands in a task more than once.

    The family of `prosqa/two-layer/coconut` is `prosqa/two-layer`.
    """
    found: list[TaskGroup] = []
    for task in dict.fromkeys(row.task for row in rows):
        own = [row for row in rows if row.task == task]
        families = list(dict.fromkeys(_family(row) for row in own))
        if len({row.method for row in own}) == len(own) or len(families) == 1:
            found.append(TaskGroup(title=task, rows=tuple(own)))
            continue
        for family in families:
            within = tuple(row for row in own if _family(row) == family)
            found.append(TaskGroup(title=f"{task} ({family})", rows=within))
    return found


def _family(row: Row) -> str:
    return row.recipe.rpartition("/")[0] or row.recipe


def long(rows: Sequence[Row]) -> Grid:
    """A line for each row."""
    shown = columns(rows)
    return Grid(
        groups=(),
        head=tuple(c.heading for c in shown),
        text=tuple(c.text for c in shown),
        body=tuple(tuple(c.cell(row) for c in shown) for row in rows),
    )


def wide(rows: Sequence[Row]) -> Grid:
    """A line for each method, and for each task its accuracy, the paper's where it has one, and tokens + thoughts.

    Where a method stands in a group of columns with several recipes (`coconut`, `coconut-c1`), those after the first
    have a line of their own, named after the recipe.

    Raises:
        ValueError: there are several rows of a recipe for one cell.
    """
    groups: list[tuple[str, int]] = [("", 1)]
    head = ["Method"]
    cells: list[dict[str, str]] = []
    lines: dict[str, int] = {}
    for group in by_task(rows):
        by_method: dict[str, Row] = {}
        for row in group.rows:
            method = method_cell(row)
            if method in by_method and by_method[method].recipe != row.recipe:
                method = f"{method} ({row.recipe.rpartition('/')[2]})"
            lines.setdefault(method, place(row.method))
            first = by_method.setdefault(method, row)
            if first is not row:
                raise ValueError(
                    f"{first.runs[0].path} and {row.runs[0].path} are different runs of {row.method} on {group.title}, "
                    "for which the wide layout has one cell; name only one of them, or use the long layout"
                )
        shown = [Column(heading="Accuracy %", cell=accuracy_cell)]
        if any(paper_cell(row) != ABSENT for row in group.rows):
            shown.append(Column(heading="Paper %", cell=paper_cell))
        heading = "Tokens + thoughts" if any(row.thoughts for row in group.rows) else "Tokens"
        shown.append(Column(heading=heading, cell=tokens_cell))
        groups.append((group.title, len(shown)))
        for column in shown:
            head.append(column.heading)
            cells.append({method: column.cell(row) for method, row in by_method.items()})
    methods = sorted(lines, key=lambda method: lines[method])
    return Grid(
        groups=tuple(groups),
        head=tuple(head),
        text=(True, *[False] * len(cells)),
        body=tuple((method, *(column.get(method, ABSENT) for column in cells)) for method in methods),
    )
