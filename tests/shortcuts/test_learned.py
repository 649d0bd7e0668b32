"""Learned shortcuts: they find what was planted, nothing else, and see no answers; guesses counted by hand."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.shortcuts.findings import Finding, Group
from unspoken.shortcuts.folds import FOLDS, deal
from unspoken.shortcuts.guesses import answer_guesses, choice_guesses, is_closed, left_over
from unspoken.shortcuts.learned import around_features, described, learned_guesses
from unspoken.shortcuts.numbers import are_numbers, number_guesses
from unspoken.shortcuts.options import Fitted, Options, fit_linear, fit_trees, share
from unspoken.shortcuts.probes import probes_for
from unspoken.tasks.base import Example
from unspoken.tasks.commonsense import CommonsenseQA, StrategyQA
from unspoken.tasks.fork import Fork
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.rows import data_root

shared = pytest.mark.skipif(not data_root().is_dir(), reason=f"no shared data in {data_root()}")


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def random_options(num: int, columns: int, seed: int) -> Options:
    rng = np.random.default_rng(seed)
    right = rng.integers(0, 2, num).tolist()
    return Options(rows=rng.normal(size=(2 * num, columns)), sizes=[2] * num, right=right)


@pytest.mark.parametrize("fit", [fit_linear, fit_trees])
def test_random_answers_cannot_be_learned(fit: Callable[[Options], Fitted]) -> None:
    """Guards cross-validation: with 60 features for 400 problems, a model judged on what it was fitted on is right in
    most of them, one judged out of fold in half."""
    points = fit(random_options(400, 60, seed=1)).points
    assert np.mean(points) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("fit", [fit_linear, fit_trees])
def test_a_planted_shortcut_is_found(fit: Callable[[Options], Fitted]) -> None:
    """Guards the learner: the option with the larger third feature is right in 90 %."""
    options = random_options(600, 5, seed=2)
    larger = (options.rows[1::2, 2] > options.rows[::2, 2]).astype(int)
    flipped = np.random.default_rng(3).random(600) < 0.1
    planted = replace(options, right=np.where(flipped, 1 - larger, larger).tolist())
    fitted = fit(planted)
    assert np.mean(fitted.points) == pytest.approx(0.88, abs=0.05)
    if fitted.weights:
        assert fitted.largest("abcde", 1).startswith("largest weights: c +")


@pytest.mark.parametrize("fit", [fit_linear, fit_trees])
def test_learners_are_antisymmetric(fit: Callable[[Options], Fitted]) -> None:
    """Guards against a favourite side: listing every problem's options the other way round changes no verdict."""
    options = random_options(200, 4, seed=4)
    other = Options(
        rows=options.rows.reshape(200, 2, 4)[:, ::-1].reshape(400, 4),
        sizes=options.sizes,
        right=[1 - right for right in options.right],
    )
    # Folds are dealt by label, whatever the labels are called, so they are the same for both.
    assert fit(other).points == fit(options).points
    level = Options(rows=np.ones((100, 3)), sizes=[2] * 50, right=[i % 2 for i in range(50)])
    assert set(fit(level).points) == {0.5}, "equal features are a coin"


def test_features_do_not_see_which_option_is_right() -> None:
    """Guards a leak of the answer: swapping target and wrong option in the file must leave every feature as it is."""
    problems = ProsQA().examples("train")[:40]
    swapped = [
        replace(e, meta={**e.meta, "target": e.meta["neg_target"], "neg_target": e.meta["target"]}) for e in problems
    ]
    names, options = described(problems)
    names_swapped, options_swapped = described(swapped)
    assert names == names_swapped and len(names) == options.rows.shape[1] > 50
    assert np.array_equal(options.rows, options_swapped.rows)
    assert [1 - right for right in options.right] == options_swapped.right
    assert np.array_equal(described(problems, around_features)[1].rows, described(swapped, around_features)[1].rows)


def test_learned_surroundings_do_not_see_directions() -> None:
    """Guards the group that row stands in: with every fact turned round, nothing it goes by may change."""
    problems = ProsQA().examples("train")[:40]
    turned = [replace(e, meta={**e.meta, "edges": tuple((b, a) for a, b in e.meta["edges"])}) for e in problems]
    rows = described(problems, around_features)[1].rows
    assert np.allclose(rows, described(turned, around_features)[1].rows)


