"""Files of one's own, imported before a command runs: what they define is then known by name, as ours is.

`unspoken --import mine.py eval runs/mine` reads a run of a method or a task that `mine.py` defines, and a recipe that
it puts into `unspoken.recipes.RECIPES` is one to train. `UNSPOKEN_IMPORT` names such files for good; processes that
a command starts are told in the same way.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

FLAG, VARIABLE = "--import", "UNSPOKEN_IMPORT"


def import_named(args: Sequence[str]) -> list[str]:
    """Imports what leads the arguments and what the variable names, each file once; the other arguments.

    Raises:
        ValueError: a file is not there, or cannot be imported.
    """
    rest = list(args)
    named = [name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
    while rest and rest[0].partition("=")[0] == FLAG:
        _, given, name = rest.pop(0).partition("=")
        if not given and not rest:
            raise ValueError(f"{FLAG} needs a file, as in {FLAG} mine.py")
        named.append(name if given else rest.pop(0))
    files = list(dict.fromkeys(str(Path(name).absolute()) for name in named))
    for file in files:
        _import(Path(file))
    if files:
        os.environ[VARIABLE] = os.pathsep.join(files)
    return rest


def _import(file: Path) -> None:
    # A name of its own: a file called json.py must not become everybody's json.
    name = f"imported:{file}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, file) if file.suffix == ".py" and file.is_file() else None
    if spec is None or spec.loader is None:
        raise ValueError(f"{FLAG} {file}: expected a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file does
        del sys.modules[name]
        raise ValueError(f"{FLAG} {file}: {type(error).__name__}: {error}") from error
