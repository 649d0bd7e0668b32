"""The walk over the columns: against the slow reference, alone and in a batch, with more and less padding."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoModel

from reference import reference, reference_loss_sum
from tiny import (
    FAMILIES,
    PAD,
    POSITIONS,
    RAGGED,
    VOCABULARY,
    assert_close,
    assert_same_gradients,
    build,
    few,
    forward,
    gradients,
    layouts,
    number,
    row,
    rows,
    shared,
    tolerance,
)
from unspoken.batch import Batch, collate, column_spans
from unspoken.layout import IGNORE_INDEX, Layout
from unspoken.model import LatentLM

ragged = st.lists(layouts(), min_size=1, max_size=4)


def check_against_reference(model: LatentLM, some: list[Layout]) -> None:
    within = tolerance(model)
    with torch.no_grad():
        out = forward(model, some, return_logits=True)
        real = collate(some, pad_id=PAD).attention_mask.bool()
        assert out.logits is not None
        assert out.thoughts.shape[1] == max(one.num_thoughts for one in some)
        for i, one in enumerate(some):
            want = reference(model.lm, one)
            assert_close(out.logits[i][real[i]], want.logits, within=within)
            assert_close(out.thoughts[i, : one.num_thoughts], want.thoughts, within=within)
            assert not out.thoughts[i, one.num_thoughts :].any()


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@given(some=ragged)
@few
def test_cached_equals_recomputed(family: str, some: list[Layout]) -> None:
    """Guards the cache, the masks, the positions and which state is fed back, on rows of any shape."""
    check_against_reference(shared(family), some)


@pytest.mark.parametrize(("family", "attention"), FAMILIES)
def test_every_family_equals_its_recomputed_self(family: str, attention: str) -> None:
    """Guards what families do differently: scaled embeddings, capped or divided logits, windows, mask formats."""
    check_against_reference(shared(family, attention), rows(*RAGGED))


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@given(some=ragged)
@few
def test_loss_equals_recomputed(family: str, some: list[Layout]) -> None:
    """Guards the shift of labels by one and the choice of labelled rows, in single precision; the next is stricter."""
    model = shared(family)
    with torch.no_grad():
        out = forward(model, some)
        want = reference_loss_sum(model.lm, some)
    num_labels = collate(some, pad_id=PAD).num_labels
    assert number(out.loss_sum) == pytest.approx(number(want), rel=1e-6)
    assert number(out.loss) == pytest.approx(number(want) / max(num_labels, 1), rel=1e-6)


def test_loss_is_as_precise_as_the_model() -> None:
    """Guards gradient checks in float64, which a loss computed in float32 makes impossible."""
    model = shared("gpt2")
    with torch.no_grad():
        out = forward(model, rows(*RAGGED))
        want = reference_loss_sum(model.lm, rows(*RAGGED))
    assert_close(out.loss_sum, want, within=1e-9)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@given(some=st.lists(layouts(), min_size=1, max_size=3))
@few
def test_gradients_equal_recomputed(family: str, some: list[Layout]) -> None:
    """Guards the gradient's way through thoughts and cache; a detached cache changes no value, only this."""
    model = shared(family)
    weights = torch.randn(VOCABULARY, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    out = forward(model, some, return_logits=True)
    assert out.logits is not None
    real = collate(some, pad_id=PAD).attention_mask.bool()
    found = gradients(model, (out.logits[real] @ weights).sin().sum())
    want = gradients(model, torch.cat([reference(model.lm, one).logits @ weights for one in some]).sin().sum())
    assert_same_gradients(found, want, within=tolerance(model))


@pytest.mark.parametrize(
    ("family", "within"),
    [("gpt2", 1e-9), ("llama", 1e-6)],
)
def test_gradients_of_the_loss_equal_recomputed(family: str, within: float) -> None:
    """Guards what training follows: loss on labelled rows only, through thoughts, gaps and padding."""
    model, some = shared(family), rows(*RAGGED)
    out = forward(model, some)
    want = gradients(model, reference_loss_sum(model.lm, some))
    assert_same_gradients(gradients(model, out.loss_sum), want, within=within)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma3", "mistral"])
@given(some=st.lists(layouts(), min_size=2, max_size=4))
@few
def test_batched_equals_single(family: str, some: list[Layout]) -> None:
    """Guards against rows that see each other, or that change with the columns other rows think in."""
    model = shared(family)
    with torch.no_grad():
        together = forward(model, some)
        alone = [forward(model, [one]) for one in some]
    real = collate(some, pad_id=PAD).attention_mask.bool()
    for i, single in enumerate(alone):
        assert_close(together.hidden[i][real[i]], single.hidden[0], within=tolerance(model))
    losses = [number(single.loss_sum) for single in alone]
    assert number(together.loss_sum) == pytest.approx(sum(losses), rel=1e-6)


def padded(batch: Batch, left: int, right: int, *, token: int) -> dict[str, Tensor]:
    fills = {"input_ids": token, "labels": IGNORE_INDEX, "attention_mask": 0, "position_ids": 0, "is_thought": False}
    return {
        name: torch.nn.functional.pad(tensor, (left, right), value=fills[name])
        for name, tensor in batch.tensors().items()
    }


@pytest.mark.parametrize(
    ("family", "attention"),
    [
        ("gpt2", "sdpa"),
        ("gpt2", "eager"),
        ("llama", "sdpa"),
        ("llama", "eager"),
        ("gemma3", "sdpa"),
        ("gemma2", "eager"),
    ],
)
@given(left=st.integers(0, 5), right=st.integers(0, 5), token=st.integers(0, VOCABULARY - 1))
@few
def test_more_padding_changes_nothing(family: str, attention: str, left: int, right: int, token: int) -> None:
    """Guards the mask, forward and backward: softmax over nothing is NaN, and so is every gradient behind it."""
    model, some = shared(family, attention), rows("qqTTqaa", "qTa", "qaa")
    batch = collate(some, pad_id=PAD)
    before, after = model(**batch.tensors()), model(**padded(batch, left, right, token=token))
    real = batch.attention_mask.bool()
    wider = torch.nn.functional.pad(real, (left, right))
    within = max(tolerance(model), 1e-7)
    assert_close(after.hidden[wider], before.hidden[real], within=within)
    assert_close(after.thoughts, before.thoughts, within=within)
    assert_close(after.loss_sum, before.loss_sum, within=within)
    assert_same_gradients(gradients(model, after.loss_sum), gradients(model, before.loss_sum), within=within)


def test_what_is_left_out_is_filled_in() -> None:
    """Guards callers that give only a mask: positions must count real tokens (GPT-2 is off otherwise)."""
    model = shared("gpt2")
    batch = collate(rows("qqqTqa", "qTa"), pad_id=PAD)
    with torch.no_grad():
        full = model(**batch.tensors())
        less = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, is_thought=batch.is_thought)
        plain = model(input_ids=batch.input_ids[:1])
        stock = model.lm(batch.input_ids[:1]).logits
    real = batch.attention_mask.bool()
    assert_close(less.hidden[real], full.hidden[real], within=1e-12)
    assert less.loss is None
    assert less.logits is None
    assert plain.thoughts.shape == (1, 0, 32)
    assert_close(model.backbone.unembed(plain.hidden), stock, within=1e-9)


