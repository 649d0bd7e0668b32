"""Attention on a CPU, taken some columns at a time: the textbook's values, gradients and dropout, and nothing kept."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tiny import PAD, rows, shared
from unspoken import attention
from unspoken.attention import as_mask, attend
from unspoken.batch import collate
from unspoken.tree import Tree, run_trees
from unspoken.walk import itself

Pieces = list[tuple[Tensor, Tensor]]


def textbook(q: Tensor, pieces: Pieces, mask: Tensor, scale: float) -> Tensor:
    """softmax(q k^T + mask) v, keys repeated for the heads that share them."""
    k, v = (torch.cat([piece[side] for piece in pieces], dim=2) for side in (0, 1))
    shared = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
    return (scale * q @ k.transpose(-1, -2) + mask).softmax(-1) @ v


def problem(
    columns: int, lengths: tuple[int, ...], *, heads: int = 2, groups: int = 2, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Pieces, Tensor]:
    """Queries, pieces and a causal mask of two rows, the first of which is padded on the left."""
    torch.manual_seed(0)
    keys = sum(lengths)
    q = torch.randn(2, heads, columns, 4, dtype=dtype, requires_grad=True)
    pieces = [
        (
            torch.randn(2, groups, length, 4, dtype=dtype, requires_grad=True),
            torch.randn(2, groups, length, 4, dtype=dtype, requires_grad=True),
        )
        for length in lengths
    ]
    allowed = torch.ones(keys, keys, dtype=torch.bool).tril().repeat(2, 1, 1, 1)
    allowed[0, :, :, : keys // 3] = False
    allowed |= torch.eye(keys, dtype=torch.bool)
    return q, pieces, as_mask(allowed[:, :, keys - columns :], dtype=dtype)


def slopes(out: Tensor, q: Tensor, pieces: Pieces) -> tuple[Tensor, ...]:
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out).to(out.dtype)
    return torch.autograd.grad((out * weights).sum(), [q, *itertools.chain(*pieces)])


@settings(deadline=None, max_examples=40)
@given(
    columns=st.integers(1, 330),
    before=st.lists(st.integers(1, 150), max_size=1),
    together=st.booleans(),
    shared_heads=st.booleans(),
)
def test_values_and_gradients_are_the_textbooks(
    columns: int, before: list[int], together: bool, shared_heads: bool
) -> None:
    """Guards every way columns and pieces are cut: a block that sees a key too few is a silent change of the model."""
    lengths = (sum(before) + columns,) if together else (*before, columns)
    q, pieces, mask = problem(columns, lengths, heads=4, groups=2 if shared_heads else 4)
    ours, theirs = attend(q, pieces, mask=mask, scale=0.7), textbook(q, pieces, mask, 0.7)
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    for mine, its in zip(slopes(ours, q, pieces), slopes(theirs, q, pieces), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("columns", [64, 96, 100, 129, 200])
def test_rounded_numbers_stay_near_exact_ones(columns: int) -> None:
    """Guards bfloat16, whose softmax is worked out in float32 where rows are no whole vectors."""
    q, pieces, mask = problem(columns, (columns,), dtype=torch.bfloat16)
    exact = textbook(q.double(), [(k.double(), v.double()) for k, v in pieces], mask.double(), 0.7)
    torch.testing.assert_close(attend(q, pieces, mask=mask, scale=0.7).double(), exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(("columns", "lengths"), [(3, (5,)), (1, (4, 2)), (98, (98,))])
def test_gradients_under_dropout_are_of_the_same_weights(columns: int, lengths: tuple[int, ...]) -> None:
    """Guards what the backward pass draws again: other weights dropped there would be another function's gradient."""
    q, pieces, mask = problem(columns, lengths, groups=1)

    def dropped(q: Tensor, *flat: Tensor) -> Tensor:
        torch.manual_seed(1)
        return attend(q, list(zip(flat[::2], flat[1::2], strict=True)), mask=mask, scale=0.5, dropout=0.4)

    given_ = (q, *itertools.chain(*pieces))
    assert torch.autograd.gradcheck(dropped, given_, fast_mode=columns > 5)
    whole = attend(q, pieces, mask=mask, scale=0.5)
    assert not torch.allclose(dropped(*given_), whole), "something was dropped"
    torch.manual_seed(2)
    mean = torch.stack([attend(q, pieces, mask=mask, scale=0.5, dropout=0.4).detach() for _ in range(400)]).mean(0)
    assert (mean - whole).abs().mean() < 0.1, "what is left is scaled up"


def test_no_weight_is_kept_for_the_backward_pass() -> None:
    """Guards memory: of 200 columns the weights alone would be fifty times what enters."""
    q, pieces, mask = problem(200, (200,))
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        attend(q, pieces, mask=mask, scale=0.7)
    own = {q.data_ptr(), mask.data_ptr(), *(part.data_ptr() for piece in pieces for part in piece)}
    assert {tensor.data_ptr() for tensor in kept} <= own


def test_no_column_is_ever_allowed_to_look_at_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards what cutting rests on, in a batch with thoughts and padding and in trees, whose branches share columns."""
    seen: list[Tensor] = []

    def noting(allowed: Tensor, *, dtype: torch.dtype) -> Tensor:
        seen.append(allowed)
        return as_mask(allowed, dtype=dtype)

    monkeypatch.setattr("unspoken.backbones.as_mask", noting)
    model, some = shared("gpt2"), rows("q" * 9 + "TTqaa", "qqqTqa")
    batch = collate(some, pad_id=PAD)
    model(**batch.tensors(), plan=batch.plan)
    trees = [Tree(row) for row in some]
    for tree in trees:
        tree.grow(tree.trunk[1], [5, 6, 7])
    run_trees(model.backbone, trees, itself, pad_id=PAD)
    assert len(seen) == 2
    for allowed in seen:
        assert not allowed.triu(1).any()


def test_long_rows_are_the_librarys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the other path, which takes over where spelt-out scores would cost too much memory."""
    q, pieces, mask = problem(40, (40,))
    spelt = attend(q, pieces, mask=mask, scale=0.7)
    monkeypatch.setattr(attention, "_LARGEST_PRODUCT", 100)
    torch.testing.assert_close(attend(q, pieces, mask=mask, scale=0.7), spelt, rtol=1e-10, atol=1e-10)
