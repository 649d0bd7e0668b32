"""Is the chain a model wrote for a ProsQA problem a path, and where does it lead? The paper's six exclusive classes.

A chain may be partial: where thoughts stand for its first `hidden` steps, only the rest is written. As in the paper, it
is then judged by whether some path of the graph can stand for what is hidden (`judge` says which paths count).
"""

from __future__ import annotations

import re
from enum import StrEnum
from itertools import pairwise
from typing import final

from unspoken.tasks.base import Example
from unspoken.tasks.graphs import Graph, distances
from unspoken.tasks.prosqa import facts, graph_of


@final
class PathClass(StrEnum):
    """The six classes of the paper's analysis of ProsQA; every output is in exactly one."""

    CORRECT_PATH = "correct path"
    """A shortest path to the right answer, and the right answer."""
    LONGER_PATH = "longer path"
    """A path to the right answer that is not a shortest one, and the right answer."""
    HALLUCINATION = "hallucination"
    """A step that is not a fact of the problem, or steps that do not join."""
    WRONG_TARGET = "wrong target"
    """A path that ends elsewhere, or leads to the right node with another answer (or none) written below it."""
    CORRECT_LABEL = "correct label"
    """No steps, the right answer."""
    INCORRECT_LABEL = "incorrect label"
    """No steps, any other answer or none."""


def judge(text: str, example: Example, *, hidden: int = 0) -> PathClass:
    """The class of generated text, for an example of either form.

    A partial chain counts as completed by any path from the root of *at most* `hidden` steps; the paper does not say
    how many. Exactly `hidden` would call a model wrong that writes a whole, right path after its thoughts; any number
    would let it leave out steps that nothing stands for. The shortest completion decides between correct and longer.

    Args:
        text: what the model wrote after its prompt: steps, then `###` and the answer; in the symbolic form steps and
            answer are nodes alike, and the last one is the answer.
        example: the problem; a shortest path is judged by its graph, not by its own steps.
        hidden: how many steps the thoughts in the prompt stand for (thoughts divided by thoughts per step).

    Raises:
        ValueError: `hidden` is negative, or the example is not a ProsQA problem.
    """
    if hidden < 0:
        raise ValueError(f"hidden: expected the number of steps that thoughts stand for, 0 or more, got {hidden}")
    graph = graph_of(example)
    symbols: tuple[str, ...] = example.meta["idx_to_symbol"]
    symbolic = example.steps[0] in symbols  # a step is the node it leads to
    chain, answer = _symbolic_parts(text) if symbolic else _parts(text, example)
    correct = answer == example.answer
    if not chain:
        return PathClass.CORRECT_LABEL if correct else PathClass.INCORRECT_LABEL
    if symbolic:
        nodes = _join_nodes(chain, symbols)
        unwritten = 1
    else:
        nodes = _join_sentences(chain, symbols, graph)
        unwritten = 0
    children = graph.children()
    if nodes is None or any(b not in children[a] for a, b in pairwise(nodes)):
        return PathClass.HALLUCINATION
    completion = _fewest_steps(children, graph.root, nodes[0], at_least=unwritten, at_most=unwritten + hidden)
    if completion is None:
        return PathClass.HALLUCINATION
    if nodes[-1] != graph.target or not correct:
        return PathClass.WRONG_TARGET
    shortest = distances(children, graph.root)[graph.target]
    return PathClass.CORRECT_PATH if completion + len(nodes) - 1 == shortest else PathClass.LONGER_PATH


def _parts(text: str, example: Example) -> tuple[str, str]:
    """The written chain and the written answer. Text without `###` is all chain, unless it is just the answer."""
    chain, mark, _ = text.partition("###")
    if mark:
        return chain.strip(), text.rpartition("#")[2].strip()
    return ("", text.strip()) if text.strip() == example.answer else (chain.strip(), "")


def _symbolic_parts(text: str) -> tuple[str, str]:
    """All words but the last, and the last."""
    words = text.split()
    return " ".join(words[:-1]), words[-1] if words else ""


def _join_nodes(chain: str, symbols: tuple[str, ...]) -> list[int] | None:
    """The nodes a chain of symbols names; None if one is unknown."""
    node = {symbol: i for i, symbol in enumerate(symbols)}
    words = chain.split()
    return [node[word] for word in words] if all(word in node for word in words) else None


def _join_sentences(chain: str, symbols: tuple[str, ...], graph: Graph) -> list[int] | None:
    """The nodes a chain of sentences passes; None if one is no fact of the problem, or does not join the last."""
    edge_of = facts(symbols, graph.edges)
    nodes: list[int] = []
    for sentence in re.split(r"[.\n]", chain):
        if not sentence.strip():
            continue
        edge = edge_of.get(" ".join(sentence.split()) + ".")
        if edge is None or (nodes and nodes[-1] != edge[0]):
            return None
        nodes += edge[1:] if nodes else edge
    return nodes or None


def _fewest_steps(children: list[list[int]], root: int, node: int, *, at_least: int, at_most: int) -> int | None:
    """The least number of steps within the bounds in which `node` can be reached from `root`; None if there is none."""
    reached = {root}
    for num_steps in range(at_most + 1):
        if num_steps >= at_least and node in reached:
            return num_steps
        reached = {child for parent in reached for child in children[parent]}
    return None
