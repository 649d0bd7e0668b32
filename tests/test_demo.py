"""The demo: what it ships, and that both acts run from end to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from unspoken import demo
from unspoken.config import RunConfig
from unspoken.recipes import find_recipe
from unspoken.shipped import FOLDER, copy_shipped, manifest, sha256
from unspoken.specs import Llama
from unspoken.tasks.hops import Hops

SHIPPED = [name for act in demo.ACTS if act.first is None for name in act.recipes]


def test_shipped_weights_are_small_and_what_the_manifest_says() -> None:
    """Guards against swapped or damaged weights, and against a package that grows."""
    found = manifest()
    assert set(found) == {name.replace("/", "-") for name in SHIPPED}
    for name, shipped in found.items():
        assert sha256(FOLDER / name / shipped.weights / "model.safetensors") == shipped.sha256
        assert len(shipped.commit) == 40
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 6_000_000


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_runs_come_from_recipes_of_this_repository(name: str) -> None:
    """Guards the claim that anyone can train them again: a changed recipe needs new weights."""
    folder = FOLDER / name.replace("/", "-")
    config = RunConfig.load(folder / "config.json")
    shipped = manifest()[folder.name]
    assert replace(config, seed=0) == find_recipe(shipped.recipe)
    assert config.seed == shipped.seed


def test_damaged_shipped_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against figures from weights that are not the shipped ones."""
    copy_shipped("demo-planning-cot", tmp_path / "demo-planning-cot")
    weights = tmp_path / "demo-planning-cot" / "final" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    (tmp_path / "MANIFEST.json").write_bytes((FOLDER / "MANIFEST.json").read_bytes())
    monkeypatch.setattr("unspoken.shipped.FOLDER", tmp_path)
    with pytest.raises(ValueError, match=r"model.safetensors: SHA-256 is .*, expected"):
        copy_shipped("demo-planning-cot", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _tiny(name: str) -> RunConfig:
    config = find_recipe(name)
    if not isinstance(config.task, Hops):
        return config
    model = Llama(layers=1, width=32, heads=2, mlp_width=32) if isinstance(config.model, Llama) else config.model
    lengths = tuple(min(length, 1) for length in config.curriculum.stage_epochs)
    return replace(
        config,
        model=model,
        task=replace(config.task, num_train=128, num_valid=16),
        curriculum=replace(config.curriculum, stage_epochs=lengths),
    )


@pytest.mark.filterwarnings("default")
def test_both_acts_end_in_tables_and_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards the newcomer's first command, with the live act shrunk to seconds."""
    monkeypatch.setattr(demo, "find_recipe", _tiny)
    demo.run_demo(tmp_path, seed=3, num=48)
    shown = capsys.readouterr().out
    assert "Coconut" in shown
    assert "No-CoT" in shown
    for name in ("table.md", "table.csv", "accuracy.png", "accuracy.svg", "accuracy-by-stage.png"):
        assert (tmp_path / "demo" / name).stat().st_size > 200
    assert len((tmp_path / "demo" / "table.csv").read_text().splitlines()) == 9
    for act in demo.ACTS:
        for name in act.recipes:
            assert (tmp_path / name.replace("/", "-") / "eval" / "test" / "records.jsonl").is_file()
    with pytest.raises(ValueError, match=r"exists; remove it \(rm -r .*\) or choose another --out"):
        demo.run_demo(tmp_path, seed=3, num=48)
