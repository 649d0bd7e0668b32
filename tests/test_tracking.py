"""Trackers are told what metrics.jsonl says, go on in the same run after a resume, and never end a training."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import json
import sqlite3
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from command_line import Capture, call, refused
from tiny_runs import StopAt, digest, metrics, tiny
from unspoken.config import After
from unspoken.curriculum import Curriculum
from unspoken.methods import CoT
from unspoken.recipes import RECIPES
from unspoken.reports import StepReport, ValidationReport
from unspoken.tracking import FILE_NAME, Together, Tool, Tracker, Tracking, trackers
from unspoken.train import Interrupted, fit


def needs(library: str) -> pytest.MarkDecorator:
    found = importlib.util.find_spec(library) is not None
    return pytest.mark.skipif(not found, reason=f"{library} is not installed: pip install {library}")


class Fake(ModuleType):
    """A tracker's library that keeps what it is told; wandb and trackio are used alike."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        self.inits: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self.axes: dict[str, str | None] = {}
        self.finished = 0
        self.fails_at: int | None = None

    def init(self, **settings: Any) -> Fake:
        self.inits.append(settings)
        return self

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        if len(self.logged) == self.fails_at:
            raise ConnectionError("no route to host\nmore lines")
        self.logged.append({**values, **({} if step is None else {"step": step})})

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        self.axes[name] = step_metric

    def finish(self) -> None:
        self.finished += 1

    def Settings(self, **settings: Any) -> dict[str, Any]:  # noqa: N802
        return settings


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder in which `tiny/coconut` is a recipe, on a machine where nobody has an account."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RECIPES, "tiny/coconut", tiny)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "TRACKIO_PROJECT", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def fake(name: str, monkeypatch: pytest.MonkeyPatch) -> Fake:
    library = Fake(name)
    monkeypatch.setitem(sys.modules, name, library)
    return library


def losses(run: Path) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in metrics(run, "step")}


def accuracies(run: Path) -> dict[int, float]:
    return {line["step"]: line["accuracy"] for line in metrics(run, "validation")}


