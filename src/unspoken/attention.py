"""Attention to keys and values kept from one pass to the next, and what is worked out again in a backward pass.

1. On a CPU it is two matrix products and a softmax, which at these sizes takes a fraction of the time of PyTorch's
   fused CPU kernel; on a GPU it is the fused kernel.
2. The keys and values of the question are kept as they are, and what comes later is kept apart from them: a thought
   looks at both without copying the question's again.

Letters: B rows, S columns run now, T columns so far, H heads, G key-value heads, C width of a head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

_LARGEST_PRODUCT = 1 << 21
"""Scores (S x T) up to which attention on a CPU is spelt out; beyond it their memory costs more than it saves."""


def worked_out_again(cheap: Callable[..., Tensor], *inputs: Tensor, draws: bool = False) -> Tensor:
    """`cheap(*inputs)`, of which only the inputs are kept for the backward pass; nothing is, for one column alone.

    `draws`: it draws random numbers. Its last product is not repeated: recomputing stops at what that product kept.
    """
    if not torch.is_grad_enabled() or inputs[0].shape[-2] == 1:
        return cheap(*inputs)
    again = checkpoint(cheap, *inputs, use_reentrant=False, preserve_rng_state=draws)
    assert isinstance(again, Tensor)
    return again


class Memory(ABC):
    """Where keys and values are kept."""

    @abstractmethod
    def attend(
        self,
        layer: int,
        q: Float[Tensor, "B H S C"],
        k: Float[Tensor, "B G S C"],
        v: Float[Tensor, "B G S C"],
        *,
        mask: Tensor,
        scale: float,
        dropout: float,
    ) -> Float[Tensor, "B H S C"]:
        """Keeps `k` and `v`, then attends to everything kept. `q` may be fewer trailing columns than `k`."""


@final
class Growing(Memory):
    """Keys and values of a walk, with gradients: the first text as one piece, everything after it as another."""

    def __init__(self, num_layers: int) -> None:
        self.pieces: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(num_layers)]

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor, scale: float, dropout: float
    ) -> Tensor:
        self.keep(layer, k, v)
        return attend(q, self.pieces[layer], mask=mask, scale=scale, dropout=dropout)

    def keep(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Keeps the keys and values of further columns."""
        pieces = self.pieces[layer]
        if len(pieces) < 2:
            pieces.append((k, v))
        else:
            keys, values = pieces[1]
            pieces[1] = torch.cat([keys, k], dim=2), torch.cat([values, v], dim=2)
        if k.device.type != "cpu" and len(pieces) > 1:
            # A fused kernel wants one piece.
            pieces[:] = [(torch.cat([p[0] for p in pieces], dim=2), torch.cat([p[1] for p in pieces], dim=2))]

    def select(self, rows: Int[Tensor, " R"]) -> None:
        """Keeps these rows only."""
        self.pieces = [[(k[rows], v[rows]) for k, v in pieces] for pieces in self.pieces]


def as_mask(allowed: Bool[Tensor, "B 1 S T"], *, dtype: torch.dtype) -> Tensor:
    """What `attend` takes: bool for a GPU's fused kernel, something to add to the scores on a CPU."""
    if allowed.device.type != "cpu":
        return allowed
    return torch.zeros(allowed.shape, dtype=dtype).masked_fill_(~allowed, torch.finfo(dtype).min)


def attend(
    q: Float[Tensor, "B H S C"],
    pieces: list[tuple[Tensor, Tensor]],
    *,
    mask: Tensor,
    scale: float,
    dropout: float = 0.0,
) -> Float[Tensor, "B H S C"]:
    """Attention to keys and values in pieces of (B, G, T_i, C); the pieces' columns are the mask's, in order.

    `mask` is (B, 1, S, T), see `as_mask`.
    """
    num_rows, num_heads, num_columns, width = q.shape
    groups = pieces[0][0].shape[1]
    if q.device.type != "cpu" or num_columns * mask.shape[-1] > _LARGEST_PRODUCT:
        k = pieces[0][0] if len(pieces) == 1 else torch.cat([piece[0] for piece in pieces], dim=2)
        v = pieces[0][1] if len(pieces) == 1 else torch.cat([piece[1] for piece in pieces], dim=2)
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale, enable_gqa=groups != num_heads
        )
    # Heads that share keys become further rows of one product, so that keys are not repeated.
    shared = (num_rows, groups, num_heads // groups * num_columns)

    count = len(pieces)  # the list itself goes on growing

    def spelt(q: Tensor, *kept: Tensor) -> Tensor:
        q = (q * scale).reshape(*shared, width)
        keys, values = kept[:count], kept[count:]
        scores = [torch.matmul(q, k.transpose(-1, -2)) for k in keys]
        joined = scores[0] if len(scores) == 1 else torch.cat(scores, dim=-1)
        seen = joined.view(num_rows, num_heads, num_columns, -1).add_(mask)
        weights = F.dropout(seen.softmax(-1), dropout).to(q.dtype).view(*shared, -1)
        parts = weights.split([k.shape[2] for k in keys], dim=-1) if count > 1 else (weights,)
        out = torch.matmul(parts[0], values[0])
        for part, v in zip(parts[1:], values[1:], strict=True):
            out = out + torch.matmul(part, v)
        return out

    kept = (*(k for k, _ in pieces), *(v for _, v in pieces))
    out = worked_out_again(spelt, q, *kept, draws=dropout > 0)
    return out.view(num_rows, num_heads, num_columns, width)
