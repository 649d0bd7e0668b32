"""ProntoQA in symbols: the same problems, whatever the names, judged by the same prover."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unspoken.tasks.base import Example
from unspoken.tasks.fork import Fork
from unspoken.tasks.prontoqa import GeneratedProntoQA, ProntoQA
from unspoken.tasks.proofs.ontology import ProntoQAGenerator
from unspoken.tasks.rows import data_root
from unspoken.tasks.symbolic_prontoqa import SymbolicProntoQA

MADE = SymbolicProntoQA(problems=GeneratedProntoQA(num_test=60))
LONG = SymbolicProntoQA(problems=GeneratedProntoQA(generator=ProntoQAGenerator(hops=9), num_test=20))
PAIRED = SymbolicProntoQA(problems=GeneratedProntoQA(generator=ProntoQAGenerator(distractors="paired"), num_test=20))


def parsed(example: Example) -> tuple[dict[str, list[str]], list[str], str]:
    """Right sides of each subject, what is told of the entity asked about, and what is asked."""
    told, query = example.question.split(" ? ")
    entity, asked = query.split(" ", 1)
    sides: dict[str, list[str]] = {}
    for rule in told.split(" ; "):
        subject, side = rule.split(" ", 1)
        sides.setdefault(subject, []).append(side)
    return sides, sides.pop(entity), asked


def check(example: Example) -> None:
    """The steps follow one another by what is told, and end in the answer."""
    sides, facts, asked = parsed(example)
    assert example.steps[0] in facts
    for before, step in zip(example.steps, example.steps[1:], strict=False):
        assert step in sides[before]
    assert example.answer == str(example.steps[-1] == asked)
    assert example.steps[-1].split()[-1] == asked.split()[-1]


@pytest.mark.parametrize("task", [MADE, LONG, PAIRED], ids=["published", "long", "paired"])
def test_steps_follow_from_what_is_told(task: SymbolicProntoQA) -> None:
    """Guards wrong gold, before and after problems are drawn anew."""
    for example in task.examples("test"):
        check(example)
        check(task.redraw(example, random.Random(1)))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), index=st.integers(0, 59))
def test_redrawing_changes_names_and_order_only(seed: int, index: int) -> None:
    """Guards training data: another answer, a rule lost, or two concepts under one name."""
    example = MADE.examples("test")[index]
    drawn = MADE.redraw(example, random.Random(seed))
    check(drawn)
    assert drawn.answer == example.answer
    assert len(drawn.question.split()) == len(example.question.split())
    assert len(set(drawn.question.split())) == len(set(example.question.split()))
    again = MADE.redraw(drawn, random.Random(seed))
    assert again == drawn, "a redrawn problem starts from the published one"


def test_words_cover_everything_written() -> None:
    """Guards word-level tokenizers: an unknown word stops a run."""
    known = set(MADE.words())
    assert len(known) == len(MADE.words())
    for task in (MADE, LONG, PAIRED):
        for example in task.examples("test"):
            for one in (example, task.redraw(example, random.Random(2))):
                written = task.write(one)
                assert set(" ".join([written.question, *written.steps, written.answer]).split()) <= known
        assert max(len(e.steps) for e in task.examples("test")) + 4 <= task.max_new_tokens


def test_outputs_are_judged_as_in_words() -> None:
    """Guards the prover against names it does not know: every class, on a problem under other names."""
    example = MADE.redraw(MADE.examples("test")[0], random.Random(3))
    steps, answer = list(example.steps), example.answer
    other = {"True": "False", "False": "True"}[answer]

    def judged(*words: str, hidden: int = 0) -> str | None:
        return MADE.classify(" ".join(words), example, hidden=hidden)

    assert judged(*steps, answer) == "valid proof"
    assert judged(*steps, other) == "wrong label"
    assert judged(*steps[:2], *steps[3:], answer) == "skipping proof"
    assert judged(*steps[3:], answer, hidden=3) == "valid proof"
    assert judged(*steps[3:], answer) != "valid proof"
    assert judged(*steps[:3], answer) == "incomplete proof"
    assert judged(answer) == "correct label"
    assert judged(other) == judged() == "incorrect label"
    assert judged("not", steps[0], answer) == judged("True", "True") == judged("not", answer) == "wrong step"
    _, facts, _ = parsed(example)
    (aside,) = set(facts) - {steps[0]}
    assert judged(aside, answer) in ("misleading proof", "incomplete proof")


def test_problems_of_other_tasks_are_refused() -> None:
    """Guards a config that names another task: an error at once, not deep in the parser."""
    with pytest.raises(ValueError, match="problems: expected ProntoQA's, published or generated, got Fork"):
        SymbolicProntoQA(problems=Fork())
    assert MADE.asking(ProntoQA()) == replace(MADE, problems=ProntoQA())
    fork = Fork()
    assert MADE.asking(fork) is fork


def test_published_problems_in_symbols() -> None:
    """Guards the published files: every one of them can be written in symbols and is judged valid."""
    if not (data_root() / "prontoqa/prontoqa_test.json").is_file():
        pytest.skip(f"no ProntoQA files in {data_root()}")
    task = SymbolicProntoQA()
    examples = task.examples("test")
    assert len(examples) == 800
    for example, words in zip(examples, ProntoQA().examples("test"), strict=True):
        assert example.answer == words.answer
        assert task.classify(" ".join([*example.steps, example.answer]), example, hidden=0) == "valid proof"
        assert task.measures(example) == task.problems.measures(words)


def test_generated_problems_are_the_generators() -> None:
    """Guards `GeneratedProntoQA`: sizes, seeds and splits, and the same verdicts as for files."""
    task = GeneratedProntoQA(num_train=3, num_valid=2, num_test=1, data_seed=4)
    assert [len(task.examples(split)) for split in ("train", "valid", "test")] == [3, 2, 1]
    assert list(task.examples("train")) == list(ProntoQAGenerator().problems(num=3, seed=4))
    example = task.examples("test")[0]
    written = task.write(example)
    assert task.classify("".join([*written.steps, written.answer]), example, hidden=0) == "valid proof"
    with pytest.raises(ValueError, match="num_valid must be at least 0, got -1"):
        GeneratedProntoQA(num_valid=-1)
