"""`unspoken audit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, final

import tyro

from unspoken.cli.arguments import parse
from unspoken.config import RunConfig


@final
@dataclass(frozen=True)
class _Audit:
    """Test whether a run uses its thoughts, and write a page with a verdict, figures and records."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    split: Literal["valid", "test"] = "test"
    """Which split."""
    on: str | None = None
    """Other problems: a task's name (`unspoken data list` lists them) or a file in the run's own format."""
    num: int | None = None
    """How many of the split's problems; None: all, but no more than 2,000."""
    thoughts: int | None = None
    """How many thoughts; None: as many as in training."""
    rows: int | None = None
    """Rows decoded together; None: the run's own setting."""
    weights: Literal["best", "final"] = "best"
    """best: best validation accuracy in the final stage; final: the end of training."""
    name: str | None = None
    """Folder under RUN/audit; None: made of --on, the split, and the number of thoughts where given."""
    seed: int = 0
    """Seed of donors, noise, halves and resamples."""
    beyond: tuple[str, ...] | None = None
    """Further problems to ask, by task name; None: those that go with the run's task; no names: none."""


def audit(args: Sequence[str]) -> None:
    """Test whether RUN uses its thoughts: interventions, other problems, a verdict; under RUN/audit."""
    options = parse(_Audit, args, name="audit")
    task = RunConfig.load(options.run / "config.json").task
    parts: list[str] = [options.split] if options.thoughts is None else [options.split, f"{options.thoughts}-thoughts"]
    if options.on is not None:
        from unspoken.tasks.known import find_task

        file = Path(options.on)
        task = task.on_file(file) if file.is_file() else task.asking(find_task(options.on))
        parts.insert(0, file.name.partition(".")[0])
    folder = options.run / "audit" / (options.name or "-".join(parts))
    if folder.exists():
        raise ValueError(f"{folder} exists; choose another --name")
    from rich.console import Console

    from unspoken.audit.beyond import named
    from unspoken.audit.page import headline
    from unspoken.audit.run import audit_run
    from unspoken.quiet import quiet

    quiet()
    with Console(stderr=True).status("loading") as status:
        report = audit_run(
            options.run,
            folder,
            task=task,
            split=options.split,
            num=options.num,
            thoughts=options.thoughts,
            rows=options.rows,
            weights=options.weights,
            seed=options.seed,
            elsewhere_on=None if options.beyond is None else [named(task, name) for name in options.beyond],
            on_part=lambda part: status.update(f"auditing: {part}"),
        )
    found = report.findings
    print(*headline(found))
    for said in found.said:
        print(f"{said.question} {said.answer[:1].upper()}{said.answer[1:]}. {said.why}")
    print(f"{found.num:,} problems in {report.seconds:.0f} s")
    print(f"page: {folder / 'page.md'}")
