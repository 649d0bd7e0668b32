"""The demo's first act: follow four pointers, four methods from one warm start, all trained live.

    walk        long walks along pointers: the model learns to look facts up, and what <bot> means
      cot, no-cot, coconut, pause-as-thought

From random weights the same comparison takes many times longer, because four look-ups a problem are few to learn
looking up from. Optimizer, schedule and lengths come from `benchmarks/speedrun.md`: one cosine over all stages with the
optimizer's state kept is what lets a stage go on where the last one was. The second act is in `planning`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from unspoken.config import After, BatchSize, Muon, RunConfig, Schedule
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut, CoT, NoCoT, OpenedCoT, PauseAsThought
from unspoken.specs import Llama
from unspoken.tasks.hops import Hops

# 50 steps of 64 problems an epoch.
_HOPS = Hops(num_train=3_200)


def walk() -> RunConfig:
    """Walk twelve pointers on, writing every node down: where the demo's models start."""
    return RunConfig(
        recipe="demo/walk",
        task=replace(_HOPS, hops=12),
        method=OpenedCoT(),
        model=Llama(mlp_width=256, embedding_std=0.3, final_gain=0.3),
        curriculum=Curriculum(stage_epochs=(5,)),
        optimizer=Muon(lr=1e-2, others_lr=3e-3, betas=(0.9, 0.95), clip_norm=1.0),
        schedule=Schedule(decay="cosine", warmup_steps=50, floor=0.1),
        batch=BatchSize(rows=64, evaluation=256),
    )


def cot() -> RunConfig:
    """Follow four pointers, writing every node down."""
    return replace(
        walk(),
        recipe="demo/cot",
        task=_HOPS,
        method=CoT(),
        model=After(first=walk()),
        curriculum=Curriculum(stage_epochs=(4,), reset_optimizer="never"),
        optimizer=Muon(lr=5e-3, others_lr=2e-3, betas=(0.9, 0.95), clip_norm=1.0),
        schedule=Schedule(decay="cosine", warmup_steps=20, floor=0.1),
    )


def no_cot() -> RunConfig:
    """Follow four pointers, answering at once; as many steps as Coconut has."""
    return replace(
        cot(), recipe="demo/no-cot", method=NoCoT(), curriculum=replace(cot().curriculum, stage_epochs=(10,))
    )


def coconut() -> RunConfig:
    """Follow four pointers in continuous thoughts."""
    return replace(
        cot(),
        recipe="demo/coconut",
        method=Coconut(max_stage=4),
        model=After(first=walk(), marker_from="bot"),
        # Four steps are all of them, so the stage that removes all text is stage 4 again and needs no time.
        curriculum=Curriculum(stage_epochs=(0, 2, 2, 2, 4, 0), mix=0.2, mix_over="past", reset_optimizer="never"),
    )


def pause_as_thought() -> RunConfig:
    """The same schedule with learned pause tokens in the thoughts' places."""
    return replace(coconut(), recipe="demo/pause-as-thought", method=PauseAsThought(max_stage=4))


RECIPES: dict[str, Callable[[], RunConfig]] = {
    "demo/walk": walk,
    "demo/cot": cot,
    "demo/no-cot": no_cot,
    "demo/coconut": coconut,
    "demo/pause-as-thought": pause_as_thought,
}
