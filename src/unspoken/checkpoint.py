"""Checkpoints of a running training: everything needed to go on exactly where it stopped.

`checkpoints/step-00000800/` holds `model.safetensors`, `optimizer.safetensors` and `state.json`. It is written under
another name, flushed to disk, and renamed: a folder with the final name is complete. Nothing is pickled.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from unspoken.model import LatentLM
from unspoken.optimizers import load_optimizer_state, optimizer_state


class Position(msgspec.Struct, kw_only=True):
    """Where a training is: all loop state that is not a tensor."""

    step: int = 0
    """Optimizer steps done."""
    epoch: int = 0
    """The epoch the next batch belongs to."""
    batch: int = 0
    """Batches of that epoch already done."""
    best_accuracy: float | None = None
    """Best validation accuracy in the final stage so far."""
    seconds: float = 0.0
    """Wall time of training so far, validation included."""


class _State(msgspec.Struct, kw_only=True):
    position: Position
    optimizer_groups: list[dict[str, Any]]
    torch_rng: str
    cuda_rng: list[str]


def save_checkpoint(
    folder: Path, model: LatentLM, optimizers: Sequence[Optimizer], position: Position, *, keep: int
) -> Path:
    """Writes a checkpoint under `folder` and removes all but the newest `keep`."""
    final = folder / f"step-{position.step:08d}"
    partial = folder / f".partial-{final.name}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    tensors, groups = optimizer_state(optimizers)
    save_file(_plain_state(model), partial / "model.safetensors")
    save_file(tensors, partial / "optimizer.safetensors")
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    record = _State(
        position=position,
        optimizer_groups=groups,
        torch_rng=_encode(torch.get_rng_state()),
        cuda_rng=[_encode(rng) for rng in cuda],
    )
    (partial / "state.json").write_bytes(msgspec.json.encode(record))
    for path in [*partial.iterdir(), partial]:
        _flush(path)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    _flush(folder)
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(folder.glob("step-*"))


def load_checkpoint(path: Path, model: LatentLM, optimizers: Sequence[Optimizer]) -> Position:
    """Puts weights, optimizer state and random generators back; where training was.

    Raises:
        ValueError: a file is missing or malformed, or the weights or the optimizers' state are of another model.
    """
    try:
        record = msgspec.json.decode((path / "state.json").read_bytes(), type=_State)
        weights = load_file(path / "model.safetensors")
        tensors = load_file(path / "optimizer.safetensors")
    except Exception as error:  # safetensors raises a class of its own for each kind of damage
        raise ValueError(f"{path}: not a readable checkpoint: {error}") from error
    load_plain_state(model, weights, path)
    try:
        load_optimizer_state(optimizers, tensors, record.optimizer_groups)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    torch.set_rng_state(_decode(record.torch_rng))
    if record.cuda_rng and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([_decode(rng) for rng in record.cuda_rng])
    return record.position


def _plain_state(model: LatentLM) -> dict[str, Tensor]:
    """Weights by name, each tied matrix once: safetensors refuses aliases."""
    seen: set[int] = set()
    state = {}
    for name, value in model.lm.state_dict().items():
        if value.data_ptr() not in seen or value.numel() == 0:
            seen.add(value.data_ptr())
            state[name] = value.contiguous()
    return state


def load_plain_state(model: LatentLM, weights: dict[str, Tensor], path: Path) -> None:
    """Loads weights by name into a model.

    Raises:
        ValueError: names or shapes differ from the model's.
    """
    wanted = _plain_state(model)
    if wrong := sorted(set(wanted) ^ set(weights)):
        raise ValueError(f"{path}: these weights are of another model; {wrong[0]!r} is in only one of the two")
    for name, value in weights.items():
        if value.shape != wanted[name].shape:
            raise ValueError(
                f"{path}: {name} has shape {tuple(value.shape)}, expected {tuple(wanted[name].shape)}; "
                "these weights are of another model"
            )
    model.lm.load_state_dict(weights, strict=False)


def _encode(rng: Tensor) -> str:
    return base64.b64encode(rng.numpy().tobytes()).decode()


def _decode(rng: str) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(rng)), dtype=torch.uint8)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
