"""Attention to keys and values kept from one pass to the next, and what is worked out again in a backward pass.

1. On a CPU it is two matrix products and a softmax, which at these sizes takes a fraction of the time of PyTorch's
   fused CPU kernel; on a GPU it is the fused kernel.
2. No column looks at a later one. So on a CPU columns are taken some at a time, each time with the keys up to the last
   of them: five eighths of the products of all with all, in pieces that stay in the processor's cache.
3. The backward pass works the weights out again, and only then; a column alone keeps its own.
4. The keys and values of the question are kept as they are, and what comes later is kept apart from them: a thought
   looks at both without copying the question's again.

Letters: B rows, S columns run now, T columns so far, H heads, G key-value heads, C width of a head; N = B x G products
at once, R = H / G x S rows in each, W keys that they look at.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

_LANES = 32
"""Numbers of a row that a processor's vectors take together, in the narrowest precision."""
_WORTH_CUTTING = 96
"""Columns from which on they are taken some at a time."""
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

    `mask` is (B, 1, S, T), see `as_mask`; the queries are those of the last S columns, and none may look at a later
    column.
    """
    num_columns, num_keys = mask.shape[-2:]
    if q.device.type != "cpu" or num_columns * num_keys > _LARGEST_PRODUCT:
        k = pieces[0][0] if len(pieces) == 1 else torch.cat([piece[0] for piece in pieces], dim=2)
        v = pieces[0][1] if len(pieces) == 1 else torch.cat([piece[1] for piece in pieces], dim=2)
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale, enable_gqa=k.shape[1] != q.shape[1]
        )
    # Drawn here, so that whoever runs a block again (checkpoint) draws the same.
    seed = int(torch.randint(2**62, ())) if dropout else 0
    kept = (*(k for k, _ in pieces), *(v for _, v in pieces))
    return _Spelt.apply(q, mask, _Spelling(scale=scale, dropout=dropout, seed=seed), *kept)


@final
@dataclass(frozen=True, kw_only=True)
class _Spelling:
    """What attention on a CPU is told beside tensors."""

    scale: float
    dropout: float
    seed: int
    """Of the weights that dropout leaves out, which the backward pass draws again."""

    def blocks(self, num_columns: int, num_keys: int) -> list[tuple[slice, int]]:
        """Columns some at a time, and how many keys each looks at; the whole of the keys first."""
        before = num_keys - num_columns
        if num_columns < _WORTH_CUTTING:
            return [(slice(0, num_columns), num_keys)]
        wide = max(_LANES, round(num_columns / 4 / _LANES) * _LANES)
        # Widths are whole lanes as far as they can be.
        ends = [end - before for end in range((before // wide + 1) * wide, num_keys, wide)] + [num_columns]
        starts = [0, *ends[:-1]]
        return [(slice(start, end), before + end) for start, end in zip(starts, ends, strict=True)][::-1]

    def weights(
        self, q: Float[Tensor, "N R C"], keys: Sequence[Float[Tensor, "N _ C"]], mask: Float[Tensor, "B 1 S W"]
    ) -> Float[Tensor, "N R W"]:
        """The softmax over all pieces; `q` is scaled."""
        scores = [torch.bmm(q, k.transpose(1, 2)) for k in keys]
        joined = scores[0] if len(scores) == 1 else torch.cat(scores, dim=-1)
        num_rows, _, num_columns, width = mask.shape
        joined.view(num_rows, -1, num_columns, width).add_(mask)
        if joined.dtype == torch.bfloat16 and width % _LANES:
            # PyTorch's softmax takes several times as long over what is left of a vector of bfloat16.
            return joined.float().softmax(-1).to(joined.dtype)
        return torch.softmax(joined, -1, out=joined)

    def left(self, weights: Float[Tensor, "N R W"], columns: slice) -> Float[Tensor, "N R W"]:
        """What dropout multiplies weights with, the same again for the same columns."""
        generator = torch.Generator().manual_seed(self.seed + columns.start)
        kept = 1.0 - self.dropout
        return torch.empty_like(weights).bernoulli_(kept, generator=generator).div_(kept)


@final
class _Spelt(torch.autograd.Function):
    """Attention on a CPU, its gradient by hand: autograd would keep every weight, and copy what is written in place."""

    @staticmethod
    # pyrefly: ignore[bad-override]
    def forward(ctx: Any, q: Tensor, mask: Tensor, spelling: _Spelling, *kept: Tensor) -> Tensor:
        """`kept` are the pieces' keys, then their values."""
        num_rows, num_heads, num_columns, width = q.shape
        keys, values = _apart(kept)
        # The columns' dimension before that of heads, as the caller joins heads.
        out = q.new_empty(num_rows, num_columns, num_heads, width).transpose(1, 2)
        alone: Tensor | None = None
        with _as_it_is():
            for columns, num_keys in spelling.blocks(num_columns, mask.shape[-1]):
                block = _of(q, columns, keys) * spelling.scale
                weights = spelling.weights(block, _up_to(keys, num_keys), mask[:, :, columns, :num_keys])
                alone = weights
                if spelling.dropout:
                    weights = weights * spelling.left(weights, columns)
                found = _product(weights, _up_to(values, num_keys))
                out[:, :, columns] = found.view(num_rows, num_heads, -1, width)
        ctx.spelling, ctx.alone = spelling, num_columns == 1
        ctx.save_for_backward(q, mask, *kept, *([alone] if ctx.alone else []))
        return out

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        spelling: _Spelling = ctx.spelling
        q, mask, *kept = ctx.saved_tensors
        alone = kept.pop() if ctx.alone else None
        keys, values = _apart(kept)
        to_q = torch.empty_like(q)
        to_keys: list[Tensor | None] = [None] * len(keys)
        to_values: list[Tensor | None] = [None] * len(values)
        for columns, num_keys in spelling.blocks(q.shape[2], mask.shape[-1]):
            block = _of(q, columns, keys) * spelling.scale
            out = _of(gradients[0], columns, keys)
            seen, given = _up_to(keys, num_keys), _up_to(values, num_keys)
            weights = spelling.weights(block, seen, mask[:, :, columns, :num_keys]) if alone is None else alone
            to_weights = [torch.bmm(out, v.transpose(1, 2)) for v in given]
            joined = to_weights[0] if len(to_weights) == 1 else torch.cat(to_weights, dim=-1)
            if spelling.dropout:
                left = spelling.left(weights, columns)
                _add(to_values, weights * left, out, given)
                joined.mul_(left)
            else:
                _add(to_values, weights, out, given)
            scores = torch._softmax_backward_data(joined, weights, -1, weights.dtype)
            _add(to_keys, scores, block, seen)
            to_q[:, :, columns] = (_product(scores, seen) * spelling.scale).view_as(to_q[:, :, columns])
        found = [each.view_as(one) for each, one in zip([*to_keys, *to_values], kept, strict=True) if each is not None]
        return to_q, None, None, *found


