"""Ablations of the curriculum, derived from any Coconut run: another order of its stages, fewer or shorter ones,
thoughts added one at a time, more or fewer thoughts a step, and what readers of the paper ask to be varied beside them.

Each changes one thing, and keeps the number of epochs in all unless it says otherwise. Not here:

- only the last stage: without mixing, those are the same examples as in the row `without-curriculum`;
- every setting that the base run itself has (its own c, reset or mixing).

Wherever a curriculum ends, evaluation asks with all thoughts (docs/faithfulness.md).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from unspoken.config import Muon, RunConfig
from unspoken.curriculum import Curriculum, ResetOptimizer
from unspoken.methods import Coconut
from unspoken.recipes.rows import Recipe

Change = Callable[[RunConfig], RunConfig]


def ablations(where: str, coconut: Recipe) -> dict[str, Recipe]:
    """All ablations of a run as `where/ablation/name`.

    Args:
        where: what the names start with, as in `prosqa/gpt2`.
        coconut: the run to vary; its method is `Coconut` with the stages in order.

    Raises:
        ValueError: the run is another method's, or its own curriculum is varied already.
    """
    base = coconut()
    if not isinstance(base.method, Coconut) or base.method.added != "together" or base.curriculum.order:
        raise ValueError(
            f"ablations are derived from Coconut with its stages in order and each step's thoughts added together; "
            f"{base.recipe} is something else"
        )
    found = [(f"{where}/ablation/{name}", change) for name, change in _CHANGES.items()]
    made = {name: _recipe(name, coconut, change) for name, change in found}
    unchanged = replace(base, recipe="")
    return {name: make for name, make in made.items() if replace(make(), recipe="") != unchanged}


def _recipe(name: str, coconut: Recipe, change: Change) -> Recipe:
    def make() -> RunConfig:
        return replace(change(coconut()), recipe=name)

    # What `unspoken list` shows.
    make.__doc__ = change.__doc__
    return make


# Order


def _backwards(base: RunConfig) -> RunConfig:
    """Coconut, stages reversed: all thoughts first, the whole written chain last; a stage keeps its length."""
    return _with_curriculum(base, order=tuple(reversed(base.curriculum.sequence)))


def _backwards_then_last(base: RunConfig) -> RunConfig:
    """Coconut, stages reversed but for the last, which stays last."""
    last = base.curriculum.last_stage
    others = [stage for stage in reversed(base.curriculum.sequence) if stage != last]
    return _with_curriculum(base, order=(*others, last))


def _in_random_order(base: RunConfig) -> RunConfig:
    """Coconut, stages in one random order, the same for every seed; a stage keeps its length."""
    return _with_curriculum(base, order=_random_order(base.curriculum))


def _random_order(curriculum: Curriculum) -> tuple[int, ...]:
    """What `random.Random(0).shuffle` makes of all stages; shuffled again until those that last are in a new order."""
    order, rng = list(curriculum.sequence), random.Random(0)
    in_order = [stage for stage in order if curriculum.stage_epochs[stage]]
    if len(in_order) < 3:
        raise ValueError(
            f"a random order needs at least 3 stages that last, got stage_epochs {curriculum.stage_epochs}"
        )
    while True:
        rng.shuffle(order)
        if [stage for stage in order if curriculum.stage_epochs[stage]] not in (in_order, in_order[::-1]):
            return tuple(order)


# Lengths


def _first_half(base: RunConfig) -> RunConfig:
    """Coconut, only the stages that remove up to half of the steps, the last of those until the end."""
    method = _method(base)
    lengths = base.curriculum.stage_epochs
    half = method.max_stage // 2
    epochs = (*lengths[:half], base.curriculum.epochs - sum(lengths[:half]), *[0] * (len(lengths) - half - 1))
    # Mixing over all stages would show the other half after all.
    mix_over = "past" if base.curriculum.mix else base.curriculum.mix_over
    return _with_curriculum(base, stage_epochs=epochs, mix_over=mix_over)


def _one_epoch_each(base: RunConfig) -> RunConfig:
    """Coconut, one epoch for each stage and no more: fewer epochs in all."""
    return _with_curriculum(base, stage_epochs=tuple(min(1, length) for length in base.curriculum.stage_epochs))


def _short_stages(base: RunConfig) -> RunConfig:
    """Coconut, one epoch for each stage, and all that saves in the last one."""
    short = _one_epoch_each(base).curriculum.stage_epochs
    last = base.curriculum.last_stage
    more = base.curriculum.epochs - sum(short)
    epochs = tuple(length + more * (stage == last) for stage, length in enumerate(short))
    return _with_curriculum(base, stage_epochs=epochs)


# Thoughts a step


def _thoughts(count: int) -> Change:
    def change(base: RunConfig) -> RunConfig:
        return replace(base, method=replace(_method(base), thoughts_per_step=count))

    change.__doc__ = f"Coconut, {_COUNTS[count]} for each step (c = {count})."
    return change


def _singly(count: int) -> Change:
    def change(base: RunConfig) -> RunConfig:
        method = replace(_method(base), thoughts_per_step=count, added="singly")
        lengths = base.curriculum.stage_epochs
        # A step's epochs are shared among the stages of its thoughts; what is left over goes to the later ones.
        shares = [
            length * (thought + 1) // count - length * thought // count
            for length in lengths[1:-1]
            for thought in range(count)
        ]
        curriculum = replace(base.curriculum, stage_epochs=(lengths[0], *shares, lengths[-1]))
        steps = [0, *[step for step in range(1, len(lengths) - 1) for _ in range(count)], len(lengths) - 1]
        factors = tuple(base.schedule.stage_factor(step) for step in steps) if base.schedule.stage_factors else ()
        schedule = replace(base.schedule, stage_factors=factors)
        return replace(base, method=method, curriculum=curriculum, schedule=schedule)

    change.__doc__ = f"Coconut, {_COUNTS[count]} for each step, added one at a time (c = {count})."
    return change


_COUNTS = {0: "no thoughts, the markers alone,", 1: "one thought", 2: "two thoughts", 3: "three thoughts"}


# Beside the curriculum


def _resets(when: ResetOptimizer) -> Change:
    def change(base: RunConfig) -> RunConfig:
        return _with_curriculum(base, reset_optimizer=when)

    often = {"never": "never reset", "stage": "reset when a stage begins", "epoch": "reset every epoch"}
    change.__doc__ = f"Coconut, the optimizer {often[when]}."
    return change


def _mixed(mix: float) -> Change:
    def change(base: RunConfig) -> RunConfig:
        return _with_curriculum(base, mix=mix)

    change.__doc__ = (
        f"Coconut, {f'a random stage for {100 * mix:.0f} % of the examples' if mix else 'no stage mixing'}."
    )
    return change


def _rate(factor: float, said: str) -> Change:
    def times(rate: float) -> float:
        return float(f"{factor * rate:.4g}")

    def change(base: RunConfig) -> RunConfig:
        optimizer = replace(base.optimizer, lr=times(base.optimizer.lr))
        if isinstance(optimizer, Muon):
            optimizer = replace(optimizer, others_lr=times(optimizer.others_lr))
        return replace(base, optimizer=optimizer)

    change.__doc__ = f"Coconut, {said} the learning rate."
    return change


def _method(base: RunConfig) -> Coconut:
    assert isinstance(base.method, Coconut)
    return base.method


def _with_curriculum(base: RunConfig, **changes: Any) -> RunConfig:
    return replace(base, curriculum=replace(base.curriculum, **changes))


_CHANGES: dict[str, Change] = {
    "reversed": _backwards,
    "reversed-then-last": _backwards_then_last,
    "random-order": _in_random_order,
    "first-half": _first_half,
    "one-epoch-each": _one_epoch_each,
    "short-stages": _short_stages,
    "c0": _thoughts(0),
    "c1": _thoughts(1),
    "c2": _thoughts(2),
    "c3": _thoughts(3),
    "c2-singly": _singly(2),
    "c3-singly": _singly(3),
    "reset-never": _resets("never"),
    "reset-stage": _resets("stage"),
    "reset-epoch": _resets("epoch"),
    "mix-0": _mixed(0.0),
    "mix-0.05": _mixed(0.05),
    "mix-0.3": _mixed(0.3),
    "lr-third": _rate(1 / 3, "a third of"),
    "lr-triple": _rate(3.0, "three times"),
}
