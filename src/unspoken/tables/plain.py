"""CSV: one line a run, plain numbers, blanks for what is not there."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from unspoken.paper import Cell
from unspoken.records import Summary
from unspoken.tables.columns import counterpart_figure, difference, further_names, paper_figure
from unspoken.tables.rows import Row, Run

HEAD = (
    "recipe", "task", "method", "evaluation", "seed", "num", "accuracy", "low", "high", "tokens", "thoughts",
    "seconds_single", "seconds_batched", "paper_accuracy", "paper_deviation", "difference", "difference_in_se",
    "paper_counterpart_accuracy", "paper_counterpart_deviation", "verdict", "hardware", "engine", "weights", "run",
)  # fmt: skip
"""Columns before those of further evaluations. Accuracies are shares of 1, `paper_*` and `difference` in percentage
points; `paper_counterpart_*` are figures of another task and model, of which ours is the counterpart; low and high are
the ends of a 95 % Wilson interval; the difference is this one run's."""


def plain(rows: Sequence[Row]) -> str:
    """The table as CSV; three columns for each further evaluation (accuracy, low, high) come last."""
    names = further_names(rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*HEAD, *(f"{name}_{what}" for name in names for what in ("accuracy", "low", "high"))])
    for row in rows:
        for run in row.runs:
            cells = [
                *(row.recipe, row.task, row.method, row.evaluation, run.config.seed, run.summary.num),
                *_shares(run.summary),
                *(f"{run.summary.tokens:.3f}", f"{run.summary.thoughts:.3f}", _seconds(run.summary.seconds_single)),
                *(_seconds(run.summary.seconds_batched), *_paper(run, paper_figure(row))),
                *_figure(counterpart_figure(row)),
                *(run.verdict or "", run.summary.hardware, run.summary.engine or "", run.summary.weights),
                run.path.resolve().name,
                *(share for name in names for share in _shares(run.further.get(name))),
            ]
            writer.writerow(cells)
    return out.getvalue()


def _shares(summary: Summary | None) -> list[str]:
    """Accuracy and its interval, 0 to 1."""
    return ["", "", ""] if summary is None else [f"{share:.6f}" for share in (summary.accuracy, *summary.interval)]


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.6f}"


def _paper(run: Run, cell: Cell | None) -> list[str]:
    """The paper's accuracy and deviation, the difference, and the difference in standard errors."""
    if cell is None:
        return ["", "", "", ""]
    found = difference([run.summary], cell)
    return [*_figure(cell), f"{found.points:.3f}", f"{found.errors:.3f}"]


def _figure(cell: Cell | None) -> list[str]:
    """The paper's accuracy and deviation."""
    if cell is None:
        return ["", ""]
    return [f"{cell.accuracy}", "" if cell.deviation is None else f"{cell.deviation}"]
