"""Processes that are killed at a chosen moment, forked from one that has imported torch once.

A moment is just before something changes on disk (a file opened for writing, a flush, a rename, a removal) or just
after an optimizer step; they are counted from 1. `Forks` starts jobs: functions of this module, by name, with their
arguments.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from safetensors.torch import load_file

from tiny_runs import tiny
from unspoken import cli, durable, folder, train
from unspoken.build import build_model
from unspoken.checkpoint import Position, save_checkpoint
from unspoken.config import BatchSize
from unspoken.curriculum import Curriculum
from unspoken.generators import generators_now
from unspoken.health import Watch
from unspoken.methods import Coconut
from unspoken.model import LatentLM
from unspoken.optimizers import build_optimizers
from unspoken.recipes import RECIPES
from unspoken.specs import GPT2, Words
from unspoken.tasks.hops import Hops

CONFIG = tiny(
    recipe="tiny/killed",
    task=Hops(nodes=5, hops=2, num_train=16, num_valid=2, num_test=2),
    method=Coconut(max_stage=0),
    # Dropout, so that a generator that is not where it was shows in the weights.
    model=GPT2(layers=1, width=16, heads=2, positions=48, dropout=0.2, tokenizer=Words()),
    curriculum=Curriculum(stage_epochs=(1, 2), mix=0.3, reset_optimizer="stage"),
    batch=BatchSize(rows=8, micro=5),
    log_every=4,
)
"""Three epochs of two steps: a stage switch at step 2, `best/` at 4 and, replaced, at 6."""
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}


class Moments:
    """Counts moments, tells their names, and kills the process at one of them, or lets nothing be written from one on:
    the disk is full, or whatever else `error` says."""

    def __init__(self, *, kill_at: int | None, full_from: int | None, error: int, report: Path) -> None:
        self._kill_at, self._full_from, self._error, self._report = kill_at, full_from, error, report
        self._names: list[str] = []

    def pass_(self, name: str) -> None:
        """Notes a moment."""
        self._names.append(name)
        if len(self._names) == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        takes_room = name.startswith(("open", "os.fsync", "os.mkdir"))
        if self._full_from is not None and len(self._names) >= self._full_from and takes_room:
            raise OSError(self._error, os.strerror(self._error), name.split()[1])

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            path = str(arguments[0])
            if path.startswith(("/dev/", "/proc/")) or "__pycache__" in path:
                return
            self.pass_(f"{event} {path}")

    def watch(self) -> None:
        """From here on, in this process, for ever."""
        sys.addaudithook(self._hook)
        flush, exchange, add = os.fsync, durable.swap, Watch.add

        def fsync(descriptor: int) -> None:
            self.pass_(f"os.fsync {Path(f'/proc/self/fd/{descriptor}').readlink()}")
            flush(descriptor)

        def swap(one: Path, other: Path) -> bool:
            self.pass_(f"swap {one} {other}")
            return exchange(one, other)

        def added(watch: Watch, *arguments: Any) -> None:
            add(watch, *arguments)
            self.pass_("step")

        for place, name, new in ((os, "fsync", fsync), (durable, "swap", swap), (Watch, "add", added)):
            patch.object(place, name, new).start()

    def write(self) -> None:
        """Leaves the names of all moments, for a process that was not killed."""
        names = list(self._names)
        self._report.write_text(json.dumps(names))


def ever_better(*arguments: Any, **settings: Any) -> Any:
    """A validation in which accuracy grows with every step, so that `best/` is replaced."""
    report = _validate(*arguments, **settings)
    final = None if report.final_accuracy is None else report.step / 100
    return replace(report, accuracy=report.step / 100, final_accuracy=final)


_validate = train.validate


def run(arguments: list[str]) -> None:
    """A command line."""
    RECIPES["tiny/killed"] = lambda: CONFIG
    train.validate = ever_better
    cli.main(arguments)


def model_of(value: float) -> LatentLM:
    """A tiny model all of whose weights are one number."""
    model = build_model(CONFIG.model, CONFIG.task, seed=0)
    for weight in model.parameters():
        weight.data.fill_(value)
    return model


def save(place: str, step: int) -> None:
    """A checkpoint of a step, whose weights are its number."""
    model = model_of(step)
    optimizers = build_optimizers(CONFIG.optimizer, model, fused=True)
    generators = [generators_now(model.device)]
    save_checkpoint(Path(place), model, optimizers, Position(step=step), generators=generators, keep=2)


def publish(place: str, value: float, *, swaps: bool) -> None:
    """A model published as `best`, on a system that can swap names or cannot."""
    if not swaps:
        durable.swap = lambda one, other: False
    folder.RunFolder(Path(place)).publish("best", model_of(value).save_pretrained)


def value_of(model: Path) -> float:
    """What `model_of` was given, of a folder that is whole."""
    assert {path.name for path in model.iterdir()} >= {"config.json", "tokenizer.json", "unspoken.json"}
    (value,) = {float(v) for tensor in load_file(model / "model.safetensors").values() for v in tensor.flatten()}
    return value


def limited(arguments: list[str], largest: int) -> None:
    """A command line whose process may write no file larger than so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    run(arguments)


