"""The smallest run that passes through every part: a few pointers, one layer, four stages, five steps an epoch."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from unspoken.config import AdamW, BatchSize, RunConfig
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut
from unspoken.reports import StepReport, ValidationReport
from unspoken.specs import Llama
from unspoken.tasks.hops import Hops

STEPS_PER_EPOCH = 5
MODEL = Llama(layers=1, width=16, heads=2, mlp_width=32, positions=48)

REGISTER = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from tiny_runs import tiny
from unspoken.recipes import RECIPES
RECIPES["tiny/coconut"] = tiny
"""
"""What a process of its own runs first, so that the command line knows the smallest run."""


def tiny(**changes: Any) -> RunConfig:
    """Coconut on two hops over five nodes, with some fields changed."""
    base = RunConfig(
        recipe="tiny/coconut",
        task=Hops(nodes=5, hops=2, num_train=40, num_valid=6, num_test=8),
        method=Coconut(max_stage=2),
        model=MODEL,
        curriculum=Curriculum(stage_epochs=(1, 1, 1, 1)),
        optimizer=AdamW(lr=3e-3),
        batch=BatchSize(rows=8),
        log_every=1,
    )
    return replace(base, **changes)


def metrics(run: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of one kind in a run's metrics."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def digest(folder: Path) -> str:
    """The weights in a folder, as one number."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def tree(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, to see that nothing was touched."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@dataclass
class StopAt:
    """An observer that presses Ctrl-C at a step, or lets the process "crash" there."""

    step: int
    crash: bool = False

    def on_step(self, report: StepReport) -> None:
        if report.step == self.step:
            if self.crash:
                raise RuntimeError("the machine went away")
            os.kill(os.getpid(), signal.SIGINT)

    def on_validation(self, report: ValidationReport) -> None: ...


def final_weights(run: Path) -> dict[str, torch.Tensor]:
    """The weights a run ended with."""
    return load_file(run / "final" / "model.safetensors")


def losses(run: Path) -> list[float]:
    """Every logged loss."""
    return [line["loss"] for line in metrics(run, "step")]
