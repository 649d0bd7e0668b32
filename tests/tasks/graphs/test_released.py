"""The released distribution: the generator against the released files, figure by figure."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosqa_graphs import RELEASED, check_problem, symbol
from unspoken.tasks.base import Example
from unspoken.tasks.graphs import distances, released
from unspoken.tasks.graphs.released import Released
from unspoken.tasks.prosqa import ProsQA, graph_of, read_examples
from unspoken.tasks.rows import data_root

shared = pytest.mark.skipif(not all(path.is_file() for path in RELEASED), reason=f"no ProsQA files in {data_root()}")


@pytest.fixture(scope="module")
def generated() -> list[Example]:
    return list(ProsQA(num_train=3000).examples("train"))


def test_every_generated_problem_has_exactly_one_right_option(generated: list[Example]) -> None:
    """Guards wrong gold: a chain that is no shortest path, a wrong option that can be reached, an isolated node."""
    for example in generated[:1000]:
        check_problem(graph_of(example))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(), num_nodes=st.integers(16, 50), min_hops=st.integers(1, 4), spread=st.integers(1, 4))
def test_problems_of_other_sizes_keep_the_invariants(seed: int, num_nodes: int, min_hops: int, spread: int) -> None:
    """Guards the out-of-distribution knobs: bounds that are ignored, or invariants that only hold at 28 nodes."""
    source = Released(num_nodes=num_nodes, min_hops=min_hops, max_hops=min_hops + spread)
    graph = source.draw_graph(random.Random(seed))
    check_problem(graph)
    assert min_hops <= len(graph.path) - 1 <= min_hops + spread
    assert graph.num_nodes <= num_nodes


def test_impossible_bounds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards an endless loop: bounds no graph can meet must end in an error that names them."""
    with pytest.raises(ValueError, match=r"min_hops 5, max_hops 4 and num_nodes 28; raise num_nodes"):
        Released(min_hops=5, max_hops=4)
    with pytest.raises(ValueError, match="num_nodes: expected at most 55, got 56; there are 17 names and 38 concepts"):
        Released(num_nodes=56)
    monkeypatch.setattr(released, "MAX_ATTEMPTS", 50)
    with pytest.raises(ValueError, match=r"no graph of 28 nodes with a chain of 20 to 25 hops in 50 attempts; widen"):
        Released(min_hops=20, max_hops=25).draw_graph(random.Random(0))


def test_poisson_table_is_the_distribution() -> None:
    """Guards a mistyped literal in the table of cumulative probabilities."""
    terms = [math.exp(-1.5) * 1.5**n / math.factorial(n) for n in range(len(released.NUM_PARENTS))]
    wanted = pytest.approx([sum(terms[: n + 1]) for n in range(len(terms))], abs=1e-12)
    assert list(released.NUM_PARENTS) == wanted


def statistics(examples: Sequence[Example]) -> dict[str, float]:
    """The figures of shared/reference/paper.md, 'ProsQA, measured on the 800 released valid+test rows'."""
    values: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        values.setdefault(name, []).append(value)

    for example in examples:
        graph = graph_of(example)
        children, parents = graph.children(), graph.parents()
        hops = distances(children, graph.root)
        other = distances(children, 1 - graph.root)
        ways = [0] * graph.num_nodes
        ways[graph.root] = 1
        for node in sorted(hops, key=lambda node: hops[node])[1:]:
            ways[node] = sum(ways[parent] for parent in parents[node] if hops.get(parent, 99) + 1 == hops[node])
        add("nodes", graph.num_nodes)
        add("edges", len(graph.edges))
        add("shortest path", len(example.steps))
        add("shortest paths", ways[graph.target])
        add("root is node 1", graph.root)
        add("right option first", f" a {symbol(example, graph.target)} or " in example.question)
        for length in (3, 4, 5, 6):
            add(f"length {length}", len(example.steps) == length)
        for depth in (1, 2, 3, 4):
            add(f"wrong option depth {depth}", other[graph.neg_target] == depth)
        sources = sum(not above for above in parents)
        for num in (2, 3, 4):
            add(f"parentless {num}", sources == num)
        for node in range(graph.num_nodes):
            add("family asked", node in hops and node not in other)
            add("family other", node in other and node not in hops)
            add("family both", node in other and node in hops)
            add("family none", node not in other and node not in hops)
            if node >= 2:
                for degree in (0, 1, 2, 3, 4):
                    add(f"in-degree {degree}", len(parents[node]) == degree)
    return {name: mean(column) for name, column in values.items()}


MEASURED = {
    "nodes": (22.8, 0.3),
    "edges": (36.0, 0.8),
    "shortest path": (3.77, 0.09),
    "shortest paths": (1.59, 0.12),
    "root is node 1": (0.64, 0.055),
    "right option first": (0.50, 0.05),
    "length 3": (0.41, 0.05),
    "length 4": (0.44, 0.05),
    "length 5": (0.13, 0.035),
    "length 6": (0.02, 0.02),
    "wrong option depth 1": (0.20, 0.045),
    "wrong option depth 2": (0.52, 0.05),
    "wrong option depth 3": (0.25, 0.045),
    "wrong option depth 4": (0.03, 0.02),
    "parentless 2": (0.58, 0.05),
    "parentless 3": (0.32, 0.05),
    "parentless 4": (0.09, 0.03),
    "family asked": (0.53, 0.015),
    "family other": (0.38, 0.015),
    "family both": (0.054, 0.01),
    "family none": (0.031, 0.006),
    "in-degree 0": (0.03, 0.006),
    "in-degree 1": (0.48, 0.015),
    "in-degree 2": (0.30, 0.015),
    "in-degree 3": (0.13, 0.01),
    "in-degree 4": (0.04, 0.006),
}
"""Released figure, and about 2.5 standard errors of the difference between 800 released and 3,000 generated rows."""


def test_generated_problems_follow_the_released_distribution(generated: list[Example]) -> None:
    """Guards the recipe: the construction printed in the paper fails this at once (parentless nodes, families)."""
    ours = statistics(generated)
    off = {name: (ours[name], want) for name, (want, by) in MEASURED.items() if abs(ours[name] - want) > by}
    assert not off


@shared
def test_the_statistics_measure_what_the_released_figures_say() -> None:
    """Guards the test above: on the released rows its own figures must come out, to their printed digits."""
    released = statistics([example for path in RELEASED for example in read_examples(path)])
    assert released == pytest.approx({name: want for name, (want, _) in MEASURED.items()}, abs=0.008)
