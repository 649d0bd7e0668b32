"""Facts, and then the same facts again in another order: a warm-up for models that start from nothing.

Before it can reason over a list of facts a model must be able to look one up. From random weights that circuit takes
longer to appear than everything after it, because a chain asks for few look-ups and a list repeated asks for as many as
it has facts. The vocabulary is that of the task the model will be trained on.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

from unspoken.tasks.base import Example, Generated, Split, Task, Written


@final
@dataclass(frozen=True, kw_only=True)
class Recall(Task):
    """The facts of another task's problems (`a b ; c d ; ...`), to be told again in another order, a word a step."""

    version: ClassVar[str] = "1"

    of: Task
    """Whose problems the facts come from; its questions are facts, each closed by `;`, and then `?`."""

    @property
    def question_format(self) -> str:
        return "{question}"

    @property
    def max_new_tokens(self) -> int:
        return 3 * len(self._facts(self.of.examples("test")[0]))

    def examples(self, split: Split) -> Sequence[Example]:
        inner = self.of.examples(split)
        return Generated(partial(self._draw, inner), num=len(inner), seed=f"recall/{split}")

    def redraw(self, example: Example, rng: random.Random) -> Example:
        return self._retell(self.of.redraw(example.meta["of"], rng), rng)

    def write(self, example: Example) -> Written:
        return Written(question=example.question, steps=example.steps, answer=example.answer)

    def extract(self, text: str) -> str:
        return text.strip()

    def correct(self, prediction: str, example: Example) -> bool:
        """Whether every fact was told again, in any order, and nothing else."""
        told = [fact.strip() for fact in prediction.split(";")]
        return sorted(fact for fact in told if fact) == sorted(fact.strip(" ;") for fact in self._facts(example))

    def words(self) -> Sequence[str] | None:
        return self.of.words()

    def _draw(self, inner: Sequence[Example], rng: random.Random) -> Example:
        return self._retell(inner[rng.randrange(len(inner))], rng)

    def _facts(self, example: Example) -> list[str]:
        return [f"{fact.strip()} ;" for fact in example.question.partition("?")[0].split(";") if fact.strip()]

    def _retell(self, inner: Example, rng: random.Random) -> Example:
        facts = self._facts(inner)
        again = " ".join(rng.sample(facts, len(facts))).split()
        return Example(question=" ".join(facts), steps=tuple(again[:-1]), answer=again[-1], meta={"of": inner})
