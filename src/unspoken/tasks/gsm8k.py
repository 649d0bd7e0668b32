"""GSM8K: word problems of grade-school mathematics, solved by a chain of equations (Cobbe et al. 2021).

One reader takes every format these problems are passed around in, and tells them apart by the file's ending and the
fields of its rows (`read_problems`):

- Coconut JSON, `{question, steps, answer}`: the paper's files, GSM8k-Aug and GSM8k-Aug-NL (steps are sentences).
- CODI's JSON, `{question, cot, answer}`: the same two, chains as one string.
- The original GSM8K, `{question, answer}`: prose with `<<16-3-4=9>>` inside, then `#### 18`.
- iCoT text, `question||<<16-3-4=9>> <<9*2=18>> #### 18`, a line each.
- Other word problems, without chains: see `math_word`.

Rows without any equation (89 of the un-augmented training rows, 6 of valid, 18 of test) have one *empty* step in the
published files, which is written as an empty line. `GSM8K.without_equations` says what becomes of them.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import msgspec

from unspoken.tasks import texts
from unspoken.tasks.base import Example, FileTask, Measure, Split
from unspoken.tasks.equations import Arithmetic, check, equations_in, judge_chain, result
from unspoken.tasks.numbers import EXACT, plain, read_number, same_number

_BRACKETED = re.compile(r"<<[^>]+>>")


@final
class ProblemRow(msgspec.Struct, frozen=True):
    """A row of any of the JSON formats; which fields are there says which format it is."""

    question: str | None = None
    answer: str | int | float | None = None
    steps: tuple[str, ...] | None = None
    cot: str | None = None
    input: str | None = None
    """pal's name for a question."""
    target: int | float | None = None
    """pal's name for an answer."""
    question_in_multiarith: str | None = msgspec.field(default=None, name="sQuestion")
    equations_in_multiarith: tuple[str, ...] = msgspec.field(default=(), name="lEquations")
    solutions_in_multiarith: tuple[int | float, ...] = msgspec.field(default=(), name="lSolutions")


def read_problems(path: Path) -> list[Example]:
    """The word problems of a file in any of the formats above, as they stand in it.

    Raises:
        ValueError: the file cannot be read, or a row fits no format; the message names file, row and field.
    """
    name = path.name.removesuffix(".gz")
    if name.endswith(".txt"):
        return texts.read_line_examples(path, from_icot)
    if name.endswith((".json", ".jsonl")):
        return texts.read_examples(path, ProblemRow, _from_row)
    raise ValueError(f"{path}: expected a file that ends in .json, .jsonl or .txt (or one of these and .gz)")


def from_icot(line: str) -> Example:
    """One line of iCoT text, converted as by the published `preprocessing/gsm_icot.py`: steps are split at spaces.

    Raises:
        ValueError: the line has no `||`, or no `####` behind it.
    """
    question, bars, rest = line.partition("||")
    chain, hashes, answer = rest.rpartition("####")
    if not bars or not hashes:
        raise ValueError(f"expected question||steps #### answer, got {line[-60:]!r}")
    return Example(question=question, steps=tuple(chain.strip().split(" ")), answer=answer.strip())


def from_original(question: str, answer: str) -> Example:
    """One row of the original GSM8K: steps are every `<<...>>` of the solution, in order; none become an empty one.

    The iCoT authors' rule (`process_gsm8k.py` in da03/implicit_chain_of_thought), from whose text the published Coconut
    files were made. Validation rows are 500 of the original training file's; `without` takes them out.

    Raises:
        ValueError: the solution has no `####`.
    """
    solution, hashes, number = answer.rpartition("####")
    if not hashes:
        raise ValueError(f"field `answer`: expected a solution and `#### ` and a number, got ...{answer[-60:]!r}")
    steps = tuple(_BRACKETED.findall(solution)) or ("",)
    return Example(question=question.strip(), steps=steps, answer=number.strip())


def without(examples: Iterable[Example], held_out: Iterable[Example]) -> list[Example]:
    """The examples whose questions are not among those held out: 7,473 original rows less 500 leave 6,973."""
    asked = {example.question for example in held_out}
    return [example for example in examples if example.question not in asked]


