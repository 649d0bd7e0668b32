"""How far does one get on ProsQA without reasoning? Scores that choose an option, and how often each is right.

A `Shortcut` gives each option a score; the option with the higher score is chosen, and equal scores count one half, as
for a coin. No score knows which option is right. Most are blind: they do not know who is asked about either. The others
do, and search less than the task asks for (fewer hops, no directions, one reading). An accuracy that one of these
reaches does not show that a model reasons.

Percentages below are measured on the 800 released validation and test rows; their directions (higher, fewer, ...) are
those that were right more often there, so on other problems any of them may come out below 50 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import final

from unspoken.shortcuts.clues import Clues, clues_of
from unspoken.shortcuts.findings import Finding, Group
from unspoken.tasks.base import Example

Score = Callable[[Clues, int], float]
"""Score of an option; the higher one is chosen."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Shortcut:
    """A way to choose an option, without doing what the task asks for."""

    name: str
    about: str
    """What it looks at and chooses, for tables."""
    score: Score
    group: Group = Group.BLIND
    """What it leaves out of what the task asks for."""

    @property
    def knows_asked(self) -> bool:
        """Whether it knows who is asked about. Where it does not, no right answer of it shows reasoning."""
        return self.group is not Group.BLIND


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0


def _overlap(radius: int) -> Score:
    """Share of nodes near the asked entity or the option that are near both."""

    def score(clues: Clues, option: int) -> float:
        asked, near = clues.near(clues.root, radius), clues.near(option, radius)
        return len(asked & near) / len(asked | near)

    return score


def _parent_within(hops: int) -> Score:
    """Whether a parent lies within so many hops of the entity asked about."""

    def score(clues: Clues, option: int) -> float:
        down = clues.down(clues.root)
        return float(any(down.get(parent, hops + 1) <= hops for parent in clues.parents[option]))

    return score


def _read(times: int) -> Score:
    """Whether the option is met when the facts are read so many times from start to end, noting who is met."""

    def score(clues: Clues, option: int) -> float:
        met = {clues.root}
        for _ in range(times):
            for parent, child in zip(clues.mentions[::2], clues.mentions[1::2], strict=True):
                if parent in met:
                    met.add(child)
        return float(option in met)

    return score


def _first_told(clues: Clues, option: int) -> float:
    """Whether the walk ends at the option that takes the first-told fact of every node: one path, no looking ahead."""
    node = clues.root
    child_of: dict[int, int] = {}
    for parent, child in zip(clues.mentions[::2], clues.mentions[1::2], strict=True):
        child_of.setdefault(parent, child)
    for _ in clues.parents:  # no longer than there are nodes, were there a circle
        node = child_of.get(node, node)
    return float(node == option)


def _from_others(clues: Clues, option: int) -> float:
    """Fewest hops from a parentless node other than the one asked about; far where there is none."""
    up = clues.up(option)
    return min((up[s] for s in clues.sources if s in up and s != clues.root), default=len(clues.parents))


def _text_distance(clues: Clues, option: int) -> float:
    return min(abs(i - j) for i in clues.places(clues.root) for j in clues.places(option))


