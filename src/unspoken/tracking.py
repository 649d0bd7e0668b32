"""`unspoken train --report-to wandb|trackio|tensorboard`: a training's reports, in a tracker as well.

`metrics.jsonl` is always written and says all that a tracker is told. A tracker is an observer (`reports.py`): it opens
with the first report, when the run folder is there, and keeps tool and run id in `RUN/tracking.json`, so that a resumed
training goes on in the same run of the tracker. What a tracker raises, without a network say, is told once and ends the
tracking, never the training. Only the main process tracks.

The run that another one starts after has names of its own: `RECIPE/loss`, beside `loss`.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import netrc
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, final

import msgspec

from unspoken.config import RunConfig, flatten
from unspoken.reports import Observer, StepReport, ValidationReport

log = logging.getLogger(__name__)

Tool = Literal["wandb", "trackio", "tensorboard"]
FILE_NAME = "tracking.json"
PROJECT = "unspoken"


@final
class Tracking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which run of which tracker a run folder belongs to."""

    tool: Tool
    id: str

    @classmethod
    def read(cls, run: Path) -> Tracking | None:
        """What `run` was tracked as; None where it was not.

        Raises:
            ValueError: the file is there but malformed.
        """
        path = run / FILE_NAME
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: {error}; remove it to track this run anew") from error

    def write(self, run: Path) -> None:
        """Writes it into a run folder."""
        (run / FILE_NAME).write_bytes(msgspec.json.encode(self) + b"\n")


class Sink(ABC):
    """An open run of a tracker."""

    @abstractmethod
    def log(self, group: str, values: dict[str, float], *, step: int) -> None:
        """Takes the figures of a step; `group` is the recipe of a run trained first, else empty."""

    @abstractmethod
    def close(self) -> None:
        """Writes what is left."""


@final
class TensorBoardSink(Sink):
    """Event files under `RUN/tensorboard`, where a resumed training adds its own.

    `purge_step` hides the steps that a resume does once more. It looks at steps alone, so a run that is trained first
    has a folder of its own.
    """

    def __init__(self, run: Path, *, resumed: bool) -> None:
        self._folder, self._resumed = run / "tensorboard", resumed
        self._writers: dict[str, Any] = {}

    def log(self, group: str, values: dict[str, float], *, step: int) -> None:
        if group not in self._writers:
            from torch.utils.tensorboard import SummaryWriter

            folder = self._folder / group.replace("/", "-") if group else self._folder
            self._writers[group] = SummaryWriter(folder, purge_step=step if self._resumed else None)
        for name, value in values.items():
            self._writers[group].add_scalar(name, value, step)
        self._writers[group].flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


@final
class WandbSink(Sink):
    """A run of Weights & Biases. Without an account on this machine it is kept in `RUN/wandb`, to be sent later."""

    def __init__(self, run: Path, id_: str, settings: dict[str, Any], *, resumed: bool) -> None:
        wandb: Any = importlib.import_module("wandb")
        online = _knows_wandb_account()
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=id_,
            name=run.name,
            dir=run,
            config=settings,
            # The environment's own word comes first.
            mode=None if "WANDB_MODE" in os.environ else "online" if online else "offline",
            resume="allow" if resumed and online else None,
            settings=wandb.Settings(silent=True, console="off", init_timeout=60),
        )
        self._groups: set[str] = set()

    def log(self, group: str, values: dict[str, float], *, step: int) -> None:
        prefix = f"{group}/" if group else ""
        if group not in self._groups:
            # A step of its own for each group: wandb's counter never goes back, and a resumed training does.
            self._groups.add(group)
            self._run.define_metric(f"{prefix}step")
            self._run.define_metric(f"{prefix}*", step_metric=f"{prefix}step")
        self._run.log({f"{prefix}step": step, **{f"{prefix}{name}": value for name, value in values.items()}})

    def close(self) -> None:
        self._run.finish()


