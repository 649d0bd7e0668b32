"""What a set of problems looks like, figure by figure, each with its standard error; and two sets side by side.

A task says what is measured on one example (`Task.measures`): a number, a category, or the categories of several
things (the nodes of a graph). A number becomes its mean over the examples; a category becomes one share for each of its
values, `hops: 3`, out of all examples or out of all things. Things in one example are not independent, so every error
is that of a ratio over examples: sum of a part over sum of a whole.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

from unspoken.tasks.base import Example, Measure, Task


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A mean or a share, over `num` examples."""

    value: float
    error: float
    """Standard error of `value`, examples being independent."""
    num: int

    def apart(self, other: Figure) -> float:
        """The difference to another sample's figure, in standard errors of the difference; 0 where both are exact."""
        error = math.hypot(self.error, other.error)
        difference = self.value - other.value
        if error == 0:
            return 0.0 if difference == 0 else math.copysign(math.inf, difference)
        return difference / error


def statistics(examples: Iterable[Example], task: Task) -> dict[str, Figure]:
    """Every figure of a set of examples, in the order of `Task.measures`, categories sorted.

    Raises:
        ValueError: there are no examples.
    """
    return figures(task.measures(example) for example in examples)


def figures(measured: Iterable[Mapping[str, Measure]]) -> dict[str, Figure]:
    """The same from what was measured on each example; an example may leave a name out.

    Raises:
        ValueError: nothing was measured.
    """
    columns: dict[str, list[Measure]] = {}
    num = 0
    for row in measured:
        num += 1
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    if not num:
        raise ValueError("expected at least one example to measure, got none")
    found: dict[str, Figure] = {}
    for name, column in columns.items():
        if all(isinstance(value, int | float) for value in column):
            found[name] = _ratio([(float(value), 1) for value in column if isinstance(value, int | float)])
        else:
            found.update(_shares(name, [(v,) if isinstance(v, str) else v for v in column if not isinstance(v, float)]))
    return found


def _shares(name: str, column: list[tuple[str, ...]]) -> dict[str, Figure]:
    counts = [Counter(values) for values in column]
    categories = sorted({category for count in counts for category in count}, key=lambda c: (len(c), c))
    wholes = [len(values) for values in column]
    return {
        f"{name}: {category}": _ratio([(count[category], whole) for count, whole in zip(counts, wholes, strict=True)])
        for category in categories
    }


def _ratio(parts: list[tuple[float, int]]) -> Figure:
    """Sum of parts over sum of wholes; the error by linearisation, which for means is the usual one."""
    num = len(parts)
    whole = sum(w for _, w in parts)
    if not whole:
        return Figure(value=0.0, error=0.0, num=num)
    value = math.fsum(p for p, _ in parts) / whole
    squares = math.fsum((p - value * w) ** 2 for p, w in parts)
    error = math.sqrt(squares * num / (num - 1)) / whole if num > 1 else math.inf
    return Figure(value=value, error=error, num=num)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One figure of two sets; a share that one set lacks is 0 there."""

    name: str
    ours: Figure
    theirs: Figure

    @property
    def apart(self) -> float:
        """Standard errors between the two."""
        return self.ours.apart(self.theirs)


def compare(ours: Mapping[str, Figure], theirs: Mapping[str, Figure]) -> list[Comparison]:
    """Two sets, figure by figure, in the order of the second."""

    def figure(found: Mapping[str, Figure], other: Mapping[str, Figure], name: str) -> Figure:
        if name in found:
            return found[name]
        num = next(iter(found.values())).num
        # Of a category seen only over there: one more example could have been the first, so the error is not 0.
        return Figure(value=0.0, error=math.sqrt(other[name].value / num) if num else 0.0, num=num)

    names = [*theirs, *(name for name in ours if name not in theirs)]
    return [Comparison(name=n, ours=figure(ours, theirs, n), theirs=figure(theirs, ours, n)) for n in names]


def limit(num_figures: int) -> float:
    """How many standard errors the largest of so many differences stays below, with 99 % probability (Bonferroni)."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(1 - 0.01 / (2 * max(1, num_figures)))
