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
from typing import final

from rich.console import Console
from rich.table import Table

from unspoken.config import After, RunConfig
from unspoken.figures import Panel, accuracy_bars, accuracy_by_stage
from unspoken.methods import OpenedCoT
from unspoken.paper import method_name
from unspoken.progress import LiveTraining
from unspoken.recipes import find_recipe
from unspoken.records import read_records
from unspoken.runs import evaluate_run
from unspoken.shipped import copy_shipped
from unspoken.tables import Row, accuracy_cell, collect, render
from unspoken.tasks.fork import Fork
from unspoken.tasks.hops import Hops
from unspoken.train import Interrupted, fit


@final
@dataclass(frozen=True, kw_only=True)
class Act:
    """Some recipes on one task, compared."""

    title: str
    about: str
    recipes: tuple[str, ...]
    first: str | None = None
    """The recipe all of them start after, trained once; None: the trained runs come with the package."""
    problems: int = 3
    """How many problems to show with every model's answer."""


ACTS = [
    Act(
        title="Act 1: thoughts instead of tokens, trained live",
        about=(
            "A shuffled list of pointers, one successor for each of ten nodes: where do four hops lead? The same small "
            "model from random weights: first long walks, as a common warm start (its accuracy asks for exactly twelve "
            "hops and stays low; its loss tells), then four methods."
        ),
        recipes=("demo/cot", "demo/no-cot", "demo/coconut", "demo/pause-as-thought"),
        first="demo/walk",
    ),
    Act(
        title="Act 2: planning",
        about=(
            "Which of two leaves can be reached from the root asked about? Whoever writes a chain must choose an arm "
            "before knowing where it ends. Trained models of the same size come with the package (each made by "
            "`unspoken train` with the recipe named, see shipped_runs/MANIFEST.json); the problems are drawn now."
        ),
        recipes=(
            "demo/planning/cot",
            "demo/planning/no-cot",
            "demo/planning/coconut",
            "demo/planning/pause-as-thought",
        ),
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
    for folder in [results, *(_folder(out, name) for act in ACTS for name in (*act.recipes, act.first) if name)]:
        if folder.exists():
            raise ValueError(f"{folder} exists; remove it (rm -r {out}/demo*) or choose another --out")
    started = time.perf_counter()
    shown: list[tuple[Act, list[Row], list[Path]]] = []
    for act in ACTS:
        console.rule(act.title)
        console.print(act.about)
        runs = _train_all(act, out, seed, console) if act.first else _fetch_all(act, out)
        for run in runs:
            # Problems of another seed than any the models were developed on.
            config = RunConfig.load(run / "config.json")
            assert isinstance(config.task, (Hops, Fork))
            fresh = replace(config, task=replace(config.task, data_seed=1_000 + seed))
            evaluate_run(run, fresh, run / "eval" / "test", num=num, single=20)
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
        console.print(f"{results / name}", soft_wrap=True, highlight=False)
    minutes = (time.perf_counter() - started) / 60
    console.print(f"run folders: {out}/demo-*; {minutes:.1f} minutes in all", soft_wrap=True, highlight=False)


def _folder(out: Path, recipe: str) -> Path:
    return out / recipe.replace("/", "-")


def _train_all(act: Act, out: Path, seed: int, console: Console) -> list[Path]:
    """The common warm start, then every recipe from there."""
    assert act.first is not None
    start = find_recipe(act.first).with_seed(seed)
    _train(start, _folder(out, act.first), console)
    for name in act.recipes:
        config = find_recipe(name)
        assert isinstance(config.model, After)
        config = replace(config, seed=seed, model=replace(config.model, first=start))
        _train(config, _folder(out, name), console, first=_folder(out, act.first))
    return [_folder(out, name) for name in act.recipes]


def _fetch_all(act: Act, out: Path) -> list[Path]:
    for name in act.recipes:
        copy_shipped(name.replace("/", "-"), _folder(out, name))
    return [_folder(out, name) for name in act.recipes]


def _train(config: RunConfig, out: Path, console: Console, *, first: Path | None = None) -> None:
    title = "warm start" if isinstance(config.method, OpenedCoT) else method_name(type(config.method).__name__)
    try:
        with LiveTraining(console, config.recipe, f"{title:<16}") as live:
            fit(config, out, first=first, observer=live)
    except Interrupted as stopped:
        console.print(str(stopped), soft_wrap=True)
        raise KeyboardInterrupt from stopped


def _table(rows: Sequence[Row]) -> Table:
    """The columns of `tables.render` that matter here, narrow enough for 80 characters."""
    table = Table()
    table.add_column("Method", no_wrap=True)
    for heading in ("Accuracy %", "Tokens+thoughts", "Batch 1", "Batched"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        single = "-" if row.single is None else f"{1000 * row.single:.1f}"
        table.add_row(
            method_name(row.method),
            accuracy_cell(row),
            f"{row.tokens:.1f} + {row.thoughts:.1f}",
            single,
            f"{1000 * row.batched:.2f}",
        )
    low = min(s.num for row in rows for s in row.summaries)
    table.caption = f"{low} problems each; 95 % intervals; ms a problem at batch 1 and batched"
    return table


def _show_problems(console: Console, runs: Sequence[Path], num: int) -> None:
    """A few problems with every model's output; those on which the models disagree come first."""
    outputs = {RunConfig.load(run / "config.json").method: read_records(run / "eval" / "test") for run in runs}
    records = list(outputs.values())
    split = sorted(range(len(records[0])), key=lambda i: -len({r[i].correct for r in records}))
    for i in split[:num]:
        console.print(f"\n[bold]{records[0][i].prompt}[/bold]   (answer: {records[0][i].target})", highlight=False)
        for method, found in outputs.items():
            record, name = found[i], method_name(type(method).__name__)
            mark = "[green]right[/green]" if record.correct else "[red]wrong[/red]"
            thoughts = f"<{record.num_thoughts} thoughts> " if record.num_thoughts else ""
            console.print(f"  {name:<17} {mark}  {thoughts}{record.output}", highlight=False)
