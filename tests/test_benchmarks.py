"""The yardsticks are the same function as ours, and what is said of a run is what was measured."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from benchmarks import (
    command,
    floors,
    growth,
    measure,
    parts,
    published,
    results,
    run,
    shapes,
    targets,
    tasks,
    ways,
    workers,
)
from torch.utils.flop_counter import FlopCounterMode

from tiny import PAD, assert_close, assert_same_gradients, build, gradients, prompt_arguments, row, rows
from unspoken.batch import collate
from unspoken.layout import Layout
from unspoken.methods import Coconut
from unspoken.model import LatentLM
from unspoken.specs import Words
from unspoken.tasks.hops import Hops

CPU = torch.device("cpu")
ALIGNED = ("qqqTTTqaa", "qqqqqTTTqaaaa", "qTqaaa", "qqTTqa", "qqqqaa")
"""Different questions, texts and thought counts (none, too)."""

each_splice = pytest.mark.parametrize("splice", [published.through_lists, published.in_one_where])
each_family = pytest.mark.parametrize("family", ["gpt2", "llama"])

MICRO = shapes.Shape(
    name="micro",
    title="micro",
    config=partial(shapes.gpt2, layers=1, width=32, heads=2),
    task=Hops(nodes=5, hops=2, num_train=1, num_valid=6, num_test=6),
    coconut=Coconut(max_stage=2),
    tokenizer=Words(),
    training_rows=3,
    decoding_rows=4,
)


@each_splice
@each_family
def test_published_way_gives_our_loss_and_gradients(family: str, splice: published.Splice) -> None:
    """Guards every ratio: two ways that compute different things cannot be compared."""
    model = LatentLM(build(family, dtype=torch.float32))
    batch = collate(rows(*ALIGNED), pad_id=PAD)
    theirs = published.Published(lm=model.lm, splice=splice).loss(**batch.tensors())
    ours = model(**batch.tensors()).loss
    assert_close(theirs, ours, within=1e-4)
    assert_same_gradients(gradients(model, theirs), gradients(model, ours), within=1e-4)


@each_splice
@each_family
@pytest.mark.parametrize("picture", ["qqqTTTq", "qqqqq", "qTTTT", "qqqqqqTqq"])
def test_published_way_writes_our_tokens(family: str, splice: published.Splice, picture: str) -> None:
    """Guards the decoding ratios; a stop token ends both."""
    model = LatentLM(build(family, dtype=torch.float32)).eval()
    prompt = row(picture, seed=3)
    arguments = prompt_arguments(collate([prompt], pad_id=PAD))
    way = published.Published(lm=model.lm, splice=splice)
    ours = model.generate(**arguments, max_new_tokens=7, eos_token_id=[]).tolist()[0]
    assert way.write(prompt, max_new_tokens=7) == ours
    stopped = model.generate(**arguments, max_new_tokens=7, eos_token_id=[ours[2]]).tolist()[0]
    assert way.write(prompt, max_new_tokens=7, stop=[ours[2]]) == stopped


@pytest.mark.parametrize("pictures", [("qqTqTa",), ("qTTa", "qTqTa")])
def test_published_way_refuses_what_it_would_get_wrong(pictures: tuple[str, ...]) -> None:
    """Guards against a wrong baseline: between thoughts apart the published passes read a stale hidden state."""
    batch = collate(rows(*pictures), pad_id=PAD)
    with pytest.raises(ValueError, match="one column"):
        published.Published(lm=build("gpt2", dtype=torch.float32)).loss(**batch.tensors())


def test_floor_counts_the_operations_of_a_forward_pass() -> None:
    """Guards "fraction of the floor": PyTorch's own counter, which takes attention over all keys, says the same."""
    lm = build("gpt2", "eager", n_embd=256, n_head=8, dtype=torch.float32)
    num_tokens = 40
    with FlopCounterMode(display=False) as counter:
        lm(input_ids=torch.zeros(1, num_tokens, dtype=torch.long), use_cache=False)
    expected = floors.forward_flops(floors.size_of(lm), positions=num_tokens, keys=num_tokens**2, unembedded=num_tokens)
    # Biases and norms are among P but are no matrix products.
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.01)


