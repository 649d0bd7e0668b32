"""What a graph says about a search, on one small enough to see."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.subjects import SEARCH
from unspoken.analysis.search import NONE, Search, entropy, searches_of, shares
from unspoken.tasks.base import Example
from unspoken.tasks.fork import Fork
from unspoken.tasks.graphs import Graph
from unspoken.tasks.hops import Hops


def test_depths_heights_and_ways_left() -> None:
    """Guards every measure of breadth, each of which is built from these three."""
    assert SEARCH.depth.tolist() == [0, 1, 1, 2, 2, NONE, 3, NONE]
    assert SEARCH.height.tolist() == [1, 2, 0, 1, 1, 1, 0, 0]
    assert SEARCH.left.tolist() == [3, 2, NONE, 1, 1, NONE, 0, NONE]
    assert SEARCH.needed == 3
    assert SEARCH.reachable.tolist() == [True, True, True, True, True, False, True, False]
    assert SEARCH.leads.tolist() == [True, True, False, True, True, False, True, False]


def test_frontiers_and_solution_paths() -> None:
    """Guards the difference between a node that is k hops away and one that is on the way."""
    assert [SEARCH.frontier(k).nonzero()[0].tolist() for k in range(4)] == [[0], [1, 2], [3, 4], [6]]
    assert [SEARCH.on_solution(k).nonzero()[0].tolist() for k in range(4)] == [[0], [1], [3, 4], [6]]


def test_a_node_near_another_way_is_not_on_a_solution_path() -> None:
    """Guards longer ways round: a node two hops away that leads on in three is on no shortest path of three."""
    graph = Graph(
        num_nodes=5, edges=((0, 1), (1, 2), (0, 3), (3, 4), (4, 2)), root=0, target=2, neg_target=4, path=(0, 1, 2)
    )
    search = Search(graph=graph, names=tuple("abcde"))
    assert search.leads.tolist() == [True] * 5
    assert search.on_solution(1).nonzero()[0].tolist() == [1]


def test_shares_of_tiny_values() -> None:
    """Guards values below what a float holds: names of many tokens have them, and 0 / 0 is no share."""
    logs = np.array([-2000.0, -2000.0 + np.log(3), -np.inf], np.float32)
    assert shares(logs) == pytest.approx([0.25, 0.75, 0], abs=1e-4)
    assert np.isnan(shares(np.array([-np.inf, -np.inf], np.float32))).all()


def test_entropy() -> None:
    """Guards zero shares, whose logarithm is none, and problems that do not count."""
    assert entropy(np.array([0.5, 0.5, 0.0])) == pytest.approx(np.log(2))
    assert entropy(np.array([1.0, 0.0])) == 0
    assert np.isnan(entropy(np.array([np.nan, np.nan])))


def test_tasks_without_graphs_have_no_searches() -> None:
    """Guards pages of such tasks."""
    task = Hops(num_test=3)
    assert searches_of(task, task.examples("test")) is None
    fork = Fork(num_test=2)
    found = searches_of(fork, fork.examples("test"))
    assert found is not None
    example: Example = fork.examples("test")[0]
    assert found[0].names == example.meta["idx_to_symbol"]
    assert found[0].names[found[0].graph.target] == example.answer
