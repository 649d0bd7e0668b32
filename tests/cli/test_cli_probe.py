"""`unspoken probe`: the folder it writes, and that every refusal is one line with nothing left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, final

import pytest

from command_line import Capture, call, refused
from tiny_runs import tiny, tree
from unspoken.analysis.base import Analysis, DoesNotApply, Subject
from unspoken.analysis.lens import Lens, LensFound
from unspoken.analysis.probe import ANALYSES, probe_run
from unspoken.build import build_model
from unspoken.config import RunConfig
from unspoken.curriculum import Curriculum
from unspoken.methods import NoCoT, ShuffledThoughts
from unspoken.shipped import copy_shipped
from unspoken.tasks.fork import Fork
from unspoken.train import fit


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shipped models on graphs, and small ones on a task without any."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("coconut", "cot", "no-cot", "pause-as-thought"):
        copy_shipped(f"demo-planning-{name}", folder / name)
    _untrained(folder / "pointers")
    _untrained(folder / "pointers-no-cot", method=NoCoT(), curriculum=Curriculum(stage_epochs=(1,)))
    _untrained(folder / "shuffled", method=ShuffledThoughts(max_stage=2))
    (folder / "unfinished").mkdir()
    tiny().save(folder / "unfinished" / "config.json")
    return folder


@pytest.fixture
def here(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The runs' folder, without what was probed in it."""
    monkeypatch.chdir(runs)
    yield runs
    for folder in runs.glob("*/probe"):
        shutil.rmtree(folder)


def _untrained(folder: Path, **changes: Any) -> None:
    """The smallest run's folder with random weights: nothing here asks whether they are good."""
    config = tiny(**changes)
    folder.mkdir()
    config.save(folder / "config.json")
    build_model(config.model, config.task, seed=0).save_pretrained(folder / "final")


def _report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "probe.json").read_text())


def _check_page(folder: Path) -> str:
    """The page, whose figures must all be there, and all be on it."""
    page = (folder / "page.md").read_text()
    named = {part.split(")")[0] for part in page.split("](figures/")[1:]}
    assert named == {path.name for path in (folder / "figures").iterdir()}
    assert "nan" not in page.split()
    return page


BAD: dict[str, tuple[str, ...]] = {
    "probe": ("Run folder",),
    "probe nowhere": ("nowhere/config.json", "run folder"),
    "probe unfinished": ("unfinished", "no trained model"),
    "probe coconut --num 0": ("num", "at least 1", "0"),
    "probe coconut --rows 0": ("rows", "at least 1", "0"),
    "probe coconut --thoughts -1": ("thoughts", "at least 0", "-1"),
    "probe coconut --seed -1": ("seed", "at least 0", "-1"),
    "probe coconut --seeds 1": ("--seeds", "did you mean --seed?"),
    "probe coconut --split train": ("--split", "train"),
    "probe coconut --weights worst": ("--weights", "worst"),
    "probe coconut --on multiplicatoin": ("multiplicatoin", "did you mean 'multiplication'?"),
    "probe coconut --on multiplication": ("not in this model's vocabulary",),
    "probe coconut --beside pointers": ("pointers was trained on Hops", "Fork"),
    "probe coconut --beside nowhere": ("nowhere/config.json",),
    "probe cot --thoughts 2": ("CoT has no thoughts", "thoughts=2"),
}


@pytest.mark.parametrize("command", BAD)
def test_bad_input_is_refused_in_one_line(command: str, here: Path, capsys: Capture) -> None:
    """Guards every way to get the command wrong: a traceback, or a folder left behind."""
    line = refused(command, capsys)
    for words in BAD[command]:
        assert words in line


def test_a_run_on_graphs(here: Path, capsys: Capture) -> None:
    """Guards the whole: every analysis applies to Coconut on graphs, beside a written chain, and is on the page."""
    call("probe coconut --num 24 --beside cot")
    folder = here / "coconut" / "probe" / "test"
    assert "24 problems" in capsys.readouterr().out
    report = _report(folder)
    assert report["num"] == 24
    assert report["num_in_split"] == 1000
    assert (report["method"], report["task"]["type"], report["beside"]) == ("Coconut", "Fork", "CoT")
    assert report["env"]["packages"]["torch"]
    assert list(report["analyses"]) == [analysis.name for analysis in ANALYSES]
    assert not any("why" in each for each in report["analyses"].values())
    page = _check_page(folder)
    assert all(f"## {analysis.title}" in page for analysis in ANALYSES)
    assert "the first of 1,000" in page
    assert not [path for path in folder.parent.iterdir() if path.name != "test"], "something unfinished was left"
    breadth = report["analyses"]["breadth"]
    assert [stop["num"] for stop in breadth["stops"]] == [24, 24, 24]
    assert all(measure["difference"] for stop in breadth["stops"] for measure in stop["measures"].values())
    # The trained model goes through its graphs hop by hop, and its thoughts do hold what it names.
    assert all(stop["measures"]["frontier"]["found"]["mean"] > 0.9 for stop in breadth["stops"])
    lens = report["analyses"]["lens"]["stops"]
    assert lens[0]["holds"]["hop 1"]["found"]["mean"] > 0.8
    assert lens[1]["holds"]["hop 2"]["found"]["mean"] > 0.8


def test_an_existing_folder_is_refused(here: Path, capsys: Capture) -> None:
    """Guards what has been measured: an hour of probing must not be written over."""
    call("probe pointers-no-cot --num 3 --name mine")
    line = refused("probe pointers-no-cot --num 3 --name mine", capsys)
    assert "pointers-no-cot/probe/mine exists" in line
    assert "--name" in line


