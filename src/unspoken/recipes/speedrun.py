"""Speedruns: how fast to 97 % on ProsQA? Goals on one H200: two-layer in 3 minutes, GPT-2 in 20.

Neither has been measured: both need a GPU. They are made of what was found on the demo's first act on two CPU cores and
of the settings others report; `benchmarks/speedrun.md` tells which is which. `benchmarks/speedrun.py` runs them.
"""

from __future__ import annotations

from dataclasses import replace

from unspoken.config import BatchSize, Muon, RunConfig, Schedule, Validation
from unspoken.curriculum import Curriculum
from unspoken.methods import ICoT
from unspoken.recipes import prosqa
from unspoken.recipes.rows import Recipe, table1, with_method
from unspoken.specs import GPT2

TARGET = 0.97
"""The validation accuracy a speedrun is for."""


def two_layer() -> RunConfig:
    """Two layers on symbolic ProsQA in a fifth of superposition's epochs: Muon, bf16, warm-down. Not measured."""
    return replace(
        prosqa.two_layer(),
        recipe="speedrun/two-layer",
        # 69 steps an epoch: 4,002 in all, half of them in the last stage, where validation may end them.
        curriculum=Curriculum(stage_epochs=(4, 4, 4, 4, 4, 4, 4, 30), mix=0.1, reset_optimizer="never"),
        optimizer=Muon(lr=3e-3, others_lr=1e-3, betas=(0.9, 0.95), clip_norm=1.0),
        schedule=Schedule(decay="linear", warmup_steps=100, hold=0.6, floor=0.05),
        batch=BatchSize(rows=256, bucket=16, evaluation=512),
        validation=Validation(stop_at=TARGET),
        precision="bf16",
    )


def gpt2() -> RunConfig:
    """GPT-2 size on ProsQA text in 18 epochs instead of 50: Muon, bf16, no dropout, warm-down. Not measured."""
    return replace(
        prosqa.coconut(),
        recipe="speedrun/gpt2",
        model=GPT2(dropout=0.0),
        # 139 steps an epoch: 2,502 in all.
        curriculum=Curriculum(stage_epochs=(2, 1, 1, 1, 1, 1, 1, 10), reset_optimizer="never"),
        optimizer=Muon(lr=2e-3, others_lr=6e-4, betas=(0.9, 0.95), clip_norm=1.0),
        schedule=Schedule(decay="linear", warmup_steps=100, hold=0.6, floor=0.05),
        batch=BatchSize(rows=128, micro=64, bucket=16, evaluation=256),
        validation=Validation(stop_at=TARGET),
        precision="bf16",
    )


def fast() -> RunConfig:
    """The speedrun's schedule to its end, for a whole table in the time of one published run. Not measured."""
    return replace(gpt2(), recipe="prosqa/fast/coconut", validation=Validation())


def fast_icot() -> RunConfig:
    """8 more of up to 71 tokens go every epoch."""
    method, base = ICoT(remove_all_beyond=71), fast()
    removing = method.stages - 1
    return with_method(base, "prosqa/fast/icot", method, (*[1] * removing, base.curriculum.epochs - removing))


RECIPES: dict[str, Recipe] = {
    "speedrun/two-layer": two_layer,
    "speedrun/gpt2": gpt2,
    **table1("prosqa/fast", fast, icot=fast_icot),
}
