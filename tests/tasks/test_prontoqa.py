"""ProntoQA: the generator against the published files, the loader's checks, and how little a right label shows."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unspoken.shortcuts.prontoqa import GUESSERS, prontoqa_shortcuts
from unspoken.tasks.base import Example
from unspoken.tasks.prontoqa import ProntoQA, ProofClass, judge, read_examples
from unspoken.tasks.proofs.measures import prontoqa_statistics
from unspoken.tasks.proofs.ontology import Distractors, OntologyKind, ProntoQAGenerator
from unspoken.tasks.proofs.prover import (
    Form,
    StepKind,
    check_proof,
    in_words,
    parse_question,
    parse_sentence,
    split_sentences,
)
from unspoken.tasks.proofs.words import CONCEPTS, FAMILIES, FURTHER_CONCEPTS, WORLDS
from unspoken.tasks.rows import data_root
from unspoken.tasks.statistics import compare, limit

shared = pytest.mark.skipif(
    not all((data_root() / path).is_file() for path in ProntoQA.published.values()),
    reason=f"no ProntoQA files in {data_root()}",
)

SHA256_OF_50_ROWS = "9472f5da4ea845a43258741a017e5ceae9ce6e4a5fe14fa73eef85499ba6a97f"

MOST_HOPS: dict[tuple[OntologyKind, Distractors], int] = {
    ("fictional", "none"): 17,
    ("fictional", "relevant"): 17,
    ("fictional", "irrelevant"): 8,
    ("fictional", "paired"): 9,
    ("false", "none"): 11,
    ("false", "relevant"): 11,
    ("false", "irrelevant"): 5,
    ("false", "paired"): 6,
    ("true", "none"): 8,
    ("true", "relevant"): 8,
}


@st.composite
def generators(draw: st.DrawFn) -> ProntoQAGenerator:
    ontology, distractors = draw(st.sampled_from(sorted(MOST_HOPS)))
    return ProntoQAGenerator(
        hops=draw(st.integers(1, MOST_HOPS[ontology, distractors])),
        ordering=draw(st.sampled_from(["random", "preorder", "postorder"])),
        distractors=distractors,
        ontology=ontology,
    )


@pytest.fixture(scope="module")
def published() -> list[Example]:
    task = ProntoQA()
    return [*task.examples("train"), *task.examples("valid"), *task.examples("test")]


@pytest.fixture(scope="module")
def generated() -> Sequence[Example]:
    return ProntoQAGenerator().problems(num=3000, seed=0)[:]


def digraph(question: str) -> nx.DiGraph[str]:
    """Who is what, read without the prover: entities, concepts, and "not blue" as a node of its own."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for text in re.findall(r"[^.:]+(?=\.)", question.partition("True or false:")[0]):
        words = [word for word in text.split() if word not in ("Each", "Every", "is", "are", "a", "an")]
        subject, *said = (word if word[0].isupper() and "uses" not in word else word.lower() for word in words)
        if " are " in text:
            subject = subject.removesuffix("es")
            said[-1] = said[-1].removesuffix("es") if said[-1].endswith("uses") else said[-1]
        graph.add_edge(subject, " ".join(said))
    return graph


@settings(deadline=None)
@given(hops=st.integers(1, 8), seed=st.integers(0, 2**32), paired=st.booleans())
def test_the_conclusion_is_as_many_hops_away_as_asked_for(hops: int, seed: int, paired: bool) -> None:
    """Guards gold against another program: a shorter way to the answer, or one to its opposite."""
    generator = ProntoQAGenerator(hops=hops, distractors="paired" if paired else "relevant")
    example = generator.draw(random.Random(seed))
    graph = digraph(example.question)
    entity, *said = example.steps[-1].removesuffix(".").replace(" is ", " ").split()
    conclusion = " ".join(said)
    opposite = conclusion.removeprefix("not ") if said[0] == "not" else f"not {conclusion}"
    assert nx.shortest_path_length(graph, entity, conclusion) == hops + 1, "one edge is the fact"
    assert opposite in graph and not nx.has_path(graph, entity, opposite)
    assert example.answer == str(example.question.endswith(f"True or false: {example.steps[-1]}"))


