"""Validation in the middle of training: when it comes, what it measures, and what it decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiny_runs import STEPS_PER_EPOCH, digest, metrics, tiny, tree
from unspoken import checkup
from unspoken.config import AdamW, Validation
from unspoken.curriculum import Curriculum
from unspoken.evaluate import evaluate
from unspoken.methods import Coconut, NoCoT
from unspoken.model import LatentLM
from unspoken.records import Record
from unspoken.tasks.hops import Hops
from unspoken.train import fit

ONE_STAGE = Curriculum(stage_epochs=(4,))


@pytest.mark.parametrize(("every", "epochs"), [(1, [0, 1, 2, 3, 4]), (2, [1, 2, 3, 4]), (9, [2, 4])])
def test_validation_comes_when_asked_and_at_the_end_of_stages(every: int, epochs: list[int], tmp_path: Path) -> None:
    """Guards accuracy by stage: without the last epoch of a stage there is nothing to say about it."""
    config = tiny(
        method=Coconut(max_stage=0),
        curriculum=Curriculum(stage_epochs=(3, 2)),
        validation=Validation(every_epochs=every, examples=2),
    )
    fit(config, tmp_path / "run")
    lines = metrics(tmp_path / "run", "validation")
    assert [line["epoch"] for line in lines] == epochs
    assert [line["stage"] for line in lines] == [int(epoch >= 3) for epoch in epochs]
    assert [line["step"] for line in lines] == [(epoch + 1) * STEPS_PER_EPOCH for epoch in epochs]
    assert {line["num"] for line in lines} == {2}


def test_the_last_validation_is_what_evaluation_finds(tmp_path: Path) -> None:
    """Guards against validating on training problems, at another stage, or with dropout on."""
    task = Hops(nodes=3, hops=1, num_train=320, num_valid=40)
    config = tiny(task=task, method=NoCoT(), curriculum=ONE_STAGE, optimizer=AdamW(lr=1e-2))
    model = fit(config, tmp_path / "run")
    records = evaluate(model, task, config.method, task.examples("valid"))
    right = sum(record.correct for record in records)
    assert 0 < right < 40, "an accuracy of 0 or 1 would hide a wrong split"
    assert metrics(tmp_path / "run", "validation")[-1]["accuracy"] == right / 40


def test_best_is_the_best_of_the_final_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against picking an early stage, where the written chain is still there and accuracy is easy, or the last
    epoch, or the worst one; a tie keeps the earlier."""
    shares = iter([4, 1, 3, 2, 3])
    digests: list[str] = []

    def scripted(model: LatentLM, task: Any, method: Any, examples: Any, **kwargs: Any) -> list[Record]:
        model.save_pretrained(tmp_path / "now")
        digests.append(digest(tmp_path / "now"))
        right = next(shares)
        blank: dict[str, Any] = dict.fromkeys(("prompt", "output", "prediction", "target"), "")
        blank |= dict.fromkeys(("num_tokens", "num_thoughts", "seconds"), 0)
        return [Record(index=i, correct=i < right, **blank) for i in range(4)]

    monkeypatch.setattr(checkup, "evaluate", scripted)
    config = tiny(method=Coconut(max_stage=0), curriculum=Curriculum(stage_epochs=(1, 4)))
    fit(config, tmp_path / "run")
    assert len(set(digests)) == 5
    assert digest(tmp_path / "run" / "best") == digests[2]
    assert digest(tmp_path / "run" / "final") == digests[4]
    assert [line["accuracy"] for line in metrics(tmp_path / "run", "validation")] == [1, 0.25, 0.75, 0.5, 0.75]


def test_best_is_chosen_where_the_last_stages_have_no_epochs(tmp_path: Path) -> None:
    """Guards recipes such as demo/planning/coconut, whose last stage has no epochs: the final stage is the last one
    that is trained."""
    fit(tiny(curriculum=Curriculum(stage_epochs=(1, 1, 1, 0))), tmp_path / "run")
    assert (tmp_path / "run" / "best" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("curriculum", "asked", "best"),
    [
        # Forwards: what the last stage is asked is what evaluation asks.
        (Curriculum(stage_epochs=(1, 1, 0, 2)), [0, 1, 3, 3], [None, None, 3, 3]),
        (Curriculum(stage_epochs=(1, 1, 2, 0)), [0, 1, 2, 2], [None, None, 2, 2]),
        # Backwards, and stopped half-way: the last epochs are asked twice, and the second answer counts.
        (Curriculum(stage_epochs=(2, 1, 0, 1), order=(3, 2, 1, 0)), [3, 1, 0, 3, 0, 3], [None, None, 3, 3]),
        (Curriculum(stage_epochs=(1, 2, 0, 0)), [0, 1, 3, 1, 3], [None, 3, 3]),
    ],
)
def test_the_best_weights_are_best_at_what_evaluation_asks(
    curriculum: Curriculum, asked: list[int], best: list[int | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards ablations of the curriculum: with its stages reversed a run ends with the whole chain written, where
    accuracy is easy and says nothing about thoughts; `best` must be what is best with all of them."""
    seen: list[int] = []

    def scripted(model: LatentLM, task: Any, method: Any, examples: Any, *, stage: int, **kwargs: Any) -> list[Record]:
        seen.append(stage)
        blank: dict[str, Any] = dict.fromkeys(("prompt", "output", "prediction", "target"), "")
        blank |= dict.fromkeys(("num_tokens", "num_thoughts", "seconds"), 0)
        return [Record(index=i, correct=i < stage, **blank) for i in range(4)]

    monkeypatch.setattr(checkup, "evaluate", scripted)
    fit(tiny(curriculum=curriculum, validation=Validation(stop_at=0.9)), tmp_path / "run")
    assert seen == asked
    lines = metrics(tmp_path / "run", "validation")
    assert [line.get("final_accuracy") for line in lines] == [None if at is None else at / 4 for at in best]
    assert [line["accuracy"] for line in lines] == [line["stage"] / 4 for line in lines]
    assert (tmp_path / "run" / "best" / "model.safetensors").is_file()


@pytest.mark.parametrize(("stop_at", "validations"), [(0.75, 3), (0.76, 4), (None, 5)])
def test_a_run_ends_at_the_accuracy_it_was_for(
    stop_at: float | None, validations: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards speedruns: an early stage, where the chain is still written, must not end them, and the epoch that reaches
    the accuracy must, with its weights saved as final and resuming changing nothing."""
    shares = iter([4, 1, 3, 4, 0])

    def scripted(model: LatentLM, task: Any, method: Any, examples: Any, **kwargs: Any) -> list[Record]:
        right = next(shares)
        blank: dict[str, Any] = dict.fromkeys(("prompt", "output", "prediction", "target"), "")
        blank |= dict.fromkeys(("num_tokens", "num_thoughts", "seconds"), 0)
        return [Record(index=i, correct=i < right, **blank) for i in range(4)]

    monkeypatch.setattr(checkup, "evaluate", scripted)
    config = tiny(
        method=Coconut(max_stage=0),
        curriculum=Curriculum(stage_epochs=(1, 4)),
        validation=Validation(stop_at=stop_at),
    )
    run = tmp_path / "run"
    fit(config, run)
    assert len(metrics(run, "validation")) == validations
    assert len(metrics(run, "step")) == validations * STEPS_PER_EPOCH
    assert (run / "final" / "model.safetensors").is_file()
    before = tree(run)
    fit(config, run, resume=True)
    assert tree(run) == before
