"""`unspoken doctor`: is everything here, does it work, and what is to be done where it does not?

Checks, in this order: Python and libraries, devices, what may be written and how much room there is, data files,
shipped models, libraries of single commands, and a self-test of some seconds: a tiny model is trained, saved and
loaded, a shipped one answers, and both are compared with figures stored in the package (`doctor.json`). Those come from
`unspoken doctor --record src/unspoken/doctor.json`, to be run again when a change of numbers is meant.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, final

import msgspec
import torch
from packaging.requirements import Requirement

from unspoken.batch import collate
from unspoken.config import AdamW, BatchSize, RunConfig
from unspoken.curriculum import Curriculum
from unspoken.data import tokenize
from unspoken.environment import processor_name, version_of
from unspoken.evaluate import evaluate
from unspoken.methods import Coconut
from unspoken.model import LatentLM
from unspoken.reports import StepReport, ValidationReport
from unspoken.runs import load_run
from unspoken.shipped import FOLDER as SHIPPED
from unspoken.shipped import manifest as shipped_manifest
from unspoken.shipped import sha256
from unspoken.specs import Engine, Llama
from unspoken.tasks.hops import Hops
from unspoken.tasks.rows import data_root
from unspoken.train import fit

State = Literal["ok", "note", "broken"]
FIGURES = Path(__file__).with_name("doctor.json")

ROOM_NEEDED = 2 * 2**30
"""Bytes: two checkpoints of GPT-2 small with their optimizer's state, and the models of a run."""
MANIFEST = "MANIFEST.md"


@final
@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found."""

    what: str
    state: State
    """note: something is missing that not everyone needs."""
    said: str
    todo: str = ""
    """What to do about it."""


@final
class Figures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the self-test gave."""

    losses: list[float]
    """Loss a label of every step."""
    thought_norms: list[float]
    """Mean length of the first, second, ... thought over the test problems after training."""
    outputs: list[str]
    """What the shipped model wrote on the first problems of its test split."""
    made_with: str
    """Versions and processor of the machine that stored them."""


def examine(folder: Path) -> Iterator[Finding]:
    """All checks; `folder` is where runs would be written. None of them raises."""
    for what, check in CHECKS.items():
        try:
            yield from check(folder)
        except Exception as error:  # a check that breaks has found something
            why = (str(error).splitlines() or [""])[0]
            yield Finding(
                what=what,
                state="broken",
                said=f"{type(error).__name__}: {why}",
                todo="install again (make setup); if it stays, report it with the output of unspoken env",
            )


def check_libraries(folder: Path) -> Iterator[Finding]:
    """Python, and every library that the package names, in a version it allows."""
    if version_of("unspoken") is None:
        said = "run from its sources, not installed; versions are not checked"
        yield Finding(what="unspoken", state="note", said=said, todo="pip install -e .")
        return
    wanted = importlib.metadata.metadata("unspoken")["Requires-Python"]
    python = platform.python_version()
    fits = sys.version_info >= tuple(int(part) for part in wanted.removeprefix(">=").split("."))
    yield Finding(
        what="python",
        state="ok" if fits else "broken",
        said=python if fits else f"{python}, expected {wanted}",
        todo="" if fits else f"make an environment with Python {wanted}",
    )
    for text in importlib.metadata.requires("unspoken") or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = version_of(requirement.name)
        if version is not None and requirement.specifier.contains(version, prereleases=True):
            yield Finding(what=requirement.name, state="ok", said=version)
            continue
        expected = str(requirement.specifier) or "any version"
        yield Finding(
            what=requirement.name,
            state="broken",
            said=f"{version or 'not installed'}, expected {expected}",
            todo=f"pip install '{requirement.name}{requirement.specifier}'",
        )


def check_devices(folder: Path) -> Iterator[Finding]:
    """The processor and its threads, and every GPU with its memory; one small product on each."""
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    yield Finding(what="processor", state="ok", said=f"{processor_name()}, {cores} cores, {threads} threads")
    if not torch.cuda.is_available():
        yield Finding(what="GPU", state="note", said="none that torch can use; small models train on the processor")
        return
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        eye = torch.eye(64, device=f"cuda:{index}")
        works = torch.equal(eye @ eye, eye)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16: train in fp32"
        yield Finding(
            what=f"GPU {index}",
            state="ok" if works else "broken",
            said=f"{found.name}, {found.total_memory / 2**30:.0f} GiB, {bf16}",
            todo="" if works else "a product of two matrices is wrong on it; leave it out with CUDA_VISIBLE_DEVICES",
        )


