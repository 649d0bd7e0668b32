"""Time against one quantity, everything else held, beside the law that is expected.

Rows are made up (random ids), so that one quantity can be changed alone; the model is the tiny shape's. Expected, with
an intercept for what every call costs: a thought is one more pass, so time is linear in thoughts; rows and vocabulary
are linear; a question is linear, and quadratic where attention begins to count. The intercept and the slopes are fitted
(least squares, none below zero); the form is not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from scipy.optimize import nnls
from transformers import AutoModelForCausalLM

from benchmarks import measure
from benchmarks.parts import going_on
from benchmarks.results import Growth, Law, Results
from benchmarks.shapes import TINY, Subject, two_layers
from benchmarks.tasks import forget, turn, warm
from benchmarks.ways import FP32, GRAPHS, OURS, PUBLISHED, PUBLISHED_WHERE
from benchmarks.workers import Bench, Worker
from unspoken.batch import collate
from unspoken.layout import Layout, Marks, lay_out

Kind = Literal["training", "decoding"]


@dataclass(frozen=True, kw_only=True)
class Point:
    """Made-up rows, all alike."""

    thoughts: int = 6
    question: int = 96
    rows: int = 8
    vocabulary: int = 512
    text: int = 4
    """Tokens with a label, or tokens to write."""

    def layouts(self) -> list[Layout]:
        """The rows, the same every time."""
        rng = random.Random(0)
        marks = self.marks

        def draw(num: int) -> list[int]:
            return [rng.randrange(self.vocabulary - 4) for _ in range(num)]

        enclosed = [marks.bot, *[marks.thought] * self.thoughts, marks.eot]
        return [
            lay_out([*draw(self.question), *enclosed], draw(self.text), thought=marks.thought) for _ in range(self.rows)
        ]

    @property
    def marks(self) -> Marks:
        """The last ids of the vocabulary."""
        last = self.vocabulary
        return Marks(bot=last - 4, eot=last - 3, thought=last - 2, pause=last - 1)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One quantity, its values, and the law it is expected to follow."""

    quantity: str
    """A field of `Point`."""
    values: Sequence[int]
    powers: Sequence[int]
    """Of the quantity, one for each term of the law."""
    held: Point = Point()
    """Everything else."""

    def points(self) -> list[Point]:
        """One for each value."""
        return [replace(self.held, **{self.quantity: value}) for value in self.values]


SWEEPS = (
    Sweep(quantity="thoughts", values=(0, 1, 2, 3, 4, 6, 8, 10, 12), powers=(0, 1)),
    Sweep(quantity="question", values=(32, 64, 128, 256, 384), powers=(0, 1, 2)),
    Sweep(quantity="rows", values=(1, 2, 4, 8, 16, 32), powers=(0, 1)),
    Sweep(quantity="vocabulary", values=(512, 4096, 8192, 16384, 32768), powers=(0, 1)),
)
WAYS_OF: dict[Kind, tuple[str, ...]] = {
    # Beside ours, the published way that can be had for the same time; its own splice grows with rows squared.
    "training": (OURS.name, GRAPHS.name, PUBLISHED_WHERE.name),
    "decoding": (OURS.name, GRAPHS.name, PUBLISHED.name),
}


def ready(bench: Bench, key: str, point: Point, kind: Kind) -> None:
    """Prepares and warms one point."""
    torch.manual_seed(0)
    lm = AutoModelForCausalLM.from_config(
        two_layers(point.vocabulary), attn_implementation="sdpa", dtype=torch.float32
    ).to(bench.device)
    subject = Subject(shape=TINY, lm=lm, marks=point.marks, problems=[])
    layouts = point.layouts()
    if kind == "training":
        lm.train()
        call = bench.way.step(subject, collate(layouts, pad_id=0, columns=bench.way.columns), FP32)
    else:
        lm.eval()
        call = bench.way.writer(subject, [row.prompt for row in layouts], new_tokens=point.text)
    warm(bench, call, call)
    bench.calls[key] = call


def grow(
    workers: Mapping[str, Worker],
    results: Results,
    *,
    repeats: int,
    seconds_at_most: float,
    say: Callable[[str], None],
    sweeps: Sequence[Sweep] = SWEEPS,
) -> None:
    """Every quantity, in training and in decoding; `seconds_at_most` for each of the two."""
    for kind, names in WAYS_OF.items():
        say(f"growth of {kind}")
        asked = {name: workers[name] for name in names if name in workers}
        turns: dict[tuple[str, str, int], Callable[[], list[float]]] = {}
        for name, worker in asked.items():
            with going_on(results, say, shape=TINY.name, way=name, what=f"growth of {kind}"):
                turns |= _ready(worker, kind, sweeps)
        taken = measure.in_turns(turns, repeats=repeats, seconds_at_most=seconds_at_most)
        able = dict.fromkeys(name for name, _, _ in taken)
        for name in able:
            workers[name].ask(forget)
        for sweep in sweeps:
            for name in able:
                runs = [taken[name, sweep.quantity, value] for value in sweep.values]
                results.growth.append(_growth(kind, sweep, name, runs))


def _ready(
    worker: Worker, kind: Kind, sweeps: Sequence[Sweep]
) -> dict[tuple[str, str, int], Callable[[], list[float]]]:
    turns: dict[tuple[str, str, int], Callable[[], list[float]]] = {}
    for sweep in sweeps:
        for value, point in zip(sweep.values, sweep.points(), strict=True):
            key = f"{sweep.quantity} {value}"
            worker.ask(ready, key, point, kind)
            turns[worker.way.name, sweep.quantity, value] = partial(worker.ask, turn, key)
    return turns


def _growth(kind: Kind, sweep: Sweep, way: str, runs: list[list[float]]) -> Growth:
    fixed = {name: value for name, value in vars(sweep.held).items() if name != sweep.quantity}
    medians = [float(np.median(run)) for run in runs]
    return Growth(
        kind=kind,
        quantity=sweep.quantity,
        way=way,
        values=list(sweep.values),
        runs=runs,
        fixed=fixed,
        law=fit(sweep.values, medians, sweep.powers),
    )


def fit(values: Sequence[int], seconds: Sequence[float], powers: Sequence[int]) -> Law:
    """The coefficients, none below zero, that come nearest to the measured times, relative to each of them."""
    x, y = np.asarray(values, dtype=float), np.asarray(seconds, dtype=float)
    terms = np.stack([x**power for power in powers], axis=1)
    # Every point counts by its relative error; columns of like size keep the solver accurate.
    scale = terms.max(0)
    found, _ = nnls(terms / scale / y[:, None], np.ones_like(y))
    predicted = terms / scale @ found
    total = float(((y - y.mean()) ** 2).sum())
    return Law(
        powers=list(powers),
        coefficients=[float(c) for c in found / scale],
        r_squared=1.0 - float(((y - predicted) ** 2).sum()) / total if total else 1.0,
    )
