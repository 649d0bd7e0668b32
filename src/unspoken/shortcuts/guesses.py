"""Answers guessed from a closed set, or among choices, without solving anything.

For yes-or-no questions, True or False, labels: the most frequent answer, and what the mere words of a question say of
it (a bag of words, out of fold). For multiple choice: the place, the length and the words of a choice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from unspoken.shortcuts.findings import Finding, Group
from unspoken.shortcuts.folds import FOLDS, MIN_PROBLEMS, deal
from unspoken.shortcuts.options import Options, fit_linear, share
from unspoken.tasks.base import Example

MOST_ANSWERS = 10
"""A set of more different answers than this is not taken to be closed."""

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"(?<=[.!?:])\s+")


def is_closed(problems: Sequence[Example]) -> bool:
    """Whether answers come from a small set: two to ten different ones, each five times on average."""
    num = len({example.answer for example in problems})
    return 2 <= num <= MOST_ANSWERS and len(problems) >= 5 * num


def most_frequent(problems: Sequence[Example], chance: float | None) -> Finding:
    """Always the answer that is the most frequent one in the file itself."""
    answer, _ = Counter(example.answer for example in problems).most_common(1)[0]
    return Finding(
        name="most frequent answer",
        about=f"always {answer}",
        group=Group.PRIOR,
        points=tuple(float(example.answer == answer) for example in problems),
        chance=chance,
        tried=len({example.answer for example in problems}),
    )


def answer_guesses(problems: Sequence[Example]) -> list[Finding]:
    """Guesses at answers from a closed set: the most frequent one, and two bags of words.

    What the words are measured against is the most frequent answer, not a coin.
    """
    answers = [example.answer for example in problems]
    prior = most_frequent(problems, 1 / len(set(answers)))
    found = [prior]
    if len(problems) < MIN_PROBLEMS:
        return found
    texts = {
        "question": [example.question for example in problems],
        "last sentence": [_SENTENCE_END.split(example.question.strip())[-1] for example in problems],
    }
    if fmean(a != b for a, b in zip(*texts.values(), strict=True)) < 0.5:
        del texts["last sentence"]
    for name, text in texts.items():
        points, note = _bag_of_words(text, answers)
        found.append(
            Finding(
                name=f"learned (words of the {name})",
                about=f"logistic regression on words and word pairs of the {name}, out of fold",
                group=Group.SURFACE,
                points=points,
                chance=prior.accuracy,
                note=note,
            )
        )
    return found


def choice_guesses(problems: Sequence[Example]) -> list[Finding]:
    """Guesses at multiple choice: answers are labels of `meta["choices"]`, which maps labels to texts.

    Raises:
        ValueError: an example has no choices, or its answer is none of them.
    """
    for i, example in enumerate(problems):
        labels = list(example.meta.get("choices", ()))
        if example.answer not in labels:
            raise ValueError(f"problem {i}: expected an answer among the labels of its choices {labels}, got another")
    chance = fmean(1 / len(example.meta["choices"]) for example in problems)
    offered = Counter(text for example in problems for text in example.meta["choices"].values())
    shared = [_shared_words(example) for example in problems]
    found = [most_frequent(problems, chance)]
    scores: dict[tuple[str, str], Callable[[int, str], float]] = {
        ("longest choice", "most letters"): lambda i, text: len(text),
        ("shortest choice", "fewest letters"): lambda i, text: -len(text),
        ("shares words", "most words in common with the question"): lambda i, text: shared[i][text],
        ("shares no words", "fewest words in common with the question"): lambda i, text: -shared[i][text],
        ("offered often", "the choice offered in most problems of the file"): lambda i, text: offered[text],
    }
    for (name, about), score in scores.items():
        points = tuple(_choice_points(example, i, score) for i, example in enumerate(problems))
        found.append(Finding(name=name, about=about, group=Group.CHOICES, points=points, chance=chance))
    found.append(left_over(problems, problems))
    if len(problems) >= MIN_PROBLEMS:
        names, options = _choice_options(problems, shared, offered)
        fitted = fit_linear(options, strength=0.3)
        found.append(
            Finding(
                name="learned (choices)",
                about="logistic regression on words, length and place of a choice, and the scores above; out of fold",
                group=Group.CHOICES,
                points=fitted.points,
                chance=chance,
                note=fitted.largest(names),
            )
        )
    return found


def left_over(problems: Sequence[Example], seen: Sequence[Example]) -> Finding:
    """Elimination over problems that share three choices: a choice that is right in one of them is not right here.

    CommonsenseQA's authors wrote one question for each of three concepts and offered all three in each, so a model that
    remembers its training answers can go by what is left. With its train split for `seen`, where 90 % of the dev
    problems have such a sibling, this is right in 56.1 % of them; chance is 20 %.

    Args:
        problems: multiple choice; a problem that is also in `seen` is not its own sibling.
        seen: problems whose answers are known.
    """
    holders: dict[str, list[int]] = {}
    for i, example in enumerate(seen):
        for text in set(example.meta["choices"].values()):
            holders.setdefault(text, []).append(i)
    points = []
    for example in problems:
        choices: Mapping[str, str] = example.meta["choices"]
        in_common = Counter(i for text in set(choices.values()) for i in holders.get(text, ()))
        siblings = [seen[i] for i, num in in_common.items() if num >= 3 and seen[i] != example]
        offered = Counter(text for sibling in siblings for text in set(sibling.meta["choices"].values()))
        right = {sibling.meta["choices"][sibling.answer] for sibling in siblings}
        scores = [-1 if text in right else offered[text] for text in choices.values()]
        points.append(share(scores, list(choices).index(example.answer)))
    return Finding(
        name="left over elsewhere",
        about="offered in problems that share three of the choices, and right in none of those (their answers known)",
        group=Group.CHOICES,
        points=tuple(points),
        chance=fmean(1 / len(example.meta["choices"]) for example in problems),
    )


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _shared_words(example: Example) -> dict[str, int]:
    """How many words of each choice the question holds, beyond its list of the choices."""
    choices: Mapping[str, str] = example.meta["choices"]
    listed = Counter(word for label, text in choices.items() for word in (*_words(label), *_words(text)))
    asked = Counter(_words(example.question)) - listed
    return {text: len(set(_words(text)) & asked.keys()) for text in choices.values()}


def _choice_points(example: Example, i: int, score: Callable[[int, str], float]) -> float:
    choices: Mapping[str, str] = example.meta["choices"]
    return share([score(i, text) for text in choices.values()], list(choices).index(example.answer))


def _choice_options(
    problems: Sequence[Example], shared: Sequence[Mapping[str, int]], offered: Mapping[str, int]
) -> tuple[list[str], Options]:
    from scipy import sparse
    from sklearn.feature_extraction.text import CountVectorizer

    texts = [text for example in problems for text in example.meta["choices"].values()]
    vectorizer = CountVectorizer(binary=True, token_pattern=_WORD.pattern, min_df=2)
    words = vectorizer.fit_transform(texts)
    counts = []
    for example, overlaps in zip(problems, shared, strict=True):
        for place, text in enumerate(example.meta["choices"].values()):
            places = [float(place == other) for other in range(MOST_ANSWERS)]
            counts.append([len(text), len(_words(text)), overlaps[text], offered[text], *places])
    names = ["letters", "words", "shared words", "times offered", *(f"place {i + 1}" for i in range(MOST_ANSWERS))]
    return [*names, *(f"{word!r}" for word in vectorizer.get_feature_names_out())], Options(
        rows=sparse.hstack([sparse.csr_matrix(counts, dtype=float), words]).tocsr(),
        sizes=[len(example.meta["choices"]) for example in problems],
        right=[list(example.meta["choices"]).index(example.answer) for example in problems],
    )


def _bag_of_words(texts: Sequence[str], answers: Sequence[str]) -> tuple[tuple[float, ...], str]:
    """Points of a logistic regression on the words of a text, out of fold, and its largest weights."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    # The vocabulary is that of all texts; it sees no answers, so nothing leaks.
    least = 2 if len(texts) < 2_000 else 5
    vectorizer: Any = CountVectorizer(binary=True, ngram_range=(1, 2), token_pattern=_WORD.pattern, min_df=least)
    rows = vectorizer.fit_transform(texts).astype(float)
    names = vectorizer.get_feature_names_out()
    labels = np.array(answers)
    fold = np.array(deal(answers))
    points = np.empty(len(answers))
    weights = []
    for held in range(FOLDS):
        train, test = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        model: Any = LogisticRegression(C=0.05, max_iter=2000, tol=1e-3)
        model.fit(rows[train], labels[train])
        points[test] = model.predict(rows[test]) == labels[test]
        weights.append(model.coef_[-1])
    mean = np.mean(weights, axis=0)
    largest = np.argsort(-np.abs(mean), kind="stable")[:6]
    toward = np.unique(labels)[-1]
    note = f"largest weights for {toward}: " + ", ".join(f"{names[i]!r} {mean[i]:+.2f}" for i in largest)
    return tuple(points.tolist()), note
