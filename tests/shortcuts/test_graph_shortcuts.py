"""Shortcuts: their accuracies on the released rows, and that they cannot see the answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unspoken.shortcuts.clues import clues_of
from unspoken.shortcuts.findings import Group
from unspoken.shortcuts.graphs import ASKED, BLIND, SEARCH, SHORTCUTS, graph_guesses, shortcut_accuracies
from unspoken.tasks.base import Example
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.rows import data_root
from unspoken.tasks.symbolic import SymbolicProsQA

shared = pytest.mark.skipif(
    not data_root().joinpath("prosqa/prosqa_valid.json").is_file()
    or not data_root().joinpath("prosqa/prosqa_test.json").is_file(),
    reason=f"no ProsQA files in {data_root()}",
)

RELEASED = {
    "higher mean source": 93.9,
    "farthest source": 93.8,
    "nearest source": 91.6,
    "longer random climb": 88.5,
    "sources with more below": 75.2,
    "longest chain": 72.6,
    "more ancestors": 70.7,
    "fewer siblings": 70.4,
    "less below its parents": 70.3,
    "off the centre": 66.7,
    "lower in-degree": 66.4,
    "fewer mentions": 66.4,
    "fewer within 2 links": 64.7,
    "parents mentioned less": 64.2,
    "fewer grandparents": 60.2,
    "higher node id": 60.0,
    "not attached to a person": 59.7,
    "later first mention": 58.6,
    "earlier last mention": 54.9,
    "more sources": 52.8,
    "more chains": 50.0,
    "asked first": 50.5,
    "first in the alphabet": 52.5,
    "longer name": 50.3,
    "far from other persons": 96.8,
    "random walk": 95.1,
    "shared neighbourhood, 3 links": 92.6,
    "shared neighbourhood, 2 links": 88.6,
    "parent within 3 hops of the root": 92.2,
    "directions ignored": 87.1,
    "two readings": 84.2,
    "parent within 2 hops of the root": 70.4,
    "told far from the root": 58.1,
    "first fact told": 57.5,
    "one reading": 56.6,
    "parent within 1 hop of the root": 50.0,
}


@shared
def test_accuracies_on_the_released_rows() -> None:
    """Guards the definitions: each must give the figure measured on the 800 released rows, to its printed digit."""
    task = ProsQA()
    ours = shortcut_accuracies([*task.examples("valid"), *task.examples("test")])
    assert {name: 100 * accuracy for name, accuracy in ours.items()} == pytest.approx(RELEASED, abs=0.051)


def test_generated_problems_have_the_same_shortcuts() -> None:
    """Guards the generator: problems that are harder or easier to cheat on than the released ones."""
    ours = shortcut_accuracies(ProsQA().examples("train")[:3000])
    assert {name: 100 * accuracy for name, accuracy in ours.items()} == pytest.approx(RELEASED, abs=4.0)


# 0 -> 2 -> 3 -> 4 and 1 -> 5; 4 is right. Node 6 is another person, who is a 4 by way of 3.
META = {
    "idx_to_symbol": ("A", "B", "c", "d", "e", "f", "G"),
    "edges": ((0, 2), (2, 3), (3, 4), (1, 5), (6, 3)),
    "root": 0,
    "target": 4,
    "neg_target": 5,
    "path": (0, 2, 3, 4),
}
SMALL = Example(
    question="A is a c. Every c is a d. B is a f. Every d is a e. G is a d. Is A a e or f?",
    steps=("A is a c.", "Every c is a d.", "Every d is a e."),
    answer="A is a e.",
    meta=META,
)


def test_scores_by_hand() -> None:
    """Guards each score on a graph small enough to count: ancestors, hops, people, order of mention."""
    clues = clues_of(SMALL)
    assert clues.mentions == [0, 2, 2, 3, 1, 5, 3, 4, 6, 3]
    assert clues.asked == (4, 5)
    scores = {s.name: (s.score(clues, 4), s.score(clues, 5)) for s in SHORTCUTS}
    assert scores == {
        "higher mean source": (2.5, 1),  # 3 hops from A, 2 from G; 1 from B
        "farthest source": (3, 1),
        "nearest source": (2, 1),
        "longer random climb": (2.5, 1),  # from d half of the climbs end at G, 1 hop up, half at A, 2 hops up
        "sources with more below": (7, 2),  # A c d e and G d e; B f
        "longest chain": (3, 1),
        "more ancestors": (4, 1),
        "fewer siblings": (0, 0),
        "less below its parents": (-2, -2),
        "off the centre": (1.6, 0.5),  # e 0, d 1, c 2, G 2, A 3; f 0, B 1
        "lower in-degree": (-1, -1),
        "fewer mentions": (-1, -1),
        "fewer within 2 links": (-4, -2),  # e d c G; f B
        "parents mentioned less": (-3, -1),
        "fewer grandparents": (-2, 0),
        "higher node id": (4, 5),
        "not attached to a person": (1, 0),
        "later first mention": (7, 5),
        "earlier last mention": (-7, -5),
        "more sources": (2, 1),
        "more chains": (2, 1),
        "asked first": (0, -1),
        "first in the alphabet": (1, 0),
        "longer name": (1, 1),
        "far from other persons": (2, 1),
        "random walk": (scores["random walk"][0], 0),
        "shared neighbourhood, 3 links": (1, 0),
        "shared neighbourhood, 2 links": (2 / 5, 0),  # A c d and e d c G share c and d of five
        "parent within 3 hops of the root": (1, 0),
        "directions ignored": (-3, -7),
        "two readings": (1, 0),
        "parent within 2 hops of the root": (1, 0),
        "told far from the root": (7, 5),
        "first fact told": (1, 0),
        "one reading": (1, 0),
        "parent within 1 hop of the root": (0, 0),
    }
    assert scores["random walk"][0] > 0
    assert shortcut_accuracies([SMALL])["lower in-degree"] == 0.5, "a tie is a coin"
    assert shortcut_accuracies([SMALL])["higher node id"] == 0.0


def test_readings_follow_the_order_of_the_text() -> None:
    """Guards "one reading": told backwards, the chain of three facts takes three readings, and the first fact leads
    astray."""
    told = "Every d is a e. Every c is a d. A is a c. B is a f. A is a f. Is A a e or f?"
    backwards = replace(SMALL, question=told, meta={**META, "edges": ((0, 2), (2, 3), (3, 4), (1, 5), (0, 5))})
    clues = clues_of(backwards)
    scores = {s.name: (s.score(clues, 4), s.score(clues, 5)) for s in SHORTCUTS}
    assert scores["one reading"] == scores["two readings"] == (0, 1)
    assert scores["first fact told"] == (1, 0)


def test_facts_in_a_circle_are_refused() -> None:
    """Guards users' own files: with a circle there is no longest chain, and maybe no start; an endless walk or an
    IndexError would not say so."""
    circle = replace(SMALL, meta={**META, "edges": ((2, 3), (3, 4), (4, 2), (1, 5))})
    with pytest.raises(ValueError, match=r"without a circle, got . -> . -> . -> .;"):
        shortcut_accuracies([circle])


def test_options_without_a_fact_are_judged_too() -> None:
    """Guards users' own files: an option that no fact mentions has no place in the text and no parents."""
    alone = replace(SMALL, question="A is a c. Every c is a d. Every d is a e. G is a d. Is A a e or f?")
    alone = replace(alone, meta={**META, "edges": ((0, 2), (2, 3), (3, 4), (6, 3))})
    found = shortcut_accuracies([alone])
    assert found["later first mention"] == 0.0
    assert found["farthest source"] == 1.0


