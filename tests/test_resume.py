"""Stopped, crashed and damaged runs go on where they were; a run after another too."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny_runs import REGISTER, StopAt, digest, final_weights, losses, metrics, tiny, tree
from unspoken import checkup, cli
from unspoken.config import AdamW, After, BatchSize, Muon, Schedule
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut
from unspoken.model import LatentLM
from unspoken.recipes import RECIPES
from unspoken.reports import StepReport
from unspoken.runs import load_run
from unspoken.specs import GPT2, Words
from unspoken.train import Interrupted, fit

RESUMABLE = {
    "Llama": tiny(),
    "GPT2 with dropout": tiny(
        model=GPT2(layers=1, width=16, heads=2, positions=48, dropout=0.2, tokenizer=Words()),
        curriculum=Curriculum(stage_epochs=(1, 1, 1, 1), mix=0.3, reset_optimizer="never"),
        schedule=Schedule(decay="cosine", warmup_steps=2, span="stage"),
        batch=BatchSize(rows=8, micro=3, bucket=2),
    ),
    "Muon": tiny(
        optimizer=Muon(lr=3e-3, others_lr=1e-2, clip_norm=1.0),
        curriculum=Curriculum(stage_epochs=(1, 1, 1, 1), reset_optimizer="never"),
        schedule=Schedule(decay="linear", warmup_steps=2),
    ),
}


@pytest.mark.parametrize("name", RESUMABLE)
def test_resumed_equals_uninterrupted(name: str, tmp_path: Path) -> None:
    """Guards all state a run has: weights, moments, position, generators. Stops lie in the middle of an epoch, at its
    end, at a stage's end, and right after a resume."""
    config = RESUMABLE[name]
    fit(config, tmp_path / "whole")
    run = tmp_path / "run"
    for i, step in enumerate((2, 3, 5, 13, 15)):
        with pytest.raises(Interrupted, match=f"stopped at step {step} of 20, saved; continue with: .*--resume {run}"):
            fit(config, run, resume=i > 0, observer=StopAt(step))
        assert not (run / "final").exists()
        torch.manual_seed(99 + i)  # another process would not have the generator where it was
    fit(config, run, resume=True)
    assert digest(run / "final") == digest(tmp_path / "whole" / "final")
    assert digest(run / "best") == digest(tmp_path / "whole" / "best")
    assert losses(run) == losses(tmp_path / "whole")
    wanted = [(line["step"], line["accuracy"]) for line in metrics(tmp_path / "whole", "validation")]
    assert [(line["step"], line["accuracy"]) for line in metrics(run, "validation")] == wanted


def test_a_run_stopped_at_its_very_last_step_is_still_validated(tmp_path: Path) -> None:
    """Guards `best/`, which a run of one final epoch would never get."""
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        fit(tiny(), run, observer=StopAt(20))
    fit(tiny(), run, resume=True)
    assert metrics(run, "validation")[-1]["step"] == 20
    assert (run / "best" / "model.safetensors").is_file()


def test_a_crash_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    """Guards what happens without a signal (out of memory, power): steps since the checkpoint are done again."""
    fit(tiny(), tmp_path / "whole")
    run = tmp_path / "run"
    with pytest.raises(RuntimeError, match="went away"):
        fit(tiny(), run, observer=StopAt(8, crash=True))
    fit(tiny(), run, resume=True)
    assert digest(run / "final") == digest(tmp_path / "whole" / "final")


def test_metrics_of_a_crashed_run_tell_every_step_once(tmp_path: Path) -> None:
    """Guards curves and anything counted from metrics.jsonl: steps 6 to 8 stand there twice after a crash at 8."""
    run = tmp_path / "run"
    with pytest.raises(RuntimeError, match="went away"):
        fit(tiny(), run, observer=StopAt(8, crash=True))
    fit(tiny(), run, resume=True)
    assert [line["step"] for line in metrics(run, "step")] == list(range(1, 21))


def test_resuming_a_finished_run_changes_nothing(finished: tuple[Path, LatentLM], tmp_path: Path) -> None:
    """Guards a script that resumes whatever it finds: no file changes, no line of metrics.jsonl comes twice."""
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    before = tree(run)
    fit(tiny(), run, resume=True)
    assert tree(run) == before


