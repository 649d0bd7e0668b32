"""Which ways of answering without solving a set of problems allows, by the form of the problems themselves."""

from __future__ import annotations

from collections.abc import Sequence

from unspoken.shortcuts.findings import Finding, Group, Probe
from unspoken.shortcuts.graphs import graph_guesses
from unspoken.shortcuts.guesses import answer_guesses, choice_guesses, is_closed, most_frequent
from unspoken.shortcuts.learned import learned_guesses
from unspoken.shortcuts.numbers import are_numbers, number_guesses
from unspoken.shortcuts.prontoqa import GUESSERS, prontoqa_points
from unspoken.tasks.base import Example

_TRUE_OR_FALSE = " True or false: "


def probes_for(problems: Sequence[Example]) -> tuple[Probe, ...]:
    """By form: graphs with two options, choices, ProntoQA's rules, a small closed set of answers, numbers, or other.

    Raises:
        ValueError: there are no problems.
    """
    if not problems:
        raise ValueError("expected at least one problem to audit, got none")
    if all("neg_target" in example.meta for example in problems):
        return (graph_guesses, learned_guesses)
    if all("choices" in example.meta for example in problems):
        return (choice_guesses,)
    if all(_TRUE_OR_FALSE in example.question for example in problems):
        return (prontoqa_guesses, answer_guesses)
    if is_closed(problems):
        return (answer_guesses,)
    if are_numbers(problems):
        return (number_guesses,)
    return (_open_answers,)


def prontoqa_guesses(problems: Sequence[Example]) -> list[Finding]:
    """What every guesser of `prontoqa_shortcuts` gets right.

    Raises:
        ValueError: one is not a ProntoQA problem.
    """
    found = [prontoqa_points(example) for example in problems]
    return [
        Finding(
            name=name,
            about=guesser.about.replace("... ", "of the rules about the queried property, "),
            group=Group.SEARCH if guesser.knows_asked else Group.BLIND,
            points=tuple(points[name] for points in found),
            chance=0.5,
        )
        for name, guesser in GUESSERS.items()
    ]


def _open_answers(problems: Sequence[Example]) -> list[Finding]:
    return [most_frequent(problems, None)]
