"""`unspoken push`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, final

import tyro

from unspoken.cli.arguments import parse, working
from unspoken.config import RunConfig


@final
@dataclass(frozen=True)
class _Push:
    """Upload a run's model with its card to the Hugging Face hub."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    to: str
    """Repository, as in user/name; it is made where it is not there. Log in with `hf auth login`."""
    weights: Literal["best", "final"] = "best"
    """best: best validation accuracy in the final stage; final: the end of training."""
    private: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Make a new repository private."""


def push(args: Sequence[str]) -> None:
    """Upload the model of RUN with its card to the Hugging Face hub: push RUN --to user/name."""
    options = parse(_Push, args, name="push")
    RunConfig.load(options.run / "config.json")
    from unspoken.quiet import quiet
    from unspoken.runs import load_run

    quiet()
    model, found = load_run(options.run, weights=options.weights)
    with working("uploading"):
        address = model.push_to_hub(options.to, private=options.private)
    print(f"uploaded {found} weights: {address}")
