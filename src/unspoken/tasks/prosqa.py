"""ProsQA: which of two concepts does a chain of "is a" facts lead to? (Hao et al. 2024)

A problem is a `Graph` whose nodes have names. It is written in one of two forms:

- text, as published: `ProsQA`. One sentence an edge in random order, then "Is Tom a lempus or scrompus?".
- symbols, for models trained from scratch: `SymbolicProsQA`. One `n4 n17` an edge, then `? n9 n30 | n4`.

The published training split is not among the shared data, so training problems are generated: problem i of a seed
depends on the two numbers alone, is the same on every platform, and follows the released distribution (see `graphs`).
Validation and test problems are the published ones.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, final

import msgspec

from unspoken.tasks.base import Example, Generated, Split, SymbolicTask, Task
from unspoken.tasks.fork import HIDDEN
from unspoken.tasks.graphs import Edge, Graph, draw_graph, random_shortest_path, shuffled
from unspoken.tasks.rows import data_file, read_rows

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

NODE_SYMBOLS: tuple[str, ...] = tuple(f"n{i}" for i in range(40))
"""Names of nodes in the symbolic form: more than a problem has nodes (28), so that a symbol tells nothing."""

_WORD = re.compile(r"\w+")


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


def draw_row(rng: random.Random) -> ProsQARow:
    """One problem of the released distribution, in words."""
    return _draw(rng)[0]


def make_rows(num: int, seed: int) -> Iterator[ProsQARow]:
    """`num` problems; problem i depends on (seed, i) alone, and is `ProsQA(train_seed=seed).examples("train")[i]`."""
    for i in range(num):
        yield draw_row(random.Random(f"{_stream(seed)}/{i}"))


def write_rows(path: Path, rows: Iterable[ProsQARow]) -> int:
    """Writes the published format (one JSON list on one line), byte for byte as published; returns how many rows."""
    num = 0
    with path.open("wb") as file:
        file.write(b"[")
        for row in rows:
            file.write((", " if num else "").encode() + json.dumps(msgspec.to_builtins(row)).encode())
            num += 1
        file.write(b"]")
    return num


def read_examples(path: Path) -> list[Example]:
    """The examples of a file in the published format (`.json` or `.jsonl`, gzipped or not), each checked in itself.

    Raises:
        ValueError: the file cannot be read or a row contradicts itself; the message names file, row and field.
    """
    examples: list[Example] = []
    for i, row in enumerate(read_rows(path, ProsQARow)):
        try:
            examples.append(_example(row, _checked_graph(row)))
        except ValueError as error:
            raise ValueError(f"{path}: row {i}: {error}") from error
    return examples


@final
@dataclass(frozen=True, kw_only=True)
class ProsQA(Task):
    """ProsQA in words, as published: facts in sentences, steps in sentences, "Tom is a lempus." for an answer."""

    version: ClassVar[str] = "1"

    train_file: Path | None = None
    """Training problems in the published JSON format; none: generate them (the published ones are not at hand)."""
    valid_file: Path | None = None
    """Validation problems in the published JSON format; none: the published 300 among the shared data."""
    test_file: Path | None = None
    """Test problems in the published JSON format; none: the published 500 among the shared data."""
    num_train: int = 17_886
    """How many training problems to generate; the default is the published number. Not read with `train_file`."""
    train_seed: int = 0
    """Seed of the generated training problems. Not read with `train_file`."""

    def __post_init__(self) -> None:
        if self.num_train < 1:
            raise ValueError(f"num_train: expected at least 1, got {self.num_train}; the published number is 17886")

    @property
    def max_new_tokens(self) -> int:
        """The longest released chain and answer take 77 GPT-2 tokens (measured), generated ones up to 80."""
        return 128

    def examples(self, split: Split) -> Sequence[Example]:
        path = self.file(split)
        if path is not None:
            return read_examples(path)
        return Generated(_draw_example, num=self.num_train, seed=_stream(self.train_seed))

    def file(self, split: Split) -> Path | None:
        """Where a split is read from; None where it is generated."""
        if split == "train":
            return self.train_file
        if split == "valid":
            return self.valid_file or data_file("prosqa/prosqa_valid.json")
        return self.test_file or data_file("prosqa/prosqa_test.json")

    def classify(self, text: str, example: Example, *, hidden: int) -> str | None:
        """One of the paper's six classes."""
        from unspoken.tasks.chains import judge  # it reads graphs through this module

        return judge(text, example, hidden=hidden).value

    def words(self) -> Sequence[str]:
        """Every word of the published sentences, split on whitespace: a full stop or question mark stays attached."""
        ends = [concept + mark for concept in CONCEPTS for mark in (".", "?")]
        return ("Every", "Is", "is", "a", "or", "###", *NAMES, *CONCEPTS, *ends)


