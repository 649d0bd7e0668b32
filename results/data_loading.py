"""How long do 385,620 rows take to load and tokenize, and how much memory? Makes results/runs/data-loading.

    python results/data_loading.py

GSM8k-Aug's training split is not among the shared data, so its size is made of the 6,973 un-augmented rows with their
numbers redrawn. Everything is measured in one fresh process that does nothing else: reading the file with the task,
then every row through `TrainingData` in batches, which is where training tokenizes.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NUM = 385_620


def make(path: Path, num: int) -> None:
    """Writes `num` problems: the shared ones again and again, other numbers in each."""
    from unspoken.tasks.gsm8k import GSM8K

    examples = GSM8K().examples("train")
    rng = random.Random(0)
    rows = []
    for i in range(num):
        example, more = examples[i % len(examples)], rng.randrange(1, 90)

        def other(text: str, more: int = more) -> str:
            return re.sub(r"\d{1,6}", lambda found: str(int(found[0]) + more), text)

        rows.append(
            {
                "question": other(example.question),
                "steps": [other(step) for step in example.steps],
                "answer": other(example.answer),
            }
        )
    path.write_text(json.dumps(rows))


def measure(path: Path) -> dict[str, float]:
    """Seconds of each part, and the peak of this process's memory in GiB."""
    from unspoken.data import TrainingData
    from unspoken.layout import MARKERS
    from unspoken.markers import find_markers
    from unspoken.recipes import find_recipe
    from unspoken.specs import GPT2Tokenizer
    from unspoken.tasks.gsm8k import GSM8K
    from unspoken.tokenization import build_tokenizer

    config = find_recipe("gsm8k/gpt2/coconut")
    tokenizer = build_tokenizer(GPT2Tokenizer(), config.task)
    tokenizer.add_special_tokens({"additional_special_tokens": list(MARKERS.values())})
    before = _gib()
    started = time.perf_counter()
    examples = GSM8K(train_file=path).examples("train")
    loaded = time.perf_counter()
    data = TrainingData(config, examples, tokenizer, find_markers(tokenizer), positions=1024)
    num_ids = sum(len(layout) for batch in data.epoch(0) for layout in batch)
    tokenized = time.perf_counter()
    again = sum(len(layout) for batch in data.epoch(1) for layout in batch)
    return {
        "rows": len(examples),
        "load_seconds": loaded - started,
        "first_epoch_seconds": tokenized - loaded,
        "later_epoch_seconds": time.perf_counter() - tokenized,
        "ids": num_ids,
        "ids_again": again,
        "gib_before": before,
        "gib_peak": _gib(),
    }


def _gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Makes the file, measures in another process, writes the run folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=NUM)
    parser.add_argument("--out", type=Path, default=Path("results/runs/data-loading"))
    parser.add_argument("--measure", type=Path, help="measure this file, print the figures and stop")
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measure(options.measure)))
        return
    from unspoken.environment import describe_environment

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.json"
        make(path, options.num)
        mib = path.stat().st_size / 2**20
        command = [sys.executable, __file__, "--measure", str(path)]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    found = {"file_mib": mib, **found}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "loading.json").write_text(json.dumps(found, indent=2) + "\n")
    (options.out / "env.json").write_text(json.dumps(describe_environment(), indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
