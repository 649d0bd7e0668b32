"""ProsQA: the generator against the released files, both written forms, and the loader."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec
import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unspoken.tasks import graphs
from unspoken.tasks.base import Example
from unspoken.tasks.graphs import Graph, distances, draw_graph, random_shortest_path
from unspoken.tasks.prosqa import (
    CONCEPTS,
    NAMES,
    NODE_SYMBOLS,
    ProsQA,
    ProsQARow,
    SymbolicProsQA,
    facts,
    graph_of,
    make_rows,
    read_examples,
    told_edges,
    write_rows,
)
from unspoken.tasks.rows import data_root, read_rows

RELEASED = [data_root() / "prosqa" / name for name in ("prosqa_valid.json", "prosqa_test.json")]
shared = pytest.mark.skipif(not all(path.is_file() for path in RELEASED), reason=f"no ProsQA files in {data_root()}")

SHA256_OF_50_ROWS = "3e2cec5c2ef448fd73d560118bce7bcb1f788778bd1f3074ae532d8ec5258f80"

TEXT = ProsQA(num_train=3000)
SYMBOLIC = SymbolicProsQA(problems=TEXT)


@pytest.fixture(scope="module")
def generated() -> list[Example]:
    return list(TEXT.examples("train"))


def digraph(graph: Graph) -> nx.DiGraph[int]:
    digraph: nx.DiGraph[int] = nx.DiGraph()
    digraph.add_nodes_from(range(graph.num_nodes))
    digraph.add_edges_from(graph.edges)
    return digraph


def check_problem(graph: Graph) -> None:
    g = digraph(graph)
    assert g.number_of_edges() == len(graph.edges), "an edge is there twice"
    assert all(parent < child for parent, child in graph.edges), "node numbers are not topological"
    assert min(degree for _, degree in g.degree()) > 0, "an isolated node was kept"
    assert graph.root in (0, 1)
    assert graph.path[0] == graph.root and graph.path[-1] == graph.target
    assert all(g.has_edge(*edge) for edge in pairwise(graph.path))
    assert len(graph.path) - 1 == nx.shortest_path_length(g, graph.root, graph.target), "the chain is not shortest"
    assert not nx.has_path(g, graph.root, graph.neg_target), "the wrong option is right too"
    assert nx.has_path(g, 1 - graph.root, graph.neg_target) and not nx.has_path(g, 1 - graph.root, graph.target)
    assert g.out_degree(graph.target) == 0 == g.out_degree(graph.neg_target)


def test_every_generated_problem_has_exactly_one_right_option(generated: list[Example]) -> None:
    """Guards wrong gold: a chain that is no shortest path, a wrong option that can be reached, an isolated node."""
    for example in generated[:1000]:
        check_problem(graph_of(example))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(), num_nodes=st.integers(16, 50), min_hops=st.integers(1, 4), spread=st.integers(1, 4))
def test_problems_of_other_sizes_keep_the_invariants(seed: int, num_nodes: int, min_hops: int, spread: int) -> None:
    """Guards the out-of-distribution knobs: bounds that are ignored, or invariants that only hold at 28 nodes."""
    graph = draw_graph(random.Random(seed), num_nodes=num_nodes, min_hops=min_hops, max_hops=min_hops + spread)
    check_problem(graph)
    assert min_hops <= len(graph.path) - 1 <= min_hops + spread
    assert graph.num_nodes <= num_nodes


def test_impossible_bounds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards an endless loop: bounds no graph can meet must end in an error that names them."""
    with pytest.raises(ValueError, match=r"min_hops 5, max_hops 4 and num_nodes 28; raise num_nodes"):
        draw_graph(random.Random(0), min_hops=5, max_hops=4)
    monkeypatch.setattr(graphs, "_MAX_ATTEMPTS", 50)
    with pytest.raises(ValueError, match=r"no graph of 28 nodes with a chain of 20 to 25 hops in 50 attempts; raise"):
        draw_graph(random.Random(0), min_hops=20, max_hops=25)