def test_a_run_can_be_resumed_from_its_first_moment(tmp_path: Path) -> None:
    """Guards a run that dies before its first checkpoint is due: it begins with one."""
    fit(tiny(), tmp_path / "whole")
    with pytest.raises(RuntimeError, match="went away"):
        fit(tiny(), tmp_path / "run", observer=StopAt(2, crash=True))
    fit(tiny(), tmp_path / "run", resume=True)
    assert digest(tmp_path / "run" / "final") == digest(tmp_path / "whole" / "final")
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_a_run_whose_checkpoints_are_gone_says_so(tmp_path: Path) -> None:
    """Guards against an index error, and against starting from scratch in silence."""
    with pytest.raises(Interrupted):
        fit(tiny(), tmp_path / "run", observer=StopAt(6))
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(ValueError, match="no checkpoint to resume from"):
        fit(tiny(), tmp_path / "run", resume=True)
    with pytest.raises(ValueError, match="no such run folder"):
        fit(tiny(), tmp_path / "nowhere", resume=True)


def test_what_a_sweep_has_kept_is_not_trained_over(tmp_path: Path) -> None:
    """Guards records: a kept run, whose weights are gone, was trained again in its own folder by the very command that
    its refusal named."""
    config = tiny(model=After(first=tiny(max_steps=2)), max_steps=2)
    run = tmp_path / "run"
    run.mkdir()
    config.save(run / "config.json")
    (run / "metrics.jsonl").write_text('{"kind": "step", "step": 1}\n')
    before = tree(run)
    with pytest.raises(ValueError, match=r"no checkpoint to resume from; train it again with .*config\.json --out"):
        fit(config, run, resume=True)
    with pytest.raises(ValueError, match=r"only the records of one; train it again with .*config\.json --out"):
        load_run(run)
    assert tree(run) == before


def test_a_logged_loss_spans_a_stop(tmp_path: Path) -> None:
    """Guards the seam in a curve: a line after a stop is the mean of all steps since the line before it, not of those
    since the stop."""
    config = tiny(log_every=4)
    fit(config, tmp_path / "whole")
    run = tmp_path / "run"
    for i, kill in enumerate((6, 11)):
        with pytest.raises(RuntimeError, match="went away"):
            fit(config, run, resume=i > 0, observer=StopAt(kill - kill % 4 + 4, crash=True))
    fit(config, run, resume=True)
    assert [line["step"] for line in metrics(run, "step")] == [4, 8, 12, 16, 20]
    assert losses(run) == losses(tmp_path / "whole")


