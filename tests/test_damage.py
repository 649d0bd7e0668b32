"""Damaged checkpoints and run folders are named and passed over, or refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tiny_runs import MODEL, StopAt, digest, losses, tiny
from unspoken.checkpoint import checkpoints, newest_whole
from unspoken.model import LatentLM
from unspoken.train import Interrupted, fit


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _scribble(path: Path) -> None:
    path.write_bytes(b"\x00" * 64)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    # The last byte but one: past every header, and no harm to JSON's syntax.
    data[-5] ^= 4
    path.write_bytes(data)


def unfinished(finished: Path, run: Path) -> None:
    """A copy of a finished run that has yet to reach its end."""
    shutil.copytree(finished, run)
    shutil.rmtree(run / "final")


FILES = ["model.safetensors", "optimizer.safetensors", "state.json", "generators-0.json", "manifest.json"]


@pytest.mark.parametrize("damage", [Path.unlink, _cut, _scribble, _flip])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_named_and_passed_over(
    name: str, damage: Any, finished: tuple[Path, LatentLM], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Guards against a traceback from a file reader, or worse, training on with half of the state or another one."""
    run = tmp_path / "run"
    unfinished(finished[0], run)
    damage(run / "checkpoints" / "step-00000015" / name)
    fit(tiny(), run, resume=True)
    (message,) = caplog.messages
    assert "step-00000015: not a whole checkpoint: " in message
    assert name in message
    assert message.endswith("; passed over")
    assert digest(run / "final") == digest(finished[0] / "final")
    assert losses(run) == losses(finished[0])
    (entry,) = json.loads((run / "env.json").read_text())["resumed"]
    assert (entry["step"], len(entry["passed_over"])) == (10, 1)
    # The damaged one has been replaced.
    assert newest_whole(run / "checkpoints") == (run / "checkpoints" / "step-00000015", [])


def test_a_passed_over_checkpoint_does_not_outlive_the_next_one(
    finished: tuple[Path, LatentLM], tmp_path: Path
) -> None:
    """Guards the checkpoints that are kept: a damaged one of a later step would count as the newest for ever."""
    run = tmp_path / "run"
    unfinished(finished[0], run)
    _cut(run / "checkpoints" / "step-00000015" / "model.safetensors")
    with pytest.raises(Interrupted):
        fit(tiny(), run, resume=True, observer=StopAt(12))
    assert [path.name for path in checkpoints(run / "checkpoints")] == ["step-00000010", "step-00000012"]


def test_where_all_checkpoints_are_damaged_all_are_named(finished: tuple[Path, LatentLM], tmp_path: Path) -> None:
    """Guards whoever has to find out what is left."""
    run = tmp_path / "run"
    unfinished(finished[0], run)
    _cut(run / "checkpoints" / "step-00000015" / "model.safetensors")
    _flip(run / "checkpoints" / "step-00000010" / "optimizer.safetensors")
    words = (
        r"step-00000015: .*model\.safetensors has [\d,]+ bytes, expected .*step-00000010: .*optimizer\.safetensors has "
    )
    with pytest.raises(ValueError, match=words + "another SHA-256.*no whole checkpoint is left"):
        fit(tiny(), run, resume=True)


def as_before_manifests(checkpoint: Path) -> None:
    """Rewrites a checkpoint as versions without manifests wrote them."""
    generators = json.loads((checkpoint / "generators-0.json").read_text())
    state = json.loads((checkpoint / "state.json").read_text())
    position = {name: state["position"][name] for name in ("step", "epoch", "batch", "best_accuracy", "seconds")}
    old = {"position": position, "optimizer_groups": state["optimizer_groups"], "torch_rng": generators["torch"]}
    (checkpoint / "state.json").write_text(json.dumps(old | {"cuda_rng": []}))
    for name in ("generators-0.json", "manifest.json"):
        (checkpoint / name).unlink()


def test_checkpoints_without_manifest_still_load(
    finished: tuple[Path, LatentLM], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Guards runs stopped under an earlier version; what can be seen to be damaged is passed over there too."""
    run = tmp_path / "run"
    unfinished(finished[0], run)
    for name in ("step-00000010", "step-00000015"):
        as_before_manifests(run / "checkpoints" / name)
    _cut(run / "checkpoints" / "step-00000015" / "optimizer.safetensors")
    fit(tiny(), run, resume=True)
    damaged, unverified = caplog.messages
    assert "step-00000015: not a whole checkpoint: optimizer.safetensors" in damaged
    assert "step-00000010: no manifest.json, as in earlier versions, so it is not verified" in unverified
    assert digest(run / "final") == digest(finished[0] / "final")


@pytest.mark.parametrize("damage", [Path.unlink, _cut])
def test_a_damaged_env_does_not_end_a_run(
    damage: Any, finished: tuple[Path, LatentLM], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Guards the weights: a note on versions is no reason to lose them."""
    run = tmp_path / "run"
    unfinished(finished[0], run)
    damage(run / "env.json")
    fit(tiny(), run, resume=True)
    assert "env.json: cannot be read" in caplog.text
    assert digest(run / "final") == digest(finished[0] / "final")


def test_a_torn_line_of_metrics_is_dropped(finished: tuple[Path, LatentLM], tmp_path: Path) -> None:
    """Guards the next line after a full disk or a power cut, which would stand behind half of another one."""
    run = tmp_path / "run"
    unfinished(finished[0], run)
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b'{"kind":"step","step":3,"lo')
    fit(tiny(), run, resume=True)
    assert losses(run) == losses(finished[0])


def test_a_checkpoint_of_another_model_is_refused(finished: tuple[Path, LatentLM], tmp_path: Path) -> None:
    """Guards against a config edited between stopping and resuming."""
    run = tmp_path / "run"
    unfinished(finished[0], run)
    wider = tiny(model=replace(MODEL, mlp_width=40))
    with pytest.raises(ValueError, match=r"step-00000015: .*has shape .*expected .*another model"):
        fit(wider, run, resume=True)
    deeper = tiny(model=replace(MODEL, layers=2))
    with pytest.raises(ValueError, match=r"step-00000015: .*another model"):
        fit(deeper, run, resume=True)
