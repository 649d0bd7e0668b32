"""`unspoken import`: raw state dicts of the published implementation -> a folder of ours.

1. The file is read with `weights_only`: tensors and plain containers, nothing that could run (safetensors work too).
2. Names lose what wrappers put before them: `module.`, FSDP's and compile's, and the published `base_causallm.`. Its
   `embedding.weight`, the input embeddings once more, is checked and dropped.
3. The rows of the embeddings tell which tokens the model knows. The published code adds `<|start-latent|>`,
   `<|end-latent|>` and `<|latent|>` after the tokenizer's own tokens, in this order; our pause gets no row (see
   `markers.find_or_add_markers`), so that the model computes what it computed there.
4. Every name and shape is compared with the base's architecture; then all is written by `LatentLM.save_pretrained`.

The base gives config and tokenizer; weights of its own are not looked at.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from unspoken.build import notes_of
from unspoken.config import RunConfig
from unspoken.durable import partial_name, publish
from unspoken.environment import describe_environment
from unspoken.layout import MARKERS
from unspoken.markers import name_markers
from unspoken.model import LatentLM
from unspoken.notes import Notes
from unspoken.tokenization import tokenizer_named

WRAPPERS = re.compile(r"(^module\.)|_fsdp_wrapped_module\.|_checkpoint_wrapped_module\.|_orig_mod\.")
"""What data-parallel, FSDP, checkpoint and compile wrappers put into names."""

COCONUT = "base_causallm."
"""Before every name of the published `Coconut` module, but for its second name of the input embeddings."""
EMBEDDING = "embedding.weight"

ADDED = tuple(name for field, name in MARKERS.items() if field != "pause")
"""Tokens the published code adds, in its order."""

BUFFERS = re.compile(r"\.(attn|attention)\.(masked_)?bias$|rotary_emb\.inv_freq$")
"""Masks and frequencies that earlier versions of transformers saved beside the weights; they are no weights."""


def import_weights(
    files: Sequence[Path], *, base: Path, out: Path, config: RunConfig | None = None, thoughts: int | None = None
) -> LatentLM:
    """Reads weights, writes them to the folder `out` in our format, and gives the model.

    `config` says how the model was trained; without one, `thoughts` is how many continuous thoughts follow a question.
    Several files are the parts of one state dict.

    Raises:
        ValueError: `out` exists, a file holds more than tensors or cannot be read, the weights are not of the base's
            architecture, or the thoughts of a Coconut model are not told.
    """
    if out.exists():
        raise ValueError(f"{out} exists; choose another --out")
    if thoughts is not None and thoughts < 0:
        raise ValueError(f"the number of thoughts must be at least 0, got {thoughts}")
    if not (base / "config.json").is_file():
        raise ValueError(f"{base}: no config.json; expected a Hugging Face folder with the base's config and tokenizer")
    state, coconut = unwrapped(_read_all(files), files[0])
    if coconut and config is None and thoughts is None:
        raise ValueError(
            f"{files[0]}: weights do not tell how many thoughts a model was trained with; expected --recipe NAME (as "
            "gsm8k/gpt2/coconut) or --thoughts N"
        )
    try:
        settings = AutoConfig.from_pretrained(base, trust_remote_code=False)
    except Exception as error:  # the library's own classes
        raise ValueError(f"{base}: no config could be read: {str(error).splitlines()[0]}") from error
    tokenizer = tokenizer_named(str(base))
    lm = build_around(state, settings, tokenizer, files[0])
    model = LatentLM(lm.eval(), tokenizer)
    notes = _notes(model, config, thoughts)
    model.notes = msgspec.structs.replace(notes, seed=None, base_model=base.name, imported_from=files[0].name)
    partial = partial_name(out)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        model.save_pretrained(partial)
        publish(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return model


def import_run(files: Sequence[Path], *, base: Path, run: Path, config: RunConfig) -> LatentLM:
    """The same as a run folder, with the model in `final/`: it can be evaluated, probed and audited like any run.

    Raises:
        ValueError: as `import_weights`.
    """
    if run.exists():
        raise ValueError(f"{run} exists; choose another --run")
    partial = partial_name(run)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        model = import_weights(files, base=base, out=partial / "final", config=config)
        config.save(partial / "config.json")
        where = {**describe_environment(), "imported": [str(path) for path in files], "base": str(base)}
        (partial / "env.json").write_bytes(msgspec.json.format(msgspec.json.encode(where), indent=2) + b"\n")
        publish(partial, run)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return model


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a raw state dict by name; nothing in the file is run.

    Raises:
        ValueError: it cannot be read, or is no plain dictionary of tensors.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected a state dict, as torch.save(model.state_dict(), path) writes")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle and zip each raise their own
        if unsafe := re.search(r"GLOBAL (\S+)|Unsupported (?:class|operand) (\S+)", str(error)):
            raise ValueError(
                f"{path}: refused, nothing was run: besides tensors it holds {unsafe[1] or unsafe[2]}, which loading "
                "would call; expected a plain state dict, as torch.save(model.state_dict(), path) writes"
            ) from error
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path}: not a readable state dict: {why}") from error
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path}: expected a dictionary of tensors, got {_what(found)}")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"{path}: expected a dictionary of tensors, got {_what(value)} under {name!r}; save the state dict "
                "alone, as torch.save(model.state_dict(), path)"
            )
    return found


def _what(value: object) -> str:
    return f"an empty {type(value).__name__}" if value in ({}, [], ()) else f"an object of class {type(value).__name__}"


def _read_all(files: Sequence[Path]) -> dict[str, Tensor]:
    if not files:
        raise ValueError("expected at least one file of weights, got none")
    state: dict[str, Tensor] = {}
    for path in files:
        part = read_state(path)
        if twice := sorted(set(part) & set(state)):
            raise ValueError(f"{path}: {twice[0]!r} is in another of the {len(files)} files too; give each part once")
        state.update(part)
    return state


def unwrapped(state: dict[str, Tensor], path: Path) -> tuple[dict[str, Tensor], bool]:
    """Weights under the base model's own names, and whether they are of a published `Coconut` module.

    Raises:
        ValueError: only some names begin with `base_causallm.`, or two names are one without their wrappers.
    """
    plain: dict[str, Tensor] = {}
    for name, value in state.items():
        short = WRAPPERS.sub("", name)
        if short in plain:
            raise ValueError(f"{path}: holds {short!r} twice, once as {name!r}")
        plain[short] = value
    if not any(name.startswith(COCONUT) for name in plain):
        return plain, False
    again = plain.pop(EMBEDDING, None)
    if stray := sorted(name for name in plain if not name.startswith(COCONUT)):
        raise ValueError(f"{path}: expected every name to begin with {COCONUT!r}, as most do, got {stray[0]!r}")
    inner = {name.removeprefix(COCONUT): value for name, value in plain.items()}
    if again is not None and not any(again.shape == v.shape and torch.equal(again, v) for v in inner.values()):
        raise ValueError(f"{path}: {EMBEDDING!r} should be the input embeddings once more, but equals no other tensor")
    return inner, True


def build_around(
    state: dict[str, Tensor], settings: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, path: Path
) -> PreTrainedModel:
    """A model of the base's architecture with these weights; the tokenizer learns the markers.

    Raises:
        ValueError: a name or shape is not the architecture's, or the tokens do not fit the tokenizer.
    """
    with torch.device("meta"):
        outline = AutoModelForCausalLM.from_config(settings)
    kind = type(outline).__name__
    where = next(
        n for n, p in outline.named_parameters() if p is outline.get_input_embeddings().get_parameter("weight")
    )
    if where not in state:
        raise ValueError(
            f"{path}: holds no {where!r}, the input embeddings of a {kind}; its names begin with "
            f"{sorted(state)[0]!r}: is it a state dict of another architecture than the base's?"
        )
    _name_rows(tokenizer, rows=len(state[where]), spare=settings.get_text_config().vocab_size, path=path)
    settings.get_text_config().vocab_size = len(state[where])
    lm = AutoModelForCausalLM.from_config(settings, dtype=state[where].dtype)
    wanted = lm.state_dict()
    state = {name: value for name, value in state.items() if name in wanted or not BUFFERS.search(name)}
    tied = _twins(wanted)
    if missing := sorted(name for name in wanted if not tied[name] & set(state)):
        raise ValueError(f"{path}: holds no {missing[0]!r}, which a {kind} has; {len(missing)} tensors are missing")
    if unknown := sorted(set(state) - set(wanted)):
        raise ValueError(
            f"{path}: holds {unknown[0]!r}, which a {kind} has not; {len(unknown)} tensors are not its own"
        )
    for name, value in state.items():
        if value.shape != wanted[name].shape:
            raise ValueError(
                f"{path}: {name} has shape {tuple(value.shape)}, expected {tuple(wanted[name].shape)}; is it a "
                "model of another size than the base?"
            )
        for twin in tied[name] & set(state):
            if not torch.equal(value, state[twin]):
                raise ValueError(f"{path}: {name} and {twin} differ, but are one matrix in a {kind} with this config")
    lm.load_state_dict(state, strict=False)
    return lm


def _twins(weights: dict[str, Tensor]) -> dict[str, set[str]]:
    """For every name all names of the same memory, itself included."""
    groups: dict[int, set[str]] = {}
    for name, value in weights.items():
        groups.setdefault(value.data_ptr(), set()).add(name)
    return {name: groups[value.data_ptr()] for name, value in weights.items()}


def _name_rows(tokenizer: PreTrainedTokenizerBase, *, rows: int, spare: int, path: Path) -> None:
    """Gives the markers their rows, where the model has rows for them.

    `spare` is how many rows the base's own config has: some models have more than their tokenizers know.
    """
    vocabulary = tokenizer.get_vocab()
    known = len(vocabulary)
    missing = [name for name in ADDED if name not in vocabulary]
    if not missing and max(vocabulary[name] for name in ADDED) < rows:
        name_markers(tokenizer)
    elif missing == list(ADDED) and rows == known + len(ADDED):
        name_markers(tokenizer)
        assert [tokenizer.convert_tokens_to_ids(name) for name in ADDED] == list(range(known, rows))
    elif rows not in (known, spare):
        raise ValueError(
            f"{path}: embeddings of {rows} tokens, but the base's tokenizer has {known}; expected {known} or "
            f"{known + len(ADDED)} (with {', '.join(ADDED)}): is the base's tokenizer the one it was trained with?"
        )


def _notes(model: LatentLM, config: RunConfig | None, thoughts: int | None) -> Notes:
    if config is not None:
        return notes_of(config, model)
    if thoughts is None:
        return Notes()
    return Notes(after_question=(MARKERS["bot"], *[MARKERS["thought"]] * thoughts, MARKERS["eot"]))
