"""Run folders to the rows of a table: what was measured, for each method and task, over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import msgspec

from unspoken.config import RunConfig, flatten
from unspoken.paper import METHOD_NAMES
from unspoken.records import Summary, read_summary
from unspoken.suggest import nearest

Verdict = Literal["yes", "partly", "no", "cannot be told"]
"""Whether thoughts carry the answer: the values of `unspoken.audit.verdict.Carry`, which lies above and needs numpy."""


@final
class _Findings(msgspec.Struct, frozen=True):
    carries: Verdict


@final
class _Audited(msgspec.Struct, frozen=True):
    """As much of `audit.json` as a table shows."""

    findings: _Findings


@final
@dataclass(frozen=True, kw_only=True)
class Run:
    """One run folder, as far as a table tells of it."""

    path: Path
    config: RunConfig
    summary: Summary
    """The evaluation that the table is about."""
    further: Mapping[str, Summary]
    """Other evaluations by name, those with forced thoughts left out."""
    verdict: Verdict | None
    """Whether the audit of the same name says that thoughts carry the answer; None: there is no such audit."""


@final
@dataclass(frozen=True, kw_only=True)
class Row:
    """One method on one task, over one or more seeds."""

    evaluation: str
    runs: tuple[Run, ...]
    """At least one; they differ in nothing but seeds and in how they were carried out."""
    detail: str
    """What sets it apart from other rows of the same recipe, as `method.thoughts_per_step 2`; empty: there are none."""

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return self.runs[0].config.recipe

    @property
    def task(self) -> str:
        """The task's class name, as saved in `config.json`."""
        return type(self.runs[0].config.task).__name__

    @property
    def method(self) -> str:
        """The method's class name, as saved in `config.json`."""
        return type(self.runs[0].config.method).__name__

    @property
    def seeds(self) -> tuple[int, ...]:
        """Every run's."""
        return tuple(run.config.seed for run in self.runs)

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """Every run's."""
        return tuple(run.summary for run in self.runs)

    @property
    def accuracy(self) -> float:
        """Mean over seeds, 0 to 1."""
        return statistics.fmean(s.accuracy for s in self.summaries)

    @property
    def spread(self) -> float | None:
        """Standard deviation of the accuracy over seeds, 0 to 1; None with one seed."""
        return deviation([s.accuracy for s in self.summaries])

    @property
    def tokens(self) -> float:
        """Mean tokens written, thoughts left out."""
        return statistics.fmean(s.tokens for s in self.summaries)

    @property
    def thoughts(self) -> float:
        """Mean continuous thoughts."""
        return statistics.fmean(s.thoughts for s in self.summaries)

    @property
    def single(self) -> float | None:
        """Seconds a problem at batch 1, mean over the runs that measured it."""
        measured = [s.seconds_single for s in self.summaries if s.seconds_single is not None]
        return statistics.fmean(measured) if measured else None

    @property
    def batched(self) -> float:
        """Seconds a problem in batches, mean over runs."""
        return statistics.fmean(s.seconds_batched for s in self.summaries)

    def of(self, evaluation: str) -> list[Summary]:
        """The summaries of a further evaluation, of the runs that have it."""
        return [run.further[evaluation] for run in self.runs if evaluation in run.further]


def deviation(values: Sequence[float]) -> float | None:
    """Standard deviation of a sample; None of a single value."""
    return statistics.stdev(values) if len(values) > 1 else None


def collect(runs: Sequence[Path], *, evaluation: str = "test", also: Sequence[str] | None = None) -> list[Row]:
    """Rows in the paper's order, by task and method.

    Runs that differ in nothing but seeds and in how they were carried out (engine, checkpoints, logging, rows in a
    pass) share a row. `also` names further evaluations to read; None: all that the runs have.

    Raises:
        ValueError: a folder is no run, was not evaluated under that name, or holds a malformed file; no run has an
            evaluation that `also` names; or two runs of a row have the same seed or were asked different problems.
    """
    found = [_read(run, evaluation, also) for run in {run.resolve(): run for run in runs}.values()]
    for name in also or ():
        if name != evaluation and not any(name in run.further for run in found):
            there = sorted({each for run in found for each in _evaluations(run.path)} - {evaluation})
            raise ValueError(
                f"no run here has a further evaluation named {name!r} with its own number of thoughts"
                f"{nearest(name, there)}; there are: {', '.join(there) or 'none'}"
            )
    groups: dict[str, list[Run]] = {}
    for run in found:
        groups.setdefault(identity(run.config), []).append(run)
    for group in groups.values():
        _check(group)
    details = _details([group[0].config for group in groups.values()])
    rows = [
        Row(evaluation=evaluation, runs=tuple(group), detail=detail)
        for group, detail in zip(groups.values(), details, strict=True)
    ]
    # Part by part, so that `small/prosqa` comes before `small/prosqa-4-layers`, which "/" and "-" would turn round.
    return sorted(rows, key=lambda r: (r.task, place(r.method), r.recipe.split("/"), r.detail))