def test_ctrl_c_works_as_before_when_training_is_over(tmp_path: Path) -> None:
    """Guards notebooks and the demo: handlers left behind would swallow the next Ctrl-C."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        fit(tiny(), tmp_path / "run", observer=StopAt(3))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    """Guards against a program one cannot leave while a long step or a save is going on."""

    class Impatient(StopAt):
        def on_step(self, report: StepReport) -> None:
            super().on_step(report)
            super().on_step(report)

    with pytest.raises(KeyboardInterrupt):
        fit(tiny(), tmp_path / "run", observer=Impatient(3))


def test_a_validation_is_left_when_somebody_asks_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards batch systems that give thirty seconds: decoding thousands of problems is not waited for, and is done when
    the run goes on; a further SIGTERM does not spoil the save."""
    run, config = tmp_path / "run", tiny(batch=BatchSize(rows=8, evaluation=1))
    fit(config, tmp_path / "whole")
    measure = checkup.evaluate

    def terminated(*arguments: Any, **settings: Any) -> Any:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        return measure(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(checkup, "evaluate", terminated)
        with pytest.raises(Interrupted, match="stopped at step 5 of 20") as stopped:
            fit(config, run)
    assert stopped.value.exit_code == 0
    assert metrics(run, "validation") == []
    fit(config, run, resume=True)
    assert digest(run / "final") == digest(tmp_path / "whole" / "final")
    assert digest(run / "best") == digest(tmp_path / "whole" / "best")
    wanted = [(line["step"], line["accuracy"]) for line in metrics(tmp_path / "whole", "validation")]
    assert [(line["step"], line["accuracy"]) for line in metrics(run, "validation")] == wanted


def test_a_run_goes_on_with_smaller_batches_and_remembers_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards whoever ran out of memory: what is told to go on with must be what the run then runs with."""
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        fit(tiny(), run, observer=StopAt(3))
    again = f"--resume {run} --batch.micro 2 --batch.evaluation 3"
    with pytest.raises(Interrupted, match=f"unspoken train {again}$"):
        fit(tiny(batch=BatchSize(rows=8, micro=2, evaluation=3)), run, resume=True, observer=StopAt(6))
    with pytest.raises(SystemExit) as refused:
        cli.main(["train", "--resume", str(run), "--batch.micro", "0"])
    assert refused.value.code == 2
    assert "batch.micro must be at least 1" in capsys.readouterr().err
    sizes = []

    def loss(method: Coconut, model: Any, batch: Any) -> Any:
        sizes.append(len(batch))
        return plain(method, model, batch)

    plain = Coconut.loss
    monkeypatch.setattr(Coconut, "loss", loss)
    cli.main(["train", *again.split()])
    assert set(sizes) == {2}


def test_sigint_saves_says_how_to_go_on_and_exits_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards Ctrl-C as people meet it, in a process of its own; the resumed run ends as an uninterrupted one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RECIPES, "tiny/coconut", tiny)
    longer = ["--curriculum.stage-epochs", "10", "10", "10", "10", "--validation.every-epochs", "50"]
    command = ["train", "tiny/coconut", *longer, "--checkpoint-every", "1000"]
    process = subprocess.Popen(
        [sys.executable, "-c", REGISTER + "import unspoken.__main__", *command, "--out", "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    log = tmp_path / "run" / "metrics.jsonl"
    while not log.exists() or log.read_text().count("\n") < 3:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    (line,) = errors.decode().splitlines()
    assert line.startswith("unspoken: stopped at step")
    assert line.endswith("of 200, saved; continue with: unspoken train --resume run")
    assert not (tmp_path / "run" / "final").exists()
    cli.main(["train", "--resume", "run"])
    cli.main([*command, "--out", "whole"])
    capsys.readouterr()
    assert digest(tmp_path / "run" / "final") == digest(tmp_path / "whole" / "final")
    assert digest(tmp_path / "run" / "best") == digest(tmp_path / "whole" / "best")


# ------------------------------------------------------------------------------------------------ after another run


def test_a_run_after_another_starts_from_its_final_weights(tmp_path: Path) -> None:
    """Guards the warm start: from the first run's end, not from its best weights or from random ones."""
    first, second = tiny(), tiny(model=After(first=tiny()), optimizer=AdamW(lr=1e-12), seed=5)
    fit(first, tmp_path / "first")
    fit(second, tmp_path / "run")
    assert digest(tmp_path / "run" / "first" / "final") == digest(tmp_path / "first" / "final")
    fit(second, tmp_path / "given", first=tmp_path / "first")
    assert not (tmp_path / "given" / "first").exists()
    for run in ("run", "given"):
        for name, value in final_weights(tmp_path / "first").items():
            torch.testing.assert_close(final_weights(tmp_path / run)[name], value, rtol=0, atol=1e-8)
    with pytest.raises(ValueError, match=r"is not a run of model\.first"):
        fit(replace(second, model=After(first=tiny(seed=9))), tmp_path / "wrong", first=tmp_path / "first")


@pytest.mark.parametrize("step", [7, 2])
def test_a_run_stopped_while_the_first_one_trains_can_be_resumed(step: int, tmp_path: Path) -> None:
    """Guards the longest part of such a run: whoever presses Ctrl-C in it must be told, and able, to go on."""
    run, config = tmp_path / "run", tiny(model=After(first=tiny()))
    fit(config, tmp_path / "whole")
    with pytest.raises(Interrupted, match=f"--resume {run}$"):
        fit(config, run, observer=StopAt(step))
    fit(config, run, resume=True)
    assert digest(run / "final") == digest(tmp_path / "whole" / "final")
