"""What a sweep begins when time is short, what it says meanwhile, what it puts beside a probe. Nothing is trained."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tiny_runs import tiny
from unspoken.sweeps.base import Cell, Sweep
from unspoken.sweeps.runner import Terms, run_sweep
from unspoken.sweeps.work import Command, units

DEAR, CHEAP = Cell(config=tiny(recipe="tiny/dear")), Cell(config=tiny(recipe="tiny/cheap"))
TOOK = {"tiny/dear": {"training": 1000.0, "test": 10.0}, "tiny/cheap": {"training": 5.0, "test": 1.0}}


class Enough(Exception):
    """The sweep has said what it was listened to for."""


def known_times(runs: Path) -> None:
    """What other seeds took, as a sweep writes it down."""
    runs.mkdir(exist_ok=True)
    lines = [
        {"recipe": recipe, "kind": {"training": "train", "test": "eval"}[what], "what": what, "seconds": seconds}
        for recipe, parts in TOOK.items()
        for what, seconds in parts.items()
    ]
    (runs / "sweep.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def so_far(runs: Path, cell: Cell, step: int, num_steps: int) -> None:
    """A training that was stopped at a step."""
    run = runs / cell.name
    run.mkdir(parents=True)
    cell.config.save(run / "config.json")
    line = {"kind": "step", "step": step, "seconds": 9.0, "num_steps": num_steps}
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")


def first_begun(runs: Path, seconds: float | None) -> str:
    """Which of the two cells, the dear one being worth more, begins first in so much time."""
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        raise Enough

    sweep = Sweep(name="tiny", about="", cells=[DEAR, CHEAP])
    with pytest.raises(Enough):
        run_sweep(sweep, Terms(runs=runs, kept=None, seconds=seconds, jobs=1, say=say))
    return said[0].partition(":")[0]


@pytest.mark.parametrize(
    ("seconds", "begun"),
    [(None, DEAR), (2000, DEAR), (1020, CHEAP), (60, CHEAP), (18, DEAR)],
    ids=["no end", "time for both", "not for saving", "time for one", "time for none"],
)
def test_near_the_end_the_first_that_fits_is_begun(seconds: float | None, begun: Cell, tmp_path: Path) -> None:
    """Guards the last minutes of a machine against a training that cannot end in them while a short one could."""
    known_times(tmp_path)
    assert first_begun(tmp_path, seconds) == begun.name


def test_what_is_nearly_done_fits(tmp_path: Path) -> None:
    """Guards a dear training against being put off when seconds of it are left."""
    known_times(tmp_path)
    so_far(tmp_path, DEAR, 99, 100)
    assert first_begun(tmp_path, 60) == DEAR.name


def test_of_what_nothing_is_known_is_begun_in_order(tmp_path: Path) -> None:
    """Guards a first night: before anything has ended the most valuable cell begins."""
    assert first_begun(tmp_path, 60) == DEAR.name


def test_how_things_stand_is_told_with_steps_and_what_is_left(tmp_path: Path) -> None:
    """Guards the line that a night is watched by: steps done of all, and time by what others took, of all processes."""
    looked = Cell(config=tiny(recipe="tiny/looked"), looked=4)
    known_times(tmp_path)
    so_far(tmp_path, DEAR, 30, 100)
    shown: list[str] = []

    def show(line: str) -> None:
        shown.append(line)
        raise Enough

    sweep = Sweep(name="tiny", about="", cells=[DEAR, CHEAP, looked])
    with pytest.raises(Enough):
        run_sweep(sweep, Terms(runs=tmp_path, kept=None, seconds=None, jobs=1, say=lambda line: None, show=show))
    # 700 s and 10 s of the one, 5 s and 1 s of the other; of the third a probe, which nothing is known of.
    assert len(shown) == 1
    assert re.fullmatch(
        r"tiny-dear-seed0 training 30/100 \| left: about 12 min and 1 (run )?of unknown length", shown[0]
    )


def test_a_probe_is_made_beside_a_chain_that_is_trained(tmp_path: Path) -> None:
    """Guards probes that stand alone although the other run is there, or that fail because it is not."""
    cell = Cell(config=tiny(recipe="tiny/looked"), looked=4, beside=CHEAP.name)
    (unit,) = units([cell], tmp_path)
    probe: Command = next(command for command in unit.commands if command.kind == "probe")
    assert "--beside" not in probe.begin()
    (tmp_path / CHEAP.name / "final").mkdir(parents=True)
    assert probe.begin()[-2:] == ("--beside", str(tmp_path / CHEAP.name))
    assert [c.kind for c in unit.commands if "--beside" in c.begin()] == ["probe"]
