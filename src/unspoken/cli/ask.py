"""`unspoken ask`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, final

import tyro

from unspoken.cli.arguments import PROGRAM, parse, working
from unspoken.config import RunConfig
from unspoken.tasks.base import Example, Split

if TYPE_CHECKING:
    from unspoken.model import LatentLM

LINES = "-"
"""In place of a question: one from each line of standard input."""
MAX_NEW_TOKENS = 64
"""Of a model that notes nothing of its task."""


@final
@dataclass(frozen=True)
class _Ask:
    """Ask a trained model questions, and read what it writes after its thoughts."""

    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder, or the folder of a saved model."""
    questions: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[QUESTION ...]")] = ()
    """Questions in the form the model was trained on; -: one from each line of standard input."""
    row: int | None = None
    """Ask a problem of the run's own split instead, counted from 0, and show what is right."""
    split: Split = "test"
    """Which split --row counts in."""
    thoughts: tuple[int, ...] = ()
    """Answer after so many thoughts, after each of several numbers in turn; none: as in the last stage of training."""
    max_new_tokens: int | None = None
    """Longest answer in tokens; None: what the task's answers take, or 64 where no task is known."""
    weights: Literal["best", "final"] = "best"
    """Of a run. best: best validation accuracy in the final stage; final: the end of training."""


def ask(args: Sequence[str]) -> None:
    """Ask a trained model questions: ask RUN "QUESTION" --thoughts 0 1 2, or ask RUN --row N."""
    options = parse(_Ask, args, name="ask")
    if any(number < 0 for number in options.thoughts):
        raise ValueError(f"--thoughts: expected numbers of at least 0, got {min(options.thoughts)}")
    if options.max_new_tokens is not None and options.max_new_tokens < 1:
        raise ValueError(f"--max-new-tokens: expected at least 1, got {options.max_new_tokens}")
    if options.questions and options.row is not None:
        raise ValueError("expected either questions or --row, got both")
    saved = (options.model / "unspoken.json").is_file()
    config = None if saved else RunConfig.load(options.model / "config.json")
    examples = _examples(options, config)
    from unspoken.quiet import quiet
    from unspoken.runs import load_ready

    quiet()
    with working("loading the model"):
        model = load_ready(options.model, config, weights=options.weights)
    most = options.max_new_tokens or (config.task.max_new_tokens if config is not None else model.notes.max_new_tokens)
    questions = [example.question for example in examples]
    answers = {n: _answers(model, questions, n, most or MAX_NEW_TOKENS) for n in options.thoughts or (None,)}
    _warn(model, options.thoughts)
    for i, example in enumerate(examples):
        if len(examples) > 1 or options.row is not None:
            print(f"question: {example.question}")
        if options.row is not None:
            print(f"right: {example.answer}")
        for number, written in answers.items():
            several = "" if len(answers) == 1 else f"{number} thought{'' if number == 1 else 's'}: "
            print(f"{several}{written[i]}")


def _examples(options: _Ask, config: RunConfig | None) -> list[Example]:
    """What is asked; a question that was typed has no answer beside it."""
    if options.row is not None:
        if config is None:
            raise ValueError(f"--row: {options.model} is a saved model, which has no problems; ask it a question")
        examples = config.task.examples(options.split)
        if not 0 <= options.row < len(examples):
            raise ValueError(
                f"--row: expected 0 to {len(examples) - 1}, the problems of --split {options.split}, got {options.row}"
            )
        return [examples[options.row]]
    if not options.questions:
        raise ValueError(
            f'expected a question, as in {PROGRAM} ask {options.model} "QUESTION", or one of its own by --row 0'
        )
    given = list(options.questions)
    if given == [LINES]:
        given = [line.strip() for line in sys.stdin if line.strip()]
        if not given:
            raise ValueError("standard input: expected a question on each line, got none")
    empty = next((i for i, question in enumerate(given, start=1) if not question.strip()), None)
    if empty is not None:
        raise ValueError(f"question {empty} is empty")
    return [Example(question=question, steps=(), answer="") for question in given]


def _warn(model: LatentLM, thoughts: Sequence[int]) -> None:
    """Says on stderr where more thoughts were asked for than training had."""
    from unspoken.layout import MARKERS

    trained = model.notes.after_question.count(MARKERS["thought"])
    most = max(thoughts, default=0)
    if most > trained:
        print(
            f"{PROGRAM}: warning: {most} thoughts are more than the {trained} this model was trained with",
            file=sys.stderr,
        )


def _answers(model: LatentLM, questions: Sequence[str], thoughts: int | None, max_new_tokens: int) -> list[str]:
    with warnings.catch_warnings():
        # Said in our own words above.
        warnings.filterwarnings("ignore", message="thoughts=")
        return model.reason(questions, thoughts=thoughts, max_new_tokens=max_new_tokens)
