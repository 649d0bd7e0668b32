"""`unspoken claims`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from unspoken.cli.arguments import PROGRAM, Runs, parse
from unspoken.cli.chosen import evaluated


@final
@dataclass(frozen=True)
class _Claims:
    """Say which of the paper's claims runs agree with, task by task."""

    runs: Runs
    """Run folders, evaluated; all seeds of a recipe count as one row."""
    eval: str = "test"
    """Which evaluation of each run."""


def claims(args: Sequence[str]) -> None:
    """Say which of the paper's claims runs agree with: claims RUN..."""
    from unspoken.claims import judge, render_claims
    from unspoken.tables import collect

    options = parse(_Claims, args, name="claims")
    if not options.runs:
        raise ValueError(f"claims needs at least two run folders, as in {PROGRAM} claims runs/*")
    judged = judge(collect(evaluated(options.runs, options.eval), evaluation=options.eval, also=()))
    if not judged:
        raise ValueError("no two of these runs are the two rows of a claim on one task; Coconut and No-CoT would be")
    print(render_claims(judged), end="")
