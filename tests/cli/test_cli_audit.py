"""`unspoken audit` from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from command_line import Capture, call, refused
from unspoken.audit.report import AuditReport
from unspoken.records import Record
from unspoken.shipped import FOLDER
from unspoken.tasks.rows import read_rows


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with three trained runs."""
    monkeypatch.chdir(tmp_path)
    for name in ("coconut", "pause-as-thought", "cot"):
        shutil.copytree(FOLDER / f"demo-planning-{name}", tmp_path / name)
    return tmp_path


def read(folder: Path) -> AuditReport:
    return msgspec.json.decode((folder / "audit.json").read_bytes(), type=AuditReport)


def test_audit_of_a_run(here: Path, capsys: Capture) -> None:
    """The whole command: a folder that can be read without the program, the verdict on the terminal."""
    call("audit coconut --num 40 --beyond")
    out = capsys.readouterr().out
    assert out.startswith("The thoughts carry the answer: yes. 100.0 % ")
    assert "page: coconut/audit/test/page.md" in out
    folder = here / "coconut/audit/test"
    report = read(folder)
    found = report.findings
    assert (report.run, report.method, report.split, report.weights) == ("coconut", "Coconut", "test", "final")
    assert (found.num, found.slots, found.identity_changed, report.num_in_split) == (40, 3, 0, 1000)
    assert report.task["type"] == "Fork" and report.env["packages"]["torch"] and report.seed == 0
    assert found.elsewhere == () and found.left_out == {}
    effects = {effect.name: effect for effect in found.effects}
    for name, effect in effects.items():
        records = read_rows(folder / "records" / f"{name}.jsonl", Record)
        assert len(records) == effect.num
        assert sum(record.correct for record in records) == round(effect.accuracy.mean * effect.num)
    assert {path.stem for path in (folder / "records").iterdir()} == {"clean", *effects}
    page = (folder / "page.md").read_text()
    assert page.index("The thoughts carry the answer: yes") < page.index("## Interventions")
    for figure in (folder / "figures").glob("*.png"):
        assert f"figures/{figure.name}" in page
    assert "none of 40 outputs changes" in page
    assert "NaN" not in (folder / "audit.json").read_text()
    assert sorted(path.name for path in folder.parent.iterdir()) == ["test"], "nothing unfinished is left behind"


def test_audit_of_pauses(here: Path, capsys: Capture) -> None:
    """Pauses carry nothing, whatever their accuracy; what cannot be tested is named with its reason."""
    call("audit pause-as-thought --num 40 --beyond --name short")
    assert capsys.readouterr().out.startswith("The pauses carry the answer: no. Every slot")
    found = read(here / "pause-as-thought/audit/short").findings
    assert found.constant and found.evidence.fall is None
    assert "pause token" in found.left_out["transplant"]
    page = (here / "pause-as-thought/audit/short/page.md").read_text()
    assert "Does pause-as-thought use its pauses?" in page
    assert "Not tested: every slot holds the same pause token" in page


def test_fewer_thoughts_and_other_problems(here: Path) -> None:
    """Flags that change what is asked must reach the model, and name the folder."""
    call("audit coconut --num 20 --thoughts 2 --beyond prosqa --split valid --seed 3")
    report = read(here / "coconut/audit/valid-2-thoughts")
    assert (report.thoughts, report.findings.slots, report.split, report.seed) == (2, 2, "valid", 3)
    (elsewhere,) = report.findings.elsewhere
    assert elsewhere.name == "prosqa" and elsewhere.left_out is not None
    records = (here / "coconut/audit/valid-2-thoughts/records/clean.jsonl").read_text().splitlines()
    assert {json.loads(line)["num_thoughts"] for line in records} == {2}


BAD = {
    "audit": ("Run folder",),
    "audit nowhere": ("nowhere/config.json", "run folder"),
    "audit cot": ("CoT puts nothing between question and answer", "PauseAsThought"),
    "audit cot --thoughts 2": ("CoT has no continuous thoughts",),
    "audit coconut --num 0": ("num must be at least 1, got 0",),
    "audit coconut --rows 0": ("rows must be at least 1, got 0",),
    "audit coconut --seed -1": ("seed must be at least 0, got -1",),
    "audit coconut --thoughts 0": ("thoughts must be at least 1, got 0",),
    "audit coconut --on nothing": ("no task named 'nothing'",),
    "audit coconut --beyond nothing": ("no task named 'nothing'",),
    "audit coconut --split train": ("--split",),
    "audit coconut --name taken": ("coconut/audit/taken exists", "--name"),
    "audit coconut --nam x": ("--nam", "did you mean --name?"),
}


@pytest.mark.parametrize("command", BAD)
def test_bad_input_is_refused_in_one_line(command: str, here: Path, capsys: Capture) -> None:
    """Guards every way to get the command wrong: a traceback, or a folder left behind."""
    (here / "coconut/audit/taken").mkdir(parents=True)
    line = refused(command, capsys)
    for words in BAD[command]:
        assert words in line
