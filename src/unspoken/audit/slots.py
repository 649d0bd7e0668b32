"""Prompts whose slots (thoughts, or the pauses in their place) are fed what somebody else decides.

`walk` asks once a thought column what stands there, so vectors that were stored, or made up, go in through the same
door as a thought. Pauses are marked as thoughts for that: their stored "thought" is the pause token's embedding.

Letters: B rows of a batch, N problems, K slots, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unspoken.backbones import Backbone
from unspoken.batch import collate, even_chunks
from unspoken.generate import Written, write_batch
from unspoken.layout import IGNORE_INDEX, Layout, Marks
from unspoken.model import LatentLM
from unspoken.walk import Columns, FeedBack, walk


def slotted(prompt: Layout, marks: Marks) -> Layout:
    """The prompt with every slot marked as a thought: thoughts are, pause tokens become so."""
    thinks = [
        thought or token == marks.pause for token, thought in zip(prompt.input_ids, prompt.is_thought, strict=True)
    ]
    return replace(prompt, is_thought=thinks)


def shortened(prompt: Layout, num: int) -> Layout:
    """The prompt with its first `num` slots only."""
    seen = 0
    kept = []
    for i, thinks in enumerate(prompt.is_thought):
        seen += thinks
        if not thinks or seen <= num:
            kept.append(i)
    return Layout(
        input_ids=[prompt.input_ids[i] for i in kept],
        labels=[IGNORE_INDEX] * len(kept),
        is_thought=[prompt.is_thought[i] for i in kept],
    )


def as_fed(backbone: Backbone, embedding: Tensor) -> Tensor:
    """What must be fed back (B, D) so that these embeddings (B, D) enter the model.

    Backbones scale what is fed back, where they do anything to it (Granite).
    """
    fed = embedding / backbone.feed_back(torch.ones_like(embedding))
    assert torch.allclose(backbone.feed_back(fed), embedding, atol=1e-5), "feed_back does more than to scale"
    return fed


@final
class Feeding:
    """Puts given vectors (B, K, D) at each row's thoughts in order; where a vector is NaN, what `own` puts there.

    For one batch: it counts each row's thoughts.
    """

    def __init__(self, vectors: Tensor, own: FeedBack) -> None:
        self._vectors, self._own = vectors, own
        self._given = ~vectors.isnan().any(-1)
        self._rows = torch.arange(len(vectors), device=vectors.device)
        self._at = torch.zeros_like(self._rows)

    def __call__(self, hidden: Tensor, is_thought: Tensor) -> Tensor:
        # A row that does not think here may have used up its vectors; what is returned for it is not read.
        at = self._at.clamp(max=self._vectors.shape[1] - 1)
        own = self._own(hidden, is_thought)
        chosen = self._vectors[self._rows, at].to(own.dtype)
        self._at = self._at + is_thought
        return torch.where(self._given[self._rows, at][:, None], chosen, own)


def write_fed(
    model: LatentLM,
    prompts: Sequence[Layout],
    vectors: NDArray[np.float32],
    *,
    own: FeedBack,
    rows: int,
    max_new_tokens: int,
) -> list[Written]:
    """Answers prompts greedily, (N, K, D) `vectors` at their thoughts; NaN: what `own` puts there.

    Neighbours in length share a batch of at most `rows`. The end-of-text token is left out of what was written.

    Raises:
        ValueError: a prompt and its answer do not fit into the model's positions.
    """
    assert model.tokenizer is not None
    end = model.tokenizer.eos_token_id
    limit, needed = model.backbone.max_positions, max(map(len, prompts)) + max_new_tokens
    if limit is not None and needed > limit:
        raise ValueError(f"prompt and answer need {needed} positions, but this model has {limit}; take other problems")
    found: dict[int, Written] = {}
    for chunk in even_chunks(sorted(range(len(prompts)), key=lambda i: len(prompts[i])), rows):
        batch = collate([prompts[i] for i in chunk], pad_id=model.pad_id).to(model.device)
        feed_back = own
        if vectors.shape[1]:
            feed_back = Feeding(torch.from_numpy(vectors[chunk]).to(model.device), own)
        with torch.inference_mode():
            written = write_batch(
                model.backbone,
                batch,
                max_new_tokens=max_new_tokens,
                stop_ids=[end],
                pad_id=model.pad_id,
                feed_back=feed_back,
            )
        for i, row in zip(chunk, written, strict=True):
            if row.tokens and row.tokens[-1] == end:
                row.tokens.pop()
            found[i] = row
    return [found[i] for i in range(len(prompts))]


def thoughts_of(model: LatentLM, prompts: Sequence[Layout], *, own: FeedBack, rows: int) -> NDArray[np.float32]:
    """(N, K, D) what stands at the thoughts of prompts, NaN beyond a prompt's own."""
    most = max(prompt.num_thoughts for prompt in prompts)
    out: NDArray[np.float32] | None = None
    for chunk in even_chunks(sorted(range(len(prompts)), key=lambda i: len(prompts[i])), rows):
        batch = collate([prompts[i] for i in chunk], pad_id=model.pad_id).to(model.device)
        with torch.inference_mode():
            fed = walk(model.backbone, Columns.of(batch), batch.plan, own).thoughts.float().cpu().numpy()
        if out is None:
            out = np.full((len(prompts), most, fed.shape[-1]), np.nan, np.float32)
        for row, i in enumerate(chunk):
            num = prompts[i].num_thoughts
            out[i, :num] = fed[row, :num]
    assert out is not None
    return out
