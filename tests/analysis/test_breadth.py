"""The measure of breadth: by hand on one graph, and on models that search and that do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.subjects import NUM, SEARCH, subject
from unspoken.analysis.base import DoesNotApply
from unspoken.analysis.breadth import FRONTIER, MEASURES, NODES, Breadth, BreadthFound, measure_values
from unspoken.analysis.commitment import Commitment, CommitmentFound
from unspoken.analysis.heights import Heights, HeightsFound
from unspoken.analysis.parallelism import ParallelFound, Parallelism

# Of SEARCH's nodes 0..7: 1 and 2 are one hop away, 1 leads to the right option, 5 and 7 cannot be reached.
VALUES = np.array([0.05, 0.3, 0.1, 0.0, 0.0, 0.04, 0.0, 0.01])


def _measured(values: np.ndarray, hops: int) -> dict[str, float]:
    with np.errstate(divide="ignore"):
        logs = np.log(values).astype(np.float32)
    return dict(zip(MEASURES, measure_values(logs, SEARCH, hops).tolist(), strict=True))


def test_measures_by_hand() -> None:
    """Guards each definition of the module's table against a graph where all shares can be counted."""
    found = _measured(VALUES, 1)
    undecided = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert found == pytest.approx(
        {
            "mass": 0.5,
            "frontier": 0.8,
            "reachable": 0.1,
            "unreachable": 0.1,
            "solution": 0.6,
            "candidates": np.exp(undecided),
            "evenness": undecided / np.log(2),
            "divergence": np.log(2) - undecided,
            "top on solution": 1.0,
        },
        rel=1e-5,
    )


def test_a_single_frontier_node_has_no_evenness() -> None:
    """Guards the logarithm of one: 0 / 0 would be taken for an even, or an uneven, spread."""
    found = _measured(VALUES + 0.01, 3)
    assert np.isnan(found["evenness"])
    assert (found["candidates"], found["divergence"]) == (1, 0)


def test_ties_at_the_top_share_the_point() -> None:
    """Guards argmax, which would call the first of level nodes the top one."""
    assert _measured(np.array([0, 0.2, 0.2, 0, 0, 0, 0, 0.1]), 1)["top on solution"] == 0.5


def test_a_breadth_first_search_measures_as_one() -> None:
    """Guards the whole way from states to measures: hops off by one, or another problem's graph, would show."""
    found = Breadth().measure(subject("bfs"))
    assert isinstance(found, BreadthFound)
    assert [(stop.stop, stop.hops, stop.num) for stop in found.stops] == [(0, 1, NUM), (1, 2, NUM), (2, 3, NUM)]
    for stop in found.stops:
        measures = stop.measures
        assert stop.frontier_size == 2
        assert measures["frontier"].found.mean == pytest.approx(1, abs=1e-6)
        assert measures["unreachable"].found.high == pytest.approx(0, abs=1e-6)
        assert measures["candidates"].found.mean == pytest.approx(stop.frontier_size, abs=1e-5)
        assert measures["evenness"].found.low == pytest.approx(1, abs=1e-5)
        # Of two arms one is right, and it cannot tell which.
        assert measures["solution"].found.mean == pytest.approx(0.5, abs=1e-5)
        assert measures["mass"].found.mean == pytest.approx(1, abs=1e-5)


def test_chance_levels_by_hand() -> None:
    """Guards the levels that everything is held against: 14 nodes in two families of seven, two arms each."""
    found = Breadth().measure(subject("bfs"))
    assert isinstance(found, BreadthFound)
    for stop in found.stops:
        chances = {name: stop.measures[name].chances for name in MEASURES}
        assert chances["mass"] == {}
        assert chances["frontier"] == pytest.approx({NODES: 2 / 14, FRONTIER: 1})
        assert chances["reachable"] == pytest.approx({NODES: 5 / 14, FRONTIER: 0})
        assert chances["unreachable"] == pytest.approx({NODES: 7 / 14, FRONTIER: 0})
        assert chances["solution"] == pytest.approx({NODES: 1 / 14, FRONTIER: 0.5})
        assert chances["top on solution"] == pytest.approx({NODES: 1 / 14, FRONTIER: 0.5})
        assert chances["candidates"] == pytest.approx({NODES: 2, FRONTIER: 2})


def test_beside_itself_a_model_differs_by_nothing() -> None:
    """Guards the pairing of problems and hops: any shift would show as a difference."""
    found = Breadth().measure(subject("bfs"))
    assert isinstance(found, BreadthFound)
    for stop in found.stops:
        for measure in stop.measures.values():
            assert measure.difference is not None
            assert measure.beside == measure.found
            assert (measure.difference.low, measure.difference.high) == (0, 0)


def test_an_undecided_search_never_commits() -> None:
    """Guards commitment: two level nodes hold a half each, which even values do too, and never nine tenths."""
    found = Commitment().measure(subject("bfs"))
    assert isinstance(found, CommitmentFound)
    half, most = found.held
    assert half.since_by_chance == {"0": 1, "1": 0, "2": 0, "never": 0}
    assert most.since_by_chance == {"0": 0, "1": 0, "2": 0, "never": 1}
    assert most.since["never"].mean == 1
    assert most.leads is None


def test_parallelism_of_a_breadth_first_search() -> None:
    """Guards the cumulative values: a half, then one, in every problem."""
    found = Parallelism().measure(subject("bfs"))
    assert isinstance(found, ParallelFound)
    assert [stop.stop for stop in found.stops] == [0, 1, 2]
    for stop in found.stops:
        assert stop.sorted["top 1"] == pytest.approx([0.5] * NUM, abs=1e-4)
        assert stop.sorted["top 2"] == pytest.approx([1.0] * NUM, abs=1e-4)
        assert stop.sorted["top 3"] == stop.sorted["top 2"]
        assert (stop.alone.mean, stop.alone_by_chance) == (pytest.approx(0.5, abs=1e-4), 0.5)


def test_heights_of_a_breadth_first_search() -> None:
    """Guards height and who leads: in a fork without crossings a hop has one height, and one of two nodes leads."""
    found = Heights().measure(subject("bfs"))
    assert isinstance(found, HeightsFound)
    assert {name: [each.height for each in levels] for name, levels in found.by_stop.items()} == {
        "all": [0, 1, 2],
        "0": [2],
        "1": [1],
        "2": [0],
    }
    for level in found.by_stop["all"]:
        assert (level.num_leading, level.num_others, level.even) == (NUM, NUM, 0.5)
        assert level.leading is not None and level.difference is not None
        assert level.leading.mean == pytest.approx(0.5, abs=1e-4)
        assert level.difference.mean == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("analysis", [Breadth(), Commitment(), Parallelism(), Heights()], ids=lambda each: each.name)
def test_pages_and_figures(analysis: object, tmp_path: Path) -> None:
    """Guards what is written: every figure a page shows is there with its data, and no mean stands alone."""
    assert isinstance(analysis, (Breadth, Commitment, Parallelism, Heights))
    found = analysis.measure(subject("bfs"))
    assert not isinstance(found, DoesNotApply)
    analysis.draw(found, tmp_path / "figures")  # pyrefly: ignore[bad-argument-type]
    page = "\n".join(analysis.page(found))  # pyrefly: ignore[bad-argument-type]
    figures = [part.split(")")[0] for part in page.split("](figures/")[1:]]
    assert len(figures) >= 3
    for name in figures:
        assert (tmp_path / "figures" / name).stat().st_size > 0
    assert "[" in page and "nan" not in page
