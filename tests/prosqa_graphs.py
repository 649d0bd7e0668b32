"""Checks of ProsQA graphs that several test files share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import msgspec
import networkx as nx

from unspoken.tasks.base import Example
from unspoken.tasks.graphs import Graph, GraphSource
from unspoken.tasks.prosqa import ProsQAProblems, ProsQARow
from unspoken.tasks.rows import data_root

RELEASED = [data_root() / "prosqa" / name for name in ("prosqa_valid.json", "prosqa_test.json")]


def digraph(graph: Graph) -> nx.DiGraph[int]:
    digraph: nx.DiGraph[int] = nx.DiGraph()
    digraph.add_nodes_from(range(graph.num_nodes))
    digraph.add_edges_from(graph.edges)
    return digraph


def all_shortest(graph: Graph) -> set[tuple[int, ...]]:
    return {tuple(path) for path in nx.all_shortest_paths(digraph(graph), graph.root, graph.target)}


def symbol(example: Example, node: int) -> str:
    name: str = example.meta["idx_to_symbol"][node]
    return name


def check_problem(graph: Graph, *, families: int = 2) -> None:
    """What holds in every problem: a shortest chain, two leaves, exactly one of them below the root."""
    g = digraph(graph)
    assert g.number_of_edges() == len(graph.edges), "an edge is there twice"
    assert all(parent < child for parent, child in graph.edges), "node numbers are not topological"
    assert min(degree for _, degree in g.degree()) > 0, "an isolated node was kept"
    assert 0 <= graph.root < families
    assert graph.path[0] == graph.root and graph.path[-1] == graph.target
    assert all(g.has_edge(*edge) for edge in pairwise(graph.path))
    assert len(graph.path) - 1 == nx.shortest_path_length(g, graph.root, graph.target), "the chain is not shortest"
    assert not nx.has_path(g, graph.root, graph.neg_target), "the wrong option is right too"
    for option, own in ((graph.target, 1), (graph.neg_target, 1)):
        seeds = [seed for seed in range(families) if g.in_degree(seed) == 0 and nx.has_path(g, seed, option)]
        assert len(seeds) == own, "an option belongs to several families, or to none"
        assert g.out_degree(option) == 0, "an option is no leaf"


def make_rows(num: int, seed: int, *, graphs: GraphSource | None = None) -> list[ProsQARow]:
    """Generated problems as rows of a file."""
    problems = ProsQAProblems() if graphs is None else ProsQAProblems(graphs=graphs)
    return [msgspec.convert(problems.row(example), ProsQARow) for example in problems.problems(num=num, seed=seed)]


def write_rows(path: Path, rows: Iterable[ProsQARow]) -> int:
    """Writes rows as a JSON list; returns how many."""
    items = [msgspec.to_builtins(row) for row in rows]
    path.write_text(json.dumps(items))
    return len(items)
