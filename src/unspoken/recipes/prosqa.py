"""ProsQA: the two-layer model on symbols ("Reasoning by superposition"), the paper's GPT-2 on text, and a small model.

All train on 17,886 generated problems (the published training split's size), select on the published validation split
and are tested on the published test split.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from unspoken.config import AdamW, After, BatchSize, RunConfig
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut, CoT, Enclosed, ICoT, PauseAsThought
from unspoken.recipes import planning
from unspoken.recipes.ablations import ablations
from unspoken.recipes.rows import Recipe, table1, with_method
from unspoken.specs import GPT2, Words
from unspoken.tasks.fork import HIDDEN
from unspoken.tasks.hops import Hops
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.symbolic import NODE_SYMBOLS, SymbolicProsQA

STAGED = (5, 5, 5, 5, 5, 5, 5, 15)
"""The paper's ProsQA schedule: 5 epochs a stage, the last stage until epoch 50."""


def coconut() -> RunConfig:
    """Coconut on ProsQA text: GPT-2 small's configuration and the published schedule, from random initialisation."""
    return RunConfig(
        recipe="prosqa/gpt2/coconut",
        task=ProsQA(),
        method=Coconut(),
        model=GPT2(),
        curriculum=Curriculum(stage_epochs=STAGED),
        optimizer=AdamW(lr=1e-4, weight_decay=0.01),
        # Of a random batch of text a quarter is padding; of one out of four sorted together, 3 to 8 %.
        batch=BatchSize(rows=128, micro=32, bucket=4),
    )


def icot() -> RunConfig:
    """A chain has up to about 70 GPT-2 tokens; 8 more go every 4 epochs, so that 50 epochs see all of them go."""
    method = ICoT(remove_all_beyond=71)
    removing = method.stages - 1
    return with_method(coconut(), "prosqa/gpt2/icot", method, (*[4] * removing, sum(STAGED) - 4 * removing))


def two_layer() -> RunConfig:
    """Coconut on symbolic ProsQA with a two-layer model from scratch, superposition's settings.

    Differs from that paper in the data: the released problems' graphs, 3 to 6 hops, with its own vocabulary.
    """
    return RunConfig(
        recipe="prosqa/two-layer/coconut",
        task=SymbolicProsQA(),
        method=Coconut(steps_kept=1),
        model=GPT2(layers=2, width=768, heads=8, positions=256, dropout=0.0, tokenizer=Words()),
        curriculum=Curriculum(stage_epochs=(25, 25, 25, 25, 25, 25, 25, 125), mix=0.1, reset_optimizer="never"),
        optimizer=AdamW(lr=1e-4, betas=(0.9, 0.95)),
        batch=BatchSize(rows=256, bucket=16, evaluation=256),
    )


def small_walk() -> RunConfig:
    """Walk twelve pointers on over ProsQA's symbols: where the small models start."""
    return replace(
        planning.walk(),
        recipe="prosqa/small/walk",
        task=Hops(nodes=12, hops=12, num_train=6_400, symbols=NODE_SYMBOLS, other_words=("|", HIDDEN)),
        curriculum=Curriculum(stage_epochs=(8,)),
    )


def small_opened() -> RunConfig:
    """Write the path behind a <bot>, on symbolic ProsQA with options mostly untold."""
    return replace(
        small_walk(),
        recipe="prosqa/small/opened",
        task=SymbolicProsQA(hidden=0.6),
        model=After(first=small_walk()),
        curriculum=Curriculum(stage_epochs=(2,)),
    )


def _small(name: str, method: Enclosed) -> RunConfig:
    """Stages 1 to 3 with options mostly untold, then 2 to 6 with options mostly told; a 0.3M model on two CPU cores."""
    frontier = replace(
        small_opened(),
        recipe=f"prosqa/small/{name}-frontier",
        task=SymbolicProsQA(hidden=0.7),
        method=method,
        model=After(first=small_opened(), marker_from="bot"),
        curriculum=Curriculum(stage_epochs=(0, 1, 2, 2, 0, 0, 0, 0), mix=0.2, mix_over="past"),
    )
    return replace(
        frontier,
        recipe=f"prosqa/small/{name}",
        task=SymbolicProsQA(hidden=0.15),
        model=After(first=frontier),
        curriculum=Curriculum(stage_epochs=(0, 0, 1, 1, 1, 1, 1, 3), mix=0.3, mix_over="past"),
        optimizer=replace(frontier.optimizer, lr=2e-3),
    )


def small_cot() -> RunConfig:
    """Write the path down, from the same start and for as many epochs as the small Coconut run."""
    return replace(
        small_opened(),
        recipe="prosqa/small/cot",
        task=SymbolicProsQA(),
        method=CoT(),
        model=After(first=small_opened()),
        curriculum=Curriculum(stage_epochs=(13,)),
    )


RECIPES: dict[str, Recipe] = {
    **table1("prosqa/gpt2", coconut, icot=icot),
    **ablations("prosqa/gpt2", coconut),
    **table1("prosqa/two-layer", two_layer),
    "prosqa/small/walk": small_walk,
    "prosqa/small/opened": small_opened,
    "prosqa/small/coconut": partial(_small, "coconut", Coconut()),
    "prosqa/small/pause-as-thought": partial(_small, "pause-as-thought", PauseAsThought()),
    "prosqa/small/cot": small_cot,
}
