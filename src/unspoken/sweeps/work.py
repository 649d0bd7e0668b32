"""A cell as commands: what is to be run, in which order, and how one sees that it has been.

A command is done when what it leaves behind is there: a trained model, a summary, a report. So a sweep that was stopped
anywhere, killed or on another day, goes on with what is missing, and nothing is remembered but what things took.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from unspoken.config import After, RunConfig
from unspoken.durable import partial_name, write_whole
from unspoken.locks import FILE_NAME, FolderLock
from unspoken.records import read_summary
from unspoken.sweeps.base import Cell, run_name

Kind = Literal["train", "eval", "probe", "audit"]


@final
@dataclass(frozen=True, kw_only=True)
class Command:
    """One command of `unspoken`, run in a process of its own."""

    kind: Kind
    recipe: str
    """Of the run it is about: how long a command takes is learned from others of the same recipe."""
    what: str
    """What it does, for people."""
    run: Path
    """The run folder it is about."""
    arguments: tuple[str, ...]
    done: Path
    """What is there when it is done."""
    beside: Path | None = None
    """A run to probe it beside, where that one has been trained by the time this begins."""

    @property
    def is_done(self) -> bool:
        return self.done.exists()

    @property
    def is_held(self) -> bool:
        """Whether some process trains in the run folder, or is making it."""
        for folder in (self.run, partial_name(self.run)):
            if (folder / FILE_NAME).is_file():
                try:
                    with contextlib.suppress(FileNotFoundError), FolderLock(folder):
                        pass
                except ValueError:
                    return True
        return False

    def mend(self) -> None:
        """Removes a summary that cannot be read, as a full disk leaves it: the evaluation is not done after all."""
        if self.kind == "eval" and self.is_done:
            try:
                read_summary(self.done.parent)
            except ValueError:
                self.done.unlink()

    def begin(self) -> tuple[str, ...]:
        """The arguments as things stand now; removes what a killed one left half done."""
        if self.kind == "train":
            return ("train", "--resume", str(self.run)) if self.run.is_dir() else self.arguments
        # Evaluations are written file by file, the summary last.
        if self.kind == "eval" and self.done.parent.is_dir():
            shutil.rmtree(self.done.parent)
        if self.beside is not None and (self.beside / "final").is_dir():
            return (*self.arguments, "--beside", str(self.beside))
        return self.arguments


@final
@dataclass(frozen=True, kw_only=True)
class Unit:
    """Commands that follow one another; units run beside each other."""

    name: str
    cell: Cell | None
    """None: a first run, which several cells start from."""
    needs: Path | None
    """The trained model it starts from, where it starts from one."""
    commands: Sequence[Command]

    @property
    def left(self) -> list[Command]:
        """What is still to be done."""
        return [command for command in self.commands if not command.is_done]


def units(cells: Iterable[Cell], runs: Path) -> list[Unit]:
    """All units of some cells below a folder of runs, first runs right before whoever needs them first."""
    places = Places(cells, runs)
    found: dict[str, Unit] = {}
    for cell in places.cells.values():
        for unit in (*_firsts(cell.config, places), _unit(cell, places)):
            found.setdefault(unit.name, unit)
    return list(found.values())


@final
class Places:
    """Where the runs of some cells lie, those included that they start from."""

    def __init__(self, cells: Iterable[Cell], runs: Path) -> None:
        self.cells = {cell.name: cell for cell in cells}
        self.runs = runs

    def cell_of(self, config: RunConfig) -> Cell | None:
        """The cell whose run this is, if it is one: nothing is trained twice because others start from it."""
        cell = self.cells.get(run_name(config))
        return cell if cell is not None and cell.config == config else None

    def is_there(self, config: RunConfig) -> bool:
        """Whether an earlier sweep has trained this run as a cell."""
        own = self.runs / run_name(config)
        return (own / "final").is_dir() and RunConfig.load(own / "config.json") == config

    def first(self, config: RunConfig) -> Path:
        """The folder of a run that others start from."""
        own = self.cell_of(config) is not None or self.is_there(config)
        return (self.runs if own else self.runs / "first") / run_name(config)

    def needs(self, config: RunConfig) -> Path | None:
        """The trained model that a run starts from, where it starts from one."""
        return self.first(config.model.first) / "final" if isinstance(config.model, After) else None


def describe(cells: Iterable[Cell], runs: Path) -> None:
    """Writes the configs that `unspoken train` is to be given, first runs' too.

    Raises:
        ValueError: a run folder is there already, of another config; or two cells start from different runs of one
            name.
    """
    described: dict[Path, RunConfig] = {}
    for unit_config, folder in _configs(Places(cells, runs)):
        if described.setdefault(folder, unit_config) != unit_config:
            raise ValueError(f"two cells need different runs named {folder.name}; give one of the recipes another name")
        saved = folder / "config.json"
        if saved.is_file() and RunConfig.load(saved) != unit_config:
            raise ValueError(
                f"{folder}: there is a run of other settings under this name; move it away, or choose another --runs"
            )
        file = _config_file(folder)
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_file() or file.read_bytes() != unit_config.to_json():
            write_whole(file, unit_config.to_json())


def _configs(places: Places) -> Iterator[tuple[RunConfig, Path]]:
    for cell in places.cells.values():
        spec = cell.config.model
        while isinstance(spec, After):
            yield spec.first, places.first(spec.first)
            spec = spec.first.model
        yield cell.config, places.runs / cell.name


def _config_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _firsts(config: RunConfig, places: Places) -> Iterator[Unit]:
    """What a run starts from, and what that starts from before it."""
    if not isinstance(config.model, After):
        return
    first = config.model.first
    cell = places.cell_of(first)
    if cell is None and places.is_there(first):
        return
    yield from _firsts(first, places)
    if cell is not None:
        yield _unit(cell, places)
        return
    folder = places.first(first)
    yield Unit(
        name=f"first/{folder.name}", cell=None, needs=places.needs(first), commands=(_train(first, folder, places),)
    )


def _train(config: RunConfig, folder: Path, places: Places) -> Command:
    needs = places.needs(config)
    arguments = ["train", str(_config_file(folder)), "--out", str(folder)]
    arguments += [] if needs is None else ["--first", str(needs.parent)]
    return Command(
        kind="train",
        recipe=config.recipe,
        what="training",
        run=folder,
        arguments=tuple(arguments),
        done=folder / "final",
    )


def _unit(cell: Cell, places: Places) -> Unit:
    run, recipe = places.runs / cell.name, cell.config.recipe

    def command(kind: Kind, what: str, done: Path, *flags: str, beside: Path | None = None) -> Command:
        arguments = (kind, str(run), *flags)
        return Command(kind=kind, recipe=recipe, what=what, run=run, arguments=arguments, done=done, beside=beside)

    commands = [_train(cell.config, run, places), command("eval", "test", run / "eval" / "test" / "summary.json")]
    for name in cell.asked:
        done = run / "eval" / f"{name}-test" / "summary.json"
        # Seconds at batch 1 are measured on the task's own problems.
        commands.append(command("eval", name, done, "--on", name, "--single", "0"))
    if cell.looked and cell.has_slots:
        some = ("--num", str(cell.looked))
        beside = None if cell.beside is None else places.runs / cell.beside
        commands.append(command("probe", "probe", run / "probe" / "test" / "probe.json", *some, beside=beside))
        # What else it was asked is asked with `eval`, of all problems and all methods alike.
        commands.append(command("audit", "audit", run / "audit" / "test" / "audit.json", *some, "--beyond"))
    return Unit(name=cell.name, cell=cell, needs=places.needs(cell.config), commands=commands)
