"""What the figures of an audit say, in plain words and no further: pure functions on numbers.

"The thoughts carry the answer" is decided by two tests that stay in distribution, thoughts of the model's own in every
slot:

1. fall: how much of the accuracy above chance is lost with the thoughts of another problem. Above chance, because that
   much is right without any of it; not above the best shortcut, since a shortcut taken from the question survives the
   exchange, and then the thoughts did not carry it.
2. follow: the same graph and options, somebody else asked about, that question's thoughts under this question: how
   often is the answer the one the thoughts were about? Where the task has no such question, the first test decides.

yes: lower end of fall above `MOST` and lower end of follow above one half; and where thoughts of a problem that asks
about the *same name* can be had, the fall with those is above `MOST` too: else they may only say who is asked.
no: both upper ends below `LITTLE`, follow counted beyond what errors give anyway.
partly: some of it is beyond luck. Otherwise the problems are too few, and it cannot be told.

Zeros, noise and pauses in the slots take no part in this: a model may break on what it has never seen without having
read anything from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, final

import msgspec

from unspoken.analysis.bootstrap import Interval
from unspoken.audit.effects import Effect

MOST = 2 / 3
"""A larger share of the accuracy above chance is most of it."""
LITTLE = 0.1
"""A smaller share is next to nothing."""
HALF = 0.5
"""Answers follow the thoughts in most problems above this share."""


@final
class Carry(StrEnum):
    """Whether the thoughts carry the answer."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"
    UNKNOWN = "cannot be told"


@final
class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that the verdict goes by; shares are 0 to 1."""

    num: int
    """Problems."""
    clean: Interval
    """Accuracy of the problems left alone (Wilson)."""
    chance: float
    """What is right by chance; 0 where answers are open."""
    constant: bool
    """Whether every slot holds the same pause token."""
    fall: Interval | None
    """Share of the accuracy above chance that is lost with another problem's thoughts."""
    fall_same_asked: Interval | None
    """The same with thoughts of another problem that asks about the same name; None: there is no such test."""
    fall_same_answer: Interval | None
    """The same with thoughts of another problem with the same answer; None: there is no such test."""
    follow: Interval | None
    """Share of answers that follow the other question's thoughts; None: there is no such test."""
    follow_excess: Interval | None
    """`follow` less the share of the same problems that gave that answer anyway."""


