"""The small world's word problems: solved again from their text alone, and without a shortcut."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.audit.beyond import settings_of
from unspoken.config import from_builtins, to_builtins
from unspoken.data import tokenize
from unspoken.shortcuts.audit import audit
from unspoken.specs import Words
from unspoken.tasks.base import Example, Split, Task
from unspoken.tasks.equations import Arithmetic, check, result
from unspoken.tasks.known import WORD_PROBLEMS
from unspoken.tasks.word_problems import NUMBERS, SIGNS, WordProblems, operations_to
from unspoken.tasks.wordings import ITEMS, NAMES, WORDINGS, templates_of, words_of
from unspoken.tokenization import build_tokenizer

TASKS = {name: task for name, (task, _) in WORD_PROBLEMS.items()}

settings = st.builds(
    WordProblems,
    operations=st.integers(1, 4),
    largest=st.integers(48, 99),
    distractors=st.integers(0, 3),
    wording=st.sampled_from(sorted(WORDINGS)),
)

# ------------------------------------------------------------------------------------------- a reader of its own

_WHO = f"(?P<who>{'|'.join(NAMES)})"
_OTHER = f"(?P<other>{'|'.join(NAMES)})"
_B = r"(?P<b>\d+|twice|half|a third|a quarter|a fifth)"
_ITEM = f"(?P<item>{'|'.join(ITEMS)})"
_FACTORS = {"twice": 2, "half": 2, "a third": 3, "a quarter": 4, "a fifth": 5}

HOLDINGS = (f"{_WHO} has {_B} {_ITEM}", f"{_B} {_ITEM} has {_WHO}")
BOXES = (
    rf"{_WHO} has {_B} boxes with (?P<v>\d+) {_ITEM} each",
    rf"in each of {_B} boxes {_WHO} has (?P<v>\d+) {_ITEM}",
)
CHANGES: Mapping[str, str] = {
    f"{_WHO} (buys|finds|finds and keeps) {_B} {_ITEM}": "+",
    f"{_WHO} gets {_B} {_ITEM} from {_OTHER}": "+ -",
    f"from {_OTHER} {_WHO} gets {_B} {_ITEM}": "+ -",
    f"{_WHO} buys {_B} {_ITEM} from {_OTHER}": "+ -",
    f"{_WHO} gets {_B} more {_ITEM}": "+",
    f"{_WHO} (sells|loses) {_B} (of the )?{_ITEM}": "-",
    f"{_WHO} (gives|sells|loses) {_B} {_ITEM} to {_OTHER}": "- +",
    f"to {_OTHER} {_WHO} gives {_B} {_ITEM}": "- +",
    f"the {_ITEM} of {_WHO} become {_B} (times )?as many": "*",
    f"{_B} times as many become the {_ITEM} of {_WHO}": "*",
    f"{_WHO} (?P<two>doubles) the {_ITEM}": "*",
    f"{_WHO} (?P<two>halves) the {_ITEM}": "/",
    f"{_WHO} keeps {_B} of the {_ITEM}": "/",
    f"{_WHO} splits the {_ITEM} in {_B} equal parts and keeps one": "/",
    f"of {_B} equal parts of the {_ITEM} {_WHO} keeps one": "/",
}
COMPARISONS: Mapping[str, str] = {
    f"{_WHO} has {_B} more {_ITEM} than {_OTHER}": "+",
    f"{_WHO} has {_B} {_ITEM} more than {_OTHER}": "+",
    f"than {_OTHER} {_WHO} has {_B} more {_ITEM}": "+",
    f"{_WHO} has as many {_ITEM} as {_OTHER} and {_B} more": "+",
    f"{_WHO} has {_B} fewer {_ITEM} than {_OTHER}": "-",
    f"{_WHO} has {_B} {_ITEM} fewer than {_OTHER}": "-",
    f"than {_OTHER} {_WHO} has {_B} fewer {_ITEM}": "-",
    f"{_WHO} has as many {_ITEM} as {_OTHER} but {_B} fewer": "-",
    f"{_WHO} has {_B} times as many {_ITEM} as {_OTHER}": "*",
    f"{_WHO} has (?P<two>twice) as many {_ITEM} as {_OTHER}": "*",
    f"{_WHO} has as many {_ITEM} as {_OTHER} {_B}( times)?": "*",
    f"{_WHO} has {_B} as many {_ITEM} as {_OTHER}": "/",
    f"{_WHO} has as many {_ITEM} as {_B} of the (?P=item) of {_OTHER}": "/",
}
INVERSE = {"+": "-", "-": "+", "*": "/", "/": "*"}


def apply(left: int, sign: str, right: int) -> int:
    value = {"+": left + right, "-": left - right, "*": left * right, "/": left / right}[sign]
    assert value == int(value) > 0
    return int(value)


def amount(found: re.Match[str]) -> int:
    told = found.groupdict().get("b")
    return 2 if told is None else _FACTORS.get(told) or int(told)


def first_match(patterns: Mapping[str, str], fact: str) -> tuple[re.Match[str], str] | None:
    return next(((m, sign) for p, sign in patterns.items() if (m := re.fullmatch(p, fact))), None)


def solve(question: str) -> int:
    """The answer from the text alone, by what the sentences mean and not by how they were made."""
    told, _, asked = question.partition("? how many ")
    item, _, who = asked.split()
    has: dict[tuple[str, str], int] = {}
    relations: list[tuple[str, str, str, int]] = []
    events: list[tuple[str, str, int]] = []
    for fact in told.removesuffix(" . ").split(" . "):
        pair = fact.removeprefix("at first ").split(" but before that ")
        for sentence in reversed(pair):
            boxes = next((m for p in BOXES if (m := re.fullmatch(p, sentence))), None)
            holding = next((m for p in HOLDINGS if (m := re.fullmatch(p, sentence)) and m["b"].isdigit()), None)
            compared, changed = first_match(COMPARISONS, sentence), first_match(CHANGES, sentence)
            assert sum(found is not None for found in (boxes, holding, compared, changed)) == 1, sentence
            if boxes:
                has[boxes["who"], boxes["item"]] = int(boxes["v"]) * amount(boxes)
            elif holding:
                assert (holding["who"], holding["item"]) not in has
                has[holding["who"], holding["item"]] = amount(holding)
            elif compared:
                found, sign = compared
                relations.append((found["who"], sign, found["other"], amount(found)))
                assert found["item"] == item
            elif changed:
                found, signs = changed
                if found["item"] == item:
                    persons = [found["who"], found.groupdict().get("other")]
                    for person, sign in zip(persons, signs.split(), strict=False):
                        if person == who:
                            events.append((who, sign, amount(found)))
    while (who, item) not in has:
        before = len(has)
        for one, sign, other, by in relations:
            if (other, item) in has and (one, item) not in has:
                has[one, item] = apply(has[other, item], sign, by)
            elif (one, item) in has and (other, item) not in has:
                has[other, item] = apply(has[one, item], INVERSE[sign], by)
        assert len(has) > before, question
    for person, sign, by in events:
        has[person, item] = apply(has[person, item], sign, by)
    return has[who, item]


# ------------------------------------------------------------------------------------------------------- problems


@given(task=settings, seed=st.integers(0, 100_000))
def test_the_text_has_the_answer(task: WordProblems, seed: int) -> None:
    """Guards the gold: a sentence that says another operation than its step, or people and facts mixed up."""
    example = task.draw(random.Random(seed))
    assert solve(example.question) == int(example.answer), example


@given(task=settings, seed=st.integers(0, 100_000))
def test_steps_lead_to_the_answer(task: WordProblems, seed: int) -> None:
    """Guards chains: exact equations, each with the result of the one before, in range, and the last is the answer."""
    example = task.draw(random.Random(seed))
    assert len(example.steps) == task.operations
    before: str | None = None
    for step in example.steps:
        assert check(step) is Arithmetic.RIGHT
        left, sign, right, equals, value = step.split()
        assert sign in SIGNS and equals == "=" and before in (None, left)
        assert all(2 <= int(number) <= task.largest for number in (left, right, value))
        before = value
    assert before == example.answer and result(example.steps[-1]) == int(example.answer)


@given(task=settings, seed=st.integers(0, 100_000))
def test_copying_is_never_right(task: WordProblems, seed: int) -> None:
    """Guards the weakest shortcut: a number of the question as the answer, a distractor's included."""
    example = task.draw(random.Random(seed))
    assert example.answer not in example.question.split()
    assert all(int(number) <= task.largest for number in example.question.split() if number.isdigit())


