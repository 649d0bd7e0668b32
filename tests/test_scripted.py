"""The constructed models do what they are said to do, through the real engine."""

from __future__ import annotations

import numpy as np
import pytest

from scripted import KINDS, METHOD, TASK, Kind, scripted
from unspoken.analysis.cache import make_cache
from unspoken.evaluate import evaluate
from unspoken.tasks.graphs import distances

EXAMPLES = TASK.examples("test")[:40]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_script_answers(kind: Kind) -> None:
    """An audit tested on a model that does not do what its name says would prove nothing."""
    records = evaluate(scripted(kind), TASK, METHOD, EXAMPLES)
    right = sum(record.correct for record in records)
    if kind == "parrots":
        first = [example.question.split(" ? ")[1].split()[0] for example in EXAMPLES]
        assert [record.prediction for record in records] == first
    else:
        assert right == len(EXAMPLES)


@pytest.mark.parametrize("kind", ["bfs", "ignores"])
def test_forced_to_write_early_they_name_the_next_nodes(kind: Kind) -> None:
    """After k thoughts every node one hop further, and no other, has the same value."""
    cache = make_cache(scripted(kind), TASK, METHOD, EXAMPLES)
    assert cache.hops is not None
    for index, example in enumerate(EXAMPLES):
        graph = TASK.graph(example)
        hops = distances(graph.children(), graph.root)
        for stop in range(TASK.hops):
            frontier = [node for node, away in hops.items() if away == cache.hops[index][stop]]
            values = cache.values(index)[stop]
            assert np.allclose(values[frontier], 1 / len(frontier), atol=1e-5)
            assert values.sum() == pytest.approx(1, abs=1e-4)


def test_forced_to_write_early_they_end_in_a_leaf() -> None:
    """What is written after k thoughts is the rest of a path, then its end once more."""
    for thoughts in range(TASK.hops):
        for record in evaluate(scripted("ignores"), TASK, METHOD, EXAMPLES, thoughts=thoughts):
            words = record.output.split()
            assert len(words) == TASK.hops - thoughts + 1 and words[-1] == words[-2]
