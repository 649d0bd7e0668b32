"""What is counted on a ProsQA problem, in words or symbols: the figures by which the released files were described."""

from __future__ import annotations

from unspoken.tasks.base import Example, Measure
from unspoken.tasks.graphs import Graph, distances
from unspoken.tasks.prosqa import graph_of, mentions


def graph_measures(example: Example) -> dict[str, Measure]:
    """Sizes, path lengths, families and options of the graph behind an example.

    The other root is the parentless ancestor of the wrong option with the smallest id: ids follow the order in which
    nodes were grown, and every family's root is there before nodes without a family. In released problems that is node
    1 where node 0 is asked about, and the other way round.

    Raises:
        ValueError: the example is not a ProsQA problem.
    """
    graph = graph_of(example)
    children, parents = graph.children(), graph.parents()
    other_root = min(node for node in distances(parents, graph.neg_target) if not parents[node])
    below = distances(children, graph.root)
    below_other = distances(children, other_root)
    told = mentions(example.question, example.meta["idx_to_symbol"])
    return {
        "nodes": graph.num_nodes,
        "edges": len(graph.edges),
        "shortest paths": _num_shortest_paths(graph, parents, below),
        "hops": str(below[graph.target]),
        "hops from the other root to the wrong option": str(below_other[graph.neg_target]),
        "parentless nodes": str(sum(not above for above in parents)),
        "asked root": f"node {graph.root}",
        "first option": "right" if graph.target in told[-2 - (told[-1] == graph.root) :][:1] else "wrong",
        "family of a node": tuple(_family(node in below, node in below_other) for node in range(graph.num_nodes)),
        "parents of a node": tuple(
            str(len(above)) for node, above in enumerate(parents) if node not in (graph.root, other_root)
        ),
    }


def _family(asked: bool, other: bool) -> str:
    if asked:
        return "both" if other else "asked"
    return "other" if other else "none"


def _num_shortest_paths(graph: Graph, parents: list[list[int]], below: dict[int, int]) -> int:
    ways = {graph.root: 1}
    for node in list(below)[1:]:  # in order of distance
        ways[node] = sum(ways[parent] for parent in parents[node] if below.get(parent, -1) + 1 == below[node])
    return ways[graph.target]