BLIND: tuple[Shortcut, ...] = (
    Shortcut(
        name="higher mean source",
        about="mean hops from the parentless nodes above it: higher",
        score=lambda clues, option: _mean(clues.from_sources(option)),
    ),
    Shortcut(
        name="farthest source",
        about="hops from the farthest parentless node above it: more",
        score=lambda clues, option: max(clues.from_sources(option)),
    ),
    Shortcut(
        name="nearest source",
        about="hops from the nearest parentless node (min-depth): more",
        score=lambda clues, option: min(clues.from_sources(option)),
    ),
    Shortcut(
        name="longer random climb",
        about="mean hops of a climb to random parents: more",
        score=lambda clues, option: clues.chains[option][1],
    ),
    Shortcut(
        name="sources with more below",
        about="nodes below the parentless nodes above it, summed: more",
        score=lambda clues, option: sum(len(clues.down(s)) for s in clues.sources if s in clues.up(option)),
    ),
    Shortcut(
        name="longest chain",
        about="hops of the longest chain that ends in it: more",
        score=lambda clues, option: clues.chains[option][0],
    ),
    Shortcut(
        name="more ancestors",
        about="number of ancestors: more",
        score=lambda clues, option: len(clues.up(option)) - 1,
    ),
    Shortcut(
        name="fewer siblings",
        about="other children of its parents: fewer",
        score=lambda clues, option: -sum(len(clues.children[p]) - 1 for p in clues.parents[option]),
    ),
    Shortcut(
        name="less below its parents",
        about="nodes below its parents: fewer",
        score=lambda clues, option: -len({node for p in clues.parents[option] for node in clues.down(p)}),
    ),
    Shortcut(
        name="off the centre",
        about="mean links to all nodes, directions ignored: more",
        score=lambda clues, option: _mean(list(clues.around(option).values())),
    ),
    Shortcut(
        name="lower in-degree",
        about="number of parents: fewer",
        score=lambda clues, option: -len(clues.parents[option]),
    ),
    Shortcut(
        name="fewer mentions",
        about="times it is mentioned among the facts: fewer",
        score=lambda clues, option: -clues.mentions.count(option),
    ),
    Shortcut(
        name="fewer within 2 links",
        about="nodes within 2 links, directions ignored: fewer",
        score=lambda clues, option: -len(clues.near(option, 2)),
    ),
    Shortcut(
        name="parents mentioned less",
        about="mentions of its parents among the facts, mean: fewer",
        score=lambda clues, option: -_mean([len(clues.linked[p]) for p in clues.parents[option]]),
    ),
    Shortcut(
        name="fewer grandparents",
        about="number of parents' parents: fewer",
        score=lambda clues, option: -len({q for p in clues.parents[option] for q in clues.parents[p]}),
    ),
    Shortcut(
        name="higher node id",
        about="its number in the file, which a model never sees in text: higher",
        score=lambda clues, option: option,
    ),
    Shortcut(
        name="not attached to a person",
        about="no parent is parentless",
        score=lambda clues, option: float(all(clues.parents[parent] for parent in clues.parents[option])),
    ),
    Shortcut(
        name="later first mention",
        about="first mentioned later among the facts",
        score=lambda clues, option: clues.places(option)[0],
    ),
    Shortcut(
        name="earlier last mention",
        about="last mentioned earlier among the facts",
        score=lambda clues, option: -clues.places(option)[-1],
    ),
    Shortcut(
        name="more sources",
        about="parentless nodes it can be reached from: more",
        score=lambda clues, option: len(clues.from_sources(option)),
    ),
    Shortcut(
        name="more chains",
        about="chains from a parentless node that end in it: more",
        score=lambda clues, option: clues.chains[option][2],
    ),
    Shortcut(
        name="asked first",
        about="the first option of the question",
        score=lambda clues, option: -clues.asked.index(option),
    ),
    Shortcut(
        name="first in the alphabet",
        about="the name that comes first in the alphabet",
        score=lambda clues, option: sum(clues.symbols[option] < clues.symbols[other] for other in clues.asked),
    ),
    Shortcut(
        name="longer name",
        about="the name with more letters",
        score=lambda clues, option: len(clues.symbols[option]),
    ),
)
"""Do not know who is asked about. In %: 93.9, 93.8, 91.6, 88.5, 75.2, 72.6, 70.7, 70.4, 70.3, 66.7, 66.4, 66.4, 64.7,
64.2, 60.2, 60.0, 59.7, 58.6, 54.9, 52.8, 50.0, 50.5, 52.5, 50.3. The target is a *deepest* leaf, the other option any
leaf; most of the rest follows from that."""

UNDIRECTED: tuple[Shortcut, ...] = (
    Shortcut(
        name="random walk",
        about="visits of a random walk of 12 links from the asked entity, directions ignored: more",
        score=lambda clues, option: clues.visits[option],
        group=Group.ASKED,
    ),
    Shortcut(
        name="shared neighbourhood, 3 links",
        about="overlap of what lies within 3 links of it and of the asked entity, directions ignored",
        score=_overlap(3),
        group=Group.ASKED,
    ),
    Shortcut(
        name="shared neighbourhood, 2 links",
        about="overlap of what lies within 2 links of it and of the asked entity, directions ignored",
        score=_overlap(2),
        group=Group.ASKED,
    ),
    Shortcut(
        name="directions ignored",
        about="links from the asked entity, directions ignored: fewer",
        score=lambda clues, option: -clues.around(clues.root).get(option, len(clues.parents)),
        group=Group.ASKED,
    ),
)
"""Know who is asked about, but not which way facts point. In %: 95.1, 92.6, 88.6, 87.1. The other option hangs on the
other family, so whatever is near the asked entity is right."""