def test_scores_do_not_see_which_option_is_right() -> None:
    """Guards a leak of the answer: swapping target and wrong option must turn every accuracy round."""
    swapped = [
        replace(e, meta={**e.meta, "target": e.meta["neg_target"], "neg_target": e.meta["target"]})
        for e in ProsQA().examples("train")[:100]
    ]
    ours = shortcut_accuracies(ProsQA().examples("train")[:100])
    assert shortcut_accuracies(swapped) == pytest.approx({name: 1 - accuracy for name, accuracy in ours.items()})


def test_points_of_a_problem_make_the_accuracies() -> None:
    """Guards the audit's rows, which are made from points: they must be the accuracies, in groups by what they know."""
    problems = ProsQA().examples("train")[:50]
    findings = graph_guesses(problems)
    assert {f.name: f.accuracy for f in findings} == pytest.approx(shortcut_accuracies(problems))
    assert {f.name for f in findings if f.group is Group.BLIND} == {s.name for s in BLIND}
    assert all(len(f.points) == 50 and f.chance == 0.5 for f in findings)


def test_blind_shortcuts_do_not_see_who_is_asked_about() -> None:
    """Guards what makes a shortcut one: the entity asked about plays no part, but in those that say so."""
    sees = dict.fromkeys([s.name for s in SHORTCUTS], False)
    for example in ProsQA().examples("train")[:100]:
        other = replace(example, meta={**example.meta, "root": 1 - example.meta["root"]})
        for shortcut in SHORTCUTS:
            for option in (example.meta["target"], example.meta["neg_target"]):
                same = shortcut.score(clues_of(example), option) == shortcut.score(clues_of(other), option)
                sees[shortcut.name] |= not same
    del sees["parent within 1 hop of the root"], sees["parent within 2 hops of the root"]
    assert sees == {s.name: s.knows_asked for s in SHORTCUTS if s.name in sees}
    assert [s.name for s in (*BLIND, *ASKED, *SEARCH)] == [s.name for s in SHORTCUTS]


def test_symbolic_form_has_the_same_structure() -> None:
    """Guards the symbolic form: graph shortcuts are those of the text form, only names and order are new."""
    text = shortcut_accuracies(ProsQA().examples("train")[:200])
    symbolic = shortcut_accuracies(SymbolicProsQA().examples("train")[:200])
    order = {"later first mention", "earlier last mention", "told far from the root", "first fact told", "one reading"}
    for name in order | {"two readings", "asked first", "first in the alphabet", "longer name"}:
        del text[name], symbolic[name]
    assert symbolic == text


def test_no_problems_is_an_error() -> None:
    """Guards a division by zero deep inside: an empty split must say so."""
    with pytest.raises(ValueError, match="at least one problem"):
        shortcut_accuracies([])