@final
class TrackioSink(Sink):
    """A run of trackio, in its own local data base; its name is the id."""

    def __init__(self, id_: str, settings: dict[str, Any], *, resumed: bool) -> None:
        self._tool: Any = importlib.import_module("trackio")
        self._tool.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=id_,
            config=settings,
            resume="allow" if resumed else "never",
            embed=False,
        )

    def log(self, group: str, values: dict[str, float], *, step: int) -> None:
        prefix = f"{group}/" if group else ""
        self._tool.log({f"{prefix}{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        self._tool.finish()


@final
class Tracker:
    """An observer of `fit` that tells a tracker; a context, so that the tracker's run is closed however `fit` ends.

    Raises:
        ValueError: the tool's library is not installed, or the run folder is tracked by another tool.
    """

    def __init__(self, tool: Tool, run: Path, config: RunConfig) -> None:
        before = Tracking.read(run)
        if importlib.util.find_spec(tool) is None:
            asked = f"--report-to {tool}" if before is None else f"{run / FILE_NAME}: tracked by {tool}"
            raise ValueError(f"{asked}, whose library is not installed; expected: pip install {tool}")
        if before is not None and before.tool != tool:
            raise ValueError(
                f"--report-to {tool}: {run} is tracked by {before.tool}; leave --report-to out to go on there"
            )
        self._run, self._config, self._before = run, config, before
        self._tracking = before or Tracking(tool=tool, id=f"{run.name}-{secrets.token_hex(4)}")
        self._sink: Sink | None = None
        self._broken = False

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sink is not None and not self._broken:
            try:
                self._sink.close()
            except Exception as problem:
                self._give_up(problem)

    def on_step(self, report: StepReport) -> None:
        self._log(report, "train")

    def on_validation(self, report: ValidationReport) -> None:
        self._log(report, "valid")

    def _log(self, report: StepReport | ValidationReport, kind: str) -> None:
        if self._broken:
            return
        group = "" if report.recipe == self._config.recipe else report.recipe
        left_out = ("recipe", "step", "num_steps", "num_stages", "num")
        values = {
            f"{kind}/{name}": float(value)
            for name, value in vars(report).items()
            if name not in left_out and isinstance(value, int | float)
        }
        try:
            if self._sink is None:
                self._sink = self._open()
            self._sink.log(group, values, step=report.step)
        except Exception as problem:  # whatever a tracker raises, the training is worth more
            self._give_up(problem)

    def _open(self) -> Sink:
        self._tracking.write(self._run)
        settings, resumed = flatten(self._config), self._before is not None
        match self._tracking.tool:
            case "wandb":
                return WandbSink(self._run, self._tracking.id, settings, resumed=resumed)
            case "trackio":
                return TrackioSink(self._tracking.id, settings, resumed=resumed)
            case "tensorboard":
                return TensorBoardSink(self._run, resumed=resumed)

    def _give_up(self, problem: Exception) -> None:
        self._broken = True
        why = (str(problem).splitlines() or [""])[0] or type(problem).__name__
        log.warning(f"{self._tracking.tool} failed ({why}); training goes on without it, metrics.jsonl has everything")


@final
class Together:
    """Several observers as one."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def on_step(self, report: StepReport) -> None:
        for observer in self._observers:
            observer.on_step(report)

    def on_validation(self, report: ValidationReport) -> None:
        for observer in self._observers:
            observer.on_validation(report)


def trackers(asked: Tool | None, run: Path, config: RunConfig) -> list[Tracker]:
    """The tracker that is asked for, else the one that a resumed run was tracked by; none in all processes but one.

    Raises:
        ValueError: as `Tracker` and `Tracking.read`.
    """
    # As torchrun and `accelerate launch` number them.
    if os.environ.get("RANK", "0") != "0":
        return []
    before = Tracking.read(run)
    tool = asked or (None if before is None else before.tool)
    return [] if tool is None else [Tracker(tool, run, config)]


def _knows_wandb_account() -> bool:
    """Whether wandb could send anything: it stops to ask for an account where it knows none."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