def ranks(arguments: list[str], port: int) -> None:
    """A command line in two processes that train together."""
    os.environ.update(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    child = os.fork()
    os.environ.update(RANK="0" if child else "1", LOCAL_RANK="0" if child else "1")
    try:
        run(arguments)
    finally:
        if not child:
            sys.stderr.flush()
            os._exit(0)
        os.waitpid(child, 0)


JOBS: dict[str, Callable[..., None]] = {
    "run": run,
    "save": save,
    "publish": publish,
    "limited": limited,
    "ranks": ranks,
}


class Forks:
    """A process that forks others, one at a time."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._server = subprocess.Popen(
            [sys.executable, "-c", "import killing; killing.serve()"],
            cwd=Path(__file__).parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        )

    def close(self) -> None:
        """Ends the process."""
        self._server.kill()
        self._server.communicate()

    def start(
        self,
        job: str,
        *arguments: Any,
        kill_at: int | None = None,
        full_from: int | None = None,
        error: int = errno.ENOSPC,
        **settings: Any,
    ) -> int:
        """Starts a job; its process id."""
        assert self._server.stdin is not None and self._server.stdout is not None
        order = {
            "job": job,
            "arguments": arguments,
            "settings": settings,
            "kill_at": kill_at,
            "full_from": full_from,
            "error": error,
            "scratch": str(self._scratch),
        }
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def wait(self) -> int:
        """How the job ended: its exit code, or minus the signal that ended it."""
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())

    def call(self, job: str, *arguments: Any, **settings: Any) -> int:
        """Starts a job and waits; as `start` and `wait`."""
        self.start(job, *arguments, **settings)
        return self.wait()

    def moments(self) -> list[str]:
        """The names of the last job's moments."""
        return json.loads((self._scratch / "moments.json").read_text())

    def said(self) -> str:
        """What the last job printed, stderr included."""
        return (self._scratch / "said.txt").read_text()


def serve() -> None:
    """What the forking process does: a line in, two numbers out."""
    for line in sys.stdin:
        order = json.loads(line)
        process = os.fork()
        if process == 0:
            os._exit(_work(order))
        print(process, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


def _work(order: dict[str, Any]) -> int:
    scratch = Path(order["scratch"])
    said = os.open(scratch / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    report = scratch / "moments.json"
    moments = Moments(kill_at=order["kill_at"], full_from=order["full_from"], error=order["error"], report=report)
    moments.watch()
    code = 1
    try:
        JOBS[order["job"]](*order["arguments"], **order["settings"])
        moments.write()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One forking process for a module's tests."""
    found = Forks(tmp_path_factory.mktemp("forks"))
    yield found
    found.close()
