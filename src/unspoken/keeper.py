"""Saves a training's state and finds it again, for all processes of the training at once; the main process writes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import final

import msgspec
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch.optim import Optimizer

from unspoken.checkpoint import Position, checkpoints, load_checkpoint, newest_whole, save_checkpoint, tidy
from unspoken.config import RunConfig
from unspoken.distributed import Spread
from unspoken.folder import RunFolder
from unspoken.generators import Generators, generators_now, restore_generators, seed_generators
from unspoken.manifest import FILE_NAME as MANIFEST
from unspoken.model import LatentLM

log = logging.getLogger(__name__)


@contextmanager
def together(accelerator: Accelerator) -> Iterator[None]:
    """What goes wrong in one process ends all of them, instead of leaving them waiting for it.

    Nothing inside may wait for another process.
    """
    failed: Exception | None = None
    try:
        yield
    except Exception as error:
        failed = error
    said = [None if failed is None else str(failed)]
    if accelerator.num_processes > 1:
        said = gather_object(said)
    if failed is not None:
        raise failed
    if others := [message for message in said if message is not None]:
        raise ValueError(others[0])


@final
class Keeper:
    """The checkpoints and the models of a run folder."""

    def __init__(
        self,
        accelerator: Accelerator,
        config: RunConfig,
        folder: RunFolder,
        model: LatentLM,
        optimizers: Sequence[Optimizer],
    ) -> None:
        self._accelerator, self._config, self._folder = accelerator, config, folder
        self._model, self._optimizers = model, optimizers
        self._spread: Spread | None = None

    def laid_out(self, spread: Spread) -> None:
        """From here on the model lies over the processes like this."""
        self._spread = spread

    def begin(self, position: Position, *, held: ExitStack) -> None:
        """Makes the run folder, with a first checkpoint in it.

        Raises:
            ValueError: as `RunFolder.make`.
        """
        generators = self._generators()
        with together(self._accelerator):
            if self._accelerator.is_main_process:

                def fill(at: Path) -> None:
                    self._write(at / "checkpoints", position, generators)

                self._folder.make(self._config, fill, held=held)

    def save(self, position: Position) -> None:
        """Writes a checkpoint.

        Raises:
            OSError: it cannot be written; those that were there still are.
        """
        assert self._spread is not None
        generators = self._generators()
        with self._spread.whole(), self._spread.whole_states(), together(self._accelerator):
            if self._accelerator.is_main_process:
                self._folder.flush_metrics()
                self._write(self._folder.checkpoints, position, generators)

    def _write(self, folder: Path, position: Position, generators: Sequence[Generators]) -> None:
        save_checkpoint(
            folder,
            self._model,
            self._optimizers,
            position,
            generators=generators,
            keep=self._config.checkpoint_keep,
        )

    def _generators(self) -> list[Generators]:
        """Every process's, in order."""
        mine = msgspec.json.encode(generators_now(self._accelerator.device))
        return [msgspec.json.decode(each, type=Generators) for each in gather_object([mine])]

    def publish(self, name: str) -> None:
        """Saves the model as `best` or `final`.

        Raises:
            OSError: as `RunFolder.publish`.
        """
        assert self._spread is not None
        with self._spread.whole(), together(self._accelerator):
            if self._accelerator.is_main_process:
                self._folder.publish(name, self._model.save_pretrained)

    def load(self) -> Position:
        """Puts everything back as the newest whole checkpoint has it, or as it is at step 0 where there never was one.

        Damaged ones are named in the log and passed over.

        Raises:
            ValueError: all checkpoints are damaged, or they are of another model.
        """
        found = newest_whole(self._folder.checkpoints) if self._accelerator.is_main_process else None
        shared = [found]
        broadcast_object_list(shared)
        assert shared[0] is not None
        path, wrong = shared[0]
        if path is None and wrong:
            raise ValueError("; ".join(wrong) + "; no whole checkpoint is left, start again with another --out")
        # Once is enough.
        say = log.warning if self._accelerator.is_main_process else log.debug
        for each in wrong:
            say(f"{each}; passed over")
        process, num = self._accelerator.process_index, self._accelerator.num_processes
        if path is None:
            seed_generators(self._config.seed, process, step=0)
            self._go_on(Position(), wrong)
            return Position()
        with together(self._accelerator):
            loaded = load_checkpoint(path, self._model, self._optimizers, process=process)
            if self._accelerator.is_main_process:
                tidy(self._folder.checkpoints, path, keep=self._config.checkpoint_keep)
        if not (path / MANIFEST).exists():
            say(f"{path}: no {MANIFEST}, as in earlier versions, so it is not verified")
        if loaded.processes != num:
            say(
                f"{path} was saved by {loaded.processes} process{'es'[: 2 * (loaded.processes > 1)]}, and {num} go on: "
                "batches and learning rates stay the same, dropout and the order of sums do not"
            )
        if loaded.generators is None:
            seed_generators(self._config.seed, process, step=loaded.position.step)
        else:
            restore_generators(loaded.generators, self._accelerator.device)
        self._go_on(loaded.position, wrong)
        return loaded.position

    def _go_on(self, position: Position, passed_over: Sequence[str]) -> None:
        with together(self._accelerator):
            if self._accelerator.is_main_process:
                num = self._accelerator.num_processes
                self._folder.going_on(position, processes=num, passed_over=list(passed_over))

    @property
    def newest(self) -> str:
        """The newest checkpoint's name, in words."""
        found = checkpoints(self._folder.checkpoints)
        return f"the last checkpoint is {found[-1].name}" if found else "there is no checkpoint"
