"""What is measured on one shape: training, decoding, memory. The data path is in `data_path.py`.

The functions whose first argument is a `Bench` run in the process of a way; the others ask those processes, in turns.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from transformers import PreTrainedModel

from benchmarks import floors, measure
from benchmarks.results import Decoding, Launched, Memory, Peak, Results, ShapeFacts, Training
from benchmarks.shapes import Shape, Subject, build
from benchmarks.ways import BF16, FP32, PUBLISHED, PUBLISHED_WHERE, Precision, Way
from benchmarks.workers import Bench, Machine, Worker, ask_all, workers
from unspoken.batch import Batch, collate
from unspoken.generate import Written
from unspoken.methods import CoT, Method

PRECISIONS = (FP32, BF16)
SPLIT = ("prefill", "thought", "text")
COUNTED_ROWS = 2
"""Rows of the step whose operators are counted: the profiler keeps every one of the published splice's."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long to measure."""

    repeats: int
    """Rounds, in each of which every way has its turn."""
    training_seconds: float
    """Of one shape in one precision, beyond which no further round starts."""
    decoding_seconds: float
    growth_seconds: float
    """Of training, and once more of decoding."""


# -------------------------------------------------------------------------------------------- in the process of a way


def load(bench: Bench, shape: Shape) -> None:
    """Makes a shape's model and problems."""
    bench.forget()
    bench.subject = build(shape, bench.device)


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


def ready_to_train(bench: Bench, precision: Precision) -> None:
    """Prepares and warms a training step."""
    subject = _loaded(bench)
    subject.lm.train()
    batch = subject.training_batch(bench.way.method(subject.shape))
    call = bench.way.step(subject, batch, precision)
    bench.way.warm(bench.way.step(subject, _few(bench, 1), precision), call)
    bench.calls["train"] = call


def count(bench: Bench) -> measure.Launches:
    """Counts what a training step of a few rows launches."""
    subject = _loaded(bench)
    subject.lm.train()
    step = bench.way.step(subject, _few(bench, COUNTED_ROWS), FP32)
    bench.way.warm(step, step)
    return measure.launches(step, bench.device)


def peak(bench: Bench) -> int:
    """Peak memory of the first whole training step, after a small one."""
    subject = _loaded(bench)
    subject.lm.train()
    small = bench.way.step(subject, _few(bench, 1), FP32)
    small()
    subject.lm.zero_grad(set_to_none=True)
    batch = subject.training_batch(bench.way.method(subject.shape))
    return measure.peak_bytes(bench.way.step(subject, batch, FP32), bench.device)


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

    bench.way.warm(bench.way.writer(subject, prompts[:1], new_tokens=2), write)
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


def _few(bench: Bench, rows: int) -> Batch:
    subject = _loaded(bench)
    return collate(subject.layouts(bench.way.method(subject.shape), subject.problems[:rows]), pad_id=0)


# --------------------------------------------------------------------------------------------------- asking all of them


@dataclass(frozen=True, kw_only=True)
class Work:
    """One shape on this machine, and where its figures go."""

    subject: Subject
    """Without weights: what is known before anything runs."""
    workers: Mapping[str, Worker]
    results: Results
    machine: Machine
    budget: Budget
    say: Callable[[str], None]

    @property
    def shape(self) -> Shape:
        return self.subject.shape

    @property
    def size(self) -> floors.Size:
        return floors.size_of(self.subject.lm)

    def peaks(self, precision: Precision) -> floors.Peaks:
        """What this machine reached in this run."""
        found = [peak.flops_per_second for peak in self.results.peaks if peak.precision == precision.name]
        assert found and self.results.bytes_per_second is not None, "peaks come first"
        return floors.Peaks(flops_per_second=max(found), bytes_per_second=self.results.bytes_per_second)


def facts(work: Work) -> None:
    """A shape's sizes."""
    size, shape = work.size, work.shape
    work.results.shapes.append(
        ShapeFacts(
            name=shape.name,
            title=shape.title,
            layers=size.layers,
            width=size.width,
            vocabulary=size.vocabulary,
            parameters=size.parameters,
            block_parameters=size.block_parameters,
            problems=len(work.subject.problems),
            thoughts=work.subject.prompts(shape.coconut, work.subject.problems[:1])[0].num_thoughts,
        )
    )


def train(work: Work) -> None:
    """Steps of all ways in turns, in each precision, and what a step launches."""
    subject, everybody = work.subject, list(work.workers.values())
    for precision in PRECISIONS:
        work.say(f"training, {precision.name}")
        for worker in everybody:
            worker.ask(ready_to_train, precision)
        taken = measure.in_turns(
            {name: partial(worker.ask, turn, "train") for name, worker in work.workers.items()},
            repeats=work.budget.repeats,
            seconds_at_most=work.budget.training_seconds,
        )
        for name, worker in work.workers.items():
            method = worker.way.method(work.shape)
            layouts = subject.layouts(method, subject.problems[: subject.training_rows])
            batch = subject.training_batch(method)
            flops = floors.training_flops(work.size, layouts)
            work.results.training.append(
                Training(
                    shape=work.shape.name,
                    precision=precision.name,
                    way=name,
                    rows=len(batch),
                    tokens=sum(map(len, layouts)),
                    columns=batch.input_ids.numel(),
                    labels=batch.num_labels,
                    loss=worker.ask(loss_of, "train"),
                    seconds=taken[name],
                    flops=flops,
                    published_flops=floors.training_flops(work.size, layouts, every_position=True),
                    floor_seconds=flops / work.peaks(precision).flops_per_second,
                )
            )
    work.say("counting operators")
    for name, worker in work.workers.items():
        found = worker.ask(count)
        work.results.launched.append(
            Launched(
                shape=work.shape.name, way=name, rows=COUNTED_ROWS, operators=found.operators, kernels=found.kernels
            )
        )


