"""Tiny random models of many families, rows to feed them, and a tokenizer of a few words.

Weights are drawn with a large spread, so that attention, thoughts and positions all change the logits a good deal: with
Hugging Face's 0.02 a wrong mask would hide in the last digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from unspoken.batch import Batch, collate
from unspoken.layout import IGNORE_INDEX, Layout
from unspoken.model import LatentLM, LatentOutput

VOCABULARY = 70
POSITIONS = 48
WINDOW = 4
PAD = 69
"""Any id would do, so one that tests also use as an ordinary token."""

few = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
"""For properties that run a model."""

_NO_SPECIALS: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.25,
    # Tied random models write their last token again and again, which is no test of decoding.
    "tie_word_embeddings": False,
    **_NO_SPECIALS,
}

CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=POSITIONS,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.25,
        tie_word_embeddings=False,
        **_NO_SPECIALS,
    ),
    "llama": lambda: LlamaConfig(**_SIZES),
    "qwen3": lambda: Qwen3Config(**_SIZES, head_dim=8),
    "gemma3": lambda: Gemma3TextConfig(
        **_SIZES,
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=WINDOW,
        layer_types=["sliding_attention", "full_attention"],
        final_logit_softcapping=5.0,
    ),
    "olmo2": lambda: Olmo2Config(**_SIZES),
    "gpt_neox": lambda: GPTNeoXConfig(**{k: v for k, v in _SIZES.items() if k != "num_key_value_heads"}),
    "gemma2": lambda: Gemma2Config(
        **_SIZES,
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=WINDOW,
        layer_types=["sliding_attention", "full_attention"],
        final_logit_softcapping=5.0,
    ),
    "granite": lambda: GraniteConfig(
        **_SIZES, embedding_multiplier=3.0, logits_scaling=2.0, residual_multiplier=0.7, attention_multiplier=0.4
    ),
    "mistral": lambda: MistralConfig(**_SIZES, sliding_window=WINDOW),
}
WINDOWED = {"gemma2", "gemma3", "mistral"}
FAMILIES = [
    (family, attention)
    for family in CONFIGS
    for attention in ("eager", "sdpa")
    if (family, attention) != ("gemma2", "sdpa")  # transformers has none: sdpa cannot cap scores
]


def build(
    family: str, attention: str = "sdpa", *, dtype: torch.dtype = torch.float64, **changes: Any
) -> PreTrainedModel:
    """A new random model in evaluation mode."""
    config = CONFIGS[family]()
    config.update(changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        lm = AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=dtype)
        # Norms start at one and biases at zero: a bug there would not show.
        with torch.no_grad():
            for parameter in lm.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.1 * torch.randn_like(parameter))
    return lm.eval()


@cache
def shared(family: str, attention: str = "sdpa") -> LatentLM:
    """One model a family for the tests that leave it as it is (no training mode, no `backward`)."""
    # transformers' eager attention computes its softmax in float32, where float64's "minus a lot" is minus infinity:
    # a padded position that attends to nothing is NaN in float64, and only there.
    dtype = torch.float32 if attention == "eager" and family in WINDOWED else torch.float64
    return LatentLM(build(family, attention, dtype=dtype)).eval()


def tolerance(model: LatentLM) -> float:
    """Largest difference allowed: families with RMS norms compute those in float32, whatever the model's dtype.

    Their eager attention computes its softmax in float32 too, which the fast path does not.
    """
    if model.lm.dtype == torch.float32:
        return 1e-4
    if model.lm.config._attn_implementation == "eager" and model.lm.config.model_type in ("llama", "qwen3"):
        return 1e-5
    return 1e-9 if model.lm.config.model_type in ("gpt2", "gpt_neox") else 1e-6


def row(picture: str, *, seed: int = 0) -> Layout:
    """A row of random tokens from a picture: `q` text, `T` a thought, `a` text with a label."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(VOCABULARY, (len(picture),), generator=generator).tolist()
    return Layout(
        input_ids=ids,
        labels=[token if kind == "a" else IGNORE_INDEX for token, kind in zip(ids, picture, strict=True)],
        is_thought=[kind == "T" for kind in picture],
    )


def rows(*pictures: str, seed: int = 0) -> list[Layout]:
    return [row(picture, seed=100 * seed + i) for i, picture in enumerate(pictures)]


RAGGED = ("qqqTTqTaa", "qTqaaaa", "qqqqqqqqqa", "qqqqTTTTqqaa", "qqTaqTa")
"""Different lengths and thought counts (none, too), gaps between thoughts, labels before them, more than a window."""


@st.composite
def layouts(draw: st.DrawFn, *, max_tokens: int = 8, labels: bool = True) -> Layout:
    """Any row: thoughts anywhere but first, labels anywhere but first."""
    kinds = "qTa" if labels else "qT"
    picture = "q" + draw(st.text(kinds, max_size=max_tokens - 1))
    return row(picture, seed=draw(st.integers(0, 9)))


def forward(model: LatentLM, some: Sequence[Layout], **kwargs: Any) -> LatentOutput:
    return model(**collate(some, pad_id=PAD).tensors(), **kwargs)


def prompt_arguments(batch: Batch) -> dict[str, Any]:
    """A batch as `LatentLM.generate` takes it."""
    return {name: tensor for name, tensor in batch.tensors().items() if name != "labels"}


def gradients(model: LatentLM, loss: Tensor | None) -> dict[str, Tensor]:
    """Of every parameter, without touching `.grad`."""
    assert loss is not None
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(parameters, found, strict=True))


def number(value: Tensor | None) -> float:
    """A loss as a number."""
    assert value is not None
    return value.item()


def assert_close(actual: Tensor | None, expected: Tensor | None, *, within: float) -> None:
    assert actual is not None
    assert expected is not None
    torch.testing.assert_close(actual, expected, rtol=within, atol=within)


def assert_same_gradients(actual: dict[str, Tensor], expected: dict[str, Tensor], *, within: float) -> None:
    """Errors relative to the largest gradient of all."""
    assert actual.keys() == expected.keys()
    scale = max(float(gradient.abs().max()) for gradient in expected.values())
    assert scale > 0, "nothing to compare: every gradient is zero"
    for name, gradient in expected.items():
        worst = float((actual[name] - gradient).abs().max())
        assert worst <= within * scale, f"{name}: off by {worst:.1e}, the largest gradient is {scale:.1e}"


def tokenizer_of(words: Sequence[str], *, extra: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """An ordinary word-level tokenizer: end-of-text, `extra` special tokens, and words split at whitespace."""
    vocabulary = {word: i for i, word in enumerate(["<|endoftext|>", *extra, *words])}
    inner = Tokenizer(WordLevel(vocabulary))
    inner.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=list(extra),
        clean_up_tokenization_spaces=False,
    )


def trainable(lm: PreTrainedModel) -> dict[str, torch.nn.Parameter]:
    """What is trained of a model, by name."""
    return {name: weight for name, weight in lm.named_parameters() if weight.requires_grad}
