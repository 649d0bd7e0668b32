"""One speedrun: time and steps to an accuracy on the validation split; the test split is asked once, at the end.

    python -m benchmarks.speedrun two-layer --minutes 3 --out runs/speedrun-two-layer
    python -m benchmarks.speedrun demo --minutes 10 --out runs/speedrun-demo --seed 1
    python -m benchmarks.speedrun demo --config results/runs/demo-coconut/config.json --out runs/as-it-was

Runs a track for at most so many minutes and leaves a run folder with `speedrun.json` in it. Called again with the same
`--out`, it goes on; the clock counts both. Nothing is written into `benchmarks/speedrun.md`: whoever keeps a change
writes down why.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch

from unspoken.config import After, RunConfig
from unspoken.environment import processor_name
from unspoken.quiet import quiet
from unspoken.recipes import find_recipe
from unspoken.recipes.speedrun import TARGET
from unspoken.reports import StepReport, ValidationReport
from unspoken.runs import evaluate_run
from unspoken.train import Interrupted, fit

TRACKS = {"two-layer": "speedrun/two-layer", "gpt2": "speedrun/gpt2", "demo": "demo/coconut"}


class Clock:
    """An observer that ends a training after some minutes, saved, and says what validations find."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    def on_step(self, report: StepReport) -> None:
        """Presses Ctrl-C when time is up: a training finishes its step and saves."""
        if time.monotonic() > self._end:
            os.kill(os.getpid(), signal.SIGINT)

    def on_validation(self, report: ValidationReport) -> None:
        """Prints a line."""
        print(f"{report.recipe}: step {report.step}, stage {report.stage}, {100 * report.accuracy:.1f} %", flush=True)


def metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics, none where it has not come so far."""
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def before(run: Path, config: RunConfig) -> tuple[int, float]:
    """Steps and seconds of the runs this one starts after, which count."""
    if not isinstance(config.model, After):
        return 0, 0.0
    first = run / "first"
    steps, seconds = before(first, config.model.first)
    lines = metrics(first)
    return (steps + lines[-1]["step"], seconds + lines[-1]["seconds"]) if lines else (steps, seconds)


def time_to(run: Path, config: RunConfig, accuracy: float) -> dict[str, Any]:
    """What a run needed until a validation in its last stage reached an accuracy; nulls where none did yet.

    Earlier records have no `final_accuracy`; there the layouts of the last stage and of evaluation were the same.
    """
    steps, seconds = before(run, config)
    lines = metrics(run)
    last = config.curriculum.last_stage
    validations = [
        {**line, "accuracy": line.get("final_accuracy", line["accuracy"])}
        for line in lines
        if line["kind"] == "validation" and line["stage"] == last
    ]
    reached = next((line for line in validations if line["accuracy"] >= accuracy), None)
    return {
        "accuracy": accuracy,
        "steps_to_accuracy": None if reached is None else steps + reached["step"],
        "seconds_to_accuracy": None if reached is None else seconds + reached["seconds"],
        "steps": steps + (lines[-1]["step"] if lines else 0),
        "seconds": seconds + (lines[-1]["seconds"] if lines else 0.0),
        "first_steps": steps,
        "first_seconds": seconds,
        "best_validation": max((line["accuracy"] for line in validations), default=None),
    }


def run_track(config: RunConfig, out: Path, *, minutes: float) -> dict[str, Any]:
    """Trains, or goes on, for at most some minutes, and evaluates on the test split once the run has ended.

    Raises:
        ValueError: `out` holds a run of another config.
    """
    if out.is_dir() and RunConfig.load(out / "config.json") != config:
        raise ValueError(f"{out} is a run of another config; choose another --out")
    try:
        fit(config, out, resume=out.is_dir(), observer=Clock(minutes))
        ended = True
    except Interrupted:
        ended = False
    found = time_to(out, config, TARGET)
    summary = out / "eval" / "test" / "summary.json"
    if ended and not summary.is_file():
        evaluate_run(out, config, out / "eval" / "test", single=0)
    test = json.loads(summary.read_text()) if summary.is_file() else None
    found |= {
        "recipe": config.recipe,
        "seed": config.seed,
        "ended": ended,
        "hardware": torch.cuda.get_device_name() if torch.cuda.is_available() else processor_name(),
        "test_correct": None if test is None else test["num_correct"],
        "test_problems": None if test is None else test["num"],
    }
    (out / "speedrun.json").write_text(json.dumps(found, indent=2) + "\n")
    return found


def main() -> None:
    """Runs one track and prints what it needed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("track", choices=TRACKS)
    parser.add_argument("--minutes", type=float, default=60.0, help="stop, saved, after so long")
    parser.add_argument("--out", type=Path, required=True, help="run folder; an existing one goes on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--config", type=Path, help="a config.json to run in the recipe's place")
    options = parser.parse_args()
    quiet()
    config = find_recipe(TRACKS[options.track]) if options.config is None else RunConfig.load(options.config)
    print(json.dumps(run_track(config.with_seed(options.seed), options.out, minutes=options.minutes), indent=2))


if __name__ == "__main__":
    main()
