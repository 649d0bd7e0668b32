"""`unspoken doctor`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from unspoken.cli.arguments import PROGRAM, parse, working


@final
@dataclass(frozen=True)
class _Doctor:
    """Check this machine: libraries, devices, disk, data, and a self-test of some seconds."""

    out: Path = field(default_factory=lambda: Path("runs"))
    """Where runs are to be written: it must be writable and have room."""
    record: Path | None = None
    """Instead: run the self-test and store its figures in this file, for later versions to be compared with."""


def doctor(args: Sequence[str]) -> None:
    """Check this machine: versions, devices, disk, data, and a self-test; exit code 1 if something is broken."""
    options = parse(_Doctor, args, name="doctor")
    from unspoken.doctor import Finding, examine, record
    from unspoken.quiet import quiet

    quiet()
    if options.record is not None:
        if options.record.is_dir() or not options.record.parent.is_dir():
            raise ValueError(f"--record {options.record}: expected a file to write in a folder that is there")
        with working("training and decoding"):
            record(options.record)
        print(f"figures: {options.record}")
        return
    from rich.console import Console
    from rich.table import Table

    colours = {"ok": "green", "note": "yellow", "broken": "bold red"}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("check", "", "found"):
        table.add_column(heading, overflow="fold")
    found: list[Finding] = []
    with working("checking"):
        for finding in examine(options.out):
            found.append(finding)
            way = f"\n-> {finding.todo}" if finding.todo else ""
            table.add_row(finding.what, finding.state, f"{finding.said}{way}", style=colours[finding.state] * bool(way))
    Console().print(table)
    broken = [finding.what for finding in found if finding.state == "broken"]
    if broken:
        print(f"{PROGRAM}: broken: {', '.join(broken)}", file=sys.stderr)
        sys.exit(1)
    print("nothing is broken")