@pytest.mark.parametrize("tool", ["wandb", "trackio"])
def test_a_tracker_is_told_what_metrics_say(tool: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards two records of one run that differ: every logged step and validation, with the step it belongs to."""
    library = fake(tool, monkeypatch)
    call(f"train tiny/coconut --out run --report-to {tool}")
    told = {values["step"]: values["train/loss"] for values in library.logged if "train/loss" in values}
    assert told == losses(here / "run")
    told = {values["step"]: values["valid/accuracy"] for values in library.logged if "valid/accuracy" in values}
    assert told == accuracies(here / "run")
    assert library.finished == len(library.inits) == 1
    assert library.inits[0]["config"]["optimizer.lr"] == 3e-3


@pytest.mark.parametrize("tool", ["wandb", "trackio"])
def test_a_resumed_training_goes_on_in_the_same_run(tool: Tool, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards a new tracker's run after every resume; the flag need not be given again."""
    library = fake(tool, monkeypatch)
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    with pytest.raises(Interrupted), Tracker(tool, Path("run"), tiny()) as tracker:
        fit(tiny(), Path("run"), observer=Together([tracker, StopAt(7)]))
    call("train --resume run")
    name = "id" if tool == "wandb" else "name"
    first, second = (settings[name] for settings in library.inits)
    assert first == second == json.loads((here / "run" / FILE_NAME).read_text())["id"]
    assert first.startswith("run-")
    assert [settings["resume"] for settings in library.inits] == [None if tool == "wandb" else "never", "allow"]
    steps = [values["step"] for values in library.logged if "train/loss" in values]
    assert sorted(set(steps)) == list(range(1, 21))
    assert library.finished == 2


def test_wandb_keeps_a_run_on_disk_where_nobody_is_logged_in(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards clusters without a network or an account: wandb would stop and ask, or wait for minutes."""
    library = fake("wandb", monkeypatch)
    call("train tiny/coconut --out a --max-steps 1 --report-to wandb")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    call("train tiny/coconut --out b --max-steps 1 --report-to wandb")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    call("train tiny/coconut --out c --max-steps 1 --report-to wandb")
    assert [settings["mode"] for settings in library.inits] == ["offline", "online", None]
    assert {str(settings["dir"]) for settings in library.inits} == {"a", "b", "c"}
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.delenv("WANDB_MODE")
    (here / ".netrc").write_text("machine api.wandb.ai login user password xyz\n")
    (here / ".netrc").chmod(0o600)
    call("train tiny/coconut --out d --max-steps 1 --report-to wandb")
    assert library.inits[-1]["mode"] == "online"


def test_a_run_trained_first_has_names_and_steps_of_its_own(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards `After`: both runs count their steps from 1, and a tracker would draw one over the other."""
    library = fake("wandb", monkeypatch)
    first = tiny(recipe="tiny/cot", method=CoT(), curriculum=Curriculum(stage_epochs=(1,)), max_steps=2)
    monkeypatch.setitem(RECIPES, "tiny/after", lambda: tiny(recipe="tiny/after", model=After(first=first), max_steps=3))
    call("train tiny/after --out run --report-to wandb")
    assert [v["tiny/cot/step"] for v in library.logged if "tiny/cot/train/loss" in v] == [1, 2]
    assert [v["step"] for v in library.logged if "train/loss" in v] == [1, 2, 3]
    assert library.axes["tiny/cot/*"] == "tiny/cot/step"
    assert library.axes["*"] == "step"


@pytest.mark.parametrize("when", ["at the start", "in the middle", "at the end"])
def test_a_tracker_that_fails_ends_no_training(
    when: str, here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Guards hours of training against a server: one warning, and the same weights as without a tracker."""
    library = fake("wandb", monkeypatch)

    def fail(*args: Any, **settings: Any) -> Any:
        raise ConnectionError("no route to host\nmore lines")

    if when == "at the start":
        monkeypatch.setattr(library, "init", fail)
    elif when == "in the middle":
        library.fails_at = 5
    else:
        monkeypatch.setattr(library, "finish", fail)
    call("train tiny/coconut --out run --report-to wandb")
    warnings = [record.getMessage() for record in caplog.records if record.name == "unspoken.tracking"]
    assert warnings == ["wandb failed (no route to host); training goes on without it, metrics.jsonl has everything"]
    fit(tiny(), here / "alone")
    assert digest(here / "run" / "final") == digest(here / "alone" / "final")
    assert len(metrics(here / "run", "step")) == 20


@pytest.mark.parametrize("tool", ["wandb", "trackio", "tensorboard"])
def test_a_missing_library_is_named_with_the_way_to_get_it(
    tool: str, here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the extra: an ImportError would come with the first report, after all else was set up."""

    def none_found(name: str) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", none_found)
    line = refused(f"train tiny/coconut --out run --report-to {tool}", capsys)
    assert f"--report-to {tool}, whose library is not installed; expected: pip install {tool}" in line


def test_a_run_is_not_split_over_two_trackers(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards a history of which each tool has one half; and a damaged tracking.json is named."""
    fake("wandb", monkeypatch), fake("trackio", monkeypatch)
    with pytest.raises(Interrupted), Tracker("wandb", Path("run"), tiny()) as tracker:
        fit(tiny(), Path("run"), observer=Together([tracker, StopAt(2)]))
    assert "run is tracked by wandb" in refused("train --resume run --report-to trackio", capsys)
    (here / "run" / FILE_NAME).write_text('{"tool": "excel"}')
    assert f"run/{FILE_NAME}: " in refused("train --resume run", capsys)


def test_only_one_process_tracks(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards torchrun: every process is told every report, and each would open a run."""
    fake("wandb", monkeypatch)
    assert len(trackers("wandb", Path("run"), tiny())) == 1
    assert trackers(None, Path("run"), tiny()) == []
    monkeypatch.setenv("RANK", "1")
    assert trackers("wandb", Path("run"), tiny()) == []


def test_all_observers_are_told(here: Path) -> None:
    """Guards the progress line beside a tracker."""
    told: list[str] = []

    class Listener:
        def on_step(self, report: StepReport) -> None:
            told.append("step")

        def on_validation(self, report: ValidationReport) -> None:
            told.append("validation")

    fit(tiny(max_steps=1), Path("run"), observer=Together([Listener(), Listener()]))
    assert told == ["step", "step", "validation", "validation"]


# ------------------------------------------------------------------------------------------------- the real libraries


def events(folder: Path) -> dict[str, dict[int, float]]:
    """Every curve in TensorBoard's event files, as TensorBoard itself reads them."""
    library: Any = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    reader = library.EventAccumulator(str(folder))
    reader.Reload()
    tags = reader.Tags()["scalars"]
    found = {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in tags}
    assert all(len(dict(points)) == len(points) for points in found.values()), "a step is there twice"
    return {tag: dict(points) for tag, points in found.items()}


@needs("tensorboard")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("crash", [True, False])
def test_tensorboard_has_the_curves_of_an_interrupted_run_once(crash: bool, here: Path) -> None:
    """Guards event files of a resumed run: after a crash some steps are done twice, and must show once."""
    stopped = RuntimeError if crash else Interrupted
    with pytest.raises(stopped), Tracker("tensorboard", Path("run"), tiny()) as tracker:
        fit(tiny(), Path("run"), observer=Together([tracker, StopAt(8, crash=crash)]))
    call("train --resume run")
    found = events(here / "run" / "tensorboard")
    assert found["train/loss"] == pytest.approx(losses(here / "run"))
    assert found["valid/accuracy"] == pytest.approx(accuracies(here / "run"))
    assert Tracking.read(here / "run") is not None


@needs("wandb")
@pytest.mark.filterwarnings("ignore")
def test_wandb_offline_keeps_the_run(here: Path) -> None:
    """Guards the real library's interface, without a network: the run is on disk under the id we gave it."""
    with pytest.raises(Interrupted), Tracker("wandb", Path("run"), tiny()) as tracker:
        fit(tiny(), Path("run"), observer=Together([tracker, StopAt(3)]))
    call("train --resume run")
    id_ = json.loads((here / "run" / FILE_NAME).read_text())["id"]
    folders = list((here / "run" / "wandb").glob("offline-run-*"))
    assert len(folders) == 2
    assert all(folder.name.endswith(id_) for folder in folders)
    assert all(list(folder.glob("*.wandb")) for folder in folders)


@needs("trackio")
@pytest.mark.filterwarnings("ignore")
def test_trackio_keeps_the_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the real library's interface: one run of one name, with every step, over a resume."""
    monkeypatch.setenv("TRACKIO_DIR", str(here / "trackio"))
    with pytest.raises(Interrupted), Tracker("trackio", Path("run"), tiny()) as tracker:
        fit(tiny(), Path("run"), observer=Together([tracker, StopAt(7)]))
    call("train --resume run")
    (file,) = (here / "trackio").rglob("*.db")
    with contextlib.closing(sqlite3.connect(file)) as base:
        rows = base.execute("select run_name, step, metrics from metrics").fetchall()
    assert {name for name, _, _ in rows} == {json.loads((here / "run" / FILE_NAME).read_text())["id"]}
    logged = {step: json.loads(values) for _, step, values in rows if b"train/loss" in bytes(values)}
    told = {step: values["train/loss"] for step, values in logged.items()}
    assert told == pytest.approx(losses(here / "run"))
