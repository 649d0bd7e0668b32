"""How problems on graphs name their nodes, and what they ask when somebody else is asked about."""

from __future__ import annotations

import pytest

from unspoken.specs import Words
from unspoken.tasks.base import Task
from unspoken.tasks.fork import Fork
from unspoken.tasks.graphs import distances
from unspoken.tasks.graphs.debiased import Debiased
from unspoken.tasks.hops import Hops
from unspoken.tasks.prosqa import ProsQA, mentions, told_edges
from unspoken.tasks.symbolic import SymbolicProsQA
from unspoken.tokenization import build_tokenizer, encode

TEXT = ProsQA(graphs=Debiased(), num_test=40)
SYMBOLS = SymbolicProsQA(problems=TEXT)
FORK = Fork(num_test=40)


@pytest.mark.parametrize("task", [TEXT, SYMBOLS, FORK])
def test_asked_otherwise_the_other_option_is_right(task: Task) -> None:
    """Guards the swap test of the audit: a wrong target would call a model's right answer wrong."""
    for example in task.examples("test"):
        graph, other = task.graph(example), task.asked_otherwise(example)
        assert graph is not None and other is not None
        asked = task.graph(other)
        assert asked is not None
        assert (asked.target, asked.neg_target) == (graph.neg_target, graph.target)
        assert asked.root != graph.root and not asked.parents()[asked.root]
        reached = distances(asked.children(), asked.root)
        assert asked.target in reached and asked.neg_target not in reached
        assert len(other.steps) == reached[asked.target] == len(asked.path) - 1
        # The same facts and options in the same order; nothing but the name of who is asked about differs.
        symbols = example.meta["idx_to_symbol"]
        assert told_edges(other.question, symbols) == told_edges(example.question, symbols)
        before, after = mentions(example.question, symbols), mentions(other.question, symbols)
        assert {graph.root, asked.root} == set(before[-3:]) ^ set(after[-3:])
        assert other.answer != example.answer and task.correct(task.extract(task.write(other).answer), other)


@pytest.mark.parametrize("task", [TEXT, SYMBOLS, FORK])
def test_a_right_chain_goes_on_as_the_naming_says(task: Task) -> None:
    """Guards the values of nodes: the gold chain's own next words must be among the names, at the right distance."""
    tokenizer = build_tokenizer(Words(), task)
    for example in task.examples("test"):
        graph = task.graph(example)
        assert graph is not None
        steps = [encode([step], tokenizer)[0] for step in task.write(example).steps]
        for done, following in list(enumerate(steps))[1:]:
            for naming in (
                task.naming(example, done),
                task.naming(example, 0, done),
                task.naming(example, 1, done - 1),
            ):
                assert naming is not None and len(naming.names) == graph.num_nodes
                before, name = encode([naming.before, naming.names[graph.path[naming.hops]]], tokenizer)
                assert following[: len(before) + len(name)] == [*before, *name]
                assert len({tuple(ids) for ids in encode(list(naming.names), tokenizer)}) == graph.num_nodes


def test_a_written_chain_names_where_the_next_sentence_leads() -> None:
    """What a written chain has just named it can only repeat; beside thoughts its *next* choice must stand."""
    example = next(example for example in TEXT.examples("test") if len(example.steps) > 2)
    hidden, written = TEXT.naming(example, 2), TEXT.naming(example, 0, 2)
    assert (hidden.before, hidden.hops) == ("Every", 2)
    assert (written.before, written.hops) == (example.steps[2].rpartition(" ")[0], 3)


def test_no_graph_no_names() -> None:
    """A task without graphs says so instead of failing."""
    task = Hops()
    example = task.examples("test")[0]
    assert task.graph(example) is task.naming(example, 1) is task.asked_otherwise(example) is None
