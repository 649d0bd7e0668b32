"""A run folder as its training sees it: made whole or not at all, locked while in use, its models swapped in one step.

A new folder is made under another name, with `config.json`, `env.json` and what the training puts in, and renamed: a
run folder that is there can be resumed, and one that is not can be started.
"""

from __future__ import annotations

import json
import logging
import shlex
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, final

import msgspec

from unspoken.checkpoint import Position, checkpoints, taken_back
from unspoken.config import After, RunConfig
from unspoken.durable import flush, flush_tree, partial_name, publish, restore, write_whole
from unspoken.environment import describe_environment
from unspoken.locks import FILE_NAME, FolderLock
from unspoken.reports import append_line, forget_lines

log = logging.getLogger(__name__)


@final
class RunFolder:
    """A run folder; only the main process writes into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.stopped = path / "stopped.json"
        """Why training ended from within, where it did."""
        self._metrics = path / "metrics.jsonl"

    def refuse_existing(self) -> None:
        """Raises ValueError where something is there already."""
        if self.path.exists():
            raise ValueError(f"{self.path} exists; choose another --out, or continue it with --resume {self.path}")

    def make(self, config: RunConfig, fill: Callable[[Path], object], *, held: ExitStack) -> None:
        """Makes the folder; `fill` is given the place where it is made, to put more into it. `held` keeps the lock.

        Raises:
            ValueError: it exists, or another process is making it.
            OSError: it cannot be written; nothing is left of it.
        """
        partial = partial_name(self.path)
        partial.mkdir(parents=True, exist_ok=True)
        lock = held.enter_context(FolderLock(partial))
        with taken_back(partial):
            for leftover in partial.iterdir():
                if leftover.is_dir():
                    shutil.rmtree(leftover)
                elif leftover.name != FILE_NAME:
                    leftover.unlink()
            config.save(partial / "config.json")
            _write_json(partial / "env.json", describe_environment())
            fill(partial)
            flush_tree(partial)
            self.refuse_existing()
            partial.rename(self.path)
            lock.folder = self.path
            flush(self.path.parent)

    def refuse_nothing_to_go_on_from(self, config: RunConfig) -> None:
        """Raises ValueError where no checkpoint is there, and there should be.

        A run that starts after another one has none while that one trains. What a sweep has kept of a run has neither,
        and training it again would write over its records.
        """
        waits = isinstance(config.model, After) and not self._metrics.exists()
        if not checkpoints(self.checkpoints) and not waits:
            raise ValueError(
                f"{self.path}: no checkpoint to resume from; train it again with unspoken train "
                f"{shlex.quote(str(self.path / 'config.json'))} --out another folder"
            )

    def open(self, *, held: ExitStack) -> None:
        """Locks a folder that is there and repairs what a killed process has left half done.

        Raises:
            ValueError: there is none, or another process trains in it.
        """
        if not self.path.is_dir():
            raise ValueError(f"{self.path}: no such run folder")
        held.enter_context(FolderLock(self.path))
        for name in ("best", "final"):
            restore(self.path / name)
        self.stopped.unlink(missing_ok=True)

    def command(self, config: RunConfig) -> str:
        """What resumes this run as it runs now, with the flags in which its batches are cut otherwise than it says."""
        command, path = f"unspoken train --resume {shlex.quote(str(self.path))}", self.path / "config.json"
        saved = RunConfig.load(path).batch if path.is_file() else config.batch
        for name in ("micro", "evaluation"):
            now, then = getattr(config.batch, name), getattr(saved, name)
            command += f" --batch.{name} {now}" if now != then else ""
        return command

    def going_on(self, position: Position, **details: Any) -> None:
        """Notes that training goes on from a position, where and how; forgets metrics of what comes again.

        Raises:
            ValueError: there is something else in the place of a file, which the first step would stumble over.
        """
        path = self.path / "env.json"
        for file in (path, self._metrics):
            if file.exists() and not file.is_file():
                raise ValueError(f"{file}: expected a file; move away what is there")
        try:
            before = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        except (OSError, msgspec.MsgspecError) as error:
            log.warning(f"{path}: cannot be read ({error}); where this run began is forgotten")
            before: dict[str, Any] = {}
        entry = {**describe_environment(), "step": position.step, **details}
        _write_json(path, {**before, "resumed": [*before.get("resumed", []), entry]})
        # In the middle of an epoch the validation of this very step is yet to come.
        from_step = position.step + (position.batch == 0)
        forget_lines(self._metrics, after=position.step, validations_from=from_step)

    def publish(self, name: str, save: Callable[[Path], None]) -> None:
        """Saves a model under a name that always belongs to a whole one.

        Raises:
            OSError: it cannot be written; what had the name still has it.
        """
        partial = partial_name(self.path / name)
        shutil.rmtree(partial, ignore_errors=True)
        with taken_back(partial):
            save(partial)
            publish(partial, self.path / name)

    def write(self, line: dict[str, Any]) -> None:
        """Adds a line to the metrics."""
        append_line(self._metrics, line)

    def flush_metrics(self) -> None:
        """Waits until the metrics are on the disk; a checkpoint must not be there before them."""
        if self._metrics.exists():
            flush(self._metrics)

    def went_wrong(self, details: dict[str, Any]) -> None:
        """Leaves a note of why training ended."""
        _write_json(self.stopped, details)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    write_whole(path, json.dumps(value, indent=2).encode() + b"\n")
