"""Two processes equal one: a copy of the model in each (DDP), or a share (FSDP2); CPU, gloo."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pairs import train_in_pairs
from results_scripts import script
from tiny import PAD, RAGGED, assert_close, assert_same_gradients, gradients, row, rows, shared
from tiny_runs import MODEL, StopAt, final_weights, losses, metrics, tiny
from unspoken.batch import collate, cut_into, num_passes
from unspoken.config import AdamW, BatchSize, RunConfig
from unspoken.curriculum import Curriculum
from unspoken.distributed import spread_of
from unspoken.loading import step_data
from unspoken.runs import evaluate_run
from unspoken.signals import Interrupted
from unspoken.specs import Llama, Lora
from unspoken.train import fit

MIXED = tiny(max_steps=8, curriculum=Curriculum(stage_epochs=(1, 1, 1, 1), mix=0.5), model=replace(MODEL, layers=2))
"""Rows of all stages in every batch, so that processes have other numbers of thoughts."""

KINDS: dict[str, RunConfig] = {
    "mixed": MIXED,
    "accumulated": replace(
        MIXED, batch=BatchSize(rows=8, micro=2), optimizer=AdamW(lr=3e-3, clip_norm=0.5), engine="sparing"
    ),
    "plain": replace(MIXED, engine="plain"),
    "bf16": replace(MIXED, precision="bf16"),
    "adapter": replace(MIXED, adapter=Lora(rank=2)),
}
RULES = script("scale_rules")
LAYOUTS = ("copied", "sharded")
TRAINED = [
    ("mixed", "copied"),
    ("accumulated", "copied"),
    ("adapter", "copied"),
    *((kind, "sharded") for kind in KINDS),
]
STEPS = {"first": 3, "second": 6}
"""Where the run that changes its number of processes is stopped."""


@dataclass(frozen=True)
class Trained:
    """Every kind of run, in one process and in two, both ways."""

    folder: Path

    def run(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("pairs")
    jobs: list[dict[str, Any]] = []
    for kind, layout in TRAINED:
        KINDS[kind].save(folder / f"{kind}.json")
        job = {"config": f"{folder}/{kind}.json", "out": f"{folder}/{kind}-{layout}"}
        jobs.append({**job, "sharded": layout == "sharded", "count": f"{folder}/{kind}-{layout}.count"})
    for layout in LAYOUTS:
        job = {"config": f"{folder}/mixed.json", "out": f"{folder}/stopped-{layout}", "sharded": layout == "sharded"}
        jobs.append({**job, "stop_at": STEPS["first"]})
    train_in_pairs(jobs, folder)
    again: list[dict[str, Any]] = []
    for layout in LAYOUTS:
        run = folder / f"stopped-{layout}"
        with pytest.raises(Interrupted):
            fit(MIXED, run, resume=True, observer=StopAt(STEPS["second"]))
        job = {"config": f"{folder}/mixed.json", "out": str(run), "sharded": layout == "sharded"}
        again.append({**job, "resume": True})
    train_in_pairs(again, folder)
    for kind, config in KINDS.items():
        fit(config, folder / kind)
    return Trained(folder)


def assert_nearly_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """Weights after sums in another order: Adam magnifies rounding where a gradient is nearly zero, up to a few steps'
    length; eight steps of 3e-3 go far beyond this."""
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("kind", "layout"), TRAINED)
def test_two_processes_equal_one(trained: Trained, kind: str, layout: str) -> None:
    """Guards the division by the global label count, gradients of shares, and waiting for ever: processes have rows
    that think another number of times. In bf16 sums in another order round otherwise."""
    one, two = trained.run(kind), trained.run(f"{kind}-{layout}")
    within = 1e-2 if kind == "bf16" else 1e-6
    assert losses(two) == pytest.approx(losses(one), rel=within)
    norms = [[line["grad_norm"] for line in metrics(run, "step")] for run in (one, two)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-4 if kind != "bf16" else 0.1)
    if kind != "bf16":
        assert_nearly_equal(final_weights(two), final_weights(one))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_processes_validate_and_evaluate_as_one(trained: Trained, layout: str) -> None:
    """Guards decoding with shares, and rows counted twice or never; what is saved is a model like any other."""
    one, two = trained.run("mixed"), trained.run(f"mixed-{layout}")
    lines = [metrics(run, "validation") for run in (one, two)]
    found = [[(line["step"], line["num"], line["accuracy"]) for line in each] for each in lines]
    assert found[0] == found[1]
    norms = [[line["thought_norm"] for line in each if "thought_norm" in line] for each in lines]
    assert len(norms[0]) == 1
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)
    for run in (one, two):
        evaluate_run(run, MIXED, run / "eval" / "test", weights="final", single=0)
    outputs = [
        [json.loads(line)["output"] for line in (run / "eval" / "test" / "records.jsonl").read_text().splitlines()]
        for run in (one, two)
    ]
    assert len(outputs[0]) == 8
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_goes_on_with_another_number_of_processes(trained: Trained, layout: str) -> None:
    """Guards checkpoints against depending on who wrote them: two processes, then one, then two."""
    run, whole = trained.run(f"stopped-{layout}"), trained.run(f"mixed-{layout}")
    env = json.loads((run / "env.json").read_text())
    assert [(entry["step"], entry["processes"]) for entry in env["resumed"]] == [(3, 1), (6, 2)]
    assert [line["step"] for line in metrics(run, "step")] == list(range(1, 9))
    assert losses(run) == pytest.approx(losses(whole), rel=1e-6)
    assert_nearly_equal(final_weights(run), final_weights(whole))


@pytest.mark.parametrize(("kind", "layout"), TRAINED)
def test_sharded_runs_gather_what_the_page_says(trained: Trained, kind: str, layout: str) -> None:
    """Guards against a model that is quietly copied into every process, for which nothing would be gathered; and the
    rules of docs/scale.md, by which somebody chooses a machine: gathers grow with passes, scatters do not."""
    counts = json.loads(trained.run(f"{kind}-{layout}.count").read_text())
    config = KINDS[kind]
    # Eight steps; where rows are accumulated each process has four of them, and takes two at a time.
    assert len(counts["passes"]) == 8 * (2 if config.batch.micro else 1)
    assert len(set(counts["passes"])) > 1
    if layout == "copied":
        assert (counts["gather"], counts["scatter"]) == (0, 0)
        return
    assert isinstance(config.model, Llama)
    of: Any = SimpleNamespace(layers=config.model.layers)
    assert counts["gather"] == sum(RULES.gathers(of, passes) for passes in counts["passes"])
    assert counts["scatter"] == len(counts["passes"]) * RULES.scatters(of)


# --------------------------------------------------------------------------------------------------- passes in step


@pytest.mark.parametrize("passes", [1, 4, 6, 9, 30])
@pytest.mark.parametrize("pictures", [RAGGED, ("qqa",), ("qqqTTa", "qTTaa"), ("qTaTaTa",)])
def test_further_passes_change_nothing(pictures: tuple[str, ...], passes: int) -> None:
    """Guards passes that are there for company: the same loss and gradients, and never fewer than were asked for."""
    model, some = shared("gpt2"), rows(*pictures)
    batch, more = collate(some, pad_id=PAD), collate(some, pad_id=PAD, passes=passes)
    assert len(batch.plan.spans) == num_passes(some)
    assert len(more.plan.spans) == max(passes, num_passes(some))
    losses_ = [model(**each.tensors(), plan=each.plan).loss_sum for each in (batch, more)]
    assert_close(losses_[1], losses_[0], within=1e-9)
    assert_same_gradients(gradients(model, losses_[1]), gradients(model, losses_[0]), within=1e-9)


def test_spans_are_cut_from_the_end() -> None:
    """Guards the order of columns, which the cache depends on, and that thoughts stay alone."""
    assert cut_into([slice(0, 5)], 3) == [slice(0, 3), slice(3, 4), slice(4, 5)]
    assert cut_into([slice(0, 2), slice(2, 3), slice(3, 5)], 5) == [slice(i, i + 1) for i in range(5)]
    assert cut_into([slice(0, 2), slice(2, 3)], 2) == [slice(0, 2), slice(2, 3)]
    assert cut_into([slice(0, 2)], 9) == [slice(0, 1), slice(1, 2)]


@pytest.mark.parametrize("most", [None, 2])
def test_processes_in_step_do_equally_many_passes(most: int | None) -> None:
    """Guards against waiting for ever: without it these shares take one pass and four."""
    some = [row("qqqaa" if i % 2 else "qqTTTa", seed=i) for i in range(8)]

    def counts(*, in_step: bool) -> list[list[int]]:
        shares = [
            step_data(some, process=p, num_processes=2, most=most, pad_id=PAD, pin=False, columns=1, in_step=in_step)
            for p in range(2)
        ]
        return [[len(batch.plan.spans) for batch in share.micro] for share in shares]

    one, other = counts(in_step=True)
    assert one == other
    alone = counts(in_step=False)
    assert alone[0] != alone[1]


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("environment", "optimizer", "message"),
    [
        ({"FSDP_VERSION": "1"}, torch.optim.AdamW, "FSDP 1 is not supported; launch with .*--fsdp_version 2"),
        ({"FSDP_OFFLOAD_PARAMS": "true"}, torch.optim.AdamW, "leave --fsdp_offload_params out"),
        ({}, torch.optim.Muon, "Muon needs whole matrices"),
    ],
)
def test_what_sharding_does_not_do_is_refused(
    environment: dict[str, str], optimizer: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against another layout than the one that was asked for, and against updates of half a matrix."""
    for name, value in {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", **environment}.items():
        monkeypatch.setenv(name, value)
    accelerator: Any = SimpleNamespace(num_processes=2)
    matrix = torch.nn.Parameter(torch.zeros(2, 2))
    with pytest.raises(ValueError, match=message):
        spread_of(accelerator, shared("llama"), [optimizer([matrix])])
