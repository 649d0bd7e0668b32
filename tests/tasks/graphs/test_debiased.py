"""The debiased graphs: the two coins hide the answer exactly, and both options look alike."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosqa_graphs import check_problem, digraph, make_rows, write_rows
from unspoken.shortcuts.findings import Group
from unspoken.shortcuts.graphs import SHORTCUTS, Shortcut, shortcut_accuracies
from unspoken.tasks.base import Example
from unspoken.tasks.graphs import MAX_CONCEPTS, MAX_ENTITIES, Graph
from unspoken.tasks.graphs.debiased import (
    FAIR_EIGHT_HOPS,
    FAIR_SEVEN_HOPS,
    FAIR_SIX_HOPS,
    FAIR_TEN_HOPS,
    Debiased,
)
from unspoken.tasks.graphs.varied import num_paths
from unspoken.tasks.prosqa import ProsQA, ProsQAProblems, graph_of, read_examples
from unspoken.tasks.symbolic import SymbolicProsQA

SETS = {
    "4 to 6": Debiased(),
    "6": FAIR_SIX_HOPS,
    "7": FAIR_SEVEN_HOPS,
    "8": FAIR_EIGHT_HOPS,
    "10": FAIR_TEN_HOPS,
}
"""By the hops of their chains."""
SHA256_OF_50_ROWS = {
    "4 to 6": "36980326d0f3a9573c080e150a81ed4c10afcef24d8c52f99bffee2b79fbbbee",
    "6": "1c6f94421b56d9f89cf4b35d45d77febb0053064c0f094bc1559862cd240e3b0",
    "7": "0246e3cd25f8875cc364fab8b05d7dd5a023d8c36c188ba8fc42dad2108a0a29",
    "8": "952ad3c07755fc562b2be173a831cb1cc463568ee8509ce64cb5099d8ebb08dc",
    "10": "5832e73f3e5b152b6f42720acfd26ac0a160e50f5b58c0130f50639cdb6d114e",
}

NUM = {"4 to 6": 3000, "6": 1500, "7": 2000, "8": 2000, "10": 1500}
SEARCHES = {"parent within 3 hops of the root", "two readings", "one reading", "first fact told"}
"""Follow facts from the entity asked about, in their direction, for some hops: the task itself, not all of it."""


@cache
def drawn(name: str) -> list[Example]:
    return list(ProsQA(graphs=SETS[name], num_train=NUM[name]).examples("train"))


@pytest.fixture(params=SETS)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def four(seed: int, name: str) -> dict[tuple[bool, int], Graph]:
    """The problems that the two coins choose from, by (crossing, asked)."""
    rng = random.Random(seed)
    parts = SETS[name].draw_parts(rng)
    return {
        (crossing, asked): parts.graph(rng, crossing=crossing, asked=asked)
        for crossing, asked in product((False, True), (0, 1))
    }


def test_every_problem_has_exactly_one_right_option(name: str) -> None:
    """Guards wrong gold: links that lead to both options or to none, chains that are not shortest."""
    for example in drawn(name)[:800]:
        check_problem(graph_of(example))
        assert SETS[name].min_hops <= len(example.steps) <= SETS[name].max_hops


def accuracy(score: Callable[[Graph, int], float], graph: Graph) -> float:
    right, wrong = round(score(graph, graph.target), 9), round(score(graph, graph.neg_target), 9)
    return 0.5 if right == wrong else float(right > wrong)


def sum_below_sources(graph: Graph, option: int) -> float:
    """Blind: nodes below the parentless nodes above the option."""
    g = digraph(graph)
    return sum(len(nx.descendants(g, s)) for s in nx.ancestors(g, option) if not g.in_degree(s))


def degrees_above(graph: Graph, option: int) -> float:
    """Blind, and not among the matched features."""
    g = digraph(graph)
    return sum(g.degree(node) for node in nx.ancestors(g, option))


def walk_from_root(graph: Graph, option: int) -> float:
    """Ignores directions: a random walk that returns to the entity asked about (right in 95 % of the release)."""
    g = digraph(graph).to_undirected()
    rank = nx.pagerank(g, personalization={graph.root: 1}, tol=1e-12, max_iter=1000)
    return float(rank[option] / g.degree(option))


def links_from_root(graph: Graph, option: int) -> float:
    """Ignores directions: the nearer option."""
    return -nx.shortest_path_length(digraph(graph).to_undirected(), graph.root, option)


def far_from_the_other(graph: Graph, option: int) -> float:
    """Ignores directions: nearer to the entity asked about than to the other one."""
    g = digraph(graph).to_undirected()
    return nx.shortest_path_length(g, 1 - graph.root, option) - nx.shortest_path_length(g, graph.root, option)


def directed_within(graph: Graph, option: int, *, near_root: int, near_options: int) -> float:
    """Takes directions only from what is said of nodes so near the entity, or the options, and ignores all others."""
    g = digraph(graph)
    near = set(nx.single_source_shortest_path_length(g, graph.root, cutoff=near_root))
    for end in (graph.target, graph.neg_target):
        near |= set(nx.single_source_shortest_path_length(g.reverse(), end, cutoff=near_options))
    mixed: nx.DiGraph[int] = nx.DiGraph(g.edges)
    mixed.add_edges_from((b, a) for a, b in g.edges if a not in near)
    return -nx.shortest_path_length(mixed, graph.root, option) if nx.has_path(mixed, graph.root, option) else -99.0


@pytest.mark.parametrize("score", [sum_below_sources, degrees_above])
def test_who_is_asked_turns_every_blind_answer_round(score: Callable[[Graph, int], float], name: str) -> None:
    """Guards the first proof: all else fixed, a blind score is right for one entity just if wrong for the other.

    An acceptance that looks at who is asked, or a part of the graph that depends on it, would break this.
    """
    for seed in range(60):
        graphs = four(seed, name)
        for crossing in (False, True):
            assert accuracy(score, graphs[crossing, 0]) + accuracy(score, graphs[crossing, 1]) == 1


def check_turned_round(score: Callable[[Graph, int], float], name: str) -> None:
    undecided = 0
    for seed in range(60):
        graphs = four(seed, name)
        for asked in (0, 1):
            points = [accuracy(score, graphs[crossing, asked]) for crossing in (False, True)]
            assert sum(points) == 1
            undecided += points == [0.5, 0.5]
    assert undecided < 120, "a score that never decides proves nothing"


@pytest.mark.parametrize("score", [walk_from_root, links_from_root, far_from_the_other])
def test_crossing_turns_every_undirected_answer_round(score: Callable[[Graph, int], float], name: str) -> None:
    """Guards the second proof: all else fixed, what ignores directions is right in exactly one of the crossings."""
    check_turned_round(score, name)


def test_directions_beside_the_links_tell_nothing(name: str) -> None:
    """Guards `beside_links`: directions nearer to the entity or to the options than the links are a coin as well.

    One hop more above the options, and a search upwards gets there.
    """
    beside = SETS[name].beside_links
    check_turned_round(partial(directed_within, near_root=beside, near_options=beside - 1), name)
    with pytest.raises(AssertionError):
        check_turned_round(partial(directed_within, near_root=beside, near_options=beside), name)


@given(seed=st.integers(0, 2**32), name=st.sampled_from(sorted(SETS)))
@settings(max_examples=100, deadline=None)
def test_the_four_problems_differ_by_their_coins_alone(seed: int, name: str) -> None:
    """Guards what the proofs stand on: the same undirected graph, the same entities, the same options, four answers."""
    graphs = four(seed, name)
    lengths = {len(graph.path) for graph in graphs.values()}
    assert len(lengths) == 1, "the coins change the length of the chain"
    marked = []
    for graph in graphs.values():
        check_problem(graph)
        g = digraph(graph).to_undirected()
        for node in g:
            g.nodes[node]["kind"] = (
                node if node < 2 else "option" if node in (graph.target, graph.neg_target) else "other",
                digraph(graph).in_degree(node) == 0,
            )
        marked.append(g)
    same = nx.algorithms.isomorphism.categorical_node_match("kind", None)
    assert all(nx.is_isomorphic(marked[0], other, node_match=same) for other in marked[1:])


def test_both_coins_are_fair(name: str) -> None:
    """Guards a coin that leans: then knowing one side of a problem would tell the other."""
    problems, source = drawn(name), SETS[name]
    for share in (
        mean(example.meta["root"] for example in problems),
        mean(example.meta["target"] > example.meta["neg_target"] for example in problems),
        mean(f" a {example.answer.split()[-1][:-1]} or " in example.question for example in problems),
    ):
        assert abs(share - 0.5) < 0.03
    coins = []
    for seed in range(600):
        rng = random.Random(seed)
        parts = source.draw_parts(rng)
        crossing, asked = rng.random() < 0.5, int(rng.random() < 0.5)
        assert parts.graph(rng, crossing=crossing, asked=asked) == source.draw_graph(random.Random(seed))
        coins.append((crossing, asked))
    assert all(110 < num < 190 for num in Counter(coins).values())


def test_options_match(name: str) -> None:
    """Guards the matching, feature by feature, as the issue lists them: none may tell one option from the other."""
    for example in drawn(name)[:800]:
        graph = graph_of(example)
        g = digraph(graph)
        features = []
        for option, root in ((graph.target, graph.root), (graph.neg_target, 1 - graph.root)):
            up = nx.single_source_shortest_path_length(g.reverse(), option)
            sources = sorted(hops for node, hops in up.items() if not g.in_degree(node))
            others = [hops for node, hops in up.items() if not g.in_degree(node) and node != graph.root]
            path = Graph(num_nodes=graph.num_nodes, edges=graph.edges, root=root, target=option, neg_target=0, path=())
            features.append(
                {
                    "hops from its own entity": up[root],
                    "nearest and farthest parentless node": (sources[0], sources[-1]),
                    "nearest one not asked about": min(others),
                    "ancestors": len(up),
                    "parents": g.in_degree(option),
                    "parents that are entities": sum(not g.in_degree(parent) for parent in g.predecessors(option)),
                    "paths and shortest paths": num_paths(path),
                    "children": g.out_degree(option),
                }
            )
        assert features[0] == features[1]


def search(hops: int) -> Shortcut:
    """A search that stops early: a parent lies within so many hops of the entity asked about."""
    return Shortcut(
        name=str(hops),
        about="",
        score=lambda clues, option: min(clues.down(clues.root).get(up, 99) for up in clues.parents[option]) <= hops,
        group=Group.SEARCH,
    )


def test_no_shortcut_does_better_than_a_coin(name: str) -> None:
    """Guards the whole: every shortcut of ours on many problems, within sampling error of one half.

    What follows facts from the entity asked about is exempt: it is the task, done for fewer hops. Yet where no chain is
    short, it must not get there.
    """
    ours = shortcut_accuracies(drawn(name))
    assert set(ours) >= SEARCHES and len(ours) == len(SHORTCUTS)
    off = {name: share for name, share in ours.items() if name not in SEARCHES and abs(share - 0.5) > 0.035}
    assert not off
    least = SETS[name].min_hops
    early = shortcut_accuracies(drawn(name)[:300], [search(hops) for hops in range(1, least)])
    assert [share == 0.5 for share in early.values()] == [True] * (least - 2) + [False]
    assert ours["parent within 2 hops of the root"] == 0.5
    assert (ours["parent within 3 hops of the root"] == 0.5) == (least > 4)


WANTED = {"4 to 6": (22.8, 36.0), "6": (24.8, 33.9), "7": (27.0, 37.5), "8": (28.9, 39.0), "10": (32.6, 43.6)}


def test_sizes_are_near_the_release(name: str) -> None:
    """Guards problems that look unlike the release: size, density and length are what a reader would see first."""
    graphs = [graph_of(example) for example in drawn(name)]
    nodes, edges = WANTED[name]
    assert mean(graph.num_nodes for graph in graphs) == pytest.approx(nodes, abs=1.3)
    assert mean(len(graph.edges) for graph in graphs) == pytest.approx(edges, abs=1.2)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (Debiased(), {4: 0.44 / 0.59, 5: 0.13 / 0.59, 6: 0.02 / 0.59}),
        (Debiased(min_hops=6, max_hops=10, num_nodes=32, planted_from=6), dict.fromkeys(range(6, 11), 0.2)),
    ],
)
def test_lengths_are_as_often_as_said(source: Debiased, wanted: dict[int, float]) -> None:
    """Guards the proportions: a length that is easier to find must not come more often."""
    lengths = Counter(len(source.draw_graph(random.Random(i)).path) - 1 for i in range(1000))
    assert {length: num / 1000 for length, num in lengths.items()} == pytest.approx(wanted, abs=0.045)


@given(
    seed=st.integers(),
    hops=st.integers(4, 10),  # chains of 4 and 5 are planted or not
    more=st.integers(0, 12),  # from 45 nodes of many parents on, there are fewer names than concepts
    mean_parents=st.floats(1, 2.5),
    planted=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_other_settings_keep_the_invariants(
    seed: int, hops: int, more: int, mean_parents: float, planted: bool
) -> None:
    """Guards settings nobody tried: the least and many more nodes, planted chains of 4 hops, names that run out."""
    source = Debiased(
        min_hops=hops,
        max_hops=hops,
        num_nodes=max(20, 2 * hops + 8) + more,
        mean_parents=mean_parents,
        beside_links=(hops - 2) // 2,
        planted_from=min(hops, 7) if planted else min(hops + 1, 6),
    )
    graph = source.draw_graph(random.Random(seed))
    check_problem(graph)
    assert len(graph.path) - 1 == hops
    concepts = len({child for _, child in graph.edges})
    assert concepts <= MAX_CONCEPTS and graph.num_nodes - concepts <= MAX_ENTITIES


def test_rows_are_pinned(name: str) -> None:
    """Guards silent changes: other problems for the same seed, or on another platform, are another test set."""
    generator = ProsQAProblems(graphs=SETS[name])
    text = json.dumps([generator.row(example) for example in generator.problems(num=50, seed=0)])
    assert hashlib.sha256(text.encode()).hexdigest() == SHA256_OF_50_ROWS[name]


def test_rows_load_and_become_symbols(tmp_path: Path, name: str) -> None:
    """Guards problems that cannot be written, read, or put in symbols."""
    path, source, problems = tmp_path / "p.json", SETS[name], drawn(name)[:20]
    assert write_rows(path, make_rows(20, 0, graphs=source)) == 20
    assert read_examples(path) == problems
    symbolic = SymbolicProsQA(problems=ProsQA(graphs=source, num_train=20), max_hops=source.max_hops)
    assert [graph_of(example) for example in symbolic.examples("train")] == [graph_of(example) for example in problems]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"min_hops": 3}, "expected 4 <= min_hops <= max_hops <= 10, got min_hops 3 and max_hops 6; a debiased"),
        ({"max_hops": 11}, "max_hops 11; a debiased"),
        ({"max_hops": 8, "num_nodes": 23}, "num_nodes: expected at least 24 to hold .* up to 8 hops, got 23"),
        ({"num_nodes": 19}, "num_nodes: expected at least 20"),
        ({"mean_parents": -1.0}, "mean_parents: expected above 0"),
        ({"beside_links": 2}, "beside_links: expected 1 to 1, got 2; a chain has them twice and two hops between"),
        ({"beside_links": 0}, "beside_links: expected 1 to 1, got 0"),
        ({"planted_from": 3}, "planted_from: expected 4 to 7, got 3"),
        ({"planted_from": 8}, "planted_from: expected 4 to 7, got 8"),
    ],
)
def test_settings_are_checked(fields: dict[str, Any], message: str) -> None:
    """Guards settings that would bring a shortcut back, or search for what cannot be."""
    with pytest.raises(ValueError, match=message):
        Debiased(**fields)
