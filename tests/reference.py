"""The slow, obviously right version: one row, no cache, the whole prefix again for every thought and every token.

Everything goes through the stock model's own forward, fed by `inputs_embeds`; of `unspoken` only `Layout` is used.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from unspoken.layout import IGNORE_INDEX, Layout


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Logits (T, V) and thoughts (K, D) of one row."""

    logits: Tensor
    thoughts: Tensor


def reference(lm: PreTrainedModel, row: Layout) -> Reference:
    """Logits at every position of `row`, and what was fed at its thoughts."""
    embeds, thoughts = _inputs(lm, row)
    return Reference(logits=lm(inputs_embeds=embeds, use_cache=False).logits[0], thoughts=thoughts)


def reference_loss_sum(lm: PreTrainedModel, rows: Sequence[Layout]) -> Tensor:
    """Minus the log-probability of every label, summed."""
    total = torch.zeros((), dtype=lm.dtype)
    for row in rows:
        logprobs = reference(lm, row).logits.log_softmax(-1)
        for t, label in enumerate(row.labels):
            if label != IGNORE_INDEX:
                total = total - logprobs[t - 1, label]
    return total


def reference_generate(lm: PreTrainedModel, row: Layout, *, max_new_tokens: int, stop: Collection[int]) -> list[int]:
    """Greedy tokens after `row`, the stop token included."""
    embeds, _ = _inputs(lm, row)
    tokens: list[int] = []
    while len(tokens) < max_new_tokens:
        token = int(lm(inputs_embeds=embeds, use_cache=False).logits[0, -1].argmax())
        tokens.append(token)
        if token in stop:
            break
        embeds = torch.cat([embeds, _embed(lm, [token])], dim=1)
    return tokens


def _inputs(lm: PreTrainedModel, row: Layout) -> tuple[Tensor, Tensor]:
    # Granite multiplies whatever it is given as an embedding; a thought is to enter the first block as it is.
    multiplier = lm.config.embedding_multiplier if lm.config.model_type == "granite" else 1.0
    embeds = _embed(lm, row.input_ids)
    thoughts: list[Tensor] = []
    for t, is_thought in enumerate(row.is_thought):
        if is_thought:
            thought = lm.base_model(inputs_embeds=embeds[:, :t], use_cache=False).last_hidden_state[:, -1:]
            thoughts.append(thought[0, 0])
            embeds = torch.cat([embeds[:, :t], thought / multiplier, embeds[:, t + 1 :]], dim=1)
    return embeds, torch.stack(thoughts) if thoughts else embeds.new_zeros(0, embeds.shape[-1])


def _embed(lm: PreTrainedModel, ids: Sequence[int]) -> Tensor:
    return lm.get_input_embeddings()(torch.tensor([list(ids)]))
