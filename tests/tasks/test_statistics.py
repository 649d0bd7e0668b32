"""Figures with their errors, and two sets side by side."""

from __future__ import annotations

import math
import random
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.tasks.base import Example
from unspoken.tasks.fork import Fork
from unspoken.tasks.graph_measures import graph_measures
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.rows import data_root
from unspoken.tasks.statistics import Figure, compare, figures, limit, statistics

shared = pytest.mark.skipif(
    not data_root().joinpath("prosqa/prosqa_test.json").is_file(), reason=f"no ProsQA files in {data_root()}"
)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30))
def test_a_number_becomes_its_mean_and_usual_error(values: list[float]) -> None:
    """Guards the ratio formula: for plain numbers it must be the textbook mean and standard error."""
    figure = figures({"x": value} for value in values)["x"]
    assert figure.value == pytest.approx(mean(values), abs=1e-9)
    assert figure.error == pytest.approx(stdev(values) / math.sqrt(len(values)), abs=1e-9)


def test_categories_become_shares() -> None:
    """Guards shares out of the wrong whole: of examples where one category each, of things where several."""
    found = figures([{"size": "2", "kind": ("a", "b")}, {"size": "10", "kind": ("a", "a")}, {"size": "2", "kind": ()}])
    assert {name: figure.value for name, figure in found.items()} == pytest.approx(
        {"size: 2": 2 / 3, "size: 10": 1 / 3, "kind: a": 3 / 4, "kind: b": 1 / 4}
    )
    assert list(found)[:2] == ["size: 2", "size: 10"], "numbers are sorted as numbers"


def test_errors_cover_things_that_come_in_clusters() -> None:
    """Guards an error that takes the nodes of one graph for independent: here all ten of a row are alike."""
    rng = random.Random(0)
    samples = [
        figures({"kind": ("a" if rng.random() < 0.5 else "b",) * 10} for _ in range(200))["kind: a"] for _ in range(300)
    ]
    assert stdev(f.value for f in samples) == pytest.approx(mean(f.error for f in samples), rel=0.15)
    assert mean(f.error for f in samples) == pytest.approx(math.sqrt(0.25 / 200), rel=0.05)


def test_comparing_covers_categories_of_either_set() -> None:
    """Guards a category that only one set has, which would be left out or divide by zero."""
    ours = figures({"x": "a" if i % 2 else "b"} for i in range(100))
    theirs = figures({"x": "a" if i % 4 else "c"} for i in range(100))
    rows = {row.name: row for row in compare(ours, theirs)}
    assert set(rows) == {"x: a", "x: b", "x: c"}
    assert rows["x: c"].ours.value == 0 == rows["x: b"].theirs.value
    assert rows["x: a"].apart == pytest.approx(-0.25 / math.sqrt(0.25 / 99 + 0.1875 / 99))
    assert rows["x: c"].apart < -3 and rows["x: b"].apart > 3


def test_the_same_set_is_not_apart_from_itself() -> None:
    """Guards figures without spread (an error of 0): equal is 0 apart, different is infinitely apart."""
    same = Figure(value=4.0, error=0.0, num=9)
    assert same.apart(same) == 0
    assert same.apart(Figure(value=5.0, error=0.0, num=9)) == -math.inf


def test_the_limit_grows_with_the_number_of_figures() -> None:
    """Guards forty comparisons read as one: the largest of many normal differences is larger."""
    assert limit(1) == pytest.approx(2.576, abs=0.001)
    rng = random.Random(0)
    beyond = sum(max(abs(rng.gauss(0, 1)) for _ in range(40)) > limit(40) for _ in range(4000))
    assert beyond / 4000 < 0.015


def test_nothing_to_measure_is_an_error() -> None:
    """Guards an empty table taken for a result."""
    with pytest.raises(ValueError, match="at least one example to measure"):
        statistics([], ProsQA())


def test_every_task_has_figures() -> None:
    """Guards `data stats` on tasks that measure nothing of their own: the default counts steps and words."""
    task = Fork()
    found = statistics(task.examples("test")[:20], task)
    assert found["steps"].value == 3 and found["number of steps: 3"].value == 1
    assert found["question words"].error > 0 or found["question words"].value == len(
        task.examples("test")[0].question.split()
    )


# 0 -> 2 -> 4, 0 -> 3 -> 4 and 1 -> 3, 1 -> 5; asked about node 0; 4 is right. Node 6 -> 5 belongs to no family.
SMALL = Example(
    question="A is a c. A is a d. B is a d. B is a f. Every c is a e. Every d is a e. G is a f. Is A a e or f?",
    steps=("A is a c.", "Every c is a e."),
    answer="A is a e.",
    meta={
        "idx_to_symbol": ("A", "B", "c", "d", "e", "f", "G"),
        "edges": ((0, 2), (0, 3), (1, 3), (2, 4), (3, 4), (1, 5), (6, 5)),
        "root": 0,
        "target": 4,
        "neg_target": 5,
        "path": (0, 2, 4),
    },
)


def test_graph_figures_by_hand() -> None:
    """Guards each definition on a graph small enough to count."""
    assert graph_measures(SMALL) == {
        "nodes": 7,
        "edges": 7,
        "shortest paths": 2,
        "hops": "2",
        "hops from the other root to the wrong option": "1",
        "parentless nodes": "3",
        "asked root": "node 0",
        "first option": "right",
        "family of a node": ("asked", "other", "asked", "both", "both", "other", "none"),
        "parents of a node": ("1", "2", "2", "2", "0"),
    }


@shared
def test_graph_figures_of_the_release() -> None:
    """Guards the definitions against shared/reference/paper.md, which gives these for the 800 released rows."""
    task = ProsQA()
    found = figures(graph_measures(e) for e in [*task.examples("valid"), *task.examples("test")])
    wanted = {
        "nodes": 22.8,
        "edges": 36.0,
        "shortest paths": 1.59,
        "hops: 3": 0.41,
        "hops: 4": 0.44,
        "hops from the other root to the wrong option: 2": 0.52,
        "parentless nodes: 2": 0.58,
        "asked root: node 1": 0.64,
        "family of a node: both": 0.054,
        "parents of a node: 2": 0.30,
    }
    assert {name: found[name].value for name in wanted} == pytest.approx(wanted, abs=0.01)
