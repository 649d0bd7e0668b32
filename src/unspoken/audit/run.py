"""A run folder, audited: weights of a run x a split of its task -> report, page, figures and records on disk.

RUN/audit/NAME/audit.json    everything measured, with where and how
               page.md       the same to read, the verdict first
               figures/      PNG, SVG and CSV of each figure
               records/      a file of records for each intervention
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, final

import msgspec
import torch

from unspoken.analysis.bootstrap import RESAMPLES
from unspoken.analysis.whole import whole_folder
from unspoken.audit.beyond import Setting, settings_of, shortcuts_on
from unspoken.audit.context import Context
from unspoken.audit.figures import draw
from unspoken.audit.interventions import standard
from unspoken.audit.page import page
from unspoken.audit.report import AuditReport, audit_model
from unspoken.config import RunConfig, to_builtins
from unspoken.environment import describe_environment, processor_name
from unspoken.runs import load_run
from unspoken.tasks.base import Split, Task

MOST = 2_000
"""Problems looked at unless a number is asked for; intervals are narrow by then."""


def audit_run(
    run: Path,
    folder: Path,
    *,
    task: Task | None = None,
    split: Split = "test",
    num: int | None = None,
    thoughts: int | None = None,
    rows: int | None = None,
    weights: Literal["best", "final"] = "best",
    seed: int = 0,
    elsewhere_on: Sequence[Setting] | None = None,
    on_part: Callable[[str], None] = lambda what: None,
) -> AuditReport:
    """Audits a run and writes everything into `folder`, which appears once it is complete.

    `task` asks other problems than the run was trained on; `elsewhere_on` are settings asked besides (None: those that
    go with the task). `on_part` is told what is being done.

    Raises:
        ValueError: the folder exists, a number is out of range, the run's method has no slots, or as `load_run`.
    """
    if folder.exists():
        raise ValueError(f"{folder} exists; choose another --name")
    for what, value, least in (("num", num, 1), ("rows", rows, 1), ("thoughts", thoughts, 1), ("seed", seed, 0)):
        if value is not None and value < least:
            raise ValueError(f"{what} must be at least {least}, got {value}")
    config = RunConfig.load(run / "config.json")
    task = config.task if task is None else task
    most = MOST if num is None else num
    rows = config.batch.evaluation if rows is None else rows
    clock = _Clock(on_part)
    clock("loading")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, found_weights = load_run(run, weights=weights, engine=config.engine)
    model = model.to(device)
    everything = task.examples(split)
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        context = Context(model, task, config.method, everything[:most], slots=thoughts, rows=rows, seed=seed)
        clock("shortcuts")
        known = shortcuts_on(context.examples, task)
        findings, records = audit_model(
            context,
            standard(context.most),
            known=known,
            elsewhere_on=settings_of(task) if elsewhere_on is None else elsewhere_on,
            split=split,
            num=most,
            slots=thoughts,
            seed=seed,
            on_part=clock,
        )
    seconds = clock.stop()
    on_gpu = device.type == "cuda"
    report = AuditReport(
        run=run.resolve().name,
        recipe=config.recipe,
        method=type(config.method).__name__,
        task={**to_builtins(task), "version": task.version},
        split=split,
        num_in_split=len(everything),
        weights=found_weights,
        thoughts=thoughts,
        rows=context.rows,
        seed=seed,
        resamples=RESAMPLES,
        seconds=round(sum(seconds.values()), 1),
        seconds_by_part={part: round(each, 2) for part, each in seconds.items()},
        hardware=torch.cuda.get_device_name() if on_gpu else f"{processor_name()} ({platform.machine()})",
        env=describe_environment(),
        findings=findings,
    )
    with whole_folder(folder) as making:
        (making / "records").mkdir()
        for name, found in records.items():
            lines = b"".join(msgspec.json.encode(record) + b"\n" for record in found)
            (making / "records" / f"{name}.jsonl").write_bytes(lines)
        drawn = draw(findings, making / "figures")
        (making / "audit.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
        (making / "page.md").write_text("\n".join(page(report, drawn)) + "\n")
    return report


@final
class _Clock:
    """Seconds by part; each lasts until the next one begins."""

    def __init__(self, on_part: Callable[[str], None]) -> None:
        self._on_part = on_part
        self._parts: list[tuple[str, float]] = []

    def __call__(self, part: str) -> None:
        self._on_part(part)
        self._parts.append((part, time.perf_counter()))

    def stop(self) -> dict[str, float]:
        """Seconds of every part that has begun."""
        ends = [begun for _, begun in self._parts[1:]] + [time.perf_counter()]
        return {part: end - begun for (part, begun), end in zip(self._parts, ends, strict=True)}
