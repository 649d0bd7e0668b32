"""Runs the paper-scale cells, best first, inside a number of minutes; run it again to go on.

    python results/paper_scale.py --minutes 9 --runs runs/paper-scale --keep results/runs
    python results/paper_scale.py --minutes 9 --only gsm8k/smollm2

ProsQA with models from scratch, then GSM8K and ProsQA from SmolLM2-135M, where `make pretrained` has brought it. Every
cell is a recipe and a seed. A finished cell is skipped, an interrupted one is resumed from its checkpoint, and
when the time is up the running one is asked to save and stop. A trained run is evaluated, probed and audited on the
spot. What is small (config, environment, metrics, records, pages, figures) is copied to `--keep`, from which `unspoken
table results/runs/*` makes the page; weights stay where they are.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from unspoken.specs import SMOLLM2, pretrained_root

RECIPES = ["coconut", "cot", "pause-as-thought", "shuffled-thoughts", "no-cot", "without-thought", "detached-thoughts"]
RECIPES += ["without-curriculum", "icot", "pause"]
# Where the question is whether recycling matters at all, what it is compared with comes first.
PRETRAINED = ["cot", "no-cot", "coconut", "pause-as-thought", "shuffled-thoughts", "without-thought"]
PRETRAINED += ["detached-thoughts", "pause", "icot", "without-curriculum"]
CELLS = [(f"prosqa/two-layer/{name}", seed) for seed in range(2) for name in RECIPES[:5]]
CELLS += [(f"prosqa/gpt2/{name}", seed) for seed in range(3) for name in RECIPES]
CELLS += [(f"gsm8k/smollm2/{name}", seed) for seed in range(3) for name in PRETRAINED]
CELLS += [(f"prosqa/smollm2/{name}", seed) for seed in range(3) for name in PRETRAINED]
SMALL = ["config.json", "env.json", "metrics.jsonl", "eval", "probe", "audit"]


def main() -> None:
    """Works through the cells until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, required=True, help="wall time to stay within")
    parser.add_argument("--runs", type=Path, default=Path("runs/paper-scale"), help="run folders, with weights")
    parser.add_argument("--keep", type=Path, default=Path("results/runs"), help="copies of what is small")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--only", default="", help="only recipes whose names start like this, as in gsm8k/smollm2")
    parser.add_argument("flags", nargs="*", help="after --: further flags of unspoken train")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    missing = not (pretrained_root() / SMOLLM2).is_dir()
    if missing:
        print(f"no {SMOLLM2} in {pretrained_root()}, its cells are left out; make pretrained brings it", flush=True)
    for recipe, seed in CELLS:
        if not recipe.startswith(options.only) or (missing and "/smollm2/" in recipe):
            continue
        run = folder(options.runs, recipe, seed)
        if (run / "eval" / "test").is_dir():
            continue
        # Evaluation of 500 problems and saving need a little time too.
        left = end - time.monotonic() - 40
        if left < 30:
            break
        if not (run / "final").is_dir():
            command = ["train", recipe, "--out", str(run), "--seed", str(seed), "--precision", options.precision]
            if run.is_dir():
                command = ["train", "--resume", str(run)]
            if not unspoken([*command, *([] if run.is_dir() else options.flags)], seconds=left):
                keep(run, options.keep)
                break
        unspoken(["eval", str(run)], seconds=max(30.0, end - time.monotonic()))
        look(run, folder(options.runs, f"{recipe.rpartition('/')[0]}/cot", seed), end)
        keep(run, options.keep)


def folder(runs: Path, recipe: str, seed: int) -> Path:
    """A cell's run folder."""
    return runs / f"{recipe.replace('/', '-')}-seed{seed}"


def look(run: Path, cot: Path, end: float) -> None:
    """Probes and audits a run on the spot, as far as the time goes; CoT stands beside it where it has been trained."""
    beside = ["--beside", str(cot)] if cot != run and (cot / "final").is_dir() else []
    for command in (["probe", str(run), "--num", "500", *beside], ["audit", str(run), "--num", "500"]):
        left = end - time.monotonic()
        if left > 20 and not (run / command[0] / "test").is_dir():
            # A method without slots is refused by the audit, in one line.
            unspoken(command, seconds=left)


def unspoken(arguments: list[str], *, seconds: float) -> bool:
    """Runs a command; when its time is up it is interrupted, saves, and counts as unfinished."""
    print("unspoken", *arguments, flush=True)
    process = subprocess.Popen([sys.executable, "-m", "unspoken", *arguments])
    try:
        return process.wait(timeout=seconds) == 0
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait()
        return False


def keep(run: Path, folder: Path) -> None:
    """Copies what is small."""
    target = folder / run.name
    target.mkdir(parents=True, exist_ok=True)
    for name in SMALL:
        source = run / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("records", "*.svg")
            shutil.copytree(source, target / name, dirs_exist_ok=True, ignore=ignored)
        elif source.is_file():
            shutil.copy2(source, target / name)


if __name__ == "__main__":
    main()
