"""The state of every random generator a training may draw from, as plain JSON."""

from __future__ import annotations

import base64
import random
from typing import Any, final

import msgspec
import numpy as np
import torch
from torch import Tensor


@final
class Generators(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One process's generators; None: as they are."""

    python: tuple[int, tuple[int, ...], float | None] | None
    numpy: tuple[str, tuple[int, ...], int, int, float] | None
    """numpy's global one; ours are made anew wherever they are used."""
    torch: str
    cuda: str | None
    """Of the device the process trains on."""


def generators_now(device: torch.device) -> Generators:
    """The generators of this process, which trains on `device`."""
    # numpy gives a tuple of this shape in this mode, and says so nowhere.
    kind, key, *rest = np.random.get_state(legacy=True)
    cuda = encode(torch.cuda.get_rng_state(device)) if device.type == "cuda" else None
    return msgspec.convert(
        {
            "python": random.getstate(),
            "numpy": (kind, np.asarray(key).tolist(), *rest),
            "torch": encode(torch.get_rng_state()),
            "cuda": cuda,
        },
        Generators,
    )


def seed_generators(seed: int, process: int, *, step: int) -> None:
    """Starts the generators of a process that no checkpoint knows; at step 0 torch's seed is `seed` plus `process`."""
    drawn = int(np.random.SeedSequence([seed, process, step]).generate_state(1)[0])
    torch.manual_seed(seed + process if step == 0 else drawn)
    random.seed(drawn)
    np.random.seed(drawn)


def restore_generators(found: Generators, device: torch.device) -> None:
    """Puts generators back where they were."""
    if found.python is not None:
        random.setstate(found.python)
    if found.numpy is not None:
        kind, key, *rest = found.numpy
        state: Any = (kind, np.array(key, dtype=np.uint32), *rest)
        np.random.set_state(state)
    torch.set_rng_state(decode(found.torch))
    if found.cuda is not None and device.type == "cuda":
        torch.cuda.set_rng_state(decode(found.cuda), device)


def encode(rng: Tensor) -> str:
    """torch's state as text."""
    return base64.b64encode(rng.numpy().tobytes()).decode()


def decode(text: str) -> Tensor:
    """The inverse of `encode`."""
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
