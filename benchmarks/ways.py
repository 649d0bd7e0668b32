"""Every way of working that is measured, on the same weights and the same problems.

(a)  `Published`, splicing through lists; (a') the same, splicing with one `torch.where`
(b)  `Ours` as it comes, with its fast paths off, and on a GPU with its steps replayed as graphs
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
from benchmarks.shapes import Shape, Subject
from unspoken import processor
from unspoken.backward import COLUMNS, Launched, Replayed
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
    def step(self, subject: Subject, batch: Batch, precision: Precision) -> Callable[[], Tensor]:
        """Forward and backward of a batch, anew at each call; gives the mean loss.

        The optimizer's update, the same for all, is left out.
        """

    @abstractmethod
    def writer(self, subject: Subject, prompts: Sequence[Layout], *, new_tokens: int) -> Writer:
        """`new_tokens` greedy tokens after each prompt, anew at each call."""

    def enter(self) -> None:
        """What it tells its process before anything else."""
        return

    @property
    def columns(self) -> int:
        """Widths of its training batches are multiples of this."""
        return 1

    def together(self, rows: int) -> int:
        """How many of `rows` problems it decodes at once."""
        return rows

    @property
    def settling(self) -> int:
        """After how many whole calls, beyond a small one, nothing is new."""
        return 0


@final
@dataclass(frozen=True, kw_only=True)
class Published(Way):
    """Thoughts in the published way; see `published.py`."""

    splice: published.Splice

    def method(self, shape: Shape) -> Method:
        return shape.coconut

    def step(self, subject: Subject, batch: Batch, precision: Precision) -> Callable[[], Tensor]:
        model = published.Published(lm=subject.lm, splice=self.splice)
        return _plain_step(subject, batch, precision, lambda there: model.loss(**there.tensors()))

    def writer(self, subject: Subject, prompts: Sequence[Layout], *, new_tokens: int) -> Writer:
        model = published.Published(lm=subject.lm, splice=self.splice)
        return lambda: [Written(tokens=model.write(prompt, max_new_tokens=new_tokens)) for prompt in prompts]

    def together(self, rows: int) -> int:
        return 1


@final
@dataclass(frozen=True, kw_only=True)
class Ours(Way):
    """`LatentLM`, its steps taken as the training loop takes them."""

    engine: Engine

    def enter(self) -> None:
        # `LatentLM` does this too; the machine's peaks are measured before there is one.
        if self.engine != "plain":
            processor.tune()

    @property
    def columns(self) -> int:
        return COLUMNS if self.engine == "graphs" else 1

    @property
    def settling(self) -> int:
        # Memory is kept from one call to the next, and a graph is recorded in the second.
        return {"plain": 0, "fast": 1, "graphs": 2}[self.engine]

    def method(self, shape: Shape) -> Method:
        return shape.coconut

    def step(self, subject: Subject, batch: Batch, precision: Precision) -> Callable[[], Tensor]:
        model, method, device = self._model(subject.lm), self.method(subject.shape), subject.device
        batch = batch.to(device)

        def loss_sum(there: Batch) -> Tensor:
            with precision.arithmetic(device):
                return method.loss(model, there)

        graphs = self.engine == "graphs"
        backward = Replayed(loss_sum, device) if graphs else Launched(loss_sum, lambda total: total.backward())

        def step() -> Tensor:
            # A graph adds up gradients where they are.
            subject.lm.zero_grad(set_to_none=not graphs)
            return backward(batch, 1 / batch.num_labels) / batch.num_labels

        return step

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

    def step(self, subject: Subject, batch: Batch, precision: Precision) -> Callable[[], Tensor]:
        def loss(there: Batch) -> Tensor:
            return subject.lm(input_ids=there.input_ids, attention_mask=there.attention_mask, labels=there.labels).loss

        return _plain_step(subject, batch, precision, loss)

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


def _plain_step(
    subject: Subject, batch: Batch, precision: Precision, loss: Callable[[Batch], Tensor]
) -> Callable[[], Tensor]:
    there = batch.to(subject.device)

    def step() -> Tensor:
        subject.lm.zero_grad(set_to_none=True)
        with precision.arithmetic(subject.device):
            found = loss(there)
        found.backward()
        return found.detach()

    return step


PUBLISHED = Published(name="published", title="(a) published", splice=published.through_lists)
PUBLISHED_WHERE = Published(name="published-where", title="(a') published, one where", splice=published.in_one_where)
PLAIN = Ours(name="plain", title="(b) ours, engine plain", engine="plain")
OURS = Ours(name="ours", title="(b) ours", engine="fast")
GRAPHS = Ours(name="graphs", title="(b) ours, engine graphs", engine="graphs")
STOCK = Stock(name="stock", title="(c) stock, chain written out")

WAYS: tuple[Way, ...] = (PUBLISHED, PUBLISHED_WHERE, PLAIN, OURS, GRAPHS, STOCK)


def ways_on(device: str) -> list[Way]:
    """The ways there are on a device."""
    return [way for way in WAYS if device == "cuda" or way is not GRAPHS]
