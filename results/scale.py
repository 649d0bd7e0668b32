"""Memory and communication of Llama 3.2-3B and Llama 3-8B on paper, and the same rules measured on a small model.

    python results/scale.py

Makes results/runs/scale (a JSON file) and the tables of docs/scale.md, between its marks. No weights are needed: the
large models are sizes only (`scale_rules.py`). The small one takes a step in two processes.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import torch
import torch.distributed as dist
from accelerate import Accelerator
from scale_rules import (
    GIB,
    LARGE,
    LENGTH,
    MICRO,
    RANKS,
    SMALL,
    THOUGHTS,
    Kept,
    Sizes,
    activation_bytes,
    adapted_bytes,
    copied_bytes,
    gathers,
    scatters,
    sizes,
    state_bytes,
)
from torch import multiprocessing
from transformers import AutoModelForCausalLM, LlamaConfig

from unspoken.batch import Batch, collate
from unspoken.distributed import spread_of
from unspoken.environment import describe_environment
from unspoken.layout import Layout, lay_out
from unspoken.model import LatentLM
from unspoken.specs import Engine

PAGE = Path("docs/scale.md")
OUT = Path("results/runs/scale")
QUESTION, ANSWER = 160, 40
"""Columns of the small model's rows before and after the thoughts."""


def rows(num: int, *, thoughts: int) -> list[Layout]:
    """Rows of a question, thoughts and an answer."""
    question, answer = [1 + i % 90 for i in range(QUESTION)], [3] * ANSWER
    return [lay_out([*question, *[96] * thoughts], answer, thought=96) for _ in range(num)]


def small(engine: Engine, layers: int = SMALL.num_hidden_layers) -> LatentLM:
    torch.manual_seed(0)
    config = LlamaConfig(**{**SMALL.to_dict(), "num_hidden_layers": layers})
    return LatentLM(AutoModelForCausalLM.from_config(config, dtype=torch.float32), engine=engine).train()


def kept_bytes(engine: Engine, *, layers: int, columns: int, bf16: bool) -> int:
    """What a forward pass with one thought keeps for its backward pass, weights and their bf16 copies left out."""
    model = small(engine, layers)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    shapes = {tuple(p.shape) for p in model.parameters()} | {tuple(reversed(p.shape)) for p in model.parameters()}
    batch = collate([lay_out([*[1] * columns, 96], [3], thought=96)] * 2, pad_id=0)
    found: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and not (bf16 and tuple(tensor.shape) in shapes):
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.autocast("cpu", torch.bfloat16, enabled=bf16),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        # Held until the end: a storage that is freed may lend its address to another.
        output = model(**batch.tensors(), plan=batch.plan)
        total = sum(found.values())
    del output
    return total


def measured_activations(engine: Engine, *, bf16: bool) -> float:
    """Bytes a token and a layer: of two further layers and further columns of the question, per one of each.

    The last block, which works out few columns, and what is there once are in all four figures, and so in none.
    """
    short, long, few, many = 60, 160, 2, 4

    def kept(layers: int, columns: int) -> int:
        return kept_bytes(engine, layers=layers, columns=columns, bf16=bf16)

    more = kept(many, long) - kept(many, short) - kept(few, long) + kept(few, short)
    return more / (2 * (long - short)) / (many - few)


def bf16_copies(weights: Kept, *, thoughts: int) -> dict[str, Any]:
    """What `copied_bytes` says, of a forward pass with thoughts."""
    model = small("fast", layers=8)
    inside = [p for name, p in model.named_parameters() if ".layers." in name and p.ndim == 2]
    for weight in inside:
        weight.requires_grad_(weights == "trained")
        if weights == "frozen in bf16":
            weight.data = weight.data.bfloat16()
    own = {weight.untyped_storage().data_ptr() for weight in inside}
    shapes = {tuple(p.shape) for p in inside} | {tuple(reversed(p.shape)) for p in inside}
    batch = collate(rows(2, thoughts=thoughts), pad_id=0)
    found: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        copied = storage.data_ptr() not in own
        if copied and tensor.dtype == torch.bfloat16 and tensor.ndim == 2 and tuple(tensor.shape) in shapes:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.autocast("cpu", torch.bfloat16),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        output = model(**batch.tensors(), plan=batch.plan)
        measured = sum(found.values()) / sum(p.numel() for p in inside)
    del output
    passes = len(batch.plan.spans)
    return {
        "weights": weights,
        "passes": passes,
        "measured": measured,
        "predicted": copied_bytes(sizes(SMALL), passes, weights),
    }


