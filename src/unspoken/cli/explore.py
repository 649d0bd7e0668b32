"""`unspoken explore`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, final

import tyro

from unspoken.cli.arguments import parse
from unspoken.config import RunConfig


@final
@dataclass(frozen=True)
class _Explore:
    """Make one HTML page on which to step through the thoughts of a run; it needs no network."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    out: Path
    """The page, one `.html` file."""
    split: Literal["valid", "test"] = "test"
    """Which split."""
    on: str | None = None
    """Other problems: a task's name (`unspoken data list` lists them) or a file in the run's own format."""
    num: int = 200
    """How many of the split's examples, from the first."""
    beside: Path | None = None
    """Another run folder of the same task, a written chain of thought say, whose outputs stand beside."""
    weights: Literal["best", "final"] = "best"
    """best: best validation accuracy in the final stage; final: the end of training."""
    rows: int | None = None
    """Rows run together; None: the run's own setting for evaluation."""
    seed: int = 0
    """Seed of the interventions and of the intervals."""
    force: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Overwrite an existing page."""


def explore(args: Sequence[str]) -> None:
    """Make one HTML page on which to step through the thoughts of RUN: explore RUN --out FILE.html."""
    options = parse(_Explore, args, name="explore")
    config = RunConfig.load(options.run / "config.json")
    _check_out(options.out, force=options.force)
    if options.num < 1:
        raise ValueError(f"--num: expected at least 1 problem, got {options.num}")
    if options.rows is not None and options.rows < 1:
        raise ValueError(f"--rows: expected at least 1, got {options.rows}")
    task = config.task
    if options.on is not None:
        from unspoken.tasks.known import find_task

        file = Path(options.on)
        task = task.on_file(file) if file.is_file() else task.asking(find_task(options.on))
    beside = None if options.beside is None else RunConfig.load(options.beside / "config.json")
    if beside is not None and type(beside.task) is not type(config.task):
        raise ValueError(
            f"--beside {options.beside}: trained on {type(beside.task).__name__}, but {options.run} on "
            f"{type(config.task).__name__}; choose a run of the same task"
        )
    from unspoken.explore.page import write_page
    from unspoken.explore.run import look_at_run
    from unspoken.quiet import quiet

    quiet()
    with _telling() as tell:
        payload = look_at_run(
            options.run,
            config,
            task=task,
            split=options.split,
            num=options.num,
            rows=options.rows,
            weights=options.weights,
            seed=options.seed,
            beside=None if beside is None or options.beside is None else (options.beside, beside),
            on=None if options.on is None else Path(options.on).name,
            tell=tell,
        )
    size = write_page(options.out, payload)
    print(f"page: {options.out} ({len(payload.problems)} problems, {size / 2**20:.1f} MiB); open it in a browser")


@contextlib.contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """Says on a terminal what is being done."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda what: None
        return
    with console.status("loading the run") as status:
        yield status.update


def _check_out(out: Path, *, force: bool) -> None:
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out {out}: expected a name that ends in .html")
    if out.is_dir():
        raise ValueError(f"--out {out}: this is a folder; name a file in it, as in {out / 'page.html'}")
    if out.exists() and not force:
        raise ValueError(f"{out} exists; choose another --out, or overwrite it with --force")
