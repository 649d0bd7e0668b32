"""fit(): the losses, the run folder, and one process or two. Resuming is in `test_resume.py`."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from golden.make import FILE, measure
from tiny_runs import MODEL, REGISTER, digest, final_weights, losses, metrics, tiny, tree
from unspoken import loading
from unspoken.batch import collate
from unspoken.build import build_model
from unspoken.checkpoint import checkpoints
from unspoken.config import AdamW, BatchSize, RunConfig, Schedule
from unspoken.curriculum import Curriculum
from unspoken.data import TrainingData, tokenize
from unspoken.layout import Layout
from unspoken.methods import Coconut, NoCoT, ShuffledThoughts
from unspoken.model import LatentLM
from unspoken.tasks.hops import Hops
from unspoken.train import fit

ONE_STAGE = Curriculum(stage_epochs=(4,))


def assert_nearly_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """Weights after sums in another order: Adam magnifies rounding where a gradient is nearly zero, up to a few steps'
    length; eight steps of 3e-3 go far beyond this."""
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-3, atol=1e-3)


def first_batch(config: RunConfig, model: LatentLM) -> list[Layout]:
    assert model.tokenizer is not None
    made = TrainingData(config, config.task.examples("train"), model.tokenizer, model.marks, positions=None)
    return next(made.epoch(0))


# ------------------------------------------------------------------------------------------------------------- losses


def test_golden_losses() -> None:
    """Guards against any unintended change of training; `python tests/golden/make.py` renews them on purpose."""
    golden = json.loads(FILE.read_text())
    measured = measure()
    assert len(measured["loss"]) == 20
    assert measured["loss"] == pytest.approx(golden["loss"], rel=1e-5)
    assert measured["grad_norm"] == pytest.approx(golden["grad_norm"], rel=1e-3)


def test_a_step_divides_by_the_labels_of_the_whole_batch(tmp_path: Path) -> None:
    """Guards against a mean of means: rows with few labels (late stages) would weigh more than the others."""
    config = tiny(curriculum=Curriculum(stage_epochs=(1, 1, 1, 1), mix=1.0), max_steps=1)
    model = build_model(config.model, config.task, seed=config.seed)
    rows = first_batch(config, model)
    sums: list[torch.Tensor] = []
    counts: list[int] = []
    for row in rows:
        out = model(**collate([row], pad_id=model.pad_id).tensors())
        assert out.loss_sum is not None
        sums.append(out.loss_sum)
        counts.append(sum(label != -100 for label in row.labels))
    assert len(set(counts)) > 1
    loss = torch.stack(sums).sum() / sum(counts)
    loss.backward()
    norm = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
    fit(config, tmp_path / "run")
    (line,) = metrics(tmp_path / "run", "step")
    assert line["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert line["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)


@pytest.mark.parametrize("micro", [4, 3, 1])
def test_accumulation_equals_the_whole_batch(micro: int, tmp_path: Path) -> None:
    """Guards against dividing by micro-batch, which pulls towards whichever micro-batch has fewer labels."""
    whole = tiny(curriculum=Curriculum(stage_epochs=(1, 1, 1, 1), mix=1.0), max_steps=8)
    parts = replace(whole, batch=replace(whole.batch, micro=micro))
    fit(whole, tmp_path / "whole")
    fit(parts, tmp_path / "parts")
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), rel=1e-5)
    assert_nearly_equal(final_weights(tmp_path / "parts"), final_weights(tmp_path / "whole"))


def test_a_control_that_mixes_rows_never_gets_too_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the shuffled control: a last micro-batch smaller than min_rows feeds rows their own thoughts back."""
    method = ShuffledThoughts(max_stage=2)
    sizes: list[int] = []

    def counted(rows: Any, **kwargs: Any) -> Any:
        sizes.append(len(rows))
        return collate(rows, **kwargs)

    monkeypatch.setattr(loading, "collate", counted)
    with pytest.raises(ValueError, match="needs at least 3 rows in a forward pass"):
        tiny(method=method, batch=BatchSize(rows=8, micro=3), max_steps=1)
    fit(tiny(method=method, batch=BatchSize(rows=8, micro=5), max_steps=1), tmp_path / "run")
    # More than one step's: batches are collated ahead.
    assert set(sizes) == {4}
    assert min(sizes) >= method.min_rows()


