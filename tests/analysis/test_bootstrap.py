"""Intervals: the right width, pairs kept together, and problems that do not count left out."""

from __future__ import annotations

import numpy as np
import pytest

from unspoken.analysis.bootstrap import Bootstrap, difference_interval, mean_interval, share_interval


def test_the_width_is_that_of_the_normal_approximation() -> None:
    """Guards the resampling: drawing without replacement, or problems instead of rows, gives another width."""
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)
    found = mean_interval(values, seed=0)
    half = 1.96 * values.std() / 20
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.mean == pytest.approx(half, rel=0.1)
    assert found.mean - found.low == pytest.approx(half, rel=0.1)


def test_intervals_cover_as_often_as_they_say() -> None:
    """Guards the percentiles: 90 % or 99 % ends would cover too seldom or too often."""
    rng = np.random.default_rng(2)
    found = [mean_interval(rng.normal(size=60), seed=i, num=500) for i in range(300)]
    covered = sum(each.low <= 0 <= each.high for each in found) / len(found)
    assert 0.90 <= covered <= 0.98


def test_a_difference_is_paired() -> None:
    """Guards the pairs: two measures that differ by a constant have a difference without any spread."""
    values = np.random.default_rng(3).normal(size=50)
    found = difference_interval(values + 1, values, seed=0)
    assert (found.low, found.high) == (pytest.approx(1), pytest.approx(1))
    same = Bootstrap(50, seed=0).difference(values + 1, values)
    assert same == found


def test_nan_does_not_count() -> None:
    """Guards problems whose path is too short: taken as zero they would pull every mean down."""
    found = mean_interval([1.0, float("nan"), 3.0], seed=0)
    assert found.mean == 2
    assert (found.low, found.high) == (1, 3)
    with pytest.raises(ValueError, match="none of the problems counts"):
        mean_interval([float("nan")], seed=0)


def test_a_ratio_weights_problems_by_their_things() -> None:
    """Guards means over nodes: a problem with three nodes counts three times one with a single node."""
    found = Bootstrap(2, seed=0).ratio([3.0, 0.0], [3.0, 1.0])
    assert found.mean == 0.75
    assert (found.low, found.high) == (0, 1)


def test_several_measures_share_their_resamples() -> None:
    """Guards `means`: columns are measures, rows problems."""
    values = np.random.default_rng(4).normal(size=(30, 3))
    boot = Bootstrap(30, seed=5)
    assert boot.means(values) == tuple(boot.mean(values[:, i]) for i in range(3))


def test_a_seed_gives_the_same_interval_and_another_seed_another() -> None:
    """Guards reproducible pages."""
    values = np.random.default_rng(6).normal(size=40)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_a_share_of_all_has_width() -> None:
    """Guards shares of 0 and 1, of which the bootstrap would be certain."""
    found = share_interval(50, 50)
    assert found.mean == 1
    assert 0.92 < found.low < 0.94
    with pytest.raises(ValueError, match="at least 1 problem"):
        share_interval(0, 0)
    with pytest.raises(ValueError, match="2 of 1"):
        share_interval(2, 1)


def test_wrong_numbers_of_values_are_refused() -> None:
    """Guards measures of other problems than the bootstrap's."""
    with pytest.raises(ValueError, match="each of 3 problems"):
        Bootstrap(3, seed=0).mean([1.0, 2.0])
    with pytest.raises(ValueError, match="same problems"):
        difference_interval([1.0], [1.0, 2.0], seed=0)
    with pytest.raises(ValueError, match="at least 1 problem"):
        mean_interval([], seed=0)
