"""From examples to batches: order, stages, redrawing, caching, and what is refused."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase, TokenizersBackend

from tiny_runs import STEPS_PER_EPOCH, tiny
from unspoken import data
from unspoken.config import BatchSize, RunConfig
from unspoken.curriculum import Curriculum
from unspoken.data import TrainingData, tokenize
from unspoken.layout import IGNORE_INDEX, Layout
from unspoken.markers import find_markers
from unspoken.methods import Coconut, CoT, NoCoT, ShuffledThoughts, WithoutThought
from unspoken.specs import Words
from unspoken.tasks.base import Example, Generated, Split, Task, Written
from unspoken.tasks.hops import Hops
from unspoken.tokenization import build_tokenizer, encode

NAMES = [f"w{i}" for i in range(60)]


@final
@dataclass(frozen=True, kw_only=True)
class Fixed(Task):
    """Problems that never change: one word asks, two steps, one word answers; problem i is known by its word."""

    version: ClassVar[str] = "1"

    num: int = 43
    """Training problems."""
    longest: int = 0
    """Problem i has i modulo this many further steps."""

    @property
    def max_new_tokens(self) -> int:
        return 6

    def examples(self, split: Split) -> Sequence[Example]:
        return [Example(question=NAMES[i], steps=("x", "y", *self._more(i)), answer=NAMES[i]) for i in range(self.num)]

    def _more(self, i: int) -> tuple[str, ...]:
        return ("x",) * (i % self.longest if self.longest else 0)

    def write(self, example: Example) -> Written:
        return Written(question=example.question, steps=example.steps, answer=example.answer)

    def words(self) -> Sequence[str]:
        return ["x", "y", *NAMES]


def words_of(config: RunConfig) -> PreTrainedTokenizerBase:
    return build_tokenizer(Words(), config.task)


def training_data(config: RunConfig, *, positions: int | None = None) -> TrainingData:
    tokenizer = words_of(config)
    examples = config.task.examples("train")
    return TrainingData(config, examples, tokenizer, find_markers(tokenizer), positions=positions)


TASKS = pytest.mark.parametrize("task", [tiny().task, Fixed()], ids=["redrawn", "fixed"])


@TASKS
def test_a_layout_depends_on_seed_epoch_and_index_alone(task: Task) -> None:
    """Guards exact resuming: a generator shared between examples would make a layout depend on what came before it."""
    config = tiny(task=task, curriculum=Curriculum(stage_epochs=(1, 1, 1, 1), mix=0.5))
    forward = training_data(config).layouts(2, list(range(20)))
    warm = training_data(config)
    for epoch in (0, 5, 2):
        warm.layouts(epoch, [19, 3, 11])
    assert [warm.layouts(2, [i])[0] for i in reversed(range(20))] == forward[::-1]
    assert training_data(replace(config, seed=1)).layouts(2, list(range(20))) != forward
    assert training_data(config).layouts(3, list(range(20))) != forward


@TASKS
def test_an_epoch_entered_in_the_middle_goes_on_as_it_would_have(task: Task) -> None:
    """Guards resuming: batches after a checkpoint must be those the interrupted run would have seen."""
    config = tiny(task=task, curriculum=Curriculum(stage_epochs=(1, 1, 1, 1), mix=0.5))
    whole = list(training_data(config).epoch(1))
    assert len(whole) == STEPS_PER_EPOCH
    for start in range(STEPS_PER_EPOCH + 1):
        assert list(training_data(config).epoch(1, start=start)) == whole[start:]


def _seen(config: RunConfig, epoch: int) -> list[int]:
    """The first input id of every row in an epoch, which tells a `Fixed` problem."""
    return [row.input_ids[0] for rows in training_data(config).epoch(epoch) for row in rows]


def test_every_epoch_is_another_order_of_all_examples() -> None:
    """Guards against an order that repeats, and against examples drawn twice while others wait."""
    config = tiny(task=Fixed(num=40))
    epochs = [_seen(config, epoch) for epoch in range(4)]
    for seen in epochs:
        assert len(seen) == len(set(seen)) == 40
        assert set(seen) == set(epochs[0])
    assert len({tuple(seen) for seen in epochs}) == 4
    assert _seen(replace(config, seed=1), 0) != epochs[0]


@pytest.mark.parametrize("bucket", [2, 3, 5, 64])
def test_a_bucket_changes_who_meets_whom_and_nothing_else(bucket: int) -> None:
    """Guards against rows lost or seen twice, a layout that changes with its batch, and batches that come in order of
    their length, which would be a curriculum of its own."""
    config = tiny(curriculum=Curriculum(stage_epochs=(9, 1, 1, 1), mix=0.5), task=Fixed(num=59, longest=9))
    sorted_config = replace(config, batch=BatchSize(rows=8, bucket=bucket))
    lengths = []
    for epoch in range(3):
        plain = [row for rows in training_data(config).epoch(epoch) for row in rows]
        batches = list(training_data(sorted_config).epoch(epoch))
        assert {len(rows) for rows in batches} == {8}
        assert sorted(str(row) for rows in batches for row in rows) == sorted(map(str, plain))
        assert batches == list(training_data(sorted_config).epoch(epoch))
        lengths.append([sum(map(len, rows)) for rows in batches])
    assert all(each != sorted(each) and each != sorted(each, reverse=True) for each in lengths)


@pytest.mark.parametrize("bucket", [1, 4])
def test_rows_of_a_method_that_mixes_them_meet_by_chance(bucket: int) -> None:
    """Guards the shuffled control: a donor of the same length tells a row something about its own question."""
    config = tiny(method=ShuffledThoughts(max_stage=2), task=Fixed(num=40), batch=BatchSize(rows=8))
    if bucket > 1:
        with pytest.raises(ValueError, match=r"expected batch\.bucket 1, got 4"):
            replace(config, batch=BatchSize(rows=8, bucket=bucket))
        return
    order = np.random.default_rng([config.seed, 0]).permutation(40).tolist()
    first = {row.input_ids[0]: i for i, row in enumerate(training_data(config).layouts(0, list(range(40))))}
    assert [first[word] for word in _seen(config, 0)] == order


def test_examples_left_over_take_their_turn_in_another_epoch() -> None:
    """Guards against a split whose last rows are never trained on because the batch size does not divide it."""
    config = tiny(task=Fixed(num=43))
    epochs = [set(_seen(config, epoch)) for epoch in range(6)]
    assert {len(seen) for seen in epochs} == {40}
    assert len(set.union(*epochs)) == 43


def test_a_split_smaller_than_a_batch_is_one_batch() -> None:
    """Guards against an epoch of no steps, which would never end training."""
    config = tiny(task=Fixed(num=5))
    made = training_data(config)
    assert made.steps_per_epoch == 1
    assert [len(rows) for rows in made.epoch(0)] == [5]


@pytest.mark.parametrize(("task", "each_epoch"), [(Fixed(num=40), [40, 0, 0]), (tiny().task, [40, 40, 40])])
def test_text_is_tokenized_once_unless_it_is_redrawn(
    task: Task, each_epoch: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards both ways: tokenizing again costs a third of a small run, and a cache would freeze redrawn problems."""
    calls: list[int] = []

    def counted(examples: Sequence[Example], *rest: Any) -> Any:
        calls.append(len(examples))
        return tokenize(examples, *rest)

    monkeypatch.setattr(data, "tokenize", counted)
    made = training_data(tiny(task=task))
    found = []
    for epoch in range(3):
        calls.clear()
        list(made.epoch(epoch))
        found.append(sum(calls))
    assert found == each_epoch


