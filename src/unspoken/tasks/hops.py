"""Follow the pointers: where do k hops from x lead? The smallest task on which one thought per hop must pay.

`f c ; a d ; ... ? a` lists one successor for each node, shuffled; the steps are the nodes on the way, the answer the
last one. Answering at once needs k look-ups in sequence inside one forward pass; a written chain, or a chain of
thoughts, needs one look-up at a time.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from unspoken.tasks.base import DrawnTask, Example, SymbolicTask


@final
@dataclass(frozen=True, kw_only=True)
class Hops(DrawnTask, SymbolicTask):
    """`hops` look-ups in a list of pointers over `nodes` nodes; every epoch draws new problems."""

    version: ClassVar[str] = "1"
    stream: ClassVar[str] = "hops"

    nodes: int = 10
    """Nodes in each problem, each with exactly one successor; the successors are a permutation."""
    hops: int = 4
    """How many pointers to follow."""
    successors: int = 1
    """The most successors of a node; above 1 a node has 1 up to so many, and which of them is followed is random: what
    comes next can be narrowed down, not known, as where a graph forks. Answers are then right by luck alone."""
    symbols: tuple[str, ...] = ()
    """Names to draw the nodes of each problem from; none: always the first letters of the alphabet."""
    other_words: tuple[str, ...] = ()
    """Further words of the vocabulary, for a model that goes on with another task."""

    def __post_init__(self) -> None:
        super().__post_init__()
        most = len(self.symbols or string.ascii_lowercase)
        if not 2 <= self.nodes <= most:
            raise ValueError(f"nodes must be between 2 and {most}, the number of names, got {self.nodes}")
        if self.hops < 1:
            raise ValueError(f"hops must be at least 1, got {self.hops}")
        if not 1 <= self.successors < self.nodes:
            raise ValueError(
                f"successors must be between 1 and {self.nodes - 1}, one less than there are nodes, got "
                f"{self.successors}"
            )

    @property
    def max_new_tokens(self) -> int:
        return self.hops + 2

    def draw(self, rng: random.Random) -> Example:
        names = rng.sample(self.symbols, self.nodes) if self.symbols else list(string.ascii_lowercase[: self.nodes])
        successors = {a: [b] for a, b in zip(names, rng.sample(names, self.nodes), strict=True)}
        start = rng.choice(names)
        if self.successors > 1:
            for first in successors.values():
                more = rng.randrange(self.successors)
                first += [name for name in rng.sample(names, more + 1) if name not in first][:more]
        facts = [f"{a} {b} ;" for a, after in successors.items() for b in after]
        rng.shuffle(facts)
        chain: list[str] = []
        node = start
        for _ in range(self.hops):
            after = successors[node]
            node = after[0] if len(after) == 1 else rng.choice(after)
            chain.append(node)
        return Example(question=" ".join([*facts, "?", start]), steps=tuple(chain), answer=chain[-1])

    def words(self) -> Sequence[str]:
        return [";", "?", *self.other_words, *(self.symbols or string.ascii_lowercase[: self.nodes])]
