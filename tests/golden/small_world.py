"""The small world's golden losses: `python tests/golden/small_world.py` writes them anew.

Every row of its table, on every task: a fresh model's loss and gradient norm on the first problems of each stage that
lasts, as training lays them out (mixing, redrawing and all), in float32. Write them anew only when a change is meant to
alter training, and say so in its commit message: the runs behind the table are then no longer what their recipes make.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unspoken.config import RunConfig

FILE = Path(__file__).parent / "small_world.json"
ROWS = 16
"""Problems of each measurement."""


def recipes() -> list[str]:
    """The rows of the small world's table."""
    from unspoken.recipes import RECIPES

    families = ("small/prosqa/", "small/prosqa-released/", "small/prontoqa/", "small/words/")
    warm_starts = ("walk", "fork", "chain")
    return [
        name
        for name in RECIPES
        if name.startswith(families) and "/ablation/" not in name and not name.endswith(warm_starts)
    ]


def measure(config: RunConfig) -> dict[str, list[float]]:
    """Loss a label and gradient norm, by stage."""
    import torch

    from unspoken.batch import collate
    from unspoken.build import build_model
    from unspoken.config import After
    from unspoken.data import TrainingData

    spec = config.model
    while isinstance(spec, After):
        spec = spec.first.model
    model = build_model(spec, config.task, seed=config.seed).train()
    assert model.tokenizer is not None
    data = TrainingData(config, config.task.examples("train"), model.tokenizer, model.marks, positions=None)
    found: dict[str, list[float]] = {}
    for epoch in range(config.curriculum.epochs):
        stage = str(config.curriculum.stage(epoch))
        if stage in found:
            continue
        batch = collate(next(data.epoch(epoch))[:ROWS], pad_id=model.pad_id)
        torch.manual_seed(0)
        model.zero_grad()
        loss = config.method.loss(model, batch) / batch.num_labels
        loss.backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        found[stage] = [loss.item(), norm.item()]
    return found


def main() -> None:
    """Writes the file."""
    from unspoken.recipes import find_recipe

    FILE.write_text(json.dumps({name: measure(find_recipe(name)) for name in recipes()}, indent=1) + "\n")
    print(f"written: {FILE}")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
