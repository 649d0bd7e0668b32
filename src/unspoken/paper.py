"""Table 1 of the paper, to stand beside our own figures (GPT-2 small; accuracy %, deviation, generated tokens)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, final


@final
class Cell(NamedTuple):
    """One cell of the paper's Table 1."""

    accuracy: float
    deviation: float | None
    """None where the paper quotes the figure without one."""
    tokens: float
    """Generated tokens; Coconut's include its 6 thoughts, the pause rows leave their pauses out."""


# (GSM8k, ProntoQA, ProsQA), by the name of our method's class.
_TABLE1: dict[str, tuple[Cell, Cell, Cell]] = {
    "CoT": (Cell(42.9, 0.2, 25.0), Cell(98.8, 0.8, 92.5), Cell(77.5, 1.9, 49.4)),
    "NoCoT": (Cell(16.5, 0.5, 2.2), Cell(93.8, 0.7, 3.0), Cell(76.7, 1.0, 8.2)),
    "ICoT": (Cell(30.0, None, 2.2), Cell(99.8, 0.3, 3.0), Cell(98.2, 0.3, 8.2)),
    "Pause": (Cell(16.4, 1.8, 2.2), Cell(77.7, 21.0, 3.0), Cell(75.9, 0.7, 8.2)),
    "Coconut": (Cell(34.1, 1.5, 8.2), Cell(99.8, 0.2, 9.0), Cell(97.0, 0.3, 14.2)),
    "CoconutWithoutCurriculum": (Cell(14.4, 0.8, 8.2), Cell(52.4, 0.4, 9.0), Cell(76.1, 0.2, 14.2)),
    "WithoutThought": (Cell(21.6, 0.5, 2.3), Cell(99.9, 0.1, 3.0), Cell(95.5, 1.1, 8.2)),
    "PauseAsThought": (Cell(24.1, 0.7, 2.2), Cell(100.0, 0.1, 3.0), Cell(96.6, 0.8, 8.2)),
}

_COLUMNS = {"GSM8K": 0, "ProntoQA": 1, "ProsQA": 2}

_COUNTERPARTS = {"WordProblems": "GSM8K", "SymbolicProntoQA": "ProntoQA", "SymbolicProsQA": "ProsQA"}
"""Tasks for small models from scratch, and the paper's task that each is made after."""

METHOD_NAMES = {
    "CoT": "CoT",
    "NoCoT": "No-CoT",
    "ICoT": "iCoT",
    "Pause": "Pause token",
    "Coconut": "Coconut",
    "CoconutWithoutCurriculum": "- w/o curriculum",
    "WithoutThought": "- w/o thought",
    "PauseAsThought": "- pause as thought",
    "ShuffledThoughts": "- shuffled thoughts",
    "DetachedThoughts": "- detached thoughts",
}
"""Rows as the paper names and orders them, then our two controls."""


def method_name(method: str) -> str:
    """A method's name by itself, outside the table; its class name where the paper has none."""
    return METHOD_NAMES.get(method, method).removeprefix("- ")


def table1(method: str, task: str) -> Cell | None:
    """The paper's cell for a method's and a task's class name; None where it has none."""
    column = _COLUMNS.get(task)
    row = _TABLE1.get(method)
    return None if column is None or row is None else row[column]


def counterpart(task: str) -> str | None:
    """The paper's task that a task of another kind is made after, by class names; None where it is made after none."""
    return _COUNTERPARTS.get(task)


def published_problems(task: Mapping[str, Any]) -> bool:
    """Whether a task with these settings (`Summary.task`) asks its published test problems.

    False for problems from a file of somebody's own or from a generator, and for graphs of another process than the
    released ones. Only then does the paper's figure belong to these problems.
    """
    problems = task.get("problems")
    if isinstance(problems, Mapping):
        return published_problems(problems)
    graphs = task.get("graphs")
    if task.get("test_file") is not None or "generator" in task:
        return False
    return not isinstance(graphs, Mapping) or graphs.get("type") == "Released"