@dataclass(frozen=True, kw_only=True)
class Text:
    """What is written after a prompt: as many tokens as the gold text has, on average."""

    name: str
    method: Method
    """Whose gold text."""
    singles: int
    """Problems that are decoded one by one."""


def texts(shape: Shape, way: Way, precision: Precision) -> list[Text]:
    """What a way writes: its own gold text; after thoughts also the whole chain, as early in the curriculum.

    The latter in bf16 only, since the published way takes a minute for one such problem at GPT-2's size.
    """
    own = Text(name="own", method=way.method(shape), singles=shape.singles)
    chain = Text(name="chain", method=CoT(), singles=1)
    return [own, chain] if own.method == shape.coconut and precision == BF16 else [own]


def decode(work: Work) -> None:
    """Decoding in turns, one problem at a time and many at once, in each precision."""
    # The splice alone tells (a') from (a), and one problem has no splice to speak of.
    asked = {name: worker for name, worker in work.workers.items() if name != PUBLISHED_WHERE.name}
    for precision in PRECISIONS:
        work.say(f"decoding, {precision.name}")
        turns: dict[tuple[str, Text, int], Callable[[], list[float]]] = {}
        for name, worker in asked.items():
            worker.ask(ready_to_write, precision)
            for text in texts(work.shape, worker.way, precision):
                for together in sorted({1, worker.way.together(work.shape.decoding_rows)}):
                    key = f"{text.name} {together}"
                    worker.ask(writing, key, text, together, work.subject.new_tokens(text.method))
                    turns[name, text, together] = partial(worker.ask, turn, key)
        taken = measure.in_turns(turns, repeats=work.budget.repeats, seconds_at_most=work.budget.decoding_seconds)
        for (name, text, together), seconds in taken.items():
            work.results.decoding.append(_decoded(work, work.workers[name], precision, text, together, seconds))


def _decoded(
    work: Work, worker: Worker, precision: Precision, text: Text, together: int, seconds: list[float]
) -> Decoding:
    subject, shape = work.subject, work.shape
    method = worker.way.method(shape)
    problems = subject.typical(text.singles) if together == 1 else subject.problems[:together]
    prompts = subject.prompts(method, problems)
    new_tokens = subject.new_tokens(text.method)
    key = f"{text.name} {together}"
    mine, same = worker.ask(written, key), None
    if together == 1 and method == shape.coconut and PUBLISHED.name in work.workers:
        theirs = work.workers[PUBLISHED.name].ask(written, key)
        same = statistics.mean(a.tokens == b.tokens for a, b in zip(mine, theirs, strict=True))
    parts = [sum(getattr(answer, f"{part}_seconds") for answer in mine) for part in SPLIT]
    return Decoding(
        shape=shape.name,
        precision=precision.name,
        way=worker.way.name,
        text=text.name,
        together=together,
        problems=len(problems),
        prompt_tokens=statistics.mean(map(len, prompts)),
        new_tokens=new_tokens,
        seconds=seconds,
        flops=sum(floors.decoding_flops(work.size, prompt, new_tokens) for prompt in prompts),
        published_flops=sum(floors.published_decoding_flops(work.size, prompt, new_tokens) for prompt in prompts),
        floor_seconds=sum(
            floors.decoding_seconds(
                work.size, group, new_tokens, peaks=work.peaks(precision), bytes_a_number=precision.dtype.itemsize
            )
            for group in ([[prompt] for prompt in prompts] if together == 1 else [prompts])
        ),
        same_as_published=same,
        split={part: seconds / sum(parts) for part, seconds in zip(SPLIT, parts, strict=True)} if any(parts) else None,
    )


def memory(work: Work) -> None:
    """Peak memory of one step of each way.

    On a CPU each in a new process, whose memory nothing else has grown; on a GPU the allocator keeps count.
    """
    work.say("memory")
    if work.machine.device == "cuda":
        _memory(work, work.workers)
        return
    with workers([worker.way for worker in work.workers.values()], work.machine) as fresh:
        ask_all(list(fresh.values()), load, work.shape)
        _memory(work, fresh)


def _memory(work: Work, fresh: Mapping[str, Worker]) -> None:
    gradients = 4 * work.size.parameters
    for name, worker in fresh.items():
        work.results.memory.append(
            Memory(
                shape=work.shape.name,
                precision=FP32.name,
                way=name,
                rows=work.subject.training_rows,
                num_bytes=worker.ask(peak),
                gradient_bytes=gradients,
            )
        )


def peaks(who: Mapping[str, Worker], results: Results) -> None:
    """What the machine reaches: the best of all processes, since ways choose their libraries."""
    for precision in PRECISIONS:
        found = max(worker.ask(flops_per_second, precision) for worker in who.values())
        results.peaks.append(Peak(precision=precision.name, flops_per_second=found))
    results.bytes_per_second = max(worker.ask(bytes_per_second) for worker in who.values())


def _in(lm: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    torch.nn.Module.to(lm, dtype=dtype)
    return lm
