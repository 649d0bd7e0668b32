"""What the shipped sweeps hold: every row of Table 1, each cell once, the most valuable first; and `unspoken sweep`."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from command_line import call, refused
from unspoken.config import After, RunConfig
from unspoken.paper import METHOD_NAMES
from unspoken.recipes import RECIPES
from unspoken.sweeps import SWEEPS, find_sweep
from unspoken.sweeps.base import Cell, Sweep
from unspoken.sweeps.work import describe, units
from unspoken.tasks.known import find_task

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", SWEEPS)
def test_every_cell_is_complete(name: str) -> None:
    """Guards against a cell that a night's work arrives at only to fail: an unknown set, a run too short to end; and
    against probes beside a run that no cell makes, which would stand alone for ever."""
    cells = find_sweep(name).cells
    names = {cell.name for cell in cells}
    for cell in cells:
        assert cell.beside is None or cell.beside in names
        for asked in cell.asked:
            assert cell.config.task.asking(find_task(asked)).max_new_tokens > 0
        assert cell.config.curriculum.epochs > 0
        assert cell.config.max_steps is None


def test_the_small_world_is_every_row_on_three_tasks_with_three_seeds() -> None:
    """Guards against a table with holes."""
    cells = find_sweep("small").cells
    found = {(cell.config.recipe.split("/")[1], type(cell.config.method).__name__, cell.config.seed) for cell in cells}
    for task in ("prosqa", "prontoqa", "words"):
        for method in METHOD_NAMES:
            for seed in range(3):
                assert (task, method, seed) in found


def test_rows_of_a_task_are_given_as_many_problems() -> None:
    """Guards against a method that wins by having been trained longer: warm starts of the task itself count."""
    for task in ("prosqa", "prontoqa", "words"):
        epochs = set()
        for cell in find_sweep("small").cells:
            if cell.config.recipe.startswith(f"small/{task}/") and "/ablation/" not in cell.config.recipe:
                config, total = cell.config, 0
                while True:
                    if type(config.task) is type(cell.config.task):
                        total += config.curriculum.epochs
                    if not isinstance(config.model, After):
                        break
                    config = config.model.first
                epochs.add(total)
        assert len(epochs) == 1, f"{task}: {epochs}"


def test_one_seed_of_everything_comes_before_the_second() -> None:
    """Guards against three seeds of one row where a table of one seed was asked for first."""
    for name in ("small", "paper-scale"):
        rows = [cell.config for cell in find_sweep(name).cells if "/ablation/" not in cell.config.recipe]
        first = {config.recipe for config in rows if config.seed == 0}
        until = next(i for i, config in enumerate(rows) if config.seed == 1)
        assert {config.recipe for config in rows[:until]} == first


def test_paper_scale_begins_with_what_says_most() -> None:
    """Guards against half an hour of a GPU spent on the last rows."""
    rows = [cell.config.recipe for cell in find_sweep("paper-scale").cells]
    assert [row.rpartition("/")[2] for row in rows[:5]] == [
        "coconut", "cot", "pause-as-thought", "shuffled-thoughts", "no-cot"
    ]  # fmt: skip
    assert rows[0].startswith("prosqa/")


def test_first_runs_come_right_before_who_needs_them(tmp_path: Path) -> None:
    """Guards against all warm starts of a night being trained before the first cell is."""
    names = [unit.name for unit in units(find_sweep("small").cells, tmp_path)]
    assert names[:4] == [
        "first/small-prosqa-walk-seed0",
        "first/small-prosqa-fork-seed0",
        "first/small-prosqa-coconut-untold-seed0",
        "small-prosqa-coconut-seed0",
    ]
    assert len(names) == len(set(names))


def test_a_cell_that_others_start_from_is_trained_once(tmp_path: Path) -> None:
    """Guards against an hour spent again: rows on the released problems go on from the rows on the small ones."""
    small, released = RECIPES["small/prosqa/cot"](), RECIPES["small/prosqa-released/cot"]()
    both = [Cell(config=released), Cell(config=small)]
    warm = ["first/small-prosqa-walk-seed0", "first/small-prosqa-fork-seed0"]
    found = units(both, tmp_path)
    assert [unit.name for unit in found] == [*warm, "small-prosqa-cot-seed0", "small-prosqa-released-cot-seed0"]
    assert found[-1].needs == tmp_path / "small-prosqa-cot-seed0" / "final"
    describe(both, tmp_path)
    assert RunConfig.load(tmp_path / "small-prosqa-cot-seed0.json") == small
    # Asked for alone, it brings a first run of its own, unless an earlier sweep has trained the cell with its settings.
    alone = [unit.name for unit in units(both[:1], tmp_path)]
    assert alone == [*warm, "first/small-prosqa-cot-seed0", "small-prosqa-released-cot-seed0"]
    there = tmp_path / "small-prosqa-cot-seed0"
    (there / "final").mkdir(parents=True)
    replace(small, log_every=1).save(there / "config.json")
    assert [unit.name for unit in units(both[:1], tmp_path)] == alone
    small.save(there / "config.json")
    (unit,) = units(both[:1], tmp_path)
    assert unit.needs == there / "final"


def test_two_cells_of_one_name_are_refused() -> None:
    """Guards against a run folder that two cells write into."""
    cells = find_sweep("small").cells
    with pytest.raises(ValueError, match="twice: small-prosqa-coconut-seed0"):
        Sweep(name="double", about="", cells=[cells[0], cells[1], cells[0]])


def test_two_first_runs_of_one_name_are_refused(tmp_path: Path) -> None:
    """Guards against a cell that starts from the warm start of another, which happens to be called the same."""
    cell = find_sweep("small").cells[0]
    assert isinstance(cell.config.model, After)
    other = replace(cell.config.model, first=replace(cell.config.model.first, log_every=1))
    cells = [cell, replace(cell, config=replace(cell.config, recipe="small/prosqa/other", model=other))]
    with pytest.raises(ValueError, match="different runs named small-prosqa-coconut-untold-seed0"):
        describe(cells, tmp_path)


def test_dry_lists_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards against a dry run that makes folders."""
    call(f"sweep small --dry --only small/words/* --seeds 0 --runs {tmp_path / 'r'}")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "small-words-coconut-seed0: missing: training, test, word-problems-three, word-problems-distracted, "
        "word-problems-reworded, probe, audit"
    )
    assert not (tmp_path / "r").exists()