@pytest.mark.parametrize("operations", [1, 2, 3, 4])
def test_every_operation_is_possible_at_the_smallest_size(operations: int) -> None:
    """Guards `largest`: operations without any numbers for them would be looked for for ever."""
    task = WordProblems(operations=operations, largest=3 * 2**operations)

    def possible(signs: tuple[str, ...], value: int, told: frozenset[int], answer: int) -> bool:
        if not signs:
            return answer not in told | {value}
        steps = operations_to(value, signs[-1], task.largest)
        return any(possible(signs[:-1], step.left, told | {step.right}, answer) for step in steps)

    for signs in product(SIGNS, repeat=operations):
        assert any(possible(signs, answer, frozenset(), answer) for answer in range(2, task.largest + 1)), signs


@given(task=settings, seed=st.integers(0, 100_000))
def test_words_cover_everything_written(task: WordProblems, seed: int) -> None:
    """Guards word-level tokenizers, which refuse a word they do not know, in the middle of a run."""
    written = task.write(task.draw(random.Random(seed)))
    assert set(" ".join([written.question, *written.steps, written.answer]).split()) <= set(task.words())


def test_all_settings_share_one_vocabulary() -> None:
    """Guards `eval --on`: a trained model has the words of its own task, in their order, and no others."""
    words = WordProblems().words()
    assert len(words) == len(set(words)) and {*NAMES, *ITEMS, *map(str, range(NUMBERS))} <= set(words)
    for task in TASKS.values():
        assert task.words() == words
        assert WordProblems().asking(task) is task


