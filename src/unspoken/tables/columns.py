"""What a row of a table says, cell by cell, and how far it is from the paper's figure."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import final, get_args

from unspoken.config import to_builtins
from unspoken.paper import METHOD_NAMES, Cell, counterpart, published_problems, table1
from unspoken.records import Summary
from unspoken.tables.rows import Row, Verdict, deviation

ABSENT = "-"
"""A cell with nothing in it."""


@final
@dataclass(frozen=True, kw_only=True)
class Column:
    """A heading and how a row's cell is written."""

    heading: str
    cell: Callable[[Row], str]
    text: bool = False
    """Whether its cells are words, not figures."""


def accuracy_cell(row: Row) -> str:
    """`97.0 [95.1, 98.2]` with one seed (95 % Wilson interval); `97.0 ± 0.3 (3 seeds)` with more."""
    return _accuracy(row.summaries, seeds=1)


def further_cell(row: Row, *, evaluation: str) -> str:
    """A further evaluation's accuracy over the runs that have it; how many, where they are not the only seed."""
    found = row.of(evaluation)
    return _accuracy(found, seeds=len(row.runs)) if found else ABSENT


def _accuracy(found: Sequence[Summary], *, seeds: int) -> str:
    spread = deviation([s.accuracy for s in found])
    if spread is not None:
        return f"{100 * statistics.fmean(s.accuracy for s in found):.1f} ± {100 * spread:.1f} ({len(found)} seeds)"
    low, high = found[0].interval
    interval = f"{100 * found[0].accuracy:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    return interval if seeds == 1 else f"{interval} (1 seed)"


def verdict_cell(row: Row) -> str:
    """`yes` with one seed, `yes 3/3` or `yes 2, no 1` with more; `-` where no run was audited."""
    counted: Counter[str | None] = Counter(run.verdict for run in row.runs)
    missing = counted.pop(None, 0)
    found = [str(verdict) for verdict in get_args(Verdict) if verdict in counted]
    if not found:
        return ABSENT
    if len(row.runs) == 1:
        return found[0]
    if len(found) == 1 and not missing:
        return f"{found[0]} {counted[found[0]]}/{len(row.runs)}"
    parts = [f"{verdict} {counted[verdict]}" for verdict in found]
    return ", ".join([*parts, f"not audited {missing}"] if missing else parts)


def paper_figure(row: Row) -> Cell | None:
    """The paper's cell for the same method on the same test problems; None where it has none."""
    published = own_test(row) and published_problems(row.summaries[0].task)
    return table1(row.method, row.task) if published else None


def own_test(row: Row) -> bool:
    """Whether the evaluation is of the task's own test problems, and not `--on` others."""
    summary = row.summaries[0]
    asked = {name: value for name, value in summary.task.items() if name != "version"}
    return summary.split == "test" and asked == to_builtins(row.runs[0].config.task)


def paper_cell(row: Row) -> str:
    """The paper's figure; in parentheses where it belongs to another task and model, of which ours is the counterpart.

    `97.0 ± 0.3` stands beside ProsQA, `(97.0 ± 0.3)` beside symbolic ProsQA, which is asked of small models from
    scratch: a landmark, and no figure to take a difference from.
    """
    cell = paper_figure(row)
    if cell is not None:
        return _written(cell)
    cell = counterpart_figure(row)
    return ABSENT if cell is None else f"({_written(cell)})"


def counterpart_figure(row: Row) -> Cell | None:
    """The paper's cell for the same method on the task that this row's is the counterpart of; None without one."""
    other = counterpart(row.task)
    return table1(row.method, other) if other is not None and own_test(row) else None


def _written(cell: Cell) -> str:
    return f"{cell.accuracy}" + ("" if cell.deviation is None else f" ± {cell.deviation}")


@final
@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far our accuracy is from the paper's."""

    points: float
    """Ours less the paper's, in percentage points."""
    error: float
    """Standard error of that, in percentage points; above 0."""

    @property
    def errors(self) -> float:
        """The difference in standard errors, with its sign."""
        return self.points / self.error


