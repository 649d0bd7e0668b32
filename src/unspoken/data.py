"""From examples to batches.

1. An epoch is a permutation of the training examples, a function of (seed, epoch).
2. With `batch.bucket` k, the rows of k batches are laid out together, sorted by length (`by_length`) and cut into k
   batches, which come in random order. What they are sorted by is known after the layout only: stage mixing, thoughts
   and redrawing all change a row's length.
3. Each example may be drawn anew (`Task.redraw`), takes a stage (`Curriculum.draw_stage`) and is laid out
   (`Method.layout`) with a generator seeded by (seed, epoch, index): no state, so resuming means starting at another
   index, and the number of processes or workers changes nothing.
4. Text is tokenized when it is first needed. Where the task redraws, in one call a batch; else some batches at once,
   which is faster, and it is kept: as packed integers, since lists of Python's own take seven times the memory and
   385,620 rows are a data set of this field.
"""

from __future__ import annotations

import gc
import random
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from math import ceil, sqrt
from typing import final

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from unspoken.config import RunConfig
from unspoken.layout import Layout, Marks, Tokens
from unspoken.tasks.base import Example, Task
from unspoken.tokenization import encode

_ROWS_AHEAD = 2048
"""Rows tokenized in one call, where they are kept."""
_EXAMPLES_KEPT = 32_768
"""Examples of a task that redraws which are not made again every epoch."""


def tokenize(examples: Sequence[Example], task: Task, tokenizer: PreTrainedTokenizerBase) -> list[Tokens]:
    """Question, steps and answer of each example as ids; the answer gets the end-of-text token.

    Raises:
        ValueError: a question is empty, or a word is outside a closed vocabulary.
    """
    written = [task.write(example) for example in examples]
    texts = [text for w in written for text in (w.question, *w.steps, w.answer)]
    ids = encode(texts, tokenizer)
    parts = iter(ids)
    tokens = []
    for example, w in zip(examples, written, strict=True):
        question = next(parts)
        if not question:
            raise ValueError(f"an example has an empty question (answer {example.answer!r})")
        steps = [next(parts) for _ in w.steps]
        tokens.append(Tokens(question=question, steps=steps, answer=[*next(parts), tokenizer.eos_token_id]))
    return tokens


def pack(tokens: Tokens) -> array[int]:
    """Tokens in one array: the number of parts, the length of each, the ids of each."""
    parts = (tokens.question, *tokens.steps, tokens.answer)
    return array("i", [len(parts), *map(len, parts), *chain.from_iterable(parts)])


def unpack(packed: array[int]) -> Tokens:
    """The inverse of `pack`."""
    num = packed[0]
    ids: list[list[int]] = []
    at = num + 1
    for length in packed[1:at]:
        ids.append(packed[at : at + length].tolist())
        at += length
    return Tokens(question=ids[0], steps=ids[1:-1], answer=ids[-1])


def by_length(rows: Sequence[Layout], together: int) -> list[Layout]:
    """The same rows in an order in which any `together` neighbours need little padding.

    `collate` lets first thoughts share a column, so a batch is as wide as its longest part before that column and its
    longest part from there on together. Hence slices by the first part, and each slice by the second; one slice up, the
    next one down, so that neighbours are alike across a border too. Rows without thoughts are sorted by length.
    """
    ordered = sorted(rows, key=lambda row: (_before_thoughts(row), len(row)))
    num = ceil(len(rows) / together)
    # Twice the root is what measured best on ProsQA, symbolic ProsQA and GSM8K, between 4 and 128 batches.
    size = ceil(num / ceil(2 * sqrt(num))) * together if num else 1
    found: list[Layout] = []
    for index, start in enumerate(range(0, len(ordered), size)):
        part = ordered[start : start + size]
        found += sorted(part, key=lambda row: len(row) - _before_thoughts(row), reverse=index % 2 == 1)
    return found


