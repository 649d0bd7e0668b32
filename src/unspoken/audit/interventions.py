"""Which interventions there are, in one place, and what comes of them."""

from __future__ import annotations

from collections.abc import Sequence

from unspoken.analysis.cache import ThoughtCache
from unspoken.audit.changes import (
    AddedNoise,
    FirstRepeated,
    Identity,
    Intervention,
    Mean,
    MeanEmbedding,
    Noise,
    PauseToken,
    Permuted,
    Zero,
)
from unspoken.audit.context import Context
from unspoken.audit.parts import FirstOnly, LastOnly, OneAveraged, OneAveragedThenOn, OneFromAnother
from unspoken.audit.swaps import AskedOtherwise, OneSwapped, SwappedQuestion, SwappedThoughts
from unspoken.audit.transplants import FromAnother, FromOtherAnswer, FromSameAnswer, FromSameAsked
from unspoken.methods import Method
from unspoken.model import LatentLM
from unspoken.records import Record
from unspoken.tasks.base import Task

STRENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Norms of added noise, as shares of the norm of what it is added to."""


def standard(slots: int) -> tuple[Intervention, ...]:
    """Every intervention on prompts of `slots` slots, in the order of tables; a new one is one class and one line."""
    places = range(slots)
    return (
        Identity(),
        FromAnother(),
        FromSameAnswer(),
        FromOtherAnswer(),
        FromSameAsked(),
        SwappedThoughts(),
        SwappedQuestion(),
        AskedOtherwise(),
        Permuted(),
        FirstRepeated(),
        Mean(),
        Zero(),
        Noise(),
        PauseToken(),
        MeanEmbedding(),
        *(AddedNoise(strength) for strength in STRENGTHS),
        *(FirstOnly(num) for num in places),
        *(LastOnly(num) for num in places if num),
        *(OneFromAnother(place) for place in places),
        *(OneAveraged(place) for place in places),
        *(OneAveragedThenOn(place) for place in places[:-1]),
        *(OneSwapped(place) for place in places),
    )


def intervene(
    model: LatentLM,
    task: Task,
    method: Method,
    cache: ThoughtCache,
    interventions: Sequence[Intervention],
    *,
    rows: int = 64,
    seed: int = 0,
) -> dict[str, list[Record]]:
    """What the model answers to the cache's problems under each intervention, by its name.

    A record's `index` is the problem's place in the cache, its `target` the right answer to what was asked there (the
    other question, for some). Some interventions exist for some problems only (`Task.asked_otherwise` may be None): the
    others have no record. An intervention that does not exist here at all (`Intervention.refusal`) has an empty list.
    `standard(cache.slots)` are all there are.

    Raises:
        ValueError: the method has no slots, or problem and answer do not fit into the model's positions.
    """
    context = context_of(model, task, method, cache, rows=rows, seed=seed)
    return {
        each.name: [] if each.refusal(context) is not None else list(context.answer(each.change(context)).records)
        for each in interventions
    }


def context_of(
    model: LatentLM, task: Task, method: Method, cache: ThoughtCache, *, rows: int = 64, seed: int = 0
) -> Context:
    """The cache's problems, and the thoughts it holds, ready for interventions.

    Raises:
        ValueError: as `intervene`.
    """
    return Context(
        model,
        task,
        method,
        cache.examples,
        thoughts=cache.thoughts,
        slots=None if method.trained_thoughts in (None, cache.slots) else cache.slots,
        rows=rows,
        seed=seed,
    )
