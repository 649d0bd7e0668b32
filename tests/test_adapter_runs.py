"""Whole runs that train adapters: what they train, save, resume, and refuse."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from command_line import Capture, refused
from tiny import trainable
from tiny_runs import StopAt, digest, losses, metrics, tiny
from unspoken import cli
from unspoken.adapters import adapted, load_adapter
from unspoken.build import build_model
from unspoken.config import AdamW, After, Muon, RunConfig
from unspoken.curriculum import Curriculum
from unspoken.methods import CoT
from unspoken.model import LatentLM
from unspoken.optimizers import build_optimizers
from unspoken.recipes import RECIPES
from unspoken.runs import evaluate_run
from unspoken.specs import GPT2, Lora, Words
from unspoken.train import Interrupted, fit

peft = pytest.importorskip("peft", reason="needs peft: pip install 'unspoken[adapters]'")

IN_RUNS = Lora(rank=2, alpha=4.0, dropout=0.1)


def test_a_run_on_a_bf16_base_is_the_same_run(tmp_path: Path) -> None:
    """Guards the way through `fit`, evaluation and saving: same losses and the same adapter, whatever the base's dtype;
    and such a run resumes."""
    runs = {}
    for frozen in ("fp32", "bf16"):
        config = tiny(adapter=replace(IN_RUNS, frozen=frozen), precision="bf16")
        model = fit(config, tmp_path / frozen)
        # Outside of autocast, where a model given back is used, it must work as well.
        assert len(model.reason(["a b c d"], thoughts=1, max_new_tokens=2)) == 1
        runs[frozen] = tmp_path / frozen
        assert evaluate_run(runs[frozen], config, tmp_path / f"eval-{frozen}", num=4, single=0).num == 4
    assert losses(runs["bf16"]) == losses(runs["fp32"])
    one, other = (load_file(run / "final" / "adapter" / "adapter_model.safetensors") for run in runs.values())
    assert all(torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(Interrupted):
        fit(config, tmp_path / "cut", observer=StopAt(7))
    fit(config, tmp_path / "cut", resume=True)
    assert digest(tmp_path / "cut" / "final") == digest(runs["bf16"] / "final")


def config_of(**changes: Any) -> RunConfig:
    return tiny(adapter=IN_RUNS, **changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LatentLM]:
    """One whole run with an adapter, not to be changed."""
    folder = tmp_path_factory.mktemp("adapters") / "run"
    return folder, fit(config_of(), folder)


def test_a_run_trains_its_adapter_alone(run: tuple[Path, LatentLM]) -> None:
    """Guards the way through `fit`: the base stays, optimizer and checkpoints hold no more than what is trained."""
    folder, model = run
    base = build_model(tiny().model, tiny().task, seed=0)
    weights = {name.replace(".base_layer", ""): weight for name, weight in model.lm.state_dict().items()}
    for name, weight in base.lm.state_dict().items():
        owner, _, leaf = name.rpartition(".")
        found = weights.get(name, weights.get(f"{owner}.token_adapter.{leaf}"))
        assert found is not None and torch.equal(found, weight), name
    wanted = [id(weight) for weight in trainable(model.lm).values()]
    (optimizer,) = build_optimizers(tiny().optimizer, model, fused=False)
    assert [id(weight) for group in optimizer.param_groups for weight in group["params"]] == wanted
    *_, newest = sorted((folder / "checkpoints").iterdir())
    assert set(load_file(newest / "model.safetensors")) == set(trainable(model.lm))


def test_an_adapter_learns(tmp_path: Path) -> None:
    """Guards against adapters that are trained and do nothing: on a base that knows nothing they must help too."""
    config = tiny(
        method=CoT(), curriculum=Curriculum(stage_epochs=(4,)), optimizer=AdamW(lr=3e-2), adapter=Lora(rank=8)
    )
    fit(config, tmp_path / "run")
    curve = losses(tmp_path / "run")
    assert curve[0] > 1.15 * max(curve[-3:])


def test_a_run_saves_the_merged_model_and_the_adapter(run: tuple[Path, LatentLM]) -> None:
    """Guards `final/` and `best/`: plain models for everybody, and the adapter beside them, which gives the same model
    on the base."""
    folder, model = run
    ids = torch.tensor([[4, 6, model.marks.bot, 9, model.marks.eot, 11]])
    with torch.no_grad():
        want = model.lm(input_ids=ids).logits
        for name in ("final", "best"):
            stock = AutoModelForCausalLM.from_pretrained(folder / name)
            assert not adapted(stock)
            assert (folder / name / "adapter" / "adapter_model.safetensors").is_file()
        final = AutoModelForCausalLM.from_pretrained(folder / "final")
        torch.testing.assert_close(final(input_ids=ids).logits, want, rtol=1e-4, atol=1e-4)
        base = build_model(tiny().model, tiny().task, seed=0)
        load_adapter(base.lm, folder / "final" / "adapter")
        torch.testing.assert_close(base.lm.eval()(input_ids=ids).logits, want, rtol=1e-6, atol=1e-6)
    summary = evaluate_run(folder, config_of(), folder / "eval" / "here", num=4, single=0)
    assert summary.num == 4


@pytest.mark.parametrize("family", ["Llama", "GPT-2"])
def test_a_resumed_run_with_an_adapter_equals_an_uninterrupted_one(family: str, tmp_path: Path) -> None:
    """Guards all state of such a run, adapter dropout and the base's own included, and merging in the middle of it:
    adding a product to a weight and taking it off again would leave other weights."""
    changes: dict[str, Any] = {}
    if family == "GPT-2":
        gpt2 = GPT2(layers=1, width=16, heads=2, positions=48, dropout=0.2, tokenizer=Words())
        changes = {"model": gpt2, "curriculum": Curriculum(stage_epochs=(0, 0, 2, 2), reset_optimizer="never")}
    config = config_of(**changes)
    fit(config, tmp_path / "whole")
    again = tmp_path / "run"
    for i, step in enumerate((2, 13)):
        with pytest.raises(Interrupted):
            fit(config, again, resume=i > 0, observer=StopAt(step))
        torch.manual_seed(99 + i)
    fit(config, again, resume=True)
    for name in ("final", "best"):
        assert digest(again / name) == digest(tmp_path / "whole" / name)
        found = [(p / name / "adapter" / "adapter_model.safetensors").read_bytes() for p in (again, tmp_path / "whole")]
        assert found[0] == found[1]
    assert losses(again) == losses(tmp_path / "whole")


def test_a_changed_base_is_noticed(tmp_path: Path) -> None:
    """Guards an adapter run whose base, a folder somewhere, has been replaced since: half of it would be trained on one
    model and half on another."""
    fit(tiny(), tmp_path / "first")
    config = config_of(model=After(first=tiny()))
    with pytest.raises(Interrupted):
        fit(config, tmp_path / "run", first=tmp_path / "first", observer=StopAt(3))
    weights = tmp_path / "first" / "final" / "model.safetensors"
    state = load_file(weights)
    state["model.norm.weight"] += 1e-6
    save_file(state, weights, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"base\.txt: the model that this run's adapter is trained on has changed"):
        fit(config, tmp_path / "run", resume=True)


def test_flags_of_the_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Guards the command line: any flag of the adapter turns it on, and a run without it has none of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RECIPES, "tiny/coconut", tiny)
    monkeypatch.setitem(RECIPES, "tiny/coconut-lora", config_of)
    assert "adapter.rank must be at least 1, got 0" in refused("train tiny/coconut --adapter.rank 0", capsys)
    assert "'c_attn'" in refused("train tiny/coconut-lora --adapter.targets c_attn", capsys)
    cli.main(["train", "tiny/coconut", "--adapter.rank", "5", "--adapter.targets", "q_proj", "--max-steps", "1"])
    config = RunConfig.load(tmp_path / "runs" / "tiny-coconut" / "config.json")
    assert config.adapter == Lora(rank=5, targets=("q_proj",))
    assert metrics(tmp_path / "runs" / "tiny-coconut", "step")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(["train", "tiny/coconut-lora", "--help"])
    assert "--adapter.dropout" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["train", "tiny/coconut", "--help"])
    assert "--adapter.dropout" not in capsys.readouterr().out


def test_adapters_that_make_no_sense_are_refused() -> None:
    """Guards against settings that would only show as a strange loss."""
    wrongs: list[dict[str, Any]] = [
        {"rank": 0},
        {"alpha": 0.0},
        {"alpha": math.nan},
        {"dropout": 1.0},
        {"dropout": -0.1},
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError, match=rf"adapter\.{next(iter(wrong))} must be"):
            Lora(**wrong)
    with pytest.raises(ValueError, match=r"adapter\.frozen bf16 rounds .* expected precision bf16, or"):
        tiny(adapter=Lora(frozen="bf16"))
    with pytest.raises(ValueError, match="Muon is for whole matrices, not for adapters; expected optimizer AdamW"):
        config_of(optimizer=Muon())