def to_icot(example: Example) -> str:
    """An example as one line of iCoT text, `question||step step #### answer`, without its line end.

    Raises:
        ValueError: it would not read back as it is, such as a step with a space in it.
    """
    line = f"{example.question}||{' '.join(example.steps)} #### {example.answer}"
    same = "\n" not in line and "\r" not in line
    if not same or from_icot(line) != replace(example, steps=example.steps or ("",), meta={}):
        raise ValueError(
            "cannot be written as iCoT text, which allows no line breaks, no `||` in a question and no spaces in a "
            f"step, got {line[:80]!r}; write JSON instead"
        )
    return line


@dataclass(frozen=True, kw_only=True)
class NumberProblems(FileTask):
    """Word problems with a number for an answer, asked and judged alike whichever set they come from."""

    published: ClassVar[Mapping[Split, str]] = {}

    compare: Literal["numbers", "text"] = "numbers"
    """How answers are compared. As numbers: 18, $18.00 and "18 eggs" are one answer. As text: the published evaluation,
    after which anything but the very characters is wrong. Whatever is right as text is right as a number."""
    longest_output: int = 128
    """Tokens a model may write. GPT-2 takes at most 93 for the chains and answers of GSM8K and 107 for those of the
    GSM8k-Aug rows at hand (measured; 1 % take more than 71); raise it for GSM8k-Aug-NL, whose steps are sentences."""

    def __post_init__(self) -> None:
        if self.longest_output < 1:
            raise ValueError(f"longest_output: expected at least 1 token, got {self.longest_output}")

    @property
    def max_new_tokens(self) -> int:
        return self.longest_output

    def read(self, path: Path) -> Sequence[Example]:
        return read_problems(path)

    @abstractmethod
    def recognises(self, row: Mapping[str, Any] | str) -> bool:
        """All of these tasks read the same formats; each knows the one its own set is published in."""

    def correct(self, prediction: str, example: Example) -> bool:
        """Whether the answer is right: exactly, or (unless the right answer is an integer) within `tolerance` of it."""
        if super().correct(prediction, example):
            return True
        return self.compare == "numbers" and same_number(prediction, example.answer, within=tolerance(example.answer))

    def doubts(self, example: Example) -> Sequence[tuple[str, str]]:
        """Equations that are no equality."""
        wrong = [(i, s) for i, s in enumerate(example.steps) for e in equations_in(s) if check(e) is Arithmetic.WRONG]
        return [(f"steps[{i}]", f"says {step}, which is not so") for i, step in wrong]

    def classify(self, text: str, example: Example, *, hidden: int) -> str | None:
        """The chain's `ChainClass`; nothing in it depends on how many steps were hidden."""
        prediction = self.extract(text)
        chain, _, _ = text.partition("###")
        return judge_chain(chain, read_number(prediction), right=self.correct(prediction, example)).value

    def measures(self, example: Example) -> Mapping[str, Measure]:
        equations = [step for step in example.steps if step.strip()]
        answer = read_number(example.answer)
        return {
            **super().measures(example),
            "no step": float(not equations),
            "equations": tuple(check(step).value for step in equations),
            "operations": tuple(sign for step in equations for sign in step if sign in "+-*/"),
            "last result is the answer": float(bool(equations) and result(equations[-1]) == answer is not None),
            "answer is an integer": float(answer is not None and answer.denominator == 1),
        }


def tolerance(answer: str) -> Fraction:
    """How far from a right answer is right: nothing for an integer, else one part in a thousand, at most .001.

    pal's evaluation of GSM-Hard allows .001 everywhere, and so 0 for its smallest answers (.0000020107).
    """
    value = read_number(answer)
    if value is None or value.denominator == 1:
        return EXACT
    return min(abs(value), Fraction(1)) / 1_000


