"""Decoding of any number of prompts in a fixed number of rows: a row that has finished makes room for the next prompt.

1. Prompts wait in order of length, longest first. Free rows are filled with the next ones: the text up to the first
   thought is run in one batch, keys and values straight into the rows' places.
2. One step function does the rest. A row's next input is its own last hidden state where its prompt says so (a
   thought), the prompt's token where one is left (`<eot>`), else the token it has just written: rows that think and
   rows that write share a step, so a row may join at any time.
3. Finished rows leave; the last rows move into their places, so that rows in use are always the first ones.

Every row has its own length and its columns start at 0, so no padding lies between what a row has read and writes.
With engine "graphs" a step on a GPU is replayed as a CUDA graph, one for each bucket of rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Int
from torch import Tensor

from unspoken.attention import Memory, as_mask, attend
from unspoken.backbones import Backbone
from unspoken.blocks import Blocks
from unspoken.generate import Written
from unspoken.layout import Layout
from unspoken.walk import FeedBack

_WORTH_FILLING = 0.25
"""Share of the rows that must be free before new prompts come in."""
_ROWS_TOGETHER, _MUCH_LONGER = 8, 1.1
"""A prefill ends behind this many rows where the next row is longer than its first by this factor."""
_TOO_WIDE = 0.75
"""Room shrinks when this share of it, or less, is wanted."""
_COLUMNS = 64
"""Room grows by this many columns at a time."""


@final
class _Row:
    """A prompt being answered."""

    def __init__(self, written: Written, layout: Layout) -> None:
        self.written, self.layout = written, layout
        thinks = layout.is_thought
        self.at = thinks.index(True) if True in thinks else len(layout)
        """How many positions have been run; at first those before the first thought."""

    @property
    def writes(self) -> bool:
        """Whether the prompt is used up, so that what comes next is the model's."""
        return self.at >= len(self.layout)

    def advance(self) -> tuple[int, bool]:
        """The next position's token and whether it is a thought."""
        at, layout = self.at, self.layout
        self.at += 1
        if at < len(layout):
            return layout.input_ids[at], layout.is_thought[at]
        return self.written.tokens[-1], False


@final
@dataclass(frozen=True, kw_only=True)
class _Step:
    """What a step has to do beyond running the blocks."""

    thinking: bool
    """Some row is fed a thought."""
    reading: bool
    """Some row's next token is the model's."""


