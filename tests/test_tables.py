"""Evaluation, records and summaries; the tables made of them are in tables/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tiny_runs import MODEL, tiny
from unspoken.build import build_model
from unspoken.curriculum import Curriculum
from unspoken.evaluate import evaluate, time_single
from unspoken.generate import Written
from unspoken.methods import Coconut, CoT, Method, NoCoT, PauseAsThought, ShuffledThoughts
from unspoken.model import LatentLM
from unspoken.records import (
    Record,
    Summary,
    read_records,
    read_summary,
    summarize,
    wilson,
    write_records,
)
from unspoken.runs import evaluate_run, load_run
from unspoken.tasks.hops import Hops
from unspoken.train import fit

TASK = Hops(nodes=5, hops=2, num_train=40, num_valid=6, num_test=21)


def record(index: int = 0, **changes: Any) -> Record:
    base = Record(
        index=index,
        prompt="a b ; ? a",
        output="b b",
        prediction="b",
        target="b",
        correct=True,
        num_tokens=4,
        num_thoughts=2,
        seconds=0.5,
    )
    return msgspec.structs.replace(base, **changes)


def summary(right: int = 3, num: int = 4, **changes: Any) -> Summary:
    base = summarize(
        [record(i, correct=i < right) for i in range(num)],
        split="test",
        rows=4,
        single=[0.1],
        forced_thoughts=None,
        hardware="Some CPU, with a comma",
        task={"type": "Hops", "nodes": 5},
        weights="best",
        commit=None,
    )
    return msgspec.structs.replace(base, **changes)


# ------------------------------------------------------------------------------------------------ records, summaries


@given(
    st.builds(
        Record,
        index=st.integers(0, 10**6),
        prompt=st.text(),
        output=st.text(),
        prediction=st.text(),
        target=st.text(),
        correct=st.booleans(),
        num_tokens=st.integers(0, 999),
        num_thoughts=st.integers(0, 99),
        seconds=st.floats(0, 1e3),
    )
)
def test_any_text_survives_in_records(tmp_path_factory: pytest.TempPathFactory, one: Record) -> None:
    """Guards outputs of untrained models: newlines, line separators and quotes inside a JSON line."""
    folder = tmp_path_factory.mktemp("records")
    write_records(folder, [one, record(1)], summary())
    assert read_records(folder) == [one, record(1)]


def test_a_summary_comes_back_equal_and_refuses_what_it_is_not(tmp_path: Path) -> None:
    """Guards tables against half-written or missing evaluations: file and field are named."""
    found = summary(forced_thoughts=3, seconds_single=None)
    write_records(tmp_path / "eval", [record()], found)
    assert read_summary(tmp_path / "eval") == found
    path = tmp_path / "eval" / "summary.json"
    for content, words in ((b'{"num": 3', "summary.json"), (path.read_bytes().replace(b"4", b'"x"', 1), r"\$\.\w+")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=words):
            read_summary(tmp_path / "eval")
    with pytest.raises(ValueError, match=r"nowhere/summary\.json: cannot be read: .*evaluate the run first"):
        read_summary(tmp_path / "nowhere")


def test_a_summary_counts_what_the_records_say() -> None:
    """Guards the figures of every table: thoughts and tokens apart, the median at batch 1, the mean in batches, whole
    and by parts, which older records do not have."""
    split = {"prefill_seconds": 0.25, "thought_seconds": 0.15, "text_seconds": 0.1}
    records = [
        record(0, num_tokens=4, num_thoughts=2, seconds=0.5, **split),
        record(1, num_tokens=6, num_thoughts=2, seconds=0.1, correct=False, **dict.fromkeys(split, 0.05)),
    ]
    found, older = (
        summarize(
            some,
            split="valid",
            rows=2,
            single=[9.0, 1.0, 2.0],
            forced_thoughts=2,
            hardware="x",
            task={},
            weights="best",
            commit=None,
        )
        for some in (records, [*records, record(2)])
    )
    assert (found.num, found.num_correct, found.accuracy) == (2, 1, 0.5)
    assert (found.tokens, found.thoughts) == (5, 2)
    assert found.seconds_batched == pytest.approx(0.3)
    parts = [[each.prefill_seconds, each.thought_seconds, each.text_seconds] for each in (found, older)]
    assert parts == [pytest.approx([0.15, 0.1, 0.075]), [None] * 3]
    assert found.seconds_single == 2.0
    with pytest.raises(ValueError, match="is the split empty"):
        summarize(
            [], split="test", rows=1, single=[], forced_thoughts=None, hardware="", task={}, weights="best", commit=None
        )


@pytest.mark.parametrize(
    ("right", "num", "low", "high"),
    [
        (8, 10, 0.490162, 0.943318),
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
        (485, 500, 0.951096, 0.981737),
    ],
)
def test_the_interval_is_wilsons(right: int, num: int, low: float, high: float) -> None:
    """Guards against the normal approximation, which gives no width at 0 or 100 %."""
    z = 1.959963984540054
    share = right / num
    centre = (share + z * z / (2 * num)) / (1 + z * z / num)
    half = z / (1 + z * z / num) * (share * (1 - share) / num + z * z / (4 * num * num)) ** 0.5
    assert (centre - half, centre + half) == pytest.approx((low, high), abs=1e-6)
    assert wilson(right, num) == pytest.approx((low, high), abs=1e-6)


# -------------------------------------------------------------------------------------------------------- evaluation


@pytest.fixture(scope="module")
def model() -> LatentLM:
    """Untrained, with a spread of weights that gives many different outputs."""
    return build_model(replace(MODEL, init_std=0.6), TASK, seed=3)


def outputs(records: Sequence[Record]) -> list[tuple[Any, ...]]:
    return [(r.index, r.prompt, r.output, r.prediction, r.target, r.correct, r.num_tokens) for r in records]


@pytest.mark.parametrize("method", [CoT(), NoCoT(), Coconut(max_stage=2), PauseAsThought(max_stage=2)])
@pytest.mark.parametrize("rows", [1, 4, 21, 500])
def test_batches_equal_one_by_one(method: Method, rows: int, model: LatentLM) -> None:
    """Guards accuracy against the batch size: padding, order and finished rows must not change an output."""
    # Questions of three lengths by turns, since batches are made of neighbours in length.
    lists = [replace(TASK, nodes=nodes).examples("test")[:7] for nodes in (5, 3, 4)]
    examples = [example for some in zip(*lists, strict=True) for example in some]
    together = evaluate(model, TASK, method, examples, rows=rows)
    alone = [evaluate(model, TASK, method, [example])[0] for example in examples]
    alone = [msgspec.structs.replace(record, index=i) for i, record in enumerate(alone)]
    assert outputs(together) == outputs(alone)
    assert len({record.output for record in together}) > 5, "equal outputs would hide a mix-up of rows"


def test_records_tell_what_was_asked_and_answered(model: LatentLM) -> None:
    """Guards the record of each example: its own question without markers, counts, target, and the verdict."""
    examples = TASK.examples("test")
    for record_, example in zip(evaluate(model, TASK, Coconut(max_stage=2), examples), examples, strict=True):
        assert record_.prompt == example.question
        assert record_.target == example.answer
        assert record_.num_thoughts == 2
        # A marker the model writes is a token, but no part of the text.
        assert len(record_.output.split()) <= record_.num_tokens <= TASK.max_new_tokens
        assert record_.prediction == TASK.extract(record_.output)
        assert record_.correct == (record_.prediction == example.answer)
        assert record_.seconds > 0


@pytest.mark.parametrize("method", [Coconut(max_stage=2), CoT(), NoCoT()])
def test_records_tell_what_the_time_went_into(method: Method, model: LatentLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the split of each row's seconds: parts that change places, are left out, or do not add up; and thoughts
    that cost something where there are none."""
    written: list[Written] = []
    write = LatentLM.write

    def watched(*arguments: Any, **settings: Any) -> list[Written]:
        written.extend(write(*arguments, **settings))
        return written

    monkeypatch.setattr(LatentLM, "write", watched)
    found = evaluate(model, TASK, method, TASK.examples("test")[:6], rows=4)
    assert len({record.prefill_seconds for record in found}) > 1, "equal times would hide a mix-up of rows"
    for record_, row in zip(found, written, strict=True):
        parts = [record_.prefill_seconds, record_.thought_seconds, record_.text_seconds]
        assert parts == [row.prefill_seconds, row.thought_seconds, row.text_seconds]
        assert record_.seconds == pytest.approx(sum(part for part in parts if part is not None))
        assert [part is not None and part > 0 for part in parts] == [True, record_.num_thoughts > 0, True]


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_stage_is_evaluated_as_it_is_trained(stage: int, model: LatentLM) -> None:
    """Guards validation in early stages: as many thoughts as that stage has, not as many as the last."""
    records = evaluate(model, TASK, Coconut(max_stage=2), TASK.examples("test")[:3], stage=stage)
    assert {record.num_thoughts for record in records} == {min(stage, 2)}


