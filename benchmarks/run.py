"""One run of the benchmarks, into one folder: env.json, and results.json anew after every piece of work."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path

import torch

from benchmarks import data_path, growth, parts, tasks
from benchmarks.parts import Budget, Work
from benchmarks.results import FILE_NAME, Results, Setting
from benchmarks.shapes import Shape, build
from benchmarks.ways import Way, ways_on
from benchmarks.workers import Machine, ask_all, workers
from unspoken.environment import describe_environment, processor_name

PARTS = ("train", "decode", "memory", "data", "growth")


def machine_name(device: str) -> str:
    """What did the work, in words: the GPU, or processor and cores."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{processor_name()}, {os.cpu_count()} cores"


def slug(name: str) -> str:
    """A name as part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def open_results(folder: Path, setting: Setting, *, resume: bool) -> Results:
    """New results in a new folder, or those of the folder, to go on with.

    Raises:
        ValueError: there is a run already and nobody said `resume`, or it was told other things.
    """
    if not (folder / FILE_NAME).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        environment = {**describe_environment(), "command": " ".join(["python -m benchmarks", *sys.argv[1:]])}
        (folder / "env.json").write_text(json.dumps(environment, indent=2) + "\n")
        return Results(
            date=date.today().isoformat(),
            machine=machine_name(setting.device),
            environment=environment,
            setting=setting,
        )
    if not resume:
        raise ValueError(f"{folder}: there is a run already; go on with it by --resume, or choose another --out")
    found = Results.read(folder)
    if found.setting != setting:
        raise ValueError(
            f"{folder}: that run had other settings ({found.setting}); repeat them or choose another --out"
        )
    return found


def run(
    shapes: Sequence[Shape],
    folder: Path,
    *,
    which: Sequence[str] = PARTS,
    budget: Budget,
    machine: Machine,
    ways: Sequence[Way] | None = None,
    sweeps: Sequence[growth.Sweep] = growth.SWEEPS,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> Results:
    """Measures, and writes results.json and env.json. `ways` are all of the device unless told.

    Raises:
        ValueError: as `open_results`, and what the shapes need is missing.
    """
    ways = ways_on(machine.device) if ways is None else ways
    subjects = [build(shape, torch.device("meta")) for shape in shapes]
    setting = Setting(
        device=machine.device,
        threads=machine.threads,
        repeats=budget.repeats,
        shapes=[shape.name for shape in shapes],
        parts=list(which),
        ways=[way.name for way in ways],
    )
    results = open_results(folder, setting, resume=resume)
    started = time.perf_counter()

    def told(where: str, what: str) -> None:
        say(f"{time.perf_counter() - started:5.0f} s  {where}: {what}")

    def piece(name: str, work: Callable[[], None]) -> None:
        if name not in results.done:
            work()
            results.done.append(name)
            results.write(folder)

    here = [part for part in which if part in PIECES]
    planned = {f"{part}/{shape.name}" for shape in shapes for part in here} | ({"growth"} & set(which))
    if planned <= set(results.done):
        told("all", "measured before")
        return results
    told("all", f"{len(ways)} processes start, one for each way")
    with workers(ways, machine) as there:
        piece("peaks", partial(parts.peaks, there, results))
        if "growth" in which:
            tell = partial(told, "all")
            piece(
                "growth",
                partial(
                    growth.grow,
                    there,
                    results,
                    repeats=budget.repeats,
                    seconds_at_most=budget.growth_seconds,
                    say=tell,
                    sweeps=sweeps,
                ),
            )
        for subject in subjects:
            shape = subject.shape
            if all(f"{part}/{shape.name}" in results.done for part in here):
                continue
            tell = partial(told, shape.name)
            work = Work(subject=subject, workers=there, results=results, machine=machine, budget=budget, say=tell)
            piece(f"facts/{shape.name}", partial(parts.facts, work))
            work.say("models are made")
            ask_all(list(there.values()), tasks.load, shape)
            for part in here:
                piece(f"{part}/{shape.name}", partial(PIECES[part], work))
    told("all", "measured")
    return results


PIECES: dict[str, Callable[[Work], None]] = {
    "train": parts.train,
    "decode": parts.decode,
    "memory": parts.memory,
    "data": data_path.measure_data_path,
}
