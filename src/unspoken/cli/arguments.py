"""What every command shares: flags from dataclasses, and refusals in one line."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar, final

import tyro

PROGRAM = "unspoken"
T = TypeVar("T")
Runs = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="")]
"""Run folders, one at least: tyro would show `[PATH [PATH ...]]`. Commands refuse an empty one."""


@final
@dataclass(frozen=True)
class Nothing:
    """No options."""


def refuse(message: str) -> NoReturn:
    """Says why in one line, and exits with 2."""
    line = " ".join(message.split())
    print(f"{PROGRAM}: error: {line}", file=sys.stderr)
    sys.exit(2)


def parse(kind: type[T], args: Sequence[str], *, name: str, default: T | None = None, about: str | None = None) -> T:
    """tyro, with its errors as one line. `about` is what help says of the command; None: the docstring of `kind`."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            if default is None:
                return tyro.cli(kind, args=args, prog=f"{PROGRAM} {name}", description=about)
            return tyro.cli(kind, args=args, prog=f"{PROGRAM} {name}", description=about, default=default)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        refuse(_one_line(errors.getvalue()))


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Says on a terminal that something is being done, for as long as it is."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


@contextlib.contextmanager
def notes() -> Iterator[None]:
    """What the package logs comes as notes, a line each, on stderr."""
    logger, handler = logging.getLogger(PROGRAM), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"{PROGRAM}: note: %(message)s"))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def leading(args: Sequence[str]) -> tuple[str | None, list[str]]:
    """The first argument where it is not a flag, and the rest."""
    return (args[0], list(args[1:])) if args and not args[0].startswith("-") else (None, list(args))


def _one_line(box: str) -> str:
    """The message inside tyro's box, with the first of its suggestions."""
    lines = [re.sub(r"[│╭╮╰╯]", "", line).strip() for line in box.splitlines()]
    # Where the terminal takes ASCII only, boxes are made of hyphens, with a rule below the title too.
    rules = [i for i, line in enumerate(lines) if i and set(line) in ({"─"}, {"-"})]
    first = 2 if rules[:1] == [1] else 1
    rule = next((i for i in rules if i >= first), len(lines))
    message = " ".join(line for line in lines[first:rule] if line)
    suggestion = re.search(r"Perhaps you meant:\s*(--\S+)", " ".join(lines))
    return message + (f"; did you mean {suggestion[1]}?" if suggestion else "; --help lists the flags")
