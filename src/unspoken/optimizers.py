"""From an optimizer's description (`config.py`) to torch's optimizers, and their state as plain tensors and JSON.

`Muon` is two optimizers: one for the matrices of the blocks, one for everything else. To a checkpoint they are one,
with the parameters of the second counted on from those of the first; a run with one optimizer looks as it always did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from unspoken.config import AdamW, Muon, OptimizerSpec
from unspoken.model import LatentLM


def build_optimizers(spec: OptimizerSpec, model: LatentLM, *, fused: bool) -> list[Optimizer]:
    """The optimizers of a model's weights; every weight that is trained is in exactly one of them.

    `fused` takes torch's fused AdamW, which CPU and CUDA have.

    Raises:
        ValueError: there is no optimizer for this description.
    """
    match spec:
        case AdamW():
            return [
                torch.optim.AdamW(
                    [p for p in model.parameters() if p.requires_grad],
                    lr=spec.lr,
                    betas=spec.betas,
                    weight_decay=spec.weight_decay,
                    fused=fused,
                )
            ]
        case Muon():
            matrices, others = split_matrices(model)
            return [
                torch.optim.Muon(
                    matrices,
                    lr=spec.lr,
                    momentum=spec.momentum,
                    weight_decay=spec.weight_decay,
                    adjust_lr_fn="match_rms_adamw",
                ),
                torch.optim.AdamW(
                    others, lr=spec.others_lr, betas=spec.betas, weight_decay=spec.weight_decay, fused=fused
                ),
            ]
        case _:
            raise ValueError(f"no optimizer is known for {type(spec).__name__}; expected AdamW or Muon")


def split_matrices(model: LatentLM) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The matrices inside the blocks, and all other weights: embeddings of every kind, unembedding, norms, biases."""
    unembedding = model.lm.get_output_embeddings()
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding) or module is unembedding]
    looked_up = {id(weight) for module in tables for weight in module.parameters()}
    matrices = [p for p in model.parameters() if p.ndim == 2 and id(p) not in looked_up]
    inside = {id(p) for p in matrices}
    return matrices, [p for p in model.parameters() if id(p) not in inside]


def optimizer_state(optimizers: Sequence[Optimizer]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """All state as tensors named `parameter/name`, and all groups as plain JSON."""
    tensors: dict[str, Tensor] = {}
    groups: list[dict[str, Any]] = []
    before = 0
    for optimizer in optimizers:
        state = optimizer.state_dict()
        for index, entry in state["state"].items():
            for name, value in entry.items():
                if isinstance(value, Tensor):
                    tensors[f"{before + index}/{name}"] = value.contiguous()
        groups += [{**group, "params": [before + i for i in group["params"]]} for group in state["param_groups"]]
        before += sum(len(group["params"]) for group in state["param_groups"])
    return tensors, groups


def load_optimizer_state(
    optimizers: Sequence[Optimizer], tensors: dict[str, Tensor], groups: Sequence[dict[str, Any]]
) -> None:
    """Puts back what `optimizer_state` took.

    Raises:
        ValueError: it is the state of other optimizers.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/")
        state.setdefault(int(index), {})[name] = value
    wanted = [len(group["params"]) for optimizer in optimizers for group in optimizer.param_groups]
    if wanted != [len(group["params"]) for group in groups]:
        raise ValueError(
            f"the optimizer's state is of another optimizer: expected groups of {wanted} weights, got "
            f"{[len(group['params']) for group in groups]}"
        )
    left = [dict(group) for group in groups]
    before = 0
    for optimizer in optimizers:
        num = len(optimizer.param_groups)
        mine, left = left[:num], left[num:]
        count = sum(len(group["params"]) for group in mine)
        own = {index - before: entry for index, entry in state.items() if before <= index < before + count}
        for group in mine:
            # JSON knows no tuples; the optimizers' own settings are tuples where they are sequences.
            group.update({name: tuple(value) for name, value in group.items() if isinstance(value, list)})
            group["params"] = [index - before for index in group["params"]]
        optimizer.load_state_dict({"state": own, "param_groups": mine})
        before += count
