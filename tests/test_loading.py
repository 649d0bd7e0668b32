"""Batches made ahead: their order, their errors, their end, and what padding is left in them."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from test_data import training_data
from tiny_runs import metrics, tiny
from unspoken.batch import collate, even_chunks
from unspoken.config import BatchSize
from unspoken.curriculum import Curriculum
from unspoken.data import TrainingData, by_length
from unspoken.layout import MARKERS, Layout, lay_out
from unspoken.loading import Ahead, StepData, step_data, stream
from unspoken.markers import find_markers
from unspoken.recipes import find_recipe
from unspoken.specs import GPT2
from unspoken.tasks.rows import data_root
from unspoken.tokenization import build_tokenizer
from unspoken.train import fit

MIXED = tiny(curriculum=Curriculum(stage_epochs=(1, 1, 1, 1), mix=0.5), batch=BatchSize(rows=8, micro=3))


def counted(num: int, asked: list[int]) -> Iterator[int]:
    for i in range(num):
        asked.append(i)
        yield i


def test_items_come_in_order_and_only_so_far_ahead() -> None:
    """Guards exact resuming (an order that depends on timing) and memory (a whole epoch collated at once)."""
    asked: list[int] = []
    with Ahead(counted(100, asked), depth=3) as items:
        for i in range(10):
            assert next(items) == i
            # Three wait in the queue, and one more in the thread's hand.
            assert len(asked) <= i + 1 + 3 + 1
        assert list(items) == list(range(10, 100))
        with pytest.raises(StopIteration):
            next(items)


def test_an_error_comes_where_its_item_would_have() -> None:
    """Guards against a loop that waits for ever on a thread that died, and against errors before their time."""

    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("training example 17 takes too much")

    with Ahead(broken(), depth=5) as items:
        assert [next(items), next(items)] == [1, 2]
        for _ in range(2):
            with pytest.raises(ValueError, match="example 17"):
                next(items)


@pytest.mark.parametrize("taken", [0, 1, 7])
def test_leaving_ends_the_thread(taken: int) -> None:
    """Guards Ctrl-C, and a process that trains many runs: a thread left behind holds its batches and data."""
    before = threading.active_count()

    def interrupted() -> None:
        with Ahead(counted(10**9, []), depth=2) as items:
            for _ in range(taken):
                next(items)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert threading.active_count() == before


def ids(steps: Iterator[StepData]) -> list[list[list[int]]]:
    return [[row for batch in step.micro for row in batch.input_ids.tolist()] for step in steps]


@pytest.mark.parametrize("bucket", [1, 2, 3, 9])
def test_a_stream_entered_anywhere_goes_on_as_it_would_have(bucket: int) -> None:
    """Guards exact resuming under buckets: a bucket cut anew from where the run goes on has other batches."""
    config = replace(MIXED, batch=replace(MIXED.batch, bucket=bucket))

    def steps(epoch: int, batch: int) -> list[list[list[int]]]:
        data = training_data(config)
        made = stream(
            data,
            config,
            epoch=epoch,
            batch=batch,
            process=0,
            num_processes=1,
            pad_id=0,
            pin=False,
            columns=1,
            in_step=False,
        )
        return ids(made)

    whole = steps(0, 0)
    assert len(whole) == 20
    for start in range(20):
        assert steps(start // 5, start % 5) == whole[start:]


def test_processes_share_a_batch_without_loss_and_of_like_length() -> None:
    """Guards gradients (a row seen twice, or never) and waiting: one process with all the long rows."""
    rows = by_length([lay_out([7] * (2 + i), [8], thought=9) for i in range(12)], 2)
    shares = [
        step_data(rows, process=p, num_processes=3, most=2, pad_id=0, pin=False, columns=1, in_step=False)
        for p in range(3)
    ]
    seen = sorted(int(n) for share in shares for batch in share.micro for n in batch.attention_mask.sum(1))
    assert seen == sorted(map(len, rows))
    assert {(share.num_labels, share.num_tokens) for share in shares} == {(12, sum(map(len, rows)))}
    assert sum(share.num_mine for share in shares) == sum(map(len, rows))
    # In another order it could be 32: rows have 3 to 14 tokens.
    assert max(share.num_mine for share in shares) - min(share.num_mine for share in shares) <= 10


def _padding(batches: list[list[Layout]], micro: int) -> float:
    cut = [collate(rows, pad_id=0) for batch in batches for rows in even_chunks(batch, micro)]
    return 1 - sum(batch.num_tokens for batch in cut) / sum(batch.input_ids.numel() for batch in cut)


@pytest.mark.parametrize("epoch", [0, 15, 40])
def test_buckets_leave_less_than_a_tenth_of_padding_on_prosqa_text(epoch: int) -> None:
    """Guards speed: a random batch of ProsQA text is a quarter padding. Stage 3 is the worst, with long thought-free
    text after the thoughts."""
    if not (data_root() / "tokenizer/gpt2/vocab.json").is_file():
        pytest.skip(f"needs tokenizer/gpt2 in {data_root()}; set UNSPOKEN_DATA")
    recipe = find_recipe("prosqa/gpt2/coconut")
    assert isinstance(recipe.model, GPT2) and recipe.batch.micro is not None
    tokenizer = build_tokenizer(recipe.model.tokenizer, recipe.task)
    tokenizer.add_special_tokens({"additional_special_tokens": list(MARKERS.values())})
    examples = recipe.task.examples("train")[: 128 * 12]
    shares = {}
    for bucket in (1, 4):
        config = replace(recipe, batch=replace(recipe.batch, bucket=bucket))
        data = TrainingData(config, examples, tokenizer, find_markers(tokenizer), positions=None)
        shares[bucket] = _padding(list(data.epoch(epoch)), recipe.batch.micro)
    assert shares[4] < 0.1
    assert shares[4] < 0.7 * shares[1]


def test_a_run_waits_for_data_less_than_a_fiftieth_of_its_time(tmp_path: Path) -> None:
    """Guards against a step that stands still while Python lays the next one out: 8 % of the time at this size."""
    walk = find_recipe("demo/walk")
    fit(replace(walk, max_steps=24, log_every=2, validation=replace(walk.validation, examples=2)), tmp_path / "run")
    lines = metrics(tmp_path / "run", "step")
    assert statistics.median(line["data_wait"] for line in lines) < 0.02
    assert all(0 <= line["padding"] < 0.2 for line in lines)
