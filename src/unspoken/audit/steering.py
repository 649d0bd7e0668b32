"""Steering: thoughts pushed along a direction, from their own frontier towards the one of the other question.

The frontier of a thought is the set of nodes it should stand for: as many hops from the node asked about as the chain
has gone when the thought comes. Were somebody else asked about, it would be another set, and the direction leads from
one to the other. Three kinds, each fitted on one half of the problems and tried on the other, and one by chance:

    probe        what a linear probe reads: ridge regression from thoughts to "this name is on the frontier"
    pattern      what a frontier adds: ridge regression from "this name is on the frontier" to thoughts
    unembedding  the model's own rows of the output matrix for the names
    random       a direction by chance, of the same length: what any push of that size does

Letters: N problems, K slots, D hidden size, W names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import msgspec
import numpy as np
from numpy.typing import NDArray

from unspoken.analysis.bootstrap import Interval, share_interval
from unspoken.audit.changes import Vectors, same_everywhere
from unspoken.audit.context import Change, Context, says
from unspoken.tasks.base import Example
from unspoken.tasks.graphs import Graph, distances
from unspoken.tokenization import encode

STRENGTHS = (0.5, 1.0, 2.0)
"""Length of the push, as shares of the thought's norm."""
MIN_STEERED = 20
"""Fewer problems than this in either half are not steered."""
RIDGE = 0.01
"""Strength of the ridge: this share of the mean variance of what is regressed on."""

Names = NDArray[np.float64]


@final
class Dose(msgspec.Struct, frozen=True, kw_only=True):
    """One push: a kind of direction, where, and how far."""

    direction: str
    where: str
    """`last`: the last thought alone; `every`: each thought along its own direction."""
    strength: float
    """Length of the push as a share of the thought's norm."""
    num: int
    """Problems."""
    switched: Interval
    """Share of answers that are the other option (Wilson)."""
    right: Interval
    """Share of right answers (Wilson)."""


