"""What a sweep says of a cell that is complete, in one line."""

from __future__ import annotations

from pathlib import Path

from unspoken.config import RunConfig
from unspoken.records import read_summary


def duration(seconds: float) -> str:
    """`3 h 5 min`, `12 min`, `40 s`."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def about_cell(run: Path) -> str:
    """Its accuracy on every set it was asked."""
    config = RunConfig.load(run / "config.json")
    parts = []
    for folder in sorted((run / "eval").glob("*/"), key=lambda folder: (folder.name != "test", folder.name)):
        if (folder / "summary.json").is_file():
            summary = read_summary(folder)
            parts.append(f"{folder.name.removesuffix('-test')} {100 * summary.accuracy:.1f} %")
    return f"{config.recipe} seed {config.seed}: {', '.join(parts) or 'not evaluated'}"
