"""The golden losses: `python tests/golden/make.py` writes them anew.

Do that only when a change is meant to alter training (another layout, another initialisation), and say so in its
commit message.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unspoken.config import RunConfig

FILE = Path(__file__).parent / "hops_coconut.json"


def golden_config() -> RunConfig:
    """Twenty steps, five in each of Coconut's four stages, with mixing so that stages meet in a batch."""
    from tiny_runs import tiny
    from unspoken.config import AdamW
    from unspoken.curriculum import Curriculum

    return tiny(curriculum=Curriculum(stage_epochs=(1, 1, 1, 1), mix=0.2), optimizer=AdamW(lr=1e-3, clip_norm=1.0))


def measure() -> dict[str, Any]:
    """The golden run's losses and gradient norms, step by step."""
    from tiny_runs import metrics
    from unspoken.train import fit

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        fit(golden_config(), run, device="cpu")
        lines = metrics(run, "step")
    return {"loss": [line["loss"] for line in lines], "grad_norm": [line["grad_norm"] for line in lines]}


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path.insert(0, str(Path(__file__).parents[1]))
    FILE.write_text(json.dumps(measure(), indent=1) + "\n")
    print(f"written: {FILE}")
