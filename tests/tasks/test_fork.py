"""Fork: the second act's task, and its claim that no shortcut solves it."""

from __future__ import annotations

import random
from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.shortcuts.graphs import BLIND, shortcut_accuracies
from unspoken.tasks.fork import HIDDEN, Fork

TASKS = st.builds(
    Fork,
    hops=st.integers(2, 4),
    width=st.integers(2, 3),
    crossings=st.integers(0, 2),
    symbols=st.just(40),
)


@given(task=TASKS, seed=st.integers(0, 10_000))
def test_the_chain_is_a_shortest_path_and_the_wrong_option_unreachable(task: Fork, seed: int) -> None:
    """Guards the gold answer, read back from the question's own text."""
    example = task.draw(random.Random(seed))
    told, asked = example.question.split(" ? ")
    facts = [fact.split() for fact in told.removesuffix(" ;").split(" ; ")]
    graph = nx.DiGraph([(a, b) for a, b in facts])
    options, root = asked.split(" | ")
    walked = [root, *example.steps]
    assert all(graph.has_edge(a, b) for a, b in pairwise(walked))
    assert len(example.steps) == task.hops == nx.shortest_path_length(graph, root, example.answer)
    (wrong,) = set(options.split()) - {example.answer}
    assert not nx.has_path(graph, root, wrong)
    assert graph.out_degree(wrong) == graph.out_degree(example.answer) == 0


def test_no_shortcut_scores_above_65_percent() -> None:
    """Guards act 2's claim: whatever does not look at who is asked about is right in half of the problems."""
    scores = shortcut_accuracies(Fork().examples("test")[:1000], BLIND)
    assert len(scores) >= 20
    assert max(scores.values()) < 0.65


def test_what_fork_does_not_hide() -> None:
    """Guards the docstring: the families touch nowhere and have three hops, so these two *are* the task here."""
    scores = shortcut_accuracies(Fork().examples("test")[:200])
    assert scores["directions ignored"] == scores["parent within 2 hops of the root"] == 1.0


def test_first_steps_tempt() -> None:
    """Guards the planning: at the root, an arm that cannot reach the target is often there."""
    task = Fork()
    dead = 0
    for example in task.examples("test")[:300]:
        graph = nx.DiGraph(list(example.meta["edges"]))
        dead += any(
            not nx.has_path(graph, child, example.meta["target"]) for child in graph.successors(example.meta["root"])
        )
    assert dead > 100


def test_hidden_options_are_for_training_only() -> None:
    """Guards evaluation: an untold option would make the question unanswerable."""
    task = Fork(hidden=1.0)
    example = task.examples("test")[0]
    assert HIDDEN not in example.question
    assert task.redraw(example, random.Random(0)).question.count(HIDDEN) == 2


def test_problems_are_their_seeds() -> None:
    """Guards reproducibility: problem i depends on seed, split and i alone."""
    assert Fork().examples("test")[7] == Fork().examples("test")[7]
    assert Fork().examples("test")[7] != Fork().examples("valid")[7]
    assert Fork().examples("test")[7] != Fork(data_seed=1).examples("test")[7]


@pytest.mark.parametrize("settings", [{"symbols": 13}, {"symbols": 99}, {"crossings": 5}, {"hidden": 1.5}])
def test_impossible_settings_are_refused(settings: dict[str, float]) -> None:
    """Guards against graphs that cannot be drawn."""
    with pytest.raises(ValueError, match=r"must be|expected"):
        Fork(**settings)  # pyrefly: ignore[bad-argument-type]


def test_outputs_fall_into_the_papers_classes() -> None:
    """Guards the classes of act 2: all paths are equally long, so none is a longer one."""
    task = Fork(num_test=5)
    for example in task.examples("test"):
        *path, _ = example.steps
        other = next(name for name in example.meta["idx_to_symbol"] if name not in (*example.steps, example.answer))
        written = {
            " ".join([*example.steps, example.answer]): "correct path",
            " ".join([*path, other, other]): "hallucination",
            example.answer: "correct label",
            other: "incorrect label",
        }
        for text, found in written.items():
            assert task.classify(text, example, hidden=0) == found
        assert task.classify(" ".join([*example.steps[1:], example.answer]), example, hidden=1) == "correct path"