def test_held_out_wordings_are_held_out() -> None:
    """Guards the harder sets: a sentence known from training, or a word that is not."""
    usual, turned = WORDINGS["usual"], WORDINGS["turned"]
    assert not set(templates_of(usual)) & set(templates_of(WORDINGS["reworded"]))
    assert words_of([*templates_of(WORDINGS["reworded"]), *templates_of(turned)]) <= set(WordProblems().words())
    # With names for places, a turned comparison is a usual one of another sign, and a turned gift is none at all.
    anybody = str.maketrans({"m": "n"})
    for sign in "+-":
        known = {template.translate(anybody) for template in usual.story[sign]}
        assert not known & {template.translate(anybody) for template in turned.story[sign] if "gives" in template}
    for sign in SIGNS:
        assert not set(usual.comparison[sign]) & set(turned.comparison[sign])


def test_problems_are_functions_of_seed_split_and_index() -> None:
    """Guards reproducibility and held-out problems: splits that share a stream share their problems."""
    task = WordProblems(num_train=50, num_valid=50, num_test=50)
    again = WordProblems(num_train=99, num_valid=99, num_test=99)
    splits: list[Split] = ["train", "valid", "test"]
    questions = [[example.question for example in task.examples(split)] for split in splits]
    assert all(task.examples(split)[7] == again.examples(split)[7] for split in splits)
    assert len({question for some in questions for question in some}) == 150
    assert task.examples("train")[0] != WordProblems(data_seed=1).examples("train")[0]


def test_training_problems_are_drawn_anew() -> None:
    """Guards redrawing: a training on the same problems every epoch would learn them by heart."""
    task = WordProblems()
    example = task.examples("train")[0]
    drawn = {task.redraw(example, random.Random(f"{epoch}/0")).question for epoch in range(20)}
    assert len(drawn) == 20 and example.question not in drawn
    assert task.redraw(example, random.Random(3)) == task.redraw(example, random.Random(3))


def test_other_wordings_tell_the_same_problems() -> None:
    """Guards the comparison of wordings: the same numbers, people and things, so that only words differ."""
    usual = TASKS["word-problems"]
    for name in ("word-problems-reworded", "word-problems-turned"):
        for a, b in zip(usual.examples("test")[:50], TASKS[name].examples("test")[:50], strict=True):
            assert (a.steps, a.answer, a.question.split("?")[1]) == (b.steps, b.answer, b.question.split("?")[1])
            assert a.meta == b.meta


def test_the_first_problem_is_the_one_it_always_was() -> None:
    """Guards `version`: other problems under the same settings would make old results incomparable without a word."""
    assert WordProblems.version == "1", "write the new version's first problem here"
    assert WordProblems().examples("test")[2] == Example(
        question="ben has 3 pears . the pears of ben become 3 times as many but before that the pears of ben become 3 "
        "times as many . ? how many pears has ben",
        steps=("3 * 3 = 9", "9 * 3 = 27"),
        answer="27",
        meta={"form": "story", "signs": "**"},
    )


# ------------------------------------------------------------------------------------------------------ shortcuts


def test_operations_forms_and_answers_are_spread() -> None:
    """Guards what a constant guess gets: one answer, one operation or one form that is most of the problems."""
    examples = list(WordProblems().examples("test")) + list(WordProblems(data_seed=1).examples("test"))
    answers = Counter(example.answer for example in examples)
    assert set(answers) <= set(map(str, range(2, 31))) and len(answers) >= 28
    assert max(answers.values()) / len(examples) < 0.08
    signs = Counter(example.meta["signs"] for example in examples)
    # A sixteenth each; the standard error is .54 %.
    assert len(signs) == 16 and all(0.045 < count / len(examples) < 0.08 for count in signs.values())
    forms = Counter(example.meta["form"] for example in examples)
    assert 0.46 < forms["story"] / len(examples) < 0.54


