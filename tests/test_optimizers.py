"""Which weights each optimizer changes, by how much, and that flags and checkpoints know both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tiny_runs import MODEL, StopAt, digest, final_weights, metrics, tiny
from unspoken import cli
from unspoken.build import build_model
from unspoken.checkpoint import checkpoints
from unspoken.config import AdamW, Muon, RunConfig, Schedule
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut
from unspoken.optimizers import build_optimizers, load_optimizer_state, optimizer_state, split_matrices
from unspoken.recipes import RECIPES
from unspoken.specs import GPT2, ModelSpec, Words
from unspoken.train import Interrupted, fit

MUON = Muon(lr=4e-3, others_lr=2e-3)
FAMILIES: dict[str, ModelSpec] = {
    "Llama, tied": MODEL,
    "Llama, untied": replace(MODEL, tied=False),
    "GPT2": GPT2(layers=1, width=16, heads=2, positions=48, tokenizer=Words()),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_matrices_of_the_blocks_and_all_the_rest(name: str) -> None:
    """Guards against Muon on an embedding (also of positions) or the unembedding, and against a weight in no optimizer
    or in two."""
    model = build_model(FAMILIES[name], tiny().task, seed=0)
    names = {id(p): n for n, p in model.named_parameters()}
    matrices, others = split_matrices(model)
    inside, outside = [names[id(p)] for p in matrices], [names[id(p)] for p in others]
    assert sorted(inside + outside) == sorted(names.values())
    assert all(".layers." in n or ".h." in n for n in inside)
    assert len(inside) == (4 if name == "GPT2" else 7)
    assert not any(p.ndim == 2 for n, p in model.named_parameters() if n in outside and (".layers." in n or ".h." in n))


def test_a_muon_step_is_as_long_as_an_adamw_step(tmp_path: Path) -> None:
    """Guards the meaning of `lr`: 0.2 lr a weight on average in every matrix, whatever its shape; others by `others_lr`
    in their first step."""
    config = tiny(optimizer=replace(MUON, weight_decay=0.0), max_steps=1)
    before = build_model(config.model, config.task, seed=config.seed).lm.state_dict()
    fit(config, tmp_path / "run")
    for name, after in final_weights(tmp_path / "run").items():
        moved = after - before[name]
        size = float(moved.square().mean().sqrt())
        if ".layers." in name and after.ndim == 2:
            # Less where the gradient has few directions, as queries and keys have in so small a model.
            assert 0.4 < size / (0.2 * 4e-3) < 1.2, name
        else:
            assert float(moved.abs().max()) == pytest.approx(2e-3, rel=1e-2), name


def test_the_schedule_scales_both(tmp_path: Path) -> None:
    """Guards the embeddings' rate, which the loop knows only through its optimizer."""
    config = tiny(optimizer=MUON, schedule=Schedule(decay="linear"), max_steps=12, checkpoint_every=10)
    with pytest.raises(Interrupted):
        fit(config, tmp_path / "run", observer=StopAt(11))
    factor = config.schedule.factor(10, 12)
    assert metrics(tmp_path / "run", "step")[-1]["lr"] == pytest.approx(4e-3 * factor)
    text = (checkpoints(tmp_path / "run" / "checkpoints")[-1] / "state.json").read_text()
    groups = json.loads(text)["optimizer_groups"]
    assert [group["lr"] for group in groups] == pytest.approx([4e-3 * factor, 2e-3 * factor])


def test_a_stage_drops_both_states(tmp_path: Path) -> None:
    """Guards the paper's reset: momentum of one stage pushing the matrices in the next."""
    config = tiny(method=Coconut(max_stage=0), curriculum=Curriculum(stage_epochs=(1, 3)), optimizer=MUON)
    with pytest.raises(Interrupted):
        fit(config, tmp_path / "run", observer=StopAt(6))
    state = load_file(checkpoints(tmp_path / "run" / "checkpoints")[-1] / "optimizer.safetensors")
    assert {float(v) for k, v in state.items() if k.endswith("/step")} == {1.0}
    # One step after a reset the buffer is a twentieth of that step's gradient, so the run can go on from nothing.
    buffers = [k for k in state if k.endswith("/momentum_buffer")]
    assert len(buffers) == 7
    never = replace(config, curriculum=replace(config.curriculum, reset_optimizer="never"))
    with pytest.raises(Interrupted):
        fit(never, tmp_path / "never", observer=StopAt(6))
    kept = load_file(checkpoints(tmp_path / "never" / "checkpoints")[-1] / "optimizer.safetensors")
    assert not torch.equal(kept[buffers[0]], state[buffers[0]])
    assert {float(v) for k, v in kept.items() if k.endswith("/step")} == {6.0}


def test_state_goes_out_and_comes_back_exactly() -> None:
    """Guards the count of parameters across the two optimizers: moments of one weight on another."""
    model = build_model(MODEL, tiny().task, seed=0)
    optimizers = build_optimizers(MUON, model, fused=True)
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    for optimizer in optimizers:
        optimizer.step()
    tensors, groups = optimizer_state(optimizers)
    fresh = build_optimizers(MUON, model, fused=True)
    load_optimizer_state(fresh, tensors, groups)
    again, regrouped = optimizer_state(fresh)
    assert set(again) == set(tensors)
    assert all(torch.equal(again[name], value) for name, value in tensors.items())
    assert regrouped == groups
    for p in model.parameters():
        for optimizer in fresh:
            for name, value in optimizer.state[p].items() if p in optimizer.state else ():
                assert name == "step" or value.shape == p.shape
    with pytest.raises(ValueError, match="is of another optimizer"):
        load_optimizer_state(build_optimizers(AdamW(), model, fused=True), tensors, groups)


def test_flags_reach_the_optimizer_a_recipe_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards `--optimizer.lr` for both kinds; a flag of the other kind is an error and not ignored."""

    def muon() -> RunConfig:
        return tiny(optimizer=MUON, recipe="tiny/muon")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RECIPES, "tiny/coconut", tiny)
    monkeypatch.setitem(RECIPES, "tiny/muon", muon)
    short = ["--max-steps", "1"]
    cli.main(["train", "tiny/muon", "--optimizer.others-lr", "0.5", "--optimizer.lr", "0.25", *short, "--out", "a"])
    assert RunConfig.load(tmp_path / "a" / "config.json").optimizer == replace(MUON, lr=0.25, others_lr=0.5)
    cli.main(["train", "tiny/coconut", "--optimizer.lr", "0.25", *short, "--out", "b"])
    assert RunConfig.load(tmp_path / "b" / "config.json").optimizer == AdamW(lr=0.25)
    with pytest.raises(SystemExit):
        cli.main(["train", "tiny/coconut", "--optimizer.others-lr", "0.25", *short, "--out", "c"])


def test_muon_learns(tmp_path: Path) -> None:
    """Guards signs and scales: a loss that falls as AdamW's does, from the same start."""
    lengths = Curriculum(stage_epochs=(16, 1, 1, 1))
    falls: dict[str, Any] = {}
    for name, optimizer in (("muon", Muon(lr=1e-2, others_lr=1e-2)), ("adamw", AdamW(lr=1e-2))):
        fit(tiny(optimizer=optimizer, curriculum=lengths, max_steps=60), tmp_path / name)
        losses = [line["loss"] for line in metrics(tmp_path / name, "step")]
        falls[name] = sum(losses[:5]) / 5 - sum(losses[-5:]) / 5
    assert falls["muon"] > 0.5 * falls["adamw"] > 0.2
    assert digest(tmp_path / "muon" / "final") != digest(tmp_path / "adamw" / "final")
