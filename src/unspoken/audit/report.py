"""What an audit found: `audit.json`, and the path from a model to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import msgspec
import numpy as np

from unspoken.analysis.bootstrap import Interval, share_interval
from unspoken.audit.beyond import (
    UNSOLVED,
    Elsewhere,
    Setting,
    Shortcut,
    ask_elsewhere,
    best_shortcut,
    chance_of,
)
from unspoken.audit.changes import CLEAN, Change, Identity, Intervention, Permuted
from unspoken.audit.context import Answered, Context, says
from unspoken.audit.effects import (
    Effect,
    corrected,
    fall_share,
    measure,
    paired_difference,
    points,
    smallest_difference,
)
from unspoken.audit.parts import FirstOnly, OneFromAnother
from unspoken.audit.steering import Steering, refusal, steer
from unspoken.audit.swaps import AskedOtherwise, SwappedThoughts
from unspoken.audit.transplants import FromAnother, FromSameAnswer, FromSameAsked
from unspoken.audit.verdict import (
    Carry,
    Evidence,
    Place,
    Said,
    carry,
    elsewhere,
    fair,
    held,
    order,
    otherwise,
    shortcuts,
    which,
    without,
)
from unspoken.records import Record
from unspoken.shortcuts.audit import Audit
from unspoken.shortcuts.findings import Group
from unspoken.tasks.base import Split


@final
class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an audit measured, and what it amounts to."""

    num: int
    """Problems."""
    slots: int
    """The most slots that a problem has."""
    constant: bool
    """Whether every slot holds the same pause token."""
    clean: Interval
    """Accuracy of the problems left alone (Wilson)."""
    chance: float
    """What is right by chance; 0 where answers are open."""
    identity_changed: int
    """Answers that change when each problem's own thoughts are stored and fed back: must be 0."""
    tests: int
    """Interventions that are tested; p-values are corrected for so many."""
    smallest: float
    """The smallest difference of accuracies that so many problems can show in so many tests."""
    evidence: Evidence
    carries: Carry
    """Whether the thoughts carry the answer."""
    why: str
    said: tuple[Said, ...]
    """What else the figures say."""
    effects: tuple[Effect, ...]
    left_out: dict[str, str]
    """Interventions that do not exist here, by name, with the reason."""
    steering: Steering | None
    not_steered: str | None
    """Why there was no steering."""
    shortcut: Shortcut | None
    """The best one on these problems that does not see who is asked, or what the question says."""
    asked: Shortcut | None
    """The best one that knows who is asked about, but follows no facts from there."""
    elsewhere: tuple[Elsewhere, ...]
    """Other problems than the run was trained on."""


@final
class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """`audit.json`."""

    run: str
    """Name of the run's folder."""
    recipe: str
    method: str
    task: dict[str, Any]
    """Settings and version of the task whose problems these are."""
    split: str
    num_in_split: int
    weights: str
    thoughts: int | None
    """The number of thoughts asked for; None: as in training."""
    rows: int
    """Most rows decoded together."""
    seed: int
    resamples: int
    seconds: float
    seconds_by_part: dict[str, float]
    hardware: str
    env: dict[str, Any]
    findings: Findings


@final
@dataclass(frozen=True, kw_only=True)
class Tried:
    """An intervention that was carried out."""

    intervention: Intervention
    change: Change
    answered: Answered

    @property
    def by_problem(self) -> dict[int, Record]:
        """The records by number of problem."""
        return {record.index: record for record in self.answered.records}


