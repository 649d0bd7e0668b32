"""What data commands read, named in one way: files, whose format is told from their content or by --task, or a task."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, final

import tyro

from unspoken.cli.arguments import PROGRAM
from unspoken.tasks.base import Example, FileTask, Split, Task
from unspoken.tasks.own import Columns, OwnFile
from unspoken.tasks.rows import data_root


@final
@dataclass(frozen=True)
class Read:
    """What to read."""

    what: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Files of one format, or the name of a task."""
    task: str | None = None
    """Which task the files belong to; None: told from their content."""
    split: tuple[Split, ...] = ("test",)
    """Which splits, where a task is named rather than files."""
    columns: Columns = field(default_factory=Columns)
    """Where your own file holds what."""

    def load(self) -> tuple[Task, list[Example], str]:
        """The task, its examples, and a name for them.

        Raises:
            ValueError: nothing is named, a name is unknown, or a file cannot be read.
        """
        from unspoken.tasks.known import find_task

        if not self.what:
            raise ValueError(f"expected files or the name of a task, prosqa say; {PROGRAM} data list names the tasks")
        if not self.split:
            raise ValueError("--split: expected train, valid or test, got none")
        files = [Path(item) for item in self.what]
        if self.names_a_task:
            task = find_task(self.what[0])
            try:
                found = [example for split in self.split for example in task.examples(split)]
            except ValueError as error:
                # The way out it tells is a training's; here the file itself can be named.
                said, training, _ = str(error).partition("; name a file with --task")
                way_out = f"; name a file in place of {self.what[0]}, with --task {self.what[0]}" if training else ""
                raise ValueError(said + way_out) from error
            return task, found, f"{self.what[0]} {' + '.join(self.split)}"
        task = file_task(files[0], self.task, self.columns)
        found = [example for file in files for example in task.read(file)]
        if not found:
            raise ValueError(f"{files[0]}: there are no rows")
        return task, found, " + ".join(file.name for file in files)

    @property
    def names_a_task(self) -> bool:
        """Whether a task is named rather than files."""
        first = Path(self.what[0])
        return len(self.what) == 1 and not first.exists() and not first.suffix

    def is_published(self, task: FileTask) -> bool:
        """Whether all that is read are published files of the task."""
        files = [task.file(split) for split in self.split] if self.names_a_task else [Path(item) for item in self.what]
        published = {(data_root() / file).resolve() for file in task.published.values()}
        return all(file is not None and file.resolve() in published for file in files)


def file_task(file: Path, name: str | None, columns: Columns) -> FileTask:
    """The task that reads a file: the named one, or the one that knows its format; own files by their columns.

    Raises:
        ValueError: no task does, or the named one reads no files.
    """
    from unspoken.tasks.known import find_task, recognise

    if columns != Columns() and name in (None, "own"):
        return OwnFile(columns=columns)
    task = recognise(file) if name is None else find_task(name)
    if not isinstance(task, FileTask):
        raise ValueError(f"--task {name}: this task makes its problems and reads no files")
    return task
