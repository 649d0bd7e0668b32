"""Commands in tests, and what a refusal must look like."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_runs import tree
from unspoken.cli import main

Capture = pytest.CaptureFixture[str]


def call(command: str) -> None:
    """Runs a command in this process."""
    main(command.split())


def refused(arguments: str | list[str], capsys: Capture) -> str:
    """The one line a refused command writes, which must be all it does."""
    before = tree(Path())
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(arguments.split() if isinstance(arguments, str) else arguments)
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("unspoken: error: ")
    assert tree(Path()) == before, "something was written"
    return err
