"""Which of two leaves can be reached? Planning in its smallest form.

Two families, drawn by the same random process: a root, `width` arms of `hops` nodes each, and, where asked for, cross
edges from one arm to the next layer of another. The options are the ends of a random arm of either family; the question
names one of the two roots. Whoever writes a chain must choose an arm at the first step, and all arms look alike until
their ends: a model that cannot look ahead commits to a wrong one and is lost. The two families, their names, and the
order of edges and options are exchangeable, so whatever does not look at who is asked about is right in half of the
problems: `tests/tasks/test_fork.py` holds the blind heuristics of `shortcuts/graphs.py` to that. Of those that do look,
some are no shortcuts here but the task itself: the families touch nowhere, so edges may be followed in either
direction, and where every path has three hops, a parent of the right option lies within two. `graphs/debiased.py` hides
that too.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from unspoken.tasks.base import DrawnTask, Example, Naming, SymbolicTask
from unspoken.tasks.graphs import Graph
from unspoken.tasks.prosqa import graph_of
from unspoken.tasks.symbols import ask_otherwise, name_next

HIDDEN = "_"
"""Stands for an option that is not told."""


@final
@dataclass(frozen=True, kw_only=True)
class Fork(DrawnTask, SymbolicTask):
    """Two families of forking arms; every epoch draws new problems.

    Example: `b c ; a b ; ... ? c k | a` asks whether c or k can be reached from a; the steps are the nodes on the way.
    """

    version: ClassVar[str] = "1"
    stream: ClassVar[str] = "fork"

    hops: int = 3
    """Length of every path from a root to an option."""
    width: int = 2
    """Arms of a family."""
    crossings: int = 0
    """Further edges of a family, each from one arm into the next layer of another."""
    symbols: int = 16
    """Names to draw from; more than there are nodes, so that a name tells nothing."""
    hidden: float = 0.0
    """Share of *training* problems whose options are not told, so that only the graph can be learned from them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        nodes = 2 * (1 + self.hops * self.width)
        if not nodes <= self.symbols <= len(string.ascii_letters):
            raise ValueError(
                f"symbols must be between {nodes}, the number of nodes, and {len(string.ascii_letters)}, "
                f"got {self.symbols}"
            )
        possible = (self.hops - 1) * self.width * (self.width - 1)
        if not 0 <= self.crossings <= possible:
            raise ValueError(f"crossings must be between 0 and {possible}, got {self.crossings}")
        if not 0 <= self.hidden <= 1:
            raise ValueError(f"hidden is a share, expected 0..1, got {self.hidden}")

    @property
    def names(self) -> tuple[str, ...]:
        """The names nodes are drawn from."""
        return tuple(string.ascii_letters[: self.symbols])

    @property
    def max_new_tokens(self) -> int:
        return self.hops + 2

    def redraw(self, example: Example, rng: random.Random) -> Example:
        return self.draw(rng, hidden=rng.random() < self.hidden)

    def draw(self, rng: random.Random, *, hidden: bool = False) -> Example:
        """A random problem; `hidden` leaves its options untold."""
        families = 2
        size = 1 + self.hops * self.width
        edges = [edge for family in range(families) for edge in self._family(family * size, rng)]
        asked, other = rng.sample(range(families), 2)
        ends = [asked * size + self._node(self.hops, rng.randrange(self.width))]
        ends.append(other * size + self._node(self.hops, rng.randrange(self.width)))
        target, neg_target = ends
        root = asked * size
        path = self._path(edges, root, target, rng)
        # Ids are shuffled too: they are what heuristics on graphs see in `meta`.
        order = rng.sample(range(families * size), families * size)
        symbols = rng.sample(self.names, families * size)
        name = {node: symbols[order[node]] for node in range(families * size)}
        rng.shuffle(edges)
        rng.shuffle(ends)
        options = [HIDDEN, HIDDEN] if hidden else [name[end] for end in ends]
        told = " ".join(f"{name[a]} {name[b]} ;" for a, b in edges)
        return Example(
            question=f"{told} ? {options[0]} {options[1]} | {name[root]}",
            steps=tuple(name[node] for node in path[1:]),
            answer=name[target],
            meta={
                "idx_to_symbol": tuple(symbols),
                "edges": tuple((order[a], order[b]) for a, b in edges),
                "root": order[root],
                "target": order[target],
                "neg_target": order[neg_target],
                "path": tuple(order[node] for node in path),
            },
        )

    def classify(self, text: str, example: Example, *, hidden: int) -> str | None:
        """One of the paper's six classes."""
        from unspoken.tasks.chains import judge  # it reads graphs through `prosqa`

        return judge(text, example, hidden=hidden).value

    def graph(self, example: Example) -> Graph:
        return graph_of(example)

    def naming(self, example: Example, hidden: int, written: int = 0) -> Naming:
        return name_next(example, hidden + written)

    def asked_otherwise(self, example: Example) -> Example | None:
        return ask_otherwise(example)

    def words(self) -> Sequence[str]:
        return [";", "?", "|", HIDDEN, *self.names]

    def _node(self, layer: int, arm: int) -> int:
        """Id within a family: 0 is the root, then layer by layer."""
        return 1 + (layer - 1) * self.width + arm

    def _family(self, first: int, rng: random.Random) -> list[tuple[int, int]]:
        arms = range(self.width)
        edges = [(first, first + self._node(1, arm)) for arm in arms]
        for layer in range(1, self.hops):
            edges += [(first + self._node(layer, arm), first + self._node(layer + 1, arm)) for arm in arms]
        crossings = [
            (first + self._node(layer, a), first + self._node(layer + 1, b))
            for layer in range(1, self.hops)
            for a in arms
            for b in arms
            if a != b
        ]
        return edges + rng.sample(crossings, self.crossings)

    def _path(self, edges: Sequence[tuple[int, int]], root: int, target: int, rng: random.Random) -> list[int]:
        """A random path, drawn backwards; all paths from a root to an end are equally long."""
        path = [target]
        while path[0] != root:
            path.insert(0, rng.choice([a for a, b in edges if b == path[0]]))
        return path
