"""Commonsense questions: CommonsenseQA (Talmor et al. 2019, 1811.00937) and StrategyQA (Geva et al. 2021, 2101.02235).

Neither is in the Coconut paper; later work on latent reasoning (CODI, arXiv 2502.21074, and those that follow it)
trains and tests on both. Neither has public test labels, so splits are held out of the labelled files, by a hash of the
question: stable when rows are reordered, added or removed, and a question asked twice falls into one split.
"""

from __future__ import annotations

import hashlib
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import msgspec

from unspoken.tasks.base import Example, FileTask, Split
from unspoken.tasks.open_qa import normalised
from unspoken.tasks.texts import collapsed, cut_steps, read_examples

LABELS = "ABCDE"
"""The choices' labels in CommonsenseQA."""

_PREAMBLE = re.compile(r"^\s*(?:so\b)?[\s,]*(?:the\s+)?(?:correct\s+)?answer\s*(?:is\b|:)[\s:]*", re.IGNORECASE)
_LABEL = re.compile(r"^[(\[]?([A-Za-z])(?:[)\].:,]|\s*$)")
_LABEL_AND_TEXT = re.compile(r"^([A-Z])\s+(\S.*)$", re.DOTALL)
_SAID = {"yes": "Yes", "true": "Yes", "no": "No", "false": "No"}
_WORD = re.compile(r"[^\W\d_]+")


def tenth(question: str) -> int:
    """Which of ten equal parts a question falls into, 0 to 9: the same on every machine, whatever stands around it."""
    digest = hashlib.sha256(collapsed(question).casefold().encode()).digest()
    return int.from_bytes(digest[:8], "big") % 10


class HeldOut(FileTask):
    """A task some of whose splits share a published file. A file the user names is always used whole."""

    @abstractmethod
    def split_of(self, example: Example) -> Split | None:
        """The split an example of a shared file belongs to; None: it is in a file of its own split."""

    def examples(self, split: Split) -> Sequence[Example]:
        examples = super().examples(split)
        own = {"train": self.train_file, "valid": self.valid_file, "test": self.test_file}[split]
        shared = [other for other, path in self.published.items() if path == self.published.get(split)]
        if own is not None or shared == [split]:
            return examples
        return [example for example in examples if self.split_of(example) == split]

    def extract(self, text: str) -> str:
        """What follows the last `#`; commas stay, since answers here are words."""
        return text.rpartition("#")[2].strip()


@final
class Choice(msgspec.Struct, frozen=True):
    """One of the answers offered."""

    label: str
    text: str


@final
class Asked(msgspec.Struct, frozen=True):
    """The question of a published row."""

    stem: str
    choices: tuple[Choice, ...]
    question_concept: str = ""


@final
class CommonsenseQARow(msgspec.Struct, frozen=True):
    """A row as published (`question` an object), as on the hub (`question` a text, `choices` beside it), or as we write
    it: `question` with its choices and `answer`, as in Coconut JSON, and `choices` once more, in an object.

    A chain is optional: `steps`, or `rationale` in one string, cut into sentences.
    """

    question: Asked | str
    choices: dict[str, Any] | None = None
    answerKey: str | None = None  # noqa: N815 (the published key)
    answer: str | None = None
    id: str = ""
    steps: tuple[str, ...] | None = None
    rationale: str | None = None


