"""What a problem's graph says about a search for its answer: frontiers, solution paths, heights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import NDArray

from unspoken.tasks.base import Example, Task
from unspoken.tasks.graphs import Graph, distances

NONE = -1
"""Stands for a distance that does not exist."""


@final
@dataclass(frozen=True, kw_only=True)
class Search:
    """A graph as seen from the node asked about. Arrays are by node, (V,)."""

    graph: Graph
    names: tuple[str, ...]
    """By node, as a reader would write them."""

    @cached_property
    def depth(self) -> NDArray[np.int64]:
        """Fewest hops from the node asked about; `NONE` where it cannot be reached."""
        return self._array(distances(self.graph.children(), self.graph.root))

    @cached_property
    def left(self) -> NDArray[np.int64]:
        """Fewest hops to the right option; `NONE` where none lead there."""
        return self._array(distances(self.graph.parents(), self.graph.target))

    @cached_property
    def height(self) -> NDArray[np.int64]:
        """Fewest hops to any leaf: 0 for leaves (paper, section 5)."""
        children, parents = self.graph.children(), self.graph.parents()
        found = {node: 0 for node in range(self.graph.num_nodes) if not children[node]}
        queue = list(found)
        for node in queue:
            for parent in parents[node]:
                if parent not in found:
                    found[parent] = found[node] + 1
                    queue.append(parent)
        return self._array(found)

    @cached_property
    def reachable(self) -> NDArray[np.bool_]:
        """Nodes that can be reached, the one asked about included."""
        return self.depth != NONE

    @cached_property
    def leads(self) -> NDArray[np.bool_]:
        """Nodes from which the right option can be reached, itself included."""
        return self.left != NONE

    @property
    def needed(self) -> int:
        """Hops from the node asked about to the right option."""
        return int(self.depth[self.graph.target])

    def frontier(self, hops: int) -> NDArray[np.bool_]:
        """Nodes whose shortest distance is exactly `hops`: what a breadth-first search looks at then."""
        return self.depth == hops

    def on_solution(self, hops: int) -> NDArray[np.bool_]:
        """Nodes that some shortest path to the right option passes after `hops` hops."""
        return self.frontier(hops) & (self.left == self.needed - hops)

    def _array(self, found: dict[int, int]) -> NDArray[np.int64]:
        return np.array([found.get(node, NONE) for node in range(self.graph.num_nodes)])


def searches_of(task: Task, examples: Sequence[Example]) -> tuple[Search, ...] | None:
    """The searches behind some problems; None where the task has no graphs."""
    found = []
    for example in examples:
        graph, naming = task.graph(example), task.naming(example, 0)
        if graph is None or naming is None:
            return None
        found.append(Search(graph=graph, names=tuple(name.strip(" .") for name in naming.names)))
    return tuple(found)


def shares(log_values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Values made to sum to one over a problem's nodes, (..., V); taken from logarithms, since values get tiny.

    NaN where every value is zero.
    """
    logs = np.asarray(log_values, np.float64)
    with np.errstate(invalid="ignore"):
        found = np.exp(logs - logs.max(-1, keepdims=True))
        return found / found.sum(-1, keepdims=True)


def entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of distributions along the last axis, in nats; zero shares count nothing, NaN stays NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(shares == 0, 0.0, shares * np.log(shares))
    # Not -0.0 for certainty, which would print as such.
    return np.abs(terms.sum(-1))
