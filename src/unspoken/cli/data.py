"""Commands about data: make, show, stats, convert; `checking.py` has validate and audit."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, final

import tyro

from unspoken.cli.arguments import PROGRAM, Nothing, leading, parse, working
from unspoken.cli.checking import audit, validate
from unspoken.cli.reading import Read
from unspoken.suggest import nearest
from unspoken.tasks.base import FileTask, Generator, Split

if TYPE_CHECKING:
    from unspoken.methods import Method
    from unspoken.tasks.base import Written
    from unspoken.tasks.statistics import Figure


def data(args: Sequence[str]) -> None:
    """Make, measure, validate, audit, convert or show data: data ACTION ..."""
    action, rest = leading(args)
    if action is None and (not rest or "-h" in rest or "--help" in rest):
        print(_overview())
        return
    if action not in ACTIONS:
        actions = ", ".join(ACTIONS)
        raise ValueError(f"data has no action {action!r}{nearest(action or '', ACTIONS)}; expected one of {actions}")
    ACTIONS[action](rest)


def _overview() -> str:
    width = max(len(name) for name in ACTIONS)
    lines = [f"  {name:<{width}}  {(action.__doc__ or '').splitlines()[0]}" for name, action in ACTIONS.items()]
    return "\n".join([f"usage: {PROGRAM} data ACTION ...", "", *lines, "", f"{PROGRAM} data ACTION --help tells more."])


@final
@dataclass(frozen=True)
class _Make:
    """Make problems."""

    generator: Annotated[Generator, tyro.conf.arg(name=""), tyro.conf.OmitArgPrefixes]
    """What is made."""
    out: Path
    """File to write, .json or .jsonl, which must not exist."""
    num: int = 1000
    """How many problems."""
    seed: int = 0
    """Problem i depends on the settings, this seed, the split and i alone."""
    split: Split = "train"
    """Which stream of random numbers: the splits of a seed share no problem but by chance."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes; they change the time and nothing else."""


