"""Runs what is missing of a sweep, a few processes at a time, until it is done or the time is up.

1. Every cell becomes a unit of commands (`work.py`); a first run that several cells start from is a unit of its own.
2. The most valuable unit that can begin does so; near the end of the time, the most valuable one that still fits.
   Where none fits the first is begun all the same: its training is saved when the time is up, and goes on next time.
3. When the time is up, or somebody asks to stop, trainings save and everything else ends; what it had not finished is
   done again. A command that fails is named, with the end of what it said; others go on.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, final

from unspoken.locks import FolderLock
from unspoken.signals import Stop, stop_signals
from unspoken.specs import Pretrained
from unspoken.sweeps.base import Cell, Sweep
from unspoken.sweeps.keeping import keep
from unspoken.sweeps.telling import about_cell, remaining
from unspoken.sweeps.times import Times, progress
from unspoken.sweeps.work import Command, Unit, describe, units

PROMPT = "$ "
"""What stands before a command in a log, above what that command said."""

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


@final
@dataclass(frozen=True, kw_only=True)
class Terms:
    """Where a sweep is run, for how long, and who is told.

    Raises:
        ValueError: there is no process or no time to run it in.
    """

    runs: Path
    """Where run folders, with weights, are and come to be."""
    kept: Path | None
    """Where copies of what is small go, as soon as a cell is complete; None: nowhere."""
    seconds: float | None
    """Wall time to stay within; None: until all is done."""
    jobs: int
    """Processes at a time, which share the processor's cores."""
    say: Callable[[str], None]
    """Is told what has happened, a line each."""
    show: Callable[[str], None] = lambda line: None
    """Is told how things stand, every second."""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {self.jobs}")
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"the time must be above 0, got {self.seconds:g} s")


def run_sweep(sweep: Sweep, terms: Terms) -> Outcome:
    """Runs what is missing of a sweep.

    Raises:
        ValueError: a folder to write in is no folder, another sweep is at work in that of runs, or a run there has
            other settings.
    """
    for folder in (terms.runs, terms.kept):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder}: expected a folder to write runs in, but this is a file; name another")
    terms.runs.mkdir(parents=True, exist_ok=True)
    with FolderLock(terms.runs):
        describe(sweep.cells, terms.runs)
        return _Sweeping(sweep, terms).run()


@final
class _Sweeping:
    """One call's state. `run_sweep` is the way in."""

    def __init__(self, sweep: Sweep, terms: Terms) -> None:
        self.terms, self.runs = terms, terms.runs
        self.end = float("inf") if terms.seconds is None else time.monotonic() + terms.seconds
        self.times = Times(self.runs / "sweep.jsonl")
        self.units = units(sweep.cells, self.runs)
        self.running: list[_Running] = []
        self.failed: dict[str, str] = {}
        self.waited_for: set[str] = set()
        self.stop = Stop()

    def run(self) -> Outcome:
        for unit in self.units:
            for command in unit.commands:
                command.mend()
        self._leave_out()
        for unit in self.units:
            if unit.cell is not None and not unit.left:
                self._keep(unit.cell)
        shown = 0.0
        with stop_signals() as self.stop:
            try:
                while self._go_on():
                    self._reap()
                    self._begin()
                    if time.monotonic() - shown > 1:
                        self.terms.show(self._standing())
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
            stopped=self.stop.asked,
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
            self.terms.say(f"{len(names)} cells are left out: {reason}")
            self.failed.update(dict.fromkeys(names, reason))

    def _go_on(self) -> bool:
        """Whether there is anything to wait for, and time to do so."""
        if self.stop.asked is not None or time.monotonic() > self.end - _SAVING_SECONDS:
            return False
        return bool(self.running or self._missing())

    def _ready(self) -> list[Unit]:
        """What could begin now, in order of value."""
        return [unit for unit in self._missing() if not self._is_trained_elsewhere(unit)]

    def _is_trained_elsewhere(self, unit: Unit) -> bool:
        """Whether another process is at its training: a sweep that was killed leaves its processes behind."""
        elsewhere = unit.left[:1] == [unit.commands[0]] and unit.commands[0].is_held
        if elsewhere and unit.name not in self.waited_for:
            self.waited_for.add(unit.name)
            self.terms.say(f"{unit.name}: another process is training it, and is waited for")
        return elsewhere

    def _missing(self) -> list[Unit]:
        """What is not done, not at work here, and has what it starts from."""
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
        while len(self.running) < self.terms.jobs and (ready := self._ready()):
            unit = self._fitting(ready)
            todo = unit.left
            self.terms.say(f"{unit.name}: {todo[0].what}")
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
        threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // self.terms.jobs))
        arguments = command.begin()
        log.write(f"{PROMPT}unspoken {shlex.join(arguments)}\n".encode())
        log.flush()
        # A session of its own: Ctrl-C reaches this process alone, which then asks all others to stop.
        return subprocess.Popen(
            [sys.executable, "-m", "unspoken", *arguments],
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
            if code != 0:
                command.mend()
            if not command.is_done:
                said = self._last_line(running)
                self.failed[running.unit.name] = f"{command.what} ended with exit code {code}: {said}"
                self.terms.say(f"{running.unit.name}: FAILED: {self.failed[running.unit.name]}")
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
        last = Path(running.log.name).read_text(errors="replace").strip().splitlines()[-1]
        return "it said nothing" if last.startswith(PROMPT) else last

    def _complete(self, unit: Unit) -> None:
        if unit.cell is None:
            self.terms.say(f"{unit.name}: trained")
            return
        self._keep(unit.cell)
        cells = [other for other in self.units if other.cell is not None]
        done = sum(not other.left for other in cells)
        self.terms.say(f"[{done}/{len(cells)}] {about_cell(self.runs / unit.cell.name)}; left: {self._left()}")

    def _keep(self, cell: Cell) -> None:
        if self.terms.kept is not None:
            keep(self.runs / cell.name, cell, self.terms.kept)

    def _left(self) -> str:
        return remaining([unit for unit in self.units if unit.left], self.times, jobs=self.terms.jobs)

    def _standing(self) -> str:
        parts = []
        for running in self.running:
            trained = progress(running.command.run) if running.command.kind == "train" else None
            step = "" if trained is None else f" {trained.step}/{trained.num_steps}"
            parts.append(f"{running.unit.name} {running.command.what}{step}")
        return f"{'; '.join(parts)} | left: {self._left()}"

    def _stop_all(self) -> None:
        """Asks all processes to stop, waits, and keeps what they leave."""
        for running in self.running:
            running.process.terminate()
        until = time.monotonic() + _PATIENCE_SECONDS
        for running in self.running:
            try:
                running.process.wait(max(1.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
            running.log.close()
        # What follows writes, and a full disk may end it: by now no process is left behind.
        for running in list(self.running):
            if running.command.is_done:
                self.times.add(running.command, time.monotonic() - running.began)
            cell = running.unit.cell
            if cell is not None and (self.runs / cell.name / "config.json").is_file():
                self._keep(cell)
            self.running.remove(running)
