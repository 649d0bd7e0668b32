"""Two processes on one machine that train together, over gloo: several trainings, one after another, in one pair.

They are forked from a process that has imported everything, because that takes longer than all the trainings.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

DRIVER = f"""
import json, os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import pairs, tiny_runs
from unspoken import train
child = os.fork()
rank = "0" if child else "1"
os.environ.update(RANK=rank, LOCAL_RANK=rank)
pairs.work(sys.argv[1])
if child and os.waitpid(child, 0)[1]:
    sys.exit("rank 1 failed")
"""


def train_in_pairs(jobs: list[dict[str, Any]], folder: Path, **environment: str) -> None:
    """Runs jobs in two processes; see `work` for what a job is. Skips where two processes cannot talk."""
    file = folder / "jobs.json"
    file.write_text(json.dumps(jobs))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What `torchrun` and `accelerate launch --cpu` set, without the seconds they take to start.
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", DRIVER, str(file)],
        env=os.environ | world | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        errors = process.communicate(timeout=550)[1].decode()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if "gloo" in errors.lower() and "connect" in errors.lower():
        pytest.skip("two processes cannot reach each other here")
    assert process.returncode == 0, errors


@contextlib.contextmanager
def counted() -> Iterator[dict[str, Any]]:
    """Counts the collectives that FSDP asks for, `gather` and `scatter`; and the `passes` of every forward that has a
    backward, one number a micro-batch."""
    import torch
    import torch.distributed as dist

    from unspoken.model import LatentLM

    counts: dict[str, Any] = {"gather": 0, "scatter": 0, "passes": []}
    forward = LatentLM.forward

    def passing(*arguments: Any, **settings: Any) -> Any:
        if torch.is_grad_enabled():
            counts["passes"].append(len(settings["plan"].spans))
        return forward(*arguments, **settings)

    # The second pair are the names of torch before 2.13.
    names = ("all_gather_single", "reduce_scatter_single", "all_gather_into_tensor", "reduce_scatter_tensor")
    kept = {name: vars(dist)[name] for name in names if name in vars(dist)}

    def counting(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **settings: Any) -> Any:
            counts["gather" if "gather" in name else "scatter"] += 1
            return kept[name](*arguments, **settings)

        return call

    for name in kept:
        setattr(dist, name, counting(name))
    try:
        with mock.patch.object(LatentLM, "forward", passing):
            yield counts
    finally:
        for name, function in kept.items():
            setattr(dist, name, function)


def work(file: str) -> None:
    """What each of the two does: one job after another.

    A job is `{"config": PATH, "out": PATH, "sharded": bool, "resume": bool, "stop_at": STEP, "count": PATH}`, the last
    three optional. `stop_at`: the main process is sent Ctrl-C there. `count`: where what `counted` counts goes.
    """
    import torch

    from tiny_runs import StopAt
    from unspoken.config import RunConfig
    from unspoken.signals import Interrupted
    from unspoken.train import fit

    for job in json.loads(Path(file).read_text()):
        main = os.environ["RANK"] == "0"
        observer = StopAt(job["stop_at"]) if main and "stop_at" in job else None
        # What `accelerate launch --use_fsdp --fsdp_version 2` sets.
        os.environ.update(ACCELERATE_USE_FSDP=str(job["sharded"]).lower(), FSDP_VERSION="2")
        config, out = RunConfig.load(Path(job["config"])), Path(job["out"])
        with counted() as counts:
            try:
                fit(config, out, resume=job.get("resume", False), observer=observer)
            except Interrupted:
                assert "stop_at" in job, "nobody asked"
        if main and "count" in job:
            Path(job["count"]).write_text(json.dumps(counts))
    torch.distributed.destroy_process_group()
