"""Which model and tokenizer a run starts from. Plain descriptions; `build.py` makes the real things."""

from __future__ import annotations

import math
import os
from abc import ABC
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

Attention = Literal["sdpa", "eager"]
Precision = Literal["fp32", "bf16"]
Engine = Literal["graphs", "fast", "sparing", "plain"]
"""fast: our own blocks, refilled decoding and CPU settings where they apply; graphs: the same, and steps replayed as
CUDA graphs where there is one GPU (written, but never yet run on one); sparing: as fast, but every block of every pass
is run again in the backward pass, for less memory and more time; plain: the library's modules, unaided. All compute the
same function."""
DEFAULT_ENGINE: Engine = "fast"


class TokenizerSpec(ABC):
    """Which tokenizer a model trained from scratch uses."""


@final
@dataclass(frozen=True, kw_only=True)
class Words(TokenizerSpec):
    """A word-level tokenizer over the task's closed vocabulary, split at whitespace."""


@final
@dataclass(frozen=True, kw_only=True)
class GPT2Tokenizer(TokenizerSpec):
    """GPT-2's byte-level BPE."""

    folder: Path | None = None
    """Folder with vocab.json and merges.txt; None: tokenizer/gpt2 among the shared data files."""


class ModelSpec(ABC):
    """Which model a run starts from."""


@final
@dataclass(frozen=True, kw_only=True)
class Llama(ModelSpec):
    """A Llama-style model from random initialisation."""

    layers: int = 2
    """Transformer blocks."""
    width: int = 128
    """Hidden size."""
    heads: int = 4
    """Attention heads, each with its own keys and values."""
    mlp_width: int = 384
    """Inner size of the feed-forward blocks."""
    positions: int = 256
    """Longest sequence."""
    init_std: float = 0.09
    """Standard deviation of the initial weights; about 1/sqrt(width) suits small models, 0.02 cripples them."""
    embedding_std: float | None = None
    """Standard deviation of the initial embeddings; None: `init_std`."""
    final_gain: float = 1.0
    """Initial gain of the final norm. With `embedding_std` at the same value a first thought is as long as an
    embedding, instead of an order of magnitude longer."""
    tied: bool = True
    """Whether input and output embeddings are the same matrix."""
    attention: Attention = "eager"
    """Attention implementation; eager is the faster one for tiny models on a CPU."""
    tokenizer: TokenizerSpec = Words()
    """Its tokenizer."""

    def __post_init__(self) -> None:
        _check_sizes(self.layers, self.width, self.heads, self.positions)


@final
@dataclass(frozen=True, kw_only=True)
class GPT2(ModelSpec):
    """A GPT-2-style model from random initialisation; the defaults are GPT-2 small."""

    layers: int = 12
    """Transformer blocks."""
    width: int = 768
    """Hidden size."""
    heads: int = 12
    """Attention heads."""
    positions: int = 1024
    """Longest sequence."""
    dropout: float = 0.1
    """Dropout of embeddings, attention and residuals, as in GPT-2's own configuration."""
    init_std: float = 0.02
    """Standard deviation of the initial weights."""
    attention: Attention = "sdpa"
    """Attention implementation."""
    tokenizer: TokenizerSpec = GPT2Tokenizer()
    """Its tokenizer."""

    def __post_init__(self) -> None:
        _check_sizes(self.layers, self.width, self.heads, self.positions)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")


def _check_sizes(layers: int, width: int, heads: int, positions: int) -> None:
    if min(layers, width, heads, positions) < 1:
        raise ValueError(
            f"layers, width, heads and positions must be at least 1, got {layers}, {width}, {heads} and {positions}"
        )
    if width % heads:
        raise ValueError(f"heads must divide the width {width}, got {heads}")


SMOLLM2 = "smollm2-135m"
"""What `unspoken pretrained` calls the model that it brings."""


def pretrained_root() -> Path:
    """Where pretrained models lie, by name: `$UNSPOKEN_PRETRAINED`, else `~/.cache/unspoken`."""
    return _without_tilde(os.environ.get("UNSPOKEN_PRETRAINED") or "~/.cache/unspoken")


def _without_tilde(path: str) -> Path:
    """Unlike `Path.expanduser`, a user that does not exist is part of a name."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


@final
@dataclass(frozen=True, kw_only=True)
class Pretrained(ModelSpec):
    """A saved model, plain Hugging Face or ours, with its own tokenizer."""

    path: str
    """A local folder, one by its name in `$UNSPOKEN_PRETRAINED` (~/.cache/unspoken), or a hub name where the hub can be
    reached."""

    def found(self) -> str:
        """What to load: the folder where there is one, else the hub name as it is.

        Raises:
            ValueError: the path is empty, or it is the model that `unspoken pretrained` brings and is not there yet.
        """
        if not self.path:
            raise ValueError("model.path is empty; expected a local folder or a hub name")
        for folder in (_without_tilde(self.path), pretrained_root() / self.path):
            if folder.is_dir():
                return str(folder)
        if self.path == SMOLLM2:
            raise ValueError(
                f"{pretrained_root() / SMOLLM2}: no such folder; bring the model with make pretrained, or name another "
                "with --model.path"
            )
        return self.path


@final
@dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank adapters (LoRA) on a frozen model, of which only the markers' embedding rows are trained too.

    Takes the `adapters` extra (peft). A run saves the merged model, and the adapter itself beside it.
    """

    rank: int = 32
    """Inner size of every adapter."""
    alpha: float = 64.0
    """What an adapter adds is scaled by alpha / rank."""
    dropout: float = 0.0
    """Dropout of what the adapters read."""
    targets: tuple[str, ...] = ()
    """Which linear layers have one, by the model's names for them (q_proj v_proj); none named: all in the blocks."""
    frozen: Precision = "fp32"
    """What the frozen linear layers are kept in. bf16 takes half the memory, and gives the very same losses in a run of
    precision bf16, which rounds them in every product anyway."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"adapter.rank must be at least 1, got {self.rank}")
        if not 0 < self.alpha < math.inf:
            raise ValueError(f"adapter.alpha must be above 0 and finite, got {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"adapter.dropout must be at least 0 and below 1, got {self.dropout}")
