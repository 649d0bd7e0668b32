"""GSM8K with GPT-2 small's configuration: the paper's schedule, and the published code's.

Training takes the 6,973 human-written problems; with GSM8k-Aug (385,620, not among the shared data) an epoch is 55
times as long: `--task.train-file gsm_train.json`. The model starts from random weights, since GPT-2's are not at hand
either; `model=Pretrained(path="gpt2")` is the paper's start.
"""

from __future__ import annotations

from dataclasses import replace

from unspoken.config import AdamW, After, BatchSize, RunConfig
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut, CoT, ICoT
from unspoken.recipes import prosqa
from unspoken.recipes.rows import Recipe, table1, with_method
from unspoken.tasks.gsm8k import GSM8K

STAGED = (6, 3, 3, 3, 35)
"""The paper's schedule: 6 epochs of stage 0, 3 of each further one, the last stage until epoch 50."""


def coconut() -> RunConfig:
    """Coconut on GSM8K: two thoughts a step, three steps, then all text removed (six thoughts)."""
    return replace(
        prosqa.coconut(),
        recipe="gsm8k/gpt2/coconut",
        task=GSM8K(),
        method=Coconut(max_stage=3, thoughts_per_step=2),
        curriculum=Curriculum(stage_epochs=STAGED),
        # Lengths vary more than ProsQA's: half of a random batch is padding.
        batch=BatchSize(rows=128, micro=32, bucket=32),
    )


def icot() -> RunConfig:
    """iCoT's reference settings for GSM8K: 8 tokens an epoch, everything beyond 39, its own rate, batch and clipping.

    Differs from the reference in that 8 tokens go at once between epochs, not one at a time within them.
    """
    method = ICoT()
    # One epoch for each stage that removes some tokens; as many in all as the other rows have.
    epochs = (*[1] * (method.stages - 1), sum(STAGED) - (method.stages - 1))
    base = with_method(coconut(), "gsm8k/gpt2/icot", method, epochs)
    return replace(base, optimizer=AdamW(lr=5e-5, weight_decay=0.01, clip_norm=1.0), batch=BatchSize(rows=32))


def published_cot() -> RunConfig:
    """The CoT run that the published code's Coconut starts from (args/gsm_cot.yaml): 25 epochs."""
    return with_method(_at_random(coconut()), "gsm8k/published/cot", CoT(), (25,))


def _at_random(config: RunConfig) -> RunConfig:
    """The same run with batches drawn at random, as the published code's are."""
    return replace(config, batch=replace(config.batch, bucket=1))


def published_coconut() -> RunConfig:
    """As the published code runs it (args/gsm_coconut.yaml): stage 0 is a CoT run of its own, epochs 3 to 24 follow.

    The optimizer is reset every epoch.
    """
    base = _at_random(coconut())
    return replace(
        base,
        recipe="gsm8k/published/coconut",
        model=After(first=published_cot()),
        curriculum=Curriculum(stage_epochs=(0, 3, 3, 3, 13), reset_optimizer="epoch"),
    )


RECIPES: dict[str, Recipe] = {
    **table1("gsm8k/gpt2", coconut, icot=icot),
    "gsm8k/published/cot": published_cot,
    "gsm8k/published/coconut": published_coconut,
}
