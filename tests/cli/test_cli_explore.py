"""`unspoken explore`: what it writes, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from command_line import Capture, call, refused
from tiny_runs import tiny
from unspoken.shipped import FOLDER
from unspoken.tasks.fork import Fork


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two trained runs and one that has not ended."""
    for name in ("coconut", "cot"):
        shutil.copytree(FOLDER / f"demo-planning-{name}", tmp_path / name)
    (tmp_path / "unfinished").mkdir()
    tiny(task=Fork()).save(tmp_path / "unfinished" / "config.json")
    (tmp_path / "other").mkdir()
    tiny().save(tmp_path / "other" / "config.json")
    (tmp_path / "there.html").write_text("mine")
    (tmp_path / "folder.html").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


BAD: dict[str, tuple[str, ...]] = {
    "explore": ("--out",),
    "explore coconut": ("--out",),
    "explore --out new.html": ("Run folder",),
    "explore nowhere --out new.html": ("nowhere/config.json", "run folder"),
    "explore unfinished --out new.html": ("unfinished", "no trained model"),
    "explore coconut --out new.pdf": ("new.pdf", ".html"),
    "explore coconut --out there.html": ("there.html exists", "--force"),
    "explore coconut --out folder.html": ("folder.html", "folder"),
    "explore coconut --out new.html --num 0": ("--num", "at least 1", "0"),
    "explore coconut --out new.html --rows 0": ("--rows", "at least 1", "0"),
    "explore coconut --out new.html --split train": ("--split", "train"),
    "explore coconut --out new.html --on prosqaa": ("'prosqaa'", "prosqa"),
    "explore coconut --out new.html --beside nowhere": ("nowhere/config.json",),
    "explore coconut --out new.html --beside other": ("other", "Hops", "Fork", "same task"),
    "explore coconut --out new.html --besid cot": ("--besid", "--beside"),
    "explore coconut --out new.html --on prosqa --num 2": ("vocabulary",),
}


@pytest.mark.parametrize("command", BAD)
def test_bad_input_is_refused_in_one_line(command: str, here: Path, capsys: Capture) -> None:
    """Guards every way to get the command wrong: a traceback, or a page half written."""
    line = refused(command, capsys)
    for words in BAD[command]:
        assert words in line


def test_a_page_of_a_run_beside_another(here: Path, capsys: Capture) -> None:
    """The whole way, from two run folders to a page that holds what `evaluate` says of them."""
    call("explore coconut --out pages/new.html --num 24 --beside cot --seed 3")
    out, err = capsys.readouterr()
    assert out.startswith("page: pages/new.html (24 problems, ") and err == ""
    data = data_of(Path("pages/new.html"))
    assert [data[name] for name in ("run", "method", "task", "split", "seed")] == [
        "coconut",
        "Coconut",
        "Fork",
        "test",
        3,
    ]
    assert (data["beside"]["run"], data["beside"]["method"]) == ("cot", "CoT")
    assert [problem["number"] for problem in data["problems"]] == list(range(24))
    for problem in data["problems"]:
        assert problem["final"]["text"] == problem["stops"][-1]["wrote"]["text"]
        assert len(problem["beside"]["text"].split()) == 4
        assert len(problem["under"]) == len(data["interventions"]) > 10
    right = sum(problem["final"]["right"] for problem in data["problems"])
    assert data["accuracy"]["mean"] == pytest.approx(right / 24, abs=1e-4)


def test_an_existing_page_is_overwritten_only_on_demand(here: Path, capsys: Capture) -> None:
    """A page that took hours must not go by a mistyped name."""
    call("explore cot --out there.html --num 2 --force")
    assert len(data_of(Path("there.html"))["problems"]) == 2


def test_help_names_every_option(capsys: Capture) -> None:
    """An option without a line of help is not found."""
    with pytest.raises(SystemExit):
        call("explore --help")
    text = capsys.readouterr().out
    for option in ("--out", "--split", "--on", "--num", "--beside", "--weights", "--rows", "--seed", "--force"):
        assert option in text
