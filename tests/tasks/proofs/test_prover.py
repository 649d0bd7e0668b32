"""ProntoQA's sentences, what follows from them, and what the prover says of written proofs."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.tasks.base import Example
from unspoken.tasks.prontoqa import ProntoQA, ProofClass, judge
from unspoken.tasks.proofs.prover import (
    Form,
    Sentence,
    StepKind,
    check_proof,
    closure,
    entails,
    in_words,
    is_plural,
    parse_question,
    parse_sentence,
    split_sentences,
    to_plural,
    to_singular,
)
from unspoken.tasks.proofs.words import CONCEPTS, FAMILIES, FURTHER_CONCEPTS, WORLDS

NOUNS = sorted(
    {*CONCEPTS, *FURTHER_CONCEPTS, *(noun for world in WORLDS for noun in world.nouns), "bus", "sheep", "box"}
)
ADJECTIVES = sorted({adjective for family in FAMILIES for adjective in family} | {"herbivorous", "spineless"})

# Rex: wumpus -> yumpus -> zumpus -> not blue; aside yumpus -> impus -> hot; beside Rex a dumpus; Sam a tumpus.
QUESTION = (
    "Every wumpus is a yumpus. Yumpuses are zumpuses. Each zumpus is not blue. Yumpuses are impuses. "
    "Every impus is hot. Dumpuses are small. Each tumpus is blue. Each impus is a rompus. "
    "Rex is a dumpus. Rex is a wumpus. Sam is a tumpus. True or false: Rex is blue."
)
GOLD = (
    "Rex is a wumpus. Every wumpus is a yumpus.",
    "Rex is a yumpus. Yumpuses are zumpuses.",
    "Rex is a zumpus. Each zumpus is not blue.",
    "Rex is not blue.",
)
EXAMPLE = Example(question=QUESTION, steps=GOLD, answer="False")


def sentence(text: str) -> Sentence:
    return parse_sentence(text)


@pytest.mark.parametrize(
    ("text", "subject", "predicate", "positive", "noun", "rule"),
    [
        ("Every impus is not hot.", "impus", "hot", False, False, True),
        ("Each wumpus is an impus.", "wumpus", "impus", True, True, True),
        ("Wumpuses are impuses.", "wumpus", "impus", True, True, True),
        ("Impuses are not hot", "impus", "hot", False, False, True),
        ("All mice are not sheep.", "mouse", "sheep", False, True, True),
        ("A tabby is furry.", "tabby", "furry", True, False, True),
        ("Tabbies are house cats.", "tabby", "house cat", True, True, True),
        ("Carnivores are not herbivorous.", "carnivore", "herbivorous", False, False, True),
        ("Rex is an impus.", "Rex", "impus", True, True, False),
        ("31 is not composite.", "31", "composite", False, False, False),
        ("Rex is not a wumpus.", "Rex", "wumpus", False, True, False),
    ],
)
def test_sentences_by_hand(text: str, subject: str, predicate: str, positive: bool, noun: bool, rule: bool) -> None:
    """Guards the grammar: articles, plurals, negation, and who is an entity."""
    assert sentence(text) == Sentence(subject=subject, predicate=predicate, positive=positive, noun=noun, rule=rule)


BROKEN = (
    "",
    "Rex",
    "Rex is",
    "rex is blue",
    "Every wumpuses are blue",
    "Rex is very blue",
    "Wumpus are blue",
    "blah is",
    "Some wumpus is blue",
    "Some wumpuses are blue",
    "No wumpuses are blue",
    "Rex is not not blue",
)


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_sentence_is_refused(text: str) -> None:
    """Guards verdicts on broken text: what a model stammers must not become a rule."""
    with pytest.raises(ValueError, match=r"expected a fact or rule"):
        parse_sentence(text)


@given(subject=st.sampled_from(NOUNS), data=st.data(), positive=st.booleans(), noun=st.booleans())
def test_every_form_parses_back(subject: str, data: st.DataObject, positive: bool, noun: bool) -> None:
    """Guards words against readers: a plural that cannot be undone would make two concepts of one."""
    predicate = data.draw(st.sampled_from(NOUNS if noun else ADJECTIVES))
    rule = Sentence(subject=subject, predicate=predicate, positive=positive, noun=noun, rule=True)
    for form in Form:
        assert sentence(in_words(rule, form)) == rule
    fact = Sentence(subject="Rex", predicate=predicate, positive=positive, noun=noun, rule=False)
    assert sentence(in_words(fact)) == fact


@pytest.mark.parametrize("noun", NOUNS)
def test_plurals_can_be_undone(noun: str) -> None:
    """Guards the lexicon of irregular words and the rules beside it."""
    assert is_plural(to_plural(noun)) and to_singular(to_plural(noun)) == noun
    assert not any(is_plural(adjective) for adjective in ADJECTIVES)


EDGES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20)


@given(edges=EDGES, start=st.integers(0, 7))
def test_closure_is_reachability(edges: list[tuple[int, int]], start: int) -> None:
    """Guards forward chaining against another program, circles included; depths are shortest paths."""
    graph: nx.DiGraph[str] = nx.DiGraph([(str(a), str(b)) for a, b in edges])
    graph.add_node(str(start))
    rules: dict[str, list[tuple[str, bool]]] = {}
    for a, b in edges:
        rules.setdefault(str(a), []).append((str(b), True))
    found = closure([(str(start), True)], rules)
    assert {name: depth for (name, _), depth in found.items()} == nx.single_source_shortest_path_length(
        graph, str(start)
    )


def test_nothing_follows_from_a_negated_concept() -> None:
    """Guards the logic: "Rex is not a wumpus" gives no rule about wumpuses to apply."""
    assert closure([("wumpus", False)], {"wumpus": [("blue", True)]}) == {("wumpus", False): 0}


@pytest.mark.parametrize(
    ("text", "follows"),
    [
        ("Rex is a wumpus.", True),
        ("Rex is a rompus.", True),
        ("Rex is not blue.", True),
        ("Rex is blue.", False),
        ("Rex is not hot.", False),
        ("Sam is blue.", True),
        ("Max is blue.", False),
        ("Wumpuses are not blue.", True),
        ("Every wumpus is a dumpus.", False),
        ("Every zumpus is a yumpus.", False),
    ],
)
def test_entails_by_hand(text: str, follows: bool) -> None:
    """Guards entailment: other entities, rules in one from rules in several, and no rule backwards."""
    assert entails(QUESTION, text) is follows
    assert entails(parse_question(QUESTION), parse_sentence(text)) is follows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Rex is a wumpus.", r"expected facts, rules and 'True or false:'"),
        ("Rex is a wumpus. Hm. True or false: Rex is blue.", r"expected a fact or rule .* got 'Hm'"),
        ("Rex is a wumpus. True or false: Wumpuses are blue.", r"a sentence about an entity after"),
    ],
)
def test_what_is_no_question_is_refused(text: str, message: str) -> None:
    """Guards users' files: which sentence cannot be read has to be said."""
    with pytest.raises(ValueError, match=message):
        parse_question(text)


