"""Refilled decoding: whatever shares a step with a row, and whenever it joined, the row writes what it writes alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference import reference_generate
from tiny import POSITIONS, VOCABULARY, build, few, layouts, row, rows, shared
from unspoken import slots
from unspoken.generate import Written
from unspoken.layout import Layout
from unspoken.methods import ShuffledThoughts
from unspoken.model import LatentLM

PROMPTS = ("qqqqTTTqq", "qqTq", "qqqqqqq", "qTqTqTqqqqq", "q", "qqqqqqqqqqTT", "qqT", "qqqqqTTTTq", "qT")
"""Lengths and thought counts, gaps between thoughts, a thought right before the first written token."""


def write(
    model: LatentLM, some: Sequence[Layout], *, num: int = 6, stop: Sequence[int] = (), max_rows: int
) -> list[Written]:
    assert model.backbone.blocks is not None, "the fast path is what this file is about"
    return model.write(some, max_new_tokens=num, rows=max_rows, eos_token_id=list(stop))


def expected(model: LatentLM, some: Sequence[Layout], *, num: int = 6, stop: Sequence[int] = ()) -> list[list[int]]:
    with torch.no_grad():
        return [reference_generate(model.lm, one, max_new_tokens=num, stop=stop) for one in some]


def tokens(written: Sequence[Written]) -> list[list[int]]:
    return [one.tokens for one in written]


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3"])
@pytest.mark.parametrize("max_rows", [1, 2, 4, 100])
def test_refilled_equals_reference(family: str, max_rows: int) -> None:
    """Guards places, lengths, masks and positions of rows that join while others think or write."""
    model, some = shared(family), rows(*PROMPTS)
    assert tokens(write(model, some, max_rows=max_rows)) == expected(model, some)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@given(
    some=st.lists(layouts(max_tokens=9, labels=False), min_size=1, max_size=7),
    max_rows=st.integers(1, 4),
    stop=st.lists(st.integers(0, VOCABULARY - 1), max_size=25),
)
@few
def test_any_prompts_equal_reference(family: str, some: list[Layout], max_rows: int, stop: list[int]) -> None:
    """Guards rows that leave at any time: the one that takes a place brings keys, values, length and state along."""
    model = shared(family)
    written = write(model, some, num=5, stop=stop, max_rows=max_rows)
    assert tokens(written) == expected(model, some, num=5, stop=stop)


def test_rows_leave_and_join_in_the_middle() -> None:
    """Guards the point of refilling: without rows that finish at different times the tests above would show little."""
    model, some = shared("gpt2"), rows(*PROMPTS, *PROMPTS, seed=1)
    stop = list(range(0, VOCABULARY, 7))
    written = write(model, some, num=12, stop=stop, max_rows=4)
    assert tokens(written) == expected(model, some, num=12, stop=stop)
    assert len({len(one.tokens) for one in written}) >= 4


def test_room_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the copy into wider tensors, in the middle of an answer."""
    monkeypatch.setattr(slots, "_COLUMNS", 3)
    model, some = shared("llama"), rows(*PROMPTS)
    assert tokens(write(model, some, num=9, max_rows=3)) == expected(model, some, num=9)


def test_what_a_place_held_before_does_not_matter() -> None:
    """Guards against reading past a row's length: a long row's keys lie behind the short one that follows it."""
    model = shared("gpt2")
    some = [row("q" * 30, seed=1), row("qqT", seed=2), row("qq", seed=3)]
    assert tokens(write(model, some, max_rows=1)) == expected(model, some)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_fast_equals_plain(family: str) -> None:
    """Guards the switch: "plain" is the library's modules alone, and writes the same."""
    fast, some = shared(family), rows(*PROMPTS)
    plain = LatentLM(fast.lm, engine="plain").eval()
    assert plain.backbone.blocks is None
    assert tokens(plain.write(some, max_new_tokens=6, rows=4, eos_token_id=[])) == tokens(write(fast, some, max_rows=4))


