"""Norms, distances and directions, by hand and on thoughts that collapse."""

from __future__ import annotations

import math

import pytest
import torch

from analysis.subjects import NUM, subject
from unspoken.analysis.spread import Spread, SpreadFound
from unspoken.geometry import between_distances, effective_rank, geometry, within_distances

# Two rows of two thoughts in the plane.
THOUGHTS = torch.tensor([[[3.0, 4.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 12.0]]])


def test_by_hand() -> None:
    """Guards which pairs are which: within a row between thoughts, between rows at the same thought."""
    found = geometry(THOUGHTS)
    assert found.norm == pytest.approx((5 + 0 + 3 + 12) / 4)
    assert found.within == pytest.approx((5 + math.hypot(3, 12)) / 2)
    assert found.between == pytest.approx((4 + 12) / 2)
    assert within_distances(THOUGHTS).tolist() == pytest.approx([5, math.hypot(3, 12)])
    assert between_distances(THOUGHTS).tolist() == [[4, 12], [4, 12]]


def test_padding_does_not_count() -> None:
    """Guards rows with fewer thoughts, whose zeros would pass for thoughts near the origin."""
    there = torch.tensor([[True, False], [True, True]])
    found = geometry(THOUGHTS, there)
    assert found.norm == pytest.approx((5 + 3 + 12) / 3)
    assert found.within == pytest.approx(math.hypot(3, 12))
    assert found.between == pytest.approx(4)
    padded = torch.nn.functional.pad(THOUGHTS, (0, 0, 0, 3))
    assert geometry(padded, torch.arange(5).expand(2, 5) < 2) == geometry(THOUGHTS)


def test_nothing_to_average_is_nan() -> None:
    """Guards a single row and a single thought: a distance of 0 there would be called a collapse."""
    found = geometry(THOUGHTS[:1, :1])
    assert found.norm == 5
    assert math.isnan(found.within)
    assert math.isnan(found.between)
    assert math.isnan(within_distances(THOUGHTS[:, :1])[0])
    assert math.isnan(between_distances(THOUGHTS[:1])[0, 0])


def test_nearly_equal_thoughts_have_small_distances() -> None:
    """Guards collapse itself: torch's distances by matrix products round these to zero, or to 0.03."""
    base = 100 * torch.ones(1, 3, 64)
    step = torch.tensor([0.0, 1e-3, 2e-3])[None, :, None] * torch.eye(64)[0]
    assert geometry(base + step).within == pytest.approx(4e-3 / 3, rel=0.05)


def test_effective_rank() -> None:
    """Guards the directions counted: points on a line have one, a simplex all but one, equal points none."""
    line = torch.arange(6.0)[:, None] * torch.tensor([[1.0, 2.0, 3.0]])
    assert effective_rank(line) == pytest.approx(1)
    assert effective_rank(torch.eye(5)) == pytest.approx(4)
    assert effective_rank(torch.ones(4, 3)) == 0


def test_gradients_stay_out() -> None:
    """Guards training, where this watches thoughts that require gradients."""
    assert geometry(THOUGHTS.clone().requires_grad_()).norm == 5


def test_thoughts_that_are_all_alike_are_seen_to_be() -> None:
    """Guards the analysis on constants, which are the same in all problems, and on copies of one node."""
    ignores = Spread().measure(subject("ignores"))
    assert isinstance(ignores, SpreadFound)
    for stop in ignores.stops:
        assert stop.between is not None
        assert (stop.num, stop.between.high, stop.effective_rank) == (NUM, 0, 0)
    copies = Spread().measure(subject("copies"))
    assert isinstance(copies, SpreadFound)
    # Copies do not differ from thought to thought: only what is written at the end may.
    assert [stop.step.high for stop in copies.stops if stop.step is not None] == [0, 0, 0]
    assert copies.stops[0].norm.mean == 1
    assert copies.stops[0].nearest.mean == pytest.approx(1)
    assert copies.stops[0].between is not None and copies.stops[0].between.mean > 1