def kinds(text: str, *, granted: int = 0) -> list[str]:
    sentences = [parse_sentence(part) for part in split_sentences(text)]
    return [kind.value for kind in check_proof(parse_question(QUESTION), sentences, granted=granted).kinds]


def test_kinds_of_steps() -> None:
    """Guards the difference between one rule written before, several at once, and none."""
    assert kinds("".join(GOLD)) == ["given", "given", "derived", "given", "derived", "given", "derived"]
    assert kinds("Rex is a wumpus. Rex is a yumpus.") == ["given", "skipping"], "its rule is not written"
    assert kinds("Every wumpus is a yumpus. Rex is a yumpus.") == ["given", "skipping"], "its fact is not written"
    assert kinds("Rex is a wumpus. Every wumpus is a zumpus. Rex is a zumpus.") == ["given", "skipping", "derived"]
    assert kinds("Rex is a tumpus. Every wumpus is blue. Rex is blue.") == ["wrong", "wrong", "wrong"]
    assert kinds("Rex is a yumpus.", granted=1) == ["given"]
    assert kinds("Rex is a zumpus.", granted=1) == ["skipping"]
    assert kinds("Yumpuses are zumpuses. Rex is a zumpus.", granted=1) == ["given", "derived"]
    assert kinds("Rex is blue.", granted=9) == ["wrong"]


