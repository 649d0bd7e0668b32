"""Curves of runs: what is read, what is drawn, and what stands beside the figure."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import Capture, call, refused
from unspoken.curves import draw_curves, read_curves
from unspoken.figures import PALETTE


def a_run(folder: Path, *, last: float = 0.5) -> Path:
    """Metrics of two stages; the loss jumps where the second begins, and one step's was no number."""
    folder.mkdir(parents=True)
    rows = [
        {"kind": "step", "step": 10, "epoch": 0, "stage": 0, "loss": 1.0, "lr": 0.1},
        {"kind": "step", "step": 20, "epoch": 0, "stage": 0, "loss": None},
        {"kind": "validation", "step": 20, "epoch": 0, "stage": 0, "accuracy": 0.9, "num": 10},
        {"kind": "step", "step": 30, "epoch": 1, "stage": 1, "loss": 3.0},
        {"kind": "validation", "step": 40, "epoch": 1, "stage": 1, "accuracy": 0.9, "final_accuracy": last},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_what_is_drawn(tmp_path: Path) -> None:
    """Guards the loss of a step that went wrong against being drawn as 0, and a run that ended elsewhere than in the
    method's last stage against being shown with an accuracy that evaluation will not find."""
    (curve,) = read_curves([a_run(tmp_path / "run")])
    assert curve.name == "run"
    assert [(line.step, line.loss) for line in curve.steps] == [(10, 1.0), (30, 3.0)]
    assert [(line.step, line.asked) for line in curve.validations] == [(20, 0.9), (40, 0.5)]


def test_runs_are_told_apart(tmp_path: Path) -> None:
    """Guards legends: two seeds in folders of one name."""
    runs = [a_run(tmp_path / seed / "run") for seed in ("s0", "s1")] + [a_run(tmp_path / "other")]
    assert [curve.name for curve in read_curves(runs)] == [str(runs[0]), str(runs[1]), "other"]


def test_names_of_any_length_fit_the_figure(tmp_path: Path) -> None:
    """Guards against a legend that is cut off on both sides, as that of four ablations was."""
    from matplotlib.figure import Figure

    legends: list[tuple[float, float, float]] = []
    save = Figure.savefig

    def measured(self: Figure, *args: Any, **kwargs: Any) -> None:
        box = self.legends[0].get_window_extent()
        legends.append((box.x0, box.x1, self.bbox.width))
        assert len(self.legends) == 1
        save(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Figure, "savefig", measured)
        for names in (["small-prontoqa-ablation-c2-singly-seed0" + n for n in "abcd"], ["x" * 200, "a-b" * 40], ["a"]):
            curves = read_curves([a_run(tmp_path / name) for name in names])
            draw_curves(curves, tmp_path / f"figure{len(names)}.png")
    assert len(legends) == 6
    assert all(low >= 0 and high <= width for low, high, width in legends), legends


def test_rings_stand_where_stages_begin(tmp_path: Path) -> None:
    """Guards the point of the figure: the jump of the loss at a switch is marked, on the curve and in its colour, and
    the accuracy right after it as well."""
    from matplotlib.figure import Figure

    rings: list[tuple[int, Any, list[tuple[float, float]]]] = []
    save = Figure.savefig

    def measured(self: Figure, *args: Any, **kwargs: Any) -> None:
        # The second saving is of the same figure.
        rings[:] = [
            (panel, line.get_color(), [(float(x), float(y)) for x, y in np.asarray(line.get_xydata(), dtype=float)])
            for panel, axis in enumerate(self.axes)
            for line in axis.lines
            if line.get_marker() == "o" and line.get_fillstyle() == "none" and line.get_linestyle() == "None"
        ]
        save(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Figure, "savefig", measured)
        runs = [a_run(tmp_path / "a"), a_run(tmp_path / "b", last=0.25)]
        draw_curves(read_curves(runs), tmp_path / "figure.png")
    assert rings == [
        (0, PALETTE[0], [(30, 3.0)]),
        (0, PALETTE[1], [(30, 3.0)]),
        (1, PALETTE[0], [(40, 50.0)]),
        (1, PALETTE[1], [(40, 25.0)]),
    ]


def test_the_ten_rows_of_table_1_are_told_apart_below_their_names(tmp_path: Path) -> None:
    """Guards a figure of ten runs: two of the same look, or panels pressed flat by the legend."""
    from matplotlib.figure import Figure

    looks: set[tuple[str, str]] = set()
    heights: list[float] = []
    save = Figure.savefig

    def measured(self: Figure, *args: Any, **kwargs: Any) -> None:
        looks.update((str(line.get_color()), str(line.get_linestyle())) for line in self.axes[0].lines)
        self.draw_without_rendering()
        heights.extend(axis.bbox.height / self.dpi for axis in self.axes)
        save(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Figure, "savefig", measured)
        runs = [a_run(tmp_path / f"small-prontoqa-without-curriculum-seed{i}") for i in range(10)]
        draw_curves(read_curves(runs), tmp_path / "figure.png")
    assert len([look for look in looks if look[1] != "None"]) == 10
    assert min(heights) > 1.5, heights


@pytest.mark.parametrize("losses", [(2.31, 2.29, 2.275), (0.0021, 0.002, 0.0019), (30.0, 2.0, 0.1)])
def test_losses_are_plain_numbers(losses: tuple[float, ...], tmp_path: Path) -> None:
    """Guards a short run, whose logarithmic axis read 2.275 times ten to the zero."""
    from matplotlib.figure import Figure

    shown: list[str] = []
    save = Figure.savefig

    def measured(self: Figure, *args: Any, **kwargs: Any) -> None:
        axis = self.axes[0]
        low, high = axis.get_ylim()
        ticks = [(tick.get_loc(), tick.label1.get_text()) for tick in axis.yaxis.get_major_ticks()]
        shown[:] = [text for at, text in ticks if low <= at <= high]
        shown.extend(tick.label1.get_text() for tick in axis.yaxis.get_minor_ticks() if tick.label1.get_text())
        save(self, *args, **kwargs)

    (tmp_path / "run").mkdir()
    rows = [{"kind": "step", "step": 10 * i, "epoch": 0, "stage": 0, "loss": loss} for i, loss in enumerate(losses, 1)]
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Figure, "savefig", measured)
        draw_curves(read_curves([tmp_path / "run"]), tmp_path / "figure.png")
    assert len(shown) >= 3
    assert all(losses[-1] / 3 < float(text) < 3 * losses[0] for text in shown), shown


