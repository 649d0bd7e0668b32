"""What a command did, and whether it is one of the two things that it may do."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, settings

from tiny_runs import tree
from unspoken.cli import main

LONGER = int(os.environ.get("UNSPOKEN_FUZZ", "1"))
"""How many times the usual number of cases; above 1 they are other ones every time."""


class Reached(Exception):
    """A command got as far as its long work, which is not done here."""


def reached(*arguments: object, **others: object) -> None:
    """Stands for long work."""
    raise Reached


def cases(num: int) -> settings:
    """Settings for a property with so many cases, the same ones every time unless more are asked for."""
    return settings(
        max_examples=num * LONGER,
        derandomize=LONGER == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended."""

    code: int
    """Exit code; 0 also where it reached its long work."""
    out: str
    err: str


def outcome(arguments: Sequence[str], folder: Path) -> Outcome:
    """Runs a command in this process, in `folder`; anything it raises but an exit is the caller's to see."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(arguments))
        except SystemExit as stop:
            # A text would be printed, and mean 1.
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        except Reached:
            pass
    return Outcome(code=code, out=out.getvalue(), err=err.getvalue())


def check(arguments: Sequence[str], folder: Path, *, reads_only: bool = True) -> Outcome:
    """Runs a command and holds it to the rule: done, or refused in one line with exit code 2 and nothing touched.

    `reads_only`: nothing is touched where it is done, either.
    """
    before = tree(folder)
    found = outcome(arguments, folder)
    said = f"{arguments}: exit code {found.code}\n{found.out[-2000:]}\n{found.err[-2000:]}"
    assert found.code in (0, 2), said
    assert "Traceback" not in found.out + found.err, said
    if found.code == 2:
        lines = found.err.splitlines()
        # Findings of `data validate` are its output; notes come before what is wrong.
        if not (not lines and arguments[:2] == ["data", "validate"] and found.out):
            assert found.err.endswith("\n"), said
            assert sum(line.startswith("unspoken: error: ") for line in lines) == 1, said
            kinds = ("unspoken: error: ", "unspoken: note: ", "unspoken: warning: ")
            assert all(line.startswith(kinds) for line in lines), said
            assert len(lines[-1].removeprefix("unspoken: error: ")) > 3, said
    if found.code == 2 or reads_only:
        after = tree(folder)
        assert after == before, f"{said}\ntouched: {sorted(k for k in before | after if before.get(k) != after.get(k))}"
    return found


@contextlib.contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Puts a folder back as it was."""
    before = tree(folder)
    try:
        yield
    finally:
        for name in tree(folder).keys() - before.keys():
            (folder / name).unlink()
        for path in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
            if not any(path.iterdir()):
                path.rmdir()
        for name, data in before.items():
            path = folder / name
            if not path.is_file() or path.read_bytes() != data:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)


def dumped(value: object) -> bytes:
    """As JSON, with what JSON should not hold: NaN, lone surrogates, huge numbers."""
    return json.dumps(value).encode()
