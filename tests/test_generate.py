"""Decoding: a batch of anything writes what each row writes alone, without a cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from reference import reference, reference_generate
from tiny import (
    FAMILIES,
    PAD,
    POSITIONS,
    VOCABULARY,
    build,
    few,
    layouts,
    prompt_arguments,
    row,
    rows,
    shared,
    tokenizer_of,
)
from unspoken.batch import collate
from unspoken.generate import Sampling
from unspoken.layout import Layout
from unspoken.model import LatentLM

PROMPTS = ("qqqqTTTqq", "qqTq", "qqqqqqq", "qTqTqTqqqqq", "q")
"""Lengths, thought counts and padding on both sides, so that decoded tokens follow gaps in the columns."""


def generate(model: LatentLM, some: Sequence[Layout], *, max_new_tokens: int = 8, **kwargs: Any) -> Tensor:
    arguments: dict[str, Any] = {"eos_token_id": [], **prompt_arguments(collate(some, pad_id=PAD)), **kwargs}
    return model.generate(max_new_tokens=max_new_tokens, **arguments)


def expected(
    model: LatentLM, some: Sequence[Layout], *, max_new_tokens: int = 8, stop: Sequence[int] = ()
) -> list[list[int]]:
    with torch.no_grad():
        return [reference_generate(model.lm, one, max_new_tokens=max_new_tokens, stop=stop) for one in some]


def filled(written: Sequence[Sequence[int]], pad: int) -> list[list[int]]:
    longest = max(map(len, written))
    return [[*tokens, *[pad] * (longest - len(tokens))] for tokens in written]


@pytest.mark.parametrize(("family", "attention"), FAMILIES)
def test_single_equals_reference(family: str, attention: str) -> None:
    """Guards cached decoding of every family: masks, positions, scaled logits, windows."""
    model = shared(family, attention)
    for one in rows(*PROMPTS):
        assert generate(model, [one]).tolist() == expected(model, [one])


@pytest.mark.parametrize(
    ("family", "attention"),
    FAMILIES,
)
def test_batched_equals_reference(family: str, attention: str) -> None:
    """Guards decoding after padding on either side: the next token's mask and position know nothing of columns."""
    model, some = shared(family, attention), rows(*PROMPTS)
    assert generate(model, some).tolist() == expected(model, some)


@pytest.mark.parametrize("family", ["gpt2", "llama", "mistral"])
@given(some=st.lists(layouts(max_tokens=9, labels=False), min_size=1, max_size=4))
@few
def test_any_batch_equals_reference(family: str, some: list[Layout]) -> None:
    """Guards the same for rows of any shape, thoughts right before the first written token among them."""
    model = shared(family)
    assert generate(model, some, max_new_tokens=4).tolist() == expected(model, some, max_new_tokens=4)


def stopping(model: LatentLM) -> tuple[list[Layout], list[int], list[list[int]]]:
    """Rows, tokens that stop them at three or more different times, all early, and what they write until then."""
    for seed in range(100):
        some = rows(*PROMPTS, seed=seed)
        free = expected(model, some)
        for stop in ([free[0][a], free[-1][b]] for a in range(8) for b in range(8)):
            written = [
                tokens[: next((n for n, token in enumerate(tokens, start=1) if token in stop), 8)] for tokens in free
            ]
            if len({len(tokens) for tokens in written}) >= 3 and max(map(len, written)) < 8:
                return some, stop, written
    raise AssertionError("these rows never stop at three different times")


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma3"])
def test_rows_finish_at_different_times(family: str) -> None:
    """Guards compaction: when a row leaves the batch, cache, masks, positions and output rows of the others go on."""
    model = shared(family)
    some, stop, written = stopping(model)
    new = generate(model, some, eos_token_id=stop)
    assert new.tolist() == filled(written, model.pad_id)
    assert new.shape[1] < 8, "decoding ends with the last row"


def test_padding_follows_the_end_of_text() -> None:
    """Guards output rows: the tokenizer's padding after the stop token, which itself is kept."""
    tokenizer = tokenizer_of([str(n) for n in range(VOCABULARY - 2)])
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    model = LatentLM(shared("gpt2").lm, tokenizer).eval()
    some = rows(*PROMPTS)
    first = expected(model, some)[0][0]
    new = generate(model, some, eos_token_id=first).tolist()
    assert model.pad_id == VOCABULARY - 1 != first
    assert new[0] == [first] + [VOCABULARY - 1] * (len(new[0]) - 1)
    assert len(new[0]) > 1


def test_end_of_text_is_the_tokenizers_else_the_models() -> None:
    """Guards the default stop token: rows that run on to `max_new_tokens` look like a model that cannot stop."""
    lm = build("gpt2")
    one = row("qqTq")
    free = expected(LatentLM(lm), [one])[0]
    n = next(n for n, token in enumerate(free) if n and token not in free[:n])
    arguments = prompt_arguments(collate([one], pad_id=PAD))
    assert LatentLM(lm).eval().generate(**arguments, max_new_tokens=8).tolist() == [free]
    lm.config.eos_token_id = [free[n]]
    assert LatentLM(lm).eval().generate(**arguments, max_new_tokens=8).tolist() == [free[: n + 1]]
    words = [str(i) for i in range(1, VOCABULARY)]
    tokenizer = tokenizer_of(words)
    tokenizer.eos_token = words[free[0] - 1]
    assert tokenizer.eos_token_id == free[0]
    assert LatentLM(lm, tokenizer).eval().generate(**arguments, max_new_tokens=8).tolist() == [free[:1]]


