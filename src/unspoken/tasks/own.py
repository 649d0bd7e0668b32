"""Your own problems: any JSON list or JSON lines with questions, chains and answers, or a data set of a hub.

`OwnFile` reads files, `HubData` what the `datasets` package reads (an optional extra). Both find their columns through
`Columns`. `unspoken data validate FILE` says what is wrong where.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Literal, final

from unspoken.tasks.base import Example, FileTask, Split, Task
from unspoken.tasks.numbers import plain, same_number
from unspoken.tasks.texts import Cut, after_mark, cut_steps, read_examples

Compare = Literal["exact", "numeric"]
"""How answers are compared: as text, as the published code does, or as the one number each holds (`same_number`)."""


@final
@dataclass(frozen=True, kw_only=True)
class Columns:
    """Where a row holds what. Further fields are ignored."""

    question: str = "question"
    """Field of the question, a text."""
    steps: str = "steps"
    """Field of the chain: a list of steps, one text to be cut, null, or not there at all (no chain)."""
    answer: str = "answer"
    """Field of the answer: a text, a number or a boolean."""
    cut: Cut = "lines"
    """Where a chain that is one text is cut: at its line ends, after its sentences, or not at all."""

    def __post_init__(self) -> None:
        names = (self.question, self.steps, self.answer)
        if len(set(names)) < 3:
            raise ValueError(f"columns: expected three different fields for question, steps and answer, got {names}")

    def example(self, row: Mapping[str, Any]) -> Example:
        """A row as an example.

        Raises:
            ValueError: a field is missing or of another type; the message names the field.
        """
        question = self._field(row, self.question)
        if not isinstance(question, str):
            raise ValueError(f"field `{self.question}`: expected a text, got {_type(question)}")
        return Example(
            question=question,
            steps=self._steps(row.get(self.steps)),
            answer=_text(self._field(row, self.answer), self.answer),
        )

    def row(self, example: Example) -> dict[str, Any]:
        """The inverse of `example`, as far as text goes."""
        return {self.question: example.question, self.steps: list(example.steps), self.answer: example.answer}

    def _field(self, row: Mapping[str, Any], name: str) -> Any:
        if name not in row:
            raise ValueError(
                f"field `{name}`: not there, the row has {', '.join(row) or 'no fields'}; name the right one in columns"
            )
        return row[name]

    def _steps(self, value: Any) -> tuple[str, ...]:
        if value is None:
            return ()
        if isinstance(value, str):
            return cut_steps(value, self.cut)
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"field `{self.steps}`: expected a list of steps, a text or null, got {_type(value)}")
        return tuple(_text(step, f"{self.steps}[{i}]") for i, step in enumerate(value))


@final
@dataclass(frozen=True, kw_only=True)
class OwnFile(FileTask):
    """Problems in files of your own; all splits that are used have to be named.

    Answers that are numbers or booleans in the file become text: 5.0 is "5", true is "True". Steps and questions are
    taken as they are, blanks included.
    """

    version: ClassVar[str] = "1"
    published: ClassVar[Mapping[Split, str]] = {}

    columns: Columns = Columns()
    """Where a row holds what."""
    compare: Compare = "exact"
    """How answers are compared: as text, or as numbers (18, 18.0 and "$18 a day" are the same)."""
    longest_output: int = 256
    """Tokens a model may write for one problem, end-of-text included."""

    def __post_init__(self) -> None:
        _check_tokens(self.longest_output)

    @property
    def max_new_tokens(self) -> int:
        return self.longest_output

    def read(self, path: Path) -> Sequence[Example]:
        return read_examples(path, dict[str, Any], self.columns.example)

    def recognises(self, row: Mapping[str, Any] | str) -> bool:
        """Any row with a question and an answer, so ask other tasks first."""
        return not isinstance(row, str) and {self.columns.question, self.columns.answer} <= row.keys()

    def row(self, example: Example) -> dict[str, Any]:
        """Question, steps and answer under the columns' names."""
        return self.columns.row(example)

    def extract(self, text: str) -> str:
        """What follows the last `###`. Not the published rule, which cuts "C#" short and takes "1,2" for "12"."""
        return after_mark(text)

    def correct(self, prediction: str, example: Example) -> bool:
        return _same(prediction, example.answer, self.compare)


