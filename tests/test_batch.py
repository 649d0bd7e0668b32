"""Padding: where it goes, and that nothing reads it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny import PAD, layouts, rows
from unspoken.batch import collate
from unspoken.layout import IGNORE_INDEX, Layout


def test_first_thoughts_share_a_column() -> None:
    """Guards speed: every further column with a thought costs a forward pass. Rows without thoughts are not shifted."""
    batch = collate(rows("qqqTTaa", "qTa", "qqa"), pad_id=PAD)
    pictures = ["".join("T" if thought else "." for thought in row) for row in batch.is_thought.tolist()]
    assert pictures == ["...TT..", "...T...", "......."]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0, 0]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 4, 5, 6], [0, 0, 0, 1, 2, 0, 0], [0, 1, 2, 0, 0, 0, 0]]


@settings(deadline=None)
@given(st.lists(layouts(), min_size=1, max_size=5))
def test_every_row_is_there_once_and_the_rest_is_padding(some: list[Layout]) -> None:
    """Guards collation of any mix of rows: nothing lost, nothing shifted against its labels, padding that says so."""
    batch = collate(some, pad_id=PAD)
    assert len(batch) == len(some)
    firsts = set()
    for i, row in enumerate(some):
        real = batch.attention_mask[i].bool()
        columns = real.nonzero()[:, 0].tolist()
        assert columns == list(range(columns[0], columns[0] + len(row))), "a row is one piece"
        assert batch.input_ids[i][real].tolist() == row.input_ids
        assert batch.labels[i][real].tolist() == row.labels
        assert batch.is_thought[i][real].tolist() == row.is_thought
        assert batch.position_ids[i][real].tolist() == list(range(len(row)))
        assert (batch.input_ids[i][~real] == PAD).all()
        assert (batch.labels[i][~real] == IGNORE_INDEX).all()
        assert not batch.is_thought[i][~real].any()
        if row.num_thoughts:
            firsts.add(int(batch.is_thought[i].int().argmax()))
        else:
            assert columns[0] == 0
    assert len(firsts) <= 1
    assert batch.num_labels == sum(label != IGNORE_INDEX for row in some for label in row.labels)
    assert batch.attention_mask.any(0).all(), "no column of padding alone"


def test_an_empty_batch_is_refused() -> None:
    """Guards `max()` of nothing, whose message would name no cause."""
    with pytest.raises(ValueError, match="empty batch: expected at least one row"):
        collate([], pad_id=PAD)


def test_a_batch_keeps_its_count_when_it_moves() -> None:
    """Guards `Batch.to`: a field it forgets would be missing on the device only."""
    batch = collate(rows("qTa", "qaa"), pad_id=PAD)
    moved = batch.to(torch.device("meta"))
    assert {tensor.device.type for tensor in moved.tensors().values()} == {"meta"}
    assert moved.num_labels == batch.num_labels == 3