@settings(deadline=None)
@given(generator=generators(), seed=st.integers(0, 2**32))
def test_the_gold_chain_is_valid_and_shortest(generator: ProntoQAGenerator, seed: int) -> None:
    """Guards every setting: a proof that skips or wanders, an answer that does not follow, one that is open."""
    example = generator.draw(random.Random(seed))
    theory = parse_question(example.question)
    chain = [parse_sentence(sentence) for step in example.steps for sentence in split_sentences(step)]
    proof = check_proof(theory, chain)
    assert set(proof.kinds) <= {StepKind.GIVEN, StepKind.DERIVED}
    assert proof.unused == 0 and proof.conclusion == len(chain) - 1
    assert sum(sentence.rule for sentence in chain) == generator.hops == len(example.steps) - 1
    known = theory.known(theory.query.subject)
    assert known[chain[-1].literal] == generator.hops and chain[-1].opposite not in known
    assert (theory.query.literal in known) is (example.answer == "True")
    assert example.meta == {}


@settings(deadline=None)
@given(generator=generators(), seed=st.integers(0, 2**32))
def test_every_rest_of_the_gold_chain_is_a_valid_proof(generator: ProntoQAGenerator, seed: int) -> None:
    """Guards the interpolation analysis: the gold chain after k hidden steps is valid for every k."""
    example = generator.draw(random.Random(seed))
    for hidden in range(len(example.steps) + 1):
        text = "\n".join([*example.steps[hidden:], f"### {example.answer}"])
        want = ProofClass.VALID if hidden < len(example.steps) else ProofClass.CORRECT_LABEL
        assert judge(text, example, hidden=hidden) is want


@settings(deadline=None)
@given(generator=generators(), seed=st.integers(0, 2**32))
def test_text_parses_back_to_the_theory(generator: ProntoQAGenerator, seed: int) -> None:
    """Guards the writing: what is parsed can be written in the same words, and no sentence is told twice."""
    example = generator.draw(random.Random(seed))
    theory = parse_question(example.question)
    told = split_sentences(example.question.partition("True or false:")[0])
    sentences = [parse_sentence(text) for text in told]
    assert [s for s in sentences if s.rule] == list(theory.rules)
    assert [s for s in sentences if not s.rule] == list(theory.facts)
    assert all(f"{text}." in {in_words(s, form) for form in Form} for text, s in zip(told, sentences, strict=True))
    assert len(set(sentences)) == len(sentences)
    # No adjective twice, but for the one asked about, which stands once or in both signs.
    said = [rule.predicate for rule in theory.rules if not rule.noun]
    assert sum(predicate != theory.query.predicate for predicate in said) == len({*said} - {theory.query.predicate})


@settings(deadline=None, max_examples=20)
@given(generator=generators(), seed=st.integers(0, 99))
def test_rows_round_trip_through_json(
    tmp_path_factory: pytest.TempPathFactory, generator: ProntoQAGenerator, seed: int
) -> None:
    """Guards files that are made and then refused, or read as something else."""
    problems = generator.problems(num=5, seed=seed)[:]
    path = tmp_path_factory.mktemp("rows") / "rows.json"
    rows = [generator.row(example) for example in problems]
    assert all(list(row) == ["question", "steps", "answer"] for row in rows)
    path.write_text(json.dumps(rows))
    assert list(ProntoQA(test_file=path).examples("test")) == problems


def test_rows_are_pinned() -> None:
    """Guards silent changes of the generator: other rows for the same seed need a word in the notes."""
    generator = ProntoQAGenerator()
    text = json.dumps([generator.row(example) for example in generator.problems(num=50, seed=0)])
    assert hashlib.sha256(text.encode()).hexdigest() == SHA256_OF_50_ROWS


def test_sentences_stand_in_the_order_asked_for() -> None:
    """Guards `preorder` and `postorder` against each other: the proof's rules come last to first, or first to last."""
    for ordering, step in (("preorder", -1), ("postorder", 1)):
        generator = ProntoQAGenerator(ordering=ordering)
        for example in generator.problems(num=20, seed=0):
            rules = list(parse_question(example.question).rules)
            used = [rules.index(parse_sentence(split_sentences(text)[1])) for text in example.steps[:-1]]
            assert used == sorted(used)[::step]


def test_unpublished_names_come_only_where_they_must() -> None:
    """Guards tests of longer chains: new names would be a second thing that a model has not seen."""
    for hops in (1, 6, 7):
        example = ProntoQAGenerator(hops=hops).problems(num=1, seed=0)[0]
        theory = parse_question(example.question)
        names = {name for rule in theory.rules for name in (rule.subject, *([rule.predicate] if rule.noun else []))}
        assert len(names) == 2 * hops + 4
        assert (names <= set(CONCEPTS)) is (hops <= 6)
        assert names <= {*CONCEPTS, *FURTHER_CONCEPTS[:1]}