def test_poisson_table_is_the_distribution() -> None:
    """Guards a mistyped literal in the table of cumulative probabilities."""
    terms = [math.exp(-1.5) * 1.5**n / math.factorial(n) for n in range(len(graphs._POISSON))]
    wanted = pytest.approx([sum(terms[: n + 1]) for n in range(len(terms))], abs=1e-12)
    assert list(graphs._POISSON) == wanted


def test_random_shortest_path_is_uniform() -> None:
    """Guards choosing among next nodes rather than paths, which would favour paths through narrow nodes."""
    # 0 -> 4 either by way of 1 and then 5 or 6, or by way of 2 and then 3; 0 -> 7 -> 8 -> 9 -> 4 is longer.
    edges = [(0, 1), (0, 2), (1, 5), (1, 6), (2, 3), (3, 4), (5, 4), (6, 4), (0, 7), (7, 8), (8, 9), (9, 4)]
    parents = [[a for a, b in edges if b == node] for node in range(10)]
    rng = random.Random(0)
    paths = Counter(random_shortest_path(parents, root=0, target=4, rng=rng) for _ in range(3000))
    assert set(paths) == {(0, 1, 5, 4), (0, 1, 6, 4), (0, 2, 3, 4)}
    assert all(900 < num < 1100 for num in paths.values())
    with pytest.raises(ValueError, match="node 0 cannot be reached from node 4"):
        random_shortest_path(parents, root=4, target=0, rng=rng)


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


def symbol(example: Example, node: int) -> str:
    return example.meta["idx_to_symbol"][node]


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


def test_rows_are_pinned() -> None:
    """Guards silent changes of the generator: other rows for the same seed need a new `ProsQA.version`."""
    text = json.dumps([msgspec.to_builtins(row) for row in make_rows(50, 0)])
    assert hashlib.sha256(text.encode()).hexdigest() == SHA256_OF_50_ROWS


def test_a_problem_depends_on_seed_and_index_alone(generated: list[Example]) -> None:
    """Guards generators with hidden state: another order, another number or another process must not change a row."""
    rows = list(make_rows(20, 0))
    assert [(row.question, row.steps, row.answer) for row in rows] == [
        (e.question, e.steps, e.answer) for e in generated[:20]
    ]
    assert ProsQA(num_train=7).examples("train")[6] == generated[6]
    assert ProsQA(train_seed=1).examples("train")[6] != generated[6]
    assert len({example.question for example in generated}) == len(generated)


def test_train_examples_can_be_sent_to_a_worker(generated: list[Example]) -> None:
    """Guards data loaders that spawn workers: a lambda inside the sequence cannot be pickled."""
    for task in (TEXT, SYMBOLIC):
        assert pickle.loads(pickle.dumps(task.examples("train")))[5] == task.examples("train")[5]


