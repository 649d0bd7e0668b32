"""Figures of tables: what is drawn, and the data beside it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.lines import Line2D

from run_folders import hops, run_folder, seeds, summary
from unspoken.curriculum import Curriculum
from unspoken.figures import _side_by_side, efficiency
from unspoken.methods import CoT, ShuffledThoughts
from unspoken.tables import collect
from unspoken.tasks.fork import Fork


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


def test_the_same_figure_is_the_same_bytes(tmp_path: Path) -> None:
    """Guards pages that are made again: a date or random ids would make a change of every figure, every time."""
    drawn = [efficiency(collect(seeds(tmp_path / "run", hops(), [3, 1], 4)), tmp_path / name / "f") for name in "ab"]
    for one, other in zip(*drawn, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.suffix


def points(line: Line2D) -> list[tuple[float, float]]:
    """Where the marks of a line are, in figures of its axes."""
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata(), dtype=float)]


def test_every_task_has_a_panel_of_tokens_above_one_of_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards a figure of many tasks: one that is left out, drawn into another's panel, or at another's figures."""
    from matplotlib.figure import Figure

    panels: dict[tuple[str, str], set[tuple[float, float]]] = {}
    save = Figure.savefig

    def measured(self: Figure, *args: Any, **kwargs: Any) -> None:
        titles = [axis.get_title() for axis in self.axes if axis.get_title()]
        for i, axis in enumerate(self.axes):
            marks = [line for line in axis.lines if line.get_markeredgecolor() == "white"]
            at = {(round(float(x), 6), round(float(y), 6)) for line in marks for x, y in points(line)}
            panels[titles[i % len(titles)], axis.get_xlabel()] = at
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", measured)
    other = hops(recipe="tiny/fork", task=Fork())
    chain = replace(other, method=CoT(), curriculum=Curriculum(stage_epochs=(1,)))
    made = [
        run_folder(tmp_path / "a", hops(), summary(3, 4)),
        run_folder(tmp_path / "b", other, summary(1, 4, tokens=9.0, seconds_single=0.3)),
        run_folder(tmp_path / "c", chain, summary(2, 4, thoughts=0.0, tokens=40.0)),
    ]
    efficiency(collect(made), tmp_path / "efficiency.png")
    assert panels == {
        ("Hops", "tokens a problem"): {(6, 75)},
        ("Fork", "tokens a problem"): {(11, 25), (40, 50)},
        ("Hops", "seconds a problem at batch 1"): {(0.1, 75)},
        ("Fork", "seconds a problem at batch 1"): {(0.3, 25), (0.1, 50)},
    }


def test_marks_that_fall_on_one_another_are_set_apart() -> None:
    """Guards legibility: three methods at the same accuracy and cost are three marks."""
    assert _side_by_side([(10.0, 10.0), (10.5, 10.0), (90.0, 10.0), (10.0, 10.5)], 72) == [-7.0, 0.0, 0.0, 7.0]


def test_marks_set_apart_stay_inside_the_axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the outermost of many marks at one place, which was cut in two by the axis; and the word that says so."""
    from matplotlib.figure import Figure

    outside: list[float] = []
    said: list[str] = []
    save = Figure.savefig

    def measured(self: Figure, *args: Any, **kwargs: Any) -> None:
        said.append(self.legends[0].get_title().get_text())
        for axis in self.axes:
            for line in axis.lines:
                if line.get_marker() not in ("None", None, "", "|", "_"):
                    at = line.get_transform().transform(line.get_xydata())[:, 0]
                    outside.extend((axis.bbox.x0 - at).tolist() + (at - axis.bbox.x1).tolist())
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", measured)
    config = hops(method=CoT(), curriculum=Curriculum(stage_epochs=(1,)))
    made = [
        run_folder(tmp_path / str(i), replace(config, recipe=f"tiny/{i}", max_steps=i + 1), summary(2, 4, thoughts=0.0))
        for i in range(9)
    ]
    efficiency(collect(made), tmp_path / "efficiency.png")
    assert len(outside) > 20 and max(outside) < 0
    assert all("side by side" in text for text in said)
