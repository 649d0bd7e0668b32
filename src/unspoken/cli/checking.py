"""Is this data what it should be? `unspoken data validate` and `unspoken data audit`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, final

import tyro

from unspoken.cli.arguments import PROGRAM, parse, working
from unspoken.cli.reading import Read, file_task
from unspoken.tasks.base import FileTask
from unspoken.tasks.own import Columns, OwnFile

NUM_FINDINGS = 20
"""Findings `validate` prints; the rest is counted."""


@final
@dataclass(frozen=True)
class _Validate:
    """Check a file: what is wrong where, what it becomes as tokens, what would not fit."""

    file: Annotated[Path, tyro.conf.Positional]
    """The file."""
    task: str | None = None
    """Which task it belongs to; None: told from its content."""
    against: Path | None = None
    """Another file of the same format, whose questions must not be in this one: train against test."""
    tokenizer: str | None = "gpt2"
    """gpt2 among the shared data (left out, with a note, where that is not there), a folder with vocab.json and
    merges.txt, or a saved model; None: no lengths."""
    positions: int | None = 1024
    """Positions of the model; None: no limit."""
    inserted: int = 8
    """Most tokens that a method inserts: two markers and six thoughts."""
    columns: Columns = field(default_factory=Columns)
    """Where your own file holds what."""


def validate(args: Sequence[str]) -> None:
    """Check a file: the first findings as file, row, field; lengths in tokens; what would be cut off."""
    from unspoken.tasks.known import TASKS
    from unspoken.tasks.rows import data_root
    from unspoken.validation.validate import validate as check

    options = parse(_Validate, args, name="data validate")
    if not options.file.exists() and str(options.file) in TASKS:
        raise ValueError(f"{options.file} is a task; validate takes a file, {data_root()}/prosqa/prosqa_test.json say")
    if options.positions is not None and options.positions < 1:
        raise ValueError(f"--positions must be at least 1, got {options.positions}")
    if options.inserted < 0:
        raise ValueError(f"--inserted must be at least 0, got {options.inserted}")
    try:
        task = file_task(options.file, options.task, options.columns)
    except ValueError:
        if options.task is not None:
            raise
        task = OwnFile(columns=options.columns)  # whose own complaint names row and field
    tokenizer = None if options.tokenizer is None else _counter(options.tokenizer)
    with working(f"checking {options.file}"):
        report = check(
            options.file,
            task,
            against=options.against,
            count_tokens=tokenizer,
            positions=options.positions,
            inserted=options.inserted,
            special_tokens=() if tokenizer is None else tokenizer.special_tokens,
        )
    print("\n".join(report.render(first=NUM_FINDINGS)))
    if tokenizer is not None and report.first is not None:
        written = task.write(report.first)
        parts = [("question", written.question), *((f"step {i}", s) for i, s in enumerate(written.steps, 1))]
        print("  the first problem as tokens:")
        for name, text in [*parts, ("answer", written.answer)]:
            print(f"    {name:<9} {tokenizer.cut(text)}")
    if report.errors:
        sys.exit(2)


def _counter(name: str) -> _Counter | None:
    try:
        return _Counter(name)
    except ValueError as error:
        if name != "gpt2":
            raise
        print(f"{PROGRAM}: note: lengths left out: {error}", file=sys.stderr)
        return None


@final
class _Counter:
    """Counts tokens with a named tokenizer.

    Raises:
        ValueError: there is no such tokenizer.
    """

    def __init__(self, name: str) -> None:
        from unspoken.quiet import quiet
        from unspoken.tokenization import tokenizer_named

        quiet()
        self._tokenizer = tokenizer_named(name)
        self.special_tokens: list[str] = self._tokenizer.all_special_tokens

    def __call__(self, texts: list[str]) -> list[int]:
        return [len(ids) for ids in self._encode(texts)]

    def cut(self, text: str) -> str:
        """A text with a bar between its tokens, line ends shown; of a long one only the end."""
        pieces = [str(self._tokenizer.decode([id_])) for id_ in self._encode([text])[0]]
        shown = "|".join(piece.replace("\n", "\\n") for piece in pieces)
        return shown if len(shown) <= 200 else "..." + shown[-197:]

    def _encode(self, texts: list[str]) -> list[list[int]]:
        from unspoken.tokenization import encode

        return encode(texts, self._tokenizer)


@final
@dataclass(frozen=True)
class _Audit:
    """Audit a data set: what could be had without solving it."""

    read: Annotated[Read, tyro.conf.arg(name="")]
    """What to audit."""
    out: Path | None = None
    """Folder for audit.md, audit.csv and the figure, which must not exist; None: print only."""
    format: Literal["md", "csv"] = "md"
    """What is printed: a Markdown table with its verdict, or CSV."""
    num: int | None = None
    """How many of the problems, from the first; None: all."""


def audit(args: Sequence[str]) -> None:
    """Run every known and learned shortcut on a data set: how much of a score needs no reasoning; --out DIR."""
    from unspoken.shortcuts.audit import audit as run
    from unspoken.shortcuts.audit import render_audit

    options = parse(_Audit, args, name="data audit")
    if options.num is not None and options.num < 1:
        raise ValueError(f"--num must be at least 1, got {options.num}")
    if options.out is not None and options.out.exists():
        raise ValueError(f"{options.out} exists; choose another --out")
    task, examples, label = options.read.load()
    # The paper's figures stand beside the published problems only.
    published = isinstance(task, FileTask) and options.read.is_published(task)
    with working(f"auditing {label}"):
        found = run(examples, title=label, task=type(task).__name__ if published else "", most=options.num)
    print(render_audit(found, options.format), end="")
    if options.out is not None:
        from unspoken.shortcuts.figure import audit_figure

        options.out.mkdir(parents=True)
        (options.out / "audit.md").write_text(render_audit(found))
        files = audit_figure(found, options.out / "audit")
        print(f"written: {options.out / 'audit.md'}, {', '.join(str(file) for file in files)}", file=sys.stderr)