def test_chunks_are_even(model: LatentLM) -> None:
    """Guards methods that mix rows: ten rows by eight must be five and five, never eight and two."""
    seen: list[int] = []
    method = ShuffledThoughts(max_stage=2)
    evaluate(model, TASK, method, TASK.examples("test")[:10], rows=8, on_finished=seen.append)
    assert sum(seen) == 10
    with pytest.raises(ValueError, match="at least 5 rows in a batch, got 4"):
        evaluate(model, TASK, method, TASK.examples("test")[:9], rows=8, thoughts=4)


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_every_finished_row_is_told_once(rows: int, model: LatentLM) -> None:
    """Guards progress bars: refilled rows finish at any time."""
    seen: list[int] = []
    evaluate(model, TASK, NoCoT(), TASK.examples("test")[:8], rows=rows, on_finished=seen.append)
    assert sum(seen) == 8
    assert min(seen) > 0


def test_nothing_to_evaluate_is_no_error(model: LatentLM) -> None:
    """Guards the second of two processes when there is one example."""
    assert evaluate(model, TASK, NoCoT(), []) == []


def test_shuffled_thoughts_are_evaluated_among_enough_rows(model: LatentLM) -> None:
    """Guards the control: its outputs depend on the rows beside, and too few rows are refused."""
    method, examples = ShuffledThoughts(max_stage=2), TASK.examples("test")
    with pytest.raises(ValueError, match="ShuffledThoughts needs at least 3 rows in a batch, got 2"):
        evaluate(model, TASK, method, examples[:2])
    with pytest.raises(ValueError, match="at least 3 rows"):
        evaluate(model, TASK, method, examples, rows=2)
    shuffled = evaluate(model, TASK, method, examples, rows=7)
    own = evaluate(model, TASK, Coconut(max_stage=2), examples, rows=7)
    assert [record.prompt for record in shuffled] == [record.prompt for record in own]
    assert {record.num_thoughts for record in shuffled} == {2}
    assert [record.output for record in shuffled] != [record.output for record in own]
    assert time_single(model, TASK, method, examples) == []


