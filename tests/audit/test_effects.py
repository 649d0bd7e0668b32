"""Paired statistics, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scripted import METHOD, TASK, scripted
from unspoken.audit.changes import Change, Identity, Intervention
from unspoken.audit.context import Context
from unspoken.audit.effects import (
    Effect,
    corrected,
    fall_share,
    holm,
    mcnemar,
    measure,
    open_width,
    paired_difference,
    smallest_difference,
)
from unspoken.audit.swaps import AskedOtherwise, SwappedQuestion, SwappedThoughts
from unspoken.audit.transplants import FromAnother


def test_mcnemar() -> None:
    """Binomial by hand; problems that do not change must not count."""
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 0) == pytest.approx(2 / 2**5)
    assert mcnemar(0, 5) == pytest.approx(2 / 2**5)
    assert mcnemar(3, 1) == pytest.approx(2 * (1 + 4) / 2**4)
    assert mcnemar(4, 4) == 1


def test_holm() -> None:
    """Wikipedia's rule by hand: multiplied by how many are left, never falling, never above 1, in the order given."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_smallest_difference_that_shows() -> None:
    """One problem fewer must not be significant, and that many must: the power note is a promise."""
    for num, tests in ((100, 1), (500, 35), (20, 60)):
        needed = round(smallest_difference(num, tests) * num)
        assert mcnemar(needed, 0) * tests <= 0.05
        assert mcnemar(needed - 1, 0) * tests > 0.05


def test_no_change_is_not_certainty() -> None:
    """Twenty problems of which none changes leave room for a sixth: a bootstrap alone would say "exactly 0"."""
    same = np.ones(20)
    found = paired_difference(same, same, seed=0)
    assert found.mean == 0
    assert (
        -found.low == found.high == pytest.approx(open_width(20)) == pytest.approx(1.96**2 / (20 + 1.96**2), abs=1e-3)
    )
    assert paired_difference(np.ones(2000), np.ones(2000), seed=0).high < 0.002


def test_a_difference_is_paired() -> None:
    """Problems that both sides get wrong widen no interval: unpaired, the same shares would be twice as wide."""
    rng = np.random.default_rng(0)
    left = (rng.random(1000) < 0.5).astype(float)
    right = left.copy()
    right[np.flatnonzero(left)[:50]] = 0
    found = paired_difference(right, left, seed=0)
    assert found.mean == pytest.approx(-0.05)
    assert found.high - found.low < 0.03
    assert paired_difference(np.ones(30), np.zeros(30), seed=0).high == 1, "no share is above 1"


def test_fall_as_a_share_of_what_is_above_chance() -> None:
    """90 % to 70 % is half of the room above a coin, not a fifth."""
    clean = np.array([1.0] * 90 + [0.0] * 10)
    fallen = np.array([1.0] * 70 + [0.0] * 30)
    found = fall_share(clean, fallen, chance=0.5, seed=0)
    assert found is not None and found.mean == pytest.approx(0.5) and found.low < 0.45 and found.high > 0.55
    assert fall_share(fallen, clean, chance=0.7, seed=0) is None
    open_answers = fall_share(clean, fallen, chance=0.0, seed=0)
    assert open_answers is not None and open_answers.mean == pytest.approx(20 / 90)
    none = fall_share(clean, clean, chance=0.5, seed=0)
    assert none is not None and none.high == pytest.approx(open_width(100) / 0.4)


def effect_of(kind: str, intervention: Intervention) -> Effect:
    """An intervention on a constructed model, measured."""
    assert kind in ("bfs", "ignores")
    context = Context(scripted("bfs" if kind == "bfs" else "ignores"), TASK, METHOD, TASK.examples("test")[:30])
    change: Change = intervention.change(context)
    before = {record.index: record for record in context.clean}
    return measure(intervention, change, context.answer(change), context, before=before, seed=0)


def test_an_effect() -> None:
    """Everything in a row of the table, on models that follow their thoughts always or never."""
    swapped = effect_of("bfs", SwappedThoughts())
    assert swapped.followed is not None and swapped.followed.mean == 1 and swapped.followed_before == 0
    assert (swapped.lost, swapped.gained, swapped.num) == (30, 0, 30)
    assert swapped.accuracy.mean == 0 and swapped.before == 1 and swapped.flips.mean == 1
    assert swapped.difference.mean == -1 and swapped.difference.high > -1
    assert swapped.p_value == pytest.approx(2 / 2**30) and swapped.matters
    ignored = effect_of("ignores", SwappedThoughts())
    assert ignored.followed is not None and ignored.followed.mean == 0
    assert ignored.flips.mean == 0 and ignored.p_value == 1 and not ignored.matters
    same = effect_of("bfs", FromAnother())
    assert same.lost == round(-30 * same.difference.mean) and same.gained == 0
    assert math.isclose(same.accuracy.mean, 1 + same.difference.mean)


def test_correction_leaves_the_check_out() -> None:
    """The check is no test: counted as one, it would cost every other intervention some power."""
    effects = [effect_of("bfs", Identity()), effect_of("bfs", SwappedThoughts()), effect_of("bfs", AskedOtherwise())]
    found = corrected(effects, checks=["identity"])
    assert [e.p_holm for e in found] == [1.0, pytest.approx(2 * effects[1].p_value), 1.0]


def test_what_a_swapped_question_is_compared_with() -> None:
    """Its right answer is another one than the problem's own: beside the clean answers everything would look lost."""
    assert SwappedQuestion().beside == AskedOtherwise().name
