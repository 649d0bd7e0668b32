"""What ProntoQA problems look like: every figure by which generated ones are compared with the published ones."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from unspoken.tasks.base import Example, Measure
from unspoken.tasks.proofs.prover import (
    ASKED,
    Literal,
    Sentence,
    check_proof,
    parse_question,
    parse_sentence,
    split_sentences,
)
from unspoken.tasks.proofs.words import CONCEPTS, FAMILIES
from unspoken.tasks.statistics import Figure, figures

_FAMILY = {adjective: family[0] for family in FAMILIES for adjective in family}


def prontoqa_statistics(examples: Iterable[Example]) -> dict[str, Figure]:
    """Every figure of a set of ProntoQA problems with its standard error.

    Raises:
        ValueError: there are no problems, or one is not a ProntoQA problem.
    """
    return figures(map(measure, examples))


def measure(example: Example) -> dict[str, Measure]:
    """What is counted on one problem; positions are the share of the rules that stand before (0 first, 1 last).

    Raises:
        ValueError: it is not a ProntoQA problem.
    """
    theory = parse_question(example.question)
    query, rules = theory.query, theory.rules
    told = split_sentences(example.question.partition(ASKED)[0])
    words = [sentence for sentence in told if parse_sentence(sentence).rule]
    chain = [parse_sentence(sentence) for step in example.steps for sentence in split_sentences(step)]
    proof = check_proof(theory, chain)
    conclusion = chain[-1] if proof.conclusion is None else chain[proof.conclusion]
    places = {rule: i for i, rule in enumerate(rules)}
    used = [rule for rule in chain if rule in places]
    on_chain = {rule.subject for rule in used}
    links = [rule for rule in rules if rule.noun]
    qualities = [rule for rule in rules if not rule.noun]
    concepts = list(dict.fromkeys(name for rule in rules for name in _concepts(rule)))
    num_parents = dict.fromkeys(concepts, 0)
    for link in links:
        num_parents[link.subject] += 1
    children = {link.predicate for link in links}
    linked = children | {link.subject for link in links}
    asked = [rule for rule in qualities if rule.predicate == query.predicate]
    strays = [rule for rule in asked if rule.subject not in on_chain]
    start = chain[0]
    measured: dict[str, Measure] = {
        "sentences": len(told),
        "rules": len(rules),
        "facts": len(theory.facts),
        "steps": len(example.steps),
        "hops": theory.known(query.subject)[conclusion.literal],
        "words": len(example.question.split()),
        "characters": len(example.question),
        "chain characters": sum(map(len, example.steps)),
        "concepts": len(concepts),
        "links between concepts": len(links),
        "properties": len(qualities),
        "parents of a concept": tuple(str(num_parents[name]) for name in concepts),
        "concepts without a property": len(set(concepts) - {rule.subject for rule in qualities}),
        "concepts without a link": len(set(concepts) - linked),
        "concepts below the first of the chain": float(start.predicate in children),
        "entities": len({fact.subject for fact in theory.facts}),
        "answer": example.answer,
        "query": _sign(query.positive),
        "query, answer": f"{_sign(query.positive)}, {example.answer}",
        "sentences with the queried property": len(asked),
        "the other one of them": tuple(_agrees(rule, conclusion.literal) for rule in strays) or "none",
        "form": tuple(_form(text) for text in words),
        "form in the chain": tuple(_form(words[places[rule]]) for rule in used),
        "article": tuple(word for text in told for word in text.split()[:-1] if word in ("a", "an")),
        "sign of the conclusion": _sign(conclusion.positive),
        "sign of other properties of the chain": tuple(
            _sign(rule.positive) for rule in qualities if rule.subject in on_chain and rule.predicate != query.predicate
        ),
        "sign of properties beside the chain": tuple(
            _sign(rule.positive)
            for rule in qualities
            if rule.subject not in on_chain and rule.predicate != query.predicate
        ),
        "the chain's fact": "first" if theory.facts[0] == start else "later",
        "place of the other queried property": _place([places[rule] for rule in strays], len(rules)),
        "neighbours in the chain told in order": sum(places[a] < places[b] for a, b in pairwise(used))
        / max(1, len(used) - 1),
        "entity": query.subject,
        "family asked about": _FAMILY.get(query.predicate, "other"),
        "family": tuple(_FAMILY.get(rule.predicate, "other") for rule in qualities),
        "concept": tuple(name if name in CONCEPTS else "other" for name in concepts),
        "first concept of the chain": start.predicate if start.predicate in CONCEPTS else "other",
        "last concept of the chain": used[-1].subject if used and used[-1].subject in CONCEPTS else "other",
        "adjective": tuple(rule.predicate if rule.predicate in _FAMILY else "other" for rule in qualities),
    }
    for i, rule in enumerate(used, 1):
        measured[f"place of rule {i}"] = _place([places[rule]], len(rules))
    return measured


def _concepts(rule: Sentence) -> tuple[str, ...]:
    return (rule.subject, rule.predicate) if rule.noun else (rule.subject,)


def _sign(positive: bool) -> str:
    return "affirmed" if positive else "negated"


def _agrees(rule: Sentence, conclusion: Literal) -> str:
    return "same sign" if rule.literal == conclusion else "other sign"


def _form(text: str) -> str:
    first = text.partition(" ")[0]
    return first if first in ("Each", "Every") else "plural"


def _place(places: list[int], num: int) -> float:
    """The mean place, from 0 to 1."""
    return sum(places) / len(places) / max(1, num - 1) if places else 0.0
