"""Low-rank adapters (LoRA, arXiv 2106.09685) in a model, through peft: add, merge, save, load.

Adapters are put into the library's own modules, so the model stays a `PreTrainedModel` whose submodules compute
something more, and everything that calls those submodules, our own blocks included, sees them. The markers' embedding
rows are new and mean nothing yet, so they are trained as they are (`trainable_token_indices`); every other weight is
frozen. Where input and output embeddings are one matrix, so are their trained rows; else both have their own.

`merged` gives a plain model with what was learned in its weights, on new tensors: the model in training is not touched,
because adding an adapter's product to a weight and subtracting it again does not give the weight back.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from unspoken.layout import Marks
from unspoken.specs import Lora

NAME = "default"
"""What peft calls the only adapter of a model."""
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model."
"""What stock peft puts before every name it saves."""


def adapted(lm: PreTrainedModel) -> bool:
    """Whether a model has an adapter in it."""
    return "peft_config" in vars(lm)


def add_lora(lm: PreTrainedModel, spec: Lora, marks: Marks, *, seed: int) -> None:
    """Puts adapters into a model, which add nothing yet, and freezes everything but them and the markers' rows.

    Raises:
        ValueError: peft is not installed, the model has an adapter already, or a target is no linear layer of it.
    """
    peft = _peft()
    if adapted(lm):
        raise ValueError("this model has an adapter already; merge it first, or start from a model without one")
    layers = _linear_layers(lm)
    _check_targets(spec.targets, layers)
    chosen = [m for name, m in layers.items() if not spec.targets or name.rpartition(".")[2] in spec.targets]
    config = peft.LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        target_modules=list(spec.targets) or "all-linear",
        # GPT-2 keeps its matrices transposed.
        fan_in_fan_out=all(isinstance(module, Conv1D) for module in chosen),
        trainable_token_indices=_marker_rows(lm, marks),
        task_type="CAUSAL_LM",
    )
    config.base_model_name_or_path = lm.name_or_path
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _inject(lm, config)
    if spec.frozen == "bf16":
        # Autocast rounds these in every product; norms and embeddings it leaves as they are.
        for layer in layers.values():
            layer.to(torch.bfloat16)
            layer.register_forward_pre_hook(_narrow)
            layer.register_forward_hook(_widen)


def merged(lm: PreTrainedModel) -> PreTrainedModel:
    """A plain model of the same class with the adapter's product in its weights; the model itself where it has none.

    Weights without an adapter are shared with `lm`, not copied, unless they are of another dtype than its embeddings.
    """
    if not adapted(lm):
        return lm
    with init_empty_weights():
        plain = AutoModelForCausalLM.from_config(
            copy.deepcopy(lm.config), attn_implementation=lm.config._attn_implementation, dtype=lm.dtype
        )
    with torch.no_grad():
        state = {name: _in_one_dtype(_effective(lm, name), lm.dtype) for name in plain.state_dict()}
    plain.load_state_dict(state, assign=True)
    plain.tie_weights()
    plain.to(lm.device)  # what no state dict has: buffers worked out from the configuration
    if lm.generation_config is not None:
        plain.generation_config = copy.deepcopy(lm.generation_config)
    return plain.train(lm.training)


def _narrow(layer: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What a layer kept in bf16 reads, in bf16: as autocast has it, and outside of autocast too."""
    return tuple(each.to(torch.bfloat16) for each in args)


