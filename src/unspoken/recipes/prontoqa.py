"""ProntoQA with GPT-2 small's configuration and the paper's schedule, which is ProsQA's, from random initialisation."""

from __future__ import annotations

from dataclasses import replace

from unspoken.config import AdamW, BatchSize, RunConfig, Schedule
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut, ICoT
from unspoken.recipes import prosqa
from unspoken.recipes.prosqa import STAGED
from unspoken.recipes.rows import Recipe, table1, with_method
from unspoken.specs import Llama
from unspoken.tasks.prontoqa import ProntoQA
from unspoken.tasks.symbolic_prontoqa import SymbolicProntoQA


def coconut() -> RunConfig:
    """Coconut on ProntoQA: a thought for each of six steps, 5 epochs a stage, the last stage until epoch 50."""
    return replace(prosqa.coconut(), recipe="prontoqa/gpt2/coconut", task=ProntoQA())


def icot() -> RunConfig:
    """A published chain has 79 to 103 GPT-2 tokens; 8 more go every 3 epochs, so that 50 epochs see all of them go."""
    method = ICoT(remove_all_beyond=103)
    removing = method.stages - 1
    return with_method(coconut(), "prontoqa/gpt2/icot", method, (*[3] * removing, sum(STAGED) - 3 * removing))


def small_coconut() -> RunConfig:
    """Coconut on ProntoQA in symbols with a 0.4M-parameter model, for two CPU cores; untuned."""
    return RunConfig(
        recipe="prontoqa/small/coconut",
        task=SymbolicProntoQA(),
        method=Coconut(),
        model=Llama(positions=256, embedding_std=0.3, final_gain=0.3),
        curriculum=Curriculum(stage_epochs=(20, 2, 2, 2, 2, 2, 2, 8), mix=0.2, mix_over="past"),
        optimizer=AdamW(lr=2e-3, betas=(0.9, 0.95), clip_norm=1.0),
        schedule=Schedule(decay="cosine", warmup_steps=100),
        batch=BatchSize(rows=64, evaluation=200),
    )


RECIPES: dict[str, Recipe] = {
    **table1("prontoqa/gpt2", coconut, icot=icot),
    **table1("prontoqa/small", small_coconut),
}
