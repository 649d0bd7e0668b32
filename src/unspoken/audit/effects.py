"""What an intervention did, beside the same problems left alone: differences, tests and what N problems can show.

Everything is paired: each problem is its own control. Pure functions on numbers; no model here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from unspoken.analysis.bootstrap import Bootstrap, Interval, share_interval
from unspoken.audit.changes import Intervention, Shown
from unspoken.audit.context import Answered, Change, Context, says
from unspoken.records import Record, wilson

ALPHA = 0.05
"""How often, all interventions considered, something is called an effect where there is none."""


@final
class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One intervention on the problems that it exists for."""

    name: str
    title: str
    about: str
    destroys: str
    shown: Shown
    series: str
    x: float
    num: int
    """Problems."""
    accuracy: Interval
    """Share of right answers to what was asked (Wilson)."""
    before: float
    """Share of right answers of the same problems before: left alone, or whatever `beside` names."""
    beside: str
    """What it is compared with: `clean`, or the name of another intervention."""
    difference: Interval
    """`accuracy` less `before`, paired (`paired_difference`)."""
    lost: int
    """Problems that were right before and no longer are."""
    gained: int
    """Problems that were wrong before and are right now."""
    p_value: float
    """Exact McNemar test: how probable so uneven a split of `lost` and `gained` is by luck."""
    p_holm: float
    """The same after Holm's correction over all interventions; 1 for the check, which is no test."""
    flips: Interval
    """Share of answers that are other than before (Wilson)."""
    followed: Interval | None
    """Share of answers that are the donor's: the problem's whose thoughts were fed (Wilson). None: nobody's were."""
    followed_before: float | None
    """Share of answers that were the donor's before anything was fed: what luck and errors give."""

    @property
    def matters(self) -> bool:
        """Whether luck does not explain the difference, all interventions considered."""
        return self.p_holm <= ALPHA


def measure(
    intervention: Intervention,
    change: Change,
    answered: Answered,
    context: Context,
    *,
    before: Mapping[int, Record],
    seed: int,
) -> Effect:
    """The effect of a change that has been answered; `before` holds the records it is compared with, by problem."""
    earlier = [before[record.index] for record in answered.records]
    now, then = (np.array([record.correct for record in side]) for side in (answered.records, earlier))
    lost, gained = int((then & ~now).sum()), int((now & ~then).sum())
    num, p_value = len(earlier), mcnemar(lost, gained)
    flipped = sum(a.prediction != b.prediction for a, b in zip(answered.records, earlier, strict=True))
    followed_before = None
    if answered.followed is not None:
        assert change.donors is not None
        said = zip(earlier, change.donors, change.examples, strict=True)
        anyway = [says(context.task, record.prediction, donor, asked=example) for record, donor, example in said]
        followed_before = float(np.mean(anyway))
    return Effect(
        name=intervention.name,
        title=intervention.label.title,
        about=intervention.label.about,
        destroys=intervention.destroys.value,
        shown=intervention.label.shown,
        series=intervention.label.series,
        x=intervention.label.x,
        num=num,
        accuracy=share_interval(int(now.sum()), num),
        before=float(then.mean()),
        beside=intervention.beside,
        difference=paired_difference(now, then, seed=seed),
        lost=lost,
        gained=gained,
        p_value=p_value,
        p_holm=p_value,
        flips=share_interval(flipped, num),
        followed=None if answered.followed is None else share_interval(int(answered.followed.sum()), num),
        followed_before=followed_before,
    )


def mcnemar(lost: int, gained: int) -> float:
    """Two-sided exact McNemar test on discordant pairs; 1 where there are none."""
    from scipy.stats import binomtest

    return float(binomtest(lost, lost + gained, 0.5).pvalue) if lost + gained else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p-values that hold for all tests together, in the order given."""
    out = [1.0] * len(p_values)
    most = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[i]))
        out[i] = most
    return out


def corrected(effects: Sequence[Effect], *, checks: Sequence[str]) -> list[Effect]:
    """The same effects with `p_holm` over all of them but the checks, which test nothing."""
    tested = [effect for effect in effects if effect.name not in checks]
    by_name = dict(zip((e.name for e in tested), holm([e.p_value for e in tested]), strict=True))
    return [msgspec.structs.replace(effect, p_holm=by_name.get(effect.name, 1.0)) for effect in effects]


def smallest_difference(num: int, tests: int) -> float:
    """The smallest difference of accuracies that `num` problems can show, all `tests` considered.

    It takes d problems that all change the same way before an exact McNemar test at `ALPHA / tests` notices, so fewer
    than d of `num` cannot be told from none. 1 or more: nothing can be shown at all.
    """
    needed = math.ceil(math.log2(2 * max(tests, 1) / ALPHA))
    return needed / num


def open_width(num: int) -> float:
    """What `num` problems without a single event leave open: the upper end of Wilson's interval for 0 of `num`."""
    return wilson(0, num)[1]


def paired_difference(left: ArrayLike, right: ArrayLike, *, seed: int) -> Interval:
    """Mean of `left` less mean of `right`, both (N,) shares of the same problems, with its 95 % interval.

    Paired bootstrap, never narrower than `open_width` on either side: where no problem changes all resamples are
    alike, which says nothing about the problems that were not drawn.
    """
    ours = np.asarray(left, np.float64)
    found = _widened(Bootstrap(len(ours), seed=seed).difference(ours, right), open_width(len(ours)))
    return Interval(mean=found.mean, low=max(found.low, -1.0), high=min(found.high, 1.0))


def fall_share(clean: ArrayLike, changed: ArrayLike, *, chance: float, seed: int) -> Interval | None:
    """How much of the accuracy above chance is lost, as a share of it, with its 95 % interval; (N,) points each.

    1: all of it; above 1: below chance. Ratio of means, paired bootstrap, widened as in `paired_difference`. None where
    the clean accuracy is not above chance, so that there is nothing to lose.
    """
    before, after = np.asarray(clean, np.float64), np.asarray(changed, np.float64)
    room = float(before.mean()) - chance
    if room <= 0:
        return None
    found = Bootstrap(len(before), seed=seed).ratio(before - after, before - chance)
    return _widened(found, open_width(len(before)) / room)


def _widened(found: Interval, width: float) -> Interval:
    return Interval(mean=found.mean, low=min(found.low, found.mean - width), high=max(found.high, found.mean + width))


def points(records: Sequence[Record]) -> NDArray[np.float64]:
    """1 where a record is right, else 0."""
    return np.array([float(record.correct) for record in records])
