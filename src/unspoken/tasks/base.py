"""What is asked: an `Example` is one problem, a `Task` says where problems come from and how answers are judged.

A new task is one file with one final subclass of `Task`, and a recipe that names it. Nothing here imports torch.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, overload

Split = Literal["train", "valid", "test"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One problem, under the published JSON keys."""

    question: str
    steps: tuple[str, ...]
    answer: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What the task itself needs to judge or redraw the example (a graph, say). Never shown to the model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """An example as the text a model reads and writes, before tokenization."""

    question: str
    steps: tuple[str, ...]
    answer: str
    """Without the end-of-text token; that is appended as an id."""


class Task(ABC):
    """Where problems come from, how they are written, and how an output is judged.

    Subclasses are frozen dataclasses and final: their fields are the task's settings, saved in `config.json`.
    """

    version: ClassVar[str]
    """Raised whenever the same settings would give other problems or other verdicts."""

    @property
    @abstractmethod
    def max_new_tokens(self) -> int:
        """How many tokens a model may write for one problem, end-of-text included."""

    @property
    def question_format(self) -> str:
        """How a question is written before anything follows it; saved with models, for `LatentLM.reason`."""
        return "{question}\n"

    @abstractmethod
    def examples(self, split: Split) -> Sequence[Example]:
        """All examples of a split, in a fixed order."""

    def redraw(self, example: Example, rng: random.Random) -> Example:
        """Another view of a training example, asked for once an epoch (facts in another order). Default: itself."""
        return example

    def write(self, example: Example) -> Written:
        """The published format: question, newline; each step, newline; `### ` and the answer."""
        return Written(
            question=self.question_format.format(question=example.question),
            steps=tuple(step + "\n" for step in example.steps),
            answer="### " + example.answer,
        )

    def extract(self, text: str) -> str:
        """The answer inside generated text: what follows the last `#`, as in the published evaluation."""
        return text.split("#")[-1].replace(",", "").strip()

    def correct(self, prediction: str, example: Example) -> bool:
        """Whether an extracted answer is right."""
        return prediction == example.answer.replace(",", "").strip()

    def classify(self, text: str, example: Example, *, hidden: int) -> str | None:
        """The class of a written chain whose first `hidden` steps were not to be written; None: no such classes."""
        return None

    def words(self) -> Sequence[str] | None:
        """Every word of a closed vocabulary, for word-level tokenizers; None where the text is open."""
        return None


class SymbolicTask(Task):
    """A task written in words of a closed vocabulary, separated by spaces: no newlines, no mark before the answer.

    The last thought is the answer, so nothing should stand between the two.
    """

    @property
    def question_format(self) -> str:
        return "{question}"

    def write(self, example: Example) -> Written:
        return Written(question=example.question, steps=example.steps, answer=example.answer)

    def extract(self, text: str) -> str:
        """The last word: a chain, where there is one, comes first."""
        return text.split()[-1] if text.split() else ""


class Generated(Sequence[Example]):
    """`num` examples made on demand; example i depends on (seed, i) alone, so nothing is stored and any order works."""

    def __init__(self, make: Callable[[random.Random], Example], *, num: int, seed: str) -> None:
        self._make = make
        self._num = num
        self._seed = seed

    def __len__(self) -> int:
        return self._num

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._num))]
        if index < 0:
            index += self._num
        if not 0 <= index < self._num:
            raise IndexError(index)
        return self._make(random.Random(f"{self._seed}/{index}"))
