"""ProsQA in words: which of two concepts does a chain of "is a" facts lead to? (Hao et al. 2024)

A problem is a `Graph` whose nodes have names, written as published: one sentence an edge in random order, then "Is Tom
a lempus or scrompus?". `symbolic.py` writes the same problems without language.

The published training split is not among the shared data, so training problems are generated: problem i of a seed
depends on the two numbers alone, is the same on every platform, and follows the released distribution (see `Released`)
or another `GraphSource`. Validation and test problems are the published ones, unless the task has another source.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, final

import msgspec

from unspoken.tasks import texts
from unspoken.tasks.base import Example, FileTask, Generated, Generator, Measure, Naming, Split
from unspoken.tasks.graphs import Edge, Graph, GraphSource, shuffled
from unspoken.tasks.graphs.released import Released

_NAMES = "Alex Bob Carol Davis Eva Fae Gabriel Jack Max Oliver Polly Rex Sally Sam Stella Tom Wren"
_CONCEPTS = (
    "bompus boompus brimpus chorpus dumpus felpus fompus gerpus gorpus grimpus gwompus hilpus impus jelpus jompus "
    "kerpus lempus lorpus numpus quimpus rempus rompus rorpus scrompus shumpus sterpus storpus terpus timpus tumpus "
    "vumpus worpus wumpus yerpus yimpus yumpus zhorpus zumpus"
)

NAMES: tuple[str, ...] = tuple(_NAMES.split())
"""Names of nodes without a parent; measured on the release, where all are about equally frequent."""

CONCEPTS: tuple[str, ...] = tuple(_CONCEPTS.split())
"""Names of all other nodes; measured on the release, as above."""

_WORD = re.compile(r"\w+")


@final
class ProsQARow(msgspec.Struct, frozen=True):
    """A row of the published files: the same fields in the same order."""

    question: str
    answer: str
    steps: tuple[str, ...]
    idx_to_symbol: tuple[str, ...]
    """Names of the nodes. Node ids are topological (a parent's is the smaller one): never show them to a model."""
    edges: tuple[Edge, ...]
    root: int
    target: int
    neg_target: int


def facts(symbols: Sequence[str], edges: Iterable[Edge]) -> dict[str, Edge]:
    """The sentence of every edge, in edge order: "Tom is a terpus." from a parentless node, else "Every terpus ..."

    The article is always "a", as released ("Every timpus is a impus.").
    """
    edges = tuple(edges)
    concepts = {child for _, child in edges}
    subjects = [f"Every {name} is a " if node in concepts else f"{name} is a " for node, name in enumerate(symbols)]
    return {f"{subjects[parent]}{symbols[child]}.": (parent, child) for parent, child in edges}


def mentions(question: str, symbols: Sequence[str]) -> list[int]:
    """The node of every name in a question of either form, in order; the last three are what is asked."""
    node = {symbol: i for i, symbol in enumerate(symbols)}
    return [node[word] for word in _WORD.findall(question) if word in node]


def told_edges(question: str, symbols: Sequence[str]) -> list[Edge]:
    """The facts of a question of either form as edges, in the order told."""
    nodes = mentions(question, symbols)[:-3]
    return list(zip(nodes[::2], nodes[1::2], strict=True))


def graph_of(example: Example) -> Graph:
    """The graph behind an example of either form, from its `meta` (the published keys, and the chain as `path`).

    Raises:
        ValueError: the example is not a ProsQA problem.
    """
    meta = example.meta
    try:
        return Graph(
            num_nodes=len(meta["idx_to_symbol"]),
            edges=meta["edges"],
            root=meta["root"],
            target=meta["target"],
            neg_target=meta["neg_target"],
            path=meta["path"],
        )
    except KeyError as error:
        raise ValueError(
            f"expected a ProsQA example, with `{error.args[0]}` in its meta, got meta {sorted(meta)}; "
            "take examples from ProsQA(...).examples or SymbolicProsQA(...).examples"
        ) from error


def read_examples(path: Path) -> list[Example]:
    """The examples of a file in the published format (`.json` or `.jsonl`, gzipped or not), each checked in itself.

    Raises:
        ValueError: the file cannot be read or a row contradicts itself; the message names file, row and field.
    """
    return texts.read_examples(path, ProsQARow, lambda row: _example(row, _checked_graph(row)))


@final
@dataclass(frozen=True, kw_only=True)
class ProsQAProblems(Generator):
    """ProsQA problems in words, from any source of graphs."""

    name: ClassVar[str] = "prosqa"

    graphs: GraphSource = field(default_factory=Released)
    """Where the graphs come from. Its name starts the random streams, not this class's."""

    def draw(self, rng: random.Random) -> Example:
        return _example(*_draw(rng, self.graphs))

    def row(self, example: Example) -> dict[str, Any]:
        return _fields(example)

    def problems(self, *, num: int, seed: int, split: Split = "train") -> Generated:
        return Generated(self.draw, num=num, seed=stream(self.graphs, seed, split))


@final
@dataclass(frozen=True, kw_only=True)
class ProsQA(FileTask):
    """ProsQA in words, as published: facts in sentences, steps in sentences, "Tom is a lempus." for an answer.

    A split without a file of its own is generated, but for validation and test with the released `graphs`: those are
    the published files.
    """

    version: ClassVar[str] = "1"
    published: ClassVar[Mapping[Split, str]] = {
        "valid": "prosqa/prosqa_valid.json",
        "test": "prosqa/prosqa_test.json",
    }

    num_train: int = 17_886
    """How many training problems to generate; the default is the published number. Not read with `train_file`."""
    train_seed: int = 0
    """Seed of generated problems, whatever their split. Not read where a split is a file."""
    graphs: GraphSource = field(default_factory=Released)
    """Where generated problems come from; any but the default has validation and test problems generated too."""
    num_valid: int = 300
    """How many validation problems to generate, where they are; the default is the published number."""
    num_test: int = 500
    """How many test problems to generate, where they are; the default is the published number."""

    def __post_init__(self) -> None:
        for split, num, published in (
            ("train", self.num_train, 17_886),
            ("valid", self.num_valid, 300),
            ("test", self.num_test, 500),
        ):
            if num < 1:
                raise ValueError(f"num_{split}: expected at least 1, got {num}; the published number is {published}")

    @property
    def max_new_tokens(self) -> int:
        """The longest released chain and answer take 77 GPT-2 tokens (measured), generated ones up to 80."""
        return max(128, 16 * (self.graphs.max_hops + 1))

    def read(self, path: Path) -> Sequence[Example]:
        return read_examples(path)

    def recognises(self, row: Mapping[str, Any] | str) -> bool:
        return isinstance(row, Mapping) and {"idx_to_symbol", "edges", "neg_target"} <= row.keys()

    def row(self, example: Example) -> dict[str, Any]:
        return _fields(example)

    def measures(self, example: Example) -> Mapping[str, Measure]:
        from unspoken.tasks.graph_measures import graph_measures  # it reads graphs through this module

        return {**super().measures(example), **graph_measures(example)}

    def examples(self, split: Split) -> Sequence[Example]:
        path = self.file(split)
        return self.generated(split, ProsQAProblems(graphs=self.graphs).draw) if path is None else self.read(path)

    def file(self, split: Split) -> Path | None:
        """Where a split is read from; None where it is generated."""
        if self.graphs == Released():
            return super().file(split)
        return {"train": self.train_file, "valid": self.valid_file, "test": self.test_file}[split]

    def generated(self, split: Split, draw: Callable[[random.Random], Example]) -> Generated:
        """A generated split in the form that `draw` writes; problem i has the same graph in every form."""
        num = {"train": self.num_train, "valid": self.num_valid, "test": self.num_test}[split]
        return Generated(draw, num=num, seed=stream(self.graphs, self.train_seed, split))

    def classify(self, text: str, example: Example, *, hidden: int) -> str | None:
        """One of the paper's six classes."""
        from unspoken.tasks.chains import judge  # it reads graphs through this module

        return judge(text, example, hidden=hidden).value

    def graph(self, example: Example) -> Graph:
        return graph_of(example)

    def naming(self, example: Example, hidden: int, written: int = 0) -> Naming:
        """Behind hidden steps a sentence begins with "Every" and where the last one ended (paper, section 5); behind
        what can be read, that is known, and the next name is where the sentence leads."""
        symbols: tuple[str, ...] = example.meta["idx_to_symbol"]
        if hidden and not written:
            return Naming(before="Every", names=tuple(f" {name}" for name in symbols), hops=hidden)
        done, concepts = hidden + written, {child for _, child in example.meta["edges"]}
        # A person is no kind of thing, and a vocabulary of words has no person with a full stop.
        names = tuple(f" {name}." if node in concepts else f" {name}" for node, name in enumerate(symbols))
        last = symbols[example.meta["path"][min(done, len(example.meta["path"]) - 1)]]
        return Naming(before=f"Every {last} is a" if done else f"{last} is a", names=names, hops=done + 1)

    def asked_otherwise(self, example: Example) -> Example | None:
        graph = graph_of(example).asked_otherwise()
        if graph is None:
            return None
        symbols: tuple[str, ...] = example.meta["idx_to_symbol"]
        sentence_of = {edge: sentence for sentence, edge in facts(symbols, graph.edges).items()}
        told, _, asked = example.question.rpartition(f"Is {symbols[graph_of(example).root]} a ")
        return Example(
            question=f"{told}Is {symbols[graph.root]} a {asked}",
            steps=tuple(sentence_of[edge] for edge in pairwise(graph.path)),
            answer=f"{symbols[graph.root]} is a {symbols[graph.target]}.",
            meta=meta_of(symbols, graph),
        )

    def words(self) -> Sequence[str]:
        """Every word of the published sentences, split on whitespace: a full stop or question mark stays attached."""
        ends = [concept + mark for concept in CONCEPTS for mark in (".", "?")]
        return ("Every", "Is", "is", "a", "or", "###", *NAMES, *CONCEPTS, *ends)


def stream(graphs: GraphSource, seed: int, split: Split = "train") -> str:
    """The name of the random stream that problem i of a split continues with `/i`."""
    return f"{graphs.name}/{seed}" + ("" if split == "train" else f"/{split}")


def meta_of(symbols: tuple[str, ...], graph: Graph) -> dict[str, object]:
    """What `graph_of` reads: plain values under the published keys, so that they can be saved as JSON."""
    return {
        "idx_to_symbol": symbols,
        "edges": graph.edges,
        "root": graph.root,
        "target": graph.target,
        "neg_target": graph.neg_target,
        "path": graph.path,
    }


def _draw(rng: random.Random, graphs: GraphSource) -> tuple[ProsQARow, Graph]:
    """A problem in words, and its graph."""
    graph = graphs.draw_graph(rng)
    with_parents = {child for _, child in graph.edges}
    names = iter(shuffled(NAMES, rng))
    concepts = iter(shuffled(CONCEPTS, rng))
    symbols = tuple(next(concepts) if node in with_parents else next(names) for node in range(graph.num_nodes))
    sentences = facts(symbols, graph.edges)
    sentence_of = {edge: sentence for sentence, edge in sentences.items()}
    options = (graph.target, graph.neg_target) if rng.random() < 0.5 else (graph.neg_target, graph.target)
    asked = f"Is {symbols[graph.root]} a {symbols[options[0]]} or {symbols[options[1]]}?"
    row = ProsQARow(
        question=" ".join([*shuffled(sentences, rng), asked]),
        answer=f"{symbols[graph.root]} is a {symbols[graph.target]}.",
        steps=tuple(sentence_of[edge] for edge in pairwise(graph.path)),
        idx_to_symbol=symbols,
        edges=graph.edges,
        root=graph.root,
        target=graph.target,
        neg_target=graph.neg_target,
    )
    return row, graph


def _example(row: ProsQARow, graph: Graph) -> Example:
    return Example(question=row.question, steps=row.steps, answer=row.answer, meta=meta_of(row.idx_to_symbol, graph))


def _fields(example: Example) -> dict[str, Any]:
    """The eight fields of the published files, in their order."""
    graph = graph_of(example)
    row = ProsQARow(
        question=example.question,
        answer=example.answer,
        steps=example.steps,
        idx_to_symbol=example.meta["idx_to_symbol"],
        edges=graph.edges,
        root=graph.root,
        target=graph.target,
        neg_target=graph.neg_target,
    )
    fields: dict[str, Any] = msgspec.to_builtins(row)
    return fields


def _checked_graph(row: ProsQARow) -> Graph:
    """The graph of a row, once everything the row says about it agrees."""
    num_nodes = len(row.idx_to_symbol)
    if len(set(row.idx_to_symbol)) != num_nodes:
        raise ValueError("field `idx_to_symbol`: expected a different name for every node, got some twice")
    ids = [("root", row.root), ("target", row.target), ("neg_target", row.neg_target)]
    ids += [(f"edges[{i}]", node) for i, edge in enumerate(row.edges) for node in edge]
    for name, node in ids:
        if not 0 <= node < num_nodes:
            raise ValueError(f"field `{name}`: expected a node of idx_to_symbol, from 0 to {num_nodes - 1}, got {node}")
    if not row.steps:
        raise ValueError("field `steps`: expected the sentences from root to target, got none")
    edge_of = facts(row.idx_to_symbol, row.edges)
    path = [row.root]
    for i, step in enumerate(row.steps):
        parent, child = edge_of.get(step, (None, -1))
        if parent is None:
            raise ValueError(f"field `steps[{i}]`: expected the sentence of one of the edges, got {step!r}")
        if parent != path[-1]:
            raise ValueError(
                f"field `steps[{i}]`: expected a step from {row.idx_to_symbol[path[-1]]}, where the one before it ends "
                f"(the first starts at the root), got {step!r}"
            )
        path.append(child)
    names = {"root": row.idx_to_symbol[row.root], "target": row.idx_to_symbol[row.target]}
    if path[-1] != row.target:
        raise ValueError(f"field `steps`: expected to end at {names['target']} (from target), got {row.steps[-1]!r}")
    answer = f"{names['root']} is a {names['target']}."
    if row.answer != answer:
        raise ValueError(f"field `answer`: expected {answer!r} (from root and target), got {row.answer!r}")
    told = mentions(row.question, row.idx_to_symbol)
    asked = [row.root, *sorted((row.target, row.neg_target))]
    if len(told) < 3 or [told[-3], *sorted(told[-2:])] != asked:
        raise ValueError(
            f"field `question`: expected to end by asking whether {names['root']} is a {names['target']} or "
            f"{row.idx_to_symbol[row.neg_target]} (from root, target and neg_target), got ...{row.question[-60:]!r}"
        )
    if len(told) % 2 == 0 or sorted(told_edges(row.question, row.idx_to_symbol)) != sorted(row.edges):
        raise ValueError(f"field `question`: expected one sentence for each of the {len(row.edges)} edges, got others")
    return Graph(
        num_nodes=num_nodes,
        edges=row.edges,
        root=row.root,
        target=row.target,
        neg_target=row.neg_target,
        path=tuple(path),
    )
