"""What is refused before a run folder is made, because it would end a training hours later."""

from __future__ import annotations

from collections.abc import Sequence

from unspoken.config import RunConfig
from unspoken.data import tokenize
from unspoken.model import LatentLM
from unspoken.tasks.base import Example


def refuse_no_examples(config: RunConfig, training: Sequence[Example], validation: Sequence[Example]) -> None:
    """Raises ValueError where a split that is needed has no examples."""
    for name, found in (("training", training), ("validation", validation)):
        if not found:
            raise ValueError(f"{type(config.task).__name__} has no {name} examples")


def refuse_uneven_processes(config: RunConfig, num: int) -> None:
    """Raises ValueError for batches that processes could not share evenly: they would wait for each other for ever."""
    if config.batch.rows % num:
        raise ValueError(f"batch.rows must be a multiple of the {num} processes, got {config.batch.rows}")
    rows = config.batch.rows // num
    smallest = rows // -(-rows // (config.batch.micro or rows))
    if smallest < config.method.min_rows():
        raise ValueError(
            f"{type(config.method).__name__} needs at least {config.method.min_rows()} rows in a forward pass, but "
            f"{num} processes leave it {smallest}; raise --batch.rows"
        )


def refuse_short_model(config: RunConfig, model: LatentLM, validation: Sequence[Example]) -> None:
    """Raises ValueError for a model too short for what validation will ask of it, in whichever stage."""
    limit = model.backbone.max_positions
    assert model.tokenizer is not None
    if limit is None:
        return
    asked = {stage for stage, length in enumerate(config.curriculum.stage_epochs) if length}
    asked.add(config.method.stages - 1)
    for tokens in tokenize(validation, config.task, model.tokenizer):
        for stage in sorted(asked):
            needed = len(config.method.prompt(tokens, model.marks, stage=stage)) + config.task.max_new_tokens
            if needed > limit:
                raise ValueError(
                    f"stage {stage} needs {needed} positions for a validation prompt and its answer, but the model "
                    f"has {limit}; raise --model.positions"
                )