def _apart(kept: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Keys and values of all pieces, as many products at once: (N, T_i, C)."""
    flat = [each.flatten(0, 1) for each in kept]
    return flat[: len(flat) // 2], flat[len(flat) // 2 :]


def _of(q: Float[Tensor, "B H S C"], columns: slice, keys: Sequence[Tensor]) -> Float[Tensor, "N R C"]:
    """Some columns; heads that share keys become further rows of one product, so that keys are not repeated."""
    return q[:, :, columns].reshape(len(keys[0]), -1, q.shape[-1])


def _up_to(pieces: Sequence[Tensor], num_columns: int) -> list[Tensor]:
    """The first columns, of as many pieces as have them."""
    found = []
    for piece in pieces:
        if num_columns <= 0:
            break
        found.append(piece[:, :num_columns])
        num_columns -= piece.shape[1]
    return found


def _shares(whole: Float[Tensor, "N R W"], pieces: Sequence[Tensor]) -> Sequence[Tensor]:
    return whole.split([piece.shape[1] for piece in pieces], dim=-1) if len(pieces) > 1 else (whole,)


def _product(weights: Float[Tensor, "N R W"], pieces: Sequence[Float[Tensor, "N _ C"]]) -> Float[Tensor, "N R C"]:
    """The weighted sum of all pieces' rows."""
    shares = _shares(weights, pieces)
    out = torch.bmm(shares[0], pieces[0])
    for share, piece in zip(shares[1:], pieces[1:], strict=True):
        out.baddbmm_(share, piece)
    return out


def _add(
    found: list[Tensor | None], weights: Float[Tensor, "N R W"], x: Float[Tensor, "N R C"], pieces: Sequence[Tensor]
) -> None:
    """Adds to every piece's gradient what some columns give it; the first of them reach all pieces."""
    for number, share in enumerate(_shares(weights, pieces)):
        so_far = found[number]
        if so_far is None:
            found[number] = torch.bmm(share.transpose(1, 2), x)
        else:
            so_far[:, : share.shape[-1]].baddbmm_(share.transpose(1, 2), x)


def _as_it_is() -> torch.autocast:
    """Everything in the precision it comes in, whatever autocast would have: products are its own already."""
    return torch.autocast("cpu", enabled=False)
