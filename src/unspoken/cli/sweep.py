"""`unspoken sweep`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import final

from unspoken.cli.arguments import PROGRAM, leading, parse
from unspoken.sweeps import SWEEPS, find_sweep
from unspoken.sweeps.base import Sweep
from unspoken.sweeps.keeping import is_kept


@final
@dataclass(frozen=True)
class _Sweep:
    """Run what is missing of a sweep, the most valuable cells first; call it again to go on."""

    minutes: float | None = None
    """Wall time to stay within; None: until all is done."""
    runs: Path | None = None
    """Where run folders, with weights, come to be; None: runs/ and the sweep's name."""
    keep: Path | None = None
    """Where copies of what is small go, for tables and pages; cells that are whole there are not run. None: nowhere."""
    jobs: int = 1
    """Processes at a time, which share the cores."""
    only: tuple[str, ...] = ()
    """Only cells whose recipe fits one of these patterns, as in 'small/prosqa/*'; none: all."""
    seeds: tuple[int, ...] = ()
    """Only cells of these seeds; none: all."""
    dry: bool = False
    """Only list the cells, with how far each is."""


def sweep(args: Sequence[str]) -> None:
    """Run what is missing of SWEEP, a table's worth of runs, within --minutes; again to go on."""
    name, rest = leading(args)
    if name is None:
        if "-h" in rest or "--help" in rest:
            print(f"usage: {PROGRAM} sweep NAME [--minutes M] [--jobs N] [...]\n")
            for known, make in SWEEPS.items():
                print(f"  {known:<12}  {make().about}")
            print(f"\n{PROGRAM} sweep NAME --help shows every flag.")
            return
        raise ValueError(f"sweep needs a name first, one of {', '.join(SWEEPS)}")
    options = parse(_Sweep, rest, name=f"sweep {name}")
    if options.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {options.jobs}")
    if options.minutes is not None and not options.minutes > 0:
        raise ValueError(f"--minutes: the time must be above 0 minutes, got {options.minutes:g}")
    chosen = _chosen(find_sweep(name), options)
    runs = options.runs or Path("runs") / name
    kept = [cell for cell in chosen.cells if options.keep is not None and is_kept(cell, runs, options.keep)]
    if kept:
        print(f"{len(kept)} of {len(chosen.cells)} cells lie whole in {options.keep} and are not run")
        chosen = replace(chosen, cells=[cell for cell in chosen.cells if cell not in kept])
    if options.dry:
        _list(chosen, runs)
    elif chosen.cells:
        _run(chosen, runs, options)


def _chosen(sweep: Sweep, options: _Sweep) -> Sweep:
    cells = [
        cell
        for cell in sweep.cells
        if (not options.only or any(fnmatchcase(cell.config.recipe, pattern) for pattern in options.only))
        and (not options.seeds or cell.config.seed in options.seeds)
    ]
    if not cells:
        asked = [*(["--only", *options.only] if options.only else []), *(["--seeds"] if options.seeds else [])]
        raise ValueError(
            f"no cell of sweep {sweep.name} fits {' '.join([*asked, *map(str, options.seeds)])}; "
            f"{PROGRAM} sweep {sweep.name} --dry lists them"
        )
    return replace(sweep, cells=cells)


def _list(sweep: Sweep, runs: Path) -> None:
    from unspoken.sweeps.telling import remaining
    from unspoken.sweeps.times import Times, progress
    from unspoken.sweeps.work import Unit, units

    todo: list[Unit] = []
    times = Times(runs / "sweep.jsonl")
    for unit in units(sweep.cells, runs):
        missing = [command.what for command in unit.left]
        trained = progress(unit.commands[0].run) if unit.left and unit.left[0].kind == "train" else None
        at = "" if trained is None else f" (at step {trained.step} of {trained.num_steps})"
        expected = times.left(unit.left)
        about = "" if expected is None or not missing else f", about {expected / 60:.1f} min"
        print(f"{unit.name}: {'done' if not missing else 'missing: ' + ', '.join(missing) + at + about}")
        todo += [unit] if missing else []
    if todo:
        print(f"{len(todo)} runs are not done; one after another they take {remaining(todo, times, jobs=1)}")


def _run(sweep: Sweep, runs: Path, options: _Sweep) -> None:
    from rich.console import Console

    from unspoken.sweeps.runner import Terms, run_sweep

    console = Console()
    # Where there is no terminal only what has happened is said.
    with console.status(f"{sweep.name}: {len(sweep.cells)} cells") as status:
        terms = Terms(
            runs=runs,
            kept=options.keep,
            seconds=None if options.minutes is None else 60 * options.minutes,
            jobs=options.jobs,
            say=lambda line: console.print(line, soft_wrap=True, markup=False, highlight=False),
            show=lambda line: status.update(line),
        )
        outcome = run_sweep(sweep, terms)
    print(f"{outcome.finished} of {outcome.cells} cells are complete; left: {outcome.left}")
    if outcome.failed:
        names = ", ".join(outcome.failed)
        print(f"{PROGRAM}: not done: {names}; what they said is in {runs / 'logs'}", file=sys.stderr)
    if outcome.stopped is not None:
        print(f"{PROGRAM}: stopped, all saved; the same command goes on", file=sys.stderr)
        sys.exit(128 + outcome.stopped)
    if outcome.failed:
        sys.exit(1)