def test_single_problems_are_timed_but_for_the_first(model: LatentLM) -> None:
    """Guards the column at batch 1: the first call pays for loading kernels."""
    seconds = time_single(model, TASK, NoCoT(), TASK.examples("test")[:4])
    assert len(seconds) == 3
    assert min(seconds) > 0


def test_evaluating_a_run_takes_best_then_final_and_writes_both_files(tmp_path: Path) -> None:
    """Guards which weights a table is about: the best, the final ones when asked for or where there is no best."""
    config = tiny(task=TASK, method=NoCoT(), curriculum=Curriculum(stage_epochs=(2,)))
    run = tmp_path / "run"
    fit(config, run)
    build_model(config.model, config.task, seed=99).save_pretrained(run / "best")
    (best, named), (final, _) = load_run(run), load_run(run, weights="final")
    assert named == "best"
    assert any(not torch.equal(a, b) for a, b in zip(best.parameters(), final.parameters(), strict=True))
    found = evaluate_run(run, config, run / "eval" / "test", rows=5, single=3)
    assert read_summary(run / "eval" / "test") == found
    assert outputs(read_records(run / "eval" / "test")) == outputs(
        evaluate(best, TASK, config.method, TASK.examples("test"))
    )
    assert (found.num, found.rows, found.split, found.thoughts) == (21, 5, "test", 0)
    evaluate_run(run, config, run / "eval" / "last", weights="final", num=4, single=0)
    assert outputs(read_records(run / "eval" / "last")) == outputs(
        evaluate(final, TASK, config.method, TASK.examples("test")[:4])
    )
    with pytest.raises(ValueError, match=r"no trained model in final/.*--resume"):
        load_run(tmp_path, weights="final")