VERDICTS: list[tuple[str, int, str, ProofClass]] = [
    # what is written, hidden steps, label, class
    ("\n".join(GOLD), 0, "False", ProofClass.VALID),
    ("\n".join(GOLD), 0, "True", ProofClass.WRONG_LABEL),
    ("\n".join(GOLD), 0, "", ProofClass.WRONG_LABEL),
    ("\n".join(GOLD[:2]), 0, "False", ProofClass.INCOMPLETE),
    ("\n".join(GOLD[:2]), 0, "True", ProofClass.INCOMPLETE),
    ("\n".join(GOLD[1:]), 0, "False", ProofClass.SKIPPING),
    ("\n".join([GOLD[0], *GOLD[2:]]), 0, "False", ProofClass.SKIPPING),
    ("Rex is not blue.", 0, "False", ProofClass.SKIPPING),
    ("Rex is not blue.", 0, "True", ProofClass.WRONG_LABEL),
    ("Rex is blue.", 0, "True", ProofClass.WRONG_STEP),
    ("Rex is a wumpus. Every wumpus is a yumpus. Rex is an impus.", 0, "False", ProofClass.MISLEADING),
    ("Rex is a dumpus. Dumpuses are small. Rex is small.", 0, "False", ProofClass.MISLEADING),
    ("Sam is a tumpus. Each tumpus is blue. Sam is blue.", 0, "True", ProofClass.MISLEADING),
    ("Rex is a wumpus. Each tumpus is blue. Rex is blue.", 0, "True", ProofClass.WRONG_STEP),
    ("\n".join(["Rex is a dumpus. Dumpuses are small.", *GOLD]), 0, "False", ProofClass.LONGER),
    ("\n".join([*GOLD, "Rex is a dumpus."]), 0, "False", ProofClass.LONGER),
    ("\n".join([*GOLD, GOLD[-1]]), 0, "False", ProofClass.LONGER),
    ("Rex is a wumpus. Wumpuses are yumpuses.\n" + "\n".join(GOLD[1:]), 0, "False", ProofClass.VALID),
    ("\n".join([*GOLD[:2], "mumble", *GOLD[2:]]), 0, "False", ProofClass.WRONG_STEP),
    ("...", 0, "False", ProofClass.WRONG_STEP),
    ("", 0, "False", ProofClass.CORRECT_LABEL),
    ("", 0, "True", ProofClass.INCORRECT_LABEL),
    ("", 0, "", ProofClass.INCORRECT_LABEL),
    ("", 4, "False", ProofClass.CORRECT_LABEL),
    # after hidden steps
    ("\n".join(GOLD[1:]), 1, "False", ProofClass.VALID),
    ("\n".join(GOLD[2:]), 2, "False", ProofClass.VALID),
    ("\n".join(GOLD[3:]), 3, "False", ProofClass.VALID),
    ("\n".join(GOLD), 3, "False", ProofClass.VALID),
    ("\n".join(GOLD[2:]), 1, "False", ProofClass.SKIPPING),
    ("Yumpuses are zumpuses. " + "\n".join(GOLD[2:]), 1, "False", ProofClass.VALID),
    ("Rex is an impus. Every impus is hot.", 2, "False", ProofClass.MISLEADING),
    ("Rex is a zumpus.", 2, "False", ProofClass.INCOMPLETE),
    ("Rex is a tumpus. Each tumpus is blue.", 3, "True", ProofClass.WRONG_STEP),
]


@pytest.mark.parametrize(("text", "hidden", "label", "verdict"), VERDICTS)
def test_verdicts(text: str, hidden: int, label: str, verdict: ProofClass) -> None:
    """Guards the classes, with and without hidden steps."""
    written = f"{text}\n### {label}" if label else text
    assert judge(written, EXAMPLE, hidden=hidden) is verdict
    assert ProntoQA().classify(written.replace("\n", " "), EXAMPLE, hidden=hidden) == verdict.value


def test_every_class_can_happen() -> None:
    """Guards the table above and the classes: one that no output can get would be a wrong promise."""
    assert {verdict for *_, verdict in VERDICTS} == set(ProofClass)
    assert set(StepKind) == {"given", "derived", "skipping", "wrong"}


def test_a_bare_label_needs_no_mark() -> None:
    """Guards models that answer without `###`: that is a label, not a proof that fails to parse."""
    assert judge("False", EXAMPLE) is ProofClass.CORRECT_LABEL
    assert judge("True\n", EXAMPLE) is ProofClass.INCORRECT_LABEL


def test_judge_refuses_negative_hidden() -> None:
    """Guards a caller that subtracts the wrong way round."""
    with pytest.raises(ValueError, match=r"hidden: expected the number of steps .* got -1"):
        judge("", EXAMPLE, hidden=-1)
