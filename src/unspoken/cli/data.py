"""Commands about data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unspoken.cli.arguments import PROGRAM, leading, parse


def data(args: Sequence[str]) -> None:
    """Make data: data make prosqa --num N --seed S --out FILE."""
    action, rest = leading(args)
    if action != "make":
        if action is None and ("-h" in rest or "--help" in rest):
            print(f"usage: {PROGRAM} data make prosqa --num N --seed S --out FILE")
            return
        raise ValueError(f"data can make, got {action!r}; as in {PROGRAM} data make prosqa --num 1000 --out p.json")
    kind, rest = leading(rest)
    if kind != "prosqa":
        raise ValueError(f"no data named {kind!r} can be made; expected prosqa")
    options = parse(_MakeData, rest, name="data make prosqa")
    from unspoken.tasks.prosqa import make_rows, write_rows

    if options.out.exists():
        raise ValueError(f"{options.out} exists; choose another --out")
    if not options.out.parent.is_dir():
        raise ValueError(f"{options.out.parent}: no such folder; make it first")
    if options.num < 1:
        raise ValueError(f"--num must be at least 1, got {options.num}")
    print(f"{write_rows(options.out, make_rows(options.num, options.seed))} problems: {options.out}")


@dataclass(frozen=True)
class _MakeData:
    """Make ProsQA problems in the published JSON format, distributed as the released ones."""

    out: Path
    """File to write, which must not exist."""
    num: int = 1000
    """How many problems."""
    seed: int = 0
    """Problem i depends on this and i alone."""
