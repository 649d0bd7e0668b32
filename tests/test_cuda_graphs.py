"""CUDA graphs: on machines without a GPU what a recorded step does and must not do (`taped.py`); and on one."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from command_line import call
from taped import on_the_device, replace_cuda
from tiny import PAD, RAGGED, assert_close, assert_same_gradients, build, rows
from tiny_runs import losses, tiny
from unspoken.backbones import Backbone
from unspoken.backward import Backward, Launched, Replayed, _Recorded, alike
from unspoken.batch import Batch, collate
from unspoken.config import Precision, RunConfig
from unspoken.methods import Coconut, DetachedThoughts, Method, ShuffledThoughts
from unspoken.model import LatentLM
from unspoken.records import read_summary
from unspoken.shipped import copy_shipped
from unspoken.slots import Slots, _Graphs, _Step
from unspoken.specs import Engine
from unspoken.train import fit
from unspoken.walk import complete, itself

FAMILIES = ("gpt2", "llama")
ALIKE = (("qqqTTaa", "qTTa"), ("qTTaaaa", "qqTTa"), ("qqTTaaa", "qqTTTa"), ("qTTqa", "qqqqTTa"), ("qqqqTTTa", "qTTaa"))
"""Batches of two shapes, with other tokens, lengths and targets."""
META = torch.device("meta")


def batches() -> list[Batch]:
    """New ones at each call: on a CPU, a recording keeps the very tensors it is given."""
    return [collate(rows(*pictures, seed=i), pad_id=PAD, columns=8) for i, pictures in enumerate(ALIKE * 2)]


def summed(model: LatentLM, method: Method) -> Callable[[Batch], torch.Tensor]:
    def loss(batch: Batch) -> torch.Tensor:
        return method.loss(model, batch)

    return loss


def trained(model: LatentLM, backward: Backward) -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    """Losses and gradients, step after step; gradients stay where they are, as graphs want them."""
    totals: list[torch.Tensor] = []
    found: list[dict[str, torch.Tensor]] = []
    for number, batch in enumerate(batches()):
        totals.append(backward(batch, 0.5**number))
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        found.append({name: gradient.clone() for name, gradient in gradients.items()})
        model.zero_grad(set_to_none=False)
    return totals, found


@pytest.mark.parametrize("family", FAMILIES)
def test_a_replayed_step_is_the_launched_one(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards what a recording freezes: a scale, a count of targets, who thinks, a tensor nobody copies anew."""
    # The library reads `torch.cuda` when it is first used, so the model comes first.
    model = LatentLM(build(family), engine="graphs").eval()
    graphs = replace_cuda(monkeypatch)
    loss = summed(model, Coconut())
    launched = trained(model, Launched(loss, lambda total: total.backward()))
    replayed = trained(model, Replayed(loss, torch.device("cpu")))
    assert len(graphs) == 2
    for one, other in zip(launched[0], replayed[0], strict=True):
        assert_close(other, one, within=1e-9)
    for mine, theirs in zip(launched[1], replayed[1], strict=True):
        assert_same_gradients(theirs, mine, within=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_replayed_decoding_is_the_launched_one(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards graphs of decoding steps: rows that leave and join, room that grows, more rows than are in use."""
    # The library reads `torch.cuda` when it is first used, so the model comes first.
    model = LatentLM(build(family), engine="graphs").eval()
    graphs = replace_cuda(monkeypatch)
    prompts = [each.prompt for each in rows(*RAGGED, *RAGGED, *RAGGED, seed=3)]

    def write(replays: bool) -> list[list[int]]:
        with torch.inference_mode():
            slots = Slots(
                model.backbone, rows=5, feed_back=itself, stop_ids=range(0, 70, 7), max_new_tokens=9, pad_id=PAD
            )
            slots._graphs = _Graphs() if replays else None
            return [one.tokens for one in slots.write(prompts, on_finished=lambda num: None)]

    assert write(replays=True) == write(replays=False)
    assert len(graphs) > 3


@pytest.fixture
def without_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device "meta" knows no autocast."""

    def dtype(backbone: Backbone) -> torch.dtype:
        return backbone.lm.dtype

    monkeypatch.setattr(Backbone, "compute_dtype", property(dtype))


@pytest.mark.usefixtures("without_autocast")
@pytest.mark.parametrize(
    ("family", "method", "dtype"),
    [
        ("gpt2", Coconut(), torch.float32),
        ("gpt2", ShuffledThoughts(), torch.bfloat16),
        ("llama", DetachedThoughts(), torch.float32),
        ("qwen3", Coconut(), torch.bfloat16),
    ],
    ids=["gpt2", "gpt2-bf16-shuffled", "llama-detached", "qwen3-bf16"],
)
def test_a_training_step_leaves_the_host_alone(family: str, method: Method, dtype: torch.dtype) -> None:
    """Guards steps that wait for a GPU, mix devices, or would freeze in a graph what the host decides."""
    model = LatentLM(build(family, dtype=dtype)).to(META).train()
    batch = alike(collate(rows(*RAGGED), pad_id=PAD, columns=8)).to(META)
    with on_the_device():
        method.loss(model, batch).backward()
    assert all(p.grad is not None and p.grad.device == META for p in model.parameters())


@pytest.mark.usefixtures("without_autocast")
@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize("reading", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_decoding_step_leaves_the_host_alone(family: str, thinking: bool, reading: bool) -> None:
    """Guards the same in the step that writes."""
    model = LatentLM(build(family, dtype=torch.float32)).to(META).eval()
    with torch.inference_mode():
        slots = Slots(model.backbone, rows=4, feed_back=itself, stop_ids=[1], max_new_tokens=4, pad_id=PAD)
        slots._places.fit(20)
        with on_the_device():
            slots._run(3, _Step(thinking=thinking, reading=reading))


def test_what_the_host_touches_is_seen() -> None:
    """Guards the guards above: each of these is what they are for."""
    there = torch.zeros(3, device=META)
    for wrong in (
        lambda: there + torch.ones(3),
        lambda: there[torch.tensor([0, 1])],
        lambda: there.sum().item(),
        lambda: there.nonzero(),
        lambda: bool(there.all()),
        lambda: torch.ones(3).to(META),
    ):
        with pytest.raises((AssertionError, RuntimeError, NotImplementedError)), on_the_device():
            wrong()


def test_a_wide_batch_asks_nothing_while_it_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards columns rounded up beyond the model's positions: the longest row may only be asked for when launched."""

    def is_there(tensor: torch.Tensor) -> bool:
        return tensor.device == META

    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(is_there))
    ids = torch.zeros(2, 40, dtype=torch.long, device=META)
    with on_the_device():
        found = complete(ids, None, ids, None, max_positions=32)
    assert found.position_ids is ids


# On a GPU


@pytest.fixture
def on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trainings in this process take the GPU, which all other tests must not."""
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.gpu
@pytest.mark.usefixtures("on_the_gpu")
@pytest.mark.parametrize(("precision", "within"), [("fp32", 1e-3), ("bf16", 3e-2)])
def test_replayed_steps_equal_launched_ones(
    precision: Precision, within: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards graphs: what a recording has frozen, a gradient dropped between steps, tensors that were not copied."""
    replays: list[Batch] = []
    replay = _Recorded.replay

    def counted(recorded: _Recorded, batch: Batch, scale: float | torch.Tensor) -> torch.Tensor:
        replays.append(batch)
        return replay(recorded, batch, scale)

    monkeypatch.setattr(_Recorded, "replay", counted)
    found: dict[Engine, list[float]] = {}
    engines: list[Engine] = ["fast", "graphs"]
    for engine in engines:
        model = fit(replace(tiny(), engine=engine, precision=precision), tmp_path / engine)
        assert model.device.type == "cuda"
        assert bool(replays) == (engine == "graphs")
        found[engine] = losses(tmp_path / engine)
    assert found["graphs"] == pytest.approx(found["fast"], rel=within)


@pytest.mark.gpu
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_replayed_decoding_equals_launched(family: str) -> None:
    """Guards graphs of decoding steps, with rows that leave and join."""
    lm = build(family, dtype=torch.float32)
    lm.cuda()
    some = rows(*RAGGED, *RAGGED, seed=3)
    stop = list(range(0, 70, 7))
    found: dict[Engine, list[list[int]]] = {}
    engines: list[Engine] = ["fast", "graphs"]
    for engine in engines:
        written = LatentLM(lm, engine=engine).eval().write(some, max_new_tokens=9, rows=3, eos_token_id=stop)
        found[engine] = [one.tokens for one in written]
    assert found["graphs"] == found["fast"]


@pytest.mark.gpu
@pytest.mark.usefixtures("on_the_gpu")
@pytest.mark.parametrize("engine", ["fast", "graphs"])
def test_a_run_is_asked_probed_and_audited(engine: Engine, tmp_path: Path) -> None:
    """Guards whatever else a sweep does with a run: tensors of two devices, or of a GPU where numpy wants its own."""
    run = tmp_path / "run"
    copy_shipped("demo-planning-coconut", run)
    config = replace(RunConfig.load(run / "config.json"), precision="bf16", engine=engine)
    (run / "config.json").write_bytes(config.to_json())
    call(f"eval {run} --num 40 --single 2")
    call(f"probe {run} --num 40")
    call(f"audit {run} --num 40 --beyond")
    assert read_summary(run / "eval" / "test").accuracy > 0.8
    for report in ("probe", "audit"):
        assert (run / report / "test" / f"{report}.json").is_file()