def test_redrawn_examples_are_new_in_every_epoch() -> None:
    """Guards tasks whose point is that problems never repeat."""
    made = training_data(tiny(curriculum=Curriculum(stage_epochs=(9, 1, 1, 1))))
    rows = [tuple(made.layouts(epoch, [7])[0].input_ids) for epoch in range(8)]
    assert len(set(rows)) == 8


def _thoughts(mix: float, epoch: int) -> list[int]:
    config = tiny(
        task=Hops(nodes=5, hops=2, num_train=400),
        curriculum=Curriculum(stage_epochs=(1, 1, 1, 1), mix=mix),
        batch=BatchSize(rows=400),
    )
    (rows,) = training_data(config).epoch(epoch)
    return [row.num_thoughts for row in rows]


def test_stages_are_mixed_example_by_example() -> None:
    """Guards against one draw a batch, and against mixing that leaves out a stage or the current one."""
    assert set(_thoughts(0.0, epoch=1)) == {1}
    mixed = _thoughts(0.4, epoch=1)
    # Thoughts are 0, 1, 2, 2 in stages 0 to 3: three quarters of 0.4 leave stage 1, two thirds of those have two.
    assert 70 <= mixed.count(0) + mixed.count(2) <= 170
    assert 15 <= mixed.count(0) <= 65
    assert mixed.count(2) > mixed.count(0)


