"""What commands took, and what is left by that: `sweep.jsonl` beside the runs.

A command is expected to take as long as the same one did in runs of the same recipe, else of recipes on the same task,
else of any; before the first of its kind has ended nothing is expected.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import final

import msgspec

from unspoken.reports import append_line
from unspoken.sweeps.work import Command


@final
class Took(msgspec.Struct, frozen=True):
    """A line of `sweep.jsonl`."""

    recipe: str
    kind: str
    what: str
    seconds: float


@final
class Trained(msgspec.Struct, frozen=True):
    """How far a training is: what is read of the lines in its `metrics.jsonl`."""

    step: int
    seconds: float
    num_steps: int | None = None


def progress(run: Path) -> Trained | None:
    """The newest line about a training's steps; None before the first."""
    path = run / "metrics.jsonl"
    if not path.is_file():
        return None
    for text in reversed(path.read_bytes().splitlines()):
        try:
            line = msgspec.json.decode(text, type=Trained)
        except msgspec.MsgspecError:
            continue  # it is being written
        if line.num_steps is not None:
            return line
    return None


@final
class Times:
    """What commands took so far; a line that cannot be read, half written on a full disk say, tells nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.took: list[Took] = []
        for text in path.read_bytes().splitlines() if path.is_file() else []:
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                self.took.append(msgspec.json.decode(text, type=Took))

    def add(self, command: Command, seconds: float) -> None:
        """Notes a command that has ended; a training says itself what it took, over all the times it was resumed."""
        if command.kind == "train":
            trained = progress(command.run)
            seconds = seconds if trained is None else trained.seconds
        took = Took(recipe=command.recipe, kind=command.kind, what=command.what, seconds=round(seconds, 1))
        self.took.append(took)
        append_line(self._path, msgspec.to_builtins(took))

    def left(self, commands: Iterable[Command]) -> float | None:
        """Seconds that some commands will take, a training's progress taken off; None: nothing is known of one."""
        total = 0.0
        for command in commands:
            expected = self._expected(command)
            if expected is None:
                return None
            trained = progress(command.run) if command.kind == "train" else None
            share = 0.0 if trained is None else trained.step / max(1, trained.num_steps or 1)
            total += expected * (1 - min(1.0, share))
        return total

    def _expected(self, command: Command) -> float | None:
        alike = [took for took in self.took if (took.kind, took.what) == (command.kind, command.what)]
        task = command.recipe.rpartition("/")[0]
        for chosen in (
            [took for took in alike if took.recipe == command.recipe],
            [took for took in alike if took.recipe.rpartition("/")[0] == task],
            alike,
        ):
            if chosen:
                return statistics.fmean(took.seconds for took in chosen)
        return None