def audit_model(
    context: Context,
    interventions: Sequence[Intervention],
    *,
    known: Audit | None,
    elsewhere_on: Sequence[Setting],
    split: Split,
    num: int | None,
    slots: int | None,
    seed: int,
    on_part: Callable[[str], None] = lambda what: None,
) -> tuple[Findings, dict[str, list[Record]]]:
    """Carries everything out: what was found, and every record by the name of its intervention.

    `known` is what shortcuts get on the context's problems; None where ours do not know them. `split`, `num` and
    `slots` say which problems of other settings are asked, and with how many thoughts.
    """
    on_part("the problems left alone")
    clean = {record.index: record for record in context.clean}
    tried: dict[str, Tried] = {}
    left_out: dict[str, str] = {}
    for each in interventions:
        on_part(each.label.title)
        why = each.refusal(context)
        if why is not None:
            left_out[each.name] = why
            continue
        change = each.change(context)
        tried[each.name] = Tried(intervention=each, change=change, answered=context.answer(change))
    before = {CLEAN: clean} | {name: each.by_problem for name, each in tried.items()}
    checks = [Identity().name]
    effects = corrected(
        [
            measure(t.intervention, t.change, t.answered, context, before=before[t.intervention.beside], seed=seed)
            for t in tried.values()
        ],
        checks=checks,
    )
    on_part("steering")
    not_steered = refusal(context)
    steering = None if not_steered is not None else steer(context)
    found_elsewhere = []
    for setting in elsewhere_on:
        on_part(setting.name)
        found_elsewhere.append(
            ask_elsewhere(
                context.model,
                context.method,
                setting,
                split=split,
                num=num,
                slots=slots,
                rows=context.rows,
                seed=seed,
            )
        )
    tests = len(effects) - len(checks)
    evidence = weigh(context, tried, chance=chance_of(known), seed=seed)
    carries, why = carry(evidence)
    by_name = {effect.name: effect for effect in effects}
    singles = [by_name[name] for k in range(context.most) if (name := OneFromAnother(k).name) in by_name]
    smallest = smallest_difference(len(context), tests)
    best, asked = best_shortcut(known, UNSOLVED), best_shortcut(known, (Group.ASKED,))
    places = [
        Place(e.name, e.accuracy, e.chance, None if e.shortcut is None else e.shortcut.share)
        for e in found_elsewhere
        if e.accuracy is not None
    ]
    said = [
        held(evidence),
        otherwise(by_name.get(AskedOtherwise().name), evidence.chance),
        order(by_name.get(Permuted().name), smallest),
        which(singles),
        without(by_name.get(FirstOnly(0).name), smallest),
        shortcuts(evidence.clean, _named(best), _named(asked)),
        elsewhere(places, evidence.clean),
        fair(places),
    ]
    findings = Findings(
        num=len(context),
        slots=context.most,
        constant=context.constant,
        clean=evidence.clean,
        chance=evidence.chance,
        identity_changed=sum(
            record.output != clean[record.index].output for record in tried[Identity().name].answered.records
        ),
        tests=tests,
        smallest=smallest,
        evidence=evidence,
        carries=carries,
        why=why,
        said=tuple(each for each in said if each is not None),
        effects=tuple(effects),
        left_out=left_out,
        steering=steering,
        not_steered=not_steered,
        shortcut=best,
        asked=asked,
        elsewhere=tuple(found_elsewhere),
    )
    return findings, {CLEAN: context.clean} | {name: list(t.answered.records) for name, t in tried.items()}


def weigh(context: Context, tried: dict[str, Tried], *, chance: float, seed: int) -> Evidence:
    """What the verdict goes by."""
    clean = points(context.clean)

    def fall(name: str) -> Interval | None:
        if name not in tried:
            return None
        each = tried[name]
        now = points(each.answered.records)
        return fall_share(clean[each.change.problems], now, chance=chance, seed=seed)

    follow = excess = None
    if (swapped := tried.get(SwappedThoughts().name)) is not None:
        followed, change = swapped.answered.followed, swapped.change
        assert followed is not None and change.donors is not None
        anyway = [
            says(context.task, context.clean[i].prediction, donor, asked=example)
            for i, donor, example in zip(change.problems.tolist(), change.donors, change.examples, strict=True)
        ]
        follow = share_interval(int(followed.sum()), len(followed))
        excess = paired_difference(followed, np.array(anyway), seed=seed)
    return Evidence(
        num=len(context),
        clean=share_interval(int(clean.sum()), len(context)),
        chance=chance,
        constant=context.constant,
        fall=fall(FromAnother().name),
        fall_same_asked=fall(FromSameAsked().name),
        fall_same_answer=fall(FromSameAnswer().name),
        follow=follow,
        follow_excess=excess,
    )


def _named(shortcut: Shortcut | None) -> tuple[str, Interval] | None:
    return None if shortcut is None else (shortcut.name, shortcut.share)
