"""Speedruns: what is counted, that a run goes on, and when the test split is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.speedrun import run_track, time_to

from tiny_runs import digest, tiny
from unspoken.config import After, RunConfig, Validation
from unspoken.train import fit


def lines(run: Path, *rows: tuple[str, int, int, float, float]) -> None:
    """Writes metrics: (kind, step, stage, accuracy, seconds)."""
    run.mkdir(parents=True, exist_ok=True)
    names = ("kind", "step", "stage", "accuracy", "seconds")
    text = "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
    (run / "metrics.jsonl").write_text(text)


def test_the_warm_start_counts_and_early_stages_do_not(tmp_path: Path) -> None:
    """Guards the figure itself: a record set by hiding the warm start, or with the chain still written."""
    config = tiny(model=After(first=tiny()))
    lines(tmp_path / "first", ("step", 20, 3, 0.0, 7.0), ("validation", 20, 3, 1.0, 8.0))
    lines(
        tmp_path,
        ("validation", 5, 0, 1.0, 1.0),
        ("validation", 10, 3, 0.96, 2.0),
        ("validation", 15, 3, 0.97, 3.0),
        ("validation", 20, 3, 0.99, 4.0),
    )
    found = time_to(tmp_path, config, 0.97)
    assert (found["steps_to_accuracy"], found["seconds_to_accuracy"]) == (35, 11.0)
    assert (found["steps"], found["seconds"], found["best_validation"]) == (40, 12.0, 0.99)
    assert time_to(tmp_path, config, 0.995)["steps_to_accuracy"] is None


def test_a_run_goes_on_where_the_clock_stopped_it_and_is_tested_once(tmp_path: Path) -> None:
    """Guards resuming, and the test split: it is asked at the end of a run, not whenever one stops."""
    config = replace(tiny(), validation=Validation(stop_at=1.0))
    for _ in range(3):
        found = run_track(config, tmp_path / "run", minutes=0.0)
        assert not found["ended"]
        assert not (tmp_path / "run" / "eval").exists()
    assert found["steps"] == 3
    found = run_track(config, tmp_path / "run", minutes=10.0)
    assert found["ended"] and found["steps"] == 20 and found["test_problems"] == 8
    assert json.loads((tmp_path / "run" / "speedrun.json").read_text()) == found
    fit(config, tmp_path / "whole")
    assert digest(tmp_path / "run" / "final") == digest(tmp_path / "whole" / "final")
    with pytest.raises(ValueError, match="is a run of another config"):
        run_track(replace(config, seed=3), tmp_path / "run", minutes=1.0)
    assert RunConfig.load(tmp_path / "run" / "config.json") == config
