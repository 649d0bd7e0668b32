"""Where the nodes of a problem's graph are drawn: in columns by their distance from the node asked about.

So every frontier of a breadth-first search is a column, and a right chain goes from left to right. What cannot be
reached is drawn below, in columns by the distance from its own nearest start. Within a column, nodes are ordered by
where their neighbours are (the barycentre heuristic of Sugiyama, Tagawa and Toda 1981), and the order with the fewest
crossings is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

from unspoken.tasks.graphs import Graph, distances

_SWEEPS = 12
_GAP = 0.75
"""Between what can be reached and what cannot, in nodes."""


def layered(graph: Graph) -> list[tuple[int, float]]:
    """Of every node its column and its height, from the top, in units of one node; no two are at one place."""
    children, parents = graph.children(), graph.parents()
    hops = distances(children, graph.root)
    places: dict[int, tuple[int, float]] = {}
    top = 0.0
    for columns in (hops, _from_starts(graph, parents, children, hops)):
        if not columns:
            continue
        order = _ordered(columns, children, parents)
        height = max(map(len, order))
        for column, nodes in enumerate(order):
            for i, node in enumerate(nodes):
                places[node] = (column, top + (height - len(nodes)) / 2 + i)
        top += height + _GAP
    return [places[node] for node in range(graph.num_nodes)]


def _from_starts(
    graph: Graph, parents: Sequence[Sequence[int]], children: Sequence[Sequence[int]], reached: Mapping[int, int]
) -> dict[int, int]:
    """Columns of what cannot be reached: hops from the nearest node without parents; 0 on cycles without one."""
    rest = [node for node in range(graph.num_nodes) if node not in reached]
    columns: dict[int, int] = {}
    for start in (node for node in rest if not parents[node]):
        for node, hops in distances(children, start).items():
            if node not in reached:
                columns[node] = min(hops, columns.get(node, hops))
    return {node: columns.get(node, 0) for node in rest}


def _ordered(
    columns: Mapping[int, int], children: Sequence[Sequence[int]], parents: Sequence[Sequence[int]]
) -> list[list[int]]:
    """Nodes by column, from top to bottom, with few crossings."""
    order = [sorted(n for n, c in columns.items() if c == column) for column in range(max(columns.values()) + 1)]
    best, fewest = order, _crossings(order, children)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        order = [list(nodes) for nodes in order]
        for column in range(1, len(order)) if forward else range(len(order) - 2, -1, -1):
            near = order[column - 1 if forward else column + 1]
            height = {node: i - len(near) / 2 for i, node in enumerate(near)}
            neighbours = parents if forward else children
            centre = {}
            for i, node in enumerate(order[column]):
                found = [height[other] for other in neighbours[node] if other in height]
                centre[node] = sum(found) / len(found) if found else i - len(order[column]) / 2
            order[column].sort(key=lambda node: centre[node])
        crossings = _crossings(order, children)
        if crossings < fewest:
            best, fewest = order, crossings
    return best


def _crossings(order: Sequence[Sequence[int]], children: Sequence[Sequence[int]]) -> int:
    """How often edges from one column to the next cross."""
    count = 0
    for here, there in pairwise(order):
        place = {node: i for i, node in enumerate(there)}
        edges = [(i, place[child]) for i, node in enumerate(here) for child in children[node] if child in place]
        count += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(edges, 2))
    return count
