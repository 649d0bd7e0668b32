"""Trains the demo's second act and packs it into `src/unspoken/shipped_runs`.

    python results/train_shipped.py --runs runs/shipped [--pack]

The warm start is trained once and shared; then the four methods, two at a time, one thread each; `--methods` names
others (the controls, say). A finished run is skipped, so the script can be run again after an interruption. `--pack`
copies what the demo needs and writes the manifest: recipe, seed, commit and the SHA-256 of the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import run

from unspoken.config import After, RunConfig
from unspoken.recipes import find_recipe
from unspoken.shipped import FOLDER, sha256

METHODS = ["coconut", "pause-as-thought", "cot", "no-cot"]
KEPT = ["config.json", "env.json", "metrics.jsonl", "final"]

TRAIN = """
import sys
from pathlib import Path
from rich.console import Console
from unspoken.config import RunConfig
from unspoken.progress import LiveTraining
from unspoken.quiet import quiet
from unspoken.train import fit
quiet()
out, first, config = Path(sys.argv[1]), sys.argv[2], RunConfig.load(Path(sys.argv[3]))
with LiveTraining(Console(), config.recipe) as live:
    fit(config, out, resume=out.exists(), first=Path(first) if first else None, observer=live)
"""


def train(config: RunConfig, runs: Path) -> Path:
    """Trains a run after all that it starts from; its folder."""
    name = config.recipe.replace("/", "-")
    out = runs / name
    if (out / "final" / "config.json").is_file():
        return out
    first = train(config.model.first, runs) if isinstance(config.model, After) else ""
    runs.mkdir(parents=True, exist_ok=True)
    config.save(runs / f"{name}.json")
    # A process each, so that both cores work and neither run can disturb the other's random numbers.
    arguments = [sys.executable, "-c", TRAIN, str(out), str(first), str(runs / f"{name}.json")]
    run(arguments, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return out


def pack(runs: Path) -> None:
    """Copies the four runs and writes the manifest."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    manifest = {}
    for method in METHODS:
        name = f"demo-planning-{method}"
        for part in KEPT:
            source, target = runs / name / part, FOLDER / name / part
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
        # What ran was a process of this script; its own arguments name folders of one machine.
        environment = json.loads((FOLDER / name / "env.json").read_text())
        environment["command"] = "python results/train_shipped.py"
        (FOLDER / name / "env.json").write_text(json.dumps(environment, indent=2) + "\n")
        config = RunConfig.load(runs / name / "config.json")
        if config != find_recipe(config.recipe) or environment["commit"].endswith("+"):
            raise SystemExit(f"{name}: trained from another recipe or from uncommitted code; train it again")
        manifest[name] = {
            "recipe": config.recipe,
            "seed": config.seed,
            "commit": environment["commit"],
            "weights": "final",
            "sha256": sha256(FOLDER / name / "final" / "model.safetensors"),
        }
    (FOLDER / "MANIFEST.json").write_text(json.dumps(manifest, indent=2) + "\n")


def main() -> None:
    """Trains what is missing; packs when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/shipped"))
    parser.add_argument("--pack", action="store_true", help="write src/unspoken/shipped_runs")
    parser.add_argument("--methods", nargs="+", default=METHODS, help="recipes below demo/planning")
    options = parser.parse_args()
    train(find_recipe("demo/planning/opened"), options.runs)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda method: train(find_recipe(f"demo/planning/{method}"), options.runs), options.methods))
    if options.pack:
        pack(options.runs)


if __name__ == "__main__":
    main()
