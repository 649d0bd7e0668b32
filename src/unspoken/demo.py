"""`unspoken demo`: two acts on a laptop, and what continuous thoughts buy in each.

1. Thoughts instead of tokens, trained live: follow four pointers (`tasks/hops`).
2. Planning: which of two leaves can be reached? (`tasks/fork`)

Every figure it prints comes from the run folders it leaves behind.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from unspoken.config import RunConfig
from unspoken.figures import Panel, accuracy_bars, accuracy_by_stage
from unspoken.paper import METHOD_NAMES
from unspoken.progress import LiveTraining
from unspoken.recipes import find_recipe
from unspoken.records import read_records
from unspoken.runs import evaluate_run
from unspoken.tables import Row, collect, columns, render
from unspoken.train import Interrupted, fit


@dataclass(frozen=True, kw_only=True)
class Act:
    """Some recipes on one task, and what to look at."""

    title: str
    about: str
    recipes: tuple[str, ...]
    problems: int = 3
    """How many problems to show with every model's answer."""


ACTS = [
    Act(
        title="Act 1: thoughts instead of tokens",
        about=(
            "A shuffled list of pointers, one successor for each of ten nodes: where do four hops from x lead? The "
            "same small model, trained from scratch four times."
        ),
        recipes=("demo/cot", "demo/no-cot", "demo/coconut", "demo/pause-as-thought"),
    ),
]


def run_demo(out: Path, *, seed: int, num: int) -> None:
    """Runs both acts; run folders `demo-*` and the results `demo/` go into `out`.

    Raises:
        ValueError: one of those folders exists, or `num` is too small.
    """
    console = Console()
    if num < 1:
        raise ValueError(f"the number of test problems must be at least 1, got {num}")
    results = out / "demo"
    folders = {name: out / name.replace("/", "-") for act in ACTS for name in act.recipes}
    for folder in [results, *folders.values()]:
        if folder.exists():
            raise ValueError(f"{folder} exists; choose another --out, or remove it")
    started = time.perf_counter()
    shown: list[tuple[Act, list[Row], list[Path]]] = []
    for act in ACTS:
        console.rule(act.title)
        console.print(act.about)
        runs = [folders[name] for name in act.recipes]
        for name, run in zip(act.recipes, runs, strict=True):
            _train(replace(find_recipe(name), seed=seed), run, console)
            evaluate_run(run, RunConfig.load(run / "config.json"), run / "eval" / "test", num=num, single=20)
        rows = collect(runs)
        console.print(_table(rows))
        _show_problems(console, runs, act.problems)
        shown.append((act, rows, runs))
    results.mkdir(parents=True)
    everything = [row for _, rows, _ in shown for row in rows]
    (results / "table.md").write_text(render(everything, "md"))
    (results / "table.csv").write_text(render(everything, "csv"))
    accuracy_by_stage([Panel(title=act.title, runs=runs) for act, _, runs in shown], results / "accuracy-by-stage")
    accuracy_bars([(act.title, rows) for act, rows, _ in shown], results / "accuracy")
    console.rule("Where it is")
    for name in ("table.md", "table.csv", "accuracy.png", "accuracy-by-stage.png"):
        console.print(f"{results / name}", soft_wrap=True)
    console.print(f"run folders: {out}/demo-*; {(time.perf_counter() - started) / 60:.1f} minutes in all")


def _train(config: RunConfig, out: Path, console: Console) -> None:
    method = METHOD_NAMES.get(type(config.method).__name__, config.recipe).removeprefix("- ")
    try:
        with LiveTraining(console, f"{method:<16}") as live:
            fit(config, out, observer=live)
    except Interrupted as stopped:
        console.print(str(stopped), soft_wrap=True)
        raise KeyboardInterrupt from stopped


def _table(rows: Sequence[Row]) -> Table:
    table = Table(title_justify="left")
    for i, column in enumerate(columns(rows)):
        table.add_column(column.heading, justify="left" if i < 2 else "right")
    for row in rows:
        table.add_row(*[column.cell(row) for column in columns(rows)])
    return table


def _show_problems(console: Console, runs: Sequence[Path], num: int) -> None:
    """A few problems with every model's output; those on which the models disagree come first."""
    outputs = {RunConfig.load(run / "config.json").method: read_records(run / "eval" / "test") for run in runs}
    records = list(outputs.values())
    split = sorted(range(len(records[0])), key=lambda i: -len({r[i].correct for r in records}))
    for i in split[:num]:
        console.print(f"\n[bold]{records[0][i].prompt}[/bold]   (answer: {records[0][i].target})", highlight=False)
        for method, found in outputs.items():
            record, name = found[i], METHOD_NAMES.get(type(method).__name__, "").removeprefix("- ")
            mark = "[green]right[/green]" if record.correct else "[red]wrong[/red]"
            thoughts = f"<{record.num_thoughts} thoughts> " if record.num_thoughts else ""
            console.print(f"  {name:<17} {mark}  {thoughts}{record.output}", highlight=False)
