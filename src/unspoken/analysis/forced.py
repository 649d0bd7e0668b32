"""What a model writes when it is made to go on in words at every stop: all stops of a problem in the same passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch

from unspoken.analysis.stops import stops
from unspoken.batch import even_chunks
from unspoken.data import tokenize
from unspoken.methods import Method
from unspoken.model import LatentLM
from unspoken.tasks.base import Example, Task
from unspoken.tree import Tree, write_behind

_LARGEST_MASK = 1 << 26
"""Entries of a batch's mask: rows times columns squared."""


@final
@dataclass(frozen=True, kw_only=True)
class Forced:
    """What was written at one stop of one problem."""

    text: str
    prediction: str
    correct: bool
    path_class: str | None
    """Class of the written chain, where the task has such classes."""


def write_at_stops(
    model: LatentLM,
    task: Task,
    method: Method,
    examples: Sequence[Example],
    *,
    rows: int,
    most: int | None = None,
) -> list[list[Forced]]:
    """Of every problem, of each of its stops (`stops.py`), what is written there greedily.

    `rows` problems at most run together, fewer where their texts are long; `most` is the largest number of thoughts,
    None the trained one.

    Raises:
        ValueError: fewer problems than the method needs together, or problem and text do not fit.
    """
    tokenizer = model.tokenizer
    assert tokenizer is not None
    model.eval()
    places = [stops(method, tokens, model.marks, most=most) for tokens in tokenize(examples, task, tokenizer)]
    longest = max(len(each[-1].prompt) + len(each) * (task.max_new_tokens + 1) for each in places)
    needed = method.min_rows(most)
    together = max(needed, min(rows, _LARGEST_MASK // longest**2))
    end = tokenizer.eos_token_id
    found: dict[int, list[Forced]] = {}
    for chunk in even_chunks(sorted(range(len(places)), key=lambda i: len(places[i][-1].prompt)), together):
        if len(chunk) < needed:
            raise ValueError(f"{type(method).__name__} needs at least {needed} problems together, got {len(chunk)}")
        trees = [Tree(places[i][-1].prompt) for i in chunk]
        ends = [[tree.add(place.prompt)[-1] for place in places[i]] for i, tree in zip(chunk, trees, strict=True)]
        with torch.inference_mode():
            written = write_behind(
                model.backbone,
                trees,
                ends,
                method.feed_back,
                max_new_tokens=task.max_new_tokens,
                stop_ids=[end],
                pad_id=model.pad_id,
            )
        for i, row in zip(chunk, written, strict=True):
            texts = [str(tokenizer.decode([id_ for id_ in ids if id_ != end], skip_special_tokens=True)) for ids in row]
            answers = [task.extract(text) for text in texts]
            found[i] = [
                Forced(
                    text=text,
                    prediction=answer,
                    correct=task.correct(answer, examples[i]),
                    path_class=task.classify(text, examples[i], hidden=place.steps),
                )
                for text, answer, place in zip(texts, answers, places[i], strict=True)
            ]
    return [found[i] for i in range(len(places))]
