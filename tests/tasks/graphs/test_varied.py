"""Graphs beyond the release: each named set has what its name says, and everything else as released."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosqa_graphs import all_shortest, check_problem, digraph, make_rows, write_rows
from unspoken.tasks.base import Example
from unspoken.tasks.graphs import Graph, GraphSource
from unspoken.tasks.graphs.released import PARENT_WEIGHTS, Released, throwing_back
from unspoken.tasks.graphs.varied import (
    DAG,
    DENSE,
    EIGHT_HOPS,
    MORE_FAMILIES,
    SEVEN_HOPS,
    TEN_HOPS,
    Varied,
    exactly,
    num_paths,
    poisson,
    stepping_over,
)
from unspoken.tasks.prosqa import (
    CONCEPTS,
    NAMES,
    ProsQA,
    ProsQAProblems,
    graph_of,
    read_examples,
)
from unspoken.tasks.symbolic import SymbolicProsQA

SETS: dict[str, Varied] = {
    "seven hops": SEVEN_HOPS,
    "eight hops": EIGHT_HOPS,
    "ten hops": TEN_HOPS,
    "dense": DENSE,
    "dag": DAG,
    "more families": MORE_FAMILIES,
}
NUM = 200


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[Graph]]:
    return {name: [graph_of(e) for e in problems(source, NUM)] for name, source in SETS.items()}


def problems(source: GraphSource, num: int) -> list[Example]:
    return list(ProsQA(graphs=source, num_train=num).examples("train"))


@pytest.mark.parametrize("name", SETS)
def test_every_problem_has_exactly_one_right_option(name: str, drawn: dict[str, list[Graph]]) -> None:
    """Guards wrong gold in new regions: long chains, many parents, several families, where the release never was."""
    source = SETS[name]
    for graph in drawn[name]:
        check_problem(graph, families=source.families)
        assert source.min_hops <= len(graph.path) - 1 <= source.max_hops
        paths = len(list(nx.all_simple_paths(digraph(graph), graph.root, graph.target)))
        assert num_paths(graph) == (paths, len(all_shortest(graph)))
        assert paths >= source.min_paths and len(all_shortest(graph)) >= source.min_shortest_paths


def figures(graph: Graph) -> dict[str, int]:
    return {
        "nodes": graph.num_nodes,
        "edges": len(graph.edges),
        "hops": len(graph.path) - 1,
        "shortest paths": num_paths(graph)[1],
        "root": graph.root,
    }


def test_named_sets_are_what_their_names_say(drawn: dict[str, list[Graph]]) -> None:
    """Guards a set that changes more than one thing, so that an accuracy on it would not say what is hard."""
    wanted = {
        "seven hops": [23.1, 34.7, 7.0, 2.0],
        "eight hops": [23.2, 34.9, 8.0, 2.4],
        "ten hops": [23.6, 34.7, 10.0, 3.2],
        "dense": [26.1, 57.9, 3.6, 2.6],
        "dag": [22.9, 38.2, 3.7, 3.5],
        "more families": [32.7, 47.7, 3.7, 1.5],
    }
    for name, graphs in drawn.items():
        means = [mean(figures(graph)[key] for graph in graphs) for key in ("nodes", "edges", "hops", "shortest paths")]
        assert means == pytest.approx(wanted[name], rel=0.13), name


def test_more_families_share_the_wrong_option(drawn: dict[str, list[Graph]]) -> None:
    """Guards families that are there but never asked about: the question must be able to concern any two of them."""
    asked: Counter[tuple[int, int]] = Counter()
    for graph in drawn["more families"]:
        g = digraph(graph)
        (other,) = (seed for seed in range(4) if nx.has_path(g, seed, graph.neg_target))
        asked[graph.root, other] += 1
        assert all(g.in_degree(seed) == 0 < g.out_degree(seed) for seed in range(4))
    assert set(asked) == {(a, b) for a in range(4) for b in range(4) if a != b}


SHA256_OF_50_ROWS = {
    "seven hops": "a29b7eccd848d6bba072c1ee34411c4c136ea7609400b40a05f77b42a02943a7",
    "eight hops": "90890ca7b60d9ba6a48b2b096b68126b92cf5d9796272af1071971fbd063552e",
    "ten hops": "825ad37da2ee95ac9ee6a7f4c531f0360390183d370ce0cbadf69f9e0b0d9ee4",
    "dense": "c9fd60fe0c45a914dae9ed3640b8e7c7e7fa0a700a3139d7430755375d7475b3",
    "dag": "a35e6c20a5218b2f30ed52331d126ee4f55d0ef729ef7e27a95f24cc48a28023",
    "more families": "c2c14428a9da2ec380ea1357569fd166860c01d0a0bd011d436dd4d7860f7872",
}


@pytest.mark.parametrize("name", SETS)
def test_rows_are_pinned(name: str) -> None:
    """Guards silent changes: other problems for the same seed, or on another platform, are another test set."""
    generator = ProsQAProblems(graphs=SETS[name])
    text = json.dumps([generator.row(example) for example in generator.problems(num=50, seed=0)])
    assert hashlib.sha256(text.encode()).hexdigest() == SHA256_OF_50_ROWS[name]


@pytest.mark.parametrize("name", SETS)
def test_rows_load_and_become_symbols(name: str, tmp_path: Path) -> None:
    """Guards problems that cannot be written, read or put in symbols: too many nodes for the names, cut-off chains."""
    source, path = SETS[name], tmp_path / "p.json"
    assert write_rows(path, make_rows(20, 0, graphs=source)) == 20
    assert read_examples(path) == problems(source, 20)
    symbolic = SymbolicProsQA(problems=ProsQA(graphs=source, num_train=20), max_hops=max(6, source.max_hops))
    for words, symbols in zip(problems(source, 20), symbolic.examples("train"), strict=True):
        assert graph_of(words) == graph_of(symbols)
        assert len(symbols.steps) + 2 <= symbolic.max_new_tokens


@given(
    seed=st.integers(),
    num_nodes=st.integers(28, 55),
    hops=st.integers(2, 3),
    mean_parents=st.floats(1, 2.5),
    depth_power=st.integers(0, 2),
    families=st.integers(2, 4),
)
@settings(max_examples=40, deadline=None)
def test_other_settings_keep_the_invariants(
    seed: int, num_nodes: int, hops: int, mean_parents: float, depth_power: int, families: int
) -> None:
    """Guards settings nobody tried: whatever they are, gold is a shortest chain and there are names for all nodes."""
    source = Varied(
        num_nodes=num_nodes,
        min_hops=hops,
        max_hops=hops + 3,
        mean_parents=mean_parents,
        depth_power=depth_power,
        families=families,
    )
    graph = source.draw_graph(random.Random(seed))
    check_problem(graph, families=families)
    assert hops <= len(graph.path) - 1 <= hops + 3
    concepts = len({child for _, child in graph.edges})
    assert concepts <= len(CONCEPTS) and graph.num_nodes - concepts <= len(NAMES)


@pytest.mark.parametrize("hops", range(3, 11))
def test_exact_lengths(hops: int) -> None:
    """Guards every length the project promises: 3 to 10, each found and none other."""
    source = exactly(hops)
    assert {len(source.draw_graph(random.Random(i)).path) - 1 for i in range(5)} == {hops}


def test_defaults_are_the_released_process() -> None:
    """Guards the claim that a named set changes one thing: with nothing changed the figures are the release's."""
    ours = [Varied().draw_graph(random.Random(i)) for i in range(3000)]
    theirs = [Released().draw_graph(random.Random(-1 - i)) for i in range(3000)]
    for figure, by in (("nodes", 0.2), ("edges", 0.6), ("hops", 0.07), ("shortest paths", 0.09), ("root", 0.04)):
        assert mean(figures(g)[figure] for g in ours) == pytest.approx(mean(figures(g)[figure] for g in theirs), abs=by)


