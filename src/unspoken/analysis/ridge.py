"""Ridge regression in closed form, cross-validated: many targets from one set of vectors at the price of one.

Predictions are out of fold. The penalty is chosen within each training part, for each group of targets, by the
leave-one-out error that ridge regression gives away for free (PRESS; Allen 1974), so no test row is ever seen.

Letters: N rows, D features, Y targets, F folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
"""Tried; in units of the mean squared singular value of the standardised features."""

FOLDS = 5


def cross_predict(
    features: NDArray[np.float64], targets: Sequence[NDArray[np.float64]], *, seed: int, folds: int = FOLDS
) -> list[NDArray[np.float64]]:
    """Out-of-fold predictions of several groups of targets, each (N, its own Y), from (N, D) features.

    Less the mean of the part trained on: where features say nothing that mean would rank the rows left out backwards,
    because it is lower by what was left out.

    Raises:
        ValueError: there are fewer rows than twice the folds.
    """
    num = len(features)
    if num < 2 * folds:
        raise ValueError(f"cross-validation in {folds} folds needs at least {2 * folds} rows, got {num}")
    fold_of = np.random.default_rng(seed).permutation(num) % folds
    out = [np.zeros(group.shape) for group in targets]
    for fold in range(folds):
        held = fold_of == fold
        fitted = _Fitted.of(features[~held])
        for group, predictions in zip(targets, out, strict=True):
            predictions[held] = fitted.predict(group[~held], features[held])
    return out


@final
@dataclass(frozen=True, kw_only=True)
class _Fitted:
    """What of a fit does not depend on the targets."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    left: NDArray[np.float64]
    """(rows, rank): left singular vectors of the standardised features."""
    squares: NDArray[np.float64]
    """(rank,): squared singular values."""
    right: NDArray[np.float64]
    """(D, rank)."""

    @classmethod
    def of(cls, features: NDArray[np.float64]) -> _Fitted:
        mean, scale = features.mean(0), features.std(0)
        scale = np.where(scale > 1e-9 * max(float(scale.max()), 1e-12), scale, np.inf)
        x = (features - mean) / scale
        left, singular, right = np.linalg.svd(x, full_matrices=False)
        kept = singular > 1e-8 * max(float(singular[0]), 1e-300)
        return cls(mean=mean, scale=scale, left=left[:, kept], squares=singular[kept] ** 2, right=right[kept].T)

    def predict(self, targets: NDArray[np.float64], features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of new (M, D) features, from a fit to (rows, Y) targets under the best penalty; less the targets' mean."""
        targets = targets - targets.mean(0)
        if not len(self.squares):
            return np.zeros((len(features), targets.shape[1]))
        turned = self.left.T @ targets
        penalty = min(
            (float(size * self.squares.mean()) for size in PENALTIES),
            key=lambda each: self._left_out(targets, turned, each),
        )
        weights = (np.sqrt(self.squares) / (self.squares + penalty))[:, None] * turned
        return ((features - self.mean) / self.scale) @ self.right @ weights

    def _left_out(self, targets: NDArray[np.float64], turned: NDArray[np.float64], penalty: float) -> float:
        """Squared error of each row predicted from the others, summed."""
        shrunk = self.squares / (self.squares + penalty)
        # The intercept is one more column, of weight 1/rows in each row's own prediction.
        own = (self.left**2) @ shrunk + 1 / len(targets)
        errors = (targets - self.left @ (shrunk[:, None] * turned)) / np.maximum(1 - own, 1e-6)[:, None]
        return float((errors**2).sum())


def ranked(scores: NDArray[np.float64], wanted: NDArray[np.bool_], among: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N,) AUC within each row: how often a wanted column scores above another one of those it is among; ties half.

    All three are (N, V). NaN where a row has no wanted column or no other; 0.5 is chance.
    """
    positive, negative = wanted & among, ~wanted & among
    found = np.full(len(scores), np.nan)
    for i in np.flatnonzero(positive.any(1) & negative.any(1)):
        above = scores[i][positive[i]][:, None] - scores[i][negative[i]][None, :]
        found[i] = (np.sign(above).mean() + 1) / 2
    return found
