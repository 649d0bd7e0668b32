"""The rows of the paper's Table 1 and our two controls: what a task's Coconut run is compared with.

Each has that run's task, model, optimizer and number of epochs. A method with Coconut's stages keeps its schedule; one
with a single stage spends all epochs there. iCoT removes tokens instead of steps, so its recipe is the task's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from unspoken.config import RunConfig
from unspoken.methods import (
    Coconut,
    CoconutWithoutCurriculum,
    CoT,
    DetachedThoughts,
    Method,
    NoCoT,
    Pause,
    PauseAsThought,
    ShuffledThoughts,
    WithoutThought,
)

Recipe = Callable[[], RunConfig]


def table1(where: str, coconut: Recipe, *, icot: Recipe | None = None) -> dict[str, Recipe]:
    """All rows as `where/method`, Coconut's first; iCoT's where the task has one.

    Args:
        where: what the names start with, as in `prosqa/gpt2`.
        coconut: the run to compare with; its method is `Coconut`.
        icot: iCoT's run on the same task.
    """
    rows: dict[str, Recipe] = {f"{where}/coconut": coconut}
    for name, method in _METHODS.items():
        rows[f"{where}/{name}"] = partial(_row, f"{where}/{name}", coconut, method)
        if name == "no-cot" and icot is not None:
            rows[f"{where}/icot"] = icot
    return rows


def with_method(base: RunConfig, recipe: str, method: Method, stage_epochs: tuple[int, ...]) -> RunConfig:
    """The same run with another method, under another name."""
    curriculum = replace(base.curriculum, stage_epochs=stage_epochs)
    batch = base.batch
    if isinstance(method, ShuffledThoughts):
        # The shuffled control is defined where all rows think in the same columns and meet by chance.
        curriculum, batch = replace(curriculum, mix=0.0), replace(batch, bucket=1)
    return replace(base, recipe=recipe, method=method, curriculum=curriculum, batch=batch)


def _row(recipe: str, coconut: Recipe, make: Callable[[Coconut], Method]) -> RunConfig:
    base = coconut()
    assert isinstance(base.method, Coconut), f"{base.recipe} is to be compared with, and is no Coconut run"
    method = make(base.method)
    staged = method.stages == base.method.stages
    return with_method(base, recipe, method, base.curriculum.stage_epochs if staged else (base.curriculum.epochs,))


def _same(kind: type[PauseAsThought | ShuffledThoughts | DetachedThoughts]) -> Callable[[Coconut], Method]:
    """A method with all of Coconut's settings."""
    return lambda coconut: kind(
        max_stage=coconut.max_stage,
        steps_kept=coconut.steps_kept,
        thoughts_per_step=coconut.thoughts_per_step,
        pad_thoughts=coconut.pad_thoughts,
        added=coconut.added,
    )


_METHODS: dict[str, Callable[[Coconut], Method]] = {
    "cot": lambda _: CoT(),
    "no-cot": lambda _: NoCoT(),
    "pause": lambda coconut: Pause(pauses=coconut.thoughts_per_step * coconut.max_stage),
    "without-curriculum": lambda coconut: CoconutWithoutCurriculum(
        max_stage=coconut.max_stage, thoughts_per_step=coconut.thoughts_per_step
    ),
    "without-thought": lambda coconut: WithoutThought(max_stage=coconut.max_stage, steps_kept=coconut.steps_kept),
    "pause-as-thought": _same(PauseAsThought),
    "shuffled-thoughts": _same(ShuffledThoughts),
    "detached-thoughts": _same(DetachedThoughts),
}
