"""ProntoQA's problems, generated: an ontology, an entity, and whether the entity has a property (Saparov and He 2023).

The published 5-hop set is theirs with `distractors="relevant"`, random order and fictional concepts. What their program
draws by trial and error is drawn here directly, from the distribution that their rejections leave:

1. A chain of concepts c1 .. ch, each a kind of the next, and one more concept above ch. Each of c1 .. ch has a
   property, each is a kind of one more concept of its own, and those have properties too.
2. A second, small ontology (one concept below another, the lower one with a property).
3. The entity is a c1, and it is an instance of the lower concept of the small ontology.
4. The property of ch is asked about, in its own sign or in the other one (half of the time each: False). A concept
   that nothing else is said of has it with the other sign.

Every property comes from another family of adjectives (one out of 13, then any member), every concept has another name.
A property is negated in 1 of 3, but their walk up the chain stops at a negated property more often than at another, and
only walks of the right length are kept: before ch it is 13 of 47, at ch 91 of 193.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, final, get_args

from unspoken.tasks.base import Example, Generator
from unspoken.tasks.graphs import shuffled
from unspoken.tasks.proofs.prover import ASKED, Form, Sentence, in_words
from unspoken.tasks.proofs.words import CONCEPTS, ENTITIES, FAMILIES, FURTHER_CONCEPTS, WORLDS, World

Ordering = Literal["random", "preorder", "postorder"]
Distractors = Literal["none", "irrelevant", "relevant", "paired"]
OntologyKind = Literal["fictional", "false", "true"]

_NEGATED_BELOW = (13, 47)
_NEGATED_ASKED = (91, 193)
_NEGATED_BESIDE = (1, 3)


@final
@dataclass(frozen=True, kw_only=True)
class ProntoQAGenerator(Generator):
    """Problems in the published JSON fields; the defaults give the published distribution.

    Everything a problem's judgement needs is in its text, so `meta` is empty.
    """

    name: ClassVar[str] = "prontoqa"

    hops: int = 5
    """Rules that the proof applies: hops - 1 from concept to concept, the last to the property. Published: 5."""
    ordering: Ordering = "random"
    """Order of the rules. `random`: shuffled, as published. `preorder`: from the most general concept down, so against
    the proof. `postorder`: along the proof. The names and the orders are those of the original program."""
    distractors: Distractors = "relevant"
    """What is told beside the proof. `none`: nothing. `relevant`: as published, a wrong turn at every concept and one
    sentence with the asked property in the other sign. `irrelevant`: as many sentences, but none that the proof does
    not use speaks of its concepts, and the second fact is about another entity. `paired` (ours): a second chain of the
    same shape for a second entity, which ends in the asked property with the other sign; either entity is asked about,
    so that nothing but the chain tells the answer. In the published form the concept with the right sign is the only
    one of the two that any other sentence mentions (`shortcuts/prontoqa.py`)."""
    ontology: OntologyKind = "fictional"
    """`fictional`: invented concepts, as published. `false`: real concepts and adjectives put together at random.
    `true`: a real taxonomy, true as far as common knowledge goes. The taxonomies are ours (the original's have no
    second parents), as is the use of all their words for `false`."""

    def __post_init__(self) -> None:
        if self.hops < 1:
            raise ValueError(f"hops: expected at least 1, got {self.hops}; published problems have 5")
        for setting, value, kind in (
            ("ordering", self.ordering, Ordering),
            ("distractors", self.distractors, Distractors),
            ("ontology", self.ontology, OntologyKind),
        ):
            if value not in get_args(kind):
                raise ValueError(f"{setting}: expected one of {', '.join(get_args(kind))}, got {value!r}")
        if self.ontology == "true" and self.distractors in ("irrelevant", "paired"):
            raise ValueError(
                f"distractors: expected none or relevant with ontology true, got {self.distractors}; a real taxonomy "
                "has no second chain; take ontology false or fictional"
            )
        most = self._most_hops()
        if self.hops > most:
            raise ValueError(
                f"hops: expected at most {most} with distractors {self.distractors} and ontology {self.ontology}, got "
                f"{self.hops}; there are no more names or adjectives"
            )

    def draw(self, rng: random.Random) -> Example:
        if self.ontology == "true":
            told = _true(_any(WORLDS, rng), self.hops, rng, bare=self.distractors == "none")
        else:
            cast = _cast(self._names(rng), self.hops, rng)
            told = _ARRANGEMENTS[self.distractors](cast, self.hops, rng)
        return _written(told, self.ordering, rng)

    def _names(self, rng: random.Random) -> list[str]:
        """All names of concepts in random order; fictional ones that are not published come only where they must."""
        if self.ontology == "false":
            return shuffled(_any(WORLDS, rng).nouns, rng)
        further = max(0, _NUM_NAMES[self.distractors](self.hops) - len(CONCEPTS))
        return shuffled(CONCEPTS + FURTHER_CONCEPTS[:further], rng)

    def _most_hops(self) -> int:
        if self.ontology == "true":
            return min(len(world.chain) for world in WORLDS)
        fictional = self.ontology == "fictional"
        names = len(CONCEPTS + FURTHER_CONCEPTS) if fictional else min(len(world.nouns) for world in WORLDS)
        adjectives = sum(map(len, FAMILIES))
        hops = 0
        while (
            _NUM_NAMES[self.distractors](hops + 1) <= names
            and _NUM_ADJECTIVES[self.distractors](hops + 1) <= adjectives
        ):
            hops += 1
        return hops


@final
class _Cast:
    """Names and properties as they are called for."""

    def __init__(self, names: Sequence[str], adjectives: Iterator[str], entities: Sequence[str]) -> None:
        self.concept = iter(names).__next__
        self.adjective = adjectives.__next__
        self.entity = iter(entities).__next__


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """A problem before it is put into words."""

    proof: list[Sentence]
    """The rules of the proof, in order."""
    rules: list[Sentence]
    """All rules in the original's preorder, without `stray`."""
    postorder: list[Sentence]
    """The same rules in its postorder."""
    stray: Sentence | None
    """The asked property with the other sign; stands anywhere among the rules."""
    start: Sentence
    """The fact that the proof begins with."""
    other: Sentence | None
    """The second fact."""


