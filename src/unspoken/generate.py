"""Batched, cached decoding of text for any model, after a prompt (thoughts included) has been run.

A row needs no particular padding: what is padded is masked, and every row's next token goes into the next free column.
Rows that have finished leave the batch, cache and all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LogitsProcessorList
from transformers.generation.logits_process import (
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from unspoken.backbones import Backbone, Session
from unspoken.batch import Batch, Span
from unspoken.walk import Columns, FeedBack, walk


@final
@dataclass(kw_only=True)
class Written:
    """What a prompt was answered with, and this row's share of the time it took, in seconds."""

    tokens: list[int] = field(default_factory=list)
    """New ids, the stop token included where one was written."""
    prefill_seconds: float = 0.0
    """Reading the prompt up to its first thought."""
    thought_seconds: float = 0.0
    text_seconds: float = 0.0
    """Everything after the last thought, the tokens that end the prompt included."""


@final
@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is drawn from the logits. The defaults of the optional fields leave the distribution alone.

    Raises:
        ValueError: a value is out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(
                f"temperature must be above 0, got {self.temperature}; leave sampling out for greedy decoding"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")

    def warpers(self) -> LogitsProcessorList:
        warpers = LogitsProcessorList([TemperatureLogitsWarper(self.temperature)])
        if self.top_k is not None:
            warpers.append(TopKLogitsWarper(self.top_k))
        if self.top_p is not None:
            warpers.append(TopPLogitsWarper(self.top_p))
        return warpers


def decode(
    backbone: Backbone,
    session: Session,
    *,
    last_hidden: Float[Tensor, "B D"],
    next_position: Int[Tensor, " B"],
    max_new_tokens: int,
    stop_ids: Int[Tensor, " S"],
    pad_id: int,
    sampling: Sampling | None = None,
) -> Int[Tensor, "B N"]:
    """Up to `max_new_tokens` tokens a row, the stop token included; `pad_id` after it. N is the longest row's count.

    `session` has run the prompts, `last_hidden` is each row's hidden state at its last prompt token and
    `next_position` the position after it. Greedy without `sampling`.
    """
    num_rows = len(last_hidden)
    tokens = torch.full((num_rows, max_new_tokens), pad_id, dtype=torch.long, device=last_hidden.device)
    rows = torch.arange(num_rows, device=last_hidden.device)
    generator = torch.Generator(last_hidden.device)
    if sampling is not None:
        generator.manual_seed(sampling.seed)
    warpers = sampling.warpers() if sampling is not None else LogitsProcessorList()
    written = 0
    while written < max_new_tokens:
        logits = backbone.unembed(last_hidden)
        if sampling is None:
            token = logits.argmax(-1)
        else:
            # pyrefly: ignore[bad-argument-type]
            scores = warpers(tokens[rows, :written], logits.float())
            token = torch.multinomial(scores.softmax(-1), 1, generator=generator)[:, 0]
        tokens[rows, written] = token
        written += 1
        going = ~torch.isin(token, stop_ids)
        num_going = int(going.sum())
        if num_going == 0 or written == max_new_tokens:
            break
        if num_going < len(rows):
            rows, token, next_position = rows[going], token[going], next_position[going]
            session.select(going.nonzero()[:, 0])
        last_hidden = session.extend(backbone.embed(token[:, None]), next_position)
        next_position = next_position + 1
    return tokens[:, :written]


def run_and_decode(
    backbone: Backbone,
    columns: Columns,
    *,
    max_new_tokens: int,
    stop_ids: Sequence[int],
    pad_id: int,
    sampling: Sampling | None,
    feed_back: FeedBack,
    on_pass: Callable[[Span], None] = lambda span: None,
) -> Int[Tensor, "B N"]:
    """Runs prompts, thoughts included, and decodes what follows them; see `decode`."""
    input_ids, mask = columns.input_ids, columns.attention_mask
    walked = walk(backbone, columns, columns.whole_plan(None), feed_back, on_pass=on_pass)
    numbers = torch.arange(input_ids.shape[1], device=input_ids.device)
    last = (numbers * mask).amax(1)
    return decode(
        backbone,
        walked.session,
        last_hidden=walked.hidden[torch.arange(len(last), device=last.device), last],
        next_position=(columns.position_ids * mask).amax(1) + 1,
        max_new_tokens=max_new_tokens,
        stop_ids=torch.tensor(list(stop_ids), dtype=torch.long, device=input_ids.device),
        pad_id=pad_id,
        sampling=sampling,
    )


def write_batch(
    backbone: Backbone,
    batch: Batch,
    *,
    max_new_tokens: int,
    stop_ids: Sequence[int],
    pad_id: int,
    feed_back: FeedBack,
) -> list[Written]:
    """One batch answered greedily, which no new prompt joins: what any model can do (`slots.py` is for known ones)."""
    clock = _Clock(batch.input_ids.device)
    new = run_and_decode(
        backbone,
        Columns.of(batch),
        max_new_tokens=max_new_tokens,
        stop_ids=stop_ids,
        pad_id=pad_id,
        sampling=None,
        feed_back=feed_back,
        on_pass=clock.on_pass,
    ).tolist()
    clock.on_text()
    stop, share = set(stop_ids), {kind: seconds / len(batch) for kind, seconds in clock.seconds.items()}
    ends = [next((n for n, token in enumerate(ids, start=1) if token in stop), len(ids)) for ids in new]
    return [Written(tokens=ids[:end], **share) for ids, end in zip(new, ends, strict=True)]


@final
class _Clock:
    """Splits the time of a batch into prefill, thoughts and text; waits for the device at every lap."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds = {"prefill_seconds": 0.0, "thought_seconds": 0.0, "text_seconds": 0.0}
        self._thought = False
        self._last = time.perf_counter()

    def on_pass(self, span: Span) -> None:
        self._thought = self._thought or span.thinking > 0
        self._lap("thought_seconds" if span.thinking else "text_seconds" if self._thought else "prefill_seconds")

    def on_text(self) -> None:
        self._lap("text_seconds")

    def _lap(self, kind: str) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self.seconds[kind] += now - self._last
        self._last = now
