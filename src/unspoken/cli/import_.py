"""`unspoken import`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, final

import tyro

from unspoken.cli.arguments import PROGRAM, parse, working


@final
@dataclass(frozen=True)
class _Import:
    """Take over weights that the published implementation saved, as a model folder of ours."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """The state dict, `checkpoint_33` say (several files: its parts). Only tensors are read, nothing in it is run."""
    base: Path
    """Hugging Face folder with the config and tokenizer of the model it was trained from; it needs no weights."""
    out: Path | None = None
    """Folder of the model to write, which must not exist."""
    run: Path | None = None
    """Instead of --out, with --recipe: run folder to write around it, for `unspoken eval` and all the others."""
    recipe: str | None = None
    """The recipe the model was trained as: how many thoughts follow a question, how a question is written."""
    thoughts: int | None = None
    """Without a recipe: how many continuous thoughts follow a question."""


def import_(args: Sequence[str]) -> None:
    """Take over weights of the published implementation: import FILE --base FOLDER --out FOLDER."""
    options = parse(_Import, args, name="import")
    if not options.files:
        raise ValueError(f"import needs a file of weights, as in {PROGRAM} import checkpoint_33 --base gpt2 --out new")
    if options.recipe is not None and options.thoughts is not None:
        raise ValueError("expected --recipe or --thoughts, got both: a recipe says how many there are")
    config = None
    if options.recipe is not None:
        from unspoken.recipes import find_recipe

        config = find_recipe(options.recipe)
    if (options.out is None) == (options.run is None):
        raise ValueError("expected --out FOLDER or --run FOLDER, one of the two")
    if options.run is not None and config is None:
        raise ValueError("--run: a run folder says how the model was trained; expected --recipe NAME as well")
    from unspoken.importing import import_run, import_weights
    from unspoken.quiet import quiet

    quiet()
    with working("reading weights"):
        if options.run is not None and config is not None:
            model = import_run(options.files, base=options.base, run=options.run, config=config)
            told = f"{options.run / 'final'}; now: {PROGRAM} eval {options.run}"
        else:
            assert options.out is not None
            model = import_weights(
                options.files, base=options.base, out=options.out, config=config, thoughts=options.thoughts
            )
            told = f"{options.out}; LatentLM.from_pretrained reads it"
    num = sum(parameter.numel() for parameter in model.parameters())
    print(f"imported {num / 1e6:.1f}M parameters: {told}")