@pytest.mark.parametrize("engine", ["fast", "plain"])
def test_time_is_split_and_sums_to_what_passed(engine: str) -> None:
    """Guards the latency columns: a part that is lost, or charged to rows that were not there."""
    model = LatentLM(shared("gpt2").lm, engine="fast" if engine == "fast" else "plain").eval()
    with_thoughts, without = row("qqqTTTq"), row("qqqq", seed=1)
    (thinking,) = model.write([with_thoughts], max_new_tokens=3, eos_token_id=[])
    (writing,) = model.write([without], max_new_tokens=3, eos_token_id=[])
    assert min(thinking.prefill_seconds, thinking.thought_seconds, thinking.text_seconds) > 0
    assert min(writing.prefill_seconds, writing.text_seconds) > 0
    assert writing.thought_seconds == 0
    (read_only,) = model.write([without], max_new_tokens=1, eos_token_id=[])
    assert read_only.thought_seconds == 0
    assert len(read_only.tokens) == 1


def test_rows_that_share_thoughts_stay_together() -> None:
    """Guards the shuffled control: every row of the call thinks in the same steps, and the text steps ask nothing."""
    lm = shared("gpt2").lm
    some = rows("qqqTTqq", "qqqqTTqq", "qTTqq")
    method = ShuffledThoughts(max_stage=2)
    fast, plain = (
        model.eval().write(some, max_new_tokens=4, eos_token_id=[], feed_back=method.feed_back)
        for model in (LatentLM(lm), LatentLM(lm, engine="plain"))
    )
    own = LatentLM(lm).eval().write(some, max_new_tokens=4, eos_token_id=[])
    assert tokens(fast) == tokens(plain) != tokens(own)


def test_blocks_somebody_listens_to_are_run_as_modules() -> None:
    """Guards hooks (interpretability, sharding): the fast path never calls a block as a module, so none would fire."""
    model = LatentLM(build("gpt2"))
    calls: list[int] = []
    block = model.lm.get_submodule("transformer.h.0")
    some = rows("qqTq", "qqq")
    before = tokens(model.write(some, max_new_tokens=3, eos_token_id=[]))

    def count(module: torch.nn.Module, args: tuple[Any, ...], output: Any) -> None:
        calls.append(1)

    handle = block.register_forward_hook(count)
    assert tokens(model.write(some, max_new_tokens=3, eos_token_id=[])) == before
    assert calls
    handle.remove()
    assert model.backbone.blocks is not None


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_looking_at_hidden_states_once_does_not_slow_a_model_for_good(family: str) -> None:
    """Guards the fast blocks: transformers leaves capturing hooks behind, idle outside its forward."""
    model = LatentLM(build(family)).eval()
    model.lm(input_ids=torch.tensor([[1, 2, 3]]), output_hidden_states=True)
    assert any(module._forward_hooks for module in model.lm.modules()), "the library no longer leaves hooks behind"
    assert model.backbone.blocks is not None


@pytest.mark.parametrize(
    ("some", "num", "max_rows", "message"),
    [
        ([row("q" * 45)], 4, 4, f"need 49 positions, but this model has {POSITIONS}.*lower max_new_tokens to 3"),
        ([row("q")], 0, 4, "max_new_tokens must be at least 1, got 0"),
        ([row("q")], 4, 0, "rows must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_written_is_refused(some: list[Layout], num: int, max_rows: int, message: str) -> None:
    """Guards the limits: beyond its positions a model would fail, or write nonsense, in the middle of an answer."""
    with pytest.raises(ValueError, match=message):
        shared("gpt2").write(some, max_new_tokens=num, rows=max_rows)


def test_nothing_to_write_is_no_error() -> None:
    """Guards a process whose share of the validation split is empty."""
    assert shared("gpt2").write([], max_new_tokens=3) == []
