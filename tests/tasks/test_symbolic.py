"""ProsQA without language: the same graphs as in words, symbols that tell nothing."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from prosqa_graphs import RELEASED, all_shortest, symbol
from unspoken.tasks.prosqa import ProsQA, graph_of, told_edges
from unspoken.tasks.rows import data_root
from unspoken.tasks.symbolic import NODE_SYMBOLS, SymbolicProsQA

shared = pytest.mark.skipif(not all(path.is_file() for path in RELEASED), reason=f"no ProsQA files in {data_root()}")

TEXT = ProsQA(num_train=3000)
SYMBOLIC = SymbolicProsQA(problems=TEXT)


def test_symbolic_form_shows_the_same_graphs() -> None:
    """Guards the comparison of the two forms: problem i must be the same problem in both."""
    for i in range(50):
        example = SYMBOLIC.examples("train")[i]
        assert graph_of(example) == graph_of(TEXT.examples("train")[i])
        symbols = example.meta["idx_to_symbol"]
        assert sorted(told_edges(example.question, symbols)) == sorted(example.meta["edges"])
        told, _, asked = example.question.partition(" ? ")
        assert all(re.fullmatch(r"n\d+ n\d+", edge) for edge in told.split(" ; "))
        options, _, root = asked.partition(" | ")
        assert root == symbol(example, example.meta["root"])
        assert set(options.split()) == {symbol(example, example.meta[key]) for key in ("target", "neg_target")}
        assert example.answer == example.steps[-1] == symbol(example, example.meta["target"])


def test_redraw_changes_the_view_and_not_the_problem() -> None:
    """Guards redrawing: new symbols, orders and paths each epoch, the same graph, and every path a shortest one."""
    # An example with several shortest paths, so that resampling shows.
    example = next(e for e in SYMBOLIC.examples("train") if len(list(all_shortest(graph_of(e)))) > 2)
    rng = random.Random(0)
    views = [SYMBOLIC.redraw(example, rng) for _ in range(300)]
    assert SYMBOLIC.redraw(example, random.Random(3)) == SYMBOLIC.redraw(example, random.Random(3))
    assert len({view.question for view in views}) == 300
    assert {tuple(graph_of(view).path) for view in views} == all_shortest(graph_of(example))
    for view in views:
        graph = graph_of(view)
        assert (graph.edges, graph.root, graph.target) == (*[example.meta[key] for key in ("edges", "root", "target")],)
        assert view.steps == tuple(symbol(view, node) for node in graph.path[1:])
    first = sum(view.question.split()[-4] == view.answer for view in views)
    assert 110 < first < 190, "the right option does not stand first in half of the views"
    used = Counter(symbol(view, graph_of(view).target) for view in views)
    assert set(used) == set(NODE_SYMBOLS), "a symbol tells whether its node is the target"
    text = TEXT.examples("train")[0]
    assert TEXT.redraw(text, rng) == text


@shared
def test_symbols_of_a_published_row_depend_on_its_index_alone() -> None:
    """Guards test sets that differ between runs: only training examples are redrawn."""
    examples = SYMBOLIC.examples("test")
    assert examples == SYMBOLIC.examples("test") == SymbolicProsQA(problems=ProsQA(train_seed=5)).examples("test")
    first = Counter(symbol(example, 0) for example in examples)
    assert len(first) == len(NODE_SYMBOLS) and max(first.values()) < 30
    shorter = SymbolicProsQA(max_hops=3).examples("test")
    assert all(example in examples for example in shorter)