def count_collectives(rank: int, port: int, thoughts: list[int], out: str) -> None:
    """What each of two processes does: a step for each number of thoughts; the first writes down what it asked for."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
        ACCELERATE_USE_CPU="true", ACCELERATE_USE_FSDP="true", FSDP_VERSION="2",
    )  # fmt: skip
    accelerator = Accelerator(cpu=True)
    counts = {"gathers": 0, "scatters": 0}
    names = {
        "all_gather_single": "gathers",
        "all_gather_into_tensor": "gathers",
        "reduce_scatter_single": "scatters",
        "reduce_scatter_tensor": "scatters",
    }
    for name, kind in names.items():
        if name in vars(dist):
            setattr(dist, name, _counting(vars(dist)[name], counts, kind))
    model = small("fast")
    spread = spread_of(accelerator, model, [torch.optim.AdamW(model.parameters())])
    found: list[dict[str, int]] = []
    for num in thoughts:
        counts.update(gathers=0, scatters=0)
        batch: Batch = collate(rows(2, thoughts=num), pad_id=0)
        spread.model(**batch.tensors(), plan=batch.plan).loss_sum.backward()
        found.append({"thoughts": num, "passes": len(batch.plan.spans), **counts})
    if rank == 0:
        Path(out).write_text(json.dumps(found))
    dist.destroy_process_group()


def _counting(function: Any, counts: dict[str, int], kind: str) -> Any:
    def call(*arguments: Any, **settings: Any) -> Any:
        counts[kind] += 1
        return function(*arguments, **settings)

    return call


def measured_collectives(thoughts: list[int]) -> list[dict[str, int]]:
    OUT.mkdir(parents=True, exist_ok=True)
    file = OUT / "collectives.json"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(count_collectives, args=(port, thoughts, str(file)), nprocs=2)
    found = json.loads(file.read_text())
    file.unlink()
    return found


def table(header: list[str], lines: list[list[str]]) -> str:
    ruled = [header, ["---", *["---:"] * (len(header) - 1)], *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in ruled)


def checked(found: dict[str, Any]) -> str:
    of = sizes(SMALL)
    lines = [
        [f"kept a token and a layer, {each['engine']}, {each['precision']}", f"{each['measured']:,.0f} B",
         f"{each['predicted']:,} B", f"{each['measured'] / each['predicted']:.3f}"]
        for each in found["activations"]
    ]  # fmt: skip
    for each in found["copies"]:
        lines.append(
            [f"bf16 copies of blocks {each['weights']}, {each['passes']} passes, fast",
             f"{each['measured']:.2f} B a weight", f"{each['predicted']:.2f} B",
             f"{each['measured'] / each['predicted']:.3f}" if each["predicted"] else ""]
        )  # fmt: skip
    for each in found["collectives"]:
        for kind, predicted in (("gathers", gathers(of, each["passes"])), ("scatters", scatters(of))):
            lines.append(
                [f"all-{kind} a step, {each['thoughts']} thoughts ({each['passes']} passes)" if kind == "gathers"
                 else f"reduce-{kind} a step, {each['thoughts']} thoughts", f"{each[kind]}", f"{predicted}",
                 f"{each[kind] / predicted:.3f}"]
            )  # fmt: skip
    return table(["small Llama", "measured", "predicted", "ratio"], lines)


def weights_table(models: dict[str, Sizes]) -> str:
    header = ["GiB", *models]

    def line(name: str, value: Any) -> list[str]:
        return [name, *(f"{value(of) / GIB:.1f}" for of in models.values())]

    return table(
        header,
        [
            ["weights, billions", *(f"{of.total / 1e9:.2f}" for of in models.values())],
            line("full, one process: 16 B a weight", lambda of: 16 * of.total),
            line(f"full, FSDP2 on {RANKS}: 16/{RANKS} B a weight", lambda of: 16 * of.total / RANKS),
            line("+ rest gathered: 8 B a weight of it", lambda of: 8 * of.rest),
            line("+ two blocks gathered: 4 B a weight", lambda of: 8 * of.block),
            line("+ gradients of all blocks, whole: 4 B a weight", lambda of: 4 * of.layers * of.block),
            line("+ bf16 copies of the blocks: 2 B a weight", lambda of: 2 * of.layers * of.block),
            line("full, FSDP2, bf16: all of these", state_bytes),
            ["LoRA weights, millions", *(f"{of.lora / 1e6:.0f}" for of in models.values())],
            line("LoRA, one process: 4 B a weight, 16 B an adapter's", lambda of: adapted_bytes(of, "frozen")),
            line(
                f"+ bf16 copies of frozen blocks, {THOUGHTS} thoughts, fast: 2 B a weight and pass",
                lambda of: copied_bytes(of, THOUGHTS + 2, "frozen") * of.layers * of.block,
            ),
            line(
                "LoRA, `--adapter.frozen bf16`: 2 B a frozen linear layer's weight, no copies",
                lambda of: adapted_bytes(of, "frozen in bf16"),
            ),
        ],
    )


def activations_table(models: dict[str, Sizes]) -> str:
    lines = []
    for engine in ("fast", "sparing"):
        for bf16 in (False, True):
            per_token = {name: activation_bytes(of, engine, bf16=bf16) for name, of in models.items()}
            name = f"{engine}, {'bf16' if bf16 else 'fp32'}"
            lines.append([f"{name}: KiB a token and a layer", *(f"{each / 1024:.0f}" for each in per_token.values())])
            whole = {n: each * models[n].layers * MICRO * (LENGTH + THOUGHTS) for n, each in per_token.items()}
            lines.append(
                [
                    f"{name}: GiB, {MICRO} rows x {LENGTH + THOUGHTS} tokens",
                    *(f"{each / GIB:.1f}" for each in whole.values()),
                ]
            )
    return table(["", *models], lines)


def communication_table(models: dict[str, Sizes]) -> str:
    lines = []
    for thoughts in (0, 3, THOUGHTS):
        passes = thoughts + 2 if thoughts else 1
        for what in ("all-gathers", "GB received a GPU, fp32"):
            cells = []
            for of in models.values():
                share = (RANKS - 1) / RANKS
                moved = 4 * share * (2 * of.layers * passes * of.block + of.rest + of.total)
                cells.append(f"{gathers(of, passes)}" if what == "all-gathers" else f"{moved / 1e9:.0f}")
            lines.append([f"{thoughts} thoughts, {passes} passes: {what}", *cells])
    return table(["a step of one micro-batch", *models], lines)


def main() -> None:
    activations = [
        {
            "engine": engine,
            "precision": "bf16" if bf16 else "fp32",
            "measured": measured_activations(engine, bf16=bf16),
            "predicted": activation_bytes(sizes(SMALL), engine, bf16=bf16),
        }
        for engine in ("fast", "sparing")
        for bf16 in (False, True)
    ]
    found = {
        "environment": describe_environment(),
        "models": {name: asdict(sizes(config)) for name, config in {**LARGE, "small": SMALL}.items()},
        "activations": activations,
        "copies": [bf16_copies(weights, thoughts=n) for weights in get_args(Kept) for n in (1, 3)],
        "collectives": measured_collectives([0, 1, 2, 4]),
    }
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "scale.json").write_text(json.dumps(found, indent=2) + "\n")
    models = {name: sizes(config) for name, config in LARGE.items()}
    tables = {
        "state": weights_table(models),
        "activations": activations_table(models),
        "communication": communication_table(models),
        "checked": checked(found),
    }
    text = PAGE.read_text()
    for name, made in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        text = before + begin + made + "\n" + end + rest.partition(end)[2]
    PAGE.write_text(text)
    print(tables["checked"])


if __name__ == "__main__":
    main()
