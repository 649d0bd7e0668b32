"""ProntoQA without grammar, for small models trained from scratch.

A question is `brimpus not luminous ; zumpus gorpus ; ... ; Stella zumpus ? Stella not floral`: rules, then facts, in
the order told, each a subject and what is said of it; behind the question mark what is to be judged. A step is what
follows next for the entity, `gorpus`, and the last one the conclusion, `not floral`; the answer is True or False.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self, final

from unspoken.tasks.base import Example, Measure, Split, SymbolicTask, Task
from unspoken.tasks.graphs import shuffled
from unspoken.tasks.prontoqa import GeneratedProntoQA, ProntoQA, judge_proof
from unspoken.tasks.proofs.prover import Sentence, Theory, parse_question, parse_sentence, split_sentences
from unspoken.tasks.proofs.words import CONCEPTS, ENTITIES, FAMILIES, FURTHER_CONCEPTS

_ADJECTIVES = tuple(adjective for family in FAMILIES for adjective in family)
_NAMES = (*CONCEPTS, *FURTHER_CONCEPTS)


@final
@dataclass(frozen=True, kw_only=True)
class SymbolicProntoQA(SymbolicTask):
    """The problems of `ProntoQA` in symbols; names of concepts and the order of rules are drawn anew every epoch."""

    version: ClassVar[str] = "1"

    problems: Task = field(default_factory=ProntoQA)
    """Where the problems come from: `ProntoQA` or `GeneratedProntoQA`."""

    def __post_init__(self) -> None:
        if not isinstance(self.problems, ProntoQA | GeneratedProntoQA):
            raise ValueError(
                f"problems: expected ProntoQA's, published or generated, got {type(self.problems).__name__}"
            )

    @property
    def max_new_tokens(self) -> int:
        """A chain of 17 hops, a sign, the answer and the end of text, with room for a model that goes astray."""
        return 24

    def examples(self, split: Split) -> Sequence[Example]:
        return [_symbolic(example.question, example.steps) for example in self.problems.examples(split)]

    def redraw(self, example: Example, rng: random.Random) -> Example:
        """Other names for the concepts, rules in another order; facts in another order, too."""
        theory = parse_question(example.meta["question"])
        concepts = list(dict.fromkeys(name for rule in theory.rules for name in _concepts(rule)))
        names = dict(zip(concepts, shuffled(_NAMES[: max(len(CONCEPTS), len(concepts))], rng), strict=False))
        told = replace(theory, rules=tuple(shuffled(theory.rules, rng)), facts=tuple(shuffled(theory.facts, rng)))
        return _written(told, _chain(example.meta["steps"]), names, example.meta)

    def classify(self, text: str, example: Example, *, hidden: int) -> str | None:
        """One of `ProofClass`."""
        theory = parse_question(example.meta["question"])
        *chain, label = text.split() or [""]
        facts = _facts(chain, theory.query.subject, example.meta["names"])
        sentences = None if facts is None else _with_rules(facts, theory)
        published = replace(example, steps=tuple(example.meta["steps"]))
        return judge_proof(theory, sentences, published, label=label, hidden=hidden).value

    def measures(self, example: Example) -> Mapping[str, Measure]:
        """What the problems in words are compared by."""
        return self.problems.measures(in_words(example))

    def words(self) -> Sequence[str]:
        return (";", "?", "not", "True", "False", *ENTITIES, *_NAMES, *_ADJECTIVES)

    def on_file(self, path: Path) -> Self:
        return replace(self, problems=self.problems.on_file(path))

    def asking(self, other: Task) -> Task:
        """ProntoQA's problems in symbols, others as they are."""
        return replace(self, problems=other) if isinstance(other, ProntoQA | GeneratedProntoQA) else other


def in_words(example: Example) -> Example:
    """The problem in words behind a problem in symbols: another naming of its concepts, the same answer."""
    return Example(question=example.meta["question"], steps=tuple(example.meta["steps"]), answer=example.answer)


def _symbolic(question: str, steps: Sequence[str]) -> Example:
    return _written(parse_question(question), _chain(steps), {}, {"question": question, "steps": list(steps)})


def _written(theory: Theory, chain: Sequence[Sentence], names: Mapping[str, str], meta: Mapping[str, Any]) -> Example:
    """A theory and its proof in symbols; `names` are other names for its concepts."""

    def said(sentence: Sentence) -> str:
        predicate = names.get(sentence.predicate, sentence.predicate)
        return predicate if sentence.positive else f"not {predicate}"

    told = [f"{names.get(each.subject, each.subject)} {said(each)} ;" for each in (*theory.rules, *theory.facts)]
    return Example(
        question=" ".join([*told[:-1], told[-1].removesuffix(" ;"), "?", theory.query.subject, said(theory.query)]),
        steps=tuple(said(sentence) for sentence in chain),
        answer=str(chain[-1].literal == theory.query.literal),
        meta={**meta, "names": {new: old for old, new in names.items()}},
    )


def _chain(steps: Sequence[str]) -> list[Sentence]:
    """What a chain in words shows of the entity, one after the other; the rules between are told already."""
    sentences = [parse_sentence(sentence) for step in steps for sentence in split_sentences(step)]
    return [sentence for sentence in sentences if not sentence.rule]


def _facts(chain: Sequence[str], entity: str, names: Mapping[str, str]) -> list[Sentence] | None:
    """What a chain in symbols says, under the published names; None where it says nothing."""
    sentences: list[Sentence] = []
    positive = True
    for word in chain:
        if word == "not" and positive:
            positive = False
            continue
        noun = word in _NAMES
        if not noun and word not in _ADJECTIVES:
            return None
        predicate = names.get(word, word)
        sentences.append(Sentence(subject=entity, predicate=predicate, positive=positive, noun=noun, rule=False))
        positive = True
    return sentences if positive else None


def _with_rules(facts: Sequence[Sentence], theory: Theory) -> list[Sentence]:
    """A chain with the rules that the symbolic form leaves out, where one told rule leads from a fact to the next."""
    rules = {(rule.subject, rule.literal): rule for rule in theory.rules}
    sentences = list(facts[:1])
    for before, fact in pairwise(facts):
        rule = rules.get((before.predicate, fact.literal)) if before.positive else None
        sentences += [fact] if rule is None else [rule, fact]
    return sentences


def _concepts(rule: Sentence) -> tuple[str, ...]:
    return (rule.subject, rule.predicate) if rule.noun else (rule.subject,)
