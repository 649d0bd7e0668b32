"""Weights in the order in which a CPU's matrix units read them.

A product of few rows and a large matrix, a step of decoding that is, spends its time on reading the matrix, and oneDNN
puts it into another order before each product. Here that is done once; the sums are the same.

1. Only inside `torch.inference_mode`, which is where text is written: elsewhere weights may be about to change.
2. What is kept goes by a weight's place in memory and its version, so one that was changed is packed anew; training
   lets go of all (`forget`). Changes through `.data` have no version: some numbers of each weight are looked at before
   text is written (`check`), which finds a weight that was scaled or drawn again, not a single number of it.
3. Where anything is unusual (no CPU, other numbers than float32 and bfloat16, an adapter, a hook, shares of a model in
   several processes, a model too large to be in memory twice) the module itself is called.

The operators are those that PyTorch's own compiler uses; `usable` tries them out once a process.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

_ROWS = 64
"""Rows of a product that the order is chosen for; it serves any number."""
_SAMPLE = 64
"""Numbers of a weight that are looked at."""
_SHARE_OF_MEMORY = 1 / 8
"""Of this machine's memory that packed weights may take."""


@final
@dataclass(frozen=True, kw_only=True)
class _Kept:
    """A packed weight, and what it was packed from."""

    place: int
    version: int
    weight: Tensor
    sample: Tensor

    def is_of(self, weight: Tensor, dtype: torch.dtype) -> bool:
        # A tensor made in inference mode has no version.
        same = not weight.is_inference() and (self.place, self.version) == (weight.data_ptr(), weight._version)
        return same and self.weight.dtype == dtype


@final
class Packed:
    """A model's linear layers, called through `linear`."""

    def __init__(self) -> None:
        self._kept: dict[nn.Module, _Kept] = {}
        self._room = _SHARE_OF_MEMORY * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def linear(self, module: nn.Module, x: Tensor) -> Tensor:
        """`module(x)`."""
        if not torch.is_inference_mode_enabled() or x.device.type != "cpu" or type(module) not in (nn.Linear, Conv1D):
            return module(x)
        linear: Any = module
        weight: Tensor = linear.weight
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else weight.dtype
        packed = self._of(module, weight, dtype)
        if packed is None:
            return module(x)
        bias: Tensor | None = linear.bias
        return _product(x.to(dtype), packed, None if bias is None else bias.to(dtype))

    def check(self) -> None:
        """Lets go of what was packed from weights that are others by now, version or not."""
        for module, kept in list(self._kept.items()):
            weight: Any = module.weight
            if not kept.is_of(weight, kept.weight.dtype) or not torch.equal(_sample(weight), kept.sample):
                del self._kept[module]

    def forget(self) -> None:
        """Lets go of all packed weights."""
        self._kept.clear()

    def _of(self, module: nn.Module, weight: Tensor, dtype: torch.dtype) -> Tensor | None:
        if module._forward_hooks or module._forward_pre_hooks or weight.is_inference() or not _plain(weight):
            return None
        kept = self._kept.get(module)
        if kept is not None and kept.is_of(weight, dtype):
            return kept.weight
        # The packed weight that is to be replaced counts, too: it is gone only when its successor is there.
        taken = sum(each.weight.numel() * each.weight.element_size() for each in self._kept.values())
        if not usable(dtype) or taken + weight.numel() * dtype.itemsize > self._room:
            return None
        rows = weight.detach().to(dtype)
        packed = _packed(rows.t().contiguous() if type(module) is Conv1D else rows)
        place, version = weight.data_ptr(), weight._version
        self._kept[module] = _Kept(place=place, version=version, weight=packed, sample=_sample(weight))
        return packed


def _sample(weight: Tensor) -> Tensor:
    return weight.detach().flatten()[:: max(1, weight.numel() // _SAMPLE)].clone()


def _plain(weight: Tensor) -> bool:
    """Whether a weight is an ordinary one, and whole in this process."""
    return type(weight) is nn.Parameter and not (
        torch.distributed.is_available() and torch.distributed.is_initialized()
    )


@cache
def usable(dtype: torch.dtype) -> bool:
    """Whether this machine and this PyTorch multiply with packed weights, and give what they give without."""
    if dtype not in (torch.float32, torch.bfloat16) or not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    weight, bias, x = (torch.randn(size, generator=generator).to(dtype) for size in ((96, 64), (96,), (2, 3, 64)))
    plain = nn.functional.linear(x, weight, bias)
    try:
        found = _product(x, _packed(weight), bias)
    except (AttributeError, NotImplementedError, RuntimeError):
        # The operators are PyTorch's own business, and may go with any release.
        return False
    return found.shape == plain.shape and torch.allclose(found, plain, rtol=4 * torch.finfo(dtype).eps, atol=1e-5)


def _packed(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)


def _product(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
