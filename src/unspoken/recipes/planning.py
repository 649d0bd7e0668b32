"""The demo's second act: planning on `Fork`, four methods from one warm start.

    walk            long walks along pointers (`Hops`): the model learns to look facts up, and what <bot> means
      opened        chains behind a <bot>, options mostly untold: the model learns to take one step
        cot, no-cot         the compared methods, from there, for as many steps as Coconut has in all
        coconut, pause-as-thought, and the controls shuffled-thoughts and detached-thoughts
                            stages 1 and 2 with options mostly untold, then stages 2 and 3 with options mostly told

Told options tempt a model into naming one of the two, which is right in half of the problems and drowns what the graph
would teach; hence they are hidden until the model can follow the graph. What else was tried is in `results/demo.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from unspoken.config import AdamW, After, BatchSize, RunConfig, Schedule
from unspoken.curriculum import Curriculum
from unspoken.methods import (
    Coconut,
    CoT,
    DetachedThoughts,
    Enclosed,
    NoCoT,
    OpenedCoT,
    PauseAsThought,
    ShuffledThoughts,
)
from unspoken.specs import Llama
from unspoken.tasks.fork import HIDDEN, Fork
from unspoken.tasks.hops import Hops

# 100 steps of 64 problems an epoch.
_FORK = Fork(crossings=2, num_train=6_400)


def walk() -> RunConfig:
    """Walk twelve pointers on: where the planning models start."""
    return RunConfig(
        recipe="demo/planning/walk",
        task=Hops(hops=12, num_train=6_400, symbols=_FORK.names, other_words=("|", HIDDEN)),
        method=OpenedCoT(),
        model=Llama(mlp_width=256, embedding_std=0.3, final_gain=0.3),
        curriculum=Curriculum(stage_epochs=(5,)),
        optimizer=AdamW(lr=3e-3, betas=(0.9, 0.95), clip_norm=1.0),
        schedule=Schedule(decay="cosine", warmup_steps=50, span="stage", floor=0.1),
        batch=BatchSize(rows=64, evaluation=256),
    )


def opened() -> RunConfig:
    """Write the path to an option that is mostly untold, behind a <bot>."""
    return replace(
        walk(),
        recipe="demo/planning/opened",
        task=replace(_FORK, hidden=0.6),
        model=After(first=walk()),
        curriculum=Curriculum(stage_epochs=(4,)),
    )


def _frontier(name: str, method: Enclosed, mix: float) -> RunConfig:
    return replace(
        opened(),
        recipe=f"demo/planning/{name}-frontier",
        task=replace(_FORK, hidden=0.7),
        method=method,
        model=After(first=opened(), marker_from="bot"),
        curriculum=Curriculum(stage_epochs=(0, 4, 5, 0, 0), mix=mix, mix_over="past"),
    )


def _staged(name: str, method: Enclosed, mix: tuple[float, float] = (0.1, 0.3)) -> RunConfig:
    """Both runs; `mix` is the share of earlier stages' layouts in each."""
    frontier = _frontier(name, method, mix[0])
    return replace(
        frontier,
        recipe=f"demo/planning/{name}",
        task=replace(_FORK, hidden=0.15),
        model=After(first=frontier),
        curriculum=Curriculum(stage_epochs=(0, 0, 2, 8, 0), mix=mix[1], mix_over="past"),
        optimizer=replace(frontier.optimizer, lr=2e-3),
    )


def coconut() -> RunConfig:
    """Plan in three continuous thoughts, then answer."""
    return _staged("coconut", Coconut(max_stage=3))


def pause_as_thought() -> RunConfig:
    """The same schedule with learned pause tokens in the thoughts' places."""
    return _staged("pause-as-thought", PauseAsThought(max_stage=3))


def shuffled_thoughts() -> RunConfig:
    """Control: the same schedule, fed the thoughts of another problem; unmixed, since all rows must think alike."""
    return _staged("shuffled-thoughts", ShuffledThoughts(max_stage=3), mix=(0.0, 0.0))


def detached_thoughts() -> RunConfig:
    """Control: the same schedule, no gradient through what is fed back."""
    return _staged("detached-thoughts", DetachedThoughts(max_stage=3))


def cot() -> RunConfig:
    """Write the path down, then answer; as many steps from the warm start as Coconut."""
    return replace(
        opened(),
        recipe="demo/planning/cot",
        task=_FORK,
        method=CoT(),
        model=After(first=opened()),
        curriculum=Curriculum(stage_epochs=(19,)),
    )


def no_cot() -> RunConfig:
    """Answer at once."""
    return replace(cot(), recipe="demo/planning/no-cot", method=NoCoT())


RECIPES: dict[str, Callable[[], RunConfig]] = {
    "demo/planning/walk": walk,
    "demo/planning/opened": opened,
    "demo/planning/cot": cot,
    "demo/planning/no-cot": no_cot,
    "demo/planning/coconut": coconut,
    "demo/planning/pause-as-thought": pause_as_thought,
    "demo/planning/shuffled-thoughts": shuffled_thoughts,
    "demo/planning/detached-thoughts": detached_thoughts,
}
