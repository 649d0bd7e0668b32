"""One evaluated example each, and what a set of them amounts to. Tables and figures read only these."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import msgspec

from unspoken.tasks.rows import read_rows


@final
class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluated example."""

    index: int
    """Position in the split."""
    prompt: str
    """The question as the model read it, markers and thoughts left out."""
    output: str
    prediction: str
    target: str
    correct: bool
    num_tokens: int
    """Tokens written, end-of-text left out as in the paper's counts."""
    num_thoughts: int
    """Continuous thoughts, which the paper counts as tokens for Coconut."""
    path_class: str | None = None
    """Class of the written chain, where the task has such classes (ProsQA: the paper's six)."""
    seconds: float
    """This row's share of the time of the passes it was in: the sum of the next three."""
    prefill_seconds: float | None = None
    """Reading the question, up to the first thought; None in records from before it was measured."""
    thought_seconds: float | None = None
    """Continuous thoughts."""
    text_seconds: float | None = None
    """Writing."""


@final
class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a set of records amounts to."""

    split: str
    num: int
    num_correct: int
    tokens: float
    """Mean tokens written."""
    thoughts: float
    """Mean continuous thoughts."""
    seconds_batched: float
    """Mean seconds a problem, decoded in batches."""
    seconds_single: float | None
    """Median seconds a problem at batch 1, over a few problems; None where it was not measured."""
    rows: int
    """Most rows decoded together."""
    prefill_seconds: float | None = None
    """Mean seconds a problem spent on reading the question, in batches; None where it was not measured."""
    thought_seconds: float | None = None
    """The same for continuous thoughts."""
    text_seconds: float | None = None
    """The same for writing."""
    engine: str | None = None
    """How the model was run: fast or plain."""
    forced_thoughts: int | None = None
    """The number of thoughts asked for; None: as the method's last stage has."""
    hardware: str = ""
    task: dict[str, Any] = {}
    """The task's settings and version, which say which problems these were."""
    weights: str = ""
    """Which of the run's weights: best or final."""
    commit: str | None = None
    """Commit of the code that evaluated."""
    path_classes: dict[str, int] = {}
    """How many outputs fell into each class, where the task has such classes."""

    @property
    def accuracy(self) -> float:
        return self.num_correct / self.num

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.num_correct, self.num)


def wilson(correct: int, num: int) -> tuple[float, float]:
    """95 % Wilson interval of a share."""
    from scipy.stats import binomtest  # here, because scipy takes longer to import than most commands to run

    interval = binomtest(correct, num).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def summarize(
    records: Sequence[Record],
    *,
    split: str,
    rows: int,
    single: Sequence[float],
    forced_thoughts: int | None,
    hardware: str,
    task: dict[str, Any],
    weights: str,
    commit: str | None,
    engine: str | None = None,
) -> Summary:
    """The summary of records; `single` are batch-1 seconds of some of the problems."""
    if not records:
        raise ValueError("there are no records to summarize; is the split empty?")
    return Summary(
        split=split,
        num=len(records),
        num_correct=sum(r.correct for r in records),
        tokens=statistics.fmean(r.num_tokens for r in records),
        thoughts=statistics.fmean(r.num_thoughts for r in records),
        seconds_batched=statistics.fmean(r.seconds for r in records),
        seconds_single=statistics.median(single) if single else None,
        rows=rows,
        prefill_seconds=_mean([r.prefill_seconds for r in records]),
        thought_seconds=_mean([r.thought_seconds for r in records]),
        text_seconds=_mean([r.text_seconds for r in records]),
        engine=engine,
        forced_thoughts=forced_thoughts,
        hardware=hardware,
        task=task,
        weights=weights,
        commit=commit,
        path_classes=dict(Counter(r.path_class for r in records if r.path_class is not None).most_common()),
    )


def _mean(seconds: Sequence[float | None]) -> float | None:
    measured = [s for s in seconds if s is not None]
    return statistics.fmean(measured) if len(measured) == len(seconds) else None


def write_records(folder: Path, records: Sequence[Record], summary: Summary) -> None:
    """Writes `records.jsonl` and `summary.json` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "records.jsonl").write_bytes(b"".join(msgspec.json.encode(r) + b"\n" for r in records))
    (folder / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")


def read_records(folder: Path) -> list[Record]:
    """Reads `records.jsonl` of a folder, or `records.jsonl.gz` of one that a sweep has kept."""
    path = folder / "records.jsonl"
    packed = path.with_name("records.jsonl.gz")
    return read_rows(packed if packed.is_file() and not path.is_file() else path, Record)


def read_summary(folder: Path) -> Summary:
    """Reads `summary.json` of a folder.

    Raises:
        ValueError: it is missing or malformed.
    """
    path = folder / "summary.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Summary)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}; evaluate the run first") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: {error}") from error