def test_an_example_longer_than_the_model_is_refused_by_number() -> None:
    """Guards against an index error in the embedding, far from the example that caused it."""
    config = tiny(task=Fixed(), method=CoT(), curriculum=Curriculum(stage_epochs=(1,)))
    longest = len(training_data(config).layouts(0, [17])[0])
    assert training_data(config, positions=longest).layouts(0, [17])
    with pytest.raises(
        ValueError, match=f"training example 17 takes {longest} positions, but the model has {longest - 1}"
    ):
        training_data(config, positions=longest - 1).layouts(0, [17])


def test_words_are_looked_up_as_the_library_would() -> None:
    """Guards the short cut around the tokenizers library: the same ids, of markers spelt in a text too, and no word of
    an open vocabulary taken for a closed one's."""
    tokenizer = words_of(tiny())
    assert isinstance(tokenizer, TokenizersBackend)
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = True
    texts = ["a b ; c  d", "", " e\ta\n", "<|latent|> a", "? <|endoftext|>"]
    wanted = [found.ids for found in backend.encode_batch_fast(texts, add_special_tokens=False)]
    assert encode(texts, tokenizer) == wanted
    assert [len(ids) for ids in wanted] == [5, 0, 2, 2, 2]


def test_generated_examples_of_a_task_that_redraws_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards speed: a graph drawn again every epoch, only to be renamed, was half of the time of laying it out."""
    made: list[int] = []
    original = Generated.__getitem__

    def counted(self: Generated, index: Any) -> Any:
        made.append(index)
        return original(self, index)

    monkeypatch.setattr(Generated, "__getitem__", counted)
    data = training_data(tiny())
    first = [list(data.epoch(epoch)) for epoch in range(3)]
    assert sorted(made) == list(range(40))
    monkeypatch.setattr("unspoken.data._EXAMPLES_KEPT", 0)
    assert [list(training_data(tiny()).epoch(epoch)) for epoch in range(3)] == first
    assert len(made) == 40 + 3 * 40


def test_an_empty_question_is_refused() -> None:
    """Guards against a layout whose first token is a target, or a thought with nothing before it."""
    config = tiny(task=Fixed())
    empty = Example(question="  ", steps=("x",), answer="w3")
    with pytest.raises(ValueError, match=r"empty question \(answer 'w3'\)"):
        tokenize([empty], config.task, words_of(config))


def test_a_word_outside_the_vocabulary_is_named() -> None:
    """Guards against a word that passes silently as another one, or as nothing."""
    config = tiny(task=Fixed())
    odd = [Example(question="w1", steps=(), answer="w1"), Example(question="w1 zebra", steps=("x",), answer="w2")]
    with pytest.raises(ValueError, match=r"the word 'zebra' is not in this model's vocabulary of \d+ words"):
        tokenize(odd, config.task, words_of(config))


def _laid_out(method: Any, example: Example) -> list[Layout]:
    task = Fixed()
    tokenizer = build_tokenizer(Words(), task)
    (tokens,) = tokenize([example], task, tokenizer)
    return [method.layout(tokens, stage, find_markers(tokenizer), random.Random(0)) for stage in range(method.stages)]


@pytest.mark.parametrize("method", [CoT(), NoCoT(), WithoutThought(max_stage=2), Coconut(max_stage=2)])
def test_an_example_without_steps_is_laid_out_on_purpose(method: Any) -> None:
    """Guards tasks where some answers need no step: the answer is the target, and thoughts follow the stage."""
    layouts = _laid_out(method, Example(question="w1", steps=(), answer="w2"))
    for stage, layout in enumerate(layouts):
        targets = [token for token in layout.labels if token != IGNORE_INDEX]
        assert targets == layout.input_ids[-2:]
        assert layout.num_thoughts == (min(stage, 2) if isinstance(method, Coconut) else 0)


def test_tokens_are_those_of_each_part_and_end_with_end_of_text() -> None:
    """Guards against parts that shift by one (steps of one example in another), and against answers without an end."""
    config = tiny(task=Fixed())
    tokenizer = words_of(config)
    examples = [
        Example(question="w1 w2", steps=("x", "y x"), answer="w3"),
        Example(question="w4", steps=(), answer="w5"),
        Example(question="w6", steps=("y",), answer="w7 w8"),
    ]
    read = tokenizer.decode
    for example, tokens in zip(examples, tokenize(examples, config.task, tokenizer), strict=True):
        assert read(list(tokens.question)) == example.question
        assert tuple(read(list(step)) for step in tokens.steps) == example.steps
        assert read(list(tokens.answer)) == f"{example.answer} {tokenizer.eos_token}"
        assert tokens.answer[-1] == tokenizer.eos_token_id
    assert tokenize([], config.task, tokenizer) == []