def test_generation_leaves_no_gradient_and_no_trace() -> None:
    """Guards memory: a cache with a gradient history grows with every token; and the model is what it was."""
    model = shared("gpt2")
    some = rows(*PROMPTS)
    first = generate(model, some)
    assert not first.requires_grad
    assert torch.equal(generate(model, some), first)


# Sampling


def test_sampling_is_a_function_of_its_seed() -> None:
    """Guards reproducibility: not of torch's global generator, which it must leave alone too."""
    model, some = shared("gpt2"), rows(*PROMPTS)
    hot = [Sampling(temperature=2.0, seed=seed) for seed in (1, 1, 2)]
    torch.manual_seed(0)
    state = torch.get_rng_state()
    one = generate(model, some, sampling=hot[0])
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    again, other = (generate(model, some, sampling=each) for each in hot[1:])
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    "sampling",
    [Sampling(temperature=1e-4), Sampling(top_k=1), Sampling(top_p=1e-6), Sampling(temperature=5.0, top_k=1)],
)
def test_sampling_without_a_choice_is_greedy(sampling: Sampling) -> None:
    """Guards the order and meaning of temperature, top-k and top-p."""
    model, some = shared("gpt2"), rows(*PROMPTS)
    assert generate(model, some, sampling=sampling).tolist() == expected(model, some)


def test_sampling_draws_from_each_rows_own_top_k() -> None:
    """Guards against rows drawing from each other's logits, before and after a row has left the batch."""
    model, some = shared("llama"), rows(*PROMPTS)
    stop = list(range(0, VOCABULARY, 5))
    new = generate(model, some, sampling=Sampling(temperature=3.0, top_k=3, seed=4), eos_token_id=stop).tolist()
    lengths = set()
    differs = 0
    for one, tokens in zip(some, new, strict=True):
        length = next((n + 1 for n, token in enumerate(tokens) if token in stop), len(tokens))
        lengths.add(length)
        for n in range(length):
            so_far = Layout(
                input_ids=[*one.input_ids, *tokens[:n]],
                labels=[*one.labels, *[-100] * n],
                is_thought=[*one.is_thought, *[False] * n],
            )
            with torch.no_grad():
                best = reference(model.lm, so_far).logits[-1].topk(3).indices.tolist()
            assert tokens[n] in best
            differs += tokens[n] != best[0]
    assert len(lengths) > 1, "some row left early"
    assert differs, "not greedy"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sampling(temperature=0.0), "temperature must be above 0, got 0.0; leave sampling out"),
        (lambda: Sampling(temperature=-1.0), "temperature must be above 0, got -1"),
    ],
)
def test_impossible_temperatures(make: Any, message: str) -> None:
    """Guards division by zero, which would be NaN probabilities after a whole prompt has been run."""
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("settings", [{"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_impossible_sampling(settings: dict[str, Any]) -> None:
    """Guards "a value is out of range": told at once, not from inside the library after a whole prompt has been run."""
    with pytest.raises(ValueError, match="top_"):
        Sampling(**settings)


# Errors


@pytest.mark.parametrize("count", [0, -3])
def test_at_least_one_new_token(count: int) -> None:
    """Guards an output without columns, which callers would index."""
    with pytest.raises(ValueError, match=rf"max_new_tokens must be at least 1, got {count}"):
        generate(shared("gpt2"), rows("qTq"), max_new_tokens=count)


def test_training_mode_is_refused() -> None:
    """Guards generation with dropout, which gives slightly worse and never the same answers."""
    model = LatentLM(build("gpt2")).train()
    with pytest.raises(ValueError, match=r"evaluation mode; call model.eval\(\)"):
        generate(model, rows("qTq"))
    assert generate(model.eval(), rows("qTq")).shape == (1, 8)


@pytest.mark.parametrize(
    "family",
    [
        "gpt2",
        "llama",
    ],
)
def test_positions_bound_what_is_written(family: str) -> None:
    """Guards the limit and its way out: the number the message names works, one more does not."""
    model = shared(family)
    some = [row("q" * (POSITIONS - 8) + "TTq"), row("qTq")]
    room = POSITIONS - len(some[0])
    with pytest.raises(
        ValueError, match=rf"need {POSITIONS + 1} positions.* has {POSITIONS}.* max_new_tokens to {room}"
    ):
        generate(model, some, max_new_tokens=room + 1)
    assert generate(model, some, max_new_tokens=room).tolist() == expected(model, some, max_new_tokens=room)


def test_generation_refuses_what_the_forward_refuses() -> None:
    """Guards the second door: a thought first in its row, and an empty batch."""
    model = shared("gpt2")
    ids = torch.zeros(1, 3, dtype=torch.long)
    with pytest.raises(ValueError, match="thought needs at least one token before it"):
        model.generate(input_ids=ids, is_thought=torch.tensor([[True, False, False]]), max_new_tokens=2)
    with pytest.raises(ValueError, match="empty batch"):
        model.generate(input_ids=ids[:, :0], max_new_tokens=2)
