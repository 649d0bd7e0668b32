"""A sweep runs what is missing, in order of value, and goes on after anything that stops it. Real processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tiny_runs import tiny
from unspoken.config import After, RunConfig
from unspoken.curriculum import Curriculum
from unspoken.locks import FolderLock
from unspoken.methods import CoT
from unspoken.records import read_records, read_summary
from unspoken.specs import SMOLLM2, Pretrained
from unspoken.sweeps.base import Cell, Sweep
from unspoken.sweeps.keeping import keep
from unspoken.sweeps.runner import Outcome, run_sweep
from unspoken.sweeps.times import Times
from unspoken.sweeps.work import units

FIRST = tiny(recipe="tiny/first", method=CoT(), curriculum=Curriculum(stage_epochs=(1,)), max_steps=2)


def cell(name: str, seed: int = 0, *, after: bool = True, looked: int = 0, max_steps: int = 2) -> Cell:
    """A run of two steps, after one that is shared."""
    config = tiny(recipe=f"tiny/{name}", max_steps=max_steps)
    if after:
        config = replace(config, model=After(first=FIRST))
    return Cell(config=config.with_seed(seed), looked=looked)


def run(sweep: Sweep, folder: Path, *, seconds: float | None = None, jobs: int = 2) -> tuple[Outcome, list[str]]:
    """A call of the runner, and what it said."""
    said: list[str] = []
    outcome = run_sweep(
        sweep, runs=folder / "runs", kept=folder / "kept", seconds=seconds, jobs=jobs, say=said.append
    )  # fmt: skip
    return outcome, said


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sweep, Outcome, list[str]]:
    """A sweep of three cells, two of which share a first run, run to its end."""
    folder = tmp_path_factory.mktemp("swept")
    sweep = Sweep(name="tiny", about="", cells=[cell("a", looked=4), cell("b"), cell("alone", after=False)])
    return folder, sweep, *run(sweep, folder)


def test_all_is_run_and_a_shared_start_is_trained_once(swept: tuple[Path, Sweep, Outcome, list[str]]) -> None:
    """Guards against each cell training the warm start anew, which would cost more than the cells themselves."""
    folder, sweep, outcome, said = swept
    assert (outcome.finished, outcome.cells, outcome.failed, outcome.left) == (3, 3, {}, "nothing")
    assert sum("first/" in line and "trained" in line for line in said) == 1
    for each in sweep.cells:
        assert (folder / "runs" / each.name / "final").is_dir()
        assert not (folder / "runs" / each.name / "first").exists()
        assert read_summary(folder / "runs" / each.name / "eval" / "test").num
    assert (folder / "runs" / sweep.cells[0].name / "audit" / "test" / "audit.json").is_file()
    assert not (folder / "runs" / sweep.cells[1].name / "audit").exists()
    assert any(line.startswith("[3/3] ") and "test" in line for line in said)


def test_what_is_kept_is_small_and_whole(swept: tuple[Path, Sweep, Outcome, list[str]], tmp_path: Path) -> None:
    """Guards against pages made from kept folders that lack a summary, or that carry weights into the repository."""
    folder, sweep, _, _ = swept
    for each in sweep.cells:
        kept = folder / "kept" / each.name
        assert RunConfig.load(kept / "config.json") == each.config
        assert read_summary(kept / "eval" / "test") == read_summary(folder / "runs" / each.name / "eval" / "test")
        records = read_records(folder / "runs" / each.name / "eval" / "test")
        assert records
        assert read_records(kept / "eval" / "test") == records
        assert not list(kept.rglob("*.safetensors"))
        assert not (kept / "checkpoints").exists()
    without = keep(folder / "runs" / sweep.cells[1].name, replace(sweep.cells[1], records=False), tmp_path)
    assert sorted(path.name for path in (without / "eval" / "test").iterdir()) == ["summary.json"]
    texts = [path for path in (folder / "kept").rglob("*") if path.suffix in (".json", ".md", ".jsonl")]
    assert any("unspoken audit tiny-a-seed0" in path.read_text() for path in texts)
    assert [path for path in texts if str(folder) in path.read_text()] == []
    audit = folder / "kept" / sweep.cells[0].name / "audit" / "test"
    assert [path.name for path in audit.iterdir()] == ["audit.json"]


def test_a_page_is_kept_with_figures_that_its_links_find(
    swept: tuple[Path, Sweep, Outcome, list[str]], tmp_path: Path
) -> None:
    """Guards against kept pages whose pictures are missing, and against vector figures of megabytes."""
    folder, sweep, _, _ = swept
    kept = keep(folder / "runs" / sweep.cells[0].name, replace(sweep.cells[0], figures=True), tmp_path)
    for page in (kept / "audit" / "test" / "page.md", kept / "probe" / "test" / "page.md"):
        links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
        assert any(link.endswith(".png") for link in links)
        assert [link for link in links if not (page.parent / link).exists()] == []


def test_a_second_call_does_nothing(swept: tuple[Path, Sweep, Outcome, list[str]]) -> None:
    """Guards against finished cells being run again."""
    folder, sweep, _, _ = swept
    stamps = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*.safetensors")}
    outcome, said = run(sweep, folder)
    assert (outcome.finished, said) == (3, [])
    assert stamps == {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*.safetensors")}


def test_what_is_left_is_known_from_what_others_took(swept: tuple[Path, Sweep, Outcome, list[str]]) -> None:
    """Guards against an estimate that leaves out a part, or that counts what is done."""
    folder, sweep, _, _ = swept
    times = Times(folder / "runs" / "sweep.jsonl")
    again = replace(sweep, cells=[*sweep.cells, cell("a", seed=1, after=False)])
    expected = [times.left(unit.left) for unit in units(again.cells, folder / "runs")]
    assert expected[:-1] == [0.0] * (len(expected) - 1)
    assert expected[-1] is not None and expected[-1] > 0


def test_a_half_written_evaluation_is_made_again(swept: tuple[Path, Sweep, Outcome, list[str]], tmp_path: Path) -> None:
    """Guards against a kill between records and summary, after which `eval` refuses the folder for ever."""
    folder, sweep, _, _ = swept
    shutil.copytree(folder, tmp_path / "copy")
    run_folder = tmp_path / "copy" / "runs" / sweep.cells[2].name
    (run_folder / "eval" / "test" / "summary.json").unlink()
    outcome, _ = run(replace(sweep, cells=sweep.cells[2:]), tmp_path / "copy")
    assert (outcome.finished, outcome.failed) == (1, {})


def test_a_run_of_other_settings_is_not_taken_for_a_cell(
    swept: tuple[Path, Sweep, Outcome, list[str]], tmp_path: Path
) -> None:
    """Guards against a recipe that was changed between two calls: half of a table would be of the old one."""
    folder, sweep, _, _ = swept
    changed = replace(sweep.cells[1], config=replace(sweep.cells[1].config, max_steps=3))
    before = sorted((folder / "runs").rglob("*"))
    with pytest.raises(ValueError, match="other settings"):
        run(replace(sweep, cells=[changed]), folder)
    assert sorted((folder / "runs").rglob("*")) == before


def test_two_sweeps_do_not_share_a_folder(swept: tuple[Path, Sweep, Outcome, list[str]]) -> None:
    """Guards against two calls that train the same cells at once."""
    folder, sweep, _, _ = swept
    with FolderLock(folder / "runs"), pytest.raises(ValueError, match="in use by another process"):
        run(sweep, folder)


def test_a_cell_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    """Guards against one bad cell that ends a night's work, and against one that is passed over in silence."""
    bad = cell("bad", after=False)
    bad = replace(bad, config=replace(bad.config, max_loss=1e-6))
    sweep = Sweep(name="tiny", about="", cells=[bad, cell("good", after=False)])
    outcome, said = run(sweep, tmp_path)
    assert outcome.finished == 1
    assert list(outcome.failed) == [bad.name]
    assert "max_loss" in outcome.failed[bad.name] or "diverged" in outcome.failed[bad.name]
    assert any("FAILED" in line for line in said)


