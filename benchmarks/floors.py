"""What arithmetic and memory traffic alone would take: formulas, and this machine's measured peaks.

Per row, with P block parameters, L layers, d attention width, V vocabulary: a position costs 2P, each key it attends
to 4Ld, each unembedded position 2Vd; training costs three times the forward pass. Padding costs nothing here: it is
what a perfect engine would leave out. A decoding pass takes the longer of its arithmetic and the reading of what it
needs once: block weights, unembedding where something is unembedded, keys and values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from transformers import PreTrainedModel

from benchmarks.measure import Call, seconds
from unspoken.layout import IGNORE_INDEX, Layout


@dataclass(frozen=True, kw_only=True)
class Size:
    """The sizes of a model that its floors depend on."""

    parameters: int
    block_parameters: int
    """All but embeddings, of tokens and of positions, and the unembedding."""
    layers: int
    width: int
    attention_width: int
    """Heads times their width."""
    key_value_width: int
    """Key-value heads times their width."""
    vocabulary: int


def size_of(lm: PreTrainedModel) -> Size:
    """The sizes of a GPT-2 or Llama model."""
    config = lm.config
    outside = ("wte.", "wpe.", "embed_tokens.", "lm_head.")
    heads = config.num_attention_heads
    head_width = config.hidden_size // heads
    key_value_heads = config.to_dict().get("num_key_value_heads", heads)
    named = dict(lm.named_parameters())
    return Size(
        parameters=sum(each.numel() for each in named.values()),
        block_parameters=sum(each.numel() for name, each in named.items() if not any(part in name for part in outside)),
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        attention_width=heads * head_width,
        key_value_width=key_value_heads * head_width,
        vocabulary=config.vocab_size,
    )


def forward_flops(size: Size, *, positions: int, keys: int, unembedded: int) -> float:
    """Operations (a multiply-add is two) of running `positions` that attend to `keys` in all."""
    return (
        2.0 * size.block_parameters * positions
        + 4.0 * size.layers * size.attention_width * keys
        + 2.0 * size.vocabulary * size.width * unembedded
    )


def training_flops(size: Size, layouts: Sequence[Layout], *, every_position: bool = False) -> float:
    """Forward and backward of a batch; `every_position` unembeds all of them, as the published way does."""
    return 3.0 * sum(
        forward_flops(
            size,
            positions=len(row),
            keys=_triangle(len(row)),
            unembedded=len(row) if every_position else sum(label != IGNORE_INDEX for label in row.labels),
        )
        for row in layouts
    )


def decoding_flops(size: Size, prompt: Layout, new_tokens: int) -> float:
    """Every position once, an unembedding for each new token."""
    positions = len(prompt) + new_tokens - 1
    return forward_flops(size, positions=positions, keys=_triangle(positions), unembedded=new_tokens)


def published_decoding_flops(size: Size, prompt: Layout, new_tokens: int) -> float:
    """The published decoder's: thoughts once with a cache, then everything again for each further token."""
    lengths = [len(prompt) + more for more in range(new_tokens)]
    return sum(forward_flops(size, positions=n, keys=_triangle(n), unembedded=n) for n in lengths)


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """What this machine reaches in one precision."""

    flops_per_second: float
    bytes_per_second: float


def decoding_seconds(
    size: Size, prompts: Sequence[Layout], new_tokens: int, *, peaks: Peaks, bytes_a_number: int
) -> float:
    """The floor of decoding these prompts as one batch: prefill, a pass a thought, a pass a further token."""
    total = 0.0
    thoughts = max(prompt.num_thoughts for prompt in prompts)
    for step in range(thoughts + new_tokens):
        flops = num_bytes = 0.0
        for prompt in prompts:
            run, before = _pass(prompt, step, thoughts)
            writes = step >= thoughts
            keys = _triangle(before + run) - _triangle(before)
            flops += forward_flops(size, positions=run, keys=keys, unembedded=int(writes))
            num_bytes += 2.0 * size.layers * size.key_value_width * (before + run) * bytes_a_number
        num_bytes += size.block_parameters * bytes_a_number
        if step >= thoughts:
            num_bytes += size.vocabulary * size.width * bytes_a_number
        total += max(flops / peaks.flops_per_second, num_bytes / peaks.bytes_per_second)
    return total


def _pass(prompt: Layout, step: int, thoughts: int) -> tuple[int, int]:
    """(positions run, positions before them) of a row in a pass: to the next thought, to the end, then one by one."""
    if step > thoughts:
        return 1, len(prompt) + step - thoughts - 1
    places = [i for i, is_thought in enumerate(prompt.is_thought) if is_thought]
    bounds = [0, *places, len(prompt)]
    # Rows with fewer thoughts wait in the passes they have no thought for.
    own = step - (thoughts - len(places))
    return (bounds[own + 1] - bounds[own], bounds[own]) if own >= 0 else (0, 0)


def _triangle(length: int) -> int:
    return length * (length + 1) // 2


def measure_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of the fastest of some large matrix products, now."""
    gpu = device.type == "cuda"
    sides = ((8192, 8192, 8192), (16384, 4096, 4096)) if gpu else ((1024, 768, 3072), (1536, 1536, 1536))
    with torch.inference_mode():
        times = []
        for m, k, n in sides:
            a = torch.randn(m, k, device=device).to(dtype)
            b = torch.randn(k, n, device=device).to(dtype)
            times.append(_fastest(partial(torch.mm, a, b), device) / (2.0 * m * k * n))
    return 1.0 / min(times)


def measure_bandwidth(device: torch.device) -> float:
    """Bytes a second that a float32 matrix-vector product reads, now: what a decoding pass at batch 1 mostly does."""
    rows, columns = (32768, 16384) if device.type == "cuda" else (8192, 8192)
    with torch.inference_mode():
        matrix = torch.zeros(rows, columns, device=device)
        vector = torch.zeros(columns, device=device)
        return matrix.numel() * matrix.element_size() / _fastest(partial(torch.mv, matrix, vector), device)


def _fastest(call: Call, device: torch.device) -> float:
    # The fastest, not the median: a floor is what the machine can do when nothing disturbs it.
    return min(seconds(call, device) for _ in range(8))