def test_a_logged_loss_is_the_mean_a_label_since_the_last_line(tmp_path: Path) -> None:
    """Guards against a curve of single steps, or of means of means, when not every step is logged."""
    every = tiny(method=NoCoT(), curriculum=ONE_STAGE)
    fit(every, tmp_path / "every")
    fit(replace(every, log_every=7), tmp_path / "some")
    one_by_one = losses(tmp_path / "every")
    lines = metrics(tmp_path / "some", "step")
    assert [line["step"] for line in lines] == [7, 14, 20]
    wanted = [sum(one_by_one[a:b]) / (b - a) for a, b in ((0, 7), (7, 14), (14, 20))]
    assert [line["loss"] for line in lines] == pytest.approx(wanted, rel=1e-5)


def test_bf16_trains_and_keeps_fp32_weights(tmp_path: Path) -> None:
    """Guards autocast around loss and decoding: dtype errors, NaN, weights saved in half, or no autocast at all."""
    fit(tiny(precision="bf16"), tmp_path / "half")
    fit(tiny(), tmp_path / "full")
    half, full = losses(tmp_path / "half"), losses(tmp_path / "full")
    assert all(math.isfinite(loss) for loss in half)
    assert half != full
    assert half == pytest.approx(full, rel=0.1)
    assert {value.dtype for value in final_weights(tmp_path / "half").values()} == {torch.float32}


def test_gradients_are_clipped_where_asked(tmp_path: Path) -> None:
    """Guards against clipping that never happens; Adam hides the scale of gradients, so it is seen in the moments."""
    norms = {}
    for name, clip in (("clipped", 0.01), ("free", None)):
        config = tiny(optimizer=AdamW(lr=1e-3, clip_norm=clip), max_steps=2, checkpoint_every=1)
        fit(config, tmp_path / name)
        moments = load_file(checkpoints(tmp_path / name / "checkpoints")[-1] / "optimizer.safetensors")
        norms[name] = torch.stack([v.norm() for k, v in moments.items() if k.endswith("/exp_avg")]).norm().item()
    # The first moment after one step is a tenth of the gradient.
    assert norms["clipped"] == pytest.approx(0.001, rel=1e-3)
    assert norms["free"] == pytest.approx(0.1 * metrics(tmp_path / "free", "step")[0]["grad_norm"], rel=1e-3)


@pytest.mark.parametrize(("method", "places"), [(Coconut(max_stage=2), 2), (NoCoT(), 0)])
def test_validations_tell_how_thoughts_lie(method: Any, places: int, tmp_path: Path) -> None:
    """Guards the collapse monitor: where a stage has thoughts, their norm, where it has two, their distance; the last
    figures are those of the final weights."""
    config = tiny(method=method, curriculum=Curriculum(stage_epochs=(1,) * method.stages))
    model = fit(config, tmp_path / "run")
    lines = metrics(tmp_path / "run", "validation")
    if not places:
        assert not any("thought_norm" in line or "thought_distance" in line for line in lines)
        return
    assert ["thought_norm" in line for line in lines] == [False, True, True, True]
    assert ["thought_distance" in line for line in lines] == [False, False, True, True]
    assert model.tokenizer is not None
    vectors = []
    for tokens in tokenize(config.task.examples("valid"), config.task, model.tokenizer):
        batch = collate([method.prompt(tokens, model.marks)], pad_id=model.pad_id)
        vectors.append(model(**batch.tensors()).thoughts[0].detach())
    one, other = torch.stack(vectors).unbind(1)
    assert lines[-1]["thought_norm"] == pytest.approx(float(torch.stack([one, other]).norm(dim=-1).mean()), rel=1e-4)
    assert lines[-1]["thought_distance"] == pytest.approx(float((one - other).norm(dim=-1).mean()), rel=1e-4)


# ------------------------------------------------------------------------------------------- curriculum and schedule


