"""fit(): the training loop, one for every method.

1. The run folder appears whole, with `config.json`, `env.json` and a checkpoint of step 0 (`folder.py`); an existing
   one is refused, or resumed when asked to. It is locked for as long as a process trains in it.
2. Every epoch has a stage; when a stage (or epoch) starts, the optimizer may drop its moments (`Curriculum`).
3. A global batch is laid out, cut into micro-batches and over processes, ahead of its step (`loading.py`);
   `Method.loss` gives sums, and the loop divides by the label count of the whole global batch, so that neither
   accumulation nor the number of processes matters. No step waits for the device; what is read from it, the loss and
   whether another process was asked to stop, is read every `log_every` steps.
4. Validation decodes greedily, laid out as the current stage. In the stage the run ends with the best weights so far,
   laid out as in evaluation, go to `best/`, and training ends early where `Validation.stop_at` says so.
5. Checkpoints carry all state (`checkpoint.py`). Data order, stages and layouts are functions of (seed, epoch, index),
   so resuming means starting at another index. A damaged checkpoint is passed over for the one before. Ctrl-C and
   SIGTERM finish the step, save, and say how to resume; after a step that went wrong nothing is saved (`health.py`).
   At the end the weights go to `final/`, as a folder stock transformers can load.
"""

from __future__ import annotations

import copy
import signal
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, NoReturn, final

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from unspoken.adapters import add_lora, check_base
from unspoken.backward import COLUMNS, Backward, Launched, Replayed
from unspoken.batch import Batch
from unspoken.build import build_model, notes_of
from unspoken.checkpoint import Position, checkpoints
from unspoken.checkup import Abandoned, validate
from unspoken.config import After, RunConfig
from unspoken.data import TrainingData
from unspoken.distributed import plain, spread_of
from unspoken.durable import write_whole
from unspoken.folder import RunFolder
from unspoken.generators import seed_generators
from unspoken.health import Watch, WentWrong, is_out_of_memory, largest_loss, out_of_memory, refuse_weights, some_of
from unspoken.keeper import Keeper, together
from unspoken.loading import Ahead, StepData, Window, stream
from unspoken.markers import copy_markers
from unspoken.model import LatentLM
from unspoken.optimizers import build_optimizers
from unspoken.refusals import refuse_no_examples, refuse_short_model, refuse_uneven_processes
from unspoken.reports import Observer, Silent, StepReport
from unspoken.signals import Interrupted, Stop, stop_signals


def fit(
    config: RunConfig,
    out: Path,
    *,
    resume: bool = False,
    first: Path | None = None,
    observer: Observer | None = None,
    device: str | None = None,
) -> LatentLM:
    """Trains a run to its end and leaves it in `out`; the trained model. Resuming a finished run changes nothing.

    A run that starts `After` another one trains that first, in `out/first`; `first` names a finished run of it to start
    from instead. A resumed run may be given another `batch.micro`; the rest of `config` is what it was.

    Raises:
        ValueError: `out` exists (without `resume`), holds no run (with it) or is in use; config and data do not fit;
            the loss is no number or has diverged; memory or disk are full. The message says what is saved.
        Interrupted: stopped by a signal, with everything saved.
    """
    if resume and (out / "final").is_dir():
        return LatentLM.from_pretrained(out / "final", engine=config.engine)
    with ExitStack() as held:
        found = _Fit(
            config, out, resume=resume, first=first, observer=observer or Silent(), device=device, held=held
        )  # fmt: skip
        return found.run()