ASKED: tuple[Shortcut, ...] = (
    Shortcut(
        name="far from other persons",
        about="hops from the nearest parentless node that is not asked about: more",
        score=_from_others,
        group=Group.ASKED,
    ),
    *UNDIRECTED,
    Shortcut(
        name="told far from the root",
        about="names between its mention and the asked entity's: more",
        score=_text_distance,
        group=Group.ASKED,
    ),
)
"""Know who is asked about, but follow no facts from there. In %: 96.8, those of `UNDIRECTED`, 58.1."""

SEARCH: tuple[Shortcut, ...] = (
    Shortcut(
        name="parent within 3 hops of the root",
        about="a parent within 3 hops of the asked entity: a search that stops early",
        score=_parent_within(3),
        group=Group.SEARCH,
    ),
    Shortcut(
        name="two readings",
        about="met when the facts are read twice from start to end",
        score=_read(2),
        group=Group.SEARCH,
    ),
    Shortcut(
        name="parent within 2 hops of the root",
        about="a parent within 2 hops of the asked entity: a search that stops early",
        score=_parent_within(2),
        group=Group.SEARCH,
    ),
    Shortcut(
        name="first fact told",
        about="the walk that takes every node's first fact ends in it",
        score=_first_told,
        group=Group.SEARCH,
    ),
    Shortcut(
        name="one reading",
        about="met when the facts are read once from start to end",
        score=_read(1),
        group=Group.SEARCH,
    ),
    Shortcut(
        name="parent within 1 hop of the root",
        about="a parent within 1 hop of the asked entity: a search that stops early",
        score=_parent_within(1),
        group=Group.SEARCH,
    ),
)
"""Follow facts from who is asked about, but not all. In %: 92.2, 84.2, 70.4, 57.5, 56.6, 50.0 (no released chain is so
short)."""

SHORTCUTS: tuple[Shortcut, ...] = (*BLIND, *ASKED, *SEARCH)
"""Every shortcut of ours."""


def points(example: Example, shortcuts: Sequence[Shortcut] = SHORTCUTS) -> list[float]:
    """What each shortcut scores on a problem: 1 right, 0 wrong, .5 undecided.

    Raises:
        ValueError: it is not a ProsQA problem, or its facts run in a circle.
    """
    clues = clues_of(example)
    target, neg_target = example.meta["target"], example.meta["neg_target"]
    scores = [(shortcut.score(clues, target), shortcut.score(clues, neg_target)) for shortcut in shortcuts]
    return [0.5 if right == wrong else float(right > wrong) for right, wrong in scores]


def shortcut_accuracies(problems: Iterable[Example], shortcuts: Sequence[Shortcut] = SHORTCUTS) -> dict[str, float]:
    """How often each shortcut chooses the right option (0 to 1), by name; a tie counts one half.

    Raises:
        ValueError: there are no problems, or one is not a ProsQA problem.
    """
    found = [points(example, shortcuts) for example in problems]
    if not found:
        raise ValueError("expected at least one problem to measure shortcuts on, got none")
    return {s.name: fmean(column) for s, column in zip(shortcuts, zip(*found, strict=True), strict=True)}


def graph_guesses(problems: Sequence[Example]) -> list[Finding]:
    """What every shortcut gets right on ProsQA problems.

    Raises:
        ValueError: one is not a ProsQA problem.
    """
    columns = zip(*[points(example) for example in problems], strict=True)
    return [
        Finding(
            name=shortcut.name,
            about=shortcut.about,
            group=shortcut.group,
            points=column,
            chance=0.5,
        )
        for shortcut, column in zip(SHORTCUTS, columns, strict=True)
    ]