@pytest.mark.parametrize(("reset", "kept"), [("epoch", (5, 5)), ("stage", (5, 10)), ("never", (10, 15))])
def test_the_optimizer_starts_afresh_when_told_to(reset: Any, kept: tuple[int, int], tmp_path: Path) -> None:
    """Guards the published difference: moments of one stage carried into the next, or dropped every epoch."""
    config = tiny(
        method=Coconut(max_stage=0, thoughts_per_step=1),
        curriculum=Curriculum(stage_epochs=(1, 3), reset_optimizer=reset),
    )
    fit(config, tmp_path / "run")
    counts = []
    for path in checkpoints(tmp_path / "run" / "checkpoints"):
        state = load_file(path / "optimizer.safetensors")
        counts.append({float(value) for name, value in state.items() if name.endswith("/step")})
    assert counts == [{kept[0]}, {kept[1]}]


@pytest.mark.parametrize(
    ("span", "factors"),
    [
        ("run", [0.5, 1, *[1 - i / 18 for i in range(1, 18)]]),
        ("stage", [0.5, 1, 2 / 3, 1 / 3, 0.5, 1, *[1 - i / 13 for i in range(1, 13)]]),
    ],
)
def test_the_schedule_is_stretched_over_run_or_stage(span: Any, factors: list[float], tmp_path: Path) -> None:
    """Guards against a decay that is over before the last stage has begun, or that restarts in the middle of one."""
    config = tiny(
        method=Coconut(max_stage=0),
        curriculum=Curriculum(stage_epochs=(1, 3)),
        schedule=Schedule(decay="linear", warmup_steps=1, span=span),
        optimizer=AdamW(lr=1e-2),
    )
    fit(config, tmp_path / "run")
    rates = [line["lr"] / 1e-2 for line in metrics(tmp_path / "run", "step")]
    num = {"run": 20, "stage": 5}[span]
    wanted = [config.schedule.factor(step, num) for step in range(num)]
    if span == "stage":
        wanted += [config.schedule.factor(step, 15) for step in range(15)]
    assert rates == pytest.approx(wanted)
    # The same by hand, for a warm-up of one step: 1/2, then from 1 down.
    assert rates[:2] == pytest.approx([0.5, 1.0])
    assert (rates[5] == pytest.approx(0.5)) == (span == "stage")


def test_stages_follow_the_curriculum(tmp_path: Path) -> None:
    """Guards against a stage that begins an epoch early or late, or is skipped."""
    fit(tiny(curriculum=Curriculum(stage_epochs=(1, 0, 2, 1))), tmp_path / "run")
    stages = [line["stage"] for line in metrics(tmp_path / "run", "step")]
    assert stages == [0] * 5 + [2] * 10 + [3] * 5


def test_max_steps_ends_a_run_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    """Guards short runs: the last step is logged, validated and saved although the epoch is not over."""
    fit(tiny(max_steps=7, log_every=5), tmp_path / "run")
    assert [line["step"] for line in metrics(tmp_path / "run", "step")] == [5, 7]
    assert [line["step"] for line in metrics(tmp_path / "run", "validation")] == [5, 7]
    assert (tmp_path / "run" / "final" / "model.safetensors").is_file()


# --------------------------------------------------------------------------------------------------------- run folder


def test_a_run_folder_holds_what_its_description_says(finished: tuple[Path, LatentLM]) -> None:
    """Guards everything that reads run folders: tables, figures, evaluation, and people."""
    run, model = finished
    names = {path.name for path in run.iterdir()}
    assert names == {"config.json", "env.json", "metrics.jsonl", "checkpoints", "best", "final"}
    assert RunConfig.load(run / "config.json") == tiny()
    env = json.loads((run / "env.json").read_text())
    assert {"commit", "command", "packages", "python"} <= set(env)
    assert env["packages"]["torch"] == torch.__version__
    reread = LatentLM.from_pretrained(run / "final")
    for (name, ours), theirs in zip(model.state_dict().items(), reread.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name
    assert reread.notes.method == "Coconut"
    assert reread.notes.after_question == ("<|start-latent|>", *["<|latent|>"] * 2, "<|end-latent|>")


def test_every_line_of_metrics_is_json_with_its_fields(finished: tuple[Path, LatentLM]) -> None:
    """Guards figures: a line that does not parse, or a field that is renamed, breaks them all."""
    run, _ = finished
    lines = [msgspec.json.decode(line) for line in (run / "metrics.jsonl").read_bytes().splitlines()]
    steps = [line for line in lines if line["kind"] == "step"]
    validations = [line for line in lines if line["kind"] == "validation"]
    assert len(steps) + len(validations) == len(lines)
    assert [line["step"] for line in steps] == list(range(1, 21))
    fields = {"step", "num_steps", "epoch", "stage", "num_stages", "loss", "lr", "grad_norm", "tokens_per_second"}
    for line in steps:
        assert fields | {"kind", "seconds"} <= set(line)
        assert line["num_steps"] == 20
        assert line["tokens_per_second"] > 0
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)
    assert {"kind", "step", "epoch", "stage", "accuracy", "num", "seconds"} <= set(validations[0])


