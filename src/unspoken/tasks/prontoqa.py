"""ProntoQA: is a sentence about an entity true or false, given facts and rules? (Saparov and He 2023; Hao et al. 2024)

The published set is 10,000 problems of 5 hops; `proofs/ontology.py` makes more of them, and others. A step is
two sentences, what is known and the rule that is applied next; the last step is the conclusion alone. Rows are checked
when they are read, and chains judged, by the prover in `proofs/prover.py`, from the question's text alone.

A right label shows little: `shortcuts/prontoqa.py` answers all published problems without following a chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, final

from unspoken.tasks import texts
from unspoken.tasks.base import Example, FileTask, Measure, Split, Task
from unspoken.tasks.proofs.ontology import ProntoQAGenerator
from unspoken.tasks.proofs.prover import (
    ASKED,
    Sentence,
    StepKind,
    Theory,
    check_proof,
    parse_question,
    parse_sentence,
    split_sentences,
)
from unspoken.tasks.rows import QuestionRow


@final
class ProofClass(StrEnum):
    """What a model wrote; every output is in exactly one.

    Saparov and He tell strictly valid proofs from those valid in a broader sense (a step that takes several hops), and
    valid steps that lead away ("misleading") from invalid ones; the names of the last two are those of the paper's
    analysis of ProsQA.
    """

    VALID = "valid proof"
    """Every sentence is given or follows by one written rule, all are needed, and so is the right label."""
    LONGER = "longer proof"
    """The same with sentences that the conclusion does not need."""
    SKIPPING = "skipping proof"
    """Every sentence follows from the question, some by several rules or by what is not written; the right label."""
    WRONG_LABEL = "wrong label"
    """Any of the three above, and another label than the proof's, or none."""
    INCOMPLETE = "incomplete proof"
    """Every sentence follows, the proof stops on its way to the conclusion; whatever the label."""
    MISLEADING = "misleading proof"
    """Every sentence follows, but the last one is not on the way; whatever the label."""
    WRONG_STEP = "wrong step"
    """A sentence that does not follow from the question, or is none; whatever comes after it."""
    CORRECT_LABEL = "correct label"
    """No steps, the right label."""
    INCORRECT_LABEL = "incorrect label"
    """No steps, any other label or none."""


@final
@dataclass(frozen=True, kw_only=True)
class ProntoQA(FileTask):
    """ProntoQA: the published problems, or files in the same format (`unspoken data make prontoqa`)."""

    version: ClassVar[str] = "1"
    published: ClassVar[Mapping[Split, str]] = {
        "train": "prontoqa/prontoqa_train.json.gz",
        "valid": "prontoqa/prontoqa_valid.json",
        "test": "prontoqa/prontoqa_test.json",
    }

    @property
    def max_new_tokens(self) -> int:
        """The longest published chain and answer take 106 GPT-2 tokens (measured), generated ones of 10 hops 200."""
        return 256

    def read(self, path: Path) -> Sequence[Example]:
        return read_examples(path)

    def recognises(self, row: Mapping[str, Any] | str) -> bool:
        question = row.get("question") if isinstance(row, Mapping) else None
        return isinstance(question, str) and ASKED in question

    def classify(self, text: str, example: Example, *, hidden: int) -> str | None:
        """One of `ProofClass`."""
        return judge(text, example, hidden=hidden).value

    def measures(self, example: Example) -> Mapping[str, Measure]:
        """What the published files are compared by."""
        from unspoken.tasks.proofs.measures import measure

        return measure(example)


@final
@dataclass(frozen=True, kw_only=True)
class GeneratedProntoQA(Task):
    """ProntoQA problems made on demand, with settings; judged as `ProntoQA`'s are."""

    version: ClassVar[str] = "1"

    generator: ProntoQAGenerator = field(default_factory=ProntoQAGenerator)
    """What the problems are."""
    num_train: int = 9_000
    """Training problems; the default is the published number."""
    num_valid: int = 200
    """Validation problems, as many as are published."""
    num_test: int = 800
    """Test problems, as many as are published."""
    data_seed: int = 0
    """Seed of the problems of all three splits."""

    def __post_init__(self) -> None:
        for name, num in (("train", self.num_train), ("valid", self.num_valid), ("test", self.num_test)):
            if num < 0:
                raise ValueError(f"num_{name} must be at least 0, got {num}")

    @property
    def max_new_tokens(self) -> int:
        """Chains and answers of 10 hops take up to 200 GPT-2 tokens, of 17 hops up to 339 (measured)."""
        return max(256, 22 * (self.generator.hops + 1))

    def examples(self, split: Split) -> Sequence[Example]:
        num = {"train": self.num_train, "valid": self.num_valid, "test": self.num_test}[split]
        return self.generator.problems(num=num, seed=self.data_seed, split=split)

    def classify(self, text: str, example: Example, *, hidden: int) -> str | None:
        """One of `ProofClass`."""
        return judge(text, example, hidden=hidden).value

    def measures(self, example: Example) -> Mapping[str, Measure]:
        """What the published files are compared by."""
        from unspoken.tasks.proofs.measures import measure

        return measure(example)