def test_what_is_kept_is_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards clones, which have the records of a night's work and no weights: `make table1` began it all again."""
    name, kept = "small-prosqa-coconut-seed0", tmp_path / "kept"
    shutil.copytree(ROOT / "results" / "runs" / name, kept / name)
    asked = f"sweep small --dry --only small/prosqa/coconut --seeds 0 1 --runs {tmp_path / 'r'} --keep {kept}"
    call(asked)
    first, *lines, last = capsys.readouterr().out.splitlines()
    assert first == f"1 of 2 cells lie whole in {kept} and are not run"
    assert [line.partition(":")[0] for line in lines][-1] == "small-prosqa-coconut-seed1"
    assert not [line for line in lines if "seed0" in line], "nor what it started from"
    assert last == "4 runs are not done; one after another they take 4 runs of unknown length"
    (kept / name / "audit" / "test" / "audit.json").unlink()
    call(asked)
    assert "small-prosqa-coconut-seed0: missing: training" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("sweep", "needs a name"),
        ("sweep smal", "did you mean 'small'"),
        ("sweep small --only nothing/*", "no cell of sweep small fits --only nothing/*"),
        ("sweep small --seeds 77", "fits --seeds 77"),
        ("sweep small --jobs 0 --seeds 0", "jobs must be at least 1"),
        ("sweep small --minutes 0 --seeds 0", "time must be above 0"),
        ("sweep small --minute 5", "did you mean --minutes"),
        ("sweep small --runs file", "file: expected a folder"),
        ("sweep small --runs runs --keep file", "file: expected a folder"),
    ],
)
def test_bad_arguments(
    arguments: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards against a traceback, against folders made before a refusal, and against a night of training that ends
    where its first cell is to be kept."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert said in refused(arguments, capsys)
    assert [path.name for path in Path().iterdir()] == ["file"]
