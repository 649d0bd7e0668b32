"""fit(): a training that goes wrong stops, says where, and loses nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from tiny_runs import digest, tiny
from unspoken import checkup
from unspoken.build import build_model
from unspoken.checkpoint import checkpoints
from unspoken.config import AdamW, BatchSize, RunConfig
from unspoken.data import TrainingData
from unspoken.methods import Coconut, ShuffledThoughts
from unspoken.train import fit

WRECKED: dict[str, tuple[RunConfig, str]] = {
    "no number": (
        tiny(optimizer=AdamW(lr=1e30), log_every=4),
        r"the (loss|gradient's norm) is (nan|inf) at step 2;",
    ),
    "diverging": (
        tiny(optimizer=AdamW(lr=10.0), log_every=4, max_loss=5.0, checkpoint_every=1),
        r"the loss has diverged to .* at step \d;",
    ),
}


@pytest.mark.parametrize("name", WRECKED)
def test_a_training_that_goes_wrong_stops_and_says_where(name: str, tmp_path: Path) -> None:
    """Guards a night of training on NaN: the step itself is named though the loss is read every fourth, with its
    examples, and no checkpoint is written from there on."""
    config, words = WRECKED[name]
    run = tmp_path / "run"
    with pytest.raises(ValueError, match=words) as refused:
        fit(config, run)
    (last,) = checkpoints(run / "checkpoints")[-1:]
    stopped = json.loads((run / "stopped.json").read_text())
    step = stopped["step"]
    assert int(last.name.removeprefix("step-")) < step <= 4
    message = str(refused.value)
    assert f"nothing was saved after it, the last checkpoint is {last.name}" in message
    assert f"training examples {', '.join(map(str, stopped['examples']))};" in message
    assert not (run / "final").exists()
    # The examples are those of that very step.
    assert (stopped["epoch"], stopped["batch"]) == divmod(step - 1, 5)
    model = build_model(config.model, config.task, seed=config.seed)
    assert model.tokenizer is not None
    data = TrainingData(config, config.task.examples("train"), model.tokenizer, model.marks, positions=None)
    rows = list(data.epoch(stopped["epoch"]))[stopped["batch"]]
    assert data.layouts(stopped["epoch"], stopped["examples"]) == rows
    # It would go wrong again, in the same way.
    with pytest.raises(ValueError, match=words):
        fit(config, run, resume=True)


def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path) -> None:
    """Guards the last checkpoint: a step whose loss was a number can leave weights that are none."""
    with pytest.raises(ValueError, match="the weights are no longer numbers at step 1"):
        fit(tiny(optimizer=AdamW(lr=1e38), checkpoint_every=1), tmp_path / "run")
    assert [path.name for path in checkpoints(tmp_path / "run" / "checkpoints")] == ["step-00000000"]


def test_a_hundred_examples_are_not_all_in_the_message(tmp_path: Path) -> None:
    """Guards the one line a refusal is; the file has them all."""
    config = tiny(optimizer=AdamW(lr=1e30), batch=BatchSize(rows=20))
    with pytest.raises(
        ValueError, match=r"at step 2.* training examples (\d+, ){7}\d+ and 12 more, all in .*run/stopped"
    ):
        fit(config, tmp_path / "run")
    assert len(json.loads((tmp_path / "run" / "stopped.json").read_text())["examples"]) == 20


def test_metrics_are_json_even_when_the_loss_is_no_number(tmp_path: Path) -> None:
    """Guards figures and tables of a run that went wrong: they are needed most then."""
    with pytest.raises(ValueError, match="at step"):
        fit(tiny(optimizer=AdamW(lr=1e30)), tmp_path / "run")
    for line in (tmp_path / "run" / "metrics.jsonl").read_bytes().splitlines():
        msgspec.json.decode(line)


def _raising(error: Exception) -> Any:
    def loss(self: Coconut, model: Any, batch: Any) -> torch.Tensor:
        raise error

    return loss


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ..."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to ..."
        ),
        MemoryError(),
    ],
)
def test_out_of_memory_names_the_batch_and_proposes_accumulation(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against a traceback of a thousand lines, and against starting all over: the run goes on, cut otherwise."""
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Coconut, "loss", _raising(error))
        message = (
            r"out of memory at step 1, with a forward pass of 8 rows x \d+ tokens; .*--resume .*run --batch.micro 4; "
        )
        with pytest.raises(ValueError, match=message + "the last checkpoint is step-00000000"):
            fit(tiny(), run)
    less = tiny(batch=BatchSize(rows=8, micro=4))
    fit(less, run, resume=True)
    fit(less, tmp_path / "less")
    assert digest(run / "final") == digest(tmp_path / "less" / "final")


def test_out_of_memory_where_a_batch_cannot_be_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards an advice that would be refused: micro-batches of no row, or of fewer than the method needs."""
    monkeypatch.setattr(Coconut, "loss", _raising(MemoryError()))
    with pytest.raises(ValueError, match=r"1 rows x .* use a smaller model"):
        fit(tiny(batch=BatchSize(rows=8, micro=1)), tmp_path / "run")
    monkeypatch.setattr(ShuffledThoughts, "loss", _raising(MemoryError()))
    with pytest.raises(ValueError, match=r"4 rows x .* use a smaller model"):
        fit(tiny(method=ShuffledThoughts(max_stage=2), batch=BatchSize(rows=8, micro=4)), tmp_path / "shuffled")


def test_out_of_memory_in_a_validation_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the advice: smaller micro-batches would not help there."""

    def fails(*arguments: Any, **settings: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(checkup, "evaluate", fails)
    with pytest.raises(ValueError, match=r"out of memory after step 5, in a validation .*--batch.evaluation 64"):
        fit(tiny(), tmp_path / "run")


def test_other_errors_stay_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a bug told as a lack of memory, or swallowed."""
    monkeypatch.setattr(Coconut, "loss", _raising(RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        fit(tiny(), tmp_path / "run")