def test_the_data_stand_beside_the_figure(tmp_path: Path) -> None:
    """Guards figures nobody can draw again."""
    draw_curves(read_curves([a_run(tmp_path / "a"), a_run(tmp_path / "b", last=0.25)]), tmp_path / "new" / "curves.png")
    assert (tmp_path / "new" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "new" / "curves.svg").read_text()
    rows = list(csv.DictReader((tmp_path / "new" / "curves.csv").read_text().splitlines()))
    assert len(rows) == 10
    assert [row["final_accuracy"] for row in rows if row["final_accuracy"]] == ["0.5", "0.25"]
    assert [row["loss"] for row in rows if row["run"] == "a"] == ["1.0", "", "", "3.0", ""]


def test_the_command(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards refusals in one line, and a figure that is there already."""
    monkeypatch.chdir(tmp_path)
    a_run(Path("run"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "metrics.jsonl").write_text("")
    assert "at least one run" in refused("curves", capsys)
    assert "takes 1 to 16 runs, got 17" in refused("curves " + "run " * 17, capsys)
    assert "names a PNG" in refused("curves run --out curves.pdf", capsys)
    assert "no step with a loss" in refused("curves empty", capsys)
    assert "nowhere" in refused("curves nowhere", capsys)
    call("curves run")
    assert sorted(path.name for path in Path().glob("curves.*")) == ["curves.csv", "curves.png", "curves.svg"]
    assert "curves.png exists" in refused("curves run", capsys)
