"""Everything the analyses read, from one batched pass over problems.

After every thought the model is forced into language mode and asked what it would write: all these continuations are
branches of one tree a problem (`tree.py`), so they cost one pass beyond those of the thoughts themselves.

Letters: N problems, S stops (one more than there are thoughts), K thoughts, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from unspoken.analysis.stops import Stop, stops
from unspoken.batch import even_chunks
from unspoken.data import tokenize
from unspoken.methods import Method
from unspoken.model import LatentLM
from unspoken.tasks.base import Example, Naming, Task
from unspoken.tokenization import encode
from unspoken.tree import Grown, Tree, run_trees

_ROWS_UNEMBEDDED = 256
"""Hidden states unembedded at a time: a large vocabulary takes a megabyte for four of them."""


@final
@dataclass(frozen=True, kw_only=True)
class ThoughtCache:
    """What a model thinks about some problems. A problem with fewer stops than others has NaN beyond its own."""

    examples: tuple[Example, ...]
    num_stops: NDArray[np.int64]
    """(N,) stops of each problem: one before any thought, and one after each."""
    steps: tuple[tuple[int, ...], ...]
    """Of each problem's stops: how many steps of the chain the thoughts so far stand for."""
    thoughts: NDArray[np.float32]
    """(N, K, D) what was fed; K is 0 for methods without continuous thoughts."""
    states: NDArray[np.float32]
    """(N, S, D) last hidden states, after the final norm, once a stop's last slot has been taken in. Without controls
    `states[:, k]` is what is fed as thought k + 1; with pauses it is what the model makes of them."""
    closed: NDArray[np.float32]
    """(N, S, D) last hidden states at the end of each stop's prompt: the first word in language mode is read off."""
    log_values: tuple[NDArray[np.float32], ...] | None
    """Of each problem, (stops, nodes): log-probability that the model names this node next (the paper's value is its
    exponential, the product over the name's tokens). None where the task has no graphs."""
    hops: tuple[tuple[int, ...], ...] | None
    """Of each problem's stops: how far from the node asked about a right chain is when it names a node there."""

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def slots(self) -> int:
        """The largest number of thoughts, or of their stand-ins."""
        return self.states.shape[1] - 1

    def values(self, index: int) -> NDArray[np.float32]:
        """(stops, nodes) values of a problem's nodes: probabilities.

        Raises:
            ValueError: the task has no graphs.
        """
        if self.log_values is None:
            raise ValueError("these problems have no graphs, so no nodes to value")
        return np.exp(self.log_values[index])


def make_cache(
    model: LatentLM,
    task: Task,
    method: Method,
    examples: Sequence[Example],
    *,
    rows: int = 64,
    most: int | None = None,
    on_finished: Callable[[int], None] = lambda num: None,
) -> ThoughtCache:
    """Runs every problem once, at most `rows` together.

    `most` is the largest number of thoughts; None: as many as in training. `on_finished` is told how many problems have
    just been run.

    Raises:
        ValueError: there are no problems, fewer than the method needs together, or a prompt does not fit.
    """
    if not examples:
        raise ValueError("there are no problems to look at; is the split empty?")
    assert model.tokenizer is not None
    model.eval()
    tokens = tokenize(examples, task, model.tokenizer)
    places = [stops(method, each, model.marks, most=most) for each in tokens]
    names = _Names(model)
    order = sorted(range(len(examples)), key=lambda i: len(places[i][-1].prompt))
    found: dict[int, _Looked] = {}
    thoughts: dict[int, NDArray[np.float32]] = {}
    chunks = even_chunks(order, max(rows, method.min_rows(most)))
    for chunk in chunks:
        if len(chunk) < method.min_rows(most):
            raise ValueError(
                f"{type(method).__name__} needs at least {method.min_rows(most)} problems together, got {len(chunk)}"
            )
        looked = [_Looked(task, examples[i], places[i], names) for i in chunk]
        with torch.inference_mode():
            grown = run_trees(model.backbone, [each.tree for each in looked], method.feed_back, pad_id=model.pad_id)
            for row, (i, each) in enumerate(zip(chunk, looked, strict=True)):
                each.read(model, grown, row)
                found[i] = each
                num = sum(places[i][-1].prompt.is_thought)
                thoughts[i] = _array(grown.thoughts[row, :num])
        on_finished(len(chunk))
    ordered = [found[i] for i in range(len(examples))]
    with_graphs = all(each.namings for each in ordered)
    return ThoughtCache(
        examples=tuple(examples),
        num_stops=np.array([len(each.places) for each in ordered]),
        steps=tuple(tuple(place.steps for place in each.places) for each in ordered),
        thoughts=_padded([thoughts[i] for i in range(len(examples))]),
        states=_padded([each.states for each in ordered]),
        closed=_padded([each.closed for each in ordered]),
        log_values=tuple(each.log_values for each in ordered) if with_graphs else None,
        hops=tuple(tuple(naming.hops for naming in each.namings) for each in ordered) if with_graphs else None,
    )


