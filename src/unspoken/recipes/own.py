"""Your own problems, and StrategyQA's, under ProsQA's schedule: a start, not a tuned run.

    unspoken train own/gpt2/coconut --task.train-file a.jsonl --task.valid-file b.jsonl --task.test-file c.jsonl

Set `--method.max-stage` to the number of steps of most of your chains; `unspoken data validate a.jsonl` tells it.
"""

from __future__ import annotations

from dataclasses import replace

from unspoken.config import RunConfig
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut
from unspoken.recipes import prosqa
from unspoken.recipes.rows import Recipe, table1
from unspoken.tasks.commonsense import StrategyQA
from unspoken.tasks.own import OwnFile


def coconut() -> RunConfig:
    """Coconut on files of your own, named with --task.train-file and so on; a thought for each of six steps."""
    return replace(prosqa.coconut(), recipe="own/gpt2/coconut", task=OwnFile())


def strategyqa() -> RunConfig:
    """Coconut on StrategyQA: facts as steps, two thoughts for each of three."""
    return replace(
        coconut(),
        recipe="strategyqa/gpt2/coconut",
        task=StrategyQA(),
        method=Coconut(thoughts_per_step=2, max_stage=3),
        curriculum=Curriculum(stage_epochs=(10, 5, 5, 5, 25)),
    )


RECIPES: dict[str, Recipe] = {**table1("own/gpt2", coconut), **table1("strategyqa/gpt2", strategyqa)}
