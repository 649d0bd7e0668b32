"""ProntoQA's little language: its sentences as logic, what follows from them, and whether a written proof holds.

A question is facts about entities ("Max is a vumpus."), rules about concepts ("Each vumpus is not windy.", "Vumpuses
are lempuses.") and one sentence to be judged ("True or false: Max is not wooden."). From "Max is a vumpus." and a rule
about vumpuses its right side follows for Max; that is all the logic there is. Published and generated rows are read by
the same parser and judged by the same prover: nothing is kept beside the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import final

Literal = tuple[str, bool]
"""What is said of somebody: a concept or adjective, and whether it is affirmed."""

ASKED = "True or false:"
"""Stands between what is told and the sentence to be judged."""

_SENTENCE = re.compile(r"(?:(each|every|any|an?) )?(?:all )?(.+?) (is|are) (not )?(?:an? )?(.+)", re.IGNORECASE)
_OTHER_QUANTIFIERS = ("few", "many", "most", "no", "not", "only", "some")
_PLURALS = {"bacterium": "bacteria", "fish": "fish", "mouse": "mice", "person": "people", "sheep": "sheep"}
_SINGULARS = {plural: singular for singular, plural in _PLURALS.items()}


@final
class Form(StrEnum):
    """How a rule is put into words."""

    EACH = "each"
    EVERY = "every"
    PLURAL = "plural"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """What a sentence says, whatever its words: `Each`, `Every` and the plural are the same rule."""

    subject: str
    """An entity ("Max"), or for a rule a concept in the singular ("vumpus")."""
    predicate: str
    """A concept in the singular or an adjective."""
    positive: bool
    """False: "is not"."""
    noun: bool
    """Whether the predicate is a concept."""
    rule: bool
    """Whether it speaks of everything that is a `subject`."""

    @property
    def literal(self) -> Literal:
        """What is said, without of whom."""
        return (self.predicate, self.positive)

    @property
    def opposite(self) -> Literal:
        """The same with the other sign."""
        return (self.predicate, not self.positive)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Theory:
    """A question, parsed."""

    facts: tuple[Sentence, ...]
    """What is told of entities, in the order told."""
    rules: tuple[Sentence, ...]
    """What is told of concepts, in the order told."""
    query: Sentence
    """The sentence to be judged."""

    def rules_of(self) -> dict[str, list[Literal]]:
        """The right sides of the rules about each concept."""
        rules: dict[str, list[Literal]] = {}
        for rule in self.rules:
            rules.setdefault(rule.subject, []).append(rule.literal)
        return rules

    def known(self, entity: str) -> dict[Literal, int]:
        """Everything that holds of an entity, each with the fewest rule applications that show it (0: told)."""
        return closure((fact.literal for fact in self.facts if fact.subject == entity), self.rules_of())


def closure(start: Iterable[Literal], rules: Mapping[str, Sequence[Literal]]) -> dict[Literal, int]:
    """Forward chaining: everything that follows from `start`, with the fewest rule applications each takes."""
    depth = dict.fromkeys(start, 0)
    queue = list(depth)
    for literal in queue:
        concept, positive = literal
        if positive:
            for found in rules.get(concept, ()):
                if found not in depth:
                    depth[found] = depth[literal] + 1
                    queue.append(found)
    return depth


def entails(question: Theory | str, sentence: Sentence | str) -> bool:
    """Whether a sentence follows from a question, in any number of steps.

    A rule follows if whatever is the subject must also be the predicate.

    Raises:
        ValueError: either cannot be parsed.
    """
    theory = parse_question(question) if isinstance(question, str) else question
    if isinstance(sentence, str):
        sentence = parse_sentence(sentence)
    if sentence.rule:
        return sentence.literal in closure([(sentence.subject, True)], theory.rules_of())
    return sentence.literal in theory.known(sentence.subject)


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, without full stops and line breaks."""
    return [" ".join(part.split()) for part in re.split(r"[.\n]", text) if part.strip()]


