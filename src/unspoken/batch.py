"""Batches: what the model eats, and the plan of how to walk through it.

Letters: B rows, T tokens after padding. Rows are shifted right so that first thoughts share a column, because every
column with a thought costs a forward pass of its own; the rest of the padding is on the right. Padding changes speed,
never values: it is masked, and `position_ids` count real tokens only.

The plan is made here, on the host, where the rows are still lists: asking a device for it would make every step wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unspoken.layout import IGNORE_INDEX, Layout

T = TypeVar("T")


@final
@dataclass(frozen=True, kw_only=True)
class Span:
    """Columns `start` to `stop` of one forward pass; somebody reads the output of the last `keep` of them."""

    start: int
    stop: int
    keep: int
    thinking: int
    """How many rows think in it; a span in which somebody thinks is one column wide."""

    @property
    def columns(self) -> slice:
        return slice(self.start, self.stop)


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a batch is walked through: its passes, and which outputs are read. C counts all passes' kept columns."""

    spans: tuple[Span, ...]
    label_index: Int[Tensor, " R"]
    """Where each target is predicted, in the (B * C) kept outputs."""
    label_ids: Int[Tensor, " R"]
    """The targets."""
    label_range: tuple[int, int] | None
    """Smallest and largest target; None where there are none."""
    thoughts: tuple[Int[Tensor, "B K"], Bool[Tensor, "B K"]] | None
    """Which thought column holds each row's k-th thought, and whether it has that many; None where all rows think
    in every thought column."""

    def to(self, device: torch.device) -> Plan:
        """The same plan with its tensors on a device."""
        thoughts = self.thoughts
        if thoughts is not None:
            thoughts = thoughts[0].to(device, non_blocking=True), thoughts[1].to(device, non_blocking=True)
        return replace(
            self,
            label_index=self.label_index.to(device, non_blocking=True),
            label_ids=self.label_ids.to(device, non_blocking=True),
            thoughts=thoughts,
        )