@final
class _Names:
    """Ids of names and of what is written before them, each encoded once."""

    def __init__(self, model: LatentLM) -> None:
        assert model.tokenizer is not None
        self._tokenizer = model.tokenizer
        self._ids: dict[str, list[int]] = {}

    def of(self, texts: Sequence[str]) -> list[list[int]]:
        missing = sorted({text for text in texts if text not in self._ids})
        self._ids.update(zip(missing, encode(missing, self._tokenizer), strict=True))
        return [self._ids[text] for text in texts]


@final
class _Looked:
    """A problem's tree, and what is read off it."""

    def __init__(self, task: Task, example: Example, places: Sequence[Stop], names: _Names) -> None:
        self.places = places
        self.tree = Tree(places[-1].prompt)
        self.paths = [self.tree.add(place.prompt) for place in places]
        namings = [task.naming(example, place.steps - place.written, place.written) for place in places]
        self.namings: list[Naming] = [naming for naming in namings if naming is not None]
        # Of every stop, of every node: after which column which token of its name comes.
        self.asked: list[list[list[tuple[int, int]]]] = []
        for path, naming in zip(self.paths, self.namings, strict=bool(self.namings)) if self.namings else ():
            before, *ids = names.of([naming.before, *naming.names])
            start = ([path[-1]] + self.tree.grow(path[-1], before))[-1]
            nodes = []
            for name in ids:
                columns = [start, *self.tree.grow(start, name[:-1])]
                nodes.append(list(zip(columns, name, strict=True)))
            self.asked.append(nodes)

    def read(self, model: LatentLM, grown: Grown, row: int) -> None:
        """Takes what is wanted out of a batch that has been run."""
        at = [path[place.state] for path, place in zip(self.paths, self.places, strict=True)]
        self.states = _array(grown.at(row, at))
        self.closed = _array(grown.at(row, [path[-1] for path in self.paths]))
        columns = sorted({column for stop in self.asked for node in stop for column, _ in node})
        if not columns:
            self.log_values = np.zeros((0, 0), np.float32)
            return
        pairs = [pair for stop in self.asked for node in stop for pair in node]
        place = {column: i for i, column in enumerate(columns)}
        wanted: dict[int, list[int]] = {}
        for column, token in pairs:
            wanted.setdefault(place[column], []).append(token)
        logs: dict[tuple[int, int], float] = {}
        hidden = grown.at(row, columns)
        for first in range(0, len(columns), _ROWS_UNEMBEDDED):
            scores = model.backbone.unembed(hidden[first : first + _ROWS_UNEMBEDDED]).float().log_softmax(-1)
            for i in range(len(scores)):
                ids = wanted[first + i]
                logs.update(zip(((first + i, id_) for id_ in ids), scores[i, ids].tolist(), strict=True))
        self.log_values = np.array(
            [[sum(logs[place[column], token] for column, token in node) for node in stop] for stop in self.asked],
            np.float32,
        )


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.float().cpu().numpy()


def _padded(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Stacked, with NaN beyond a row's own length."""
    most = max(map(len, rows))
    out = np.full((len(rows), most, rows[0].shape[1]), np.nan, np.float32)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out
