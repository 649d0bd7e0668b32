"""What a training tells whoever watches it, and the file in which it stays: `metrics.jsonl`, an object a line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

import msgspec

from unspoken.durable import write_whole


@final
@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What a logged step looked like."""

    recipe: str
    """Which run this is, where one trains another first."""
    step: int
    num_steps: int
    epoch: int
    stage: int
    num_stages: int
    loss: float
    """Mean loss a label since the last report."""
    lr: float
    grad_norm: float
    tokens_per_second: float
    """Real tokens (no padding) through the model since the last report; thoughts count."""
    data_wait: float
    """Share of the time since the last report in which the loop stood still for its next batch."""
    padding: float
    """Share of padding in the positions since the last report; this process's, where there are several."""


@final
@dataclass(frozen=True, kw_only=True)
class ValidationReport:
    """What a validation found."""

    recipe: str
    step: int
    epoch: int
    stage: int
    accuracy: float
    """Laid out as the current stage."""
    num: int
    final_accuracy: float | None
    """Accuracy laid out as evaluation will be, as the method's last stage: what the best weights are chosen by. None
    before the stage that the run ends with."""
    thought_norm: float | None
    """Mean norm of a thought, over a few of the problems; None where the stage has no continuous thoughts."""
    thought_distance: float | None
    """Mean distance between two thoughts of one problem, which falls towards 0 when thoughts collapse; None where no
    problem has two."""


class Observer(Protocol):
    """Watches a training; `unspoken.progress` draws it on a terminal."""

    def on_step(self, report: StepReport) -> None: ...

    def on_validation(self, report: ValidationReport) -> None: ...


@final
class Silent:
    """Watches nothing."""

    def on_step(self, report: StepReport) -> None: ...

    def on_validation(self, report: ValidationReport) -> None: ...


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Adds a line to a run's metrics.

    Raises:
        OSError: with the file's name, where it cannot be written.
    """
    try:
        with path.open("ab") as file:
            # msgspec writes null for a loss that is no number; json would write NaN, which is not JSON.
            file.write(msgspec.json.encode(line) + b"\n")
    except OSError as error:
        # What is buffered is written when the file is closed, and the error of that names no file.
        raise OSError(error.errno, error.strerror, str(path)) from error


def forget_lines(path: Path, *, after: int, validations_from: int) -> None:
    """Drops lines that tell what happened after a checkpoint, because it will happen again.

    Goes: every line after step `after`, validations from step `validations_from` on, and what a process that died in
    the middle of a line has left of it.
    """
    if not path.is_file():
        return
    kept = []
    for text in path.read_bytes().splitlines():
        try:
            line = msgspec.json.decode(text, type=_Line)
        except msgspec.MsgspecError:
            continue
        if line.step <= after and (line.kind == "step" or line.step < validations_from):
            kept.append(text + b"\n")
    write_whole(path, b"".join(kept))


@final
class _Line(msgspec.Struct):
    """What all lines of a run's metrics have."""

    kind: str
    step: int
