"""GSM8K on Llama 3.2-3B and Llama 3-8B, as in the paper's appendix; whole models, and adapters on them.

The paper: one thought a step, 3 epochs of stage 0 and 1 of every further one; its author's advice for Llama is a
learning rate of about 1e-5. There, on GSM8k-Aug: without chains 26.0 %, Coconut 31.7 (3B); 42.2 and 43.6 (8B).

The weights are behind a licence: `--model.path` names a folder, or the hub's name is looked up where it can be reached.
In float32, weights, gradients and AdamW's two moments take 51 GB for 3B and 129 GB for 8B. The `-lora` recipes train
1.5 and 1.0 % as many weights, at ten times the rate, on frozen layers in bf16: 8 and 20 GB. Activations come on top;
`--engine sparing` keeps fewer.
"""

from __future__ import annotations

from dataclasses import replace

from unspoken.config import AdamW, BatchSize, RunConfig
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut, NoCoT
from unspoken.recipes.rows import Recipe, with_method
from unspoken.specs import Lora, Pretrained
from unspoken.tasks.gsm8k import GSM8K

STAGED = (3, 1, 1, 1, 1)


def llama_3b() -> RunConfig:
    """Coconut on GSM8K from Llama 3.2-3B: one thought a step, every weight trained."""
    return RunConfig(
        recipe="gsm8k/llama-3.2-3b/coconut",
        task=GSM8K(),
        method=Coconut(max_stage=3, thoughts_per_step=1),
        model=Pretrained(path="meta-llama/Llama-3.2-3B"),
        curriculum=Curriculum(stage_epochs=STAGED),
        optimizer=AdamW(lr=1e-5, weight_decay=0.01, clip_norm=1.0),
        batch=BatchSize(rows=128, micro=8, bucket=32, evaluation=64),
        precision="bf16",
    )


def llama_8b() -> RunConfig:
    """Coconut on GSM8K from Llama 3-8B: one thought a step, every weight trained."""
    base = llama_3b()
    return replace(
        base,
        recipe="gsm8k/llama-3-8b/coconut",
        model=Pretrained(path="meta-llama/Meta-Llama-3-8B"),
        batch=replace(base.batch, micro=4, evaluation=32),
    )


def llama_3b_lora() -> RunConfig:
    """Coconut on GSM8K with adapters on Llama 3.2-3B."""
    return _with_adapters(llama_3b())


def llama_8b_lora() -> RunConfig:
    """Coconut on GSM8K with adapters on Llama 3-8B."""
    return _with_adapters(llama_8b())


def llama_3b_no_cot() -> RunConfig:
    """What the paper compares Coconut on Llama 3.2-3B with: answers without a chain."""
    return _without_chain(llama_3b(), "gsm8k/llama-3.2-3b/no-cot")


def llama_8b_no_cot() -> RunConfig:
    """What the paper compares Coconut on Llama 3-8B with: answers without a chain."""
    return _without_chain(llama_8b(), "gsm8k/llama-3-8b/no-cot")


def _with_adapters(base: RunConfig) -> RunConfig:
    # Adapters want about ten times the rate of whole weights.
    optimizer = AdamW(lr=10 * base.optimizer.lr, weight_decay=0.0, clip_norm=base.optimizer.clip_norm)
    return replace(base, recipe=f"{base.recipe}-lora", adapter=Lora(frozen="bf16"), optimizer=optimizer)


def _without_chain(base: RunConfig, recipe: str) -> RunConfig:
    return with_method(base, recipe, NoCoT(), (base.curriculum.epochs,))


RECIPES: dict[str, Recipe] = {
    "gsm8k/llama-3.2-3b/coconut": llama_3b,
    "gsm8k/llama-3.2-3b/coconut-lora": llama_3b_lora,
    "gsm8k/llama-3.2-3b/no-cot": llama_3b_no_cot,
    "gsm8k/llama-3-8b/coconut": llama_8b,
    "gsm8k/llama-3-8b/coconut-lora": llama_8b_lora,
    "gsm8k/llama-3-8b/no-cot": llama_8b_no_cot,
}
