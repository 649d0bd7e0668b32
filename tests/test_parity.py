"""The published implementation's numbers: same weights, same batch, same loss, gradients, thoughts and tokens."""

import json
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from unspoken.model import LatentLM
from unspoken.tasks.rows import data_root

PARITY = data_root().parent / "parity"
CASES = ["gpt2_even", "gpt2_ragged", "llama_ragged"]

pytestmark = pytest.mark.skipif(not PARITY.is_dir(), reason=f"{PARITY} is not here; set UNSPOKEN_DATA")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def load(case: str, device: str) -> tuple[LatentLM, dict[str, Any]]:
    folder = PARITY / case
    lm = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    return LatentLM(lm).to(device), json.loads((folder / "case.json").read_text())


def tensors(case: dict[str, Any], device: str) -> dict[str, torch.Tensor]:
    batch = {name: torch.tensor(value, device=device) for name, value in case["batch"].items()}
    return {**batch, "is_thought": batch["input_ids"] == case["ids"]["latent"]}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", CASES)
def test_loss_gradients_and_thoughts_equal_the_published_ones(name: str, device: str) -> None:
    """Guards the whole forward: order of passes, which state is fed back, what is masked, how losses are averaged."""
    model, case = load(name, device)
    expected = case["expected"]
    out = model(**tensors(case, device))
    assert out.loss is not None
    assert out.loss.item() == pytest.approx(expected["mean_loss"], rel=1e-4)
    out.loss.backward()
    norm = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
    assert norm.item() == pytest.approx(expected["grad_norm"], rel=1e-4)
    gradient = model.lm.get_input_embeddings().get_parameter("weight").grad
    assert gradient is not None
    assert gradient.norm().item() == pytest.approx(expected["embedding_grad_norm"], rel=1e-4)
    for row, thoughts in enumerate(expected["thoughts"]):
        want = torch.tensor(thoughts, device=device)
        torch.testing.assert_close(out.thoughts[row, : len(want)], want, rtol=1e-4, atol=1e-4)
        assert not out.thoughts[row, len(want) :].any()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", CASES)
def test_greedy_tokens_equal_the_published_ones(name: str, device: str) -> None:
    """Guards batched, cached decoding against the published batch-1 decoding without a cache."""
    model, case = load(name, device)
    model.eval()
    ids = case["ids"]
    for row, want in zip(case["rows"], case["expected"]["greedy_tokens"], strict=True):
        prompt = [*row["question"], ids["bot"], *[ids["latent"]] * row["thoughts"], ids["eot"]]
        input_ids = torch.tensor([prompt], device=device)
        new = model.generate(
            input_ids=input_ids,
            is_thought=input_ids == ids["latent"],
            max_new_tokens=len(want),
            eos_token_id=ids["eos"],
        )
        assert new[0].tolist() == want
