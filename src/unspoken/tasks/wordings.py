"""How the word problems of the small world are worded; see `word_problems`.

Every sentence is a template over whole words, which stand apart. `{n}` has something, `{v}` of it at first; `{b}` is
what an operation does to it, `{part}` the same as a part; `{m}` is somebody else; `{i}` is what is counted. Every
number is at least 2, so that plurals are always right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, final

Wording = Literal["usual", "reworded", "turned"]
"""Which sentences tell a problem; models are trained on the usual ones."""

NAMES = ("tom", "anna", "ben", "eva", "max", "lea", "sam", "mia")
ITEMS = ("apples", "pears", "nuts", "books", "pens", "coins")
PARTS: Mapping[int, str] = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth"}

QUESTION = "? how many {i} has {n}"
AT_FIRST = "at first"
BUT_BEFORE = "but before that"

Templates = Mapping[str, tuple[str, ...]]
"""By the sign of an operation."""


@final
@dataclass(frozen=True, kw_only=True)
class Sentences:
    """One wording of all situations."""

    start: tuple[str, ...]
    """What there is at first."""
    boxes: tuple[str, ...]
    """The same, and a first multiplication, in one sentence."""
    story: Templates
    """What becomes of what `{n}` has."""
    story_by_two: Templates
    """The same, where the number is 2."""
    comparison: Templates
    """How much `{n}` has, by how much `{m}` has."""
    comparison_by_two: Templates
    """The same, where the number is 2."""


_USUAL = Sentences(
    start=("{n} has {v} {i}",),
    boxes=("{n} has {b} boxes with {v} {i} each",),
    story={
        "+": ("{n} buys {b} {i}", "{n} finds {b} {i}", "{n} gets {b} {i} from {m}"),
        "-": ("{n} sells {b} {i}", "{n} loses {b} {i}", "{n} gives {b} {i} to {m}"),
        "*": ("the {i} of {n} become {b} times as many",),
        "/": ("{n} splits the {i} in {b} equal parts and keeps one",),
    },
    story_by_two={"*": ("{n} doubles the {i}",), "/": ("{n} halves the {i}",)},
    comparison={
        "+": ("{n} has {b} more {i} than {m}", "{n} has as many {i} as {m} and {b} more"),
        "-": ("{n} has {b} fewer {i} than {m}", "{n} has as many {i} as {m} but {b} fewer"),
        "*": ("{n} has {b} times as many {i} as {m}",),
        "/": ("{n} has {part} as many {i} as {m}",),
    },
    comparison_by_two={"*": ("{n} has twice as many {i} as {m}",)},
)

_REWORDED = Sentences(
    start=("{v} {i} has {n}",),
    boxes=("in each of {b} boxes {n} has {v} {i}",),
    story={
        "+": ("{n} gets {b} more {i}", "from {m} {n} gets {b} {i}", "{n} finds and keeps {b} {i}"),
        "-": ("{n} loses {b} of the {i}", "to {m} {n} gives {b} {i}", "{n} sells {b} of the {i}"),
        "*": ("{b} times as many become the {i} of {n}",),
        "/": ("of {b} equal parts of the {i} {n} keeps one",),
    },
    story_by_two={"*": ("the {i} of {n} become twice as many",), "/": ("{n} keeps half of the {i}",)},
    comparison={
        "+": ("{n} has {b} {i} more than {m}", "than {m} {n} has {b} more {i}"),
        "-": ("{n} has {b} {i} fewer than {m}", "than {m} {n} has {b} fewer {i}"),
        "*": ("{n} has as many {i} as {m} {b} times",),
        "/": ("{n} has as many {i} as {part} of the {i} of {m}",),
    },
    comparison_by_two={"*": ("{n} has as many {i} as {m} twice",)},
)

_TURNED = Sentences(
    start=_USUAL.start,
    boxes=_USUAL.boxes,
    story={
        "+": ("{m} gives {b} {i} to {n}", "{m} sells {b} {i} to {n}", "{m} loses {b} {i} to {n}"),
        "-": ("{m} gets {b} {i} from {n}", "{m} buys {b} {i} from {n}"),
        "*": _USUAL.story["*"],
        "/": _USUAL.story["/"],
    },
    story_by_two=_USUAL.story_by_two,
    comparison={
        "+": ("{m} has {b} fewer {i} than {n}", "{m} has as many {i} as {n} but {b} fewer"),
        "-": ("{m} has {b} more {i} than {n}", "{m} has as many {i} as {n} and {b} more"),
        "*": ("{m} has {part} as many {i} as {n}",),
        "/": ("{m} has {b} times as many {i} as {n}",),
    },
    comparison_by_two={"/": ("{m} has twice as many {i} as {n}",)},
)

WORDINGS: Mapping[Wording, Sentences] = {"usual": _USUAL, "reworded": _REWORDED, "turned": _TURNED}
"""`reworded` says the usual things in another order of words; `turned` turns them round, so that "gives" adds and
"more" subtracts: what somebody else does, or by how much somebody else has more. Both use words of the usual wording
only; multiplications and divisions in stories cannot be turned and stay as they are."""

BESIDE = ("{m} has {b} {i}", "{m} has {b} {other}", "{n} has {b} {other}", "{m} buys {b} {i}")
"""What has nothing to do with the question: `{n}` is who is asked about, `{other}` is not what is asked about."""


def words_of(templates: Iterable[str]) -> set[str]:
    """The words of some templates that are no places to fill."""
    return {word for template in templates for word in template.split() if not re.fullmatch(r"{\w+}", word)}


def templates_of(sentences: Sentences) -> list[str]:
    """Every template of a wording."""
    tables = (sentences.story, sentences.story_by_two, sentences.comparison, sentences.comparison_by_two)
    said = [template for table in tables for templates in table.values() for template in templates]
    return [*sentences.start, *sentences.boxes, *said]
