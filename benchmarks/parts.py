"""What is measured on one shape: training, decoding, memory, by asking the processes of all ways in turns.

A way that fails at something is left out of it, and the run goes on. The data path is in `data_path.py`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from benchmarks import floors, measure, tasks
from benchmarks.results import Decoding, Failure, Launched, Memory, Peak, Results, ShapeFacts, Training
from benchmarks.shapes import Shape, Subject
from benchmarks.tasks import Text
from benchmarks.ways import BF16, FP32, GRAPHS, OURS, PUBLISHED, PUBLISHED_WHERE, Precision, Way
from benchmarks.workers import Failed, Machine, Worker, ask_all, workers
from unspoken.methods import CoT

PRECISIONS = (FP32, BF16)
SPLIT = ("prefill", "thought", "text")


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


@contextmanager
def going_on(results: Results, say: Callable[[str], None], *, shape: str, way: str, what: str) -> Iterator[None]:
    """What fails inside is written down, and the run goes on."""
    try:
        yield
    except Failed as failed:
        message = str(failed).strip().splitlines()[-1]
        results.failures.append(Failure(shape=shape, way=way, what=what, message=message))
        say(f"{way} failed at {what}: {message}")


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

    def able(self, who: Mapping[str, Worker], what: str, ready: Callable[[Worker], None]) -> dict[str, Worker]:
        """Those whom `ready` did not find failing."""
        found: dict[str, Worker] = {}
        for name, worker in who.items():
            with going_on(self.results, self.say, shape=self.shape.name, way=name, what=what):
                ready(worker)
                found[name] = worker
        return found

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
    subject = work.subject
    for precision in PRECISIONS:
        work.say(f"training, {precision.name}")
        ready = partial(_ready_to_train, precision=precision)
        able = work.able(work.workers, f"training in {precision.name}", ready)
        taken = measure.in_turns(
            {name: partial(worker.ask, tasks.turn, "train") for name, worker in able.items()},
            repeats=work.budget.repeats,
            seconds_at_most=work.budget.training_seconds,
        )
        for name, worker in able.items():
            method = worker.way.method(work.shape)
            layouts = subject.layouts(method, subject.problems[: subject.training_rows])
            batch = subject.batch(method, rows=subject.training_rows, columns=worker.way.columns)
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
                    loss=worker.ask(tasks.loss_of, "train"),
                    seconds=taken[name],
                    flops=flops,
                    published_flops=floors.training_flops(work.size, layouts, every_position=True),
                    floor_seconds=flops / work.peaks(precision).flops_per_second,
                )
            )
    work.say("counting operators")
    work.able(work.workers, "counting operators", partial(_count, work))


def _ready_to_train(worker: Worker, precision: Precision) -> None:
    worker.ask(tasks.ready_to_train, precision)


def _count(work: Work, worker: Worker) -> None:
    found = worker.ask(tasks.count)
    row = Launched(
        shape=work.shape.name,
        way=worker.way.name,
        rows=tasks.COUNTED_ROWS,
        operators=found.operators,
        kernels=found.kernels,
    )
    work.results.launched.append(row)


def texts(shape: Shape, way: Way, precision: Precision) -> list[Text]:
    """What a way writes: its own gold text; after thoughts also the whole chain, as early in the curriculum.

    The latter in bf16 only, since the published way takes a minute for one such problem at GPT-2's size.
    """
    own = Text(name="own", method=way.method(shape), singles=shape.singles)
    chain = Text(name="chain", method=CoT(), singles=1)
    return [own, chain] if way in (PUBLISHED, OURS, GRAPHS) and precision == BF16 else [own]


def decode(work: Work) -> None:
    """Decoding in turns, one problem at a time and many at once, in each precision."""
    # The splice alone tells (a') from (a), and one problem has no splice to speak of.
    asked = {name: worker for name, worker in work.workers.items() if name != PUBLISHED_WHERE.name}
    for precision in PRECISIONS:
        work.say(f"decoding, {precision.name}")
        turns: dict[tuple[str, Text, int], Callable[[], list[float]]] = {}
        work.able(asked, f"decoding in {precision.name}", partial(_ready_to_write, work, precision, turns))
        taken = measure.in_turns(turns, repeats=work.budget.repeats, seconds_at_most=work.budget.decoding_seconds)
        for (name, text, together), seconds in taken.items():
            work.results.decoding.append(_decoded(work, work.workers[name], precision, text, together, seconds))


def _ready_to_write(
    work: Work, precision: Precision, turns: dict[tuple[str, Text, int], Callable[[], list[float]]], worker: Worker
) -> None:
    worker.ask(tasks.ready_to_write, precision)
    for text in texts(work.shape, worker.way, precision):
        for together in sorted({1, worker.way.together(work.shape.decoding_rows)}):
            key = f"{text.name} {together}"
            worker.ask(tasks.writing, key, text, together, work.subject.new_tokens(text.method))
            turns[worker.way.name, text, together] = partial(worker.ask, tasks.turn, key)


def _decoded(
    work: Work, worker: Worker, precision: Precision, text: Text, together: int, seconds: list[float]
) -> Decoding:
    subject, shape = work.subject, work.shape
    method = worker.way.method(shape)
    problems = subject.typical(text.singles) if together == 1 else subject.problems[:together]
    prompts = subject.prompts(method, problems)
    new_tokens = subject.new_tokens(text.method)
    key = f"{text.name} {together}"
    theirs_too = PUBLISHED.name in work.workers and work.workers[PUBLISHED.name].ask(tasks.wrote, key)
    mine, same = worker.ask(tasks.written, key), None
    if together == 1 and method == shape.coconut and theirs_too:
        theirs = work.workers[PUBLISHED.name].ask(tasks.written, key)
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
    # Two models a way would not fit into every machine.
    ask_all(list(work.workers.values()), tasks.forget)
    with workers([worker.way for worker in work.workers.values()], work.machine) as fresh:
        ask_all(list(fresh.values()), tasks.load, work.shape)
        _memory(work, fresh)
    ask_all(list(work.workers.values()), tasks.load, work.shape)


def _memory(work: Work, fresh: Mapping[str, Worker]) -> None:
    def one(worker: Worker) -> None:
        row = Memory(
            shape=work.shape.name,
            precision=FP32.name,
            way=worker.way.name,
            rows=work.subject.training_rows,
            num_bytes=worker.ask(tasks.peak),
            gradient_bytes=4 * work.size.parameters,
        )
        work.results.memory.append(row)

    work.able(fresh, "memory", one)


def peaks(who: Mapping[str, Worker], results: Results) -> None:
    """What the machine reaches: the best of all processes, since ways choose their libraries."""
    for precision in PRECISIONS:
        found = max(worker.ask(tasks.flops_per_second, precision) for worker in who.values())
        results.peaks.append(Peak(precision=precision.name, flops_per_second=found))
    results.bytes_per_second = max(worker.ask(tasks.bytes_per_second) for worker in who.values())
