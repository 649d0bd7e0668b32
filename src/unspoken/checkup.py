"""A training's validation, shared among its processes: accuracy by decoding, and whether thoughts collapse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from unspoken.batch import collate
from unspoken.config import RunConfig
from unspoken.data import tokenize
from unspoken.evaluate import evaluate
from unspoken.geometry import Geometry, geometry
from unspoken.model import LatentLM
from unspoken.reports import ValidationReport
from unspoken.signals import Stop
from unspoken.tasks.base import Example

MOST = 64
"""Problems looked at: enough for a mean, few enough not to be noticed beside a validation's decoding."""


@final
class Abandoned(Exception):
    """A validation in whose middle some process was asked to stop, by signal number `asked`."""

    def __init__(self, asked: int) -> None:
        super().__init__(asked)
        self.asked = asked


def validate(
    accelerator: Accelerator,
    model: LatentLM,
    config: RunConfig,
    examples: Sequence[Example],
    *,
    step: int,
    epoch: int,
    stop: Stop,
) -> ValidationReport:
    """Decodes every example, each in one of the processes; all of them get the same report.

    Examples are laid out as the epoch's stage. In the stage the run ends with they are also laid out as evaluation will
    be, where that is something else: after a curriculum whose last stage comes early, or not at all.

    Raises:
        Abandoned: in all processes, where one was asked to stop before it was done.
    """
    stage = config.curriculum.stage(epoch)
    mine = examples[accelerator.process_index :: accelerator.num_processes]

    def go_on(num_rows: int) -> None:
        if stop.asked is not None:
            raise Abandoned(stop.asked)

    def decode(stage: int) -> list[bool]:
        records = evaluate(
            model,
            config.task,
            config.method,
            mine,
            rows=config.batch.evaluation,
            stage=stage,
            on_finished=go_on,
        )
        return [record.correct for record in records]

    ends = stage == config.curriculum.last_stage
    twice = ends and not config.method.asks_as_evaluation(stage)
    abandoned, found = 0, None
    correct: list[bool] = []
    finally_correct: list[bool] = []
    with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        try:
            correct = decode(stage)
            finally_correct = decode(config.method.stages - 1) if twice else []
            found = thought_geometry(model, config, examples, stage=stage) if accelerator.is_main_process else None
        except Abandoned as error:
            abandoned = error.asked
    if asked := max(gather_object([abandoned])):
        raise Abandoned(asked)
    correct = gather_object(correct)
    accuracy = sum(correct) / len(correct)
    final = None
    if ends:
        final = sum(gather_object(finally_correct)) / len(correct) if twice else accuracy
    return ValidationReport(
        recipe=config.recipe,
        step=step,
        epoch=epoch,
        stage=stage,
        accuracy=accuracy,
        num=len(correct),
        final_accuracy=final,
        thought_norm=None if found is None else found.norm,
        thought_distance=None if found is None or math.isnan(found.within) else found.within,
    )


def thought_geometry(model: LatentLM, config: RunConfig, examples: Sequence[Example], *, stage: int) -> Geometry | None:
    """How thoughts lie, laid out as at a stage, over the first `MOST` examples; None where nobody thinks.

    The model must be in evaluation mode. None also where a method that mixes rows has too few of them.
    """
    assert model.tokenizer is not None
    method = config.method
    tokens = tokenize(examples[:MOST], config.task, model.tokenizer)
    prompts = [method.prompt(each, model.marks, stage=stage) for each in tokens]
    counts = [prompt.num_thoughts for prompt in prompts]
    if not any(counts) or len(prompts) < method.min_rows():
        return None
    batch = collate(prompts, pad_id=model.pad_id).to(model.device)
    with torch.no_grad():
        thoughts = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            is_thought=batch.is_thought,
            plan=batch.plan,
            feed_back=method.feed_back,
        ).thoughts
    places = torch.arange(thoughts.shape[1], device=thoughts.device)
    return geometry(thoughts, places < torch.tensor(counts, device=thoughts.device)[:, None])