@final
class _Fit:
    """One training's state. `fit` is the way in."""

    def __init__(
        self,
        config: RunConfig,
        out: Path,
        *,
        resume: bool,
        first: Path | None,
        observer: Observer,
        device: str | None,
        held: ExitStack,
    ) -> None:
        self.config, self.out, self.observer, self.device = config, out, observer, device
        self.accelerator = accelerator = Accelerator(cpu=device == "cpu")
        self.main = accelerator.is_main_process
        self.folder = RunFolder(out)
        with together(accelerator):
            if self.main and resume:
                self.folder.open(held=held)
            elif self.main:
                self.folder.refuse_existing()
        self.again = self.folder.command(config)
        refuse_uneven_processes(config, accelerator.num_processes)
        after = isinstance(config.model, After)
        if resume:
            self.folder.refuse_nothing_to_go_on_from(config)
        # All that can be wrong with data or model shows before the run folder is made.
        examples = config.task.examples("train")
        self.valid = config.task.examples("valid")[: config.validation.examples]
        refuse_no_examples(config, examples, self.valid)
        if after:
            if not resume:
                with together(accelerator):
                    if self.main:
                        self.folder.make(config, lambda at: None, held=held)
            self.bare = self._after(first)
        else:
            self.bare = build_model(config.model, config.task, seed=config.seed, engine=config.engine)
        refuse_short_model(config, self.bare, self.valid)
        if config.adapter is not None:
            add_lora(self.bare.lm, config.adapter, self.bare.marks, seed=config.seed)
        assert self.bare.tokenizer is not None
        self.bare.notes = notes_of(config, self.bare, example=self.valid[0].question)
        # A tokenizer of its own: the library beneath is not made for two threads, and validation tokenizes too.
        tokenizer = copy.deepcopy(self.bare.tokenizer)
        positions = self.bare.backbone.max_positions
        self.data = TrainingData(config, examples, tokenizer, self.bare.marks, positions=positions)
        device_type = accelerator.device.type
        self.optimizers = build_optimizers(config.optimizer, self.bare, fused=device_type in ("cpu", "cuda"))
        self.peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.watch = Watch(largest_loss(config.max_loss, self.bare.lm.config.vocab_size))
        self.keeper = Keeper(accelerator, config, self.folder, self.bare, tuple(self.optimizers))
        self.running: Batch | None = None
        self.position = Position()
        if resume:
            self.position = self.keeper.load()
        else:
            seed_generators(config.seed, accelerator.process_index, step=0)
            if not after:
                self.keeper.begin(self.position, held=held)
        if config.adapter is not None:
            with together(accelerator):
                if self.main:
                    check_base(self.bare.lm, out / "base.txt")
        self.spread = spread_of(accelerator, self.bare, self.optimizers)
        self.model, self.optimizers = self.spread.model, self.spread.optimizers
        self.keeper.laid_out(self.spread)
        self.graphs = (config.engine, accelerator.device.type, accelerator.num_processes) == ("graphs", "cuda", 1)
        self.backward: Backward = (
            Replayed(self._loss, accelerator.device) if self.graphs else Launched(self._loss, accelerator.backward)
        )
        self.steps_per_epoch = self.data.steps_per_epoch
        self.num_steps = min(config.curriculum.epochs * self.steps_per_epoch, config.max_steps or 2**62)
        self.window = self._window()

    def _window(self) -> Window:
        """Goes on summing where the last process left off, so that the curve has no seam."""
        window, position = Window(), self.position
        if position.pending_labels:
            window.num_labels = position.pending_labels
            window.loss = torch.tensor(position.pending_loss if self.main else 0.0, device=self.accelerator.device)
        return window

    def _after(self, first: Path | None) -> LatentLM:
        """The model another run ends with, trained now where it is not there yet."""
        spec = self.config.model
        assert isinstance(spec, After)
        remembered = self.out / "first.txt"
        if first is not None:
            write_whole(remembered, f"{first.resolve()}\n".encode())
        elif remembered.is_file() and (Path(remembered.read_text().strip()) / "final").is_dir():
            first = Path(remembered.read_text().strip())
        if first is None:
            first = self.out / "first"
            if not (first / "final").is_dir():
                try:
                    fit(spec.first, first, resume=first.is_dir(), observer=self.observer, device=self.device)
                except Interrupted as stopped:
                    raise Interrupted(
                        f"stopped in the first run, saved; continue with: {self.again}", stopped.asked
                    ) from stopped
        elif RunConfig.load(first / "config.json") != spec.first:
            raise ValueError(f"{first} is not a run of model.first; unspoken show {first} tells what it is")
        model = LatentLM.from_pretrained(first / "final", engine=self.config.engine)
        if spec.marker_from == "bot":
            copy_markers(model.lm, model.marks)
        return model

    def run(self) -> LatentLM:
        try:
            with stop_signals() as stop, self._steps_ahead() as steps:
                if self.position.step == 0 and not checkpoints(self.folder.checkpoints):
                    self.keeper.save(self.position)
                self._loop(steps, stop)
            self.spread.settle()
            self.keeper.publish("final")
        except WentWrong as wrong:
            raise ValueError(self._what_went_wrong(wrong)) from wrong
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            said = out_of_memory(self.running, self.config, step=self.position.step, again=self.again)
            raise ValueError(f"{said}; {self.keeper.newest}") from error
        except OSError as error:
            raise ValueError(
                f"{error.filename or self.out}: {error.strerror or error}; stopped after step {self.position.step}, "
                f"{self.keeper.newest}; once it can be written, continue with: {self.again}"
            ) from error
        self.bare.eval()
        return self.bare

    def _loop(self, steps: Ahead[StepData], stop: Stop) -> None:
        position, config = self.position, self.config
        started = time.perf_counter() - position.seconds
        # A run stopped at its very last step still has that epoch's end, and so a validation, before it.
        while position.step < self.num_steps or position.batch:
            epoch = position.epoch
            if position.batch == 0 and config.curriculum.starts_afresh(epoch):
                for optimizer in self.optimizers:
                    optimizer.state.clear()
            for _ in range(position.batch, self.steps_per_epoch):
                if position.step >= self.num_steps:
                    break
                self._step(self.window.wait(steps))
                position.step, position.batch = position.step + 1, position.batch + 1
                position.seconds = time.perf_counter() - started
                last = position.step >= self.num_steps
                if position.step % config.log_every == 0 or last:
                    self._log_step(epoch, self.window)
                    self.window = Window()
                if config.checkpoint_every and position.step % config.checkpoint_every == 0 and not last:
                    self._save()
                self._stop_where_asked(stop, last=last)
            stage_end = config.curriculum.stage(epoch + 1) != config.curriculum.stage(epoch)
            final_epoch = position.step >= self.num_steps or epoch + 1 == config.curriculum.epochs
            if stage_end or final_epoch or (epoch + 1) % config.validation.every_epochs == 0:
                reached = self._validate(epoch, stop)
                if reached:
                    break
            position.epoch, position.batch = epoch + 1, 0
            position.seconds = time.perf_counter() - started
            if not config.checkpoint_every and position.step < self.num_steps:
                self._save()

    def _steps_ahead(self) -> Ahead[StepData]:
        config, accelerator = self.config, self.accelerator
        steps = stream(
            self.data,
            config,
            epoch=self.position.epoch,
            batch=self.position.batch,
            process=accelerator.process_index,
            num_processes=accelerator.num_processes,
            pad_id=self.bare.pad_id,
            pin=accelerator.device.type == "cuda",
            columns=COLUMNS if self.graphs else 1,
            in_step=self.spread.in_step,
        )
        # A bucket is laid out in one go; with this room the next one is begun before the last is used up.
        return Ahead(steps, depth=config.batch.bucket + 2)

    def _save(self) -> None:
        """Writes a checkpoint, of a training that is in order."""
        self._look()
        pending, position = self.window.loss, self.position
        position.pending_loss = 0.0 if pending is None else float(self.accelerator.reduce(pending, "sum"))
        position.pending_labels = self.window.num_labels
        with self.spread.whole():
            refuse_weights(self.bare, position.step)
            self.keeper.save(position)

    def _stop_where_asked(self, stop: Stop, *, last: bool) -> None:
        """Saves and ends where any process was asked to stop: all must do so after the same step."""
        asked = int(stop.asked or 0)
        if self.accelerator.num_processes > 1:
            # Asking the others waits for the device, so it is done when the loss is read anyway.
            if self.position.step % self.config.log_every and not last:
                return
            asked = max(gather_object([asked]))
        if asked:
            self._interrupt(asked)

    def _interrupt(self, asked: int) -> NoReturn:
        self._save()
        raise Interrupted(
            f"stopped at step {self.position.step} of {self.num_steps}, saved; continue with: {self.again}",
            signal.Signals(asked),
        )

    def _step(self, step: StepData) -> None:
        config, accelerator = self.config, self.accelerator
        factor = self._lr_factor()
        for optimizer, peaks in zip(self.optimizers, self.peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
        self.model.train()
        total = torch.zeros((), device=accelerator.device)
        for left, batch in zip(range(len(step.micro) - 1, -1, -1), step.micro, strict=True):
            self.running = batch
            with self.spread.more_to_come() if left else nullcontext():
                # Gradients are averaged over processes; the sum is what is wanted.
                total += self.backward(batch, accelerator.num_processes / max(step.num_labels, 1))
        norm = self._clip()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=not self.graphs)
        self.watch.add(self.position.step + 1, total / max(step.num_labels, 1), norm)
        self.window.add(step, total, config.optimizer.lr * factor, norm)

    def _loss(self, batch: Batch) -> torch.Tensor:
        device = self.accelerator.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            return self.config.method.loss(self.model, batch.to(device))

    def _clip(self) -> torch.Tensor:
        largest = self.config.optimizer.clip_norm
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        norm = plain(torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
        if largest is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, largest, norm)
        return norm

    def _lr_factor(self) -> float:
        schedule, position, curriculum = self.config.schedule, self.position, self.config.curriculum
        factor = schedule.stage_factor(curriculum.stage(position.epoch))
        if schedule.span == "run":
            return factor * schedule.factor(position.step, self.num_steps)
        first, length = curriculum.span(position.epoch)
        done = (position.epoch - first) * self.steps_per_epoch + position.batch
        return factor * schedule.factor(done, length * self.steps_per_epoch)

    def _log_step(self, epoch: int, window: Window) -> None:
        assert window.loss is not None and window.grad_norm is not None
        loss = float(self.accelerator.reduce(window.loss, "sum")) / max(window.num_labels, 1)
        seconds = time.perf_counter() - window.started
        report = StepReport(
            recipe=self.config.recipe,
            step=self.position.step,
            num_steps=self.num_steps,
            epoch=epoch,
            stage=self.config.curriculum.stage(epoch),
            num_stages=self.config.method.stages,
            loss=loss,
            lr=window.lr,
            grad_norm=float(window.grad_norm),
            tokens_per_second=window.num_tokens / seconds,
            data_wait=window.waited / seconds,
            padding=1 - window.num_mine / window.num_positions,
        )
        self._write({"kind": "step", **vars(report), "seconds": self.position.seconds})
        self.observer.on_step(report)
        self._look()

    def _validate(self, epoch: int, stop: Stop) -> bool:
        """Measures and reports; whether the accuracy is there at which training ends."""
        config, position = self.config, self.position
        self.running = None
        try:
            with self.spread.whole():
                report = validate(
                    self.accelerator, self.bare, config, self.valid, step=position.step, epoch=epoch, stop=stop
                )
        except Abandoned as abandoned:
            # It is done again when the run goes on.
            self._interrupt(abandoned.asked)
        line = {name: value for name, value in vars(report).items() if value is not None}
        self._write({"kind": "validation", **line, "seconds": self.position.seconds})
        self.observer.on_validation(report)
        self.bare.notes = self.bare.notes.at(stage=report.stage, step=position.step)
        found, best, stop_at = report.final_accuracy, position.best_accuracy, config.validation.stop_at
        if found is not None and (best is None or found > best):
            position.best_accuracy = found
            with self.spread.whole():
                refuse_weights(self.bare, position.step)
                self.keeper.publish("best")
        return stop_at is not None and found is not None and found >= stop_at

    def _write(self, line: dict[str, Any]) -> None:
        with together(self.accelerator):
            if self.main:
                self.folder.write(line)

    def _look(self) -> None:
        """Raises WentWrong where a step since the last look did."""
        self.watch.look(lambda shares: self.accelerator.reduce(shares, "sum"))

    def _what_went_wrong(self, wrong: WentWrong) -> str:
        epoch, batch = divmod(wrong.step - 1, self.steps_per_epoch)
        examples, file = self.data.members(epoch, batch), self.folder.stopped
        if self.main:
            details = {"step": wrong.step, "epoch": epoch, "batch": batch, "examples": examples, **wrong.figures}
            self.folder.went_wrong({"why": str(wrong), **details})
        return (
            f"{wrong}; lower --optimizer.lr or set --optimizer.clip-norm. It was batch {batch} of epoch {epoch}, "
            f"training examples {some_of(examples, str(file))}; nothing was saved after it, {self.keeper.newest}"
        )
