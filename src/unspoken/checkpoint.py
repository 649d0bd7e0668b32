"""Checkpoints of a running training: everything needed to go on exactly where it stopped.

`checkpoints/step-00000800/` holds `model.safetensors`, `optimizer.safetensors`, `state.json`, the random generators of
every process (`generators-0.json`, ...) and, written last, `manifest.json` with size and SHA-256 of each. It is written
under another name, flushed to disk, and renamed: a folder with the final name was whole when it got it. What has become
of it since is checked before it is read. Nothing is pickled.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from unspoken.durable import partial_name, publish, remove
from unspoken.generators import Generators
from unspoken.manifest import FILE_NAME, DamagedError, check_manifest, write_manifest
from unspoken.model import LatentLM
from unspoken.optimizers import load_optimizer_state, optimizer_state

FORMAT = 2


@final
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
    pending_loss: float = 0.0
    """Summed loss of the steps since the last logged one."""
    pending_labels: int = 0
    """Their targets."""


@final
class _State(msgspec.Struct, kw_only=True):
    position: Position
    optimizer_groups: list[dict[str, Any]]
    format: int = 1
    """1: without manifest, one process, its generators below; 2: now."""
    processes: int = 1
    torch_rng: str | None = None
    cuda_rng: tuple[str, ...] = ()


@final
@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What a checkpoint says besides weights and optimizer state."""

    position: Position
    processes: int
    """How many processes trained when it was saved."""
    generators: Generators | None
    """Those of the process that asked; None where there was no such process."""


def save_checkpoint(
    folder: Path,
    model: LatentLM,
    optimizers: Sequence[Optimizer],
    position: Position,
    *,
    generators: Sequence[Generators],
    keep: int,
) -> Path:
    """Writes a checkpoint under `folder` and removes all but the newest `keep`, and any of later steps.

    `generators` are those of every process, in order. A later step can only be one that was damaged, and passed over
    when the training went on from an earlier one.

    Raises:
        OSError: it could not be written; what was there before still is.
    """
    final = folder / f"step-{position.step:08d}"
    partial = partial_name(final)
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    with taken_back(partial):
        partial.mkdir()
        tensors, groups = optimizer_state(optimizers)
        save_file(_plain_state(model), partial / "model.safetensors")
        save_file(tensors, partial / "optimizer.safetensors")
        for process, each in enumerate(generators):
            (partial / f"generators-{process}.json").write_bytes(msgspec.json.encode(each))
        record = _State(position=position, optimizer_groups=groups, format=FORMAT, processes=len(generators))
        (partial / "state.json").write_bytes(msgspec.json.encode(record))
        write_manifest(partial)
        publish(partial, final)
    there = checkpoints(folder)
    for later in there[there.index(final) + 1 :]:
        remove(later)
    tidy(folder, final, keep=keep)
    return final


def tidy(folder: Path, newest: Path, *, keep: int) -> None:
    """Removes what is older than the `keep` checkpoints up to `newest`, and what killed processes have left."""
    there = checkpoints(folder)
    for older in there[: max(0, there.index(newest) + 1 - keep)]:
        remove(older)
    _sweep(folder)


def _sweep(folder: Path) -> None:
    """Removes what killed processes have left, and gives its room back."""
    for leftover in folder.glob(".*"):
        shutil.rmtree(leftover)


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoints, oldest first."""
    return sorted(folder.glob("step-*"))


def newest_whole(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that is what it was when it was written, and what is wrong with each newer one."""
    wrong: list[str] = []
    for path in reversed(checkpoints(folder)):
        try:
            check_checkpoint(path)
        except DamagedError as error:
            wrong.append(str(error))
        else:
            return path, wrong
    return None, wrong


def check_checkpoint(path: Path) -> bool:
    """Reads a checkpoint through; False where it has no manifest to hold it against, as older ones have none.

    Raises:
        DamagedError: it is not whole; the message names checkpoint and file.
    """
    name = "state.json"
    try:
        if (path / FILE_NAME).exists():
            check_manifest(path)
            return True
        if _read_state(path).format >= FORMAT:
            raise DamagedError(f"{FILE_NAME} is missing")
        for name in ("model.safetensors", "optimizer.safetensors"):
            # Opening compares the file's length with what its head says.
            with safe_open(path / name, framework="pt"):
                pass
    except DamagedError as error:
        raise DamagedError(f"{path}: not a whole checkpoint: {error}") from error
    except Exception as error:  # safetensors raises a class of its own for each kind of damage
        raise DamagedError(f"{path}: not a whole checkpoint: {name}: {error}") from error
    return False


def load_checkpoint(
    path: Path, model: LatentLM, optimizers: Sequence[Optimizer], *, process: int = 0
) -> Loaded:  # fmt: skip
    """Puts weights and optimizer state back; where training was, and the generators that process `process` had.

    Raises:
        ValueError: a file is missing or malformed, or the weights or the optimizers' state are of another model.
    """
    try:
        record = _read_state(path)
        generators = _generators(path, record, process)
        weights = load_file(path / "model.safetensors")
        tensors = load_file(path / "optimizer.safetensors")
    except Exception as error:
        raise ValueError(f"{path}: not a readable checkpoint: {error}") from error
    load_plain_state(model, weights, path)
    try:
        load_optimizer_state(optimizers, tensors, record.optimizer_groups)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return Loaded(position=record.position, processes=record.processes, generators=generators)


def _read_state(path: Path) -> _State:
    return msgspec.json.decode((path / "state.json").read_bytes(), type=_State)


def _generators(path: Path, record: _State, process: int) -> Generators | None:
    if process >= record.processes:
        return None
    if record.torch_rng is None:
        return msgspec.json.decode((path / f"generators-{process}.json").read_bytes(), type=Generators)
    cuda = record.cuda_rng[0] if record.cuda_rng else None
    return Generators(python=None, numpy=None, torch=record.torch_rng, cuda=cuda)


@contextmanager
def taken_back(partial: Path) -> Iterator[None]:
    """Removes a folder that could not be finished, to give its room back; a library's I/O errors become `OSError`."""
    try:
        yield
    except Exception as error:
        shutil.rmtree(partial, ignore_errors=True)
        code = re.search(r"os error (\d+)", str(error)) if isinstance(error, SafetensorError) else None
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(partial)) from error


def _plain_state(model: LatentLM) -> dict[str, Tensor]:
    """What is trained, by name, each tied matrix once: safetensors refuses aliases. What is frozen is the base's."""
    seen: set[int] = set()
    state = {}
    frozen = {name for name, weight in model.lm.named_parameters(remove_duplicate=False) if not weight.requires_grad}
    for name, value in model.lm.state_dict().items():
        if name not in frozen and (value.data_ptr() not in seen or value.numel() == 0):
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
