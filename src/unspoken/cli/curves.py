"""`unspoken curves`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from unspoken.cli.arguments import PROGRAM, Runs, parse


@final
@dataclass(frozen=True)
class _Curves:
    """Draw training loss and validation accuracy of runs over their steps."""

    runs: Runs
    """Run folders."""
    out: Path = field(default_factory=lambda: Path("curves.png"))
    """The figure; an SVG and a CSV with its data go beside it. An existing one is refused."""


def curves(args: Sequence[str]) -> None:
    """Draw training loss and validation accuracy of runs: curves RUN... --out FILE.png."""
    from unspoken.curves import draw_curves, read_curves

    options = parse(_Curves, args, name="curves")
    if not options.runs:
        raise ValueError(f"curves needs at least one run folder, as in {PROGRAM} curves runs/*")
    if options.out.suffix != ".png":
        raise ValueError(f"--out names a PNG, as in --out curves.png, got {options.out}")
    for written in (options.out.with_suffix(suffix) for suffix in (".png", ".svg", ".csv")):
        if written.exists():
            raise ValueError(f"{written} exists; remove it or choose another --out")
    draw_curves(read_curves(options.runs), options.out)
    print(f"{options.out}, and as .svg and .csv")
