"""A sweep runs what is missing, in order of value, and goes on after anything that stops it. Real processes."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tiny_runs import tiny
from unspoken.config import After, RunConfig
from unspoken.curriculum import Curriculum
from unspoken.locks import FolderLock
from unspoken.methods import CoT
from unspoken.records import read_records, read_summary
from unspoken.specs import SMOLLM2, Pretrained
from unspoken.sweeps import runner
from unspoken.sweeps.base import Cell, Sweep
from unspoken.sweeps.keeping import keep
from unspoken.sweeps.runner import Outcome, Terms, run_sweep
from unspoken.sweeps.times import Times, progress
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
    return run_sweep(sweep, terms(folder, seconds=seconds, jobs=jobs, say=said.append)), said


def terms(folder: Path, **changes: Any) -> Terms:
    """All in one folder, two processes at a time."""
    given: dict[str, Any] = {"seconds": None, "jobs": 2, "say": lambda line: None, **changes}
    return Terms(runs=folder / "runs", kept=folder / "kept", **given)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sweep, Outcome, list[str]]:
    """A sweep of three cells, two of which share a first run, run to its end."""
    folder = tmp_path_factory.mktemp("swept")
    alone = cell("alone", after=False)
    looked = replace(cell("a", looked=4), beside=alone.name)
    sweep = Sweep(name="tiny", about="", cells=[looked, cell("b"), alone])
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


def test_a_probe_names_the_run_it_was_made_beside(swept: tuple[Path, Sweep, Outcome, list[str]]) -> None:
    """Guards against pages without the other run, which was trained long before the probe began."""
    folder, sweep, _, _ = swept
    runs = folder / "runs"
    page = (runs / sweep.cells[0].name / "probe" / "test" / "page.md").read_text()
    assert "\nBeside it: Coconut, given the right steps so far." in page
    assert f"--beside {runs / sweep.cells[2].name}`" in page


def test_a_second_call_does_nothing(swept: tuple[Path, Sweep, Outcome, list[str]]) -> None:
    """Guards against finished cells being run again."""
    folder, sweep, _, _ = swept
    stamps = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*.safetensors")}
    outcome, said = run(sweep, folder)
    assert (outcome.finished, said) == (3, [])
    assert stamps == {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*.safetensors")}


def test_what_is_left_is_known_from_what_others_took(swept: tuple[Path, Sweep, Outcome, list[str]]) -> None:
    """Guards against an estimate that leaves out a part, counts what is done, or finds no steps in metrics."""
    folder, sweep, _, _ = swept
    trained = progress(folder / "runs" / sweep.cells[2].name)
    assert trained is not None and (trained.step, trained.num_steps) == (2, 2)
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


def test_an_evaluation_that_a_full_disk_left_empty_is_made_again(
    swept: tuple[Path, Sweep, Outcome, list[str]], tmp_path: Path
) -> None:
    """Guards against a summary of no bytes that passes for an evaluation, and then ends every table it is in; and
    against estimates that cannot be read any more and keep the sweep from beginning."""
    folder, sweep, _, _ = swept
    shutil.copytree(folder, tmp_path / "copy")
    runs = tmp_path / "copy" / "runs"
    (runs / sweep.cells[2].name / "eval" / "test" / "summary.json").write_bytes(b"")
    with (runs / "sweep.jsonl").open("ab") as file:
        file.write(b'{"recipe":"tiny/al')
    outcome, said = run(replace(sweep, cells=sweep.cells[2:]), tmp_path / "copy")
    assert (outcome.finished, outcome.failed) == (1, {})
    assert said[0] == f"{sweep.cells[2].name}: test"
    assert read_summary(runs / sweep.cells[2].name / "eval" / "test").num
    assert [took.what for took in Times(runs / "sweep.jsonl").took].count("training") == 4


def test_a_training_that_a_killed_sweep_left_behind_is_waited_for(
    swept: tuple[Path, Sweep, Outcome, list[str]], tmp_path: Path
) -> None:
    """Guards against a cell that counts as failed, and is not evaluated, because its first process is still alive."""
    folder, sweep, _, _ = swept
    shutil.copytree(folder, tmp_path / "copy")
    left = tmp_path / "copy" / "runs" / sweep.cells[2].name
    shutil.rmtree(left / "final")
    shutil.rmtree(left / "eval")
    said: list[str] = []
    with ExitStack() as held:
        held.enter_context(FolderLock(left))

        def say(line: str) -> None:
            said.append(line)
            if "another process" in line:
                held.close()

        outcome = run_sweep(replace(sweep, cells=sweep.cells[2:]), terms(tmp_path / "copy", say=say))
    assert (outcome.finished, outcome.failed) == (1, {})
    assert said[:2] == [
        f"{left.name}: another process is training it, and is waited for", f"{left.name}: training"
    ]  # fmt: skip


def test_a_sweep_that_cannot_write_leaves_no_process_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against trainings that go on unseen because the first of them could not be kept on a full disk."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def ended(line: str) -> None:
        if all((tmp_path / "runs" / cell.name / "metrics.jsonl").is_file() for cell in cells):
            raise KeyboardInterrupt

    monkeypatch.setattr(runner, "keep", full)
    cells = [cell(name, after=False, max_steps=100_000) for name in ("one", "two")]
    longer = Curriculum(stage_epochs=(100_000, 0, 0, 0))
    cells = [replace(each, config=replace(each.config, curriculum=longer)) for each in cells]
    with pytest.raises(OSError, match="No space left"):
        run_sweep(Sweep(name="tiny", about="", cells=cells), terms(tmp_path, show=ended))
    found = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False)
    assert not found.stdout


def test_a_process_that_dies_without_a_word_is_not_given_anothers_last(tmp_path: Path) -> None:
    """Guards against a kill by the system that is explained with the last line of the command before."""
    silent = cell("silent", after=False)
    log = tmp_path / "runs" / "logs" / f"{silent.name}.log"
    log.parent.mkdir(parents=True)
    log.write_text("trained: all is well\n")

    def kill(line: str) -> None:
        for pid in subprocess.run(["pgrep", "-f", f"train {tmp_path}"], capture_output=True, text=True).stdout.split():
            os.kill(int(pid), signal.SIGKILL)

    outcome = run_sweep(Sweep(name="tiny", about="", cells=[silent]), terms(tmp_path, show=kill))
    assert outcome.failed == {silent.name: "training ended with exit code -9: it said nothing"}


@pytest.mark.parametrize("broken", [b"", b"half"])
def test_records_that_were_kept_by_halves_are_kept_again(
    broken: bytes, swept: tuple[Path, Sweep, Outcome, list[str]], tmp_path: Path
) -> None:
    """Guards against a kill in the middle of keeping, after which half a file stayed for ever; and against records of
    an evaluation that has been made again since."""
    folder, sweep, _, _ = swept
    source = folder / "runs" / sweep.cells[1].name
    kept = keep(source, sweep.cells[1], tmp_path)
    packed = kept / "eval" / "test" / "records.jsonl.gz"
    whole, stamp = packed.read_bytes(), packed.stat().st_mtime_ns
    packed.write_bytes(whole[: len(whole) // 2] if broken else broken)
    keep(source, sweep.cells[1], tmp_path)
    assert packed.read_bytes() == whole
    packed.write_bytes(gzip.compress(b"{}\n"))
    keep(source, sweep.cells[1], tmp_path)
    assert packed.read_bytes() == whole
    os.utime(packed, ns=(stamp, stamp))
    keep(source, sweep.cells[1], tmp_path)
    assert packed.stat().st_mtime_ns == stamp, "what is there already stays as it is"


def test_what_was_measured_of_another_run_of_the_name_does_not_stay(
    swept: tuple[Path, Sweep, Outcome, list[str]], tmp_path: Path
) -> None:
    """Guards against a recipe's new settings beside the accuracy of its old ones, while its training is under way."""
    folder, sweep, _, _ = swept
    kept = keep(folder / "runs" / sweep.cells[0].name, sweep.cells[0], tmp_path / "kept")
    assert (kept / "eval" / "test").is_dir() and (kept / "audit" / "test").is_dir()
    changed = replace(sweep.cells[0], config=replace(sweep.cells[0].config, max_steps=9))
    again = tmp_path / "runs" / changed.name
    again.mkdir(parents=True)
    changed.config.save(again / "config.json")
    keep(again, changed, tmp_path / "kept")
    assert RunConfig.load(kept / "config.json") == changed.config
    assert not any((kept / name).exists() for name in ("eval", "audit", "probe"))


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
    outcome, _ = run(Sweep(name="tiny", about="", cells=[long]), tmp_path, seconds=60)
    assert time.monotonic() - began < 90
    assert (outcome.finished, outcome.failed, outcome.stopped) == (0, {}, None)
    checkpoints = sorted((tmp_path / "runs" / long.name / "checkpoints").iterdir())
    assert checkpoints
    assert (tmp_path / "kept" / long.name / "metrics.jsonl").is_file()
    steps = max(int("".join(filter(str.isdigit, path.name))) for path in checkpoints)
    assert steps > 0
    run(Sweep(name="tiny", about="", cells=[long]), tmp_path, seconds=60)
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
    # Batch systems ask more than once.
    time.sleep(0.3)
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
