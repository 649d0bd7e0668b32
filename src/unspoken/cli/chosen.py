"""Which of the folders named on the command line make a table: `runs/*` holds folders of other kinds too."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from unspoken.cli.arguments import PROGRAM

_NAMED = 4
"""Folders named in a note; of more there is only the number."""


def evaluated(folders: Sequence[Path], evaluation: str) -> list[Path]:
    """The runs that have the evaluation, each of them once; notes on stderr tell what is left out.

    Where none has it all are given back, so that whoever reads them says what is missing.

    Raises:
        ValueError: a run's config is malformed.
    """
    from unspoken.config import RunConfig
    from unspoken.tables.rows import identity

    if len(folders) == 1:
        return list(folders)
    runs = [folder for folder in folders if (folder / "eval" / evaluation / "summary.json").is_file()]
    if not runs:
        return list(folders)
    if without := [str(folder) for folder in folders if folder not in runs and not folder.is_file()]:
        named = ", ".join(without[:_NAMED]) + (f" and {len(without) - _NAMED} more" if len(without) > _NAMED else "")
        print(f"{PROGRAM}: note: no evaluation named {evaluation}, left out: {named}", file=sys.stderr)
    chosen: dict[str, Path] = {}
    for run in runs:
        config = RunConfig.load(run / "config.json")
        first = chosen.setdefault(f"{config.seed} {identity(config)}", run)
        if first.resolve() != run.resolve():
            print(
                f"{PROGRAM}: note: {run} is the same run as {first} ({config.recipe}, seed {config.seed}), left out",
                file=sys.stderr,
            )
    return list(chosen.values())
