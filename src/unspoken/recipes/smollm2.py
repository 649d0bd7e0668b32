"""GSM8K and ProsQA from a real pretrained model of GPT-2 small's size: SmolLM2-135M, which `make pretrained` brings.

Its 30 blocks of width 576 have seen 2 trillion tokens, GPT-2's 12 of width 768 some 10 billion. What differs from the
paper's runs, besides the model, and why:

- the data are the 6,973 human-written GSM8K problems, not GSM8k-Aug's 385,620, so an epoch has 55 steps, not 3,013, and
  figures are no comparison with the paper's Table 1;
- 25 epochs on GSM8K and 20 on ProsQA instead of 50: a pretrained model fits so few rows early, and the best epoch of
  the last stage is the one that is kept;
- the paper's learning rate of 1e-4, which was GPT-2's, with 20 steps of warm-up whenever a stage begins, since the
  optimizer begins anew there, and gradients clipped at 1: SmolLM2's last hidden states, which become thoughts, are 16
  times as long as its embeddings;
- bf16 arithmetic over float32 weights.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from unspoken.config import AdamW, BatchSize, RunConfig, Schedule
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut, ICoT
from unspoken.recipes.rows import Recipe, table1, with_method
from unspoken.specs import SMOLLM2, Pretrained
from unspoken.tasks.gsm8k import GSM8K
from unspoken.tasks.prosqa import ProsQA

GSM8K_STAGED = (6, 3, 3, 3, 10)
"""The paper's epochs up to the last stage."""
PROSQA_STAGED = (3, 2, 2, 2, 2, 2, 2, 5)


def gsm8k_coconut() -> RunConfig:
    """Coconut on GSM8K from SmolLM2-135M: two thoughts a step, three steps, then all text removed."""
    return RunConfig(
        recipe="gsm8k/smollm2/coconut",
        task=GSM8K(),
        method=Coconut(max_stage=3, thoughts_per_step=2),
        model=Pretrained(path=SMOLLM2),
        curriculum=Curriculum(stage_epochs=GSM8K_STAGED),
        optimizer=AdamW(lr=1e-4, weight_decay=0.01, clip_norm=1.0),
        schedule=Schedule(warmup_steps=20, span="stage"),
        batch=BatchSize(rows=128, micro=32, bucket=16),
        precision="bf16",
    )


def gsm8k_icot() -> RunConfig:
    """iCoT's reference rate and batch; digits are tokens here, so 95 % of the chains end within 71 tokens, not 39."""
    method = ICoT(remove_all_beyond=71)
    removing = method.stages - 1
    epochs = (*[1] * removing, sum(GSM8K_STAGED) - removing)
    base = with_method(gsm8k_coconut(), "gsm8k/smollm2/icot", method, epochs)
    return replace(base, optimizer=replace(base.optimizer, lr=5e-5), batch=BatchSize(rows=32))


def prosqa_coconut() -> RunConfig:
    """Coconut on ProsQA from SmolLM2-135M: one thought a step, six steps."""
    return replace(
        gsm8k_coconut(),
        recipe="prosqa/smollm2/coconut",
        task=ProsQA(),
        method=Coconut(),
        curriculum=Curriculum(stage_epochs=PROSQA_STAGED),
        batch=BatchSize(rows=128, micro=32, bucket=4),
    )


def prosqa_icot() -> RunConfig:
    """A chain has up to 63 of SmolLM2's tokens; 8 more go every 2 epochs."""
    method = ICoT(remove_all_beyond=63)
    removing = method.stages - 1
    epochs = (*[2] * removing, sum(PROSQA_STAGED) - 2 * removing)
    return with_method(prosqa_coconut(), "prosqa/smollm2/icot", method, epochs)


def _with_thoughts(num: int) -> RunConfig:
    """The paper's figure 3: c thoughts a step."""
    base = gsm8k_coconut()
    method = Coconut(max_stage=3, thoughts_per_step=num)
    return with_method(base, f"gsm8k/smollm2/coconut-c{num}", method, base.curriculum.stage_epochs)


RECIPES: dict[str, Recipe] = {
    **table1("gsm8k/smollm2", gsm8k_coconut, icot=gsm8k_icot),
    "gsm8k/smollm2/coconut-c1": partial(_with_thoughts, 1),
    "gsm8k/smollm2/coconut-c3": partial(_with_thoughts, 3),
    **table1("prosqa/smollm2", prosqa_coconut, icot=prosqa_icot),
}
