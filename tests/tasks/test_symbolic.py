"""ProsQA without language: the same graphs as in words, symbols that tell nothing."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import pytest

from prosqa_graphs import RELEASED, all_shortest, make_rows, symbol, write_rows
from unspoken.tasks.graphs.debiased import Debiased
from unspoken.tasks.graphs.varied import SEVEN_HOPS, Varied
from unspoken.tasks.hops import Hops
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


def test_other_sources_need_room() -> None:
    """Guards runs that fail in the middle: a source with longer chains or more nodes than settings allow, at once."""
    with pytest.raises(ValueError, match=r"max_hops: expected at least 7, .* \(prosqa-varied\), got 6"):
        SymbolicProsQA(problems=ProsQA(graphs=SEVEN_HOPS))
    with pytest.raises(
        ValueError, match=r"symbols: expected one for every node .*, at least 50, got 40; raise symbols"
    ):
        SymbolicProsQA(problems=ProsQA(graphs=Varied(num_nodes=50)))
    wide = SymbolicProsQA(problems=ProsQA(graphs=Varied(num_nodes=50), num_train=30), symbols=50)
    used = {word for example in wide.examples("train") for word in example.question.split()}
    assert used <= set(wide.words()) and len(wide.words()) == 54
    shorter = SymbolicProsQA(problems=ProsQA(graphs=Varied(), num_train=50), max_hops=4).examples("train")
    assert {len(example.steps) for example in shorter} == {3, 4}


def test_validation_of_other_sources_shows_the_same_graphs() -> None:
    """Guards validation and test splits that are generated: the symbolic form must show the graphs of the text form."""
    text = ProsQA(graphs=Debiased(), num_valid=5, num_test=5)
    for split in ("valid", "test"):
        symbolic = SymbolicProsQA(problems=text).examples(split)
        assert [graph_of(example) for example in symbolic] == [graph_of(example) for example in text.examples(split)]


def test_files_and_other_problems_in_symbols(tmp_path: Path) -> None:
    """Guards evaluation on other data: a model of symbols must be asked in symbols, and about all of its problems."""
    path = tmp_path / "p.json"
    write_rows(path, make_rows(5, 1))
    assert [graph_of(e) for e in SYMBOLIC.on_file(path).examples("test")] == [
        graph_of(e) for e in ProsQA(test_file=path).examples("test")
    ]
    asked = SYMBOLIC.asking(ProsQA(graphs=SEVEN_HOPS, num_test=3))
    assert [len(example.steps) for example in asked.examples("test")] == [7, 7, 7]
    assert asked.words() == SYMBOLIC.words()
    assert SYMBOLIC.asking(Hops()) == Hops()
    write_rows(path, make_rows(60, 1, graphs=Varied(num_nodes=50)))
    with pytest.raises(
        ValueError, match=r"p\.json: row \d+: field `idx_to_symbol`: expected at most 40 nodes, .* raise"
    ):
        SYMBOLIC.on_file(path).examples("test")