def _widen(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Outside of autocast everything else is float32."""
    return output if torch.is_autocast_enabled(output.device.type) else output.float()


def save_adapter(lm: PreTrainedModel, folder: Path) -> None:
    """Writes the adapter alone, as stock peft knows it: `PeftModel.from_pretrained` loads it onto the base model, once
    that has rows for the markers."""
    peft = _peft()
    found = peft.get_peft_model_state_dict(lm, adapter_name=NAME, save_embedding_layers=False)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {_PREFIX + name: value.detach().cpu().contiguous() for name, value in found.items()},
        folder / WEIGHTS,
        metadata={"format": "pt"},
    )
    settings = {name: _plain(value) for name, value in vars(lm)["peft_config"][NAME].to_dict().items()}
    (folder / CONFIG).write_text(json.dumps({**settings, "inference_mode": True}, indent=2, sort_keys=True) + "\n")


def load_adapter(lm: PreTrainedModel, folder: Path) -> None:
    """Puts a saved adapter back into the model it was trained on, which must have rows for the markers.

    Raises:
        ValueError: peft is not installed, there is no readable adapter, or it is another model's.
    """
    peft = _peft()
    if adapted(lm):
        raise ValueError("this model has an adapter already; load the base model again")
    try:
        settings = json.loads((folder / CONFIG).read_text())
        weights = load_file(folder / WEIGHTS)
        if (kind := settings.get("peft_type")) != "LORA":
            raise ValueError(f"peft_type is {kind!r}, expected 'LORA'")
        config = peft.LoraConfig(**{**settings, "inference_mode": False})
    except Exception as error:  # safetensors and peft raise classes of their own for each kind of damage
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{folder}: no readable adapter: {why}; expected {CONFIG} and {WEIGHTS}") from error
    try:
        _inject(lm, config)
    except (ValueError, IndexError, KeyError) as error:
        raise ValueError(f"{folder}: this adapter is of another model: {str(error).splitlines()[0]}") from error
    _put_back(lm, {name.removeprefix(_PREFIX): value for name, value in weights.items()}, folder)


def base_fingerprint(lm: PreTrainedModel) -> str:
    """A number that tells a model's frozen weights from others: names, shapes and the sums of their bytes."""
    digest = hashlib.sha256()
    for name, weight in lm.named_parameters():
        if not weight.requires_grad:
            octets = weight.detach().contiguous().view(torch.uint8).view(-1, weight.element_size())
            sums = octets.sum(0, dtype=torch.int64).tolist()
            digest.update(f"{name} {tuple(weight.shape)} {sums}\n".encode())
    return digest.hexdigest()[:16]


def check_base(lm: PreTrainedModel, file: Path) -> None:
    """Remembers which frozen weights a run trains its adapter on; refuses to go on with others.

    Raises:
        ValueError: the file remembers other weights.
    """
    found = base_fingerprint(lm)
    if not file.is_file():
        partial = file.with_name(f".{file.name}")
        partial.write_text(f"{found}\n")
        partial.replace(file)
    elif (wanted := file.read_text().strip()) != found:
        raise ValueError(
            f"{file}: the model that this run's adapter is trained on has changed, from {wanted} to {found}; put the "
            "old one back, or start a new run with another --out"
        )


def _peft() -> Any:
    """The library; imported here because that takes seconds, and not everybody has it."""
    try:
        import peft
    except ImportError as error:
        raise ValueError("adapters take peft: pip install 'unspoken[adapters]'") from error
    return peft


def _inject(lm: PreTrainedModel, config: Any) -> None:
    training = lm.training
    _peft().inject_adapter_in_model(config, lm, adapter_name=NAME)
    # New modules are in training mode, whatever the model is in: their dropout would be on in evaluation.
    lm.train(training)


def _linear_layers(lm: PreTrainedModel) -> dict[str, nn.Module]:
    """What can have an adapter: every linear layer but the unembedding."""
    head = lm.get_output_embeddings()
    return {
        name: module
        for name, module in lm.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    }


def _check_targets(targets: tuple[str, ...], layers: Mapping[str, nn.Module]) -> None:
    known = list(dict.fromkeys(name.rpartition(".")[2] for name in layers))
    if unknown := [name for name in targets if name not in known]:
        raise ValueError(f"adapter.targets: this model has no linear layer {unknown[0]!r}; expected {', '.join(known)}")


def _marker_rows(lm: PreTrainedModel, marks: Marks) -> dict[str, list[int]]:
    """The markers' rows, under the names of the embeddings that have them."""
    embeddings, head = lm.get_input_embeddings(), lm.get_output_embeddings()
    assert head is not None
    rows = len(embeddings.get_parameter("weight"))
    ids = sorted(row for row in {marks.bot, marks.eot, marks.thought, marks.pause} if row < rows)
    tied = head.get_parameter("weight") is embeddings.get_parameter("weight")
    names = {module: name for name, module in lm.named_modules()}
    return {names[module]: list(ids) for module in ([embeddings] if tied else [embeddings, head])}


def _effective(lm: PreTrainedModel, name: str) -> Tensor:
    """A weight of the plain model, as the module in its place computes with it here."""
    from peft.tuners.lora import Linear as LoraLinear
    from peft.utils.other import TrainableTokensWrapper

    owner, _, leaf = name.rpartition(".")
    module: Any = lm.get_submodule(owner)
    if isinstance(module, LoraLinear):
        base = module.get_base_layer().get_parameter(leaf).detach()
        # In the wider dtype of the two: a base in bf16 would swallow most of what was learned.
        return base + module.get_delta_weight(NAME) if leaf == "weight" else base
    if isinstance(module, TrainableTokensWrapper):
        layer = module.token_adapter
        return layer.get_merged_weights([NAME]) if leaf == "weight" else layer.get_base_layer().get_parameter(leaf)
    return module.state_dict()[leaf]


def _in_one_dtype(weight: Tensor, dtype: torch.dtype) -> Tensor:
    return weight.to(dtype) if weight.is_floating_point() else weight


def _put_back(lm: PreTrainedModel, weights: dict[str, Tensor], folder: Path) -> None:
    peft = _peft()
    wanted = peft.get_peft_model_state_dict(lm, adapter_name=NAME, save_embedding_layers=False)
    if wrong := sorted(set(wanted) ^ set(weights)):
        raise ValueError(f"{folder}: this adapter is of another model; {wrong[0]!r} is in only one of the two")
    for name, value in weights.items():
        if value.shape != wanted[name].shape:
            raise ValueError(
                f"{folder}: {name} has shape {tuple(value.shape)}, expected {tuple(wanted[name].shape)}; this adapter "
                "is of another model"
            )
    peft.set_peft_model_state_dict(lm, weights, adapter_name=NAME)


def _plain(value: Any) -> Any:
    """What JSON can say; peft keeps sets."""
    return sorted(value) if isinstance(value, set) else value
