"""What is wrong where in a data file: the pure part of `unspoken data validate FILE`.

Everything is found, not only the first error: rows that the task refuses, texts that would train or score wrongly, the
same question twice or in another file too, and rows too long for a model. An error is a row that cannot be used, would
be refused in training, or whose right answer could not be counted; a warning is odd, and may be meant.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from unspoken.tasks.base import Example, FileTask
from unspoken.tasks.own import OwnFile
from unspoken.tasks.texts import collapsed
from unspoken.validation.lengths import CountTokens, Lengths, Limits, Size, length_lines, measure
from unspoken.validation.rowwise import Row, read_rowwise
from unspoken.validation.textcheck import check_text, special_names

Severity = Literal["error", "warning"]

_WHOLE = "whole file"
_SHOWN = 120
_NO_ROOM = "no room to answer"
_EMPTY = Size(question=0, chain=0, answer=0)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is wrong, or odd, at one place."""

    where: str
    """"row 16" of a JSON list, counted from 0; "line 17" of other files, counted from 1; or "whole file"."""
    field: str
    """The field, as `steps[2]`; empty where it is the row or file."""
    kind: str
    """What sort of thing it is, in a word or three, to be counted."""
    problem: str
    """What is wrong, in words."""
    severity: Severity

    def line(self, path: Path) -> str:
        """The finding in one line: file, row, field, problem."""
        place = ": ".join(part for part in (str(path), self.where, self.field) if part)
        return f"{place}: {self.problem}" + (" (warning)" if self.severity == "warning" else "")


@final
@dataclass(frozen=True, kw_only=True)
class Report:
    """What `validate` found."""

    path: Path
    task: str
    """Name of the task that read the file."""
    rows: int
    """Rows in the file, wrong ones included."""
    problems: int
    """Problems the task made of them."""
    findings: tuple[Finding, ...]
    """Everything found: of the whole file first, then in the order of rows."""
    first: Example | None
    """The first problem that could be read, to look at."""
    lengths: Lengths | None
    """None: no tokens were counted, or there are no problems."""

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def kinds(self) -> Mapping[tuple[Severity, str], int]:
        """How many findings there are of each severity and kind, errors first, then by number."""
        counts = Counter((finding.severity, finding.kind) for finding in self.findings)
        return dict(sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1])))

    def render(self, *, first: int) -> list[str]:
        """The report as lines of plain text, with the first findings one by one, errors before warnings."""
        warnings = len(self.findings) - self.errors
        lines = [
            f"{self.path}: {_many(self.rows, 'row')}, {_many(self.problems, 'problem')} as {self.task} reads it; "
            f"{_many(self.errors, 'error')}, {_many(warnings, 'warning')}"
        ]
        ordered = sorted(self.findings, key=lambda finding: finding.severity)
        lines += [f"  {finding.line(self.path)}" for finding in ordered[:first]]
        if len(ordered) > first:
            lines.append(f"  and {len(ordered) - first:,} more; in all:")
            lines += [f"    {_many(num, severity)}: {kind}" for (severity, kind), num in self.kinds.items()]
        return lines + ([] if self.lengths is None else length_lines(self.lengths, self.problems))


def validate(
    path: Path,
    task: FileTask | None = None,
    *,
    against: Path | None = None,
    count_tokens: CountTokens | None = None,
    positions: int | None = None,
    inserted: int = 0,
    special_tokens: Sequence[str] = (),
) -> Report:
    """Everything that is wrong or odd in a file, as `task` reads it.

    Args:
        path: the file; gzipped or not.
        task: how rows are read, written and judged; None: `OwnFile`, which takes question, steps and answer.
        against: another file of the same format, whose questions must not be in this one (train against test).
        count_tokens: counts the tokens of texts; None: no lengths.
        positions: positions of the model; None: unlimited.
        inserted: tokens that a method puts between question and chain, at most.
        special_tokens: the tokenizer's special tokens; the markers and the usual ends of text are always looked for.

    Raises:
        ValueError: a file cannot be read or unpacked at all, or `against` holds no problem that `task` can read.
    """
    task = OwnFile() if task is None else task
    file = read_rowwise(path, task)
    findings = [
        Finding(where=_WHOLE, field="", kind="file", problem=problem, severity="error") for problem in file.problems
    ]
    elsewhere = {} if against is None else _questions(against, task)
    placed = [(row, example) for row in file.rows for example in row.examples]
    sizes = (
        None if count_tokens is None or not placed else measure([example for _, example in placed], task, count_tokens)
    )
    checks = _Checks(
        fields=_fields(task),
        special=special_names(special_tokens),
        task=task,
        words=None if (words := task.words()) is None else frozenset(words),
        against=against,
        elsewhere=elsewhere,
        seen={},
    )
    limits = Limits(positions=positions, inserted=inserted, max_new_tokens=task.max_new_tokens)
    if sizes is not None and limits.over(needed := limits.decodes(_EMPTY)):
        problem = (
            f"no question leaves room to answer: {needed} positions for new tokens and insertions alone, of "
            f"{positions}; lower the task's longest output, or raise the model's positions"
        )
        findings.append(Finding(where=_WHOLE, field="", kind=_NO_ROOM, problem=problem, severity="error"))
    at = 0
    for row in file.rows:
        if row.error is not None:
            kind = "refused by the task"
            findings.append(
                Finding(where=row.name, field=row.error.field, kind=kind, problem=row.error.problem, severity="error")
            )
        elif not row.examples:
            problem = f"{type(task).__name__} leaves this row out"
            findings.append(Finding(where=row.name, field="", kind="left out", problem=problem, severity="warning"))
        for example in row.examples:
            findings.extend(checks.of(row, example))
            if sizes is not None:
                findings.extend(_misfits(row, sizes[at], limits))
            at += 1
    return Report(
        path=path,
        task=type(task).__name__,
        rows=len(file.rows) + file.unread,
        problems=len(placed),
        findings=tuple(findings),
        first=placed[0][1] if placed else None,
        lengths=None if sizes is None else limits.lengths(sizes, [len(example.steps) for _, example in placed]),
    )