def parse_question(text: str) -> Theory:
    """The theory a question tells.

    Raises:
        ValueError: a sentence is none of the language, or nothing is asked.
    """
    told, asked, query = text.partition(ASKED)
    if not asked:
        raise ValueError(f"expected facts, rules and {ASKED!r} with a sentence, got ...{text[-60:]!r}")
    sentences = [parse_sentence(sentence) for sentence in split_sentences(told)]
    judged = parse_sentence(query)
    if judged.rule:
        raise ValueError(f"expected a sentence about an entity after {ASKED!r}, got {query.strip()!r}")
    return Theory(
        facts=tuple(sentence for sentence in sentences if not sentence.rule),
        rules=tuple(sentence for sentence in sentences if sentence.rule),
        query=judged,
    )


@lru_cache(maxsize=1 << 15)
def parse_sentence(text: str) -> Sentence:
    """What a sentence says, with or without its full stop.

    Beyond the published words it takes "A", "Any" and "All", and any name: a word after "is a" is a concept, a plural
    after "are" too, everything else an adjective.

    Raises:
        ValueError: it is neither a fact nor a rule.
    """
    match = _SENTENCE.fullmatch(text.strip().removesuffix("."))
    if match is not None:
        determiner, subject, verb, negation, predicate = match.groups()
        plural = verb == "are"
        rule = plural or determiner is not None
        noun = is_plural(predicate) if plural else text[: match.start(5)].endswith((" a ", " an "))
        fits = not (plural and determiner) and (noun or " " not in predicate)
        if rule:
            fits &= subject.split()[0].lower() not in _OTHER_QUANTIFIERS and (not plural or is_plural(subject))
        else:
            fits &= " " not in subject and not subject[0].islower()
        if fits:
            return Sentence(
                subject=(to_singular(subject.lower()) if plural else subject.lower()) if rule else subject,
                predicate=to_singular(predicate) if plural and noun else predicate,
                positive=negation is None,
                noun=noun,
                rule=rule,
            )
    raise ValueError(f"expected a fact or rule as 'Max is a vumpus.' or 'Vumpuses are not windy.', got {text!r}")


def in_words(sentence: Sentence, form: Form = Form.EVERY) -> str:
    """A sentence in the published words, full stop included; `form` is read for rules only."""
    negation = "" if sentence.positive else "not "
    predicate = sentence.predicate
    if sentence.rule and form is Form.PLURAL:
        subject = to_plural(sentence.subject)
        predicate = to_plural(predicate) if sentence.noun else predicate
        return f"{subject[0].upper()}{subject[1:]} are {negation}{predicate}."
    if sentence.noun:
        # As the original has it: "an impus", but "a eukaryote".
        predicate = ("an " if predicate[0] in "aeiou" and not predicate.startswith("eu") else "a ") + predicate
    subject = f"{form.capitalize()} {sentence.subject}" if sentence.rule else sentence.subject
    return f"{subject} is {negation}{predicate}."


def to_plural(noun: str) -> str:
    """The plural of a concept's name."""
    head, space, last = noun.rpartition(" ")
    if last in _PLURALS:
        return head + space + _PLURALS[last]
    if last.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if re.search("[^aeiou]y$", last) else noun + "s"


def to_singular(plural: str) -> str:
    """The name of a concept from its plural."""
    head, space, last = plural.rpartition(" ")
    if last in _SINGULARS:
        return head + space + _SINGULARS[last]
    if last.endswith("ies"):
        return plural[:-3] + "y"
    if last.endswith(("sses", "xes", "ches", "shes")) or (last.endswith("uses") and not last.endswith("ouses")):
        return plural[:-2]
    return plural[:-1]


def is_plural(words: str) -> bool:
    """Whether a word after "are" is a concept ("lempuses") and no adjective ("spicy", "furious", "hairless")."""
    last = words.rpartition(" ")[2].lower()
    return last in _SINGULARS or (last.endswith("s") and not last.endswith(("ss", "us")))


