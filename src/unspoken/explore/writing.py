"""What a run writes from every stop, and what its hidden states decode to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from unspoken.analysis.stops import stops
from unspoken.data import tokenize
from unspoken.evaluate import evaluate
from unspoken.explore.payload import Token, Wrote, rounded
from unspoken.methods import Method
from unspoken.model import LatentLM
from unspoken.records import Record
from unspoken.tasks.base import Example, Task

NUM_TOKENS = 5
"""How many of the likeliest tokens are shown."""

_ROWS_UNEMBEDDED = 256


def wrote(record: Record) -> Wrote:
    """What the page shows of a record."""
    return Wrote(text=record.output, answer=record.prediction, right=record.correct, path=record.path_class)


def forced(
    model: LatentLM, task: Task, method: Method, examples: Sequence[Example], *, rows: int
) -> list[tuple[Wrote, ...]]:
    """What the model writes when forced into language mode, of every problem at every stop (`analysis.stops`).

    For a method without thoughts or pauses a stop is a number of *right* steps given, so what is written is the rest.

    Raises:
        ValueError: as `evaluate`.
    """
    trained = method.trained_thoughts
    if trained is not None:
        by_stop = [evaluate(model, task, method, examples, rows=rows, thoughts=k) for k in range(trained + 1)]
        return [tuple(wrote(records[i]) for records in by_stop) for i in range(len(examples))]
    tokenizer = model.tokenizer
    assert tokenizer is not None
    places = [stops(method, tokens, model.marks) for tokens in tokenize(examples, task, tokenizer)]
    written = iter(
        model.write(
            [place.prompt for each in places for place in each],
            max_new_tokens=task.max_new_tokens,
            rows=rows,
            eos_token_id=tokenizer.eos_token_id,
            feed_back=method.feed_back,
        )
    )
    found = []
    for example, each in zip(examples, places, strict=True):
        texts = [str(tokenizer.decode(next(written).tokens, skip_special_tokens=True)) for _ in each]
        answers = [task.extract(text) for text in texts]
        found.append(
            tuple(
                Wrote(
                    text=text,
                    answer=answer,
                    right=task.correct(answer, example),
                    path=task.classify(text, example, hidden=place.steps),
                )
                for text, answer, place in zip(texts, answers, each, strict=True)
            )
        )
    return found


def top_tokens(model: LatentLM, hidden: NDArray[np.float32]) -> list[tuple[Token, ...]]:
    """The likeliest tokens of hidden states after the final norm, (M, D), with their probabilities."""
    assert model.tokenizer is not None
    texts: dict[int, str] = {}
    found: list[tuple[Token, ...]] = []
    with torch.inference_mode():
        for first in range(0, len(hidden), _ROWS_UNEMBEDDED):
            part = torch.from_numpy(hidden[first : first + _ROWS_UNEMBEDDED]).to(model.device, model.lm.dtype)
            shares = model.backbone.unembed(part).float().softmax(-1)
            top = shares.topk(min(NUM_TOKENS, shares.shape[-1]))
            for ids, values in zip(top.indices.tolist(), top.values.tolist(), strict=True):
                for id_ in ids:
                    if id_ not in texts:
                        texts[id_] = str(model.tokenizer.decode([id_]))
                found.append(tuple((texts[id_], rounded(value) or 0.0) for id_, value in zip(ids, values, strict=True)))
    return found
