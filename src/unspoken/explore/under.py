"""What becomes of each answer when the thoughts are changed: the audit's interventions, as the page shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from unspoken.analysis.bootstrap import share_interval
from unspoken.analysis.cache import ThoughtCache
from unspoken.audit.changes import FirstRepeated, Intervention, Mean, Noise, PauseToken, Permuted, Zero
from unspoken.audit.interventions import context_of
from unspoken.audit.parts import FirstOnly, OneFromAnother
from unspoken.audit.swaps import AskedOtherwise, SwappedQuestion, SwappedThoughts
from unspoken.audit.transplants import FromAnother
from unspoken.explore import payload
from unspoken.explore.payload import Range, Wrote, rounded
from unspoken.explore.writing import wrote
from unspoken.methods import Method
from unspoken.model import LatentLM
from unspoken.records import Record
from unspoken.tasks.base import Task

Tell = Callable[[str], None]
"""Is told what is being done."""


def quietly(what: str) -> None:
    """Tells nobody."""


@final
@dataclass(frozen=True, kw_only=True)
class Changed:
    """The interventions that exist here, and what was written under each."""

    interventions: tuple[payload.Intervention, ...]
    by_intervention: tuple[tuple[Wrote | None, ...], ...]
    """Of each intervention, of each problem; None where it is not defined."""
    left_out: tuple[str, ...]
    """Which interventions are not possible here, and why."""
    why_none: str
    """Said where nothing could be changed at all; else empty."""


def shown(slots: int) -> tuple[Intervention, ...]:
    """The interventions on the page, a choice of `audit.interventions.standard`, in order."""
    return (
        FromAnother(),
        SwappedThoughts(),
        SwappedQuestion(),
        AskedOtherwise(),
        Permuted(),
        FirstRepeated(),
        Mean(),
        Zero(),
        Noise(),
        PauseToken(),
        FirstOnly(0),
        *(OneFromAnother(place) for place in range(slots)),
    )


def change_thoughts(
    model: LatentLM,
    task: Task,
    method: Method,
    cache: ThoughtCache,
    finals: Sequence[Record],
    *,
    rows: int,
    seed: int,
    tell: Tell,
) -> Changed:
    """Answers the cache's problems under each intervention; `finals` are the answers without any.

    Where the method has nothing that could be changed, or the cache is too small for it, the reason is given instead.
    """
    wanted = shown(cache.slots if method.trained_thoughts is not None else 0)
    try:
        context = context_of(model, task, method, cache, rows=rows, seed=seed)
    except ValueError as error:
        return Changed(interventions=(), by_intervention=(), left_out=(), why_none=f"No interventions: {error}.")
    interventions: list[payload.Intervention] = []
    by_intervention: list[tuple[Wrote | None, ...]] = []
    left_out: list[str] = []
    for i, each in enumerate(wanted, start=1):
        label = each.label
        tell(f"intervention {i} of {len(wanted)}: {label.title}")
        if (why := each.refusal(context)) is not None:
            left_out.append(f"{label.title}: {why}")
            continue
        found = {record.index: record for record in context.answer(each.change(context)).records}
        other = any(record.target != finals[at].target for at, record in found.items())
        interventions.append(
            payload.Intervention(
                name=each.name,
                title=label.title,
                about=label.about,
                asks_other=other,
                accuracy=_share([record.correct for record in found.values()]),
                changed=_share([record.prediction != finals[at].prediction for at, record in found.items()]),
            )
        )
        by_intervention.append(tuple(wrote(found[at]) if at in found else None for at in range(len(finals))))
    return Changed(
        interventions=tuple(interventions),
        by_intervention=tuple(by_intervention),
        left_out=tuple(left_out),
        why_none="" if interventions else "No interventions: none is possible on these problems.",
    )


def _share(hits: Sequence[bool]) -> Range:
    found = share_interval(sum(hits), len(hits))
    return Range(mean=rounded(found.mean), low=rounded(found.low), high=rounded(found.high), num=len(hits))
