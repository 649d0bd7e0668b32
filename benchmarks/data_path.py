"""What comes before a step, through the training loop's own parts: padding, and the wait for the next batch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from itertools import islice

from benchmarks.parts import Work, going_on
from benchmarks.results import DataPath
from benchmarks.shapes import Shape, Subject
from benchmarks.tasks import ready_to_train
from benchmarks.ways import FP32, OURS
from benchmarks.workers import Bench
from unspoken.config import BatchSize, RunConfig
from unspoken.curriculum import Curriculum
from unspoken.data import TrainingData
from unspoken.loading import Ahead, StepData, stream
from unspoken.specs import GPT2
from unspoken.tokenization import build_tokenizer

GLOBAL_ROWS = 128
PADDING_ROWS = 32
BUCKET = 6
"""Global batches: the validation and test problems of ProsQA are six."""
LEAST_SECONDS = 2.0
LEAST_STEPS = 4


def config_of(shape: Shape, batch: BatchSize) -> RunConfig:
    """A training run in the last stage; its model is never made."""
    stages = shape.coconut.stages
    return RunConfig(
        recipe=f"benchmarks/{shape.name}",
        task=shape.task,
        method=shape.coconut,
        model=GPT2(),
        curriculum=Curriculum(stage_epochs=(*[0] * (stages - 1), 1_000_000)),
        batch=batch,
    )


def steps_of(subject: Subject, batch: BatchSize) -> Iterator[StepData]:
    """What the training loop would be fed, epoch after epoch, from the validation and test problems."""
    shape = subject.shape
    config = config_of(shape, batch)
    examples = [example for split in ("valid", "test") for example in shape.task.examples(split)]
    tokenizer = build_tokenizer(shape.tokenizer, shape.task)
    data = TrainingData(config, examples, tokenizer, subject.marks, positions=None)
    return stream(
        data, config, epoch=0, batch=0, process=0, num_processes=1, pad_id=0, pin=False, columns=1, in_step=False
    )


def padding(subject: Subject, *, rows: int, micro: int, bucket: int) -> float:
    """Share of padding in an epoch's forward passes."""
    batch = BatchSize(rows=rows, micro=micro, bucket=bucket)
    one_epoch = islice(steps_of(subject, batch), len(subject.problems) // rows)
    steps = list(one_epoch)
    return 1 - sum(step.num_mine for step in steps) / sum(step.num_positions for step in steps)


def wait(bench: Bench) -> tuple[float, float, float]:
    """(seconds of making a batch, median seconds of a step, share of the loop's time spent waiting)."""
    subject = bench.subject
    assert subject is not None, "load comes first"
    batch = BatchSize(rows=subject.training_rows)
    alone = steps_of(subject, batch)
    next(alone)  # tokenizes, and keeps
    making = []
    for _ in range(LEAST_STEPS):
        started = time.perf_counter()
        next(alone)
        making.append(time.perf_counter() - started)
    ready_to_train(bench, FP32)
    step = bench.calls["train"]
    waited = 0.0
    stepped: list[float] = []
    with Ahead(steps_of(subject, batch), depth=batch.bucket + 2) as ahead:
        next(ahead)
        while len(stepped) < LEAST_STEPS or waited + sum(stepped) < LEAST_SECONDS:
            started = time.perf_counter()
            next(ahead)
            got = time.perf_counter()
            # Reading the loss waits for a GPU: it is to be as far as the host.
            float(step())  # pyrefly: ignore[bad-argument-type]
            waited += got - started
            stepped.append(time.perf_counter() - got)
    return statistics.median(making), statistics.median(stepped), waited / (waited + sum(stepped))


def measure_data_path(work: Work) -> None:
    """Padding and waiting of ours on one shape."""
    work.say("data path")
    with going_on(work.results, work.say, shape=work.shape.name, way=OURS.name, what="data path"):
        work.results.data.append(_measured(work.subject, *work.workers[OURS.name].ask(wait)))


def _measured(subject: Subject, making: float, step: float, share: float) -> DataPath:
    # A global batch of as many rows as a pass has rows is a random one: nothing in it can be sorted apart.
    num = min(GLOBAL_ROWS, len(subject.problems))
    micro = min(PADDING_ROWS, num)
    return DataPath(
        shape=subject.shape.name,
        padding={
            "random": padding(subject, rows=micro, micro=micro, bucket=1),
            "batch": padding(subject, rows=num, micro=micro, bucket=1),
            "bucket": padding(subject, rows=num, micro=micro, bucket=BUCKET),
        },
        padding_rows=micro,
        global_rows=num,
        bucket=BUCKET,
        rows=subject.training_rows,
        batch_seconds=making,
        step_seconds=step,
        wait_share=share,
    )