@final
@dataclass(frozen=True, kw_only=True)
class SymbolicProsQA(SymbolicTask):
    """The problems of `ProsQA` without language, for small models trained from scratch ("Reasoning by superposition").

    A question is `n4 n17 ; n17 n9 ; ... ? n9 n30 | n4`: edges in random order, the two options, the root. Step k is the
    k-th node after the root, the answer the last one once more. Nodes are named by a random permutation, since the
    published ids are topological and would tell depth (the higher id alone is right in 60 %). Training examples are
    redrawn every epoch; validation and test symbols depend on the split and the row index alone.

    Differs from the paper's symbolic ProsQA (3 to 4 hops, own vocabulary) because it shares the released problems;
    `max_hops=4` gives its lengths.
    """

    version: ClassVar[str] = "1"

    problems: ProsQA = field(default_factory=ProsQA)
    """Where the problems come from."""
    max_hops: int = 6
    """Problems with a longer chain are left out of every file, and not generated; 6 keeps all released ones."""
    hidden: float = 0.0
    """Share of *training* problems whose options are not told, so that only the graph can be learned from them."""

    def __post_init__(self) -> None:
        if self.max_hops < 3:
            raise ValueError(f"max_hops: expected at least 3, got {self.max_hops}; released chains have 3 to 6 hops")
        if not 0 <= self.hidden <= 1:
            raise ValueError(f"hidden: expected a share from 0 to 1, got {self.hidden}")

    @property
    def max_new_tokens(self) -> int:
        """Six nodes, the answer and the end of text, with room for a model that goes astray."""
        return 16

    def examples(self, split: Split) -> Sequence[Example]:
        path = self.problems.file(split)
        if path is None:
            problems = self.problems
            # As for text: the stream of problem i starts with its graph, so both forms show the same graphs.
            return Generated(
                partial(_draw_symbolic, max_hops=self.max_hops),
                num=problems.num_train,
                seed=_stream(problems.train_seed),
            )
        graphs = [graph_of(example) for example in read_examples(path)]
        return [
            _symbolic(graph, random.Random(f"prosqa/symbols/{split}/{i}"))
            for i, graph in enumerate(graphs)
            if len(graph.path) - 1 <= self.max_hops
        ]

    def redraw(self, example: Example, rng: random.Random) -> Example:
        """New symbols, edges and options in a new order, any shortest path: superposition's target at each depth."""
        graph = graph_of(example)
        path = random_shortest_path(graph.parents(), root=graph.root, target=graph.target, rng=rng)
        drawn = _symbolic(replace(graph, path=path), rng)
        if rng.random() >= self.hidden:
            return drawn
        told, _, _ = drawn.question.partition(" ? ")
        return replace(drawn, question=f"{told} ? {HIDDEN} {HIDDEN} | {drawn.meta['idx_to_symbol'][graph.root]}")

    def classify(self, text: str, example: Example, *, hidden: int) -> str | None:
        """One of the paper's six classes."""
        from unspoken.tasks.chains import judge  # it reads graphs through this module

        return judge(text, example, hidden=hidden).value

    def words(self) -> Sequence[str]:
        """The whole vocabulary: four marks and forty node symbols."""
        return (";", "?", "|", HIDDEN, *NODE_SYMBOLS)


def _stream(seed: int) -> str:
    return f"prosqa/{seed}"


def _draw(rng: random.Random) -> tuple[ProsQARow, Graph]:
    """A problem in words, and its graph."""
    graph = draw_graph(rng)
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


def _draw_example(rng: random.Random) -> Example:
    return _example(*_draw(rng))


def _draw_symbolic(rng: random.Random, *, max_hops: int) -> Example:
    return _symbolic(draw_graph(rng, max_hops=max_hops), rng)


def _example(row: ProsQARow, graph: Graph) -> Example:
    return Example(question=row.question, steps=row.steps, answer=row.answer, meta=_meta(row.idx_to_symbol, graph))


def _meta(symbols: tuple[str, ...], graph: Graph) -> dict[str, object]:
    """What `graph_of` reads: plain values under the published keys, so that they can be saved as JSON."""
    return {
        "idx_to_symbol": symbols,
        "edges": graph.edges,
        "root": graph.root,
        "target": graph.target,
        "neg_target": graph.neg_target,
        "path": graph.path,
    }


def _symbolic(graph: Graph, rng: random.Random) -> Example:
    """The graph under a random naming of its nodes, its edges and options in random order."""
    symbols = tuple(shuffled(NODE_SYMBOLS, rng)[: graph.num_nodes])
    if len(symbols) < graph.num_nodes:
        raise ValueError(f"expected at most {len(NODE_SYMBOLS)} nodes in symbolic form, got {graph.num_nodes}")
    told = " ; ".join(f"{symbols[parent]} {symbols[child]}" for parent, child in shuffled(graph.edges, rng))
    first, second = shuffled((symbols[graph.target], symbols[graph.neg_target]), rng)
    return Example(
        question=f"{told} ? {first} {second} | {symbols[graph.root]}",
        steps=tuple(symbols[node] for node in graph.path[1:]),
        answer=symbols[graph.target],
        meta=_meta(symbols, graph),
    )


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