def test_when_the_time_is_up_trainings_are_saved_and_go_on(tmp_path: Path) -> None:
    """Guards against lost work at the end of an hour, and against a deadline that is not kept."""
    long = replace(cell("long", after=False, max_steps=100_000), figures=False)
    long = replace(long, config=replace(long.config, curriculum=Curriculum(stage_epochs=(100_000, 0, 0, 0))))
    began = time.monotonic()
    outcome, _ = run(Sweep(name="tiny", about="", cells=[long]), tmp_path, seconds=30)
    assert time.monotonic() - began < 45
    assert (outcome.finished, outcome.failed, outcome.stopped) == (0, {}, None)
    checkpoints = sorted((tmp_path / "runs" / long.name / "checkpoints").iterdir())
    assert checkpoints
    assert (tmp_path / "kept" / long.name / "metrics.jsonl").is_file()
    steps = max(int("".join(filter(str.isdigit, path.name))) for path in checkpoints)
    assert steps > 0
    run(Sweep(name="tiny", about="", cells=[long]), tmp_path, seconds=30)
    resumed = json.loads((tmp_path / "runs" / long.name / "env.json").read_text())["resumed"]
    assert [entry["step"] for entry in resumed] == [steps]


def test_a_sweep_that_is_asked_to_stop_stops_all_and_says_how_to_go_on(tmp_path: Path) -> None:
    """Guards against orphans: trainings that go on after Ctrl-C, unseen, and lock their folders."""
    runs = tmp_path / "runs"
    command = ["sweep", "small", "--only", "small/prosqa/cot", "--seeds", "0", "--runs", str(runs)]
    process = subprocess.Popen(
        [sys.executable, "-m", "unspoken", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while not list(runs.rglob("metrics.jsonl")) and time.monotonic() < until:
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "goes on" in err
    assert "0 of 1 cells are complete" in out
    found = subprocess.run(["pgrep", "-f", str(runs)], capture_output=True, text=True, check=False)
    assert not found.stdout
    assert list(runs.glob("first/*/checkpoints/*"))


def test_cells_without_their_pretrained_model_are_left_out_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against dozens of processes that start only to say that SmolLM2 is not there."""
    monkeypatch.setenv("UNSPOKEN_PRETRAINED", str(tmp_path / "none"))
    here = cell("here", after=False)
    gone = replace(here, config=replace(here.config, recipe="tiny/gone", model=Pretrained(path=SMOLLM2)))
    outcome, said = run(Sweep(name="tiny", about="", cells=[gone]), tmp_path)
    assert (outcome.finished, list(outcome.failed)) == (0, [gone.name])
    assert len(said) == 1 and "make pretrained" in said[0]
