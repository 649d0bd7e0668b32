"""What a sweep says of a cell that is complete, in one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unspoken.config import RunConfig
from unspoken.records import read_summary
from unspoken.sweeps.times import Times
from unspoken.sweeps.work import Unit


def duration(seconds: float) -> str:
    """`3 h 5 min`, `12 min`, `40 s`."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def remaining(todo: Sequence[Unit], times: Times, *, jobs: int) -> str:
    """How long what is left of some runs will take: `about 3 h 5 min and 12 runs of unknown length`.

    A run's length is unknown until others of its kind have ended.
    """
    expected = [times.left(unit.left) for unit in todo]
    known = [seconds for seconds in expected if seconds is not None]
    unknown = len(expected) - len(known)
    about = f"about {duration(sum(known) / jobs)}" if known else ""
    more = f"{unknown} {'run' if unknown == 1 else 'runs'} of unknown length" if unknown else ""
    return " and ".join(part for part in (about, more) if part) or "nothing"


def about_cell(run: Path) -> str:
    """Its accuracy on every set it was asked."""
    config = RunConfig.load(run / "config.json")
    parts = []
    for folder in sorted((run / "eval").glob("*/"), key=lambda folder: (folder.name != "test", folder.name)):
        if (folder / "summary.json").is_file():
            summary = read_summary(folder)
            parts.append(f"{folder.name.removesuffix('-test')} {100 * summary.accuracy:.1f} %")
    return f"{config.recipe} seed {config.seed}: {', '.join(parts) or 'not evaluated'}"
