"""`unspoken probe`: all analyses of a run, from one `ThoughtCache`, as JSON, a page, and figures.

RUN/probe/NAME/probe.json    everything measured, with where and how
               page.md       the same to read, figures inside
               figures/      PNG, SVG and CSV of each figure
"""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, final

import msgspec
import numpy as np
import torch

from unspoken.analysis.base import Analysis, Beside, DoesNotApply, Subject
from unspoken.analysis.bootstrap import RESAMPLES, Bootstrap
from unspoken.analysis.breadth import Breadth
from unspoken.analysis.cache import make_cache
from unspoken.analysis.commitment import Commitment
from unspoken.analysis.heights import Heights
from unspoken.analysis.interpolation import Interpolation
from unspoken.analysis.lens import Lens
from unspoken.analysis.linear import Linear
from unspoken.analysis.parallelism import Parallelism
from unspoken.analysis.search import searches_of
from unspoken.analysis.spread import Spread
from unspoken.analysis.trees import Trees
from unspoken.analysis.whole import whole_folder
from unspoken.config import RunConfig, to_builtins
from unspoken.environment import describe_environment, processor_name
from unspoken.model import LatentLM
from unspoken.paper import method_name
from unspoken.runs import load_run
from unspoken.tasks.base import Example, Split, Task

ANALYSES: tuple[Analysis[Any], ...] = (
    Interpolation(),
    Breadth(),
    Commitment(),
    Parallelism(),
    Heights(),
    Trees(),
    Lens(),
    Linear(),
    Spread(),
)
"""In the order of the page."""

MOST = 2_000
"""Problems looked at unless a number is asked for; intervals are narrow by then."""


@final
class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """`probe.json`."""

    run: str
    """Name of the run's folder."""
    recipe: str
    method: str
    task: dict[str, Any]
    """Settings and version of the task whose problems these are."""
    split: str
    num: int
    num_in_split: int
    weights: str
    thoughts: int | None
    """The largest number of thoughts asked for; None: as in training."""
    beside: str | None
    seed: int
    resamples: int
    seconds: float
    seconds_by_part: dict[str, float]
    hardware: str
    env: dict[str, Any]
    analyses: dict[str, Any]
    """By name; an object with `why` alone where one does not apply."""