def place(method: str) -> int:
    """A method's place in the paper's table, by class name; one that is not in it comes last."""
    order = list(METHOD_NAMES)
    return order.index(method) if method in order else len(order)


def _read(run: Path, evaluation: str, also: Sequence[str] | None) -> Run:
    config = RunConfig.load(run / "config.json")
    names = [name for name in _evaluations(run) if name != evaluation and (also is None or name in also)]
    further = {name: _summary(run / "eval" / name) for name in names}
    return Run(
        path=run,
        config=config,
        summary=_summary(run / "eval" / evaluation),
        further={name: summary for name, summary in further.items() if summary.forced_thoughts is None},
        verdict=_verdict(run / "audit" / evaluation / "audit.json"),
    )


def _evaluations(run: Path) -> list[str]:
    return sorted(path.parent.name for path in run.glob("eval/[!.]*/summary.json"))


def _summary(folder: Path) -> Summary:
    """A summary whose counts can be divided."""
    summary = read_summary(folder)
    if summary.num < 1:
        raise ValueError(f"{folder / 'summary.json'}: expected at least 1 problem - at `$.num`, got {summary.num}")
    if not 0 <= summary.num_correct <= summary.num:
        raise ValueError(
            f"{folder / 'summary.json'}: expected 0 to {summary.num} right ones - at `$.num_correct`, got "
            f"{summary.num_correct}"
        )
    return summary


def _verdict(path: Path) -> Verdict | None:
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Audited).findings.carries
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: {error}; move the audit away and audit the run again") from error


def _check(group: Sequence[Run]) -> None:
    """Whether runs may stand in one row."""
    by_seed: dict[int, Run] = {}
    for run in group:
        first = by_seed.setdefault(run.config.seed, run)
        if first is not run:
            raise ValueError(
                f"{first.path} and {run.path} are the same run ({run.config.recipe}) with the same seed "
                f"{run.config.seed}; name only one of them"
            )
    _check_alike(group, lambda run: run.summary)
    for name in sorted({name for run in group for name in run.further}):
        _check_alike([run for run in group if name in run.further], lambda run, name=name: run.further[name])


def _check_alike(group: Sequence[Run], summary: Callable[[Run], Summary]) -> None:
    first = group[0]
    for run in group[1:]:
        ours, theirs = summary(first), summary(run)
        if (ours.num, ours.forced_thoughts, ours.split, ours.task) != (
            theirs.num,
            theirs.forced_thoughts,
            theirs.split,
            theirs.task,
        ):
            raise ValueError(
                f"{first.path} and {run.path} ({run.config.recipe}) were evaluated on different problems or thoughts; "
                "evaluate them alike, or name only one of them"
            )


_CARRIED_OUT = {
    "seed",
    "engine",
    "model.attention",
    "adapter.frozen",
    "batch.micro",
    "batch.evaluation",
    "checkpoint_every",
    "checkpoint_keep",
    "log_every",
    "max_loss",
}
"""How a run was carried out, not what it is: the same function, up to rounding and the luck of a seed."""


def identity(config: RunConfig) -> str:
    """What a run has in common with all runs of its row: everything but its seed and how it was carried out."""
    return repr(sorted(_settings(config).items()))


def _settings(config: RunConfig) -> dict[str, Any]:
    """What makes a run the run it is; a first run's seed and the like do not count either."""
    return {name: value for name, value in flatten(config).items() if _innermost(name) not in _CARRIED_OUT}


def _innermost(name: str) -> str:
    while name.startswith("model.first."):
        name = name.removeprefix("model.first.")
    return name


def _details(configs: Sequence[RunConfig]) -> list[str]:
    """For each config, the settings in which those of the same recipe, task and method differ.

    What only one kind of part has (`adapter.rank`) is told by the part (`adapter Lora`), unless it differs as well.
    """
    settings = [_settings(config) for config in configs]
    kinds = [(s["recipe"], s["task"], s["method"]) for s in settings]
    details = []
    for kind, own in zip(kinds, settings, strict=True):
        alike = [other for other_kind, other in zip(kinds, settings, strict=True) if other_kind == kind]
        differing = [name for name in own if len({repr(other[name]) for other in alike if name in other}) > 1]
        details.append(", ".join(f"{name} {_plain(own[name])}" for name in differing))
    return details


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
