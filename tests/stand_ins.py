"""Small random models with the architecture of pretrained ones, as folders: what a recipe starts from in tests.

Their tokenizer is GPT-2's, from the shared data: byte-level as theirs, with a vocabulary of a size like theirs.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from unspoken.specs import SMOLLM2, GPT2Tokenizer, Pretrained
from unspoken.tasks.gsm8k import GSM8K
from unspoken.tokenization import build_tokenizer

POSITIONS = 1024
ARCHITECTURES: dict[str, dict[str, Any]] = {
    SMOLLM2: {
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
    },
    "meta-llama/Llama-3.2-3B": {
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 256,
        },
    },
    "meta-llama/Meta-Llama-3-8B": {
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
    },
}
_ROOM = TemporaryDirectory(prefix="stand-ins-")


@cache
def stand_in(spec: Pretrained) -> Pretrained:
    """The small model in the place of a pretrained one, made once a process."""
    settings = ARCHITECTURES[spec.path]
    tokenizer = build_tokenizer(GPT2Tokenizer(), GSM8K())
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=4 * settings["num_attention_heads"],
        intermediate_size=32,
        num_hidden_layers=1,
        max_position_embeddings=POSITIONS,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.1,
        **settings,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        lm = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    folder = Path(_ROOM.name) / spec.path.replace("/", "-")
    lm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Pretrained(path=str(folder))
