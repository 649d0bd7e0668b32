"""Run folders to a table in the shape of the paper's Table 1, with intervals, both token counts and seconds."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unspoken.config import RunConfig, flatten
from unspoken.paper import METHOD_NAMES, table1
from unspoken.records import Summary, read_summary

Format = Literal["md", "csv", "latex"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method on one task, over one or more seeds."""

    recipe: str
    task: str
    method: str
    """Class names, as saved in `config.json`."""
    evaluation: str
    seeds: tuple[int, ...]
    summaries: tuple[Summary, ...]

    @property
    def accuracy(self) -> float:
        """Mean over seeds, 0 to 1."""
        return statistics.fmean(s.accuracy for s in self.summaries)

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None with one seed."""
        return statistics.stdev([s.accuracy for s in self.summaries]) if len(self.summaries) > 1 else None

    @property
    def tokens(self) -> float:
        """Mean tokens written, thoughts left out."""
        return statistics.fmean(s.tokens for s in self.summaries)

    @property
    def thoughts(self) -> float:
        """Mean continuous thoughts."""
        return statistics.fmean(s.thoughts for s in self.summaries)

    @property
    def single(self) -> float | None:
        """Seconds a problem at batch 1, mean over the runs that measured it."""
        measured = [s.seconds_single for s in self.summaries if s.seconds_single is not None]
        return statistics.fmean(measured) if measured else None

    @property
    def batched(self) -> float:
        """Seconds a problem in batches."""
        return statistics.fmean(s.seconds_batched for s in self.summaries)


def collect(runs: Sequence[Path], *, evaluation: str = "test") -> list[Row]:
    """Rows in the paper's order; runs that differ in nothing but the seed share one.

    Raises:
        ValueError: a folder is no run, or was not evaluated under that name.
    """
    groups: dict[str, list[tuple[RunConfig, Summary]]] = {}
    for run in dict.fromkeys(run.resolve() for run in runs):
        config = RunConfig.load(run / "config.json")
        summary = read_summary(run / "eval" / evaluation)
        groups.setdefault(_but_for_the_seed(config), []).append((config, summary))
    for found in groups.values():
        seeds = [config.seed for config, _ in found]
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"two runs of {found[0][0].recipe} have the same seed {seeds}; name only one of them")
        if len({(s.num, s.forced_thoughts, repr(s.task)) for _, s in found}) > 1:
            raise ValueError(f"runs of {found[0][0].recipe} were evaluated on different problems or thoughts")
    order = list(METHOD_NAMES)
    rows = [
        Row(
            recipe=found[0][0].recipe,
            task=type(found[0][0].task).__name__,
            method=type(found[0][0].method).__name__,
            evaluation=evaluation,
            seeds=tuple(config.seed for config, _ in found),
            summaries=tuple(summary for _, summary in found),
        )
        for found in groups.values()
    ]
    return sorted(rows, key=lambda r: (r.task, order.index(r.method) if r.method in order else len(order), r.recipe))


def _but_for_the_seed(config: RunConfig) -> str:
    """What runs that differ in nothing but seeds (a first run's too) have in common."""
    fields = {name: value for name, value in flatten(config).items() if name.rpartition(".")[2] != "seed"}
    return repr(sorted(fields.items()))


@dataclass(frozen=True, kw_only=True)
class Column:
    """A heading and how a row's cell is written."""

    heading: str
    cell: Callable[[Row], str]


def accuracy_cell(row: Row) -> str:
    """`97.0 [95.1, 98.2]` with one seed (95 % Wilson interval); `97.0 ± 0.3 (3 seeds)` with more."""
    if row.spread is not None:
        return f"{100 * row.accuracy:.1f} ± {100 * row.spread:.1f} ({len(row.seeds)} seeds)"
    low, high = row.summaries[0].interval
    return f"{100 * row.accuracy:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _paper_cell(row: Row) -> str:
    cell = table1(row.method, row.task)
    if cell is None:
        return "-"
    return f"{cell.accuracy}" + ("" if cell.deviation is None else f" ± {cell.deviation}")


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.1f}"


COLUMNS = [
    Column(heading="Task", cell=lambda row: row.task),
    Column(heading="Method", cell=lambda row: METHOD_NAMES.get(row.method, row.method)),
    Column(heading="Recipe", cell=lambda row: row.recipe),
    Column(heading="Accuracy %", cell=accuracy_cell),
    Column(heading="Paper %", cell=_paper_cell),
    Column(heading="Tokens", cell=lambda row: f"{row.tokens:.1f}"),
    Column(heading="Tokens + thoughts", cell=lambda row: f"{row.tokens + row.thoughts:.1f}"),
    Column(heading="ms/problem, batch 1", cell=lambda row: _milliseconds(row.single)),
    Column(heading="ms/problem, batched", cell=lambda row: _milliseconds(row.batched)),
    Column(heading="n", cell=lambda row: str(sum(s.num for s in row.summaries))),
]


def columns(rows: Sequence[Row]) -> list[Column]:
    """The columns worth showing: the paper's where it has a figure, the recipe's where task and method do not tell."""
    hidden = set()
    if all(_paper_cell(row) == "-" for row in rows):
        hidden.add("Paper %")
    if len({(row.task, row.method) for row in rows}) == len(rows):
        hidden.add("Recipe")
    return [c for c in COLUMNS if c.heading not in hidden]


def render(rows: Sequence[Row], style: Format) -> str:
    """The table as Markdown, CSV or LaTeX, ending in a newline."""
    shown = columns(rows)
    head = [c.heading for c in shown]
    body = [[c.cell(row) for c in shown] for row in rows]
    if style == "md":
        rule = ["---"] * 2 + ["---:"] * (len(head) - 2)
        return "".join("| " + " | ".join(line) + " |\n" for line in [head, rule, *body])
    if style == "csv":
        return _csv(rows)
    lines = [" & ".join(_latex(cell) for cell in line) + r" \\" for line in [head, *body]]
    columns_spec = "ll" + "r" * (len(head) - 2)
    return "\n".join([rf"\begin{{tabular}}{{{columns_spec}}}", *lines, r"\end{tabular}", ""])


def _csv(rows: Sequence[Row]) -> str:
    """One line a run, with plain numbers."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["recipe", "task", "method", "evaluation", "seed", "num", "accuracy", "low", "high", "tokens", "thoughts"]
        + ["seconds_single", "seconds_batched", "paper_accuracy", "hardware"]
    )
    for row in rows:
        cell = table1(row.method, row.task)
        for seed, s in zip(row.seeds, row.summaries, strict=True):
            low, high = s.interval
            writer.writerow(
                [row.recipe, row.task, row.method, row.evaluation, seed, s.num, f"{s.accuracy:.6f}"]
                + [f"{low:.6f}", f"{high:.6f}", f"{s.tokens:.3f}", f"{s.thoughts:.3f}"]
                + ["" if s.seconds_single is None else f"{s.seconds_single:.6f}", f"{s.seconds_batched:.6f}"]
                + ["" if cell is None else cell.accuracy, s.hardware]
            )
    return out.getvalue()


def _latex(text: str) -> str:
    return text.replace("%", r"\%").replace("±", r"$\pm$").replace("_", r"\_")
