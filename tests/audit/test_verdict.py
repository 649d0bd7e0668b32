"""The verdict goes no further than its figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from unspoken.analysis.bootstrap import Interval, share_interval
from unspoken.audit.changes import Shown
from unspoken.audit.effects import Effect
from unspoken.audit.verdict import (
    Carry,
    Evidence,
    Place,
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


def at(mean: float, low: float, high: float) -> Interval:
    return Interval(mean=mean, low=low, high=high)


ALL = at(1.0, 0.9, 1.1)
NONE = at(0.0, -0.02, 0.02)
SOME = at(0.4, 0.3, 0.5)
WIDE = at(0.2, -0.2, 0.6)

CARRIES = Evidence(
    num=1000,
    clean=at(0.97, 0.95, 0.98),
    chance=0.5,
    constant=False,
    fall=ALL,
    fall_same_asked=ALL,
    fall_same_answer=NONE,
    follow=at(0.95, 0.93, 0.97),
    follow_excess=at(0.92, 0.9, 0.94),
)


def but(**changes: Any) -> Evidence:
    """The evidence of a model that reads its answer off its thoughts, but for something."""
    return msgspec.structs.replace(CARRIES, **changes)


IDLE = but(fall=NONE, fall_same_asked=NONE, follow=at(0.02, 0.01, 0.03), follow_excess=NONE)


@dataclass(frozen=True)
class Case:
    """Evidence and what may be said of it."""

    evidence: Evidence
    says: Carry
    words: str = ""


CASES = {
    "everything points to the thoughts": Case(CARRIES, Carry.YES, "are right"),
    "nothing does": Case(IDLE, Carry.NO, "loses 0.0 %"),
    # nothing to carry
    "at chance": Case(but(clean=at(0.51, 0.48, 0.54)), Carry.NO, "no answer above chance"),
    "interval touches chance": Case(but(clean=at(0.55, 0.5, 0.6)), Carry.NO, "no answer above chance"),
    "below chance": Case(but(clean=at(0.3, 0.2, 0.4)), Carry.NO, "no answer above chance"),
    "a little above chance": Case(but(clean=at(0.54, 0.51, 0.57)), Carry.YES),
    "open answers, next to none right": Case(but(clean=at(0.0, 0.0, 0.01), chance=0.0), Carry.NO, "no answer"),
    "the same pause in every slot": Case(but(constant=True, fall=None, follow=None), Carry.NO, "same pause token"),
    # yes takes both tests
    "falls, but follows only half": Case(but(follow=at(0.5, 0.47, 0.53)), Carry.PARTLY),
    "follows, but falls by a half": Case(but(fall=at(0.5, 0.45, 0.55)), Carry.PARTLY),
    "falls by two thirds at best": Case(but(fall=at(0.7, 0.65, 0.75)), Carry.PARTLY),
    "falls, follow is not tested": Case(but(follow=None, follow_excess=None, fall_same_asked=None), Carry.YES),
    "falls by half, follow is not tested": Case(but(follow=None, follow_excess=None, fall=SOME), Carry.PARTLY),
    "says only who is asked": Case(but(fall_same_asked=NONE), Carry.PARTLY, "who is asked"),
    "says who is asked, perhaps": Case(but(fall_same_asked=at(0.7, 0.4, 1.0)), Carry.PARTLY, "who is asked"),
    # no takes both too
    "no fall, but some follow": Case(
        msgspec.structs.replace(IDLE, follow=SOME, follow_excess=SOME), Carry.PARTLY, "gives their answer"
    ),
    "no follow, but some fall": Case(msgspec.structs.replace(IDLE, fall=SOME), Carry.PARTLY),
    "errors alone look like following": Case(
        msgspec.structs.replace(IDLE, follow=at(0.3, 0.27, 0.33), follow_excess=NONE), Carry.NO
    ),
    "no fall, follow is not tested": Case(msgspec.structs.replace(IDLE, follow=None, follow_excess=None), Carry.NO),
    "a small fall, beyond luck": Case(msgspec.structs.replace(IDLE, fall=at(0.09, 0.05, 0.13)), Carry.PARTLY),
    "a tiny fall, beyond luck": Case(msgspec.structs.replace(IDLE, fall=at(0.03, 0.01, 0.05)), Carry.NO),
    # too few problems
    "anything is possible": Case(msgspec.structs.replace(IDLE, fall=WIDE), Carry.UNKNOWN, "too few"),
    "no fall, but follow is wide": Case(msgspec.structs.replace(IDLE, follow_excess=WIDE), Carry.UNKNOWN, "too few"),
    "no transplant": Case(but(fall=None), Carry.UNKNOWN, "could not be tried"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_may_be_said(name: str) -> None:
    """A verdict that outruns its evidence is the one mistake this tool must not make."""
    case = CASES[name]
    says, why = carry(case.evidence)
    assert says is case.says
    assert case.words in why


def test_more_evidence_never_turns_a_yes_into_a_no() -> None:
    """Limits must not cross: on the way from no fall to a whole one, verdicts come in one order."""
    ranks = {Carry.NO: 0, Carry.UNKNOWN: 1, Carry.PARTLY: 1, Carry.YES: 2}
    for width in (0.01, 0.05, 0.2):
        found = []
        for step in range(-5, 121):
            share = step / 100
            follow = max(0.0, min(1.0, share))
            excess = at(follow, follow - width, follow + width)
            ends = at(share, share - width, share + width)
            evidence = but(fall=ends, fall_same_asked=ends, follow=excess, follow_excess=excess)
            found.append(ranks[carry(evidence)[0]])
        assert found == sorted(found)
        assert found[-1] == 2
        assert (found[0] == 0) == (width < 0.1)


def effect(difference: Interval, *, p: float, name: str = "permuted", before: float = 0.9) -> Effect:
    """An effect with this difference."""
    return Effect(
        name=name,
        title="",
        about="a sentence",
        destroys="",
        shown=Shown.WHOLE,
        series="",
        x=0.0,
        num=500,
        accuracy=share_interval(round(500 * (before + difference.mean)), 500),
        before=before,
        beside="clean",
        difference=difference,
        lost=0,
        gained=0,
        p_value=p,
        p_holm=p,
        flips=share_interval(10, 500),
        followed=None,
        followed_before=None,
    )


def test_order() -> None:
    """ "No effect" must not be said where a large one may hide in the interval."""
    answers = {
        "yes": effect(at(-0.2, -0.25, -0.15), p=0.0001),
        "yes, it helps": effect(at(0.05, 0.02, 0.08), p=0.0001),
        "not that it shows": effect(at(0.0, -0.01, 0.01), p=1.0),
        "cannot be told": effect(at(-0.05, -0.12, 0.01), p=0.2),
    }
    for answer, each in answers.items():
        found = order(each, 0.02)
        assert found is not None and found.answer == answer
    falls = order(answers["yes"], 0.02)
    assert falls is not None and "90.0 % before (difference -20.0 [-25.0, -15.0])" in falls.why
    assert order(None, 0.02) is None


def test_the_other_question() -> None:
    """Right half of the time is what a model gets that never looks at who is asked."""
    blind = otherwise(effect(at(-0.4, -0.45, -0.35), p=0.001), 0.5)
    assert blind is not None and blind.answer == "not that it shows"
    looks = otherwise(effect(at(0.0, -0.05, 0.05), p=1.0), 0.5)
    assert looks is not None and looks.answer == "yes"
    assert otherwise(None, 0.5) is None


def test_without_slots() -> None:
    """Doing as well without is told from not having looked."""
    answers = {
        "no": effect(at(-0.2, -0.25, -0.15), p=0.0001),
        "better": effect(at(0.05, 0.02, 0.08), p=0.0001),
        "yes, as far as it shows": effect(at(0.0, -0.01, 0.01), p=1.0),
        "cannot be told": effect(at(-0.05, -0.12, 0.01), p=0.2),
    }
    for answer, each in answers.items():
        found = without(each, 0.02)
        assert found is not None and found.answer == answer
    assert without(None, 0.02) is None


def test_which_thoughts() -> None:
    """A thought whose exchange helps, or whose harm luck explains, must not be named."""
    harm, luck = effect(at(-0.3, -0.4, -0.2), p=0.001), effect(at(-0.02, -0.05, 0.01), p=0.6)
    helps = effect(at(0.1, 0.05, 0.15), p=0.001)
    found = which([luck, harm, helps])
    assert found is not None and found.answer == "2" and "thought 2 costs 30.0 points" in found.why
    assert "No effect of thought 1, 3" in found.why
    none = which([luck, luck])
    assert none is not None and none.answer == "none by itself"
    assert which([]) is None


def test_shortcuts() -> None:
    """Overlapping intervals are no evidence of more than a shortcut."""
    clean = at(0.92, 0.9, 0.94)
    assert shortcuts(clean, ("a", at(0.8, 0.78, 0.82)), None).answer == "yes"
    assert shortcuts(clean, ("a", at(0.91, 0.89, 0.93)), None).answer == "not that it shows"
    assert shortcuts(clean, ("a", at(0.97, 0.96, 0.98)), None).answer == "no"
    assert shortcuts(clean, None, None).answer == "not tested"
    assert "far, 99.0 %" in shortcuts(clean, ("a", at(0.8, 0.7, 0.9)), ("far", at(0.99, 0.98, 1.0))).why


def test_other_problems() -> None:
    """Each setting must be told by its own figures, and "not asked" is not "does not hold"."""
    clean = at(0.97, 0.95, 0.98)
    same, lower = Place("same", at(0.96, 0.93, 0.98), 0.5, None), Place("lower", at(0.7, 0.65, 0.75), 0.5, None)
    luck = Place("luck", at(0.52, 0.47, 0.57), 0.5, None)
    assert elsewhere([], clean).answer == "not tested"
    assert elsewhere([same], clean).answer == "yes"
    assert elsewhere([luck], clean).answer == "no"
    assert elsewhere([lower], clean).answer == "partly"
    said = elsewhere([same, lower, luck], clean)
    assert said.answer == "partly"
    assert "Not lower beyond luck: same 96.0 %" in said.why
    assert "Lower, but above chance: lower 70.0 %" in said.why
    assert "Lower, and not above chance: luck 52.0 %" in said.why


def test_shortcuts_elsewhere() -> None:
    """High accuracy where a shortcut does as well shows no reasoning."""
    easy = Place("easy", at(0.92, 0.9, 0.94), 0.5, at(0.91, 0.89, 0.93))
    fairer = Place("fairer", at(0.8, 0.77, 0.83), 0.5, at(0.53, 0.5, 0.56))
    unknown = Place("unknown", at(0.8, 0.77, 0.83), 0.5, None)
    found = fair([easy, fairer, unknown])
    assert found is not None and found.answer == "partly"
    assert "Above the best shortcut that solves nothing: fairer (53.0 %)." in found.why
    assert "Not above it beyond luck: easy (91.0 %)." in found.why
    assert fair([unknown]) is None


def test_what_is_held() -> None:
    """The answer's name, or a place in a graph: only thoughts of a problem with the same answer can tell."""
    itself = held(CARRIES)
    assert itself is not None and itself.answer == "yes"
    leads = held(but(fall_same_answer=ALL))
    assert leads is not None and leads.answer == "no"
    between = held(but(fall_same_answer=SOME))
    assert between is not None and between.answer.startswith("in part")
    assert held(IDLE) is None
    assert held(but(fall_same_answer=None)) is None
    assert held(but(clean=at(0.5, 0.45, 0.55))) is None