def test_a_task_without_graphs(here: Path) -> None:
    """Guards pages on tasks without graphs: they say what does not apply, and show the rest."""
    call("probe pointers --split valid --thoughts 1")
    folder = here / "pointers" / "probe" / "valid-1-thoughts"
    found = _report(folder)["analyses"]
    assert {name for name, each in found.items() if "why" in each} == {
        "breadth",
        "commitment",
        "parallelism",
        "heights",
        "trees",
        "linear",  # six problems
    }
    assert [each["thoughts"] for each in found["interpolation"]["forced"]] == [0, 1]
    page = _check_page(folder)
    assert "no graphs" in page
    assert "| step 1 | step 2 | answer |" in page


@pytest.mark.parametrize(("run", "unit"), [("pause-as-thought", "pause"), ("cot", "written step")])
def test_methods_without_thoughts(run: str, unit: str, here: Path) -> None:
    """Guards the words of a page: pauses and written steps are not thoughts, and stops are where they end."""
    probe_run(here / run, here / run / "probe" / "x", num=8, analyses=ANALYSES[:2])
    report = _report(here / run / "probe" / "x")
    assert report["analyses"]["breadth"]["unit"] == unit
    assert ("why" in report["analyses"]["interpolation"]) == (unit == "written step")
    assert f"| {unit}s | hop |" in (here / run / "probe" / "x" / "page.md").read_text()


def test_a_method_without_any_stops(here: Path) -> None:
    """Guards No-CoT: one state, at the end of the question, and no thoughts to speak of."""
    call("probe pointers-no-cot --num 4")
    folder = here / "pointers-no-cot" / "probe" / "test"
    assert "neither thoughts nor steps" in _check_page(folder)
    assert [stop["stop"] for stop in _report(folder)["analyses"]["lens"]["stops"]] == [0]


def test_no_cot_on_graphs(here: Path) -> None:
    """Guards a model that answers at once: what it would name at a first step it never takes means nothing."""
    probe_run(here / "no-cot", here / "no-cot" / "probe" / "x", num=8)
    found = _report(here / "no-cot" / "probe" / "x")["analyses"]
    assert {name for name, each in found.items() if "why" not in each} == {"lens", "spread"}
    assert "NoCoT answers at once" in found["breadth"]["why"]
    assert "at least 20 problems, got 8" in found["linear"]["why"]


def test_shuffled_thoughts_are_told_apart(here: Path) -> None:
    """Guards the control that is fed another row's states: its page must not call them this row's thoughts."""
    probe_run(here / "shuffled", here / "shuffled" / "probe" / "x", num=6, analyses=[Lens()])
    assert "ShuffledThoughts changes it" in (here / "shuffled" / "probe" / "x" / "page.md").read_text()
    probe_run(here / "pointers", here / "pointers" / "probe" / "x", num=6, analyses=[Lens()])
    assert "changes it" not in (here / "pointers" / "probe" / "x" / "page.md").read_text()


def test_the_same_seed_gives_the_same_figures(here: Path) -> None:
    """Guards reproduction: pages differ in nothing but when they were made."""
    for name in ("one", "two"):
        probe_run(here / "coconut", here / "coconut" / "probe" / name, num=20, analyses=(ANALYSES[1], ANALYSES[-2]))
    one, two = (here / "coconut" / "probe" / name for name in ("one", "two"))
    assert _report(one)["analyses"] == _report(two)["analyses"]
    assert tree(one / "figures") == tree(two / "figures")


@final
class _Broken(Analysis[LensFound]):
    name: ClassVar[str] = "broken"
    title: ClassVar[str] = "Broken"

    def measure(self, subject: Subject) -> LensFound | DoesNotApply:
        return LensFound(unit="slot", among=1, looked_for=(), stops=(), examples=())

    def draw(self, found: LensFound, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "half.png").write_text("half a figure")
        raise ValueError("no ink")

    def page(self, found: LensFound) -> list[str]:
        return []


def test_nothing_half_done_is_left(here: Path) -> None:
    """Guards a probe that stops half-way: its folder would be taken for a finished one, and refused to a new one."""
    folder = here / "pointers" / "probe" / "broken"
    with pytest.raises(ValueError, match="no ink"):
        probe_run(here / "pointers", folder, num=2, analyses=[_Broken()])
    assert list(folder.parent.iterdir()) == []


def test_other_problems(here: Path) -> None:
    """Guards other problems than the run's own: they are what is probed, and what the report names."""
    config = RunConfig.load(here / "coconut" / "config.json")
    assert isinstance(config.task, Fork) and config.task.crossings
    folder = here / "coconut" / "probe" / "plain"
    task = replace(config.task, crossings=0)
    probe_run(here / "coconut", folder, task=task, split="valid", num=5, thoughts=0, analyses=ANALYSES[1:2])
    report = _report(folder)
    assert (report["task"]["crossings"], report["split"], report["thoughts"]) == (0, "valid", 0)
    (stop,) = report["analyses"]["breadth"]["stops"]
    assert stop["measures"]["solution"]["chances"]["even over the frontier"] == 0.5


def test_more_thoughts_than_trained_are_warned_of(here: Path, capsys: Capture) -> None:
    """Guards against reading an untrained number of thoughts as if it were a trained one."""
    call("probe pointers --num 2 --thoughts 3")
    assert "3 thoughts are more than the 2 this run was trained with" in capsys.readouterr().err


def test_a_run_in_bf16_is_probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against half precision that spreads from the model into the analyses' own arithmetic, and stops them."""
    monkeypatch.chdir(tmp_path)
    fit(tiny(max_steps=3, precision="bf16"), Path("half"))
    call("probe half --num 6")
    report = json.loads(Path("half/probe/test/probe.json").read_text())
    norms = [stop["norm"]["mean"] for stop in report["analyses"]["spread"]["stops"]]
    assert norms and all(norm > 0 for norm in norms)
