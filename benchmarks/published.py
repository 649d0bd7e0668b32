"""The published way of working, on current transformers: the yardstick, kept here only.

What it does, pass by pass, as the published code does it:

1. every pass computes the logits of the whole vocabulary at all its positions;
2. between passes the key-value cache is cut back to the columns before the next pass;
3. a thought is put in its place by taking the input embeddings apart, position by position, into nested lists, and by
   stacking those again (`through_lists`); the gradient of each of the rows x positions pieces is a tensor as large as
   all of them, in every pass;
4. the loss is taken over the logits of all passes, put together and shifted;
5. decoding takes one problem at a time and keeps no cache: every new token runs the whole sequence again.

It is the same function as `LatentLM`: tests/test_benchmarks.py holds loss, gradients and greedy tokens equal. One
thing is kinder than the published decoder: no cache is built where none is read.

`in_one_where` is a second, fairer yardstick: the same passes and the same logits without point 3.

Letters: B rows, T tokens, S tokens of a pass, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from unspoken.backbones import cache_name
from unspoken.layout import Layout

Places = Sequence[tuple[int, int]]
"""(row, column) of each thought that is put in its place after a pass."""

Splice = Callable[[Tensor, Tensor, Places, int], Tensor]
"""(embeddings (B, T, D), last hidden states of a pass (B, S, D), places, the pass's first column) -> (B, T, D)."""


def through_lists(embeds: Tensor, hidden: Tensor, places: Places, first: int) -> Tensor:
    """The published splice: B x T one-position tensors in nested lists, some replaced, all stacked again."""
    pieces = [[embeds[b, t, :] for t in range(embeds.shape[1])] for b in range(embeds.shape[0])]
    for row, column in places:
        pieces[row][column] = hidden[row, column - 1 - first, :]
    return torch.stack([torch.stack(row) for row in pieces])


def in_one_where(embeds: Tensor, hidden: Tensor, places: Places, first: int) -> Tensor:
    """The same with one selection of all positions."""
    num_rows, num_tokens, _ = embeds.shape
    here = torch.zeros(num_rows, num_tokens, dtype=torch.bool)
    before = torch.zeros(num_rows, dtype=torch.long)
    for row, column in places:
        here[row, column] = True
        before[row] = column - 1 - first
    device = embeds.device
    fed = hidden[torch.arange(num_rows, device=device), before.to(device)]
    return torch.where(here.to(device)[:, :, None], fed[:, None, :].to(embeds.dtype), embeds)


@dataclass(frozen=True, kw_only=True)
class Passes:
    """What the passes over a batch give."""

    logits: Tensor
    """(B, T, V)."""
    embeds: Tensor
    """(B, T, D), thoughts in their places."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A causal LM whose thoughts are computed in the published way."""

    lm: PreTrainedModel
    splice: Splice = through_lists

    def passes(self, *, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, is_thought: Tensor) -> Passes:
        """n + 1 passes for n thoughts, logits at every position.

        Arguments are (B, T), padded so that first thoughts share a column.

        Raises:
            ValueError: the k-th thoughts of all rows are not in one column; the published code assumes that they are.
        """
        columns = [
            [int(place[1]) for place in is_thought.nonzero() if place[0] == row] for row in range(len(input_ids))
        ]
        most = max(len(row) for row in columns)
        start = int(is_thought.nonzero()[:, 1].min()) if most else input_ids.shape[1]
        if any(column != start + k for row in columns for k, column in enumerate(row)):
            raise ValueError(
                "the published way needs the k-th thoughts of all rows in one column, one behind the other; "
                "got other places: pad with unspoken.batch.collate and keep thoughts together"
            )
        embeds = self._embed(input_ids)
        logits: list[Tensor] = []
        cache: DynamicCache | None = None
        done = 0
        for k in range(most):
            upto = start + k
            found, hidden, cache = self._run(embeds, attention_mask, position_ids, cache, done, upto)
            logits.append(found)
            places = [(row, mine[k]) for row, mine in enumerate(columns) if len(mine) > k]
            embeds = self.splice(embeds, hidden, places, done)
            done = upto
        found, _, _ = self._run(embeds, attention_mask, position_ids, cache, done, input_ids.shape[1])
        logits.append(found)
        return Passes(logits=torch.cat(logits, dim=-2), embeds=embeds)

    def loss(
        self, *, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, is_thought: Tensor, labels: Tensor
    ) -> Tensor:
        """Mean over labelled tokens, from the logits of every position."""
        found = self.passes(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, is_thought=is_thought
        )
        logits = found.logits[..., :-1, :].contiguous()
        targets = labels[..., 1:].contiguous()
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))

    @torch.inference_mode()
    def write(self, prompt: Layout, *, max_new_tokens: int, stop: Sequence[int] = ()) -> list[int]:
        """Greedy tokens after one prompt, a stop token included; the whole sequence runs again for every token."""
        device = self.lm.device
        input_ids = torch.tensor([prompt.input_ids], device=device)
        found = self.passes(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            position_ids=torch.arange(input_ids.shape[1], device=device)[None],
            is_thought=torch.tensor([prompt.is_thought], device=device),
        )
        embeds = found.embeds
        tokens = [int(found.logits[0, -1].argmax())]
        while len(tokens) < max_new_tokens and tokens[-1] not in stop:
            embeds = torch.cat([embeds, self._embed(torch.tensor([[tokens[-1]]], device=device))], dim=1)
            tokens.append(int(self.lm(inputs_embeds=embeds, use_cache=False).logits[0, -1].argmax()))
        return tokens

    def _embed(self, input_ids: Tensor) -> Tensor:
        return self.lm.get_input_embeddings()(input_ids)

    def _run(
        self,
        embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        cache: DynamicCache | None,
        first: int,
        upto: int,
    ) -> tuple[Tensor, Tensor, DynamicCache]:
        if cache is None:
            cache = DynamicCache()
        else:
            for layer in cache.layers:
                assert isinstance(layer, DynamicLayer) and layer.keys is not None and layer.values is not None
                layer.keys = layer.keys[:, :, :first, :]
                layer.values = layer.values[:, :, :first, :]
        output = self.lm(
            inputs_embeds=embeds[:, first:upto, :],
            attention_mask=attention_mask[:, :upto],
            position_ids=position_ids[:, first:upto],
            use_cache=True,
            output_hidden_states=True,
            **{cache_name(self.lm): cache},
        )
        return output.logits, output.hidden_states[-1], cache
