"""Model x task -> Records, by greedy decoding of the very layout the model was trained on, cut at its first target."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from unspoken.batch import Batch, collate
from unspoken.data import even_chunks, tokenize
from unspoken.layout import Layout, Marks
from unspoken.methods import Method
from unspoken.model import LatentLM
from unspoken.records import Record
from unspoken.tasks.base import Example, Task


def evaluate(
    model: LatentLM,
    task: Task,
    method: Method,
    examples: Sequence[Example],
    *,
    rows: int = 128,
    stage: int | None = None,
    thoughts: int | None = None,
    on_batch: Callable[[int], None] = lambda num_rows: None,
) -> list[Record]:
    """Decodes all examples in batches of at most `rows`; records come in the examples' order.

    `stage` evaluates the model as laid out at that stage; None: the last. `thoughts` forces that many continuous
    thoughts instead.

    Raises:
        ValueError: as `Method.prompt` and `LatentLM.generate`; or the method needs more rows in a batch than it gets.
    """
    model.eval()
    marks, tokenizer = model.marks, model.tokenizer
    assert tokenizer is not None
    tokens = tokenize(examples, task, tokenizer)
    prompts = [method.prompt(t, marks, stage=stage, thoughts=thoughts) for t in tokens]
    # Neighbours in length share a batch; the padding they save is most of a batch of mixed questions.
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    records: dict[int, Record] = {}
    for chunk in even_chunks(order, rows):
        if len(chunk) < (needed := method.min_rows(thoughts)):
            raise ValueError(
                f"{type(method).__name__} needs at least {needed} rows in a batch, got {len(chunk)}; evaluate more "
                "examples or raise --batch.evaluation"
            )
        layouts = [prompts[i] for i in chunk]
        started = time.perf_counter()
        outputs = _decode(model, method, task, layouts)
        seconds = (time.perf_counter() - started) / len(chunk)
        for i, ids in zip(chunk, outputs, strict=True):
            text = str(tokenizer.decode(ids, skip_special_tokens=True))
            prediction = task.extract(text)
            records[i] = Record(
                index=i,
                prompt=str(tokenizer.decode(_visible(prompts[i], marks))),
                output=text,
                prediction=prediction,
                target=examples[i].answer,
                correct=task.correct(prediction, examples[i]),
                num_tokens=len(ids),
                num_thoughts=prompts[i].num_thoughts,
                seconds=seconds,
                path_class=task.classify(text, examples[i], hidden=method.hidden_steps(stage=stage, thoughts=thoughts)),
            )
        on_batch(len(chunk))
    return [records[i] for i in range(len(prompts))]


def time_single(
    model: LatentLM, task: Task, method: Method, examples: Sequence[Example], *, thoughts: int | None = None
) -> list[float]:
    """Seconds each example takes alone, at batch 1; empty for a method that is not defined on one row."""
    if method.min_rows(thoughts) > 1:
        return []
    model.eval()
    assert model.tokenizer is not None
    seconds = []
    for tokens in tokenize(examples, task, model.tokenizer):
        prompt = method.prompt(tokens, model.marks, thoughts=thoughts)
        started = time.perf_counter()
        _decode(model, method, task, [prompt])
        seconds.append(time.perf_counter() - started)
    # The first call warms up caches and lazily loaded kernels.
    return seconds[1:]


def _decode(model: LatentLM, method: Method, task: Task, prompts: Sequence[Layout]) -> list[list[int]]:
    """New ids of each row, end-of-text left out."""
    batch: Batch = collate(prompts, pad_id=model.pad_id).to(model.device)
    assert model.tokenizer is not None
    end = model.tokenizer.eos_token_id
    with torch.inference_mode():
        new = model.generate(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            is_thought=batch.is_thought,
            max_new_tokens=task.max_new_tokens,
            feed_back=method.feed_back,
        ).tolist()
    return [ids[: ids.index(end)] if end in ids else ids for ids in new]


def _visible(prompt: Layout, marks: Marks) -> list[int]:
    hidden = {marks.bot, marks.eot, marks.thought, marks.pause}
    return [token for token in prompt.input_ids if token not in hidden]
