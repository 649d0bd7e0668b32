"""What a checkpoint is held against, the generators in it, and the lock on the folder it lies in. Killed saves are in
`test_kill.py`, resuming in `test_resume.py`."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from tiny_runs import tiny, tree
from unspoken.build import build_model
from unspoken.checkpoint import Position, check_checkpoint, load_checkpoint, save_checkpoint
from unspoken.durable import partial_name, remove, restore, swap, write_whole
from unspoken.generators import Generators, generators_now, restore_generators, seed_generators
from unspoken.locks import FILE_NAME, FolderLock
from unspoken.manifest import DamagedError, check_manifest, write_manifest
from unspoken.optimizers import build_optimizers
from unspoken.train import fit

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of an untrained model, not to be changed."""
    config = tiny()
    model = build_model(config.model, config.task, seed=0)
    optimizers = build_optimizers(config.optimizer, model, fused=True)
    folder = tmp_path_factory.mktemp("saved")
    return save_checkpoint(
        folder, model, optimizers, Position(step=7, epoch=1, batch=2), generators=[generators_now(CPU)] * 2, keep=2
    )


def test_any_flipped_bit_of_the_manifest_is_found(checkpoint: Path, tmp_path: Path) -> None:
    """Guards the guard: a manifest that is damaged itself must not make a damaged file pass, nor a whole one crash."""
    shutil.copytree(checkpoint, tmp_path / "copy")
    path = tmp_path / "copy" / "manifest.json"
    whole, rng = path.read_bytes(), random.Random(0)
    assert check_checkpoint(tmp_path / "copy")
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(DamagedError, match="copy: not a whole checkpoint"):
            check_checkpoint(tmp_path / "copy")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.safetensors", "state.json", "generators-0.json", "generators-1.json"]
)
def test_any_flipped_bit_and_any_missing_end_is_found(name: str, checkpoint: Path, tmp_path: Path) -> None:
    """Guards weights against what disks and copies do to them; a reader alone would take most of it for weights."""
    shutil.copytree(checkpoint, tmp_path / "copy")
    path = tmp_path / "copy" / name
    whole, rng = path.read_bytes(), random.Random(name)
    for _ in range(30):
        flipped = bytearray(whole)
        flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(DamagedError, match=f"{name} has another SHA-256"):
            check_checkpoint(tmp_path / "copy")
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedError, match=rf"{name} has [\d,]+ bytes, expected {len(whole):,}"):
            check_checkpoint(tmp_path / "copy")
    path.write_bytes(whole)
    assert check_checkpoint(tmp_path / "copy")


def test_a_manifest_of_a_newer_format_is_not_taken_for_ours(tmp_path: Path) -> None:
    """Guards old versions against new folders: what they do not understand they must not vouch for."""
    (tmp_path / "file").write_text("text")
    write_manifest(tmp_path)
    check_manifest(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(DamagedError, match=r"format 2, expected 1; update unspoken"):
        check_manifest(tmp_path)


# ---------------------------------------------------------------------------------------------------------- generators


def draw() -> list[float]:
    """A number of every generator."""
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


def test_every_generator_comes_back() -> None:
    """Guards methods and tasks of others: dropout is torch's, but a loss may draw from any of them."""
    draw()
    found = msgspec.json.decode(msgspec.json.encode(generators_now(CPU)), type=Generators)
    wanted = [draw() for _ in range(3)]
    seed_generators(5, 0, step=0)
    assert draw() != wanted[0]
    restore_generators(found, CPU)
    assert [draw() for _ in range(3)] == wanted


def test_processes_have_generators_of_their_own(checkpoint: Path) -> None:
    """Guards dropout, the same in all processes if their seeds were; and processes that join later."""
    drawn = []
    for process, step in ((0, 0), (1, 0), (1, 7), (2, 7)):
        seed_generators(5, process, step=step)
        drawn.append(draw())
    assert len({tuple(each) for each in drawn}) == 4
    config = tiny()
    model = build_model(config.model, config.task, seed=0)
    optimizers = build_optimizers(config.optimizer, model, fused=True)
    known, joined = (load_checkpoint(checkpoint, model, optimizers, process=process) for process in (1, 2))
    assert (known.processes, joined.processes) == (2, 2)
    assert known.generators is not None
    assert joined.generators is None
    assert known.position == Position(step=7, epoch=1, batch=2)


# --------------------------------------------------------------------------------------------------------------- locks


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    """Guards a run folder, within a process too; a file left by a dead process locks nothing, and none is left."""
    (tmp_path / FILE_NAME).write_text("12345\n")
    with FolderLock(tmp_path), pytest.raises(ValueError, match=rf"is in use by another process \({os.getpid()}\)"):
        FolderLock(tmp_path)
    assert tree(tmp_path) == {}
    with FolderLock(tmp_path):
        pass


def test_a_lock_whose_file_was_removed_in_between_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the moment between opening and locking: who held it removes the file, and a third one makes another, so
    that two processes would hold a lock on two files of one name."""
    lock = fcntl.flock
    calls: list[int] = []

    def removed_first(descriptor: int, operation: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            (tmp_path / FILE_NAME).unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", removed_first)
    with FolderLock(tmp_path), pytest.raises(ValueError, match="in use"):
        FolderLock(tmp_path)
    assert len(calls) == 3


def test_a_file_system_without_locks_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Guards clusters: some of their file systems know no locks, and training there must go on, with a word."""

    def unknown(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unknown)
    with FolderLock(tmp_path):
        assert "has no locks" in caplog.text


def test_a_run_that_is_just_being_started_is_not_started_twice(tmp_path: Path) -> None:
    """Guards the seconds before a run folder has its name."""
    run = tmp_path / "run"
    partial_name(run).mkdir()
    with FolderLock(partial_name(run)), pytest.raises(ValueError, match="in use by another process"):
        fit(tiny(), run)
    assert not run.exists()
    fit(tiny(max_steps=1), run)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


# ----------------------------------------------------------------------------------------------------- whole or absent


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards metrics, which are rewritten when a run goes on."""
    path = tmp_path / "file"
    write_whole(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert tree(tmp_path) == {"file": b"old"}


def test_names_are_swapped_and_removed_whole(tmp_path: Path) -> None:
    """Guards the one system call everything else hopes for: where it says it has swapped, it has."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    if not swap(tmp_path / "one", tmp_path / "two"):
        pytest.skip("this file system cannot swap two names in one step")
    assert set(tree(tmp_path)) == {"one/two", "two/one"}
    assert not swap(tmp_path / "one", tmp_path / "three")
    remove(tmp_path / "one")
    assert set(tree(tmp_path)) == {"two/one"}
    restore(tmp_path / "two")
    assert set(tree(tmp_path)) == {"two/one"}
