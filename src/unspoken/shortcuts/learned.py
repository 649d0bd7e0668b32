"""Learned shortcuts on ProsQA: what a model can tell of the answer that is not told who is asked about.

Their features are every blind shortcut and some fifty counts of the graph and the text around an option; `options.py`
learns from them and judges out of fold. One more is told who is asked about, but not which way the facts point: it has
the scores of `UNDIRECTED` and how many links away an option is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unspoken.shortcuts.clues import Clues, clues_of
from unspoken.shortcuts.findings import Finding, Group
from unspoken.shortcuts.folds import MIN_PROBLEMS
from unspoken.shortcuts.graphs import BLIND, UNDIRECTED
from unspoken.shortcuts.options import Options, fit_linear, fit_trees
from unspoken.tasks.base import Example

_HOPS = range(1, 7)
_LINKS = range(1, 5)


def blind_features(clues: Clues, option: int) -> dict[str, float]:
    """What can be said of an option without knowing who is asked about: every blind score, and counts around it."""
    features = {shortcut.name: float(shortcut.score(clues, option)) for shortcut in BLIND}
    hops = list(clues.up(option).values())
    links = list(clues.around(option).values())
    sources = clues.from_sources(option)
    for i in _HOPS:
        features[f"ancestors {i} hops up"] = hops.count(i)
        features[f"sources {i} hops up"] = sources.count(i)
    for i in _LINKS:
        features[f"nodes {i} links away"] = links.count(i)
    features["connected nodes"] = len(links)
    features["children"] = len(clues.children[option])
    parents = clues.parents[option]
    _spread(features, "parents' in-degree", [len(clues.parents[p]) for p in parents])
    _spread(features, "parents' out-degree", [len(clues.children[p]) for p in parents])
    _spread(features, "parents' nearest source", [min(clues.from_sources(p)) for p in parents])
    _spread(features, "leaves below parents", [_leaves(clues, p) for p in parents])
    above = [node for node in clues.up(option) if node != option]
    _spread(features, "ancestors' in-degree", [len(clues.parents[a]) for a in above])
    _spread(features, "ancestors' out-degree", [len(clues.children[a]) for a in above])
    reached = [source for source in clues.sources if source in clues.up(option)]
    _spread(features, "nodes below its sources", [len(clues.down(s)) for s in reached])
    _spread(features, "children of its sources", [len(clues.children[s]) for s in reached])
    places = clues.places(option)
    _spread(features, "mentioned at", [place / max(len(clues.mentions), 1) for place in places])
    _spread(features, "parents mentioned at", [place for p in parents for place in clues.places(p)])
    (other,) = {*clues.asked} - {option}
    features["ancestors of it alone"] = len(clues.up(option).keys() - clues.up(other).keys())
    return features


def around_features(clues: Clues, option: int) -> dict[str, float]:
    """What can be said of an option by its links to the entity asked about, directions ignored."""
    features = {shortcut.name: float(shortcut.score(clues, option)) for shortcut in UNDIRECTED}
    links = clues.around(clues.root).get(option, len(clues.parents))
    for i in range(1, 9):
        features[f"asked entity {i} links away"] = float(links == i)
    _spread(features, "neighbours' visits", [clues.visits[other] for other in clues.linked[option]])
    return features


def described(
    problems: Sequence[Example], features: Callable[[Clues, int], dict[str, float]] = blind_features
) -> tuple[list[str], Options]:
    """Names of the features, and both options of every problem in the order of the question.

    Raises:
        ValueError: one is not a ProsQA problem.
    """
    import numpy as np

    names: list[str] = []
    rows: list[list[float]] = []
    right: list[int] = []
    for example in problems:
        clues = clues_of(example)
        found = [features(clues, option) for option in clues.asked]
        names = list(found[0])
        rows += [list(of_option.values()) for of_option in found]
        right.append(clues.asked.index(example.meta["target"]))
    return names, Options(rows=np.array(rows), sizes=[2] * len(problems), right=right)


def learned_guesses(problems: Sequence[Example]) -> list[Finding]:
    """Learned shortcuts on ProsQA: on graphs (linear and trees), on names, and on what is around the asked entity.

    None below `MIN_PROBLEMS`.

    Raises:
        ValueError: one is not a ProsQA problem.
    """
    if len(problems) < MIN_PROBLEMS:
        return []
    names, options = described(problems)
    linear = fit_linear(options)
    more, around = described(problems, around_features)
    near = fit_linear(around)
    return [
        Finding(
            name="learned (linear)",
            about=f"logistic regression on {len(names)} features of graph and text, out of fold",
            group=Group.BLIND,
            points=linear.points,
            chance=0.5,
            note=linear.largest(names),
        ),
        Finding(
            name="learned (trees)",
            about=f"gradient-boosted trees on the same {len(names)} features, out of fold",
            group=Group.BLIND,
            points=fit_trees(options).points,
            chance=0.5,
        ),
        Finding(
            name="learned (names)",
            about="which of the two names was right more often in other problems, out of fold",
            group=Group.BLIND,
            points=fit_linear(_names(problems, options.right)).points,
            chance=0.5,
        ),
        Finding(
            name="learned (surroundings)",
            about=f"logistic regression on {len(more)} features of its links to the asked entity, directions ignored",
            group=Group.ASKED,
            points=near.points,
            chance=0.5,
            note=near.largest(more),
        ),
    ]


def _spread(features: dict[str, float], name: str, values: Sequence[float]) -> None:
    """Least, greatest and sum; zeros where there is none."""
    features[f"{name}, least"] = min(values, default=0)
    features[f"{name}, greatest"] = max(values, default=0)
    features[f"{name}, sum"] = sum(values)


def _leaves(clues: Clues, node: int) -> int:
    return sum(not clues.children[below] for below in clues.down(node))


def _names(problems: Sequence[Example], right: Sequence[int]) -> Options:
    """One column for each name."""
    from scipy import sparse

    column: dict[str, int] = {}
    columns: list[int] = []
    for example in problems:
        clues = clues_of(example)
        columns += [column.setdefault(clues.symbols[option], len(column)) for option in clues.asked]
    rows = sparse.csr_matrix(([1.0] * len(columns), (range(len(columns)), columns)))
    return Options(rows=rows, sizes=[2] * len(problems), right=right)
