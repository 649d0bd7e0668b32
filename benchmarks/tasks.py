"""What the process of a way does when it is asked: loads, warms, times, counts."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedModel

from benchmarks import floors, measure
from benchmarks.measure import Call
from benchmarks.shapes import Shape, Subject, build
from benchmarks.ways import FP32, Precision
from benchmarks.workers import Bench
from unspoken.batch import Batch
from unspoken.generate import Written
from unspoken.methods import Method

QUICK_SECONDS = 0.1
COUNTED_ROWS = 2
"""Rows of the step whose operators are counted: the profiler keeps every one of the published splice's."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """What is written after a prompt: as many tokens as the gold text has, on average."""

    name: str
    method: Method
    """Whose gold text."""
    singles: int
    """Problems that are decoded one by one."""


def load(bench: Bench, shape: Shape) -> None:
    """Makes a shape's model and problems."""
    bench.forget()
    bench.subject = build(shape, bench.device)


def forget(bench: Bench) -> None:
    """Lets go of what was loaded and prepared."""
    bench.forget()


def turn(bench: Bench, key: str) -> list[float]:
    """Times what was prepared under a key."""
    call = bench.calls[key]

    def kept() -> None:
        bench.results[key] = call()

    return measure.turn(kept, bench.device)


def loss_of(bench: Bench, key: str) -> float:
    """The loss of the last step timed under a key."""
    return float(bench.results[key])


def written(bench: Bench, key: str) -> list[Written]:
    """What the last call timed under a key wrote."""
    return bench.results[key]


def wrote(bench: Bench, key: str) -> bool:
    """Whether anything was written under a key."""
    return key in bench.results


def warm(bench: Bench, small: Call, whole: Call) -> None:
    """Calls a small problem, and the whole one where it is quick or where the way has to settle."""
    quick = measure.seconds(small, bench.device) < QUICK_SECONDS or bench.device.type == "cuda"
    for _ in range(max(bench.way.settling, int(quick))):
        whole()


def ready_to_train(bench: Bench, precision: Precision) -> None:
    """Prepares and warms a training step."""
    subject = _loaded(bench)
    subject.lm.train()
    call = bench.way.step(subject, _batch(bench, subject.training_rows), precision)
    warm(bench, bench.way.step(subject, _batch(bench, 1), precision), call)
    bench.calls["train"] = call


def count(bench: Bench) -> measure.Launches:
    """Counts what a training step of a few rows launches."""
    subject = _loaded(bench)
    subject.lm.train()
    step = bench.way.step(subject, _batch(bench, COUNTED_ROWS), FP32)
    warm(bench, step, step)
    return measure.launches(step, bench.device)


def peak(bench: Bench) -> int:
    """Peak memory of the first whole training step, after a small one."""
    subject = _loaded(bench)
    subject.lm.train()
    small = bench.way.step(subject, _batch(bench, 1), FP32)
    small()
    subject.lm.zero_grad(set_to_none=True)
    whole = bench.way.step(subject, _batch(bench, subject.training_rows), FP32)
    return measure.peak_bytes(whole, bench.device)


def ready_to_write(bench: Bench, precision: Precision) -> None:
    """Brings the model into a precision, for decoding."""
    subject = _loaded(bench)
    subject.lm.zero_grad(set_to_none=True)
    subject.lm.eval()
    bench.forget()
    # `to` changes a model in place, and training needs its float32 weights again.
    lm = subject.lm if precision == FP32 else copy.deepcopy(subject.lm)
    bench.subject, bench.writing = subject, replace(subject, lm=_in(lm, precision.dtype))


def writing(bench: Bench, key: str, text: Text, together: int, new_tokens: int) -> None:
    """Prepares and warms writing to some problems: to `text.singles` one by one, or to many together."""
    subject = bench.writing
    assert subject is not None, "ready_to_write comes first"
    problems = subject.typical(text.singles) if together == 1 else subject.problems[:together]
    prompts = subject.prompts(bench.way.method(subject.shape), problems)
    groups = [[prompt] for prompt in prompts] if together == 1 else [prompts]
    writers = [bench.way.writer(subject, group, new_tokens=new_tokens) for group in groups]

    def write() -> list[Written]:
        return [answer for each in writers for answer in each()]

    warm(bench, bench.way.writer(subject, prompts[:1], new_tokens=2), write)
    bench.calls[key] = write


def flops_per_second(bench: Bench, precision: Precision) -> float:
    """The arithmetic peak in this process."""
    return floors.measure_flops(bench.device, precision.dtype)


def bytes_per_second(bench: Bench) -> float:
    """The reading peak in this process."""
    return floors.measure_bandwidth(bench.device)


def _loaded(bench: Bench) -> Subject:
    assert bench.subject is not None, "load comes first"
    return bench.subject


def _batch(bench: Bench, rows: int) -> Batch:
    subject, way = _loaded(bench), bench.way
    return subject.batch(way.method(subject.shape), rows=rows, columns=way.columns)


def _in(lm: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    torch.nn.Module.to(lm, dtype=dtype)
    return lm