def test_both_ways_of_drawing_parents_are_draws_without_replacement() -> None:
    """Guards the faster draw: every ordered choice must be as likely as when repeats are thrown back."""
    members, weights = [3, 5, 8], [1.0, 4.0, 10.0]
    found = []
    for draw_parents in (throwing_back, stepping_over):
        rng = random.Random(0)
        found.append(Counter(tuple(draw_parents(members, weights, 2, rng.random)) for _ in range(20_000)))
    wanted = {(a, b): w[a] / 10 * w[b] / (10 - w[a]) for w in [{3: 1, 5: 3, 8: 6}] for a in w for b in w if a != b}
    for counts in found:
        assert {pair: num / 20_000 for pair, num in counts.items()} == pytest.approx(wanted, abs=0.012)
    assert sorted(stepping_over(members, weights, 3, random.Random(1).random)) == members


@pytest.mark.parametrize("rate", [0.5, 1.5, 2.0, 2.5, 10.0])
def test_poisson_tables_are_the_distribution(rate: float) -> None:
    """Guards decimals that lose digits, and a table that stops too early."""
    from scipy.stats import poisson as reference

    table = poisson(rate)
    assert list(table) == pytest.approx([float(reference.cdf(n, rate)) for n in range(len(table))], abs=1e-14)
    assert 0 < 1 - table[-1] < 1e-5


def test_weights_cover_every_depth() -> None:
    """Guards an index error in the largest graphs: a chain of all nodes, and nodes without a family."""
    assert len(PARENT_WEIGHTS) >= len(NAMES) + len(CONCEPTS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mean_parents": 0.0}, "mean_parents: expected above 0 and at most 10, got 0.0; the release has 1.5"),
        ({"depth_power": -1}, "depth_power: expected 0 to 16, got -1"),
        ({"families": 1}, "families: expected 2 to 7, a quarter of num_nodes, got 1; raise num_nodes"),
        ({"min_paths": 0}, "min_paths: expected at least 1, got 0"),
        ({"min_shortest_paths": 0}, "min_shortest_paths: expected at least 1, got 0"),
        ({"max_hops": 30}, r"got min_hops 3, max_hops 30 and num_nodes 28; raise num_nodes"),
    ],
)
def test_settings_are_checked(fields: dict[str, Any], message: str) -> None:
    """Guards an endless search for graphs that cannot be, and errors that do not name the setting."""
    with pytest.raises(ValueError, match=message):
        Varied(**fields)
    with pytest.raises(ValueError, match="expected 3 to 10 hops, got 11; for others set Varied's"):
        exactly(11)
