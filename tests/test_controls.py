"""The controls of the paper: shuffled and detached thoughts, and the loss every method shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tiny import (
    PAD,
    RAGGED,
    VOCABULARY,
    assert_close,
    assert_same_gradients,
    forward,
    gradients,
    number,
    rows,
    shared,
)
from unspoken.batch import Batch, collate
from unspoken.layout import IGNORE_INDEX, Layout
from unspoken.methods import Coconut, DetachedThoughts, ShuffledThoughts
from unspoken.model import LatentOutput

THINKING = ("qqqTTTqaa", "qqqqTTTqa", "qTTTqaaa", "qqTTTqa")
"""As many thoughts as `ShuffledThoughts(max_stage=3)` has, in as many rows as it needs."""


def shuffled(some: list[Layout]) -> LatentOutput:
    method = ShuffledThoughts(max_stage=3)
    assert len(some) >= method.min_rows()
    with torch.no_grad():
        return forward(shared("gpt2"), some, feed_back=method.feed_back)


def asked_otherwise(one: Layout, *, more: int = 0) -> Layout:
    """Another question before the same thoughts and targets, longer by `more` tokens."""
    first = one.is_thought.index(True)
    question = [(token + 7) % VOCABULARY for token in one.input_ids[:first]] + [5] * more
    return Layout(
        input_ids=[*question, *one.input_ids[first:]],
        labels=[IGNORE_INDEX] * len(question) + one.labels[first:],
        is_thought=[False] * len(question) + one.is_thought[first:],
    )


def test_shuffled_thoughts_are_states_of_other_rows() -> None:
    """Guards the control: thought k of row i is what row i - 1 would have thought."""
    some = rows(*THINKING)
    out = shuffled(some)
    batch = collate(some, pad_id=PAD)
    first = int(batch.is_thought[0].int().argmax())
    for i in range(len(some)):
        for k in range(3):
            states = out.hidden[:, first + k - 1]
            assert_close(out.thoughts[i, k], states[i - 1], within=1e-12)
            assert (out.thoughts[i, k] - states[i]).abs().max() > 1e-3


@pytest.mark.parametrize("more", [0, 3])
@pytest.mark.parametrize("i", range(4))
def test_shuffled_thoughts_tell_nothing_about_their_rows_question(i: int, more: int) -> None:
    """Guards the control's claim: whatever row i is asked, it is fed the very same thoughts; other rows are not."""
    some = rows(*THINKING)
    others = [asked_otherwise(one, more=more) if j == i else one for j, one in enumerate(some)]
    before, after = shuffled(some), shuffled(others)
    assert_close(after.thoughts[i], before.thoughts[i], within=1e-12)
    fed_on = (i + 1) % 4
    assert (after.thoughts[fed_on] - before.thoughts[fed_on]).abs().max() > 1e-3


def test_shuffled_thoughts_come_full_circle_in_too_few_rows() -> None:
    """Guards `min_rows`: with as many rows as thoughts, the last thought already knows its own row's question."""
    some = rows(*THINKING)[:3]
    others = [asked_otherwise(some[0]), *some[1:]]
    feed_back = ShuffledThoughts(max_stage=3).feed_back
    with torch.no_grad():
        before, after = (forward(shared("gpt2"), each, feed_back=feed_back) for each in (some, others))
    assert_close(after.thoughts[0, :2], before.thoughts[0, :2], within=1e-12)
    assert (after.thoughts[0, 2] - before.thoughts[0, 2]).abs().max() > 1e-3


@pytest.mark.parametrize("pictures", [("qqTTTa", "qqTqaa", "qqTTTa", "qqTqaa"), ("qqTa", "qqaa", "qaa", "qqaaa")])
def test_shuffled_thoughts_refuse_rows_of_different_stages(pictures: tuple[str, ...]) -> None:
    """Guards the control under stage mixing: where few rows think, a thought comes back to its own row."""
    with pytest.raises(ValueError, match=r"same columns|every row|mix"):
        shuffled(rows(*pictures))


def test_detached_thoughts_change_gradients_and_no_values() -> None:
    """Guards the control: the same function as Coconut's, its gradient that of thoughts given as constants."""
    model, some = shared("gpt2"), rows(*RAGGED)
    coconut, detached = (forward(model, some, feed_back=m.feed_back) for m in (Coconut(), DetachedThoughts()))
    assert torch.equal(detached.hidden, coconut.hidden)
    assert torch.equal(detached.thoughts, coconut.thoughts)

    states = constants(coconut, collate(some, pad_id=PAD))

    def constant_thoughts(hidden: Tensor, is_thought: Tensor) -> Tensor:
        return next(states)

    constant = forward(model, some, feed_back=constant_thoughts)
    found = gradients(model, detached.loss_sum)
    assert_same_gradients(found, gradients(model, constant.loss_sum), within=1e-7)
    with pytest.raises(AssertionError, match="off by"):
        assert_same_gradients(found, gradients(model, coconut.loss_sum), within=1e-3)


def constants(out: LatentOutput, batch: Batch) -> Iterator[Tensor]:
    """What an earlier pass fed in each column with a thought, as numbers without a history."""
    values = torch.tensor(out.hidden.tolist(), dtype=out.hidden.dtype)
    for column in batch.is_thought.any(0).nonzero()[:, 0].tolist():
        yield values[:, column - 1]


def test_methods_loss_is_the_sum() -> None:
    """Guards the loop's division by the global label count: a mean here would be divided twice."""
    model, batch = shared("gpt2"), collate(rows(*RAGGED), pad_id=PAD)
    with torch.no_grad():
        out = model(**batch.tensors())
        loss = Coconut().loss(model, batch)
    assert number(loss) == number(out.loss_sum) == pytest.approx(number(out.loss) * batch.num_labels)
    assert batch.num_labels > 1
