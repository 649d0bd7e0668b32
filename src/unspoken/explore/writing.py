"""What a run writes from every stop, and what its hidden states decode to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from unspoken.analysis.forced import write_at_stops
from unspoken.explore.payload import Token, Wrote, rounded
from unspoken.methods import Method
from unspoken.model import LatentLM
from unspoken.records import Record
from unspoken.tasks.base import Example, Task

NUM_TOKENS = 5
"""How many of the likeliest tokens are shown."""

_ROWS_UNEMBEDDED = 256


def wrote(record: Record) -> Wrote:
    """What the page shows of a record."""
    return Wrote(text=record.output, answer=record.prediction, right=record.correct, path=record.path_class)


def forced(
    model: LatentLM, task: Task, method: Method, examples: Sequence[Example], *, rows: int
) -> list[tuple[Wrote, ...]]:
    """What the model writes when forced into language mode, of every problem at every stop (`analysis.stops`).

    For a method without thoughts or pauses a stop is a number of *right* steps given, so what is written is the rest.

    Raises:
        ValueError: as `write_at_stops`.
    """
    return [
        tuple(Wrote(text=each.text, answer=each.prediction, right=each.correct, path=each.path_class) for each in row)
        for row in write_at_stops(model, task, method, examples, rows=rows)
    ]


def top_tokens(model: LatentLM, hidden: NDArray[np.float32]) -> list[tuple[Token, ...]]:
    """The likeliest tokens of hidden states after the final norm, (M, D), with their probabilities."""
    assert model.tokenizer is not None
    texts: dict[int, str] = {}
    found: list[tuple[Token, ...]] = []
    with torch.inference_mode():
        for first in range(0, len(hidden), _ROWS_UNEMBEDDED):
            part = torch.from_numpy(hidden[first : first + _ROWS_UNEMBEDDED]).to(model.device, model.lm.dtype)
            shares = model.backbone.unembed(part).float().softmax(-1)
            top = shares.topk(min(NUM_TOKENS, shares.shape[-1]))
            for ids, values in zip(top.indices.tolist(), top.values.tolist(), strict=True):
                for id_ in ids:
                    if id_ not in texts:
                        texts[id_] = str(model.tokenizer.decode([id_]))
                found.append(tuple((texts[id_], rounded(value) or 0.0) for id_, value in zip(ids, values, strict=True)))
    return found
