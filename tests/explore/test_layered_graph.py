"""Where nodes are drawn: what the page's graphs are read by."""

from __future__ import annotations

from itertools import pairwise

import pytest

from unspoken.explore.layered import layered
from unspoken.tasks.fork import Fork
from unspoken.tasks.graphs import Graph, distances
from unspoken.tasks.prosqa import ProsQAProblems, graph_of

GRAPHS = [graph_of(example) for example in ProsQAProblems().problems(num=30, seed=3)]


@pytest.mark.parametrize("graph", GRAPHS[:5])
def test_a_column_is_a_distance(graph: Graph) -> None:
    """A node in another column than its distance would put the frontier in the wrong place."""
    columns = [column for column, _ in layered(graph)]
    for node, hops in distances(graph.children(), graph.root).items():
        assert columns[node] == hops


def test_no_two_nodes_share_a_place() -> None:
    """Nodes drawn over each other hide each other."""
    for graph in GRAPHS:
        places = layered(graph)
        assert len(places) == graph.num_nodes == len(set(places))
        by_column: dict[int, list[float]] = {}
        for column, height in places:
            by_column.setdefault(column, []).append(height)
        for heights in by_column.values():
            assert all(b - a >= 1 for a, b in pairwise(sorted(heights)))


def test_what_cannot_be_reached_is_below() -> None:
    """The two families must be told apart at a glance."""
    for graph in GRAPHS:
        places, reached = layered(graph), distances(graph.children(), graph.root)
        inside = [places[node][1] for node in range(graph.num_nodes) if node in reached]
        outside = [places[node][1] for node in range(graph.num_nodes) if node not in reached]
        assert max(inside) < min(outside)


def test_arms_that_need_not_cross_do_not() -> None:
    """The order is worked out by neighbours: without it, arms of `Fork` would be drawn in the order of their ids."""
    for example in Fork(width=3, symbols=20).examples("test")[:20]:
        graph = graph_of(example)
        height = {node: place[1] for node, place in enumerate(layered(graph))}
        column = {node: place[0] for node, place in enumerate(layered(graph))}
        for a, b in graph.edges:
            for c, d in graph.edges:
                if column[a] == column[c] and a != c:
                    assert (height[a] - height[c]) * (height[b] - height[d]) > 0


def test_a_graph_whose_rest_is_a_cycle_is_drawn() -> None:
    """Own files may hold anything: nodes that nothing without parents leads to must not be lost."""
    graph = Graph(
        num_nodes=6, edges=((0, 1), (0, 2), (3, 4), (4, 3), (4, 5)), root=0, target=1, neg_target=5, path=(0, 1)
    )
    assert len(set(layered(graph))) == 6
