"""What is aimed at, and what was measured beside it.

A ratio is given three times where it can be: both in fp32, the published precision; both in bf16; ours in bf16 against
(a) in fp32. A target counts as met by the first of these that it speaks of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.results import Decoding, Memory, Results, Training, only
from benchmarks.shapes import TINY
from benchmarks.ways import BF16, FP32, GRAPHS, OURS, PUBLISHED, STOCK, Ours

Pair = tuple[str, str]
"""Precisions of ours and of what it is compared with."""

PAIRS: tuple[Pair, ...] = ((FP32.name, FP32.name), (BF16.name, BF16.name), (BF16.name, FP32.name))


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A target, and what was measured."""

    what: str
    limit: float
    at_least: bool
    """Whether `limit` is the smallest value that meets the target; else it is the largest."""
    values: dict[Pair, float]
    """By precisions; one entry where precision does not matter."""
    counts: Pair
    """The precisions that the target is about."""
    allowed: float | None = None
    """The ratio of the arithmetic that (a) does and of what has to be done, in the same precision."""

    @property
    def met(self) -> bool | None:
        """Whether the target is met in the precisions it is about; None where that was not measured."""
        value = self.values.get(self.counts)
        if value is None:
            return None
        return value >= self.limit if self.at_least else value <= self.limit


def training_of(results: Results, shape: str, way: str, precision: str) -> Training | None:
    """The steps of a way."""
    return only(results.training, lambda row: (row.shape, row.way, row.precision) == (shape, way, precision))


def decoding_of(
    results: Results, shape: str, way: str, precision: str, *, text: str, one_by_one: bool
) -> Decoding | None:
    """The decoding of a way."""
    return only(
        results.decoding,
        lambda row: (
            (row.shape, row.way, row.precision, row.text) == (shape, way, precision, text)
            and (row.together == 1) == one_by_one
        ),
    )


def memory_of(results: Results, shape: str, way: str) -> Memory | None:
    """The peak memory of a way."""
    return only(results.memory, lambda row: (row.shape, row.way) == (shape, way))


def faster(found: Callable[[str, str], float | None], *, than: str, way: str = OURS.name) -> dict[Pair, float]:
    """How many times faster a way is than another, from (way, precision) -> seconds."""
    values: dict[Pair, float] = {}
    for pair in PAIRS:
        mine, theirs = found(way, pair[0]), found(than, pair[1])
        if mine is not None and theirs is not None:
            values[pair] = theirs / mine
    return values


def training_seconds(results: Results, shape: str) -> Callable[[str, str], float | None]:
    """(way, precision) -> median seconds of a step."""

    def found(way: str, precision: str) -> float | None:
        row = training_of(results, shape, way, precision)
        return None if row is None else row.median

    return found


def decoding_seconds(
    results: Results, shape: str, *, text: str, alone: Sequence[str]
) -> Callable[[str, str], float | None]:
    """(way, precision) -> median seconds a problem; the ways in `alone` one by one, the others many at once."""

    def found(way: str, precision: str) -> float | None:
        row = decoding_of(results, shape, way, precision, text=text, one_by_one=way in alone)
        return None if row is None else row.seconds_a_problem

    return found


def claims(results: Results) -> list[Claim]:
    """Every target that this run speaks of."""
    return [claim for shape in results.shapes for claim in _of_shape(results, shape.name) if claim.values]


LIKE: Pair = (FP32.name, FP32.name)
HALF: Pair = (BF16.name, BF16.name)


def _of_shape(results: Results, shape: str) -> Iterator[Claim]:
    ours = [way for way in (OURS, GRAPHS) if training_of(results, shape, way.name, FP32.name) is not None]
    for way in ours:
        yield from _training(results, shape, way)
    for way in (OURS, GRAPHS):
        yield from _memory(results, shape, way)
        for text in ("own", "chain"):
            yield from _decoding(results, shape, way, text)
    for path in results.data:
        if path.shape == shape:
            yield Claim(
                what=f"{shape}: waiting for the next batch, share of the loop's time",
                limit=0.02,
                at_least=False,
                values={LIKE: path.wait_share},
                counts=LIKE,
            )
            yield Claim(
                what=f"{shape}: padding in passes of {path.padding_rows} rows, length buckets",
                limit=0.1,
                at_least=False,
                values={LIKE: path.padding["bucket"]},
                counts=LIKE,
            )


def _training(results: Results, shape: str, way: Ours) -> Iterator[Claim]:
    gpu = results.setting.device == "cuda"
    steps = training_seconds(results, shape)
    step, half = (training_of(results, shape, way.name, precision) for precision in (FP32.name, BF16.name))
    assert step is not None
    yield Claim(
        what=f"{shape}: training, {_said(way)} faster than (a)",
        limit=10 if gpu else 20 if shape == TINY.name else 4,
        at_least=True,
        values=faster(steps, than=PUBLISHED.name, way=way.name),
        counts=LIKE,
        allowed=step.published_flops / step.flops,
    )
    over_stock = faster(steps, than=STOCK.name, way=way.name)
    yield Claim(
        what=f"{shape}: Coconut step ({_said(way)}) over CoT step (stock), same problems",
        limit=1.5,
        at_least=False,
        values={pair: 1 / value for pair, value in over_stock.items() if pair[0] == pair[1]},
        counts=LIKE,
    )
    if gpu and half is not None:
        yield Claim(
            what=f"{shape}: step of {_said(way)} over its arithmetic floor, {step.rows} rows",
            limit=2,
            at_least=False,
            values={LIKE: step.median / step.floor_seconds, HALF: half.median / half.floor_seconds},
            counts=HALF,
        )


def _memory(results: Results, shape: str, way: Ours) -> Iterator[Claim]:
    mine, theirs = memory_of(results, shape, way.name), memory_of(results, shape, PUBLISHED.name)
    if mine is not None and theirs is not None:
        yield Claim(
            what=f"{shape}: peak memory of a step, {_said(way)} over (a)",
            limit=0.5,
            at_least=False,
            values={LIKE: mine.num_bytes / theirs.num_bytes},
            counts=LIKE,
        )


def _decoding(results: Results, shape: str, way: Ours, text: str) -> Iterator[Claim]:
    gpu = results.setting.device == "cuda"
    row = decoding_of(results, shape, way.name, BF16.name, text=text, one_by_one=False)
    if row is None:
        return
    allowed = row.published_flops / row.flops
    yield Claim(
        what=f"{shape}: decoding {row.new_tokens} tokens, {_said(way)} {row.together} at once, (a) one by one",
        limit=100 if gpu else 20 if shape == TINY.name else 30,
        at_least=True,
        values=_decoded_faster(results, shape, way, text, alone=[PUBLISHED.name]),
        counts=HALF,
        allowed=allowed,
    )
    yield Claim(
        what=f"{shape}: decoding {row.new_tokens} tokens, {_said(way)} and (a) one by one",
        limit=4,
        at_least=True,
        values=_decoded_faster(results, shape, way, text, alone=[PUBLISHED.name, way.name]),
        counts=HALF,
        allowed=allowed,
    )


def _decoded_faster(results: Results, shape: str, way: Ours, text: str, *, alone: Sequence[str]) -> dict[Pair, float]:
    return faster(decoding_seconds(results, shape, text=text, alone=alone), than=PUBLISHED.name, way=way.name)


def _said(way: Ours) -> str:
    return "ours" if way == OURS else f"ours with {way.engine}"
