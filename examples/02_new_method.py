"""A method of your own in one class: the *last* steps go first, instead of the first ones.

    python examples/02_new_method.py
    unspoken --import examples/02_new_method.py train mine/backward-coconut --out runs/mine

A method is what is removed from the written chain at a stage, and what stands in its place. Everything else (batches,
training, decoding, evaluation) reads the layout's `is_thought` mask and needs no change.
"""

import random
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from unspoken import Curriculum, Layout, Marks, Method, RunConfig, Tokens, fit, lay_out
from unspoken.evaluate import evaluate
from unspoken.recipes import RECIPES, find_recipe
from unspoken.specs import Llama
from unspoken.tasks.hops import Hops


@final
@dataclass(frozen=True, kw_only=True)
class BackwardCoconut(Method):
    """Stage s replaces the last s steps by s thoughts, put where the steps stood: after the text that remains."""

    max_stage: int = 2
    """How many steps can go."""

    @property
    def stages(self) -> int:
        return self.max_stage + 1

    def layout(self, tokens: Tokens, stage: int, marks: Marks, rng: random.Random | None = None) -> Layout:
        kept = tokens.steps[: len(tokens.steps) - stage]
        thoughts = [marks.bot, *[marks.thought] * stage, marks.eot]
        given = [*tokens.question, *[token for step in kept for token in step], *thoughts]
        return lay_out(given, tokens.answer, thought=marks.thought)


def backward_coconut() -> RunConfig:
    """A short run of it. As one of the recipes it can be trained, evaluated, probed and audited by every command."""
    return replace(
        find_recipe("demo/coconut"),
        recipe="mine/backward-coconut",
        task=Hops(nodes=6, hops=2, num_train=512, num_valid=64, num_test=64),
        method=BackwardCoconut(),
        model=Llama(layers=2, width=64, heads=4, mlp_width=128),
        curriculum=Curriculum(stage_epochs=(2, 1, 1)),
    )


RECIPES["mine/backward-coconut"] = backward_coconut

if __name__ == "__main__":
    config = backward_coconut()
    model = fit(config, Path(tempfile.mkdtemp()) / "run")
    records = evaluate(model, config.task, config.method, config.task.examples("test"))
    print(f"{sum(r.correct for r in records)} of {len(records)} right with {records[0].num_thoughts} thoughts")
