"""Folds for cross-validation, dealt so that each holds its share of every label."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence

from unspoken.tasks.graphs import shuffled

FOLDS = 5
MIN_PROBLEMS = 50
"""Fewer problems than this are not learned from: ten to judge in a fold say nothing."""


def deal(labels: Sequence[Hashable]) -> list[int]:
    """The fold of each problem, 0 to 4, always the same for the same labels.

    Not scikit-learn's `StratifiedKFold`, which warns of every label that is rarer than there are folds.
    """
    order = shuffled(range(len(labels)), random.Random("folds"))
    by_label: dict[Hashable, list[int]] = {}
    for i in order:
        by_label.setdefault(labels[i], []).append(i)
    folds = [0] * len(labels)
    for place, i in enumerate(i for group in by_label.values() for i in group):
        folds[i] = place % FOLDS
    return folds