def test_features_do_not_see_who_is_asked_about() -> None:
    """Guards what makes the learned shortcut one: no feature may change with the entity asked about."""
    problems = ProsQA().examples("train")[:40]
    others = [replace(e, meta={**e.meta, "root": 1 - e.meta["root"]}) for e in problems]
    assert np.array_equal(described(problems)[1].rows, described(others)[1].rows)


@shared
def test_learned_on_the_released_rows() -> None:
    """Guards the figures of the audit: graph features explain 95 % of the released problems, names nothing."""
    task = ProsQA()
    found = by_name(learned_guesses([*task.examples("valid"), *task.examples("test")]))
    assert found["learned (linear)"].accuracy == pytest.approx(0.950, abs=0.01)
    assert found["learned (trees)"].accuracy == pytest.approx(0.944, abs=0.015)
    assert found["learned (names)"].accuracy == pytest.approx(0.5, abs=0.05)
    assert found["learned (surroundings)"].accuracy == pytest.approx(0.968, abs=0.01)
    assert "farthest source" in found["learned (linear)"].note


def test_nothing_is_learned_on_a_fair_set() -> None:
    """Guards against false alarms: Fork's two families are exchangeable, so nothing blind can be right in more."""
    for finding in learned_guesses(Fork().examples("test")[:600]):
        if finding.group is Group.BLIND:
            assert finding.accuracy == pytest.approx(0.5, abs=0.07), finding.name
    assert learned_guesses(Fork().examples("test")[:49]) == []


@given(st.lists(st.sampled_from("abc"), max_size=60))
def test_folds_hold_their_share_of_every_label(labels: list[str]) -> None:
    """Guards stratification: no fold is without a label that others have plenty of, and all folds are about equal."""
    folds = deal(labels)
    assert folds == deal(labels)
    for label in set(labels):
        sizes = Counter(fold for fold, other in zip(folds, labels, strict=True) if other == label)
        assert max(sizes.values()) - min(sizes.get(i, 0) for i in range(FOLDS)) <= 1
    sizes = Counter(folds)
    assert max(sizes.values(), default=0) - min(sizes.get(i, 0) for i in range(FOLDS)) <= 1


@given(st.lists(st.integers(0, 2), min_size=1, max_size=6))
def test_shares_sum_to_one(scores: list[int]) -> None:
    """Guards ties: over all places where the right option may be, a choice is worth one point."""
    assert sum(share(scores, right) for right in range(len(scores))) == pytest.approx(1)


def test_linear_chooses_among_five() -> None:
    """Guards multiple choice: chance is a fifth without a clue, and a clue that is always right is found."""
    rng = np.random.default_rng(5)
    right = rng.integers(0, 5, 300)
    rows = rng.normal(size=(1500, 6))
    options = Options(rows=rows, sizes=[5] * 300, right=right.tolist())
    assert np.mean(fit_linear(options).points) == pytest.approx(0.2, abs=0.08)
    clue = rows.copy()
    clue[np.arange(300) * 5 + right, 3] += 20
    assert np.mean(fit_linear(replace(options, rows=clue)).points) == 1.0
    with pytest.raises(ValueError, match=r"two options in every problem, got \[5\]; take fit_linear"):
        fit_trees(options)


def ask(question: str, answer: str, choices: str = "") -> Example:
    labelled = dict(zip("ABCDE", choices.split(), strict=False))
    return Example(question=question, steps=(), answer=answer, meta={"choices": labelled} if choices else {})


def test_choices_by_hand() -> None:
    """Guards multiple choice scores: length, shared words beyond the listed choices, ties, elimination."""
    problems = [
        ask("Is a cat a pet? Choices: A: pet B: stones C: sky", "A", "pet stones sky"),
        ask("Where is the sky? Choices: A: up B: sky C: pet", "A", "up sky pet"),
        ask("What is blue? Choices: A: stones B: pet C: sky", "C", "stones pet sky"),
    ]
    found = by_name(choice_guesses(problems))
    assert all(finding.chance == pytest.approx(1 / 3) for finding in found.values())
    assert found["most frequent answer"].points == (1, 1, 0)
    assert found["longest choice"].points == (0, 0, 0)
    assert found["shortest choice"].points == (0.5, 1, 0.5)
    assert found["shares words"].points == (1, 0, pytest.approx(1 / 3))
    assert found["shares no words"].points == (0, 0.5, pytest.approx(1 / 3))
    assert found["offered often"].points == (0.5, 0, 0.5)
    # The first and the last share three choices; in each, the other's answer is out, and the rest is level.
    assert found["left over elsewhere"].points == (0.5, pytest.approx(1 / 3), 0.5)
    assert left_over(problems[:1], problems[2:]).points == (0.5,)
    with pytest.raises(ValueError, match=r"problem 0: expected an answer among .*\['A', 'B'\]"):
        choice_guesses([ask("?", "Z", "x y")])