@final
class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the figures say."""

    question: str
    answer: str
    """In a word or two."""
    why: str
    """In sentences, with the figures."""


def carry(evidence: Evidence) -> tuple[Carry, str]:
    """Whether the thoughts carry the answer, and why."""
    e = evidence
    if e.constant:
        return Carry.NO, (
            "Every slot of every problem holds the same pause token, so what is fed tells nothing about any problem; "
            "what the model works out at those places is not fed back."
        )
    above = f"{percent(e.clean)} are right, {100 * e.chance:.0f} % would be by chance"
    if e.clean.low <= e.chance:
        return Carry.NO, f"There is no answer above chance to carry: {above}."
    if e.fall is None:
        return Carry.UNKNOWN, "Thoughts of other problems could not be tried, so nothing tells."
    why = f"{above[:1].upper()}{above[1:]}. With the thoughts of another problem the model loses {_lost(e.fall)}."
    if e.follow is not None:
        why += f" With the thoughts of the other question it gives their answer in {percent(e.follow)}."
    most = e.fall.low > MOST
    follows = e.follow is None or e.follow.low > HALF
    own = e.fall_same_asked is None or e.fall_same_asked.low > MOST
    if most and follows and own:
        return Carry.YES, why
    if e.fall.high < LITTLE and (e.follow_excess is None or e.follow_excess.high < LITTLE):
        return Carry.NO, why
    if e.fall.low > 0 or (e.follow_excess is not None and e.follow_excess.low > 0):
        if most and follows and e.fall_same_asked is not None:
            why += (
                " But with the thoughts of another problem that asks about the same name it loses "
                f"{_lost(e.fall_same_asked)}: they may say who is asked rather than what the answer is."
            )
        return Carry.PARTLY, why
    return Carry.UNKNOWN, f"{why} {e.num} problems are too few to tell."


def _lost(fall: Interval) -> str:
    if fall.mean >= 1:
        return f"all of its accuracy above chance ({percent(fall)}; above 100 % is worse than chance)"
    return f"{percent(fall)} of its accuracy above chance"


def held(evidence: Evidence) -> Said | None:
    """Do the thoughts hold the answer itself, or what leads to it in their own problem?

    None where thoughts of other problems do no harm, or none with the same answer could be had.
    """
    question = "Do they hold the answer's name?"
    e = evidence
    if e.fall is None or e.fall_same_answer is None or e.fall.low <= LITTLE or e.clean.low <= e.chance:
        return None
    why = f"With the thoughts of another problem that has the same answer the model loses {_lost(e.fall_same_answer)}."
    if e.fall_same_answer.high < 1 - MOST:
        return Said(question=question, answer="yes", why=f"{why} Whose thoughts they are hardly matters then.")
    if e.fall_same_answer.low > MOST:
        why += " So they hold what leads to the answer in their own problem, not its name."
        return Said(question=question, answer="no", why=why)
    return Said(question=question, answer="in part, or it cannot be told", why=why)


def otherwise(asked: Effect | None, chance: float) -> Said | None:
    """Does the answer depend on who is asked about? None where nobody else could be asked about."""
    if asked is None:
        return None
    why = (
        f"With the same facts and options and somebody else asked about, {percent(asked.accuracy)} are right; "
        f"{percent(asked.flips)} of the answers change, as all right ones must."
    )
    answer = "yes" if asked.accuracy.low > chance else "not that it shows"
    return Said(question="Does it answer the other question as well?", answer=answer, why=why)


def order(permuted: Effect | None, smallest: float) -> Said | None:
    """Does the order of the thoughts matter? None where there is nothing to put into another order.

    `smallest` is the smallest difference that could have shown.
    """
    question = "Does the order of the thoughts matter?"
    if permuted is None:
        return None
    what = (
        f"In another order {percent(permuted.accuracy)} are right, {100 * permuted.before:.1f} % before "
        f"(difference {signed(permuted.difference)}); {100 * permuted.flips.mean:.1f} % of the answers change."
    )
    if permuted.matters:
        return Said(question=question, answer="yes" if permuted.difference.mean < 0 else "yes, it helps", why=what)
    if permuted.difference.low < -smallest:
        return Said(question=question, answer="cannot be told", why=f"{what} Luck may explain that.")
    return Said(question=question, answer="not that it shows", why=what)


def without(none: Effect | None, smallest: float) -> Said | None:
    """Would it do as well with nothing between question and answer? None where that was not tried."""
    if none is None:
        return None
    question = "Does it do as well with no slots at all?"
    why = f"{percent(none.accuracy)} are right then (difference {signed(none.difference)}; it may write more instead)."
    if none.matters:
        return Said(question=question, answer="no" if none.difference.mean < 0 else "better", why=why)
    if none.difference.low < -smallest:
        return Said(question=question, answer="cannot be told", why=f"{why} Luck may explain that.")
    return Said(question=question, answer="yes, as far as it shows", why=why)


def which(singles: Sequence[Effect]) -> Said | None:
    """Which thoughts matter? `singles` exchange one thought each, in order; None without any."""
    if not singles:
        return None
    question = "Which thoughts matter?"
    found = [(i, e) for i, e in enumerate(singles, start=1) if e.matters and e.difference.mean < 0]
    if not found:
        why = f"Exchanging any one of the {len(singles)} alone ({singles[0].about}) changes nothing beyond luck."
        return Said(question=question, answer="none by itself", why=why)
    named = ", ".join(f"thought {i} costs {-100 * e.difference.mean:.1f} points" for i, e in found)
    without = [str(i) for i in range(1, len(singles) + 1) if i not in dict(found)]
    why = f"One at a time from another problem, the others as they were: {named}."
    if without:
        why += f" No effect of thought {', '.join(without)} beyond luck."
    return Said(question=question, answer=", ".join(str(i) for i, _ in found), why=why)


def shortcuts(clean: Interval, best: tuple[str, Interval] | None, asked: tuple[str, Interval] | None) -> Said:
    """Is the accuracy more than a shortcut would give? Of each shortcut its name and accuracy on these problems.

    `best` does not see who is asked; `asked` does, and follows no facts from there.
    """
    question = "Is it more than a shortcut on these problems?"
    if best is None:
        return Said(question=question, answer="not tested", why="No shortcut of ours knows problems of this form.")
    name, share = best
    what = (
        f"The best shortcut that solves nothing, {name}, is right in {percent(share)}, the model in {percent(clean)}."
    )
    if asked is not None:
        what += (
            f" Knowing who is asked, but following no facts in their direction, the best is {asked[0]}, "
            f"{percent(asked[1])}."
        )
    if clean.low > share.high:
        return Said(question=question, answer="yes", why=f"{what} Others may exist that were not tried.")
    if clean.high < share.low:
        return Said(question=question, answer="no", why=f"{what} The shortcut alone would do better.")
    return Said(question=question, answer="not that it shows", why=what)


@final
class Place(NamedTuple):
    """Other problems, and how a model and the best blind shortcut do there."""

    name: str
    accuracy: Interval
    chance: float
    shortcut: Interval | None


def elsewhere(places: Sequence[Place], clean: Interval) -> Said:
    """Does the accuracy hold on other problems?"""
    question = "Does it hold on other problems?"
    if not places:
        return Said(question=question, answer="not tested", why="No other problems were asked.")
    holds = [place for place in places if place.accuracy.high >= clean.low]
    none = [place for place in places if place.accuracy.low <= place.chance and place not in holds]
    falls = [place for place in places if place not in holds and place not in none]
    parts = [
        f"{words}: {', '.join(f'{place.name} {percent(place.accuracy)}' for place in group)}."
        for words, group in (
            ("Not lower beyond luck", holds),
            ("Lower, but above chance", falls),
            ("Lower, and not above chance", none),
        )
        if group
    ]
    answer = "yes" if len(holds) == len(places) else "no" if len(none) == len(places) else "partly"
    return Said(question=question, answer=answer, why=" ".join([f"{percent(clean)} on its own problems.", *parts]))


def fair(places: Sequence[Place]) -> Said | None:
    """Is it more than a shortcut on other problems? None where no shortcut of ours knows them."""
    known = [(place, place.shortcut) for place in places if place.shortcut is not None]
    if not known:
        return None
    question = "Is it more than a shortcut there?"
    more = [f"{place.name} ({100 * best.mean:.1f} %)" for place, best in known if place.accuracy.low > best.high]
    less = [f"{place.name} ({100 * best.mean:.1f} %)" for place, best in known if place.accuracy.low <= best.high]
    parts = [
        f"{words}: {', '.join(names)}."
        for words, names in (
            ("Above the best shortcut that solves nothing", more),
            ("Not above it beyond luck", less),
        )
        if names
    ]
    answer = "yes" if not less else "not that it shows" if not more else "partly"
    return Said(question=question, answer=answer, why=" ".join(parts))


def percent(interval: Interval) -> str:
    """`97.0 % [95.1, 98.2]`."""
    return f"{100 * interval.mean:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def signed(interval: Interval) -> str:
    """In points, with its sign: `-3.1 [-5.0, -1.2]`."""
    return f"{100 * interval.mean:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
