"""The demo's recipes: act 1 trains live on `hops`; act 2, planning, is in `demo_planning`."""

from __future__ import annotations

from dataclasses import replace

from unspoken.config import AdamW, BatchSize, RunConfig, Schedule
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut, CoT, NoCoT, PauseAsThought
from unspoken.specs import Llama
from unspoken.tasks.hops import Hops


def cot() -> RunConfig:
    """Follow four pointers, writing every node down."""
    return RunConfig(
        recipe="demo/cot",
        task=Hops(num_train=6_400),
        method=CoT(),
        model=Llama(),
        curriculum=Curriculum(stage_epochs=(8,)),
        optimizer=AdamW(lr=3e-3, clip_norm=1.0),
        schedule=Schedule(decay="cosine", warmup_steps=50, span="stage"),
        batch=BatchSize(rows=64, evaluation=256),
    )


def no_cot() -> RunConfig:
    """Follow four pointers, answering at once."""
    return replace(cot(), recipe="demo/no-cot", method=NoCoT())


def coconut() -> RunConfig:
    """Follow four pointers in continuous thoughts."""
    return replace(
        cot(),
        recipe="demo/coconut",
        method=Coconut(max_stage=4),
        curriculum=Curriculum(stage_epochs=(8, 4, 4, 6, 6, 2)),
    )


def pause_as_thought() -> RunConfig:
    """The same schedule with learned pause tokens in the thoughts' places."""
    return replace(coconut(), recipe="demo/pause-as-thought", method=PauseAsThought(max_stage=4))


RECIPES = {
    "demo/cot": cot,
    "demo/no-cot": no_cot,
    "demo/coconut": coconut,
    "demo/pause-as-thought": pause_as_thought,
}
