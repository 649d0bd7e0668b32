"""Runs for commands to be tried on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tiny_runs import tiny
from unspoken.cli import main
from unspoken.curriculum import Curriculum
from unspoken.methods import CoT
from unspoken.recipes import RECIPES
from unspoken.train import fit


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs, `coconut` evaluated and `cot` not, and one that has not ended."""
    folder = tmp_path_factory.mktemp("trained")
    fit(tiny(max_steps=3), folder / "coconut")
    fit(tiny(recipe="demo/cot", method=CoT(), curriculum=Curriculum(stage_epochs=(1,)), max_steps=3), folder / "cot")
    (folder / "unfinished").mkdir()
    tiny().save(folder / "unfinished" / "config.json")
    main(["eval", str(folder / "coconut"), "--single", "2"])
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own with copies of those runs."""
    shutil.copytree(trained, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setitem(RECIPES, "tiny/coconut", tiny)
    return tmp_path / "here"
