"""What a shortcut may look at in a ProsQA problem: everything but which option is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import final

from unspoken.tasks.base import Example
from unspoken.tasks.graphs import distances
from unspoken.tasks.prosqa import graph_of, mentions

_WALK = 12
"""Links of a random walk: 8 are right in 94.1 % of the released rows, 12 in 95.1, 30 in 96.0."""


@final
@dataclass(frozen=True, kw_only=True)
class Clues:
    """What a shortcut may look at: the graph, names, order of mention and who is asked, but not the right option."""

    children: list[list[int]]
    parents: list[list[int]]
    root: int
    mentions: list[int]
    """Node of every name in the facts of the question, in the order told: parent, child, parent, child, ..."""
    asked: tuple[int, int]
    """The two options, in the order of the question."""
    symbols: Sequence[str]
    """Names of the nodes."""
    _found: dict[tuple[str, int], dict[int, int]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def sources(self) -> list[int]:
        """Parentless nodes: in words, those with the name of a person."""
        return [node for node, parents in enumerate(self.parents) if not parents]

    @cached_property
    def linked(self) -> list[list[int]]:
        """Neighbours of each node, directions ignored."""
        return [above + below for above, below in zip(self.parents, self.children, strict=True)]

    @cached_property
    def order(self) -> list[int]:
        """All nodes, parents before children.

        Raises:
            ValueError: the facts run in a circle.
        """
        try:
            return list(TopologicalSorter(dict(enumerate(self.parents))).static_order())
        except CycleError as error:
            circle = " -> ".join(self.symbols[node] for node in error.args[1])
            raise ValueError(f"expected facts without a circle, got {circle}; leave one of them out") from error

    @cached_property
    def chains(self) -> list[tuple[float, float, float]]:
        """For each node: hops of the longest chain that ends there, mean hops of a random climb, number of chains."""
        found = [(0.0, 0.0, 1.0)] * len(self.parents)
        for node in self.order:
            if self.parents[node]:
                above = [found[parent] for parent in self.parents[node]]
                found[node] = (
                    1 + max(a[0] for a in above),
                    1 + sum(a[1] for a in above) / len(above),
                    sum(a[2] for a in above),
                )
        return found

    def up(self, node: int) -> Mapping[int, int]:
        """Fewest hops from every ancestor of a node, itself included."""
        return self._distances("up", self.parents, node)

    def down(self, node: int) -> Mapping[int, int]:
        """Fewest hops to every node below a node, itself included."""
        return self._distances("down", self.children, node)

    def around(self, node: int) -> Mapping[int, int]:
        """Fewest links to every node that is connected to a node, directions ignored, itself included."""
        return self._distances("around", self.linked, node)

    def near(self, node: int, radius: int) -> set[int]:
        """Nodes within so many links, directions ignored, the node itself included."""
        return {other for other, links in self.around(node).items() if links <= radius}

    def from_sources(self, node: int) -> list[int]:
        """Fewest hops from every parentless node that a node can be reached from."""
        up = self.up(node)
        return [up[source] for source in self.sources if source in up]

    def places(self, node: int) -> list[int]:
        """Where a node is mentioned among the facts; after their end where it is not."""
        return [i for i, other in enumerate(self.mentions) if other == node] or [len(self.mentions)]

    @cached_property
    def visits(self) -> Mapping[int, float]:
        """How often a random walk of 12 links from the entity asked about visits a node, directions ignored, for each
        of the node's links (or nodes with many would be visited for that alone)."""
        at = {self.root: 1.0}
        visits = dict.fromkeys(range(len(self.linked)), 0.0)
        for _ in range(_WALK):
            following: dict[int, float] = {}
            for node, probability in at.items():
                for other in self.linked[node]:
                    following[other] = following.get(other, 0.0) + probability / len(self.linked[node])
            at = following
            for node, probability in at.items():
                visits[node] += probability / len(self.linked[node])
        return visits

    def _distances(self, way: str, neighbours: Sequence[Sequence[int]], node: int) -> dict[int, int]:
        # Half of the shortcuts start from the same few searches.
        if (way, node) not in self._found:
            self._found[way, node] = distances(neighbours, node)
        return self._found[way, node]


def clues_of(example: Example) -> Clues:
    """The clues in an example of either form.

    Raises:
        ValueError: it is not a ProsQA problem, or its facts run in a circle.
    """
    graph = graph_of(example)
    symbols = example.meta["idx_to_symbol"]
    told = mentions(example.question, symbols)
    options = (graph.target, graph.neg_target)
    # Not in the order of (target, neg_target), which would tell; text asks last, symbols before the root.
    first = next((node for node in told[-3:] if node in options), min(options))
    clues = Clues(
        children=graph.children(),
        parents=graph.parents(),
        root=graph.root,
        mentions=told[:-3],
        asked=(first, sum(options) - first),
        symbols=symbols,
    )
    assert clues.order, "raises where facts run in a circle, before a score meets it"
    return clues
