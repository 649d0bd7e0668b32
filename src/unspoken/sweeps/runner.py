"""Runs what is missing of a sweep, a few processes at a time, until it is done or the time is up.

1. Every cell becomes a unit of commands (`work.py`); a first run that several cells start from is a unit of its own.
2. The most valuable unit that can begin does so; near the end of the time, the most valuable one that still fits.
   Where none fits the first is begun all the same: its training is saved when the time is up, and goes on next time.
3. When the time is up, or somebody asks to stop, trainings save and everything else ends; what it had not finished is
   done again. A command that fails is named, with the end of what it said; others go on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, final

from unspoken.locks import FolderLock
from unspoken.specs import Pretrained
from unspoken.sweeps.base import Cell, Sweep
from unspoken.sweeps.keeping import keep
from unspoken.sweeps.telling import about_cell, duration
from unspoken.sweeps.times import Times, progress
from unspoken.sweeps.work import Command, Unit, describe, units

_SAVING_SECONDS = 15.0
"""What is left of the time for trainings to save in."""
_PATIENCE_SECONDS = 120.0
"""How long a process that was asked to stop may take before it is killed."""


@final
@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How things stand when `run_sweep` ends."""

    finished: int
    """Cells that are complete."""
    cells: int
    failed: dict[str, str]
    """What went wrong in this call, by unit."""
    left: str
    """How much work is left, for people."""
    stopped: signal.Signals | None
    """The signal that ended it; None: it was done, or its time was up."""


@final
@dataclass
class _Running:
    """A unit at work, and the command it is at."""

    unit: Unit
    todo: list[Command]
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    began: float = field(default_factory=time.monotonic)

    @property
    def command(self) -> Command:
        return self.todo[0]


