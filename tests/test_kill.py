"""Killed anywhere, nothing is lost: real processes, SIGKILL at chosen moments, and what is left of them.

A run that was killed is resumed, or started again where its folder is not there yet; it must end with the very weights
of a run that was never disturbed.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from safetensors.torch import load_file

from killing import CONFIG, Forks, forks, model_of, value_of
from tiny_runs import digest, losses, metrics
from unspoken.build import build_model
from unspoken.checkpoint import Position, checkpoints, newest_whole, save_checkpoint
from unspoken.config import RunConfig
from unspoken.folder import RunFolder
from unspoken.generators import generators_now
from unspoken.optimizers import build_optimizers
from unspoken.train import fit

__all__ = ["forks"]

KILLED = -signal.SIGKILL


def start(run: Path, *more: str) -> list[str]:
    """The command that starts a run."""
    return ["train", "tiny/killed", "--out", str(run), *more]


def resume(run: Path) -> list[str]:
    """The command that resumes a run."""
    return ["train", "--resume", str(run)]


@dataclass(frozen=True)
class Whole:
    """A run that was never disturbed."""

    run: Path
    moments: list[str]

    def at(self, *words: str) -> list[int]:
        """The numbers of the moments whose names start so."""
        return [i for i, name in enumerate(self.moments, 1) if name.startswith(words)]


@pytest.fixture(scope="module")
def whole(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The run all others are compared with."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert forks.call("run", start(run)) == 0, forks.said()
    return Whole(run, forks.moments())


def finish(run: Path, forks: Forks) -> None:
    """Resumes a run, or starts it again."""
    assert forks.call("run", resume(run) if run.exists() else start(run)) == 0, forks.said()


def assert_as_if_undisturbed(run: Path, whole: Whole) -> None:
    """The same weights, the same curve, and nothing lying about."""
    for name in ("final", "best"):
        assert digest(run / name) == digest(whole.run / name)
    assert losses(run) == losses(whole.run)
    ours, theirs = metrics(run, "validation"), metrics(whole.run, "validation")
    assert [(line["step"], line["accuracy"]) for line in ours] == [(line["step"], line["accuracy"]) for line in theirs]
    assert [path.name for path in run.rglob(".*")] == []
    assert [path.name for path in run.parent.glob(".run*")] == []
    assert len(checkpoints(run / "checkpoints")) == 2


# ------------------------------------------------------------------------------------------------- inside of a save


@pytest.fixture(scope="module")
def saved(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints of two steps."""
    place = tmp_path_factory.mktemp("saved") / "checkpoints"
    for step in (1, 2):
        assert forks.call("save", str(place), step) == 0, forks.said()
    return place


def step_of(checkpoint: Path) -> float:
    """The one number all weights of a checkpoint are."""
    (value,) = {float(v) for tensor in load_file(checkpoint / "model.safetensors").values() for v in tensor.flatten()}
    return value


def save_here(place: Path, step: int) -> None:
    """Saves a checkpoint in this process."""
    model = build_model(CONFIG.model, CONFIG.task, seed=0)
    optimizers = build_optimizers(CONFIG.optimizer, model, fused=True)
    save_checkpoint(place, model, optimizers, Position(step=step), generators=[generators_now(model.device)], keep=2)


@pytest.mark.parametrize("step", [3, 2], ids=["a new step", "a step saved before"])
def test_a_save_killed_at_any_moment(step: int, saved: Path, forks: Forks, tmp_path: Path) -> None:
    """Guards every checkpoint: whatever the moment, the newest one there is whole, the old or the new one, and what the
    killed process left is gone after the next save."""
    shutil.copytree(saved, tmp_path / "undisturbed")
    assert forks.call("save", str(tmp_path / "undisturbed"), step) == 0, forks.said()
    num = len(forks.moments())
    assert num >= 18
    found = set()
    for moment in range(1, num + 1):
        place = tmp_path / str(moment)
        shutil.copytree(saved, place)
        assert forks.call("save", str(place), step, kill_at=moment) == KILLED
        path, wrong = newest_whole(place)
        assert (path is not None, wrong) == (True, [])
        assert path is not None
        assert path.name == f"step-{int(step_of(path)):08d}"
        found.add(path.name)
        save_here(place, 4)
        assert path in checkpoints(place) or step_of(path) == 2
        assert len(checkpoints(place)) == 2
        assert list(place.glob(".*")) == []
    assert found == {"step-00000002", f"step-{step:08d}"}


def test_a_save_to_a_full_disk_leaves_the_old_checkpoints(saved: Path, forks: Forks, tmp_path: Path) -> None:
    """Guards what is there when there is no room for more, from whichever moment on; the next save works."""
    shutil.copytree(saved, tmp_path / "undisturbed")
    assert forks.call("save", str(tmp_path / "undisturbed"), 3) == 0, forks.said()
    names = forks.moments()
    named = next(i for i, name in enumerate(names, 1) if name.startswith("os.rename"))
    for moment in range(1, named):
        place = tmp_path / str(moment)
        shutil.copytree(saved, place)
        assert forks.call("save", str(place), 3, full_from=moment) == 1
        assert "No space left on device" in forks.said()
        assert [path.name for path in checkpoints(place)] == ["step-00000001", "step-00000002"]
        assert newest_whole(place) == (place / "step-00000002", [])
        # Its room has been given back.
        assert list(place.glob(".*")) == []
    place = tmp_path / "1"
    save_here(place, 3)
    assert [path.name for path in checkpoints(place)] == ["step-00000002", "step-00000003"]


