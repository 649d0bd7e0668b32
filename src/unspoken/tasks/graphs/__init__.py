"""Graphs with a question: which of two leaves can be reached from a root? And where such graphs come from.

A `GraphSource` draws them from a random stream: `Released` as the released files have them, `Varied` beyond what they
have (longer, denser, convergent, more families), `Debiased` without their shortcuts.

Only `Random.random` is called: it alone is documented to give the same numbers in every version of Python.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self, TypeVar, final

Edge = tuple[int, int]
"""(parent, child): "Every parent is a child"."""

Item = TypeVar("Item")

MAX_ENTITIES = 17
"""Parentless nodes carry person names, and the release has 17 of those."""
MAX_CONCEPTS = 38
"""Nodes with a parent carry concept names, and the release has 38 of those."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """One problem without words: which of `target` and `neg_target` can be reached from `root`?"""

    num_nodes: int
    edges: tuple[Edge, ...]
    """Grouped by child, in node order; a child's parents in the order they were drawn."""
    root: int
    """The node asked about, the seed of a family: 0 or 1, and higher only where there are more families."""
    target: int
    """The right option, a leaf."""
    neg_target: int
    """The wrong option, a leaf."""
    path: tuple[int, ...]
    """The written chain: a shortest path, `root` first and `target` last."""

    def children(self) -> list[list[int]]:
        """Children of each node, in edge order."""
        children: list[list[int]] = [[] for _ in range(self.num_nodes)]
        for parent, child in self.edges:
            children[parent].append(child)
        return children

    def parents(self) -> list[list[int]]:
        """Parents of each node, in edge order."""
        parents: list[list[int]] = [[] for _ in range(self.num_nodes)]
        for parent, child in self.edges:
            parents[child].append(parent)
        return parents

    def asked_otherwise(self) -> Graph | None:
        """The same graph asked about somebody else, from whom the wrong option can be reached and the right one cannot.

        The chain is the least of the shortest paths. None where there is nobody like that.
        """
        parents, children = self.parents(), self.children()
        for root in (node for node in range(self.num_nodes) if not parents[node] and node != self.root):
            hops = distances(children, root)
            if self.neg_target in hops and self.target not in hops:
                path = [root]
                left = distances(parents, self.neg_target)
                while path[-1] != self.neg_target:
                    path.append(min(child for child in children[path[-1]] if left.get(child) == left[path[-1]] - 1))
                return replace(self, root=root, target=self.neg_target, neg_target=self.target, path=tuple(path))
        return None


def distances(neighbours: Sequence[Sequence[int]], start: int) -> dict[int, int]:
    """Fewest hops from `start` to every node that can be reached; `neighbours` is `children()` or `parents()`."""
    hops = {start: 0}
    queue = [start]
    for node in queue:
        for neighbour in neighbours[node]:
            if neighbour not in hops:
                hops[neighbour] = hops[node] + 1
                queue.append(neighbour)
    return hops


def random_shortest_path(
    parents: Sequence[Sequence[int]], *, root: int, target: int, rng: random.Random
) -> tuple[int, ...]:
    """A shortest path, every one equally likely (the released files do not prefer any: 146 of 328 are the least).

    Raises:
        ValueError: `target` cannot be reached from `root`.
    """
    hops = {target: 0}
    ways = {target: 1}
    toward: dict[int, list[int]] = {}
    queue = [target]
    for node in queue:
        for parent in parents[node]:
            if parent not in hops:
                hops[parent] = hops[node] + 1
                ways[parent] = ways[node]
                toward[parent] = [node]
                queue.append(parent)
            elif hops[parent] == hops[node] + 1:
                ways[parent] += ways[node]
                toward[parent].append(node)
    if root not in hops:
        raise ValueError(f"node {target} cannot be reached from node {root}; expected a target below the root")
    path = [root]
    while path[-1] != target:
        nearer = toward[path[-1]]
        chosen = 0
        if len(nearer) > 1:
            left = int(rng.random() * ways[path[-1]])
            while left >= ways[nearer[chosen]]:
                left -= ways[nearer[chosen]]
                chosen += 1
        path.append(nearer[chosen])
    return tuple(path)


def shuffled(items: Iterable[Item], rng: random.Random) -> list[Item]:
    """The items in random order. Not `rng.shuffle`: Python may change what that draws, but not `rng.random`."""
    draw = rng.random
    return sorted(items, key=lambda _: draw())


def choose(items: Sequence[Item], rng: random.Random) -> Item:
    """Any of the items; not `rng.choice`, for the reason `shuffled` gives."""
    return items[int(rng.random() * len(items))]


@dataclass(frozen=True, kw_only=True)
class GraphSource(ABC):
    """Where graphs come from. Subclasses are frozen dataclasses and final; their fields are the settings."""

    name: ClassVar[str]
    """What `unspoken data make` calls it; starts every random stream."""

    num_nodes: int = 28
    """Nodes before those without an edge are dropped; 28 leaves 22.8 on average, as released."""
    min_hops: int = 3
    """Least distance from root to target; 3 as released."""
    max_hops: int = 6
    """Greatest distance from root to target; 6 as released."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_hops <= self.max_hops <= self.num_nodes - 3:
            raise ValueError(
                f"expected 1 <= min_hops <= max_hops <= num_nodes - 3, got min_hops {self.min_hops}, max_hops "
                f"{self.max_hops} and num_nodes {self.num_nodes}; raise num_nodes or ask for shorter chains"
            )
        if self.num_nodes > MAX_ENTITIES + MAX_CONCEPTS:
            raise ValueError(
                f"num_nodes: expected at most {MAX_ENTITIES + MAX_CONCEPTS}, got {self.num_nodes}; there are "
                f"{MAX_ENTITIES} names and {MAX_CONCEPTS} concepts to call them by"
            )

    @abstractmethod
    def draw_graph(self, rng: random.Random) -> Graph:
        """One problem without words; every choice comes from `rng`.

        Raises:
            ValueError: no graph that fits the settings comes up in 100,000 attempts.
        """

    def up_to(self, max_hops: int) -> Self:
        """The same source without chains longer than `max_hops`, which is at least `min_hops`."""
        return replace(self, max_hops=min(self.max_hops, max_hops))
