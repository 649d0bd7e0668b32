"""How far does one get on ProntoQA without following the chain? All the way.

In the published form two rules speak of the queried property, with different signs. One is the last of the proof; the
other was added by Saparov and He's program so that a model cannot just repeat the only such rule it sees. But the
concept of that other rule is drawn apart from both ontologies, and no further sentence mentions it. So whoever looks
for the concept that is mentioned again is right in 10,000 of 10,000 problems, without knowing who is asked about or
what is known of them. An accuracy on the published files, however high, shows no reasoning by itself.

`ProntoQAGenerator(distractors="paired")` makes problems where all guesses that do not know who is asked about are right
in half of the cases.

A guess is the answer it gives: 1 for True, 0 for False, .5 where it cannot tell (it then counts one half).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import final

from unspoken.tasks.base import Example
from unspoken.tasks.proofs.prover import Sentence, Theory, closure, parse_question

Guess = Callable[[Theory], float]
"""The answer to a question: 1 True, 0 False, .5 undecided."""

Score = Callable[[Theory, Sentence], float]
"""Score of one of the rules that speak of the queried property; the one with the highest score is believed."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Guesser:
    """A way to answer without doing what the task asks for."""

    about: str
    """What it looks at and answers, for tables."""
    guess: Guess
    knows_asked: bool = False
    """Whether it knows who is asked about. Where it does not, no right answer of it shows reasoning."""


def _choosing(score: Score) -> Guess:
    """Believes the rule about the queried property with the highest score; undecided where the signs tie."""

    def guess(theory: Theory) -> float:
        query = theory.query
        rules = [rule for rule in theory.rules if rule.predicate == query.predicate]
        scores = [score(theory, rule) for rule in rules]
        best = {rule.positive for rule, s in zip(rules, scores, strict=True) if s == max(scores)}
        return float(query.positive in best) if len(best) == 1 else 0.5

    return guess


def _mentions(theory: Theory, concept: str) -> int:
    return sum((rule.subject == concept) + (rule.predicate == concept) for rule in theory.rules)


def _family(theory: Theory, concept: str) -> int:
    """How many concepts are linked with it, directions ignored."""
    near: dict[str, list[tuple[str, bool]]] = {}
    for rule in theory.rules:
        if rule.noun:
            near.setdefault(rule.subject, []).append((rule.predicate, True))
            near.setdefault(rule.predicate, []).append((rule.subject, True))
    return len(closure([(concept, True)], near))


def _from_anybody(theory: Theory, rule: Sentence) -> float:
    """Whether it applies to any entity that is spoken of."""
    return (rule.subject, True) in closure((fact.literal for fact in theory.facts), theory.rules_of())


def _within(hops: int) -> Score:
    """Whether its concept is found within so many hops of the entity asked about."""

    def score(theory: Theory, rule: Sentence) -> float:
        return theory.known(theory.query.subject).get((rule.subject, True), hops + 1) <= hops

    return score


def _near_in_text(theory: Theory, rule: Sentence) -> float:
    """Fewer sentences between it and a rule about what the asked entity is told to be."""
    told = {fact.predicate for fact in theory.facts if fact.subject == theory.query.subject}
    places = [i for i, other in enumerate(theory.rules) if other.subject in told]
    return -min((abs(i - theory.rules.index(rule)) for i in places), default=len(theory.rules))


def _one_reading(theory: Theory, rule: Sentence) -> float:
    """Whether its concept is known of the asked entity after one reading from start to end, facts first."""
    known = {fact.predicate for fact in theory.facts if fact.subject == theory.query.subject}
    for told in theory.rules:
        if told.subject in known and told.positive:
            known.add(told.predicate)
    return rule.subject in known


GUESSERS: dict[str, Guesser] = {
    "always False": Guesser(about="the label that is more frequent", guess=lambda theory: 0.0),
    "query affirmed": Guesser(
        about="True where the query has no `not`", guess=lambda theory: float(theory.query.positive)
    ),
    "told first": Guesser(
        about="of the rules about the queried property, the one told first",
        guess=_choosing(lambda theory, rule: -theory.rules.index(rule)),
    ),
    "told last": Guesser(
        about="... the one told last, so nearest to the facts",
        guess=_choosing(lambda theory, rule: theory.rules.index(rule)),
    ),
    "rule affirmed": Guesser(about="... the one without `not`", guess=_choosing(lambda theory, rule: rule.positive)),
    "mentioned more": Guesser(
        about="... the one whose concept is mentioned more often",
        guess=_choosing(lambda theory, rule: _mentions(theory, rule.subject)),
    ),
    "has a parent": Guesser(
        about="... the one whose concept is a kind of something",
        guess=_choosing(lambda theory, rule: any(r.noun for r in theory.rules if r.subject == rule.subject)),
    ),
    "has a child": Guesser(
        about="... the one whose concept something is a kind of",
        guess=_choosing(lambda theory, rule: any(r.predicate == rule.subject for r in theory.rules)),
    ),
    "larger family": Guesser(
        about="... the one whose concept is linked with more concepts, directions ignored",
        guess=_choosing(lambda theory, rule: _family(theory, rule.subject)),
    ),
    "applies to anybody": Guesser(
        about="... the one that applies to any entity: the whole chain, but from whomever",
        guess=_choosing(_from_anybody),
    ),
    "near in text": Guesser(
        about="... fewest sentences from a rule about what the entity is told to be",
        guess=_choosing(_near_in_text),
        knows_asked=True,
    ),
    "one reading": Guesser(
        about="... met when the rules are read once from start to end", guess=_choosing(_one_reading), knows_asked=True
    ),
    "within 1 hop": Guesser(
        about="... concept within 1 hop of the entity: a search that stops early",
        guess=_choosing(_within(1)),
        knows_asked=True,
    ),
    "within 3 hops": Guesser(
        about="... concept within 3 hops of the entity: a search that stops early",
        guess=_choosing(_within(3)),
        knows_asked=True,
    ),
}
"""Measured on the 10,000 published rows, in %: 50.8, 53.4, 49.3, 50.7, 53.4, five times 100.0, then 49.9, 52.1 and
twice 50.0 (no published chain is so short)."""


def prontoqa_points(example: Example) -> dict[str, float]:
    """What each guesser scores on a problem: 1 right, 0 wrong, .5 undecided.

    Raises:
        ValueError: it is not a ProntoQA problem.
    """
    theory = parse_question(example.question)
    answer = float(example.answer == "True")
    return {name: 1 - abs(guesser.guess(theory) - answer) for name, guesser in GUESSERS.items()}


def prontoqa_shortcuts(problems: Iterable[Example]) -> dict[str, float]:
    """How often each guesser is right (0 to 1), by name; undecided counts one half.

    Raises:
        ValueError: there are no problems, or one is not a ProntoQA problem.
    """
    found = [prontoqa_points(example) for example in problems]
    if not found:
        raise ValueError("expected at least one problem to measure shortcuts on, got none")
    return {name: fmean(points[name] for points in found) for name in GUESSERS}
