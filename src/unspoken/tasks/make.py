"""Writing generated problems to a file: the same bytes whatever the platform, the number of workers or their order."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from unspoken.tasks.base import Example, Generator, Split, Task
from unspoken.tasks.gsm8k import to_icot

_CHUNK = 256


def write_problems(
    generator: Generator,
    path: Path,
    *,
    num: int,
    seed: int,
    split: Split = "train",
    workers: int = 1,
    on_rows: Callable[[int], None] = lambda num_rows: None,
) -> None:
    """Writes `num` problems: `.jsonl` one a line, else one JSON list on one line, as the published files are.

    Args:
        generator: makes the problems.
        path: the file, which appears when it is complete, and not before.
        num: how many problems.
        seed: problem i depends on this, the split and i alone.
        split: the stream of random numbers; the splits of a seed share no problem but by chance.
        workers: processes; more of them change the time and nothing else.
        on_rows: told the number of problems after each piece of work.

    Raises:
        ValueError: `num` or `workers` is below 1, the file exists, its folder does not, or its name ends otherwise.
    """
    for name, value in (("--num", num), ("--workers", workers)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if path.suffix not in (".json", ".jsonl"):
        raise ValueError(f"{path}: expected a name that ends in .json or .jsonl; gzip packs it afterwards")
    lines = path.suffix == ".jsonl"
    bounds = [*range(0, num, _CHUNK), num]
    work = partial(_rows, generator, num, seed, split)
    with new_file(path) as file:
        file.write(b"" if lines else b"[")
        for (start, stop), rows in zip(pairwise(bounds), _map(work, list(pairwise(bounds)), workers), strict=True):
            if lines:
                file.write("".join(f"{row}\n" for row in rows).encode())
            else:
                file.write(((", " if start else "") + ", ".join(rows)).encode())
            on_rows(stop - start)
        file.write(b"" if lines else b"]")


def write_examples(task: Task, path: Path, examples: Sequence[Example]) -> None:
    """Writes examples as `.json` or `.jsonl` (the task's own fields) or `.txt` (iCoT's lines), by the file's name.

    `.gz` after any of these packs the file.

    Raises:
        ValueError: the name ends otherwise, the file exists, or an example has no place in iCoT's lines.
    """
    ending = Path(path.name.removesuffix(".gz")).suffix
    match ending:
        case ".json":
            text = json.dumps([task.row(example) for example in examples])
        case ".jsonl":
            text = "".join(json.dumps(task.row(example)) + "\n" for example in examples)
        case ".txt":
            text = "".join(_icot_line(path, i, example) for i, example in enumerate(examples))
        case _:
            raise ValueError(f"{path}: expected a name that ends in .json, .jsonl or .txt (or one of these and .gz)")
    with new_file(path) as file:
        file.write(gzip.compress(text.encode(), mtime=0) if path.name.endswith(".gz") else text.encode())


def _icot_line(path: Path, row: int, example: Example) -> str:
    try:
        return to_icot(example) + "\n"
    except ValueError as error:
        raise ValueError(f"{path}: row {row}: {error}") from error


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name when it is complete; after an error nothing is left of it.

    Raises:
        ValueError: the file exists, or its folder does not.
    """
    if path.exists():
        raise ValueError(f"{path} exists; choose another --out")
    if not path.parent.is_dir():
        raise ValueError(f"{path.parent}: no such folder; make it first")
    partial_path = path.with_name(f".{path.name}.partial")
    try:
        file = partial_path.open("wb")
    except OSError as error:
        raise ValueError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with file:
            yield file
        partial_path.replace(path)
    finally:
        partial_path.unlink(missing_ok=True)


def _rows(generator: Generator, num: int, seed: int, split: Split, bounds: tuple[int, int]) -> list[str]:
    problems = generator.problems(num=num, seed=seed, split=split)
    return [json.dumps(generator.row(problems[i])) for i in range(*bounds)]


def _map(
    work: Callable[[tuple[int, int]], list[str]], pieces: list[tuple[int, int]], workers: int
) -> Iterator[list[str]]:
    if workers == 1:
        yield from map(work, pieces)
        return
    # Spawned, so that nothing of this process (threads, random state) leaks into the workers.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_leave_interrupts_to_the_parent)
    try:
        yield from pool.map(work, pieces)
    finally:
        # After an error or Ctrl-C, what has not begun is not waited for.
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