@final
@dataclass(frozen=True, kw_only=True)
class _Checks:
    """What is checked on every problem of a file, in order."""

    fields: tuple[str, str, str]
    special: re.Pattern[str]
    task: FileTask
    words: frozenset[str] | None
    against: Path | None
    elsewhere: Mapping[str, str]
    """Where a question stands in the other file."""
    seen: dict[str, tuple[str, str]]
    """Where a question stood first in this one, and its answer."""

    def of(self, row: Row, example: Example) -> Iterator[Finding]:
        question, steps, answer = self.fields

        def found(field: str, kind: str, problem: str, severity: Severity = "warning") -> Finding:
            return Finding(where=row.name, field=field, kind=kind, problem=problem, severity=severity)

        for field, problem in self.task.doubts(example):
            yield found(field, "doubt", problem)
        texts = [(question, example.question), *((f"{steps}[{i}]", step) for i, step in enumerate(example.steps))]
        for field, text in (*texts, (answer, example.answer)):
            if not text.strip():
                kind = "empty step" if field not in self.fields else f"empty {field}"
                yield found(field, kind, "is empty", "error" if field in self.fields else "warning")
                continue
            for kind, problem in check_text(text, self.special):
                yield found(field, kind, problem)
            if field != question and ("\n" in text or "\r" in text):
                yield found(field, "line end inside", "holds a line end; written out it looks like several steps")
            if field != answer and "###" in text:
                yield found(field, "answer mark inside", "holds ###, the mark before the answer")
            if self.words is not None and (unknown := [word for word in text.split() if word not in self.words]):
                yield found(
                    field, "unknown word", f"holds {unknown[0]!r}, outside the task's closed vocabulary", "error"
                )
        if example.answer.strip() and (problem := self._unanswerable(example)):
            yield found(answer, "answer never right", problem, "error")
        if not (key := _key(example.question)):
            return
        if key in self.elsewhere:
            other = f"also in {self.against}, {self.elsewhere[key]}"
            yield found(question, "question also elsewhere", other, "error")
        first, its_answer = self.seen.setdefault(key, (row.name, example.answer))
        if first != row.name:
            same = its_answer == example.answer
            told = "" if same else f", but answered {_short(example.answer)} instead of {_short(its_answer)}"
            kind = "repeated question" if same else "contradicted answer"
            yield found(question, kind, f"the same as in {first}{told}", "warning" if same else "error")

    def _unanswerable(self, example: Example) -> str | None:
        """Why a model that writes the right answer would be called wrong; None where it would not."""
        read = self.task.extract(self.task.write(example).answer)
        if self.task.correct(read, example):
            return None
        why = "; answers are read from behind the last #" if "#" in example.answer else ""
        return f"written out and read back it is {_short(read)}, which {type(self.task).__name__} counts as wrong{why}"


def _misfits(row: Row, size: Size, limits: Limits) -> Iterator[Finding]:
    def found(kind: str, problem: str, severity: Severity) -> Finding:
        return Finding(where=row.name, field="", kind=kind, problem=problem, severity=severity)

    if limits.over(needed := limits.trains_on(size)):
        problem = f"takes {needed} positions, more than the model's {limits.positions}; training refuses it"
        yield found("too long", problem, "error")
    # Where nothing fits, that has been said once.
    if limits.over(needed := limits.decodes(size)) and not limits.over(limits.decodes(_EMPTY)):
        problem = f"question and {limits.max_new_tokens} new tokens take {needed} positions of {limits.positions}"
        yield found(_NO_ROOM, problem, "error")
    if limits.cuts(size):
        written = size.chain + size.answer
        problem = f"chain and answer take {written} tokens, more than the {limits.max_new_tokens} a model may write"
        yield found("cut short", problem, "warning")


def _questions(path: Path, task: FileTask) -> dict[str, str]:
    """Every question of a file, and the first row it is in."""
    file = read_rowwise(path, task)
    found: dict[str, str] = {}
    for row in file.rows:
        for example in row.examples:
            found.setdefault(_key(example.question), row.name)
    if not found:
        wrong = file.problems or [row.error.problem for row in file.rows if row.error is not None]
        why = wrong[0] if wrong else "it holds no rows"
        raise ValueError(f"{path}: no problem in it that {type(task).__name__} can read: {why}")
    return found


def _key(question: str) -> str:
    return collapsed(question).casefold()


def _fields(task: FileTask) -> tuple[str, str, str]:
    """What question, steps and answer are called where a user looks for them."""
    if isinstance(task, OwnFile):
        return task.columns.question, task.columns.steps, task.columns.answer
    return "question", "steps", "answer"


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def _many(num: int, noun: str) -> str:
    return f"{num:,} {noun}" + ("" if num == 1 else "s")
