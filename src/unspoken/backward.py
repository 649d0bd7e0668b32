"""Forward and backward of one batch: launched operator by operator, or replayed as a CUDA graph.

A small model's step on a GPU is thousands of small kernels, and launching them takes longer than running them. A graph
is recorded once for a shape of batch and replayed with one launch; its tensors stay where they were recorded, so a
batch is copied into them, and gradients are added up where they are (`zero_grad` must not drop them).

Shapes repeat because `collate` rounds columns up to a multiple (`COLUMNS`) where graphs are wanted. A shape is recorded
at its second appearance; rare ones are launched.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from unspoken.batch import Batch, Plan, Span
from unspoken.layout import IGNORE_INDEX

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = 32
"""Columns of a batch are a multiple of this where graphs are wanted."""
_LABELS = 128
"""So are the places for targets."""
_MOST_GRAPHS = 96
"""Graphs kept; further shapes are launched."""


class Backward(ABC):
    """Adds a batch's gradients to the parameters' and gives its summed loss, detached."""

    @abstractmethod
    def __call__(self, batch: Batch, scale: float | Tensor) -> Tensor:
        """`scale` times the loss is what is differentiated; the loss given back is not scaled."""


@final
class Launched(Backward):
    """Operator by operator, on any device."""

    def __init__(self, loss: Callable[[Batch], Tensor], backward: Callable[[Tensor], None]) -> None:
        self._loss, self._backward = loss, backward

    def __call__(self, batch: Batch, scale: float | Tensor) -> Tensor:
        loss = self._loss(batch)
        self._backward(loss * scale)
        return loss.detach()


@final
class Replayed(Backward):
    """As a CUDA graph for each shape of batch. One process; gradients must be kept between steps, zeroed in place."""

    def __init__(self, loss: Callable[[Batch], Tensor], device: torch.device) -> None:
        self._launched = Launched(loss, lambda total: total.backward())
        self._device = device
        self._seen: Counter[Hashable] = Counter()
        self._graphs: dict[Hashable, _Recorded] = {}
        self._pool: Any = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)

    def __call__(self, batch: Batch, scale: float | Tensor) -> Tensor:
        # Launched, recorded and replayed in one stream: autograd adds a gradient up in the stream in which the weight
        # was first used, and a recording must not reach into another one.
        caller = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(caller)
        with torch.cuda.stream(self._stream):
            loss = self._run(alike(batch), scale)
        caller.wait_stream(self._stream)
        return loss

    def _run(self, batch: Batch, scale: float | Tensor) -> Tensor:
        key = shape_of(batch)
        self._seen[key] += 1
        recorded = self._graphs.get(key)
        if recorded is None:
            if self._seen[key] < 2 or len(self._graphs) >= _MOST_GRAPHS:
                return self._launched(batch.to(self._device), scale)
            recorded = self._graphs[key] = _Recorded(
                self._launched, batch.to(self._device), pool=self._pool, stream=self._stream
            )
        return recorded.replay(batch, scale)


@final
class _Recorded:
    """One graph and the tensors it reads."""

    def __init__(self, backward: Launched, batch: Batch, *, pool: Any, stream: torch.cuda.Stream) -> None:
        self._batch = batch
        self._scale = torch.ones((), device=batch.input_ids.device)
        self._graph = torch.cuda.CUDAGraph()
        # The shape has been launched before, which warmed up libraries and made the gradients' tensors. Meanwhile
        # another thread makes and pins the next batches, which it may: what is forbidden is so for this thread alone.
        with torch.cuda.graph(self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            self._loss = backward(batch, self._scale)

    def replay(self, batch: Batch, scale: float | Tensor) -> Tensor:
        for mine, new in zip(tensors_of(self._batch), tensors_of(batch), strict=True):
            mine.copy_(new, non_blocking=True)
        self._scale.fill_(scale)
        self._graph.replay()
        # The next replay, of this shape or another one, writes over it.
        return self._loss.clone()


def alike(batch: Batch) -> Batch:
    """The batch with what differs between batches of one shape made the same: room for targets, who thinks."""
    plan = batch.plan
    missing = -len(plan.label_ids) % _LABELS
    return replace(
        batch,
        plan=replace(
            plan,
            spans=tuple(_roughly(span, len(batch)) for span in plan.spans),
            label_index=torch.nn.functional.pad(plan.label_index, (0, missing)),
            # Cross-entropy leaves these out.
            label_ids=torch.nn.functional.pad(plan.label_ids, (0, missing), value=IGNORE_INDEX),
        ),
    )


def _roughly(span: Span, num_rows: int) -> Span:
    """A pass in which some rows think is the same pass whichever and however many they are."""
    return span if span.thinking in (0, num_rows) else replace(span, thinking=1)


def shape_of(batch: Batch) -> Hashable:
    """What a graph of this batch depends on."""
    plan: Plan = batch.plan
    thoughts = None if plan.thoughts is None else tuple(plan.thoughts[0].shape)
    return tuple(batch.input_ids.shape), plan.spans, len(plan.label_ids), thoughts


def tensors_of(batch: Batch) -> list[Tensor]:
    """Every tensor of a batch and its plan, in an order of their own."""
    plan = batch.plan
    return [*batch.tensors().values(), plan.label_index, plan.label_ids, *(plan.thoughts or ())]