@final
class _Places:
    """Keys and values of all rows, and each row's length; written in place."""

    def __init__(self, blocks: Blocks, rows: int, *, dtype: torch.dtype, device: torch.device) -> None:
        self._groups, self._width = blocks.shape
        self._dtype, self._device = dtype, device
        self.rows, self.columns = rows, 0
        self.lengths = torch.zeros(rows, dtype=torch.long, device=device)
        self.pairs = [self._new(0) for _ in blocks.layers]
        self.numbers = torch.arange(rows, device=device)

    def _new(self, columns: int) -> tuple[Tensor, Tensor]:
        shape = (self.rows, self._groups, columns, self._width)
        # Zeros, because what lies beyond a row's length is multiplied by a weight of zero, and NaN would stay NaN.
        keys, values = (torch.zeros(shape, dtype=self._dtype, device=self._device) for _ in range(2))
        return keys, values

    def fit(self, columns: int) -> bool:
        """Makes room for this many columns, and on a CPU gives up room for many more; whether anything moved.

        All columns there are take part in every product: a CPU would copy a narrower view of them each time.
        """
        wanted = -(-columns // _COLUMNS) * _COLUMNS
        if columns <= self.columns and (self._device.type != "cpu" or wanted > _TOO_WIDE * self.columns):
            return False
        shared, self.columns = min(self.columns, wanted), wanted
        for layer, pair in enumerate(self.pairs):
            other = self._new(self.columns)
            for before, after in zip(pair, other, strict=True):
                after[:, :, :shared] = before[:, :, :shared]
            self.pairs[layer] = other
        return True

    def move(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Copies whole rows."""
        there, here = (torch.tensor(list(rows), device=self._device) for rows in (target, source))
        used = int(self.lengths[here].max())
        for pair in self.pairs:
            for kept in pair:
                kept[there, :, :used] = kept[here, :, :used]
        self.lengths[there] = self.lengths[here]


@final
class _Filling(Memory):
    """The memory of a prefill: attends within the new rows, and keeps their keys and values in their places."""

    def __init__(self, places: _Places, rows: slice) -> None:
        self._places, self._rows = places, rows

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor, scale: float, dropout: float
    ) -> Tensor:
        for kept, new in zip(self._places.pairs[layer], (k, v), strict=True):
            kept[self._rows, :, : new.shape[2]] = new
        return attend(q, [(k, v)], mask=mask, scale=scale)


@final
class _Stepping(Memory):
    """The memory of a step: one more column in each of the first `rows` rows, at the row's own length."""

    def __init__(self, places: _Places, rows: int, lengths: Int[Tensor, " N"]) -> None:
        self._places, self._rows, self._lengths = places, rows, lengths

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor, scale: float, dropout: float
    ) -> Tensor:
        numbers = self._places.numbers[: self._rows]
        pair = self._places.pairs[layer]
        for kept, new in zip(pair, (k, v), strict=True):
            kept[numbers, :, self._lengths] = new[:, :, 0]
        keys, values = (kept[: self._rows] for kept in pair)
        return attend(q, [(keys, values)], mask=mask, scale=scale)


@final
class Slots:
    """Rows being answered; `write` is the way in."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        rows: int,
        feed_back: FeedBack,
        stop_ids: Sequence[int],
        max_new_tokens: int,
        pad_id: int,
    ) -> None:
        assert backbone.blocks is not None
        backbone.blocks.packed.check()
        self._backbone, self._blocks = backbone, backbone.blocks
        self._device, self._dtype = backbone.lm.device, backbone.compute_dtype
        self._feed_back = feed_back
        self._stop, self._max_new_tokens, self._pad_id = frozenset(stop_ids), max_new_tokens, pad_id
        self._places = _Places(self._blocks, rows, dtype=self._dtype, device=self._device)
        self._rows: list[_Row] = []
        # What a step reads and writes, each row at its number: so a graph can be replayed on it.
        embedding = backbone.embed(torch.zeros(1, dtype=torch.long, device=self._device))
        self._hidden = torch.zeros(rows, embedding.shape[-1], dtype=embedding.dtype, device=self._device)
        self._input = torch.zeros(rows, dtype=torch.long, device=self._device)
        self._thinks = torch.zeros(rows, dtype=torch.bool, device=self._device)
        self._output = torch.zeros(rows, dtype=torch.long, device=self._device)
        wanted = backbone.engine == "graphs" and self._device.type == "cuda"
        self._graphs = _Graphs() if wanted else None

    def write(self, prompts: Sequence[Layout], *, on_finished: Callable[[int], None]) -> list[Written]:
        """Answers every prompt; results in the prompts' order."""
        results = [Written() for _ in prompts]
        # Taken from the end: the longest first, so that room is made once; neighbours are of a length.
        waiting = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        told = 0
        while waiting or self._rows:
            free = self._places.rows - len(self._rows)
            # Few prompts at a time fill a prefill badly.
            if waiting and (free >= self._places.rows * _WORTH_FILLING or not self._rows):
                waiting, chosen = waiting[: -min(free, len(waiting))], waiting[-min(free, len(waiting)) :]
                for group in _alike([_Row(written=results[i], layout=prompts[i]) for i in chosen]):
                    self._fill(group)
            else:
                self._step()
            answered = len(prompts) - len(waiting) - len(self._rows)
            if answered > told:
                on_finished(answered - told)
                told = answered
        return results

    def _fill(self, rows: list[_Row]) -> None:
        """Runs prompts up to their first thought, in the places behind the rows in use."""
        started = time.perf_counter()
        lengths = [row.at for row in rows]
        width = max(lengths)
        self._fit(max(width, *(row.at for row in self._rows), 0) + 1)
        here = slice(len(self._rows), len(self._rows) + len(rows))
        ids = [[*row.layout.input_ids[: row.at], *[self._pad_id] * (width - row.at)] for row in rows]
        input_ids = torch.tensor(ids, device=self._device)
        ends = torch.tensor(lengths, device=self._device)
        columns = torch.arange(width, device=self._device)
        attention_mask = (columns < ends[:, None]).long()
        keep = width - min(lengths) + 1
        hidden = self._blocks.run(
            self._backbone.embed(input_ids),
            places=self._blocks.places(columns * attention_mask),
            mask=as_mask(self._backbone.causal(attention_mask), dtype=self._dtype),
            memory=_Filling(self._places, here),
            keep=keep,
        )
        numbers = torch.arange(len(rows), device=self._device)
        self._hidden[here] = hidden[numbers, ends - 1 - (width - keep)].to(self._hidden.dtype)
        self._places.lengths[here] = ends
        if any(row.writes for row in rows):
            self._output[here] = self._backbone.unembed(self._hidden[here]).argmax(-1)
        self._rows += rows
        finished = self._collect(here)
        seconds = time.perf_counter() - started
        for row in rows:
            row.written.prefill_seconds += seconds / len(rows)
        self._leave(finished)

    def _step(self) -> None:
        """Every row's next position: a thought, what is left of its prompt, or the token it wrote last."""
        started = time.perf_counter()
        num = len(self._rows)
        self._fit(max(row.at for row in self._rows) + 1)
        inputs = [row.advance() for row in self._rows]
        thinks = [thought for _, thought in inputs]
        self._input[:num] = torch.tensor([token for token, _ in inputs], device=self._device)
        self._thinks[:num] = torch.tensor(thinks, device=self._device)
        step = _Step(thinking=any(thinks), reading=any(row.writes for row in self._rows))
        if self._graphs is None:
            self._run(num, step)
        else:
            bucket = min(1 << (num - 1).bit_length(), self._places.rows)
            self._graphs.run(lambda: self._run(bucket, step), (bucket, step))
        finished = self._collect(slice(0, num))
        seconds = (time.perf_counter() - started) / num
        for row, thought in zip(self._rows, thinks, strict=True):
            if thought:
                row.written.thought_seconds += seconds
            else:
                row.written.text_seconds += seconds
        self._leave(finished)

    def _run(self, num: int, step: _Step) -> None:
        """The step itself, for the first `num` rows; reads and writes buffers only."""
        columns = self._places.columns
        # A graph also runs rows that nobody uses; they must stay inside.
        lengths = self._places.lengths[:num].clamp(max=columns - 1)
        embeds = self._backbone.embed(self._input[:num])
        if step.thinking:
            thinks = self._thinks[:num]
            thought = self._feed_back(self._hidden[:num], thinks).to(embeds.dtype)
            embeds = torch.where(thinks[:, None], self._backbone.feed_back(thought), embeds)
        seen = torch.arange(columns, device=self._device) <= lengths[:, None]
        hidden = self._blocks.run(
            embeds[:, None],
            places=self._blocks.places(lengths[:, None]),
            mask=as_mask(seen[:, None, None], dtype=self._dtype),
            memory=_Stepping(self._places, num, lengths),
            keep=1,
        )[:, 0]
        self._hidden[:num] = hidden
        self._places.lengths[:num] = lengths + 1
        if step.reading:
            self._output[:num] = self._backbone.unembed(hidden).argmax(-1)

    def _collect(self, rows: slice) -> list[int]:
        """Gives rows whose prompt is used up the token just worked out; the numbers of those that have finished."""
        finished = []
        tokens = self._output[rows].tolist()
        for number, token in zip(range(rows.start, rows.stop), tokens, strict=True):
            row = self._rows[number]
            if row.writes:
                row.written.tokens.append(token)
                if token in self._stop or len(row.written.tokens) == self._max_new_tokens:
                    finished.append(number)
        return finished

    def _leave(self, finished: Sequence[int]) -> None:
        """Takes finished rows out; the last rows take their places."""
        if not finished:
            return
        left = len(self._rows) - len(finished)
        gaps = [number for number in finished if number < left]
        movers = [number for number in range(left, len(self._rows)) if number not in set(finished)]
        if gaps:
            self._places.move(movers, gaps)
            self._hidden[gaps] = self._hidden[movers]
        for gap, mover in zip(gaps, movers, strict=True):
            self._rows[gap] = self._rows[mover]
        del self._rows[left:]

    def _fit(self, columns: int) -> None:
        if self._places.fit(columns) and self._graphs is not None:
            # What graphs were recorded on is gone.
            self._graphs = _Graphs()


def _alike(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Cuts rows in order of length into batches with little padding, of some rows each where there are enough."""
    groups: list[list[_Row]] = []
    for row in rows:
        group = groups[-1] if groups else None
        if group is None or (len(group) >= _ROWS_TOGETHER and row.at > _MUCH_LONGER * group[0].at):
            groups.append([row])
        else:
            group.append(row)
    return groups


@final
class _Graphs:
    """CUDA graphs by key: recorded when first wanted, replayed from then on."""

    def __init__(self) -> None:
        self._graphs: dict[tuple[int, _Step], torch.cuda.CUDAGraph] = {}
        # Steps leave their results in buffers of their own, so what they need in between can be shared.
        self._pool: Any = torch.cuda.graph_pool_handle()

    def run(self, step: Callable[[], None], key: tuple[int, _Step]) -> None:
        graph = self._graphs.get(key)
        if graph is None:
            # The first run is for real and warms up; recording runs nothing.
            step()
            graph = torch.cuda.CUDAGraph()
            # Validation decodes while another thread makes and pins batches; see `backward._Recorded`.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                step()
            self._graphs[key] = graph
        else:
            graph.replay()
