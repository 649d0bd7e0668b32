"""Shortcuts: their accuracies on the released rows, and that they cannot see the answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unspoken.tasks.base import Example
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.rows import data_root
from unspoken.tasks.shortcuts import SHORTCUTS, clues_of, shortcut_accuracies
from unspoken.tasks.symbolic import SymbolicProsQA

shared = pytest.mark.skipif(
    not data_root().joinpath("prosqa/prosqa_valid.json").is_file()
    or not data_root().joinpath("prosqa/prosqa_test.json").is_file(),
    reason=f"no ProsQA files in {data_root()}",
)

RELEASED = {
    "farthest source": 93.8,
    "nearest source": 91.6,
    "more ancestors": 70.7,
    "parent within 2 hops of the root": 70.4,
    "lower in-degree": 66.4,
    "higher node id": 60.0,
    "not attached to a person": 59.7,
    "later first mention": 58.6,
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
    scores = {name: (score(clues, 4), score(clues, 5)) for name, score in SHORTCUTS.items()}
    assert scores == {
        "farthest source": (3, 1),
        "nearest source": (2, 1),
        "more ancestors": (4, 1),
        "parent within 2 hops of the root": (1, 0),
        "lower in-degree": (-1, -1),
        "higher node id": (4, 5),
        "not attached to a person": (1, 0),
        "later first mention": (7, 5),
    }
    assert shortcut_accuracies([SMALL])["lower in-degree"] == 0.5, "a tie is a coin"
    assert shortcut_accuracies([SMALL])["higher node id"] == 0.0


def test_scores_do_not_see_which_option_is_right() -> None:
    """Guards a leak of the answer: swapping target and wrong option must turn every accuracy round."""
    swapped = [
        replace(e, meta={**e.meta, "target": e.meta["neg_target"], "neg_target": e.meta["target"]})
        for e in ProsQA().examples("train")[:100]
    ]
    ours = shortcut_accuracies(ProsQA().examples("train")[:100])
    assert shortcut_accuracies(swapped) == pytest.approx({name: 1 - accuracy for name, accuracy in ours.items()})


def test_most_shortcuts_do_not_see_who_is_asked_about() -> None:
    """Guards what makes a shortcut one: the entity asked about plays no part (but in the one that says so)."""
    for example in ProsQA().examples("train")[:100]:
        other = replace(example, meta={**example.meta, "root": 1 - example.meta["root"]})
        for name, score in SHORTCUTS.items():
            if name != "parent within 2 hops of the root":
                target = example.meta["target"]
                assert score(clues_of(example), target) == score(clues_of(other), target)


def test_symbolic_form_has_the_same_structure() -> None:
    """Guards the symbolic form: graph shortcuts are those of the text form, only the order of mention is new."""
    text = shortcut_accuracies(ProsQA().examples("train")[:200])
    symbolic = shortcut_accuracies(SymbolicProsQA().examples("train")[:200])
    del text["later first mention"], symbolic["later first mention"]
    assert symbolic == text


def test_no_problems_is_an_error() -> None:
    """Guards a division by zero deep inside: an empty split must say so."""
    with pytest.raises(ValueError, match="at least one problem"):
        shortcut_accuracies([])
