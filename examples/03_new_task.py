"""A task of your own in one file: problems from a seed, how they are written, what shortcuts get right, a training.

    python examples/03_new_task.py

A task says where problems come from and how answers are judged. Everything else (methods, training, evaluation, the
audit of the data) takes it as it is. The same class in a file of yours makes recipes of your own: import it first.
"""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, final

from unspoken import BatchSize, Curriculum, fit
from unspoken.evaluate import evaluate
from unspoken.methods import CoT
from unspoken.recipes import find_recipe
from unspoken.shortcuts.audit import audit, render_audit
from unspoken.specs import Llama
from unspoken.tasks.base import Example, Generated, Split, SymbolicTask


@final
@dataclass(frozen=True, kw_only=True)
class RunningSum(SymbolicTask):
    """`3 9 4 =`: the sum modulo 10; a step is the sum so far."""

    version: ClassVar[str] = "1"

    numbers: int = 3
    """How many numbers to add."""

    @property
    def max_new_tokens(self) -> int:
        return self.numbers + 2

    def examples(self, split: Split) -> Sequence[Example]:
        return Generated(self.draw, num={"train": 4_000, "valid": 100, "test": 400}[split], seed=f"sum/{split}")

    def draw(self, rng: random.Random) -> Example:
        """One problem; every choice comes from `rng`."""
        numbers = [int(10 * rng.random()) for _ in range(self.numbers)]
        sums = [str(sum(numbers[: i + 1]) % 10) for i in range(1, self.numbers)]
        return Example(question=f"{' '.join(map(str, numbers))} =", steps=tuple(sums), answer=sums[-1])

    def words(self) -> Sequence[str]:
        return ["=", *map(str, range(10))]


def main() -> None:
    """Audits the problems, trains a chain of thought on them for a few epochs, and asks the model."""
    task = RunningSum()
    problems = task.examples("test")
    print(problems[0])
    print(render_audit(audit(problems, title="running sums")))  # is anything right that does not add?
    config = replace(
        find_recipe("demo/cot"),
        task=task,
        method=CoT(),
        model=Llama(width=64, heads=2, mlp_width=128, positions=32),
        curriculum=Curriculum(stage_epochs=(8,)),
        batch=BatchSize(rows=32),
    )
    with tempfile.TemporaryDirectory() as folder:
        model = fit(config, Path(folder) / "run")
    records = evaluate(model, task, config.method, problems[:100])
    print(f"{sum(record.correct for record in records)} of 100 right: {records[0].output!r}")


if __name__ == "__main__":
    main()