def check_disk(folder: Path) -> Iterator[Finding]:
    """Whether runs can be written here, and how many would fit."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryDirectory(dir=place) as name:
            one, other = Path(name) / "a", Path(name) / "b"
            one.write_bytes(b"x" * 4096)
            one.rename(other)
        yield Finding(what="writing", state="ok", said=f"{place.resolve()} can be written")
    except OSError as error:
        yield Finding(
            what="writing",
            state="broken",
            said=f"{place.resolve()}: {error.strerror}",
            todo="work in a folder of your own, or name one with --out",
        )
    free = shutil.disk_usage(place).free
    enough = free >= ROOM_NEEDED
    yield Finding(
        what="disk",
        state="ok" if enough else "broken",
        said=f"{free / 2**30:.1f} GiB free",
        todo="" if enough else f"a GPT-2 run takes up to {ROOM_NEEDED / 2**30:.0f} GiB: make room, or --out elsewhere",
    )


def check_data(folder: Path) -> Iterator[Finding]:
    """Every file that the shared data's manifest names: there, and what it should be."""
    root = data_root()
    if not (root / MANIFEST).is_file():
        yield Finding(
            what="data",
            state="note",
            said=f"no shared data in {root}; generated tasks work without",
            todo="set UNSPOKEN_DATA to the folder that holds MANIFEST.md, for the published ProsQA, ProntoQA and GSM8K",
        )
        return
    whole = 0
    files = manifest_of((root / MANIFEST).read_text())
    for name, wanted in files.items():
        path = root / name
        if not path.is_file():
            wrong = "missing"
        elif not sha256(path).startswith(wanted):
            wrong = "damaged: another SHA-256 than the manifest's"
        else:
            whole += 1
            continue
        yield Finding(what=f"data: {name}", state="broken", said=wrong, todo=f"copy {name} to {root} again")
    yield Finding(
        what="data", state="ok" if whole else "broken", said=f"{whole} of {len(files)} files whole in {root.resolve()}"
    )


def manifest_of(text: str) -> dict[str, str]:
    """File names and (the beginning of) their SHA-256, from the table in a data folder's MANIFEST.md."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) > 2 and cells[0].startswith("`") and cells[0].endswith("`"):
            found[cells[0].strip("`")] = cells[-1]
    return found


def check_shipped(folder: Path) -> Iterator[Finding]:
    """The demo's trained models, against their hashes."""
    damaged = [
        name
        for name, found in shipped_manifest().items()
        if sha256(SHIPPED / name / found.weights / "model.safetensors") != found.sha256
    ]
    yield Finding(
        what="shipped models",
        state="broken" if damaged else "ok",
        said=f"damaged: {', '.join(damaged)}" if damaged else f"{len(shipped_manifest())}, whole",
        todo="install unspoken again" if damaged else "",
    )


def check_extras(folder: Path) -> Iterator[Finding]:
    """Libraries that only some commands need."""
    extras = {
        "tensorboard": "--report-to tensorboard",
        "wandb": "--report-to wandb",
        "trackio": "--report-to trackio",
        "peft": "adapters",
    }
    for name, use in extras.items():
        if importlib.util.find_spec(name) is None:
            yield Finding(what=name, state="note", said=f"not installed; for {use}", todo=f"pip install {name}")
        else:
            yield Finding(what=name, state="ok", said=f"{importlib.metadata.version(name)}, for {use}")


def check_self(folder: Path) -> Iterator[Finding]:
    """The self-test, with our own blocks and with the library's, against the stored figures."""
    stored = msgspec.json.decode(FIGURES.read_bytes(), type=Figures)
    for engine in ENGINES:
        started = time.perf_counter()
        wrong = differences(self_test(engine), stored)
        seconds = time.perf_counter() - started
        yield Finding(
            what=f"self-test, {engine}",
            state="broken" if wrong else "ok",
            said=wrong or f"trained and decoded in {seconds:.1f} s, figures as stored",
            todo=f"the figures were made with {stored.made_with}: install those, or report it" if wrong else "",
        )


