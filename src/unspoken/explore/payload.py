"""What the page is given: plain data, numbers rounded, one JSON object.

The scripts of the page read these fields by name, so a renamed field is renamed in `*.js` too.
"""

from __future__ import annotations

import math
from typing import Literal, final

import msgspec

DIGITS = 4
"""Decimals kept of probabilities and shares."""

SlotKind = Literal["thought", "pause", "step", "none"]
"""What stands between question and answer: continuous thoughts, pauses in their places, written steps, or nothing."""

Token = tuple[str, float]
"""A token as text and its probability."""


def rounded(number: float) -> float | None:
    """A number as the page is given it; None for NaN, which JSON has not."""
    return None if math.isnan(number) else round(float(number), DIGITS)


@final
class Range(msgspec.Struct, frozen=True, kw_only=True):
    """A mean or share with its 95 % interval, over `num` problems; None where there is nothing to count."""

    mean: float | None
    low: float | None
    high: float | None
    num: int


@final
class Wrote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model wrote for a problem."""

    text: str
    answer: str
    """The answer found in it."""
    right: bool
    path: str | None = None
    """Class of the written chain, where the task has such classes."""


@final
class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """A problem's graph and where its nodes are drawn."""

    names: tuple[str, ...]
    places: tuple[tuple[int, float], ...]
    """Of every node: its column and its height, in units of one node."""
    hops: tuple[int, ...]
    """Of every node: shortest distance from the one asked about; -1: it cannot be reached."""
    edges: tuple[tuple[int, int], ...]
    root: int
    right: int
    """The right option."""
    wrong: int
    """The wrong option."""
    path: tuple[int, ...]
    """The nodes of the chain that counts as right."""


@final
class Breadth(msgspec.Struct, frozen=True, kw_only=True):
    """How the value at a stop is spread, on one problem or over all."""

    frontier: float
    """Share of the value on nodes exactly as far from the one asked about as the chain is."""
    reachable: float
    """Share on other nodes that can be reached from it."""
    elsewhere: float
    """Share on all other nodes."""
    candidates: float
    """Effective number of frontier nodes, exp(entropy) of the value over them."""


@final
class Stop(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem after k thoughts (or pauses, or written steps)."""

    decoded: tuple[Token, ...]
    """The likeliest tokens for the k-th thought itself; for methods without thoughts, for what the model is about to
    say at the end of the slot. Empty before the first thought."""
    said: tuple[Token, ...]
    """The likeliest first tokens in language mode."""
    wrote: Wrote | None
    """What it wrote when forced into language mode here; for written steps, what it wrote behind the right ones."""
    hops: int | None = None
    """How far from the node asked about a right chain is when it names a node here."""
    values: tuple[float, ...] | None = None
    """Of every node: the probability that the model names it here."""
    breadth: Breadth | None = None
    """None where there is no graph, or no node that far away."""


@final
class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One problem and everything the run made of it."""

    number: int
    """Its position in the split, from 0."""
    question: str
    steps: tuple[str, ...]
    answer: str
    results: tuple[tuple[str, ...], ...]
    """By step: the results of its equations, which a thought may stand for."""
    stops: tuple[Stop, ...]
    final: Wrote
    """As evaluated: with as many thoughts as in training."""
    under: tuple[Wrote | None, ...]
    """What it wrote under each intervention, in the order of `Payload.interventions`; None: not defined here."""
    beside: Wrote | None = None
    """What the other run wrote."""
    graph: Drawn | None = None


@final
class Intervention(msgspec.Struct, frozen=True, kw_only=True):
    """An intervention on the thoughts, over all problems."""

    name: str
    title: str
    about: str
    """What is done: a sentence without its full stop."""
    asks_other: bool
    """Whether another question is asked, so that another answer is right."""
    accuracy: Range
    changed: Range
    """Share of problems whose answer is another one than without it."""


@final
class After(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All problems after k thoughts."""

    slots: int
    accuracy: Range
    paths: tuple[int, ...]
    """How many outputs fell into each of `Payload.paths`."""
    frontier: Range | None = None
    reachable: Range | None = None
    elsewhere: Range | None = None
    candidates: Range | None = None
    frontier_size: Range | None = None
    """How many nodes the frontier has: what the effective number could be at most."""
    frontier_by_chance: Range | None = None
    """Share on the frontier were all nodes valued alike."""


@final
class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """The run that stands beside."""

    run: str
    method: str
    accuracy: Range


@final
class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on the page."""

    version: str
    """Of this package."""
    commit: str | None
    run: str
    recipe: str
    method: str
    task: str
    split: str
    on: str | None
    """Where problems other than the run's own came from: the name of a task or a file."""
    weights: str
    """Which of the run's weights: best or final."""
    seed: int
    """Seed of the interventions and of the intervals."""
    slot: SlotKind
    mixed: bool
    """Whether training mixed stages; without it, stopping early is something the model has not been trained for."""
    accuracy: Range
    """As evaluated."""
    paths: tuple[str, ...]
    """The task's classes of written chains; empty where it has none."""
    after: tuple[After, ...]
    interventions: tuple[Intervention, ...]
    left_out: tuple[str, ...]
    """Interventions that are not possible here, and why."""
    why_no_interventions: str
    """Said where there are none."""
    beside: Beside | None
    problems: tuple[Problem, ...]
