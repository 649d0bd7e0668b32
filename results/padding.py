"""How much of a step is padding, with random batches and with a recipe's buckets? Makes results/runs/padding.

    python results/padding.py

Counts positions of the first 64 batches (or all, where there are fewer) of an epoch in each stage, as a step collates
them. Nothing is trained.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from unspoken.batch import collate, even_chunks
from unspoken.config import After, RunConfig
from unspoken.data import TrainingData
from unspoken.environment import describe_environment
from unspoken.layout import MARKERS
from unspoken.markers import find_markers
from unspoken.recipes import find_recipe
from unspoken.specs import GPT2, Llama
from unspoken.tokenization import build_tokenizer

RECIPES = ("prosqa/gpt2/coconut", "gsm8k/gpt2/coconut", "prosqa/two-layer/coconut", "demo/walk", "demo/coconut")
BATCHES = 64


def padding(config: RunConfig, *, as_drawn: bool) -> dict[int, float]:
    """Share of padding by stage, with the recipe's own batches or with its rows as drawn."""
    model = config.model
    while isinstance(model, After):
        model = model.first.model
    assert isinstance(model, GPT2 | Llama)
    tokenizer = build_tokenizer(model.tokenizer, config.task)
    tokenizer.add_special_tokens({"additional_special_tokens": list(MARKERS.values())})
    examples = config.task.examples("train")
    data = TrainingData(config, examples, tokenizer, find_markers(tokenizer), positions=None)
    rows = config.batch.rows
    found = {}
    first = 0
    for stage, length in enumerate(config.curriculum.stage_epochs):
        if length:
            order = np.random.default_rng([config.seed, first]).permutation(len(examples)).tolist()
            drawn = (data.layouts(first, order[k : k + rows]) for k in range(0, len(order) - rows + 1, rows))
            tokens = positions = 0
            for batch in itertools.islice(drawn if as_drawn else data.epoch(first), BATCHES):
                for chunk in even_chunks(batch, config.batch.micro or rows):
                    collated = collate(chunk, pad_id=0)
                    tokens, positions = tokens + collated.num_tokens, positions + collated.input_ids.numel()
            found[stage] = round(1 - tokens / positions, 3)
        first += length
    return found


def main() -> None:
    """Writes the run folder."""
    out = Path(__file__).parent / "runs" / "padding"
    out.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in RECIPES:
        config = find_recipe(name)
        plain = replace(config, batch=replace(config.batch, bucket=1))
        found[name] = {
            "bucket": config.batch.bucket,
            "random": padding(config, as_drawn=True),
            "sorted within a batch": padding(plain, as_drawn=False),
            "buckets": padding(config, as_drawn=False),
        }
        print(name, json.dumps(found[name]), flush=True)
    (out / "env.json").write_text(json.dumps(describe_environment(), indent=2) + "\n")
    (out / "padding.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