def test_decoding_floor_by_hand() -> None:
    """Guards the passes of the floor: prefill, each thought, the rest of the prompt, each token but the last."""
    size = floors.Size(
        parameters=0, block_parameters=10, layers=1, width=1, attention_width=0, key_value_width=1, vocabulary=7
    )
    arithmetic = floors.Peaks(flops_per_second=1.0, bytes_per_second=1e30)
    prompt = row("qqqTTq")
    seconds = floors.decoding_seconds(size, [prompt, row("qqqqq")], 3, peaks=arithmetic, bytes_a_number=2)
    assert seconds == 2 * 10 * (6 + 5 + 2 * 2) + 2 * 7 * 3 * 2
    assert floors.decoding_flops(size, prompt, 3) == 2 * 10 * 8 + 2 * 7 * 3
    reading = floors.Peaks(flops_per_second=1e30, bytes_per_second=1.0)
    # Five passes read the weights, three the unembedding, and each the keys and values of all positions so far.
    keys_and_values = 2 * (3 + 4 + 6 + 7 + 8)
    seconds = floors.decoding_seconds(size, [prompt], 3, peaks=reading, bytes_a_number=2)
    assert seconds == 2 * (5 * 10 + 3 * 7 + keys_and_values)


def test_law_is_found_again() -> None:
    """Guards the fitted lines: known coefficients come back, and none goes below zero."""
    values = [1, 2, 4, 8, 16]
    law = growth.fit(values, [3 + 0.5 * v for v in values], (0, 1))
    assert law.coefficients == pytest.approx([3, 0.5])
    assert law.r_squared == pytest.approx(1)
    falling = growth.fit(values, [3 - 0.1 * v for v in values], (0, 1))
    assert min(falling.coefficients) >= 0
    assert falling.r_squared < 0.5


def test_ways_take_turns_until_the_budget_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards interleaving, and the least of two rounds."""
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(measure.time, "perf_counter", lambda: float(next(clock)))
    order: list[str] = []

    def take(name: str) -> list[float]:
        order.append(name)
        return [float(len(order))]

    turns = {name: partial(take, name) for name in "abc"}
    assert measure.in_turns(turns, repeats=3) == {"a": [1, 4, 7], "b": [2, 5, 8], "c": [3, 6, 9]}
    assert order == list("abc" * 3)
    assert len(measure.in_turns(turns, repeats=9, seconds_at_most=1)["a"]) == 2


def test_peak_memory_of_a_call() -> None:
    """Guards memory figures: what a call holds at its highest, not what is left, nor what came before it."""
    large = torch.ones(60_000_000)
    del large
    found = measure.peak_bytes(lambda: torch.ones(30_000_000) + 1, CPU)
    assert 230e6 < found < 300e6


def test_operators_are_counted() -> None:
    """Guards the operator counts: each call of an operator counts, whatever it works on."""
    a = torch.ones(3, 3)
    measure.launches(lambda: a + a, CPU)
    assert measure.launches(lambda: a + a + a, CPU) == measure.Launches(operators=2, kernels=None)


def test_a_process_does_what_it_is_asked() -> None:
    """Guards the tasks of a way's process, without the process."""
    bench = workers.Bench(way=ways.OURS, device=CPU)
    tasks.load(bench, MICRO)
    assert bench.subject is not None
    assert tasks.peak(bench) >= 0
    assert tasks.count(bench).operators > 100
    tasks.ready_to_write(bench, ways.BF16)
    assert bench.writing is not None
    assert bench.writing.lm.dtype == torch.bfloat16
    assert bench.subject.lm.dtype == torch.float32
    text = tasks.Text(name="own", method=MICRO.coconut, singles=1)
    tasks.writing(bench, "own 4", text, 4, 3)
    assert tasks.turn(bench, "own 4")
    assert [len(answer.tokens) for answer in tasks.written(bench, "own 4")] == [3] * 4


