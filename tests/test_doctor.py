"""`unspoken doctor` finds what is broken, says what to do, and finds nothing where nothing is."""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch

from command_line import Capture, call, refused
from unspoken import doctor
from unspoken.cli import main
from unspoken.doctor import FIGURES, Figures, Finding, differences, examine, manifest_of, self_test
from unspoken.methods import Coconut
from unspoken.tasks.rows import data_root


def stored() -> Figures:
    return msgspec.json.decode(FIGURES.read_bytes(), type=Figures)


def found(check: Callable[[Path], Any], folder: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in check(folder)}


@pytest.fixture
def without_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the part that takes seconds."""
    monkeypatch.delitem(doctor.CHECKS, "self-test")


def test_this_machine_is_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Guards false alarms, and the stored figures against a change of numbers that nobody meant."""
    monkeypatch.chdir(tmp_path)
    call("doctor")
    out, err = capsys.readouterr()
    assert err == ""
    assert out.endswith("nothing is broken\n")
    for what in ("python", "torch", "processor", "disk", "shipped models", "self-test, fast", "self-test, plain"):
        assert what in out
    assert list(tmp_path.iterdir()) == []


def test_the_self_test_sees_a_wrong_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the self-test itself: thoughts that are not fed back as they should be must show in its figures."""

    def rolled(self: Coconut, hidden: torch.Tensor, is_thought: torch.Tensor) -> torch.Tensor:
        return hidden.roll(1, -1)

    monkeypatch.setattr(Coconut, "feed_back", rolled)
    said = differences(self_test("plain"), stored())
    assert "losses: number" in said
    assert "answers differ" in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"losses": [1.0005]}, ""),
        ({"losses": [1.01]}, "losses: number 1 is 1.01, expected 1"),
        ({"losses": [math.nan]}, "losses: number 1 is nan, expected 1"),
        ({"losses": [1.0, 1.0]}, "2 losses, expected 1"),
        ({"thought_norms": [2.0, 3.5]}, "lengths of thoughts: number 2 is 3.5, expected 3"),
        ({"outputs": ["a", "x", "c"]}, ""),
        ({"outputs": ["x", "x", "c"]}, "2 of 3 answers differ"),
        ({"outputs": ["a", "b"]}, "0 of 2 answers differ"),
    ],
)
def test_figures_are_compared_within_their_tolerances(change: dict[str, Any], words: str) -> None:
    """Guards both sides: rounding is no finding, and not-a-number is."""
    want = Figures(losses=[1.0], thought_norms=[2.0, 3.0], outputs=["a", "b", "c"], made_with="")
    assert differences(msgspec.structs.replace(want, **change), want) == words


def test_the_stored_figures_can_be_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Guards the documented command, and figures that somebody wrote by hand."""
    monkeypatch.chdir(tmp_path)
    call("doctor --record new.json")
    assert capsys.readouterr().out == "figures: new.json\n"
    again = msgspec.json.decode((tmp_path / "new.json").read_bytes(), type=Figures)
    assert differences(again, stored()) == ""
    assert "torch" in again.made_with
    assert "--record nowhere/new.json" in refused("doctor --record nowhere/new.json", capsys)


