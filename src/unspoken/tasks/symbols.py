"""Problems on graphs whose steps are node symbols and whose question ends in the node asked about."""

from __future__ import annotations

from unspoken.tasks.base import Example, Naming
from unspoken.tasks.prosqa import graph_of, meta_of


def name_next(example: Example, steps: int) -> Naming:
    """A step is the node it leads to, so what comes after `steps` steps is one hop further."""
    return Naming(before="", names=tuple(example.meta["idx_to_symbol"]), hops=steps + 1)


def ask_otherwise(example: Example) -> Example | None:
    """A question that ends in the node it asks about, asked about somebody else (`Graph.asked_otherwise`)."""
    graph = graph_of(example).asked_otherwise()
    if graph is None:
        return None
    symbols: tuple[str, ...] = example.meta["idx_to_symbol"]
    told, _, _ = example.question.rpartition(" ")
    return Example(
        question=f"{told} {symbols[graph.root]}",
        steps=tuple(symbols[node] for node in graph.path[1:]),
        answer=symbols[graph.target],
        meta=meta_of(symbols, graph),
    )
