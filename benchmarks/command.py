"""The command line: `python -m benchmarks [flags]`, and `python -m benchmarks page FOLDER`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NoReturn

import torch

from benchmarks.page import render_page, render_table
from benchmarks.parts import Budget
from benchmarks.results import Results
from benchmarks.run import PARTS, machine_name, run, slug
from benchmarks.shapes import SHAPES
from benchmarks.workers import Machine

PROGRAM = "python -m benchmarks"
RUNS = Path("benchmarks/runs")


class Parser(argparse.ArgumentParser):
    """Refuses in one line."""

    def error(self, message: str) -> NoReturn:
        refuse(message)


def refuse(message: str) -> NoReturn:
    """One line on stderr, and exit code 2."""
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    sys.exit(2)


def main(arguments: Sequence[str]) -> None:
    """Measures, or makes the page of what has been measured."""
    try:
        if arguments[:1] == ["page"]:
            _page(arguments[1:])
        else:
            _measure(arguments)
    except ValueError as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted; the same command with --resume goes on", file=sys.stderr)
        sys.exit(130)


def _page(arguments: Sequence[str]) -> None:
    parser = Parser(prog=f"{PROGRAM} page", description="Makes page and figures from a run's results.json alone.")
    parser.add_argument("folder", type=Path, help="folder of a run")
    folder = parser.parse_args(arguments).folder
    print(render_page(Results.read(folder), folder))


def _measure(arguments: Sequence[str]) -> None:
    parser = Parser(
        prog=PROGRAM,
        description=f"Measures speed side by side. `{PROGRAM} page FOLDER` makes the page of a run again.",
    )
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES), metavar="SHAPE",
                        help=f"what to measure on: {', '.join(SHAPES)} (all)")  # fmt: skip
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART",
                        help=f"what to measure: {', '.join(PARTS)} (all)")  # fmt: skip
    parser.add_argument("--repeats", type=_at_least_one, default=3, help="rounds of turns (%(default)s)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where (%(default)s)")
    parser.add_argument("--threads", type=_at_least_one, default=torch.get_num_threads(),
                        help="threads of a process (%(default)s)")  # fmt: skip
    parser.add_argument("--out", type=Path, help=f"folder of the run ({RUNS}/DATE-MACHINE)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device: expected cpu, there is no CUDA device here, got cuda")
    name = f"{date.today().isoformat()}-{slug(machine_name(options.device))}"
    folder = options.out if options.out is not None else RUNS / name
    gpu = options.device == "cuda"
    results = run(
        [SHAPES[name] for name in dict.fromkeys(options.shapes)],
        folder,
        which=[part for part in PARTS if part in options.parts],
        budget=Budget(
            repeats=options.repeats,
            training_seconds=25 if gpu else 90,
            decoding_seconds=25 if gpu else 120,
            growth_seconds=25 if gpu else 60,
        ),
        machine=Machine(device=options.device, threads=options.threads),
        resume=options.resume,
        say=lambda line: print(line, flush=True),
    )
    page = render_page(results, folder)
    print(render_table(results))
    print(f"page: {page}")


def _at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, at least 1, got {text!r}")
    return int(text)
