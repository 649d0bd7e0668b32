"""What is asked: an `Example` is one problem, a `Task` says where problems come from and how answers are judged.

A new task is one file with one final subclass of `Task` (of `FileTask`, where its problems are files), and a recipe
that names it. A `Generator` makes problems from a seed, for tasks and for `unspoken data make`. Nothing here imports
torch.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, final, overload

from unspoken.tasks.graphs import Graph
from unspoken.tasks.rows import data_file

Split = Literal["train", "valid", "test"]

Measure = float | str | tuple[str, ...]
"""A number, whose mean counts; a category, whose share counts; or the categories of several things in one example."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One problem, under the published JSON keys."""

    question: str
    steps: tuple[str, ...]
    answer: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What the task itself needs to judge or redraw the example (a graph, say). Never shown to the model."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """An example as the text a model reads and writes, before tokenization."""

    question: str
    steps: tuple[str, ...]
    answer: str
    """Without the end-of-text token; that is appended as an id."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Naming:
    """How a chain would go on to name each node of a problem's graph."""

    before: str
    """What is written before a name; may be empty."""
    names: tuple[str, ...]
    """By node: its name as it would be written there."""
    hops: int
    """How far from the node asked about a right chain is when it names a node there."""


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

    def graph(self, example: Example) -> Graph | None:
        """The graph a problem is about; None: the task's problems have none."""
        return None

    def naming(self, example: Example, hidden: int, written: int = 0) -> Naming | None:
        """How a chain goes on to name a node of the graph; None: no graph.

        `hidden` first steps are behind it that were not written, and then `written` ones of the right chain that were.
        """
        return None

    def asked_otherwise(self, example: Example) -> Example | None:
        """The same facts and options with another question, whose answer is the option that was wrong.

        None where the task, or this problem, has no such question.
        """
        return None

    def words(self) -> Sequence[str] | None:
        """Every word of a closed vocabulary, for word-level tokenizers; None where the text is open."""
        return None

    def measures(self, example: Example) -> Mapping[str, Measure]:
        """What `unspoken data stats` counts on one example, by name; `statistics.py` says what becomes of it."""
        return {
            "steps": len(example.steps),
            "question words": len(example.question.split()),
            "chain words": sum(len(step.split()) for step in example.steps),
            "answer words": len(example.answer.split()),
            "number of steps": str(len(example.steps)),
        }

    def doubts(self, example: Example) -> Sequence[tuple[str, str]]:
        """What is odd about a problem that reads well, as (field, problem), for `unspoken data validate`."""
        return ()

    def row(self, example: Example) -> dict[str, Any]:
        """The fields of an example in a file, in order. Default: the published three."""
        return {"question": example.question, "steps": list(example.steps), "answer": example.answer}

    def on_file(self, path: Path) -> Task:
        """The same task, asking the problems of another file as its test split.

        Raises:
            ValueError: the task reads no files.
        """
        raise ValueError(f"{path}: {type(self).__name__} makes its problems and reads no files")

    def asking(self, other: Task) -> Task:
        """The problems of another task, in this task's form where it has one of its own. Default: the other task."""
        return other


@dataclass(frozen=True, kw_only=True)
class FileTask(Task):
    """A task whose splits are files: the user's own where named, else the published ones among the shared data."""

    published: ClassVar[Mapping[Split, str]]
    """The published files by split, as paths below the shared data's folder; a split without one has to be named."""

    train_file: Path | None = None
    """Training problems; none: the published ones."""
    valid_file: Path | None = None
    """Validation problems; none: the published ones."""
    test_file: Path | None = None
    """Test problems; none: the published ones."""

    @abstractmethod
    def read(self, path: Path) -> Sequence[Example]:
        """The examples of a file, each checked in itself.

        Raises:
            ValueError: the file cannot be read or a row is wrong; the message names file, row and field.
        """

    def recognises(self, row: Mapping[str, Any] | str) -> bool:
        """Whether a file with this first row is one of the task's; `row` is a line of text where it is no object."""
        return False

    def file(self, split: Split) -> Path | None:
        """Where a split is read from; None where nobody has named a file.

        Raises:
            ValueError: it is published, but not among the shared data here.
        """
        named = {"train": self.train_file, "valid": self.valid_file, "test": self.test_file}[split]
        if named is not None or split not in self.published:
            return named
        return data_file(self.published[split])

    def examples(self, split: Split) -> Sequence[Example]:
        path = self.file(split)
        if path is None:
            raise ValueError(
                f"{type(self).__name__} has no {split} split among the shared data; name a file with "
                f"--task.{split}-file FILE"
            )
        return self.read(path)

    def on_file(self, path: Path) -> Self:
        return replace(self, test_file=path)


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


@dataclass(frozen=True, kw_only=True)
class DrawnTask(Task):
    """A task whose problems are drawn at random: other ones in every epoch of training, fixed ones elsewhere."""

    stream: ClassVar[str]
    """Starts the names of its random streams."""

    num_train: int = 12_800
    """Training problems in one epoch; the next epoch draws others."""
    num_valid: int = 256
    """Validation problems."""
    num_test: int = 1_000
    """Test problems."""
    data_seed: int = 0
    """Seed of the problems of all three splits."""

    def __post_init__(self) -> None:
        for name, num in (("train", self.num_train), ("valid", self.num_valid), ("test", self.num_test)):
            if num < 0:
                raise ValueError(f"num_{name} must be at least 0, got {num}")

    @abstractmethod
    def draw(self, rng: random.Random) -> Example:
        """A random problem."""

    def examples(self, split: Split) -> Sequence[Example]:
        num = {"train": self.num_train, "valid": self.num_valid, "test": self.num_test}[split]
        return Generated(self.draw, num=num, seed=f"{self.stream}/{self.data_seed}/{split}")

    def redraw(self, example: Example, rng: random.Random) -> Example:
        return self.draw(rng)


class Generator(ABC):
    """Problems on demand, as many as wanted. Subclasses are frozen dataclasses and final; fields are the settings.

    Problem i depends on (settings, seed, i) alone and is the same on every platform and in every version of Python:
    draw through `rng.random()` only, which alone is documented to stay as it is, and use no floating-point function of
    `math`.
    """

    name: ClassVar[str]
    """What `unspoken data make` calls it; starts every random stream."""

    @abstractmethod
    def draw(self, rng: random.Random) -> Example:
        """One problem; every choice comes from `rng`."""

    def row(self, example: Example) -> dict[str, Any]:
        """The fields of an example in a file, in order. Default: the published three."""
        return {"question": example.question, "steps": list(example.steps), "answer": example.answer}

    def problems(self, *, num: int, seed: int, split: Split = "train") -> Generated:
        """`num` problems, made when they are looked at; the splits of a seed share none but by chance."""
        return Generated(self.draw, num=num, seed=f"{self.name}/{seed}" + ("" if split == "train" else f"/{split}"))


@final
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