def make(args: Sequence[str]) -> None:
    """Make problems in the published JSON format: make KIND --num N --seed S --out FILE."""
    from unspoken.tasks.known import KINDS

    kind, rest = leading(args)
    if kind is None and ("-h" in rest or "--help" in rest):
        print(f"usage: {PROGRAM} data make KIND --num N --seed S --out FILE [settings]\n\nkinds:")
        width = max(len(name) for name in KINDS)
        for name, found in KINDS.items():
            print(f"  {name:<{width}}  {found.about}")
        print(f"\n{PROGRAM} data make KIND --help tells the settings of one.")
        return
    if kind is None:
        raise ValueError(f"data make needs a kind first; expected one of {', '.join(KINDS)}")
    if kind not in KINDS:
        raise ValueError(
            f"no data named {kind!r} can be made{nearest(kind, KINDS)}; expected one of {', '.join(KINDS)}"
        )
    generator = KINDS[kind].generator
    options = parse(_Make, rest, name=f"data make {kind}", default=_Make(generator=generator, out=tyro.MISSING))
    from rich.console import Console
    from rich.progress import Progress

    from unspoken.tasks.make import write_problems

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        line = progress.add_task(kind, total=options.num)
        write_problems(
            options.generator,
            options.out,
            num=options.num,
            seed=options.seed,
            split=options.split,
            # A second process costs more to start than a thousand problems to make.
            workers=min(options.workers, max(1, options.num // 1000)) if options.workers > 1 else options.workers,
            on_rows=lambda num_rows: progress.advance(line, num_rows),
        )
    print(f"{options.num} problems: {options.out}")


@final
@dataclass(frozen=True)
class _Show:
    """Show one row as the model gets it."""

    read: Annotated[Read, tyro.conf.arg(name="")]
    """Where it is."""
    row: int = 0
    """Which row, from 0."""
    recipe: str | None = None
    """Lay the row out as at each stage of this recipe, words standing for tokens."""


def show(args: Sequence[str]) -> None:
    """Show one row, and how a recipe lays it out at each stage: show FILE --row N --recipe NAME."""
    options = parse(_Show, args, name="data show")
    task, examples, label = options.read.load()
    if not 0 <= options.row < len(examples):
        raise ValueError(f"--row: expected 0 to {len(examples) - 1}, the rows of {label}, got {options.row}")
    method = None
    if options.recipe is not None:
        from unspoken.recipes import find_recipe

        method = find_recipe(options.recipe).method
    example = examples[options.row]
    print(f"{label}, row {options.row} of {len(examples)}, task {type(task).__name__}\n")
    written = task.write(example)
    print(f"question  {written.question.rstrip()}")
    for i, step in enumerate(written.steps):
        print(f"step {i + 1:<4} {step.rstrip()}")
    print(f"answer    {written.answer}")
    if method is not None:
        print(f"\n{options.recipe}, {type(method).__name__}: T a thought, P a pause, [...] what the loss is on")
        for stage in range(method.stages):
            print(f"stage {stage:<3} {picture(written, method, stage)}")


def picture(written: Written, method: Method, stage: int) -> str:
    """An example laid out at a stage, in one line: words stand for tokens, of the question only the end is shown."""
    import random

    from unspoken.layout import IGNORE_INDEX, Marks, Tokens

    words: list[str] = ["<bot>", "<eot>", "T", "P"]

    def ids(text: str) -> list[int]:
        found = text.split()
        words.extend(found)
        return list(range(len(words) - len(found), len(words)))

    tokens = Tokens(
        question=ids(" ".join(written.question.split()[-6:])),
        steps=[ids(step) for step in written.steps],
        answer=ids(written.answer + " <end>"),
    )
    layout = method.layout(tokens, stage, Marks(bot=0, eot=1, thought=2, pause=3), random.Random(0))
    shown: list[str] = []
    inside = False
    for token, label in zip(layout.input_ids, layout.labels, strict=True):
        if (label != IGNORE_INDEX) != inside:
            inside = not inside
            if inside:
                shown.append("[" + words[token])
                continue
            shown[-1] += "]"
        shown.append(words[token])
    return "... " + " ".join(shown) + ("]" if inside else "")


@final
@dataclass(frozen=True)
class _Stats:
    """Measure a data set: every figure with its standard error."""

    read: Annotated[Read, tyro.conf.arg(name="")]
    """What to measure."""
    against: tuple[str, ...] = ()
    """Files, or the name of a task, to compare with: figures side by side, and how far apart they are."""
    format: Literal["text", "md", "csv"] = "text"
    """Aligned text, a Markdown table, or CSV."""


def stats(args: Sequence[str]) -> None:
    """Measure a data set, figure by figure; --against OTHER puts two side by side."""
    from unspoken.tasks.statistics import compare, limit, statistics

    options = parse(_Stats, args, name="data stats")
    task, examples, label = options.read.load()
    with working(f"measuring {label}"):
        ours = statistics(examples, task)
    if not options.against:
        _table(["figure", label, "± standard error"], [[n, *_shown(f)] for n, f in ours.items()], options.format)
        return
    other, examples, their_label = Read(
        what=options.against, task=options.read.task, columns=options.read.columns
    ).load()
    if type(other) is not type(task):
        raise ValueError(
            f"{label} belongs to {type(task).__name__}, {their_label} to {type(other).__name__}, with other figures; "
            f"give --against a file or a task that is {type(task).__name__} too, or measure each on its own"
        )
    with working(f"measuring {their_label}"):
        rows = compare(ours, statistics(examples, other))
    cells = [[r.name, *_shown(r.ours), *_shown(r.theirs), f"{r.apart:+.1f}"] for r in rows]
    _table(["figure", label, "±", their_label, "±", "apart, standard errors"], cells, options.format)
    far, bound = max((abs(r.apart), r.name) for r in rows), limit(len(rows))
    verdict = "no figure differs beyond chance" if far[0] <= bound else "not the same distribution"
    if options.format == "text":
        print(f"largest difference: {far[1]}, {far[0]:.1f} standard errors; chance stays below {bound:.1f}: {verdict}")


def _shown(figure: Figure) -> tuple[str, str]:
    return f"{figure.value:.4g}", f"{figure.error:.2g}"


def _table(header: list[str], rows: list[list[str]], form: Literal["text", "md", "csv"]) -> None:
    if form == "csv":
        import csv

        csv.writer(sys.stdout, lineterminator="\n").writerows([header, *rows])
    elif form == "md":
        for row in [header, ["---", *["---:"] * (len(header) - 1)], *rows]:
            print(f"| {' | '.join(row)} |")
    else:
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        for row in [header, *rows]:
            print("  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]))


@final
@dataclass(frozen=True)
class _Convert:
    """Write a data set in another format."""

    read: Annotated[Read, tyro.conf.arg(name="")]
    """What to convert."""
    out: Path
    """File to write, which must not exist: .json or .jsonl (the published fields), or .txt (iCoT's lines)."""
    without: Path | None = None
    """A file of the same task whose questions are left out: validation rows of a training file, say."""


def convert(args: Sequence[str]) -> None:
    """Write a data set as published JSON, JSON lines or iCoT text: convert FILE --out FILE."""
    from unspoken.tasks.gsm8k import without
    from unspoken.tasks.make import write_examples

    options = parse(_Convert, args, name="data convert")
    task, examples, label = options.read.load()
    told = ""
    if options.without is not None:
        if not isinstance(task, FileTask):
            raise ValueError(f"--without {options.without}: {type(task).__name__} reads no files")
        kept = without(examples, task.read(options.without))
        told = f", {len(examples) - len(kept)} left out"
        examples = kept
    write_examples(task, options.out, examples)
    print(f"{len(examples)} rows of {label}{told}: {options.out}")


# ---------------------------------------------------------------------------------------------------------------------


def list_(args: Sequence[str]) -> None:
    """List the tasks that can be named, with the splits whose files are here or that are generated."""
    from unspoken.tasks.known import GRAPHS, KINDS, PROOFS, TASKS, WORD_PROBLEMS
    from unspoken.tasks.rows import data_root

    parse(Nothing, args, name="data list", about=list_.__doc__)
    said = {name: about for group in (GRAPHS, PROOFS, WORD_PROBLEMS) for name, (_, about) in group.items()}
    lines: list[tuple[str, str, str]] = []
    for name, task in TASKS.items():
        about = said.get(name) or (type(task).__doc__ or "").splitlines()[0]
        published = task.published if isinstance(task, FileTask) else {}
        here = [split for split, file in published.items() if (data_root() / file).is_file()]
        made = name in said or not isinstance(task, FileTask) or (not published and name in KINDS)
        lines.append((name, f"[{'generated' if made else ', '.join(here) or 'name a file'}]", about))
    names, places = (max(len(line[i]) for line in lines) for i in (0, 1))
    for name, where, about in lines:
        print(f"{name:<{names}}  {where:<{places}}  {about}")
    print(f"\n[name a file]: {PROGRAM} data show FILE --task NAME, {PROGRAM} eval RUN --on FILE; in training")
    print("--task.train-file FILE, --task.valid-file FILE and --task.test-file FILE.")


ACTIONS: dict[str, Callable[[Sequence[str]], None]] = {
    "list": list_,
    "make": make,
    "show": show,
    "stats": stats,
    "validate": validate,
    "audit": audit,
    "convert": convert,
}
