"""What may be loaded: safetensors and JSON. A pickle runs whatever its maker wrote into it, so none is ever opened.

`check_model_folder` looks at a model's folder before any library does, because each of them falls back to something:
transformers to `pytorch_model.bin`, its index files to whatever they name, adapters to `adapter_model.bin`.
`unspoken import` (`importing.py`) is the one door for weights that exist as a pickle only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar, final

import msgspec

T = TypeVar("T")

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
"""How the names of files end that torch or others pickled."""

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


@final
class _Index(msgspec.Struct):
    weight_map: dict[str, str]


@final
class _Config(msgspec.Struct):
    transformers_weights: str | None = None


def check_model_folder(folder: Path) -> None:
    """Refuses a model's folder from which something other than safetensors would be loaded.

    Raises:
        ValueError: it is a file, has no `config.json`, no safetensors, or names a file that is no safetensors.
    """
    if folder.is_file():
        raise ValueError(f"{folder}: expected a saved model's folder, got a file{_way_out(folder)}")
    config = folder / "config.json"
    if not config.is_file():
        raise ValueError(f"{folder}: no config.json, so not a saved model; a run folder keeps its model in final/")
    named = _read(config, _Config).transformers_weights
    _check_adapter(folder)
    weights = folder / (named or WEIGHTS)
    index = weights if weights.name.endswith(".index.json") else folder / INDEX
    if weights.name.endswith(".safetensors") and weights.is_file():
        return
    if not index.is_file():
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLED)
        if pickled:
            raise ValueError(
                f"{folder}: its weights are pickled ({', '.join(pickled)}), and a pickle can run its maker's code when "
                f"it is loaded; expected {WEIGHTS}{_way_out(folder / pickled[0])}"
            )
        raise ValueError(f"{folder}: no model could be loaded: there is no {WEIGHTS} beside config.json")
    for shard in sorted(set(_read(index, _Index).weight_map.values())):
        if Path(shard).suffix != ".safetensors" or Path(shard).name != shard:
            raise ValueError(f"{index}: names {shard!r} as a file of weights; expected a .safetensors file beside it")


def _check_adapter(folder: Path) -> None:
    """Where peft is installed, transformers loads an adapter that lies beside the weights."""
    pickled = folder / "adapter_model.bin"
    if pickled.exists() and not (folder / "adapter_model.safetensors").is_file():
        raise ValueError(
            f"{pickled}: a pickled adapter, which can run its maker's code when it is loaded; expected "
            "adapter_model.safetensors; remove it, or save the adapter anew with safetensors"
        )


def _way_out(file: Path) -> str:
    if file.suffix.lower() not in PICKLED:
        return ""
    base = file.parent if (file.parent / "config.json").is_file() else "BASE"
    return f"; to take over its tensors and nothing else: unspoken import {file} --base {base} --out NEW"


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error