def test_irrelevant_sentences_do_not_touch_the_proof() -> None:
    """Guards `irrelevant`: no rule beside the proof applies to the entity, and the other fact is another's."""
    for example in ProntoQAGenerator(distractors="irrelevant").problems(num=100, seed=0):
        theory = parse_question(example.question)
        assert len(theory.rules) == 23, "as many as with relevant ones"
        assert len(theory.known(theory.query.subject)) == 6
        assert len({fact.subject for fact in theory.facts}) == 2


def test_words_are_told_apart() -> None:
    """Guards true problems: a name twice in one taxonomy, or an adjective in two families, would add proofs."""
    adjectives = [adjective for family in FAMILIES for adjective in family]
    assert len(set(adjectives)) == len(adjectives) == 45
    assert len({*CONCEPTS, *FURTHER_CONCEPTS}) == 38
    for world in WORLDS:
        assert len(set(world.nouns)) == len(world.nouns)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"hops": 0}, "hops: expected at least 1, got 0"),
        ({"hops": 18}, "hops: expected at most 17 with distractors relevant and ontology fictional, got 18"),
        ({"distractors": "many"}, "distractors: expected one of none, irrelevant, relevant, paired, got 'many'"),
        ({"ordering": "forward"}, "ordering: expected one of random, preorder, postorder, got 'forward'"),
        ({"ontology": "real"}, "ontology: expected one of fictional, false, true, got 'real'"),
        ({"ontology": "true", "distractors": "paired"}, "a real taxonomy has no second chain; take ontology false"),
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, str], message: str) -> None:
    """Guards against a crash in a worker process: what cannot be made is refused when it is asked for."""
    with pytest.raises(ValueError, match=message):
        ProntoQAGenerator(**setting)  # pyrefly: ignore[bad-argument-type]


@pytest.mark.parametrize(("ontology", "distractors"), sorted(MOST_HOPS))
def test_the_longest_chains_can_be_drawn(ontology: OntologyKind, distractors: Distractors) -> None:
    """Guards the bound on hops: one too high would run out of names, one too low would refuse for nothing."""
    most = MOST_HOPS[ontology, distractors]
    generator = replace(ProntoQAGenerator(hops=1), ontology=ontology, distractors=distractors)
    for example in replace(generator, hops=most).problems(num=10, seed=0):
        assert len(example.steps) == most + 1
    with pytest.raises(ValueError, match=f"hops: expected at most {most} "):
        replace(generator, hops=most + 1)


@shared
def test_published_rows_are_read_and_hold(published: list[Example]) -> None:
    """Guards the parser and prover on the whole published set: 5 hops, strictly valid, nothing unused."""
    assert len(published) == 10_000
    task = ProntoQA()
    for example in published:
        written = task.write(example)
        text = "".join(written.steps) + written.answer
        assert judge(text, example) is ProofClass.VALID
        assert task.correct(task.extract(text), example)
        assert len(example.steps) == 6


@shared
def test_generated_problems_follow_the_published_distribution(
    published: list[Example], generated: Sequence[Example]
) -> None:
    """Guards the recipe, figure by figure; the paired form shows that the comparison can fail."""
    theirs = prontoqa_statistics(published)
    compared = compare(prontoqa_statistics(generated), theirs)
    assert len(compared) > 150
    assert [(c.name, c.ours, c.theirs) for c in compared if abs(c.apart) > limit(len(compared))] == []
    paired = ProntoQAGenerator(distractors="paired").problems(num=300, seed=0)
    off = {c.name for c in compare(prontoqa_statistics(paired), theirs) if abs(c.apart) > 4}
    assert {"rules", "entities", "concepts without a link"} <= off


PUBLISHED_SHORTCUTS = {
    "always False": 50.83,
    "query affirmed": 53.42,
    "told first": 49.28,
    "told last": 50.72,
    "rule affirmed": 53.42,
    "mentioned more": 100.0,
    "has a parent": 100.0,
    "has a child": 100.0,
    "larger family": 100.0,
    "applies to anybody": 100.0,
    "near in text": 49.9,
    "one reading": 52.1,
    "within 1 hop": 50.0,
    "within 3 hops": 50.0,
}


@shared
def test_shortcuts_on_the_published_rows(published: list[Example]) -> None:
    """Guards the finding that all published problems fall to counting mentions, to its printed digits."""
    ours = prontoqa_shortcuts(published)
    assert {name: 100 * accuracy for name, accuracy in ours.items()} == pytest.approx(PUBLISHED_SHORTCUTS, abs=0.051)


