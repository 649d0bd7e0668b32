"""Adapters: trained on every path alike, alone, and saved so that everybody can load them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from tiny import PAD, RAGGED, assert_close, assert_same_gradients, build, number, rows, tolerance, trainable
from unspoken import attention, blocks
from unspoken.adapters import adapted, add_lora, base_fingerprint, load_adapter, merged, save_adapter
from unspoken.batch import collate
from unspoken.layout import Marks
from unspoken.model import LatentLM, LatentOutput
from unspoken.specs import Engine, Lora

peft = pytest.importorskip("peft", reason="needs peft: pip install 'unspoken[adapters]'")

MARKS = Marks(bot=60, eot=61, thought=62, pause=63)
SPEC = Lora(rank=3, alpha=6.0)
FAMILIES = ["gpt2", "llama", "qwen3"]
each_model = pytest.mark.parametrize(("family", "tied"), [(f, tied) for f in FAMILIES for tied in (True, False)])


def trained(family: str, spec: Lora = SPEC, *, tied: bool = True, **changes: Any) -> PreTrainedModel:
    """A model with an adapter that adds something, and markers' rows that have been moved."""
    lm = build(family, tie_word_embeddings=tied, **changes)
    add_lora(lm, spec, MARKS, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in trainable(lm).values():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    return lm


def output(lm: PreTrainedModel, engine: Engine = "fast") -> LatentOutput:
    """Of a batch with markers in its questions and as its thoughts' neighbours."""
    model = LatentLM(lm, engine=engine)
    assert (model.backbone.blocks is None) == (engine == "plain")
    some = rows(*RAGGED)
    for row in some:
        row.input_ids[0] = MARKS.bot
    batch = collate(some, pad_id=PAD)
    return model(**batch.tensors(), plan=batch.plan)


def slopes(lm: PreTrainedModel, loss: Tensor | None) -> dict[str, Tensor]:
    """Gradients of what is trained."""
    assert loss is not None
    weights = trainable(lm)
    return dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))


# ------------------------------------------------------------------------------------------------------ what it does


@each_model
def test_only_adapters_and_markers_rows_are_trained(family: str, tied: bool) -> None:
    """Guards the point of adapters: every other weight stays as it is, and every one of these is learned from."""
    lm = trained(family, tied=tied)
    names = trainable(lm)
    rows_of = [name for name in names if "trainable_tokens" in name]
    assert all("lora_" in name for name in names if name not in rows_of)
    assert len(rows_of) == (1 if tied else 2)
    assert {names[name].shape for name in rows_of} == {(4, 32)}
    linear = {"gpt2": 4, "llama": 7, "qwen3": 7}[family]
    assert len(names) - len(rows_of) == 2 * linear * 2, "A and B, of every linear layer of two blocks"
    found = slopes(lm, output(lm).loss_sum)
    assert all(slope.abs().sum() > 0 for slope in found.values())
    # Rows of tokens that are in no text get the head's slope alone, so only the marker in the texts has another.
    output(lm).loss_sum.backward()  # pyrefly: ignore
    assert all(weight.grad is None for weight in lm.parameters() if not weight.requires_grad)


@pytest.mark.parametrize("engine", ["fast", "sparing"])
@each_model
def test_the_blocks_see_the_adapters(family: str, tied: bool, engine: Engine) -> None:
    """Guards our own blocks, which call the library's submodules: values and gradients are the plain engine's."""
    lm = trained(family, tied=tied)
    ours, theirs, without = output(lm, engine), output(lm, "plain"), output(build(family, tie_word_embeddings=tied))
    within = max(tolerance(LatentLM(lm)), 1e-9)
    assert_close(ours.loss_sum, theirs.loss_sum, within=within)
    assert_close(ours.thoughts, theirs.thoughts, within=within)
    assert_same_gradients(slopes(lm, ours.loss_sum), slopes(lm, theirs.loss_sum), within=within)
    assert abs(number(theirs.loss_sum) - number(without.loss_sum)) > 0.1, "the adapter does something"


def _just_once(cheap: Callable[..., Tensor], *inputs: Tensor, draws: bool = False) -> Tensor:
    return cheap(*inputs)


