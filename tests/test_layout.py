"""Rows of ids: what is a thought, what is a target, and what cannot be."""

from __future__ import annotations

import pytest

from unspoken.layout import IGNORE_INDEX, Layout, Marks, Tokens, lay_out
from unspoken.methods import NoCoT


def test_lay_out_marks_thoughts_only_in_what_is_given() -> None:
    """Guards targets: a thought among them would be fed a state the layout never announced."""
    layout = lay_out([1, 32, 31], [11, 32, 2], thought=32)
    assert layout.is_thought == [False, True, False, False, False, False]
    assert layout.labels == [IGNORE_INDEX] * 3 + [11, 32, 2]
    assert layout.num_thoughts == 1
    assert len(layout) == 6


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (([1, 2], [-100], [False, False]), "one entry a position, got 2, 1 and 2"),
        (([1, 2], [-100, -100], [False]), "one entry a position, got 2, 2 and 1"),
        (([], [], []), "at least one token; is the question empty"),
        (([1, 2], [1, 2], [False, False]), "first token of a layout cannot be a target"),
        (([1, 2], [-100, 2], [True, False]), "thought needs at least one token before it"),
    ],
)
def test_impossible_layouts(fields: tuple[list[int], list[int], list[bool]], message: str) -> None:
    """Guards the model against layouts it would run into garbage: a state, or a prediction, from nothing."""
    input_ids, labels, is_thought = fields
    with pytest.raises(ValueError, match=message):
        Layout(input_ids=input_ids, labels=labels, is_thought=is_thought)


def test_an_empty_question_is_refused_by_name() -> None:
    """Guards No-CoT on an example without a question: its first target would follow nothing."""
    with pytest.raises(ValueError, match="is the question empty"):
        NoCoT().layout(Tokens(question=[], steps=[], answer=[2]), 0, Marks(bot=30, eot=31, thought=32, pause=33))


def test_prompt_of_a_layout_without_targets_is_the_whole_layout() -> None:
    """Guards `next(...)` without a default: forced prompts have no label to stop at."""
    layout = Layout(input_ids=[1, 2], labels=[IGNORE_INDEX] * 2, is_thought=[False, True])
    assert layout.prompt == layout