@final
class Steering(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that steering showed."""

    num: int
    """Problems steered; as many others were fitted on."""
    before: Interval
    """Share of these problems' answers that are the other option anyway."""
    fit: tuple[float, ...]
    """By thought: how much of the variance of "on the frontier" the probe explains in the half it was not fitted on."""
    doses: tuple[Dose, ...]


class Direction(ABC):
    """Where "this name is on the frontier" points, for each thought."""

    name: ClassVar[str]

    @abstractmethod
    def per_name(self, thoughts: Vectors, frontiers: Names) -> NDArray[np.float64]:
        """(W, D) a direction for every name, from one thought's vectors (N, D) and who was on the frontier (N, W)."""


@final
@dataclass(frozen=True)
class Probe(Direction):
    """What a linear probe reads."""

    name: ClassVar[str] = "probe"

    def per_name(self, thoughts: Vectors, frontiers: Names) -> NDArray[np.float64]:
        return ridge(thoughts.astype(np.float64), frontiers).T


@final
@dataclass(frozen=True)
class Pattern(Direction):
    """What a frontier adds to a thought (Haufe et al. 2014: a probe's weights are no pattern)."""

    name: ClassVar[str] = "pattern"

    def per_name(self, thoughts: Vectors, frontiers: Names) -> NDArray[np.float64]:
        return ridge(frontiers, thoughts.astype(np.float64))


@final
@dataclass(frozen=True)
class Unembedding(Direction):
    """The rows of the output matrix; nothing is fitted."""

    rows: NDArray[np.float64]
    """(W, D)."""
    name: ClassVar[str] = "unembedding"

    def per_name(self, thoughts: Vectors, frontiers: Names) -> NDArray[np.float64]:
        return self.rows


@final
@dataclass(frozen=True)
class Random(Direction):
    """By chance."""

    rng: np.random.Generator
    name: ClassVar[str] = "random"

    def per_name(self, thoughts: Vectors, frontiers: Names) -> NDArray[np.float64]:
        return self.rng.standard_normal((frontiers.shape[1], thoughts.shape[1]))


def refusal(context: Context) -> str | None:
    """Why these problems cannot be steered; None: they can."""
    if (why := same_everywhere(context)) is not None:
        return why
    if None in context.asked:
        return "these problems have no graphs, so thoughts have no frontier"
    if len(_steerable(context)) < 2 * MIN_STEERED:
        return f"only {len(_steerable(context))} problems can be asked about somebody else; it takes {2 * MIN_STEERED}"
    return None


def steer(context: Context) -> Steering:
    """Fits on one half of the problems that can be asked about somebody else, and steers the other half."""
    chosen = context.rng("halves").permutation(_steerable(context))
    fitted, steered = np.sort(chosen[: len(chosen) // 2]), np.sort(chosen[len(chosen) // 2 :])
    words = sorted({word for i in chosen for word in context.examples[i].meta["idx_to_symbol"]})
    own = np.stack([_frontiers(context, context.examples[i], words) for i in range(len(context))])
    others = {i: _frontiers(context, context.others[i], words) for i in steered.tolist()}
    moves = np.stack([others[i] - own[i] for i in steered.tolist()])
    doses: list[Dose] = []
    for direction in (Probe(), Pattern(), Unembedding(_rows(context, words)), Random(context.rng("steering"))):
        pushes = np.zeros((len(steered), context.most, context.thoughts.shape[2]))
        for k in range(context.most):
            there = fitted[context.slots[fitted] > k]
            pushes[:, k] = moves[:, k] @ direction.per_name(context.thoughts[there, k], own[there, k])
        lengths = np.linalg.norm(pushes, axis=-1, keepdims=True)
        pushes = np.divide(pushes, lengths, out=np.zeros_like(pushes), where=lengths > 0)
        for where in ("last", "every"):
            doses += [_push(context, steered, pushes, direction.name, where, strength) for strength in STRENGTHS]
    anyway = [
        says(context.task, context.clean[i].prediction, context.others[i], asked=context.examples[i]) for i in steered
    ]
    return Steering(
        num=len(steered),
        before=share_interval(sum(anyway), len(steered)),
        fit=tuple(_fit(context, own, fitted, steered, k) for k in range(context.most)),
        doses=tuple(doses),
    )


def ridge(inputs: NDArray[np.float64], outputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P, Q) weights of a ridge regression of (N, Q) outputs on (N, P) inputs, both centred first."""
    x, y = inputs - inputs.mean(0), outputs - outputs.mean(0)
    gram = x.T @ x
    strength = RIDGE * max(float(np.trace(gram)) / len(gram), np.finfo(np.float64).tiny)
    return np.linalg.solve(gram + strength * np.eye(len(gram)), x.T @ y)


def frontier(graph: Graph, hops: int) -> set[int]:
    """The nodes that many hops from the node asked about; the farthest ones where none is so far."""
    found = distances(graph.children(), graph.root)
    away = min(hops, max(found.values()))
    return {node for node, distance in found.items() if distance == away}


def _steerable(context: Context) -> list[int]:
    """Problems that can be asked about somebody else, and think as often as the others."""
    return sorted(i for i in context.others if context.slots[i] == context.most)


def _frontiers(context: Context, example: Example, words: Sequence[str]) -> Names:
    """(K, W) 1 where a name is on the frontier that a thought should stand for."""
    graph = context.task.graph(example)
    assert graph is not None
    symbols = example.meta["idx_to_symbol"]
    place = {word: i for i, word in enumerate(words)}
    out = np.zeros((context.most, len(words)))
    for k in range(context.most):
        for node in frontier(graph, context.method.hidden_steps(thoughts=k) + 1):
            if symbols[node] in place:
                out[k, place[symbols[node]]] = 1.0
    return out


def _rows(context: Context, words: Sequence[str]) -> NDArray[np.float64]:
    """(W, D) the mean of the output rows of each name's tokens, as a chain would write it."""
    model, example = context.model, context.examples[0]
    assert model.tokenizer is not None
    naming = context.task.naming(example, 1)
    assert naming is not None
    symbols = example.meta["idx_to_symbol"]
    # What stands around a name is the same for every node: " lempus" or "n17".
    around = naming.names[0].partition(symbols[0])
    ids = encode([around[0] + word + around[2] for word in words], model.tokenizer)
    head = model.lm.get_output_embeddings()
    assert head is not None
    matrix = head.get_parameter("weight").detach().float().cpu().numpy()
    return np.stack([matrix[tokens].mean(0) for tokens in ids]).astype(np.float64)


def _push(
    context: Context,
    problems: NDArray[np.int64],
    pushes: NDArray[np.float64],
    direction: str,
    where: str,
    strength: float,
) -> Dose:
    """`pushes` (M, K, D) are directions of length 1, or 0 where a thought would stand for the same nodes."""
    thoughts = context.thoughts[problems]
    added = strength * pushes * np.linalg.norm(thoughts, axis=-1, keepdims=True)
    if where == "last":
        added[:, :-1] = 0
    examples = tuple(context.examples[i] for i in problems)
    answered = context.answer(
        Change(
            problems=problems,
            examples=examples,
            vectors=(thoughts + added).astype(np.float32),
            slots=context.slots[problems],
            donors=tuple(context.others[i] for i in problems.tolist()),
        )
    )
    assert answered.followed is not None
    num = len(problems)
    return Dose(
        direction=direction,
        where=where,
        strength=strength,
        num=num,
        switched=share_interval(int(answered.followed.sum()), num),
        right=share_interval(sum(record.correct for record in answered.records), num),
    )


def _fit(context: Context, own: Names, fitted: NDArray[np.int64], held: NDArray[np.int64], k: int) -> float:
    """Share of the variance of (N, K, W) `own` in the half held out that the probe of thought k explains."""
    thoughts = context.thoughts.astype(np.float64)
    weights = ridge(thoughts[fitted, k], own[fitted, k])
    means = thoughts[fitted, k].mean(0), own[fitted, k].mean(0)
    told = (thoughts[held, k] - means[0]) @ weights + means[1]
    left, there = ((own[held, k] - told) ** 2).sum(), ((own[held, k] - own[held, k].mean(0)) ** 2).sum()
    return float(1 - left / there)