@pytest.mark.parametrize("swaps", [True, False], ids=["names can be swapped", "names cannot be swapped"])
def test_a_model_published_and_killed_at_any_moment(swaps: bool, forks: Forks, tmp_path: Path) -> None:
    """Guards `best/`, which was nowhere for as long as the old one was being removed."""
    base = tmp_path / "base"
    base.mkdir()
    RunFolder(base).publish("best", model_of(1).save_pretrained)
    shutil.copytree(base, tmp_path / "undisturbed")
    assert forks.call("publish", str(tmp_path / "undisturbed"), 2, swaps=swaps) == 0, forks.said()
    num = len(forks.moments())
    assert num > 20
    found = []
    for moment in range(1, num + 1):
        run = tmp_path / str(moment)
        shutil.copytree(base, run)
        assert forks.call("publish", str(run), 2, swaps=swaps, kill_at=moment) == KILLED
        absent = not (run / "best").exists()
        assert not (absent and swaps)
        # What a resumed run does first.
        with ExitStack() as held:
            RunFolder(run).open(held=held)
        found.append((value_of(run / "best"), absent))
        assert [path.name for path in run.iterdir()] == ["best"]
    assert {value for value, _ in found} == {1, 2}
    # Without a swap there is one moment between two renames; then the old one comes back.
    assert [value for value, absent in found if absent] == ([] if swaps else [1])


# -------------------------------------------------------------------------------------------------------- whole runs


def test_a_run_killed_at_every_rename_and_every_step(whole: Whole, forks: Forks, tmp_path: Path) -> None:
    """Guards the order of things: a name that is given too early, a step done twice or never, a stage switch, the
    optimizer's reset, generators, `best/` in the middle of being replaced."""
    moments = sorted({*whole.at("os.rename", "swap"), *whole.at("step")})
    assert len(whole.at("step")) == 6
    assert any("best" in whole.moments[i - 1] for i in whole.at("swap"))
    for moment in moments:
        run = tmp_path / str(moment) / "run"
        run.parent.mkdir()
        assert forks.call("run", start(run), kill_at=moment) == KILLED
        finish(run, forks)
        assert_as_if_undisturbed(run, whole)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_killed_again_and_again(seed: int, whole: Whole, forks: Forks, tmp_path: Path) -> None:
    """Guards what a resumed process finds that is itself killed: lives of random length until the run is done."""
    rng, run, lives = random.Random(seed), tmp_path / "run", 1
    while forks.call("run", resume(run) if run.exists() else start(run), kill_at=rng.randint(40, 90)) == KILLED:
        lives += 1
        assert lives < 40
    assert lives > 2
    assert_as_if_undisturbed(run, whole)


@pytest.mark.slow
def test_a_run_killed_at_every_moment(whole: Whole, forks: Forks, tmp_path: Path) -> None:
    """Guards what nobody thought of: all moments of a run, one after the other."""
    for moment in range(1, len(whole.moments) + 1):
        run = tmp_path / str(moment) / "run"
        run.parent.mkdir()
        assert forks.call("run", start(run), kill_at=moment) == KILLED
        finish(run, forks)
        assert_as_if_undisturbed(run, whole)


def wait_for_steps(run: Path) -> None:
    """Until a run has logged something."""
    until = time.monotonic() + 60
    while not (run / "metrics.jsonl").exists():
        assert time.monotonic() < until
        time.sleep(0.005)


LONG = ("--curriculum.stage-epochs", "5", "10", "--validation.every-epochs", "100", "--log-every", "1")


