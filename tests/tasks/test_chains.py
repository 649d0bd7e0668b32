"""Verdicts on written chains: the paper's six classes, in both forms, with and without hidden steps."""

from __future__ import annotations

from itertools import pairwise

import pytest

from unspoken.tasks.base import Example
from unspoken.tasks.chains import PathClass, judge
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.symbolic import SymbolicProsQA

# A -> c -> d -> e is right, A -> c -> f -> d -> e is longer, A -> c -> g ends elsewhere, B -> h -> i is another family.
SMALL = {
    "idx_to_symbol": ("A", "B", "c", "d", "e", "f", "g", "h", "i"),
    "edges": ((0, 2), (2, 3), (3, 4), (2, 5), (5, 3), (2, 6), (1, 7), (7, 8)),
    "root": 0,
    "target": 4,
    "neg_target": 8,
    "path": (0, 2, 3, 4),
}
SMALL_TEXT = Example(
    question="", steps=("A is a c.", "Every c is a d.", "Every d is a e."), answer="A is a e.", meta=SMALL
)
SMALL_SYMBOLIC = Example(question="", steps=("c", "d", "e"), answer="e", meta=SMALL)

VERDICTS: list[tuple[str, int, str, PathClass]] = [
    # path written (as nodes, the first one not written in symbols), hidden steps, answer, class
    ("A c d e", 0, "e", PathClass.CORRECT_PATH),
    ("A c f d e", 0, "e", PathClass.LONGER_PATH),
    ("A c e", 0, "e", PathClass.HALLUCINATION),
    ("A c g", 0, "e", PathClass.WRONG_TARGET),
    ("A c g", 0, "g", PathClass.WRONG_TARGET),
    ("A c d e", 0, "i", PathClass.WRONG_TARGET),
    ("A c d", 0, "e", PathClass.WRONG_TARGET),
    ("A c d e", 0, "", PathClass.WRONG_TARGET),
    ("c d e", 0, "e", PathClass.HALLUCINATION),
    ("B h i", 0, "i", PathClass.HALLUCINATION),
    ("", 0, "e", PathClass.CORRECT_LABEL),
    ("", 0, "i", PathClass.INCORRECT_LABEL),
    ("", 0, "", PathClass.INCORRECT_LABEL),
    ("", 3, "e", PathClass.CORRECT_LABEL),
    # after one hidden step: c is one step away
    ("c d e", 1, "e", PathClass.CORRECT_PATH),
    ("c f d e", 1, "e", PathClass.LONGER_PATH),
    ("c g", 1, "g", PathClass.WRONG_TARGET),
    ("h i", 1, "i", PathClass.HALLUCINATION),
    ("d e", 1, "e", PathClass.HALLUCINATION),
    # after two: d is two steps away, or three by way of f
    ("d e", 2, "e", PathClass.CORRECT_PATH),
    ("d e", 3, "e", PathClass.CORRECT_PATH),
    # a whole path after thoughts needs no completion
    ("A c d e", 2, "e", PathClass.CORRECT_PATH),
]


@pytest.mark.parametrize(("path", "hidden", "answer", "verdict"), VERDICTS)
def test_verdict_on_text(path: str, hidden: int, answer: str, verdict: PathClass) -> None:
    """Guards the six classes on sentences, with and without hidden steps."""
    nodes = path.split()
    steps = [f"{a} is a {b}." if a in "AB" else f"Every {a} is a {b}." for a, b in pairwise(nodes)]
    end = f"### A is a {answer}." if answer else ""
    for separator in ("\n", " "):
        assert judge(separator.join([*steps, end]), SMALL_TEXT, hidden=hidden) is verdict


@pytest.mark.parametrize(("path", "hidden", "answer", "verdict"), VERDICTS)
def test_verdict_on_symbols(path: str, hidden: int, answer: str, verdict: PathClass) -> None:
    """Guards the six classes on symbols, where the first node written stands after one that is not."""
    if answer:  # without marks the last word is the answer, so a chain alone cannot be told apart
        text = " ".join([*path.split()[1:], answer])
        assert judge(text, SMALL_SYMBOLIC, hidden=hidden) is verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("A is a c.\nEvery c is a zebra.\n### A is a e.", PathClass.HALLUCINATION),
        ("Every A is a c.\nEvery c is a d.\nEvery d is a e.\n### A is a e.", PathClass.HALLUCINATION),
        ("Every c is a d.\nA is a c.\nEvery d is a e.\n### A is a e.", PathClass.HALLUCINATION),
        ("...\n### A is a e.", PathClass.HALLUCINATION),
        ("A is a e.", PathClass.CORRECT_LABEL),
        ("blah", PathClass.HALLUCINATION),
    ],
)
def test_verdict_on_broken_text(text: str, verdict: PathClass) -> None:
    """Guards the parser against text no model should write, but early checkpoints do."""
    assert judge(text, SMALL_TEXT) is verdict


def test_a_detour_among_the_hidden_steps_shows_in_sentences_only() -> None:
    """Guards the node before the first written symbol: "d e" may have come by c, "Every f is a d." came by f."""
    text = "Every f is a d.\nEvery d is a e.\n### A is a e."
    assert judge(text, SMALL_TEXT, hidden=2) is PathClass.LONGER_PATH
    assert judge("d e e", SMALL_SYMBOLIC, hidden=2) is PathClass.CORRECT_PATH


def test_judge_refuses_negative_hidden() -> None:
    """Guards a caller that subtracts the wrong way round."""
    with pytest.raises(ValueError, match=r"hidden: expected the number of steps .* got -1"):
        judge("", SMALL_TEXT, hidden=-1)


@pytest.mark.parametrize("task", [ProsQA(), SymbolicProsQA()], ids=["text", "symbolic"])
def test_every_suffix_of_a_gold_chain_is_a_correct_path(task: ProsQA | SymbolicProsQA) -> None:
    """Guards the interpolation analysis: the gold chain after k hidden steps is a correct path for every k."""
    for example in task.examples("train")[:100]:
        for hidden in range(len(example.steps) + 1):
            mark = "### " if isinstance(task, ProsQA) else ""
            text = "\n".join([*example.steps[hidden:], mark + example.answer])
            want = PathClass.CORRECT_PATH if hidden < len(example.steps) else PathClass.CORRECT_LABEL
            assert judge(text, example, hidden=hidden) is want
