"""How far does one get on ProsQA without reasoning? Scores that choose an option, and how often each is right.

A shortcut gives each option a score; the option with the higher score is chosen, and equal scores count one half, as
for a coin. No score knows which option is right, and none but `parent_near_root` who is asked about.

Measured on the 800 released validation and test rows: see `SHORTCUTS`. An accuracy that one of these reaches does not
show that a model reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import final

from unspoken.tasks.base import Example
from unspoken.tasks.graphs import distances
from unspoken.tasks.prosqa import graph_of, mentions


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Clues:
    """What a shortcut may look at: the graph, who is asked about and the order of mention, but not the right option."""

    children: list[list[int]]
    parents: list[list[int]]
    root: int
    mentions: list[int]
    """Node of every name in the facts of the question, in the order told."""

    @property
    def sources(self) -> list[int]:
        """Parentless nodes: in words, those with the name of a person."""
        return [node for node, parents in enumerate(self.parents) if not parents]


Score = Callable[[Clues, int], float]
"""Score of an option; the higher one is chosen."""


def nearest_source(clues: Clues, option: int) -> float:
    """Fewest hops from any parentless node. Right in 91.6 %: the target is a deepest leaf, the other one any leaf."""
    return min(_source_distances(clues, option))


def farthest_source(clues: Clues, option: int) -> float:
    """Fewest hops from the parentless node that is farthest away. Right in 93.8 %, more than `nearest_source`."""
    return max(_source_distances(clues, option))


def ancestors(clues: Clues, option: int) -> float:
    """Number of ancestors."""
    return len(distances(clues.parents, option)) - 1


def parent_near_root(clues: Clues, option: int) -> float:
    """Whether a parent lies within 2 hops of the entity asked about: two steps of search stand in for all."""
    near = distances(clues.children, clues.root)
    return float(any(near.get(parent, 3) <= 2 for parent in clues.parents[option]))


def low_in_degree(clues: Clues, option: int) -> float:
    """Fewer parents."""
    return -len(clues.parents[option])


def node_id(clues: Clues, option: int) -> float:
    """The higher node id. Only for a model that sees ids, as in an edge list of released problems."""
    return option


def no_person(clues: Clues, option: int) -> float:
    """Whether no parent is parentless: not said of a person directly."""
    return float(all(clues.parents[parent] for parent in clues.parents[option]))


def later_mention(clues: Clues, option: int) -> float:
    """The option first mentioned later among the facts."""
    return clues.mentions.index(option)


SHORTCUTS: dict[str, Score] = {
    "farthest source": farthest_source,
    "nearest source": nearest_source,
    "more ancestors": ancestors,
    "parent within 2 hops of the root": parent_near_root,
    "lower in-degree": low_in_degree,
    "higher node id": node_id,
    "not attached to a person": no_person,
    "later first mention": later_mention,
}
"""Measured on the 800 released rows, in %: 93.8, 91.6, 70.7, 70.4, 66.4, 60.0, 59.7, 58.6."""


def clues_of(example: Example) -> Clues:
    """The clues in an example of either form."""
    graph = graph_of(example)
    return Clues(
        children=graph.children(),
        parents=graph.parents(),
        root=graph.root,
        mentions=mentions(example.question, example.meta["idx_to_symbol"])[:-3],
    )


def shortcut_accuracies(problems: Iterable[Example]) -> dict[str, float]:
    """How often each shortcut chooses the right option (0 to 1); a tie counts one half.

    Raises:
        ValueError: there are no problems, or one is not a ProsQA problem.
    """
    num_problems = 0
    points = dict.fromkeys(SHORTCUTS, 0.0)
    for example in problems:
        num_problems += 1
        clues = clues_of(example)
        for name, score in SHORTCUTS.items():
            right = score(clues, example.meta["target"])
            wrong = score(clues, example.meta["neg_target"])
            points[name] += 0.5 if right == wrong else float(right > wrong)
    if not num_problems:
        raise ValueError("expected at least one problem to measure shortcuts on, got none")
    return {name: total / num_problems for name, total in points.items()}


def _source_distances(clues: Clues, option: int) -> list[int]:
    """Fewest hops to the option from every parentless node it can be reached from."""
    up = distances(clues.parents, option)
    return [up[source] for source in clues.sources if source in up]