def judge(text: str, example: Example, *, hidden: int = 0) -> ProofClass:
    """The class of generated text.

    A partial chain counts as completed by any proof that applies *at most* as many rules as the hidden steps do, for
    the reasons that `chains.judge` gives for ProsQA: what it shows may stand in the text unproved.

    Args:
        text: what the model wrote after its prompt: sentences, then `###` and the label.
        example: the problem; its own steps are read only for how many rules the hidden ones apply.
        hidden: how many steps the thoughts in the prompt stand for (thoughts divided by thoughts per step).

    Raises:
        ValueError: `hidden` is negative, or the example is not a ProntoQA problem.
    """
    if hidden < 0:
        raise ValueError(f"hidden: expected the number of steps that thoughts stand for, 0 or more, got {hidden}")
    chain, label = _parts(text)
    sentences: list[Sentence] | None
    try:
        sentences = [parse_sentence(sentence) for sentence in split_sentences(chain)]
    except ValueError:
        sentences = None
    if chain.strip() and not sentences:
        sentences = None
    return judge_proof(parse_question(example.question), sentences, example, label=label, hidden=hidden)


def judge_proof(
    theory: Theory, sentences: Sequence[Sentence] | None, example: Example, *, label: str, hidden: int = 0
) -> ProofClass:
    """The class of a proof and a label, in whatever form they were written.

    Args:
        theory: what the question tells.
        sentences: the written proof; empty where there is none, None where it cannot be read.
        example: the problem in words; its own steps are read only for how many rules the hidden ones apply.
        label: the written answer.
        hidden: how many steps the thoughts in the prompt stand for.
    """
    correct = label == example.answer
    if sentences is None:
        return ProofClass.WRONG_STEP
    if not sentences:
        return ProofClass.CORRECT_LABEL if correct else ProofClass.INCORRECT_LABEL
    proof = check_proof(theory, sentences, granted=_num_rules(example.steps[:hidden], theory))
    if StepKind.WRONG in proof.kinds:
        return ProofClass.WRONG_STEP
    if proof.conclusion is None:
        return ProofClass.INCOMPLETE if proof.can_go_on else ProofClass.MISLEADING
    if not correct:
        return ProofClass.WRONG_LABEL
    if StepKind.SKIPPING in proof.kinds:
        return ProofClass.SKIPPING
    return ProofClass.LONGER if proof.unused else ProofClass.VALID


def read_examples(path: Path) -> list[Example]:
    """The examples of a file in the published format (`.json` or `.jsonl`, gzipped or not), each checked in itself.

    A row's steps may be cut otherwise than the published ones and may skip, as long as every sentence follows from the
    question and the query is settled.

    Raises:
        ValueError: the file cannot be read or a row contradicts itself; the message names file, row and field.
    """

    def example(row: QuestionRow) -> Example:
        _check(row)
        return Example(question=row.question, steps=row.steps, answer=row.answer)

    return texts.read_examples(path, QuestionRow, example)


def _check(row: QuestionRow) -> None:
    """Whether what a row says agrees."""
    if row.answer not in ("True", "False"):
        raise ValueError(f"field `answer`: expected True or False, got {row.answer!r}")
    try:
        theory = parse_question(row.question)
    except ValueError as error:
        raise ValueError(f"field `question`: {error}") from error
    query = theory.query
    known = theory.known(query.subject)
    settled = {literal: literal in known for literal in (query.literal, query.opposite)}
    if sum(settled.values()) != 1:
        found = "both follow" if all(settled.values()) else "neither follows"
        raise ValueError(
            f"field `question`: expected either the sentence after {ASKED!r} or its opposite to follow, but {found}"
        )
    answer = str(settled[query.literal])
    if row.answer != answer:
        raise ValueError(f"field `answer`: expected {answer!r} (from the question), got {row.answer!r}")
    places: list[int] = []
    sentences: list[Sentence] = []
    for i, step in enumerate(row.steps):
        try:
            found = [parse_sentence(sentence) for sentence in split_sentences(step)]
        except ValueError as error:
            raise ValueError(f"field `steps[{i}]`: {error}") from error
        sentences += found
        places += [i] * len(found)
    proof = check_proof(theory, sentences)
    if StepKind.WRONG in proof.kinds:
        i = places[proof.kinds.index(StepKind.WRONG)]
        raise ValueError(f"field `steps[{i}]`: expected sentences that follow from the question, got {row.steps[i]!r}")
    if proof.conclusion is None:
        last = f"got {row.steps[-1]!r}" if row.steps else "got none"
        raise ValueError(
            f"field `steps`: expected to end with whether {query.subject} is {query.predicate} (asked), {last}"
        )


def _parts(text: str) -> tuple[str, str]:
    """The written chain and the written label. Text without `###` is all chain, unless it is just a label."""
    chain, mark, _ = text.partition("###")
    if mark:
        return chain, text.rpartition("#")[2].strip()
    return ("", text.strip()) if text.strip() in ("True", "False") else (chain, "")


def _num_rules(steps: Sequence[str], theory: Theory) -> int:
    """How many rules some first steps of a right chain apply or show the result of."""
    sentences = [parse_sentence(sentence) for step in steps for sentence in split_sentences(step)]
    known = theory.known(theory.query.subject)
    deepest = max((known.get(sentence.literal, 0) for sentence in sentences if not sentence.rule), default=0)
    return max(deepest, sum(sentence.rule for sentence in sentences))
