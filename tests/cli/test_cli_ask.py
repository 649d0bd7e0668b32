"""`unspoken ask`: what it answers, and what it refuses."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest

from command_line import Capture, call, refused
from tiny_runs import tiny
from unspoken.cli import main
from unspoken.config import RunConfig
from unspoken.evaluate import evaluate
from unspoken.runs import load_run
from unspoken.shipped import FOLDER
from unspoken.tasks.base import Example


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a trained run, its model by itself, and a run that has not ended."""
    shutil.copytree(FOLDER / "demo-planning-coconut", tmp_path / "coconut")
    shutil.copytree(tmp_path / "coconut" / "final", tmp_path / "model")
    (tmp_path / "unfinished").mkdir()
    tiny().save(tmp_path / "unfinished" / "config.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def problems(num: int) -> list[Example]:
    """Of the trained run's test split."""
    return list(RunConfig.load(Path("coconut/config.json")).task.examples("test")[:num])


def test_it_answers_as_evaluation_does(here: Path, capsys: Capture) -> None:
    """Guards the way around evaluation: markers, thoughts and text of the question must be the same."""
    config = RunConfig.load(here / "coconut" / "config.json")
    some = problems(12)
    records = evaluate(load_run(here / "coconut")[0], config.task, config.method, some, rows=12)
    capsys.readouterr()
    main(["ask", "coconut", *(example.question for example in some)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0::2] == [f"question: {example.question}" for example in some]
    assert lines[1::2] == [record.output for record in records]
    for i in (0, 5):
        call(f"ask coconut --row {i}")
        assert capsys.readouterr().out.splitlines() == [
            f"question: {some[i].question}", f"right: {some[i].answer}", records[i].output,
        ]  # fmt: skip


def test_one_question_gives_its_answer_alone(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards pipes: nothing but the answer, whether the question is typed or read, of a run or of its model."""
    question = problems(1)[0].question
    main(["ask", "coconut", question])
    answer = capsys.readouterr().out
    assert answer.strip() in question.split()
    main(["ask", "model", question])
    assert capsys.readouterr().out == answer
    monkeypatch.setattr("sys.stdin", io.StringIO(f"\n{question}\n"))
    main(["ask", "coconut", "-"])
    assert capsys.readouterr().out == answer


def test_numbers_of_thoughts_stand_beside_each_other(here: Path, capsys: Capture) -> None:
    """Guards the flag: without thoughts this model cannot know, and more than it was trained with is said."""
    some = problems(20)
    main(["ask", "coconut", *(example.question for example in some), "--thoughts", "0", "3"])
    out, err = capsys.readouterr()
    lines = out.splitlines()
    right = {n: [f"{n} thoughts: {example.answer}" for example in some] for n in (0, 3)}
    assert lines[2::3] == right[3], "as trained, it is right in 99.8 %"
    assert lines[1::3] != right[0] and all(line.startswith("0 thoughts: ") for line in lines[1::3])
    assert err == ""
    call("ask coconut --row 0 --thoughts 1 4")
    out, err = capsys.readouterr()
    assert out.splitlines()[2].startswith("1 thought: ")
    assert err == "unspoken: warning: 4 thoughts are more than the 3 this model was trained with\n"


def test_the_longest_answer(here: Path, capsys: Capture) -> None:
    """Guards the flag: a written chain is cut where it says."""
    shutil.copytree(FOLDER / "demo-planning-cot", here / "cot")
    call("ask cot --row 0")
    whole = capsys.readouterr().out.splitlines()[-1]
    call("ask cot --row 0 --max-new-tokens 2")
    assert capsys.readouterr().out.splitlines()[-1].split() == whole.split()[:2] != whole.split()


BAD: dict[str, tuple[str, ...]] = {
    "ask": ("Run folder",),
    "ask coconut": ("expected a question", "--row 0"),
    "ask nowhere what": ("nowhere/config.json", "run folder"),
    "ask unfinished what": ("unfinished", "no trained model"),
    "ask coconut what": ("'what'", "vocabulary"),
    "ask coconut what --row 1": ("either questions or --row",),
    "ask coconut --row 5000": ("--row", "0 to 999", "5000"),
    "ask coconut --row -1": ("--row",),
    "ask coconut --row 0 --thoughts -1": ("--thoughts", "-1"),
    "ask coconut --row 0 --thoughts 5000": ("positions",),
    "ask coconut --row 0 --max-new-tokens 0": ("--max-new-tokens", "at least 1", "0"),
    "ask model --row 0": ("--row", "model", "ask it a question"),
    "ask coconut -": ("standard input", "none"),
}


@pytest.mark.parametrize("command", BAD)
def test_refusals(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Guards every way to ask wrongly."""
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    said = refused(command, capsys)
    assert all(part in said for part in BAD[command]), said


def test_an_empty_question(here: Path, capsys: Capture) -> None:
    """Guards what a shell makes of an unset variable."""
    assert "question 2 is empty" in refused(["ask", "coconut", problems(1)[0].question, " "], capsys)