@pytest.mark.parametrize("engine", ["fast", "sparing"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_what_is_worked_out_again_drops_the_same(
    family: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Guards gradients under an adapter's dropout: the backward pass repeats part of the forward pass, and with other
    numbers drawn there it would be the gradient of another function, silently."""
    lm = trained(family, Lora(rank=3, alpha=6.0, dropout=0.5)).train()
    found = []
    for repeated in (True, False):
        if not repeated:
            for module in (attention, blocks):
                monkeypatch.setattr(module, "worked_out_again", _just_once)
        torch.manual_seed(3)
        loss = output(lm, engine if repeated else "fast").loss_sum
        found.append((number(loss), slopes(lm, loss)))
    (ours, our_slopes), (theirs, their_slopes) = found
    assert ours == pytest.approx(theirs, rel=1e-9)
    assert_same_gradients(our_slopes, their_slopes, within=1e-7)


def test_a_new_adapter_adds_nothing_and_is_drawn_from_the_seed() -> None:
    """Guards the start: the base model itself, whatever the mode, and the same run from the same seed."""
    plain = number(output(build("llama")).loss_sum)
    found = []
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for seed in (0, 0, 1):
        lm = build("llama")
        add_lora(lm, Lora(rank=3, dropout=0.5), MARKS, seed=seed)
        assert not any(module.training for module in lm.modules()), "dropout is off, as it was"
        assert number(output(lm).loss_sum) == pytest.approx(plain, rel=1e-12)
        found.append(torch.cat([weight.flatten() for weight in trainable(lm).values()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.equal(torch.get_rng_state(), before)


@each_model
@pytest.mark.parametrize("engine", ["fast", "sparing", "plain"])
def test_a_frozen_model_in_bf16_computes_the_very_same(family: str, tied: bool, engine: Engine) -> None:
    """Guards the claim that half the memory costs nothing: loss and gradients equal those over a float32 base, bit for
    bit, because autocast rounds that base to the same numbers; and what is trained stays in float32."""
    found = []
    for spec in (SPEC, replace(SPEC, frozen="bf16")):
        lm = trained(family, spec, tied=tied, dtype=torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            loss = output(lm, engine).loss_sum
        found.append((lm, number(loss), slopes(lm, loss)))
    (wide, loss, gradients), (narrow, same_loss, same_gradients) = found
    assert same_loss == loss
    assert gradients.keys() == same_gradients.keys()
    for name, gradient in gradients.items():
        assert gradient.dtype == torch.float32
        assert torch.equal(same_gradients[name], gradient), name
    kept = [sum(weight.nbytes for weight in lm.parameters() if not weight.requires_grad) for lm in (wide, narrow)]
    linear = sum(weight.nbytes for weight in narrow.parameters() if weight.dtype == torch.bfloat16)
    assert linear > 0
    assert kept[0] - kept[1] == linear


def test_what_is_learned_on_a_bf16_base_is_not_rounded_away(tmp_path: Path) -> None:
    """Guards merging: a product added to a bf16 weight in bf16 mostly vanishes; saved models are of one dtype."""
    lm = trained("llama", replace(SPEC, frozen="bf16"), dtype=torch.float32)
    plain = merged(lm)
    assert {weight.dtype for weight in plain.parameters()} == {torch.float32}
    ids = torch.tensor([[4, 6, 9, 11]])
    layer: Any = lm.get_submodule("model.layers.0.self_attn.q_proj")
    base = layer.get_base_layer().weight.float()
    product = layer.lora_B.default.weight @ layer.lora_A.default.weight * 2.0
    torch.testing.assert_close(
        plain.get_parameter("model.layers.0.self_attn.q_proj.weight"), base + product, rtol=1e-6, atol=1e-6
    )
    assert torch.equal(plain(input_ids=ids).logits, merged(lm)(input_ids=ids).logits)


def test_targets_choose_the_layers() -> None:
    """Guards `targets`: a layer that is not there must not be passed over in silence."""
    lm = build("llama")
    with pytest.raises(
        ValueError, match=r"no linear layer 'c_attn'; expected q_proj, k_proj, v_proj, o_proj, gate_proj"
    ):
        add_lora(lm, Lora(targets=("q_proj", "c_attn")), MARKS, seed=0)
    assert not adapted(lm)
    add_lora(lm, Lora(rank=1, targets=("q_proj", "down_proj")), MARKS, seed=0)
    owners = {name.split(".lora_")[0].rpartition(".")[2] for name in trainable(lm) if "lora_" in name}
    assert owners == {"q_proj", "down_proj"}
    with pytest.raises(ValueError, match="has an adapter already"):
        add_lora(lm, SPEC, MARKS, seed=0)


def test_without_peft_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards those who have not installed the extra."""
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ValueError, match=r"adapters take peft: pip install 'unspoken\[adapters\]'"):
        add_lora(build("llama"), SPEC, MARKS, seed=0)


# ----------------------------------------------------------------------------------------------------- merge and save


@each_model
def test_merged_is_a_plain_model_of_the_same_values(family: str, tied: bool, tmp_path: Path) -> None:
    """Guards what runs save: stock transformers must load it, with every trained row and product in its weights, and
    the model in training must stay bit for bit what it was."""
    lm = trained(family, tied=tied)
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    whole = merged(lm)
    assert all(torch.equal(value, before[name]) for name, value in lm.state_dict().items())
    assert not adapted(whole) and adapted(lm) and type(whole) is type(lm)
    assert merged(whole) is whole
    within = max(tolerance(LatentLM(lm)), 1e-9)
    assert_close(output(whole).loss_sum, output(lm).loss_sum, within=within)
    whole.save_pretrained(tmp_path)
    stock = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64)
    assert set(stock.state_dict()) == set(build(family, tie_word_embeddings=tied).state_dict())
    assert_close(output(stock, "plain").loss_sum, output(lm).loss_sum, within=within)
    assert (stock.get_input_embeddings().weight is stock.get_output_embeddings().weight) == tied


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks for it
@each_model
def test_a_saved_adapter_comes_back(family: str, tied: bool, tmp_path: Path) -> None:
    """Guards the small file people pass around: the same model again, here and in stock peft."""
    lm = trained(family, tied=tied)
    save_adapter(lm, tmp_path / "adapter")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "adapter").iterdir()}
    assert sizes.keys() == {"adapter_config.json", "adapter_model.safetensors"}
    want = output(lm)
    again = build(family, tie_word_embeddings=tied)
    load_adapter(again, tmp_path / "adapter")
    assert_close(output(again).loss_sum, want.loss_sum, within=1e-12)
    assert trainable(again).keys() == trainable(lm).keys()
    stock: Any = peft.PeftModel.from_pretrained(build(family, tie_word_embeddings=tied), str(tmp_path / "adapter"))
    ids = torch.tensor([[1, MARKS.bot, 5, MARKS.eot, 7]])
    with torch.no_grad():
        torch.testing.assert_close(stock(input_ids=ids).logits, lm(input_ids=ids).logits, rtol=1e-6, atol=1e-6)