@final
@dataclass(frozen=True, kw_only=True)
class CommonsenseQA(HeldOut):
    """A question and five choices; the answer is a choice's label, as in CODI's data.

    A question is written on one line, "Where might he go? Choices: A: race track B: populated areas ...".
    The published files hold no chains (`steps` is empty): name files with `steps` or `rationale` to train on chains.

    Splits: test is the published dev split (1,221; the published test split has no labels); valid is a tenth of the
    published train split (tenth 0 of `tenth`), train the rest. The published random split shares concepts between its
    parts, and so does ours.
    """

    version: ClassVar[str] = "1"
    published: ClassVar[Mapping[Split, str]] = {
        "train": "commonsense/commonsenseqa_train.jsonl.gz",
        "valid": "commonsense/commonsenseqa_train.jsonl.gz",
        "test": "commonsense/commonsenseqa_dev.jsonl",
    }

    @property
    def max_new_tokens(self) -> int:
        """Answers take 3 GPT-2 tokens and the end of text; the rest is for rationales of the user's own."""
        return 256

    def split_of(self, example: Example) -> Split:
        return "valid" if tenth(example.question) == 0 else "train"

    def read(self, path: Path) -> Sequence[Example]:
        return read_examples(path, CommonsenseQARow, _choice_example)

    def doubts(self, example: Example) -> Sequence[tuple[str, str]]:
        choices: Mapping[str, str] = example.meta["choices"]
        same = [label for label, text in choices.items() if text.casefold() == choices[example.answer].casefold()]
        return [("choices", f"{' and '.join(same)} read the same, and are right")] if len(same) > 1 else []

    def recognises(self, row: Mapping[str, Any] | str) -> bool:
        return not isinstance(row, str) and ("answerKey" in row or {"question", "answer", "choices"} <= row.keys())

    def row(self, example: Example) -> dict[str, Any]:
        """The published three fields of any task, and `choices` and `id`, which reading needs."""
        return {**super().row(example), "choices": example.meta["choices"], "id": example.meta["id"]}

    def correct(self, prediction: str, example: Example) -> bool:
        """Whether the prediction chooses the right label.

        Understood, after an optional "the answer is": a label ("B", "b", "(B)", "B."), a label and text ("B. populated
        areas"; the label counts), or the text of a choice, articles and punctuation aside. Where two choices have the
        same text (146 of the 10,962 published rows), that text is right when one of them is.
        """
        return example.answer in chosen(prediction, example.meta["choices"])


def chosen(prediction: str, choices: Mapping[str, str]) -> str:
    """The labels a prediction may mean: none, one, or those of all choices with the text it gives."""
    text = _PREAMBLE.sub("", prediction).strip()

    def worded(same: Callable[[str], str]) -> str:
        wanted = same(text.strip(" ."))
        found = [label for label, choice in choices.items() if wanted and same(choice) == wanted]
        return "".join(found) if len({choices[label].casefold() for label in found}) == 1 else ""

    if labels := worded(str.casefold):
        return labels
    if match := _LABEL.match(text):
        label = match[1].upper()
        return label if label in choices else ""
    if (match := _LABEL_AND_TEXT.match(text)) and normalised(match[2]) == normalised(choices.get(match[1], "")):
        return match[1]
    # Without articles only now: "A. fur" is a label, "A fur" may be.
    return worded(normalised)


def _choice_example(row: CommonsenseQARow) -> Example:
    stem, offered = _asked(row)
    if not stem.strip():
        raise ValueError("field `question`: expected a question, got none")
    choices = {label: collapsed(text) for label, text in offered}
    if len(offered) < 2 or list(choices) != list(LABELS[: len(offered)]):
        raise ValueError(
            f"field `choices`: expected two to five, labelled {', '.join(LABELS)} in order, got "
            f"{', '.join(label for label, _ in offered) or 'none'}"
        )
    if empty := [label for label, text in choices.items() if not text]:
        raise ValueError(f"field `choices`: expected a text for every choice, got none for {empty[0]}")
    name, key = ("answerKey", row.answerKey) if row.answer is None else ("answer", row.answer)
    if key not in choices:
        raise ValueError(
            f"field `{name}`: expected the label of one of the choices, got {key!r}; the published test split has no "
            "labels: take dev"
        )
    listed = " Choices: " + " ".join(f"{label}: {text}" for label, text in choices.items())
    question = collapsed(stem)
    if row.answer is not None and not question.endswith(listed):
        raise ValueError(f"field `question`: expected it to end in the choices, {listed!r}, got ...{question[-60:]!r}")
    steps = cut_steps(row.rationale, "sentences") if row.rationale is not None else ()
    return Example(
        question=question.removesuffix(listed) + listed,
        steps=tuple(collapsed(step) for step in (steps if row.steps is None else row.steps)),
        answer=key,
        meta={"id": row.id, "choices": choices},
    )