def _cast(names: Sequence[str], num: int, rng: random.Random) -> _Cast:
    return _Cast(names, _adjectives(rng), shuffled(ENTITIES, rng))


def _adjectives(rng: random.Random) -> Iterator[str]:
    """Adjectives, no two of one family before every family had its turn, and none twice."""
    left = [list(family) for family in FAMILIES]
    while any(left):
        for family in shuffled([family for family in left if family], rng):
            yield family.pop(int(rng.random() * len(family)))


def _any(items: Sequence[World], rng: random.Random) -> World:
    return items[int(rng.random() * len(items))]


def _positive(negated: tuple[int, int], rng: random.Random) -> bool:
    return rng.random() * negated[1] >= negated[0]


def _is_a(concept: str, parent: str) -> Sentence:
    return Sentence(subject=concept, predicate=parent, positive=True, noun=True, rule=True)


def _has(concept: str, adjective: str, positive: bool) -> Sentence:
    return Sentence(subject=concept, predicate=adjective, positive=positive, noun=False, rule=True)


def _fact(entity: str, concept: str) -> Sentence:
    return Sentence(subject=entity, predicate=concept, positive=True, noun=True, rule=False)


def _properties(hops: int, cast: _Cast, rng: random.Random) -> list[tuple[str, bool]]:
    """Adjectives and signs of c1 .. ch."""
    below = [(cast.adjective(), _positive(_NEGATED_BELOW, rng)) for _ in range(hops - 1)]
    return [*below, (cast.adjective(), _positive(_NEGATED_ASKED, rng))]


@final
@dataclass(slots=True)
class _Node:
    """A concept with what is said of it: where it belongs, then its property."""

    parents: list[Sentence]
    has: Sentence | None = None

    @property
    def preorder(self) -> list[Sentence]:
        return [*self.parents, self.has] if self.has else self.parents

    @property
    def postorder(self) -> list[Sentence]:
        return [self.has, *self.parents] if self.has else self.parents