def test_words_that_tell_the_answer_are_found() -> None:
    """Guards the bag of words: one word decides 60 questions; where none does, a coin is left."""
    rng = random.Random(0)
    words = ["red", "green", "blue", "big", "small", "old", "new"]
    texts = [" ".join(rng.choices(words, k=6)) for _ in range(300)]
    told = [ask(f"Is it {text}?", "Yes" if "red" in text else "No") for text in texts]
    coin = [ask(f"Is it {text}?", rng.choice(["Yes", "No"])) for text in texts]
    found = by_name(answer_guesses(told))["learned (words of the question)"]
    assert found.accuracy > 0.95 and "'red' +" in found.note and found.group is Group.SURFACE
    finding = by_name(answer_guesses(coin))["learned (words of the question)"]
    assert finding.accuracy == pytest.approx(0.5, abs=0.1)
    assert finding.chance == by_name(answer_guesses(coin))["most frequent answer"].accuracy


def test_numbers_by_hand() -> None:
    """Guards the templates: which number, which operation, exactly, and no crash without numbers or with zeros."""
    problems = [
        ask("Ann has 7 eggs and eats 3. How many are left?", "4"),
        ask("2 boxes hold .5 kg each. How much?", "1"),
        ask("What is 8 over 0?", "8"),
        ask("How many legs has a cat?", "4"),
        ask("Of 1,000 and 1,000, which?", "1000"),
    ]
    found = by_name(number_guesses(problems))
    assert found["most frequent answer"].points == (1, 0, 0, 1, 0)
    assert found["last"].points == (0, 0, 0, 0, 1)
    assert found["first"].points == (0, 0, 1, 0, 1)
    assert found["largest"].points == (0, 0, 1, 0, 1)
    assert found["sum"].points == (0, 0, 1, 0, 0)
    assert found["product"].points == (0, 1, 0, 0, 0)
    assert found["largest - smallest"].points == (1, 0, 1, 0, 0)
    assert {finding.chance for finding in found.values()} == {None}


def test_the_operation_words_call_for_is_found() -> None:
    """Guards templates by words: one fixed template is right in half of such sums, the word "left" tells the rest."""
    rng = random.Random(1)
    problems = []
    for _ in range(200):
        a, b = rng.randint(50, 99), rng.randint(10, 40)
        left = rng.random() < 0.5
        problems.append(ask(f"{a} birds and {b} birds {'left' if left else 'came'}", str(a - b if left else a + b)))
    found = by_name(number_guesses(problems))
    assert found["learned (template by words)"].accuracy > 0.95
    assert found["best template"].accuracy == pytest.approx(0.5, abs=0.1)


def test_forms_are_told_apart() -> None:
    """Guards the choice of ways: numbers with a few values are not labels, choices not a closed set."""
    numbers = [ask(f"What is {i} and 1?", str(i + 1)) for i in range(60)]
    labels = [ask(f"Is {i} even?", "Yes" if i % 2 == 0 else "No") for i in range(60)]
    assert probes_for(numbers) == (number_guesses,) and are_numbers(numbers) and not is_closed(numbers)
    assert probes_for(labels) == (answer_guesses,) and not are_numbers(labels)
    assert probes_for([ask("?", "A", "x y")] * 60) == (choice_guesses,)
    (other,) = probes_for([ask("Who?", name) for name in ["Ann", "Bob", "Cid"]])
    assert [finding.name for finding in other([ask("Who?", "Ann")])] == ["most frequent answer"]
    with pytest.raises(ValueError, match="at least one problem"):
        probes_for([])


@shared
def test_published_commonsense_figures() -> None:
    """Guards what docs say of these files: two classes at 53 %, elimination from train to dev at 56 %."""
    task = CommonsenseQA()
    dev, train = task.examples("test"), [*task.examples("train"), *task.examples("valid")]
    assert left_over(dev, train).accuracy == pytest.approx(0.561, abs=0.001)
    strategy = [example for split in ("train", "valid", "test") for example in StrategyQA().examples(split)]
    found = by_name(answer_guesses(strategy))
    assert found["most frequent answer"].accuracy == pytest.approx(0.532, abs=0.001)
    assert found["learned (words of the question)"].accuracy == pytest.approx(0.575, abs=0.015)