def _asked(row: CommonsenseQARow) -> tuple[str, list[tuple[str, str]]]:
    """The question, and label and text of every choice, from any of the three formats."""
    if isinstance(row.question, Asked):
        return row.question.stem, [(choice.label, choice.text) for choice in row.question.choices]
    try:
        if row.answer is not None:
            return row.question, list(msgspec.convert(row.choices, dict[str, str]).items())
        columns = msgspec.convert(row.choices, dict[Literal["label", "text"], tuple[str, ...]])
        return row.question, list(zip(columns["label"], columns["text"], strict=True))
    except (msgspec.ValidationError, KeyError, ValueError) as error:
        raise ValueError(
            'field `choices`: expected {"label": [...], "text": [...]} beside a question that is a text (or, beside '
            f'`answer`, {{"A": "...", ...}}), got {row.choices}'
        ) from error


@final
class StrategyQARow(msgspec.Struct, frozen=True):
    """A row as published, or with a chain of the user's own as `steps`; `answer` may also be Yes or No, True or False.

    Unknown fields (`evidence`, `term`, `description`) are ignored.
    """

    question: str
    answer: bool | str
    qid: str = ""
    facts: tuple[str, ...] = ()
    decomposition: tuple[str, ...] = ()
    steps: tuple[str, ...] | None = None


@final
@dataclass(frozen=True, kw_only=True)
class StrategyQA(HeldOut):
    """Yes-or-no questions whose reasoning has to be found; the answer is Yes or No.

    The file says `true` and `false`; we write Yes and No, which is what the questions ask, and judge either pair alike.

    Splits, all from the published train split (2,061; the published test split has no labels): tenth 0 of `tenth` is
    valid, 1 is test, the rest train. Follow-up work splits differently or not at all, so accuracies do not compare.
    """

    version: ClassVar[str] = "1"
    published: ClassVar[Mapping[Split, str]] = {
        "train": "commonsense/strategyqa_train.json.gz",
        "valid": "commonsense/strategyqa_train.json.gz",
        "test": "commonsense/strategyqa_train.json.gz",
    }

    chain: Literal["facts", "decomposition"] = "facts"
    """What the steps are: the annotators' facts, or the questions a solver would ask in turn. The latter refer to
    answers before them as `#1`, `#2`, which are left as they are, and the answers themselves are not in the file. Rows
    with `steps` of their own keep them."""

    @property
    def max_new_tokens(self) -> int:
        """The longest published facts, answer and end of text take 129 GPT-2 tokens, decompositions 140 (measured)."""
        return 192

    def split_of(self, example: Example) -> Split:
        splits: Mapping[int, Split] = {0: "valid", 1: "test"}
        return splits.get(tenth(example.question), "train")

    def read(self, path: Path) -> Sequence[Example]:
        return read_examples(path, StrategyQARow, self._example)

    def recognises(self, row: Mapping[str, Any] | str) -> bool:
        return not isinstance(row, str) and {"qid", "question", "answer"} <= row.keys()

    def row(self, example: Example) -> dict[str, Any]:
        """The published three fields of any task, and `qid`."""
        return {**super().row(example), "qid": example.meta["qid"]}

    def correct(self, prediction: str, example: Example) -> bool:
        """Whether the first word, after an optional "the answer is", says the same: yes or true, no or false."""
        word = _WORD.search(_PREAMBLE.sub("", prediction))
        return word is not None and _SAID.get(word[0].casefold()) == example.answer

    def _example(self, row: StrategyQARow) -> Example:
        if not row.question.strip():
            raise ValueError("field `question`: expected a question, got none")
        answer = ("Yes" if row.answer else "No") if isinstance(row.answer, bool) else _SAID.get(row.answer.casefold())
        if answer is None:
            raise ValueError(f"field `answer`: expected true or false, Yes or No, got {row.answer!r}")
        steps = row.facts if self.chain == "facts" else row.decomposition
        return Example(
            question=collapsed(row.question),
            steps=tuple(collapsed(step) for step in (steps if row.steps is None else row.steps)),
            answer=answer,
            meta={"qid": row.qid},
        )
