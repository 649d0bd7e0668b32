"""Intervals: what a mean over problems would have been with other problems of the same kind.

Problems are drawn again with replacement, `num` times, and the middle 95 % of the means are the interval (percentile
bootstrap; Efron 1979). One `Bootstrap` draws once for everything measured on the same problems, so differences between
two measures are paired by construction, and hundreds of measures cost one matrix product each.

Of a share near 0 or 1 the bootstrap knows nothing (all resamples are alike): the interval of a share is Wilson's.

Letters: N problems, R resamples, M measures.
"""

from __future__ import annotations

import math
from typing import final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from unspoken.records import wilson

RESAMPLES = 2_000
"""How often problems are drawn again; an end of a 95 % interval is then known to about a twentieth of its width."""


@final
class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@final
class Bootstrap:
    """The resamples of N problems, drawn once.

    Raises:
        ValueError: there are no problems, or no resamples.
    """

    def __init__(self, problems: int, *, seed: int, num: int = RESAMPLES) -> None:
        if problems < 1 or num < 1:
            raise ValueError(f"a bootstrap needs at least 1 problem and 1 resample, got {problems} and {num}")
        self.problems = problems
        drawn = np.random.default_rng(seed).integers(problems, size=(num, problems))
        drawn += problems * np.arange(num)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=num * problems).reshape(num, problems)
        self._counts: NDArray[np.float64] = counts.astype(np.float64)
        """(R, N): how often each problem is in a resample."""

    def mean(self, values: ArrayLike) -> Interval:
        """Of one value a problem, (N,); a problem whose value is NaN does not count.

        Raises:
            ValueError: another number of values than of problems, or every value is NaN.
        """
        return self.ratio(values, np.ones(self._counts.shape[1]))

    def means(self, values: ArrayLike) -> tuple[Interval, ...]:
        """Of several values a problem, (N, M); see `mean`."""
        return tuple(self.mean(column) for column in np.asarray(values, np.float64).T)

    def difference(self, left: ArrayLike, right: ArrayLike) -> Interval:
        """Mean of `left` less mean of `right`, paired: both (N,) are of the same problems; see `mean`."""
        return self.mean(np.asarray(left, np.float64) - np.asarray(right, np.float64))

    def share(self, hits: ArrayLike) -> Interval:
        """Of one hit (1), miss (0) or part of a hit a problem, (N,), with Wilson's interval; NaN does not count.

        Parts are rounded away from the interval's middle, which makes it a little wide where there are many.

        Raises:
            ValueError: another number of values than of problems, or every value is NaN.
        """
        found = self.mean(hits)
        known = np.asarray(hits, np.float64)
        known = known[~np.isnan(known)]
        total = float(known.sum())
        low, _ = wilson(math.floor(total + 1e-9), len(known))
        _, high = wilson(math.ceil(total - 1e-9), len(known))
        return Interval(mean=found.mean, low=min(low, found.mean), high=max(high, found.mean))

    def ratio(self, values: ArrayLike, weights: ArrayLike) -> Interval:
        """The sum of values over the sum of weights, both (N,): a mean over things of which problems have many.

        `values` are already sums over a problem's things, `weights` their numbers. A problem with a NaN does not count.

        Raises:
            ValueError: another number of values than of problems, or nothing has weight.
        """
        resampled, mean = self._ratios(values, weights)
        return _interval(resampled, mean)

    def ratio_difference(
        self, values: ArrayLike, weights: ArrayLike, other_values: ArrayLike, other_weights: ArrayLike
    ) -> Interval:
        """A ratio less another one over the same problems; see `ratio`. Unlike `difference` it needs no pairs.

        Raises:
            ValueError: as `ratio`.
        """
        (ours, our_mean), (theirs, their_mean) = (
            self._ratios(values, weights),
            self._ratios(other_values, other_weights),
        )
        return _interval(ours - theirs, our_mean - their_mean)

    def _ratios(self, values: ArrayLike, weights: ArrayLike) -> tuple[NDArray[np.float64], float]:
        """(R,) of each resample, NaN where nothing in it has weight; and of the problems themselves."""
        top, bottom = np.asarray(values, np.float64), np.asarray(weights, np.float64)
        num = self._counts.shape[1]
        if top.shape != (num,) or bottom.shape != (num,):
            raise ValueError(f"expected one value and one weight for each of {num} problems, got {top.shape}")
        counted = ~(np.isnan(top) | np.isnan(bottom))
        top, bottom = np.where(counted, top, 0.0), np.where(counted, bottom, 0.0)
        if not bottom.sum() > 0:
            raise ValueError("none of the problems counts, so there is no mean")
        below = self._counts @ bottom
        ratios = np.divide(self._counts @ top, below, out=np.full(len(below), np.nan), where=below > 0)
        return ratios, float(top.sum() / bottom.sum())


def _interval(resampled: NDArray[np.float64], mean: float) -> Interval:
    known = resampled[~np.isnan(resampled)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (mean, mean)
    # Rounding may put an end of an interval of equal values past their mean.
    return Interval(mean=mean, low=min(float(low), mean), high=max(float(high), mean))


def mean_interval(values: ArrayLike, *, seed: int, num: int = RESAMPLES) -> Interval:
    """The mean of one value a problem with its 95 % bootstrap interval; NaN values do not count.

    Raises:
        ValueError: there are no values, or all are NaN.
    """
    array = np.asarray(values, np.float64)
    return Bootstrap(len(array), seed=seed, num=num).mean(array)


def difference_interval(left: ArrayLike, right: ArrayLike, *, seed: int, num: int = RESAMPLES) -> Interval:
    """Mean of `left` less mean of `right` over the same problems, paired, with its 95 % bootstrap interval.

    Raises:
        ValueError: the two differ in length, or there are no values.
    """
    ours, theirs = np.asarray(left, np.float64), np.asarray(right, np.float64)
    if ours.shape != theirs.shape:
        raise ValueError(f"a paired difference needs values of the same problems, got {ours.shape} and {theirs.shape}")
    return mean_interval(ours - theirs, seed=seed, num=num)


def share_interval(hits: int, num: int) -> Interval:
    """A share of problems with its 95 % Wilson interval.

    Raises:
        ValueError: there are no problems, or more hits than problems.
    """
    if not 0 <= hits <= num or num < 1:
        raise ValueError(f"expected a share of at least 1 problem, got {hits} of {num}")
    low, high = wilson(hits, num)
    return Interval(mean=hits / num, low=low, high=high)