def _relevant(cast: _Cast, hops: int, rng: random.Random) -> _Told:
    """The published form."""
    chain = [cast.concept() for _ in range(hops + 1)]
    properties = _properties(hops, cast, rng)
    nodes: list[_Node] = []
    beside: list[_Node] = []
    for i in range(hops):
        side = cast.concept()
        nodes.append(_Node([_is_a(chain[i], chain[i + 1]), _is_a(chain[i], side)], _has(chain[i], *properties[i])))
        beside.append(_Node([], _has(side, cast.adjective(), _positive(_NEGATED_BESIDE, rng))))
    lower, upper = cast.concept(), cast.concept()
    small = _Node([_is_a(lower, upper)], _has(lower, cast.adjective(), _positive(_NEGATED_BESIDE, rng)))
    entity = cast.entity()
    adjective, positive = properties[-1]
    return _Told(
        proof=_proof(nodes),
        rules=[s for node in [*nodes[::-1], *beside[::-1], small] for s in node.preorder],
        postorder=[s for node in [*nodes, *beside[::-1], small] for s in node.postorder],
        stray=_has(cast.concept(), adjective, not positive),
        start=_fact(entity, chain[0]),
        other=_fact(entity, lower),
    )


def _irrelevant(cast: _Cast, hops: int, rng: random.Random) -> _Told:
    """The published form, cut off from the proof.

    Sentences about c1 .. ch that the proof does not use speak of fresh concepts. Differs from the original, whose fresh
    concepts have properties as well: its 13 families suffice for 3 hops only.
    """
    told = _relevant(cast, hops, rng)
    proof = set(told.proof)
    concepts = {rule.subject for rule in told.proof}
    fresh = {rule: cast.concept() for rule in told.rules if rule.subject in concepts and rule not in proof}

    def apart(rules: list[Sentence]) -> list[Sentence]:
        return [_about(fresh[rule], rule) if rule in fresh else rule for rule in rules]

    assert told.other is not None
    return _Told(
        proof=told.proof,
        rules=apart(told.rules),
        postorder=apart(told.postorder),
        stray=told.stray,
        start=told.start,
        other=_fact(cast.entity(), told.other.predicate),
    )


def _about(concept: str, rule: Sentence) -> Sentence:
    return Sentence(subject=concept, predicate=rule.predicate, positive=rule.positive, noun=rule.noun, rule=True)


def _none(cast: _Cast, hops: int, rng: random.Random) -> _Told:
    """The proof alone."""
    return _alone(_relevant(cast, hops, rng))


def _alone(told: _Told) -> _Told:
    return _Told(
        proof=told.proof, rules=told.proof[::-1], postorder=told.proof, stray=None, start=told.start, other=None
    )


def _paired(cast: _Cast, hops: int, rng: random.Random) -> _Told:
    """Two chains drawn alike, one for each entity."""
    asked, sign = cast.adjective(), _positive((1, 2), rng)
    chains: list[list[_Node]] = []
    beside: list[list[_Node]] = []
    for positive in (sign, not sign):
        concepts = [cast.concept() for _ in range(hops + 1)]
        sides = [cast.concept() for _ in range(hops)]
        properties = [(cast.adjective(), _positive(_NEGATED_BELOW, rng)) for _ in range(hops - 1)] + [(asked, positive)]
        links = zip(pairwise(concepts), sides, properties, strict=True)
        chains.append([_Node([_is_a(a, b), _is_a(a, side)], _has(a, *said)) for (a, b), side, said in links])
        beside.append([_Node([], _has(s, cast.adjective(), _positive(_NEGATED_BESIDE, rng))) for s in sides])
    # The chains are not quite alike (families of adjectives run out), so that the asked one is any of the two.
    one, other = shuffled((0, 1), rng)
    return _Told(
        proof=_proof(chains[one]),
        rules=[s for i in (0, 1) for node in [*chains[i][::-1], *beside[i][::-1]] for s in node.preorder],
        postorder=[s for i in (0, 1) for node in [*chains[i], *beside[i][::-1]] for s in node.postorder],
        stray=None,
        start=_fact(cast.entity(), chains[one][0].parents[0].subject),
        other=_fact(cast.entity(), chains[other][0].parents[0].subject),
    )


