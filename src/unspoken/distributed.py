"""How a training's model lies over its processes: a copy in each (DDP), or a share in each (FSDP2).

`accelerate launch`, or `torchrun` with the same environment variables, says which: `--use_fsdp --fsdp_version 2`.

`Sharded` calls torch's `fully_shard` itself, since `Accelerator.prepare` leaves models on CPUs alone: so two processes
on CPUs test the very code that a node of GPUs runs. Three things are particular to models that think:

1. A thought costs a forward pass, and every pass of a block is a collective. Processes whose rows think another number
   of times would wait for each other for ever, so all walk through equally many passes (`loading.step_data`).
2. A pass whose output nobody reads has no backward pass, and so no collective there. Every pass is given a part in the
   loss, times zero.
3. Decoding takes another number of passes in every process. It is done with whole weights (`whole`), as is whatever
   writes a model down; so a checkpoint is the same files however many processes wrote it, and any number reads it.

Weights are gathered as they are, in float32; a run in bf16 rounds them under autocast, like a run in one process.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, final

import torch
from accelerate import Accelerator, FullyShardedDataParallelPlugin
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from unspoken.model import LatentLM, LatentOutput


class Spread(ABC):
    """A model and its optimizers, laid out over the processes of a training."""

    model: Any
    """What is called in training: the bare model, or something around it."""
    optimizers: list[Optimizer]
    """What steps."""
    in_step: bool
    """Whether every process must do as many forward passes as the others."""

    @abstractmethod
    def more_to_come(self) -> AbstractContextManager[None]:
        """Around all backward passes of a step but the last: their gradients are only added up."""

    @abstractmethod
    def whole(self) -> AbstractContextManager[None]:
        """Inside, the bare model is an ordinary one in every process, to be read; all must enter together."""

    @abstractmethod
    def whole_states(self) -> AbstractContextManager[None]:
        """Inside, the optimizers of the main process hold all state; all must enter together."""

    @abstractmethod
    def settle(self) -> None:
        """Leaves the bare model an ordinary one, for good: nothing more is trained."""


def spread_of(accelerator: Accelerator, model: LatentLM, optimizers: Sequence[Optimizer]) -> Spread:
    """Lays a model out as the launcher has asked for; the optimizers may hold state already.

    Raises:
        ValueError: FSDP is asked for in a way that is not supported, or with an optimizer that needs whole matrices.
    """
    # Accelerate's own reading of these variables makes nothing of them on CPUs.
    asked = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() in ("1", "true")
    if not asked or accelerator.num_processes == 1:
        return Copied(accelerator, model, optimizers)
    plugin = FullyShardedDataParallelPlugin()
    if plugin.fsdp_version != 2:
        raise ValueError(f"FSDP {plugin.fsdp_version} is not supported; launch with --use_fsdp --fsdp_version 2")
    if os.environ.get("FSDP_OFFLOAD_PARAMS", "false").lower() in ("1", "true"):
        raise ValueError("FSDP with weights offloaded to the CPU is not supported; leave --fsdp_offload_params out")
    if any(isinstance(optimizer, torch.optim.Muon) for optimizer in optimizers):
        raise ValueError("Muon needs whole matrices, and FSDP gives every process a share; take optimizer AdamW or DDP")
    return Sharded(accelerator, model, optimizers, reshard=bool(plugin.reshard_after_forward))


def plain(value: Tensor) -> Tensor:
    """The whole of a tensor that may lie over processes; all must ask together."""
    return value.full_tensor() if isinstance(value, DTensor) else value


@final
class Copied(Spread):
    """A copy of everything in each process; gradients are averaged in the last backward pass of a step."""

    def __init__(self, accelerator: Accelerator, model: LatentLM, optimizers: Sequence[Optimizer]) -> None:
        self.in_step = False
        self._accelerator = accelerator
        self.model, *self.optimizers = accelerator.prepare(model, *optimizers)

    @contextmanager
    def more_to_come(self) -> Iterator[None]:
        with self._accelerator.no_sync(self.model):
            yield

    def whole(self) -> AbstractContextManager[None]:
        return nullcontext()

    def whole_states(self) -> AbstractContextManager[None]:
        return nullcontext()

    def settle(self) -> None:
        pass


@final
class Sharded(Spread):
    """A share of every weight, gradient and optimizer state in each process (FSDP2, ZeRO-3).

    `reshard` frees a block's weights after its forward pass and gathers them again for the backward pass.
    """

    def __init__(
        self, accelerator: Accelerator, model: LatentLM, optimizers: Sequence[Optimizer], *, reshard: bool
    ) -> None:
        self.in_step = True
        self._accelerator, self._bare = accelerator, model
        self._depth = 0
        self._undo: list[tuple[dict[str, Any], str, Any]] = []
        mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
        model.to(accelerator.device)
        before = list(model.parameters())
        for block in _blocks(model):
            fully_shard(block, mesh=mesh, reshard_after_forward=reshard)
        # What is left, embeddings and head, is gathered once a step: everything needs it.
        fully_shard(model, mesh=mesh)
        model.register_forward_hook(_every_pass_counts)
        self.model = model
        self.optimizers = list(optimizers)
        shares = dict(zip(map(id, before), model.parameters(), strict=True))
        for optimizer in self.optimizers:
            _hand_over(optimizer, shares, mesh)

    def more_to_come(self) -> AbstractContextManager[None]:
        # Keeping whole gradients until the last backward pass would take what sharding has saved.
        return nullcontext()

    @contextmanager
    def whole(self) -> Iterator[None]:
        self._gather()
        try:
            yield
        finally:
            self._give_back()

    def settle(self) -> None:
        self._gather()

    def _gather(self) -> None:
        self._depth += 1
        if self._depth > 1:
            return
        found: dict[int, nn.Parameter] = {}
        for module in self._bare.modules():
            if isinstance(module, FSDPModule):
                module.reshard()
                # Hooks would put shares back in the middle of whatever is done with the whole.
                for hooks in ("_forward_hooks", "_forward_pre_hooks"):
                    self._put(vars(module), hooks, OrderedDict())
        for module in self._bare.modules():
            for name, share in list(module._parameters.items()):
                if isinstance(share, DTensor):
                    if id(share) not in found:
                        full = share.detach().full_tensor()
                        found[id(share)] = nn.Parameter(full, requires_grad=share.requires_grad)
                    self._put(module._parameters, name, found[id(share)])

    def _put(self, where: dict[str, Any], name: str, value: Any) -> None:
        self._undo.append((where, name, where[name]))
        where[name] = value

    def _give_back(self) -> None:
        self._depth -= 1
        if self._depth:
            return
        for where, name, value in self._undo:
            where[name] = value
        self._undo.clear()

    @contextmanager
    def whole_states(self) -> Iterator[None]:
        kept = [dict(optimizer.state) for optimizer in self.optimizers]
        try:
            for optimizer, state in zip(self.optimizers, kept, strict=True):
                for weight, entries in state.items():
                    optimizer.state[weight] = {name: self._on_main(value) for name, value in entries.items()}
            yield
        finally:
            for optimizer, state in zip(self.optimizers, kept, strict=True):
                optimizer.state.update(state)

    def _on_main(self, value: Any) -> Any:
        if not isinstance(value, DTensor):
            return value
        # One tensor at a time on the device, all of them only in the main process's memory.
        full = value.full_tensor()
        return full.cpu() if self._accelerator.is_main_process else full.new_zeros(0)


def _blocks(model: LatentLM) -> list[nn.Module]:
    """The modules that are gathered one at a time: those the library says must not be split."""
    names = set(model.lm._no_split_modules or ())
    found = [module for module in model.lm.modules() if type(module).__name__ in names]
    if not found:
        raise ValueError(f"{type(model.lm).__name__} does not say what its blocks are, which FSDP needs; take DDP")
    return found


def _hand_over(optimizer: Optimizer, shares: dict[int, nn.Parameter], mesh: DeviceMesh) -> None:
    """Lets an optimizer step shares, with its state cut like them; no communication."""
    before = dict(optimizer.state)
    optimizer.state.clear()
    for group in optimizer.param_groups:
        group["params"] = [shares[id(weight)] for weight in group["params"]]
    for weight, entries in before.items():
        share = shares[id(weight)]
        assert isinstance(share, DTensor)
        optimizer.state[share] = {
            name: distribute_tensor(value.to(share.device), mesh, share.placements, src_data_rank=None)
            if isinstance(value, Tensor) and value.shape == share.shape
            else value
            for name, value in entries.items()
        }


def _every_pass_counts(module: nn.Module, arguments: Any, output: Any) -> Any:
    """Gives every pass a part in the loss, times zero, so that all processes go backward through equally many."""
    assert isinstance(output, LatentOutput)
    if output.loss_sum is None:
        return output
    return replace(output, loss_sum=output.loss_sum + 0.0 * output.hidden.sum())
