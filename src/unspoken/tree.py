"""Many continuations of one problem in one pass: layouts as a tree, their common beginnings shared.

    q q q <bot> T T T <eot> ...            after three thoughts
            |   | `-- <eot> Every lempus   after two, and what might be written there
            |   `-- <eot> ...              after one
            `-- <eot> ...                  after none

Every token is a column once. A column sees itself and what leads to it, and its position is its depth, so each branch
is computed as if it stood alone: n continuations after each of k thoughts cost the k + 1 passes of one walk.

Letters: B trees, T columns, K thoughts, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unspoken.backbones import Backbone, Session
from unspoken.batch import make_plan
from unspoken.layout import Layout
from unspoken.walk import Columns, FeedBack, walk


@final
class Tree:
    """Layouts of one problem. The one added first has the most thoughts; what leaves it has none of its own."""

    def __init__(self, trunk: Layout) -> None:
        self.input_ids: list[int] = []
        self.is_thought: list[bool] = []
        self.parents: list[int] = []
        """Of every column, the one before it in its layout; -1: none."""
        self.depths: list[int] = []
        self._children: dict[tuple[int, int, bool], int] = {}
        self.trunk: list[int] = self._add(-1, trunk.input_ids, trunk.is_thought)
        """The columns of the trunk."""

    def __len__(self) -> int:
        return len(self.input_ids)

    def add(self, layout: Layout) -> list[int]:
        """The columns of a layout, new ones where it leaves what is there.

        Raises:
            ValueError: it has a thought that the trunk has not.
        """
        return self._checked(-1, layout.input_ids, layout.is_thought)

    def grow(self, column: int, tokens: Sequence[int]) -> list[int]:
        """The columns of text behind a column."""
        return self._checked(column, tokens, [False] * len(tokens))

    def _checked(self, column: int, tokens: Sequence[int], thoughts: Sequence[bool]) -> list[int]:
        num = len(self)
        columns = self._add(column, tokens, thoughts)
        if any(self.is_thought[num:]):
            raise ValueError("a layout with thoughts of its own cannot branch off: put the longest one first")
        return columns

    def _add(self, column: int, tokens: Sequence[int], thoughts: Sequence[bool]) -> list[int]:
        columns: list[int] = []
        for token, thinks in zip(tokens, thoughts, strict=True):
            key = (column, token, thinks)
            if key not in self._children:
                self._children[key] = len(self)
                self.depths.append(0 if column < 0 else self.depths[column] + 1)
                self.input_ids.append(token)
                self.is_thought.append(thinks)
                self.parents.append(column)
            column = self._children[key]
            columns.append(column)
        return columns


@final
@dataclass(frozen=True, kw_only=True)
class Grown:
    """A batch of trees that has been run."""

    hidden: Float[Tensor, "B T D"]
    """Last hidden states after the final norm."""
    thoughts: Float[Tensor, "B K D"]
    """What was fed at each tree's thoughts in order; zero beyond its own count."""
    first: tuple[int, ...]
    """Where each tree's own columns begin: trees are shifted right so that first thoughts share a column."""

    def at(self, row: int, columns: Sequence[int]) -> Float[Tensor, "N D"]:
        """A tree's last hidden states at its columns."""
        return self.hidden[row, [self.first[row] + column for column in columns]]


def run_trees(backbone: Backbone, trees: Sequence[Tree], feed_back: FeedBack, *, pad_id: int) -> Grown:
    """Runs trees as one batch: a pass for every thought, and one for all that follows.

    Raises:
        ValueError: a tree is deeper than the model's positions, or the model builds its own masks.
    """
    return _run(backbone, trees, feed_back, pad_id=pad_id, ends=None, room=0)[0]


