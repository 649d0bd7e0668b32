"""ProsQA: the paper's GPT-2 on text, and the two-layer model on symbols ("Reasoning by superposition"). A model that
two CPU cores can train on these problems is `small/prosqa-released`.

Both train on 17,886 generated problems (the published training split's size), select on the published validation split
and are tested on the published test split.
"""

from __future__ import annotations

from unspoken.config import AdamW, BatchSize, RunConfig
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut, ICoT
from unspoken.recipes.ablations import ablations
from unspoken.recipes.rows import Recipe, table1, with_method
from unspoken.specs import GPT2, Words
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.symbolic import SymbolicProsQA

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


RECIPES: dict[str, Recipe] = {
    **table1("prosqa/gpt2", coconut, icot=icot),
    **ablations("prosqa/gpt2", coconut),
    **table1("prosqa/two-layer", two_layer),
}
