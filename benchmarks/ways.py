"""Every way of working that is measured, on the same weights and the same problems.

(a)  `Published`, splicing through lists; (a') the same, splicing with one `torch.where`
(b)  `Ours` as it comes, and with its fast paths off
(c)  `Stock`: ordinary fine-tuning on the written chain, and Hugging Face's `generate`
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from transformers import PreTrainedModel

from benchmarks import published
from benchmarks.measure import Call
from benchmarks.shapes import Shape, Subject
from unspoken.batch import Batch
from unspoken.generate import Written
from unspoken.layout import Layout
from unspoken.methods import CoT, Method
from unspoken.model import LatentLM
from unspoken.specs import Engine

Writer = Callable[[], list[Written]]
"""Writes to some prompts."""


@dataclass(frozen=True, kw_only=True)
class Precision:
    """In which numbers the arithmetic is done; weights that are trained stay in float32."""

    name: str
    dtype: torch.dtype

    def arithmetic(self, device: torch.device) -> Any:
        """The context of a forward pass in training."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(device.type, dtype=self.dtype)


FP32 = Precision(name="fp32", dtype=torch.float32)
BF16 = Precision(name="bf16", dtype=torch.bfloat16)


@dataclass(frozen=True, kw_only=True)
class Way(ABC):
    """How a step is computed and how text is written."""

    name: str
    """Its key in results.json."""
    title: str
    """Its name on pages."""

    @abstractmethod
    def method(self, shape: Shape) -> Method:
        """How it lays problems out."""

    @abstractmethod
    def losses(self, subject: Subject, batch: Batch) -> Callable[[], Tensor]:
        """The mean loss of a batch, anew at each call."""

    @abstractmethod
    def writer(self, subject: Subject, prompts: Sequence[Layout], *, new_tokens: int) -> Writer:
        """`new_tokens` greedy tokens after each prompt, anew at each call."""

    def together(self, rows: int) -> int:
        """How many of `rows` problems it decodes at once."""
        return rows

    def warm(self, small: Call, whole: Call) -> None:
        """What is called before anything is timed: a small problem, then the whole one until nothing is new."""
        for call in (small, whole, whole):
            call()

    def step(self, subject: Subject, batch: Batch, precision: Precision) -> Callable[[], Tensor]:
        """Forward and backward of a batch, and its loss. The optimizer's update, the same for all, is left out."""
        losses = self.losses(subject, batch.to(subject.device))

        def step() -> Tensor:
            subject.lm.zero_grad(set_to_none=True)
            with precision.arithmetic(subject.device):
                loss = losses()
            loss.backward()
            return loss.detach()

        return step


@final
@dataclass(frozen=True, kw_only=True)
class Published(Way):
    """Thoughts in the published way; see `published.py`."""

    splice: published.Splice

    def method(self, shape: Shape) -> Method:
        return shape.coconut

    def losses(self, subject: Subject, batch: Batch) -> Callable[[], Tensor]:
        model = published.Published(lm=subject.lm, splice=self.splice)
        return lambda: model.loss(**batch.tensors())

    def writer(self, subject: Subject, prompts: Sequence[Layout], *, new_tokens: int) -> Writer:
        model = published.Published(lm=subject.lm, splice=self.splice)
        return lambda: [Written(tokens=model.write(prompt, max_new_tokens=new_tokens)) for prompt in prompts]

    def together(self, rows: int) -> int:
        return 1

    def warm(self, small: Call, whole: Call) -> None:
        # Nothing here depends on the size of what was run before, and the whole problem takes long.
        small()


@final
@dataclass(frozen=True, kw_only=True)
class Ours(Way):
    """`LatentLM`."""

    engine: Engine

    def method(self, shape: Shape) -> Method:
        return shape.coconut

    def losses(self, subject: Subject, batch: Batch) -> Callable[[], Tensor]:
        model, method = self._model(subject.lm), self.method(subject.shape)
        return lambda: method.loss(model, batch) / batch.num_labels

    def writer(self, subject: Subject, prompts: Sequence[Layout], *, new_tokens: int) -> Writer:
        model = self._model(subject.lm)
        # Without a stop every way writes as many tokens as it is told.
        return lambda: model.write(prompts, max_new_tokens=new_tokens, rows=len(prompts), eos_token_id=[])

    def _model(self, lm: PreTrainedModel) -> LatentLM:
        return LatentLM(lm, engine=self.engine)


@final
@dataclass(frozen=True, kw_only=True)
class Stock(Way):
    """What a user knows: the chain written out, the model's own loss, Hugging Face's `generate`."""

    def method(self, shape: Shape) -> Method:
        return CoT()

    def losses(self, subject: Subject, batch: Batch) -> Callable[[], Tensor]:
        return lambda: (
            subject.lm(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels).loss
        )

    def writer(self, subject: Subject, prompts: Sequence[Layout], *, new_tokens: int) -> Writer:
        width = max(map(len, prompts))
        ids = [[0] * (width - len(prompt)) + prompt.input_ids for prompt in prompts]
        mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]

        def write() -> list[Written]:
            with torch.inference_mode():
                written = subject.lm.generate(  # pyrefly: ignore[not-callable]
                    input_ids=torch.tensor(ids, device=subject.device),
                    attention_mask=torch.tensor(mask, device=subject.device),
                    max_new_tokens=new_tokens,
                    do_sample=False,
                    pad_token_id=0,
                )
            return [Written(tokens=tokens) for tokens in written[:, width:].tolist()]

        return write


PUBLISHED = Published(name="published", title="(a) published", splice=published.through_lists)
PUBLISHED_WHERE = Published(name="published-where", title="(a') published, one where", splice=published.in_one_where)
PLAIN = Ours(name="plain", title="(b) ours, engine plain", engine="plain")
OURS = Ours(name="ours", title="(b) ours", engine="fast")
STOCK = Stock(name="stock", title="(c) stock, chain written out")

WAYS: tuple[Way, ...] = (PUBLISHED, PUBLISHED_WHERE, PLAIN, OURS, STOCK)
