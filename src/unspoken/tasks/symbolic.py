"""ProsQA without language: the same graphs, for models trained from scratch. One `n4 n17` an edge, `? n9 n30 | n4`."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Self, final

from unspoken.tasks.base import Example, Measure, Naming, Split, SymbolicTask, Task
from unspoken.tasks.fork import HIDDEN
from unspoken.tasks.graphs import Graph, GraphSource, random_shortest_path, shuffled
from unspoken.tasks.prosqa import ProsQA, graph_of, meta_of
from unspoken.tasks.symbols import ask_otherwise, name_next

NODE_SYMBOLS: tuple[str, ...] = tuple(f"n{i}" for i in range(40))
"""Names of nodes: more than a problem has nodes (28), so that a symbol tells nothing. Shipped models know these."""


@final
@dataclass(frozen=True, kw_only=True)
class SymbolicProsQA(SymbolicTask):
    """The problems of `ProsQA` without language, for small models trained from scratch ("Reasoning by superposition").

    A question is `n4 n17 ; n17 n9 ; ... ? n9 n30 | n4`: edges in random order, the two options, the root. Step k is the
    k-th node after the root, the answer the last one once more. Nodes are named by a random permutation, since the
    published ids are topological and would tell depth (the higher id alone is right in 60 %). Training examples are
    redrawn every epoch; validation and test symbols depend on the split and the row index alone.

    Differs from the paper's symbolic ProsQA (3 to 4 hops, own vocabulary) because it shares the released problems;
    `max_hops=4` gives its lengths. Other sources (`problems.graphs`) may need higher `max_hops` and `symbols`.
    """

    version: ClassVar[str] = "1"

    problems: ProsQA = field(default_factory=ProsQA)
    """Where the problems come from."""
    max_hops: int = 6
    """Problems with a longer chain are left out of every file, and not generated; 6 keeps all released ones."""
    symbols: int = 40
    """Node symbols in the vocabulary, n0, n1, ...; any but 40 is another vocabulary than shipped models have."""
    hidden: float = 0.0
    """Share of *training* problems whose options are not told, so that only the graph can be learned from them."""

    def __post_init__(self) -> None:
        if self.max_hops < 3:
            raise ValueError(f"max_hops: expected at least 3, got {self.max_hops}; released chains have 3 to 6 hops")
        if not 0 <= self.hidden <= 1:
            raise ValueError(f"hidden: expected a share from 0 to 1, got {self.hidden}")
        graphs = self.problems.graphs
        if graphs.min_hops > self.max_hops:
            raise ValueError(
                f"max_hops: expected at least {graphs.min_hops}, the shortest chain of problems.graphs "
                f"({graphs.name}), got {self.max_hops}"
            )
        if graphs.num_nodes > self.symbols:
            raise ValueError(
                f"symbols: expected one for every node of problems.graphs, at least {graphs.num_nodes}, got "
                f"{self.symbols}; raise symbols or lower problems.graphs.num_nodes"
            )

    @property
    def max_new_tokens(self) -> int:
        """Six nodes, the answer and the end of text, with room for a model that goes astray."""
        return max(16, self.max_hops + 6)

    @property
    def names(self) -> tuple[str, ...]:
        """The names nodes are drawn from."""
        return NODE_SYMBOLS if self.symbols == len(NODE_SYMBOLS) else tuple(f"n{i}" for i in range(self.symbols))

    def examples(self, split: Split) -> Sequence[Example]:
        path = self.problems.file(split)
        if path is None:
            # As for text: the stream of problem i starts with its graph, so both forms show the same graphs.
            graphs = self.problems.graphs.up_to(self.max_hops)
            return self.problems.generated(split, partial(_draw_symbolic, graphs=graphs, names=self.names))
        examples: list[Example] = []
        for i, example in enumerate(self.problems.read(path)):
            graph = graph_of(example)
            if len(graph.path) - 1 <= self.max_hops:
                if graph.num_nodes > self.symbols:
                    raise ValueError(
                        f"{path}: row {i}: field `idx_to_symbol`: expected at most {self.symbols} nodes, the number of "
                        f"node symbols, got {graph.num_nodes}; raise the task's symbols"
                    )
                examples.append(_symbolic(graph, random.Random(f"prosqa/symbols/{split}/{i}"), self.names))
        return examples

    def on_file(self, path: Path) -> Self:
        return replace(self, problems=self.problems.on_file(path))

    def asking(self, other: Task) -> Task:
        """ProsQA problems become symbols, however long their chains; any other task is asked as it is."""
        if not isinstance(other, ProsQA):
            return other
        return replace(self, problems=other, max_hops=max(self.max_hops, other.graphs.max_hops))

    def measures(self, example: Example) -> Mapping[str, Measure]:
        from unspoken.tasks.graph_measures import graph_measures  # it reads graphs through `prosqa`

        return {**super().measures(example), **graph_measures(example)}

    def redraw(self, example: Example, rng: random.Random) -> Example:
        """New symbols, edges and options in a new order, any shortest path: superposition's target at each depth."""
        graph = graph_of(example)
        path = random_shortest_path(graph.parents(), root=graph.root, target=graph.target, rng=rng)
        drawn = _symbolic(replace(graph, path=path), rng, self.names)
        if rng.random() >= self.hidden:
            return drawn
        told, _, _ = drawn.question.partition(" ? ")
        return replace(drawn, question=f"{told} ? {HIDDEN} {HIDDEN} | {drawn.meta['idx_to_symbol'][graph.root]}")

    def classify(self, text: str, example: Example, *, hidden: int) -> str | None:
        """One of the paper's six classes."""
        from unspoken.tasks.chains import judge  # it reads graphs through this module

        return judge(text, example, hidden=hidden).value

    def graph(self, example: Example) -> Graph:
        return graph_of(example)

    def naming(self, example: Example, hidden: int, written: int = 0) -> Naming:
        return name_next(example, hidden + written)

    def asked_otherwise(self, example: Example) -> Example | None:
        return ask_otherwise(example)

    def words(self) -> Sequence[str]:
        """The whole vocabulary: four marks and the node symbols."""
        return (";", "?", "|", HIDDEN, *self.names)


def _draw_symbolic(rng: random.Random, *, graphs: GraphSource, names: Sequence[str]) -> Example:
    return _symbolic(graphs.draw_graph(rng), rng, names)


def _symbolic(graph: Graph, rng: random.Random, names: Sequence[str]) -> Example:
    """The graph under a random naming of its nodes, its edges and options in random order."""
    symbols = tuple(shuffled(names, rng)[: graph.num_nodes])
    assert len(symbols) == graph.num_nodes, "settings and files are checked for their number of nodes"
    told = " ; ".join(f"{symbols[parent]} {symbols[child]}" for parent, child in shuffled(graph.edges, rng))
    first, second = shuffled((symbols[graph.target], symbols[graph.neg_target]), rng)
    return Example(
        question=f"{told} ? {first} {second} | {symbols[graph.root]}",
        steps=tuple(symbols[node] for node in graph.path[1:]),
        answer=symbols[graph.target],
        meta=meta_of(symbols, graph),
    )