@given(seed=st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_text_parses_back_to_the_graph(seed: int) -> None:
    """Guards the writing: a sentence lost, an edge turned round, a name on a node with parents."""
    (row,) = make_rows(1, seed)
    *sentences, question = re.findall(r"[^.?]+[.?]", row.question)
    has_parent = {child for _, child in row.edges}
    for node, name in enumerate(row.idx_to_symbol):
        assert name in (CONCEPTS if node in has_parent else NAMES)
    index = {name: node for node, name in enumerate(row.idx_to_symbol)}
    edges = []
    for sentence in sentences:
        match = re.fullmatch(r" ?(Every )?(\w+) is a (\w+)\.", sentence)
        assert match is not None
        edges.append((index[match[2]], index[match[3]]))
        assert (match[1] is None) == (match[2] in NAMES)
    assert sorted(edges) == sorted(row.edges)
    assert edges == told_edges(row.question, row.idx_to_symbol)
    match = re.fullmatch(r" Is (\w+) a (\w+) or (\w+)\?", question)
    assert match is not None
    assert index[match[1]] == row.root
    assert {index[match[2]], index[match[3]]} == {row.target, row.neg_target}
    assert row.answer == f"{match[1]} is a {row.idx_to_symbol[row.target]}."


@pytest.mark.parametrize("task", [TEXT, SYMBOLIC], ids=["text", "symbolic"])
def test_words_cover_everything_written(task: ProsQA | SymbolicProsQA) -> None:
    """Guards word-level tokenizers: a word outside the vocabulary becomes <unk>, and two nodes look the same."""
    words = task.words()
    assert len(set(words)) == len(words)
    used: set[str] = set()
    for i in range(300):
        written = task.write(task.examples("train")[i])
        used.update(" ".join([written.question, *written.steps, written.answer]).split())
    assert used <= set(words)
    assert len(task.examples("train")[0].steps) + 3 <= task.max_new_tokens


@shared
@pytest.mark.parametrize("split", ["valid", "test"])
def test_words_cover_the_published_files(split: Any) -> None:
    """Guards the word lists: 17 names and 38 concepts, every one of them released."""
    used: set[str] = set()
    for example in TEXT.examples(split):
        written = TEXT.write(example)
        used.update(" ".join([written.question, *written.steps, written.answer]).split())
    assert used <= set(TEXT.words())
    assert set(NAMES) <= used and set(CONCEPTS) <= used


@shared
@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_published_files_round_trip_byte_for_byte(path: Path, tmp_path: Path) -> None:
    """Guards the file format: field order, separators, and no line end."""
    rows = read_rows(path, ProsQARow)
    assert write_rows(tmp_path / "again.json", rows) == len(rows)
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


@shared
def test_published_files_load() -> None:
    """Guards checks that the release itself does not pass, and the sizes of its splits."""
    assert len(TEXT.examples("valid")) == len(SYMBOLIC.examples("valid")) == 300
    assert len(TEXT.examples("test")) == len(SYMBOLIC.examples("test")) == 500
    for example in TEXT.examples("test"):
        check_problem(graph_of(example))
        assert list(facts(example.meta["idx_to_symbol"], example.meta["edges"]))
    assert len(SymbolicProsQA(max_hops=4).examples("valid")) < 300


def test_generated_rows_load_as_a_training_file(tmp_path: Path, generated: list[Example]) -> None:
    """Guards a writer and a reader that disagree, and a `train_file` that is ignored."""
    path = tmp_path / "train.json"
    assert write_rows(path, make_rows(20, 0)) == 20
    assert ProsQA(train_file=path).examples("train") == generated[:20]
    assert [graph_of(e) for e in SymbolicProsQA(problems=ProsQA(train_file=path)).examples("train")] == [
        graph_of(e) for e in generated[:20]
    ]
    assert write_rows(path, []) == 0
    assert path.read_bytes() == b"[]"


def broken(**fields: Any) -> dict[str, Any]:
    (row,) = make_rows(1, 0)
    return {**msgspec.to_builtins(row), **fields}


ROW = broken()
BREAKS: list[tuple[dict[str, Any], str]] = [
    ({"edges": [[0, 99], *ROW["edges"][1:]]}, r"field `edges\[0\]`: expected a node .* from 0 to \d+, got 99"),
    ({"edges": [[0, 1, 2]]}, r"`\$\.edges\[0\]`"),
    ({"root": -1}, r"field `root`: expected a node .*, got -1"),
    ({"target": 99}, r"field `target`: .*, got 99"),
    ({"neg_target": 40}, r"field `neg_target`: .*, got 40"),
    ({"root": "Tom"}, r"Expected `int`, got `str` - at `\$\.root`"),
    ({"steps": []}, r"field `steps`: expected the sentences from root to target, got none"),
    (
        {"steps": ["Tom is a zebra."]},
        r"field `steps\[0\]`: expected the sentence of one of the edges, got 'Tom is a zeb",
    ),
    ({"steps": ROW["steps"][:1] + ROW["steps"][2:]}, r"field `steps\[1\]`: expected a step from \w+, where"),
    ({"steps": ROW["steps"][:-1]}, r"field `steps`: expected to end at \w+ \(from target\)"),
    ({"answer": "yes"}, r"field `answer`: expected '\w+ is a \w+\.' \(from root and target\), got 'yes'"),
    ({"question": "Is Tom a lempus or scrompus?"}, r"field `question`: expected to end by asking whether"),
    (
        {"question": ROW["question"].partition(". ")[2]},
        r"field `question`: expected one sentence for each of the \d+ edges",
    ),
    ({"idx_to_symbol": ["Tom"] * len(ROW["idx_to_symbol"])}, r"field `idx_to_symbol`: .* got some twice"),
]


@pytest.mark.parametrize(("fields", "message"), BREAKS)
def test_errors_name_file_row_and_field(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Guards errors that leave the user searching: each must name the file, the row and the field."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([ROW, {**ROW, **fields}]))
    with pytest.raises(ValueError, match=rf"mine\.json: row 1: .*{message}"):
        read_examples(path)


def test_settings_are_checked() -> None:
    """Guards settings that would only fail hours later, or train on nothing."""
    with pytest.raises(ValueError, match="num_train: expected at least 1, got 0"):
        ProsQA(num_train=0)
    with pytest.raises(ValueError, match="max_hops: expected at least 3, got 2"):
        SymbolicProsQA(max_hops=2)
    with pytest.raises(ValueError, match="expected a ProsQA example, with `idx_to_symbol` in its meta"):
        graph_of(Example(question="1 + 1?", steps=("<<1+1=2>>",), answer="2"))


def test_symbolic_form_shows_the_same_graphs(generated: list[Example]) -> None:
    """Guards the comparison of the two forms: problem i must be the same problem in both."""
    for i in range(50):
        example = SYMBOLIC.examples("train")[i]
        assert graph_of(example) == graph_of(generated[i])
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


def all_shortest(graph: Graph) -> set[tuple[int, ...]]:
    return {tuple(path) for path in nx.all_shortest_paths(digraph(graph), graph.root, graph.target)}


@shared
def test_symbols_of_a_published_row_depend_on_its_index_alone() -> None:
    """Guards test sets that differ between runs: only training examples are redrawn."""
    examples = SYMBOLIC.examples("test")
    assert examples == SYMBOLIC.examples("test") == SymbolicProsQA(problems=ProsQA(train_seed=5)).examples("test")
    first = Counter(symbol(example, 0) for example in examples)
    assert len(first) == len(NODE_SYMBOLS) and max(first.values()) < 30
    shorter = SymbolicProsQA(max_hops=3).examples("test")
    assert all(example in examples for example in shorter)


def test_extract_and_correct_follow_the_published_evaluation() -> None:
    """Guards the verdict: the text after the last `#`, equal to the answer sentence; partial matches are wrong."""
    text = TEXT.examples("train")[0]
    symbolic = SYMBOLIC.examples("train")[0]
    assert TEXT.correct(TEXT.extract("".join(TEXT.write(text).steps) + TEXT.write(text).answer), text)
    assert SYMBOLIC.correct(SYMBOLIC.extract(" ".join(symbolic.steps) + " " + symbolic.answer), symbolic)
    assert not TEXT.correct(TEXT.extract("### " + text.answer.removesuffix(".")), text)
    assert not SYMBOLIC.correct(SYMBOLIC.extract(symbolic.steps[0]), symbolic)


def test_importing_the_task_is_cheap() -> None:
    """Guards the command line's start: listing tasks must not load torch, numpy, scipy or networkx."""
    code = "import sys, unspoken.tasks.prosqa, unspoken.tasks.chains, unspoken.tasks.shortcuts; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "scipy", "networkx", "transformers"} & set(done.stdout.split())
