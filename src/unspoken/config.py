"""A run, completely: `RunConfig` and its parts; save, load, compare.

Precedence is field default < recipe < flag, nothing else. Objects are saved with their class name and read back only
into classes that are already imported: a config file cannot make the program import anything.
"""

from __future__ import annotations

import dataclasses
import math
import os
import types
import typing
from abc import ABC
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, final

import msgspec

from unspoken.curriculum import Curriculum
from unspoken.methods import Method, ShuffledThoughts
from unspoken.specs import DEFAULT_ENGINE, Engine, Lora, ModelSpec, Precision
from unspoken.suggest import nearest
from unspoken.tasks import Task

Decay = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec(ABC):
    """How weights change; `optimizers.py` makes the real things."""

    lr: float = 1e-4
    """Peak learning rate."""
    weight_decay: float = 0.01
    """Decoupled weight decay."""
    clip_norm: float | None = None
    """Largest gradient norm; None: no clipping, as published."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of AdamW's two moments."""

    def __post_init__(self) -> None:
        if not 0 < self.lr < math.inf:
            raise ValueError(f"optimizer.lr must be above 0 and finite, got {self.lr}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"optimizer.betas must be at least 0 and below 1, got {self.betas}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"optimizer.weight_decay must be at least 0, got {self.weight_decay}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"optimizer.clip_norm must be above 0 or None, got {self.clip_norm}")


@final
@dataclass(frozen=True, kw_only=True)
class AdamW(OptimizerSpec):
    """AdamW for every weight; the defaults are the published run's."""


@final
@dataclass(frozen=True, kw_only=True)
class Muon(OptimizerSpec):
    """Muon for the matrices of the blocks (`lr`), AdamW for embeddings, norms, biases and all else (`others_lr`).

    An update is a matrix all of whose singular values are about 1, times `lr` and 0.2 times the root of its larger
    side: 0.2 `lr` a weight, about as much as AdamW's, and the same for a matrix and its transpose (GPT-2 keeps its own
    transposed). For a square matrix of width 768 a rate of 0.0036 is the 0.02 of modded-nanogpt.
    """

    others_lr: float = 1e-4
    """Peak learning rate of what AdamW changes; the schedule scales both."""
    momentum: float = 0.95
    """Nesterov momentum of the matrices."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.others_lr < math.inf:
            raise ValueError(f"optimizer.others_lr must be above 0 and finite, got {self.others_lr}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"optimizer.momentum must be at least 0 and below 1, got {self.momentum}")


@final
@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate over time, as a factor of `optimizer.lr`. Published: constant, no warm-up."""

    decay: Decay = "constant"
    """Shape after the warm-up."""
    warmup_steps: int = 0
    """Steps of linear warm-up."""
    span: Literal["run", "stage"] = "run"
    """What the shape is stretched over; `stage` warms up and decays inside every stage."""
    hold: float = 0.0
    """Share of what the warm-up leaves in which the rate stays at its peak before it decays ("warm-down")."""
    floor: float = 0.0
    """Factor at the end of a decay."""
    stage_factors: tuple[float, ...] = ()
    """Further factors for stage 0, 1, 2, ...; a stage without one has 1."""

    def __post_init__(self) -> None:
        if self.warmup_steps < 0 or not 0 <= self.floor <= 1:
            raise ValueError(
                f"schedule needs warmup_steps >= 0 and floor in 0..1, got {self.warmup_steps} and {self.floor}"
            )
        if not 0 <= self.hold < 1:
            raise ValueError(f"schedule.hold is a share, at least 0 and below 1, got {self.hold}")

    def stage_factor(self, stage: int) -> float:
        """The further factor of a stage."""
        return self.stage_factors[stage] if stage < len(self.stage_factors) else 1.0

    def factor(self, step: int, num_steps: int) -> float:
        """The factor of step `step` (from 0) out of `num_steps` in the span."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        if self.decay == "constant":
            return 1.0
        done = min(1.0, (step - self.warmup_steps) / max(1, num_steps - self.warmup_steps))
        done = max(0.0, done - self.hold) / (1 - self.hold)
        shape = 1 - done if self.decay == "linear" else 0.5 * (1 + math.cos(math.pi * done))
        return self.floor + (1 - self.floor) * shape


@final
@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """How many rows a step sees."""

    rows: int = 128
    """Global batch: rows a step, over all processes and accumulation. The paper's effective batch is 128."""
    micro: int | None = None
    """Most rows in one forward pass of one process; None: all at once. Smaller ones are accumulated."""
    bucket: int = 1
    """How many batches' worth of rows are sorted by length together and cut into batches, which then come in random
    order: less padding, but rows meet others of their length. 1: every batch is a random one."""
    evaluation: int = 128
    """Rows decoded together in evaluation."""

    def __post_init__(self) -> None:
        for name, value in (
            ("rows", self.rows),
            ("micro", self.micro),
            ("bucket", self.bucket),
            ("evaluation", self.evaluation),
        ):
            if value is not None and value < 1:
                raise ValueError(f"batch.{name} must be at least 1, got {value}")


@final
@dataclass(frozen=True, kw_only=True)
class Validation:
    """When accuracy on the validation split is measured, by greedy decoding."""

    every_epochs: int = 1
    """Epochs between validations; the last epoch of every stage is always validated."""
    examples: int | None = None
    """How many of the split's examples to take; None: all."""
    stop_at: float | None = None
    """Accuracy, 0 to 1, at which training ends: as soon as a validation in the last stage reaches it. None: never."""

    def __post_init__(self) -> None:
        if self.every_epochs < 1:
            raise ValueError(f"validation.every_epochs must be at least 1, got {self.every_epochs}")
        if self.examples is not None and self.examples < 1:
            raise ValueError(f"validation.examples must be at least 1, got {self.examples}")
        if self.stop_at is not None and not 0 < self.stop_at <= 1:
            raise ValueError(f"validation.stop_at is a share above 0 and at most 1, got {self.stop_at}")


@final
@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A run, completely. Two runs with the same config, code and hardware are the same run."""

    recipe: str
    """Name of the recipe this config came from."""
    task: Task
    """What is asked."""
    method: Method
    """What is removed from the chain, and what stands in its place."""
    model: ModelSpec
    """What the run starts from."""
    adapter: Lora | None = None
    """What is trained: small adapters on a frozen model, or None: every weight."""
    curriculum: Curriculum = field(default_factory=Curriculum)
    """How long each stage lasts."""
    optimizer: OptimizerSpec = field(default_factory=AdamW)
    """How weights change."""
    schedule: Schedule = field(default_factory=Schedule)
    """How the learning rate changes."""
    batch: BatchSize = field(default_factory=BatchSize)
    """How many rows a step sees."""
    validation: Validation = field(default_factory=Validation)
    """When accuracy is measured."""
    engine: Engine = DEFAULT_ENGINE
    """How the model is run: values differ by rounding only; `plain` leaves every fast path off."""
    precision: Precision = "fp32"
    """fp32, or bf16 autocast over fp32 weights."""
    seed: int = 0
    """Seed of initialisation, order, stage mixing, redrawing and dropout (not of the task's data)."""
    max_steps: int | None = None
    """Stop after this many optimizer steps; None: the whole curriculum."""
    checkpoint_every: int | None = None
    """Optimizer steps between checkpoints; None: at the end of every epoch."""
    checkpoint_keep: int = 2
    """Checkpoints kept, the newest ones; more than one, so that a damaged one costs time and nothing else."""
    max_loss: float | None = None
    """Loss a label (mean of a step) above which training stops as diverged; None: ten times that of guessing among all
    tokens."""
    log_every: int = 10
    """Optimizer steps between lines in metrics.jsonl; reading the loss waits for the device."""

    def __post_init__(self) -> None:
        self.curriculum.check(self.method.stages)
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
        rows = self.batch.rows
        # Micro-batches are nearly equal; this is the smallest.
        smallest = rows // -(-rows // (self.batch.micro or rows))
        if smallest < self.method.min_rows():
            raise ValueError(
                f"{type(self.method).__name__} needs at least {self.method.min_rows()} rows in a forward pass, got "
                f"batch.rows {self.batch.rows} and batch.micro {self.batch.micro}"
            )
        if self.method.min_rows() > 1 and self.batch.bucket > 1:
            raise ValueError(
                f"{type(self.method).__name__} mixes the rows of a batch, which must meet by chance and not by length: "
                f"expected batch.bucket 1, got {self.batch.bucket}"
            )
        if isinstance(self.method, ShuffledThoughts) and self.curriculum.mix:
            raise ValueError(
                f"ShuffledThoughts needs every row to think in the same columns: expected curriculum.mix 0, got "
                f"{self.curriculum.mix}"
            )
        if self.adapter is not None and isinstance(self.optimizer, Muon):
            raise ValueError("Muon is for whole matrices, not for adapters; expected optimizer AdamW, or adapter None")
        if self.adapter is not None and self.adapter.frozen != "fp32" and self.precision != self.adapter.frozen:
            raise ValueError(
                f"adapter.frozen {self.adapter.frozen} rounds the model that a run of precision {self.precision} "
                f"computes with; expected precision {self.adapter.frozen}, or adapter.frozen fp32"
            )
        if self.max_loss is not None and not 0 < self.max_loss < math.inf:
            raise ValueError(f"max_loss must be above 0 and finite, or None, got {self.max_loss}")
        counts = {
            "max_steps": self.max_steps,
            "checkpoint_every": self.checkpoint_every,
            "checkpoint_keep": self.checkpoint_keep,
            "log_every": self.log_every,
        }
        for name, value in counts.items():
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")

    def with_seed(self, seed: int) -> RunConfig:
        """The same run under another seed, the runs it starts after included."""
        model = self.model
        if isinstance(model, After):
            model = dataclasses.replace(model, first=model.first.with_seed(seed))
        return dataclasses.replace(self, seed=seed, model=model)

    def to_json(self) -> bytes:
        """The config as JSON, to be read by people too."""
        return msgspec.json.format(msgspec.json.encode(to_builtins(self)), indent=2) + b"\n"

    def save(self, path: Path) -> None:
        """Writes the config as JSON."""
        path.write_bytes(self.to_json())

    @classmethod
    def load(cls, path: Path) -> RunConfig:
        """Reads what `save` wrote.

        Raises:
            ValueError: the file is missing or malformed, or names a class or field that does not exist; the message
                names file and field.
        """
        try:
            data = msgspec.json.decode(path.read_bytes())
        except OSError as error:
            raise ValueError(f"{path}: cannot be read: {error.strerror}; is this a run folder?") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{path}: not JSON: {error}") from error
        if isinstance(data, dict) and "type" not in data and {"model_type", "architectures"} & data.keys():
            raise ValueError(f"{path.parent}: this is a model folder; {_run_above(path.parent)}")
        try:
            return from_builtins(cls, data, "$")
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


@final
@dataclass(frozen=True, kw_only=True)
class After(ModelSpec):
    """The weights another run ends with; it is trained first, in the run folder's `first/`.

    The published GSM8K run starts from a CoT model like this. The two runs must share a vocabulary.
    """

    first: RunConfig
    """The run to train first."""
    marker_from: Literal["own", "bot"] = "own"
    """What <eot> and the pause token start as: what the first run left, or a copy of its <bot>."""


T = TypeVar("T")


def _run_above(model: Path) -> str:
    """What to name instead of a model folder, which a run folder has several of."""
    run = Path(os.path.normpath(model / ".."))
    return f"name its run, {run}" if (run / "config.json").is_file() else "name a run folder, which holds it in final/"


def to_builtins(value: Any) -> Any:
    """Dataclasses become objects that start with their class name under `type`; the rest is plain JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_builtins(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [to_builtins(item) for item in value]
    return value


def from_builtins(wanted: type[T], data: Any, where: str) -> T:
    """The inverse of `to_builtins`; `wanted` may be an abstract base class of what was saved.

    Raises:
        ValueError: something does not fit; the message starts with the field's path.
    """
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise ValueError(f'{where}: expected an object with a "type", got {_short(data)}')
    found = {c.__name__: c for c in _subclasses(wanted)}
    cls = found.get(data["type"])
    if cls is None:
        raise ValueError(
            f"{where}.type: no {wanted.__name__} named {data['type']!r} is imported"
            f"{nearest(data['type'], found)}; if it is your own, import the file that defines it first, as "
            "unspoken --import FILE.py does"
        )
    hints = typing.get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls)]
    if unknown := [name for name in data if name not in known and name != "type"]:
        raise ValueError(f"{where}.{unknown[0]}: {cls.__name__} has no such field{nearest(unknown[0], known)}")
    values = {n: _value(hints[n], data[n], f"{where}.{n}") for n in known if n in data}
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from error


def _value(hint: Any, data: Any, where: str) -> Any:
    options = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
    if data is None and type(None) in options:
        return None
    objects = [o for o in options if isinstance(o, type) and (dataclasses.is_dataclass(o) or issubclass(o, ABC))]
    if isinstance(data, dict) and objects:
        return from_builtins(objects[0], data, where)
    if Path in options and isinstance(data, str):
        return Path(data)
    try:
        return msgspec.convert(data, hint)
    except msgspec.ValidationError as error:
        raise ValueError(f"{where}: {error}") from error


def _short(data: Any) -> str:
    shown = repr(data)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _subclasses(cls: type) -> list[type]:
    return [cls, *(found for child in cls.__subclasses__() for found in _subclasses(child))]


def flatten(config: RunConfig) -> dict[str, Any]:
    """Dotted field names to values, classes included: what `show` prints and `--diff` compares."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            if prefix:
                flat[prefix] = value["type"]
            for name, item in value.items():
                if name != "type":
                    walk(f"{prefix}.{name}" if prefix else name, item)
        else:
            flat[prefix] = value

    walk("", to_builtins(config))
    return flat