def write_behind(
    backbone: Backbone,
    trees: Sequence[Tree],
    ends: Sequence[Sequence[int]],
    feed_back: FeedBack,
    *,
    max_new_tokens: int,
    stop_ids: Sequence[int],
    pad_id: int,
) -> list[list[list[int]]]:
    """What is written, greedily, behind columns of trees: of every tree, of each of its `ends`, the new ids.

    All ends of all trees write at once, a pass for each further token; a stop token ends a text and is part of it.

    Raises:
        ValueError: as `run_trees`, the text counted.
    """
    most = max(map(len, ends))
    # A tree with fewer ends than another writes at its last one again.
    filled = [[*own, *[own[-1]] * (most - len(own))] for own in ends]
    grown, session, columns = _run(backbone, trees, feed_back, pad_id=pad_id, ends=filled, room=max_new_tokens)
    device = columns.input_ids.device
    hidden = torch.stack([grown.at(row, own) for row, own in enumerate(filled)])
    stops = torch.tensor(list(stop_ids), dtype=torch.long, device=device)
    done = torch.zeros(hidden.shape[:2], dtype=torch.bool, device=device)
    written: list[Tensor] = []
    while True:
        token = backbone.unembed(hidden).argmax(-1)
        written.append(token)
        done |= torch.isin(token, stops)
        if len(written) == max_new_tokens or bool(done.all()):
            break
        at = columns.input_ids.shape[1] - (max_new_tokens - len(written) + 1) * most
        hidden = session.run(backbone.embed(token), slice(at, at + most), keep=most)
    stop, texts = set(stop_ids), torch.stack(written, dim=-1).tolist()
    return [
        [text[: next((n for n, id_ in enumerate(text, start=1) if id_ in stop), len(text))] for text in row[: len(own)]]
        for row, own in zip(texts, ends, strict=True)
    ]


def _run(
    backbone: Backbone,
    trees: Sequence[Tree],
    feed_back: FeedBack,
    *,
    pad_id: int,
    ends: Sequence[Sequence[int]] | None,
    room: int,
) -> tuple[Grown, Session, Columns]:
    """Runs trees, with columns kept free behind them for `room` further tokens of each end."""
    limit, deepest = backbone.max_positions, max(max(tree.depths) for tree in trees) + 1 + room
    if limit is not None and deepest > limit:
        raise ValueError(f"a prompt and what follows it have {deepest} positions, but this model has {limit}")
    starts = [tree.is_thought.index(True) if True in tree.is_thought else None for tree in trees]
    column = max((start for start in starts if start is not None), default=0)
    first = tuple(0 if start is None else column - start for start in starts)
    width = max(shift + len(tree) for shift, tree in zip(first, trees, strict=True))
    num_ends = 0 if ends is None else len(ends[0])
    whole = width + room * num_ends
    input_ids = torch.full((len(trees), whole), pad_id)
    attention_mask = torch.zeros(len(trees), whole, dtype=torch.long)
    position_ids = torch.zeros(len(trees), whole, dtype=torch.long)
    is_thought = torch.zeros(len(trees), whole, dtype=torch.bool)
    # A padded column looks at itself, so that no softmax is over nothing.
    allowed = np.tile(np.eye(whole, dtype=np.bool_), (len(trees), 1, 1))
    for row, (shift, tree) in enumerate(zip(first, trees, strict=True)):
        own = slice(shift, shift + len(tree))
        input_ids[row, own] = torch.tensor(tree.input_ids)
        attention_mask[row, own] = 1
        position_ids[row, own] = torch.tensor(tree.depths)
        is_thought[row, own] = torch.tensor(tree.is_thought)
        for node, parent in enumerate(tree.parents):
            if parent >= 0:
                allowed[row, shift + node] |= allowed[row, shift + parent]
        for number in range(num_ends):
            assert ends is not None
            end = ends[row][number]
            before = shift + end
            for step in range(room):
                at = width + step * num_ends + number
                allowed[row, at] |= allowed[row, before]
                position_ids[row, at] = tree.depths[end] + 1 + step
                before = at
    attention_mask[:, width:] = 1
    device = backbone.lm.device
    columns = Columns(
        input_ids=input_ids.to(device),
        attention_mask=attention_mask.to(device),
        position_ids=position_ids.to(device),
        is_thought=is_thought.to(device),
        allowed=torch.from_numpy(allowed)[:, None].to(device),
    )
    plan = make_plan(is_thought[:, :width], None, whole=True).to(device)
    walked = walk(backbone, columns, plan, feed_back)
    return Grown(hidden=walked.hidden, thoughts=walked.thoughts, first=first), walked.session, columns