@final
@dataclass(frozen=True, kw_only=True)
class GSM8K(NumberProblems):
    """GSM8K in Coconut's form: steps are equations, `<<16-3-4=9>>`.

    The paper trains on GSM8k-Aug, 385,620 problems written by GPT-4 for the iCoT paper; they are not among the shared
    data. Where `train_file` names no file, training takes the 6,973 human-written problems, and falls far behind the
    paper's accuracy. To train as in the paper: `--task.train-file gsm_train.json`, in any format that `read_problems`
    takes. Beware of the original GSM8K training file, which holds the 500 validation problems: see `without`.
    """

    version: ClassVar[str] = "1"
    published: ClassVar[Mapping[Split, str]] = {
        "train": "gsm8k/gsm_train_noaug.json.gz",
        "valid": "gsm8k/gsm_valid.json",
        "test": "gsm8k/gsm_test.json",
    }

    without_equations: Literal["empty-step", "no-step", "drop"] = "empty-step"
    """What becomes of problems whose solution has no equation. `empty-step`, as published: they keep one empty step, so
    that a chain is an empty line, and one thought stands for it where thoughts follow the number of steps. `no-step`:
    they have no steps. `drop`: training leaves them out; validation and test keep them, with an empty step, so that
    accuracy is over 500 and 1,319 problems whatever is chosen."""

    def examples(self, split: Split) -> Sequence[Example]:
        examples = super().examples(split)
        if self.without_equations == "drop" and split == "train":
            return [example for example in examples if has_chain(example)]
        steps = () if self.without_equations == "no-step" else ("",)
        return [example if has_chain(example) else replace(example, steps=steps) for example in examples]

    def recognises(self, row: Mapping[str, Any] | str) -> bool:
        """A row with a question and a number for an answer, in one of the formats that have chains."""
        try:
            if isinstance(row, str):
                example = from_icot(row)
                return re.fullmatch(r"[\d *]+", example.question) is None  # else it is a multiplication
            found = msgspec.convert(row, ProblemRow)
            return found.question is not None and read_number(_from_row(found).answer) is not None
        except (ValueError, msgspec.ValidationError):
            return False


def has_chain(example: Example) -> bool:
    """Whether any step of an example says anything."""
    return any(step.strip() for step in example.steps)


def _from_row(row: ProblemRow) -> Example:
    if row.input is not None:
        return Example(question=row.input.strip(), steps=(), answer=_number("target", row.target))
    if row.question_in_multiarith is not None:
        return _from_multiarith(row)
    if row.question is None:
        raise ValueError("field `question`: expected a text, got none (or `input` or `sQuestion` in other formats)")
    if row.answer is None:
        raise ValueError("field `answer`: expected a number, or a solution and `#### ` and a number; got none")
    answer = row.answer if isinstance(row.answer, str) else _number("answer", row.answer)
    if row.steps is not None:
        return Example(question=row.question, steps=row.steps, answer=answer)
    if row.cot is not None:
        return Example(question=row.question, steps=_split(row.cot), answer=answer)
    return from_original(row.question, answer)


def _from_multiarith(row: ProblemRow) -> Example:
    """MultiArith's own format; its one equation, `X=((32.0+42.0)-35.0)`, becomes the one step `<<(32+42)-35=39>>`."""
    assert row.question_in_multiarith is not None
    if len(row.solutions_in_multiarith) != 1:
        raise ValueError(f"field `lSolutions`: expected one number, got {len(row.solutions_in_multiarith)}")
    answer = _number("lSolutions[0]", row.solutions_in_multiarith[0])
    sums = (re.sub(r"\.0\b", "", equation).removeprefix("X=") for equation in row.equations_in_multiarith)
    steps = tuple(f"<<{text[1:-1] if text.startswith('(') else text}={answer}>>" for text in sums)
    return Example(question=row.question_in_multiarith.strip(), steps=steps, answer=answer)


def _split(chain: str) -> tuple[str, ...]:
    """CODI's chains: equations at spaces, sentences at full stops, as its `train.py` does."""
    chain = chain.strip()
    if not chain or _BRACKETED.match(chain):
        return tuple(chain.split(" "))
    return tuple(re.split(r"(?<=\.) ", chain))


def _number(field: str, value: float | None) -> str:
    if value is None:
        raise ValueError(f"field `{field}`: expected a number, got none")
    # The shortest text that a float reads back from, which is what its file held: 1.1, not 1.100000000000000088.
    return plain(Decimal(repr(value)))
