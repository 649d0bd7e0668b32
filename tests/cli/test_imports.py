"""`--import`: runs of one's own methods and tasks, in every command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import Capture, refused

EXAMPLE = Path(__file__).parents[2] / "examples" / "02_new_method.py"


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own: what is imported stays imported."""
    return subprocess.run(
        [sys.executable, "-m", "unspoken", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_a_run_of_ones_own_method_is_a_run_to_every_command(tmp_path: Path) -> None:
    """Guards "a method of your own needs no change here": it could be trained, and no command could read its run."""
    told = command(
        tmp_path, "--import", str(EXAMPLE), "train", "mine/backward-coconut", "--max-steps", "2", "--out", "run"
    )
    assert told.returncode == 0, told.stderr
    variable = {"UNSPOKEN_IMPORT": str(EXAMPLE)}
    for arguments in (["eval", "run", "--num", "4", "--single", "0"], ["table", "run"], ["show", "run"]):
        told = command(tmp_path, *arguments, **variable)
        assert told.returncode == 0, told.stderr
        assert "BackwardCoconut" in told.stdout or arguments[0] == "eval"
    told = command(tmp_path, "table", "run")
    assert told.returncode == 2
    assert "no Method named 'BackwardCoconut' is imported" in told.stderr
    assert "unspoken --import FILE.py" in told.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ("mine.py", "expected a Python file")),
        ("1 / 0", ("mine.py", "ZeroDivisionError: division by zero")),
        ("def f(:", ("mine.py", "SyntaxError")),
    ],
)
def test_files_that_cannot_be_imported_are_refused(
    content: str | None, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Guards against a traceback out of a user's own file."""
    monkeypatch.setenv("UNSPOKEN_IMPORT", "")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    if content is not None:
        (tmp_path / "mine.py").write_text(content)
    line = refused(f"--import {tmp_path / 'mine.py'} list", capsys)
    for word in words:
        assert word in line


def test_the_flag_needs_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Guards against an index error."""
    monkeypatch.chdir(tmp_path)
    assert "--import needs a file" in refused("--import", capsys)