def test_thoughts_come_in_order_and_zero_padded() -> None:
    """Guards analysis: thought k of a row is in its k-th place, whatever columns other rows think in."""
    model, some = shared("gpt2"), rows("qqTqqTa", "qTTTTa", "qqa", "qTqa")
    with torch.no_grad():
        out = forward(model, some)
    batch = collate(some, pad_id=PAD)
    assert out.thoughts.shape == (4, 4, 32)
    for i, one in enumerate(some):
        columns = batch.is_thought[i].nonzero()[:, 0]
        assert_close(out.thoughts[i, : len(columns)], out.hidden[i, columns - 1], within=1e-12)
        assert (out.thoughts[i, : len(columns)] != 0).any(-1).all()
        assert (out.thoughts[i, len(columns) :] == 0).all(), one


def test_a_thought_is_not_its_placeholder() -> None:
    """Guards the mask's meaning: the placeholder's id, and so its embedding, is never read."""
    model = shared("llama")
    one = row("qqTTqa")
    other = dataclasses.replace(
        one,
        input_ids=[
            t if not is_thought else (t + 1) % VOCABULARY
            for t, is_thought in zip(one.input_ids, one.is_thought, strict=True)
        ],
    )
    assert one.input_ids != other.input_ids
    with torch.no_grad():
        assert torch.equal(forward(model, [one]).hidden, forward(model, [other]).hidden)


