"""Packed weights: the same products, no stale ones, and only where they belong."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from tiny import build, rows
from unspoken import packed
from unspoken.model import LatentLM
from unspoken.packed import Packed, usable

pytestmark = pytest.mark.skipif(
    not usable(torch.float32), reason="this machine or this PyTorch does not multiply with packed weights"
)


def layer(kind: type[nn.Module], *, bias: bool = True) -> nn.Module:
    torch.manual_seed(0)
    made = nn.Linear(24, 40, bias=bias) if kind is nn.Linear else Conv1D(40, 24)
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_()
    return made


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    eps = torch.finfo(one.dtype).eps
    return one.dtype == other.dtype and torch.allclose(one, other, rtol=8 * eps, atol=200 * eps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [nn.Linear, Conv1D])
def test_products_are_the_modules(kind: type[nn.Module], bias: bool, dtype: torch.dtype) -> None:
    """Guards the order of a weight's sides, which GPT-2 has the other way round, and shapes of two and three sides."""
    if not usable(dtype):
        pytest.skip(f"no packed weights in {dtype} here")
    module, keeper = layer(kind, bias=bias).to(dtype), Packed()
    with torch.inference_mode():
        for x in (torch.randn(1, 24), torch.randn(70, 24), torch.randn(3, 5, 24)):
            assert same(keeper.linear(module, x.to(dtype)), module(x.to(dtype)))
    assert keeper._kept, "and it was the packed weight that gave them"


def test_autocast_decides_the_numbers() -> None:
    """Guards evaluation in bfloat16 over float32 weights: packed as they are, it would be done in float32."""
    if not usable(torch.bfloat16):
        pytest.skip("no packed weights in bfloat16 here")
    module, keeper, x = layer(Conv1D), Packed(), torch.randn(4, 24)
    with torch.inference_mode():
        with torch.autocast("cpu", torch.bfloat16):
            assert same(keeper.linear(module, x), module(x))
        assert same(keeper.linear(module, x), module(x))


def test_a_changed_weight_is_packed_anew() -> None:
    """Guards against answers of yesterday's weights: after a step, an assignment, and a load."""
    module, keeper, x = layer(nn.Linear), Packed(), torch.randn(2, 24)
    assert isinstance(module, nn.Linear)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)

    def check() -> None:
        with torch.inference_mode():
            assert same(keeper.linear(module, x), module(x))

    check()
    module(x).square().sum().backward()
    optimizer.step()
    check()
    module.load_state_dict({name: 2 * value for name, value in module.state_dict().items()})
    check()
    module.weight = nn.Parameter(torch.randn(40, 24))
    check()
    module.weight.data = torch.randn(40, 24)
    check()
    # This has no version.
    module.weight.data.mul_(3)
    keeper.check()
    check()
    assert keeper._kept
    keeper.check()
    assert keeper._kept


def test_only_where_text_is_written() -> None:
    """Guards gradients, and hooks, adapters and anything else a module may be."""
    module, keeper, x = layer(nn.Linear), Packed(), torch.randn(2, 24)
    assert keeper.linear(module, x).requires_grad
    with torch.no_grad():
        keeper.linear(module, x)
    with torch.inference_mode():
        double = layer(nn.Linear).double()
        assert same(keeper.linear(double, x.double()), double(x.double()))
        heard: list[int] = []
        handle = module.register_forward_hook(lambda *_: heard.append(1))
        keeper.linear(module, x)
        handle.remove()
        assert heard == [1]
        assert not keeper._kept
        keeper.linear(module, x)
        module.register_forward_hook(lambda *_: heard.append(2))
        keeper.linear(module, x)
        assert heard == [1, 2], "packed before somebody listened"
        keeper.forget()
        odd = nn.Sequential(layer(nn.Linear))
        assert same(keeper.linear(odd, x), odd(x))
    assert not keeper._kept


def test_a_large_model_is_not_kept_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards machines whose memory a model fills: weights beyond a share of it are left as they are."""
    monkeypatch.setattr(packed, "_SHARE_OF_MEMORY", 0.0)
    module, keeper, x = layer(nn.Linear), Packed(), torch.randn(2, 24)
    with torch.inference_mode():
        assert same(keeper.linear(module, x), module(x))
    assert not keeper._kept


def test_a_pytorch_without_the_operators_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards releases to come: the operators are not promised to anybody."""

    def gone(*_: object) -> torch.Tensor:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")

    monkeypatch.setattr(packed, "_product", gone)
    assert not usable.__wrapped__(torch.float32)


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3"])
def test_models_write_the_same_with_packed_weights(family: str) -> None:
    """Guards decoding as a whole, against the plain engine; training lets go of what was packed."""
    lm = build(family).float().eval()
    prompts = rows("qqqTTq", "qTq", "qqqqqTTTq")
    fast, plain = LatentLM(lm), LatentLM(lm, engine="plain")
    found, expected = (model.write(prompts, max_new_tokens=6, eos_token_id=[]) for model in (fast, plain))
    assert [one.tokens for one in found] == [one.tokens for one in expected]
    blocks = fast.backbone.blocks
    assert blocks is not None
    linear = {"gpt2": 4, "llama": 7, "qwen3": 7}[family]
    assert len(blocks.packed._kept) == 2 * linear + 1, "every linear layer of two blocks, and the unembedding"
    fast.train()
    assert not blocks.packed._kept
    fast.eval()