@pytest.mark.parametrize("name", TASKS)
def test_no_guess_is_right_often(name: str) -> None:
    """Guards the task's claim: numbers told, their sum or product, and what the words suggest (docs/data.md)."""
    examples = list(replace(TASKS[name], num_test=600).examples("test"))
    rows = {row.name: row.accuracy for row in audit(examples, title=name, task="").rows}
    assert rows["last"] == rows["first"] == rows["largest"] == 0
    # The standard error of 8 % of 600 is 1.1 %, that of 15 % is 1.5 %.
    assert max(rows[guess] for guess in ("sum", "product", "most frequent answer", "best template")) < 0.12
    assert rows["learned (template by words)"] < 0.2


# ------------------------------------------------------------------------------------------------------- judging


def test_chains_are_judged_as_gsm8ks() -> None:
    """Guards the classes: true and false steps, chains that end elsewhere, hidden steps, and no chain."""
    task = WordProblems()
    example = Example(question="", steps=("5 + 3 = 8", "8 * 2 = 16"), answer="16")

    def judged(text: str, hidden: int = 0) -> str | None:
        return task.classify(text, example, hidden=hidden)

    assert judged("5 + 3 = 8 8 * 2 = 16 16") == "right answer, chain leads to it"
    assert judged("8 * 2 = 16 16", hidden=1) == "right answer, chain leads to it"
    assert judged("5 + 3 = 8 16") == "right answer, chain ends elsewhere"
    assert judged("5 + 3 = 9 9 * 2 = 18 16") == "right answer, false step"
    assert judged("5 + 3 8 8 * 2 = 16 16") == "right answer, false step"
    assert judged("8 8 16") == "right answer, false step"
    assert judged("16", hidden=2) == "right answer, no chain"
    assert judged("5 + 3 = 8 8 - 2 = 6 6") == "wrong answer, chain leads to it"
    assert judged("5 + 3 = 8 8 * 2 = 16") == "right answer, false step", "the answer is missing, its step cut short"
    assert judged("5 + 3 = 8 8 * 2 = 16 17") == "wrong answer, chain ends elsewhere"
    assert judged("17") == judged("") == judged("tom") == "wrong answer, no chain"


def test_the_longest_output_fits() -> None:
    """Guards max_new_tokens: chain, answer and end-of-text, and not one token more is needed."""
    for task in TASKS.values():
        tokenizer = build_tokenizer(Words(), task)
        for tokens in tokenize(task.examples("test")[:20], task, tokenizer):
            assert len(tokens.chain) + len(tokens.answer) == task.max_new_tokens


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "operations": ({"operations": 5}, "operations must be between 1 and 4, got 5"),
    "no operations": ({"operations": 0}, "operations must be between 1 and 4, got 0"),
    "too small": ({"largest": 11}, "largest must be between 12, which 2 divisions need, and 99, got 11"),
    "too small for three": ({"operations": 3, "largest": 20}, "largest must be between 24, which 3 divisions need"),
    "no such number": ({"largest": 100}, "and 99, got 100"),
    "distractors": ({"distractors": 4}, "distractors must be between 0 and 3, got 4"),
    "wording": ({"wording": "odd"}, "wording must be one of usual, reworded, turned, got 'odd'"),
    "problems": ({"num_test": -1}, "num_test must be at least 0, got -1"),
}


@pytest.mark.parametrize("case", BAD)
def test_settings_that_cannot_be_are_refused(case: str) -> None:
    """Guards against an endless search for numbers, or a name short, in the middle of a run."""
    changes, message = BAD[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        WordProblems(**changes)


def test_the_saved_config_is_this_task() -> None:
    """Guards loading: GSM8K's base class has the same name, and a saved config tells classes by name alone."""
    task = WordProblems(operations=3, wording="turned")
    saved = to_builtins(task)
    assert saved["type"] == "WordProblems"
    assert from_builtins(Task, saved, "$.task") == task


def test_the_audit_asks_the_harder_sets() -> None:
    """Guards the out-of-distribution column: every set but the one trained on, each with a line about it."""
    settings = settings_of(WordProblems())
    assert [setting.name for setting in settings] == [name for name in TASKS if name != "word-problems"]
    assert [setting.make() for setting in settings] == [task for task in TASKS.values() if task != WordProblems()]
    assert all(setting.about and not setting.about.startswith("problems of") for setting in settings)