def _true(world: World, hops: int, rng: random.Random, *, bare: bool) -> _Told:
    """The published form over a stretch of a real taxonomy."""
    start = int(rng.random() * (len(world.chain) - hops + 1))
    links = world.chain[start : start + hops]
    above = world.concepts[start + 1 : start + hops + 1]
    nodes = [
        _Node([_is_a(link.concept, parent), _is_a(link.concept, link.side)], _has(link.concept, *link.has))
        for link, parent in zip(links, above, strict=True)
    ]
    beside = [_Node([], _has(link.side, *link.side_has)) for link in links]
    lower, upper, literal = world.small
    small = _Node([_is_a(lower, upper)], _has(lower, *literal))
    adjective, positive = links[-1].has
    entity = ENTITIES[int(rng.random() * len(ENTITIES))]
    told = _Told(
        proof=_proof(nodes),
        rules=[s for node in [*nodes[::-1], *beside[::-1], small] for s in node.preorder],
        postorder=[s for node in [*nodes, *beside[::-1], small] for s in node.postorder],
        stray=_has(links[-1].stray, adjective, not positive),
        start=_fact(entity, links[0].concept),
        other=_fact(entity, lower),
    )
    return _alone(told) if bare else told


def _proof(nodes: Sequence[_Node]) -> list[Sentence]:
    """From concept to concept, then the property of the last."""
    asked = nodes[-1].has
    assert asked is not None
    return [*(node.parents[0] for node in nodes[:-1]), asked]


_ARRANGEMENTS: dict[Distractors, Callable[[_Cast, int, random.Random], _Told]] = {
    "none": _none,
    "irrelevant": _irrelevant,
    "relevant": _relevant,
    "paired": _paired,
}
_NUM_NAMES: dict[Distractors, Callable[[int], int]] = {
    "none": lambda hops: 2 * hops + 4,
    "irrelevant": lambda hops: 4 * hops + 4,
    "relevant": lambda hops: 2 * hops + 4,
    "paired": lambda hops: 4 * hops + 2,
}
_NUM_ADJECTIVES: dict[Distractors, Callable[[int], int]] = {
    "none": lambda hops: 2 * hops + 1,
    "irrelevant": lambda hops: 2 * hops + 1,
    "relevant": lambda hops: 2 * hops + 1,
    "paired": lambda hops: 4 * hops - 1,
}


def _written(told: _Told, ordering: Ordering, rng: random.Random) -> Example:
    """The problem in words, every sentence in a form of its own, and its proof in the same words."""
    if ordering == "random":
        rules = shuffled(told.rules, rng)
    else:
        rules = list(told.rules if ordering == "preorder" else told.postorder)
    if told.stray is not None:
        rules.insert(int(rng.random() * (len(rules) + 1)), told.stray)
    said = {rule: in_words(rule, _form(rng)) for rule in rules}
    facts = shuffled([told.start] if told.other is None else [told.start, told.other], rng)
    entity = told.start.subject
    conclusion = _of(entity, told.proof[-1])
    true = rng.random() >= 0.5
    query = conclusion if true else _opposite(conclusion)
    sentences = [*said.values(), *map(in_words, facts), f"{ASKED} {in_words(query)}"]
    known = [told.start, *(_of(entity, rule) for rule in told.proof)]
    steps = [f"{in_words(fact)} {said[rule]}" for fact, rule in zip(known[:-1], told.proof, strict=True)]
    return Example(
        question=" ".join(sentences),
        steps=(*steps, in_words(conclusion)),
        answer=str(true),
    )


def _form(rng: random.Random) -> Form:
    """Half of the rules are in the plural, as published."""
    u = rng.random()
    return Form.PLURAL if u < 0.5 else Form.EACH if u < 0.75 else Form.EVERY


def _of(entity: str, rule: Sentence) -> Sentence:
    """What a rule says, of an entity."""
    return Sentence(subject=entity, predicate=rule.predicate, positive=rule.positive, noun=rule.noun, rule=False)


def _opposite(sentence: Sentence) -> Sentence:
    return Sentence(
        subject=sentence.subject,
        predicate=sentence.predicate,
        positive=not sentence.positive,
        noun=sentence.noun,
        rule=sentence.rule,
    )