@final
class StepKind(StrEnum):
    """What a sentence of a written proof is."""

    GIVEN = "given"
    """A sentence of the question, or one that hidden steps may stand for."""
    DERIVED = "derived"
    """Follows by one rule from a fact, both written before."""
    SKIPPING = "skipping"
    """Follows from the question, but takes more than one step or something not written before."""
    WRONG = "wrong"
    """Does not follow from the question."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the prover finds in a written proof."""

    kinds: tuple[StepKind, ...]
    """The kind of every sentence."""
    conclusion: int | None
    """Index of the first sentence that settles the query, true or false; none: the proof does not get there."""
    unused: int
    """How many sentences the conclusion does not need (all but the last one's support, where there is none)."""
    can_go_on: bool
    """Whether the conclusion follows from what the last sentence speaks of: a proof that stops, not one gone astray."""


def check_proof(theory: Theory, sentences: Sequence[Sentence], *, granted: int = 0) -> Proof:
    """Goes through a written proof sentence by sentence.

    A fact is derived if it follows by one rule of the text from one fact of the text, both written before: the
    strictly valid, atomic steps of Saparov and He (2023); theirs that are valid in a broader sense are `SKIPPING`.

    Args:
        theory: the question.
        sentences: the proof, in the order written.
        granted: facts that take at most so many rule applications may stand unproved, where steps before are hidden.
    """
    rules_of = theory.rules_of()
    told_rules = set(theory.rules)
    known: dict[str, dict[Literal, int]] = {}
    facts: dict[tuple[str, Literal], int] = {}
    rules: dict[Literal, list[tuple[str, int]]] = {}
    kinds: list[StepKind] = []
    premises: list[tuple[int, ...]] = []
    conclusion: int | None = None
    for i, sentence in enumerate(sentences):
        literal = sentence.literal
        support: tuple[int, ...] = ()
        if sentence.rule:
            if sentence in told_rules:
                kind = StepKind.GIVEN
            else:
                follows = literal in closure([(sentence.subject, True)], rules_of)
                kind = StepKind.SKIPPING if follows else StepKind.WRONG
            rules.setdefault(literal, []).append((sentence.subject, i))
        else:
            entity = sentence.subject
            if entity not in known:
                known[entity] = closure((fact.literal for fact in theory.facts if fact.subject == entity), rules_of)
            depth = known[entity].get(literal)
            derived = None
            for concept, j in rules.get(literal, ()):
                fact = facts.get((entity, (concept, True)))
                # Where first steps are hidden, what they may have shown supports later ones too.
                if fact is None and 0 < granted >= known[entity].get((concept, True), granted + 1):
                    fact = j
                if fact is not None:
                    derived = (j, fact)
                    break
            if depth is None:
                kind = StepKind.WRONG
            elif depth == 0:
                kind = StepKind.GIVEN
            elif derived is not None:
                kind, support = StepKind.DERIVED, derived
            elif depth <= granted:
                kind = StepKind.GIVEN
            else:
                kind, support = StepKind.SKIPPING, tuple(range(i))
            facts.setdefault((entity, literal), i)
            if conclusion is None and entity == theory.query.subject and sentence.predicate == theory.query.predicate:
                conclusion = i
        kinds.append(kind)
        premises.append(support)
    return Proof(
        kinds=tuple(kinds),
        conclusion=conclusion,
        unused=len(sentences) - len(_needed(premises, len(sentences) - 1 if conclusion is None else conclusion)),
        can_go_on=bool(sentences) and _can_go_on(theory, sentences[-1], rules_of),
    )


def _needed(premises: Sequence[tuple[int, ...]], end: int) -> set[int]:
    """The sentences that sentence `end` rests on, itself included; none where there are no sentences."""
    needed: set[int] = set()
    queue = [end] if premises else []
    for i in queue:
        if i not in needed:
            needed.add(i)
            queue += premises[i]
    return needed


def _can_go_on(theory: Theory, last: Sentence, rules_of: Mapping[str, Sequence[Literal]]) -> bool:
    query = theory.query
    if not last.rule and last.subject != query.subject:
        return False
    ahead = closure([last.literal], rules_of)
    return query.literal in ahead or query.opposite in ahead