@pytest.fixture(scope="module")
def long(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A longer run, undisturbed."""
    run = tmp_path_factory.mktemp("long") / "run"
    assert forks.call("run", start(run, *LONG)) == 0, forks.said()
    return run


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130), (signal.SIGKILL, KILLED)])
def test_a_run_stopped_by_a_signal_from_outside(
    number: int, code: int, long: Path, forks: Forks, tmp_path: Path
) -> None:
    """Guards batch systems, whose SIGTERM is no failure, people, and the memory killer; the line says how to go on."""
    run = tmp_path / "run"
    process = forks.start("run", start(run, *LONG))
    wait_for_steps(run)
    time.sleep(random.Random(number).random() / 4)
    os.kill(process, number)
    assert forks.wait() == code, forks.said()
    if number != signal.SIGKILL:
        assert forks.said().splitlines()[-1].endswith(f"saved; continue with: unspoken train --resume {run}")
        assert "Traceback" not in forks.said()
    assert not (run / "final").exists()
    assert forks.call("run", resume(run)) == 0, forks.said()
    assert digest(run / "final") == digest(long / "final")
    assert losses(run) == losses(long)


def test_a_second_process_is_refused_while_the_first_one_lives(forks: Forks, tmp_path: Path) -> None:
    """Guards a run folder against two writers; a lock that outlived its process would guard it against everybody."""
    run = tmp_path / "run"
    process = forks.start("run", start(run, *LONG))
    wait_for_steps(run)
    config = RunConfig.load(run / "config.json")
    try:
        with pytest.raises(ValueError, match=rf"run is in use by another process \({process}\)"):
            fit(config, run, resume=True)
    finally:
        os.kill(process, signal.SIGKILL)
        assert forks.wait() == KILLED
    assert (run / ".lock").exists()
    assert forks.call("run", resume(run)) == 0, forks.said()
    assert not (run / ".lock").exists()


# ---------------------------------------------------------------------------------------------- disks that are full


def test_a_file_that_cannot_be_written_ends_a_run_in_one_line(whole: Whole, forks: Forks, tmp_path: Path) -> None:
    """Guards a night's work against a full disk: what is there stays, the line says what and how to go on. The system
    itself refuses here, in the middle of a library's own writing."""
    run = tmp_path / "run"
    sizes = {path.name: path.stat().st_size for path in checkpoints(whole.run / "checkpoints")[0].iterdir()}
    largest = sizes.pop("optimizer.safetensors") - 100
    assert max(sizes.values()) < largest
    assert forks.call("limited", start(run), largest) == 2
    (line,) = [line for line in forks.said().splitlines() if line.startswith("unspoken")]
    assert line.startswith("unspoken: error: ")
    assert ": File too large; stopped after step 2, the last checkpoint is step-00000000; " in line
    assert line.endswith(f"continue with: unspoken train --resume {run}")
    finish(run, forks)
    assert_as_if_undisturbed(run, whole)


def test_a_disk_that_fills_up_anywhere_ends_a_run_in_one_line(whole: Whole, forks: Forks, tmp_path: Path) -> None:
    """Guards metrics, checkpoints, models and the run folder itself: one line, exit code 2, nothing lost."""
    places = (
        ".partial/checkpoints",
        "/metrics.jsonl",
        "/.step-00000004.partial/m",
        "/.best.partial/c",
        "/.final.partial/c",
    )
    picked = [next(i for i in whole.at("open", "os.fsync") if place in whole.moments[i - 1]) for place in places]
    for moment in picked:
        run = tmp_path / str(moment) / "run"
        run.parent.mkdir()
        assert forks.call("run", start(run), full_from=moment) == 2, forks.said()
        (line,) = [line for line in forks.said().splitlines() if line.startswith("unspoken")]
        assert "No space left on device" in line
        assert "Traceback" not in forks.said()
        finish(run, forks)
        assert_as_if_undisturbed(run, whole)


def test_a_folder_that_may_not_be_written_any_more_ends_a_run_in_one_line(
    whole: Whole, forks: Forks, tmp_path: Path
) -> None:
    """Guards against a traceback where rights are taken away under a run, as on a share; said as the system says it."""
    for place in ("/metrics.jsonl", "/.step-00000004.partial/m"):
        moment = next(i for i in whole.at("open", "os.fsync") if place in whole.moments[i - 1])
        run = tmp_path / str(moment) / "run"
        run.parent.mkdir()
        assert forks.call("run", start(run), full_from=moment, error=errno.EACCES) == 2, forks.said()
        (line,) = [line for line in forks.said().splitlines() if line.startswith("unspoken")]
        assert "Permission denied" in line
        assert f"unspoken train --resume {run}" in line
        assert "Traceback" not in forks.said()
        finish(run, forks)
        assert_as_if_undisturbed(run, whole)


# ------------------------------------------------------------------------------------------------------ two processes


def a_port() -> int:
    """One that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_two_processes_go_on_exactly_where_they_were(forks: Forks, tmp_path: Path) -> None:
    """Guards every process's generators: the dropout of the second one is no function of the first one's. One process
    may go on alone, and is told what changes."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    if forks.call("ranks", start(whole), a_port()) and "connect" in forks.said().lower():
        pytest.skip("two processes cannot reach each other here")
    assert (whole / "final").is_dir(), forks.said()
    assert forks.call("ranks", start(run, "--max-steps", "3"), a_port()) == 0, forks.said()
    # A run of three steps has its last checkpoint at step 2, as the whole one had.
    shutil.rmtree(run / "final")
    shutil.rmtree(run / "best", ignore_errors=True)
    shutil.copy(whole / "config.json", run / "config.json")
    shutil.copytree(run, tmp_path / "alone")
    assert forks.call("ranks", resume(run), a_port()) == 0, forks.said()
    assert digest(run / "final") == digest(whole / "final")
    assert digest(run / "best") == digest(whole / "best")
    assert forks.call("run", resume(tmp_path / "alone")) == 0, forks.said()
    assert "unspoken: note: " in forks.said()
    assert "was saved by 2 processes, and 1 go on" in forks.said()
    assert digest(tmp_path / "alone" / "final") != digest(whole / "final")