def probe_run(
    run: Path,
    folder: Path,
    *,
    task: Task | None = None,
    split: Split = "test",
    num: int | None = None,
    beside: Path | None = None,
    thoughts: int | None = None,
    rows: int | None = None,
    weights: Literal["best", "final"] = "best",
    seed: int = 0,
    analyses: Sequence[Analysis[Any]] = ANALYSES,
    on_part: Callable[[str], None] = lambda what: None,
) -> ProbeReport:
    """Probes a run and writes everything into `folder`, which appears once it is complete.

    `task` asks other problems than the run was trained on. `beside` is a run whose next-step values are held against
    this one's, on the same problems. `on_part` is told what is being done.

    Raises:
        ValueError: the folder exists, a number is out of range, or as `load_run`, `make_cache` and `evaluate`.
    """
    _check(folder, num=num, thoughts=thoughts, rows=rows, seed=seed)
    config = RunConfig.load(run / "config.json")
    if thoughts is not None and config.method.trained_thoughts is None:
        raise ValueError(
            f"{type(config.method).__name__} has no thoughts to count, got thoughts={thoughts}; leave --thoughts out"
        )
    task = config.task if task is None else task
    started = time.perf_counter()
    clock = _Clock(on_part)
    other = None if beside is None else _Other.of(beside, config)
    model, found_weights = load_run(run, weights=weights, engine=config.engine)
    everything = task.examples(split)
    examples = everything[: MOST if num is None else num]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        with clock("thoughts"):
            make = make_cache if rows is None else partial(make_cache, rows=rows)
            cache = make(model, task, config.method, examples, most=thoughts)
        with clock("beside"):
            held_against = None if other is None else other.think(task, examples, device)
        subject = Subject(
            model=model,
            task=task,
            method=config.method,
            cache=cache,
            searches=searches_of(task, examples),
            bootstrap=Bootstrap(len(examples), seed=seed),
            seed=seed,
            mix=config.curriculum.mix,
            rows=config.batch.evaluation if rows is None else rows,
            beside=held_against,
        )
        found: dict[str, msgspec.Struct] = {}
        for analysis in analyses:
            with clock(analysis.name):
                found[analysis.name] = analysis.measure(subject)
    with whole_folder(folder) as making:
        with clock("figures"):
            for analysis in analyses:
                if not isinstance(found[analysis.name], DoesNotApply):
                    analysis.draw(found[analysis.name], making / "figures")
        on_gpu = device.type == "cuda"
        report = ProbeReport(
            run=run.resolve().name,
            recipe=config.recipe,
            method=type(config.method).__name__,
            task={**to_builtins(task), "version": task.version},
            split=split,
            num=len(examples),
            num_in_split=len(everything),
            weights=found_weights,
            thoughts=thoughts,
            beside=None if held_against is None else held_against.name,
            seed=seed,
            resamples=RESAMPLES,
            seconds=round(time.perf_counter() - started, 1),
            seconds_by_part=clock.seconds,
            hardware=torch.cuda.get_device_name() if on_gpu else f"{processor_name()} ({platform.machine()})",
            env=describe_environment(),
            analyses={name: msgspec.to_builtins(each) for name, each in found.items()},
        )
        (making / "probe.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
        (making / "page.md").write_text("\n".join(_page(report, subject, analyses, found)) + "\n")
    return report


def _check(folder: Path, *, num: int | None, thoughts: int | None, rows: int | None, seed: int) -> None:
    if folder.exists():
        raise ValueError(f"{folder} exists; choose another --name")
    for what, value, least in (("num", num, 1), ("rows", rows, 1), ("thoughts", thoughts, 0), ("seed", seed, 0)):
        if value is not None and value < least:
            raise ValueError(f"{what} must be at least {least}, got {value}")


@final
@dataclass(frozen=True, kw_only=True)
class _Other:
    """The run to stand beside this one, loaded before anything is run."""

    config: RunConfig
    model: LatentLM

    @classmethod
    def of(cls, run: Path, config: RunConfig) -> _Other:
        other = RunConfig.load(run / "config.json")
        if type(other.task) is not type(config.task):
            raise ValueError(
                f"{run} was trained on {type(other.task).__name__} and this run on {type(config.task).__name__}; a run "
                "to stand beside it must read the same problems"
            )
        return cls(config=other, model=load_run(run, engine=other.engine)[0])

    def think(self, task: Task, examples: Sequence[Example], device: torch.device) -> Beside:
        method = self.config.method
        cache = make_cache(self.model.to(device), task, method, examples)
        return Beside(name=method_name(type(method).__name__), cache=cache)


def _page(
    report: ProbeReport, subject: Subject, analyses: Sequence[Analysis[Any]], found: dict[str, msgspec.Struct]
) -> list[str]:
    of = "" if report.num == report.num_in_split else f" (the first of {report.num_in_split:,})"
    lines = [
        f"# What {report.run} thinks",
        "",
        f"{method_name(report.method)} ({report.recipe}), {report.weights} weights, on {report.num:,} problems of "
        f"{report.task['type']}'s {report.split} split{of}; {_what(subject)}. Intervals in brackets are 95 %, over "
        f"problems (bootstrap of {report.resamples:,} resamples, unless said otherwise).",
        "",
    ]
    if report.beside is not None:
        lines += [f"Beside it: {report.beside}, given the right steps so far.", ""]
    for analysis in analyses:
        each = found[analysis.name]
        lines += [f"## {analysis.title}", ""]
        lines += [each.why, ""] if isinstance(each, DoesNotApply) else analysis.page(each)
    env = report.env
    packages = ", ".join(f"{name} {version}" for name, version in env["packages"].items())
    lines += [
        "---",
        "",
        f"Made by `{env['command']}` at commit {env['commit']} in {report.seconds:.0f} s on {report.hardware}; "
        f"Python {env['python']}, {packages}; seed {report.seed}.",
    ]
    return lines


def _what(subject: Subject) -> str:
    most = subject.cache.slots
    if subject.unit == "thought":
        fed = subject.cache.thoughts
        alike = np.allclose(fed, subject.cache.states[:, : fed.shape[1]], atol=1e-3, equal_nan=True)
        but = "" if alike else f"; what is fed is not the state shown, {type(subject.method).__name__} changes it"
        return f"up to {most} continuous thoughts each{but}"
    if subject.unit == "pause":
        return f"up to {most} pauses each, and states are what the model makes of them"
    if subject.unit == "written step":
        return f"it writes its steps, so states stand at the ends of up to {most} right ones it is given"
    return "it has neither thoughts nor steps, so there is one state each, at the end of the question"


@final
class _Clock:
    """Seconds by part."""

    def __init__(self, on_part: Callable[[str], None]) -> None:
        self._on_part = on_part
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        self._on_part(part)
        started = time.perf_counter()
        yield
        self.seconds[part] = round(time.perf_counter() - started, 2)
