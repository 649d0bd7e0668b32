"""Numbers guessed from the numbers in a question, without a thought for what they count.

A template is a number of the question or one operation on two of them ("first - second"). Which template is best, and
which one the words of the question call for, is learned and judged out of fold.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from itertools import permutations
from statistics import fmean
from typing import Any

from unspoken.shortcuts.findings import Finding, Group
from unspoken.shortcuts.folds import FOLDS, MIN_PROBLEMS, deal
from unspoken.shortcuts.guesses import most_frequent
from unspoken.tasks.base import Example
from unspoken.tasks.numbers import find_numbers, read_number

_MOST_NUMBERS = 40
"""Further numbers of a question are not looked at: a product of hundreds takes long and is never the answer."""
_MOST_TEMPLATES = 10
"""How many templates words may choose among: those that answer the most problems no other one has answered."""

Template = Callable[[Sequence[Fraction]], Fraction]
"""A number from the numbers of a question."""

_PLACES: dict[str, Template] = {
    "first": lambda numbers: numbers[0],
    "second": lambda numbers: numbers[1],
    "third": lambda numbers: numbers[2],
    "last but one": lambda numbers: numbers[-2],
    "last": lambda numbers: numbers[-1],
    "smallest": min,
    "largest": max,
}
_OPERATIONS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}
_FIXED = ("last", "first", "largest", "sum", "product", "largest - smallest")


def are_numbers(problems: Sequence[Example]) -> bool:
    """Whether nearly every answer is a number (95 %)."""
    return fmean(read_number(example.answer) is not None for example in problems) >= 0.95


@cache
def templates() -> dict[str, Template]:
    """Every template by name; one raises IndexError or ZeroDivisionError where it does not apply."""
    found: dict[str, Template] = {
        **_PLACES,
        "sum": lambda numbers: sum(numbers, Fraction(0)),
        "product": lambda numbers: math.prod(numbers, start=Fraction(1)),
    }

    def operate(place: str, sign: str, other: str) -> Template:
        a, b, operation = _PLACES[place], _PLACES[other], _OPERATIONS[sign]
        return lambda numbers: operation(a(numbers), b(numbers))

    for place, other in permutations(_PLACES, 2):
        for sign in _OPERATIONS:
            found[f"{place} {sign} {other}"] = operate(place, sign, other)
    return found


def number_guesses(problems: Sequence[Example]) -> list[Finding]:
    """Guesses at numbers: fixed templates, the most frequent answer, and the best template, by itself and by words."""
    answers = [read_number(example.answer) for example in problems]
    right = [_right(example, answer) for example, answer in zip(problems, answers, strict=True)]
    found = [most_frequent(problems, None)]
    for name in _FIXED:
        points = tuple(float(name in names) for names in right)
        about = f"{name} of the numbers in the question" if name in ("sum", "product") else f"{name} number"
        found.append(Finding(name=name, about=about, group=Group.SURFACE, points=points, chance=None))
    if len(problems) < MIN_PROBLEMS:
        return found
    num = len(templates())
    points, note = _best(right)
    found.append(
        Finding(
            name="best template",
            about=f"the best of {num} templates (a number, or one operation on two), chosen on other problems",
            group=Group.SURFACE,
            points=points,
            chance=None,
            note=note,
        )
    )
    points, note = _by_words([example.question for example in problems], right)
    found.append(
        Finding(
            name="learned (template by words)",
            about=f"logistic regression on words chooses among {_MOST_TEMPLATES} templates, out of fold",
            group=Group.SURFACE,
            points=points,
            chance=None,
            note=note,
        )
    )
    return found


def _right(example: Example, answer: Fraction | None) -> frozenset[str]:
    """Templates that give the answer."""
    numbers = find_numbers(example.question)[:_MOST_NUMBERS]
    names = []
    for name, template in templates().items():
        try:
            if numbers and template(numbers) == answer:
                names.append(name)
        except (IndexError, ZeroDivisionError):
            continue
    return frozenset(names)


def _best(right: Sequence[frozenset[str]]) -> tuple[tuple[float, ...], str]:
    fold = deal([0] * len(right))
    points = [0.0] * len(right)
    chosen: list[str] = []
    for held in range(FOLDS):
        best = _useful([names for names, f in zip(right, fold, strict=True) if f != held], 1)
        chosen += best
        for i, f in enumerate(fold):
            if f == held:
                points[i] = float(not right[i].isdisjoint(best))
    return tuple(points), "chosen: " + ", ".join(f"{name} ({n} folds)" for name, n in Counter(chosen).most_common())


def _by_words(texts: Sequence[str], right: Sequence[frozenset[str]]) -> tuple[tuple[float, ...], str]:
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer: Any = CountVectorizer(binary=True, ngram_range=(1, 2), token_pattern=r"[a-z]+", min_df=3)
    rows = vectorizer.fit_transform(texts).astype(float)
    fold = np.array(deal([bool(names) for names in right]))
    points = [0.0] * len(right)
    chosen: Counter[str] = Counter()
    for held in range(FOLDS):
        train = np.flatnonzero(fold != held).tolist()
        useful = _useful([right[i] for i in train], _MOST_TEMPLATES)
        taught = [(i, next(name for name in useful if name in right[i])) for i in train if {*useful} & right[i]]
        labels = [name for _, name in taught]
        test = np.flatnonzero(fold == held)
        said: Sequence[str] = labels[:1] * len(test)
        if len(set(labels)) > 1:
            model: Any = LogisticRegression(C=0.3, max_iter=2000, tol=1e-3)
            said = model.fit(rows[[i for i, _ in taught]], labels).predict(rows[test]).tolist()
        for i, name in zip(test.tolist(), said, strict=bool(said)):
            points[i] = float(name in right[i])
        chosen.update(said)
    return tuple(points), "chosen: " + ", ".join(f"{name} ({n})" for name, n in chosen.most_common(6))


def _useful(right: Sequence[frozenset[str]], num: int) -> list[str]:
    """Up to `num` templates, each the one that answers the most problems that those before it do not."""
    order = {name: i for i, name in enumerate(templates())}
    left = list(right)
    useful: list[str] = []
    while len(useful) < num and any(left):
        counts = Counter(name for names in left for name in names)
        useful.append(min(counts, key=lambda name: (-counts[name], order[name])))
        left = [names for names in left if useful[-1] not in names]
    return useful
