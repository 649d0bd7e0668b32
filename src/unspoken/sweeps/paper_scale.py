"""The paper's Table 1 at the paper's size, for a GPU; the most valuable cells first.

ProsQA in words with GPT-2 small's configuration from random weights, first in the fast schedule (18 epochs), then as
published (50); GSM8K, ProsQA and ProntoQA from SmolLM2-135M and from random weights; then further seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from unspoken.recipes import find_recipe
from unspoken.sweeps.base import Cell, Sweep

ROWS = ("coconut", "cot", "pause-as-thought", "shuffled-thoughts", "no-cot", "without-thought", "detached-thoughts")
"""Where a model from scratch is asked whether thoughts carry anything: what says most comes first."""
REST = ("without-curriculum", "icot", "pause")
PRETRAINED = ("cot", "no-cot", "coconut", "coconut-c1", "coconut-c3", "pause-as-thought", "without-thought")
"""Where the question is whether recycling pays at all, what it is compared with comes first."""
PRETRAINED_REST = ("without-curriculum", "icot", "pause", "shuffled-thoughts", "detached-thoughts")

PROSQA = ("prosqa-debiased", "prosqa-7-hops", "prosqa-8-hops", "prosqa-dag", "prosqa-dense")
"""Without shortcuts, and the four out-of-distribution sets of "The Curriculum Is the Mechanism"."""
GSM8K = ("svamp", "gsm-hard")
PRONTOQA = ("prontoqa-paired",)


def paper_scale() -> Sweep:
    """Every cell that wants a GPU."""
    first = [
        *_cells("prosqa/fast", ROWS, PROSQA),
        *_cells("gsm8k/smollm2", PRETRAINED, GSM8K),
        *_cells("prosqa/fast", REST, PROSQA),
        *_cells("gsm8k/smollm2", PRETRAINED_REST, GSM8K),
        *_cells("prosqa/two-layer", ("coconut", "pause-as-thought", "cot"), PROSQA[:1]),
        *_cells("prosqa/gpt2", (*ROWS, *REST), PROSQA),
        *_cells("prosqa/smollm2", tuple(row for row in (*ROWS, *REST)), PROSQA),
        *_cells("prontoqa/gpt2", (*ROWS, *REST), PRONTOQA),
        *_cells("prosqa/gpt2/ablation", _ablations(), PROSQA[:1]),
    ]
    again = [
        cell
        for seed in (1, 2)
        for where, rows, asked in (
            ("prosqa/fast", (*ROWS, *REST), PROSQA),
            ("gsm8k/smollm2", (*PRETRAINED, *PRETRAINED_REST), GSM8K),
            ("prosqa/gpt2", (*ROWS, *REST), PROSQA),
            ("prosqa/smollm2", (*ROWS, *REST), PROSQA),
            ("prontoqa/gpt2", (*ROWS, *REST), PRONTOQA),
        )
        for cell in _cells(where, rows, asked, seed)
    ]
    return Sweep(name="paper-scale", about="Table 1 at the paper's size; needs a GPU.", cells=[*first, *again])


def _cells(where: str, rows: Sequence[str], asked: tuple[str, ...], seed: int = 0) -> Iterator[Cell]:
    for row in rows:
        config = find_recipe(f"{where}/{row}").with_seed(seed)
        yield Cell(
            # A checkpoint of this size is a gigabyte and a half; a run that is asked to stop writes one anyway.
            config=replace(config, precision="bf16", checkpoint_every=1_000),
            asked=asked,
            looked=500,
            # Ablations stand beside the row they are ablations of, which is no cell of their own.
            beside=f"{where.removesuffix('/ablation').replace('/', '-')}-cot-seed{seed}",
            figures=True,
        )


def _ablations() -> tuple[str, ...]:
    from unspoken.recipes import RECIPES

    start = "prosqa/gpt2/ablation/"
    return tuple(name.removeprefix(start) for name in RECIPES if name.startswith(start))