def even_chunks(items: Sequence[T], most: int) -> list[list[T]]:
    """Chunks of at most `most` and nearly equal size, so that none is too small for a method that mixes rows."""
    num = -(-len(items) // most)
    bounds = [len(items) * k // num for k in range(num + 1)] if num else [0]
    return [list(items[a:b]) for a, b in pairwise(bounds)]


def column_spans(is_thought: Bool[Tensor, "B T"]) -> list[slice]:
    """Column ranges to run one after another: every column with a thought stands alone."""
    spans: list[slice] = []
    start = 0
    num_tokens = is_thought.shape[1]
    for column in is_thought.any(0).nonzero().flatten().tolist():
        if start < column:
            spans.append(slice(start, column))
        spans.append(slice(column, column + 1))
        start = column + 1
    if start < num_tokens:
        spans.append(slice(start, num_tokens))
    return spans


def cut_into(spans: Sequence[slice], passes: int) -> list[slice]:
    """The same columns in at least `passes` spans, as far as there are columns: text gives single ones from its end.

    A split pass computes what the whole one does.
    """
    found: list[slice] = []
    missing = passes - len(spans)
    for span in reversed(spans):
        alone = max(0, min(missing, span.stop - span.start - 1))
        missing -= alone
        found += [slice(column, column + 1) for column in range(span.stop - 1, span.stop - 1 - alone, -1)]
        found.append(slice(span.start, span.stop - alone))
    return found[::-1]


def make_plan(
    is_thought: Bool[Tensor, "B T"],
    labels: Int[Tensor, "B T"] | None,
    *,
    whole: bool,
    columns: int = 1,
    passes: int = 1,
) -> Plan:
    """The plan of a batch; `whole` keeps every column's output, not only what labels and thoughts read.

    `columns` rounds what is kept of a pass up to a multiple; `passes` is how many there are at least (`cut_into`).
    Waits for the device where the tensors are on one.
    """
    is_thought = is_thought.cpu()
    targets = torch.full_like(is_thought, IGNORE_INDEX, dtype=torch.long) if labels is None else labels.cpu()
    thinking = is_thought.sum(0).tolist()
    # The output at a column is read where the next column holds a target or a thought.
    labelled = targets[:, 1:] != IGNORE_INDEX
    read = torch.cat([labelled.any(0), torch.zeros(1, dtype=torch.bool)])
    spans: list[Span] = []
    kept: list[int] = []
    for span in cut_into(column_spans(is_thought), passes):
        needed = read[span].nonzero()
        width = span.stop - span.start
        keep = 1 if not len(needed) else width - int(needed[0])
        keep = width if whole else min(width, -(-keep // columns) * columns)
        spans.append(Span(start=span.start, stop=span.stop, keep=keep, thinking=thinking[span.start]))
        kept += range(span.stop - keep, span.stop)
    place = torch.zeros(is_thought.shape[1], dtype=torch.long)
    place[kept] = torch.arange(len(kept))
    rows, at = labelled.nonzero(as_tuple=True)
    label_ids = targets[:, 1:][labelled]
    return Plan(
        spans=tuple(spans),
        label_index=rows * len(kept) + place[at],
        label_ids=label_ids,
        label_range=(int(label_ids.min()), int(label_ids.max())) if len(label_ids) else None,
        thoughts=_order(is_thought),
    )


def _order(is_thought: Bool[Tensor, "B T"]) -> tuple[Tensor, Tensor] | None:
    columns = is_thought[:, is_thought.any(0)]
    if bool(columns.all()):
        return None
    most = int(columns.sum(1).max())
    order = columns.int().argsort(dim=1, descending=True, stable=True)[:, :most]
    return order, columns.gather(1, order)


@final
@dataclass(frozen=True, kw_only=True)
class Batch:
    """A padded batch; every tensor is (B, T)."""

    input_ids: Int[Tensor, "B T"]
    labels: Int[Tensor, "B T"]
    attention_mask: Int[Tensor, "B T"]
    position_ids: Int[Tensor, "B T"]
    is_thought: Bool[Tensor, "B T"]
    plan: Plan
    """The passes of this batch, and which outputs its labels read."""
    num_labels: int
    """Targets in this batch, counted before the batch went to a device, so that counting costs no synchronisation."""
    num_tokens: int
    """Real tokens, padding left out."""

    def __len__(self) -> int:
        return len(self.input_ids)

    def tensors(self) -> dict[str, Tensor]:
        """The keyword arguments of `LatentLM.forward`."""
        return {
            "input_ids": self.input_ids,
            "labels": self.labels,
            "attention_mask": self.attention_mask,
            "position_ids": self.position_ids,
            "is_thought": self.is_thought,
        }

    def to(self, device: torch.device) -> Batch:
        if device.type == "cpu":
            return self
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in self.tensors().items()}
        return replace(self, **moved, plan=self.plan.to(device))


def collate(rows: Sequence[Layout], *, pad_id: int, columns: int = 1, passes: int = 1) -> Batch:
    """Pads layouts to one batch whose first thoughts share a column.

    `columns` rounds the width before the first thought, and the whole width, up to a multiple, so that few shapes of
    batches occur. `passes` is how many forward passes there are at least, for processes that must do equally many.

    Raises:
        ValueError: there are no rows.
    """
    left, width = _aligned(rows, columns)
    # A pass takes a column at least.
    width = max(width, passes)

    def pad(values: Sequence[Sequence[Any]], fill: Any, dtype: torch.dtype) -> Tensor:
        return _padded(values, fill, dtype, left=left, width=width)

    labels = pad([row.labels for row in rows], IGNORE_INDEX, torch.long)
    is_thought = pad([row.is_thought for row in rows], False, torch.bool)
    plan = make_plan(is_thought, labels, whole=False, columns=columns, passes=passes)
    return Batch(
        input_ids=pad([row.input_ids for row in rows], pad_id, torch.long),
        labels=labels,
        attention_mask=pad([[1] * len(row) for row in rows], 0, torch.long),
        position_ids=pad([range(len(row)) for row in rows], 0, torch.long),
        is_thought=is_thought,
        plan=plan,
        num_labels=len(plan.label_ids),
        num_tokens=sum(map(len, rows)),
    )


def num_passes(rows: Sequence[Layout]) -> int:
    """How many forward passes a batch of these rows takes."""
    left, width = _aligned(rows, columns=1)
    return len(column_spans(_padded([row.is_thought for row in rows], False, torch.bool, left=left, width=width)))


def _aligned(rows: Sequence[Layout], columns: int) -> tuple[list[int], int]:
    """How far each row is shifted right, and the width of the batch."""
    if not rows:
        raise ValueError("an empty batch: expected at least one row")
    firsts = [row.is_thought.index(True) if True in row.is_thought else None for row in rows]
    column = -(-max((first for first in firsts if first is not None), default=0) // columns) * columns
    left = [0 if first is None else column - first for first in firsts]
    width = -(-max(shift + len(row) for shift, row in zip(left, rows, strict=True)) // columns) * columns
    return left, width


def _padded(
    values: Sequence[Sequence[Any]], fill: Any, dtype: torch.dtype, *, left: Sequence[int], width: int
) -> Tensor:
    rows = [
        [fill] * shift + list(value) + [fill] * (width - shift - len(value))
        for shift, value in zip(left, values, strict=True)
    ]
    return torch.tensor(rows, dtype=dtype)
