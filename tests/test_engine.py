"""The fast paths against the plain ones: the same function, and one flag between them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tiny import (
    PAD,
    RAGGED,
    assert_close,
    assert_same_gradients,
    build,
    few,
    gradients,
    layouts,
    number,
    rows,
    shared,
    tolerance,
)
from tiny_runs import losses, tiny
from unspoken import processor
from unspoken.backward import alike, shape_of
from unspoken.batch import collate, make_plan
from unspoken.blocks import blocks_of
from unspoken.layout import IGNORE_INDEX, Layout
from unspoken.methods import Coconut, DetachedThoughts, ShuffledThoughts
from unspoken.model import LatentLM
from unspoken.runs import evaluate_run
from unspoken.specs import Engine
from unspoken.train import fit

KNOWN = [("gpt2", "sdpa"), ("gpt2", "eager"), ("llama", "sdpa"), ("qwen3", "sdpa"), ("mistral-whole", "sdpa")]


def pair(family: str, attention: str = "sdpa", **changes: Any) -> tuple[LatentLM, LatentLM]:
    """The same weights, run fast and plain."""
    lm = build("mistral", sliding_window=None) if family == "mistral-whole" else build(family, attention, **changes)
    fast, plain = LatentLM(lm).eval(), LatentLM(lm, engine="plain").eval()
    assert fast.backbone.blocks is not None
    assert plain.backbone.blocks is None
    return fast, plain


@pytest.mark.parametrize(("family", "attention"), KNOWN)
def test_the_same_loss_thoughts_and_gradients(family: str, attention: str) -> None:
    """Guards every family the blocks know against the library's own modules, with the plan that training uses."""
    fast, plain = pair(family, attention)
    batch = collate(rows(*RAGGED), pad_id=PAD)
    ours, theirs = fast(**batch.tensors(), plan=batch.plan), plain(**batch.tensors())
    within = max(tolerance(fast), 1e-7)
    assert_close(ours.loss_sum, theirs.loss_sum, within=within)
    assert_close(ours.thoughts, theirs.thoughts, within=within)
    assert_same_gradients(gradients(fast, ours.loss_sum), gradients(plain, theirs.loss_sum), within=within)


@pytest.mark.parametrize(("family", "attention"), KNOWN)
def test_blocks_run_again_give_the_same_gradients(family: str, attention: str) -> None:
    """Guards engine "sparing": keys and values of earlier passes must be those of the pass, not of its repetition."""
    fast, _ = pair(family, attention)
    sparing = LatentLM(fast.lm, engine="sparing").eval()
    batch = collate(rows(*RAGGED), pad_id=PAD)
    ours, theirs = (model(**batch.tensors(), plan=batch.plan) for model in (sparing, fast))
    assert_close(ours.loss_sum, theirs.loss_sum, within=1e-12)
    assert_close(ours.thoughts, theirs.thoughts, within=1e-12)
    assert_same_gradients(gradients(sparing, ours.loss_sum), gradients(fast, theirs.loss_sum), within=1e-12)


def test_blocks_run_again_draw_the_same_dropout() -> None:
    """Guards engine "sparing" in training: another mask in the backward pass would give a wrong gradient, silently."""
    lm = build("gpt2", attn_pdrop=0.3, resid_pdrop=0.3, embd_pdrop=0.0).train()
    batch = collate(rows(*RAGGED), pad_id=PAD)
    found = []
    engines: list[Engine] = ["sparing", "fast"]
    for engine in engines:
        model = LatentLM(lm, engine=engine)
        torch.manual_seed(0)
        found.append(gradients(model, model(**batch.tensors(), plan=batch.plan).loss_sum))
    assert_same_gradients(*found, within=1e-12)


