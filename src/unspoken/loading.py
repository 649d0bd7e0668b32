"""From an epoch's batches to what a step eats, made ahead of the step.

1. `TrainingData.epoch` gives the rows of each global batch, neighbours in length side by side.
2. Every process takes its share of them and cuts it into micro-batches, which are collated (and pinned for a GPU).
3. `Ahead` does all that in one thread, some batches before the loop asks for them.

Nothing here has state of its own: a run that goes on at another batch starts the stream there.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Generic, Self, TypeVar, final

import torch

from unspoken.batch import Batch, collate, even_chunks, num_passes
from unspoken.config import RunConfig
from unspoken.data import TrainingData
from unspoken.layout import IGNORE_INDEX, Layout

T = TypeVar("T")


@final
@dataclass(frozen=True, kw_only=True)
class StepData:
    """What one process needs for one optimizer step."""

    micro: list[Batch]
    """This process's rows, in forward passes."""
    num_labels: int
    """Targets in the global batch."""
    num_tokens: int
    """Tokens in the global batch, padding left out; thoughts count."""
    num_mine: int
    """Tokens in this process's rows, padding left out."""
    num_positions: int
    """Positions in this process's forward passes, padding included."""


def step_data(
    rows: Sequence[Layout],
    *,
    process: int,
    num_processes: int,
    most: int | None,
    pad_id: int,
    pin: bool,
    columns: int,
    in_step: bool,
) -> StepData:
    """A process's share of a global batch, cut into micro-batches of at most `most` rows.

    Neighbours in `rows` go to different processes, so that all of them get the same mix of lengths, and stay
    neighbours within one. `columns` is `collate`'s. `in_step`: every process does as many forward passes as the others,
    for whoever waits for them in each one; all have all rows, so nobody needs to ask.
    """

    def cut(process: int) -> list[list[Layout]]:
        mine = rows[process::num_processes]
        return even_chunks(mine, most or max(len(mine), 1))

    mine = cut(process)
    passes = [1] * len(mine)
    if in_step:
        everybody = zip(*map(cut, range(num_processes)), strict=True)
        passes = [max(map(num_passes, chunks)) for chunks in everybody]
    micro = [
        collate(chunk, pad_id=pad_id, columns=columns, passes=least) for chunk, least in zip(mine, passes, strict=True)
    ]
    return StepData(
        micro=[_pinned(batch) for batch in micro] if pin else micro,
        num_labels=sum(len(row) - row.labels.count(IGNORE_INDEX) for row in rows),
        num_tokens=sum(len(row) for row in rows),
        num_mine=sum(batch.num_tokens for batch in micro),
        num_positions=sum(batch.input_ids.numel() for batch in micro),
    )


def _pinned(batch: Batch) -> Batch:
    """The same batch in memory a GPU can copy from while the host goes on."""
    plan, thoughts = batch.plan, batch.plan.thoughts
    return replace(
        batch,
        input_ids=batch.input_ids.pin_memory(),
        labels=batch.labels.pin_memory(),
        attention_mask=batch.attention_mask.pin_memory(),
        position_ids=batch.position_ids.pin_memory(),
        is_thought=batch.is_thought.pin_memory(),
        plan=replace(
            plan,
            label_index=plan.label_index.pin_memory(),
            label_ids=plan.label_ids.pin_memory(),
            thoughts=None if thoughts is None else (thoughts[0].pin_memory(), thoughts[1].pin_memory()),
        ),
    )


def stream(
    data: TrainingData,
    config: RunConfig,
    *,
    epoch: int,
    batch: int,
    process: int,
    num_processes: int,
    pad_id: int,
    pin: bool,
    columns: int,
    in_step: bool,
) -> Iterator[StepData]:
    """All steps from one batch of an epoch on, epoch after epoch, to the end of the curriculum."""
    for each in range(epoch, config.curriculum.epochs):
        for rows in data.epoch(each, start=batch if each == epoch else 0):
            yield step_data(
                rows,
                process=process,
                num_processes=num_processes,
                most=config.batch.micro,
                pad_id=pad_id,
                pin=pin,
                columns=columns,
                in_step=in_step,
            )


@final
class Ahead(Generic[T]):
    """The items of an iterator in their order, made by one thread up to `depth` items before they are asked for.

    An exception in the thread is raised again where its item would have come. To be used in a `with`, which ends the
    thread, whatever happens inside.
    """

    def __init__(self, items: Iterator[T], *, depth: int) -> None:
        self._items = items
        self._made: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(depth)
        self._closing = threading.Event()
        # A daemon: a process that dies in some other way must not wait for it.
        self._thread = threading.Thread(target=self._work, name="batches ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self._made.get_nowait()
        self._thread.join()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        found = self._made.get()
        if isinstance(found, tuple):
            return found[0]
        # Whoever asks once more is told once more, instead of waiting for a thread that has ended.
        self._made.put(found)
        if found is None:
            raise StopIteration
        raise found

    def _work(self) -> None:
        try:
            for item in self._items:
                self._made.put((item,))
                if self._closing.is_set():
                    return
            self._made.put(None)
        except BaseException as error:  # the loop is where it must be seen, whatever it is
            self._made.put(error)


@final
class Window:
    """Sums since the last report; tensors stay on the device until it is due."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.waited = 0.0
        self.loss: torch.Tensor | None = None
        self.num_labels = self.num_tokens = self.num_mine = self.num_positions = 0
        self.lr = 0.0
        self.grad_norm: torch.Tensor | None = None

    def wait(self, steps: Iterator[StepData]) -> StepData:
        """The next step's data, and how long the loop stood still for it."""
        started = time.perf_counter()
        step = next(steps)
        self.waited += time.perf_counter() - started
        return step

    def add(self, step: StepData, loss: torch.Tensor, lr: float, grad_norm: torch.Tensor) -> None:
        self.loss = loss if self.loss is None else self.loss + loss
        self.num_labels += step.num_labels
        self.num_tokens += step.num_tokens
        self.num_mine += step.num_mine
        self.num_positions += step.num_positions
        self.lr, self.grad_norm = lr, grad_norm
