"""The rules of docs/scale.md: memory and communication of a Llama from its sizes alone. `scale.py` checks them.

No weights are needed: models are made on torch's meta device, which knows shapes and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from unspoken.specs import Engine, Lora

GIB = 2**30

SHARED: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, "vocab_size": 128_256}
LARGE = {
    "Llama 3.2-3B": LlamaConfig(
        hidden_size=3072,
        num_hidden_layers=28,
        num_attention_heads=24,
        num_key_value_heads=8,
        intermediate_size=8192,
        tie_word_embeddings=True,
        **SHARED,
    ),
    "Llama 3-8B": LlamaConfig(
        hidden_size=4096,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        intermediate_size=14_336,
        tie_word_embeddings=False,
        **SHARED,
    ),
}
SMALL = LlamaConfig(
    hidden_size=128,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    intermediate_size=352,
    tie_word_embeddings=False,
    **{**SHARED, "vocab_size": 97},
)
Kept = Literal["trained", "frozen", "frozen in bf16"]
"""What becomes of the weights of the blocks."""
RANKS, MICRO, TEXT, THOUGHTS, LENGTH = 8, 8, 100, 6, 110
"""The case worked out in full: GPUs, rows in a forward pass, GSM8K's tokens before and after the thoughts."""


@dataclass(frozen=True)
class Sizes:
    """What the rules below are made of, in numbers (not bytes)."""

    layers: int
    width: int
    keys: int
    """Width of the keys of a token, in a layer; its values take as much."""
    inner: int
    """Width inside the feed-forward."""
    block: int
    """Weights in a block."""
    rest: int
    """All other weights."""
    linear: int
    """Weights of all linear layers inside the blocks."""
    lora: int
    """Weights of adapters of the default rank in every linear layer of the blocks."""

    @property
    def total(self) -> int:
        return self.layers * self.block + self.rest


def sizes(config: LlamaConfig) -> Sizes:
    """Counted on a model without storage."""
    with torch.device("meta"):
        lm = AutoModelForCausalLM.from_config(config)
    blocks = sum(p.numel() for name, p in lm.named_parameters() if ".layers." in name)
    linear = [
        module for name, module in lm.named_modules() if ".layers." in name and isinstance(module, torch.nn.Linear)
    ]
    return Sizes(
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        keys=config.hidden_size // config.num_attention_heads * config.num_key_value_heads,
        inner=config.intermediate_size,
        block=blocks // config.num_hidden_layers,
        rest=sum(p.numel() for p in lm.parameters()) - blocks,
        linear=sum(module.in_features * module.out_features for module in linear),
        lora=sum(Lora().rank * (module.in_features + module.out_features) for module in linear),
    )


def activation_bytes(of: Sizes, engine: Engine, *, bf16: bool) -> int:
    """Bytes kept for the backward pass, a token and a layer, of a pass of many columns.

    fast: for each of two norms its input and the normed input; what the projections read; queries, keys, values; what
    attention gives; the feed-forward's two inner vectors. sparing: the block's input, keys and values. In bf16 all are
    half as long but the residual stream and what norms keep, and each of the five projections has its own copy of what
    it reads, as autocast makes them; in fp32 there are two.
    """
    exact, product = 4, 2 if bf16 else 4
    kept = 2 * of.keys * product
    if engine == "sparing":
        return of.width * exact + kept
    norms, read = 4 * of.width * exact, (5 if bf16 else 2) * of.width * product
    return norms + read + (2 * of.width + 2 * of.inner) * product + kept


def copied_bytes(of: Sizes, passes: int, weights: Kept) -> float:
    """Bytes of bf16 copies kept for the backward pass, a weight of the blocks, engine fast.

    Autocast remembers the copy of a weight that is trained, and copies a frozen one anew in every pass. Passes of many
    columns, before and after the thoughts, work out the feed-forward's last product again, and keep no copy for it.
    Of what is in bf16 already nothing is copied.
    """
    match weights:
        case "trained":
            return 2
        case "frozen":
            return 2 * passes - 2 * 2 * of.width * of.inner / of.block
        case "frozen in bf16":
            return 0


def gathers(of: Sizes, passes: int) -> int:
    """All-gathers of a step under FSDP2: every block in every pass, forward and backward; the rest once."""
    return 2 * of.layers * passes + 1


def scatters(of: Sizes) -> int:
    """Reduce-scatters of a step: one for each block, after all its passes have gone backward, and one for the rest."""
    return of.layers + 1


def state_bytes(of: Sizes) -> float:
    """Per GPU: shares of weights, gradients and moments, what is gathered, whole gradients, bf16 copies."""
    return 16 * of.total / RANKS + 8 * of.rest + 8 * of.block + 6 * of.layers * of.block


def adapted_bytes(of: Sizes, weights: Kept) -> float:
    """LoRA in one process: frozen weights, and adapters with their gradients and moments."""
    narrow = of.linear if weights == "frozen in bf16" else 0
    return 4 * of.total - 2 * narrow + 16 * of.lora
