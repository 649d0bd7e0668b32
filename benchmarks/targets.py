"""What is aimed at, and what was measured beside it.

A ratio is given three times where it can be: both in fp32, the published precision; both in bf16; ours in bf16 against
(a) in fp32. A target counts as met by the first of these that it speaks of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.results import Decoding, Memory, Results, Training, only
from benchmarks.ways import BF16, FP32, OURS, PUBLISHED, STOCK

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
    def met(self) -> bool:
        """Whether the target is met in the precisions it is about."""
        value = self.values[self.counts]
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
    gpu = results.setting.device == "cuda"
    return [claim for shape in results.shapes for claim in _of_shape(results, shape.name, gpu=gpu) if claim.values]


def _of_shape(results: Results, shape: str, *, gpu: bool) -> Iterator[Claim]:
    tiny = shape == "tiny"
    like = (FP32.name, FP32.name)
    half = (BF16.name, BF16.name)
    steps = training_seconds(results, shape)
    step = training_of(results, shape, OURS.name, FP32.name)
    if step is not None:
        yield Claim(
            what=f"{shape}: training, ours faster than (a)",
            limit=10 if gpu else 20 if tiny else 4,
            at_least=True,
            values=faster(steps, than=PUBLISHED.name),
            counts=like,
            allowed=step.published_flops / step.flops,
        )
        yield Claim(
            what=f"{shape}: Coconut step (ours) over CoT step (stock), same problems",
            limit=1.5,
            at_least=False,
            values={pair: 1 / value for pair, value in faster(steps, than=STOCK.name).items() if pair[0] == pair[1]},
            counts=like,
        )
    if gpu and step is not None:
        row = training_of(results, shape, OURS.name, BF16.name)
        assert row is not None
        yield Claim(
            what=f"{shape}: step of ours over its arithmetic floor, {row.rows} rows",
            limit=2,
            at_least=False,
            values={like: step.median / step.floor_seconds, half: row.median / row.floor_seconds},
            counts=half,
        )
    mine, theirs = memory_of(results, shape, OURS.name), memory_of(results, shape, PUBLISHED.name)
    if mine is not None and theirs is not None:
        yield Claim(
            what=f"{shape}: peak memory of a step, ours over (a)",
            limit=0.5,
            at_least=False,
            values={like: mine.num_bytes / theirs.num_bytes},
            counts=like,
        )
    for text in ("own", "chain"):
        row = decoding_of(results, shape, OURS.name, BF16.name, text=text, one_by_one=False)
        if row is None:
            continue
        allowed = row.published_flops / row.flops
        written = f"{row.new_tokens} tokens"
        yield Claim(
            what=f"{shape}: decoding {written}, ours {row.together} at once, (a) one by one",
            limit=100 if gpu else 20 if tiny else 30,
            at_least=True,
            values=faster(decoding_seconds(results, shape, text=text, alone=[PUBLISHED.name]), than=PUBLISHED.name),
            counts=half,
            allowed=allowed,
        )
        yield Claim(
            what=f"{shape}: decoding {written}, both one by one",
            limit=4,
            at_least=True,
            values=faster(
                decoding_seconds(results, shape, text=text, alone=[PUBLISHED.name, OURS.name]), than=PUBLISHED.name
            ),
            counts=half,
            allowed=allowed,
        )
    for path in results.data:
        if path.shape == shape:
            yield Claim(
                what=f"{shape}: waiting for the next batch, share of the loop's time",
                limit=0.02,
                at_least=False,
                values={like: path.wait_share},
                counts=like,
            )
            yield Claim(
                what=f"{shape}: padding in passes of {path.padding_rows} rows, length buckets",
                limit=0.1,
                at_least=False,
                values={like: path.padding["bucket"]},
                counts=like,
            )
