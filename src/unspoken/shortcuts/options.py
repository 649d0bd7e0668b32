"""Learning to choose among options by their features alone, judged out of fold.

A model sees differences between two options of a problem and is antisymmetric: swapping options swaps its choice. So
it sees no more than the features say, has no favourite side, and which option a file calls the right one cannot leak.
Accuracies are out of fold: each problem is judged by a model fitted on the other four fifths. Problems are taken to be
different ones; the same problem twice in a file would be found again, not learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from unspoken.shortcuts.folds import FOLDS, deal


@final
@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of all problems, one after the other, as rows of features."""

    rows: Any
    """Dense (numpy) or sparse (scipy, CSR), one row an option."""
    sizes: Sequence[int]
    """How many options each problem has, at least two."""
    right: Sequence[int]
    """Which of its options is right, from 0."""


@final
@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a model chose for problems it was not fitted on."""

    points: tuple[float, ...]
    """1 right, 0 wrong, a share where several options are level."""
    weights: tuple[float, ...] = ()
    """Of each feature, mean over the folds, for one standard deviation of its difference; positive speaks for it."""

    def largest(self, names: Sequence[str], num: int = 6) -> str:
        """The features with the largest weights, for a table's notes."""
        pairs = sorted(zip(names, self.weights, strict=True), key=lambda pair: -abs(pair[1]))[:num]
        return "largest weights: " + ", ".join(f"{name} {weight:+.2f}" for name, weight in pairs)


def share(scores: Sequence[float], right: int) -> float:
    """Points for choosing the highest score: 1, 0, or one k-th where k options are level and the right one is there."""
    best = max(scores)
    return float(scores[right] == best) / sum(score == best for score in scores)


def fit_linear(options: Options, *, strength: float = 1.0) -> Fitted:
    """Logistic regression without intercept on differences between the right option and each wrong one.

    Args:
        options: what to choose among. Dense features are scaled to unit deviation, sparse ones to a maximum of one.
        strength: scikit-learn's `C`; smaller shrinks weights more.
    """
    import numpy as np
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler, StandardScaler

    is_sparse = sparse.issparse(options.rows)
    starts = np.concatenate([[0], np.cumsum(options.sizes)])
    fold = deal(options.right)
    points = [0.0] * len(options.right)
    weights = []
    for held in range(FOLDS):
        better, worse = _pairs(options, starts, [i for i, f in enumerate(fold) if f != held])
        differences = options.rows[better] - options.rows[worse]
        stack = sparse.vstack if is_sparse else np.vstack
        scaler = MaxAbsScaler() if is_sparse else StandardScaler(with_mean=False)
        model: Any = make_pipeline(scaler, LogisticRegression(fit_intercept=False, C=strength, max_iter=5000))
        model.fit(stack([differences, -differences]), np.repeat([1, 0], len(better)))
        weights.append(model[-1].coef_[0])
        scores = options.rows @ (weights[-1] / model[0].scale_)
        for i, f in enumerate(fold):
            if f == held:
                # Rounded, so that options with the same features are level whatever the order of summation.
                points[i] = share(np.round(scores[starts[i] : starts[i + 1]], 9).tolist(), options.right[i])
    return Fitted(points=tuple(points), weights=tuple(np.mean(weights, axis=0).tolist()))


def fit_trees(options: Options) -> Fitted:
    """Gradient-boosted trees for problems of two options: the margin of (a, b) less that of (b, a).

    Raises:
        ValueError: some problem has more than two options.
    """
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits  # scikit-learn's own dependency

    if set(options.sizes) != {2}:
        raise ValueError(f"expected two options in every problem, got {sorted(set(options.sizes))}; take fit_linear")
    rows = np.asarray(options.rows)
    right = np.array(options.right)
    differences = rows[::2] - rows[1::2]
    fold = np.array(deal(options.right))
    points = np.empty(len(right))
    for held in range(FOLDS):
        train, test = fold != held, fold == held
        model: Any = HistGradientBoostingClassifier(
            max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=0
        )
        both = np.concatenate([differences[train], -differences[train]])
        # One thread: on a busy machine, several wait for each other many times longer than they work.
        with threadpool_limits(1):
            model.fit(both, np.concatenate([right[train], 1 - right[train]]))
            margin = model.decision_function(differences[test]) - model.decision_function(-differences[test])
        points[test] = np.where(margin == 0, 0.5, (margin > 0) == right[test])
    return Fitted(points=tuple(points.tolist()))


def _pairs(options: Options, starts: Any, problems: Sequence[int]) -> tuple[list[int], list[int]]:
    """Rows of the right option and of a wrong one, for every wrong option of these problems."""
    better: list[int] = []
    worse: list[int] = []
    for i in problems:
        start, right = int(starts[i]), options.right[i]
        for j in range(options.sizes[i]):
            if j != right:
                better.append(start + right)
                worse.append(start + j)
    return better, worse
