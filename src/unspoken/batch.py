"""Batches: what the model eats.

Letters: B rows, T tokens after padding. Rows are shifted right so that first thoughts share a column, because every
column with a thought costs a forward pass of its own; the rest of the padding is on the right. Padding changes speed,
never values: it is masked, and `position_ids` count real tokens only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unspoken.layout import IGNORE_INDEX, Layout


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A padded batch; every tensor is (B, T)."""

    input_ids: Int[Tensor, "B T"]
    labels: Int[Tensor, "B T"]
    attention_mask: Int[Tensor, "B T"]
    position_ids: Int[Tensor, "B T"]
    is_thought: Bool[Tensor, "B T"]
    num_labels: int
    """Targets in this batch, counted before the batch went to a device, so that counting costs no synchronisation."""

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
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in self.tensors().items()}
        return Batch(**moved, num_labels=self.num_labels)


def collate(rows: Sequence[Layout], *, pad_id: int) -> Batch:
    """Pads layouts to one batch whose first thoughts share a column.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("an empty batch: expected at least one row")
    firsts = [row.is_thought.index(True) if True in row.is_thought else None for row in rows]
    column = max((first for first in firsts if first is not None), default=0)
    left = [0 if first is None else column - first for first in firsts]
    width = max(shift + len(row) for shift, row in zip(left, rows, strict=True))

    def pad(values: Sequence[Sequence[Any]], fill: Any, dtype: torch.dtype) -> Tensor:
        padded = [
            [fill] * shift + list(value) + [fill] * (width - shift - len(value))
            for shift, value in zip(left, values, strict=True)
        ]
        return torch.tensor(padded, dtype=dtype)

    return Batch(
        input_ids=pad([row.input_ids for row in rows], pad_id, torch.long),
        labels=pad([row.labels for row in rows], IGNORE_INDEX, torch.long),
        attention_mask=pad([[1] * len(row) for row in rows], 0, torch.long),
        position_ids=pad([range(len(row)) for row in rows], 0, torch.long),
        is_thought=pad([row.is_thought for row in rows], False, torch.bool),
        num_labels=sum(label != IGNORE_INDEX for row in rows for label in row.labels),
    )
