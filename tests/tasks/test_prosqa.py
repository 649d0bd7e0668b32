"""ProsQA in words: rows, the loader, the vocabulary, the verdict."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosqa_graphs import RELEASED, check_problem, make_rows, write_rows
from unspoken.config import RunConfig
from unspoken.recipes import find_recipe
from unspoken.tasks.base import Example
from unspoken.tasks.graphs import GraphSource
from unspoken.tasks.graphs.debiased import Debiased
from unspoken.tasks.graphs.released import Released
from unspoken.tasks.graphs.varied import DENSE, TEN_HOPS
from unspoken.tasks.make import write_examples
from unspoken.tasks.prosqa import (
    CONCEPTS,
    NAMES,
    ProsQA,
    ProsQAProblems,
    ProsQARow,
    facts,
    graph_of,
    read_examples,
    told_edges,
)
from unspoken.tasks.rows import data_root, read_rows
from unspoken.tasks.symbolic import SymbolicProsQA

shared = pytest.mark.skipif(not all(path.is_file() for path in RELEASED), reason=f"no ProsQA files in {data_root()}")

SHA256_OF_50_ROWS = "3e2cec5c2ef448fd73d560118bce7bcb1f788778bd1f3074ae532d8ec5258f80"

TEXT = ProsQA(num_train=3000)
SYMBOLIC = SymbolicProsQA(problems=TEXT)


@pytest.fixture(scope="module")
def generated() -> list[Example]:
    return list(TEXT.examples("train"))


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
    assert len(rows) in (300, 500)
    write_examples(ProsQA(), tmp_path / "again.json", read_examples(path))
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


def test_other_sources_have_splits_of_their_own() -> None:
    """Guards a test split from another distribution than the training split, and splits that share problems."""
    task = ProsQA(graphs=Debiased(), num_train=5, num_valid=4, num_test=3)
    splits = [list(task.examples(split)) for split in ("train", "valid", "test")]
    assert [len(examples) for examples in splits] == [5, 4, 3]
    questions = [example.question for examples in splits for example in examples]
    assert len(set(questions)) == 12
    assert all(len(example.steps) >= 4 for examples in splits for example in examples)
    shorter = ProsQA(graphs=Released(max_hops=5), num_valid=4)
    assert len(shorter.examples("valid")) == 4, "another setting of the released source is another source"
    assert ProsQA(graphs=Released(), num_train=5).examples("train")[:] == TEXT.examples("train")[:5]
    assert task.max_new_tokens == TEXT.max_new_tokens == 128 < ProsQA(graphs=TEN_HOPS).max_new_tokens


def test_files_come_before_any_source(tmp_path: Path) -> None:
    """Guards files that are named and not read: a user's own problems under another source of graphs."""
    path = tmp_path / "mine.json"
    write_rows(path, make_rows(3, 5))
    for task in (ProsQA(test_file=path), ProsQA(test_file=path, graphs=DENSE), ProsQA(graphs=DENSE).on_file(path)):
        assert [example.question for example in task.examples("test")] == [row.question for row in make_rows(3, 5)]


@pytest.mark.parametrize("source", [Released(), DENSE, Debiased()], ids=lambda source: source.name)
def test_the_generator_makes_the_rows_of_the_task(source: GraphSource) -> None:
    """Guards `data make` against `train`: the file made with a seed holds the problems that training would generate."""
    generator = ProsQAProblems(graphs=source)
    task = ProsQA(graphs=source, num_train=4, num_valid=4, train_seed=2)
    for split in ("train", "valid"):
        made = generator.problems(num=4, seed=2, split=split)
        if split == "train" or source != Released():
            assert made[:] == task.examples(split)[:]
        assert [generator.row(example) for example in made] == [task.row(example) for example in made]
    rows = [msgspec.to_builtins(row) for row in make_rows(4, 2, graphs=source)]
    assert rows == [generator.row(example) for example in generator.problems(num=4, seed=2)]
    assert task.recognises(rows[0]) and not task.recognises({"question": "?", "steps": [], "answer": "!"})
    assert pickle.loads(pickle.dumps(generator.problems(num=4, seed=2)))[1] == task.examples("train")[1]


def test_configs_with_a_source_are_saved_and_old_ones_load(tmp_path: Path) -> None:
    """Guards saved runs: a source must come back with its settings, and configs from before there were any load."""
    config = find_recipe("prosqa/gpt2/coconut")
    for source in (Released(), Debiased(min_hops=5), DENSE):
        wanted = replace(config, task=ProsQA(graphs=source))
        wanted.save(tmp_path / "config.json")
        assert RunConfig.load(tmp_path / "config.json") == wanted
    config.save(tmp_path / "config.json")
    saved = json.loads((tmp_path / "config.json").read_text())
    for name in ("graphs", "num_valid", "num_test"):
        del saved["task"][name]
    (tmp_path / "config.json").write_text(json.dumps(saved))
    assert RunConfig.load(tmp_path / "config.json") == config


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
    with pytest.raises(ValueError, match="num_test: expected at least 1, got 0; the published number is 500"):
        ProsQA(num_test=0)
    with pytest.raises(ValueError, match="max_hops: expected at least 3, got 2"):
        SymbolicProsQA(max_hops=2)
    with pytest.raises(ValueError, match="expected a ProsQA example, with `idx_to_symbol` in its meta"):
        graph_of(Example(question="1 + 1?", steps=("<<1+1=2>>",), answer="2"))


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
    code = "import sys, unspoken.tasks, unspoken.tasks.chains, unspoken.shortcuts.graphs; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "scipy", "networkx", "transformers"} & set(done.stdout.split())