def test_a_whole_run_and_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards the harness end to end: two processes in turns, same loss, same tokens; taken up again it does nothing."""
    out = tmp_path / "runs" / "micro"
    lines: list[str] = []
    small = growth.Point(question=9, rows=2, vocabulary=99)
    again = partial(
        run.run,
        [MICRO],
        out,
        which=("train", "decode", "data", "growth"),
        budget=parts.Budget(repeats=2, training_seconds=1, decoding_seconds=1, growth_seconds=1),
        machine=workers.Machine(device="cpu", threads=1),
        ways=(ways.PUBLISHED, ways.OURS),
        sweeps=[growth.Sweep(quantity="thoughts", values=(0, 2), powers=(0, 1), held=small)],
        say=lines.append,
    )
    measured = again()
    assert results.Results.read(out) == measured
    losses = {(step.precision, step.way): step.loss for step in measured.training}
    assert losses[ways.FP32.name, ways.PUBLISHED.name] == pytest.approx(
        losses[ways.FP32.name, ways.OURS.name], abs=1e-4
    )
    assert {(step.rows, len(step.seconds) >= 2) for step in measured.training} == {(3, True)}
    singles = [row for row in measured.decoding if row.together == 1]
    assert [row.same_as_published for row in singles if row.precision == ways.FP32.name] == [1.0, 1.0]
    assert {row.together for row in measured.decoding if row.way == ways.OURS.name} == {1, 4}
    assert [len(grown.runs) for grown in measured.growth] == [2, 2, 2]
    with pytest.raises(ValueError, match="--resume"):
        again()
    lines.clear()
    assert again(resume=True) == measured
    assert len(lines) == 1
    command.main(["page", str(out)])
    assert str(tmp_path / "micro.md") in capsys.readouterr().out
    page = (tmp_path / "micro.md").read_text()
    assert "runs/micro/figures/growth-training.png" in page
    for name in ("training", "decoding", "growth-training", "growth-decoding"):
        assert (out / "figures" / f"{name}.png").stat().st_size > 5_000
        assert len((out / "figures" / f"{name}.csv").read_text().splitlines()) > 1


def made_up(device: str) -> results.Results:
    """A run with round figures."""
    base = {"shape": "tiny", "loss": 1.0, "rows": 4, "tokens": 100, "columns": 120, "labels": 9}
    step = partial(results.Training, **base, flops=1.0, published_flops=1.5, floor_seconds=0.05)
    decoding = partial(
        results.Decoding,
        shape="tiny",
        precision="bf16",
        text="own",
        prompt_tokens=9.0,
        new_tokens=3,
        flops=1.0,
        published_flops=8.0,
        floor_seconds=0.01,
        same_as_published=None,
        split=None,
    )
    memory = partial(results.Memory, shape="tiny", precision="fp32", rows=4, gradient_bytes=5)
    return results.Results(
        date="2026-01-02",
        machine="an abacus",
        environment={"python": "3", "packages": {"torch": "9"}, "commit": "abc", "command": "x"},
        setting=results.Setting(device=device, threads=1, repeats=1, shapes=["tiny"], parts=["train"], ways=[]),
        bytes_per_second=1.0,
        shapes=[
            results.ShapeFacts(
                name="tiny",
                title=shapes.TINY.title,
                layers=1,
                width=1,
                vocabulary=1,
                parameters=1,
                block_parameters=1,
                problems=1,
                thoughts=6,
            )
        ],
        training=[
            step(way="published", precision="fp32", seconds=[9.0, 10.0, 11.0]),
            step(way="ours", precision="fp32", seconds=[0.4]),
            step(way="stock", precision="fp32", seconds=[0.1]),
            step(way="published", precision="bf16", seconds=[4.0]),
            step(way="ours", precision="bf16", seconds=[0.08]),
        ],
        decoding=[
            decoding(way="published", together=1, problems=2, seconds=[2.0]),
            decoding(way="ours", together=64, problems=64, seconds=[4.0]),
            decoding(way="ours", together=1, problems=2, seconds=[1.0]),
        ],
        memory=[memory(way="published", num_bytes=2**30), memory(way="ours", num_bytes=2**28)],
        data=[
            results.DataPath(
                shape="tiny",
                padding={"random": 0.3, "batch": 0.2, "bucket": 0.05},
                padding_rows=32,
                global_rows=128,
                bucket=6,
                rows=4,
                batch_seconds=0.1,
                step_seconds=1.0,
                wait_share=0.03,
            )
        ],
    )


def test_a_way_that_fails_is_written_down(tmp_path: Path) -> None:
    """Guards an unattended run on new hardware against ending with the first way that does not work there."""
    said: list[str] = []
    made = made_up("cpu")
    with parts.going_on(made, said.append, shape="tiny", way="ours", what="training in bf16"):
        raise workers.Failed("Traceback\n  somewhere\nRuntimeError: no such kernel")
    with pytest.raises(ZeroDivisionError), parts.going_on(made, said.append, shape="tiny", way="ours", what="x"):
        raise ZeroDivisionError
    assert said == ["ours failed at training in bf16: RuntimeError: no such kernel"]
    made.write(tmp_path)
    command.main(["page", str(tmp_path)])
    page = (tmp_path / f"{tmp_path.name}.md").read_text()
    assert "| tiny | (b) ours | training in bf16 | `RuntimeError: no such kernel` |" in page


def test_page_tells_ratios_and_verdicts(tmp_path: Path) -> None:
    """Guards the page against figures that are not in results.json, upside-down ratios and wrong verdicts."""
    made_up("cpu").write(tmp_path)
    command.main(["page", str(tmp_path)])
    lines = (tmp_path / f"{tmp_path.name}.md").read_text().splitlines()
    targets = [line for line in lines if line.startswith("| tiny: ")]
    assert targets == [
        "| tiny: training, ours faster than (a) | 25 | 50 | 125 | 1.5 | at least 20 | met in fp32 |",
        "| tiny: Coconut step (ours) over CoT step (stock), same problems | 4.00 |  |  |  | at most 1.5 "
        "| **not met** in fp32 |",
        "| tiny: peak memory of a step, ours over (a) | 0.250 |  |  |  | at most 0.5 | met in fp32 |",
        "| tiny: decoding 3 tokens, ours 64 at once, (a) one by one |  | 16 |  | 8.0 | at least 20 "
        "| **not met** in bf16 |",
        "| tiny: decoding 3 tokens, ours and (a) one by one |  | 2.00 |  | 8.0 | at least 4 | **not met** in bf16 |",
        "| tiny: waiting for the next batch, share of the loop's time | 0.030 |  |  |  | at most 0.02 "
        "| **not met** in fp32 |",
        "| tiny: padding in passes of 32 rows, length buckets | 0.050 |  |  |  | at most 0.1 | met in fp32 |",
    ]
    text = "\n".join(lines)
    assert "an abacus" in text
    assert "torch 9" in text
    assert "tokens/s" not in text


def test_absolute_times_are_told_on_a_gpu_only(tmp_path: Path) -> None:
    """Guards the promise that a CPU page targets.claims ratios alone, and the GPU's own targets."""
    made = made_up("cuda")
    made.write(tmp_path)
    command.main(["page", str(tmp_path)])
    assert "tokens/s" in (tmp_path / f"{tmp_path.name}.md").read_text()
    found = {claim.what: claim for claim in targets.claims(made)}
    assert found["tiny: training, ours faster than (a)"].limit == 10
    floor = found["tiny: step of ours over its arithmetic floor, 4 rows"]
    assert floor.values == pytest.approx({("fp32", "fp32"): 8.0, ("bf16", "bf16"): 1.6})
    assert floor.met


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shapes", "huge"], "huge"),
        (["--parts", "lunch"], "lunch"),
        (["--repeats", "0"], "at least 1"),
        (["--nonsense"], "--nonsense"),
        (["page", "nowhere"], "nowhere/results.json: no such file"),
        pytest.param(
            ["--device", "cuda"],
            "no CUDA device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)
def test_bad_arguments_get_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Guards against tracebacks, and against a run that starts with a wrong flag."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as refused:
        command.main(arguments)
    assert refused.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_malformed_results_name_file_and_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards a page against being made from half a file."""
    (tmp_path / "results.json").write_text('{"format": 1, "date": "x", "machine": 3}')
    with pytest.raises(SystemExit):
        command.main(["page", str(tmp_path)])
    assert "$.machine" in capsys.readouterr().err


def test_layouts_of_a_subject_are_its_methods() -> None:
    """Guards what Coconut is measured on: its last stage, all thoughts there and nothing to write but the answer."""
    subject = shapes.build(MICRO, torch.device("meta"))
    problems = subject.problems[:3]
    thinking: list[Layout] = subject.layouts(MICRO.coconut, problems)
    assert [layout.num_thoughts for layout in thinking] == [2, 2, 2]
    for layout, tokens in zip(thinking, problems, strict=True):
        assert [label for label in layout.labels if label >= 0] == list(tokens.answer)
    assert subject.new_tokens(MICRO.coconut) == 2


@pytest.mark.parametrize("run", sorted((Path(__file__).parents[1] / "benchmarks" / "runs").iterdir()), ids=str)
def test_committed_pages_are_of_the_committed_runs(run: Path, tmp_path: Path) -> None:
    """Guards figures on pages: what a page says is in its results.json, and nowhere else."""
    shutil.copytree(run, tmp_path / "runs" / run.name)
    command.main(["page", str(tmp_path / "runs" / run.name)])
    made = (tmp_path / f"{run.name}.md").read_text()
    assert made == (run.parent.parent / f"{run.name}.md").read_text()
