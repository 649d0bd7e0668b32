"""Steering pushes thoughts where it says, and moves those models that read them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from scripted import METHOD, TASK, Kind, scripted
from unspoken.audit.context import Context
from unspoken.audit.steering import MIN_STEERED, STRENGTHS, Pattern, Probe, Steering, frontier, refusal, ridge, steer
from unspoken.methods import PauseAsThought
from unspoken.tasks.graphs import Graph
from unspoken.tasks.hops import Hops

GRAPH = Graph(
    num_nodes=6, edges=((0, 1), (0, 2), (1, 3), (2, 3), (3, 4)), root=0, target=4, neg_target=5, path=(0, 1, 3, 4)
)


@cache
def steered(kind: Kind) -> Steering:
    """A constructed model, steered."""
    return steer(Context(scripted(kind), TASK, METHOD, TASK.examples("test")[:60]))


def test_frontier() -> None:
    """By hand: a thought beyond the last node keeps to the last one, as a chain that has ended would."""
    assert [frontier(GRAPH, hops) for hops in (1, 2, 3, 4)] == [{1, 2}, {3}, {4}, {4}]


def test_ridge_finds_the_weights() -> None:
    """Weights and not their transpose, and a level that all share must not matter."""
    rng = np.random.default_rng(0)
    inputs, weights = rng.standard_normal((500, 4)) + 7, rng.standard_normal((4, 3))
    found = ridge(inputs, inputs @ weights - 3)
    assert found == pytest.approx(weights, rel=0.03, abs=0.03)


def test_directions_of_a_thought_that_is_its_frontier() -> None:
    """A thought with a one at each node of its frontier: every kind must find the nodes' own axes."""
    rng = np.random.default_rng(1)
    frontiers = (rng.random((400, 5)) < 0.3).astype(float)
    thoughts = np.concatenate([frontiers, np.zeros((400, 3))], axis=1).astype(np.float32)
    for direction in (Probe(), Pattern()):
        found = direction.per_name(thoughts, frontiers)
        assert found.shape == (5, 8)
        assert found[:, :5] == pytest.approx(np.eye(5), abs=0.03)
        assert found[:, 5:] == pytest.approx(np.zeros((5, 3)), abs=0.03)


def test_who_reads_thoughts_is_moved_and_who_does_not_is_not() -> None:
    """Without the model that ignores its thoughts, a push that breaks any model would pass for steering."""
    bfs, ignores = steered("bfs"), steered("ignores")
    assert bfs.num == ignores.num == 30
    assert bfs.before.mean == ignores.before.mean == 0
    assert min(bfs.fit) > 0.8, "the probe reads a frontier that is written there"
    doses = {(dose.direction, dose.where, dose.strength): dose for dose in bfs.doses}
    assert len(doses) == 4 * 2 * len(STRENGTHS)
    for direction in ("probe", "pattern", "unembedding"):
        assert doses[direction, "last", 2.0].switched.mean > 0.9, direction
    assert doses["random", "last", 1.0].switched.mean < 0.5
    assert all(dose.switched.mean == 0 and dose.right.mean == 1 for dose in ignores.doses)


def test_no_steering_without_directions() -> None:
    """Each reason in words, or the page would show an empty section."""
    examples = TASK.examples("test")
    model = scripted("ignores")
    few = refusal(Context(model, TASK, METHOD, examples[: 2 * MIN_STEERED - 1]))
    assert few is not None and "39 problems" in few
    pauses = refusal(Context(model, TASK, PauseAsThought(max_stage=3), examples[:4]))
    assert pauses is not None and "pause" in pauses
    hops = Hops(nodes=5, hops=2)
    no_graph = refusal(Context(scripted("ignores", TASK), hops, METHOD, hops.examples("test")[:4]))
    assert no_graph is not None and "no graphs" in no_graph
    assert refusal(Context(model, TASK, METHOD, examples[:60])) is None
