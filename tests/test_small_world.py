"""The small world, held to the run folders that its page is made of: `results/runs/small-*`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from golden import small_world
from unspoken.config import After, RunConfig, Validation
from unspoken.recipes import RECIPES, find_recipe
from unspoken.train import fit

RUNS = Path(__file__).parents[1] / "results" / "runs"
KEPT = sorted(RUNS.glob("small-*"))
FROM_SCRATCH = [
    run
    for run in KEPT
    if run.name.endswith("seed0")
    and "-ablation-" not in run.name
    and not isinstance(RunConfig.load(run / "config.json").model, After)
]


def test_there_are_kept_runs() -> None:
    """Guards against the tests below passing because they find nothing."""
    assert len(FROM_SCRATCH) >= 10


@pytest.mark.parametrize("run", KEPT, ids=lambda run: run.name)
def test_a_kept_run_is_its_recipe(run: Path) -> None:
    """Guards against a page of figures that the recipe of that name does not give any more."""
    config = RunConfig.load(run / "config.json")
    assert config == find_recipe(config.recipe).with_seed(config.seed)


@pytest.mark.parametrize("run", FROM_SCRATCH, ids=lambda run: run.name)
def test_a_kept_run_begins_as_it_did(run: Path, tmp_path: Path) -> None:
    """Golden losses: guards against any unintended change of a method, a layout, the task or the optimizer.

    The first losses of a kept run, within what bf16 arithmetic may differ by between processors.
    """
    config = RunConfig.load(run / "config.json")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    golden = [line for line in lines if line["kind"] == "step"][:1]
    # As many as shuffled thoughts need.
    short = replace(config, max_steps=golden[-1]["step"], validation=Validation(examples=config.method.min_rows()))
    fit(short, tmp_path / "run", device="cpu")
    measured = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    measured = [line for line in measured if line["kind"] == "step"]
    assert [line["step"] for line in measured] == [line["step"] for line in golden]
    assert [line["loss"] for line in measured] == pytest.approx([line["loss"] for line in golden], rel=5e-3)


GOLDEN = json.loads(small_world.FILE.read_text())


def test_every_row_has_golden_losses() -> None:
    """Guards against a row that is added to the table, and to nothing that holds it."""
    assert list(GOLDEN) == small_world.recipes()


@pytest.mark.parametrize("name", GOLDEN)
def test_every_stage_of_every_row_is_as_it_was(name: str) -> None:
    """Golden losses in float32, stage by stage: guards against any unintended change of thoughts, mixing, layouts,
    controls or problems. `python tests/golden/small_world.py` renews them on purpose."""
    measured = small_world.measure(find_recipe(name))
    assert measured.keys() == GOLDEN[name].keys()
    for stage, (loss, norm) in measured.items():
        assert loss == pytest.approx(GOLDEN[name][stage][0], rel=1e-5), stage
        assert norm == pytest.approx(GOLDEN[name][stage][1], rel=1e-3), stage


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("small/")])
def test_a_recipe_is_of_the_small_world(name: str) -> None:
    """Guards against a recipe that two cores cannot carry to its end in minutes."""
    config = find_recipe(name)
    while True:
        assert config.curriculum.epochs <= 40
        assert config.precision == "bf16"
        if not isinstance(config.model, After):
            break
        config = config.model.first
    assert (config.model.width, config.model.layers) in {(128, 2), (128, 4)}  # type: ignore[attr-defined]
