"""Model x task -> Records, by greedy decoding of the very layout the model was trained on, cut at its first target.

All prompts go to the model at once, which decodes them so many rows at a time. Where rows share their thoughts
(`Method.min_rows` above 1) they are cut into batches here, whose rows stay together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from unspoken.batch import even_chunks
from unspoken.data import tokenize
from unspoken.generate import Written
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
    on_finished: Callable[[int], None] = lambda num_rows: None,
) -> list[Record]:
    """Decodes all examples, at most `rows` at a time; records come in the examples' order.

    `on_finished` is told how many rows have just been answered.

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
    records: dict[int, Record] = {}
    for chunk in _batches(prompts, rows, needed=method.min_rows(thoughts), method=method):
        written = _write(model, method, task, [prompts[i] for i in chunk], rows, on_finished)
        for i, row in zip(chunk, written, strict=True):
            text = str(tokenizer.decode(row.tokens, skip_special_tokens=True))
            prediction = task.extract(text)
            records[i] = Record(
                index=i,
                prompt=str(tokenizer.decode(_visible(prompts[i], marks))),
                output=text,
                prediction=prediction,
                target=examples[i].answer,
                correct=task.correct(prediction, examples[i]),
                num_tokens=len(row.tokens),
                num_thoughts=prompts[i].num_thoughts,
                seconds=row.prefill_seconds + row.thought_seconds + row.text_seconds,
                prefill_seconds=row.prefill_seconds,
                thought_seconds=row.thought_seconds,
                text_seconds=row.text_seconds,
                path_class=task.classify(text, examples[i], hidden=method.hidden_steps(stage=stage, thoughts=thoughts)),
            )
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
        _write(model, method, task, [prompt], rows=1)
        seconds.append(time.perf_counter() - started)
    # The first call warms up caches and lazily loaded kernels.
    return seconds[1:]


def _batches(prompts: Sequence[Layout], rows: int, *, needed: int, method: Method) -> list[list[int]]:
    """Which prompts go to the model in one call: all of them, unless rows must stay together."""
    everything = list(range(len(prompts)))
    if needed == 1:
        return [everything] if everything else []
    # Neighbours in length share a batch; the padding they save is most of a batch of mixed questions.
    chunks = even_chunks(sorted(everything, key=lambda i: len(prompts[i])), rows)
    for chunk in chunks:
        if len(chunk) < needed:
            raise ValueError(
                f"{type(method).__name__} needs at least {needed} rows in a batch, got {len(chunk)}; evaluate more "
                "examples or raise --batch.evaluation"
            )
    return chunks


def _write(
    model: LatentLM,
    method: Method,
    task: Task,
    prompts: Sequence[Layout],
    rows: int,
    on_finished: Callable[[int], None] = lambda num_rows: None,
) -> list[Written]:
    """What each row wrote, end-of-text left out."""
    assert model.tokenizer is not None
    end = model.tokenizer.eos_token_id
    with torch.inference_mode():
        written = model.write(
            prompts,
            max_new_tokens=task.max_new_tokens,
            rows=rows,
            eos_token_id=end,
            feed_back=method.feed_back,
            on_finished=on_finished,
        )
    for row in written:
        if row.tokens and row.tokens[-1] == end:
            row.tokens.pop()
    return written


def _visible(prompt: Layout, marks: Marks) -> list[int]:
    hidden = {marks.bot, marks.eot, marks.thought, marks.pause}
    return [token for token in prompt.input_ids if token not in hidden]