def test_what_each_engine_keeps_for_the_backward_pass() -> None:
    """Guards the memory that "fast" and "sparing" are there for; bytes kept, parameters left out."""
    lm, batch = build("gpt2", n_positions=200), collate(rows("q" * 120 + "TTTqaa", "q" * 110 + "TTTqa"), pad_id=PAD)
    own = {parameter.untyped_storage().data_ptr() for parameter in lm.parameters()}
    kept: dict[Engine, int] = {}
    engines: list[Engine] = ["plain", "fast", "sparing"]
    for engine in engines:
        model, found = LatentLM(lm, engine=engine), dict[int, torch.Tensor]()

        def keep(tensor: torch.Tensor, found: dict[int, torch.Tensor] = found) -> torch.Tensor:
            if tensor.untyped_storage().data_ptr() not in own:
                found[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(**batch.tensors(), plan=batch.plan)
        kept[engine] = sum(tensor.untyped_storage().nbytes() for tensor in found.values())
    assert kept["fast"] < 0.4 * kept["plain"]
    assert kept["sparing"] < 0.5 * kept["fast"]


def test_sparing_needs_blocks_it_can_run_again() -> None:
    """A family on the library's modules would keep everything, and say nothing."""
    with pytest.raises(ValueError, match=r"which cannot; take engine .fast."):
        LatentLM(build("gpt_neox"), engine="sparing")


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@given(some=st.lists(layouts(max_tokens=9), min_size=1, max_size=4))
@few
def test_a_plan_changes_no_loss(family: str, some: list[Layout]) -> None:
    """Guards what the last block leaves out: any output that a label or a thought reads must be kept."""
    model, batch = shared(family), collate(some, pad_id=PAD)
    with torch.no_grad():
        planned, whole = model(**batch.tensors(), plan=batch.plan), model(**batch.tensors())
    assert_close(planned.loss_sum, whole.loss_sum, within=1e-9)
    assert_close(planned.thoughts, whole.thoughts, within=1e-9)
    assert planned.hidden.shape[1] <= whole.hidden.shape[1] == batch.input_ids.shape[1]


def test_the_last_block_runs_no_more_columns_than_are_read() -> None:
    """Guards the saving: of a long question only the column before the first thought goes through the last block."""
    model, some = shared("gpt2"), rows("q" * 20 + "TTqaa", "q" * 20 + "TTqaa")
    batch = collate(some, pad_id=PAD)
    seen: dict[str, list[int]] = {"first": [], "last": []}
    handles = []
    for name, index in (("first", 0), ("last", 1)):

        def count(module: torch.nn.Module, args: tuple[torch.Tensor, ...], name: str = name) -> None:
            seen[name].append(args[0].shape[1])

        handles.append(model.lm.get_submodule(f"transformer.h.{index}.mlp.c_fc").register_forward_pre_hook(count))
    try:
        with torch.no_grad():
            model(**batch.tensors(), plan=batch.plan)
    finally:
        for handle in handles:
            handle.remove()
    # Question, two thoughts, and "q a a", of which the last output is read by nobody but is a trailing column.
    assert seen["first"] == [20, 1, 1, 3]
    assert seen["last"] == [1, 1, 1, 3]


@pytest.mark.parametrize("engine", ["fast", "sparing"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_padding_is_not_run(family: str, engine: Engine) -> None:
    """Guards the saving: what is padding on either side goes through no linear layer, and changes no gradient."""
    lm = build(family)
    model, plain = LatentLM(lm, engine=engine).eval(), LatentLM(lm, engine="plain").eval()
    batch = collate(rows("q" * 12 + "TTqaaaa", "qqqTTqa", "qqqqTqaa"), pad_id=PAD)
    name = {"gpt2": "transformer.h.0.mlp.c_fc", "llama": "model.layers.0.mlp.up_proj"}[family]
    seen: list[int] = []

    def count(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        seen.append(args[0].shape[:-1].numel())

    handle = model.lm.get_submodule(name).register_forward_pre_hook(count)
    with torch.no_grad():
        model(**batch.tensors(), plan=batch.plan)
    handle.remove()
    # Every question up to its first thought, a pass for each of two columns (the third row has text in the second), and
    # every text behind them.
    assert seen == [12 + 3 + 4, 3, 3, 5 + 2 + 2]
    ours, theirs = model(**batch.tensors(), plan=batch.plan), plain(**batch.tensors())
    within = max(tolerance(model), 1e-7)
    assert_close(ours.loss_sum, theirs.loss_sum, within=within)
    assert_same_gradients(gradients(model, ours.loss_sum), gradients(plain, theirs.loss_sum), within=within)


def test_a_plan_tells_what_the_tensors_hold() -> None:
    """Guards the host's view of a batch: passes, who thinks, where targets are predicted, the targets themselves."""
    batch = collate(rows("qqqTTqaa", "qqTqa", "qqqa"), pad_id=PAD)
    plan = batch.plan
    assert [(span.start, span.stop, span.keep, span.thinking) for span in plan.spans] == [
        (0, 3, 1, 0),
        (3, 4, 1, 2),
        (4, 5, 1, 1),
        (5, 8, 3, 0),
    ]
    wanted = [label for line in batch.labels.tolist() for label in line if label != IGNORE_INDEX]
    assert plan.label_ids.tolist() == wanted
    assert plan.label_range == (min(wanted), max(wanted))
    assert plan.thoughts is not None
    order, there = plan.thoughts
    assert there.tolist() == [[True, True], [True, False], [False, False]]
    assert order[0].tolist() == [0, 1]
    moved = plan.to(torch.device("meta"))
    assert {moved.label_index.device.type, moved.label_ids.device.type} == {"meta"}
    assert make_plan(batch.is_thought, batch.labels, whole=True).spans[0].keep == 3


@pytest.mark.parametrize("method", [ShuffledThoughts(max_stage=3), DetachedThoughts(max_stage=3)])
def test_controls_are_the_same_on_both(method: Coconut) -> None:
    """Guards `feed_back` on the fast path, gradients included."""
    fast, plain = pair("gpt2")
    batch = collate(rows("qqqTTTqaa", "qqqqTTTqa", "qTTTqaaa", "qqTTTqa"), pad_id=PAD)
    ours, theirs = method.loss(fast, batch), method.loss(plain, batch)
    assert_close(ours, theirs, within=1e-9)
    assert_same_gradients(gradients(fast, ours), gradients(plain, theirs), within=1e-9)


def test_dropout_is_there_in_training_and_gone_in_evaluation() -> None:
    """Guards GPT-2's three dropouts, which the fast path applies itself."""
    names = ("embd_pdrop", "attn_pdrop", "resid_pdrop")
    for name in names:
        rates: dict[str, Any] = {other: 0.5 if other == name else 0.0 for other in names}
        fast, plain = pair("gpt2", **rates)
        batch = collate(rows(*RAGGED), pad_id=PAD)
        with torch.no_grad():
            want = number(plain(**batch.tensors()).loss_sum)
            assert number(fast(**batch.tensors()).loss_sum) == pytest.approx(want)
            torch.manual_seed(0)
            dropped = {number(fast.train()(**batch.tensors()).loss_sum) for _ in range(3)}
        assert len(dropped) == 3, name
        assert want not in dropped


def test_attention_too_large_to_spell_out_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the way long texts take on a CPU: PyTorch's fused kernel, with grouped heads and joined pieces."""
    for family in ("gpt2", "llama"):
        model, batch = shared(family), collate(rows(*RAGGED), pad_id=PAD)
        with torch.no_grad():
            spelt_out = model(**batch.tensors())
            monkeypatch.setattr("unspoken.attention._LARGEST_PRODUCT", 0)
            fused = model(**batch.tensors())
            monkeypatch.undo()
        assert_close(fused.loss_sum, spelt_out.loss_sum, within=1e-9)


@pytest.mark.parametrize(
    "changes",
    [
        {"activation_function": "relu"},
        {"reorder_and_upcast_attn": True},
    ],
)
def test_unusual_models_run_on_the_librarys_modules(changes: dict[str, Any]) -> None:
    """Guards against a fast path that silently computes another function than the configuration asks for."""
    assert blocks_of(build("gpt2", **changes)) is None


@pytest.mark.parametrize("family", ["gemma2", "gemma3", "granite", "olmo2", "gpt_neox", "mistral"])
def test_families_not_known_run_on_the_librarys_modules(family: str) -> None:
    """Guards the same for families: windows, caps and multipliers are not in the blocks."""
    assert blocks_of(build(family, "eager")) is None


def test_a_run_trains_and_evaluates_plainly(tmp_path: Path) -> None:
    """Guards the flag: the same run without fast paths, losses equal to rounding, and the records say how."""
    found: dict[Engine, list[float]] = {}
    engines: list[Engine] = ["fast", "plain"]
    for engine in engines:
        config = replace(tiny(), engine=engine)
        assert fit(config, tmp_path / engine).engine == engine
        found[engine] = losses(tmp_path / engine)
        summary = evaluate_run(tmp_path / engine, config, tmp_path / engine / "eval" / "test", num=4, single=0)
        assert summary.engine == engine
        assert summary.text_seconds is not None
    assert found["fast"] == pytest.approx(found["plain"], rel=1e-4)
    other = evaluate_run(
        tmp_path / "fast", replace(tiny(), engine="fast"), tmp_path / "other", num=4, single=0, engine="plain"
    )
    assert other.engine == "plain"


# Graphs


@pytest.mark.parametrize("pictures", [("qqqTTaa", "qTTa"), ("qqqqqaaa", "qaa"), ("qqTaqTa", "qqqaa")])
def test_rounded_columns_change_no_loss(pictures: tuple[str, ...]) -> None:
    """Guards batches rounded up to few shapes: more padding, more kept outputs, the same loss and gradients."""
    model, some = shared("gpt2"), rows(*pictures)
    exact, rounded = collate(some, pad_id=PAD), collate(some, pad_id=PAD, columns=4)
    assert rounded.input_ids.shape[1] % 4 == 0
    first = rounded.is_thought.any(0).nonzero()
    assert not len(first) or int(first[0]) % 4 == 0
    losses_ = [model(**batch.tensors(), plan=batch.plan).loss_sum for batch in (exact, rounded)]
    assert_close(losses_[1], losses_[0], within=1e-9)
    assert_same_gradients(gradients(model, losses_[1]), gradients(model, losses_[0]), within=1e-9)


def test_batches_of_one_shape_have_one_graph() -> None:
    """Guards the number of recordings: other tokens, targets and thinkers are the same graph, other widths are not."""

    def shape(*pictures: str, seed: int = 0) -> Any:
        return shape_of(alike(collate(rows(*pictures, seed=seed), pad_id=PAD, columns=8)))

    assert shape("qqqTTaa", "qTTa") == shape("qTTaaaa", "qqTTa", seed=1)
    assert shape("qqqTTaa", "qTa") == shape("qTa", "qqTTaaa", seed=1)
    assert shape("qqqTTaa", "qTTa") != shape("q" * 9 + "TTaa", "qTTa")
    assert shape("qqqTTaa", "qTTa") != shape("qqqTTaa", "qTa")


def test_room_for_targets_changes_no_loss() -> None:
    """Guards the targets a graph's batch is filled up with: they must carry no loss."""
    model, batch = shared("llama"), collate(rows(*RAGGED), pad_id=PAD)
    room = alike(batch)
    assert len(room.plan.label_ids) > len(batch.plan.label_ids)
    with torch.no_grad():
        filled, exact = (model(**each.tensors(), plan=each.plan).loss_sum for each in (room, batch))
    assert_close(filled, exact, within=1e-12)


# The processor


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_float32_products_stay_float32() -> None:
    """Guards the switch to oneDNN: where it rounds to bfloat16 the error is a thousand times as large."""
    code = """
import torch
from unspoken import processor
a, b = torch.randn(200, 300), torch.randn(300, 100)
exact = a.double() @ b.double()
before = float((a @ b - exact).abs().max())
processor.tune()
print(float((a @ b - exact).abs().max()) < 16 * before + 1e-6)
"""
    assert in_a_fresh_process(code) == "True"


def test_rounding_products_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards processors with matrix units, on which the same switch rounds: there it must go back."""
    errors = iter([1e-5, 1e-2])
    monkeypatch.setattr(processor, "_product_error", lambda: next(errors))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        if torch.cuda.is_available():
            pytest.skip("the switch is left alone where there is a GPU")
        assert not processor.use_onednn()
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision(before)


def test_the_users_own_precision_is_left_alone() -> None:
    """Guards a setting somebody made on purpose."""
    code = """
import torch
torch.set_float32_matmul_precision("high")
from unspoken import processor
print(processor.use_onednn(), torch.get_float32_matmul_precision())
"""
    assert in_a_fresh_process(code) == "False high"


def test_plain_leaves_the_process_alone() -> None:
    """Guards "every fast path off": the plain engine must not even tune the processor."""
    code = """
import sys
sys.path.insert(0, "tests")
from tiny import build
from unspoken.model import LatentLM
from unspoken import processor
LatentLM(build("gpt2"), engine="plain")
print(processor.tune.cache_info().currsize)
LatentLM(build("gpt2"))
print(processor.tune.cache_info().currsize)
"""
    assert in_a_fresh_process(code).split() == ["0", "1"]