def test_the_newest_two_checkpoints_are_kept(finished: tuple[Path, LatentLM], tmp_path: Path) -> None:
    """Guards against a full disk, and against removing the newest; leftovers of a crash are no checkpoints."""
    assert [path.name for path in checkpoints(finished[0] / "checkpoints")] == ["step-00000010", "step-00000015"]
    fit(tiny(checkpoint_every=3), tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / ".partial-step-00000099").mkdir()
    assert [path.name for path in checkpoints(tmp_path / "run" / "checkpoints")] == ["step-00000015", "step-00000018"]


def test_the_same_config_gives_the_same_weights_and_another_seed_others(
    finished: tuple[Path, LatentLM], tmp_path: Path
) -> None:
    """Guards reproducibility within a machine: any state outside the config would show here."""
    torch.manual_seed(12345)
    fit(tiny(), tmp_path / "again")
    fit(tiny(seed=1), tmp_path / "other")
    assert digest(tmp_path / "again" / "final") == digest(finished[0] / "final")
    assert digest(tmp_path / "other" / "final") != digest(finished[0] / "final")


def test_an_existing_folder_is_refused_untouched(finished: tuple[Path, LatentLM], tmp_path: Path) -> None:
    """Guards results: a second run in the same folder would mix with the first."""
    run = finished[0]
    before = tree(run)
    with pytest.raises(ValueError, match=r"exists; choose another --out"):
        fit(tiny(seed=3), run)
    assert tree(run) == before
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"exists"):
        fit(tiny(), tmp_path / "empty")
    assert tree(tmp_path / "empty") == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": Hops(nodes=5, hops=2, num_train=0)}, "no training examples"),
        ({"task": Hops(nodes=5, hops=2, num_train=8, num_valid=0)}, "no validation examples"),
    ],
)
def test_a_run_that_cannot_start_leaves_no_folder(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Guards the next attempt: a folder left behind would have it refused as existing."""
    with pytest.raises(ValueError, match=message):
        fit(tiny(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_too_short_to_be_validated_is_refused_before_training(tmp_path: Path) -> None:
    """Guards hours of training that end at the first validation of a later stage."""
    config = tiny()
    longest = 17 + 5  # five facts and a question; a chain of two, the answer and the end, or markers in its place
    with pytest.raises(ValueError, match="positions"):
        fit(replace(config, model=replace(MODEL, positions=longest + 1)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------------------------------------------- two processes


FORKED = """
import os, sys
import tiny_runs  # and torch with it, before the fork: that takes longer than all the rest
from unspoken.cli import main
child = os.fork()
rank = "0" if child else "1"
os.environ.update(RANK=rank, LOCAL_RANK=rank)
main(sys.argv[1:])
if child and os.waitpid(child, 0)[1]:
    sys.exit("rank 1 failed")
"""


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Guards the division by the global label count: wrappers average over processes, and rows differ in labels."""
    command = ["train", "tiny/coconut", "--curriculum.mix", "0.5", "--max-steps", "8"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What `torchrun` and `accelerate launch --cpu` set, without the seconds they take to start.
    world = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-c", REGISTER + FORKED, *command, "--out", str(tmp_path / "two")],
        env=world | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        errors = process.communicate(timeout=120)[1].decode()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if "gloo" in errors.lower() and "connect" in errors.lower():
        pytest.skip("two processes cannot reach each other here")
    assert process.returncode == 0, errors
    fit(RunConfig.load(tmp_path / "two" / "config.json"), tmp_path / "one")
    one, two = tmp_path / "one", tmp_path / "two"
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    assert_nearly_equal(final_weights(two), final_weights(one))
    assert [(line["step"], line["num"]) for line in metrics(two, "validation")] == [(5, 6), (8, 6)]