@pytest.mark.usefixtures("without_self_test")
def test_something_broken_exits_with_1_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Guards scripts that ask before a long run."""
    monkeypatch.chdir(tmp_path)

    def nearly_full(place: Path) -> SimpleNamespace:
        return SimpleNamespace(free=2**20)

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    with pytest.raises(SystemExit) as stop:
        main(["doctor"])
    out, err = capsys.readouterr()
    assert stop.value.code == 1
    assert err == "unspoken: broken: disk\n"
    assert "0.0 GiB free" in out
    assert "make room, or --out elsewhere" in " ".join(out.split())


@pytest.mark.parametrize(
    ("version", "said"), [("1.0.0", "1.0.0, expected <6,>=5.17"), (None, "not installed, expected <6,>=5.17")]
)
def test_a_library_of_another_version_is_named(version: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards an environment that something else has changed: transformers 4 fails deep inside the cache."""
    real = importlib.metadata.version

    def other(name: str) -> str:
        if name != "transformers":
            return real(name)
        if version is None:
            raise importlib.metadata.PackageNotFoundError
        return version

    monkeypatch.setattr(importlib.metadata, "version", other)
    finding = found(doctor.check_libraries, Path())["transformers"]
    assert (finding.state, finding.said) == ("broken", said)
    assert finding.todo == "pip install 'transformers<6,>=5.17'"
    assert found(doctor.check_libraries, Path())["torch"].state == "ok"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards read-only disks; the folder need not be there yet."""
    assert found(doctor.check_disk, tmp_path / "not" / "there")["writing"].state == "ok"

    def refuse(self: Path, data: bytes) -> int:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    finding = found(doctor.check_disk, tmp_path)["writing"]
    assert (finding.state, finding.said) == ("broken", f"{tmp_path}: Permission denied")
    assert list(tmp_path.iterdir()) == []


def test_data_files_are_held_against_their_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards half-copied data: each missing or damaged file is named, whole ones are counted."""
    monkeypatch.setenv("UNSPOKEN_DATA", str(tmp_path))
    assert found(doctor.check_data, Path())["data"].state == "note"
    (tmp_path / "a.json").write_text("[]")
    (tmp_path / "b.json").write_text("[")
    short = {name: hashlib.sha256(b"[]").hexdigest()[:16] for name in ("a.json", "b.json", "c.json")}
    rows = "\n".join(f"| `{name}` | 3 | somewhere | {digest} |" for name, digest in short.items())
    head = "# Data\n\n| file | rows | origin | sha256 |\n|---|---|---|---|\n"
    (tmp_path / "MANIFEST.md").write_text(f"{head}{rows}\n\nText.\n")
    findings = found(doctor.check_data, Path())
    assert findings["data: b.json"].said.startswith("damaged")
    assert findings["data: c.json"].said == "missing"
    assert findings["data: c.json"].todo == f"copy c.json to {tmp_path} again"
    assert findings["data"].said == f"1 of 3 files whole in {tmp_path}"


@pytest.mark.skipif(not (data_root() / "MANIFEST.md").is_file(), reason="the shared data are not here")
def test_the_shared_manifest_is_understood() -> None:
    """Guards the format of the real manifest: a table that is not understood has no file that could be missing."""
    files = manifest_of((data_root() / "MANIFEST.md").read_text())
    assert len(files) == 17
    assert files["prosqa/prosqa_test.json"] == "82ddc0afe6ee30eb"


def test_damaged_shipped_models_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the demo's second act, which would measure them."""
    shutil.copytree(doctor.SHIPPED, tmp_path / "shipped")
    path = tmp_path / "shipped" / "demo-planning-cot" / "final" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(doctor, "SHIPPED", tmp_path / "shipped")
    finding = found(doctor.check_shipped, Path())["shipped models"]
    assert (finding.state, finding.said) == ("broken", "damaged: demo-planning-cot")


def test_a_missing_extra_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against alarm over what most people do not need."""

    def none_found(name: str) -> None:
        return None

    monkeypatch.setattr("importlib.util.find_spec", none_found)
    findings = found(doctor.check_extras, Path())
    assert {finding.state for finding in findings.values()} == {"note"}
    assert findings["wandb"].todo == "pip install wandb"


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the table: one broken driver must not hide all other findings behind a traceback."""

    def broken(folder: Path) -> Any:
        raise RuntimeError("the driver is too old\nmore lines")

    monkeypatch.setattr(doctor, "CHECKS", {"devices": broken, "shipped models": doctor.check_shipped})
    first, second = examine(Path())
    assert (first.what, first.state, first.said) == ("devices", "broken", "RuntimeError: the driver is too old")
    assert second.state == "ok"
