"""What a run found: results.json, from which page, table and figures are made."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

FILE_NAME = "results.json"
FORMAT = 1


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every row of results.json: a field that is not known is an error."""


class Timed(Strict, frozen=True, kw_only=True):
    """Wall seconds of every call of one thing."""

    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


class Setting(Strict, frozen=True, kw_only=True):
    """What the run was told."""

    device: str
    threads: int
    repeats: int
    shapes: list[str]
    parts: list[str]
    ways: list[str]


class Peak(Strict, frozen=True, kw_only=True):
    """What the machine reached in this run, beside what it measured."""

    precision: str
    flops_per_second: float


class ShapeFacts(Strict, frozen=True, kw_only=True):
    """A shape's sizes."""

    name: str
    title: str
    layers: int
    width: int
    vocabulary: int
    parameters: int
    block_parameters: int
    problems: int
    """Validation and test problems that it draws on."""
    thoughts: int


class Failure(Strict, frozen=True, kw_only=True):
    """A way that could not do something; the run goes on without it."""

    shape: str
    way: str
    what: str
    message: str
    """The last line of the error."""


class Training(Timed, frozen=True, kw_only=True):
    """Steps of one way: forward and backward."""

    shape: str
    precision: str
    way: str
    rows: int
    tokens: int
    """Real ones, padding left out."""
    columns: int
    """Tokens of the padded rows."""
    labels: int
    loss: float
    flops: float
    """The least that a step needs."""
    published_flops: float
    """The same with logits at every position."""
    floor_seconds: float


class Launched(Strict, frozen=True, kw_only=True):
    """Operators of one training step."""

    shape: str
    way: str
    rows: int
    operators: int
    kernels: int | None


class Decoding(Timed, frozen=True, kw_only=True):
    """Calls that write to some problems."""

    shape: str
    precision: str
    way: str
    text: str
    """own: as long as the gold text in this layout; chain: after thoughts, as long as the gold text of CoT."""
    together: int
    """Problems decoded at once."""
    problems: int
    """Problems a call."""
    prompt_tokens: float
    """Mean of a prompt, thoughts included."""
    new_tokens: int
    """Of each problem."""
    flops: float
    """The least that a call needs."""
    published_flops: float
    """What the published decoder computes for the same problems."""
    floor_seconds: float
    """Of a call."""
    same_as_published: float | None
    """Share of the problems that (a) decoded too on which all tokens are the same; None without a common problem."""
    split: dict[str, float] | None
    """Shares of prefill, thoughts and text in the time, where the way tells them."""

    @property
    def seconds_a_problem(self) -> float:
        return self.median / self.problems


class Memory(Strict, frozen=True, kw_only=True):
    """How far memory rises during one training step, gradients included."""

    shape: str
    precision: str
    way: str
    rows: int
    num_bytes: int
    gradient_bytes: int
    """What the gradients alone take, in any way of working."""


class DataPath(Strict, frozen=True, kw_only=True):
    """What comes before a step."""

    shape: str
    padding: dict[str, float]
    """Share of padding in the positions of forward passes of `padding_rows` rows: rows as they come (`random`), sorted
    within a global batch (`batch`), sorted within a bucket of batches (`bucket`)."""
    padding_rows: int
    global_rows: int
    bucket: int
    """Global batches sorted together."""
    rows: int
    """Of the step that was waited before."""
    batch_seconds: float
    """Making one such batch: tokens, layout, padding, plan."""
    step_seconds: float
    wait_share: float
    """Of the loop's time, spent waiting for the next batch."""


class Law(Strict, frozen=True, kw_only=True):
    """How time is expected to grow, fitted: a sum of powers of the quantity, no coefficient below 0."""

    powers: list[int]
    coefficients: list[float]
    r_squared: float

    def seconds(self, value: float) -> float:
        """What the law says."""
        return sum(c * value**power for c, power in zip(self.coefficients, self.powers, strict=True))


class Growth(Strict, frozen=True, kw_only=True):
    """Time against one quantity, everything else held."""

    kind: str
    """training or decoding"""
    quantity: str
    way: str
    values: list[int]
    runs: list[list[float]]
    """Wall seconds of every call, for each value."""
    fixed: dict[str, int]
    law: Law

    @property
    def medians(self) -> list[float]:
        return [statistics.median(run) for run in self.runs]


class Results(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A run, as far as it has come."""

    format: int = FORMAT
    date: str
    machine: str
    environment: dict[str, Any]
    """As in env.json."""
    setting: Setting
    done: list[str] = []
    """Finished pieces of work, so that a run can be taken up again."""
    bytes_per_second: float | None = None
    peaks: list[Peak] = []
    shapes: list[ShapeFacts] = []
    failures: list[Failure] = []
    training: list[Training] = []
    launched: list[Launched] = []
    decoding: list[Decoding] = []
    memory: list[Memory] = []
    data: list[DataPath] = []
    growth: list[Growth] = []

    def write(self, folder: Path) -> None:
        """Into a run folder; a reader never sees half of it."""
        new = folder / f".{FILE_NAME}.new"
        new.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
        new.replace(folder / FILE_NAME)

    @classmethod
    def read(cls, folder: Path) -> Results:
        """Of a run folder.

        Raises:
            ValueError: there are none, or the file is malformed.
        """
        path = folder / FILE_NAME
        if not path.is_file():
            raise ValueError(f"{path}: no such file; expected the folder of a run of `python -m benchmarks`")
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}: {error}") from error


Row = TypeVar("Row")


def only(rows: Sequence[Row], wanted: Callable[[Row], bool]) -> Row | None:
    """The one row that is wanted; None where there is none."""
    found = [row for row in rows if wanted(row)]
    assert len(found) <= 1, f"expected one row at most, found {len(found)}"
    return found[0] if found else None