def _before_thoughts(row: Layout) -> int:
    return row.is_thought.index(True) if True in row.is_thought else 0


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Without garbage collection: the many small lists would set it off, and it would look at every example again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@final
class TrainingData:
    """The training split of a run, laid out on demand."""

    def __init__(
        self,
        config: RunConfig,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerBase,
        marks: Marks,
        *,
        positions: int | None,
    ) -> None:
        self._config = config
        self._tokenizer = tokenizer
        self._marks = marks
        self._positions = positions
        self._examples = examples
        self._tokens: dict[int, array[int]] = {}
        self._made: dict[int, Example] = {}

    @property
    def steps_per_epoch(self) -> int:
        """Full global batches in an epoch; the few examples left over wait for another permutation."""
        return max(1, len(self._examples) // self._config.batch.rows)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[list[Layout]]:
        """The global batches of an epoch, from batch `start` on; a function of (seed, epoch) and the batch alone.

        Rows stand as `by_length` has them. Only a method that mixes rows gets them by chance: a donor of the same
        length would tell a row something about its own question.
        """
        rows, bucket = self._config.batch.rows, self._config.batch.bucket
        order = self._order(epoch)
        begin = start - start % bucket
        ahead = max(1, _ROWS_AHEAD // (rows * bucket)) * bucket
        for first in range(begin, self.steps_per_epoch, bucket):
            last = min(first + bucket, self.steps_per_epoch)
            if not self._redraws and (first - begin) % ahead == 0:
                self._keep(order[first * rows : min(first + ahead, self.steps_per_epoch) * rows].tolist())
            found = self.layouts(epoch, order[first * rows : last * rows].tolist())
            yield from self._cut(epoch, first, found)[max(0, start - first) :]

    def members(self, epoch: int, batch: int) -> list[int]:
        """Which training examples, by index, are the rows of a global batch."""
        rows, bucket = self._config.batch.rows, self._config.batch.bucket
        first = batch - batch % bucket
        last = min(first + bucket, self.steps_per_epoch)
        indices = self._order(epoch)[first * rows : last * rows].tolist()
        found = self.layouts(epoch, indices)
        index_of = {id(row): index for row, index in zip(found, indices, strict=True)}
        return [index_of[id(row)] for row in self._cut(epoch, first, found)[batch - first]]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self._config.seed, epoch]).permutation(len(self._examples))

    def _cut(self, epoch: int, first: int, found: list[Layout]) -> list[list[Layout]]:
        """The batches of a bucket, which begins with batch `first` of its epoch, as their turns come."""
        batch = self._config.batch
        rows = batch.rows
        if self._config.method.min_rows() == 1:
            found = by_length(found, ceil(rows / ceil(rows / (batch.micro or rows))))
        batches = [found[k : k + rows] for k in range(0, len(found), rows)]
        turns = np.random.default_rng([self._config.seed, epoch, first]).permutation(len(batches)).tolist()
        return [batches[k] for k in turns]

    def layouts(self, epoch: int, indices: Sequence[int]) -> list[Layout]:
        """The layouts of some examples in an epoch.

        Raises:
            ValueError: one is longer than the model's positions.
        """
        config = self._config
        rngs = [random.Random(f"{config.seed}/{epoch}/{i}") for i in indices]
        stages = [config.curriculum.draw_stage(epoch, rng) for rng in rngs]
        tokens = self._tokenized(indices, rngs)
        rows = [
            config.method.layout(t, stage, self._marks, rng) for t, stage, rng in zip(tokens, stages, rngs, strict=True)
        ]
        for index, row in zip(indices, rows, strict=True):
            if self._positions is not None and len(row) > self._positions:
                raise ValueError(
                    f"training example {index} takes {len(row)} positions, but the model has {self._positions}; raise "
                    "--model.positions or leave such examples out"
                )
        return rows

    def _tokenized(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> list[Tokens]:
        if self._redraws:
            redraw = self._config.task.redraw
            drawn = [redraw(self._example(index), rng) for index, rng in zip(indices, rngs, strict=True)]
            return tokenize(drawn, self._config.task, self._tokenizer)
        self._keep(indices)
        return [unpack(self._tokens[index]) for index in indices]

    def _example(self, index: int) -> Example:
        """An example, made once where there is room: a generated one is a function of its index."""
        found = self._made.get(index)
        if found is None:
            found = self._examples[index]
            if len(self._made) < _EXAMPLES_KEPT:
                self._made[index] = found
        return found

    def _keep(self, indices: Sequence[int]) -> None:
        """Tokenizes what of these has not been tokenized yet."""
        new = [index for index in indices if index not in self._tokens]
        if not new:
            return
        with _collector_paused():
            made = tokenize([self._examples[index] for index in new], self._config.task, self._tokenizer)
            self._tokens.update(zip(new, map(pack, made), strict=True))

    @property
    def _redraws(self) -> bool:
        return type(self._config.task).redraw is not Task.redraw
