"""Curricula: which stage an epoch has, in any order, what mixing draws, and when the optimizer starts afresh."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from unspoken.curriculum import Curriculum

SHORT = Curriculum(stage_epochs=(2, 0, 1, 3))


def test_stage_of_every_epoch() -> None:
    """Guards off-by-one at stage borders and stages of no epochs; beyond the end the last stage goes on."""
    assert [SHORT.stage(epoch) for epoch in range(8)] == [0, 0, 2, 3, 3, 3, 3, 3]
    assert SHORT.epochs == 6


def test_span_of_every_epoch() -> None:
    """Guards schedules that restart with a stage: they need its first epoch and its length."""
    assert [SHORT.span(epoch) for epoch in range(6)] == [(0, 2), (0, 2), (2, 1), (3, 3), (3, 3), (3, 3)]


BACKWARDS = Curriculum(stage_epochs=(2, 0, 1, 3), order=(3, 2, 1, 0))
JUMBLED = Curriculum(stage_epochs=(2, 0, 1, 3), order=(2, 0, 3, 1))


@pytest.mark.parametrize(
    ("curriculum", "stages", "spans", "last"),
    [
        (BACKWARDS, [3, 3, 3, 2, 0, 0], [(0, 3)] * 3 + [(3, 1)] + [(4, 2)] * 2, 0),
        (JUMBLED, [2, 0, 0, 3, 3, 3], [(0, 1)] + [(1, 2)] * 2 + [(3, 3)] * 3, 3),
        (Curriculum(stage_epochs=(1, 2, 0), order=(0, 1, 2)), [0, 1, 1], [(0, 1), (1, 2), (1, 2)], 1),
    ],
)
def test_stages_in_another_order(
    curriculum: Curriculum, stages: list[int], spans: list[tuple[int, int]], last: int
) -> None:
    """Guards the order's ablations: lengths that stay behind with a place, a schedule stretched over another stage's
    epochs, and taking the largest stage for the one the run ends with."""
    assert [curriculum.stage(epoch) for epoch in range(len(stages))] == stages
    assert [curriculum.span(epoch) for epoch in range(len(spans))] == spans
    assert curriculum.last_stage == last
    assert [curriculum.stage(curriculum.epochs + more) for more in range(3)] == [last] * 3


def test_the_optimizer_starts_afresh_where_a_stage_begins_in_any_order() -> None:
    """Guards the reset against being tied to stages that grow."""
    assert [epoch for epoch in range(6) if BACKWARDS.starts_afresh(epoch)] == [3, 4]
    assert [epoch for epoch in range(6) if JUMBLED.starts_afresh(epoch)] == [1, 3]


def test_mixing_over_the_past_follows_the_order() -> None:
    """Guards mixing in an order of its own: the past is what had its turn, not the smaller numbers."""
    curriculum = Curriculum(stage_epochs=(2, 0, 1, 3), order=(3, 2, 1, 0), mix=1.0, mix_over="past")
    drawn = {epoch: {curriculum.draw_stage(epoch, random.Random(seed)) for seed in range(100)} for epoch in (0, 3, 4)}
    assert drawn == {0: {3}, 3: {3, 2}, 4: {3, 2, 1, 0}}


def test_mixing_over_all_draws_the_same_in_any_order() -> None:
    """Guards the comparison of orders: what is drawn instead of a stage must not change with them."""
    for seed in range(50):
        drawn = {
            Curriculum(stage_epochs=(1, 1, 1), order=order, mix=1.0).draw_stage(0, random.Random(seed))
            for order in ((), (2, 1, 0), (1, 2, 0))
        }
        assert len(drawn) == 1


@pytest.mark.parametrize(
    ("fields", "want"),
    [
        ({}, {0, 1}),
        ({"mix": 0.1}, {0, 1, 2, 3}),
        ({"mix": 0.1, "mix_over": "past"}, {0, 1}),
        ({"mix": 0.1, "mix_over": "past", "order": (2, 1, 0, 3)}, {0, 1, 2}),
    ],
)
def test_stages_that_training_sees(fields: dict[str, Any], want: set[int]) -> None:
    """Guards the warning about prompts no training has seen: mixing may have shown them."""
    assert Curriculum(stage_epochs=(1, 1, 0, 0), **fields).seen == want


@pytest.mark.parametrize(("when", "want"), [("epoch", ".xxxxx"), ("stage", "..xx.."), ("never", "......")])
def test_when_the_optimizer_starts_afresh(when: Any, want: str) -> None:
    """Guards the paper's reset at each stage against the published code's reset at each epoch."""
    curriculum = Curriculum(stage_epochs=(2, 0, 1, 3), reset_optimizer=when)
    assert "".join("x" if curriculum.starts_afresh(epoch) else "." for epoch in range(6)) == want


@pytest.mark.parametrize(
    ("over", "shares"),
    [("all", {0: 0.1, 1: 0.1, 2: 0.7, 3: 0.1}), ("past", {0: 0.4 / 3, 1: 0.4 / 3, 2: 0.6 + 0.4 / 3})],
)
def test_mixing_gives_every_stage_its_share(over: Any, shares: dict[int, float]) -> None:
    """Guards mixing: the epoch's stage keeps 1 - mix and its own part of what is drawn evenly."""
    curriculum = Curriculum(stage_epochs=(1, 1, 1, 1), mix=0.4, mix_over=over)
    rng = random.Random(0)
    drawn_stages = Counter(curriculum.draw_stage(2, rng) for _ in range(4000))
    for stage, share in shares.items():
        assert drawn_stages[stage] / 4000 == pytest.approx(share, abs=0.025)
    assert sum(drawn_stages[stage] for stage in shares) == 4000


