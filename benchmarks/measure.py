"""Timing in turns, counting operators, and the peak memory of one call.

Ways are timed in turns (A B C A B C ...), so that whatever else the machine does hits all of them alike.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch.profiler import ProfilerActivity, profile

Call = Callable[[], object]
Name = TypeVar("Name")

TURN_SECONDS = 0.25
"""A way that is faster than this is called again in its turn ..."""
CALLS_A_TURN = 5
"""... up to this often, because short calls scatter more."""


def synchronize(device: torch.device) -> None:
    """Waits for a GPU; a CPU is never ahead."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(call: Call, device: torch.device) -> float:
    """Wall time of one call."""
    synchronize(device)
    started = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - started


def turn(call: Call, device: torch.device) -> list[float]:
    """Wall seconds of the calls of one turn."""
    found: list[float] = []
    while len(found) < CALLS_A_TURN and sum(found) < TURN_SECONDS:
        found.append(seconds(call, device))
    return found


def in_turns(
    turns: Mapping[Name, Callable[[], list[float]]], *, repeats: int, seconds_at_most: float = float("inf")
) -> dict[Name, list[float]]:
    """Wall seconds of every call under every name: `repeats` rounds, each name's turn in each.

    Rounds stop early, after two, where another one would go beyond `seconds_at_most`. No call is left uncounted, so
    what is called is to be warm.
    """
    found: dict[Name, list[float]] = {name: [] for name in turns}
    started = time.perf_counter()
    for done in range(repeats):
        spent = time.perf_counter() - started
        if done >= 2 and spent * (done + 1) / done > seconds_at_most:
            break
        for name, take in turns.items():
            found[name] += take()
    return found


@dataclass(frozen=True, kw_only=True)
class Launches:
    """What one call launches."""

    operators: int
    """`aten::` calls, those inside others included."""
    kernels: int | None
    """Launches on a GPU, a replayed graph counting once; None on a CPU."""


def launches(call: Call, device: torch.device) -> Launches:
    """Counts the operators of one call, and on a GPU what reaches the device."""
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as found:
        call()
        synchronize(device)
    assert found.profiler is not None and found.profiler.kineto_results is not None
    # The raw events: the tree that the profiler makes of them takes minutes to build for the published splice.
    names = [event.name() for event in found.profiler.kineto_results.events()]
    reaching = sum(name.startswith(("cudaLaunch", "cuLaunch", "cudaGraphLaunch")) for name in names)
    return Launches(operators=sum(name.startswith("aten::") for name in names), kernels=reaching if on_gpu else None)


def peak_bytes(call: Call, device: torch.device) -> int:
    """How far memory rises above what was held before, during one call.

    On a GPU the allocator knows. On a CPU it is the process's resident memory, so this is to run in a process of its
    own in which nothing as large has been done.
    """
    gc.collect()
    if device.type == "cuda":
        synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    give_back()
    before = _resident_bytes()
    _reset_peak()
    call()
    return max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before)


def give_back() -> None:
    """Has glibc return what was freed: kept, it would hide what a call takes, or crowd other processes out."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _reset_peak() -> None:
    """Forgets the highest memory so far, building the model included."""
    Path("/proc/self/clear_refs").write_text("5")
