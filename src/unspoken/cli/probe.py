"""`unspoken probe`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, final

import tyro

from unspoken.cli.arguments import PROGRAM, parse
from unspoken.config import RunConfig


@final
@dataclass(frozen=True)
class _Probe:
    """Look into the thoughts of a run, and write a page with figures."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    split: Literal["valid", "test"] = "test"
    """Which split."""
    on: str | None = None
    """Other problems: a task's name (`unspoken data list` lists them) or a file in the run's own format."""
    num: int | None = None
    """How many of the split's problems; None: all, but no more than 2,000."""
    beside: Path | None = None
    """A run on the same task, a written chain of thought say, whose next-step values to compare with."""
    thoughts: int | None = None
    """The largest number of thoughts; None: as many as in training."""
    rows: int | None = None
    """Problems run together; None: as many as suit each part."""
    weights: Literal["best", "final"] = "best"
    """best: best validation accuracy in the final stage; final: the end of training."""
    name: str | None = None
    """Folder under RUN/probe; None: made of --on, the split, and the number of thoughts where given."""
    seed: int = 0
    """Seed of resamples, folds and controls."""


def probe(args: Sequence[str]) -> None:
    """Look into the thoughts of RUN: tokens, values, search, geometry; pages and figures under RUN/probe."""
    options = parse(_Probe, args, name="probe")
    config = RunConfig.load(options.run / "config.json")
    task = config.task
    parts: list[str] = [options.split] if options.thoughts is None else [options.split, f"{options.thoughts}-thoughts"]
    if options.on is not None:
        from unspoken.tasks.known import find_task

        file = Path(options.on)
        task = task.on_file(file) if file.is_file() else task.asking(find_task(options.on))
        parts.insert(0, file.name.partition(".")[0])
    folder = options.run / "probe" / (options.name or "-".join(parts))
    if folder.exists():
        raise ValueError(f"{folder} exists; choose another --name")
    trained = config.method.trained_thoughts
    if options.thoughts is not None and trained is not None and options.thoughts > trained:
        print(
            f"{PROGRAM}: warning: {options.thoughts} thoughts are more than the {trained} this run was trained with",
            file=sys.stderr,
        )
    from rich.console import Console

    from unspoken.analysis.probe import probe_run
    from unspoken.quiet import quiet

    quiet()
    with Console(stderr=True).status("loading") as status:
        report = probe_run(
            options.run,
            folder,
            task=task,
            split=options.split,
            num=options.num,
            beside=options.beside,
            thoughts=options.thoughts,
            rows=options.rows,
            weights=options.weights,
            seed=options.seed,
            on_part=lambda part: status.update(f"probing: {part}"),
        )
    print(f"{report.num:,} problems in {report.seconds:.0f} s")
    print(f"page: {folder / 'page.md'}")
