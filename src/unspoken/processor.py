"""What a process must be told once, so that a CPU works at its own speed. Values do not change beyond rounding.

Two things, each worth a factor of two in a training step here (benchmarks/):

- glibc gives every large block back to the system when it is freed, and each new tensor is then paid for again, page by
  page. `keep_memory` tells it to keep them.
- PyTorch multiplies float32 matrices with MKL, which takes its slow path on processors that are not Intel's.
  `use_onednn` moves them to oneDNN, after a trial that float32 stays float32: the only switch for it also lets oneDNN
  round to bfloat16 on processors with matrix units, and there it is left alone.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

import torch

_M_MMAP_MAX, _M_TRIM_THRESHOLD, _M_TOP_PAD = -4, -1, -2


@cache
def tune() -> None:
    """Both, once a process."""
    keep_memory()
    use_onednn()


def keep_memory() -> bool:
    """Whether this process now keeps the memory it frees for the next tensor; only glibc can be told."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 2**26))
    taken = [mallopt(name, value) for name, value in settings]
    return taken == [1] * len(settings)


def use_onednn() -> bool:
    """Whether float32 matrix products now go through oneDNN with float32's precision.

    The switch is PyTorch's `set_float32_matmul_precision`, which also speaks of GPUs, so nothing happens where there is
    one, nor where the user has set it already.
    """
    if torch.cuda.is_available() or torch.get_float32_matmul_precision() != "highest":
        return False
    before = _product_error()
    torch.set_float32_matmul_precision("medium")
    # Another order of summation is within a small factor; rounding to bfloat16 would be a thousand times worse.
    if _product_error() > 8 * before:
        torch.set_float32_matmul_precision("highest")
        return False
    return True


def _product_error() -> float:
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for rows, inner, columns in ((64, 512, 384), (256, 64, 256), (1, 768, 768)):
        a = torch.randn(rows, inner, generator=generator)
        b = torch.randn(inner, columns, generator=generator)
        worst = max(worst, float((a @ b - a.double() @ b.double()).abs().max()))
    return worst
