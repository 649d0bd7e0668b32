"""The pointer-chasing task: problems are what they say, always the same, and without a shortcut."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.data import tokenize
from unspoken.specs import Words
from unspoken.tasks.base import Example
from unspoken.tasks.hops import Hops
from unspoken.tokenization import build_tokenizer

sizes = st.builds(Hops, nodes=st.integers(2, 26), hops=st.integers(1, 8))


def parse(question: str) -> tuple[dict[str, str], str]:
    """Pointers and start, read back from the text alone."""
    facts, _, start = question.partition("?")
    pairs = [(fact.split()[0], fact.split()[1]) for fact in facts.split(";") if fact.strip()]
    pointers = dict(pairs)
    assert len(pointers) == len(pairs), "a node has two successors"
    return pointers, start.strip()


@given(task=sizes, seed=st.integers(0, 10_000))
def test_the_chain_follows_the_pointers_in_the_question(task: Hops, seed: int) -> None:
    """Guards the labels: steps from another drawing than the facts would make the task unlearnable."""
    example = task.draw(random.Random(seed))
    pointers, node = parse(example.question)
    assert len(pointers) == task.nodes
    assert sorted(pointers) == sorted(pointers.values())
    assert len(example.steps) == task.hops
    for step in example.steps:
        node = pointers[node]
        assert step == node
    assert example.answer == example.steps[-1]


@given(task=sizes, seed=st.integers(0, 10_000))
def test_every_word_is_in_the_vocabulary(task: Hops, seed: int) -> None:
    """Guards the word-level tokenizer, which refuses a word it does not know, in the middle of a run."""
    written = task.write(task.draw(random.Random(seed)))
    used = {word for text in (written.question, *written.steps, written.answer) for word in text.split()}
    assert used <= set(task.words())
    assert len(task.words()) == len(set(task.words())) == task.nodes + 2


def test_problems_are_functions_of_seed_split_and_index() -> None:
    """Guards reproducibility and held-out problems: splits that share a stream share their problems."""
    task = Hops(num_train=50, num_valid=50, num_test=50)
    again = Hops(num_train=99, num_valid=99, num_test=99)
    questions = {}
    for split in ("train", "valid", "test"):
        examples = task.examples(split)
        questions[split] = [example.question for example in examples]
        assert examples[7] == again.examples(split)[7] == list(examples)[7]
        assert examples[-1] == examples[49]
        assert [e.question for e in examples[3:9:2]] == questions[split][3:9:2]
        with pytest.raises(IndexError):
            examples[50]
    assert len({question for some in questions.values() for question in some}) == 150
    assert task.examples("train")[0] != Hops(data_seed=1).examples("train")[0]


def test_the_first_problem_is_the_one_it_always_was() -> None:
    """Guards `version`: other problems under the same settings would make old results incomparable without a word."""
    example = Hops(nodes=4, hops=3).examples("test")[0]
    assert Hops.version == "1", "write the new version's first problem here"
    assert example == Example(question="a b ; b a ; d d ; c c ; ? a", steps=("b", "a", "b"), answer="b")


def test_answers_are_spread_evenly() -> None:
    """Guards against a shortcut: naming the commonest letter must not beat chance. The start may be an answer too."""
    task = Hops(nodes=10, hops=4, num_test=4000)
    examples = list(task.examples("test"))
    counts = Counter(example.answer for example in examples)
    assert set(counts) == set("abcdefghij")
    # 400 each; the standard deviation is 19.
    assert all(320 < count < 480 for count in counts.values())
    # In a random permutation a node lies on a cycle of length 1, 2, ..., 10 with probability 0.1 each; lengths 1, 2
    # and 4 lead back to the start after four hops.
    back = sum(parse(example.question)[1] == example.answer for example in examples)
    assert 1080 < back < 1320
    # Where a fact stands tells nothing of whether it is the last one needed.
    places = Counter(example.question.split(" ;").index(_fact_to(example)) for example in examples)
    assert all(320 < places[place] < 480 for place in range(10))


def _fact_to(example: Example) -> str:
    facts = example.question.split(" ;")
    return next(fact for fact in facts if fact.split()[-1] == example.answer and "?" not in fact)


def test_the_longest_output_fits() -> None:
    """Guards max_new_tokens: chain, answer and end-of-text, and not one token more is needed."""
    task = Hops(nodes=6, hops=5)
    tokenizer = build_tokenizer(Words(), task)
    for tokens in tokenize(task.examples("test")[:50], task, tokenizer):
        assert len(tokens.chain) + len(tokens.answer) == task.max_new_tokens


def test_answers_are_extracted_and_judged() -> None:
    """Guards the verdict: the answer is the last word, and the chain before it does not count."""
    task = Hops(nodes=5, hops=2)
    example = task.examples("test")[0]
    written = task.write(example)
    right = task.extract(" ".join([*written.steps, written.answer]))
    assert right == example.answer
    assert task.correct(right, example)
    assert task.extract("a b c c") == "c"
    assert task.extract("c") == "c"
    assert task.extract("") == ""
    wrong = next(letter for letter in "abcde" if letter != example.answer)
    for output in (f"{example.answer} {wrong}", "", ";"):
        assert not task.correct(task.extract(output), example), output
