"""What could be found in a thought, as words: nodes of the graph by their distance, results of the chain, the answer.

A thing is found by its first token: "18" and " 18" count alike, and of a name of several tokens only the first is seen
(where two names begin alike, either is taken for the other; that is in the chance level, too).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

from transformers import PreTrainedTokenizerBase

from unspoken.analysis.base import Subject
from unspoken.analysis.search import Search
from unspoken.tasks.base import Example
from unspoken.tasks.equations import equations_in
from unspoken.tokenization import encode

TokenSets = Sequence[frozenset[int]]
"""Of each problem, the tokens that would show it; empty where there is nothing to look for."""

_MOST_STEPS = 6
"""Steps of a chain that are looked for one by one."""


@final
@dataclass(frozen=True, kw_only=True)
class Targets:
    """What to look for."""

    among: int
    """Among how many top words."""
    sets: dict[str, TokenSets]


def targets_of(subject: Subject) -> Targets:
    """Nodes in problems with graphs, by their distance; else the results of each step, as far as they are words."""
    first = FirstTokens(subject.model.tokenizer)
    if subject.searches is not None:
        return Targets(among=1, sets=_nodes(subject, subject.searches, first))
    return Targets(among=5, sets=_results(subject.cache.examples, first))


@final
class FirstTokens:
    """The first token of a text, with and without a space before it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None) -> None:
        assert tokenizer is not None
        self._tokenizer = tokenizer
        self._known: dict[str, frozenset[int]] = {}

    def of(self, texts: Iterable[str]) -> frozenset[int]:
        """The first tokens that are no mere space of any of the texts; none for what the model has no words for."""
        return frozenset().union(*map(self._of, texts))

    def _of(self, text: str) -> frozenset[int]:
        if text not in self._known:
            found = set()
            for form in (text, f" {text}"):
                try:
                    ids = encode([form], self._tokenizer)[0]
                except ValueError:  # outside a closed vocabulary, so it cannot be among the words
                    continue
                found.update([id_ for id_ in ids if str(self._tokenizer.decode([id_])).strip()][:1])
            self._known[text] = frozenset(found)
        return self._known[text]


def results_of(example: Example) -> tuple[str, ...]:
    """What each step of a chain arrives at: the number behind its last equals sign, else its last word."""
    found = []
    for step in example.steps:
        equations = equations_in(step)
        if equations:
            found.append(equations[-1].rpartition("=")[2].strip())
        else:
            found.append(step.split()[-1] if step.split() else "")
    return tuple(found)


def _nodes(subject: Subject, searches: Sequence[Search], first: FirstTokens) -> dict[str, TokenSets]:
    names: list[list[frozenset[int]]] = []
    for example in subject.cache.examples:
        # A name may be written differently at the beginning of a chain and later on.
        forms = [naming.names for steps in (0, 1) if (naming := subject.task.naming(example, steps)) is not None]
        names.append([first.of({name.lstrip() for name in each}) for each in zip(*forms, strict=True)])

    def tokens(nodes: Sequence[Sequence[int]]) -> TokenSets:
        return [frozenset().union(*(names[i][node] for node in each)) for i, each in enumerate(nodes)]

    deepest = max(search.needed for search in searches)
    found = {"asked node": tokens([[search.graph.root] for search in searches])}
    for hops in range(1, deepest + 1):
        found[f"hop {hops}"] = tokens([search.frontier(hops).nonzero()[0].tolist() for search in searches])
    found["right option"] = tokens([[search.graph.target] for search in searches])
    found["wrong option"] = tokens([[search.graph.neg_target] for search in searches])
    found["any node"] = tokens([range(search.graph.num_nodes) for search in searches])
    return found


def _results(examples: Sequence[Example], first: FirstTokens) -> dict[str, TokenSets]:
    results = [results_of(example) for example in examples]
    longest = min(_MOST_STEPS, max(map(len, results)))
    found: dict[str, TokenSets] = {}
    for step in range(longest):
        found[f"step {step + 1}"] = [first.of({r[step]} - {""} if len(r) > step else ()) for r in results]
    if any(equations_in(step) for example in examples for step in example.steps):
        # Neither copied from the question nor the answer itself: something that had to be worked out on the way.
        between = [
            {r for r in rs if r and r not in example.question and r != example.answer}
            for rs, example in zip(results, examples, strict=True)
        ]
        found["some result between"] = [first.of(each) for each in between]
    found["answer"] = [first.of({example.answer}) for example in examples]
    return found
