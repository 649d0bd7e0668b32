"""fit(): the training loop, one for every method.

1. The run folder gets `config.json` and `env.json`; an existing one is refused, or resumed when asked to.
2. Every epoch has a stage; when a stage (or epoch) starts, the optimizer may drop its moments (`Curriculum`).
3. A global batch is laid out, cut into micro-batches and over processes, ahead of its step (`loading.py`);
   `Method.loss` gives sums, and the loop divides by the label count of the whole global batch, so that neither
   accumulation nor the number of processes matters. No step waits for the device; what is read from it, the loss and
   whether another process was asked to stop, is read every `log_every` steps.
4. Validation decodes greedily, laid out as the current stage. In the final stage the best weights so far go to `best/`,
   and training ends early where `Validation.stop_at` says so.
5. Checkpoints carry all state (`checkpoint.py`). Data order, stages and layouts are functions of (seed, epoch, index),
   so resuming means starting at another index. Ctrl-C finishes the step, saves, and says how to resume.
6. At the end the weights go to `final/`, as a folder stock transformers can load.
"""

from __future__ import annotations

import copy
import json
import math
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from unspoken.backward import COLUMNS, Backward, Launched, Replayed
from unspoken.batch import Batch
from unspoken.build import build_model, notes_of
from unspoken.checkpoint import Position, checkpoints, load_checkpoint, save_checkpoint
from unspoken.config import After, RunConfig
from unspoken.data import TrainingData, tokenize
from unspoken.environment import describe_environment
from unspoken.evaluate import evaluate
from unspoken.loading import Ahead, StepData, Window, stream
from unspoken.markers import copy_markers
from unspoken.model import LatentLM
from unspoken.optimizers import build_optimizers
from unspoken.reports import Observer, Silent, StepReport, ValidationReport, append_line, forget_lines
from unspoken.signals import stop_signals

KEEP_CHECKPOINTS = 2