def test_generated_problems_have_the_same_shortcuts(generated: Sequence[Example]) -> None:
    """Guards the generator: problems that are harder or easier to cheat on than the published ones."""
    ours = prontoqa_shortcuts(generated)
    assert {name: 100 * accuracy for name, accuracy in ours.items()} == pytest.approx(PUBLISHED_SHORTCUTS, abs=4.0)


@pytest.mark.parametrize("hops", [3, 5])
def test_paired_problems_have_no_shortcut(hops: int) -> None:
    """Guards the fair form: every guess, and for certain those that do not know who is asked, stays below 55 %."""
    problems = ProntoQAGenerator(distractors="paired", hops=hops).problems(num=2000, seed=0)[:]
    ours = prontoqa_shortcuts(problems)
    blind = [name for name, guesser in GUESSERS.items() if not guesser.knows_asked]
    assert len(blind) == 10 and max(ours[name] for name in blind) < 0.54
    assert ours["within 1 hop"] == 0.5
    # Asking for the other entity turns every answer, and no blind guess.
    other = {True: "True", False: "False"}
    for example in problems[:200]:
        theory = parse_question(example.question)
        (name,) = {fact.subject for fact in theory.facts} - {theory.query.subject}
        turned = replace(theory, query=replace(theory.query, subject=name))
        follows = turned.query.literal in turned.known(name)
        assert other[not follows] == example.answer
        assert all(GUESSERS[g].guess(turned) == GUESSERS[g].guess(theory) for g in blind)


def test_no_problems_is_an_error() -> None:
    """Guards a division by zero deep inside: an empty set must say so."""
    with pytest.raises(ValueError, match="at least one problem"):
        prontoqa_shortcuts([])


QUESTION = "Wumpuses are impuses. Each impus is not red. Rex is a wumpus. True or false: Rex is red."
ROW: dict[str, object] = {
    "question": QUESTION,
    "steps": ["Rex is a wumpus. Wumpuses are impuses.", "Rex is an impus. Each impus is not red.", "Rex is not red."],
    "answer": "False",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "true"}, r"field `answer`: expected True or False, got 'true'"),
        ({"answer": "True"}, r"field `answer`: expected 'False' \(from the question\), got 'True'"),
        ({"question": QUESTION.replace("Each", "Some")}, r"field `question`: .* got 'Some impus is not red'"),
        ({"question": QUESTION.partition(" True")[0]}, r"field `question`: expected facts, rules and 'True or false:'"),
        (
            {"question": QUESTION.replace("not red", "hot")},
            r"field `question`: .* opposite to follow, but neither foll",
        ),
        ({"question": "Impuses are red. " + QUESTION}, r"field `question`: .* opposite to follow, but both follow"),
        ({"steps": ["Rex is a wumpus.", "Rex is"]}, r"field `steps\[1\]`: expected a fact or rule .* got 'Rex is'"),
        ({"steps": ["Rex is a wumpus.", "Rex is red."]}, r"field `steps\[1\]`: expected sentences that follow"),
        (
            {"steps": ["Rex is a wumpus."]},
            r"field `steps`: expected to end with whether Rex is red \(asked\), got 'Rex",
        ),
        ({"steps": []}, r"field `steps`: expected to end with whether Rex is red \(asked\), got none"),
        ({"steps": "Rex is not red."}, r"Expected `array`, got `str` - at `\$.steps`"),
    ],
)
def test_wrong_rows_are_refused_with_row_and_field(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """Guards users' files: a row that contradicts itself must not be trained on, and has to be found."""
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([ROW, {**ROW, **change}]))
    with pytest.raises(ValueError, match=rf"rows\.json: row 1: {message}"):
        read_examples(path)


def test_steps_may_be_cut_otherwise(tmp_path: Path) -> None:
    """Guards users' own chains: one sentence a step, or shorter than the published ones, is no error."""
    path = tmp_path / "rows.jsonl"
    sentences = [f"{s}." for step in ROW["steps"] for s in split_sentences(step)]  # pyrefly: ignore
    path.write_text("\n".join(json.dumps({**ROW, "steps": steps}) for steps in (sentences, ["Rex is not red."])))
    one, short = read_examples(path)
    assert judge("\n".join([*one.steps[2:], "### False"]), one, hidden=2) is ProofClass.VALID
    assert judge("Rex is not red. ### False", short, hidden=0) is ProofClass.SKIPPING


def test_files_are_recognised_by_their_question() -> None:
    """Guards `unspoken data` commands that tell a file's task from its first row."""
    task = ProntoQA()
    assert task.recognises(ROW)
    assert not task.recognises({"question": "Is Tom a lempus or scrompus?"})
    assert not task.recognises({"text": QUESTION})
    assert not task.recognises(QUESTION)
