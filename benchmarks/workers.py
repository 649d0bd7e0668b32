"""A process for each way of working.

What a way tells its process (how to keep memory, which library multiplies matrices) must not speed up or slow down the
others, so each has one of its own. They work in turns, never at once.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch

from benchmarks.measure import Call, give_back
from benchmarks.shapes import Subject
from benchmarks.ways import Way
from unspoken.quiet import quiet

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where ways work."""

    device: str
    threads: int


@dataclass(kw_only=True)
class Bench:
    """What a process keeps between two tasks."""

    way: Way
    device: torch.device
    subject: Subject | None = None
    writing: Subject | None = None
    """The same in the precision of decoding."""
    calls: dict[str, Call] = field(default_factory=dict)
    """What has been prepared, to be called again and again."""
    results: dict[str, Any] = field(default_factory=dict)
    """What each call gave last."""

    def forget(self) -> None:
        """Lets go of everything."""
        self.subject = self.writing = None
        self.calls.clear()
        self.results.clear()
        gc.collect()
        give_back()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


class Failed(Exception):
    """A way could not do what it was asked; the whole trace of its process."""


class Worker:
    """A process in which one way works, started at once and ready after its imports."""

    def __init__(self, way: Way, machine: Machine) -> None:
        self.way = way
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, way, machine), daemon=True)
        self._process.start()
        other.close()

    def send(self, task: Callable[Concatenate[Bench, P], R], *args: P.args, **kwargs: P.kwargs) -> None:
        """Has a task begun: a function of a module and what can be pickled."""
        # A process that has ended is found out when its answer is waited for.
        with contextlib.suppress(BrokenPipeError):
            self._connection.send((task, args, kwargs))

    def receive(self) -> Any:
        """Waits for the task that was sent, and gives its result.

        Raises:
            Failed: the task raised something, or the process has ended.
        """
        try:
            done, result = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            raise Failed(f"the process ended with code {self._process.exitcode}; did memory run out?") from None
        if not done:
            raise result
        return result

    def ask(self, task: Callable[Concatenate[Bench, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs a task there and gives its result; raises what `receive` raises."""
        self.send(task, *args, **kwargs)
        return self.receive()

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._process.join()


@contextmanager
def workers(ways: Iterable[Way], machine: Machine) -> Iterator[dict[str, Worker]]:
    """A worker for each way, by its name; all are ended afterwards."""
    started = {way.name: Worker(way, machine) for way in ways}
    try:
        yield started
    finally:
        for worker in started.values():
            worker.close()


def ask_all(
    who: Sequence[Worker], task: Callable[Concatenate[Bench, P], R], *args: P.args, **kwargs: P.kwargs
) -> list[R]:
    """The same task for all at once, for what is not timed."""
    for worker in who:
        worker.send(task, *args, **kwargs)
    return [worker.receive() for worker in who]


def _serve(connection: Connection, way: Way, machine: Machine) -> None:
    os.environ["KINETO_LOG_LEVEL"] = "99"
    quiet()
    torch.set_num_threads(machine.threads)
    way.enter()
    bench = Bench(way=way, device=torch.device(machine.device))
    while True:
        try:
            task, args, kwargs = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            connection.send((True, task(bench, *args, **kwargs)))
        except Exception:
            connection.send((False, Failed(traceback.format_exc())))
