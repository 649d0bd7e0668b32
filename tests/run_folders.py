"""Run folders of known figures, without any training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from unspoken.config import RunConfig, to_builtins
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut
from unspoken.records import Summary
from unspoken.specs import Llama
from unspoken.tasks.hops import Hops


def hops(**changes: Any) -> RunConfig:
    """Coconut on a task that the paper does not have."""
    base = RunConfig(
        recipe="tiny/coconut",
        task=Hops(nodes=5, hops=2),
        method=Coconut(max_stage=2),
        model=Llama(layers=1),
        curriculum=Curriculum(stage_epochs=(1, 1, 1, 1)),
    )
    return replace(base, **changes)


def summary(right: int = 3, num: int = 4, **changes: Any) -> Summary:
    """`right` of `num` right, with 4 tokens, 2 thoughts, 0.1 s at batch 1 and 0.5 s in batches."""
    base = Summary(
        split="test",
        num=num,
        num_correct=right,
        tokens=4.0,
        thoughts=2.0,
        seconds_batched=0.5,
        seconds_single=0.1,
        rows=4,
        hardware="Some CPU, with a comma",
        weights="best",
    )
    return msgspec.structs.replace(base, **changes)


def run_folder(path: Path, config: RunConfig, found: Summary, *, evaluation: str = "test") -> Path:
    """A run's config and one evaluation of it, on its own problems where the summary names no others."""
    path.mkdir(parents=True, exist_ok=True)
    config.save(path / "config.json")
    if not found.task:
        found = msgspec.structs.replace(found, task={**to_builtins(config.task), "version": config.task.version})
    folder = path / "eval" / evaluation
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_bytes(msgspec.json.encode(found))
    return path


def audited(run: Path, carries: str, *, evaluation: str = "test") -> Path:
    """As much of an audit as tables read."""
    folder = run / "audit" / evaluation
    folder.mkdir(parents=True)
    (folder / "audit.json").write_text(json.dumps({"run": run.name, "findings": {"num": 4, "carries": carries}}))
    return run


def seeds(path: Path, config: RunConfig, right: Sequence[int], num: int, **changes: Any) -> list[Path]:
    """A run of the same recipe for each number of right answers, with seeds 0, 1, ..."""
    return [
        run_folder(path.with_name(f"{path.name}-{seed}"), replace(config, seed=seed), summary(each, num, **changes))
        for seed, each in enumerate(right)
    ]