def difference(summaries: Sequence[Summary], cell: Cell) -> Difference:
    """(ours - paper), and sqrt(se_ours^2 + se_paper^2) as its standard error.

    Ours is sd / sqrt(seeds), but never less than the binomial standard error of all seeds' problems together (alone
    with one seed): three seeds that agree by luck do not make a figure exact. Where all or none are right, half a
    problem is taken to be otherwise, so that it is not 0. The paper's deviation is taken as its standard error as
    published, since it does not say over how many runs it was taken; 0 where it quotes none.
    """
    ours, error = statistics.fmean(s.accuracy for s in summaries), standard_error(summaries)
    return Difference(points=100 * ours - cell.accuracy, error=math.hypot(100 * error, cell.deviation or 0.0))


def standard_error(summaries: Sequence[Summary]) -> float:
    """Of the mean accuracy over seeds, 0 to 1 and above 0; see `difference`."""
    num, correct = sum(s.num for s in summaries), sum(s.num_correct for s in summaries)
    share = min(max(correct, 0.5), num - 0.5) / num
    spread = deviation([s.accuracy for s in summaries]) or 0.0
    return max(spread / math.sqrt(len(summaries)), math.sqrt(share * (1 - share) / num))


def difference_cell(row: Row) -> str:
    """`+1.3 (0.8 SE)`: percentage points, and how many standard errors that is; `-` where the paper has no figure."""
    cell = paper_figure(row)
    if cell is None:
        return ABSENT
    found = difference(row.summaries, cell)
    return f"{signed(found.points)} ({abs(found.errors):.1f} SE)"


def signed(points: float) -> str:
    """`+1.3`, `-0.1`, and `+0.0` for what rounds to 0 from either side."""
    return f"{round(points, 1) + 0.0:+.1f}"


def tokens_cell(row: Row) -> str:
    """Mean tokens, and thoughts where there are any: `8.2 + 6.0`."""
    return f"{row.tokens:.1f}" + (f" + {row.thoughts:.1f}" if row.thoughts else "")


def _single_cell(row: Row) -> str:
    return _milliseconds(
        [(s.seconds_single, (s.hardware, s.engine)) for s in row.summaries if s.seconds_single is not None]
    )


def _batched_cell(row: Row) -> str:
    return _milliseconds([(s.seconds_batched, (s.hardware, s.engine, s.rows)) for s in row.summaries])


def _milliseconds(measured: Sequence[tuple[float, object]]) -> str:
    """Their mean where all were measured alike; else from the least to the most, since a mean would be of nothing."""
    if not measured:
        return ABSENT
    seconds = [each for each, _ in measured]
    if len({how for _, how in measured}) == 1:
        return f"{1000 * statistics.fmean(seconds):.1f}"
    return f"{1000 * min(seconds):.1f} to {1000 * max(seconds):.1f}"


def method_cell(row: Row) -> str:
    """The method as the paper's table names it."""
    return METHOD_NAMES.get(row.method, row.method)


def _recipe_cell(row: Row) -> str:
    return row.recipe + (f" ({row.detail})" if row.detail else "")


def further_names(rows: Sequence[Row]) -> list[str]:
    """The further evaluations that some run has, by name."""
    return sorted({name for row in rows for run in row.runs for name in run.further})


def columns(rows: Sequence[Row]) -> list[Column]:
    """The columns worth showing: each only where some row has something in it, the recipe's where task and method do
    not tell rows apart."""
    alike = len({(row.task, row.method) for row in rows}) == len(rows)
    further = [Column(heading=f"{n} %", cell=partial(further_cell, evaluation=n)) for n in further_names(rows)]
    everything = [
        Column(heading="Task", cell=lambda row: row.task, text=True),
        Column(heading="Method", cell=method_cell, text=True),
        *([] if alike else [Column(heading="Recipe", cell=_recipe_cell, text=True)]),
        Column(heading="Accuracy %", cell=accuracy_cell),
        Column(heading="Paper %", cell=paper_cell),
        Column(heading="Difference", cell=difference_cell),
        *further,
        Column(heading="Thoughts carry the answer", cell=verdict_cell, text=True),
        Column(heading="Tokens", cell=lambda row: f"{row.tokens:.1f}"),
        Column(heading="Tokens + thoughts", cell=lambda row: f"{row.tokens + row.thoughts:.1f}"),
        Column(heading="ms/problem, batch 1", cell=_single_cell),
        Column(heading="ms/problem, batched", cell=_batched_cell),
        Column(heading="n", cell=lambda row: str(sum(s.num for s in row.summaries))),
    ]
    optional = {"Paper %", "Difference", "Thoughts carry the answer"}
    return [c for c in everything if c.heading not in optional or any(c.cell(row) != ABSENT for row in rows)]
