"""Every task and generator of ours by name, for the command line; and which task a file belongs to.

`unspoken eval RUN --on NAME` and the `unspoken data` commands take these names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import msgspec

from unspoken.suggest import nearest
from unspoken.tasks.base import FileTask, Generator, Task
from unspoken.tasks.commonsense import CommonsenseQA, StrategyQA
from unspoken.tasks.graphs import GraphSource
from unspoken.tasks.graphs.debiased import (
    FAIR_EIGHT_HOPS,
    FAIR_FOUR_HOPS,
    FAIR_SEVEN_HOPS,
    FAIR_SIX_HOPS,
    FAIR_TEN_HOPS,
    Debiased,
)
from unspoken.tasks.graphs.varied import DAG, DENSE, EIGHT_HOPS, FIVE_HOPS, MORE_FAMILIES, SEVEN_HOPS, TEN_HOPS, Varied
from unspoken.tasks.gsm8k import GSM8K
from unspoken.tasks.math_word import SVAMP, GSMHard, MultiArith
from unspoken.tasks.multiplication import Multiplication, MultiplicationGenerator
from unspoken.tasks.open_qa import OpenQA
from unspoken.tasks.own import OwnFile
from unspoken.tasks.prontoqa import GeneratedProntoQA, ProntoQA
from unspoken.tasks.proofs.ontology import ProntoQAGenerator
from unspoken.tasks.prosqa import ProsQA, ProsQAProblems
from unspoken.tasks.rows import read_bytes
from unspoken.tasks.word_problems import WordProblems

GRAPHS: dict[str, tuple[GraphSource, str]] = {
    "prosqa-debiased": (
        Debiased(),
        "ProsQA without shortcuts: ignoring who is asked, or directions, is a coin.",
    ),
    "prosqa-debiased-4-hops": (FAIR_FOUR_HOPS, "ProsQA without shortcuts, 4 hops on 20 nodes, for small models."),
    "prosqa-debiased-6-hops": (FAIR_SIX_HOPS, "ProsQA without shortcuts, chains of exactly 6 hops."),
    "prosqa-debiased-7-hops": (FAIR_SEVEN_HOPS, "ProsQA without shortcuts, chains of exactly 7 hops."),
    "prosqa-debiased-8-hops": (FAIR_EIGHT_HOPS, "ProsQA without shortcuts, chains of exactly 8 hops."),
    "prosqa-debiased-10-hops": (FAIR_TEN_HOPS, "ProsQA without shortcuts, chains of exactly 10 hops."),
    "prosqa-5-hops": (FIVE_HOPS, "ProsQA with chains of exactly 5 hops."),
    "prosqa-7-hops": (SEVEN_HOPS, "ProsQA with chains of exactly 7 hops."),
    "prosqa-8-hops": (EIGHT_HOPS, "ProsQA with chains of exactly 8 hops."),
    "prosqa-10-hops": (TEN_HOPS, "ProsQA with chains of exactly 10 hops."),
    "prosqa-dense": (DENSE, "ProsQA with 58 edges a problem instead of 36."),
    "prosqa-dag": (DAG, "ProsQA with at least three shortest paths to the right option."),
    "prosqa-families": (MORE_FAMILIES, "ProsQA with four families of concepts instead of two."),
}
"""Harder and fairer ProsQA: each is a task with generated splits, and can be made as a file."""

PAIRED = ProntoQAGenerator(distractors="paired")
PROOFS: dict[str, tuple[GeneratedProntoQA, str]] = {
    "prontoqa-paired": (
        GeneratedProntoQA(generator=PAIRED),
        "ProntoQA without shortcuts: a second chain, alike in form, ends in the other sign.",
    ),
    "prontoqa-paired-3-hops": (
        GeneratedProntoQA(generator=replace(PAIRED, hops=3), num_test=1_000),
        "ProntoQA without shortcuts, of 3 hops instead of 5, 1,000 test problems.",
    ),
}
"""Harder and fairer ProntoQA."""

WORD_PROBLEMS: dict[str, tuple[WordProblems, str]] = {
    "word-problems": (WordProblems(), "Word problems of two operations, for small models."),
    "word-problems-three": (WordProblems(operations=3), "The same, with three operations."),
    "word-problems-distracted": (WordProblems(distractors=1), "The same, with a sentence beside the point."),
    "word-problems-reworded": (
        WordProblems(wording="reworded"),
        "The same, in another order of words.",
    ),
    "word-problems-turned": (
        WordProblems(wording="turned"),
        "The same, turned round: who gives, who has more.",
    ),
}
"""Word problems for small models: the ones to train on, and harder ones in the same vocabulary."""

TASKS: dict[str, Task] = {
    "prosqa": ProsQA(),
    **{name: ProsQA(graphs=graphs) for name, (graphs, _) in GRAPHS.items()},
    "prontoqa": ProntoQA(),
    **{name: task for name, (task, _) in PROOFS.items()},
    "svamp": SVAMP(),
    "gsm-hard": GSMHard(),
    "multiarith": MultiArith(),
    "multiplication": Multiplication(),
    "commonsenseqa": CommonsenseQA(),
    "strategyqa": StrategyQA(),
    "open-qa": OpenQA(),
    "gsm8k": GSM8K(),
    **{name: task for name, (task, _) in WORD_PROBLEMS.items()},
    "own": OwnFile(),
}
"""Tasks under their default settings; those that recognise many files come last."""


@final
@dataclass(frozen=True, kw_only=True)
class Kind:
    """Something that `unspoken data make` makes."""

    generator: Generator
    """Under its default settings."""
    about: str
    """In a line."""


KINDS: dict[str, Kind] = {
    "prosqa": Kind(generator=ProsQAProblems(), about="ProsQA as released."),
    "prosqa-varied": Kind(
        generator=ProsQAProblems(graphs=Varied()), about="ProsQA as released, all constants of the process as settings."
    ),
    **{name: Kind(generator=ProsQAProblems(graphs=graphs), about=about) for name, (graphs, about) in GRAPHS.items()},
    "prontoqa": Kind(generator=ProntoQAGenerator(), about="ProntoQA as published."),
    "prontoqa-paired": Kind(generator=PAIRED, about=PROOFS["prontoqa-paired"][1]),
    "multiplication": Kind(generator=MultiplicationGenerator(), about="Products of two numbers, as in iCoT's data."),
}
"""What `unspoken data make` makes."""


def find_task(name: str) -> Task:
    """The task of a name.

    Raises:
        ValueError: there is none; the message suggests the nearest.
    """
    if name not in TASKS:
        raise ValueError(
            f"no task named {name!r}, and no such file{nearest(name, TASKS)}; the tasks are {', '.join(TASKS)}"
        )
    return TASKS[name]


def recognise(path: Path) -> FileTask:
    """The task whose format a file has, by its content: the first of `TASKS` that knows its first row.

    Raises:
        ValueError: the file cannot be read, or no task knows its format.
    """
    row = first_row(path)
    for task in TASKS.values():
        if isinstance(task, FileTask) and task.recognises(row):
            return task
    shown = sorted(row) if isinstance(row, Mapping) else row[:60]
    raise ValueError(
        f"{path}: no task knows this format (first row: {shown}); name one with --task, out of {', '.join(TASKS)}"
    )


def first_row(path: Path) -> Mapping[str, Any] | str:
    """The first row of a JSON list or of JSON lines as an object, or the first line of a text file.

    Raises:
        ValueError: the file cannot be read, holds nothing, or its rows are neither objects nor text.
    """
    name = path.name.removesuffix(".gz")
    data = read_bytes(path)
    if not data.strip():
        raise ValueError(f"{path}: holds no rows")
    if name.endswith(".txt"):
        text = data.decode(errors="replace").strip()
        row: Any = text.partition("\n")[0].strip() or None
    else:
        try:
            row = msgspec.json.decode(data.strip().partition(b"\n")[0] if name.endswith(".jsonl") else data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{path}: not JSON: {error}; expected .json, .jsonl or .txt, gzipped or not") from error
        if isinstance(row, list):
            row = row[0] if row else None
    try:
        return msgspec.convert(row, dict[str, Any] | str)
    except msgspec.ValidationError:
        pass
    raise ValueError(f"{path}: expected rows that are objects, or lines of text, got {repr(row)[:60]}")