def _no_config(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()


def _half_a_config(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{")


def _cut(folder: Path) -> None:
    (folder / "adapter_model.safetensors").write_bytes(b"cut")


def _other_kind(folder: Path) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "peft_type": "IA3"}))


def _lose_a_tensor(folder: Path) -> None:
    weights = load_file(folder / "adapter_model.safetensors")
    weights.pop(sorted(weights)[3])
    save_file(weights, folder / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_no_config, "no readable adapter"),
        (_half_a_config, "no readable adapter"),
        (_cut, "no readable adapter"),
        (_other_kind, "no readable adapter: peft_type is 'IA3', expected 'LORA'"),
        (_lose_a_tensor, "is in only one of the two"),
    ],
)
def test_a_damaged_adapter_is_refused(damage: Callable[[Path], object], says: str, tmp_path: Path) -> None:
    """Guards against a traceback from a library, and against half an adapter."""
    save_adapter(trained("llama"), tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=says) as refusal:
        load_adapter(build("llama"), tmp_path)
    assert str(refusal.value).startswith(str(tmp_path))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("other", [{"hidden_size": 16}, {"num_hidden_layers": 1}, {"vocab_size": 50}])
def test_an_adapter_of_another_model_is_refused(other: dict[str, Any], tmp_path: Path) -> None:
    """Guards against an adapter on the wrong base: other widths, fewer blocks, or no rows for the markers."""
    save_adapter(trained("llama"), tmp_path)
    with pytest.raises(ValueError, match="of another model"):
        load_adapter(build("llama", **other), tmp_path)
    with pytest.raises(ValueError, match="has an adapter already"):
        load_adapter(trained("llama"), tmp_path)


def test_the_fingerprint_is_the_bases() -> None:
    """Guards resuming on a changed base: training the adapter must not change it, one bit of the base must."""
    lm, other = trained("llama", tied=False), build("llama")
    add_lora(other, SPEC, MARKS, seed=9)
    assert base_fingerprint(lm) == base_fingerprint(other)
    with torch.no_grad():
        other.get_parameter("model.norm.weight").view(torch.int64)[3] ^= 1
    assert base_fingerprint(lm) != base_fingerprint(other)