CHECKS: dict[str, Callable[[Path], Iterator[Finding]]] = {
    "libraries": check_libraries,
    "devices": check_devices,
    "disk": check_disk,
    "data": check_data,
    "shipped models": check_shipped,
    "extras": check_extras,
    "self-test": check_self,
}

# ---------------------------------------------------------------------------------------------------- the self-test

ENGINES: tuple[Engine, ...] = ("fast", "plain")
TOLERANCE = 1e-3
"""Largest relative difference of a loss or a norm. Processors sum in different orders; 16 steps of Adam make about 1e-5
of it, and a wrong mask or position makes more than 1e-2."""
CLOSE_CALLS = 1
"""Answers that may differ: two words may be equally likely but for rounding."""

CONFIG = RunConfig(
    recipe="doctor",
    task=Hops(nodes=5, hops=2, num_train=64, num_valid=8, num_test=8),
    method=Coconut(max_stage=2),
    model=Llama(layers=2, width=32, heads=4, mlp_width=64, positions=64),
    curriculum=Curriculum(stage_epochs=(1, 1, 1, 1)),
    optimizer=AdamW(lr=3e-3),
    batch=BatchSize(rows=16),
    log_every=1,
)
"""A run of 16 steps through all stages, small enough for seconds."""


ASKED = SHIPPED / "demo-planning-coconut"
NUM_ASKED = 16
"""A tiny model after 16 steps writes the same word whatever it is asked; a trained one has something to get wrong."""


@final
class _Losses:
    """An observer that keeps every loss."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_step(self, report: StepReport) -> None:
        self.found.append(report.loss)

    def on_validation(self, report: ValidationReport) -> None: ...


def self_test(engine: Engine) -> Figures:
    """On the processor: trains, saves and loads a tiny model; lets the shipped one think and answer."""
    losses = _Losses()
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        fit(replace(CONFIG, engine=engine), run, observer=losses, device="cpu")
        model = LatentLM.from_pretrained(run / "final", engine=engine)
    assert model.tokenizer is not None
    tokens = tokenize(CONFIG.task.examples("test"), CONFIG.task, model.tokenizer)
    prompts = [CONFIG.method.prompt(each, model.marks) for each in tokens]
    with torch.no_grad():
        thoughts = model(**collate(prompts, pad_id=model.pad_id).tensors()).thoughts
    config, model = RunConfig.load(ASKED / "config.json"), load_run(ASKED, engine=engine)[0]
    records = evaluate(model, config.task, config.method, config.task.examples("test")[:NUM_ASKED])
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers")]
    return Figures(
        losses=losses.found,
        thought_norms=thoughts.norm(dim=-1).mean(dim=0).tolist(),
        outputs=[record.output for record in records],
        made_with=", ".join([f"Python {platform.python_version()}", *versions, processor_name()]),
    )


def differences(found: Figures, stored: Figures) -> str:
    """What of a self-test is not as stored, in words; empty where all is within the tolerances."""
    said = []
    for what, ours, theirs in (
        ("losses", found.losses, stored.losses),
        ("lengths of thoughts", found.thought_norms, stored.thought_norms),
    ):
        if len(ours) != len(theirs):
            said.append(f"{len(ours)} {what}, expected {len(theirs)}")
            continue
        apart = [abs(a - b) / max(abs(b), 1e-12) for a, b in zip(ours, theirs, strict=True)]
        # Not a number is close to nothing.
        worst = max(range(len(apart)), key=lambda i: math.inf if math.isnan(apart[i]) else apart[i])
        if not apart[worst] <= TOLERANCE:
            said.append(f"{what}: number {worst + 1} is {ours[worst]:.6g}, expected {theirs[worst]:.6g}")
    wrong = sum(a != b for a, b in zip(found.outputs, stored.outputs, strict=False))
    if wrong > CLOSE_CALLS or len(found.outputs) != len(stored.outputs):
        said.append(f"{wrong} of {len(found.outputs)} answers differ")
    return "; ".join(said)


def record(path: Path) -> None:
    """Stores this machine's figures; the library's own modules make them, unaided."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(self_test("plain")), indent=1) + b"\n")