def run_sweep(
    sweep: Sweep,
    *,
    runs: Path,
    kept: Path | None,
    seconds: float | None,
    jobs: int,
    say: Callable[[str], None],
    show: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Runs what is missing of a sweep.

    Args:
        sweep: cells, the most valuable first.
        runs: where run folders, with weights, are and come to be.
        kept: where copies of what is small go, as soon as a cell is complete; None: nowhere.
        seconds: wall time to stay within; None: until all is done.
        jobs: processes at a time, which share the processor's cores.
        say: is told what has happened, a line each.
        show: is told how things stand, every second.

    Raises:
        ValueError: another sweep is at work in `runs`, or a run there has other settings.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    if seconds is not None and not seconds > 0:
        raise ValueError(f"the time must be above 0, got {seconds:g} s")
    runs.mkdir(parents=True, exist_ok=True)
    with FolderLock(runs):
        describe(sweep.cells, runs)
        return _Sweeping(sweep, runs, kept, seconds, jobs, say, show).run()


@final
class _Sweeping:
    """One call's state. `run_sweep` is the way in."""

    def __init__(
        self,
        sweep: Sweep,
        runs: Path,
        kept: Path | None,
        seconds: float | None,
        jobs: int,
        say: Callable[[str], None],
        show: Callable[[str], None],
    ) -> None:
        self.cells, self.runs, self.kept, self.jobs = sweep.cells, runs, kept, jobs
        self.say, self.show = say, show
        self.end = float("inf") if seconds is None else time.monotonic() + seconds
        self.times = Times(runs / "sweep.jsonl")
        self.units = units(sweep.cells, runs)
        self.running: list[_Running] = []
        self.failed: dict[str, str] = {}
        self.stopped: signal.Signals | None = None

    def run(self) -> Outcome:
        self._leave_out()
        for unit in self.units:
            if unit.cell is not None and not unit.left:
                self._keep(unit.cell)
        shown = 0.0
        try:
            with self._asked_to_stop():
                while self._go_on():
                    self._reap()
                    self._begin()
                    if time.monotonic() - shown > 1:
                        self.show(self._standing())
                        shown = time.monotonic()
                    time.sleep(0.1)
        finally:
            self._stop_all()
        cells = [unit for unit in self.units if unit.cell is not None]
        return Outcome(
            finished=sum(not unit.left for unit in cells),
            cells=len(cells),
            failed=self.failed,
            left=self._left(),
            stopped=self.stopped,
        )

    def _leave_out(self) -> None:
        """Names cells that cannot be trained here for want of a pretrained model, once for each."""
        reasons: dict[str, list[str]] = {}
        for unit in self.units:
            spec = None if unit.cell is None else unit.cell.config.model
            if isinstance(spec, Pretrained) and unit.left:
                try:
                    spec.found()
                except ValueError as error:
                    reasons.setdefault(str(error), []).append(unit.name)
        for reason, names in reasons.items():
            self.say(f"{len(names)} cells are left out: {reason}")
            self.failed.update(dict.fromkeys(names, reason))

    def _go_on(self) -> bool:
        """Whether there is anything to wait for, and time to do so."""
        if self.stopped is not None or time.monotonic() > self.end - _SAVING_SECONDS:
            return False
        return bool(self.running or self._ready())

    def _ready(self) -> list[Unit]:
        """What could begin now, in order of value."""
        busy = {running.unit.name for running in self.running}
        return [
            unit
            for unit in self.units
            if unit.name not in busy
            and unit.name not in self.failed
            and unit.left
            and (unit.needs is None or unit.needs.is_dir())
        ]

    def _begin(self) -> None:
        while len(self.running) < self.jobs and (ready := self._ready()):
            unit = self._fitting(ready)
            todo = unit.left
            self.say(f"{unit.name}: {todo[0].what}")
            log = self._open_log(unit)
            self.running.append(_Running(unit=unit, todo=todo, process=self._start(todo[0], log), log=log))

    def _fitting(self, ready: Sequence[Unit]) -> Unit:
        """The first that ends within the time; where none does, the first."""
        left = self.end - _SAVING_SECONDS - time.monotonic()
        for unit in ready:
            expected = self.times.left(unit.left)
            if expected is None or expected <= left:
                return unit
        return ready[0]

    def _open_log(self, unit: Unit) -> IO[bytes]:
        path = self.runs / "logs" / f"{unit.name.replace('/', '-')}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")

    def _start(self, command: Command, log: IO[bytes]) -> subprocess.Popen[bytes]:
        threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // self.jobs))
        # A session of its own: Ctrl-C reaches this process alone, which then asks all others to stop.
        return subprocess.Popen(
            [sys.executable, "-m", "unspoken", *command.begin()],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": threads},
            start_new_session=True,
        )

    def _reap(self) -> None:
        for running in list(self.running):
            code = running.process.poll()
            if code is None:
                continue
            command = running.command
            if not command.is_done:
                said = self._last_line(running)
                self.failed[running.unit.name] = f"{command.what} ended with exit code {code}: {said}"
                self.say(f"{running.unit.name}: FAILED: {self.failed[running.unit.name]}")
                self._end(running)
                continue
            self.times.add(command, time.monotonic() - running.began)
            running.todo.pop(0)
            if running.todo:
                running.process = self._start(running.command, running.log)
                running.began = time.monotonic()
            else:
                self._end(running)
                self._complete(running.unit)

    def _end(self, running: _Running) -> None:
        running.log.close()
        self.running.remove(running)

    def _last_line(self, running: _Running) -> str:
        running.log.flush()
        lines = Path(running.log.name).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _complete(self, unit: Unit) -> None:
        if unit.cell is None:
            self.say(f"{unit.name}: trained")
            return
        self._keep(unit.cell)
        cells = [other for other in self.units if other.cell is not None]
        done = sum(not other.left for other in cells)
        self.say(f"[{done}/{len(cells)}] {about_cell(self.runs / unit.cell.name)}; left: {self._left()}")

    def _keep(self, cell: Cell) -> None:
        if self.kept is not None:
            keep(self.runs / cell.name, cell, self.kept)

    def _left(self) -> str:
        expected = [self.times.left(unit.left) for unit in self.units if unit.left]
        known = [seconds for seconds in expected if seconds is not None]
        if not expected:
            return "nothing"
        unknown = len(expected) - len(known)
        about = f"about {duration(sum(known) / self.jobs)}" if known else ""
        more = f"{unknown} of unknown length" if unknown else ""
        return " and ".join(part for part in (about, more) if part)

    def _standing(self) -> str:
        parts = []
        for running in self.running:
            trained = progress(running.command.run) if running.command.kind == "train" else None
            step = "" if trained is None else f" {trained.step}/{trained.num_steps}"
            parts.append(f"{running.unit.name} {running.command.what}{step}")
        return f"{'; '.join(parts)} | left: {self._left()}"

    @contextmanager
    def _asked_to_stop(self) -> Iterator[None]:
        def ask(number: int, frame: object) -> None:
            self.stopped = self.stopped or signal.Signals(number)

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop_all(self) -> None:
        """Asks all processes to stop, waits, and keeps what they leave."""
        for running in self.running:
            running.process.terminate()
        until = time.monotonic() + _PATIENCE_SECONDS
        for running in list(self.running):
            try:
                running.process.wait(max(1.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
            if running.command.is_done:
                self.times.add(running.command, time.monotonic() - running.began)
            cell = running.unit.cell
            if cell is not None and (self.runs / cell.name / "config.json").is_file():
                self._keep(cell)
            self._end(running)
