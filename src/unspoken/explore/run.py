"""A run folder and problems -> what the page is given."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Literal

import torch

from unspoken.config import RunConfig
from unspoken.environment import describe_environment
from unspoken.evaluate import evaluate
from unspoken.explore.look import look, share
from unspoken.explore.payload import Beside, Payload
from unspoken.explore.under import Tell, quietly
from unspoken.paper import method_name
from unspoken.runs import load_run
from unspoken.tasks.base import Split, Task


def look_at_run(
    run: Path,
    config: RunConfig,
    *,
    task: Task,
    split: Split,
    num: int,
    rows: int | None,
    weights: Literal["best", "final"],
    seed: int,
    beside: tuple[Path, RunConfig] | None,
    on: str | None = None,
    tell: Tell = quietly,
) -> Payload:
    """Runs a trained model on the first `num` problems of a split, and another run beside it.

    `on` is what to call problems that are not the run's own; `tell` is told what is being done.

    Raises:
        ValueError: a run has no trained model, the split is empty, or as `look`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    examples = list(task.examples(split)[:num])
    if not examples:
        raise ValueError(f"the {split} split has no problems to look at")
    rows = config.batch.evaluation if rows is None else rows
    model, found = load_run(run, weights=weights, engine=config.engine)
    model = model.to(device)
    records, other = None, None
    if beside is not None:
        folder, theirs = beside
        tell("the run beside")
        their_model = load_run(folder, weights=weights, engine=theirs.engine)[0].to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=theirs.precision == "bf16"):
            records = evaluate(their_model, task, theirs.method, examples, rows=rows)
        other = Beside(
            run=folder.resolve().name,
            method=method_name(type(theirs.method).__name__),
            accuracy=share([record.correct for record in records]),
        )
        del their_model
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        seen = look(
            model,
            task,
            config.method,
            examples,
            rows=rows,
            seed=seed,
            mix=config.curriculum.mix,
            beside=records,
            tell=tell,
        )
    return Payload(
        version=importlib.metadata.version("unspoken"),
        commit=describe_environment()["commit"],
        run=run.resolve().name,
        recipe=config.recipe,
        method=method_name(type(config.method).__name__),
        task=type(task).__name__,
        split=split,
        on=on,
        weights=found,
        seed=seed,
        slot=seen.slot,
        mixed=config.curriculum.mix > 0,
        accuracy=seen.accuracy,
        paths=seen.paths,
        after=seen.after,
        interventions=seen.changed.interventions,
        left_out=seen.changed.left_out,
        why_no_interventions=seen.changed.why_none,
        beside=other,
        problems=seen.problems,
    )
