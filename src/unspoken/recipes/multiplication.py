"""Multiplying 4 digits by 4 with a small model from scratch, a word a digit. Nothing here is tuned or published.

The iCoT paper fine-tunes GPT-2 on 808,000 such problems; here are 100,000 and a model of 3 million weights.
"""

from __future__ import annotations

from unspoken.config import AdamW, BatchSize, RunConfig
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut, CoT, ICoT, NoCoT
from unspoken.recipes.rows import Recipe, with_method
from unspoken.specs import GPT2, Words
from unspoken.tasks.multiplication import Multiplication

STAGED = (10, 3, 3, 3, 11, 0)
"""Epochs a stage. Four steps are all of them, so the stage that removes all text is stage 4 again."""


def coconut() -> RunConfig:
    """A thought for each partial product."""
    return RunConfig(
        recipe="multiplication/4x4/coconut",
        task=Multiplication(),
        method=Coconut(max_stage=4),
        model=GPT2(layers=4, width=256, heads=4, positions=128, dropout=0.0, tokenizer=Words()),
        curriculum=Curriculum(stage_epochs=STAGED),
        optimizer=AdamW(lr=5e-4, betas=(0.9, 0.95), clip_norm=1.0),
        batch=BatchSize(rows=128, evaluation=256),
    )


def cot() -> RunConfig:
    """Write the partial products and sums down."""
    return with_method(coconut(), "multiplication/4x4/cot", CoT(), (sum(STAGED),))


def no_cot() -> RunConfig:
    """Write the product at once."""
    return with_method(coconut(), "multiplication/4x4/no-cot", NoCoT(), (sum(STAGED),))


def icot() -> RunConfig:
    """iCoT: a chain has 46 words; 8 more go every 3 epochs."""
    method = ICoT(remove_all_beyond=46)
    removing = method.stages - 1
    return with_method(coconut(), "multiplication/4x4/icot", method, (*[3] * removing, sum(STAGED) - 3 * removing))


RECIPES: dict[str, Recipe] = {
    "multiplication/4x4/coconut": coconut,
    "multiplication/4x4/cot": cot,
    "multiplication/4x4/icot": icot,
    "multiplication/4x4/no-cot": no_cot,
}
