"""ProsQA's graphs beyond the release: longer chains, denser or convergent graphs, more families of distractors.

`Varied` is the released process (see `released.py`) with its constants as settings. The named sets below each change
one thing and leave the rest near the release, so that an accuracy on them measures that one thing. They are this
project's version of the four out-of-distribution sets of "The Curriculum Is the Mechanism" (7-hop, 8-hop, DAG, dense).

They differ from that study's files on purpose. A public generator of files of these names, read and run again, never
tells the fact that leads from the person to the chain; once it is added, the wrong option can be reached too in 72 to
97 % of the problems; and questions and steps are worded otherwise than in training. Here every problem has exactly one
right option, a shortest chain, and the published format.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache
from typing import ClassVar, final

from unspoken.tasks.graphs import Graph, GraphSource
from unspoken.tasks.graphs.released import MAX_ATTEMPTS, OWN_FAMILY, PARENT_WEIGHTS, grow, none_found, question


@final
@dataclass(frozen=True, kw_only=True)
class Varied(GraphSource):
    """The released process with its constants as settings; the defaults are the release's."""

    name: ClassVar[str] = "prosqa-varied"

    mean_parents: float = 1.5
    """Mean number of parents a node draws."""
    depth_power: int = 1
    """Power of a node's weight as a parent (1.5 a hop from its seed, and 1): the higher, the longer the chains."""
    families: int = 2
    """Rooted families; the wrong option belongs to any one that is not asked about. Parents are drawn from one's own
    family alone as often as in the release (.80), which of more than two being equally likely."""
    min_paths: int = 1
    """Least number of different paths from root to target, of whatever length."""
    min_shortest_paths: int = 1
    """Least number of different shortest paths from root to target: diamonds on the chain itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_mean_parents(self.mean_parents)
        if not 0 <= self.depth_power <= 16:
            raise ValueError(f"depth_power: expected 0 to 16, got {self.depth_power}")
        if not 2 <= self.families <= self.num_nodes // 4:
            raise ValueError(
                f"families: expected 2 to {self.num_nodes // 4}, a quarter of num_nodes, got {self.families}; raise "
                "num_nodes or ask for fewer"
            )
        for name, least in (("min_paths", self.min_paths), ("min_shortest_paths", self.min_shortest_paths)):
            if least < 1:
                raise ValueError(f"{name}: expected at least 1, got {least}")

    def draw_graph(self, rng: random.Random) -> Graph:
        num_parents = poisson(self.mean_parents)
        weights = _parent_weights(self.depth_power)
        own_family = OWN_FAMILY if self.families == 2 else _even_shares(self.families)
        for _ in range(MAX_ATTEMPTS):
            growth = grow(
                rng,
                self.num_nodes,
                num_parents=num_parents,
                own_family=own_family,
                parent_weights=weights,
                draw_parents=stepping_over,
            )
            graph = question(rng, growth, min_hops=self.min_hops, max_hops=self.max_hops, num_families=self.families)
            if graph is not None and self._converges(graph):
                return graph
        raise none_found(self)

    def _converges(self, graph: Graph) -> bool:
        if self.min_paths == self.min_shortest_paths == 1:
            return True
        paths, shortest = num_paths(graph)
        return paths >= self.min_paths and shortest >= self.min_shortest_paths


def num_paths(graph: Graph) -> tuple[int, int]:
    """How many different paths lead from root to target, and how many of them are shortest ones."""
    parents = graph.parents()
    paths = [0] * graph.num_nodes
    shortest = [0] * graph.num_nodes
    hops = [graph.num_nodes] * graph.num_nodes
    paths[graph.root] = shortest[graph.root] = 1
    hops[graph.root] = 0
    for node in range(graph.root + 1, graph.target + 1):  # node numbers are topological
        paths[node] = sum(paths[parent] for parent in parents[node])
        hops[node] = min((hops[parent] + 1 for parent in parents[node]), default=graph.num_nodes)
        shortest[node] = sum(shortest[parent] for parent in parents[node] if hops[parent] + 1 == hops[node])
    return paths[graph.target], shortest[graph.target]


def check_mean_parents(mean: float) -> None:
    """Whether a mean number of parents makes sense.

    Raises:
        ValueError: it does not.
    """
    if not 0 < mean <= 10:
        raise ValueError(f"mean_parents: expected above 0 and at most 10, got {mean}; the release has 1.5")


@cache
def poisson(mean: float) -> tuple[float, ...]:
    """P(at most n), n = 0, 1, ... until less than 1 in 100,000 is left, which then counts as the next number.

    In decimals of fixed precision, since the last digit of `math.exp` may differ between platforms.
    """
    with localcontext() as context:
        context.prec = 50
        rate = Decimal(repr(mean))
        term = (-rate).exp()
        total = term
        table = [float(total)]
        while total < 1 - Decimal("1e-5"):
            term = term * rate / len(table)
            total += term
            table.append(float(total))
    return tuple(table)


def stepping_over(
    members: Sequence[int], weights: Sequence[float], number: int, draw: Callable[[], float]
) -> list[int]:
    """Draws without replacement from what the chosen ones leave, whatever the weights: one number a parent."""
    left = weights[-1]
    chosen: list[int] = []
    for _ in range(number):
        point = draw() * left
        for index in sorted(chosen):
            start = weights[index - 1] if index else 0.0
            if point < start:
                break
            point += weights[index] - start
        index = bisect_right(weights, point)
        chosen.append(index)
        left -= weights[index] - (weights[index - 1] if index else 0.0)
    return [members[index] for index in chosen]


@cache
def _parent_weights(power: int) -> tuple[float, ...]:
    """The released weights to a power; multiplied out, since `pow` may differ between platforms."""
    weights = [1.0] * len(PARENT_WEIGHTS)
    for _ in range(power):
        weights = [weight * base for weight, base in zip(weights, PARENT_WEIGHTS, strict=True)]
    return tuple(weights)


@cache
def _even_shares(families: int) -> tuple[float, ...]:
    return tuple(OWN_FAMILY[-1] * (k + 1) / families for k in range(families))


def exactly(hops: int) -> Varied:
    """Chains of exactly 3 to 10 hops in graphs of the released size, with the least `depth_power` that finds them fast.

    Raises:
        ValueError: there is no such setting.
    """
    if hops not in _DEPTH_POWER:
        raise ValueError(f"expected 3 to 10 hops, got {hops}; for others set Varied's min_hops, max_hops and num_nodes")
    return Varied(min_hops=hops, max_hops=hops, depth_power=_DEPTH_POWER[hops])


_DEPTH_POWER = {3: 1, 4: 1, 5: 1, 6: 2, 7: 3, 8: 5, 9: 8, 10: 12}

FIVE_HOPS = exactly(5)
"""One hop more than the small world has."""
SEVEN_HOPS = exactly(7)
"""One hop more than the release has."""
EIGHT_HOPS = exactly(8)
"""Two hops more than the release has."""
TEN_HOPS = exactly(10)
"""The longest chains for which one graph in 50 will do."""
DENSE = Varied(mean_parents=2.5, depth_power=2)
"""58 edges instead of 36 at about the released chain lengths."""
DAG = Varied(min_shortest_paths=3)
"""At least three shortest paths to the target, where 1.6 are usual: chains that part and meet again."""
MORE_FAMILIES = Varied(families=4, num_nodes=40)
"""Three families beside the one asked about, in 33 nodes instead of 23 to make room for them."""