@pytest.mark.parametrize(
    ("thoughts", "want"),
    [
        (["...."], "0-4"),
        ([".T.."], "0-1 1-2 2-4"),
        ([".TT."], "0-1 1-2 2-3 3-4"),
        (["...T"], "0-3 3-4"),
        ([".T..", "...T"], "0-1 1-2 2-3 3-4"),
    ],
)
def test_column_spans(thoughts: list[str], want: str) -> None:
    """Guards the number of passes: text in one go, every column with a thought alone, none twice and none left out."""
    mask = torch.tensor([[c == "T" for c in line] for line in thoughts])
    assert " ".join(f"{span.start}-{span.stop}" for span in column_spans(mask)) == want


def rows_entering(head: torch.nn.Module, counts: list[int]) -> Any:
    def count(module: torch.nn.Module, args: tuple[Tensor, ...]) -> None:
        counts.append(args[0].numel() // args[0].shape[-1])

    return head.register_forward_pre_hook(count)


def test_no_logits_are_computed_for_rows_without_a_label() -> None:
    """Guards the largest saving of a training step: logits of every position, thrown away, gave the same loss."""
    model, some = shared("gpt2"), rows(*RAGGED)
    counts: list[int] = []
    handle = rows_entering(model.lm.get_submodule("lm_head"), counts)
    try:
        with torch.no_grad():
            forward(model, some)
    finally:
        handle.remove()
    assert sum(counts) == collate(some, pad_id=PAD).num_labels < sum(map(len, some))


def test_a_batch_without_labels_has_a_loss_of_zero() -> None:
    """Guards 0 / 0 in a micro-batch that happens to hold no target."""
    with torch.no_grad():
        out = forward(shared("gpt2"), rows("qqTq", "qq"))
    assert number(out.loss) == number(out.loss_sum) == 0.0


# Pauses


@pytest.mark.parametrize(
    ("family", "attention"), [("gpt2", "sdpa"), ("gpt2", "eager"), ("llama", "sdpa"), ("gemma3", "sdpa")]
)
def test_pauses_in_one_pass_and_in_several_are_the_same_function(family: str, attention: str) -> None:
    """The proof cited in docs/faithfulness.md: "pause as thought" needs no passes of its own.

    Rows `q q < P P P > a` run once in one pass, and once as published: every pause alone, in the order of the columns,
    over a growing cache. Values and gradients agree, so the two are one function and one method.
    """
    model = shared(family, attention)
    pause = 33
    one_pass = [
        dataclasses.replace(
            one,
            input_ids=[
                pause if thought else token for token, thought in zip(one.input_ids, one.is_thought, strict=True)
            ],
            is_thought=[False] * len(one),
        )
        for one in rows("qqqTTTqaa", "qqTTTqa")
    ]
    batch = collate(one_pass, pad_id=PAD)
    # The walk itself cuts the spans; what stands at a "thought" is the pause's embedding, whatever the state before it.
    embedding = model.backbone.embed(torch.tensor([[pause]]))[0]

    def pauses(hidden: torch.Tensor, is_thought: torch.Tensor) -> torch.Tensor:
        return embedding.expand_as(hidden)

    several = model(
        **{**batch.tensors(), "is_thought": batch.input_ids == pause},
        feed_back=pauses,
        return_logits=True,
    )
    once = model(**batch.tensors(), return_logits=True)
    assert several.thoughts.shape[1] == 3, "three passes of their own"
    assert once.thoughts.shape[1] == 0
    real = batch.attention_mask.bool()
    within = max(tolerance(model), 1e-7)
    assert_close(several.logits[real], once.logits[real], within=within)
    assert_close(several.loss_sum, once.loss_sum, within=within)
    assert_same_gradients(gradients(model, several.loss_sum), gradients(model, once.loss_sum), within=within)


# Errors


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_:FutureWarning")  # renamed in later transformers 5
def test_gradient_checkpointing_is_refused_in_training() -> None:
    """Guards against Hugging Face's checkpointing, which drops the cache with a warning and gives another loss."""
    model = LatentLM(build("llama"))
    model.lm.gradient_checkpointing_enable()
    some = rows("qqTa", "qTTa")
    with torch.no_grad():
        want = forward(model.eval(), some).loss
    model.train()
    with pytest.raises(ValueError, match="gradient checkpointing drops the cache"):
        forward(model, some)
    model.lm.gradient_checkpointing_disable()
    with torch.no_grad():
        assert number(forward(model, some).loss) == number(want)


def test_a_new_model_is_in_the_mode_of_its_base_model() -> None:
    """Guards `from_pretrained`, whose base model is in evaluation mode: two modes in one model are each half true.

    `generate` refuses such a model, and `reason`, which restores the mode it found, would switch dropout on.
    """
    lm = build("gpt2")
    assert not LatentLM(lm.eval()).training
    assert LatentLM(lm.train()).training


@pytest.mark.parametrize("bad", [VOCABULARY, 50256, -1])
def test_a_label_outside_the_vocabulary_is_named(bad: int) -> None:
    """Guards labels of another tokenizer: torch's message names neither the label nor the vocabulary."""
    one = row("qqTaa")
    one = dataclasses.replace(one, labels=[*one.labels[:-1], bad])
    with pytest.raises(ValueError, match=rf"{bad}.*vocabulary has {VOCABULARY} tokens"):
        forward(shared("gpt2"), [one, row("qaa")])


@pytest.mark.parametrize("masked", [0, 2])
def test_a_thought_first_in_its_row_is_refused(masked: int) -> None:
    """Guards a thought with nothing before it: it would be fed padding's state, or nothing."""
    input_ids = torch.zeros(2, 5, dtype=torch.long)
    attention_mask = torch.ones_like(input_ids)
    attention_mask[1, :masked] = 0
    is_thought = torch.zeros_like(input_ids, dtype=torch.bool)
    is_thought[1, masked] = True
    with pytest.raises(ValueError, match="thought needs at least one token before it"):
        shared("gpt2")(input_ids=input_ids, attention_mask=attention_mask, is_thought=is_thought)


@pytest.mark.parametrize("shape", [(0, 4), (2, 0)])
def test_an_empty_batch_is_refused(shape: tuple[int, int]) -> None:
    """Guards shapes without rows or tokens, which would fail deep inside the library."""
    with pytest.raises(ValueError, match=rf"empty batch.*\({shape[0]}, {shape[1]}\)"):
        shared("gpt2")(input_ids=torch.zeros(shape, dtype=torch.long))


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_row_longer_than_the_models_positions_is_refused(family: str) -> None:
    """Guards GPT-2's IndexError and rotary models' silent extrapolation."""
    model = shared(family)
    assert model.backbone.max_positions == POSITIONS
    with pytest.raises(ValueError, match=rf"{POSITIONS + 1} positions, but this model has {POSITIONS}"):
        forward(model, [row("q" * (POSITIONS - 1) + "Ta"), row("qTa")])


def test_padding_does_not_count_as_positions() -> None:
    """Guards wide batches of short rows: only real tokens need positions."""
    some = [row("q" * (POSITIONS - 5) + "Ta"), row("qT" + "a" * 10)]
    assert collate(some, pad_id=PAD).input_ids.shape[1] > POSITIONS
    check_against_reference(shared("llama"), some)


def test_a_model_without_a_head_is_refused() -> None:
    """Guards `AutoModel` in place of `AutoModelForCausalLM`, which has nothing to unembed with."""
    with pytest.raises(ValueError, match="no input or output embeddings; expected a causal language model"):
        LatentLM(AutoModel.from_config(build("llama").config))