@pytest.mark.parametrize(("mix", "want"), [(0.0, {1}), (1.0, {0, 1, 2})])
def test_mixing_at_its_limits(mix: float, want: set[int]) -> None:
    """Guards `<` against `<=`: without mixing never another stage."""
    curriculum = Curriculum(stage_epochs=(1, 1, 1), mix=mix)
    assert {curriculum.draw_stage(1, random.Random(seed)) for seed in range(200)} == want


def test_what_follows_the_stage_draw_does_not_depend_on_mix() -> None:
    """Guards comparisons between runs: turning mixing on must not redraw everything else of an example."""
    after = []
    for mix in (0.0, 0.5, 1.0):
        rng = random.Random(7)
        Curriculum(stage_epochs=(1, 1, 1), mix=mix).draw_stage(0, rng)
        after.append(rng.random())
    assert len(set(after)) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stage_epochs": ()}, "stage_epochs must be lengths"),
        ({"stage_epochs": (0, 0)}, "stage_epochs must be lengths"),
        ({"stage_epochs": (3, -1)}, "stage_epochs must be lengths"),
        ({"stage_epochs": (1, 1), "order": (0,)}, r"must name each of the stages 0 to 1 once, got \(0,\)"),
        ({"stage_epochs": (1, 1), "order": (1, 1)}, r"once, got \(1, 1\)"),
        ({"stage_epochs": (1, 1), "order": (1, 2)}, r"once, got \(1, 2\)"),
        ({"stage_epochs": (1, 1), "order": (-1, 0)}, r"once, got \(-1, 0\)"),
        ({"mix": -0.1}, "mix is a probability"),
        ({"mix": 1.1}, "mix is a probability"),
    ],
)
def test_impossible_curricula(fields: dict[str, Any], message: str) -> None:
    """Guards runs that would train nothing, or mix with a probability that is none."""
    with pytest.raises(ValueError, match=message):
        Curriculum(**fields)


def test_a_curriculum_must_fit_its_method() -> None:
    """Guards a method whose last stage is never reached because the curriculum is too short."""
    Curriculum(stage_epochs=(1, 1, 1, 1)).check(4)
    with pytest.raises(ValueError, match=r"has 3 stages .* but the method has 4.*--curriculum.stage-epochs 5 5 5 5"):
        Curriculum(stage_epochs=(1, 1, 1)).check(4)
