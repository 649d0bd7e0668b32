"""Figures of tables: what is drawn, and the data beside it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from run_folders import hops, run_folder, seeds, summary
from unspoken.figures import _side_by_side, efficiency
from unspoken.methods import ShuffledThoughts
from unspoken.tables import collect


def test_efficiency_draws_every_row_and_writes_its_data(tmp_path: Path) -> None:
    """Guards the figure against a row that was not timed at batch 1, or whose seeds all agree."""
    made = seeds(tmp_path / "run", hops(), [3, 3, 1], 4)
    made.append(run_folder(tmp_path / "s", replace(hops(), method=ShuffledThoughts(max_stage=2)),
                           summary(0, 4, seconds_single=None)))  # fmt: skip
    written = efficiency(collect(made), tmp_path / "out" / "efficiency.png")
    assert [path.suffix for path in written] == [".png", ".svg", ".csv"]
    assert all(path.stat().st_size for path in written)
    with written[2].open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["seeds"], row["seconds_single"]) for row in rows] == [
        ("Coconut", "3", "0.1"),
        ("ShuffledThoughts", "1", ""),
    ]
    assert [(row["tokens"], row["tokens_and_thoughts"]) for row in rows] == [("4", "6")] * 2
    assert float(rows[0]["accuracy"]) - float(rows[0]["low"]) > 0.2


def test_marks_that_fall_on_one_another_are_set_apart() -> None:
    """Guards legibility: three methods at the same accuracy and cost are three marks."""
    assert _side_by_side([(10.0, 10.0), (10.5, 10.0), (90.0, 10.0), (10.0, 10.5)], 72) == [-7.0, 0.0, 0.0, 7.0]