class Interrupted(Exception):
    """Training was stopped by Ctrl-C or SIGTERM; everything is saved and the message says how to go on."""


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
    from instead.

    Raises:
        ValueError: `out` exists (without `resume`) or holds no run (with it), or config and data do not fit.
        Interrupted: stopped by a signal, with everything saved.
    """
    if resume and (out / "final").is_dir():
        return LatentLM.from_pretrained(out / "final", engine=config.engine)
    return _Fit(config, out, resume=resume, first=first, observer=observer or Silent(), device=device).run()


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
    ) -> None:
        self.config, self.out, self.observer, self.device = config, out, observer, device
        self.accelerator = Accelerator(cpu=device == "cpu")
        self.main = self.accelerator.is_main_process
        # Another process may make the folder as soon as it has come this far.
        if self.main and out.exists() and not resume:
            raise ValueError(f"{out} exists; choose another --out, or continue it with --resume {out}")
        self._check_processes()
        if resume and not isinstance(config.model, After) and not checkpoints(out / "checkpoints"):
            raise ValueError(f"{out}: no checkpoint to resume from; start it again with another --out")
        # All that can be wrong with data or model shows before the run folder is made.
        examples = config.task.examples("train")
        self.valid = config.task.examples("valid")[: config.validation.examples]
        for name, found in (("training", examples), ("validation", self.valid)):
            if not found:
                raise ValueError(f"{type(config.task).__name__} has no {name} examples")
        model = None
        if not isinstance(config.model, After):
            model = build_model(config.model, config.task, seed=config.seed, engine=config.engine)
            self._check_lengths(model)
        if self.main:
            self._open_folder(resume=resume)
        self.accelerator.wait_for_everyone()
        self.bare = self._after(first) if model is None else model
        assert self.bare.tokenizer is not None
        self.bare.notes = notes_of(config, self.bare)
        # A tokenizer of its own: the library beneath is not made for two threads, and validation tokenizes too.
        tokenizer = copy.deepcopy(self.bare.tokenizer)
        positions = self.bare.backbone.max_positions
        self.data = TrainingData(config, examples, tokenizer, self.bare.marks, positions=positions)
        device_type = self.accelerator.device.type
        self.optimizers = build_optimizers(config.optimizer, self.bare, fused=device_type in ("cpu", "cuda"))
        self.peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.position = Position()
        self.metrics = out / "metrics.jsonl"
        if resume:
            self._load()
        else:
            torch.manual_seed(config.seed + self.accelerator.process_index)
        self.model, *self.optimizers = self.accelerator.prepare(self.bare, *self.optimizers)
        on_one_gpu = self.accelerator.device.type == "cuda" and self.accelerator.num_processes == 1
        self.graphs = config.engine == "graphs" and on_one_gpu
        self.backward: Backward = (
            Replayed(self._loss, self.accelerator.device)
            if self.graphs
            else Launched(self._loss, self.accelerator.backward)
        )
        self.steps_per_epoch = self.data.steps_per_epoch
        self.num_steps = min(config.curriculum.epochs * self.steps_per_epoch, config.max_steps or 2**62)

    def _check_processes(self) -> None:
        """Refuses batches that processes could not share evenly: they would wait for each other for ever."""
        config, num = self.config, self.accelerator.num_processes
        if config.batch.rows % num:
            raise ValueError(f"batch.rows must be a multiple of the {num} processes, got {config.batch.rows}")
        rows = config.batch.rows // num
        smallest = rows // -(-rows // (config.batch.micro or rows))
        if smallest < config.method.min_rows():
            raise ValueError(
                f"{type(config.method).__name__} needs at least {config.method.min_rows()} rows in a forward pass, but "
                f"{num} processes leave it {smallest}; raise --batch.rows"
            )

    def _open_folder(self, *, resume: bool) -> None:
        """A new folder with config and environment; a resumed one remembers each environment it went on in."""
        environment, path = describe_environment(), self.out / "env.json"
        if resume:
            before = json.loads(path.read_text())
            environment = {**before, "resumed": [*before.get("resumed", []), environment]}
        else:
            self.out.mkdir(parents=True)
            self.config.save(self.out / "config.json")
        path.write_text(json.dumps(environment, indent=2) + "\n")

    def _check_lengths(self, model: LatentLM) -> None:
        """Refuses a model too short for what validation will ask of it, in whichever stage."""
        config, limit = self.config, model.backbone.max_positions
        assert model.tokenizer is not None
        if limit is None:
            return
        for tokens in tokenize(self.valid, config.task, model.tokenizer):
            for stage, length in enumerate(config.curriculum.stage_epochs):
                needed = len(config.method.prompt(tokens, model.marks, stage=stage)) + config.task.max_new_tokens
                if length and needed > limit:
                    raise ValueError(
                        f"stage {stage} needs {needed} positions for a validation prompt and its answer, but the model "
                        f"has {limit}; raise --model.positions"
                    )

    def _after(self, first: Path | None) -> LatentLM:
        """The model another run ends with, trained now where it is not there yet."""
        spec = self.config.model
        assert isinstance(spec, After)
        remembered = self.out / "first.txt"
        if first is not None:
            remembered.write_text(f"{first.resolve()}\n")
        elif remembered.is_file() and (Path(remembered.read_text().strip()) / "final").is_dir():
            first = Path(remembered.read_text().strip())
        if first is None:
            first = self.out / "first"
            if not (first / "final").is_dir():
                try:
                    fit(spec.first, first, resume=first.is_dir(), observer=self.observer, device=self.device)
                except Interrupted as stopped:
                    raise Interrupted(
                        f"stopped in the first run, saved; continue with: unspoken train --resume {self.out}"
                    ) from stopped
        elif RunConfig.load(first / "config.json") != spec.first:
            raise ValueError(f"{first} is not a run of model.first; unspoken show {first} tells what it is")
        model = LatentLM.from_pretrained(first / "final", engine=self.config.engine)
        if spec.marker_from == "bot":
            copy_markers(model.lm, model.marks)
        self._check_lengths(model)
        return model

    def run(self) -> LatentLM:
        position, config = self.position, self.config
        started = time.perf_counter() - position.seconds
        window = Window()
        with stop_signals() as stop, self._steps_ahead() as steps:
            # A run stopped at its very last step still has that epoch's end, and so a validation, before it.
            while position.step < self.num_steps or position.batch:
                epoch = position.epoch
                if position.batch == 0 and config.curriculum.starts_afresh(epoch):
                    for optimizer in self.optimizers:
                        optimizer.state.clear()
                for _ in range(position.batch, self.steps_per_epoch):
                    if position.step >= self.num_steps:
                        break
                    self._step(window.wait(steps), window)
                    position.step, position.batch = position.step + 1, position.batch + 1
                    position.seconds = time.perf_counter() - started
                    last = position.step >= self.num_steps
                    if position.step % config.log_every == 0 or last:
                        self._log_step(epoch, window)
                        window = Window()
                    if config.checkpoint_every and position.step % config.checkpoint_every == 0 and not last:
                        self._save()
                    if self._stopping(stop, last=last):
                        self._save()
                        raise Interrupted(
                            f"stopped at step {position.step} of {self.num_steps}, saved; continue with: "
                            f"unspoken train --resume {self.out}"
                        )
                stage_end = config.curriculum.stage(epoch + 1) != config.curriculum.stage(epoch)
                final_epoch = position.step >= self.num_steps or epoch + 1 == config.curriculum.epochs
                if stage_end or final_epoch or (epoch + 1) % config.validation.every_epochs == 0:
                    reached = self._validate(epoch)
                    if reached:
                        break
                position.epoch, position.batch = epoch + 1, 0
                position.seconds = time.perf_counter() - started
                if not config.checkpoint_every and position.step < self.num_steps:
                    self._save()
        if self.main:
            self._publish("final")
        self.accelerator.wait_for_everyone()
        self.bare.eval()
        return self.bare

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
        )
        # A bucket is laid out in one go; with this room the next one is begun before the last is used up.
        return Ahead(steps, depth=config.batch.bucket + 2)

    def _stopping(self, stop: threading.Event, *, last: bool) -> bool:
        """Whether any process was asked to stop: all must do so after the same step."""
        if self.accelerator.num_processes == 1:
            return stop.is_set()
        # Asking the others waits for the device, so it is done when the loss is read anyway.
        if self.position.step % self.config.log_every and not last:
            return False
        asked = torch.tensor(float(stop.is_set()), device=self.accelerator.device)
        return bool(self.accelerator.reduce(asked, "sum") > 0)

    def _step(self, step: StepData, window: Window) -> None:
        config, accelerator = self.config, self.accelerator
        factor = self._lr_factor()
        for optimizer, peaks in zip(self.optimizers, self.peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
        self.model.train()
        total = torch.zeros((), device=accelerator.device)
        for batch in step.micro:
            # Distributed wrappers average gradients over processes; the sum is what is wanted.
            total += self.backward(batch, accelerator.num_processes / max(step.num_labels, 1))
        norm = self._clip()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=not self.graphs)
        window.add(step, total, config.optimizer.lr * factor, norm)

    def _loss(self, batch: Batch) -> torch.Tensor:
        device = self.accelerator.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            return self.config.method.loss(self.model, batch.to(device))

    def _clip(self) -> torch.Tensor:
        largest = self.config.optimizer.clip_norm
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
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
        if not math.isfinite(loss):
            raise ValueError(
                f"the loss is {loss} at step {self.position.step}; lower --optimizer.lr or set --optimizer.clip-norm"
            )

    def _validate(self, epoch: int) -> bool:
        """Measures and reports; whether the accuracy is there at which training ends."""
        config, accelerator = self.config, self.accelerator
        stage = config.curriculum.stage(epoch)
        mine = self.valid[accelerator.process_index :: accelerator.num_processes]
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            records = evaluate(
                self.bare, config.task, config.method, mine, rows=config.batch.evaluation, stage=stage
            )  # fmt: skip
        correct = gather_object([record.correct for record in records])
        report = ValidationReport(
            recipe=config.recipe,
            step=self.position.step,
            epoch=epoch,
            stage=stage,
            accuracy=sum(correct) / len(correct),
            num=len(correct),
        )
        self._write({"kind": "validation", **vars(report), "seconds": self.position.seconds})
        self.observer.on_validation(report)
        best = self.position.best_accuracy
        if stage == config.curriculum.last_stage and (best is None or report.accuracy > best):
            self.position.best_accuracy = report.accuracy
            if self.main:
                self._publish("best")
        stop_at = config.validation.stop_at
        return stop_at is not None and stage == config.curriculum.last_stage and report.accuracy >= stop_at

    def _publish(self, name: str) -> None:
        """Saves the model under a name that is there only when it is whole."""
        partial = self.out / f".{name}"
        shutil.rmtree(partial, ignore_errors=True)
        self.bare.save_pretrained(partial)
        shutil.rmtree(self.out / name, ignore_errors=True)
        partial.rename(self.out / name)

    def _save(self) -> None:
        if self.main:
            save_checkpoint(
                self.out / "checkpoints", self.bare, self.optimizers, self.position, keep=KEEP_CHECKPOINTS
            )  # fmt: skip
        self.accelerator.wait_for_everyone()

    def _load(self) -> None:
        found = checkpoints(self.out / "checkpoints")
        if found:
            self.position = load_checkpoint(found[-1], self.bare, self.optimizers)
        else:
            # Stopped before its first checkpoint, while the first run trained or soon after: it begins anew.
            torch.manual_seed(self.config.seed + self.accelerator.process_index)
        if self.main:
            # In the middle of an epoch the validation of this very step is yet to come.
            position = self.position
            forget_lines(self.metrics, after=position.step, validations_from=position.step + (position.batch == 0))

    def _write(self, line: dict[str, Any]) -> None:
        if self.main:
            append_line(self.metrics, line)