@final
@dataclass(frozen=True, kw_only=True)
class HubData(Task):
    """Problems that the `datasets` package reads: a name on the Hugging Face hub, or a local folder of data files.

    Needs the extra: `pip install "unspoken[datasets]"`. The package keeps what it has loaded, so a second run needs no
    network.
    """

    version: ClassVar[str] = "1"

    name: str
    """Name on the hub (`owner/name`), or a local folder."""
    config: str | None = None
    """Which configuration of it; none: its only or default one."""
    revision: str | None = None
    """Branch, tag or commit; none: the newest. Name a commit for results that can be repeated."""
    train_split: str = "train"
    """What it calls the training split; slices such as `train[:90%]` work."""
    valid_split: str = "validation"
    """What it calls the validation split."""
    test_split: str = "test"
    """What it calls the test split."""
    columns: Columns = Columns()
    """Where a row holds what."""
    compare: Compare = "exact"
    """How answers are compared: as text, or as numbers (18, 18.0 and "$18 a day" are the same)."""
    longest_output: int = 256
    """Tokens a model may write for one problem, end-of-text included."""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name: expected a name on the hub or a local folder, got none")
        _check_tokens(self.longest_output)

    @property
    def max_new_tokens(self) -> int:
        return self.longest_output

    def examples(self, split: Split) -> Sequence[Example]:
        """All examples of a split, in its order.

        Raises:
            ValueError: `datasets` is not installed, or cannot load the split; or a row does not fit.
        """
        name = {"train": self.train_split, "valid": self.valid_split, "test": self.test_split}[split]
        try:
            datasets = importlib.import_module("datasets")
        except ImportError as error:
            raise ValueError(
                f'{self.name}: the datasets package is not installed; pip install "unspoken[datasets]", or save the '
                "split as JSON lines and take OwnFile"
            ) from error
        try:
            rows = datasets.load_dataset(self.name, self.config, split=name, revision=self.revision)
        # What the package, the hub's client and its network library raise has no base in common but Exception.
        except Exception as error:
            cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
            said = " ".join(f"{error}{cause}".split()).rstrip(".")
            raise ValueError(
                f"{self.name}: split {name!r} cannot be loaded: {said}; check name, --task.config and the splits' "
                "names, or save the split as JSON lines and take OwnFile"
            ) from error
        examples: list[Example] = []
        for i, row in enumerate(rows):
            try:
                examples.append(self.columns.example(row))
            except ValueError as error:
                raise ValueError(f"{self.name} ({name}): row {i}: {error}") from error
        return examples

    def extract(self, text: str) -> str:
        """What follows the last `###`. Not the published rule, which cuts "C#" short and takes "1,2" for "12"."""
        return after_mark(text)

    def correct(self, prediction: str, example: Example) -> bool:
        return _same(prediction, example.answer, self.compare)

    def row(self, example: Example) -> dict[str, Any]:
        """Question, steps and answer under the columns' names."""
        return self.columns.row(example)

    def on_file(self, path: Path) -> OwnFile:
        """A file of the user's own with the same columns, judged alike."""
        return OwnFile(test_file=path, columns=self.columns, compare=self.compare, longest_output=self.longest_output)


def _same(prediction: str, answer: str, compare: Compare) -> bool:
    return same_number(prediction, answer) if compare == "numeric" else prediction.strip() == answer.strip()


def _text(value: Any, field: str) -> str:
    if isinstance(value, str):
        return value
    try:
        if isinstance(value, (bool, int)):
            return str(value)
        if isinstance(value, float):
            return plain(Decimal(repr(value)))
    except ValueError as error:  # not finite, or of more digits than Python writes
        raise ValueError(f"field `{field}`: {error}") from error
    way_out = "; for several right answers take OpenQA" if isinstance(value, (list, tuple)) else ""
    raise ValueError(f"field `{field}`: expected a text, a number or a boolean, got {_type(value)}{way_out}")


def _type(value: Any) -> str:
    names = {
        type(None): "null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a text",
        dict: "an object",
    }
    return names.get(type(value), "a list")


def _check_tokens(longest_output: int) -> None:
    if longest_output < 1:
        raise ValueError(f"longest_output: expected at least 1 token, got {longest_output}")
