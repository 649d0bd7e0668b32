"""How thoughts lie in space: their norms, and how far they are from each other.

Thoughts collapse when those of one problem, or of different problems, become the same vector: in a diagnosis of such a
training the mean pairwise distance fell from 28 to 4 (SIM-CoT, arXiv 2509.20317). Everything here is pure arithmetic on
tensors, on whatever device they are.

Letters: N rows (problems), K thoughts, D hidden size, M vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@final
@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Means over a batch of thoughts; NaN where there is nothing to average."""

    norm: float
    """Mean Euclidean norm of a thought."""
    within: float
    """Mean distance between two thoughts of one row; NaN where no row has two."""
    between: float
    """Mean distance between the thoughts of two rows at the same place; NaN where no two rows share one."""


def geometry(thoughts: Float[Tensor, "N K D"], there: Bool[Tensor, "N K"] | None = None) -> Geometry:
    """Norms and distances of a batch of thoughts; `there` says which are real (None: all). Waits for a GPU once.

    Pairs are pooled: a row with more thoughts has more pairs. Cheap enough for a training's log: N K (N + K) D.
    """
    with torch.no_grad():
        if there is None:
            there = torch.ones(thoughts.shape[:2], dtype=torch.bool, device=thoughts.device)
        found = torch.stack(
            [
                _mean(thoughts.float().norm(dim=-1), there),
                _mean(*_distances(thoughts, there)),
                _mean(*_distances(thoughts.transpose(0, 1), there.T)),
            ]
        ).tolist()
    return Geometry(norm=found[0], within=found[1], between=found[2])


def within_distances(thoughts: Float[Tensor, "N K D"]) -> Float[Tensor, " N"]:
    """Mean distance between the thoughts of each row; NaN where K is below 2."""
    num = thoughts.shape[1]
    return torch.cdist(thoughts, thoughts, compute_mode=_EXACT).sum((1, 2)) / (num * (num - 1) or torch.nan)


def between_distances(thoughts: Float[Tensor, "N K D"]) -> Float[Tensor, "N K"]:
    """Mean distance of each thought to those of the other rows at its place; NaN where N is below 2."""
    num = len(thoughts)
    found = [torch.cdist(each, each, compute_mode=_EXACT).sum(1) for each in thoughts.unbind(1)]
    return torch.stack(found, dim=1) / (num - 1 or torch.nan)


def effective_rank(vectors: Float[Tensor, "M D"]) -> float:
    """exp of the entropy of the centred vectors' normalised singular values (Roy and Vetterli 2007).

    1 where all lie on a line, at most min(M - 1, D), 0 where all are the same. It grows with M: compare like with like.
    """
    vectors = vectors.double()
    values = torch.linalg.svdvals(vectors - vectors.mean(0))
    # What rounding leaves of equal vectors is no direction.
    values = values[values > 1e-6 * vectors.norm()]
    if not len(values):
        return 0.0
    shares = values / values.sum()
    return float(torch.exp(-(shares * shares.log()).sum()))


_EXACT = "donot_use_mm_for_euclid_dist"
"""torch's way by matrix products loses the distances of nearly equal vectors, which is what collapse looks like."""


def _distances(rows: Float[Tensor, "N K D"], there: Bool[Tensor, "N K"]) -> tuple[Tensor, Tensor]:
    """Of every pair within a row: its distance, and whether both are real, each pair twice."""
    pairs = there[:, :, None] & there[:, None, :]
    pairs &= ~torch.eye(rows.shape[1], dtype=torch.bool, device=rows.device)
    return torch.cdist(rows.float(), rows.float(), compute_mode=_EXACT), pairs


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    """0 / 0, NaN, where nothing counts."""
    return values.masked_fill(~counts, 0.0).sum() / counts.sum()
