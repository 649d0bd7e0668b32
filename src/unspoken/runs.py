"""A run folder, evaluated: weights of a run x a split of its task -> records and summary on disk."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path
from typing import Literal

import torch

from unspoken.cards import note_evaluation
from unspoken.checkpoint import taken_back
from unspoken.config import RunConfig, to_builtins
from unspoken.durable import partial_name, publish
from unspoken.environment import describe_environment, processor_name
from unspoken.evaluate import evaluate, time_single
from unspoken.model import LatentLM
from unspoken.records import Summary, summarize, write_records
from unspoken.specs import DEFAULT_ENGINE, Engine
from unspoken.tasks.base import Split, Task


def load_run(
    run: Path, *, weights: Literal["best", "final"] = "best", engine: Engine = DEFAULT_ENGINE
) -> tuple[LatentLM, str]:
    """The trained model of a run, and which weights they are.

    `best` falls back to `final` where validation never reached the final stage.

    Raises:
        ValueError: the run has no trained model yet.
    """
    for name in [weights] if weights == "final" else ["best", "final"]:
        if (run / name / "config.json").is_file():
            return LatentLM.from_pretrained(run / name, engine=engine), name
    if (run / "metrics.jsonl").exists() and not (run / "checkpoints").is_dir():
        raise ValueError(
            f"{run}: no trained model in {weights}/, only the records of one; train it again with unspoken train "
            f"{run / 'config.json'} --out another folder"
        )
    raise ValueError(f"{run}: no trained model in {weights}/; has the run ended? unspoken train --resume {run}")


def load_ready(folder: Path, config: RunConfig | None, *, weights: Literal["best", "final"] = "best") -> LatentLM:
    """The model of a run, or without its `config` of a saved model's folder, on the GPU where there is one.

    Raises:
        ValueError: as `load_run` and `LatentLM.from_pretrained`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if config is None:
        return LatentLM.from_pretrained(folder).to(device)
    return load_run(folder, weights=weights, engine=config.engine)[0].to(device)


def evaluate_run(
    run: Path,
    config: RunConfig,
    folder: Path,
    *,
    task: Task | None = None,
    split: Split = "test",
    weights: Literal["best", "final"] = "best",
    thoughts: int | None = None,
    num: int | None = None,
    rows: int | None = None,
    single: int = 10,
    engine: Engine | None = None,
) -> Summary:
    """Evaluates a run and writes `records.jsonl` and `summary.json` into `folder`, in place of what is there.

    `task` asks other problems than the run was trained on, under the same method. `engine` runs the model another way
    than the run was trained.

    Raises:
        ValueError: as `load_run` and `evaluate`.
    """
    if num is not None and num < 1:
        raise ValueError(f"the number of examples must be at least 1, got {num}")
    rows = rows if rows is not None else config.batch.evaluation
    if single < 0:
        raise ValueError(f"the number of problems timed at batch 1 (single) must be at least 0, got {single}")
    if rows < 1:
        raise ValueError(f"the number of rows must be at least 1, got {rows}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, found = load_run(run, weights=weights, engine=engine or config.engine)
    model = model.to(device)
    task = config.task if task is None else task
    examples = task.examples(split)[slice(num)]
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        timed = time_single(model, task, config.method, examples[: single + 1], thoughts=thoughts)
        records = evaluate(model, task, config.method, examples, rows=rows, thoughts=thoughts)
    on_gpu = device.type == "cuda"
    device_name = torch.cuda.get_device_name() if on_gpu else f"{processor_name()} ({platform.machine()})"
    summary = summarize(
        records,
        split=split,
        rows=min(rows, len(records)),
        engine=model.engine,
        single=timed,
        forced_thoughts=thoughts,
        hardware=device_name,
        task={**to_builtins(task), "version": task.version},
        weights=found,
        commit=describe_environment()["commit"],
    )
    # An evaluation that stands there already goes in the moment this one is whole.
    partial = partial_name(folder)
    shutil.rmtree(partial, ignore_errors=True)
    with taken_back(partial):
        write_records(partial, records, summary)
        publish(partial, folder)
    note_evaluation(run / found, folder.name, summary, example=examples[0].question, max_new_tokens=task.max_new_tokens)
    return summary
